"""The ingestor's part: clients' encrypted shares into one signed ingestion batch for each processor.

Both batches hold the same packet UUIDs with the same `r_pit`, in the same order. Each function does one step, so that
faulty batches are made by composing them otherwise.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import RefusedError
from prio_assets.ingestor.client import Payloads, Random
from prio_assets.prio.domain import domain_size, is_root_of_unity
from prio_assets.prio.field import PRIME, reduce
from prio_assets.storage.base import Store, copy_in_order
from prio_assets.wire.batches import NUMBER_OF_SERVERS, SealedBatch, seal
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import IngestionPacket, digest, encode_ingestion_packets
from prio_assets.wire.records import IngestionHeader, Parameters


@dataclass(frozen=True)
class BatchDescription:
    """What the headers of both batches say; the times are those of the uploads, in milliseconds."""

    batch: BatchName
    parameters: Parameters
    batch_start_time: int
    batch_end_time: int


class PacketLabels(NamedTuple):
    """What names a packet and its evaluation point at both processors: `uuids` as text, `r_pit` int64[n]."""

    uuids: list[str]
    r_pit: NDArray[np.int64]


class IngestionBatches(NamedTuple):
    """The two signed batches over the same packets."""

    pha: SealedBatch
    facilitator: SealedBatch


def sample_parameters(bins: int, epsilon: float) -> Parameters:
    """The parameters of a batch of rows without a fixed number of ones."""
    return Parameters(bins=bins, epsilon=epsilon, prime=PRIME, number_of_servers=NUMBER_OF_SERVERS, hamming_weight=None)


def draw_uuid(random: Random = os.urandom) -> UUID:
    """A random UUID (version 4)."""
    return UUID(bytes=random(16), version=4)


def draw_r_pit(count: int, bins: int, random: Random = os.urandom) -> NDArray[np.int64]:
    """Evaluation points, uniform in [0, 2**31) without the 2N-th roots of unity, which would reveal a share."""
    points = _draw_words(count, random)
    bad = is_root_of_unity(points, 2 * domain_size(bins))
    while bad.any():
        points[bad] = _draw_words(int(bad.sum()), random)
        bad = is_root_of_unity(points, 2 * domain_size(bins))
    return points.astype(np.int64)


def repeat_r_pit(r_pit: int, count: int, bins: int) -> NDArray[np.int64]:
    """The same evaluation point for each packet; `RefusedError` if processors would refuse it."""
    if not 0 <= r_pit < 1 << 32:
        raise RefusedError(f"r_pit {r_pit} is not in 0 to {2**32 - 1}")
    if is_root_of_unity(reduce(np.array([r_pit], dtype=np.uint64)), 2 * domain_size(bins))[0]:
        raise RefusedError(f"r_pit {r_pit} is a root of unity, which reveals data: give another, or none")
    return np.full(count, r_pit, dtype=np.int64)


def draw_labels(count: int, bins: int, random: Random = os.urandom, r_pit: int | None = None) -> PacketLabels:
    """Random UUIDs, and the evaluation points: random ones unless a fixed `r_pit` is given."""
    uuids = [str(draw_uuid(random)) for _ in range(count)]
    points = draw_r_pit(count, bins, random) if r_pit is None else repeat_r_pit(r_pit, count, bins)
    return PacketLabels(uuids, points)


def make_packets(
    payloads: Sequence[bytes], labels: PacketLabels, encryption_key_id: str | None = None
) -> list[IngestionPacket]:
    """The packets of one processor's batch."""
    return [
        IngestionPacket(
            uuid=uuid,
            encrypted_payload=payload,
            encryption_key_id=encryption_key_id,
            r_pit=r_pit,
            version_configuration=None,
            device_nonce=None,
        )
        for uuid, payload, r_pit in zip(labels.uuids, payloads, labels.r_pit.tolist(), strict=True)
    ]


def seal_batch(
    description: BatchDescription, packets: Sequence[IngestionPacket], signing_key: SigningKey
) -> SealedBatch:
    """One processor's signed batch; the same inputs give the same bytes."""
    data = encode_ingestion_packets(packets, description.batch.uuid.bytes)
    parameters = description.parameters
    header = IngestionHeader(
        batch_uuid=description.batch.uuid,
        name=description.batch.aggregation,
        bins=parameters.bins,
        epsilon=parameters.epsilon,
        prime=parameters.prime,
        number_of_servers=parameters.number_of_servers,
        hamming_weight=parameters.hamming_weight,
        batch_start_time=description.batch_start_time,
        batch_end_time=description.batch_end_time,
        packet_file_digest=digest(data),
    )
    return seal(header, data, signing_key)


def seal_batches(
    description: BatchDescription, payloads: Payloads, labels: PacketLabels, signing_key: SigningKey
) -> IngestionBatches:
    """The batches for the PHA and the facilitator over the same clients' payloads."""
    return IngestionBatches(
        seal_batch(description, make_packets(payloads.pha, labels), signing_key),
        seal_batch(description, make_packets(payloads.facilitator, labels), signing_key),
    )


def write_batch(store: Store, batch: BatchName, sealed: SealedBatch) -> None:
    """Write the three objects, the signature last, since it makes the batch visible; nothing is ever replaced.

    Raises `ObjectConflictError` if the batch is there with other bytes.
    """
    copy_in_order(store, ingestion_objects(batch), sealed.three_objects())


def _draw_words(count: int, random: Random) -> NDArray[np.uint64]:
    """Uniform 31-bit integers, all below p."""
    words = np.frombuffer(random(4 * count), dtype="<u4") & np.uint32(0x7FFFFFFF)
    return words.astype(np.uint64)
