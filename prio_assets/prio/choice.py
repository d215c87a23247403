"""The choice between engines, once in a process: the fastest that runs here."""

import os
from functools import lru_cache
from typing import Final, NamedTuple

from prio_assets.errors import ConfigurationError
from prio_assets.prio.agreement import KeyAgreement, SingleAgreement
from prio_assets.prio.engine import Engine
from prio_assets.prio.plain import PlainEngine

ENGINE_VARIABLE: Final = "PRIO_ENGINE"


class Choice(NamedTuple):
    """An engine, and why it is no faster one: empty if it is the fastest."""

    engine: Engine
    reasons: tuple[str, ...]


@lru_cache(maxsize=1)
def choose_engine() -> Choice:
    """The fastest engine that this machine and PRIO_ENGINE allow; ConfigurationError if that says what it cannot."""
    wish = os.environ.get(ENGINE_VARIABLE, "")
    if wish == "plain":
        return Choice(PlainEngine(), (f"{ENGINE_VARIABLE} is plain",))
    if wish:
        raise ConfigurationError(f"{ENGINE_VARIABLE} is {wish!r}: the only value it has is plain; else leave it unset")
    return _fastest()


@lru_cache(maxsize=1)
def compiled_loops_allowed() -> bool:
    """Whether what numba compiles may be used: it is there, and PRIO_ENGINE does not turn it off."""
    if os.environ.get(ENGINE_VARIABLE):
        return False
    try:
        import prio_assets.prio.jit  # noqa: F401, PLC0415 (numba is an extra, and slow to import)
    except ImportError:
        return False
    return True


def _fastest() -> Choice:
    reasons = []
    try:
        from prio_assets.prio.compiled import CompiledEngine  # noqa: PLC0415 (numba is an extra, and slow to import)
        from prio_assets.prio.jit import CACHE_FAULT  # noqa: PLC0415
        from prio_assets.prio.multibuffer import MultibufferAgreement  # noqa: PLC0415
    except ImportError as error:
        return Choice(PlainEngine(), (f"numba cannot be imported ({error}): pip install 'prio-assets[fast]'",))
    if CACHE_FAULT:
        reasons.append(CACHE_FAULT)
    agreement: KeyAgreement = SingleAgreement()
    try:
        agreement = MultibufferAgreement()
    except OSError as error:
        reasons.append(f"no multi-buffer key agreement: {error}")
    try:
        return Choice(CompiledEngine(agreement), tuple(reasons))
    except OSError as error:
        return Choice(PlainEngine(), (f"compiled loops cannot call the system's libcrypto: {error}",))
