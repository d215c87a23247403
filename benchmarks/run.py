"""One run of all measurements, one after the other, so that they do not disturb each other."""

import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.clouds import GCS, S3
from benchmarks.datasets import Dataset
from benchmarks.documents import figures_of
from benchmarks.engines import PLAIN
from benchmarks.figures import Figures
from benchmarks.great_batch import repeated_packets
from benchmarks.memory import can_take
from benchmarks.sizes import Sizes
from benchmarks.start_up import TINY
from benchmarks.tasks import run_task

_CORES: Final = (1, 2)


def measure_all(sizes: Sizes, s3_endpoint: str | None) -> Figures:
    """All figures; says on the way what it does. Great files go to the S3 server at the endpoint, if one is given."""
    machine = _run("machine", sizes)[0]
    engines, cores = machine["engines"], [count for count in _CORES if count <= len(os.sched_getaffinity(0))]
    for dataset in datasets(sizes, engines):
        if not dataset.directory.exists():
            _run("data", sizes, bins=dataset.bins, packets=dataset.packets, batches=dataset.batches)
    return figures_of(
        {
            "size": sizes.name,
            "machine": machine,
            "agreements": _run("agreements", sizes),
            "wholes": list(_wholes(sizes, engines, cores)),
            "stages": [entry for engine in _with_stages(engines) for entry in _run("stages", sizes, engine=engine)],
            "small_batches": _run("small batches", sizes),
            "cloud_steps": _run("window over clouds", sizes),
            "starts": _run("start-up", sizes),
            "memory": list(_memory(sizes, max(cores), s3_endpoint)),
        }
    )


def datasets(sizes: Sizes, engines: list[str]) -> list[Dataset]:
    """What is to be made first, each once."""
    repeated = [repeated_packets(bins) for bins, _ in sizes.files]
    taken_in = [sizes.dataset(engine, bins) for engine in engines for bins in sizes.packets]
    return list(dict.fromkeys([*taken_in, sizes.small_dataset, *sizes.cloud_datasets, TINY, *repeated]))


def _wholes(sizes: Sizes, engines: list[str], cores: list[int]) -> Iterator[dict[str, Any]]:
    """The plain engine holds the interpreter lock: a second core does nothing for it."""
    for count in cores:
        for engine in engines:
            if count == 1 or engine != PLAIN:
                yield from _run("intake and aggregation", sizes, count, engine=engine)


def _with_stages(engines: list[str]) -> list[str]:
    """With single key agreement all other stages are those of the chosen engine."""
    return [engines[0], engines[-1]] if len(engines) > 1 else engines


def _memory(sizes: Sizes, cores: int, s3_endpoint: str | None) -> Iterator[dict[str, Any]]:
    for bins, megabytes in sizes.files:
        yield from _run("memory of intake", sizes, cores, bins=bins, megabytes=megabytes)
    for cloud, endpoint in ((S3, s3_endpoint), (GCS, None)):
        for bins, megabytes in sizes.cloud_files:
            if can_take(cloud, megabytes, endpoint):
                yield from _run(
                    "memory of intake, cloud",
                    sizes,
                    cores,
                    cloud=cloud,
                    bins=bins,
                    megabytes=megabytes,
                    endpoint=endpoint,
                )
    for batches in sizes.summed_for_memory:
        yield from _run("memory of aggregation", sizes, cores, batches=batches)


def _run(name: str, sizes: Sizes, cores: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    described = " ".join(f"{key}={value}" for key, value in arguments.items())
    print(f"{name}, {cores} core{'s' if cores > 1 else ''} {described}", file=sys.stderr)
    return run_task(name, sizes.name, cores, **arguments)
