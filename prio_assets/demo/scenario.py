"""What the demo's clients answer and what goes wrong on the way, as a plan: the same for the same seed.

Three surveys of different sizes over two windows. The plan fixes every row and every fault before any cryptography, so
it knows the true counts that the two processors must recover without seeing a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prio_assets.ingestor.batches import draw_uuid
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window, window_of

PERIOD = timedelta(hours=1)
EPSILON = 1.0
OTHER_EPSILON = 0.25
OWN_DATA = "own-data"
BATCHES_PER_WINDOW_OF_OWN_DATA = 4
WINDOWS = 2

Rows: TypeAlias = NDArray[np.uint8]


class Fault(StrEnum):
    """What is wrong with a batch, in the words of the report."""

    NONE = "nothing"
    BAD_SIGNATURE = "the PHA's copy bears a forged signature"
    ONE_SIDED = "it reaches the facilitator only"
    UNDECRYPTABLE = "some shares are encrypted to a key that the PHA does not have"
    OTHER_EPSILON = "its epsilon is not the agreed one"
    LIARS = "some clients claim what no client may: their proofs don't hold"
    LATE = "it comes after its window was proposed"


@dataclass(frozen=True)
class Topic:
    """One aggregation: its name, what is asked, and the names of its bins where they have any."""

    name: str
    question: str
    bins: int
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PlannedBatch:
    """One ingestion batch: the clients' rows, uint8 [clients, bins] of 0 and 1, and what goes wrong.

    `faulty` marks the clients that the fault concerns, bool [clients]; only `UNDECRYPTABLE` and `LIARS` have some.
    """

    name: BatchName
    topic: Topic
    rows: Rows
    fault: Fault
    faulty: NDArray[np.bool_]

    @property
    def is_counted(self) -> bool:
        """Whether both processors get a batch that they can use."""
        return self.fault not in (Fault.BAD_SIGNATURE, Fault.ONE_SIDED, Fault.OTHER_EPSILON)

    @property
    def honest(self) -> Rows:
        """The rows that count, if the batch does."""
        return self.rows[~self.faulty]


@dataclass(frozen=True)
class Plan:
    """All batches of the demo, and the two windows in their order."""

    topics: tuple[Topic, ...]
    windows: tuple[Window, ...]
    batches: tuple[PlannedBatch, ...]

    def of(self, window: Window, *, late: bool = False) -> list[PlannedBatch]:
        """The batches whose time is in the window: those that come in time, or the late ones."""
        return [batch for batch in self.batches if batch.name.time in window and (batch.fault is Fault.LATE) is late]

    def batches_of(self, topic: Topic, window: Window) -> list[PlannedBatch]:
        """All batches of an aggregation whose time is in the window."""
        return [batch for batch in self.batches if batch.topic == topic and batch.name.time in window]

    def counted(self, topic: Topic, window: Window) -> list[PlannedBatch]:
        """The batches whose clients the window must count: its own, and the late ones of the window before."""
        before = Window(window.start - PERIOD, window.start)
        in_time = self.of(window) + self.of(before, late=True)
        return [batch for batch in in_time if batch.topic == topic and batch.is_counted]

    def true_counts(self, topic: Topic, window: Window) -> NDArray[np.int64]:
        """How many of the clients that count have a 1 in each bin, int64 of shape [bins]."""
        rows = [batch.honest for batch in self.counted(topic, window)]
        return np.concatenate([np.zeros((0, topic.bins), np.uint8), *rows]).sum(axis=0, dtype=np.int64)

    def clients(self, topic: Topic, window: Window) -> int:
        """How many clients count."""
        return sum(len(batch.honest) for batch in self.counted(topic, window))

    def expected(self) -> Iterator[tuple[Topic, Window]]:
        """The aggregations and windows that have something to count, and so a statistic at the end."""
        for topic in self.topics:
            yield from ((topic, window) for window in self.windows if self.counted(topic, window))


COMMUTE = Topic(
    "commute",
    "How did you get to work this week? (several answers possible)",
    5,
    ("on foot", "bicycle", "bus or tram", "train", "car"),
)
PHONE_USE = Topic(
    "phone-use",
    "In which five minutes of yesterday was your phone in use?",
    288,
    tuple(f"{slot // 12:02}:{slot % 12 * 5:02}" for slot in range(288)),
)
WORDS = Topic("words", "Which of the 1,000 most frequent words did you type today?", 1000)


def make_plan(now: datetime, seed: int, own_rows: Rows | None = None) -> Plan:
    """The plan for the two windows that ended last before `now`; `own_rows` take the place of the first survey."""
    generator = np.random.default_rng(seed)
    end = window_of(now, PERIOD).start
    windows = tuple(Window(end - PERIOD * back, end - PERIOD * (back - 1)) for back in range(WINDOWS, 0, -1))
    planner = _Planner(generator, windows)
    if own_rows is None:
        topics = (COMMUTE, PHONE_USE, WORDS)
        planner.add(COMMUTE, 60, [[Fault.NONE, Fault.LIARS, Fault.NONE, Fault.OTHER_EPSILON], [Fault.NONE] * 4])
    else:
        own = Topic(OWN_DATA, "Your own data", own_rows.shape[1])
        topics = (own, PHONE_USE, WORDS)
        planner.add_own(own, own_rows)
    planner.add(
        PHONE_USE,
        50,
        [
            [Fault.NONE, Fault.UNDECRYPTABLE, Fault.NONE, Fault.ONE_SIDED, Fault.LATE],
            [Fault.NONE, Fault.NONE, Fault.BAD_SIGNATURE, Fault.NONE],
        ],
    )
    planner.add(WORDS, 40, [[Fault.NONE] * 3, [Fault.NONE, Fault.LIARS, Fault.NONE, Fault.OTHER_EPSILON]])
    return Plan(topics, windows, tuple(planner.batches))


class _Planner:
    """Draws batches one after the other from one generator."""

    def __init__(self, generator: np.random.Generator, windows: Sequence[Window]) -> None:
        self.generator = generator
        self.windows = windows
        self.batches: list[PlannedBatch] = []

    def add(self, topic: Topic, clients: int, faults: Sequence[Sequence[Fault]]) -> None:
        """A batch of about `clients` random clients for each fault, window by window."""
        chances = _chances(topic)
        for window, its_faults in zip(self.windows, faults, strict=True):
            for position, fault in enumerate(its_faults):
                count = int(self.generator.integers(clients - 10, clients + 11))
                rows = (self.generator.random((count, topic.bins)) < chances).astype(np.uint8)
                self._add_batch(topic, window, position, len(its_faults), rows, fault)

    def add_own(self, topic: Topic, rows: Rows) -> None:
        """A person's own rows, in order, in a few batches for each window as far as they go."""
        parts = np.array_split(rows, min(len(rows), WINDOWS * BATCHES_PER_WINDOW_OF_OWN_DATA))
        for number, part in enumerate(parts):
            window, position = divmod(number, BATCHES_PER_WINDOW_OF_OWN_DATA)
            self._add_batch(topic, self.windows[window], position, BATCHES_PER_WINDOW_OF_OWN_DATA, part, Fault.NONE)

    def _add_batch(self, topic: Topic, window: Window, position: int, of: int, rows: Rows, fault: Fault) -> None:
        minute = (position + 1) * (PERIOD // timedelta(minutes=1)) // (of + 1)
        name = BatchName(topic.name, window.start + timedelta(minutes=minute), draw_uuid(self.generator.bytes))
        faulty = np.zeros(len(rows), dtype=bool)
        if fault in (Fault.UNDECRYPTABLE, Fault.LIARS):
            faulty[self.generator.choice(len(rows), 3, replace=False)] = True
        self.batches.append(PlannedBatch(name, topic, rows, fault, faulty))


def _chances(topic: Topic) -> NDArray[Any]:
    """How likely a client has a 1 in each bin, float64 of shape [bins]."""
    if topic == COMMUTE:
        return np.array([0.30, 0.45, 0.40, 0.15, 0.55])
    if topic == PHONE_USE:
        hours = np.arange(topic.bins) / 12
        peaks = ((8.0, 1.0, 0.45), (12.6, 1.2, 0.40), (20.5, 2.2, 0.65))
        return 0.02 + sum(height * np.exp(-(((hours - hour) / width) ** 2)) for hour, width, height in peaks)
    ranks = np.arange(1, topic.bins + 1)
    return 0.95 / ranks**0.45
