"""Times of one call: of the processor, all threads of the process together, and by the clock."""

from collections.abc import Callable
from time import perf_counter, process_time
from typing import NamedTuple


class Times(NamedTuple):
    """Seconds, or what they were divided to."""

    processor: float
    wall: float

    def per(self, count: int) -> "Times":
        """Microseconds for each of so many."""
        return Times(self.processor * 1e6 / count, self.wall * 1e6 / count)


def measure(function: Callable[[], object]) -> Times:
    """How long one call takes."""
    processor, wall = process_time(), perf_counter()
    function()
    return Times(process_time() - processor, perf_counter() - wall)
