"""Every field of what a processor keeps for itself, tampered with: the sum is right, or there is none, and it says why.

The tampering is at the facilitator, after it validated (own store) or decided (state).
"""

from dataclasses import replace
from typing import NamedTuple

import pytest

from prio_assets.errors import (
    BatchReason,
    BatchRejected,
    ObjectMissingError,
    OperationalError,
    RefusedError,
    StateError,
)
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire import names
from prio_assets.wire.packets import digest
from prio_assets.wire.records import BatchSignature, Counted, LedgerEntry, Rejection, decode, encode
from prio_assets.wire.schemas import record_names
from tests.faults.deployment import Deployment, check_sum, statistic, sum_part, work
from tests.faults.expectations import FINE, Outcome, Table, expected_outcome
from tests.faults.material import AGGREGATION, FAULTY, PROCESSOR_KEYS, SOUND, WINDOW
from tests.faults.signing import signed_record
from tests.faults.tampering import Kind, fields_of, rewritten, tampered, tamperings
from tests.faults.test_batch_list_records import TABLES as LIST_TABLES
from tests.faults.test_ingestion_records import TABLES as INGESTION_TABLES
from tests.faults.test_sum_part_records import TABLES as SUM_PART_TABLES
from tests.faults.test_validity_records import TABLES as VALIDITY_TABLES

LEFT_OUT = "the batch is left out at both"
SUM_STOPS = "the batch was decided on, so its window isn't summed here until the record is restored"
STATE_STOPS = "nothing is decided or summed here until the state is restored"
CLOSED = "the window is closed here, so there is no part"
REFUSED_AT_PORTAL = "the parts do not belong together"
OTHER_SUM = "a sum that nobody can tell from a right one: whoever can sign as we do could send it at once"

ALWAYS_FINE = (FINE,) * 6
NEVER = (LEFT_OUT,) * 6
UNREAD = (STATE_STOPS,) * 3
NOT_USED = (*UNREAD, FINE, FINE, FINE)  # when summing
NOT_DECIDED = (*UNREAD, *(SUM_STOPS,) * 3)  # the batches have others

TABLES: dict[str, Table] = {
    "PrioBatchSignature": {  # our validation: the store is ours alone, and the signing key may be no longer in use
        "batch_header_signature": (*(LEFT_OUT,) * 3, FINE, FINE, FINE),
        "key_identifier": (*(LEFT_OUT,) * 3, FINE, FINE, FINE),
        "batch_header": NEVER,
        "packets": NEVER,
    },
    "Totals": {  # without totals that hold, the shares are read once more
        "batch_uuid": ALWAYS_FINE,
        "bins": ALWAYS_FINE,
        "epsilon": ALWAYS_FINE,
        "prime": ALWAYS_FINE,
        "number_of_servers": ALWAYS_FINE,
        "hamming_weight": ALWAYS_FINE,
        "packet_file_digest": (*(FINE,) * 3, *(SUM_STOPS,) * 3),
        "validity_digest": ALWAYS_FINE,
        "packets": ALWAYS_FINE,
        "sum": (*(FINE,) * 3, OTHER_SUM, FINE, FINE),
        "rejected": ALWAYS_FINE,  # they are listed beside the sum, and whoever can sign as we do could list any
        "engine": ALWAYS_FINE,
    },
    "Receipt": {
        "packet_file_digest": (*(LEFT_OUT,) * 3, FINE, FINE, FINE),
        "validity_digest": (*(LEFT_OUT,) * 3, FINE, FINE, FINE),
        "sent_at": (*(LEFT_OUT,) * 3, FINE, FINE, FINE),
    },
    "Rejection": {  # leaves the batch out, unless it can be read and clears it
        "batch_uuid": NEVER,
        "reason": NEVER,
        "details": NEVER,
        "packet_file_digest": NEVER,
        "by": NEVER,
        "at": NEVER,
        "cleared": (*(LEFT_OUT,) * 3, FINE, LEFT_OUT, FINE),
    },
    "State": {
        "version": (STATE_STOPS,) * 6,
        "instance_name": (STATE_STOPS,) * 6,
        "server_index": (STATE_STOPS,) * 6,
        "not_before": (*UNREAD, FINE, STATE_STOPS, STATE_STOPS),
    },
    "Sent": {"digest": ALWAYS_FINE, "sent_at": ALWAYS_FINE},  # that it is there says all
    "LedgerEntry": {
        "number": (STATE_STOPS,) * 6,
        "aggregation_start_time": (*UNREAD, REFUSED_AT_PORTAL, STATE_STOPS, STATE_STOPS),
        "aggregation_end_time": (*UNREAD, REFUSED_AT_PORTAL, STATE_STOPS, STATE_STOPS),
        "newest_end": NOT_USED,
        "minimum_clients": NOT_USED,
        "bins": NOT_DECIDED,
        "epsilon": NOT_DECIDED,
        "prime": NOT_DECIDED,
        "number_of_servers": NOT_DECIDED,
        "hamming_weight": (STATE_STOPS, FINE, STATE_STOPS, *(SUM_STOPS,) * 3),
        "batches": (*UNREAD, SUM_STOPS, CLOSED, SUM_STOPS),
        "answer": (FINE, FINE, STATE_STOPS, FINE, FINE, FINE),
        "counted_digest": (STATE_STOPS,) * 6,
    },
    "PrioListedBatch": {  # in the ledger entry
        "batch_uuid": (*UNREAD, SUM_STOPS, STATE_STOPS, STATE_STOPS),
        "batch_time": (*UNREAD, FINE, STATE_STOPS, STATE_STOPS),  # the same minute, so the same objects
        "validity_digest_0": (*UNREAD, *(SUM_STOPS,) * 3),
        "validity_digest_1": (*UNREAD, *(SUM_STOPS,) * 3),
        "repeated": (*UNREAD, FINE, FINE, STATE_STOPS),  # the other packet is none of the batch
    },
    "Counted": {"uuids": (*UNREAD, *(SUM_STOPS,) * 3)},
}


class Place(NamedTuple):
    """Where a record is, and the step after which it is there."""

    stage: str
    store: str
    name: str


PLACES = {
    "PrioBatchSignature": Place("validated", "own_validations", names.own_validation(FAULTY)),
    "Totals": Place("validated", "own_validations", names.totals(FAULTY)),
    "Receipt": Place("validated", "own_validations", names.receipt(FAULTY)),
    "Rejection": Place("validated", "own_validations", names.rejection(FAULTY, 1)),
    "State": Place("validated", "state", names.STATE),
    "Sent": Place("decided", "state", names.sent(names.batch_list(AGGREGATION, WINDOW, 1))),
    "LedgerEntry": Place("decided", "state", names.ledger_entry(AGGREGATION, 1)),
    "PrioListedBatch": Place("decided", "state", names.ledger_entry(AGGREGATION, 1)),
    "Counted": Place("decided", "state", names.ledger_entry(AGGREGATION, 1)),
}
REJECTION = Rejection(FAULTY.uuid, BatchReason.LEFT_OUT.value, "by hand", None, "an operator", 0, cleared=False)


@pytest.mark.parametrize(
    ("record", "field", "kind"), [(record, *each) for record in TABLES for each in tamperings(record)]
)
def test_a_tampered_record_gives_no_wrong_sum(
    record: str, field: str, kind: Kind, validated_deployment: Deployment, decided_deployment: Deployment
) -> None:
    place = PLACES[record]
    deployment = {"validated": validated_deployment, "decided": decided_deployment}[place.stage].copy()
    objects = deployment.store(1, place.store).objects
    if record == "Rejection":
        objects[place.name] = encode(REJECTION)
    original = objects[place.name]
    _tamper(objects, place.name, record, field, kind)
    work(deployment)
    expected = expected_outcome(TABLES[record], field, kind)
    _check(deployment, expected)
    if expected in (SUM_STOPS, STATE_STOPS):
        objects[place.name] = original
        work(deployment)
        check_sum(deployment)


def _tamper(objects: dict[str, bytes], name: str, record: str, field: str, kind: Kind) -> None:
    if record == "Totals":
        header = decode(BatchSignature, objects[name], name).batch_header
        assert header is not None
        objects[name] = signed_record(tampered(header, record, field, kind), PROCESSOR_KEYS[1])
    elif record == "PrioListedBatch":
        objects[name] = tampered(objects[name], "LedgerEntry", field, kind, inside="batches")
    elif record == "Counted":
        counted = names.counted(AGGREGATION, decode(LedgerEntry, objects[name], name).counted_digest)
        other = tampered(objects[counted], record, field, kind)
        objects[names.counted(AGGREGATION, digest(other))] = other
        objects[name] = rewritten(
            objects[name], "LedgerEntry", lambda records: records[0].update(counted_digest=digest(other))
        )
    else:
        objects[name] = tampered(objects[name], record, field, kind)


def _check(deployment: Deployment, expected: Outcome) -> None:
    if expected is FINE:
        assert not deployment.failures
        check_sum(deployment)
    elif expected == LEFT_OUT:
        check_sum(deployment, batches=[SOUND])
    elif expected == OTHER_SUM:
        assert statistic(deployment).clients == 16
    elif expected == REFUSED_AT_PORTAL:
        with pytest.raises(RefusedError):
            statistic(deployment)
    else:
        with pytest.raises(ObjectMissingError):
            sum_part(deployment, 1)
        if expected != CLOSED:
            _check_says_why(deployment, StateError if expected == STATE_STOPS else OperationalError)


def _check_says_why(deployment: Deployment, kind: type[OperationalError]) -> None:
    with pytest.raises(kind) as raised:
        _decide_and_sum(deployment.processors[1])
    assert "\n" not in str(raised.value)


def _decide_and_sum(processor: ShareProcessor) -> None:
    """What is left to do, by hand."""
    make_own_list(processor, AGGREGATION, WINDOW, None)
    sum_window(processor, AGGREGATION, WINDOW, Override())


def test_packets_of_our_validation_that_are_not_those_of_its_header(validated_deployment: Deployment) -> None:
    """Sound packets with another value, so that nothing but the digest tells."""
    deployment = validated_deployment.copy()
    objects, name = deployment.store(1, "own_validations").objects, names.own_validation(FAULTY)
    validation = decode(BatchSignature, objects[name], name)
    assert validation.packets is not None
    packets = rewritten(validation.packets, "PrioValidityPacket", lambda records: records[0].update(f_r=1))
    objects[name] = encode(replace(validation, packets=packets))
    with pytest.raises(BatchRejected, match=f"{name} is damaged.*SHA-256") as raised:
        deployment.processors[1].own.validation(FAULTY)
    assert raised.value.reason == BatchReason.OWN_RECORD_DAMAGED
    work(deployment)
    check_sum(deployment, batches=[SOUND])


def test_counted_packets_are_whole_uuids(decided_deployment: Deployment) -> None:
    deployment = decided_deployment.copy()
    objects, name = deployment.store(1, "state").objects, names.ledger_entry(AGGREGATION, 1)
    counted = encode(Counted(b"fifteen bytes.."))
    objects[names.counted(AGGREGATION, digest(counted))] = counted
    objects[name] = encode(replace(decode(LedgerEntry, objects[name], name), counted_digest=digest(counted)))
    work(deployment)
    _check(deployment, STATE_STOPS)


@pytest.mark.parametrize("kind", [Kind.MISSING, Kind.NULL, Kind.WRONG_TYPE])
def test_a_clearing_that_cannot_be_read_clears_nothing(kind: Kind, validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    objects = deployment.store(1, "own_validations").objects
    objects[names.rejection(FAULTY, 1)] = encode(REJECTION)
    clearing = encode(Rejection(FAULTY.uuid, "left_out", "by hand", None, "an operator", 1, cleared=True))
    objects[names.rejection(FAULTY, 2)] = tampered(clearing, "Rejection", "cleared", kind)
    work(deployment)
    check_sum(deployment, batches=[SOUND])
    last = deployment.processors[1].own.last_rejection(FAULTY)
    assert last is not None
    assert last.reason == BatchReason.OWN_RECORD_DAMAGED


@pytest.mark.parametrize("record", ["PrioBatchSignature", "Receipt"])
def test_damage_in_our_own_store_is_no_rejection_of_the_ingestion_batch(
    record: str, validated_deployment: Deployment
) -> None:
    deployment = validated_deployment.copy()
    place = PLACES[record]
    objects = deployment.store(1, place.store).objects
    original, objects[place.name] = objects[place.name], b"damaged"
    if record == "PrioBatchSignature":
        del objects[names.receipt(FAULTY)]
    (outcome,) = validate_batches(deployment.processors[1], [FAULTY])
    assert outcome.state == BatchState.FAILED
    assert place.name in outcome.why
    assert deployment.processors[1].own.last_rejection(FAULTY) is None
    objects[place.name] = original
    work(deployment)
    check_sum(deployment)


def test_every_record_has_its_tables() -> None:
    lists = {record for _, record in LIST_TABLES}
    covered = {*INGESTION_TABLES, *VALIDITY_TABLES, *SUM_PART_TABLES, *lists, *TABLES}
    assert covered == set(record_names())


def test_no_row_is_about_a_field_that_is_gone() -> None:
    for record, table in TABLES.items():
        assert set(table) <= set(fields_of(record))
