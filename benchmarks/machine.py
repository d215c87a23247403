"""What the figures were measured on."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.engines import engines_here
from benchmarks.figures import Machine
from benchmarks.sizes import Sizes
from prio_assets.prio.choice import choose_engine

_PACKAGES: Final = ("prio-assets", "numpy", "cryptography", "fastavro", "numba", "ipp-crypto", "dagster")


def available_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def describe_machine(sizes: Sizes) -> Iterator[Machine]:
    """This machine, with the versions of what the speed depends on."""
    choice = choose_engine()
    yield Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=platform.platform(),
        versions={"python": platform.python_version(), **_versions()},
        engine=choice.engine.name,
        reasons=list(choice.reasons),
        engines=engines_here(),
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", platform.machine())
    return f"{name} {'with' if 'avx512ifma' in facts.get('flags', '').split() else 'without'} AVX-512 IFMA"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
