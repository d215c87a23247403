"""`make demo` from a clean clone, once for all tests here. PRIO_LIVE_CLONE names one that is there already."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.demo_facts import DemoFacts

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class FinishedDemo:
    """A clone of this repository, what `make demo` printed in it, and its exit status."""

    clone: Path
    status: int
    output: str

    @property
    def directory(self) -> Path:
        """What it left."""
        return self.clone / "demo"

    @property
    def facts(self) -> DemoFacts:
        """What its storages say."""
        return DemoFacts(self.directory)


@contextmanager
def occupied_port(port: int) -> Iterator[None]:
    """Somebody else listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            pass  # it is taken already
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedDemo:
    """The demo, run from a clean clone while the UI's usual port is taken."""
    given = os.environ.get("PRIO_LIVE_CLONE")
    if given:
        return FinishedDemo(Path(given), 0, (Path(given) / "demo.log").read_text())
    clone = tmp_path_factory.mktemp("clone") / "prio-assets"
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
    command = ["make", "demo", f"PYTHON={sys.executable}"]
    with occupied_port(3000):
        result = subprocess.run(
            command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    (clone / "demo.log").write_text(result.stdout)
    return FinishedDemo(clone, result.returncode, result.stdout)
