"""Where things are kept that are made once on a machine, and what becomes of machine code where nothing can be kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prio_assets.prio.cache import cache_directory

KERNEL = """
from prio_assets.prio import jit
@jit.kernel
def double(value):
    return 2 * value
assert double(21) == 42
print(jit.CACHE_FAULT)
"""


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    directory = cache_directory("numba")
    assert directory == tmp_path / "caches" / "prio-assets" / "numba"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_the_cache_is_in_the_home_directory_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory("numba") == tmp_path / ".cache" / "prio-assets" / "numba"


def test_without_a_home_directory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(OSError, match="no home directory: set XDG_CACHE_HOME"):
        cache_directory("numba")


@pytest.mark.parametrize("directory", ["prio-assets", "prio-assets/numba"])
def test_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_directory("numba")
    (tmp_path / directory).chmod(0o770)
    with pytest.raises(OSError, match="others can write to"):
        cache_directory("numba")


def run_kernel(*flags: str, **environment: str) -> str:
    """What a process prints that compiles a kernel in a file of its own: numba keeps machine code of files only."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    result = subprocess.run(
        [sys.executable, *flags], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.fixture
def kernel_file(tmp_path: Path) -> str:
    path = tmp_path / "double.py"
    path.write_text(KERNEL)
    return str(path)


@pytest.mark.parametrize(("variable", "place"), [("NUMBA_CACHE_DIR", "kept"), ("XDG_CACHE_HOME", "kept/prio-assets")])
def test_machine_code_is_kept_where_the_user_says(tmp_path: Path, kernel_file: str, variable: str, place: str) -> None:
    assert run_kernel(kernel_file, HOME=str(tmp_path), **{variable: str(tmp_path / "kept")}) == "None"
    assert [*(tmp_path / place).rglob("*double*.nbc")]
    assert not (tmp_path / ".cache").exists()


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_where_nothing_can_be_kept_kernels_are_compiled_in_memory(
    tmp_path: Path, kernel_file: str, variable: str
) -> None:
    (tmp_path / "file").touch()
    fault = run_kernel(kernel_file, HOME=str(tmp_path), **{variable: str(tmp_path / "file" / "kept")})
    assert "machine code cannot be kept" in fault
    assert "file/kept" in fault
    assert not [*tmp_path.rglob("*.nbc")]


@pytest.mark.parametrize("damaged", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("left", [b"", b"\x80\x04\x95"])
def test_damaged_machine_code_is_compiled_and_written_again(
    tmp_path: Path, kernel_file: str, damaged: str, left: bytes
) -> None:
    """A power failure may cut a file that was written just before."""
    run_kernel(kernel_file, HOME=str(tmp_path))
    (file,) = tmp_path.rglob(damaged)
    whole = file.stat().st_size
    file.write_bytes(left)
    assert run_kernel(kernel_file, HOME=str(tmp_path)) == "None"
    assert file.stat().st_size == whole


def test_machine_code_for_which_there_is_no_space_is_not_kept(tmp_path: Path, kernel_file: str) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    Path(kernel_file).write_text(full + KERNEL)
    assert run_kernel(kernel_file, HOME=str(tmp_path)) == "None"
    assert not any(file.stat().st_size for file in (tmp_path / ".cache").rglob("*.nb*"))


def test_machine_code_that_was_made_beforehand_is_used_where_nothing_can_be_written(
    tmp_path: Path, kernel_file: str
) -> None:
    source = KERNEL + "print(sum(double.stats.cache_hits.values()))\n"
    Path(kernel_file).write_text(source)
    assert run_kernel(kernel_file, HOME=str(tmp_path)).split() == ["None", "0"]
    no_writing = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    run_file = f"exec(compile({source!r}, {kernel_file!r}, 'exec'))"
    assert run_kernel("-c", f"{no_writing}\n{run_file}", HOME=str(tmp_path)).split() == ["None", "1"]


def test_numbas_other_places_are_never_used(tmp_path: Path, kernel_file: str) -> None:
    """Whatever numba is told: nobody but us may have written what is loaded."""
    environment = {"HOME": str(tmp_path), "NUMBA_CACHE_LOCATOR_CLASSES": "InTreeCacheLocator"}
    assert run_kernel(kernel_file, **environment) == "None"
    assert not (tmp_path / "__pycache__").exists()
    assert [*(tmp_path / ".cache" / "prio-assets" / "numba").rglob("*.nbc")]
