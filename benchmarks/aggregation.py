"""Aggregations: of many batches with the totals that intake kept, and of one batch whose totals are gone."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.bare import BareAgreement
from benchmarks.datasets import KEPT
from benchmarks.engines import fastest_agreement, make_engine
from benchmarks.figures import Whole
from benchmarks.machine import available_cores
from benchmarks.parties import ROLES
from benchmarks.places import Places, check_sums
from benchmarks.repeated import Repeated
from benchmarks.sizes import Sizes
from benchmarks.timing import Times, measure
from prio_assets.wire.names import TOTALS, BatchName

WITH_TOTALS = "aggregation"
WITHOUT_TOTALS = "aggregation without totals"


def measure_with_totals(sizes: Sizes, engine: str) -> Iterator[Whole]:
    """For all bins and both roles; on the cores of this process."""
    verifier = make_engine(engine)
    for bins in sizes.packets:
        dataset = sizes.dataset(engine, bins)
        repeated = Repeated(dataset, sizes.summed_batches, max(1, sizes.summed_packets // dataset.packets))
        with tempfile.TemporaryDirectory(dir=KEPT) as directory:  # where the packet files can be linked
            places = Places(dataset, verifier, Path(directory), linked=True)
            repeated.write(places)
            yield from _measure(
                WITH_TOTALS, sizes, engine, places, repeated.names(), repeated.copies * repeated.batches
            )


def measure_without_totals(sizes: Sizes, engine: str) -> Iterator[Whole]:
    """The shares are decrypted again."""
    verifier = make_engine(engine)
    for bins in sizes.packets:
        dataset = sizes.dataset(engine, bins)
        (batch,) = dataset.names()
        with tempfile.TemporaryDirectory() as directory:
            places = Places(dataset, verifier, Path(directory))
            for role in ROLES:
                places.take_in(role, batch)
            for role in ROLES:
                shutil.rmtree(places.bucket(role, "own-validations").root / TOTALS)
            yield from _measure(WITHOUT_TOTALS, sizes, engine, places, [batch], 1)


def _measure(
    topic: str, sizes: Sizes, engine: str, places: Places, batches: list[BatchName], times: int
) -> Iterator[Whole]:
    """`times` is how often the packets of the dataset are in the sum."""
    bare = BareAgreement(fastest_agreement(engine))
    parts = [places.sum(role, batches) for role in ROLES]
    check_sums(parts, places.dataset, times)
    packets = parts[0].total_individual_clients
    for role in ROLES:
        pairs = [(bare.microseconds(), _time_once(places, role, batches, packets)) for _ in range(sizes.repetitions)]
        yield Whole(
            topic=topic,
            engine=engine,
            cores=available_cores(),
            bins=places.dataset.bins,
            role=role,
            packets=packets,
            batches=len(batches),
            processor=median(found.processor for _, found in pairs),
            wall=median(found.wall for _, found in pairs),
            agreement=median(microseconds for microseconds, _ in pairs),
        )


def _time_once(places: Places, role: str, batches: list[BatchName], packets: int) -> Times:
    return measure(lambda: places.sum(role, batches)).per(packets)
