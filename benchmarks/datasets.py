"""Ingestion batches with a fixed seed, made once and kept below `.bench/`."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.parties import PARTIES, PUBLIC_POINTS, ROLES, SEED
from prio_assets.ingestor.batches import (
    BatchDescription,
    PacketLabels,
    draw_r_pit,
    draw_uuid,
    sample_parameters,
    seal_batches,
    write_batch,
)
from prio_assets.ingestor.client import random_rows, upload
from prio_assets.storage.local import LocalStore
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Parameters
from prio_assets.wire.windows import Window, to_ms

if TYPE_CHECKING:
    from benchmarks.sizes import Sizes

AGGREGATION: Final = "bench"
WINDOW: Final = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 8, tzinfo=UTC))
KEPT: Final = Path(".bench")

_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Dataset:
    """So many batches of so many packets, each of random bits, for both roles."""

    bins: int
    packets: int
    batches: int = 1

    @property
    def directory(self) -> Path:
        """Where it is kept."""
        return KEPT / "data" / f"seed-{SEED}-bins-{self.bins}-packets-{self.packets}-batches-{self.batches}"

    @property
    def parameters(self) -> Parameters:
        """What the headers say."""
        return sample_parameters(self.bins, epsilon=1.0)

    def ingestion(self, role: str) -> LocalStore:
        """The ingestion bucket of a role."""
        return LocalStore(self.directory / role)

    def names(self) -> list[BatchName]:
        """The batches, spread over the window."""
        minutes = (WINDOW.end - WINDOW.start) // _MINUTE
        random = np.random.default_rng((SEED, self.bins, self.packets, self.batches, 0)).bytes
        return [
            BatchName(AGGREGATION, WINDOW.start + minutes * number // self.batches * _MINUTE, draw_uuid(random))
            for number in range(self.batches)
        ]

    def true_counts(self) -> NDArray[np.uint64]:
        """How many clients have a 1 in each bin, uint64 [bins]."""
        return np.array(json.loads((self.directory / "counts.json").read_text()), dtype=np.uint64)

    def make(self) -> None:
        """Make it unless it is there; whole or not at all."""
        if self.directory.exists():
            return
        partial = self.directory.with_name(self.directory.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for role in ROLES:
            (partial / role).mkdir(parents=True)
        counts = sum(self._write_batches(partial), start=np.zeros(self.bins, dtype=np.int64))
        (partial / "counts.json").write_text(json.dumps(counts.tolist()))
        partial.replace(self.directory)

    def _write_batches(self, target: Path) -> Iterator[NDArray[np.int64]]:
        """Each batch's counts."""
        random = np.random.default_rng((SEED, self.bins, self.packets, self.batches, 1)).bytes
        for batch in self.names():
            rows = random_rows(self.packets, self.bins, random)
            payloads = upload(rows, PUBLIC_POINTS, random)
            labels = PacketLabels(
                [str(draw_uuid(random)) for _ in range(self.packets)], draw_r_pit(self.packets, self.bins, random)
            )
            description = BatchDescription(batch, self.parameters, to_ms(batch.time), to_ms(batch.time + _MINUTE))
            sealed = seal_batches(description, payloads, labels, PARTIES["ingestor"].signing_key)
            for role, batch_of_role in zip(ROLES, sealed, strict=True):
                write_batch(LocalStore(target / role), batch, batch_of_role)
            yield rows.sum(axis=0, dtype=np.int64)


def make_dataset(sizes: "Sizes", bins: int, packets: int, batches: int) -> Iterator[object]:
    """A task without figures."""
    Dataset(bins, packets, batches).make()
    yield from ()
