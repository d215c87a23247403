"""Each reason that the program can give is in the docs, with cause and remedy."""

import re
from pathlib import Path

import pytest

from prio_assets.errors import BatchReason, PacketReason

FAULTS = Path(__file__).parent
DOCUMENT = FAULTS.parents[1] / "docs" / "rejections.md"


def _rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading: cause and remedy by reason."""
    section = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    (table,) = (part for part in section if part.startswith(heading))
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ?(.*?) ?\|$", table, flags=re.MULTILINE)
    return {reason: [cause, remedy] for reason, cause, remedy in rows}


@pytest.mark.parametrize(
    ("heading", "reasons"),
    [("Batches", [reason.value for reason in BatchReason]), ("Packets", [reason.label for reason in PacketReason])],
)
def test_the_document_lists_each_reason_in_the_order_of_the_program(heading: str, reasons: list[str]) -> None:
    rows = _rows(heading)
    assert list(rows) == reasons
    for reason, (cause, remedy) in rows.items():
        assert cause
        assert remedy or reason == PacketReason.ACCEPTED.label
