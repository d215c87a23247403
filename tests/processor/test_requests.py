"""What a batch costs in requests to each storage: what one batch more adds. In a cloud each takes time and money."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

from prio_assets.configuration import ProcessorStores
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.storage.base import Store
from tests.processor.agreement.material import AGGREGATION, FIRST, SMALL, WINDOWS, Batch
from tests.processor.agreement.world import Rules, World

WINDOW = WINDOWS[0]

VALIDATE = {
    "list own_validations": 1,
    "read own_validations": 3,
    "read ingestion": 3,
    "create own_validations": 3,
    "create peer_bucket": 1,
}
LIST = {"read own_validations": 2, "read peer_validations": 1}
SUM = {"read own_validations": 2, "read peer_validations": 1, "read ingestion": 2}
PER_BATCH = {
    "validate 0": VALIDATE,
    "validate 1": VALIDATE,
    "list 0": LIST,
    "list 1": LIST,
    "sum 0": SUM,
    "sum 1": SUM,
}
"""A sum reads the packets, too, of batches with some that do not count, which these have not."""


class CountingStore:
    """A store that counts what is asked of it."""

    def __init__(self, store: Store, name: str, counts: Counter[str]) -> None:
        self.store = store
        self.name = name
        self.counts = counts

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        self._count("list")
        return self.store.list(prefix, start, end)

    def folders(self, prefix: str) -> Iterator[str]:
        self._count("list")
        return self.store.folders(prefix)

    def open_read(self, name: str) -> BinaryIO:
        self._count("read")
        return self.store.open_read(name)

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        self._count("write")
        return self.store.write(name)

    def create(self, name: str, data: bytes) -> bool:
        self._count("create")
        return self.store.create(name, data)

    def delete(self, name: str) -> None:
        self._count("delete")
        self.store.delete(name)

    def _count(self, operation: str) -> None:
        self.counts[f"{operation} {self.name}"] += 1


def counted(processor: ShareProcessor) -> tuple[ShareProcessor, Counter[str]]:
    """The processor with storages that count."""
    counts: Counter[str] = Counter()
    stores = {name: CountingStore(store, name, counts) for name, store in processor.stores._asdict().items()}
    return replace(processor, stores=ProcessorStores(**stores)), counts


def world_of(batches: tuple[Batch, ...]) -> World:
    world = World(Rules(), now=WINDOW.end)
    for index in (0, 1):
        for batch in batches:
            world.arrive(batch, index)
    return world


def costs(batches: tuple[Batch, ...]) -> dict[str, Counter[str]]:
    """What each step of the window costs the first and the second processor."""
    world = world_of(batches)
    steps: dict[str, Callable[[ShareProcessor], object]] = {
        "validate": lambda processor: list(validate_batches(processor, [batch.name for batch in batches])),
        "list": lambda processor: make_own_list(processor, AGGREGATION, WINDOW, None),
        "sum": lambda processor: sum_window(processor, AGGREGATION, WINDOW, Override()),
    }
    found = {}
    for step, take in steps.items():
        for index in (0, 1):
            processor, found[f"{step} {index}"] = counted(world.processors[index])
            take(processor)
    assert not world.errors
    return found


def test_a_batch_more_costs_so_many_requests() -> None:
    one, two = costs((FIRST,)), costs((FIRST, SMALL))
    assert {step: dict(two[step] - one[step]) for step in two} == PER_BATCH
