"""Making other batches than the two sound ones: other headers, other packets, other places."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from prio_assets.ingestor.batches import seal_batch
from prio_assets.wire.batches import SealedBatch, seal
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import IngestionPacket
from prio_assets.wire.records import IngestionHeader, Parameters, decode
from tests.faults.deployment import Deployment, make_deployment
from tests.faults.material import (
    AGGREGATION,
    FAULTY,
    INGESTOR_KEY,
    PARAMETERS,
    SOUND,
    description_of,
    sealed_batch,
    upload_of,
)


def with_header(sealed: SealedBatch, key: SigningKey = INGESTOR_KEY, **fields: object) -> SealedBatch:
    """The batch with other fields in its header, signed."""
    header = decode(IngestionHeader, sealed.header, "header")
    return seal(dataclasses.replace(header, **fields), sealed.packets, key)


def batch_of(
    packets: Sequence[IngestionPacket], batch: BatchName = FAULTY, parameters: Parameters = PARAMETERS
) -> SealedBatch:
    """A batch of these packets."""
    return seal_batch(description_of(batch, parameters), packets, INGESTOR_KEY)


def batch_name(time: datetime, number: int) -> BatchName:
    """A batch of the aggregation beside SOUND and FAULTY."""
    return BatchName(AGGREGATION, time, UUID(int=number, version=4))


def packets_of(index: int, batch: BatchName = FAULTY) -> list[IngestionPacket]:
    """The packets that a processor gets."""
    return list(upload_of(batch).packets[index])


def with_faulty(sealed: Mapping[int, SealedBatch], **differences: object) -> Deployment:
    """SOUND at both processors, and these batches under FAULTY's name where given; as it is elsewhere."""
    deployment = make_deployment(**differences)
    for index in (0, 1):
        deployment.ingest(SOUND, index, sealed_batch(SOUND, index))
        deployment.ingest(FAULTY, index, sealed.get(index, sealed_batch(FAULTY, index)))
    return deployment
