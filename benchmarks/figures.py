"""What is measured, as it stands in the JSON file. Times are microseconds for a packet unless they say otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Where and with what."""

    processor: str
    cores: int
    system: str
    versions: dict[str, str]
    engine: str
    reasons: list[str]
    """Why it is no faster one."""
    engines: list[str]
    """Those that were compared: chosen, single (compiled loops, one key agreement after the other), plain."""

    @property
    def has_multibuffer(self) -> bool:
        """Whether the chosen engine agrees on eight keys at a time."""
        return self.engine.endswith("multi-buffer key agreement")


@dataclass(frozen=True)
class Agreement:
    """The key agreement by itself."""

    name: str
    processor: float


@dataclass(frozen=True)
class Whole:
    """An intake, or an aggregation, from storage to storage."""

    topic: str
    """intake, aggregation, aggregation without totals."""
    engine: str
    cores: int
    bins: int
    role: str
    packets: int
    batches: int
    processor: float
    wall: float
    agreement: float
    """The fastest key agreement by itself, of the processor, measured in between; the chosen engine's."""

    @property
    def over_agreement(self) -> float:
        """How many times the key agreement it costs the processor."""
        return self.processor / self.agreement


@dataclass(frozen=True)
class Stage:
    """One stage of an intake by itself, of the processor."""

    engine: str
    bins: int
    role: str
    name: str
    processor: float


@dataclass(frozen=True)
class SmallBatches:
    """A window of many small batches; milliseconds of the processor for a batch."""

    role: str
    batches: int
    packets: int
    intake: float
    lists: float
    """Proposing, or deciding."""
    aggregation: float

    @property
    def all(self) -> float:
        """From the ingestion bucket to the sum part."""
        return self.intake + self.lists + self.aggregation


@dataclass(frozen=True)
class Start:
    """A process from its start to its end; seconds."""

    name: str
    processor: float
    wall: float


@dataclass(frozen=True)
class Memory:
    """A process's greatest resident set."""

    name: str
    input_megabytes: float
    """The files that it read."""
    peak_megabytes: float


@dataclass(frozen=True)
class CloudStep:
    """One step of the first processor's over a window of small batches, by where its storages are."""

    storage: str
    step: str
    batches: int
    requests: float | None
    """Those beside those of the batches; none are counted over directories, as what follows."""
    reads_of_batch: float | None
    writes_of_batch: float | None
    listings_of_batch: float | None
    kilobytes_of_batch: float | None
    """Both ways, with the requests' own."""
    round_trips: int | None
    """Of the window."""
    seconds: float
    """Of the window, by the clock, with the server on this machine."""
    distant_seconds: float | None
    """The same where each round trip takes longer."""

    @property
    def waited(self) -> float | None:
        """Seconds that a round trip of the window took longer, on average."""
        if self.distant_seconds is None or not self.round_trips:
            return None
        return (self.distant_seconds - self.seconds) / self.round_trips


@dataclass(frozen=True)
class Figures:
    """One run of the benchmarks."""

    size: str
    machine: Machine
    agreements: list[Agreement]
    wholes: list[Whole]
    stages: list[Stage]
    small_batches: list[SmallBatches]
    cloud_steps: list[CloudStep]
    starts: list[Start]
    memory: list[Memory]

    def on_two_cores(self, one: Whole) -> Whole | None:
        """The same as was measured on one core; None where it was measured on one alone."""
        return next((whole for whole in self.wholes if whole.cores == 2 and _same(whole, one)), None)

    def gain(self, one: Whole) -> float | None:
        """What a second core gains: one core's processor time over the time by the clock on two."""
        two = self.on_two_cores(one)
        return one.processor / two.wall if two else None


def _same(whole: Whole, other: Whole) -> bool:
    return (whole.topic, whole.engine, whole.bins, whole.role) == (other.topic, other.engine, other.bins, other.role)
