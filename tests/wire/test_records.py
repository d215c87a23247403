"""Records against the reference's vectors, against every object that the reference wrote, and against hostile ones."""

import io
import json
from copy import deepcopy
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import MalformedError, RefusedError
from prio_assets.prio.domain import MAXIMUM_BINS
from prio_assets.wire.containers import _SEEN, encode_datum
from prio_assets.wire.records import (
    LIST_READS,
    BatchList,
    BatchSignature,
    Counted,
    IngestionHeader,
    LedgerEntry,
    ListedBatch,
    Parameters,
    Receipt,
    Record,
    Rejection,
    Sent,
    State,
    SumPart,
    Totals,
    ValidityHeader,
    decode,
    encode,
)
from prio_assets.wire.schemas import schema
from tests.wire.avro import read_plainly, records_of, without_logical_types, write_container, write_plainly

VECTORS = Path(__file__).parents[1] / "vectors"
INTEROP = Path(__file__).parents[1] / "interop"
REFERENCE_SCHEMAS = json.loads((VECTORS / "avro_schemas.json").read_text())["schemas"]
REFERENCE_RECORDS = [
    (vector["schema"], entry)
    for vector in json.loads((VECTORS / "avro_records.json").read_text())["vectors"]
    for entry in vector.get("records", [])
]
RECORD_TYPES: dict[str, type[Record]] = {
    record_type.schema_name: record_type
    for record_type in (
        BatchList, BatchSignature, Counted, IngestionHeader, LedgerEntry, ListedBatch,
        Receipt, Rejection, Sent, State, SumPart, Totals, ValidityHeader,
    )
}  # fmt: skip
SCHEMA_OF_FILE = {
    reference["source"].rpartition(" ")[2].removesuffix(".avsc"): reference for reference in REFERENCE_SCHEMAS
}

BATCH = UUID("b8a5579a-f984-460a-a42d-2813cbf57771")
SUM_PART = SumPart((BATCH,), "kittens-seen", 2, 8.0, 4293918721, 2, None, (3, 2**32 - 1), 0, 1, b"d", 7)
LISTED_BATCH = ListedBatch(BATCH, 5, b"0", b"1", (BATCH,))
TOTALS = Totals(BATCH, 2, 8.0, 4293918721, 2, None, b"d", b"v", 1, (1, 2), rejected=BATCH.bytes, engine="plain")


def unhexed(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: bytes.fromhex(value[4:]) if isinstance(value, str) and value.startswith("hex:") else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(("file", "entry"), REFERENCE_RECORDS)
def test_the_references_records_have_the_references_encoding(file: str, entry: dict[str, Any]) -> None:
    reference = SCHEMA_OF_FILE[file]["source_schema"]
    name, values = reference["name"], unhexed(entry["record"])
    if name == "PrioBatchSignature":  # ours has two later fields, null here: a byte each
        assert encode_datum(name, values | {"batch_header": None, "packets": None}).hex() == entry["datum_hex"] + "0000"
    else:
        assert encode_datum(name, values).hex() == entry["datum_hex"]


@pytest.mark.parametrize("form", ["source_schema", "embedded_schema"])
@pytest.mark.parametrize(("file", "entry"), [pair for pair in REFERENCE_RECORDS if not pair[0].endswith("packet")])
def test_what_the_baseline_writes_is_read(file: str, entry: dict[str, Any], form: str) -> None:
    name = SCHEMA_OF_FILE[file]["source_schema"]["name"]
    its_schema = SCHEMA_OF_FILE[file][form]
    its_schema = json.loads(its_schema) if isinstance(its_schema, str) else its_schema
    values = unhexed(entry["record"])
    record = decode(RECORD_TYPES[name], write_plainly(its_schema, [values]), "x")
    assert {field: getattr(record, field) for field in values} == as_fields(values)


@pytest.mark.parametrize(("file", "entry"), REFERENCE_RECORDS)
def test_what_is_written_is_read_by_the_baselines_schema(file: str, entry: dict[str, Any]) -> None:
    name, values = SCHEMA_OF_FILE[file]["source_schema"]["name"], unhexed(entry["record"])
    if name == "PrioBatchSignature":
        values = values | {"batch_header": b"h", "packets": None}
    data = write_container(name, [values], b"")
    its_schema = json.loads(SCHEMA_OF_FILE[file]["embedded_schema"])
    (read,) = fastavro.reader(io.BytesIO(data), its_schema)
    expected = {field["name"]: values[field["name"]] for field in its_schema["fields"]}
    assert without_logical_types(read) == expected


def as_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Plain values as the fields of a record have them."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if "batch_uuid" in fields:
        fields["batch_uuid"] = UUID(fields["batch_uuid"])
    if "batch_uuids" in fields:
        fields["batch_uuids"] = tuple(UUID(text) for text in fields["batch_uuids"])
    return fields


REFERENCE_OBJECTS = {
    IngestionHeader: "*/*/ingestion/**/*.batch",
    ValidityHeader: "*/*/peer-validation/**/*.validity_?",
    SumPart: "*/portal/**/*.sum_?",
    BatchSignature: "*/**/*.sig",
}
NO_LATER_FIELDS: dict[type[Record], dict[str, Any]] = {BatchSignature: {"batch_header": None, "packets": None}}


@pytest.mark.parametrize(("record_type", "pattern"), REFERENCE_OBJECTS.items())
def test_every_object_of_the_reference_is_what_fastavro_reads(record_type: type[Record], pattern: str) -> None:
    paths = sorted(INTEROP.glob(pattern))
    assert paths
    for path in paths:
        (plain,) = read_plainly(path.read_bytes())
        record = decode(record_type, path.read_bytes(), path.name)
        assert vars(record) == NO_LATER_FIELDS.get(record_type, {}) | as_fields(plain), path


def test_every_header_in_a_single_object_of_the_reference_is_read() -> None:
    headers = [
        (path, signature.batch_header)
        for path in INTEROP.glob("*/*/peer-validation/**/*.sig")
        if (signature := decode(BatchSignature, path.read_bytes(), path.name)).batch_header is not None
    ]
    assert headers
    for path, header in headers:
        assert str(decode(ValidityHeader, header, path.name).batch_uuid) == path.name.partition(".")[0]


@pytest.mark.parametrize("name", sorted(RECORD_TYPES))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_record_is_what_it_was_after_its_object(name: str, data: st.DataObject) -> None:
    values = data.draw(records_of(name))
    record = decode(RECORD_TYPES[name], write_container(name, [values], b"any"), "x")
    encoded = encode(record)
    assert encoded == encode(record)
    assert decode(RECORD_TYPES[name], encoded, "x") == record
    (plain,) = read_plainly_without_times(encoded)
    assert plain == values


def read_plainly_without_times(data: bytes) -> list[dict[str, Any]]:
    """As `read_plainly`, for times that no `datetime` holds."""
    return read_plainly(data.replace(b'"logicalType"', b'"logicalTipe"'))


@pytest.mark.parametrize("name", sorted(RECORD_TYPES))
def test_the_fields_of_a_record_are_those_of_its_schema(name: str) -> None:
    assert list(RECORD_TYPES[name].__dataclass_fields__) == [field["name"] for field in schema(name)["fields"]]  # type: ignore[attr-defined]


def test_objects_differ_where_their_records_do() -> None:
    first, other = encode(Sent(b"d", 1)), encode(Sent(b"d", 2))
    assert len(first) == len(other)
    assert first[-16:] != other[-16:]


def test_parameters_are_compared_as_a_whole() -> None:
    assert SUM_PART.parameters == Parameters(2, 8.0, 4293918721, 2, None)
    assert replace(SUM_PART, hamming_weight=1).parameters != SUM_PART.parameters
    assert replace(SUM_PART, name="other").parameters == SUM_PART.parameters


@pytest.mark.parametrize("count", [0, 2])
def test_an_object_holds_exactly_one_record(count: int) -> None:
    values = {"digest": b"d", "sent_at": 1}
    with pytest.raises(MalformedError, match=r"^a\.sum_0: "):
        decode(Sent, write_container("Sent", [values] * count, b""), "a.sum_0")


@pytest.mark.parametrize("data", [b"", encode(Sent(b"d", 1)) + b"\x00", encode(Sent(b"d", 1))[:-1]])
def test_nothing_and_too_much_and_too_little_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^a\.sum_0: "):
        decode(Sent, data, "a.sum_0")


@pytest.mark.parametrize("value", [-1, 2**32, 2**62])
@pytest.mark.parametrize("name", ["PrioSumPart", "Totals"])
def test_a_sum_outside_32_bits_is_malformed(name: str, value: int) -> None:
    totals = Totals(BATCH, 2, 8.0, 4293918721, 2, None, b"d", b"v", 1, (1, value))
    record = totals if name == "Totals" else replace(SUM_PART, sum=(value, 1))
    with pytest.raises(MalformedError, match=r"^a\.sum_0: its sum"):
        decode(type(record), encode(record), "a.sum_0")


@pytest.mark.parametrize("text", ["not-a-uuid", "", f"{{{BATCH}}}"])
def test_a_batch_whose_uuid_is_none_is_malformed(text: str) -> None:
    listed = {"batch_uuid": str(BATCH), "batch_time": 5, "validity_digest_0": b"", "validity_digest_1": b""}
    for values in (listed | {"batch_uuid": text, "repeated": []}, listed | {"repeated": [str(BATCH), text]}):
        with pytest.raises(MalformedError, match=r"^list: .* is not a UUID"):
            decode(ListedBatch, write_container("PrioListedBatch", [values], b""), "list")


LARGE = {
    "state": State(1, "x" * 2**20, 0, 0),
    "sum part": replace(SUM_PART, name="x" * 2**23),
    "batch list": BatchList("x" * (24 * 2**20), "n", 1, 2, 8.0, 17, 2, 1, 0, 9, 10, ()),
}


@pytest.mark.parametrize("record", LARGE.values(), ids=LARGE.keys())
def test_a_record_over_its_limit_is_neither_written_nor_read(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = type(record).maximum_bytes
    with pytest.raises(RefusedError, match=f"{record.schema_name} record of .* {limit} are read at most"):
        encode(record)
    monkeypatch.setattr(type(record), "maximum_bytes", 2**25)
    data = encode(record)
    assert decode(type(record), data, "x") == record
    monkeypatch.undo()
    with pytest.raises(MalformedError, match=f"limit of {limit} bytes"):
        decode(type(record), data, "x")


def test_a_list_of_empty_batches_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As objects it would take sixty times the memory of its bytes, which are within their limit."""
    values = {"batch_uuid": "", "batch_time": 0, "validity_digest_0": b"", "validity_digest_1": b"", "repeated": []}
    stated = asdict(BatchList("i", "n", 1, 2, 8.0, 17, 2, 1, 0, 9, 10, ()))
    monkeypatch.setattr(BatchList, "maximum_reads", 1000)
    data = write_container("PrioBatchList", [stated | {"batches": [values] * 200}], b"")
    with pytest.raises(MalformedError, match="too many values"):
        decode(BatchList, data, "list")


def test_the_limits_leave_room_for_the_largest_that_honest_processors_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured a hundredth as large.

    524,287 bins; 100,000 packets that intake left out; 10,000 batches, and 600,000 packets counted elsewhere.
    """
    uuids = tuple(UUID(int=number, version=4) for number in range(6000))
    part = replace(SUM_PART, batch_uuids=uuids[:100], sum=(2**32 - 1,) * (MAXIMUM_BINS // 100 + 1))
    assert 100 * len(encode(part)) < SumPart.maximum_bytes
    totals = replace(TOTALS, sum=part.sum, rejected=bytes(16 * 1000))
    assert 100 * len(encode(totals)) < Totals.maximum_bytes
    batches = tuple(ListedBatch(uuid, 1_600_000_000_000, b"0" * 32, b"1" * 32, ()) for uuid in uuids[:99])
    last = replace(batches[0], repeated=uuids)
    answer = BatchList("i", "n", 1, 2, 8.0, 17, 2, 1, 0, 9, 10, (*batches, last))
    assert 100 * len(encode(answer)) < BatchList.maximum_bytes
    for record in (answer, replace(answer, batches=batches), replace(answer, batches=(last,))):
        monkeypatch.setattr(BatchList, "maximum_reads", LIST_READS // 100)
        assert decode(BatchList, encode(record), "x") == record


def test_lists_hold_batches() -> None:
    batch_list = BatchList("i", "n", 1, 2, 8.0, 17, 2, 1, 0, 9, 10, (LISTED_BATCH, replace(LISTED_BATCH, repeated=())))
    assert decode(BatchList, encode(batch_list), "x") == batch_list
    entry = LedgerEntry(0, 0, 9, 9, 10, 2, 8.0, 17, 2, None, (LISTED_BATCH,), None, b"c")
    assert decode(LedgerEntry, encode(entry), "x") == entry


def test_times_beyond_all_calendars_are_read() -> None:
    header = IngestionHeader(BATCH, "n", 1, 1.0, 17, 2, None, -(2**63), 2**63 - 1, b"d")
    assert decode(IngestionHeader, encode(header), "x") == header


@pytest.mark.parametrize("record_type", [SumPart, Totals])
def test_no_text_form_shows_a_sum_of_shares(record_type: type[Record]) -> None:
    values = dict.fromkeys((field.name for field in fields(record_type)), 0)
    assert "4242" not in repr(record_type(**values | {"sum": (4242,)}))


@given(st.data())
def test_a_record_is_read_the_same_whether_its_header_was_seen_before_or_not(data: st.DataObject) -> None:
    """Cut, or with a byte changed anywhere: the same record, or the same error."""
    whole = data.draw(st.sampled_from([encode(TOTALS), encode(BatchSignature(b"s", "key", encode(TOTALS)))]))
    record_type = Totals if whole == encode(TOTALS) else BatchSignature
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for text in (whole, whole[:place], bytes(changed), whole + whole[-16:]):
        _SEEN.clear()
        first = _record_or_error(record_type, text)
        _record_or_error(record_type, whole)
        assert _record_or_error(record_type, text) == first


def _record_or_error(record_type: type[Record], data: bytes) -> str:
    try:
        return repr(asdict(decode(record_type, data, "name")))  # in which one NaN is as another
    except MalformedError as error:
        return str(error)


def test_totals_from_before_rejected_packets_and_engines_were_kept_are_read() -> None:
    writer = deepcopy(schema("Totals"))
    writer["fields"] = [field for field in writer["fields"] if field["name"] not in ("rejected", "engine")]
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema(writer), [{**asdict(TOTALS), "sum": list(TOTALS.sum)}])
    assert decode(Totals, buffer.getvalue(), "old") == replace(TOTALS, rejected=None, engine="")
