"""Simulated traffic: batches of clients who toss coins, written for both processors."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from prio_assets.configuration import IngestorConfiguration
from prio_assets.ingestor.batches import BatchDescription, draw_labels, draw_uuid, seal_batches, write_batch
from prio_assets.ingestor.client import PublicPoints, random_rows, upload
from prio_assets.storage.base import Store
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Parameters
from prio_assets.wire.windows import Window, to_ms

MINUTE = timedelta(minutes=1)


def batch_times(window: Window, now: datetime, count: int) -> Iterator[datetime]:
    """Whole minutes, spread evenly over the part of the window that is past."""
    minutes = max((min(window.end, now + MINUTE) - window.start) // MINUTE, 1)
    for number in range(count):
        yield window.start + minutes * number // count * MINUTE


class IngestionStores(NamedTuple):
    """The storages that the two processors read."""

    pha: Store
    facilitator: Store


def write_simulated_batch(
    settings: IngestorConfiguration,
    stores: IngestionStores,
    aggregation: str,
    parameters: Parameters,
    time: datetime,
    clients: int,
) -> BatchName:
    """One batch of `clients` random rows, at both processors, whose path says `time`."""
    batch = BatchName(aggregation, time, draw_uuid())
    points = PublicPoints(settings.pha_packet_key, settings.facilitator_packet_key)
    payloads = upload(random_rows(clients, parameters.bins), points)
    description = BatchDescription(batch, parameters, to_ms(time), to_ms(time + MINUTE))
    labels = draw_labels(clients, parameters.bins)
    sealed = seal_batches(description, payloads, labels, settings.signing_key.load())
    write_batch(stores.pha, batch, sealed.pha)
    write_batch(stores.facilitator, batch, sealed.facilitator)
    return batch
