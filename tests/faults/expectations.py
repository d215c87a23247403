"""How the tables of expected outcomes are read: a row for each field, a column for each kind of tampering."""

from collections.abc import Mapping

from prio_assets.errors import BatchReason, PacketReason, PrioAssetsError
from tests.faults.tampering import Kind, fields_of, tamperings

FINE = None
"""The tampering changes nothing that anyone relies on."""

Outcome = BatchReason | PacketReason | type[PrioAssetsError] | str | None
Row = tuple[Outcome, Outcome, Outcome, Outcome, Outcome, Outcome]
"""In the order of `Kind`: missing, null, wrong type, other, lowest, greatest."""
Table = Mapping[str, Row]


def expected_outcome(table: Table, field: str, kind: Kind) -> Outcome:
    """What the table says; a field without a row is one that somebody added to the schema without saying."""
    assert field in table, f"write down what is expected when {field} is tampered with"
    return table[field][list(Kind).index(kind)]


def cases(tables: Mapping[str, Table]) -> list[tuple[str, str, Kind]]:
    """(record, field, kind) for all records of the tables: fields come from the schemas, not from the tables."""
    return [(record, field, kind) for record in tables for field, kind in tamperings(record)]


def fields_without_schema(tables: Mapping[str, Table]) -> dict[str, set[str]]:
    """Rows about fields that their schema no longer has."""
    surplus = {record: set(table) - set(fields_of(record)) for record, table in tables.items()}
    return {record: fields for record, fields in surplus.items() if fields}
