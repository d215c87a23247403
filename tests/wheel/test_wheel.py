"""The wheel works without the checkout: built, installed into an empty environment, used for an intake there."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import fastavro
import pytest

pytestmark = pytest.mark.wheel

CHECKOUT = Path(__file__).parents[2]
CONSTRAINTS = CHECKOUT / "constraints.txt"


def run(directory: Path, *command: object) -> str:
    """The output of a command that must succeed, run in `directory` and without what would lead it to the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`prio-assets` of an environment that holds the wheel and what it depends on."""
    directory = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--no-deps", "--build-constraint", CONSTRAINTS, "--wheel-dir", directory, CHECKOUT)
    run(directory, sys.executable, *build)
    (wheel,) = directory.glob("prio_assets-*.whl")
    venv.create(directory / "environment", with_pip=True)
    programs = directory / "environment" / "bin"
    run(directory, programs / "python", "-m", "pip", "install", "--constraint", CONSTRAINTS, wheel)
    return programs / "prio-assets"


def validity_rows(path: Path) -> dict[str, tuple[int, int, int]]:
    with path.open("rb") as packets:
        # As UUIDs or as text: that depends on how the writer embedded the schema.
        return {str(row["uuid"]): (row["f_r"], row["g_r"], row["h_r"]) for row in fastavro.reader(packets)}


def intake_options(case: dict[str, Any], keys: dict[str, Any], ingestion: Path, output: Path) -> list[object]:
    batch = case["batches"][0]
    return [
        *("--is-first", "true", "--instance-name", case["instance"], "--aggregation-id", case["aggregation"]),
        *("--batch-id", batch["id"], "--date", batch["time"], "--ingestor-input", ingestion, "--peer-output", output),
        *("--ingestor-public-key", keys["ingestor"]["public_x962_b64"]),
        *("--ingestor-public-key-identifier", keys["ingestor"]["id"]),
        *("--packet-decryption-keys", keys["packet_decryption"]["pha"][0]),
        *("--batch-signing-private-key", keys["pha"]["private_pkcs8_b64"]),
        *("--batch-signing-private-key-identifier", keys["pha"]["id"]),
    ]


def test_help(program: Path, tmp_path: Path) -> None:
    assert "intake-batch" in run(tmp_path, program, "--help")


def test_everything_is_in_the_wheel(program: Path, tmp_path: Path) -> None:
    code = "import prio_assets.defs, resources; print(prio_assets.__file__)"
    assert str(program.parents[1]) in run(tmp_path, program.parent / "python", "-c", code)


def test_intake(program: Path, tmp_path: Path, interop_cases: Path) -> None:
    """Our validation of a batch has, for every packet, the values that the reference's has."""
    folder = interop_cases / "plain-8"
    case, keys = (json.loads((folder / name).read_text()) for name in ("case.json", "keys.json"))
    batch = case["batches"][0]
    run(tmp_path, program, "intake-batch", *intake_options(case, keys, folder / "pha" / "ingestion", tmp_path))
    packets = Path(case["aggregation"]) / batch["time"] / f"{batch['id']}.validity_0.avro"
    ours, theirs = (
        validity_rows(tmp_path / packets),
        validity_rows(folder / "facilitator" / "peer-validation" / packets),
    )
    assert len(ours) == batch["packets"]
    assert ours == theirs
