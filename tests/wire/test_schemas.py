"""The schema files against those of the reference, and what is embedded and used of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from prio_assets.wire.schemas import datum_schema, embedded_schema, record_names, schema

VECTORS = Path(__file__).parents[1] / "vectors"
REFERENCE = json.loads((VECTORS / "avro_schemas.json").read_text())["schemas"]
LATER_SIGNATURE_FIELDS = [
    {"name": "batch_header", "type": ["null", "bytes"], "default": None},
    {"name": "packets", "type": ["null", "bytes"], "default": None},
]
SCHEMA_FILES = sorted((Path(__file__).parents[2] / "avro-schema").iterdir())


def attributes(value: Any, name: str) -> list[Any]:
    """All values of the attribute `name` anywhere in a schema."""
    if isinstance(value, list):
        return [found for item in value for found in attributes(item, name)]
    if not isinstance(value, dict):
        return []
    return ([value[name]] if name in value else []) + attributes(list(value.values()), name)


@pytest.mark.parametrize("reference", REFERENCE, ids=lambda reference: reference["source_schema"]["name"])
def test_the_wire_schemas_are_those_of_the_reference(reference: dict[str, Any]) -> None:
    expected = reference["source_schema"]
    if expected["name"] == "PrioBatchSignature":
        expected = {**expected, "fields": expected["fields"] + LATER_SIGNATURE_FIELDS}
    assert json.loads(embedded_schema(expected["name"])) == expected


@pytest.mark.parametrize("file", SCHEMA_FILES, ids=lambda file: file.name)
def test_a_schema_file_holds_one_record_and_explains_every_field(file: Path) -> None:
    loaded = json.loads(file.read_text())
    assert loaded["type"] == "record"
    assert all(part.get("doc") for part in [loaded, *loaded["fields"]])
    assert "record" not in attributes([field["type"] for field in loaded["fields"]], "type")


def test_every_file_is_a_record_of_its_own() -> None:
    assert len(record_names()) == len(SCHEMA_FILES)


@pytest.mark.parametrize("name", record_names())
def test_texts_are_not_embedded_and_logical_types_not_encoded_by(name: str) -> None:
    assert not attributes(json.loads(embedded_schema(name)), "doc")
    assert not attributes(datum_schema(name), "logicalType")


def test_records_inside_a_record_are_in_full() -> None:
    batches = schema("PrioBatchList")["fields"][-1]["type"]
    assert batches == {"type": "array", "items": schema("PrioListedBatch")}
