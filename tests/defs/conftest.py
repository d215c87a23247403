"""What the tests of the definitions share: keys, an instance in memory, a deployment of all parties."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from prio_assets.defs import runs
from tests.defs.daemon import Daemon
from tests.defs.deployments import Deployment, full_deployment


@pytest.fixture(scope="session")
def keys(interop_cases: Path) -> dict[str, Any]:
    return json.loads((interop_cases / "plain-8" / "keys.json").read_text())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def deployment(tmp_path: Path, keys: dict[str, Any]) -> Deployment:
    return full_deployment(tmp_path, keys)


@pytest.fixture
def daemon(instance: dg.DagsterInstance, deployment: Deployment) -> Daemon:
    """Half an hour after the grace of the first window."""
    return Daemon(instance, deployment, ("pha", "facilitator", "portal"), datetime(2023, 5, 1, 9, 30, tzinfo=UTC))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are tried again at once, and no tick waits for a run to end."""
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    monkeypatch.setattr(runs, "LONGEST_WAIT", 0.0)
