"""A Dagster instance as in production: a daemon and code servers of their own, started and killed by the test."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

ROOT = Path(__file__).parents[2]
HOOKS = Path(__file__).parent / "hooks"
PARTIES = ("pha", "facilitator", "portal")


@dataclass
class LiveInstance:
    """The directory of an instance, and the daemon while it runs."""

    home: Path
    configuration: Path
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.home.mkdir()
        self.orders.mkdir()
        shutil.copy(ROOT / "prio_assets" / "demo" / "dagster.yaml", self.home / "dagster.yaml")
        module = {"module_name": "prio_assets.defs.definitions"}
        locations = [module | {"attribute": party, "location_name": party} for party in PARTIES]
        self.workspace.write_text(yaml.safe_dump({"load_from": [{"python_module": each} for each in locations]}))

    @property
    def orders(self) -> Path:
        return self.home / "orders"

    @property
    def workspace(self) -> Path:
        return self.home / "workspace.yaml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "PRIO_CONFIG": str(self.configuration),
            "TEST_ORDERS": str(self.orders),
            "PYTHONPATH": os.pathsep.join([str(HOOKS), str(ROOT)]),
        }

    def order(self, pattern: str) -> None:
        """Have the run killed that first creates an object whose path matches."""
        (self.orders / str(len(list(self.orders.iterdir())))).write_text(pattern)

    def start(self) -> None:
        with (self.home / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(self.workspace)],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End the daemon, its code servers and their runs at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What the UI's server answers."""
        answer = self.home / "answer.json"
        program = str(Path(sys.executable).with_name("dagster-graphql"))
        asked = ["--text", query, "--variables", json.dumps(variables), "--output", str(answer)]
        subprocess.run(
            [program, "--workspace", str(self.workspace), *asked],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=True,
        )
        return json.loads(answer.read_text())


@dataclass
class Record:
    """What the instance recorded, read from its storage."""

    instance: dg.DagsterInstance

    def runs(self, asset: str, partition: str) -> list[dg.DagsterRun]:
        """The runs of an asset's partition, the newest first."""
        found = self.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": partition}))
        key = dg.AssetKey(asset.split("/"))
        return [run for run in found if key in (run.asset_selection or ())]

    def metadata(self, asset: str, partition: str) -> dict[str, Any]:
        """The metadata of the partition's last materialisation; empty while there is none."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[partition])
        records = self.instance.fetch_materializations(wanted, limit=1).records
        return dict(records[0].asset_materialization.metadata) if records else {}

    def check(self, asset: str, name: str) -> dg.AssetCheckEvaluation | None:
        """The last evaluation of a check."""
        key = dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name)
        history = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        return history[0].event.dagster_event.asset_check_evaluation_data if history else None

    def ended(self, run: dg.DagsterRun) -> float | None:
        """When the run ended, in seconds since 1970; None while it has not."""
        return self.instance.get_run_record_by_id(run.run_id).end_time

    def ticks(self, sensor: str, begin: float, end: float) -> list[float]:
        """How many seconds each of the sensor's ticks took that began within that time, in their order."""
        (state,) = (state for state in self.instance.all_instigator_state() if state.instigator_name == sensor)
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=begin, before=end)
        return [tick.end_timestamp - tick.timestamp for tick in reversed(ticks) if tick.end_timestamp]

    def backfilled(self, backfill: str) -> dict[str, str]:
        """By partition, how the runs of a backfill ended; empty until all have."""
        if not self.instance.get_backfill(backfill).status.value.startswith("COMPLETED"):
            return {}
        runs = self.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        return {run.tags["dagster/partition"]: run.status.value for run in runs}


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Poll until the condition gives something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come within {seconds} s")
