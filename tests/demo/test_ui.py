"""Whatever ends the UI, it ends in time and nothing that it started is left."""

import os
import signal
import sys
from pathlib import Path
from threading import Thread

import pytest

from prio_assets.demo import processes, ui
from prio_assets.demo.parties import Place
from prio_assets.demo.processes import write_settings
from prio_assets.errors import OperationalError
from tests.demo.by_hand import DemoByHand
from tests.demo.test_processes import STUBBORN, is_running, started, wait_for


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A demo whose `dagster dev` ignores requests to end, as does a child of it."""
    place = DemoByHand(tmp_path).place
    write_settings(place)
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ncd '{place.instance}' && exec '{sys.executable}' -c '{STUBBORN}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(ui.sys, "executable", str(program))
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.2)
    return place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_all_end_with_a_signal(place: Place, number: signal.Signals) -> None:
    pids: list[int] = []

    def interrupt() -> None:
        pids.extend(started(place))
        os.kill(os.getpid(), number)

    interrupting = Thread(target=interrupt)
    interrupting.start()
    ui.open_ui(place.directory, None)
    interrupting.join()
    assert len(pids) == 2
    wait_for(lambda: not any(map(is_running, pids)))


def test_a_ui_that_ends_by_itself_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui.sys, "executable", "/bin/false")
    with pytest.raises(OperationalError, match="`dagster dev` ended with status 1"):
        ui.open_ui(place.directory, None)
