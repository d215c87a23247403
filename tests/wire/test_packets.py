"""Packet files against fastavro's reading of the same bytes, the reference's own files, and tampering."""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, MalformedError, PacketReason
from prio_assets.prio.engine import Chunk
from prio_assets.prio.field import PRIME
from prio_assets.wire import packets as packets_module
from prio_assets.wire import rows as rows_module
from prio_assets.wire.packets import (
    IngestionPacket,
    ValidityPackets,
    decode_invalid_packets,
    decode_validity_packets,
    digest,
    encode_ingestion_packets,
    encode_invalid_packets,
    encode_validity_packets,
    read_chunks,
)
from prio_assets.wire.records import BatchSignature, decode
from prio_assets.wire.uuids import LONGEST_TEXT, uuid_columns, uuid_values
from tests.wire.avro import read_plainly, write_container, write_plainly

INTEROP = Path(__file__).parents[1] / "interop"
FIRST, SECOND = UUID("b8a5579a-f984-460a-a42d-2813cbf57771"), UUID("00000000-0000-4000-8000-00000000ff00")
NAME = "a/b.batch.avro"
SCANNER = "prio_assets.wire.scan"


def packet(
    uuid: str = str(FIRST), payload: bytes = b"payload", r_pit: int = 7, key: str | None = None
) -> IngestionPacket:
    return IngestionPacket(uuid, payload, key, r_pit)


def chunks_of(data: bytes, packets_per_chunk: int = 1000, **limits: int) -> list[Chunk]:
    return list(read_chunks(io.BytesIO(data), digest(data), NAME, packets_per_chunk, **limits))


def rows(chunks: list[Chunk]) -> Iterator[tuple[bytes, bytes, int, int, str | None]]:
    """(uuid, payload, r_pit, status, key id) of each packet."""
    for chunk in chunks:
        for row in range(len(chunk)):
            start = int(chunk.payload_offsets[row])
            payload = bytes(chunk.buffer[start : start + int(chunk.payload_lengths[row])])
            key = chunk.encryption_key_id(row)
            yield chunk.uuids[row].tobytes(), payload, int(chunk.r_pit[row]), int(chunk.status[row]), key


def validity(uuids: list[UUID], values: list[tuple[int, int, int]]) -> ValidityPackets:
    f_r, g_r, h_r = np.array(values, dtype=np.uint64).reshape(-1, 3).T
    return ValidityPackets(uuid_columns(uuids), f_r, g_r, h_r)


def uuid_texts(uuids: NDArray[np.uint8]) -> list[str]:
    return [str(uuid) for uuid in uuid_values(uuids)]


def validity_rows(packets: ValidityPackets) -> list[dict[str, Any]]:
    columns = zip(uuid_texts(packets.uuids), packets.f_r, packets.g_r, packets.h_r, strict=True)
    return [{"uuid": uuid, "f_r": int(f_r), "g_r": int(g_r), "h_r": int(h_r)} for uuid, f_r, g_r, h_r in columns]


# Shares

ingestion_packets = st.lists(
    st.builds(
        IngestionPacket,
        uuid=st.one_of(st.uuids().map(str), st.text(max_size=49)),
        encrypted_payload=st.binary(max_size=300),
        encryption_key_id=st.none() | st.text(max_size=5),
        r_pit=st.integers(-(2**63), 2**63 - 1),
        version_configuration=st.none() | st.text(max_size=5),
        device_nonce=st.none() | st.binary(max_size=5),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(ingestion_packets, st.sampled_from(["null", "deflate", "snappy"]), st.integers(1, 5), st.integers(1, 500))
def test_chunks_are_the_packets_in_order(
    packets: list[IngestionPacket], codec: str, packets_per_chunk: int, chunk_bytes: int
) -> None:
    data = encode_ingestion_packets(packets, b"seed", codec)
    chunks = chunks_of(data, packets_per_chunk, chunk_bytes=chunk_bytes)
    read = list(rows(chunks))
    assert [row[1:3] + row[4:] for row in read] == [
        (p.encrypted_payload, p.r_pit, p.encryption_key_id) for p in packets
    ]
    for (uuid, _, _, status, _), p in zip(read, packets, strict=True):
        accepted = status == PacketReason.ACCEPTED
        assert uuid == (UUID(p.uuid).bytes if accepted else bytes(16))
        assert accepted or status == PacketReason.UUID_MALFORMED
    for chunk in chunks:
        assert 1 <= len(chunk) <= packets_per_chunk
        assert len(chunk) == 1 or chunk.payload_lengths.sum() <= chunk_bytes
    assert [vars(p) for p in packets] == read_plainly(data.replace(b'"logicalType"', b'"logicalTipe"'))


def test_chunks_have_the_engines_columns() -> None:
    (chunk,) = chunks_of(encode_ingestion_packets([packet(), packet("not-a-uuid", b"")], b""))
    columns = (chunk.payload_offsets, chunk.payload_lengths, chunk.uuids, chunk.r_pit, chunk.status)
    assert [column.dtype for column in columns] == [np.int64, np.int64, np.uint8, np.int64, np.uint8]
    assert chunk.uuids.shape == (2, 16)
    assert chunk.status.tolist() == [PacketReason.ACCEPTED, PacketReason.UUID_MALFORMED]


def test_a_packet_over_the_chunks_bytes_is_a_chunk_by_itself() -> None:
    data = encode_ingestion_packets([packet(payload=bytes(size)) for size in (10, 500, 10, 10, 90, 20)], b"")
    sizes = [chunk.payload_lengths.tolist() for chunk in chunks_of(data, chunk_bytes=100)]
    assert sizes == [[10], [500], [10, 10], [90], [20]]


def test_every_ingestion_file_of_the_reference_is_what_fastavro_reads() -> None:
    paths = sorted(INTEROP.glob("*/*/ingestion/**/*.batch.avro"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        expected = [
            (UUID(p["uuid"]).bytes, p["encrypted_payload"], p["r_pit"], 0, p["encryption_key_id"])
            for p in read_plainly(data)
        ]
        assert list(rows(chunks_of(data, 7))) == expected, path


@pytest.mark.parametrize("data", [b"", encode_ingestion_packets([], b"")], ids=["zero bytes", "header only"])
def test_a_file_of_zero_packets_has_no_chunks(data: bytes) -> None:
    assert chunks_of(data) == []


def test_the_same_packets_are_the_same_file() -> None:
    assert encode_ingestion_packets([packet()], b"a") == encode_ingestion_packets([packet()], b"a")
    assert encode_ingestion_packets([packet()], b"a") != encode_ingestion_packets([packet()], b"b")


VALID_FILE = encode_ingestion_packets([packet(payload=bytes(100))] * 500, b"")


def test_another_digest_is_found_at_the_end() -> None:
    chunks = read_chunks(io.BytesIO(VALID_FILE), bytes(32), NAME, 100)
    assert sum(len(next(chunks)) for _ in range(5)) == 500
    with pytest.raises(BatchRejected, match=NAME) as rejected:
        next(chunks)
    assert rejected.value.reason is BatchReason.DIGEST_DIFFERS


def test_no_packets_under_another_digest_are_rejected() -> None:
    with pytest.raises(BatchRejected) as rejected:
        list(read_chunks(io.BytesIO(b""), bytes(32), NAME, 100))
    assert rejected.value.reason is BatchReason.DIGEST_DIFFERS


BROKEN_FILES = [
    VALID_FILE[:-1],
    VALID_FILE[:5000] + b"\xff" * 20 + VALID_FILE[5020:],
    VALID_FILE + b"\x00",
    b"\x00" * 3000000,
]


@pytest.mark.parametrize("data", BROKEN_FILES, ids=["cut off", "overwritten", "trailing", "zeros"])
def test_a_malformed_file_is_rejected_as_such_only_if_its_digest_holds(data: bytes) -> None:
    for expected, reason in ((digest(data), BatchReason.PACKETS_MALFORMED), (bytes(32), BatchReason.DIGEST_DIFFERS)):
        with pytest.raises(BatchRejected, match=NAME) as rejected:
            list(read_chunks(io.BytesIO(data), expected, NAME, 100))
        assert rejected.value.reason is reason


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(VALID_FILE) - 1), st.binary(min_size=1, max_size=4))
def test_tampered_files_are_chunks_or_rejected(start: int, written: bytes) -> None:
    data = VALID_FILE[:start] + written + VALID_FILE[start + len(written) :]
    try:
        assert sum(len(chunk) for chunk in chunks_of(data)) <= len(data)
    except BatchRejected as rejected:
        assert rejected.reason is BatchReason.PACKETS_MALFORMED


class ShortReads(io.RawIOBase):
    """A stream that gives fewer bytes than asked for, as a network does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(memoryview(buffer)[:777])


def test_short_reads_make_no_difference() -> None:
    stream: BinaryIO = ShortReads(VALID_FILE)  # type: ignore[assignment]
    assert sum(len(chunk) for chunk in read_chunks(stream, digest(VALID_FILE), NAME, 100)) == 500


def test_a_failing_storage_is_no_rejection() -> None:
    class Failing(ShortReads):
        def readinto(self, buffer: Any) -> int:
            return super().readinto(buffer) if self._data.tell() < 5000 else self.fail()

        def fail(self) -> int:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(read_chunks(Failing(VALID_FILE), digest(VALID_FILE), NAME, 100))  # type: ignore[arg-type]


# Validity

field_values = st.one_of(
    st.sampled_from([0, 1, 63, 64, 2**13 - 1, 2**13, 2**20 - 1, 2**20, 2**27 - 1, 2**27, PRIME - 1]),
    st.integers(0, PRIME - 1),
)
validity_packets = st.dictionaries(st.uuids(), st.tuples(field_values, field_values, field_values), max_size=8).map(
    lambda packets: validity(list(packets), list(packets.values()))
)


@settings(deadline=None)
@given(validity_packets)
def test_validity_files_are_what_fastavro_writes_record_by_record(packets: ValidityPackets) -> None:
    data = encode_validity_packets(packets, b"seed")
    assert data == write_container("PrioValidityPacket", validity_rows(packets), b"seed")
    assert validity_rows(decode_validity_packets(data, "x")) == validity_rows(packets) == read_plainly(data)


@pytest.mark.parametrize("count", [1, 399, 400, 401, 2000])
def test_validity_files_of_many_blocks_are_the_same_too(count: int) -> None:
    generator = np.random.default_rng(count)
    uuids = np.frombuffer(generator.bytes(16 * count), dtype=np.uint8).reshape(-1, 16)
    f_r, g_r, h_r = (generator.integers(0, PRIME, count, dtype=np.uint64) >> np.uint64(count % 5) for _ in range(3))
    packets = ValidityPackets(uuids, f_r, g_r, h_r)
    data = encode_validity_packets(packets, b"")
    assert data == write_container("PrioValidityPacket", validity_rows(packets), b"")
    assert validity_rows(decode_validity_packets(data, "x")) == validity_rows(packets)


@pytest.mark.parametrize("compiled", [True, False])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(validity_packets)
def test_rows_are_written_the_same_with_and_without_compiled_loops(
    compiled: bool, monkeypatch: pytest.MonkeyPatch, packets: ValidityPackets
) -> None:
    monkeypatch.setattr(rows_module, "FEW_ROWS", 1)
    monkeypatch.setattr(rows_module, "compiled_loops_allowed", lambda: compiled)
    assert encode_validity_packets(packets, b"") == write_container("PrioValidityPacket", validity_rows(packets), b"")
    uuids = [{"uuid": text} for text in uuid_texts(packets.uuids)]
    assert encode_invalid_packets(packets.uuids, b"") == write_container("PrioInvalidPacket", uuids, b"")


def noted(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(function.__name__)
        return function(*arguments, **named)

    return call


def test_few_packets_are_left_to_compiled_loops_once_the_scanner_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand: list[str] = []
    for module, function in ((rows_module, "_write"), (packets_module, "read_records")):
        monkeypatch.setattr(module, "compiled_loops_allowed", lambda: True)
        monkeypatch.setattr(module, function, noted(getattr(module, function), by_hand))
    packets = validity([FIRST], [(1, 2, 3)])
    monkeypatch.delitem(sys.modules, SCANNER, raising=False)
    before = encode_validity_packets(packets, b"")
    assert validity_rows(decode_validity_packets(before, "x")) == validity_rows(packets)
    assert by_hand == ["_write", "read_records"]
    monkeypatch.setitem(sys.modules, SCANNER, ModuleType(SCANNER))
    assert encode_validity_packets(packets, b"") == before
    assert validity_rows(decode_validity_packets(before, "x")) == validity_rows(packets)
    assert by_hand == ["_write", "read_records"]


def test_every_validity_file_of_the_reference_is_what_fastavro_reads() -> None:
    files = {path: path.read_bytes() for path in INTEROP.glob("*/*/peer-validation/**/*.validity_?.avro")}
    for path in INTEROP.glob("*/*/peer-validation/**/*.sig"):
        signature = decode(BatchSignature, path.read_bytes(), path.name)
        if signature.packets is not None:
            files[path] = signature.packets
    assert files
    for path, data in files.items():
        assert validity_rows(decode_validity_packets(data, path.name)) == read_plainly(data), path


def file_of(*packets: tuple[str, int, int, int]) -> bytes:
    return write_container(
        "PrioValidityPacket", [dict(zip(("uuid", "f_r", "g_r", "h_r"), values, strict=True)) for values in packets], b""
    )


def test_validity_files_are_read_in_slices_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = [UUID(int=number) for number in (1, 2, 3, 4, 1, 5, 6)]
    data = encode_validity_packets(validity(uuids, [(number, 0, 0) for number in range(7)]), b"")
    monkeypatch.setattr(packets_module, "_SLICE", 3)
    assert decode_validity_packets(data, "x").f_r.tolist() == [1, 2, 3, 5, 6]


def test_validity_packets_that_cannot_be_used_are_left_out_alone() -> None:
    third = UUID(int=3)
    data = file_of(
        ("not-a-uuid", 1, 2, 3),
        (str(FIRST), 1, 2, 3),
        (f"{{{SECOND}}}", 1, 2, 3),
        (str(SECOND), 1, -1, 3),
        (str(third), PRIME, PRIME + 5, 2**32 - 1),
        (str(UUID(int=4)), 2**32, 0, 0),
        (str(UUID(int=5)), 0, 0, 2**63 - 1),
    )
    reduced = {"uuid": str(third), "f_r": 0, "g_r": 5, "h_r": 2**32 - 1 - PRIME}
    assert validity_rows(decode_validity_packets(data, "x")) == [
        {"uuid": str(FIRST), "f_r": 1, "g_r": 2, "h_r": 3}, reduced
    ]  # fmt: skip


@pytest.mark.parametrize("again", [str(FIRST), str(FIRST).upper(), FIRST.hex, f"urn:uuid:{FIRST}"])
def test_a_uuid_that_is_there_twice_is_left_out_entirely(again: str) -> None:
    for values in ((4, 5, 6), (-1, 5, 6)):
        data = file_of((str(FIRST), 1, 2, 3), (str(SECOND), 7, 8, 9), (again, *values))
        assert uuid_texts(decode_validity_packets(data, "x").uuids) == [str(SECOND)]


@given(st.lists(st.sampled_from([UUID(int=number << shift) for number in (1, 2, 3) for shift in (0, 60, 64, 120)])))
def test_only_uuids_that_are_there_once_are_left(uuids: list[UUID]) -> None:
    data = encode_validity_packets(validity(uuids, [(0, 0, 0)] * len(uuids)), b"")
    once = [str(uuid) for uuid in uuids if uuids.count(uuid) == 1]
    assert uuid_texts(decode_validity_packets(data, "x").uuids) == once


def test_malformed_uuids_are_not_duplicates_of_each_other_or_of_zero() -> None:
    data = file_of(("a", 1, 2, 3), ("b", 1, 2, 3), (str(UUID(int=0)), 1, 2, 3))
    assert uuid_texts(decode_validity_packets(data, "x").uuids) == [str(UUID(int=0))]


def test_the_nested_logical_type_does_not_lose_the_file_to_one_uuid() -> None:
    values = {"f_r": 1, "g_r": 2, "h_r": 3}
    longs = [{"name": name, "type": "long"} for name in values]
    uuid = {"name": "uuid", "type": {"type": "string", "logicalTipe": "uuid"}}
    its_schema = {"type": "record", "name": "PrioValidityPacket", "fields": [uuid, *longs]}
    data = write_plainly(its_schema, [{"uuid": text, **values} for text in ("not-a-uuid", str(FIRST))])
    nested = data.replace(b"logicalTipe", b"logicalType")
    assert nested != data
    assert validity_rows(decode_validity_packets(nested, "x")) == [{"uuid": str(FIRST), **values}]


@pytest.mark.parametrize("data", [b"", encode_validity_packets(validity([], []), b"")])
def test_zero_validity_packets_are_columns_of_length_zero(data: bytes) -> None:
    packets = decode_validity_packets(data, "x")
    assert (len(packets), packets.uuids.shape, packets.f_r.dtype) == (0, (0, 16), np.uint64)


@pytest.mark.parametrize("decode_packets", [decode_validity_packets, decode_invalid_packets])
def test_files_that_are_none_are_malformed_and_named(decode_packets: Any) -> None:
    for data in (b"Obj", file_of((str(FIRST), 1, 2, 3))[:-1], file_of((str(FIRST), 1, 2, 3)) + b"\x00"):
        with pytest.raises(MalformedError, match=r"^a\.validity_1: "):
            decode_packets(data, "a.validity_1")


# Invalid packets


@given(st.lists(st.uuids(), max_size=6))
def test_invalid_packets_are_what_fastavro_reads(uuids: list[UUID]) -> None:
    data = encode_invalid_packets(uuid_columns(uuids), b"seed")
    assert data == write_container("PrioInvalidPacket", [{"uuid": str(uuid)} for uuid in uuids], b"seed")
    assert [packet["uuid"] for packet in read_plainly(data)] == [str(uuid) for uuid in uuids]
    assert uuid_texts(decode_invalid_packets(data, "x")) == [str(uuid) for uuid in uuids]


def test_every_file_of_invalid_packets_of_the_reference_is_what_fastavro_reads() -> None:
    paths = sorted(INTEROP.glob("*/portal/**/*.invalid_uuid_?.avro"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        expected = [packet["uuid"] for packet in read_plainly(data)] if data else []
        assert uuid_texts(decode_invalid_packets(data, path.name)) == expected


def test_invalid_packets_keep_repeats_and_leave_out_what_is_no_uuid() -> None:
    texts = [str(FIRST), "not-a-uuid", str(SECOND), str(FIRST)]
    data = write_container("PrioInvalidPacket", [{"uuid": text} for text in texts], b"")
    assert uuid_texts(decode_invalid_packets(data, "x")) == [str(FIRST), str(SECOND), str(FIRST)]
    assert decode_invalid_packets(b"", "x").shape == (0, 16)


NOT_UTF_8 = [b"\xff" * 36, str(FIRST).encode()[:-1] + b"\x80", b"\xed\xa0\x80" * 12]


def spoiled(data: bytes, text: bytes) -> bytes:
    """The file with these bytes as the text of the first packet, whose UUID is FIRST."""
    assert len(text) == len(str(FIRST))
    return data.replace(str(FIRST).encode(), text, 1)


@pytest.mark.parametrize("text", NOT_UTF_8)
def test_a_text_that_is_not_utf_8_costs_its_packet_alone(text: bytes) -> None:
    data = spoiled(encode_ingestion_packets([packet(), packet(str(SECOND))], b""), text)
    assert [(uuid, status) for uuid, _, _, status, _ in rows(chunks_of(data))] == [
        (bytes(16), PacketReason.UUID_MALFORMED),
        (SECOND.bytes, PacketReason.ACCEPTED),
    ]
    usable = decode_validity_packets(spoiled(file_of((str(FIRST), 1, 2, 3), (str(SECOND), 4, 5, 6)), text), NAME)
    assert validity_rows(usable) == [{"uuid": str(SECOND), "f_r": 4, "g_r": 5, "h_r": 6}]


def test_a_key_identifier_that_is_not_utf_8_costs_nothing() -> None:
    data = encode_ingestion_packets([packet(key="key")], b"").replace(b"\x06key", b"\x06\xff\xfe\xfd")
    assert [row[3:] for row in rows(chunks_of(data))] == [(PacketReason.ACCEPTED, "\ufffd" * 3)]


def test_texts_of_any_length_are_held_in_bounds() -> None:
    """A file may be compressed a thousandfold, so what is held of a packet must not depend on its texts."""
    long = str(FIRST) + "0" * 100_000
    [chunk] = chunks_of(encode_ingestion_packets([packet(long, key=long)], b"", "deflate"))
    assert chunk.status.tolist() == [PacketReason.UUID_MALFORMED]
    assert chunk.encryption_key_id(0) == long[:100]
    assert len(decode_validity_packets(file_of((long, 1, 2, 3), (str(FIRST), 4, 5, 6)), NAME)) == 1


def test_the_longest_text_of_a_uuid_is_told_from_one_that_is_a_character_longer() -> None:
    longest = f"urn:uuid:{FIRST}"
    assert len(longest) == LONGEST_TEXT
    data = encode_ingestion_packets([packet(longest), packet(longest + "0")], b"")
    assert [status for *_, status, _ in rows(chunks_of(data))] == [PacketReason.ACCEPTED, PacketReason.UUID_MALFORMED]
    usable = decode_validity_packets(file_of((longest, 1, 2, 3), (longest + "0", 4, 5, 6)), NAME)
    assert usable.f_r.tolist() == [1]


def test_the_digest_is_sha_256() -> None:
    assert digest(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest(VALID_FILE) == hashlib.sha256(VALID_FILE).digest()
