"""All reasons in one window: each fault has its own, and the sum is exact over all the rest."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest

from prio_assets.errors import BatchReason, BatchRejected, PacketReason
from prio_assets.ingestor.batches import draw_labels
from prio_assets.ingestor.client import random_rows
from prio_assets.prio.encryption import encrypt
from prio_assets.prio.field import PRIME
from prio_assets.processor import operator_decisions
from prio_assets.processor.one_shot_aggregation import AggregationPlace, gather
from prio_assets.processor.readiness import read_ready
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import IngestionPacket, digest
from tests.faults.crafting import batch_name, batch_of, packets_of, with_faulty, with_header
from tests.faults.deployment import (
    AFTER_GRACE,
    Deployment,
    check_sum,
    counted_packets,
    make_deployment,
    statistic,
    work,
)
from tests.faults.material import (
    BINS,
    FAULTY,
    INGESTOR_KEY,
    POINTS,
    SOUND,
    STRANGER_KEY,
    WINDOW,
    make_upload,
    sealed_batch,
    upload_of,
)
from tests.ingestor.parties import repeatable

Packets = list[IngestionPacket]
CLIENTS = 30


def _change(**fields: object) -> Callable[[Packets, int], None]:
    def change(packets: Packets, place: int) -> None:
        packets[place] = dataclasses.replace(packets[place], **fields)

    return change


def _repeat_of_sound(packets: Packets, place: int) -> None:
    packets[place] = packets_of(0, SOUND)[0]


def _duplicate(packets: Packets, place: int) -> None:
    packets.append(packets[place])


def _leave_out(packets: Packets, place: int) -> None:
    """Put another packet in its place, which the other processor never got."""
    packets[place] = dataclasses.replace(packets[place], uuid=str(UUID(int=place, version=4)))


# Each at another place of the first processor's file. What it finds at intake, and at the sum:
AT_INTAKE: dict[PacketReason, Callable[[Packets, int], None]] = {
    PacketReason.UUID_MALFORMED: _change(uuid="not-a-uuid"),
    PacketReason.UUID_DUPLICATED: _duplicate,
    PacketReason.R_PIT_OUT_OF_RANGE: _change(r_pit=-1),
    PacketReason.R_PIT_ROOT_OF_UNITY: _change(r_pit=1),
    PacketReason.PAYLOAD_TOO_SHORT: _change(encrypted_payload=b""),
    PacketReason.EPHEMERAL_KEY_INVALID: _change(encrypted_payload=bytes(200)),
    PacketReason.UNDECRYPTABLE: _change(encrypted_payload=encrypt(POINTS.facilitator, bytes(60))),
    PacketReason.SHARE_LENGTH_DIFFERS: _change(encrypted_payload=encrypt(POINTS.pha, bytes(56))),
    PacketReason.SHARE_OUT_OF_RANGE: _change(encrypted_payload=encrypt(POINTS.pha, b"\xff" * 60)),
}
AT_SUM: dict[PacketReason, Callable[[Packets, int], None]] = {
    PacketReason.PROOF_INVALID: _change(encrypted_payload=encrypt(POINTS.pha, bytes(60))),
    PacketReason.MISSING_AT_PEER: _leave_out,
}


def test_every_packet_reason_in_one_batch() -> None:
    rows = random_rows(CLIENTS, BINS, repeatable("rows of everything"))
    upload = make_upload(rows, draw_labels(CLIENTS, BINS, repeatable("labels of everything")), "everything")
    first, second = (list(packets) for packets in upload.packets)
    faults = AT_INTAKE | AT_SUM
    for place, change in enumerate(faults.values()):
        change(first, place)
    for packets, index in ((first, 0), (second, 1)):
        packets.append(packets_of(index, SOUND)[0])
    deployment = with_faulty({0: batch_of(first), 1: batch_of(second)})
    work(deployment)

    assert deployment.outcomes[0][FAULTY].rejected == Counter(
        {reason: 2 if reason == PacketReason.UUID_DUPLICATED else 1 for reason in AT_INTAKE}
    )
    assert deployment.sums[0][WINDOW].reasons == {
        PacketReason.PROOF_INVALID: 1,
        PacketReason.MISSING_AT_PEER: 1,
        PacketReason.MISSING_HERE: len(AT_INTAKE) + 1,
        PacketReason.REPEATED_IN_WINDOW: 1,
    }
    expected = dict(list(upload.true_rows.items())[len(faults) :]) | upload_of(SOUND).true_rows
    assert counted_packets(deployment, 0) == counted_packets(deployment, 1) == expected.keys()
    assert list(statistic(deployment).sum) == np.sum(list(expected.values()), axis=0).tolist()

    found = {*deployment.outcomes[0][FAULTY].rejected, *deployment.sums[0][WINDOW].reasons, PacketReason.ACCEPTED}
    assert found == set(PacketReason)


def _with_packets(packets: bytes) -> SealedBatch:
    sealed = with_header(sealed_batch(FAULTY, 0), packet_file_digest=digest(packets))
    return dataclasses.replace(sealed, packets=packets)


def _with_signature(**fields: object) -> SealedBatch:
    sealed = sealed_batch(FAULTY, 0)
    return dataclasses.replace(sealed, signature=dataclasses.replace(sealed.signature, **fields))


def _unusable() -> SealedBatch:
    return batch_of([dataclasses.replace(packet, r_pit=-1) for packet in packets_of(0)])


INGESTED: dict[BatchReason, Callable[[], SealedBatch]] = {
    BatchReason.OBJECT_TOO_LARGE: lambda: dataclasses.replace(sealed_batch(FAULTY, 0), header=bytes(2**20 + 1)),
    BatchReason.UNKNOWN_KEY: lambda: with_header(sealed_batch(FAULTY, 0), STRANGER_KEY),
    BatchReason.SIGNATURE_INVALID: lambda: _with_signature(batch_header_signature=b"none"),
    BatchReason.HEADER_MALFORMED: lambda: _with_signature(batch_header_signature=INGESTOR_KEY.sign(b"x")),
    BatchReason.BATCH_UUID_DIFFERS: lambda: with_header(sealed_batch(FAULTY, 0), batch_uuid=SOUND.uuid),
    BatchReason.NAME_DIFFERS: lambda: with_header(sealed_batch(FAULTY, 0), name="another"),
    BatchReason.BINS_OUT_OF_RANGE: lambda: with_header(sealed_batch(FAULTY, 0), bins=2**31 - 2),
    BatchReason.EPSILON_OUT_OF_RANGE: lambda: with_header(sealed_batch(FAULTY, 0), epsilon=-1.0),
    BatchReason.PRIME_DIFFERS: lambda: with_header(sealed_batch(FAULTY, 0), prime=PRIME + 1),
    BatchReason.NUMBER_OF_SERVERS_DIFFERS: lambda: with_header(sealed_batch(FAULTY, 0), number_of_servers=3),
    BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE: lambda: with_header(sealed_batch(FAULTY, 0), hamming_weight=5),
    BatchReason.PARAMETERS_DIFFER: lambda: with_header(sealed_batch(FAULTY, 0), bins=5),
    BatchReason.DIGEST_DIFFERS: lambda: with_header(sealed_batch(FAULTY, 0), packet_file_digest=bytes(32)),
    BatchReason.PACKETS_MALFORMED: lambda: _with_packets(b"no packets"),
    BatchReason.NO_PACKETS: lambda: _with_packets(b""),
    BatchReason.NO_ACCEPTED_PACKETS: _unusable,
}


def _named(sealed: SealedBatch, reason: BatchReason, batch: BatchName) -> SealedBatch:
    """The batch under a name of its own, signed as it was where that is not the fault."""
    if reason in (BatchReason.OBJECT_TOO_LARGE, BatchReason.BATCH_UUID_DIFFERS, BatchReason.SIGNATURE_INVALID):
        return sealed
    if reason == BatchReason.HEADER_MALFORMED:
        return dataclasses.replace(sealed, header=b"x")
    key = STRANGER_KEY if reason == BatchReason.UNKNOWN_KEY else INGESTOR_KEY
    return with_header(sealed, key, batch_uuid=batch.uuid)


def test_every_batch_reason_in_one_window() -> None:
    deployment = make_deployment()
    expected = {}
    for index in (0, 1):
        for batch in (SOUND, FAULTY):
            deployment.ingest(batch, index, sealed_batch(batch, index))
    for number, (reason, make) in enumerate(INGESTED.items()):
        batch = batch_name(SOUND.time + timedelta(minutes=number), 1000 + number)
        expected[batch] = reason
        deployment.ingest(batch, 0, _named(make(), reason, batch))
    expected |= _more_faults(deployment)
    work(deployment)
    check_sum(deployment)
    own = deployment.processors[0].own
    rejected = dict(operator_decisions.outstanding_rejections(own, None))
    assert {batch: record.reason for batch, record in rejected.items()} == expected
    assert {*expected.values(), *_reasons_without_record(deployment)} == set(BatchReason)


def _more_faults(deployment: Deployment) -> dict[BatchName, BatchReason]:
    """Faults that are not of the three objects' content alone."""
    no_signature = batch_name(SOUND.time + timedelta(minutes=30), 2000)
    deployment.ingest(no_signature, 0, sealed_batch(FAULTY, 0))
    deployment.store(0, "ingestion").objects[names.ingestion_objects(no_signature).signature] = b""
    copied = BatchName(FAULTY.aggregation, FAULTY.time + timedelta(minutes=1), FAULTY.uuid)
    deployment.ingest(copied, 0, sealed_batch(FAULTY, 0))
    damaged = batch_name(SOUND.time + timedelta(minutes=31), 2001)
    deployment.store(0, "own_validations").objects[names.rejection(damaged, 1)] = b"damaged"
    left_out = batch_name(SOUND.time + timedelta(minutes=32), 2002)
    operator_decisions.leave_out(deployment.processors[0].own, left_out, "an operator", "noise", AFTER_GRACE)
    return {
        no_signature: BatchReason.SIGNATURE_MALFORMED,
        copied: BatchReason.BATCH_REPEATED,
        damaged: BatchReason.OWN_RECORD_DAMAGED,
        left_out: BatchReason.LEFT_OUT,
    }


def _reasons_without_record(deployment: Deployment) -> set[BatchReason]:
    """What a batch waits for, and what `aggregate` says of a batch that it was wrongly given."""
    processor = deployment.processors[0]
    with pytest.raises(BatchRejected) as raised:
        read_ready(processor, batch_name(SOUND.time, 3000))
    place = AggregationPlace(
        ingestion=processor.stores.ingestion,
        peer_validations=processor.stores.peer_validations,
        own=processor.own,
        opener=processor.opener,
        signing_key=processor.signing_key,
        peer_keys=processor.settings.peer_keys,
    )
    (left_out,) = gather(place, [batch_name(WINDOW.end, 3001)], WINDOW).left_out
    return {raised.value.reason, BatchReason(left_out.why.partition(":")[0])}
