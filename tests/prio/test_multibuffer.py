"""Loading the multi-buffer library: only what was tried, from a private copy, on a processor that can run it."""

import ctypes
import hashlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from prio_assets.prio import multibuffer
from prio_assets.prio.multibuffer import MultibufferAgreement

INSTALLED = multibuffer._installed()
(COPY_DIGEST,) = multibuffer._TRIED.values()


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "prio-assets" / "libraries"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_private_copy_differs_in_the_names_of_what_is_not_used(libraries: Path) -> None:
    before = digest(INSTALLED)
    copy = multibuffer._private_copy(INSTALLED)
    assert copy.parent == libraries
    assert digest(copy) == COPY_DIGEST
    assert digest(INSTALLED) == before
    installed, copied = INSTALLED.read_bytes(), copy.read_bytes()
    differing = {at // 16 for at, (one, other) in enumerate(zip(installed, copied, strict=True)) if one != other}
    assert len(differing) == 4  # the dynamic section's entries, of 16 bytes each
    assert ctypes.CDLL(str(copy)).mbx_nistp256_ecdh_mb8


def test_only_its_owner_can_change_the_copy(libraries: Path) -> None:
    copy = multibuffer._private_copy(INSTALLED)
    assert copy.stat().st_mode & 0o777 == 0o500
    assert libraries.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in libraries.iterdir()] == [f"{COPY_DIGEST}.so"]


@pytest.mark.parametrize("kept_bytes", [0, 5000, -1])
def test_a_copy_that_differs_is_made_again(libraries: Path, kept_bytes: int) -> None:
    copy = multibuffer._private_copy(INSTALLED)
    data = copy.read_bytes()
    copy.chmod(0o700)
    copy.write_bytes(data[:kept_bytes] + b"!" + data[:kept_bytes][1:])
    assert multibuffer._private_copy(INSTALLED).read_bytes() == data


def test_a_copy_that_cannot_be_made_right_is_not_loaded(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multibuffer, "_UNUSED", ())
    with pytest.raises(OSError, match="is not what was written: remove it"):
        multibuffer._private_copy(INSTALLED)


def test_another_version_is_not_loaded(libraries: Path, tmp_path: Path) -> None:
    other = tmp_path / "libcrypto_mb.so.13"
    other.write_bytes(INSTALLED.read_bytes()[:-1] + b"!")
    with pytest.raises(OSError, match=f"{other} is no version that was tried"):
        multibuffer._private_copy(other)
    assert not libraries.exists()


def test_a_cache_that_others_can_write_to_is_not_used(libraries: Path) -> None:
    libraries.mkdir(parents=True)
    libraries.chmod(0o777)
    with pytest.raises(OSError, match="others can write to"):
        multibuffer._private_copy(INSTALLED)


def test_a_processor_that_cannot_run_it_is_told_before_the_first_call(
    libraries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        """Has nothing else that could be called."""

        def __init__(self, path: str) -> None:
            self.mbx_get_algo_info = lambda algorithm: 0x10

    monkeypatch.setattr(ctypes, "CDLL", Library)
    with pytest.raises(OSError, match="lacks AVX-512 IFMA"):
        MultibufferAgreement()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(multibuffer, "distribution", missing)
    with pytest.raises(OSError, match=r"ipp-crypto is not installed: pip install 'prio-assets\[fast\]'"):
        MultibufferAgreement()


def test_a_package_without_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multibuffer, "distribution", lambda name: SimpleNamespace(files=None))
    with pytest.raises(OSError, match=r"ipp-crypto brings no libcrypto_mb\.so\.13"):
        MultibufferAgreement()


def test_a_copy_for_which_there_is_no_space_leaves_nothing(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        multibuffer._private_copy(INSTALLED)
    assert [*libraries.iterdir()] == []
