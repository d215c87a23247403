"""Packet files: the shares of a batch, the evaluations of their proofs, and the packets left out of a sum.

A file of shares may be large, so it is streamed as chunks of columns. Packets of the other two kinds are small and
are held as columns at once. Zero bytes are a file of zero packets: the reference writes no header where there is no
packet. One packet's fault is that packet's alone; only a fault of the frame costs the file.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, MalformedError, PacketReason
from prio_assets.prio.choice import compiled_loops_allowed
from prio_assets.prio.engine import KEY_ID_CHARACTERS, Chunk
from prio_assets.prio.field import Elements, reduce
from prio_assets.wire.columns import duplicated
from prio_assets.wire.containers import (
    blocks_of,
    container,
    encode_datum,
    open_container,
    read_further,
    read_records,
)
from prio_assets.wire.rows import blocks_of_rows, is_scanner_loaded
from prio_assets.wire.uuids import LONGEST_TEXT, UUID_BYTES, parse_uuid_texts

if TYPE_CHECKING:
    from prio_assets.wire.scan import Columns

CHUNK_BYTES: Final = 8 * 2**20
MAXIMUM_VALUE: Final = 2**32 - 1
"""Greatest validity value that is read: the reference takes unsigned 32-bit values and reduces them."""

MAXIMUM_PACKETS: Final = 2**22
"""Most packets that a file is read of: a file of some kilobytes can hold many more, since it may be compressed.
Production's greatest batches have 200,000."""

DIGEST_BYTES: Final = 32

_READ_BYTES: Final = 256 * 2**10
_SLICE: Final = 10_000
_FEW_BYTES: Final = 2**14
"""A smaller file is read record by record sooner than numba is loaded. Where packets were scanned before, it is."""


@dataclass(frozen=True)
class IngestionPacket:
    """A client's share as an ingestor passes it on; the UUID is the client's text, whatever it is."""

    uuid: str
    encrypted_payload: bytes
    encryption_key_id: str | None
    r_pit: int
    version_configuration: str | None = None
    device_nonce: bytes | None = None


@dataclass(frozen=True, eq=False)
class ValidityPackets:
    """Evaluations of n proofs: uuids uint8[n, 16]; f_r, g_r, h_r uint64[n] with values in [0, p)."""

    uuids: NDArray[np.uint8]
    f_r: Elements
    g_r: Elements
    h_r: Elements

    def __len__(self) -> int:
        return len(self.uuids)


def digest(data: bytes) -> bytes:
    """SHA-256, by which headers refer to packet files."""
    return hashlib.sha256(data).digest()


def read_chunks(
    stream: BinaryIO, expected_digest: bytes, name: str, packets_per_chunk: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """The packets of the ingestion file `name`, in chunks of at most so many packets and so many payload bytes.

    A packet greater than `chunk_bytes` is a chunk by itself. The digest is known at the stream's end: only when the
    iteration has ended well are the chunks what the header states. A file that ends the iteration raises BatchRejected,
    DIGEST_DIFFERS before PACKETS_MALFORMED. A malformed UUID is a packet's status.
    """
    hashing = _HashingStream(stream)
    source = io.BufferedReader(hashing, _READ_BYTES)
    malformed = None
    try:
        if source.peek(1):
            yield from _chunks(source, name, packets_per_chunk, chunk_bytes)
    except MalformedError as error:
        malformed = str(error)
        while source.read(_READ_BYTES):
            pass
    if hashing.digest() != expected_digest:
        raise BatchRejected(BatchReason.DIGEST_DIFFERS, f"{name}: its SHA-256 is not the one that the header states")
    if malformed:
        raise BatchRejected(BatchReason.PACKETS_MALFORMED, malformed)


def encode_ingestion_packets(packets: Iterable[IngestionPacket], sync_seed: bytes, codec: str = "null") -> bytes:
    """The file of the packets; codecs null, deflate, snappy. Zero packets give a header only."""
    data = (encode_datum("PrioDataSharePacket", asdict(packet)) for packet in packets)
    return container("PrioDataSharePacket", blocks_of(data), sync_seed, codec)


def encode_validity_packets(packets: ValidityPackets, sync_seed: bytes) -> bytes:
    """The file of the packets, in order. Zero packets give a header only."""
    blocks = blocks_of_rows(packets.uuids, (packets.f_r, packets.g_r, packets.h_r))
    return container("PrioValidityPacket", blocks, sync_seed)


def decode_validity_packets(data: bytes, name: str) -> ValidityPackets:
    """The packets of the validity file `name` that can be used, in order.

    Left out are packets with a malformed UUID or a value that is no unsigned 32-bit integer, and all packets whose UUID
    is there more than once. Values of p and above are reduced. Raises MalformedError for a file that is none.
    """
    uuids, values = _read_columns("PrioValidityPacket", ("f_r", "g_r", "h_r"), data, name)
    unsigned = values.view(np.uint64)  # in which a negative value is beyond all that are read
    usable = (unsigned <= np.uint64(MAXIMUM_VALUE)).all(axis=0) & ~duplicated(uuids)
    if not usable.all():
        uuids, unsigned = uuids[usable], unsigned[:, usable]
    f_r, g_r, h_r = reduce(unsigned)
    return ValidityPackets(uuids, f_r, g_r, h_r)


def encode_invalid_packets(uuids: NDArray[np.uint8], sync_seed: bytes) -> bytes:
    """The file of packets uint8[n, 16] that are not in a sum, in order. Zero packets give a header only."""
    return container("PrioInvalidPacket", blocks_of_rows(uuids, ()), sync_seed)


def decode_invalid_packets(data: bytes, name: str) -> NDArray[np.uint8]:
    """The UUIDs uint8[n, 16] in the file `name` of invalid packets, in order and repeated as they are there.

    Texts that are no UUID are left out: the reference lists a packet by the client's text. Raises MalformedError.
    """
    uuids, _ = _read_columns("PrioInvalidPacket", (), data, name)
    return uuids


class _HashingStream(io.RawIOBase):
    """A stream's bytes, hashed as they pass."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        length: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]
        self._hash.update(buffer[:length])
        return length

    def digest(self) -> bytes:
        return self._hash.digest()


def _read_columns(
    record_name: str, number_fields: tuple[str, ...], data: bytes, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The packets whose UUID is well-formed: columns uuids uint8[n, 16] and numbers int64[number of fields, n]."""
    uuids = [np.zeros((0, UUID_BYTES), dtype=np.uint8)]
    numbers = [np.zeros((len(number_fields), 0), dtype=np.int64)]
    for its_uuids, well_formed, its_numbers in _columns(record_name, number_fields, data, name):
        all_are = bool(well_formed.all())  # and then nothing is copied
        uuids.append(its_uuids if all_are else its_uuids[well_formed])
        numbers.append(its_numbers if all_are else its_numbers[:, well_formed])
    return np.concatenate(uuids), np.concatenate(numbers, axis=1)


def _columns(
    record_name: str, number_fields: tuple[str, ...], data: bytes, name: str
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]]:
    """Columns of all packets, slice by slice: records as Python objects take ten times the memory."""
    if not data:
        return
    source = io.BytesIO(data)
    if not compiled_loops_allowed() or (len(data) < _FEW_BYTES and not is_scanner_loaded()):
        records = read_records(record_name, source, name, MAXIMUM_PACKETS, any_text=True)
    else:
        from prio_assets.wire.bulk import BulkReader  # noqa: PLC0415 (numba is an extra, and slow to import)
        from prio_assets.wire.fields import Wanted  # noqa: PLC0415

        container = open_container(record_name, source, name, MAXIMUM_PACKETS)
        reader = BulkReader(container, Wanted(record_name, number_fields), MAXIMUM_PACKETS)
        for _, columns in reader.slices(_SLICE, 0):
            yield columns.uuids, columns.well_formed, columns.numbers
        records = read_further(record_name, *reader.rest(), name, MAXIMUM_PACKETS)
    rows = ((_bounded(record["uuid"]), *(record[field] for field in number_fields)) for record in records)
    while gathered := list(islice(rows, _SLICE)):
        texts, *numbers = zip(*gathered, strict=True)
        uuids, well_formed = parse_uuid_texts(texts)
        yield uuids, well_formed, np.array(numbers, dtype=np.int64).reshape(-1, len(texts))


def _chunks(source: BinaryIO, name: str, packets_per_chunk: int, chunk_bytes: int) -> Iterator[Chunk]:
    record_name = "PrioDataSharePacket"
    if not compiled_loops_allowed():
        records = read_records(record_name, source, name, MAXIMUM_PACKETS, any_text=True)
    else:
        from prio_assets.wire.bulk import BulkReader  # noqa: PLC0415 (numba is an extra, and slow to import)
        from prio_assets.wire.fields import Wanted  # noqa: PLC0415

        wanted = Wanted(record_name, ("r_pit",), ("encrypted_payload", "encryption_key_id"))
        reader = BulkReader(open_container(record_name, source, name, MAXIMUM_PACKETS), wanted, MAXIMUM_PACKETS)
        for slab, columns in reader.slices(packets_per_chunk, chunk_bytes):
            yield _chunk_of_columns(slab, columns)
        records = read_further(record_name, *reader.rest(), name, MAXIMUM_PACKETS)
    yield from _chunks_of_records(records, packets_per_chunk, chunk_bytes)


def _chunk_of_columns(slab: memoryview, columns: "Columns") -> Chunk:
    return Chunk(
        buffer=slab,
        payload_offsets=columns.offsets[0],
        payload_lengths=columns.lengths[0],
        uuids=columns.uuids,
        r_pit=columns.numbers[0],
        status=_status(columns.well_formed),
        key_id_offsets=columns.offsets[1],
        key_id_lengths=columns.lengths[1],
    )


def _status(well_formed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(well_formed, PacketReason.ACCEPTED, PacketReason.UUID_MALFORMED).astype(np.uint8)


def _chunks_of_records(records: Iterator[dict[str, Any]], packets_per_chunk: int, chunk_bytes: int) -> Iterator[Chunk]:
    gathered: list[_Packet] = []
    size = 0
    for record in records:
        packet = _packet(record)
        length = len(packet.payload)
        if gathered and (len(gathered) == packets_per_chunk or size + length > chunk_bytes):
            yield _chunk_of_packets(gathered)
            gathered, size = [], 0
        gathered.append(packet)
        size += length
    if gathered:
        yield _chunk_of_packets(gathered)


class _Packet(NamedTuple):
    """What is held of a packet until its chunk is whole: beside the payload it is bounded."""

    uuid: str
    payload: bytes
    r_pit: int
    key_id: bytes | None


def _packet(record: dict[str, Any]) -> _Packet:
    key_id = record["encryption_key_id"]
    shown_id = key_id if key_id is None else key_id[:KEY_ID_CHARACTERS].encode()
    return _Packet(_bounded(record["uuid"]), record["encrypted_payload"], record["r_pit"], shown_id)


def _bounded(text: str) -> str:
    """The text of a UUID; of one that is longer than any UUID's so much as shows that."""
    return text[: LONGEST_TEXT + 1]


def _chunk_of_packets(packets: list[_Packet]) -> Chunk:
    texts, payloads, r_pit, key_ids = zip(*packets, strict=True)
    stated = [key_id or b"" for key_id in key_ids]
    lengths = np.array([len(part) for part in (*payloads, *stated)], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    no_key_id = np.array([key_id is None for key_id in key_ids])
    uuids, well_formed = parse_uuid_texts(texts)
    return Chunk(
        buffer=b"".join((*payloads, *stated)),
        payload_offsets=offsets[: len(packets)],
        payload_lengths=lengths[: len(packets)],
        uuids=uuids,
        r_pit=np.array(r_pit, dtype=np.int64),
        status=_status(well_formed),
        key_id_offsets=offsets[len(packets) :],
        key_id_lengths=np.where(no_key_id, -1, lengths[len(packets) :]),
    )
