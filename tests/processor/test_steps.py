"""Steps are create-only, copies are of what is stored, and a taken ledger number ends the run."""

from datetime import UTC, datetime

import pytest

from prio_assets.errors import ObjectConflictError, ObjectMissingError
from prio_assets.processor.steps import (
    PEER_BUCKET,
    STATE,
    Acknowledge,
    Copy,
    CopyParts,
    Create,
    WritePieces,
    take,
    take_all,
)
from prio_assets.wire.names import Objects
from prio_assets.wire.packets import digest
from prio_assets.wire.records import Sent, decode
from prio_assets.wire.windows import to_ms
from tests.faults.material import SOUND, sealed_batch
from tests.faults.memory_store import MemoryStore

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {name: MemoryStore(name) for name in (STATE, PEER_BUCKET)}


def test_the_first_version_stays(stores: dict[str, MemoryStore]) -> None:
    assert take_all([Create(STATE, "list", b"first"), Create(STATE, "list", b"second")], stores)
    assert stores[STATE].objects == {"list": b"first"}


def test_pieces_become_one_object_and_one_that_is_there_stays(stores: dict[str, MemoryStore]) -> None:
    for pieces in ([b"the ", b"first"], [b"second"]):
        assert take(WritePieces(STATE, "packets", pieces), stores)
    assert stores[STATE].objects == {"packets": b"the first"}


def test_the_stored_version_is_copied(stores: dict[str, MemoryStore]) -> None:
    stores[STATE].create("list", b"first")
    take_all([Create(STATE, "list", b"second"), Copy(STATE, "list", PEER_BUCKET, "there")], stores)
    assert stores[PEER_BUCKET].objects == {"there": b"first"}


def test_a_stored_batch_is_copied_as_three_objects_the_signature_last(stores: dict[str, MemoryStore]) -> None:
    sealed = sealed_batch(SOUND, 0)
    stores[STATE].create("stored", sealed.single_object())
    step = CopyParts(STATE, "stored", PEER_BUCKET, Objects("header", "packets", "signature"))
    assert take(step, stores)
    header, packets, signature = sealed.three_objects()
    copied = stores[PEER_BUCKET].objects
    assert copied == {"header": header, "packets": packets, "signature": signature}
    assert list(copied)[-1] == "signature"


def test_a_copy_that_is_there_already_is_success(stores: dict[str, MemoryStore]) -> None:
    stores[STATE].create("list", b"first")
    stores[PEER_BUCKET].create("list", b"first")
    assert take(Copy(STATE, "list", PEER_BUCKET, "list"), stores)


def test_other_bytes_at_the_target_are_a_conflict_and_no_receipt_follows(stores: dict[str, MemoryStore]) -> None:
    stores[STATE].create("list", b"first")
    stores[PEER_BUCKET].create("list", b"other")
    steps = [Copy(STATE, "list", PEER_BUCKET, "list"), Acknowledge("list", "sent/list", NOW)]
    with pytest.raises(ObjectConflictError, match="list"):
        take_all(steps, stores)
    assert stores[PEER_BUCKET].objects == {"list": b"other"}
    assert "sent/list" not in stores[STATE].objects


def test_a_number_that_is_taken_ends_the_run(stores: dict[str, MemoryStore]) -> None:
    stores[STATE].create("ledger/1", b"another's")
    steps = [Create(STATE, "ledger/1", b"ours", stop_if_taken=True), Create(STATE, "list", b"ours")]
    assert not take_all(steps, stores)
    assert stores[STATE].objects == {"ledger/1": b"another's"}


def test_a_receipt_is_of_what_is_stored(stores: dict[str, MemoryStore]) -> None:
    stores[STATE].create("list", b"first")
    take(Acknowledge("list", "sent/list", NOW), stores)
    receipt = decode(Sent, stores[STATE].objects["sent/list"], "sent/list")
    assert receipt == Sent(digest(b"first"), to_ms(NOW))


def test_what_is_not_stored_is_neither_copied_nor_acknowledged(stores: dict[str, MemoryStore]) -> None:
    for step in (Copy(STATE, "list", PEER_BUCKET, "list"), Acknowledge("list", "sent/list", NOW)):
        with pytest.raises(ObjectMissingError):
            take(step, stores)
