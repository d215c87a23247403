"""A peer and a portal that let us create objects and do nothing else: every step ends well, at once and again."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from prio_assets.errors import AccessDeniedError
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.storage.base import Store
from prio_assets.wire import names
from tests.processor.agreement.material import AGGREGATION, FIRST, SMALL, WINDOWS
from tests.processor.agreement.world import Rules, World

WINDOW = WINDOWS[0]
BATCHES = (FIRST, SMALL)


@dataclass
class CreateOnly:
    """A store that refuses everything but creation."""

    store: Store

    def create(self, name: str, data: bytes) -> bool:
        return self.store.create(name, data)

    def open_read(self, name: str) -> Any:
        raise AccessDeniedError(f"{name}: access denied")

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        raise AccessDeniedError(f"{prefix}: access denied")

    folders = write = delete = open_read


@pytest.fixture
def world() -> World:
    """Two batches have arrived; of each other's bucket, and the portal's, both may create objects in alone."""
    world = World(Rules(), now=WINDOW.end)
    processors = []
    for processor in world.processors:
        strangers = {name: CreateOnly(getattr(processor.stores, name)) for name in ("peer_bucket", "sum_parts")}
        processors.append(replace(processor, stores=processor.stores._replace(**strangers)))
    world.processors = tuple(processors)
    for batch in BATCHES:
        for index in (0, 1):
            world.arrive(batch, index)
    return world


def go_through_the_window(world: World) -> None:
    for step in ("validate", "list", "sum"):
        for index in (0, 1):
            world.do(index, world.work(index, step))
    assert not world.errors


def everything(world: World) -> list[dict[str, bytes]]:
    return [dict(store.objects) for side in world.stores for store in side.values()]


def test_a_window_is_summed_and_may_be_gone_through_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    go_through_the_window(world)
    for processor in world.processors:
        assert sum_window(processor, AGGREGATION, WINDOW, Override()).header.total_individual_clients == 4
    before = everything(world)
    go_through_the_window(world)
    assert everything(world) == before
    assert not caplog.records  # of what was sent before nothing is told again


@pytest.mark.parametrize("index", [0, 1])
def test_what_the_peer_or_the_portal_has_lost_is_sent_again(world: World, index: int) -> None:
    """We may not look there, but what exists is not created again."""
    go_through_the_window(world)
    before = everything(world)
    world.stores[1 - index]["peer_validations"].objects.clear()
    world.stores[index]["sum_parts"].objects.clear()
    for step in ("validate", "list", "sum"):
        world.do(index, world.work(index, step))
    assert everything(world) == before
    assert not world.errors


def test_what_was_sent_without_its_receipt_is_taken_for_ours(world: World, caplog: pytest.LogCaptureFixture) -> None:
    go_through_the_window(world)
    receipts = world.stores[0]["own_validations"].objects
    before = dict(receipts)
    del receipts[names.receipt(FIRST.name)]
    caplog.set_level(logging.INFO)
    (outcome,) = validate_batches(world.processors[0], [FIRST.name])
    assert outcome.state == BatchState.SENT
    assert receipts == before
    assert [record.levelname for record in caplog.records] == ["INFO"]
