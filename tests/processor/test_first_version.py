"""Two runs take in one batch, and the other one stores its validation first: that one is sent, whatever ours is."""

from dataclasses import replace

import pytest

from prio_assets.processor.ingestion import Opener
from prio_assets.processor.one_shot_intake import IntakePlace, intake_once
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.storage.base import read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import read_validation
from prio_assets.wire.records import IngestionHeader, Receipt, decode
from tests.faults.memory_store import MemoryStore
from tests.processor.agreement.material import (
    ENGINE,
    FIRST,
    INGESTOR_KEY,
    PACKET_KEYS,
    PROCESSOR_KEYS,
    WINDOWS,
    variants,
)
from tests.processor.agreement.world import Rules, World

BATCH = FIRST.name
OTHER = variants(FIRST, 0)[2]
"""What another run, of an earlier version say, found out: a packet fewer."""


class SlowerStore(MemoryStore):
    """Of two runs that store a validation, ours comes second."""

    def create(self, name: str, data: bytes) -> bool:
        if name == names.own_validation(BATCH):
            super().create(name, OTHER.sealed.single_object())
        return super().create(name, data)


@pytest.fixture
def world() -> World:
    world = World(Rules(), now=WINDOWS[0].end)
    world.arrive(FIRST, 0)
    return world


def check_sent(own: OwnStore, ingestion: MemoryStore, peer_bucket: MemoryStore) -> None:
    keys = {PROCESSOR_KEYS[0].identifier: PROCESSOR_KEYS[0].public}
    sent = read_validation(lambda name: read_bytes(peer_bucket, name), BATCH, 0, keys)
    assert sent.sealed == OTHER.sealed
    name = names.receipt(BATCH)
    receipt = decode(Receipt, read_bytes(own.store, name), name)
    header = names.ingestion_objects(BATCH).header
    assert receipt.packet_file_digest == decode(IngestionHeader, ingestion.objects[header], header).packet_file_digest
    assert receipt.validity_digest == OTHER.digest


def test_a_run_sends_what_was_stored_first(world: World) -> None:
    own = SlowerStore("own")
    processor = world.processors[0]
    stores = processor.stores._replace(own_validations=own)
    (outcome,) = validate_batches(replace(processor, stores=stores), [BATCH])
    assert outcome.state == BatchState.SENT
    check_sent(OwnStore(own), world.stores[0]["ingestion"], world.stores[1]["peer_validations"])


def test_a_command_sends_what_was_stored_first(world: World) -> None:
    own, ingestion, bucket = SlowerStore("own"), world.stores[0]["ingestion"], MemoryStore("peer")
    opener = Opener(0, {INGESTOR_KEY.identifier: INGESTOR_KEY.public}, PACKET_KEYS[:1], ENGINE)
    place = IntakePlace(ingestion, bucket, OwnStore(own), opener, PROCESSOR_KEYS[0], single_object=True)
    assert intake_once(place, BATCH, "a test", WINDOWS[0].end).accepted == len(OTHER.packets)
    check_sent(OwnStore(own), ingestion, bucket)
