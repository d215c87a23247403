"""Measurements in processes of their own: `python -m benchmarks.tasks DOCUMENT` prints figures as JSON.

A measurement begins in a fresh process that is held to as many cores as it is to have.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any, Final

from benchmarks.engines import ENVIRONMENTS
from benchmarks.sizes import SIZES

TASKS: Final[Mapping[str, tuple[str, str]]] = {
    "data": ("benchmarks.datasets", "make_dataset"),
    "machine": ("benchmarks.machine", "describe_machine"),
    "agreements": ("benchmarks.bare", "measure_agreements"),
    "intake and aggregation": ("benchmarks.wholes", "measure_wholes"),
    "stages": ("benchmarks.stages", "measure_stages"),
    "small batches": ("benchmarks.small_batches", "measure_small_batches"),
    "window over clouds": ("benchmarks.cloud_window", "measure_cloud_window"),
    "start-up": ("benchmarks.start_up", "measure_start_up"),
    "memory of intake": ("benchmarks.memory", "measure_intake_memory"),
    "memory of intake, cloud": ("benchmarks.memory", "measure_cloud_memory"),
    "memory of aggregation": ("benchmarks.memory", "measure_aggregation_memory"),
}
"""A module and a function in it, which takes the sizes and the task's arguments and gives figures."""


def run_task(name: str, size: str, cores: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    """The figures that a task gives in a process that may use so many cores."""
    document = json.dumps({"name": name, "size": size, "cores": cores, "arguments": arguments})
    environment = {**os.environ, **ENVIRONMENTS.get(arguments.get("engine", ""), {})}
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.tasks", document], stdout=subprocess.PIPE, env=environment, check=False
    )
    if process.returncode:
        raise RuntimeError(f"the measurement of {name} failed, see above ({document})")
    found: list[dict[str, Any]] = json.loads(process.stdout)
    return found


def _run_here(name: str, size: str, cores: int, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    module, function = TASKS[name]
    return [asdict(figure) for figure in getattr(import_module(module), function)(SIZES[size], **arguments)]


if __name__ == "__main__":
    json.dump(_run_here(**json.loads(sys.argv[1])), sys.stdout)
