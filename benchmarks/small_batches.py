"""A window of many small batches, as one production ingestor writes them, from intake to both sum parts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.datasets import AGGREGATION, WINDOW, Dataset
from benchmarks.deployment import load_processors, write_deployment
from benchmarks.figures import SmallBatches
from benchmarks.parties import ROLES
from benchmarks.places import check_sums
from benchmarks.sizes import Sizes
from benchmarks.timing import measure
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire.records import SumPart


def measure_small_batches(sizes: Sizes) -> Iterator[SmallBatches]:
    """Of each role, the steps that its sensors would request, one after the other."""
    dataset = sizes.small_dataset
    with tempfile.TemporaryDirectory() as directory:
        processors = load_processors(write_deployment(Path(directory), dataset))
        _warm_up(dataset)
        intake = {role: _milliseconds(lambda role=role: take_in(processors[role], dataset), dataset) for role in ROLES}
        # The first proposes, the second decides.
        lists = {role: _milliseconds(lambda role=role: make_list(processors[role]), dataset) for role in ROLES}
        parts: list[SumPart] = []
        sums = {
            role: _milliseconds(lambda role=role: parts.append(add_up(processors[role])), dataset) for role in ROLES
        }
        check_sums(parts, dataset, 1)
    for role in ROLES:
        yield SmallBatches(role, dataset.batches, dataset.packets, intake[role], lists[role], sums[role])


def _warm_up(dataset: Dataset) -> None:
    """Another deployment, so that loading what runs only once in a process is not counted."""
    with tempfile.TemporaryDirectory() as directory:
        processors = load_processors(write_deployment(Path(directory), dataset))
        for role in ROLES:
            list(validate_batches(processors[role], dataset.names()[:1]))


def _milliseconds(step, dataset: Dataset) -> float:  # type: ignore[no-untyped-def]
    return measure(step).processor * 1e3 / dataset.batches


def take_in(processor: ShareProcessor, dataset: Dataset) -> None:
    """Intake of all batches."""
    for outcome in validate_batches(processor, dataset.names()):
        if outcome.state != BatchState.SENT:
            raise ValueError(f"a batch of {dataset} is {outcome.state}, not sent: {outcome.why or 'remove .bench'}")


def make_list(processor: ShareProcessor) -> None:
    """The first's proposal, or the second's answer."""
    agreement = make_own_list(processor, AGGREGATION, WINDOW, None)
    if agreement.waiting or agreement.unready:
        raise ValueError(f"no list of the small batches was made: {agreement.waiting or agreement.unready}")


def add_up(processor: ShareProcessor) -> SumPart:
    """The processor's sum part."""
    found = sum_window(processor, AGGREGATION, WINDOW, Override())
    if found.header is None:
        raise ValueError(f"the small batches were not summed: {found.waiting}")
    return found.header
