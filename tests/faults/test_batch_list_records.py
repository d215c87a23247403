"""Every field of a peer's batch list, tampered with and signed: a list that can't be is as if it weren't there."""

from collections.abc import Iterator

import pytest

from prio_assets.errors import RefusedError
from prio_assets.processor.agreement import ledger_of
from prio_assets.wire.names import batch_list
from prio_assets.wire.records import BatchSignature, decode
from tests.faults.deployment import Deployment, check_sum, decide_or_accept, work
from tests.faults.expectations import FINE, Outcome, Table, expected_outcome
from tests.faults.material import AGGREGATION, FAULTY, PROCESSOR_KEYS, WINDOW
from tests.faults.signing import signed_record
from tests.faults.tampering import Kind, fields_of, tampered, tamperings

REFUSED = "the list is refused, nothing is spent, and the right list still does its work"
WITHOUT_FIRST = "the set of both is without the list's first batch"
CLOSED = "the window is closed without a sum, nothing is spent"
DISAGREED = "the writer's own ledger says otherwise: the portal adds nothing"

NEVER = (REFUSED,) * 6
NO_LIST = (REFUSED,) * 3
HAMMING_WEIGHT = (REFUSED, FINE, REFUSED, REFUSED, REFUSED, REFUSED)  # null is what it was

SIGNATURE: Table = {
    "batch_header_signature": NEVER,
    "key_identifier": NEVER,
    "batch_header": NEVER,
    "packets": (FINE, FINE, REFUSED, REFUSED, REFUSED, REFUSED),
}
LIST: Table = {
    "instance_name": NEVER,
    "name": NEVER,
    "server_index": NEVER,
    "bins": NEVER,
    "epsilon": NEVER,
    "prime": NEVER,
    "number_of_servers": NEVER,
    "hamming_weight": HAMMING_WEIGHT,
    "aggregation_start_time": NEVER,
    "aggregation_end_time": NEVER,
}
PROPOSAL: Table = LIST | {
    "minimum_clients": (*NO_LIST, FINE, FINE, CLOSED),
    "batches": (*NO_LIST, WITHOUT_FIRST, CLOSED, REFUSED),
}
ANSWER: Table = LIST | {
    # The minimum that counts for the leader is that of its own proposal.
    "minimum_clients": (*NO_LIST, FINE, FINE, FINE),
    "batches": (*NO_LIST, DISAGREED, CLOSED, REFUSED),
}
PROPOSED_BATCH: Table = {
    "batch_uuid": (*NO_LIST, WITHOUT_FIRST, REFUSED, REFUSED),
    "batch_time": NEVER,
    "validity_digest_0": (*NO_LIST, *(WITHOUT_FIRST,) * 3),
    "validity_digest_1": (*NO_LIST, *(WITHOUT_FIRST,) * 3),
    "repeated": (*NO_LIST, REFUSED, FINE, REFUSED),
}
ANSWERED_BATCH: Table = {
    "batch_uuid": NEVER,
    "batch_time": NEVER,
    "validity_digest_0": NEVER,
    "validity_digest_1": NEVER,
    "repeated": (*NO_LIST, FINE, FINE, REFUSED),  # the other packet is none of the batch
}
TABLES = {
    (0, "PrioBatchSignature"): SIGNATURE,
    (1, "PrioBatchSignature"): SIGNATURE,
    (0, "PrioBatchList"): PROPOSAL,
    (1, "PrioBatchList"): ANSWER,
    (0, "PrioListedBatch"): PROPOSED_BATCH,
    (1, "PrioListedBatch"): ANSWERED_BATCH,
}


def _cases() -> Iterator[tuple[int, str, str, Kind]]:
    for writer, record in TABLES:
        for field, kind in tamperings(record):
            yield writer, record, field, kind


@pytest.mark.parametrize(("writer", "record", "field", "kind"), list(_cases()))
def test_a_tampered_list_costs_no_packet(
    writer: int,
    record: str,
    field: str,
    kind: Kind,
    proposed_deployment: Deployment,
    decided_deployment: Deployment,
) -> None:
    deployment = (proposed_deployment, decided_deployment)[writer].copy()
    original = _tamper(deployment, writer, record, field, kind)
    work(deployment)
    _check(deployment, writer, expected_outcome(TABLES[writer, record], field, kind), original)


def _tamper(deployment: Deployment, writer: int, record: str, field: str, kind: Kind) -> bytes:
    """Replace the list in the reader's bucket; what it was."""
    name = batch_list(AGGREGATION, WINDOW, writer)
    objects = deployment.store(1 - writer, "peer_validations").objects
    original = objects[name]
    if record == "PrioBatchSignature":
        objects[name] = tampered(original, record, field, kind)
        return original
    header = decode(BatchSignature, original, name).batch_header
    assert header is not None
    inside = "batches" if record == "PrioListedBatch" else None
    objects[name] = signed_record(tampered(header, "PrioBatchList", field, kind, inside), PROCESSOR_KEYS[writer])
    return original


def _check(deployment: Deployment, writer: int, expected: Outcome, original: bytes) -> None:
    reader = deployment.processors[1 - writer]
    entry = ledger_of(reader, AGGREGATION, WINDOW).entry(WINDOW)
    if expected is FINE:
        check_sum(deployment)
    elif expected == WITHOUT_FIRST:
        check_sum(deployment, batches=[FAULTY])
    elif expected == CLOSED:
        assert entry is not None
        assert not entry.batches
    elif expected == DISAGREED:
        assert entry is not None
        assert [listed.batch_uuid for listed in entry.batches] == [FAULTY.uuid]
    else:
        assert entry is None
        with pytest.raises(RefusedError):
            decide_or_accept(reader)
        deployment.store(1 - writer, "peer_validations").objects[batch_list(AGGREGATION, WINDOW, writer)] = original
        work(deployment)
        check_sum(deployment)


def test_no_row_is_about_a_field_that_is_gone() -> None:
    for (_, record), table in TABLES.items():
        assert set(table) <= set(fields_of(record))
