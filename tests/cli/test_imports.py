"""A command imports what it uses and nothing heavy beside: the program starts often."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Deployed
from tests.cli.interop_case import Case, arguments
from tests.cli.program import run_apart
from tests.clouds import Clouds

PLAIN = Case("plain-8", 0)
SDKS = {"boto3", "botocore", "google.auth", "google.cloud.storage"}
HEAVY = {"dagster", "pandas", "matplotlib", "pydantic", "yaml", "numba", "llvmlite", "grpc", "sqlalchemy", *SDKS}
COMPILER = {"numba", "llvmlite", "yaml"}  # numba reads settings as YAML

TELL = (
    "import atexit, sys\n"
    f"atexit.register(lambda: print('loaded:', *sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr))"
)


def loaded(*given: object, status: int = 0, **env: str) -> set[str]:
    """Which of the heavy packages a run of the program that ends with this status has imported."""
    done = run_apart(*given, env=env, first=TELL)
    assert done.returncode == status, done.stderr
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


@pytest.mark.parametrize(
    ("kind", "packages"), [("s3", {"boto3", "botocore"}), ("gcs", {"google.auth", "google.cloud.storage", "grpc"})]
)
def test_of_the_sdks_only_the_one_in_use_is_imported(
    clouds: Clouds, tmp_path: Path, kind: str, packages: set[str]
) -> None:
    place = clouds[kind].create_bucket()
    given = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path, ingestor_input=place))
    endpoints = {"AWS_ENDPOINT_URL": clouds["s3"].endpoint, "STORAGE_EMULATOR_HOST": clouds["gcs"].endpoint}
    assert loaded(*given, status=1, **endpoints, PRIO_ENGINE="plain") == packages


@pytest.mark.parametrize(
    ("place", "module", "package"),
    [("s3://us-west-2/bucket", "boto3", "boto3"), ("gs://bucket", "google.cloud.storage", "google-cloud-storage")],
)
def test_an_sdk_that_is_missing_is_named(tmp_path: Path, place: str, module: str, package: str) -> None:
    given = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path, ingestor_input=place))
    done = run_apart(*given, env={"PRIO_ENGINE": "plain"}, first=f"import sys\nsys.modules[{module!r}] = None")
    assert done.returncode == 1
    assert f"error: this kind of storage needs the package {package}, which cannot be" in done.stderr.splitlines()[-1]


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
