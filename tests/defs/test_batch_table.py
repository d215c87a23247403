"""A batch's row reads back as it was recorded, and rows of several runs become one."""

import json
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest

from prio_assets.defs.processor.batch_table import BatchRow, merge, row_of_facts, row_of_outcome
from prio_assets.processor.validation import BatchOutcome, BatchState
from prio_assets.wire.names import BatchName

SENT = BatchRow("a", "2026/01/01/00/00", BatchState.SENT, "", 50, 47, Counter({"undecryptable": 3}), 0.5, "e")
REJECTED = BatchRow("b", "2026/01/01/00/01", BatchState.REJECTED, "signature_invalid: a/b: no", 0, 0, Counter(), 0.1)
FAILED = BatchRow("c", "2026/01/01/00/02", BatchState.FAILED, "disk: full")


@pytest.mark.parametrize("row", [SENT, REJECTED, FAILED])
def test_reads_back(row: BatchRow) -> None:
    assert row_of_facts(json.loads(json.dumps(row.facts))) == row


def test_a_rejection_shows_its_reason_apart() -> None:
    assert (REJECTED.record["reason"], REJECTED.record["details"]) == ("signature_invalid", "a/b: no")
    assert (FAILED.record["reason"], FAILED.record["details"]) == ("", "disk: full")


def test_packets_stay_known_when_a_later_run_does_not_read_them() -> None:
    later = BatchRow("a", SENT.time, BatchState.SENT)
    assert merge([SENT], [later, REJECTED]) == [REJECTED, SENT]
    assert merge(merge([SENT], [later]), []) == [SENT]


def test_packets_stay_known_of_a_batch_that_fails_until_it_is_rejected() -> None:
    (failed,) = merge([SENT], [BatchRow("a", SENT.time, BatchState.FAILED, "disk: full")])
    assert (failed.state, failed.reason, failed.received, failed.rejected) == (
        BatchState.FAILED,
        "disk: full",
        SENT.received,
        SENT.rejected,
    )
    rejected = BatchRow("a", SENT.time, BatchState.REJECTED, "left_out: no")
    assert merge([failed], [rejected]) == [rejected]


def test_an_engine_is_that_of_packets_which_it_verified() -> None:
    batch = BatchName("aggregation", datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1))
    taken_in = BatchOutcome(batch, BatchState.SENT, received=3, accepted=3)
    sent_again = BatchOutcome(batch, BatchState.SENT, accepted=3)
    assert [row_of_outcome(outcome, "plain").engine for outcome in (taken_in, sent_again)] == ["plain", ""]
    assert row_of_facts({"batch": "a", "time": "", "state": "", "rejected": {}}).engine == ""
