"""The Avro schemas of `avro-schema/`, one record a file: the single source of every record that is read or written."""

import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from fastavro import parse_schema

Schema = dict[str, Any]
"""A record's schema as JSON has it, e.g. `{"type": "record", "name": "PrioInvalidPacket", "fields": [...]}`."""

EMBEDDED_ATTRIBUTES = ("namespace", "type", "name", "fields", "items", "logicalType", "default")
"""What a container's copy of the schema keeps: all but the texts."""

DATUM_ATTRIBUTES = ("namespace", "type", "name", "fields", "items", "default")
"""What the encoding of a datum depends on. Logical types are left out, since libraries disagree about reading them."""


@cache
def schema(record_name: str) -> Schema:
    """The schema of a record of ours, such as `PrioBatchList`, with the records inside it in full.

    Treat it as read-only: it is shared. Raises KeyError for a name that is in no schema file.
    """
    loaded = _schema_files()[record_name]
    return {**loaded, "fields": [{**field, "type": _in_full(field["type"])} for field in loaded["fields"]]}


@cache
def embedded_schema(record_name: str) -> bytes:
    """The schema as the containers that we write carry it: JSON without texts, the same bytes always."""
    kept = _keep(schema(record_name), EMBEDDED_ATTRIBUTES)
    return json.dumps(kept, separators=(",", ":")).encode()


@cache
def datum_schema(record_name: str) -> Schema:
    """The schema by which fastavro reads into and writes a record: strings and numbers, no logical types."""
    kept: Schema = _keep(schema(record_name), DATUM_ATTRIBUTES)
    return cast(Schema, parse_schema(kept))


def record_names() -> tuple[str, ...]:
    """The names of all records that have a schema file, sorted."""
    return tuple(sorted(_schema_files()))


@cache
def _schema_files() -> dict[str, Schema]:
    loaded = [json.loads(file.read_text()) for file in _schema_folder().iterdir() if file.name.endswith(".avsc")]
    return {schema["name"]: schema for schema in loaded}


def _schema_folder() -> Traversable:
    installed = resources.files("prio_assets") / "avro-schema"
    if installed.is_dir():
        return installed
    return Path(__file__).parents[2] / "avro-schema"


def _in_full(value: Any) -> Any:
    """A field's type with the name of a record of ours replaced by that record's schema."""
    if isinstance(value, str):
        return schema(value) if value in _schema_files() else value
    if isinstance(value, dict) and "items" in value:
        return {**value, "items": _in_full(value["items"])}
    return value


def _keep(value: Any, attributes: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _keep(kept, attributes) for name, kept in value.items() if name in attributes}
    if isinstance(value, list):
        return [_keep(item, attributes) for item in value]
    return value
