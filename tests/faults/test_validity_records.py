"""Every field of a peer's validation, tampered with and signed: the batch waits, or the packet is not counted."""

import pytest

from prio_assets.errors import BatchReason, BatchRejected, PacketReason
from prio_assets.processor.readiness import read_ready
from prio_assets.wire.batches import open_single_object
from prio_assets.wire.names import validity_objects
from tests.faults.deployment import Deployment, check_sum, work
from tests.faults.expectations import FINE, cases, expected_outcome, fields_without_schema
from tests.faults.material import FAULTY, PROCESSOR_KEYS, SOUND, WINDOW
from tests.faults.signing import first_packet, replace_own_validation, resealed
from tests.faults.tampering import Kind, tampered

NO_SIGNATURE = (BatchReason.SIGNATURE_MALFORMED,) * 3
NO_HEADER = (BatchReason.HEADER_MALFORMED,) * 3
NO_PACKETS = (BatchReason.PACKETS_MALFORMED,) * 3
NOT_WHOLE = (BatchReason.OBJECT_MISSING, BatchReason.OBJECT_MISSING, BatchReason.SIGNATURE_MALFORMED)
"""Without one of its parts the object is a signature of three objects, of which there are no others."""
AS_DEFAULT = (FINE, BatchReason.HEADER_MALFORMED, BatchReason.HEADER_MALFORMED)

TABLES = {
    "PrioBatchSignature": {
        "batch_header_signature": (*NO_SIGNATURE, *(BatchReason.SIGNATURE_INVALID,) * 3),
        "key_identifier": (*NO_SIGNATURE, *(BatchReason.UNKNOWN_KEY,) * 3),
        "batch_header": (*NOT_WHOLE, *(BatchReason.SIGNATURE_INVALID,) * 3),
        "packets": (*NOT_WHOLE, *(BatchReason.DIGEST_DIFFERS,) * 3),
    },
    "PrioValidityHeader": {
        "batch_uuid": (*NO_HEADER, BatchReason.BATCH_UUID_DIFFERS, *(BatchReason.HEADER_MALFORMED,) * 2),
        "name": (*NO_HEADER, *(BatchReason.NAME_DIFFERS,) * 3),
        "bins": (*NO_HEADER, BatchReason.PARAMETERS_DIFFER, *(BatchReason.BINS_OUT_OF_RANGE,) * 2),
        "epsilon": (*NO_HEADER, BatchReason.PARAMETERS_DIFFER, *(BatchReason.EPSILON_OUT_OF_RANGE,) * 2),
        "prime": (*AS_DEFAULT, *(BatchReason.PRIME_DIFFERS,) * 3),
        "number_of_servers": (*AS_DEFAULT, *(BatchReason.NUMBER_OF_SERVERS_DIFFERS,) * 3),
        "hamming_weight": (
            BatchReason.HEADER_MALFORMED,
            FINE,
            BatchReason.HEADER_MALFORMED,
            BatchReason.PARAMETERS_DIFFER,
            *(BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE,) * 2,
        ),
        "packet_file_digest": (*NO_HEADER, *(BatchReason.DIGEST_DIFFERS,) * 3),
    },
    "PrioValidityPacket": {
        "uuid": (*NO_PACKETS, *(PacketReason.MISSING_AT_PEER,) * 3),
        # A value that is no unsigned 32-bit integer drops the packet; another value fails its proof.
        "f_r": (*NO_PACKETS, PacketReason.PROOF_INVALID, *(PacketReason.MISSING_AT_PEER,) * 2),
        "g_r": (*NO_PACKETS, PacketReason.PROOF_INVALID, *(PacketReason.MISSING_AT_PEER,) * 2),
        "h_r": (*NO_PACKETS, PacketReason.PROOF_INVALID, *(PacketReason.MISSING_AT_PEER,) * 2),
    },
}


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize(("record", "field", "kind"), cases(TABLES))
def test_a_tampered_field_costs_its_batch_or_packet(
    record: str, field: str, kind: Kind, reader: int, validated_deployment: Deployment
) -> None:
    deployment = validated_deployment.copy()
    _tamper(deployment, reader, record, field, kind)
    expected = expected_outcome(TABLES[record], field, kind)
    if isinstance(expected, BatchReason):
        with pytest.raises(BatchRejected) as raised:
            read_ready(deployment.processors[reader], FAULTY)
        assert raised.value.reason == expected
    work(deployment)
    assert not deployment.failures
    if isinstance(expected, PacketReason):
        assert deployment.sums[reader][WINDOW].reasons[expected] == 1
        check_sum(deployment, without={first_packet()})
    else:
        check_sum(deployment, batches=[SOUND, FAULTY] if expected is FINE else [SOUND])


def _tamper(deployment: Deployment, reader: int, record: str, field: str, kind: Kind) -> None:
    """Packets are tampered with in the writer's own store too, as a writer would that computes wrongly."""
    writer = 1 - reader
    name = validity_objects(FAULTY, writer).signature
    objects, key = deployment.store(reader, "peer_validations").objects, PROCESSOR_KEYS[writer]
    sealed = open_single_object(objects[name], name)
    assert sealed is not None
    if record == "PrioBatchSignature":
        objects[name] = tampered(objects[name], record, field, kind)
    elif record == "PrioValidityHeader":
        objects[name] = resealed(objects[name], key, header=tampered(sealed.header, record, field, kind))
    else:
        objects[name] = resealed(objects[name], key, packets=tampered(sealed.packets, record, field, kind))
        replace_own_validation(deployment, writer, objects[name])


def test_no_row_is_about_a_field_that_is_gone() -> None:
    assert not fields_without_schema(TABLES)
