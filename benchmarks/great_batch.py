"""A batch of any size: a small one's payloads again and again, under other UUIDs.

`python -m benchmarks.great_batch URL BINS MEGABYTES` writes it to a storage in a process of its own, so that what an
upload takes can be measured; prints the batch's UUID, bins, packets and megabytes.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np

from benchmarks.datasets import AGGREGATION, WINDOW, Dataset
from benchmarks.parties import PARTIES, ROLES, SEED
from prio_assets.ingestor.batches import draw_uuid
from prio_assets.storage.base import Store, copy_in_order, read_bytes
from prio_assets.storage.local import LocalStore
from prio_assets.storage.urls import open_store
from prio_assets.wire.batches import open_header, seal
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import IngestionPacket, encode_ingestion_packets, read_chunks
from prio_assets.wire.records import IngestionHeader

ROLE: Final = ROLES[0]

Random = Callable[[int], bytes]

_PACKETS: Final = 500
_NO_UUID: Final = str(UUID(int=0))


class GreatBatch(NamedTuple):
    """What was written."""

    name: BatchName
    bins: int
    packets: int
    megabytes: float
    """Of its packet file."""


def repeated_packets(bins: int) -> Dataset:
    """The batch whose payloads are repeated."""
    return Dataset(bins, _PACKETS)


def write_great_batch(ingestion: Store, bins: int, megabytes: int) -> GreatBatch:
    """Write a batch of about so many megabytes, never holding more of it than some."""
    dataset = repeated_packets(bins)
    (given,) = dataset.names()
    original, names = dataset.ingestion(ROLE), ingestion_objects(given)
    header = open_header(IngestionHeader, read_bytes(original, names.header), names.header)
    random = np.random.default_rng((SEED, bins, megabytes)).bytes
    batch = BatchName(AGGREGATION, WINDOW.start, draw_uuid(random))
    made = ingestion_objects(batch)
    packets = _packets(original, names.packets, header)
    times = max(1, round(megabytes * 1e6 / len(encode_ingestion_packets(packets, batch.uuid.bytes))))
    hashed, size = hashlib.sha256(), 0
    with ingestion.write(made.packets) as stream:
        for part in _parts(packets, times, batch, random):
            hashed.update(part)
            size += stream.write(part)
    stated = replace(header, batch_uuid=batch.uuid, packet_file_digest=hashed.digest())
    sealed = seal(stated, b"", PARTIES["ingestor"].signing_key)
    copy_in_order(ingestion, (made.header, made.signature), (sealed.header, sealed.three_objects()[2]))
    return GreatBatch(batch, bins, times * len(packets), size / 1e6)


def parse_great_batch(text: str) -> GreatBatch:
    """What the command printed."""
    uuid, bins, packets, megabytes = text.split()
    return GreatBatch(BatchName(AGGREGATION, WINDOW.start, UUID(uuid)), int(bins), int(packets), float(megabytes))


def _parts(packets: list[IngestionPacket], times: int, batch: BatchName, random: Random) -> Iterator[bytes]:
    """The packet file, some megabytes after the other."""
    beginning = encode_ingestion_packets([], batch.uuid.bytes)
    yield beginning
    for part in repeat(packets, times):
        yield encode_ingestion_packets(_renamed(part, random), batch.uuid.bytes)[len(beginning) :]


def _packets(store: LocalStore, name: str, header: IngestionHeader) -> list[IngestionPacket]:
    with store.open_read(name) as stream:
        return [
            IngestionPacket(_NO_UUID, bytes(memoryview(chunk.buffer)[offset : offset + length]), None, r_pit)
            for chunk in read_chunks(stream, header.packet_file_digest, name, _PACKETS)
            for offset, length, r_pit in zip(
                chunk.payload_offsets.tolist(), chunk.payload_lengths.tolist(), chunk.r_pit.tolist(), strict=True
            )
        ]


def _renamed(packets: list[IngestionPacket], random: Random) -> Iterator[IngestionPacket]:
    for packet in packets:
        yield IngestionPacket(str(draw_uuid(random)), packet.encrypted_payload, None, packet.r_pit)


if __name__ == "__main__":
    written = write_great_batch(open_store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(written.name.uuid, written.bins, written.packets, written.megabytes)
