"""Every field of a sum part at the portal, tampered with and signed: what cannot be right is never added."""

from dataclasses import replace

import pytest

from prio_assets.errors import BatchReason, BatchRejected, RefusedError
from prio_assets.wire.names import sum_part_objects
from prio_assets.wire.packets import digest, encode_invalid_packets
from prio_assets.wire.records import SumPart, decode, encode
from prio_assets.wire.uuids import uuid_columns
from tests.faults.deployment import Deployment, check_sum, statistic
from tests.faults.expectations import FINE, cases, expected_outcome, fields_without_schema
from tests.faults.material import AGGREGATION, INSTANCE, PROCESSOR_KEYS, WINDOW
from tests.faults.signing import first_packet, signature_object
from tests.faults.tampering import Kind, tampered

NO_SIGNATURE = (BatchReason.SIGNATURE_MALFORMED,) * 3
NO_HEADER = (BatchReason.HEADER_MALFORMED,) * 3
OPTIONAL = (FINE, FINE, BatchReason.SIGNATURE_MALFORMED)
REFUSED = (RefusedError,) * 3
OTHER_SUM = "a sum that no portal can tell from a right one"

TABLES = {
    "PrioBatchSignature": {
        "batch_header_signature": (*NO_SIGNATURE, *(BatchReason.SIGNATURE_INVALID,) * 3),
        "key_identifier": (*NO_SIGNATURE, *(BatchReason.UNKNOWN_KEY,) * 3),
        # Only together are they a batch in single-object form.
        "batch_header": (*OPTIONAL, FINE, FINE, FINE),
        "packets": (*OPTIONAL, FINE, FINE, FINE),
    },
    "PrioSumPart": {
        "batch_uuids": (*NO_HEADER, *REFUSED),
        "name": (*NO_HEADER, *(BatchReason.NAME_DIFFERS,) * 3),
        "bins": (*NO_HEADER, RefusedError, *(BatchReason.BINS_OUT_OF_RANGE,) * 2),
        "epsilon": (*NO_HEADER, RefusedError, *(BatchReason.EPSILON_OUT_OF_RANGE,) * 2),
        "prime": (*NO_HEADER, *(BatchReason.PRIME_DIFFERS,) * 3),
        "number_of_servers": (*NO_HEADER, *(BatchReason.NUMBER_OF_SERVERS_DIFFERS,) * 3),
        "hamming_weight": (
            BatchReason.HEADER_MALFORMED,
            FINE,
            BatchReason.HEADER_MALFORMED,
            RefusedError,
            *(BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE,) * 2,
        ),
        "sum": (*NO_HEADER, OTHER_SUM, RefusedError, RefusedError),
        "aggregation_start_time": (*NO_HEADER, *REFUSED),
        "aggregation_end_time": (*NO_HEADER, *REFUSED),
        "packet_file_digest": (*NO_HEADER, *(BatchReason.DIGEST_DIFFERS,) * 3),
        "total_individual_clients": (*NO_HEADER, *REFUSED),
    },
    "PrioInvalidPacket": {
        # The list is for people: the sums are without these packets whatever it says.
        "uuid": (*(BatchReason.PACKETS_MALFORMED,) * 3, FINE, FINE, FINE),
    },
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("record", "field", "kind"), cases(TABLES))
def test_a_tampered_field_is_found(
    record: str, field: str, kind: Kind, index: int, summed_deployment: Deployment
) -> None:
    deployment = summed_deployment.copy()
    _tamper(deployment, index, record, field, kind)
    expected = expected_outcome(TABLES[record], field, kind)
    if expected is FINE:
        check_sum(deployment)
    elif expected == OTHER_SUM:
        assert statistic(deployment).sum != statistic(summed_deployment).sum
    elif isinstance(expected, BatchReason):
        with pytest.raises(BatchRejected) as raised:
            statistic(deployment)
        assert raised.value.reason == expected
    else:
        with pytest.raises(RefusedError):
            statistic(deployment)


def _tamper(deployment: Deployment, index: int, record: str, field: str, kind: Kind) -> None:
    names = sum_part_objects(INSTANCE, AGGREGATION, WINDOW, index)
    objects, key = deployment.store(index, "sum_parts").objects, PROCESSOR_KEYS[index]
    if record == "PrioBatchSignature":
        objects[names.signature] = tampered(objects[names.signature], record, field, kind)
        return
    if record == "PrioSumPart":
        objects[names.header] = tampered(objects[names.header], record, field, kind)
    else:
        listed = encode_invalid_packets(uuid_columns([first_packet()]), b"")
        objects[names.packets] = tampered(listed, record, field, kind)
        header = decode(SumPart, objects[names.header], names.header)
        objects[names.header] = encode(replace(header, packet_file_digest=digest(objects[names.packets])))
    objects[names.signature] = signature_object(objects[names.header], key)


def test_no_row_is_about_a_field_that_is_gone() -> None:
    assert not fields_without_schema(TABLES)
