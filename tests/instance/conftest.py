"""The keys of a case of the reference, for a deployment."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def keys(interop_cases: Path) -> dict[str, Any]:
    return json.loads((interop_cases / "plain-8" / "keys.json").read_text())
