"""The table of batches reads back as it was written, and rows of several runs become one."""

from collections import Counter

import pytest

from prio_assets.defs.processor.batch_table import BatchRow, merge, row_of_record
from prio_assets.processor.validation import BatchState

SENT = BatchRow("a", "2026/01/01/00/00", BatchState.SENT, "", 50, 47, Counter({"undecryptable": 3}), 0.5)
REJECTED = BatchRow("b", "2026/01/01/00/01", BatchState.REJECTED, "signature_invalid: a/b: no", 0, 0, Counter(), 0.1)
FAILED = BatchRow("c", "2026/01/01/00/02", BatchState.FAILED, "disk: full")


@pytest.mark.parametrize("row", [SENT, REJECTED, FAILED])
def test_reads_back(row: BatchRow) -> None:
    assert row_of_record(row.record) == row


def test_a_rejection_shows_its_reason_apart() -> None:
    assert (REJECTED.record["reason"], REJECTED.record["details"]) == ("signature_invalid", "a/b: no")
    assert (FAILED.record["reason"], FAILED.record["details"]) == ("", "disk: full")


def test_packets_stay_known_when_a_later_run_does_not_read_them() -> None:
    later = BatchRow("a", SENT.time, BatchState.SENT)
    assert merge([SENT], [later, REJECTED]) == [REJECTED, SENT]
    assert merge(merge([SENT], [later]), []) == [SENT]
