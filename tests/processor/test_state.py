"""The state storage belongs to one processor, and begins where nothing can have been summed before."""

from dataclasses import replace
from datetime import timedelta

import pytest

from prio_assets.errors import StateError
from prio_assets.processor.processor import (
    STATE_VERSION,
    default_not_before,
    initialise_state,
    not_before,
    read_state,
)
from prio_assets.wire import names
from prio_assets.wire.records import State, encode
from prio_assets.wire.windows import Window
from tests.processor.agreement.material import AGGREGATION, GRACE, INSTANCE, START, WINDOWS
from tests.processor.agreement.world import Rules, World, processor_settings

MARGIN = timedelta(minutes=5)


@pytest.fixture
def world() -> World:
    return World(Rules(), now=WINDOWS[2].end)


def put_list(world: World, index: int, window: Window, writer: int) -> None:
    name = names.batch_list(AGGREGATION, window, writer)
    world.stores[index]["peer_validations"].objects[name] = b"whatever it says"


def test_an_empty_bucket_means_the_first_window(world: World) -> None:
    assert default_not_before(world.processors[0]) == START


@pytest.mark.parametrize("index", [0, 1])
def test_the_newest_list_of_the_peer_counts_whatever_is_in_it(world: World, index: int) -> None:
    for window in WINDOWS[:2]:
        put_list(world, index, window, writer=1 - index)
    assert default_not_before(world.processors[index]) == WINDOWS[1].end


def test_lists_of_windows_that_have_not_ended_or_of_nobody_count_nothing(world: World) -> None:
    put_list(world, 0, WINDOWS[3], writer=1)
    put_list(world, 0, WINDOWS[2], writer=0)
    assert default_not_before(world.processors[0]) == START


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (START - timedelta(days=1), START),
        (WINDOWS[0].end + GRACE - MARGIN - timedelta(seconds=1), START),
        (WINDOWS[0].end + GRACE - MARGIN, WINDOWS[0].end),
        (WINDOWS[1].end + GRACE - MARGIN, WINDOWS[1].end),
    ],
)
def test_without_lists_no_window_whose_stop_is_past(world: World, now, expected) -> None:
    world.now = now
    settings = processor_settings(Rules(late_hours=(0, 0)), 0, peer_has_lists=False)
    assert default_not_before(replace(world.processors[0], settings=settings)) == expected


def test_a_state_is_made_once(world: World) -> None:
    processor = world.processors[0]
    assert not initialise_state(processor, WINDOWS[3].start)
    assert not_before(processor) == START


def test_without_state_the_remedy_is_named(world: World) -> None:
    world.stores[0]["state"].objects.clear()
    with pytest.raises(StateError, match="state init"):
        read_state(world.processors[0])


def test_a_state_of_another_processor_is_refused(world: World) -> None:
    world.stores[0]["state"].objects[names.STATE] = world.stores[1]["state"].objects[names.STATE]
    with pytest.raises(StateError, match="server 1"):
        read_state(world.processors[0])


NO_DATE = encode(State(STATE_VERSION, INSTANCE, 0, not_before=2**62))


@pytest.mark.parametrize("data", [b"damaged", NO_DATE])
def test_a_damaged_state_is_refused_until_it_is_removed_and_made_anew(world: World, data: bytes) -> None:
    processor, state = world.processors[0], world.stores[0]["state"].objects
    state[names.STATE] = data
    with pytest.raises(StateError, match=r"damaged .*: remove .*/state, and nothing else there, then run `prio-assets"):
        not_before(processor)
    del state[names.STATE]
    assert initialise_state(processor, default_not_before(processor))
    assert not_before(processor) == START
