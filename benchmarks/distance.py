"""The relay beside us: a server as if it were far away, and what passes to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.relay import Counted


@dataclass(frozen=True)
class Distant:
    """A server behind a relay."""

    endpoint: str
    _process: "subprocess.Popen[str]"

    def take(self) -> Counted:
        """What passed since the last call."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the relay was started without pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counted(**json.loads(self._process.stdout.readline()))


@contextmanager
def at_distance(endpoint: str, seconds: float) -> Iterator[Distant]:
    """The server of an endpoint, each round trip to which takes so much longer."""
    server = urlsplit(endpoint)
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("relay.py"))]
    with subprocess.Popen(
        [*command, str(server.hostname), str(server.port), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise ValueError("the relay was started without pipes")
        try:
            yield Distant(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
        finally:
            process.kill()
