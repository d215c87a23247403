"""What the demo's Dagster instance recorded, read by a process of its own: nothing here imports Dagster."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prio_assets.demo.parties import Place
from prio_assets.demo.processes import environment
from prio_assets.errors import OperationalError

READER = "prio_assets.demo.read_instance"


@dataclass(frozen=True)
class Run:
    """One run; times in seconds since 1970. `sensor` is the sensor that requested it, None where it was a person."""

    id: str
    status: str
    sensor: str | None
    assets: tuple[str, ...]
    partition: str
    start: float
    end: float


@dataclass(frozen=True)
class Record:
    """The runs in the order of their starts.

    `metadata[asset][partition]` is what the last run said; `failed_checks` are those whose last result is a failure,
    each an asset, a check and a partition.
    """

    runs: tuple[Run, ...]
    metadata: Mapping[str, Mapping[str, Mapping[str, Any]]]
    failed_checks: tuple[tuple[str, str, str], ...]

    @property
    def runs_of_no_sensor(self) -> list[Run]:
        """The runs that a person or a program launched."""
        return [run for run in self.runs if run.sensor is None]


def read_instance(place: Place) -> Record:
    """The record of the instance, once no run is active."""
    command = [sys.executable, "-m", READER]
    result = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise OperationalError(f"the Dagster instance in {place.instance} cannot be read: {last}")
    found = json.loads(result.stdout)
    runs = tuple(Run(**{**run, "assets": tuple(run["assets"])}) for run in found["runs"])
    return Record(runs, found["metadata"], tuple(tuple(check) for check in found["failed_checks"]))
