"""The way from arrival to sum, as stages that follow each other without a gap: where the seconds go."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.window.measure import Measured
from benchmarks.window.record import RunTimes

STAGES = (
    ("validate", ("pha/own_validations", "facilitator/own_validations")),
    ("propose", ("pha/batch_lists",)),
    ("answer", ("facilitator/batch_lists",)),
    ("sum", ("pha/sum_parts", "facilitator/sum_parts")),
)
"""What each stage waits for: the assets whose last run ends it."""

INTAKE = "validate_group"
"""The step whose time is intake's; everything else is the way."""


@dataclass(frozen=True)
class Stage:
    """One stage's seconds: until a tick had seen its work and requested the run, in the queue, until the run's process
    had begun, in the steps of intake, and in all else of the run."""

    name: str
    requesting: float
    queueing: float
    starting: float
    intake: float
    working: float

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.requesting + self.queueing + self.starting + self.intake + self.working


def stages(measured: Measured) -> Iterator[Stage]:
    """The stages in their order, from the first tick on; each begins where the one before ended."""
    end = first_tick(measured)
    for name, assets in STAGES:
        run = _last(measured.runs, assets)
        done = max(measured.summed.values()) if name == "sum" else run.ended
        intake = run.seconds_of(INTAKE)
        yield Stage(
            name,
            requesting=run.requested - end,
            queueing=run.launched - run.requested,
            starting=run.started - run.launched,
            intake=intake,
            working=done - run.started - intake,
        )
        end = done


def first_tick(measured: Measured) -> float:
    """When the tick began that saw the batches first, in seconds since 1970."""
    return min(run.tick for run in measured.runs)


def seconds_of_intake(measured: Measured) -> float:
    """How long any processor was at work on packets, from the first begin to the last end."""
    steps = [step for run in measured.runs for step in run.steps if step[0].split("[")[0].endswith(INTAKE)]
    return max(end for _, _, end in steps) - min(begin for _, begin, _ in steps)


def _last(runs: list[RunTimes], assets: tuple[str, ...]) -> RunTimes:
    return max((run for run in runs if set(run.asset.split(", ")) & set(assets)), key=lambda run: run.ended)
