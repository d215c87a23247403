"""Avro by fastavro alone, as the independent truth; our containers of any records; strategies that follow a schema."""

import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fastavro
from hypothesis import strategies as st

from prio_assets.wire.containers import blocks_of, container, encode_datum
from prio_assets.wire.schemas import schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PRIMITIVES = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=40),
    "string": st.text(max_size=20),
    "null": st.none(),
}


def read_plainly(data: bytes) -> list[dict[str, Any]]:
    """The records of a container by the schema in it, UUIDs as lower-case texts and times as milliseconds."""
    return [without_logical_types(record) for record in fastavro.reader(io.BytesIO(data))]


def write_plainly(
    schema_or_text: Any, records: list[dict[str, Any]], *, codec: str = "null", sync_interval: int = 16000
) -> bytes:
    """The container that fastavro writes."""
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema_or_text, records, codec=codec, sync_interval=sync_interval)
    return buffer.getvalue()


def write_container(record_name: str, records: Iterable[dict[str, Any]], sync_seed: bytes) -> bytes:
    """The container of our own that holds the records."""
    return container(record_name, blocks_of(encode_datum(record_name, values) for values in records), sync_seed)


def without_logical_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_logical_types(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_logical_types(item) for item in value]
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(milliseconds=1)
    return value


def records_of(record_name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records that fit the schema of that name, as `encode_datum` takes them."""
    return _values(schema(record_name))


def _values(avro_type: Any, logical_type: str | None = None, name: str = "") -> st.SearchStrategy[Any]:
    if isinstance(avro_type, list):
        return st.one_of([_values(branch) for branch in avro_type])
    if isinstance(avro_type, dict) and avro_type["type"] == "record":
        return st.fixed_dictionaries(
            {
                field["name"]: _values(field["type"], field.get("logicalType"), field["name"])
                for field in avro_type["fields"]
            }
        )
    if isinstance(avro_type, dict) and avro_type["type"] == "array":
        if name == "sum":
            return st.lists(st.integers(0, 2**32 - 1), max_size=5)
        return st.lists(_values(avro_type["items"]), max_size=3)
    if isinstance(avro_type, dict):
        return _values(avro_type["type"], avro_type.get("logicalType"))
    return st.uuids().map(str) if logical_type == "uuid" else PRIMITIVES[avro_type]
