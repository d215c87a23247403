"""What brought the reference down: each fault in one of two batches, and the window lives on, at both processors alike.

The reference survived one of the twelve. `tests/interop/README.md` has its results.
"""

import dataclasses
import io
from collections.abc import Callable
from uuid import UUID

import fastavro
import pytest

from prio_assets.errors import BatchReason, PacketReason
from prio_assets.ingestor.batches import sample_parameters
from prio_assets.prio.encryption import encrypt
from prio_assets.wire.batches import SealedBatch, seal
from prio_assets.wire.names import ingestion_objects
from prio_assets.wire.packets import digest
from prio_assets.wire.records import IngestionHeader, decode
from tests.faults.crafting import batch_of, packets_of, with_faulty, with_header
from tests.faults.deployment import Deployment, check_sum, rejection_reason, rejections_of, work
from tests.faults.material import FAULTY, INGESTOR_KEY, POINTS, SOUND, STRANGER_KEY, sealed_batch
from tests.faults.signing import replace_ingestion_header

PACKET = UUID(packets_of(0)[0].uuid)


def _first(index: int, **fields: object) -> SealedBatch:
    packets = packets_of(index)
    packets[0] = dataclasses.replace(packets[0], **fields)
    return batch_of(packets)


def _signed_by_stranger() -> SealedBatch:
    """Under the ingestor's key identifier."""
    sealed = sealed_batch(FAULTY, 0)
    signature = dataclasses.replace(sealed.signature, batch_header_signature=STRANGER_KEY.sign(sealed.header))
    return dataclasses.replace(sealed, signature=signature)


def _truncated() -> SealedBatch:
    sealed = sealed_batch(FAULTY, 0)
    packets = sealed.packets[: len(sealed.packets) // 2]
    header = decode(IngestionHeader, sealed.header, "header")
    return seal(dataclasses.replace(header, packet_file_digest=digest(packets)), packets, INGESTOR_KEY)


PACKET_FAULTS: dict[str, tuple[int, Callable[[], SealedBatch], PacketReason]] = {
    "undecryptable packet": (
        0,
        lambda: _first(0, encrypted_payload=encrypt(POINTS.facilitator, bytes(60))),
        PacketReason.UNDECRYPTABLE,
    ),
    "plaintext of 31 bytes": (
        1,
        lambda: _first(1, encrypted_payload=encrypt(POINTS.facilitator, bytes(31))),
        PacketReason.SHARE_LENGTH_DIFFERS,
    ),
    "one packet twice": (
        0,
        lambda: batch_of([*packets_of(0), packets_of(0)[0]]),
        PacketReason.UUID_DUPLICATED,
    ),
    "r_pit = -1": (0, lambda: _first(0, r_pit=-1), PacketReason.R_PIT_OUT_OF_RANGE),
}
BATCH_FAULTS: dict[str, tuple[Callable[[], SealedBatch], BatchReason]] = {
    "no packets": (lambda: batch_of([]), BatchReason.NO_PACKETS),
    "signature by a stranger": (_signed_by_stranger, BatchReason.SIGNATURE_INVALID),
    "unknown key id": (lambda: with_header(sealed_batch(FAULTY, 0), STRANGER_KEY), BatchReason.UNKNOWN_KEY),
    "wrong packet file digest": (
        lambda: with_header(sealed_batch(FAULTY, 0), packet_file_digest=bytes(32)),
        BatchReason.DIGEST_DIFFERS,
    ),
    "bins differ from the shares": (
        lambda: with_header(sealed_batch(FAULTY, 0), bins=9),
        BatchReason.PARAMETERS_DIFFER,
    ),
    "truncated packet file, digest right": (_truncated, BatchReason.PACKETS_MALFORMED),
}


@pytest.mark.parametrize("fault", PACKET_FAULTS)
def test_a_fault_of_a_packet(fault: str) -> None:
    index, make, reason = PACKET_FAULTS[fault]
    deployment = with_faulty({index: make()})
    work(deployment)
    assert deployment.outcomes[index][FAULTY].rejected[reason] > 0
    check_sum(deployment, without={PACKET})


@pytest.mark.parametrize("fault", BATCH_FAULTS)
def test_a_fault_of_a_batch(fault: str) -> None:
    make, reason = BATCH_FAULTS[fault]
    deployment = with_faulty({0: make()})
    work(deployment)
    assert rejection_reason(deployment, 0) == reason
    check_sum(deployment, batches=[SOUND])


def test_another_epsilon_on_both_sides() -> None:
    other = sample_parameters(4, 2.0)
    deployment = with_faulty({index: batch_of(packets_of(index), parameters=other) for index in (0, 1)})
    work(deployment)
    for index in (0, 1):
        assert rejection_reason(deployment, index) == BatchReason.PARAMETERS_DIFFER
    check_sum(deployment, batches=[SOUND])


def test_a_packet_object_that_is_missing() -> None:
    deployment = with_faulty({})
    del deployment.store(0, "ingestion").objects[ingestion_objects(FAULTY).packets]
    work(deployment)
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("fault", BATCH_FAULTS)
def test_a_rejection_is_recorded_once_with_the_packet_file_that_a_verified_header_names(fault: str) -> None:
    make_sealed, reason = BATCH_FAULTS[fault]
    sealed = make_sealed()
    deployment = with_faulty({0: sealed})
    _work_twice(deployment)
    (record,) = rejections_of(deployment.processors[0].own)
    is_verified = reason not in {BatchReason.SIGNATURE_INVALID, BatchReason.UNKNOWN_KEY}
    stated = decode(IngestionHeader, sealed.header, "header").packet_file_digest
    assert record.packet_file_digest == (stated if is_verified else None)


def test_a_digest_of_any_length_is_a_rejection() -> None:
    """As long as a header may be, and longer than the record of its rejection may."""
    deployment = with_faulty({})
    header = io.BytesIO()
    with io.BytesIO(sealed_batch(FAULTY, 0).header) as sound:
        reader = fastavro.reader(sound)
        records = [record | {"packet_file_digest": bytes(2**20 - 170)} for record in reader]
        fastavro.writer(header, reader.writer_schema, records, codec="deflate")
    replace_ingestion_header(deployment, 0, header.getvalue())
    work(deployment)
    assert rejection_reason(deployment, 0) == BatchReason.DIGEST_DIFFERS
    (record,) = rejections_of(deployment.processors[0].own)
    assert record.packet_file_digest is None
    check_sum(deployment, batches=[SOUND])


def _work_twice(deployment: Deployment) -> None:
    work(deployment)
    deployment.outcomes[0].clear()
    work(deployment)
    assert FAULTY not in deployment.outcomes[0]
