"""The Dagster UI on a demo that has ended, with the servers of its storages."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from prio_assets.configuration import load_configuration
from prio_assets.demo.clouds import run_again
from prio_assets.demo.parties import Place
from prio_assets.demo.processes import end_group, environment, interrupted_by_termination
from prio_assets.errors import ConfigurationError, OperationalError


def open_ui(directory: Path, port: int | None) -> None:
    """Serve the UI until somebody interrupts us; at the end nothing that it started is left.

    Raises `ConfigurationError` where there is no demo, `OperationalError` where the UI ends by itself.
    """
    place = Place(directory.resolve())
    if not place.workspace.is_file():
        raise ConfigurationError(f"{directory} holds no demo: run `prio-assets demo --directory {directory}` first")
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(place.workspace)]
    with interrupted_by_termination(), suppress(KeyboardInterrupt):
        with run_again(load_configuration(place.configuration), place.buckets):
            status = _run_to_end([*command, *([] if port is None else ["--port", str(port)])], place)
        raise OperationalError(f"`dagster dev` ended with status {status}: see what it says")


def _run_to_end(command: list[str], place: Place) -> int:
    """In a group of its own, which we end whole: it may ignore a signal that we heed, as Ctrl-C under nohup."""
    process = subprocess.Popen(command, env=environment(place), start_new_session=True)
    try:
        return process.wait()
    finally:
        end_group(process)
