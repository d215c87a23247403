"""The batches of the window: the same clients' payloads in each of them, under other UUIDs.

A packet is handled by itself, so repeating payloads changes no cost, and spares drawing a million clients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.configuration import IngestorConfiguration
from prio_assets.demo.scenario import Rows, Topic
from prio_assets.ingestor.batches import draw_labels, make_packets, sample_parameters
from prio_assets.ingestor.client import PublicPoints, random_rows, upload
from prio_assets.wire.batches import seal
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import digest, encode_ingestion_packets
from prio_assets.wire.records import IngestionHeader
from prio_assets.wire.uuids import HYPHENATED_LENGTH, UUID_BYTES, uuid_characters
from prio_assets.wire.windows import Window, to_ms

SEED = 20230501
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Size:
    """How much there is to sum."""

    batches: int
    packets: int
    bins: int

    @property
    def clients(self) -> int:
        """The packets of all batches."""
        return self.batches * self.packets


@dataclass(frozen=True)
class Template:
    """A packet file of which only the UUIDs, hyphenated texts at `places`, are replaced."""

    data: bytes
    places: NDArray[np.intp]

    def with_uuids(self, characters: NDArray[np.uint8]) -> bytes:
        """The file with the texts `characters`, ASCII of shape [n, 36], for its UUIDs."""
        data = np.frombuffer(self.data, dtype=np.uint8).copy()
        data[self.places[:, np.newaxis] + np.arange(HYPHENATED_LENGTH)] = characters
        return data.tobytes()


def client_rows(size: Size) -> Rows:
    """The rows of one batch's clients, uint8 [packets, bins] of 0 and 1."""
    return random_rows(size.packets, size.bins, np.random.default_rng(SEED).bytes)


def write_batches(
    size: Size, rows: Rows, topic: Topic, window: Window, settings: IngestorConfiguration, folders: dict[str, Path]
) -> None:
    """Write the batches of both processors below their folders, as an ingestor would into its buckets."""
    generator = np.random.default_rng(SEED + 1)
    key = settings.signing_key.load()
    payloads = upload(rows, PublicPoints(settings.pha_packet_key, settings.facilitator_packet_key), generator.bytes)
    labels = draw_labels(size.packets, size.bins, generator.bytes)
    templates = {
        role: _template(encode_ingestion_packets(make_packets(its, labels), b"window"), labels.uuids)
        for role, its in zip(folders, payloads, strict=True)
    }
    for batch in _names(size, topic, window, generator):
        characters = uuid_characters(_uuids(size.packets, generator))
        for role, folder in folders.items():
            _write(folder, batch, size, templates[role].with_uuids(characters), key)


def _template(data: bytes, uuids: list[str]) -> Template:
    places, end = [], 0
    for text in uuids:
        places.append(data.index(text.encode(), end))
        end = places[-1] + HYPHENATED_LENGTH
    return Template(data, np.array(places, dtype=np.intp))


def _names(size: Size, topic: Topic, window: Window, generator: np.random.Generator) -> Iterator[BatchName]:
    """Names whose times are spread over the window."""
    minutes = (window.end - window.start) // MINUTE
    for number in range(size.batches):
        uuid = UUID(bytes=generator.bytes(UUID_BYTES), version=4)
        yield BatchName(topic.name, window.start + minutes * number // size.batches * MINUTE, uuid)


def _uuids(count: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    return np.frombuffer(generator.bytes(count * UUID_BYTES), dtype=np.uint8).reshape(count, UUID_BYTES)


def _write(folder: Path, batch: BatchName, size: Size, packets: bytes, key: SigningKey) -> None:
    parameters = sample_parameters(size.bins, epsilon=1.0)
    header = IngestionHeader(
        batch_uuid=batch.uuid,
        name=batch.aggregation,
        bins=parameters.bins,
        epsilon=parameters.epsilon,
        prime=parameters.prime,
        number_of_servers=parameters.number_of_servers,
        hamming_weight=parameters.hamming_weight,
        batch_start_time=to_ms(batch.time),
        batch_end_time=to_ms(batch.time),
        packet_file_digest=digest(packets),
    )
    for name, data in zip(ingestion_objects(batch), seal(header, packets, key).three_objects(), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
