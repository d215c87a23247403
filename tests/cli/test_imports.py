"""A command imports what it uses and nothing heavy beside: the program starts often."""

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Deployed
from tests.cli.interop_case import Case, arguments
from tests.cli.program import run_apart

PLAIN = Case("plain-8", 0)
HEAVY = {"dagster", "pandas", "matplotlib", "pydantic", "yaml", "numba", "llvmlite", "grpc", "sqlalchemy"}
COMPILER = {"numba", "llvmlite", "yaml"}  # numba reads settings as YAML

TELL = (
    "import atexit, sys\n"
    f"atexit.register(lambda: print('loaded:', *sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr))"
)


def loaded(*given: object, **env: str) -> set[str]:
    """Which of the heavy packages a run of the program has imported."""
    done = run_apart(*given, env=env, first=TELL)
    assert done.returncode == 0, done.stderr
    label, *packages = done.stderr.splitlines()[-1].split()
    assert label == "loaded:"
    return set(packages)


def test_intake_imports_the_compiler_at_most(tmp_path: Path) -> None:
    given = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path))
    assert loaded(*given) <= COMPILER


def test_the_plain_engine_imports_no_compiler(tmp_path: Path) -> None:
    given = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path / "peer"))
    assert loaded(*given, PRIO_ENGINE="plain") == set()
    given = arguments("aggregate", PLAIN.aggregate_options(tmp_path / "portal"))
    assert loaded(*given, PRIO_ENGINE="plain") == set()
    assert loaded("doctor", PRIO_ENGINE="plain", PRIO_CONFIG="") == set()


def test_what_verifies_no_packet_imports_no_compiler(deployed: Deployed, tmp_path: Path) -> None:
    for command in ("state init", "status", "rejections list"):
        given = (*command.split(), "--processor", "pha")
        assert loaded(*given, PRIO_CONFIG=str(deployed.file)) <= {"pydantic", "yaml"}
    assert loaded("inspect", *PLAIN.ingestion.rglob("*.sig")) == set()
    portal = [PLAIN.folder / "portal" / role for role in ("pha", "facilitator")]
    assert loaded(*arguments("collect", PLAIN.collect_options(*portal) | {"format": "csv"})) == set()


def test_a_code_location_imports_no_compiler() -> None:
    """Each run loads it several times, and only the steps that verify packets need the compiler."""
    code = "import sys, prio_assets.defs.definitions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "llvmlite", "pandas", "matplotlib"} & set(done.stdout.split())
