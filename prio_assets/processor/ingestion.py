"""Reading an ingestion batch: the verified header, then the packets in chunks, each time the file is streamed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, OperationalError, PacketReason
from prio_assets.prio import field
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Chunk, Engine, Verification, VerificationParameters
from prio_assets.processor.threads import map_in_order, threads_for
from prio_assets.storage.base import SMALL_OBJECT_BYTES, Store, read_bytes
from prio_assets.wire.batches import check_parameters, check_path, open_header, open_signature, verify_header
from prio_assets.wire.columns import NO_UUIDS, Members, Uuids, contained
from prio_assets.wire.keys import VerificationKeys
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import DIGEST_BYTES, read_chunks
from prio_assets.wire.records import IngestionHeader, Parameters


@dataclass(frozen=True)
class Opener:
    """What it takes to read shares: the role, the keys and the engine."""

    server_index: int
    ingestor_keys: VerificationKeys
    packet_keys: Sequence[PacketDecryptionKey]
    engine: Engine


@dataclass(frozen=True)
class IngestionBatch:
    """An ingestion batch whose signature, path and parameters hold; the packets are read on demand."""

    ingestion: Store
    batch: BatchName
    header: IngestionHeader
    opener: Opener

    @property
    def packets_name(self) -> str:
        """The name of the packet object."""
        return ingestion_objects(self.batch).packets

    def verified_chunks(
        self, select: Callable[[Chunk, int], NDArray[np.bool_]] | None = None
    ) -> Iterator[tuple[Chunk, Verification]]:
        """Stream the packets, verifying each, or only those that `select` picks of a chunk.

        `select` gets the chunk and the position of its first packet in the file. After the last chunk the digest of
        the file has held, or `BatchRejected` is raised: until then nothing may leave.
        """
        chunks = self._chunks() if select is None else self._selected(select)
        yield from map_in_order(self._verify, chunks, _payload_bytes, threads_for(self.opener.engine))

    def sum_and_uuids(self, wanted: Uuids) -> tuple[NDArray[np.uint64], Uuids]:
        """The sum mod p of the data shares of the packets `wanted` (by UUID), and which packets there are, in one pass.

        The sum is uint64 of shape [bins]; the UUIDs, of all packets whose UUID is one, are uint8 of shape [n, 16] in
        the order of the file. A packet that cannot be verified now, though it was once, is an `OperationalError`: it is
        never left out.
        """
        total = np.zeros(self.header.bins, dtype=np.uint64)
        columns, members = [NO_UUIDS], Members(wanted)

        def select(chunk: Chunk, _: int) -> NDArray[np.bool_]:
            has_uuid = chunk.status != PacketReason.UUID_MALFORMED  # elsewhere the column is zero, which is a UUID too
            columns.append(chunk.uuids[has_uuid])
            return has_uuid & members.contain(chunk.uuids)

        for _, verification in self.verified_chunks(select):
            self._check_accepted(verification)
            total = field.add(total, verification.data_sum)
        uuids = np.concatenate(columns)
        missing = ~contained(wanted, uuids)
        if missing.any():
            raise OperationalError(
                f"{int(missing.sum())} packets that were verified at intake are missing in {self.packets_name}; "
                "the ingestion batch was replaced"
            )
        return total, uuids

    def sum_of_positions(self, wanted: NDArray[np.intp]) -> NDArray[np.uint64]:
        """The sum mod p of the data shares of the packets at these positions of the file, uint64 of shape [bins]."""
        total = np.zeros(self.header.bins, dtype=np.uint64)
        at = lambda chunk, first: np.isin(np.arange(first, first + len(chunk)), wanted)  # noqa: E731 (one use)
        for _, verification in self.verified_chunks(at):
            total = field.add(total, verification.data_sum)
        return total

    def _chunks(self) -> Iterator[Chunk]:
        with self.ingestion.open_read(self.packets_name) as stream:
            limit = self.opener.engine.packets_per_chunk(self.header.bins)
            yield from read_chunks(stream, self.header.packet_file_digest, self.packets_name, limit)

    def _selected(self, select: Callable[[Chunk, int], NDArray[np.bool_]]) -> Iterator[Chunk]:
        first = 0
        for chunk in self._chunks():
            chosen = chunk.select(select(chunk, first))
            first += len(chunk)
            if len(chosen):
                yield chosen

    def _verify(self, chunk: Chunk) -> Verification:
        parameters = VerificationParameters(self.header.bins, self.opener.server_index)
        return self.opener.engine.verify(chunk, self.opener.packet_keys, parameters)

    def _check_accepted(self, verification: Verification) -> None:
        """Packets that intake accepted must be accepted again, all of them."""
        if (verification.status != PacketReason.ACCEPTED).any():
            reasons = text_of_reasons(count_reasons(verification.status))
            raise OperationalError(
                f"packets of {self.packets_name} that were verified at intake cannot be verified now ({reasons}); "
                "give the packet keys of the intake"
            )


def open_ingestion_batch(
    ingestion: Store, batch: BatchName, opener: Opener, expected: Parameters | None
) -> IngestionBatch:
    """The batch, once its signature, path and parameters hold (`expected`, where the configuration gives them).

    Raises `BatchRejected`, or `StorageError` where an object is missing or cannot be read.
    """
    names = ingestion_objects(batch)
    signature = open_signature(read_bytes(ingestion, names.signature, SMALL_OBJECT_BYTES), names.signature)
    data = read_bytes(ingestion, names.header, SMALL_OBJECT_BYTES)
    verify_header(data, signature, opener.ingestor_keys, names.header)
    header = open_header(IngestionHeader, data, names.header)
    with verdicts_about(header):
        check_path(header, batch, names.header)
        check_parameters(header.parameters, names.header)
        if expected is not None and header.parameters != expected:
            raise BatchRejected(
                BatchReason.PARAMETERS_DIFFER,
                f"{names.header} has {header.parameters}, the configuration of {batch.aggregation} says {expected}",
            )
    return IngestionBatch(ingestion, batch, header, opener)


def _payload_bytes(chunk: Chunk) -> int:
    return int(chunk.payload_lengths.sum())


@contextmanager
def verdicts_about(header: IngestionHeader) -> Iterator[None]:
    """A batch that is rejected in this block is rejected for the packet file that its header names, if it names one."""
    try:
        yield
    except BatchRejected as rejected:
        if len(header.packet_file_digest) == DIGEST_BYTES:
            rejected.packet_file_digest = header.packet_file_digest
        raise


def count_reasons(status: NDArray[np.uint8]) -> Counter[PacketReason]:
    """How many packets of a status column were left out, by reason."""
    counts = np.bincount(status).tolist()
    left_out = (PacketReason(value) for value, count in enumerate(counts) if count and value != PacketReason.ACCEPTED)
    return Counter({reason: counts[reason] for reason in left_out})


def text_of_reasons(reasons: Counter[PacketReason]) -> str:
    """The counts as text, e.g. `undecryptable 3, uuid_malformed 1`."""
    return ", ".join(f"{reason.label} {count}" for reason, count in sorted(reasons.items())) or "none"
