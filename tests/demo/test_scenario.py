"""The plan: what the demo promises to show, the same for the same seed, and a truth that is counted otherwise here."""

from collections import Counter

import numpy as np
import pytest

from prio_assets.demo.scenario import PERIOD, WINDOWS, Fault, make_plan
from tests.demo.by_hand import NOW, rows


def test_promises() -> None:
    plan = make_plan(NOW, 1)
    assert len(plan.batches) >= 20
    assert len({batch.name for batch in plan.batches}) == len(plan.batches)
    assert sorted(topic.bins for topic in plan.topics) == [5, 288, 1000]
    assert {batch.fault for batch in plan.batches} == set(Fault)
    assert len(list(plan.expected())) == 6


def test_windows_have_ended() -> None:
    plan = make_plan(NOW, 1)
    assert len(plan.windows) == WINDOWS
    assert plan.windows[0].end == plan.windows[1].start
    assert NOW - PERIOD < plan.windows[-1].end <= NOW
    assert all(any(batch.name.time in window for window in plan.windows) for batch in plan.batches)


def test_the_last_window_may_end_this_very_moment() -> None:
    on_the_hour = NOW.replace(minute=0)
    assert make_plan(on_the_hour, 1).windows[-1].end == on_the_hour


def facts(seed: int) -> list[object]:
    return [
        (batch.name, batch.fault, batch.rows.tolist(), batch.faulty.tolist()) for batch in make_plan(NOW, seed).batches
    ]


def test_same_seed_same_plan() -> None:
    assert facts(7) == facts(7)
    assert facts(7) != facts(8)


def test_late_batch_counts_in_the_window_that_follows() -> None:
    plan = make_plan(NOW, 1)
    first, second = plan.windows
    (late,) = plan.of(first, late=True)
    assert late not in plan.of(first)
    assert late in plan.counted(late.topic, second)
    assert late not in plan.counted(late.topic, first)


def test_truth() -> None:
    """Bit by bit, in the words of the plan's description."""
    plan = make_plan(NOW, 1)
    unusable = {Fault.BAD_SIGNATURE, Fault.ONE_SIDED, Fault.OTHER_EPSILON}
    for topic, window in plan.expected():
        counts: Counter[int] = Counter()
        clients = 0
        for batch in plan.batches:
            counts_here = batch.name.time + PERIOD * (batch.fault is Fault.LATE) in window
            if batch.topic != topic or batch.fault in unusable or not counts_here:
                continue
            for row, is_faulty in zip(batch.rows.tolist(), batch.faulty.tolist(), strict=True):
                if not is_faulty:
                    clients += 1
                    counts.update(place for place, bit in enumerate(row) if bit)
        assert plan.clients(topic, window) == clients
        assert plan.true_counts(topic, window).tolist() == [counts[place] for place in range(topic.bins)]


@pytest.mark.parametrize("clients", [1, 5, 8, 500])
def test_own_rows_are_all_counted(clients: int) -> None:
    own = rows(clients, 3)
    plan = make_plan(NOW, 1, own)
    topic = plan.topics[0]
    batches = [batch for batch in plan.batches if batch.topic == topic]
    assert (topic.name, topic.bins) == ("own-data", 3)
    assert np.array_equal(np.concatenate([batch.rows for batch in batches]), own)
    assert all(len(batch.rows) and batch.is_counted and not batch.faulty.any() for batch in batches)
    counted = sum(plan.true_counts(*place) for place in plan.expected() if place[0] == topic)
    assert np.array_equal(counted, own.sum(axis=0))
    assert {batch.fault for batch in plan.batches} == set(Fault)
