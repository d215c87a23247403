"""The schemas that containers bring along: what Avro's resolution allows, and what is refused."""

import json
from typing import Any

import pytest

from prio_assets.errors import MalformedError
from prio_assets.wire.resolution import writer_schema
from prio_assets.wire.schemas import datum_schema, embedded_schema, record_names


def text_of(fields: list[Any], **attributes: Any) -> bytes:
    return json.dumps({"type": "record", "name": "Anything", "fields": fields, **attributes}).encode()


def field(avro_type: Any, name: str = "extra") -> dict[str, Any]:
    return {"name": name, "type": avro_type}


@pytest.mark.parametrize("name", record_names())
def test_our_own_schema_needs_no_resolution(name: str) -> None:
    assert writer_schema(embedded_schema(name), name) == (datum_schema(name), None)


def test_names_and_logical_types_and_texts_make_no_difference() -> None:
    theirs = text_of(
        [
            field({"type": "bytes", "doc": "a digest"}, "digest"),
            field({"type": "long", "logicalType": "timestamp-millis"}, "sent_at"),
        ],
        namespace="other",
        doc="a text",
    )
    assert writer_schema(theirs, "Sent") == (datum_schema("Sent"), None)


NESTED: Any = "long"
for _ in range(40):
    NESTED = {"type": "array", "items": NESTED}

DOUBLING = [field("long", "digest")]
for level in range(40):
    inner = {"type": "record", "name": f"Level{level}", "fields": DOUBLING}
    DOUBLING = [field(inner, "left"), field(f"Level{level}", "right")]

HUGE_DOUBLING = [field({"type": "record", "name": "Level0", "fields": [field("long")]}, "level0")]
for level in range(1, 30):
    pair = [field(f"Level{level - 1}", "left"), field(f"Level{level - 1}", "right")]
    HUGE_DOUBLING.append(field({"type": "record", "name": f"Level{level}", "fields": pair}, f"level{level}"))

TENFOLD = [field({"type": "record", "name": "Level0", "fields": [field("long")]}, "level0")]
for level in range(1, 5):
    ten = [field(f"Level{level - 1}", f"field{number}") for number in range(10)]
    TENFOLD.append(field({"type": "record", "name": f"Level{level}", "fields": ten}, f"level{level}"))

REFUSED = {
    "not JSON": b"{",
    "not UTF-8": b'{"type":"record","name":"\xff"}',
    "empty": b"",
    "brackets": b"[" * 100_000,
    "long number": b"1" * 10_000,
    "not a record": b'"string"',
    "a union": b'[{"type":"record","name":"Sent","fields":[]}]',
    "an enumeration": b'{"type":"enum","name":"Sent","symbols":["A"]}',
    "no fields": text_of([]),
    "fields no list": json.dumps({"type": "record", "name": "A", "fields": {"name": "a"}}).encode(),
    "no name": json.dumps({"type": "record", "fields": [field("long")]}).encode(),
    "name no text": text_of([field("long")], namespace=7),
    "field without type": text_of([{"name": "a"}]),
    "field twice": text_of([field("long"), field("long")]),
    "type is a number": text_of([field(7)]),
    "type is null": text_of([field(None)]),
    "unknown type": text_of([field("Nowhere")]),
    "unknown kind": text_of([field({"type": "thing"})]),
    "null outside a union": text_of([field("null")]),
    "array of null": text_of([field({"type": "array", "items": "null"})]),
    "map of null": text_of([field({"type": "map", "values": {"type": "null"}})]),
    "array of nothing": text_of([field({"type": "array"})]),
    "array of empty records": text_of(
        [field({"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}})]
    ),
    "fixed of no size": text_of([field({"type": "fixed", "name": "Nothing", "size": 0})]),
    "fixed of negative size": text_of([field({"type": "fixed", "name": "Less", "size": -1})]),
    "fixed of giant size": text_of([field({"type": "fixed", "name": "Giant", "size": 2**60})]),
    "symbols no texts": text_of([field({"type": "enum", "name": "Symbols", "symbols": [1]})]),
    "symbols invalid": text_of([field({"type": "enum", "name": "Symbols", "symbols": ["-"]})]),
    "union in a union": text_of([field(["long", ["string"]])]),
    "contains itself": text_of([field("Anything")]),
    "contains itself in a union": text_of([field(["null", "Anything"])]),
    "deep": text_of([field(NESTED)]),
    "doubling, deep": text_of(DOUBLING),
    "doubling, wide": text_of(HUGE_DOUBLING),
    "tenfold at each level": text_of(TENFOLD),
}


@pytest.mark.parametrize("theirs", REFUSED.values(), ids=REFUSED.keys())
def test_other_schemas_are_malformed(theirs: bytes) -> None:
    with pytest.raises(MalformedError, match="its schema"):
        writer_schema(theirs, "Sent")


def test_named_types_are_found_in_their_namespaces() -> None:
    inner = {
        "type": "record",
        "name": "inner.Pair",
        "fields": [field("long", "left"), field({"type": "fixed", "name": "Two", "size": 2}, "right")],
    }
    theirs = text_of(
        [
            field(inner, "a"),
            field("inner.Pair", "b"),
            field("inner.Two", "c"),
            field({"type": "enum", "name": "Own", "symbols": ["A"]}, "d"),
            field("Own", "e"),
        ],
        namespace="outer",
    )
    rebuilt, ours = writer_schema(theirs, "Sent")
    assert ours == datum_schema("Sent")
    kinds = [one["type"]["type"] for one in rebuilt["fields"]]
    assert kinds == ["record", "record", "fixed", "enum", "enum"]


def test_a_name_defined_twice_is_no_obstacle_as_in_the_reference() -> None:
    again = {"type": "fixed", "name": "Two", "size": 2}
    rebuilt, _ = writer_schema(text_of([field(again, "a"), field(again, "b")]), "Sent")
    assert len({one["type"]["name"] for one in rebuilt["fields"]}) == 2
