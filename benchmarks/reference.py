"""The reference implementation's cost, and what ours is meant to be beside it."""

from typing import Final, NamedTuple

from benchmarks.figures import Whole

AGREEMENT: Final = 15.0
"""Microseconds that the multi-buffer key agreement took by itself on the machine where the reference was measured.

Machines differ by two, but much less in the ratio of a packet's cost to this call. So the reference's figures are
scaled by the same call in the run that they are compared with. It took 14 to 16 there, and not all costs grow with it:
such ratios between machines are good to 10-20 %.
"""

INTAKE: Final = {
    (64, "pha"): 107.0,
    (64, "facilitator"): 106.0,
    (256, "pha"): 261.0,
    (256, "facilitator"): 249.0,
    (1024, "pha"): 946.0,
    (1024, "facilitator"): 899.0,
}
"""Microseconds for a packet by bins and role: prio-server's final revision in release mode, one core."""

AGGREGATION: Final = {
    (64, "pha"): 170.0,
    (64, "facilitator"): 168.0,
    (256, "pha"): 329.0,
    (256, "facilitator"): 316.0,
    (1024, "pha"): 1037.0,
    (1024, "facilitator"): 987.0,
}
"""The same of its aggregation, which decrypts every share again."""


class Wanted(NamedTuple):
    """What an intake is meant to cost on a machine with multi-buffer key agreement."""

    over_agreement: float
    at_most: float
    """Times the key agreement by itself; the second is the limit."""
    speed_up: float
    speed_up_single: float
    """Over the reference; the second with one key agreement after the other."""


WANTED: Final = {64: Wanted(1.15, 1.4, 6, 1.4), 256: Wanted(1.35, 1.7, 12, 3.3), 1024: Wanted(2.3, 3.0, 25, 10)}

WANTED_OF_SUM: Final = 0.5
"""Microseconds for a packet of an aggregation with totals."""

WANTED_OF_SMALL_BATCH: Final = 3.0
"""Milliseconds of the processor for a batch of 20 packets, intake and aggregation together."""


def speed_up(whole: Whole) -> float | None:
    """How many times the reference's speed this is; None where the reference was not measured."""
    figures = INTAKE if whole.topic == "intake" else AGGREGATION
    microseconds = figures.get((whole.bins, whole.role))
    return None if microseconds is None else microseconds / AGREEMENT / whole.over_agreement
