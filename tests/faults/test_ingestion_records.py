"""Every field of what an ingestor signs, tampered with in every way: what it costs, and that the rest is summed."""

import pytest

from prio_assets.errors import BatchReason, PacketReason
from prio_assets.processor.pending import PendingStep
from prio_assets.processor.validation import BatchState
from prio_assets.wire.names import ingestion_objects
from tests.faults.deployment import Deployment, check_sum, make_deployment, rejection_reason, work
from tests.faults.expectations import FINE, Outcome, cases, expected_outcome, fields_without_schema
from tests.faults.material import FAULTY, SOUND, WINDOW, sealed_batch
from tests.faults.signing import first_packet, replace_ingestion_header, replace_ingestion_packets
from tests.faults.tampering import Kind, tampered

NO_SIGNATURE = (BatchReason.SIGNATURE_MALFORMED,) * 3
NO_HEADER = (BatchReason.HEADER_MALFORMED,) * 3
NO_PACKETS = (BatchReason.PACKETS_MALFORMED,) * 3
AS_DEFAULT = (FINE, BatchReason.HEADER_MALFORMED, BatchReason.HEADER_MALFORMED)
"""The schema says what a header without the field means."""
OPTIONAL = (FINE, FINE, BatchReason.SIGNATURE_MALFORMED)

TABLES = {
    "PrioBatchSignature": {
        "batch_header_signature": (*NO_SIGNATURE, *(BatchReason.SIGNATURE_INVALID,) * 3),
        "key_identifier": (*NO_SIGNATURE, *(BatchReason.UNKNOWN_KEY,) * 3),
        # An ingestion batch is always three objects, so these are not looked at.
        "batch_header": (*OPTIONAL, FINE, FINE, FINE),
        "packets": (*OPTIONAL, FINE, FINE, FINE),
    },
    "PrioIngestionHeader": {
        "batch_uuid": (*NO_HEADER, BatchReason.BATCH_UUID_DIFFERS, *(BatchReason.HEADER_MALFORMED,) * 2),
        "name": (*NO_HEADER, *(BatchReason.NAME_DIFFERS,) * 3),
        "bins": (*NO_HEADER, BatchReason.PARAMETERS_DIFFER, *(BatchReason.BINS_OUT_OF_RANGE,) * 2),
        "epsilon": (*NO_HEADER, BatchReason.PARAMETERS_DIFFER, *(BatchReason.EPSILON_OUT_OF_RANGE,) * 2),
        "prime": (*AS_DEFAULT, *(BatchReason.PRIME_DIFFERS,) * 3),
        "number_of_servers": (*AS_DEFAULT, *(BatchReason.NUMBER_OF_SERVERS_DIFFERS,) * 3),
        "hamming_weight": (
            BatchReason.HEADER_MALFORMED,
            FINE,  # which is what it was
            BatchReason.HEADER_MALFORMED,
            BatchReason.PARAMETERS_DIFFER,
            *(BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE,) * 2,
        ),
        # Production writes these in seconds: nobody relies on them.
        "batch_start_time": (*NO_HEADER, FINE, FINE, FINE),
        "batch_end_time": (*NO_HEADER, FINE, FINE, FINE),
        "packet_file_digest": (*NO_HEADER, *(BatchReason.DIGEST_DIFFERS,) * 3),
    },
    "PrioDataSharePacket": {
        "uuid": (*NO_PACKETS, PacketReason.MISSING_AT_PEER, *(PacketReason.UUID_MALFORMED,) * 2),
        "encrypted_payload": (
            *NO_PACKETS,
            PacketReason.EPHEMERAL_KEY_INVALID,
            PacketReason.PAYLOAD_TOO_SHORT,
            PacketReason.EPHEMERAL_KEY_INVALID,
        ),
        # Hints and labels, which the file must have as the schema says, and which nobody relies on.
        "encryption_key_id": (BatchReason.PACKETS_MALFORMED, FINE, BatchReason.PACKETS_MALFORMED, FINE, FINE, FINE),
        "version_configuration": (BatchReason.PACKETS_MALFORMED, FINE, BatchReason.PACKETS_MALFORMED, FINE, FINE, FINE),
        "device_nonce": (BatchReason.PACKETS_MALFORMED, FINE, BatchReason.PACKETS_MALFORMED, FINE, FINE, FINE),
        "r_pit": (*NO_PACKETS, PacketReason.PROOF_INVALID, *(PacketReason.R_PIT_OUT_OF_RANGE,) * 2),
    },
}


@pytest.fixture(scope="module")
def half_validated() -> tuple[Deployment, Deployment]:
    """For each processor: the other one has validated both batches, and its own are just there."""
    deployments = []
    for index in (0, 1):
        deployment = make_deployment()
        for batch in (SOUND, FAULTY):
            deployment.ingest(batch, 1 - index, sealed_batch(batch, 1 - index))
        work(deployment, until=PendingStep.PROPOSE)
        for batch in (SOUND, FAULTY):
            deployment.ingest(batch, index, sealed_batch(batch, index))
        deployments.append(deployment)
    return deployments[0], deployments[1]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("record", "field", "kind"), cases(TABLES))
def test_a_tampered_field_costs_its_batch_or_packet(
    record: str, field: str, kind: Kind, index: int, half_validated: tuple[Deployment, Deployment]
) -> None:
    deployment = half_validated[index].copy()
    _tamper(deployment, index, record, field, kind)
    work(deployment)
    _check(deployment, index, expected_outcome(TABLES[record], field, kind))


def _tamper(deployment: Deployment, index: int, record: str, field: str, kind: Kind) -> None:
    names, objects = ingestion_objects(FAULTY), deployment.store(index, "ingestion").objects
    if record == "PrioBatchSignature":
        objects[names.signature] = tampered(objects[names.signature], record, field, kind)
    elif record == "PrioIngestionHeader":
        replace_ingestion_header(deployment, index, tampered(objects[names.header], record, field, kind))
    else:
        replace_ingestion_packets(deployment, index, tampered(objects[names.packets], record, field, kind))


def _check(deployment: Deployment, index: int, expected: Outcome) -> None:
    assert not deployment.failures
    outcome = deployment.outcomes[index][FAULTY]
    if isinstance(expected, BatchReason):
        assert outcome.state == BatchState.REJECTED
        assert rejection_reason(deployment, index) == expected
        check_sum(deployment, batches=[SOUND])
        return
    assert outcome.state == BatchState.SENT
    assert rejection_reason(deployment, index) is None
    if expected is FINE:
        assert not outcome.rejected
        check_sum(deployment)
    else:
        found = outcome.rejected + deployment.sums[index][WINDOW].reasons
        assert found[PacketReason(expected)] == 1
        check_sum(deployment, without={first_packet()})


def test_no_row_is_about_a_field_that_is_gone() -> None:
    assert not fields_without_schema(TABLES)
