"""The greatest resident set of whole commands, against the size of what they read."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.commands import aggregate_command, intake_command, run
from benchmarks.datasets import AGGREGATION, KEPT, WINDOW, Dataset
from benchmarks.figures import Memory
from benchmarks.parties import PARTIES, ROLES, SEED
from benchmarks.places import Places
from benchmarks.repeated import Repeated
from benchmarks.sizes import MEMORY_BINS, Sizes
from prio_assets.ingestor.batches import draw_uuid
from prio_assets.prio.choice import choose_engine
from prio_assets.storage.base import copy_bytes, read_bytes
from prio_assets.storage.local import LocalStore
from prio_assets.wire.batches import open_header, seal
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import IngestionPacket, encode_ingestion_packets, read_chunks
from prio_assets.wire.records import IngestionHeader

GREAT_PACKETS: Final = Dataset(MEMORY_BINS, packets=500)
SUMMED: Final = 256
"""Bins of the aggregations."""

ROLE: Final = ROLES[0]


def measure_intake_memory(sizes: Sizes, megabytes: int) -> Iterator[Memory]:
    """`intake-batch` of a packet file of about so many megabytes."""
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        ingestion, buckets = Path(directory, "ingestion"), Path(directory, "buckets")
        ingestion.mkdir()
        batch, packets = _write_great_batch(LocalStore(ingestion), megabytes)
        size = (ingestion / ingestion_objects(batch).packets).stat().st_size
        ended = run(intake_command(ROLE, batch, ingestion, buckets))
    if f"accepted  {packets}" not in ended.output:
        raise ValueError(f"not all of {packets} packets were accepted: {ended.output}")
    yield Memory(f"intake of {packets:,} packets of {MEMORY_BINS:,} bins", size / 1e6, ended.peak_megabytes)


def measure_aggregation_memory(sizes: Sizes, batches: int) -> Iterator[Memory]:
    """`aggregate` of so many batches with totals."""
    dataset = sizes.dataset("chosen", SUMMED)
    repeated = Repeated(dataset, batches, max(1, sizes.summed_packets // dataset.packets))
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        places = Places(dataset, choose_engine().engine, Path(directory), linked=True)
        repeated.write(places)
        read = (places.bucket(ROLE, name).root for name in ("own-validations", "peer-validations"))
        size = sum(path.stat().st_size for path in chain(*(root.rglob("*") for root in read)) if path.is_file())
        ingestion = places.ingestion(ROLE).root
        ended = run(aggregate_command(ROLE, repeated.names(), ingestion, places.directory))
        shutil.rmtree(places.directory / ROLE)
    packets = batches * repeated.copies * dataset.packets
    if f"clients   {packets}" not in ended.output:
        raise ValueError(f"not all of {packets} packets were summed: {ended.output[-1000:]}")
    yield Memory(f"sum over {packets:,} packets in {batches} batches, with totals", size / 1e6, ended.peak_megabytes)


def _write_great_batch(ingestion: LocalStore, megabytes: int) -> tuple[BatchName, int]:
    """The dataset's payloads under other UUIDs, again and again; its name, and how many packets it has."""
    (given,) = GREAT_PACKETS.names()
    original, names = GREAT_PACKETS.ingestion(ROLE), ingestion_objects(given)
    header = open_header(IngestionHeader, read_bytes(original, names.header), names.header)
    random = np.random.default_rng((SEED, megabytes)).bytes
    batch = BatchName(AGGREGATION, WINDOW.start, draw_uuid(random))
    made = ingestion_objects(batch)
    packets = _packets(original, names.packets, header)
    times = max(1, round(megabytes * 1e6 / sum(len(packet.encrypted_payload) for packet in packets)))
    beginning = encode_ingestion_packets([], batch.uuid.bytes)
    hashed = hashlib.sha256(beginning)
    with ingestion.write(made.packets) as stream:
        stream.write(beginning)
        for part in repeat(packets, times):
            blocks = encode_ingestion_packets(_renamed(part, random), batch.uuid.bytes)[len(beginning) :]
            hashed.update(blocks)
            stream.write(blocks)
    stated = IngestionHeader(**{**vars(header), "batch_uuid": batch.uuid, "packet_file_digest": hashed.digest()})
    sealed = seal(stated, b"", PARTIES["ingestor"].signing_key)
    copy_bytes(ingestion, made.header, sealed.header)
    copy_bytes(ingestion, made.signature, sealed.three_objects()[2])
    return batch, times * len(packets)


def _packets(store: LocalStore, name: str, header: IngestionHeader) -> list[IngestionPacket]:
    with store.open_read(name) as stream:
        return [
            IngestionPacket("", bytes(memoryview(chunk.buffer)[offset : offset + length]), None, r_pit)
            for chunk in read_chunks(stream, header.packet_file_digest, name, GREAT_PACKETS.packets)
            for offset, length, r_pit in zip(
                chunk.payload_offsets.tolist(), chunk.payload_lengths.tolist(), chunk.r_pit.tolist(), strict=True
            )
        ]


def _renamed(packets: list[IngestionPacket], random) -> Iterator[IngestionPacket]:  # type: ignore[no-untyped-def]
    for packet in packets:
        yield IngestionPacket(str(draw_uuid(random)), packet.encrypted_payload, None, packet.r_pit)
