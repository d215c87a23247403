"""Avro object container files: the frame of every object that organisations exchange, and of our own.

    "Obj" 01 | metadata map | sync marker (16) | blocks of: record count, byte size, records, sync marker

Writing is deterministic: the sync marker is derived from content and the metadata is in fixed order. Reading takes
nothing on trust: no size is allocated before it is bounded by a limit or by bytes that are there, and whatever is wrong
ends in a MalformedError that names the object.
"""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from fastavro import schemaless_reader, schemaless_writer

from prio_assets.errors import MalformedError
from prio_assets.wire.codecs import compress, decompress
from prio_assets.wire.resolution import writer_schema
from prio_assets.wire.schemas import datum_schema, embedded_schema

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
BLOCK_BYTES = 16000
"""A block is closed once it has this many bytes, as the reference's writer does."""
MAXIMUM_METADATA = 2**20
PIECE = 2**20
"""How many bytes of a block are held at once, if no record is greater."""
MAXIMUM_BYTES = 256 * 2**20
"""Most bytes that are read of a record, and of a compressed block, where the reader sets no lower limit. Writers close
blocks at 16000 to 64000 bytes."""

Block = tuple[int, bytes]
"""How many records, and their encodings one after another."""


class Container(NamedTuple):
    """A container whose header is read: its blocks lie ahead, not compressed (any more)."""

    source: BinaryIO
    schema: bytes
    sync: bytes


class Progress(NamedTuple):
    """How far the blocks of a container are read."""

    stated: int = 0
    """The records that the blocks so far hold by their own words, the block that is being read included."""
    records_left: int = 0
    """In the block that is being read, like bytes_left."""
    bytes_left: int = -1
    """-1 before a block."""


def encode_datum(record_name: str, values: dict[str, Any]) -> bytes:
    """The Avro encoding of one record, without a frame. UUIDs are texts and times numbers in `values`."""
    buffer = io.BytesIO()
    schemaless_writer(buffer, datum_schema(record_name), values)
    return buffer.getvalue()


def blocks_of(data: Iterable[bytes]) -> Iterator[Block]:
    """Encoded records gathered into blocks of BLOCK_BYTES and what the last record has over it."""
    gathered: list[bytes] = []
    size = 0
    for datum in data:
        gathered.append(datum)
        size += len(datum)
        if size >= BLOCK_BYTES:
            yield len(gathered), b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield len(gathered), b"".join(gathered)


def container(record_name: str, blocks: Iterable[Block], sync_seed: bytes, codec: str = "null") -> bytes:
    """The container of blocks of encoded records; without blocks it is the header only.

    `sync_seed` should depend on the content, so that other content has another sync marker. Codecs: null, deflate,
    snappy.
    """
    sync = sync_marker(sync_seed)
    parts = [_written_header(record_name, codec), sync]
    for count, block in blocks:
        data = compress(block, codec)
        parts += [encode_long(count), encode_long(len(data)), data, sync]
    return b"".join(parts)


@cache
def _written_header(record_name: str, codec: str) -> bytes:
    """What stands before the first sync marker."""
    metadata = {b"avro.codec": codec.encode(), b"avro.schema": embedded_schema(record_name)}
    entries = [_length_and(key) + _length_and(value) for key, value in metadata.items()]
    return b"".join([MAGIC, encode_long(len(entries)), *entries, encode_long(0)])


def sync_marker(seed: bytes | memoryview) -> bytes:
    """The sync marker of a container that is written with this seed."""
    hashing = hashlib.sha256(b"prio-assets sync marker")
    hashing.update(seed)
    return hashing.digest()[:SYNC_BYTES]


def encode_long(value: int) -> bytes:
    """An Avro long: zigzag, then 7 bits a byte from the lowest."""
    rest = value << 1 if value >= 0 else ~(value << 1)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def read_records(
    record_name: str,
    source: BinaryIO,
    name: str,
    maximum_records: int | None = None,
    *,
    maximum_bytes: int = MAXIMUM_BYTES,
    maximum_reads: int | None = None,
    any_text: bool = False,
) -> Iterator[dict[str, Any]]:
    """The records of the container in `source`, resolved to our schema of `record_name`, UUIDs as texts.

    Reads block by block, and a block of codec null piece by piece, so that no more than a piece and a record are held.
    `source.read(n)` must give n bytes unless the source ends. Raises MalformedError, naming the object `name`, for
    anything that is not such a container up to the source's end, or holds more than `maximum_records`, or a record or
    compressed block that is, or decompresses to, more than `maximum_bytes`, or a record that takes more than
    `maximum_reads`: a number takes one a byte, a text two. With `any_text` a text that is not UTF-8 has replacement
    characters instead, so that it costs its record and not the object.
    """
    limits = _Limits(record_name, maximum_records, maximum_bytes)
    with _faults_of(name):
        yield from _read_records(_open(source, limits), Progress(), limits, maximum_reads, any_text)


def read_only_record(
    record_name: str, data: bytes, name: str, maximum_bytes: int, maximum_reads: int | None
) -> dict[str, Any] | None:
    """The one record of the container `data`, as `read_records` gives it and with its errors; None if there is none.

    A writer's containers of one kind begin alike, so what the last few began with is not parsed anew.
    """
    seen = _SEEN.setdefault(record_name, deque(maxlen=_SEEN_HEADERS))
    for header in tuple(seen) if len(data) <= maximum_bytes else ():
        if data.startswith(header.text):
            record = _record_after(header, record_name, data, maximum_reads)
            if record is not None:
                return record
    records = list(
        read_records(record_name, io.BytesIO(data), name, 1, maximum_bytes=maximum_bytes, maximum_reads=maximum_reads)
    )
    header_now = _seen_header(data)
    if header_now is not None and header_now not in seen:
        seen.append(header_now)
    return records[0] if records else None


class _SeenHeader(NamedTuple):
    """What a container of codec null begins with, up to its sync marker, and the schema that is in it."""

    text: bytes
    schema: bytes


_SEEN: dict[str, deque[_SeenHeader]] = {}
_SEEN_HEADERS = 4
"""So many writers of a kind of record are known at once: we, the peer, the ingestor."""
_SEEN_BYTES = 2**14


def _seen_header(data: bytes) -> _SeenHeader | None:
    """The header to know the next time; None where it is long or its container compressed."""
    source = io.BytesIO(data)
    metadata = _read_header(source)
    if source.tell() > _SEEN_BYTES or metadata.get("avro.codec", b"null") in (b"deflate", b"snappy"):
        return None
    return _SeenHeader(data[: source.tell()], metadata["avro.schema"])


def _record_after(
    header: _SeenHeader, record_name: str, data: bytes, maximum_reads: int | None
) -> dict[str, Any] | None:
    """The record in a container that is the header, one block and one record; None for any other."""
    source = io.BytesIO(data)
    source.seek(len(header.text))
    sync = source.read(SYNC_BYTES)
    try:
        count, size = _read_long(source), _read_long(source)
        end = source.tell() + size
        if count != 1 or size < 1 or data[end:] != sync:
            return None
        record = _datum_reader(header.schema, record_name, maximum_reads, any_text=False)(source)
        return record if source.tell() == end else None
    except MemoryError:  # ours, not the data's
        raise
    except Exception:  # fastavro raises many types; `read_records` says what is wrong
        return None


def open_container(record_name: str, source: BinaryIO, name: str, maximum_records: int) -> Container:
    """The container in `source`, read up to its first block. `source` and errors are as of `read_records`.

    The blocks may be given out decompressed, and checked for `maximum_records` before.
    """
    with _faults_of(name):
        return _open(source, _Limits(record_name, maximum_records, MAXIMUM_BYTES))


def read_further(
    record_name: str, container: Container, progress: Progress, name: str, maximum_records: int
) -> Iterator[dict[str, Any]]:
    """The records that are left, texts of any kind, where `container.source` has what follows `progress`.

    They, and errors, are those that `read_records` would have gone on with.
    """
    with _faults_of(name):
        limits = _Limits(record_name, maximum_records, MAXIMUM_BYTES)
        yield from _read_records(container, progress, limits, None, any_text=True)


def stated_record(source: BinaryIO, name: str) -> str:
    """The name, without its namespace, of the record that the container in `source` says it holds.

    Only the container's header is read. Raises MalformedError, naming the object `name`.
    """
    with _faults_of(name):
        return _stated_name(_read_header(source)).rpartition(".")[2]


class _Limits(NamedTuple):
    record_name: str
    maximum_records: int | None
    maximum_bytes: int

    def check_count(self, stated: int) -> None:
        if self.maximum_records is not None and stated > self.maximum_records:
            raise MalformedError(f"holds more than {self.maximum_records} {self.record_name} records")


@contextmanager
def _faults_of(name: str) -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        raise MalformedError(f"{name}: {error}") from None


def _open(source: BinaryIO, limits: _Limits) -> Container:
    metadata = _read_header(source)
    sync = _take(source, SYNC_BYTES)
    codec = metadata.get("avro.codec", b"null")
    if "avro.schema" not in metadata:
        raise MalformedError("has no schema")
    if codec in (b"deflate", b"snappy"):  # what is neither is taken as null
        source = io.BufferedReader(_Decompressing(source, codec.decode(), limits))
    return Container(source, metadata["avro.schema"], sync)


class _Decompressing(io.RawIOBase):
    """The blocks of a compressed container as one of codec null has them; holds one block.

    What follows a fault is never given: whoever reads on meets the fault again.
    """

    def __init__(self, source: BinaryIO, codec: str, limits: _Limits) -> None:
        self._source = source
        self._codec = codec
        self._limits = limits
        self._parts = self._decompress()
        self._part = memoryview(b"")
        self._fault: MalformedError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._fault:
            raise self._fault
        try:
            self._part = self._part or memoryview(next(self._parts, b""))
        except MalformedError as error:
            self._fault = error
            raise
        now = self._part[: len(buffer)]
        self._part = self._part[len(now) :]
        buffer[: len(now)] = now
        return len(now)

    def _decompress(self) -> Iterator[bytes]:
        stated = 0
        while (count := _read_long_or_end(self._source)) is not None:
            stated += count
            self._limits.check_count(stated)
            size = _read_size(self._source, count)
            if size > self._limits.maximum_bytes:
                raise MalformedError(f"a compressed block is over the limit of {self._limits.maximum_bytes} bytes")
            block = decompress(_take(self._source, size), self._codec, self._limits.maximum_bytes)
            yield encode_long(count) + encode_long(len(block))
            if block:  # nothing would look like the end
                yield block
            del block  # or it would be held while the next one is decompressed
            yield _take(self._source, SYNC_BYTES)


def _read_records(
    container: Container, progress: Progress, limits: _Limits, maximum_reads: int | None, any_text: bool
) -> Iterator[dict[str, Any]]:
    source, schema, sync = container
    read_datum = _datum_reader(schema, limits.record_name, maximum_reads, any_text)
    stated, records_left, bytes_left = progress
    if bytes_left >= 0:
        yield from _read_block(source, records_left, bytes_left, sync, limits.maximum_bytes, read_datum)
    while (count := _read_long_or_end(source)) is not None:
        stated += count
        limits.check_count(stated)
        size = _read_size(source, count)
        if count > size:
            raise MalformedError("a block states more records than it has bytes")
        yield from _read_block(source, count, size, sync, limits.maximum_bytes, read_datum)


def _datum_reader(
    schema: bytes, record_name: str, maximum_reads: int | None, any_text: bool
) -> Callable[[io.BytesIO], dict[str, Any]]:
    theirs, ours = writer_schema(schema, record_name)

    def read_datum(buffer: io.BytesIO) -> dict[str, Any]:
        checked = buffer if ours is None and maximum_reads is None else _CheckedReads(buffer, maximum_reads)
        return schemaless_reader(  # type: ignore[return-value]
            checked,  # type: ignore[arg-type]
            theirs,
            ours,
            handle_unicode_errors="replace" if any_text else "strict",
        )

    return read_datum


class _CheckedReads:
    """A buffer that raises EOFError unless all bytes that are asked for are there, and refuses too many reads.

    fastavro sees to the first itself for what it reads, but not for what it skips, the fields that a writer has beyond
    ours: there it would take cut off bytes for whole ones, and skip an array of 2**62 numbers one by one at the end.
    """

    def __init__(self, buffer: io.BytesIO, maximum_reads: int | None) -> None:
        self._buffer = buffer
        self._reads_left = maximum_reads

    def read(self, size: int, /) -> bytes:
        if self._reads_left is not None:
            self._reads_left -= 1
            if self._reads_left < 0:
                raise MalformedError("too many values")
        data = self._buffer.read(size)
        if len(data) != size:
            raise EOFError
        return data


def _read_header(source: BinaryIO) -> dict[str, bytes]:
    if _take(source, len(MAGIC)) != MAGIC:
        raise MalformedError("not an Avro container")
    return _read_metadata(source)


def _stated_name(metadata: dict[str, bytes]) -> str:
    try:
        schema = json.loads(metadata.get("avro.schema", b"null"))
    except (ValueError, RecursionError):
        raise MalformedError("its schema is not JSON") from None
    stated = schema.get("name") if isinstance(schema, dict) else None
    if not isinstance(stated, str):
        raise MalformedError("its schema is not that of a record")
    return stated


def _read_metadata(source: BinaryIO) -> dict[str, bytes]:
    metadata: dict[str, bytes] = {}
    left = MAXIMUM_METADATA
    while count := _read_long(source):
        if count < 0:  # the map's other form: the count negated, then the size in bytes
            count = -count
            _read_long(source)
        for _ in range(count):
            key, value = _take_limited(source, left), _take_limited(source, left)
            left -= len(key) + len(value) + 2
            metadata[_text(key)] = value
    return metadata


def _take_limited(source: BinaryIO, limit: int) -> bytes:
    size = _read_long(source)
    if not 0 <= size <= limit:
        raise MalformedError(f"its metadata has a negative size or is over {MAXIMUM_METADATA} bytes")
    return _take(source, size)


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise MalformedError("its metadata has a name that is not UTF-8") from None


def _read_size(source: BinaryIO, count: int) -> int:
    """The size in bytes that stands behind a block's count."""
    size = _read_long(source)
    if count < 0 or size < 0:
        raise MalformedError("a block has a negative count or size")
    return size


def _read_block(
    source: BinaryIO,
    count: int,
    size: int,
    sync: bytes,
    maximum_bytes: int,
    read_datum: Callable[[io.BytesIO], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The `count` records in the next `size` bytes, which they must fill, before the sync marker."""
    pieces = _Pieces(source, size, maximum_bytes)
    for _ in range(count):
        yield pieces.read_datum(read_datum)
    if not pieces.at_end():
        raise MalformedError("a block has bytes that belong to no record")
    if _take(source, SYNC_BYTES) != sync:
        raise MalformedError("a block does not end with the sync marker")


class _Pieces:
    """A block's bytes, of which only a piece is held: as much as the record being read needs."""

    def __init__(self, source: BinaryIO, size: int, maximum_bytes: int) -> None:
        self._source = source
        self._ahead = size
        self._maximum_bytes = maximum_bytes
        self._piece = io.BytesIO()

    def read_datum(self, read_datum: Callable[[io.BytesIO], dict[str, Any]]) -> dict[str, Any]:
        while True:
            start = self._piece.tell()
            try:
                return read_datum(self._piece)
            except (EOFError, IndexError) as error:  # IndexError: a float that is cut off
                self._extend(start, error)
            except MemoryError:  # ours, not the data's
                raise
            except Exception as error:  # fastavro raises many types for data that are none
                raise MalformedError(_record_fault(error)) from None

    def at_end(self) -> bool:
        return self._ahead == 0 and self._piece.read(1) == b""

    def _extend(self, start: int, error: Exception) -> None:
        """Holds more of what follows `start`, twice as much if that was too little already."""
        self._piece.seek(start)
        held = self._piece.read()
        if self._ahead == 0:
            raise MalformedError(_record_fault(error)) from None
        if len(held) >= self._maximum_bytes:
            raise MalformedError(f"a record is over the limit of {self._maximum_bytes} bytes")
        more = min(self._ahead, max(PIECE, len(held)), self._maximum_bytes - len(held))
        self._piece = io.BytesIO(held + _take(self._source, more))
        self._ahead -= more


def _record_fault(error: Exception) -> str:
    """One line of bounded length: fastavro quotes from schemas that others wrote."""
    return f"a record is malformed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _take(source: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes, allocated as they come."""
    parts = []
    while size:
        part = source.read(min(size, PIECE))
        if not part:
            raise MalformedError("ends early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read_long(source: BinaryIO) -> int:
    value = _read_long_or_end(source)
    if value is None:
        raise MalformedError("ends early")
    return value


def _read_long_or_end(source: BinaryIO) -> int | None:
    """An Avro long of at most 10 bytes, or None if the source has ended before it."""
    value = 0
    for place in range(10):
        byte = source.read(1)
        if not byte and place == 0:
            return None
        if not byte:
            raise MalformedError("ends early")
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
    raise MalformedError("has a number of more than 10 bytes")


def _length_and(data: bytes) -> bytes:
    return encode_long(len(data)) + data
