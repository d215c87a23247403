"""Starting a server of this package, and talking to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from tests.servers.fault_proxy import CONTROL, Fault

CHECKOUT = Path(__file__).parents[2]


class Seen(NamedTuple):
    """A request at a server, what was done to it ("": nothing), its headers by lower names, and how its body begins."""

    method: str
    target: str
    action: str
    headers: dict[str, str]
    beginning: str


@dataclass(frozen=True)
class FaultProxy:
    """A running fault proxy."""

    endpoint: str

    def set(self, *faults: Fault) -> None:
        """Do this from now on, and nothing else; what was seen is forgotten."""
        self._control([asdict(fault) for fault in faults])

    def requests(self) -> list[Seen]:
        """All requests since the last `set`."""
        return [Seen(**seen) for seen in self._control()["requests"]]

    def applied(self) -> int:
        """How many of them got a fault."""
        return sum(seen.action != "" for seen in self.requests())

    def _control(self, faults: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        data = None if faults is None else json.dumps(faults).encode()
        with urlopen(Request(f"{self.endpoint}{CONTROL}faults", data)) as response:
            return json.load(response)


@contextmanager
def run_server(module: str, *arguments: str) -> Iterator[str]:
    """Run one of the servers; its endpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def run_fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a fault proxy before the server at the endpoint `upstream`."""
    with run_server("tests.servers.fault_proxy", upstream) as endpoint:
        yield FaultProxy(endpoint)
