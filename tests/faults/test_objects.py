"""Every object missing, empty, cut, too large, garbage, or another's: what it costs, and that the rest is summed."""

import itertools

import pytest

from prio_assets.errors import BatchReason, BatchRejected, ObjectMissingError, RefusedError
from prio_assets.processor.pending import PendingStep
from prio_assets.processor.readiness import read_ready
from prio_assets.processor.survey import survey
from prio_assets.processor.validation import BatchState
from prio_assets.wire import names
from prio_assets.wire.batches import open_single_object
from prio_assets.wire.names import Objects, ingestion_objects
from prio_assets.wire.packets import encode_invalid_packets
from prio_assets.wire.uuids import uuid_columns
from tests.faults.damage import Damage, damage, damaged
from tests.faults.deployment import (
    Deployment,
    check_sum,
    decide_or_accept,
    make_deployment,
    rejection_reason,
    statistic,
    work,
)
from tests.faults.material import AGGREGATION, FAULTY, INSTANCE, PERIOD, SOUND, WINDOW, sealed_batch, upload_of
from tests.faults.signing import replace_ingestion_packets

PARTS = ("header", "packets", "signature")
INCOMPLETE = "the batch is not complete, so nothing is done about it"
OTHERS_PACKETS = "the packets are those of the other batch, which counts them already"


def _reason_of_ingestion(part: str, kind: Damage) -> BatchReason | str:
    if kind is Damage.MISSING:
        return INCOMPLETE
    if part == "packets":
        return BatchReason.DIGEST_DIFFERS
    if kind is Damage.OVERSIZED:
        return BatchReason.OBJECT_TOO_LARGE
    if part == "header" or kind is Damage.SWAPPED:
        return BatchReason.SIGNATURE_INVALID
    return BatchReason.SIGNATURE_MALFORMED


def _ingested() -> Deployment:
    deployment = make_deployment()
    for role, batch in itertools.product((0, 1), (SOUND, FAULTY)):
        deployment.ingest(batch, role, sealed_batch(batch, role))
    return deployment


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", Damage)
@pytest.mark.parametrize("part", PARTS)
def test_an_object_of_an_ingestion_batch(part: str, kind: Damage, index: int) -> None:
    deployment = _ingested()
    objects = deployment.store(index, "ingestion").objects
    other = objects[getattr(ingestion_objects(SOUND), part)]
    damage(objects, getattr(ingestion_objects(FAULTY), part), kind, other)
    work(deployment)
    assert not deployment.failures
    check_sum(deployment, batches=[SOUND])
    expected = _reason_of_ingestion(part, kind)
    if expected == INCOMPLETE:
        assert FAULTY not in deployment.outcomes[index]
        found = survey(deployment.processors[index], AGGREGATION, WINDOW.start, WINDOW.end)
        assert found.incomplete == {FAULTY}
    else:
        assert deployment.outcomes[index][FAULTY].state == BatchState.REJECTED
        assert rejection_reason(deployment, index) == expected


SIGNED_PACKETS = {
    Damage.EMPTY: BatchReason.NO_PACKETS,
    Damage.CUT_IN_FRAME: BatchReason.PACKETS_MALFORMED,
    Damage.CUT_AFTER_FRAME: BatchReason.NO_PACKETS,
    Damage.CUT_IN_RECORD: BatchReason.PACKETS_MALFORMED,
    Damage.CUT_AT_LAST_BYTE: BatchReason.PACKETS_MALFORMED,
    Damage.TRAILING: BatchReason.PACKETS_MALFORMED,
    Damage.GARBAGE: BatchReason.PACKETS_MALFORMED,
    Damage.OVERSIZED: BatchReason.PACKETS_MALFORMED,
    Damage.SWAPPED: OTHERS_PACKETS,
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", SIGNED_PACKETS)
def test_a_packet_object_that_its_header_means(kind: Damage, index: int) -> None:
    deployment = _ingested()
    original, other = sealed_batch(FAULTY, index).packets, sealed_batch(SOUND, index).packets
    replace_ingestion_packets(deployment, index, damaged(original, kind, other))
    work(deployment)
    assert not deployment.failures
    if SIGNED_PACKETS[kind] == OTHERS_PACKETS:
        check_sum(deployment, without=upload_of(FAULTY).true_rows)
    else:
        assert rejection_reason(deployment, index) == SIGNED_PACKETS[kind]
        check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_a_batch_in_the_place_of_another(index: int) -> None:
    deployment = make_deployment()
    for role in (0, 1):
        deployment.ingest(SOUND, role, sealed_batch(SOUND, role))
        deployment.ingest(FAULTY, role, sealed_batch(SOUND if role == index else FAULTY, role))
    work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.BATCH_UUID_DIFFERS
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_a_batch_for_the_other_processor(index: int) -> None:
    deployment = make_deployment()
    for role in (0, 1):
        deployment.ingest(SOUND, role, sealed_batch(SOUND, role))
        deployment.ingest(FAULTY, role, sealed_batch(FAULTY, 1 - index))
    work(deployment)
    assert deployment.outcomes[index][FAULTY].state == BatchState.UNDECRYPTABLE
    assert rejection_reason(deployment, index) is None
    check_sum(deployment, batches=[SOUND])


def _reason_of_whole_validation(kind: Damage) -> BatchReason:
    special = {Damage.MISSING: BatchReason.OBJECT_MISSING, Damage.SWAPPED: BatchReason.BATCH_UUID_DIFFERS}
    return special.get(kind, BatchReason.SIGNATURE_MALFORMED)


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("kind", Damage)
def test_a_validation_in_a_single_object(kind: Damage, reader: int, validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    objects = deployment.store(reader, "peer_validations").objects
    other = objects[names.validity_objects(SOUND, 1 - reader).signature]
    damage(objects, names.validity_objects(FAULTY, 1 - reader).signature, kind, other)
    _check_validation(deployment, reader, _reason_of_whole_validation(kind))


def _reason_of_validation(part: str, kind: Damage) -> BatchReason:
    if kind is Damage.MISSING:
        return BatchReason.OBJECT_MISSING
    if part == "packets":
        return BatchReason.DIGEST_DIFFERS
    if part == "header" or kind is Damage.SWAPPED:
        return BatchReason.SIGNATURE_INVALID
    return BatchReason.SIGNATURE_MALFORMED


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("kind", Damage)
@pytest.mark.parametrize("part", PARTS)
def test_a_validation_in_three_objects(part: str, kind: Damage, reader: int, validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    objects = deployment.store(reader, "peer_validations").objects
    found = [names.validity_objects(batch, 1 - reader) for batch in (SOUND, FAULTY)]
    for each in found:
        _in_three(objects, each)
    sound, faulty = (getattr(each, part) for each in found)
    damage(objects, faulty, kind, objects[sound])
    _check_validation(deployment, reader, _reason_of_validation(part, kind))


def _in_three(objects: dict[str, bytes], found: Objects) -> None:
    sealed = open_single_object(objects[found.signature], found.signature)
    assert sealed is not None
    objects.update(zip(found, sealed.three_objects(), strict=True))


def _check_validation(deployment: Deployment, reader: int, expected: BatchReason) -> None:
    with pytest.raises(BatchRejected) as raised:
        read_ready(deployment.processors[reader], FAULTY)
    assert raised.value.reason == expected
    work(deployment)
    assert not deployment.failures
    assert rejection_reason(deployment, reader) is None  # a peer's fault is none of the batch's
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("writer", [0, 1])
@pytest.mark.parametrize("kind", Damage)
def test_a_batch_list(
    kind: Damage, writer: int, proposed_deployment: Deployment, decided_deployment: Deployment
) -> None:
    deployment = (proposed_deployment, decided_deployment)[writer].copy()
    reader, name = deployment.processors[1 - writer], names.batch_list(AGGREGATION, WINDOW, writer)
    objects = deployment.store(1 - writer, "peer_validations").objects
    original = objects[name]
    # The reader's own list, sent back to it.
    other = decided_deployment.store(1 - writer, "state").objects[names.batch_list(AGGREGATION, WINDOW, 1 - writer)]
    damage(objects, name, kind, other)
    if kind is not Damage.MISSING:
        with pytest.raises(RefusedError):
            decide_or_accept(reader)
        found = survey(reader, AGGREGATION, WINDOW.start - PERIOD, deployment.clock())
        assert WINDOW in found.refused_lists
    work(deployment)
    objects[name] = original
    work(deployment)
    check_sum(deployment)


def _reason_of_sum_part(part: str, kind: Damage) -> BatchReason | None:
    if kind is Damage.MISSING:
        return None if part == "signature" else BatchReason.OBJECT_MISSING
    if part == "packets":
        return BatchReason.DIGEST_DIFFERS
    if part == "signature" and kind is not Damage.SWAPPED:
        return BatchReason.SIGNATURE_MALFORMED
    if part == "signature":
        return BatchReason.UNKNOWN_KEY
    return BatchReason.SIGNATURE_INVALID


# No packet was left out, so the packet file is its frame alone and cannot be cut after it.
SUM_PART_DAMAGES = [
    (part, kind)
    for part in PARTS
    for kind in Damage
    if part != "packets" or kind not in (Damage.CUT_AFTER_FRAME, Damage.CUT_IN_RECORD)
]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("part", "kind"), SUM_PART_DAMAGES)
def test_a_sum_part(part: str, kind: Damage, index: int, summed_deployment: Deployment) -> None:
    deployment = summed_deployment.copy()
    objects = deployment.store(index, "sum_parts").objects
    mine, theirs = (names.sum_part_objects(INSTANCE, AGGREGATION, WINDOW, each) for each in (index, 1 - index))
    other = deployment.store(1 - index, "sum_parts").objects[getattr(theirs, part)]
    if part == "packets":
        other = encode_invalid_packets(uuid_columns([FAULTY.uuid]), b"")
    damage(objects, getattr(mine, part), kind, other)
    expected = _reason_of_sum_part(part, kind)
    with pytest.raises(BatchRejected if expected else ObjectMissingError) as raised:
        statistic(deployment)
    if expected:
        assert isinstance(raised.value, BatchRejected)
        assert raised.value.reason == expected


def test_nothing_of_a_batch_is_pending_while_it_is_incomplete() -> None:
    deployment = _ingested()
    del deployment.store(0, "ingestion").objects[ingestion_objects(FAULTY).signature]
    work(deployment, until=PendingStep.PROPOSE)
    assert FAULTY not in deployment.outcomes[0]
    deployment.ingest(FAULTY, 0, sealed_batch(FAULTY, 0))
    work(deployment)
    check_sum(deployment)
