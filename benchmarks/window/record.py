"""What Dagster's instance recorded of the window: the runs, phase by phase, the ticks, and the daemon's heartbeats."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.tags import TICK_ID_TAG  # Dagster has no public name for it

from prio_assets.defs.metadata import ENGINE

PROCESS = re.compile(r"pid: (\d+)")
DAEMONS = ("SENSOR", "QUEUED_RUN_COORDINATOR")
"""The parts of the daemon that a window waits for; they tell every half minute that they are alive."""
MOST_RUNS = 100


@dataclass(frozen=True)
class Tick:
    """One evaluation of a sensor, in seconds since 1970."""

    id: str
    begin: float
    end: float
    is_failed: bool


@dataclass(frozen=True)
class RunTimes:
    """One run, in seconds since 1970: when the tick that requested it began, and each phase of the run after it."""

    asset: str
    status: str
    pid: int
    tick: float
    requested: float
    launched: float
    started: float
    steps: tuple[tuple[str, float, float], ...]
    ended: float
    events: int

    def seconds_of(self, step: str) -> float:
        """How long the steps of this name took together; those of a fan-out bear the index of their group."""
        return sum(end - begin for name, begin, end in self.steps if name.split("[")[0].endswith(step))


def runs(instance: dg.DagsterInstance) -> list[RunTimes]:
    """The runs in the order of their requests."""
    begins = {tick.id: tick.begin for of_sensor in ticks(instance).values() for tick in of_sensor}
    found = (_times(instance, record, begins) for record in instance.get_run_records())
    return sorted(found, key=lambda run: run.requested)


def ticks(instance: dg.DagsterInstance) -> dict[str, list[Tick]]:
    """The ticks of each sensor that have ended, in their order."""
    return {state.instigator_name: _ticks(instance, state) for state in instance.all_instigator_state()}


def heartbeats(instance: dg.DagsterInstance) -> list[float]:
    """When each of `DAEMONS` last told that it is alive, in seconds since 1970."""
    found = instance.get_daemon_heartbeats()
    return [found[name].timestamp for name in DAEMONS if name in found]


def engines(instance: dg.DagsterInstance, asset: str) -> set[str]:
    """The engines that the asset's materialisations name."""
    records = instance.fetch_materializations(dg.AssetKey.from_user_string(asset), limit=MOST_RUNS).records
    return {str(record.asset_materialization.metadata[ENGINE].value) for record in records}


def _ticks(instance: dg.DagsterInstance, state: Any) -> list[Tick]:
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    ended = (
        Tick(str(tick.tick_id), tick.timestamp, tick.end_timestamp, tick.is_failure)
        for tick in found
        if tick.end_timestamp
    )
    return sorted(ended, key=lambda tick: tick.begin)


def _times(instance: dg.DagsterInstance, record: dg.RunRecord, begins: dict[str, float]) -> RunTimes:
    run = record.dagster_run
    entries = instance.all_logs(run.run_id)
    times = {entry.dagster_event_type: entry.timestamp for entry in reversed(entries) if entry.dagster_event_type}
    pids = (PROCESS.search(entry.message) for entry in entries)
    requested = times[dg.DagsterEventType.RUN_ENQUEUED]
    return RunTimes(
        asset=", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())),
        status=run.status.value,
        pid=next((int(match[1]) for match in pids if match), 0),
        tick=begins.get(run.tags.get(TICK_ID_TAG, ""), requested),
        requested=requested,
        launched=times[dg.DagsterEventType.RUN_STARTING],
        started=times[dg.DagsterEventType.RUN_START],
        steps=tuple(_steps(entries)),
        ended=record.end_time or entries[-1].timestamp,
        events=len(entries),
    )


def _steps(entries: list[dg.EventLogEntry]) -> Iterator[tuple[str, float, float]]:
    begins: dict[str, float] = {}
    for entry in entries:
        if entry.dagster_event_type == dg.DagsterEventType.STEP_START:
            begins[entry.step_key or ""] = entry.timestamp
        elif entry.dagster_event_type == dg.DagsterEventType.STEP_SUCCESS:
            yield entry.step_key or "", begins[entry.step_key or ""], entry.timestamp
