"""Tables as metadata."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

MOST_ROWS = 1000
"""Longer tables are cut: they are for people, and the instance stores them with every run."""

_TYPES = {bool: "bool", int: "int", float: "float", str: "string"}


def table(records: Sequence[Mapping[str, Any]], columns: Mapping[str, type]) -> dg.TableMetadataValue:
    """The records as a table of these columns, also when there are none."""
    schema = dg.TableSchema([dg.TableColumn(name, _TYPES[kind]) for name, kind in columns.items()])
    return dg.MetadataValue.table([dg.TableRecord(dict(record)) for record in records[:MOST_ROWS]], schema=schema)
