"""What pending says can be done is all that can be done, and doing it makes it not pending any more."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.configuration import AggregationConfiguration
from prio_assets.processor.pending import Pending, PendingStep, Quiet, pending_steps
from prio_assets.processor.survey import Survey, range_to_look_at, survey
from prio_assets.settings import public_text
from prio_assets.wire import names
from prio_assets.wire.keys import parse_verification_key
from prio_assets.wire.records import Rejection
from prio_assets.wire.windows import Window
from tests.processor.agreement.checks import Witness
from tests.processor.agreement.material import (
    AGGREGATION,
    BATCHES,
    BINS,
    FIRST,
    GRACE,
    INSTANCE,
    LATER,
    MIXED,
    PERIOD,
    PROCESSOR_KEYS,
    START,
    STRANGER_KEY,
    WINDOWS,
)
from tests.processor.agreement.world import Rules, World, processor_settings

LONG_AGO = Quiet("", START - timedelta(days=1))
KINDS = {PendingStep.VALIDATE: "validate", PendingStep.SEND: "validate", PendingStep.SUM: "sum"}
ROUNDS = 30


def surveyed(world: World, index: int) -> Survey:
    processor = world.processors[index]
    return survey(processor, AGGREGATION, *range_to_look_at(processor.settings, world.now))


def pending_of(world: World, index: int, quiet: Quiet = LONG_AGO) -> list[Pending]:
    settings = world.processors[index].settings
    return list(pending_steps(surveyed(world, index), settings, world.now, dict.fromkeys(WINDOWS, quiet)))


def doable(world: World) -> Iterator[tuple[int, Pending]]:
    for index in (0, 1):
        yield from ((index, pending) for pending in pending_of(world, index) if not pending.waits_for)


def work(world: World) -> set[tuple[int, Pending]]:
    """Do what is pending until nothing new is; what was asked for, each once."""
    asked: set[tuple[int, Pending]] = set()
    for _ in range(ROUNDS):
        fresh = [wish for wish in doable(world) if wish not in asked]
        if not fresh:
            return asked
        for index, pending in fresh:
            asked.add((index, pending))
            world.do(index, world.work(index, KINDS.get(pending.step, "list"), pending.window))
    raise AssertionError(f"still busy after {ROUNDS} rounds")


def content(world: World) -> list[dict[str, bytes]]:
    return [dict(store.objects) for side in world.stores for store in side.values()]


sides = st.sampled_from([(0, 1), (0, 1), (0,), (1,), ()])


@settings(max_examples=30, derandomize=True, deadline=None, database=None)
@given(
    minimum=st.sampled_from([(1, 1), (3, 1), (1, 3)]),
    late=st.sampled_from([(6, 6), (0, 0), (6, 0)]),
    first=st.tuples(*[sides] * len(BATCHES)),
    then=st.tuples(*[sides] * len(BATCHES)),
    hours=st.integers(1, 4),
)
def test_sensors_do_all_that_can_be_done(minimum, late, first, then, hours) -> None:
    world = World(Rules(late, minimum))
    witness = Witness(world)
    world.watch = witness.observe
    for arrivals in (first, then):
        for batch, indices in zip(BATCHES, arrivals, strict=True):
            for index in indices:
                world.arrive(batch, index)
        world.now += timedelta(hours=hours) + GRACE
        asked = work(world)
        # What is left is what was done in vain, such as a proposal below the minimum: nothing has come of it.
        left = set(doable(world))
        assert left <= asked
        assert {pending.step for _, pending in left} <= {PendingStep.PROPOSE}
        before = content(world)
        world.round()
        assert content(world) == before, "something could be done that was not pending"
    witness.check_at_rest()


def full_world(now=WINDOWS[2].end + GRACE) -> World:
    world = World(Rules(late_hours=(6, 6)), now=now)
    for batch in BATCHES:
        for index in (0, 1):
            world.arrive(batch, index)
    return world


def test_without_state_only_validations_are_pending() -> None:
    world = full_world()
    world.stores[0]["state"].objects.clear()
    assert {pending.step for pending in pending_of(world, 0)} == {PendingStep.VALIDATE}
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))
    assert pending_of(world, 0) == []


def validate(world: World) -> None:
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))


def test_the_second_processor_decides_the_oldest_window_first() -> None:
    world = full_world()
    validate(world)
    for window in WINDOWS[:3]:
        world.do(0, world.work(0, "list", window))
    decisions = [pending for pending in pending_of(world, 1) if pending.step == PendingStep.DECIDE]
    assert [pending.window for pending in decisions] == [*WINDOWS[:3]]
    # One that fails must not hold up the others: they stand in a queue, which passes over what failed.
    assert [pending.waits_for for pending in decisions] == [""] * 3


def with_settings(world: World, index: int, **changes: object) -> None:
    """An operator changes the configuration of a processor."""
    processors = list(world.processors)
    settings = processors[index].settings.model_copy(update=changes)
    processors[index] = replace(processors[index], settings=settings)
    world.processors = tuple(processors)


def test_an_answer_whose_late_batches_are_not_looked_at_any_more_is_accepted() -> None:
    world = full_world()
    window = WINDOWS[2]
    for index in (0, 1):
        settings = world.processors[index].settings
        with_settings(world, index, intake_max_age=settings.late_limit + settings.period + settings.grace)
    validate(world)
    world.do(0, world.work(0, "list", window))
    world.do(1, world.work(1, "list", window))
    world.now = FIRST.name.time + world.processors[0].settings.intake_max_age + PERIOD
    (pending,) = [pending for pending in pending_of(world, 0) if pending.window == window]
    assert FIRST.name in pending.batches
    assert FIRST.name.time < surveyed(world, 0).begin
    assert (pending.step, pending.waits_for) == (PendingStep.SUM, "")
    world.do(0, world.work(0, "sum", window))
    assert not world.errors
    assert names.sum_part_objects(INSTANCE, AGGREGATION, window, 0).signature in world.stores[0]["sum_parts"].objects


def test_an_answer_waits_for_what_is_not_there_of_what_is_looked_at() -> None:
    world = full_world()
    validate(world)
    world.do(0, world.work(0, "list"))
    world.do(1, world.work(1, "list"))
    del world.stores[0]["peer_validations"].objects[names.validity_objects(FIRST.name, 1).signature]
    (pending,) = [pending for pending in pending_of(world, 0) if pending.window == WINDOWS[0]]
    assert pending.waits_for == "1 validations that the answer names"


def test_nothing_before_the_first_window_is_touched() -> None:
    world = full_world()
    for index in (0, 1):
        with_settings(world, index, first_window=WINDOWS[1].start)
    before = {batch.name for batch in BATCHES if batch.name.time < WINDOWS[1].start}
    assert before
    for pending in pending_of(world, 0):
        assert before.isdisjoint(pending.batches)
    asked = work(world)  # validating is of all that is there, as a peer that began earlier would
    assert {pending.window for _, pending in asked} == {*WINDOWS[1:3]}
    assert all(before.isdisjoint(pending.batches) for _, pending in asked)
    found, later = surveyed(world, 0), {batch.name for batch in BATCHES} - before
    assert found.ingested.keys() == found.validated == found.sent == found.peer.keys() == later


def test_a_proposal_waits_for_the_grace_and_then_for_validations_or_patience() -> None:
    world = full_world(now=WINDOWS[0].end)
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))
    assert pending_of(world, 0)[0].waits_for
    world.now += GRACE
    assert not pending_of(world, 0, Quiet("", world.now))[0].waits_for
    name = names.validity_objects(FIRST.name, 1).signature
    del world.stores[0]["peer_validations"].objects[name]
    assert pending_of(world, 0, Quiet("", world.now))[0].waits_for
    patience = world.processors[0].settings.patience
    assert not pending_of(world, 0, Quiet("", world.now - patience))[0].waits_for


Wants = dict[tuple[PendingStep, Window], str]


def wants(found: Survey, world: World, index: int = 0) -> Wants:
    """What is wanted of each window."""
    quiet = dict.fromkeys(WINDOWS, LONG_AGO)
    steps = pending_steps(found, world.processors[index].settings, world.now, quiet)
    return {(pending.step, pending.window): pending.want for pending in steps}


def test_a_proposal_is_another_wish_when_what_is_ready_changes() -> None:
    world = full_world()
    validate(world)
    found = surveyed(world, 0)
    all_ready = wants(found, world)
    fewer = wants(replace(found, sent=found.sent - {MIXED.name}), world)
    assert fewer[PendingStep.PROPOSE, WINDOWS[0]] == all_ready[PendingStep.PROPOSE, WINDOWS[0]]
    assert fewer[PendingStep.PROPOSE, WINDOWS[1]] != all_ready[PendingStep.PROPOSE, WINDOWS[1]]
    replaced = wants(replace(found, peer=found.peer | {LATER.name: 1}), world)
    assert replaced[PendingStep.PROPOSE, WINDOWS[2]] != all_ready[PendingStep.PROPOSE, WINDOWS[2]]


@pytest.mark.parametrize(
    "changes",
    [
        {"minimum_clients": 2},
        {"peer_keys": {"of tomorrow": PROCESSOR_KEYS[1].public}},
        {"peer_keys": {PROCESSOR_KEYS[1].identifier: STRANGER_KEY.public}},
        {"aggregations": {AGGREGATION: AggregationConfiguration(bins=BINS, epsilon=0.5)}},
    ],
)
def test_whatever_was_in_vain_is_another_wish_when_settings_change(changes: dict[str, object]) -> None:
    world = full_world()
    validate(world)
    for window in WINDOWS[:2]:
        world.do(0, world.work(0, "list", window))
    world.do(1, world.work(1, "list"))
    world.stores[0]["own_validations"].objects.clear()
    for index, steps in ((0, {PendingStep.VALIDATE, PendingStep.SUM}), (1, {PendingStep.DECIDE, PendingStep.SUM})):
        found = surveyed(world, index)
        before = wants(found, world, index)
        with_settings(world, index, **changes)
        after = wants(found, world, index)
        assert steps <= {step for step, _ in after}
        assert all(before[key] != want for key, want in after.items())


def test_the_same_settings_written_otherwise_are_the_same_wish() -> None:
    world = full_world()
    validate(world)
    found = surveyed(world, 0)
    before = wants(found, world)
    key = parse_verification_key(base64.b64encode(bytes.fromhex(public_text(PROCESSOR_KEYS[1].public))).decode())
    with_settings(world, 0, peer_keys={PROCESSOR_KEYS[1].identifier: key})
    assert wants(found, world) == before


def test_validating_is_another_wish_when_a_batch_comes() -> None:
    world = full_world()
    found = surveyed(world, 0)
    fewer = replace(found, ingested={batch: size for batch, size in found.ingested.items() if batch != FIRST.name})
    key = PendingStep.VALIDATE, WINDOWS[0]
    assert wants(fewer, world)[key] != wants(found, world)[key]


def test_a_validation_is_another_wish_when_an_operator_clears_it_again() -> None:
    world = full_world()
    found = surveyed(world, 0)
    record = Rejection(FIRST.name.uuid, "left_out", "", None, by="operator", at=1, cleared=True)
    once, twice = (
        wants(replace(found, cleared={FIRST.name: replace(record, at=at)}), world)[PendingStep.VALIDATE, WINDOWS[0]]
        for at in (1, 2)
    )
    assert len({wants(found, world)[PendingStep.VALIDATE, WINDOWS[0]], once, twice}) == 3


def test_toward_a_peer_without_lists_sending_is_another_wish_when_its_validation_changes() -> None:
    world = full_world(now=WINDOWS[0].end)
    settings = processor_settings(replace(world.rules, late_hours=(0, 0)), 0, peer_has_lists=False)
    found = replace(surveyed(world, 0), validated=frozenset([FIRST.name]))

    def want(size: int) -> str:
        steps = pending_steps(replace(found, peer={FIRST.name: size}), settings, world.now, {})
        (pending,) = [pending for pending in steps if pending.step == PendingStep.SEND]
        assert not pending.waits_for
        return pending.want

    assert want(1) != want(2)
