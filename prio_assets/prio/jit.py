"""Compiled functions: numba makes them, and keeps their machine code for the next process.

Machine code is kept in a directory for these very sources, and for this kind of processor. numba itself notices changes
of a function's own file only, but a kernel takes constants and the types of libraries' functions from others, too.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, ParamSpec, TypeVar

import llvmlite.binding as llvm
import numba
from numba.core import caching

from prio_assets.prio.cache import cache_directory

config: Any = numba.config  # its attributes are made when it is imported
if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT turns it off")  # interpreted, kernels can't call libraries

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE: Final = Path(__file__).parents[1]


def _find_cache() -> tuple[Path | None, str | None]:
    """Where machine code is kept, and None; or None, and why it is not. A filled directory need not be writable."""
    try:
        place = Path(config.CACHE_DIR) if config.CACHE_DIR else cache_directory("numba")
        place /= _digest_of_sources()
        if not place.is_dir() or not any(place.iterdir()):
            place.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=place):
                pass
    except OSError as error:
        return None, f"kernels are compiled in each process again, since machine code cannot be kept: {error}"
    return place, None


def _digest_of_sources() -> str:
    """Of all that kernels may be made from."""
    digest = hashlib.sha256(llvm.get_host_cpu_name().encode())
    for source in sorted(
        [_PACKAGE / "errors.py", *(_PACKAGE / "prio").glob("*.py"), *(_PACKAGE / "wire").glob("*.py")]
    ):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


CACHE_DIRECTORY, CACHE_FAULT = _find_cache()


class _Place(caching.UserProvidedCacheLocator):
    """Where a function's machine code is: in our directory and nowhere else, even if that cannot be written."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno
        folder = self.get_suitable_cache_subpath(file)  # type: ignore[no-untyped-call]
        self._cache_path = str(Path(str(CACHE_DIRECTORY), folder))

    @classmethod
    def from_function(cls, function: Any, file: str) -> "_Place":
        return cls(function, file)


class _Results(caching.CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012 (as it is in the base class)


class _KeptCode(caching.FunctionCache):
    """A function's machine code on disk. What a power failure damaged is compiled and written again."""

    _impl_class = _Results

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # whatever comes of unpickling
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # such as a full disk: the next process compiles again
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def kernel(function: Callable[P, R], *, makes_arrays: bool = True) -> Callable[P, R]:
    """Compile for the argument types of its first call; it runs without the interpreter lock and checks no index."""
    # numpy's rules of division: a zero divisor raises nothing, which no kernel has.
    options: Any = {"nogil": True, "error_model": "numpy", "_nrt": makes_arrays}
    dispatcher: Any = numba.njit(**options)(function)
    if CACHE_DIRECTORY is not None:
        before, config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES, ""  # which would stand in place of ours
        dispatcher._cache = _KeptCode(function)  # type: ignore[no-untyped-call]
        config.CACHE_LOCATOR_CLASSES = before
    return dispatcher  # type: ignore[no-any-return]


def borrowing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that makes no arrays. It counts no references to those it has, which costs more than a short loop."""
    return kernel(function, makes_arrays=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile into the kernels that call it, of its own file."""
    return numba.njit(inline="always")(function)
