"""`make demo` as a newcomer runs it: it ends well and in time, tells the truth, and leaves nothing running."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from tests.live.conftest import CHECKOUT, FinishedDemo

pytestmark = pytest.mark.live

TIMED = re.compile(r"^ *(\d+):(\d\d)  (\S.*)$", re.MULTILINE)


def processes_of(directory: Path) -> list[str]:
    """The command lines of the processes whose environment names the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and str(directory).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def test_ends_well(finished: FinishedDemo) -> None:
    assert finished.status == 0, finished.output
    assert "Exact: in all 6 windows" in finished.output
    assert "protects nobody" in finished.output
    assert "make ui" in finished.output
    assert (finished.directory / "report.html").stat().st_size > 100_000


def test_ends_within_five_minutes(finished: FinishedDemo) -> None:
    *_, (minutes, seconds, what) = TIMED.findall(finished.output)
    assert what.startswith("all windows are published")
    assert int(minutes) * 60 + int(seconds) < 290


def test_shows_progress(finished: FinishedDemo) -> None:
    lines = [what for _, _, what in TIMED.findall(finished.output)]
    assert any(re.fullmatch(r"validated \d+ of 24 batches", line) for line in lines)
    assert "validated 24 of 24 batches" in lines
    assert sum(line.startswith("published ") for line in lines) == 6
    assert len(lines) == len(set(lines))


def test_table(finished: FinishedDemo) -> None:
    rows = [re.split(r"  +", line) for line in finished.output.splitlines() if line.rstrip().endswith("exact")]
    assert [(row[0], *row[2:]) for row in rows] == [
        ("commute", "176", "3", "1 parameters_differ", "3 proof_invalid", "exact"),
        ("commute", "242", "4", "-", "-", "exact"),
        ("phone-use", "145", "3", "1 at one processor only, 1 late", "3 undecryptable", "exact"),
        ("phone-use", "219", "4 (1 late)", "1 signature_invalid", "-", "exact"),
        ("words", "140", "3", "-", "-", "exact"),
        ("words", "104", "3", "1 parameters_differ", "3 proof_invalid", "exact"),
    ]


def test_every_run_was_requested_by_a_sensor(finished: FinishedDemo) -> None:
    with dg.DagsterInstance.from_config(str(finished.directory / "instance")) as instance:
        runs = instance.get_runs()
    assert len(runs) >= 40
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags.get("dagster/sensor_name") for run in runs} == {"pha_runs", "facilitator_runs", "portal_runs"}


def test_nothing_is_left_running(finished: FinishedDemo) -> None:
    assert processes_of(finished.directory) == []


@pytest.mark.parametrize(("number", "storage"), [(signal.SIGINT, "directory"), (signal.SIGTERM, "both")])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path, number: signal.Signals, storage: str) -> None:
    directory = tmp_path / "demo"
    process = subprocess.Popen(
        [sys.executable, "-m", "prio_assets.cli.main", "demo", "--directory", str(directory), "--storage", storage],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (a background job of a shell ignores it)
    )
    try:
        deadline = time.monotonic() + 120
        while len(processes_of(directory)) < 5:  # two servers of clouds, the daemon, and some of its code servers
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(30) != 0
    finally:
        process.kill()
    assert b"Traceback" not in process.stdout.read()
    assert processes_of(directory) == []


def test_own_rows(tmp_path: Path) -> None:
    """A person's own rows are counted to the last one, in Google Cloud Storage, too."""
    (tmp_path / "rows.csv").write_text("1,0,1\n0,0,1\n1,1,1\n0,0,1\n" * 3)
    command = [sys.executable, "-m", "prio_assets.cli.main", "demo", "--data", "rows.csv", "--directory", "my-demo"]
    result = subprocess.run(
        [*command, "--storage", "gcs"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    statistics = list((tmp_path / "my-demo/buckets/gcs/portal-statistics/demo/own-data").glob("*.json"))
    published = [json.loads(statistic.read_text()) for statistic in statistics]
    assert sum(each["clients"] for each in published) == 12
    assert [sum(counts) for counts in zip(*(each["sum"] for each in published), strict=True)] == [6, 3, 12]
    assert processes_of(tmp_path) == []
