"""Where something is missing that makes intake fast, the program says what, and computes the same without it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prio_assets.prio.jit import CACHE_DIRECTORY
from tests.cli.interop_case import Case, arguments
from tests.cli.program import run_apart
from tests.cli.test_intake_batch import files, intake

WITHOUT_NUMBA = "import sys; sys.modules['numba'] = None"
WITHOUT_LIBRARY = """
import importlib.metadata as metadata
found = metadata.distribution
def distribution(name):
    if name == "ipp-crypto":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.distribution = distribution
"""
OTHER_LIBRARY = """
from pathlib import Path
from prio_assets.prio import multibuffer
multibuffer._installed = lambda: Path(multibuffer.__file__)
"""
WITHOUT_HOME = """
from pathlib import Path
def homeless():
    raise RuntimeError("Could not determine home directory.")
Path.home = homeless
"""


@dataclass(frozen=True)
class Lack:
    """What is missing: code that takes it away, and the environment; what is used in its stead, and why."""

    engine: str
    reason: str
    first: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict)


PLAIN, SINGLE = "plain", "compiled, single key agreement"

LACKS = {
    "wish": Lack(PLAIN, "PRIO_ENGINE is plain", env={"PRIO_ENGINE": "plain"}),
    "numba": Lack(PLAIN, "pip install 'prio-assets[fast]'", WITHOUT_NUMBA),
    "compiler": Lack(PLAIN, "NUMBA_DISABLE_JIT turns it off", env={"NUMBA_DISABLE_JIT": "1"}),
    "library": Lack(SINGLE, "the package ipp-crypto is not installed: pip install", WITHOUT_LIBRARY),
    "tried version": Lack(SINGLE, "is no version that was tried: install", OTHER_LIBRARY),
    "home": Lack(
        SINGLE,
        "there is no home directory: set XDG_CACHE_HOME",
        WITHOUT_HOME,
        {"XDG_CACHE_HOME": None, "NUMBA_CACHE_DIR": str(CACHE_DIRECTORY.parent)},
    ),
    "place": Lack(
        SINGLE,
        "machine code cannot be kept: ",
        env={"XDG_CACHE_HOME": "/dev/null/caches", "NUMBA_CACHE_DIR": None, "NUMBA_OPT": "0"},
    ),
}


@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS)
def test_the_doctor_names_the_engine_that_is_left_and_why(lack: Lack) -> None:
    done = run_apart("doctor", "--format", "json", env=lack.env | {"PRIO_CONFIG": None}, first=lack.first)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["engine"] == lack.engine
    assert lack.reason in " ".join(report["no_faster_because"])
    assert [finding["is_fault"] for finding in report["findings"]] == [False]
    assert (report["machine_code"] is None) is (lack.engine == PLAIN or lack == LACKS["place"])


@pytest.mark.parametrize(("index", "lack"), [*enumerate(LACKS.values())], ids=LACKS)
def test_intake_says_so_once_and_gives_the_same(index: int, lack: Lack, tmp_path: Path) -> None:
    case = Case("plain-8", index % 2)
    result = intake(case, case.batches[0], tmp_path / "as here")
    given = arguments("intake-batch", case.intake_options(case.batches[0], tmp_path / "without"))
    done = run_apart(*given, env=lack.env, first=lack.first)
    assert done.returncode == 0, done.stderr
    assert done.stdout == result.stdout
    assert files(tmp_path / "without") == files(tmp_path / "as here") != {}
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"prio-assets: engine: {lack.engine}; no faster one: ")
    assert lack.reason in line


@pytest.mark.parametrize("command", ["doctor", "intake-batch"])
def test_an_unknown_wish_is_one_line(command: str, tmp_path: Path) -> None:
    case = Case("plain-8", 0)
    options = case.intake_options(case.batches[0], tmp_path) if command == "intake-batch" else {}
    done = run_apart(*arguments(command, options), env={"PRIO_ENGINE": "nonsense", "PRIO_CONFIG": None})
    assert (done.returncode, done.stdout) == (1, "")
    said = "PRIO_ENGINE is 'nonsense': the only value it has is plain; else leave it unset"
    assert done.stderr == f"prio-assets: error: {said}\n"
    assert files(tmp_path) == {}
