"""What pending says can be done is all that can be done, and doing it makes it not pending any more."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.processor.pending import Pending, PendingStep, Quiet, pending_steps
from prio_assets.processor.survey import Survey, survey
from prio_assets.wire import names
from tests.processor.agreement.checks import Witness
from tests.processor.agreement.material import AGGREGATION, BATCHES, FIRST, GRACE, LATER, MIXED, PERIOD, START, WINDOWS
from tests.processor.agreement.world import Rules, World

LONG_AGO = Quiet("", START - timedelta(days=1))
KINDS = {PendingStep.VALIDATE: "validate", PendingStep.SEND: "validate", PendingStep.SUM: "sum"}
ROUNDS = 30


def surveyed(world: World, index: int) -> Survey:
    return survey(world.processors[index], AGGREGATION, START - PERIOD, world.now)


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


def test_the_second_processor_decides_the_oldest_window_first() -> None:
    world = full_world()
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))
    for window in WINDOWS[:3]:
        world.do(0, world.work(0, "list", window))
    decisions = [pending for pending in pending_of(world, 1) if pending.step == PendingStep.DECIDE]
    assert [pending.window for pending in decisions] == [*WINDOWS[:3]]
    assert [bool(pending.waits_for) for pending in decisions] == [False, True, True]


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


def test_a_proposal_is_another_wish_when_what_is_ready_changes() -> None:
    world = full_world()
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))
    found = surveyed(world, 0)
    settings = world.processors[0].settings
    quiet = dict.fromkeys(WINDOWS, LONG_AGO)

    def wants(found: Survey) -> dict:
        steps = pending_steps(found, settings, world.now, quiet)
        return {pending.window: pending.want for pending in steps if pending.step == PendingStep.PROPOSE}

    fewer = replace(found, sent=found.sent - {MIXED.name})
    assert wants(fewer)[WINDOWS[0]] == wants(found)[WINDOWS[0]]
    assert wants(fewer)[WINDOWS[1]] != wants(found)[WINDOWS[1]]
    replaced = replace(found, peer=found.peer | {LATER.name: 1})
    assert wants(replaced)[WINDOWS[2]] != wants(found)[WINDOWS[2]]
