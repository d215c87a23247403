"""A demo's parties taken apart: each has a configuration file of its own, its own keys, and its own code server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from prio_assets.demo.parties import Place
from prio_assets.demo.processes import end_group

PARTIES = ("pha", "facilitator", "portal", "ingestor")
SERVED = ("pha", "facilitator", "portal")
"""The parties with code servers: an ingestor alone has nothing for Dagster."""


def take_apart(place: Place) -> dict[str, Path]:
    """Each party's configuration file, in a directory with the party's keys; the common file and keys are removed."""
    content = yaml.safe_load(place.configuration.read_text())
    files = {}
    for party in PARTIES:
        home = place.directory / "organisations" / party
        (home / "secrets").mkdir(parents=True)
        for secret in place.secrets.glob(f"{party}-*"):
            secret.rename(home / "secrets" / secret.name)
        files[party] = home / "prio.yaml"
        files[party].write_text(yaml.safe_dump(_section(content, party)))
    place.configuration.unlink()
    place.secrets.rmdir()
    return files


def _section(content: dict[str, Any], party: str) -> dict[str, Any]:
    if party in content["processors"]:
        return {"processors": {party: content["processors"][party]}}
    return {party: content[party]}


@contextmanager
def code_servers(place: Place, files: dict[str, Path]) -> Iterator[None]:
    """Run a code server for each served party, which knows its own file only, and have the workspace name them."""
    with dg.DagsterInstance.from_config(str(place.instance)):
        pass  # several processes that make its tables at the same time spoil them
    with ExitStack() as stack:
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prio-")))  # a socket's path is short
        for party in SERVED:
            stack.enter_context(_code_server(place, party, files[party], sockets / party))
        servers = [{"grpc_server": {"socket": str(sockets / party), "location_name": party}} for party in SERVED]
        place.workspace.write_text(yaml.safe_dump({"load_from": servers}))
        yield


@contextmanager
def _code_server(place: Place, party: str, configuration: Path, socket: Path) -> Iterator[None]:
    module = ["--module-name", "prio_assets.defs.definitions", "--attribute", party, "--location-name", party]
    # In AWS, too, each party is somebody else.
    own = {"DAGSTER_HOME": str(place.instance), "PRIO_CONFIG": str(configuration), "AWS_ACCESS_KEY_ID": party}
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket), *module]
    with (configuration.parent / "code-server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | own,
            cwd=configuration.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            end_group(process)
