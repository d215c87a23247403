"""A window of many batches whose packets are one batch's, under other UUIDs: its validations and totals without intake.

Packets are independent of each other, so their evaluations may stand in any number of batches. The packet files are
links to the one file: an aggregation with totals that reads one again would not find its UUIDs there.
"""

import os
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.datasets import AGGREGATION, WINDOW, Dataset
from benchmarks.parties import PARTIES, ROLES, SEED
from benchmarks.places import Places, peer_of
from prio_assets.ingestor.batches import draw_uuid
from prio_assets.prio.field import PRIME
from prio_assets.processor.ingestion import open_ingestion_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.processor.own_store import OwnStore
from prio_assets.storage.base import copy_in_order, read_bytes
from prio_assets.wire.batches import open_header, seal
from prio_assets.wire.names import BatchName, ingestion_objects, validity_objects
from prio_assets.wire.packets import ValidityPackets, digest, encode_validity_packets
from prio_assets.wire.records import IngestionHeader, ValidityHeader


@dataclass(frozen=True)
class Repeated:
    """So many batches, each with the packets of the dataset's one batch so many times."""

    dataset: Dataset
    batches: int
    copies: int

    def names(self) -> list[BatchName]:
        """The batches of the window."""
        random = np.random.default_rng((SEED, self.batches, 2)).bytes
        return [BatchName(AGGREGATION, WINDOW.start, draw_uuid(random)) for _ in range(self.batches)]

    def write(self, places: Places) -> None:
        """What the ingestor, an intake of each batch and its peer leave in the buckets of both roles."""
        for role in ROLES:
            (batch,) = self.dataset.names()
            source = open_ingestion_batch(self.dataset.ingestion(role), batch, places.opener(role), expected=None)
            intake = take_in(source, PARTIES[role].signing_key)
            random = np.random.default_rng((SEED, 3)).bytes  # the same UUIDs at both roles
            for name in self.names():
                self._write_batch(places, role, intake, name, random(16 * self.copies * self.dataset.packets))

    def _write_batch(self, places: Places, role: str, intake: Intake, batch: BatchName, uuids: bytes) -> None:
        key = PARTIES[role].signing_key
        own_packets = intake.packets
        packets = ValidityPackets(
            np.frombuffer(uuids, dtype=np.uint8).reshape(-1, 16),
            *(np.tile(column, self.copies) for column in (own_packets.f_r, own_packets.g_r, own_packets.h_r)),
        )
        data = encode_validity_packets(packets, batch.uuid.bytes)
        header = open_header(ValidityHeader, intake.validation.header, "our validation")
        validation = seal(replace(header, batch_uuid=batch.uuid, packet_file_digest=digest(data)), data, key)
        totals = replace(
            intake.totals,
            batch_uuid=batch.uuid,
            validity_digest=digest(data),
            packets=len(packets.uuids),
            sum=tuple(value * self.copies % PRIME for value in intake.totals.sum),
        )
        source = replace(intake.source, batch=batch)
        kept = replace(intake, source=source, validation=validation, packets=packets, totals=totals)
        self._link_ingestion(places, role, intake, batch)
        OwnStore(places.bucket(role, "own-validations")).keep(kept, key)
        name = validity_objects(batch, ROLES.index(role)).signature
        places.bucket(peer_of(role), "peer-validations").create(name, validation.single_object())

    def _link_ingestion(self, places: Places, role: str, intake: Intake, batch: BatchName) -> None:
        original = self.dataset.ingestion(role)
        bucket = places.bucket(role, "ingestion")
        given, made = ingestion_objects(intake.source.batch), ingestion_objects(batch)
        header = open_header(IngestionHeader, read_bytes(original, given.header), given.header)
        sealed = seal(replace(header, batch_uuid=batch.uuid), b"", PARTIES["ingestor"].signing_key)
        target = bucket.root / made.packets
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(original.root / given.packets, target)
        copy_in_order(bucket, (made.header, made.signature), (sealed.header, sealed.three_objects()[2]))
