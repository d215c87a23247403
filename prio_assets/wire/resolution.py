"""The schema that a container brings along, made fit to read our record with.

Whoever wrote the container wrote the schema too. Avro's resolution lets it have other fields than ours, and this module
takes from it what could harm or mislead the reader:

- Logical types are dropped, since writers put them in two places and libraries read them in two ways.
- Records are given the names of ours that they are resolved to: names are not compared.
- Named types are written out where they are used, within bounds, which a type that contains itself exceeds.
- Every value takes at least one byte, so that the work of reading is bounded by the bytes there are.
"""

import json
from functools import lru_cache
from typing import Any

from fastavro import parse_schema

from prio_assets.errors import MalformedError
from prio_assets.wire.schemas import Schema, datum_schema

MAXIMUM_DEPTH = 32
MAXIMUM_TYPES = 1000
PRIMITIVES = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


@lru_cache(maxsize=64)  # honest writers have a schema a record; a stranger's variety must not fill the memory
def writer_schema(text: bytes, record_name: str) -> tuple[Schema, Schema | None]:
    """The pair (writer's schema, reader's schema) for fastavro, of a container's `avro.schema`.

    The reader's is None where the writer's is the same, which is faster. Raises MalformedError for a text that is no
    schema of a record, or one outside the bounds above. That a field is missing is seen only when a record is read.
    """
    ours = datum_schema(record_name)
    try:
        theirs = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("its schema is not JSON") from None
    if not isinstance(theirs, dict) or theirs.get("type") != "record":
        raise MalformedError("its schema is not that of a record")
    rebuilt = _Rebuilder().rebuild(theirs, ours, "", 0)
    if rebuilt == _Rebuilder().rebuild(ours, ours, "", 0):
        return ours, None
    try:
        return parse_schema(rebuilt), ours  # type: ignore[return-value]
    except MemoryError:  # ours, not the schema's
        raise
    except Exception as error:  # fastavro raises many types for a schema that is none
        raise MalformedError(f"its schema is not valid ({type(error).__name__})") from None


class _Rebuilder:
    """Copies a schema within the bounds, knowing the named types met so far."""

    def __init__(self) -> None:
        self._definitions: dict[str, tuple[Schema, str]] = {}
        self._types = 0

    def rebuild(self, theirs: Any, ours: Any, namespace: str, depth: int) -> Any:
        """The copy of `theirs`; `ours` is the type that it is resolved to, or None."""
        self._types += 1
        if depth > MAXIMUM_DEPTH or self._types > MAXIMUM_TYPES:
            raise MalformedError(f"its schema is deeper than {MAXIMUM_DEPTH} or has over {MAXIMUM_TYPES} types")
        if isinstance(theirs, list):
            return [self._branch(branch, ours, namespace, depth + 1) for branch in theirs]
        if isinstance(theirs, dict):
            return self._rebuild_object(theirs, ours, namespace, depth)
        if isinstance(theirs, str):
            return theirs if theirs in PRIMITIVES else self._rebuild_reference(theirs, ours, namespace, depth)
        raise MalformedError("its schema has a type that is none")

    def _branch(self, theirs: Any, ours: Any, namespace: str, depth: int) -> Any:
        """A branch of a union: only here, where its index takes a byte, may a value be null."""
        if theirs in ("null", {"type": "null"}):
            return "null"
        if isinstance(theirs, list):
            raise MalformedError("its schema has a union within a union")
        return self.rebuild(theirs, ours, namespace, depth)

    def _rebuild_object(self, theirs: Schema, ours: Any, namespace: str, depth: int) -> Any:
        kind = theirs.get("type")
        if kind in ("array", "map"):
            items = "items" if kind == "array" else "values"
            counterpart = ours.get(items) if isinstance(ours, dict) else None
            return {"type": kind, items: self.rebuild(theirs.get(items), counterpart, namespace, depth + 1)}
        if kind in ("record", "enum", "fixed"):
            return self._rebuild_named(theirs, ours, namespace, depth)
        return self.rebuild(kind, ours, namespace, depth + 1)

    def _rebuild_named(self, theirs: Schema, ours: Any, namespace: str, depth: int) -> Schema:
        full_name, namespace = _full_name(theirs, namespace)
        self._definitions[full_name] = (theirs, namespace)
        if theirs["type"] == "enum":
            return {"type": "enum", "name": self._new_name(), "symbols": _symbols(theirs)}
        if theirs["type"] == "fixed":
            return {"type": "fixed", "name": self._new_name(), "size": _size(theirs)}
        counterpart = _record_of(ours)
        name = counterpart["name"] if counterpart else self._new_name()
        our_fields = {field["name"]: field["type"] for field in counterpart["fields"]} if counterpart else {}
        rebuilt = []
        for field in _fields(theirs):
            field_type = self.rebuild(field["type"], our_fields.get(field["name"]), namespace, depth + 1)
            rebuilt.append({"name": field["name"], "type": field_type})
        return {"type": "record", "name": name, "fields": rebuilt}

    def _rebuild_reference(self, name: str, ours: Any, namespace: str, depth: int) -> Any:
        for full_name in (f"{namespace}.{name}", name):
            if full_name in self._definitions:
                definition, its_namespace = self._definitions[full_name]
                return self._rebuild_named({**definition, "name": full_name}, ours, its_namespace, depth + 1)
        raise MalformedError("its schema names a type that it does not define")

    def _new_name(self) -> str:
        return f"theirs.Type{self._types}"


def _full_name(theirs: Schema, namespace: str) -> tuple[str, str]:
    """A definition's full name and the namespace inside it."""
    name, own_namespace = theirs.get("name"), theirs.get("namespace", namespace)
    if not isinstance(name, str) or not isinstance(own_namespace, str):
        raise MalformedError("its schema has a type without a name")
    if "." in name:
        return name, name.rpartition(".")[0]
    return (f"{own_namespace}.{name}" if own_namespace else name), own_namespace


def _record_of(ours: Any) -> Schema | None:
    """The record that a type of ours is, or is the one record branch of."""
    for candidate in ours if isinstance(ours, list) else [ours]:
        if isinstance(candidate, dict) and candidate.get("type") == "record":
            return candidate
    return None


def _fields(theirs: Schema) -> list[Schema]:
    fields = theirs.get("fields")
    if not isinstance(fields, list) or not fields:
        raise MalformedError("its schema has a record without fields")
    if not all(isinstance(field, dict) and isinstance(field.get("name"), str) and "type" in field for field in fields):
        raise MalformedError("its schema has a field without name or type")
    if len({field["name"] for field in fields}) != len(fields):
        raise MalformedError("its schema has a field twice")
    return fields


def _symbols(theirs: Schema) -> list[str]:
    symbols = theirs.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise MalformedError("its schema has an enumeration without symbols")
    return symbols


def _size(theirs: Schema) -> int:
    size = theirs.get("size")
    if type(size) is not int or not 1 <= size <= 2**31 - 1:
        raise MalformedError("its schema has a fixed type without a size")
    return size
