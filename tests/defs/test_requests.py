"""Which runs are requested, decided without Dagster."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from prio_assets.defs.processor.wishes import wishes_of
from prio_assets.defs.requests import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    NO_ATTEMPTS,
    Attempts,
    Request,
    Wish,
    merged,
    pause_after,
    requests,
)
from prio_assets.processor.pending import Pending, PendingStep
from tests.processor.agreement.material import WINDOWS
from tests.processor.agreement.world import Rules, processor_settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WISH = Wish("pha/own_validations", "kittens|2026-01-01-08:00", "want")


def decided(
    *wishes: Wish,
    running: Callable[[Wish], bool] = lambda _: False,
    attempts: Callable[[Wish], Attempts] = lambda _: NO_ATTEMPTS,
    now: datetime = NOW,
) -> list[Request]:
    return list(requests(wishes, running, attempts, now))


def test_what_was_never_tried_is_requested() -> None:
    assert decided(WISH) == [Request(WISH, 1)]


def test_nothing_is_requested_while_a_run_is_active() -> None:
    assert decided(WISH, running=lambda wish: wish == WISH) == []


def test_the_history_of_a_running_wish_is_not_looked_up() -> None:
    def attempts(_: Wish) -> Attempts:
        raise AssertionError

    assert decided(WISH, running=lambda _: True, attempts=attempts) == []


def test_what_ended_well_is_never_requested_again() -> None:
    done = Attempts(1, NOW - timedelta(days=300), succeeded=True)
    assert decided(WISH, attempts=lambda _: done) == []


def test_a_failure_is_tried_again_after_a_pause_with_the_next_number() -> None:
    failed = Attempts(3, NOW - pause_after(3), succeeded=False)
    assert decided(WISH, attempts=lambda _: failed) == [Request(WISH, 4)]
    assert decided(WISH, attempts=lambda _: failed, now=NOW - timedelta(seconds=1)) == []


def test_a_run_whose_end_is_not_known_is_waited_for() -> None:
    assert decided(WISH, attempts=lambda _: Attempts(1, None, succeeded=False)) == []


def test_pauses_double_up_to_the_longest_and_never_end() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, 12)]
    assert pauses[0] == FIRST_PAUSE
    assert all(later in (2 * earlier, LONGEST_PAUSE) for earlier, later in pairwise(pauses))
    assert pause_after(10_000) == LONGEST_PAUSE


def test_run_keys_differ_by_want_and_by_attempt() -> None:
    other = Wish(WISH.asset, WISH.partition, "another want")
    keys = {Request(WISH, 1).run_key, Request(WISH, 2).run_key, Request(other, 1).run_key}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("new", ["oldest"]),
        ("running", []),
        ("done", ["next"]),
        ("paused", ["next"]),
    ],
)
def test_of_a_queue_the_oldest_that_can_be_had_is_requested(first: str, expected: list[str]) -> None:
    oldest, following = (Wish("pha/batch_lists", name, name, queue="kittens") for name in ("oldest", "next"))
    attempts = {
        "new": NO_ATTEMPTS,
        "running": NO_ATTEMPTS,
        "done": Attempts(1, NOW, succeeded=True),
        "paused": Attempts(1, NOW, succeeded=False),
    }[first]
    found = decided(
        oldest,
        following,
        running=lambda wish: first == "running" and wish == oldest,
        attempts=lambda wish: attempts if wish == oldest else NO_ATTEMPTS,
    )
    assert [request.wish.partition for request in found] == expected


def test_queues_do_not_hold_each_other_up() -> None:
    wishes = [Wish("pha/batch_lists", name, name, queue=name) for name in ("kittens", "votes")]
    assert len(decided(*wishes)) == 2


@pytest.mark.parametrize("step", list(PendingStep))
def test_lists_of_an_aggregation_stand_in_a_queue(step: PendingStep) -> None:
    pending = [Pending("kittens", window, step, waits_for="", batches=(), want="want") for window in WINDOWS[:2]]
    wishes = wishes_of(pending, processor_settings(Rules(), 0))
    is_list = step in (PendingStep.PROPOSE, PendingStep.DECIDE)
    assert [wish.queue for wish in wishes] == ["kittens" if is_list else None] * 2


def test_all_that_is_wanted_of_a_partition_is_one_wish() -> None:
    send = Wish(WISH.asset, WISH.partition, "send")
    elsewhere = Wish(WISH.asset, "votes|2026-01-01-08:00", "want")
    together = merged([WISH, elsewhere, send])
    assert [wish.partition for wish in together] == [WISH.partition, elsewhere.partition]
    assert together == merged([send, elsewhere, WISH])
    assert together[0].digest not in (WISH.digest, send.digest)
