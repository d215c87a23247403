"""`make ui`, in the background."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST_SECONDS = 120


@contextmanager
def serve_ui(checkout: Path, demo: Path) -> Iterator[str]:
    """The address of the UI on the demo's instance; it ends with the block, with all that it started."""
    port = free_port()
    command = ["make", "ui", f"DEMO={demo.resolve()}", f"PORT={port}"]
    process = subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_served(process, address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # to all of the group, as a terminal's Ctrl-C, which may be ignored here
        process.wait()
        wait_until_ended(process.pid)


def wait_until_ended(group: int) -> None:
    """Return when no process of the group is left: `make` ends before what it started."""
    deadline = time.monotonic() + MOST_SECONDS
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.1)
        os.killpg(group, signal.SIGKILL)
        raise AssertionError(f"some process was still there {MOST_SECONDS} seconds after it was asked to end")


def wait_until_served(process: "subprocess.Popen[bytes]", address: str) -> None:
    """Return when the UI answers; an error if it ends or takes too long."""
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read().decode()
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"nothing answers at {address} after {MOST_SECONDS} seconds")


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
