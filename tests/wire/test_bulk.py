"""Reading in bulk against reading record by record: the same packets, or the same fault in the same words."""

import io
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import BatchRejected, MalformedError
from prio_assets.prio.engine import Chunk
from prio_assets.wire import bulk, containers, packets
from prio_assets.wire.codecs import compress
from prio_assets.wire.containers import MAGIC, encode_long
from prio_assets.wire.fields import Wanted
from prio_assets.wire.packets import decode_invalid_packets, decode_validity_packets, digest, read_chunks
from prio_assets.wire.schemas import embedded_schema
from tests.wire.test_packets import INTEROP, rows

SYNC = bytes(range(100, 116))
UUID_TEXT = b"b8a5579a-f984-460a-a42d-2813cbf57771"
fixture_in_examples = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _in_bulk_from_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_FEW_BYTES", 1)
    monkeypatch.setattr(packets, "compiled_loops_allowed", lambda: True)


# What both readers make of a file


def read_shares(data: bytes) -> Any:
    return list(rows(list(read_chunks(io.BytesIO(data), digest(data), "its name", 7, 500))))


def read_validity(data: bytes) -> Any:
    return [column.tolist() for column in vars(decode_validity_packets(data, "its name")).values()]


def read_invalid(data: bytes) -> Any:
    return decode_invalid_packets(data, "its name").tolist()


Read = Callable[[bytes], Any]
READERS: dict[str, Read] = {
    "PrioDataSharePacket": read_shares,
    "PrioValidityPacket": read_validity,
    "PrioInvalidPacket": read_invalid,
}


def outcome(read: Read, data: bytes) -> Any:
    try:
        return read(data)
    except (BatchRejected, MalformedError) as error:
        return type(error), getattr(error, "reason", None), str(error)


def verdict(its_outcome: Any) -> Any:
    """Of a file with two faults, the one that is named may depend on how much of it is read at once."""
    return its_outcome[:2] if isinstance(its_outcome, tuple) else its_outcome


def outcome_by_record(read: Read, data: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packets, "compiled_loops_allowed", lambda: False)
        return outcome(read, data)


def outcome_in_slabs(read: Read, data: bytes, first_slab: int, slab: int) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "FIRST_SLAB_BYTES", first_slab)
        patch.setattr(bulk, "SLAB_BYTES", slab)
        return outcome(read, data)


# Files, made here byte by byte


def string(data: bytes) -> bytes:
    return encode_long(len(data)) + data


def file_of(schema: bytes, blocks: list[tuple[int, bytes]], codec: str = "null") -> bytes:
    metadata = [string(b"avro.schema") + string(schema), string(b"avro.codec") + string(codec.encode())]
    parts = [MAGIC, encode_long(2), *metadata, b"\x00", SYNC]
    for count, block in blocks:
        parts += [encode_long(count), string(compress(block, codec)), SYNC]
    return b"".join(parts)


def share(uuid: bytes = UUID_TEXT, payload: bytes = b"payload", key: bytes | None = b"key", r_pit: int = 7) -> bytes:
    key_id = b"\x00" if key is None else b"\x02" + string(key)
    return string(uuid) + string(payload) + key_id + encode_long(r_pit) + b"\x00" + b"\x02" + string(b"nonce")


def shares_file(blocks: list[list[bytes]], codec: str = "null") -> bytes:
    schema = embedded_schema("PrioDataSharePacket")
    return file_of(schema, [(len(block), b"".join(block)) for block in blocks], codec)


LONG = 2**63 - 1
SMALL_BLOCKS = [
    [share(), share(payload=b"")],
    [],
    [share(b"no uuid", b"x" * 70, None, LONG), share(UUID_TEXT.replace(b"-", b"").upper(), key=b"", r_pit=-LONG - 1)],
    [share(b"urn:uuid:" + UUID_TEXT, r_pit=2**40)],
]
CODECS = ["null", "deflate", "snappy"]
VALIDITY = b"".join(
    string(text) + b"".join(map(encode_long, values))
    for text, values in {UUID_TEXT: (0, 2**32 - 1, 70), UUID_TEXT[::-1].replace(b"-", b""): (LONG, 2, 3)}.items()
)
WITH_DOUBLE_LAST = json.loads(embedded_schema("PrioDataSharePacket"))
WITH_DOUBLE_LAST["fields"].append({"name": "extra", "type": "double"})
SHARES_DOUBLE_LAST = [(2, share() + bytes(8) + share(payload=b"") + bytes(8))]
FILES = {
    **{f"shares {codec}": ("PrioDataSharePacket", shares_file(SMALL_BLOCKS, codec)) for codec in CODECS},
    "shares, double last": ("PrioDataSharePacket", file_of(json.dumps(WITH_DOUBLE_LAST).encode(), SHARES_DOUBLE_LAST)),
    "validity": ("PrioValidityPacket", file_of(embedded_schema("PrioValidityPacket"), [(2, VALIDITY)] * 2)),
    "invalid": ("PrioInvalidPacket", file_of(embedded_schema("PrioInvalidPacket"), [(2, string(UUID_TEXT) * 2)] * 2)),
}
every_file = pytest.mark.parametrize(("record_name", "data"), FILES.values(), ids=FILES.keys())


@every_file
def test_a_slab_may_end_anywhere(record_name: str, data: bytes) -> None:
    read = READERS[record_name]
    expected = outcome_by_record(read, data)
    assert isinstance(expected, list)
    for size in range(1, len(data)):
        assert outcome_in_slabs(read, data, size, max(size, 300)) == expected
        assert outcome_in_slabs(read, data, size, size) == expected


@every_file
def test_the_scanner_leaves_nothing_of_a_good_file(
    record_name: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome_by_record(READERS[record_name], data)
    monkeypatch.setattr(containers, "schemaless_reader", None)
    assert READERS[record_name](data) == expected


@every_file
def test_where_no_loop_is_compiled_nothing_is_scanned(
    record_name: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = READERS[record_name](data)
    monkeypatch.setattr(bulk, "scan", None)
    assert outcome_by_record(READERS[record_name], data) == expected


@every_file
def test_a_file_that_is_cut_off_anywhere(record_name: str, data: bytes) -> None:
    read = READERS[record_name]
    for length in range(len(data)):
        assert outcome(read, data[:length]) == outcome_by_record(read, data[:length])


@every_file
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_byte_that_is_altered_anywhere(record_name: str, data: bytes, flip: int) -> None:
    read = READERS[record_name]
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= flip
        in_bulk, by_record = outcome(read, bytes(altered)), outcome_by_record(read, bytes(altered))
        assert in_bulk == by_record, place


def test_every_file_of_the_reference() -> None:
    patterns = {
        "PrioDataSharePacket": "ingestion/**/*.batch.avro",
        "PrioValidityPacket": "peer-validation/**/*.validity_?.avro",
        "PrioInvalidPacket": "**/*.invalid_uuid_?.avro",
    }
    for record_name, pattern in patterns.items():
        paths = list(INTEROP.glob(f"*/*/{pattern}"))
        assert paths
        for path in paths:
            data, read = path.read_bytes(), READERS[record_name]
            assert outcome(read, data) == outcome_by_record(read, data), path


# Faults of the frame, and numbers that may be read in more ways than one

GOOD = share()
SCHEMA = embedded_schema("PrioDataSharePacket")
OVERLONG = [b"\x8e\x80\x00", b"\x8e" + b"\x80" * 8 + b"\x00", b"\x8e" + b"\x80" * 9 + b"\x00", b"\x80" * 9 + b"\x02"]


def raw_blocks(*blocks: bytes) -> bytes:
    return file_of(SCHEMA, []) + b"".join(blocks)


def block(count: bytes | int, size: bytes | int, data: bytes, sync: bytes = SYNC) -> bytes:
    frame = [number if isinstance(number, bytes) else encode_long(number) for number in (count, size)]
    return b"".join([*frame, data, sync])


SIZE = len(GOOD)
FIRST = block(1, SIZE, GOOD)
FAULTS = {
    "more records than bytes": FIRST + block(SIZE + 1, SIZE, GOOD),
    "more records than there are": FIRST + block(2, SIZE, GOOD),
    "fewer records than there are": FIRST + block(1, 2 * SIZE, GOOD * 2),
    "a count of more than 64 bits": FIRST + block(b"\x80" * 9 + b"\x02", 0, b""),
    "no record": FIRST + block(0, SIZE, GOOD),
    "negative count": FIRST + block(-1, SIZE, GOOD),
    "negative size": FIRST + block(1, -SIZE, GOOD),
    "giant count": FIRST + block(LONG, SIZE, GOOD),
    "giant size": FIRST + block(1, LONG, GOOD),
    "giant count and size": FIRST + block(LONG, LONG, GOOD),
    "a size that is one too small": FIRST + block(1, SIZE - 1, GOOD),
    "a size that is one too great": FIRST + block(1, SIZE + 1, GOOD),
    "a record that goes on behind its block": FIRST + block(1, SIZE - 3, GOOD) + FIRST,
    "another sync marker": FIRST + block(1, SIZE, GOOD, bytes(16)) + FIRST,
    "a sync marker that ends otherwise": FIRST + block(1, SIZE, GOOD, SYNC[:15] + b"\x00") + FIRST,
    "nothing behind the last block but a byte": FIRST + b"\x00",
    "a text of negative length": FIRST + block(1, SIZE, b"\x01" + GOOD[1:]),
    "a branch that is none": FIRST + block(1, SIZE, GOOD.replace(b"\x02\x06key", b"\x04\x06key")),
    "a negative branch": FIRST + block(1, SIZE, GOOD.replace(b"\x02\x06key", b"\x01\x06key")),
    **{f"overlong count {i}": FIRST + block(number, 7 * SIZE, GOOD * 7) + FIRST for i, number in enumerate(OVERLONG)},
    **{
        f"overlong r_pit {i}": FIRST
        + block(1, SIZE - 1 + len(number), GOOD.replace(b"\x0e\x00\x02", number + b"\x00\x02"))
        for i, number in enumerate(OVERLONG)
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_doubtful_blocks_are_judged_by_the_reader_of_records(fault: str) -> None:
    data = raw_blocks(FAULTS[fault])
    expected = verdict(outcome_by_record(read_shares, data))
    assert verdict(outcome(read_shares, data)) == expected
    for size in range(1, SIZE, 7):
        assert verdict(outcome_in_slabs(read_shares, data, size, size)) == expected


@pytest.mark.parametrize("most", [0, 1, 2, 5, 6])
def test_more_packets_than_are_read(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAXIMUM_PACKETS", most)
    for codec in CODECS:
        data = shares_file(SMALL_BLOCKS, codec)
        assert outcome(read_shares, data) == outcome_by_record(read_shares, data)


@pytest.mark.parametrize("longest", [50, 200, 600])
def test_a_record_that_is_too_long_for_a_slab_is_read_as_a_record(
    longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "LONGEST_RECORD", longest)
    data = shares_file([[share(), share(payload=bytes(1000)), share()], [share()]])
    assert outcome_in_slabs(read_shares, data, 64, 128) == outcome_by_record(read_shares, data)


def test_no_slab_is_asked_for_that_holds_twice_the_longest_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LONGEST_RECORD", 1000)
    monkeypatch.setattr(packets, "MAXIMUM_PACKETS", 1)
    sizes = []
    next_slab = bulk.BulkReader._next_slab

    def noted(reader: bulk.BulkReader, left: Any, size: int) -> None:
        sizes.append(size)
        next_slab(reader, left, size)

    monkeypatch.setattr(bulk.BulkReader, "_next_slab", noted)
    data = shares_file([[share(payload=bytes(100_000))]])
    assert outcome_in_slabs(read_shares, data, 64, 128) == outcome_by_record(read_shares, data)
    assert 1000 < max(sizes) < 2 * 1000


# Schemas of other writers

TEXTS = [
    UUID_TEXT,
    UUID_TEXT.upper(),
    UUID_TEXT.replace(b"-", b""),
    b"urn:uuid:" + UUID_TEXT,
    b"URN:uuid:" + UUID_TEXT,
    b"urn:uuid:" + UUID_TEXT + b"0",
    b"{" + UUID_TEXT + b"}",
    UUID_TEXT.replace(b"-", b"a"),
    UUID_TEXT[:-1] + b"g",
    UUID_TEXT[:-2] + "é".encode(),
    UUID_TEXT[:-1] + b"\xff",
    b"\xed\xa0\x80" * 12,
    b"",
    "€".encode() * 150,
    b"a" + "😀".encode() * 120,
    b"\xf0\x90\x80" * 200,
]
texts = st.sampled_from(TEXTS) | st.binary(max_size=50)
VALUES: dict[str, st.SearchStrategy[bytes]] = {
    "null": st.just(b""),
    "boolean": st.binary(min_size=1, max_size=1),
    "int": st.integers(-LONG - 1, LONG).map(encode_long),
    "long": st.integers(-LONG - 1, LONG).map(encode_long) | st.sampled_from(OVERLONG),
    "float": st.binary(min_size=4, max_size=4),
    "double": st.binary(min_size=8, max_size=8),
    "bytes": texts.map(string),
    "string": texts.map(string),
}
EXTRA_TYPES: list[Any] = [
    *(name for name in VALUES if name != "null"),
    {"type": "string", "logicalType": "uuid"},
    ["null", "double"],
    ["boolean", "float", "null"],
    ["long", "bytes", "string"],
    {"type": "array", "items": "long"},
    {"type": "fixed", "name": "Fixed", "size": 3},
    {"type": "enum", "name": "Enumeration", "symbols": ["A"]},
]
OTHER_VALUES = {"array": b"\x04\x02\x04\x00", "fixed": b"abc", "enum": b"\x00"}
OUR_TYPES: dict[str, list[Any]] = {
    "uuid": ["string", {"type": "string", "logicalType": "uuid"}, ["null", "string"], "bytes", ["bytes", "string"]],
    "encrypted_payload": ["bytes", "bytes", ["bytes"], ["null", "bytes"], "string", ["string", "bytes"]],
    "encryption_key_id": [["null", "string"], ["string", "null"], "string", ["bytes", "null"], ["long", "string"]],
    "r_pit": ["long", "long", "int", ["int", "long"], ["null", "long"], "double"],
    "version_configuration": [["null", "string"], ["string", "null"], "bytes", ["null", "bytes", "int"]],
    "device_nonce": [["null", "bytes"], ["bytes", "null"], "string"],
    "f_r": ["long", "int", ["null", "long"]],
    "g_r": ["long", ["long"]],
    "h_r": ["long", "string"],
}


def value_of(avro_type: Any) -> st.SearchStrategy[bytes]:
    if isinstance(avro_type, list):
        branches = [value_of(branch).map((encode_long(index)).__add__) for index, branch in enumerate(avro_type)]
        return st.one_of(branches)
    if isinstance(avro_type, dict):
        kind = avro_type["type"]
        return st.just(OTHER_VALUES[kind]) if kind in OTHER_VALUES else VALUES[kind]
    return VALUES[avro_type]


@st.composite
def files(draw: st.DrawFn, record_name: str) -> bytes:
    """A file of a writer that knows our record, and writes it in its own way."""
    ours = [field["name"] for field in json.loads(embedded_schema(record_name))["fields"]]
    fields = [(name, draw(st.sampled_from(OUR_TYPES[name][: draw(st.sampled_from([1, 2, 9]))]))) for name in ours]
    if draw(st.integers(0, 9)) == 0:
        fields.remove(draw(st.sampled_from(fields)))
    extras = draw(st.lists(st.sampled_from(EXTRA_TYPES), max_size=3, unique_by=str))
    fields = draw(st.permutations([*fields, *((f"extra_{i}", extra) for i, extra in enumerate(extras))]))
    schema = {"type": "record", "name": "Theirs", "fields": [{"name": n, "type": t} for n, t in fields]}
    record = st.tuples(*(value_of(its_type) for _, its_type in fields)).map(b"".join)
    blocks = draw(st.lists(st.lists(record, max_size=4), max_size=3))
    data = [(len(records), b"".join(records)) for records in blocks]
    return file_of(json.dumps(schema).encode(), data, draw(st.sampled_from(CODECS)))


@pytest.mark.parametrize("record_name", READERS)
@settings(fixture_in_examples, max_examples=150)
@given(data=st.data())
def test_files_of_other_writers(record_name: str, data: st.DataObject) -> None:
    written = data.draw(files(record_name))
    read = READERS[record_name]
    expected = outcome_by_record(read, written)
    size = data.draw(st.integers(1, 300))
    assert outcome(read, written) == expected
    assert outcome_in_slabs(read, written, size, size) == expected


@pytest.mark.parametrize("its_type", [its_type for its_type in EXTRA_TYPES if "symbols" not in its_type][:-2])
def test_fields_beyond_ours_are_skipped_without_the_reader_of_records(
    its_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"bytes": b"\x02x", "string": b"\x02x", "boolean": b"\x01", "int": b"\x80\x01", "long": b"\x80\x01"}
    kind = its_type["type"] if isinstance(its_type, dict) else its_type
    value = b"\x02" + bytes(8) if isinstance(kind, list) else values.get(kind, bytes(4 if kind == "float" else 8))
    if kind == ["boolean", "float", "null"]:
        value = b"\x02" + bytes(4)
    elif kind == ["long", "bytes", "string"]:
        value = b"\x04\x02x"
    fields = json.loads(SCHEMA)["fields"]
    schema = {"type": "record", "name": "Theirs", "fields": [{"name": "extra", "type": its_type}, *fields[::-1]]}
    reversed_share = value + b"\x00\x02\x02v" + encode_long(9) + b"\x02\x06key" + string(b"payload") + string(UUID_TEXT)
    written = file_of(json.dumps(schema).encode(), [(2, reversed_share * 2)])
    expected = outcome_by_record(read_shares, written)
    assert len(expected) == 2
    monkeypatch.setattr(containers, "schemaless_reader", None)
    assert read_shares(written) == expected


@pytest.mark.parametrize("its_type", [[], [[]], {}, "unheard of", None, ["string", "string"]])
def test_a_type_that_is_hardly_one(its_type: Any) -> None:
    schema = {"type": "record", "name": "Theirs", "fields": [{"name": "uuid", "type": its_type}]}
    for data in (b"\x00", b"\x02" + string(UUID_TEXT)):
        written = file_of(json.dumps(schema).encode(), [(1, data)])
        assert outcome(read_invalid, written) == outcome_by_record(read_invalid, written)


# Memory


class Generated(io.RawIOBase):
    """A stream that is made while it is read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._left = self._left or memoryview(next(self._parts, b""))
        now = self._left[: len(buffer)]
        self._left = self._left[len(now) :]
        buffer[: len(now)] = now
        return len(now)


@pytest.mark.parametrize("blocks", [1, 2000])
def test_what_is_held_of_a_file_does_not_grow_with_it(blocks: int) -> None:
    packets_in_all, packet = 20_000, share(payload=bytes(5000))
    count = packets_in_all // blocks
    frame = encode_long(count) + encode_long(count * len(packet))
    its_blocks = itertools.chain.from_iterable(
        itertools.chain([frame], itertools.repeat(packet, count), [SYNC]) for _ in range(blocks)
    )
    stream: BinaryIO = Generated(itertools.chain([file_of(SCHEMA, [])], its_blocks))  # type: ignore[assignment]
    seen = 0
    next(read_chunks(io.BytesIO(shares_file([[share()]])), bytes(32), "loads the scanner", 1))
    tracemalloc.start()
    with pytest.raises(BatchRejected, match="SHA-256"):
        for chunk in read_chunks(stream, bytes(32), "a file of 100 MB", 1024):
            seen += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == packets_in_all
    assert peak < 3 * bulk.SLAB_BYTES


def test_chunks_of_one_slab_share_its_bytes() -> None:
    data = shares_file([[share()] * 50])
    chunks: list[Chunk] = list(read_chunks(io.BytesIO(data), digest(data), "x", 10))
    assert len(chunks) == 5
    assert len({np.frombuffer(chunk.buffer, dtype=np.uint8).ctypes.data for chunk in chunks}) == 1


def test_bytes_in_memory_are_scanned_where_they_are() -> None:
    uuids = np.zeros((3, 16), dtype=np.uint8)
    data = packets.encode_invalid_packets(uuids, b"seed")
    container = containers.open_container("PrioInvalidPacket", io.BytesIO(data), "its name", 3)
    reader = bulk.BulkReader(container, Wanted("PrioInvalidPacket"), 3)
    slabs = [slab for slab, _ in reader.slices(2, 0)]
    assert len(slabs) == 2
    for slab in slabs:
        assert np.shares_memory(np.frombuffer(slab, dtype=np.uint8), np.frombuffer(data, dtype=np.uint8))
    assert not reader.rest()[0].source.read()
