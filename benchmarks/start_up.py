"""Processes from their start to their end: what a short task waits for."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.clouds import GCS, S3, Cloud, copy_all, emulated
from benchmarks.commands import PROGRAM, intake_command, run
from benchmarks.datasets import Dataset
from benchmarks.deployment import write_deployment
from benchmarks.figures import Start
from benchmarks.parties import ROLES
from benchmarks.sizes import Sizes

TINY = Dataset(bins=8, packets=20)

_INGESTION: Final = "ingestion"
_LOCATION: Final = ("-m", "prio_assets.defs.definitions", "-a", "pha")
_VALIDATE: Final = (sys.executable, "-m", "dagster", "definitions", "validate", *_LOCATION)


def measure_start_up(sizes: Sizes) -> Iterator[Start]:
    """The command line, a tiny batch's intake (over clouds, too, and without machine code at hand), Dagster's check."""
    yield _measure("prio-assets --help", sizes.starts, lambda _: [*PROGRAM, "--help"])
    yield _measure("intake-batch, 20 packets", sizes.starts, _tiny_intake)
    for kind in (S3, GCS):
        with tempfile.TemporaryDirectory() as directory, emulated(kind, Path(directory)) as cloud:
            copy_all(TINY.ingestion(ROLES[0]), cloud.open(_INGESTION))
            yield _measure(f"the same, from and to {cloud.name}", sizes.starts, _over(cloud))
    with tempfile.TemporaryDirectory() as cache:
        without_code = {"XDG_CACHE_HOME": cache, "NUMBA_CACHE_DIR": ""}
        yield _measure("from and to directories, machine code to be made", 1, _tiny_intake, without_code)
    with tempfile.TemporaryDirectory() as directory:
        file = write_deployment(Path(directory), TINY)
        environment = {"PRIO_CONFIG": str(file), "DAGSTER_HOME": directory}
        yield _measure("dagster definitions validate, one location", sizes.starts, lambda _: _VALIDATE, environment)


def _measure(
    name: str, times: int, command: Callable[[Path], Sequence[str]], environment: Mapping[str, str] | None = None
) -> Start:
    """The median; each run gets a new directory."""
    ended = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as directory:
            ended.append(run(command(Path(directory)), environment))
    return Start(name, median(one.processor for one in ended), median(one.wall for one in ended))


def _over(cloud: Cloud) -> Callable[[Path], list[str]]:
    """A tiny intake whose buckets are new each time, as the directories are."""
    (batch,) = TINY.names()
    return lambda directory: intake_command(ROLES[0], batch, cloud.url(_INGESTION), cloud.url(directory.name))


def _tiny_intake(buckets: Path) -> list[str]:
    (batch,) = TINY.names()
    role = ROLES[0]
    return intake_command(role, batch, TINY.ingestion(role).root, buckets)
