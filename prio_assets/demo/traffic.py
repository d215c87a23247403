"""The ingestor's traffic: the plan's batches with their faults, encrypted and signed, written as an ingestor would."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prio_assets.configuration import IngestorConfiguration
from prio_assets.demo.scenario import EPSILON, OTHER_EPSILON, Fault, PlannedBatch
from prio_assets.ingestor.batches import (
    BatchDescription,
    IngestionBatches,
    draw_labels,
    sample_parameters,
    seal_batches,
    write_batch,
)
from prio_assets.ingestor.client import Payloads, PublicPoints, Random, encrypt_proofs, prove_rows, upload
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.keys import (
    SigningKey,
    generate_packet_key_text,
    generate_signing_key_text,
    parse_packet_public_key,
    parse_signing_key,
)
from prio_assets.wire.windows import to_ms

LIE = 50
"""What a liar puts into each of its bins instead of 0 or 1."""


class MadeBatch(NamedTuple):
    """A planned batch, and the two signed batches that it became."""

    planned: PlannedBatch
    batches: IngestionBatches


@dataclass(frozen=True)
class Ingestor:
    """Makes batches for both processors and writes them into their ingestion buckets."""

    settings: IngestorConfiguration
    signing_key: SigningKey
    random: Random = os.urandom

    def make(self, batch: PlannedBatch) -> IngestionBatches:
        """The two signed batches of one planned batch, faults included."""
        description = BatchDescription(
            batch.name,
            sample_parameters(batch.topic.bins, OTHER_EPSILON if batch.fault is Fault.OTHER_EPSILON else EPSILON),
            batch_start_time=to_ms(batch.name.time),
            batch_end_time=to_ms(batch.name.time),
        )
        labels = draw_labels(len(batch.rows), batch.topic.bins, self.random)
        batches = seal_batches(description, self._payloads(batch), labels, self.signing_key)
        if batch.fault is Fault.BAD_SIGNATURE:
            return batches._replace(pha=self._forge(batches.pha))
        return batches

    def make_all(self, batches: Iterable[PlannedBatch]) -> list[MadeBatch]:
        """The planned batches, each with what it became."""
        return [MadeBatch(batch, self.make(batch)) for batch in batches]

    def write_pha(self, made: Iterable[MadeBatch]) -> None:
        """Write the PHA's batches; the one that goes astray is left out."""
        store = self.settings.pha_ingestion.open()
        for batch, sealed in made:
            if batch.fault is not Fault.ONE_SIDED:
                write_batch(store, batch.name, sealed.pha)

    def write_facilitator(self, made: Iterable[MadeBatch]) -> None:
        """Write the facilitator's batches."""
        store = self.settings.facilitator_ingestion.open()
        for batch, sealed in made:
            write_batch(store, batch.name, sealed.facilitator)

    def _payloads(self, batch: PlannedBatch) -> Payloads:
        points = PublicPoints(self.settings.pha_packet_key, self.settings.facilitator_packet_key)
        if batch.fault is Fault.LIARS:
            claims = batch.rows.astype(np.uint64)
            claims[batch.faulty] = LIE
            return upload(claims, points, self.random)
        if batch.fault is Fault.UNDECRYPTABLE:
            lost = points._replace(pha=parse_packet_public_key(generate_packet_key_text(self.random)))
            return _mixed(batch, points, lost, self.random)
        return upload(batch.rows, points, self.random)

    def _forge(self, sealed: SealedBatch) -> SealedBatch:
        """The batch as signed by somebody who has not the ingestor's key but claims its identifier."""
        stranger = parse_signing_key(self.signing_key.identifier, generate_signing_key_text(self.random))
        signature = replace(sealed.signature, batch_header_signature=stranger.sign(sealed.header))
        return replace(sealed, signature=signature)


def _mixed(batch: PlannedBatch, points: PublicPoints, lost: PublicPoints, random: Random) -> Payloads:
    """Payloads to `lost` for the faulty clients, to `points` for the others, in the order of the rows."""
    proofs = prove_rows(batch.rows, random)
    good = encrypt_proofs(proofs[~batch.faulty], points, random)
    bad = encrypt_proofs(proofs[batch.faulty], lost, random)
    return Payloads(*(_merge(batch.faulty, *pair) for pair in zip(good, bad, strict=True)))


def _merge(faulty: NDArray[np.bool_], good: list[bytes], bad: list[bytes]) -> list[bytes]:
    sources = {False: iter(good), True: iter(bad)}
    return [next(sources[bool(is_faulty)]) for is_faulty in faulty]
