"""Compiled functions: numba makes them, and keeps their machine code for the next process.

A kernel and the kernels that it calls stand in one file, because numba notices changes of a function's own file only.
What a kernel takes from other files becomes part of its code, so each version of ours keeps code of its own.
"""

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache

from prio_assets.prio.cache import cache_directory

config: Any = numba.config  # its attributes are made when it is imported
if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT turns it off")  # interpreted, kernels can't call libraries

P = ParamSpec("P")
R = TypeVar("R")


def _find_cache() -> tuple[str | None, str | None]:
    """Where machine code is kept, and None; or None, and why it is not."""
    try:
        if not config.CACHE_DIR:
            return str(cache_directory(f"numba-{version('prio-assets')}")), None
        Path(config.CACHE_DIR).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=config.CACHE_DIR):
            pass
    except OSError as error:
        return None, f"kernels are compiled in each process again, since machine code cannot be kept: {error}"
    return str(config.CACHE_DIR), None


CACHE_DIRECTORY, CACHE_FAULT = _find_cache()


class _KeptCode(FunctionCache):
    """A function's machine code on disk. What a power failure damaged is compiled and written again."""

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
    before, config.CACHE_DIR = config.CACHE_DIR, CACHE_DIRECTORY or ""
    try:
        # numpy's rules of division: a zero divisor raises nothing, which no kernel has.
        options: Any = {"nogil": True, "error_model": "numpy", "_nrt": makes_arrays}
        dispatcher: Any = numba.njit(**options)(function)
        if CACHE_DIRECTORY is not None:
            dispatcher._cache = _KeptCode(function)  # type: ignore[no-untyped-call]
        return dispatcher  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = before


def borrowing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that makes no arrays. It counts no references to those it has, which costs more than a short loop."""
    return kernel(function, makes_arrays=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile into the kernels that call it, of its own file."""
    return numba.njit(inline="always")(function)
