"""Of a packet file a bounded part is held while it is verified, in threads too, however long it is."""

import hashlib
import io
import tracemalloc
from collections.abc import Sequence
from typing import BinaryIO
from uuid import UUID

import numpy as np
import pytest

from prio_assets.ingestor.batches import PacketLabels, make_packets
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Chunk, Verification, VerificationParameters
from prio_assets.processor import ingestion
from prio_assets.processor.ingestion import IngestionBatch, Opener, open_ingestion_batch
from prio_assets.wire.batches import SealedBatch, seal
from prio_assets.wire.names import ingestion_objects
from prio_assets.wire.packets import encode_ingestion_packets
from prio_assets.wire.records import IngestionHeader, decode
from tests.faults.material import INGESTOR_KEY, SOUND, sealed_batch
from tests.faults.memory_store import MemoryStore

PAYLOAD_BYTES = 16_000
BLOCKS = encode_ingestion_packets(
    make_packets([bytes(PAYLOAD_BYTES)] * 64, PacketLabels([str(UUID(int=1))] * 64, np.arange(64))), b""
)
HEADER = encode_ingestion_packets([], b"")
"""What stands before the blocks."""
TIMES = 64
HELD_BYTES = 32 * 2**20
"""Half of the file."""


class EveryoneAccepted:
    """An engine in name only."""

    name = "accepts"
    parallel = True

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        hashlib.sha256(chunk.buffer).digest()  # some work, without the interpreter lock
        zeros = np.zeros(len(chunk), dtype=np.uint64)
        return Verification(zeros, zeros, zeros, chunk.status, np.zeros(parameters.bins, dtype=np.uint64), 0)

    def packets_per_chunk(self, bins: int) -> int:
        return 32


class RepeatedBlocks(io.RawIOBase):
    """The file: its header, then the same blocks again and again."""

    def __init__(self) -> None:
        self._left = TIMES
        self._now = memoryview(HEADER)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not self._now and self._left:
            self._left -= 1
            self._now = memoryview(BLOCKS)[len(HEADER) :]
        count = min(len(buffer), len(self._now))
        buffer[:count] = self._now[:count]
        self._now = self._now[count:]
        return count


class LongFileStore(MemoryStore):
    def open_read(self, name: str) -> BinaryIO:
        return io.BufferedReader(RepeatedBlocks()) if name == NAMES.packets else super().open_read(name)


NAMES = ingestion_objects(SOUND)


def file_digest() -> bytes:
    hashing, stream = hashlib.sha256(), io.BufferedReader(RepeatedBlocks())
    while data := stream.read(2**20):
        hashing.update(data)
    return hashing.digest()


def source() -> IngestionBatch:
    header = decode(IngestionHeader, sealed_batch(SOUND, 0).header, "header")
    sealed: SealedBatch = seal(
        IngestionHeader(**header.__dict__ | {"packet_file_digest": file_digest()}), b"", INGESTOR_KEY
    )
    store = LongFileStore("ingestion")
    store.create(NAMES.header, sealed.three_objects()[0])
    store.create(NAMES.signature, sealed.three_objects()[2])
    opener = Opener(0, {INGESTOR_KEY.identifier: INGESTOR_KEY.public}, (), EveryoneAccepted())
    return open_ingestion_batch(store, SOUND, opener, expected=None)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_file_is_never_held(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "threads_for", lambda engine: threads)
    batch, packets = source(), 0
    next(batch.verified_chunks())  # imports what it takes
    tracemalloc.start()
    try:
        for chunk, _ in batch.verified_chunks():
            packets += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert packets == TIMES * 64
    assert peak < HELD_BYTES
