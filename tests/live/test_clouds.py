"""`make demo` over S3: the same counts as over directories, and a UI that finds its storages again."""

import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from prio_assets.demo.clouds import credentials_of_nobody
from tests.live.browser import dagster_ui
from tests.live.conftest import FinishedDemo
from tests.live.demo_facts import DemoFacts
from tests.live.serving import MOST_SECONDS, serve_ui
from tests.live.test_demo import processes_of

pytestmark = pytest.mark.live

SENSORS = {f"{party}_{kind}" for party in ("pha", "facilitator") for kind in ("runs", "discovery")} | {"portal_runs"}


@pytest.fixture(scope="module")
def in_s3(finished: FinishedDemo) -> FinishedDemo:
    """The demo over S3, in the clone of the one over directories."""
    command = ["make", "demo", "STORAGE=s3", "DEMO=demo-s3", f"PYTHON={sys.executable}"]
    result = subprocess.run(
        command, cwd=finished.clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return FinishedDemo(finished.clone, result.returncode, result.stdout)


def table(output: str) -> list[list[str]]:
    """The windows' rows of the table, without their hours."""
    rows = [line.split("  ") for line in output.splitlines() if line.rstrip().endswith("exact")]
    return [[cell for cell in row if cell.strip() and " to " not in cell] for row in rows]


def ticks_since(directory: Path, began: float) -> dict[str, str]:
    """How the first tick of each sensor since then ended, once all have one."""
    deadline, found = time.monotonic() + MOST_SECONDS, {}
    with dg.DagsterInstance.from_config(str(directory / "instance")) as instance:
        while found.keys() != SENSORS:
            assert time.monotonic() < deadline, found
            for state in instance.all_instigator_state():
                ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=began)
                ended = [tick.status.value for tick in ticks if tick.status.value != "STARTED"]
                if ended:
                    found[state.instigator_name] = ended[-1]
            time.sleep(0.5)
    return found


def test_the_same_counts_as_over_directories(in_s3: FinishedDemo, finished: FinishedDemo) -> None:
    assert in_s3.status == 0, in_s3.output
    assert table(in_s3.output) == table(finished.output)
    assert len(table(in_s3.output)) == 6
    directory = in_s3.clone / "demo-s3"
    assert (directory / "report.html").stat().st_size > 100_000
    assert processes_of(directory) == []


def test_ui_afterwards(in_s3: FinishedDemo) -> None:
    directory = in_s3.clone / "demo-s3"
    facts, began = DemoFacts(directory), time.time()
    with serve_ui(in_s3.clone, directory) as address, credentials_of_nobody(directory):
        assert facts.survey("pha", "commute", facts.windows[0]).sent_sums
        assert "FAILURE" not in ticks_since(directory, began).values()
        with dagster_ui(address) as ui:
            ui.open_partition("portal/demo/aggregates", facts.partition("commute", facts.windows[0]), "bicycle")
            ui.expect("clients 176 ")
    assert processes_of(directory) == []
