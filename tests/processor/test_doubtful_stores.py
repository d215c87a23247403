"""Stores that break a promise: a listing that is late ends a run, one that creates twice gets no list and no ledger."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from prio_assets.errors import StateError, StorageError
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor, initialise_state
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.storage.base import BucketStore
from prio_assets.wire import names
from tests.faults.memory_store import MemoryStore
from tests.processor.agreement.material import AGGREGATION, BATCHES, START, WINDOWS
from tests.processor.agreement.world import Rules, World, processor_settings

WINDOW = WINDOWS[0]
Decide = Callable[[ShareProcessor], object]


def decide_list(processor: ShareProcessor) -> object:
    return make_own_list(processor, AGGREGATION, WINDOW, None)


def decide_sum(processor: ShareProcessor) -> object:
    return sum_window(processor, AGGREGATION, WINDOW, Override())


def before_the_decision(index: int, with_lists: bool) -> tuple[World, ShareProcessor, Decide]:
    """A processor whose next step is to append the window's ledger entry, and that step."""
    world = World(Rules(late_hours=(2, 2) if with_lists else (0, 0)), now=WINDOW.end)
    for batch in BATCHES:
        for each in (0, 1):
            world.arrive(batch, each)
    for each in (0, 1):
        world.do(each, world.work(each, "validate"))
    if not with_lists:
        settings = processor_settings(world.rules, index, peer_has_lists=False)
        world.now = WINDOW.end + settings.grace
        return world, replace(world.processors[index], settings=settings), decide_sum
    world.do(0, world.work(0, "list"))
    if index == 0:
        world.do(1, world.work(1, "list"))
    return world, world.processors[index], decide_sum if index == 0 else decide_list


WAYS = pytest.mark.parametrize(("index", "with_lists"), [(0, True), (1, True), (0, False)])


def with_stores(processor: ShareProcessor, **stores: Any) -> ShareProcessor:
    return replace(processor, stores=processor.stores._replace(**stores))


@dataclass
class Late:
    """A store whose listings lack what was created last."""

    store: MemoryStore
    lists: int = 0

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        self.lists += 1
        assert self.lists < 100, "it is asked for ever"
        return iter(list(self.store.list(prefix, start, end))[:-1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@WAYS
def test_a_late_listing_of_the_ledger_ends_the_run(index: int, with_lists: bool) -> None:
    """The entry is there and is not listed; a run that is tried again has a pause, the run itself has none."""
    world, processor, decide = before_the_decision(index, with_lists)
    decide(processor)
    state = world.stores[index]["state"]
    if index == 1:  # as a run leaves it that was cut after the entry
        del state.objects[names.batch_list(AGGREGATION, WINDOW, index)]
    before = dict(state.objects)
    assert names.ledger_entry(AGGREGATION, 1) in before
    with pytest.raises(StateError, match=r"the ledger in .*state has an entry that its listing does not show"):
        decide(with_stores(processor, state=Late(state)))
    assert {name for name in state.objects if name.startswith("ledger/")} == {names.ledger_entry(AGGREGATION, 1)}
    assert {name: state.objects[name] for name in before} == before


@dataclass
class Twice:
    """A bucket that takes no notice of the condition of a creation."""

    store: MemoryStore
    bucket: str = "careless"

    def create(self, name: str, data: bytes) -> bool:
        with self.store.write(name) as stream:
            stream.write(data)
        return True

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        return self.store.list(prefix, start, end)

    def folders(self, prefix: str) -> Iterator[str]:
        return self.store.folders(prefix)

    def open_read(self, name: str) -> Any:
        return self.store.open_read(name)

    def write(self, name: str) -> Any:
        return self.store.write(name)

    def delete(self, name: str) -> None:
        self.store.delete(name)


@WAYS
def test_a_state_that_creates_twice_gets_no_entry(index: int, with_lists: bool) -> None:
    world, processor, decide = before_the_decision(index, with_lists)
    careless = Twice(world.stores[index]["state"])
    assert isinstance(careless, BucketStore)
    with pytest.raises(StorageError, match=r"careless creates .*though it is there"):
        decide(with_stores(processor, state=careless))
    assert not list(careless.list("ledger/"))


@pytest.mark.parametrize("index", [0, 1])
def test_a_peer_s_bucket_that_creates_twice_gets_no_list(index: int) -> None:
    world, processor, _ = before_the_decision(1, with_lists=True)
    if index == 0:  # which has proposed already: the next window
        world.now = WINDOWS[1].end
    processor = world.processors[index]
    careless = Twice(world.stores[1 - index]["peer_validations"])
    window = WINDOWS[1] if index == 0 else WINDOW
    name = names.batch_list(AGGREGATION, window, index)
    with pytest.raises(StorageError, match=r"careless creates .*though it is there"):
        make_own_list(with_stores(processor, peer_bucket=careless), AGGREGATION, window, None)
    assert name not in careless.store.objects


@pytest.mark.parametrize("storage", ["state", "peer_bucket"])
def test_no_state_is_made_over_a_bucket_that_creates_twice(storage: str) -> None:
    processor = World(Rules(), now=WINDOW.end).processors[0]
    empty = {name: MemoryStore(name) for name in ("state", "peer_bucket")}
    careless = Twice(empty[storage])
    with pytest.raises(StorageError, match=r"careless creates .*though it is there"):
        initialise_state(with_stores(processor, **empty | {storage: careless}), START)
    assert names.STATE not in empty["state"].objects
