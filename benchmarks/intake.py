"""Whole intakes: a batch from the ingestion bucket to our own store and the peer's bucket."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.bare import BareAgreement
from benchmarks.datasets import Dataset
from benchmarks.engines import fastest_agreement, make_engine
from benchmarks.figures import Whole
from benchmarks.machine import available_cores
from benchmarks.parties import ROLES
from benchmarks.places import Places, check_accepted
from benchmarks.sizes import Sizes
from benchmarks.timing import Times, measure
from prio_assets.prio.engine import Engine


def measure_intake(sizes: Sizes, engine: str) -> Iterator[Whole]:
    """With one engine, for all bins and both roles; on the cores of this process."""
    verifier, bare = make_engine(engine), BareAgreement(fastest_agreement(engine))
    for bins in sizes.packets:
        dataset = sizes.dataset(engine, bins)
        for role in ROLES:
            _time_once(dataset, verifier, role)  # compiles, and fills caches
            pairs = [(bare.microseconds(), _time_once(dataset, verifier, role)) for _ in range(sizes.repetitions)]
            yield Whole(
                topic="intake",
                engine=engine,
                cores=available_cores(),
                bins=bins,
                role=role,
                packets=dataset.packets,
                batches=1,
                processor=median(times.processor for _, times in pairs),
                wall=median(times.wall for _, times in pairs),
                agreement=median(microseconds for microseconds, _ in pairs),
            )


def _time_once(dataset: Dataset, engine: Engine, role: str) -> Times:
    """Into new buckets, since what was taken in once is not taken in again."""
    (batch,) = dataset.names()
    with tempfile.TemporaryDirectory() as directory:
        places = Places(dataset, engine, Path(directory))
        places.intake_place(role)  # makes the buckets
        outcomes = []
        times = measure(lambda: outcomes.append(places.take_in(role, batch)))
        check_accepted(outcomes[0], dataset)
    return times.per(dataset.packets)
