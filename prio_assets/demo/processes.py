"""Dagster beside us: the daemon with the code servers and runs that it starts, all of which end when we do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import FrameType

from prio_assets.demo.parties import Place
from prio_assets.errors import OperationalError

WORKSPACE = "workspace.yaml"
SECONDS_TO_END = 10
LAST_LINES = 5


@dataclass(frozen=True)
class Daemon:
    """The running daemon and where it logs."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        """Raise `OperationalError` with its last words if it has ended."""
        status = self.process.poll()
        if status is not None:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
            raise OperationalError(f"Dagster's daemon ended with status {status}; see {self.log}: {' / '.join(lines)}")


def environment(place: Place) -> Mapping[str, str]:
    """The variables that make a Dagster process one of this instance."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(place.instance),
        "PRIO_CONFIG": str(place.configuration),
        "PYTHONUNBUFFERED": "1",
    }


def daemon_command(place: Place) -> list[str]:
    """What starts the daemon."""
    return [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(place.workspace)]


@contextmanager
def run_daemon(place: Place) -> Iterator[Daemon]:
    """Run the daemon over the code locations of the workspace; at the end nothing that it started is left.

    It talks to the code servers through sockets in the file system, so no port is taken.
    """
    with run_dagster(place, daemon_command(place)) as daemon:
        yield daemon


@contextmanager
def run_dagster(place: Place, command: Sequence[str]) -> Iterator[Daemon]:
    """Run a command of Dagster's on the instance; at the end nothing that it started is left."""
    log = place.instance / "daemon.log"
    with log.open("wb") as output, interrupted_by_termination():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(place),
            cwd=place.instance,
            start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and we end the whole group
        )
        try:
            yield Daemon(process, log)
        finally:
            end_group(process)


def write_settings(place: Place) -> None:
    """Give the instance its settings and its code locations."""
    settings = resources.files("prio_assets.demo") / "dagster.yaml"
    (place.instance / "dagster.yaml").write_text(settings.read_text("utf-8"), "utf-8")
    place.workspace.write_text(_workspace().read_text("utf-8"), "utf-8")


def _workspace() -> Traversable:
    """The workspace file of the wheel or of the checkout."""
    package = resources.files("prio_assets")
    installed = package / WORKSPACE
    return installed if installed.is_file() else package / ".." / WORKSPACE


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process that leads a group to end, then end whatever is left of the group."""
    try:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
    finally:  # also when somebody loses patience and interrupts us again
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: through the cleaning up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
