"""Test vectors as JSON, each with its source."""

import json
from pathlib import Path
from typing import Any


def load_vectors_file(name: str) -> dict[str, Any]:
    """All that one file of this folder holds."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text())


def load_vectors(name: str) -> list[dict[str, Any]]:
    """The list `vectors` of one file of this folder."""
    return load_vectors_file(name)["vectors"]
