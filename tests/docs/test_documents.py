"""What the documents say is so: commands are run as written, links lead somewhere, lists are whole.

Commands that need an account in a cloud stand in blocks of `bash`, the others in blocks of `sh`: see `test_clouds`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prio_assets.configuration import PortalConfiguration, ProcessorConfiguration, load_configuration
from prio_assets.defs.portal import names as portal_names
from prio_assets.defs.processor import names as processor_names
from prio_assets.demo.processes import write_settings
from prio_assets.wire.keys import parse_packet_public_key, parse_verification_key
from tests.demo.by_hand import DemoByHand

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]

SHELL = re.compile(r"^( *)```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TEXT = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

RUN_BY_CI = {
    "make demo": ("tests/live/conftest.py", '"make", "demo"'),
    "make test": (".ci/run", "make test"),
    "make lint": (".ci/run", "make lint"),
    ".ci/run": (".ci/run", "make lint"),
    "make bench": (".ci/run", "make bench SIZE=small"),
    "make bench SIZE=small": (".ci/run", "make bench SIZE=small"),
    "prio-assets demo --data rows.csv --directory my-demo": (
        "tests/live/test_demo.py",
        '"demo", "--data", "rows.csv", "--directory", "my-demo"',
    ),
}
"""Commands that take too long here, and where CI runs them: a file, and what stands there."""


def blocks(document: Path) -> list[str]:
    """The shell commands of a document, block by block, without the indentation of lists."""
    found = []
    for indentation, block in SHELL.findall(document.read_text()):
        found.append("".join(line.removeprefix(indentation) for line in block.splitlines(keepends=True)))
    return found


def commands_here(document: Path) -> str:
    """The document's commands but for those that CI runs elsewhere."""
    lines = "".join(blocks(document)).splitlines()
    return "\n".join(line for line in lines if line.partition("#")[0].strip() not in RUN_BY_CI)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory with a demo that has ended, the documents, and the programs of this Python."""
    (tmp_path / "docs").symlink_to(CHECKOUT / "docs")
    demo = DemoByHand(tmp_path / "demo")
    write_settings(demo.place)
    demo.run()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("prio-assets", "-m prio_assets.cli.main"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_run_as_written(document: Path, workplace: Path) -> None:
    result = subprocess.run(
        [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", commands_here(document)],
        cwd=workplace,
        env={**os.environ, "PATH": f"{workplace / 'programs'}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    if document.name == "clouds.md":
        kept = [path for path in (workplace / "gcs/facilitator/ingestion/survey").rglob("*") if path.is_file()]
        assert len(kept) == 3
    if document.name == "operations.md":
        (shown,) = TEXT.findall(document.read_text())
        assert result.stdout.endswith(shown)
        assert_keys_fit(workplace)
        assert (workplace / "dagster-home/dagster.yaml").is_file()


def assert_keys_fit(deployment: Path) -> None:
    """The public keys in the configuration file are the halves of the secrets beside it, at everyone who needs them."""
    configuration = load_configuration(deployment / "prio.yaml")
    processors, portal, ingestor = configuration.processors, configuration.portal, configuration.ingestor
    signing = {
        party: {f"{party}-1": parse_verification_key((deployment / f"secrets/{party}-signing-key").read_text())}
        for party in ("pha", "facilitator", "ingestor")
    }
    for name, peer in (("pha", "facilitator"), ("facilitator", "pha")):
        assert processors[name].ingestor_keys == signing["ingestor"]
        assert processors[name].peer_keys == signing[peer]
    assert (portal.pha_keys, portal.facilitator_keys) == (signing["pha"], signing["facilitator"])
    points = {
        party: parse_packet_public_key((deployment / f"secrets/{party}-packet-key").read_text())
        for party in ("pha", "facilitator")
    }
    assert (ingestor.pha_packet_key, ingestor.facilitator_packet_key) == (points["pha"], points["facilitator"])


@pytest.mark.parametrize(("file", "text"), RUN_BY_CI.values(), ids=list(RUN_BY_CI))
def test_other_commands_are_run_by_ci(file: str, text: str) -> None:
    assert text in (CHECKOUT / file).read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        assert (document.parent / link).exists(), link


def test_every_document_is_reached_from_the_readme() -> None:
    text = (CHECKOUT / "README.md").read_text()
    assert all(f"docs/{document.name}" in text for document in DOCUMENTS[1:])


def test_every_setting_is_explained() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text()
    settings = {*ProcessorConfiguration.model_fields, *PortalConfiguration.model_fields} - {"name"}
    assert not {setting for setting in settings if f"`{setting}`" not in text}


def test_every_check_is_explained() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text()
    checks = {
        value
        for module in (processor_names, portal_names)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    } - ASSETS
    assert checks
    assert not {check for check in checks if f"| `{check}` |" not in text}


ASSETS = {
    *("ingestion_batches", "own_validations", "peer_validations", "batch_lists", "peer_batch_lists", "sum_parts"),
    *("pha_sum_parts", "facilitator_sum_parts", "aggregates"),
}
