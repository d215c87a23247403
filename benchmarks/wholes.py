"""Whole intakes and aggregations with one engine, on the cores of this process."""

from collections.abc import Iterator

from benchmarks.aggregation import measure_with_totals, measure_without_totals
from benchmarks.engines import CHOSEN
from benchmarks.figures import Whole
from benchmarks.intake import measure_intake
from benchmarks.sizes import Sizes


def measure_wholes(sizes: Sizes, engine: str) -> Iterator[Whole]:
    """With totals no share is decrypted, so the chosen engine stands for all."""
    yield from measure_intake(sizes, engine)
    yield from measure_without_totals(sizes, engine)
    if engine == CHOSEN:
        yield from measure_with_totals(sizes, engine)
