"""The engines that are compared: the one that this machine chooses, and the slower ones that others would choose."""

from typing import Final

from prio_assets.prio.agreement import KeyAgreement, SingleAgreement
from prio_assets.prio.choice import ENGINE_VARIABLE, choose_engine
from prio_assets.prio.engine import Engine

CHOSEN: Final = "chosen"
SINGLE: Final = "single"
"""Compiled loops, but one key agreement after the other."""
PLAIN: Final = "plain"

ENGINES: Final = (CHOSEN, SINGLE, PLAIN)

ENVIRONMENTS: Final = {CHOSEN: {}, SINGLE: {}, PLAIN: {ENGINE_VARIABLE: "plain"}}
"""What a process has in its environment whose packets such an engine verifies; what reads packets heeds it too."""


def make_engine(name: str) -> Engine:
    """The engine; `ImportError` or `OSError` where it does not run here."""
    if name == SINGLE:
        from prio_assets.prio.compiled import CompiledEngine  # noqa: PLC0415 (numba is an extra)

        return CompiledEngine(SingleAgreement())
    return choose_engine().engine


def engines_here() -> list[str]:
    """Those that differ on this machine, the fastest first."""
    chosen = choose_engine().engine.name
    if chosen == "plain":
        return [CHOSEN]
    return [CHOSEN, PLAIN] if chosen.endswith(f"{SingleAgreement.name} key agreement") else list(ENGINES)


def fastest_agreement(engine: str) -> KeyAgreement:
    """Key agreement by itself: the floor under every figure.

    A slower engine is compared with the chosen one's; where the plain one is chosen, no faster agreement is touched.
    """
    if engine != PLAIN and choose_engine().engine.name == PLAIN:
        return SingleAgreement()
    try:
        from prio_assets.prio.multibuffer import MultibufferAgreement  # noqa: PLC0415 (numba is an extra)

        return MultibufferAgreement()
    except (ImportError, OSError):
        return SingleAgreement()
