"""Containers against fastavro's, and against bytes that someone has tampered with."""

import io
import itertools
import json
import time
import tracemalloc
from types import ModuleType
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import MalformedError
from prio_assets.wire import containers, resolution
from prio_assets.wire.codecs import compress
from prio_assets.wire.containers import container, encode_datum, encode_long, read_only_record, read_records
from prio_assets.wire.schemas import embedded_schema, record_names, schema
from tests.wire.avro import read_plainly, records_of, write_container, write_plainly

SENT = {"digest": b"\x01" * 32, "sent_at": 1_600_000_000_000}
SIGNATURE = {"batch_header_signature": b"s", "key_identifier": "k", "batch_header": b"h", "packets": None}
LISTED_BATCH = {
    "batch_uuid": "u",
    "batch_time": 1,
    "validity_digest_0": b"0",
    "validity_digest_1": b"1",
    "repeated": ["v", "w"],
}
BATCH_LIST = {
    "instance_name": "i",
    "name": "n",
    "server_index": 0,
    "bins": 1,
    "epsilon": 1.0,
    "prime": 17,
    "number_of_servers": 2,
    "hamming_weight": None,
    "aggregation_start_time": 0,
    "aggregation_end_time": 1,
    "minimum_clients": 3,
}
SYNC = bytes(range(16))


def read(data: bytes, record_name: str = "Sent") -> list[dict[str, Any]]:
    return list(read_records(record_name, io.BytesIO(data), "a/b.batch"))


def string(data: bytes) -> bytes:
    return encode_long(len(data)) + data


def header(record_name: str = "Sent", *, codec: bytes | None = b"null", schema_text: bytes | None = None) -> bytes:
    entries = [string(b"avro.schema") + string(schema_text or embedded_schema(record_name))]
    if codec is not None:
        entries.append(string(b"avro.codec") + string(codec))
    return b"Obj\x01" + encode_long(len(entries)) + b"".join(entries) + b"\x00" + SYNC


def block(data: bytes, count: int = 1, size: int | None = None, sync: bytes = SYNC) -> bytes:
    return encode_long(count) + encode_long(len(data) if size is None else size) + data + sync


DATUM = encode_datum("Sent", SENT)


@pytest.mark.parametrize("name", record_names())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_fastavro_reads_what_is_written_and_the_other_way(name: str, data: st.DataObject) -> None:
    records = data.draw(st.lists(records_of(name), max_size=3))
    written = write_container(name, records, b"seed")
    assert read(written, name) == records
    stripped = json.loads(json.dumps(schema(name)).replace('"logicalType"', '"other"'))
    assert read(write_plainly(stripped, records), name) == records
    assert [read_one(encode_datum(name, record), stripped) for record in records] == records


def read_one(datum: bytes, its_schema: dict[str, Any]) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(datum), fastavro.parse_schema(its_schema), None)


def test_the_same_records_are_the_same_bytes_and_other_seeds_are_not() -> None:
    first, again, other = (write_container("Sent", [SENT], seed) for seed in (b"a", b"a", b"b"))
    assert first == again
    assert first != other
    assert read_plainly(first) == read_plainly(other) == [SENT]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_fastavro_reads_our_codecs_and_we_read_its(codec: str) -> None:
    records = [{**SENT, "sent_at": number} for number in range(100)]
    datum = b"".join(encode_datum("Sent", record) for record in records)
    assert read_plainly(container("Sent", [(100, datum)], b"", codec)) == records
    plain_schema = {
        "type": "record",
        "name": "Sent",
        "fields": [{"name": "digest", "type": "bytes"}, {"name": "sent_at", "type": "long"}],
    }
    assert read(write_plainly(plain_schema, records, codec=codec)) == records


@pytest.mark.parametrize("codec", [None, b"null", b"zstandard", b"", b"\xff"])
def test_a_codec_that_is_missing_or_unknown_is_null(codec: bytes | None) -> None:
    assert read(header(codec=codec) + block(DATUM)) == [SENT]


def test_blocks_are_closed_at_about_16000_bytes() -> None:
    written = write_container("Sent", [SENT] * 1000, b"")
    size = len(encode_datum("Sent", SENT))
    blocks = -(-16000 // size)
    sync = written[-16:]
    parts = written.split(sync)[1:-1]
    assert [part[:1] != b"" for part in parts] == [True] * -(-1000 // blocks)
    assert len(parts[0]) == blocks * size + len(encode_long(blocks)) + len(encode_long(blocks * size))


def test_metadata_in_the_form_with_a_byte_size_is_read() -> None:
    entry = string(b"avro.schema") + string(embedded_schema("Sent"))
    data = b"Obj\x01" + encode_long(-1) + encode_long(len(entry)) + entry + b"\x00" + SYNC
    assert read(data + block(DATUM)) == [SENT]


def test_metadata_in_several_blocks_and_unknown_metadata_are_read() -> None:
    entries = [string(b"who") + string(b"\xff\x00"), string(b"avro.schema") + string(embedded_schema("Sent"))]
    data = b"Obj\x01" + b"".join(encode_long(1) + entry for entry in entries) + b"\x00" + SYNC
    assert read(data + block(DATUM)) == [SENT]


def test_a_header_only_and_empty_blocks_hold_no_records() -> None:
    assert read(header()) == []
    assert read(header() + block(b"", 0) + block(DATUM) + block(b"", 0)) == [SENT]


MALFORMED = {
    "empty": b"",
    "other magic": b"Obj\x02" + header()[4:],
    "magic only": b"Obj\x01",
    "metadata of negative size": b"Obj\x01" + encode_long(1) + encode_long(-5),
    "metadata of giant size": b"Obj\x01" + encode_long(1) + encode_long(2**62),
    "giant count of metadata": b"Obj\x01" + encode_long(2**62) + b"\x00" * 100,
    "endless metadata": b"Obj\x01" + encode_long(2**62) + (string(b"a" * 1000) * 2) * 1000,
    "name not UTF-8": b"Obj\x01" + encode_long(1) + string(b"\xff") + string(b"") + b"\x00" + SYNC,
    "number too long": b"Obj\x01" + b"\xff" * 11,
    "no schema": b"Obj\x01" + b"\x00" + SYNC,
    "negative count": header() + block(DATUM, -1),
    "negative size": header() + block(DATUM, 1, -1),
    "giant count": header() + block(DATUM, 2**62),
    "giant size": header() + block(DATUM, 1, 2**62),
    "giant count and size": header() + block(DATUM, 2**62, 2**62),
    "giant compressed size": header(codec=b"deflate") + block(DATUM, 1, 2**62),
    "compressed size that is not there": header(codec=b"deflate") + block(DATUM, 1, 2**27),
    "not deflate": header(codec=b"deflate") + block(DATUM),
    "not snappy": header(codec=b"snappy") + block(DATUM),
    "count over the records": header() + block(DATUM, 2),
    "count under the records": header() + block(DATUM * 2, 1),
    "bytes without record": header() + block(b"\x00", 0),
    "size over the block": header() + block(DATUM, 1, len(DATUM) + 1),
    "other sync": header() + block(DATUM, sync=bytes(16)),
    "cut off": (header() + block(DATUM))[:-1],
    "trailing garbage": header() + block(DATUM) + b"\x02",
    "bytes of negative length": header() + block(encode_long(-3) + b"abc\x02"),
    "bytes of giant length": header() + block(encode_long(2**62) + b"abc\x02"),
    "text not UTF-8": header("State") + block(b"\x02\x02\xff\x00\x00"),
}


@pytest.mark.parametrize(("case", "data"), MALFORMED.items(), ids=MALFORMED.keys())
def test_a_fault_is_malformed_at_once_and_names_the_object(case: str, data: bytes) -> None:
    name = "State" if case == "text not UTF-8" else "Sent"
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(MalformedError, match=r"^a/b\.batch: "):
        read(data, name)
    assert time.process_time() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


def test_more_records_than_may_be_are_refused_before_they_are_read() -> None:
    data = header() + block(DATUM) + block(DATUM)
    with pytest.raises(MalformedError, match="more than 1 Sent"):
        list(read_records("Sent", io.BytesIO(data), "x", maximum_records=1))


# Schema resolution


def fields_of(name: str) -> list[dict[str, Any]]:
    return [dict(field) for field in schema(name)["fields"]]


def record_type(fields: list[dict[str, Any]], name: str = "Theirs") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": fields}


def test_extra_fields_are_dropped_wherever_they_are_and_whatever_they_hold() -> None:
    pair = record_type(
        [{"name": "a", "type": ["null", "double"]}, {"name": "b", "type": {"type": "map", "values": "int"}}], "Pair"
    )
    extra = [
        {"name": "first", "type": {"type": "array", "items": pair}},
        *fields_of("Sent"),
        {"name": "last", "type": "Pair"},
    ]
    values = {"first": [{"a": 1.5, "b": {}}, {"a": None, "b": {"x": 1}}], "last": {"a": 2.5, "b": {"y": 2}}}
    assert read(write_plainly(record_type(extra), [values | SENT] * 3)) == [SENT] * 3


def test_other_order_narrower_numbers_and_unions_are_resolved() -> None:
    theirs = record_type([{"name": "sent_at", "type": ["null", "int"]}, {"name": "digest", "type": "string"}])
    data = write_plainly(theirs, [{"sent_at": 7, "digest": "abc"}])
    assert read(data) == [{"digest": b"abc", "sent_at": 7}]


def test_a_missing_field_is_its_default_or_refused() -> None:
    older = record_type(
        [field for field in fields_of("PrioBatchSignature") if field["name"] not in ("batch_header", "packets")]
    )
    signature = {"batch_header_signature": b"s", "key_identifier": "k"}
    assert read(write_plainly(older, [signature]), "PrioBatchSignature") == [
        {**signature, "batch_header": None, "packets": None}
    ]
    without_time = record_type([{"name": "digest", "type": "bytes"}])
    with pytest.raises(MalformedError, match="sent_at"):
        read(write_plainly(without_time, [{"digest": b""}]))


def test_a_value_of_another_type_is_refused() -> None:
    theirs = record_type([{"name": "digest", "type": "bytes"}, {"name": "sent_at", "type": "string"}])
    with pytest.raises(MalformedError):
        read(write_plainly(theirs, [{"digest": b"", "sent_at": "now"}]))
    with_null = record_type([{"name": "digest", "type": "bytes"}, {"name": "sent_at", "type": ["null", "long"]}])
    with pytest.raises(MalformedError):
        read(write_plainly(with_null, [{"digest": b"", "sent_at": None}]))


def test_records_inside_are_resolved_under_other_names() -> None:
    listed = {**schema("PrioListedBatch"), "name": "Elsewhere", "namespace": "other"}
    listed["fields"] = [{"name": "more", "type": "int"}, *listed["fields"]]
    fields = fields_of("PrioBatchList")
    fields[-1]["type"] = {"type": "array", "items": listed}
    stripped = json.loads(json.dumps(record_type(fields)).replace('"logicalType"', '"other"'))
    data = write_plainly(stripped, [BATCH_LIST | {"batches": [LISTED_BATCH | {"more": 7}]}])
    assert read(data, "PrioBatchList") == [BATCH_LIST | {"batches": [LISTED_BATCH]}]


# Pieces


@pytest.mark.parametrize("piece", [1, 7, 64, 10_000])
def test_a_block_read_in_pieces_is_the_same(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"digest": bytes(length), "sent_at": length} for length in (0, 1, 500, 3, 2000, 0)]
    data = write_container("Sent", records, b"")
    monkeypatch.setattr(containers, "PIECE", piece)
    assert read(data) == records


@pytest.mark.parametrize("name", record_names())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_record_is_read_wherever_a_piece_cuts_it(
    name: str, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    records = data.draw(st.lists(records_of(name), max_size=3))
    written = write_container(name, records, b"seed")
    for piece in (1, 2, 3, 5, 7, 11):
        monkeypatch.setattr(containers, "PIECE", piece)
        assert read(written, name) == records


EXTRAS: dict[str, tuple[Any, Any]] = {
    "string": ("string", "é" * 9),
    "bytes": ("bytes", b"x" * 13),
    "fixed": ({"type": "fixed", "name": "Fixed", "size": 13}, b"y" * 13),
    "union": (["null", "bytes"], b"z" * 13),
    "boolean": ("boolean", True),
    "array": ({"type": "array", "items": "double"}, [0.5, 1.5]),
    "map": ({"type": "map", "values": "string"}, {"key": "value"}),
}


def with_extra(extra: Any) -> dict[str, Any]:
    return record_type([*fields_of("Sent"), {"name": "extra", "type": extra}])


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_field_that_is_skipped_may_be_cut_by_a_piece(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    its_type, value = EXTRAS[extra]
    data = write_plainly(with_extra(its_type), [{**SENT, "extra": value}] * 5)
    for piece in range(1, 80):
        monkeypatch.setattr(containers, "PIECE", piece)
        assert read(data) == [SENT] * 5


CUT_EXTRAS: dict[str, tuple[Any, bytes]] = {
    "string": ("string", encode_long(10**6)),
    "bytes": ("bytes", encode_long(10**6) + b"x"),
    "negative bytes": ("bytes", encode_long(-1) + b"x"),
    "fixed": (EXTRAS["fixed"][0], b"y" * 12),
    "union": (["null", "bytes"], encode_long(1) + encode_long(10**6)),
    "double": ("double", bytes(7)),
    "boolean": ("boolean", b""),
    "endless array of fixed": ({"type": "array", "items": EXTRAS["fixed"][0]}, encode_long(2**62)),
    "endless array of doubles": ({"type": "array", "items": "double"}, encode_long(2**62) + bytes(8)),
    "endless array of booleans": ({"type": "array", "items": "boolean"}, encode_long(2**62)),
    "array of giant size": ({"type": "array", "items": "long"}, encode_long(-1) + encode_long(2**62)),
}


@pytest.mark.parametrize("extra", CUT_EXTRAS)
def test_a_field_that_is_skipped_must_be_there(extra: str) -> None:
    its_type, value = CUT_EXTRAS[extra]
    data = header(schema_text=json.dumps(with_extra(its_type)).encode()) + block(DATUM + value)
    with pytest.raises(MalformedError, match="a record is malformed"):
        read(data)


def test_a_float_that_a_piece_cuts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = record_type([{"name": "a", "type": "double"}, {"name": "b", "type": "float"}, *fields_of("Sent")])
    data = write_plainly(theirs, [{"a": 1.0, "b": 2.0, **SENT}] * 5)
    for piece in range(1, 60):
        monkeypatch.setattr(containers, "PIECE", piece)
        assert read(data) == [SENT] * 5


def test_a_huge_block_is_not_held_whole() -> None:
    count, datum = 3000, encode_datum("Sent", {"digest": bytes(10_000), "sent_at": 1})

    class MadeAsItIsRead(io.RawIOBase):
        """A file with one block of 30 MB."""

        parts = itertools.chain(
            [header() + encode_long(count) + encode_long(count * len(datum))], itertools.repeat(datum, count), [SYNC]
        )
        left = b""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            part = self.left or next(self.parts, b"")
            now, self.left = part[: len(buffer)], part[len(buffer) :]
            buffer[: len(now)] = now
            return len(now)

    tracemalloc.start()
    read_count = sum(1 for _ in read_records("Sent", io.BufferedReader(MadeAsItIsRead(), 2**15), "x"))
    assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    tracemalloc.stop()
    assert read_count == count


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
def test_one_compressed_block_is_held_at_a_time(codec: str) -> None:
    data = block(compress(encode_datum("Sent", {"digest": bytes(2000), "sent_at": 1}) * 2000, codec), 2000)
    peaks = []
    for blocks in (1, 3):
        source = io.BytesIO(header(codec=codec.encode()) + data * blocks)
        tracemalloc.start()
        assert sum(1 for _ in read_records("Sent", source, "x")) == 2000 * blocks
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


THOUSAND = encode_datum("Sent", {"digest": bytes(1000 - 3), "sent_at": 1})
MORE = encode_datum("Sent", {"digest": bytes(1000 - 2), "sent_at": 1})


@pytest.mark.parametrize("piece", [100, 10_000])
def test_a_record_over_the_limit_is_malformed(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "PIECE", piece)
    two = header() + block(THOUSAND * 2, 2)
    assert len(list(read_records("Sent", io.BytesIO(two), "x", maximum_bytes=1000))) == 2
    with pytest.raises(MalformedError, match="over the limit of 1000 bytes"):
        list(read_records("Sent", io.BytesIO(header() + block(MORE)), "x", maximum_bytes=1000))


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
def test_a_compressed_block_over_the_limit_is_malformed(codec: str) -> None:
    whole, more = (header(codec=codec.encode()) + block(compress(data, codec)) for data in (THOUSAND, MORE))
    assert len(list(read_records("Sent", io.BytesIO(whole), "x", maximum_bytes=1000))) == 1
    with pytest.raises(MalformedError, match="decompresses to more than the limit of 1000 bytes"):
        list(read_records("Sent", io.BytesIO(more), "x", maximum_bytes=1000))


def test_a_compressed_block_that_takes_more_than_the_limit_as_it_is_stored_is_malformed() -> None:
    stored = compress(DATUM, "deflate")
    padded = stored + bytes(1000 - len(stored))  # what follows the deflate data is not looked at
    whole, more = (header(codec=b"deflate") + block(data) for data in (padded, padded + b"\0"))
    assert list(read_records("Sent", io.BytesIO(whole), "x", maximum_bytes=1000)) == [SENT]
    with pytest.raises(MalformedError, match="a compressed block is over the limit of 1000 bytes"):
        list(read_records("Sent", io.BytesIO(more), "x", maximum_bytes=1000))


@pytest.mark.parametrize("error", [-1, 1])
def test_the_only_record_must_fill_its_block_also_where_the_header_is_known(error: int) -> None:
    def read_only(data: bytes) -> Any:
        return read_only_record("Sent", data, "x", 10_000, None)

    assert read_only(header() + block(DATUM)) == SENT
    # The sync marker stands where the size says, so that the record alone tells.
    its_block = block(DATUM + b"\0") if error == 1 else block(DATUM[:-1])
    with pytest.raises(MalformedError, match=r"^x: "):
        read_only(header() + its_block)


@pytest.mark.parametrize("failing", [(containers, "schemaless_reader"), (resolution, "parse_schema")])
def test_memory_that_runs_out_is_no_fault_of_the_data(
    failing: tuple[ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    theirs = json.dumps(record_type([*fields_of("Sent"), {"name": failing[1], "type": "long"}])).encode()
    monkeypatch.setattr(*failing, run_out)
    with pytest.raises(MemoryError):
        read(header(schema_text=theirs) + block(DATUM + encode_long(1)))


# Tampering


VALID = [
    write_container("PrioListedBatch", [LISTED_BATCH] * 3, b""),
    container("Sent", [(3, DATUM * 3)], b"", "deflate"),
    container("Sent", [(3, DATUM * 3)], b"", "snappy"),
    write_container("PrioBatchSignature", [SIGNATURE], b""),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_tampered_bytes_are_records_or_malformed(valid: bytes, data: st.DataObject) -> None:
    tampered = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        # Most of a small container is its schema: half of the time only what follows it is hit.
        first = data.draw(st.sampled_from([0, max(0, len(tampered) - 160)]))
        start = data.draw(st.integers(first, len(tampered)))
        end = data.draw(st.integers(start, min(len(tampered), start + 4)))
        tampered[start:end] = data.draw(st.binary(max_size=4))
    for name in ("Sent", "PrioBatchSignature", "PrioListedBatch"):
        try:
            read(bytes(tampered), name)
        except MalformedError as error:
            assert "\n" not in str(error)


def test_every_prefix_is_malformed_or_ends_between_blocks() -> None:
    data = write_container("Sent", [SENT], b"")
    whole_header = len(write_container("Sent", [], b""))
    for length in range(len(data)):
        if length != whole_header:
            with pytest.raises(MalformedError):
                read(data[:length])
