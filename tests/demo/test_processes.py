"""Whatever ends the demo, nothing that it started is left."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prio_assets.demo import processes
from prio_assets.demo.parties import Place
from prio_assets.demo.processes import run_daemon, write_settings
from prio_assets.errors import OperationalError

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
asleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", asleep])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A daemon that ignores requests to end, and has a child that does, too."""
    place = Place(tmp_path)
    place.instance.mkdir()
    monkeypatch.setattr(processes, "daemon_command", lambda _: [sys.executable, "-c", STUBBORN])
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.2)
    return place


def started(place: Place) -> list[int]:
    """The processes, once both run."""
    pids: list[str] = []
    wait_for(lambda: (place.instance / "pids").exists() and len((place.instance / "pids").read_text().split()) == 2)
    pids = (place.instance / "pids").read_text().split()
    return [int(pid) for pid in pids]


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_all_end_with_the_block(place: Place) -> None:
    with run_daemon(place) as daemon:
        pids = started(place)
        daemon.check()
        assert all(map(is_running, pids))
    wait_for(lambda: not any(map(is_running, pids)))


def test_all_end_with_an_error(place: Place) -> None:
    pids: list[int] = []
    with pytest.raises(RuntimeError), run_daemon(place):
        pids += started(place)
        raise RuntimeError
    wait_for(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_all_end_with_a_signal(place: Place, number: signal.Signals) -> None:
    pids: list[int] = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), run_daemon(place):
        pids += started(place)
        os.kill(os.getpid(), number)
        time.sleep(20)
    wait_for(lambda: not any(map(is_running, pids)))
    assert signal.getsignal(number) == before


def test_a_daemon_that_ended_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "daemon_command", lambda _: [sys.executable, "-c", "print('no'); exit(3)"])
    with run_daemon(place) as daemon:
        daemon.process.wait(20)
        with pytest.raises(OperationalError, match=r"ended with status 3; see .*daemon\.log: no"):
            daemon.check()


def test_settings(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.instance.mkdir()
    write_settings(place)
    assert "telemetry: {enabled: false}" in (place.instance / "dagster.yaml").read_text()
    assert "attribute: facilitator" in place.workspace.read_text()
