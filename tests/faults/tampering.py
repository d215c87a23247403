"""Tampered records, generated from the schemas: each field of a record in each way that it can be wrong.

A tampering changes the first record of a container and keeps the rest; the container itself stays sound, and is written
by fastavro, not by the code under test.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from enum import StrEnum
from typing import Any
from uuid import UUID

import fastavro

from prio_assets.wire.containers import read_records
from prio_assets.wire.schemas import schema

OTHER_UUID = str(UUID(int=0xB1))


class Kind(StrEnum):
    """What is done to a field."""

    MISSING = "missing"  # the writer's schema has no such field
    NULL = "null"  # the writer's schema allows null, and it is
    WRONG_TYPE = "wrong_type"  # the writer's schema has a type that cannot be promoted
    OTHER = "other"  # another value of the same kind
    LOWEST = "lowest"  # the least number, the empty text, bytes or array
    GREATEST = "greatest"  # the greatest number, a text of 49 characters, 2000 bytes, an array of 1000


def fields_of(record_name: str) -> list[str]:
    """The names of a record's fields, from its schema."""
    return [field["name"] for field in schema(record_name)["fields"]]


def tamperings(record_name: str) -> list[tuple[str, Kind]]:
    """Every tampering of the record."""
    return [(field, kind) for field in fields_of(record_name) for kind in Kind]


def tampered(data: bytes, record_name: str, field: str, kind: Kind, inside: str | None = None) -> bytes:
    """The container of `record_name` with `field` tampered; `inside` names an array of records that have the field."""
    records = list(read_records(record_name, io.BytesIO(data), "the original"))
    writer = _plain(schema(record_name))
    fields = writer["fields"] if inside is None else _named(writer["fields"], inside)["type"]["items"]["fields"]
    targets = records if inside is None else [item for record in records for item in record[inside]]
    _apply(fields, targets, field, kind)
    return write(writer, records)


def rewritten(data: bytes, record_name: str, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """The container of `record_name` with whatever `change` does to its records."""
    records = list(read_records(record_name, io.BytesIO(data), "the original"))
    change(records)
    return write(_plain(schema(record_name)), records)


def write(writer: dict[str, Any], records: Iterable[Mapping[str, Any]]) -> bytes:
    """A container as another implementation writes it."""
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema(writer), records, sync_marker=b"\0" * 16)
    return buffer.getvalue()


def _apply(fields: list[dict[str, Any]], targets: list[dict[str, Any]], field: str, kind: Kind) -> None:
    definition = _named(fields, field)
    if kind is Kind.MISSING:
        fields.remove(definition)
    elif kind is Kind.NULL:
        branches = definition["type"] if isinstance(definition["type"], list) else [definition["type"]]
        definition["type"] = ["null", *(branch for branch in branches if branch != "null")]
        targets[0][field] = None
    elif kind is Kind.WRONG_TYPE:
        definition["type"], value = _unlike(definition["type"])
        for target in targets:
            target[field] = value
    else:
        change = {Kind.OTHER: _other, Kind.LOWEST: _lowest, Kind.GREATEST: _greatest}[kind]
        targets[0][field] = change(_of_values(definition["type"]), targets[0][field], definition["uuid"])


def _named(fields: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(field for field in fields if field["name"] == name)


def _plain(value: Any) -> Any:
    """A schema without logical types, which libraries disagree about; `uuid` says of each field whether it had that."""
    value = deepcopy(value)
    for field in value["fields"]:
        field["uuid"] = "uuid" in _logical_types(field)
        field["type"] = _without_logical_type(field["type"])
        field.pop("logicalType", None)
        field.pop("default", None)
    return value


def _logical_types(field: Any) -> set[str]:
    own = {field["logicalType"]} if isinstance(field, dict) and "logicalType" in field else set()
    below = [field.get("type"), field.get("items")] if isinstance(field, dict) else []
    return own.union(*(_logical_types(each) for each in below if isinstance(each, dict)))


def _without_logical_type(kind: Any) -> Any:
    if not isinstance(kind, dict):
        return kind
    if kind["type"] == "array":
        return {"type": "array", "items": _without_logical_type(kind["items"])}
    return _plain(kind) if kind["type"] == "record" else kind["type"]


def _of_values(kind: Any) -> Any:
    """The type of a field's values, where null is not one."""
    return next(branch for branch in kind if branch != "null") if isinstance(kind, list) else kind


def _unlike(kind: Any) -> tuple[Any, Any]:
    """A type that Avro does not promote to this one, and a value of it."""
    if isinstance(kind, list):
        return {"type": "array", "items": "long"}, [1]
    return ("long", 1) if kind in ("string", "bytes") else ("string", "1")


def _other(kind: Any, value: Any, uuid: bool) -> Any:
    if isinstance(kind, dict):
        items = kind["items"]
        if isinstance(items, dict):
            return value[1:]
        return [_other(items, value[0] if value else None, uuid), *value[1:]]
    if kind == "string":
        return OTHER_UUID if uuid else "other"
    if kind == "bytes":
        return bytes([value[0] ^ 1]) + value[1:] if value else b"other"
    return not value if kind == "boolean" else (value or 0) + 1


def _lowest(kind: Any, value: Any, uuid: bool) -> Any:
    if isinstance(kind, dict):
        return []
    return {
        "string": "",
        "bytes": b"",
        "int": -(2**31),
        "long": -(2**63),
        "double": float("-inf"),
        "boolean": False,
    }[kind]


def _greatest(kind: Any, value: Any, uuid: bool) -> Any:
    if isinstance(kind, dict):
        first = value[0] if value else _greatest(kind["items"], None, uuid)
        return [first] * 1000
    return {
        "string": "x" * 49,
        "bytes": b"\xff" * 2000,
        "int": 2**31 - 1,
        "long": 2**63 - 1,
        "double": float("inf"),
        "boolean": True,
    }[kind]
