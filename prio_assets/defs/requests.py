"""Which runs to request: a pure function of what is wanted, what was tried before, what is running. No Dagster here.

Nothing is requested twice: not while a run of the same asset and partition is active, not after one ended well that
wanted the same. After a failure the pause grows with the number of attempts, and never ends.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Wish:
    """What is wanted of one partition of an asset; `want` is a digest of what is pending there.

    Of wishes with the same `queue` only the oldest that can be had is requested; without one each is by itself.
    """

    asset: str
    partition: str
    want: str
    queue: str | None = None

    @property
    def digest(self) -> str:
        """What tells this wish from every other one."""
        text = "\n".join((self.asset, self.partition, self.want))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Attempts:
    """The runs that were requested for a wish: how many, when the last one ended, and whether it ended well."""

    number: int
    ended: datetime | None
    succeeded: bool


NO_ATTEMPTS = Attempts(0, None, succeeded=False)


@dataclass(frozen=True)
class Request:
    """A run to request; `attempt` counts from 1."""

    wish: Wish
    attempt: int

    @property
    def run_key(self) -> str:
        """Dagster never runs a key twice, so it changes with each attempt."""
        return f"{self.wish.digest}-{self.attempt}"


class Standing(Enum):
    """Why a wish is requested now, or isn't."""

    REQUESTED = auto()
    RUNNING = auto()
    DONE = auto()
    PAUSED = auto()


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts."""
    return min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)


def standing(attempts: Attempts, now: datetime, *, running: bool) -> Standing:
    """Where a wish stands."""
    if running:
        return Standing.RUNNING
    if not attempts.number:
        return Standing.REQUESTED
    if attempts.succeeded:
        return Standing.DONE
    if attempts.ended is None or now < attempts.ended + pause_after(attempts.number):
        return Standing.PAUSED
    return Standing.REQUESTED


def requests(
    wishes: Iterable[Wish],
    is_running: Callable[[Wish], bool],
    attempts_of: Callable[[Wish], Attempts],
    now: datetime,
) -> Iterator[Request]:
    """The runs to request now, in the order of the wishes."""
    occupied: set[str] = set()
    for wish in wishes:
        if wish.queue in occupied:
            continue
        running = is_running(wish)
        attempts = NO_ATTEMPTS if running else attempts_of(wish)
        stands = standing(attempts, now, running=running)
        if wish.queue is not None and stands in (Standing.REQUESTED, Standing.RUNNING):
            occupied.add(wish.queue)
        if stands == Standing.REQUESTED:
            yield Request(wish, attempts.number + 1)


def merged(wishes: Sequence[Wish]) -> list[Wish]:
    """One wish an asset and partition, wanting all that its wishes want; in the order of the first of them."""
    groups: dict[tuple[str, str], list[Wish]] = {}
    for wish in wishes:
        groups.setdefault((wish.asset, wish.partition), []).append(wish)
    return [Wish(*key, "+".join(sorted(wish.want for wish in group)), group[0].queue) for key, group in groups.items()]
