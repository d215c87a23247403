"""The measurement in words and as JSON."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from benchmarks.window.measure import Measured
from benchmarks.window.path import INTAKE, first_tick, seconds_of_intake, stages
from prio_assets.prio.choice import choose_engine

RUN, OTHER = "runs", "code servers"
KINDS = {"dagster._daemon": "daemon", "dagster_webserver": "web server"}
"""What the command lines of Dagster's own processes hold; those that begin a run's process are the code servers'."""
MIB = 2**20


def figures(measured: Measured) -> dict[str, Any]:
    """All figures, as JSON can say them; a run's `requested` counts from the arrival of the batches on."""
    path = list(stages(measured))
    seconds = max(measured.summed.values()) - first_tick(measured)
    intake = seconds_of_intake(measured)
    return {
        "engine": choose_engine().engine.name,
        "size": asdict(measured.size),
        "seconds from arrival to tick": first_tick(measured) - measured.arrived,
        "seconds from tick to both sum parts": seconds,
        "packets per second": measured.size.clients / seconds,
        "seconds of intake": intake,
        "share that is not intake": 1 - intake / seconds,
        "stages": [asdict(stage) | {"seconds": stage.seconds} for stage in path],
        "runs": [_run_figures(measured, run) for run in measured.runs],
        "processor seconds": dict(processor_seconds(measured)),
        "ticks": {sensor: _tick_figures(found, measured.arrived) for sensor, found in measured.ticks.items()},
        "longest silence of the daemon": measured.longest_silence,
    }


def processor_seconds(measured: Measured) -> dict[str, float]:
    """What each kind of process used between the arrival and the end of the last run."""
    runs = {run.pid for run in measured.runs}
    found: dict[str, float] = defaultdict(float)
    for pid, usage in measured.usage.found.items():
        kind = next((name for part, name in KINDS.items() if part in usage.command), OTHER)
        found[RUN if pid in runs else kind] += usage.seconds - measured.before.get(pid, 0.0)
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    size = found["size"]
    yield f"{size['batches']} batches of {size['packets']} packets, {size['bins']} bins, {found['engine']}"
    yield (
        f"from the first tick to both sum parts {found['seconds from tick to both sum parts']:.1f} s, "
        f"{found['packets per second']:.0f} packets a second; "
        f"{found['share that is not intake']:.0%} of it is not intake"
    )
    yield ""
    names = ("requesting", "queueing", "starting", "intake", "working", "seconds")
    yield from table(
        ["stage", *names], [[stage["name"], *(stage[name] for name in names)] for stage in found["stages"]]
    )
    yield ""
    columns = ("requested", "queueing", "starting", "steps", "intake", "events", "seconds", "processor seconds", "MiB")
    yield from table(["run", *columns], [[run["asset"], *(run[name] for name in columns)] for run in found["runs"]])
    yield ""
    yield from table(["processor seconds of", ""], [[kind, used] for kind, used in found["processor seconds"].items()])
    yield ""
    columns = ("ticks", "failed", "median seconds", "longest seconds", "longest pause")
    rows = [[sensor, *(figures[name] for name in columns)] for sensor, figures in found["ticks"].items()]
    yield from table(["sensor", *columns], rows)
    yield ""
    yield f"the daemon's oldest heartbeat was {found['longest silence of the daemon']:.0f} s old"


def table(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Texts to the left, numbers to the right."""
    cells = [list(heading), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *numbers])


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _run_figures(measured: Measured, run: Any) -> dict[str, Any]:
    usage = measured.usage.found.get(run.pid)
    steps = sum(end - begin for _, begin, end in run.steps)
    return {
        "asset": run.asset,
        "status": run.status,
        "requested": run.requested - measured.arrived,
        "queueing": run.launched - run.requested,
        "starting": run.started - run.launched,
        "steps": steps,
        "intake": run.seconds_of(INTAKE),
        "between steps": run.ended - run.started - steps,
        "events": run.events,
        "seconds": run.ended - run.requested,
        "processor seconds": usage.seconds if usage else 0.0,
        "MiB": usage.peak_bytes // MIB if usage else 0,
    }


def _tick_figures(ticks: Sequence[Any], arrived: float) -> dict[str, Any]:
    after = [tick for tick in ticks if tick.end >= arrived]
    lasted = sorted(tick.end - tick.begin for tick in after)
    return {
        "ticks": len(after),
        "failed": sum(tick.is_failed for tick in after),
        "median seconds": lasted[len(lasted) // 2] if lasted else 0.0,
        "longest seconds": max(lasted, default=0.0),
        "longest pause": max((later.begin - tick.begin for tick, later in pairwise(after)), default=0.0),
    }
