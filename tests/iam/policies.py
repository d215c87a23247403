"""The policies of docs/iam as a person has them: with names in the place of the placeholders."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IAM = Path(__file__).parents[2] / "docs/iam"
AWS = IAM / "aws"

PLACEHOLDER = re.compile(r"@[A-Z_]+@")

Policy = dict[str, Any]


def text_of(name: str) -> str:
    """A file filled in with the examples of values.sed, by the command that the documents give."""
    command = ["sed", "-f", str(IAM / "values.sed"), str(AWS / f"{name}.json")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def policy(name: str) -> Policy:
    """The same as values."""
    return json.loads(text_of(name))


def filled(name: str, values: Mapping[str, str]) -> str:
    """A file filled in with other values."""
    return PLACEHOLDER.sub(lambda found: values[found[0].strip("@")], (AWS / f"{name}.json").read_text())
