"""What the peer has lost it is given again by a run that is asked for: copies are made of what we keep."""

from dataclasses import replace
from typing import BinaryIO

import pytest

from prio_assets.errors import StorageError
from prio_assets.processor.peer_without_lists import stop_of
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import BatchOutcome, BatchState, validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire import names
from tests.processor.agreement.material import AGGREGATION, BATCHES, FIRST, WINDOWS
from tests.processor.agreement.world import Rules, World, processor_settings

WINDOW = WINDOWS[0]


@pytest.fixture
def world() -> World:
    """Both have validated, the first has proposed and the second answered."""
    world = World(Rules(), now=WINDOW.end)
    for batch in BATCHES:
        for index in (0, 1):
            world.arrive(batch, index)
    for index in (0, 1):
        world.do(index, world.work(index, "validate"))
    for index in (0, 1):
        world.do(index, world.work(index, "list"))
    return world


@pytest.mark.parametrize("index", [0, 1])
def test_validations_and_lists_are_copied_again(world: World, index: int) -> None:
    bucket = world.stores[1 - index]["peer_validations"].objects
    before, receipts = dict(bucket), dict(world.stores[index]["own_validations"].objects)
    assert names.batch_list(AGGREGATION, WINDOW, index) in before
    bucket.clear()
    world.do(index, world.work(index, "validate"))
    world.do(index, world.work(index, "list"))
    assert bucket == before
    assert world.stores[index]["own_validations"].objects == receipts
    assert not world.errors


def test_what_the_peer_has_is_not_touched(world: World) -> None:
    bucket = world.stores[1]["peer_validations"].objects
    signature = names.validity_objects(FIRST.name, 0).signature
    bucket[signature] = b"in another form, as before a setting was changed"
    before = dict(bucket)
    (outcome,) = validate_batches(world.processors[0], [FIRST.name])
    assert outcome.state == BatchState.SENT
    assert bucket == before


def test_an_answer_is_accepted_though_the_peer_s_bucket_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> BinaryIO:
        raise StorageError(f"{name}: access denied")

    monkeypatch.setattr(world.processors[0].stores.peer_bucket, "open_read", refuse)
    assert sum_window(world.processors[0], AGGREGATION, WINDOW, Override()).waiting is None


def toward_a_peer_without_lists(world: World) -> ShareProcessor:
    settings = processor_settings(replace(world.rules, late_hours=(0, 0)), 0, peer_has_lists=False)
    return replace(world.processors[0], settings=settings)


@pytest.mark.parametrize("past_the_stop", [False, True])
def test_a_peer_without_lists_gets_nothing_past_the_stop(world: World, past_the_stop: bool) -> None:
    processor = toward_a_peer_without_lists(world)
    bucket = world.stores[1]["peer_validations"].objects
    signature = names.validity_objects(FIRST.name, 0).signature
    del bucket[signature]
    world.now = stop_of(WINDOW, processor.settings) if past_the_stop else WINDOW.end
    (outcome,) = validate_batches(processor, [FIRST.name])
    assert outcome.state == BatchState.SENT
    assert (signature in bucket) is not past_the_stop


def test_packets_are_counted_though_sending_failed() -> None:
    world = World(Rules(), now=WINDOW.end)
    world.arrive(FIRST, 0)
    bucket = world.stores[1]["peer_validations"].objects
    signature = names.validity_objects(FIRST.name, 0).signature
    bucket[signature] = b"what somebody else wrote"

    def outcome() -> BatchOutcome:
        (found,) = validate_batches(world.processors[0], [FIRST.name])
        return found

    failed = outcome()
    assert failed.state == BatchState.FAILED
    assert signature in failed.why
    assert (failed.received, failed.accepted) == (len(FIRST.clients), len(FIRST.clients))
    del bucket[signature]
    sent = outcome()
    assert sent.state == BatchState.SENT
    assert (sent.received, sent.accepted) == (0, len(FIRST.clients))
