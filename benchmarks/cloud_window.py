"""A window of small batches over directories, and over the emulator of each cloud, near by and as if it were far away.

What a batch adds to a step's requests is the difference between a window of one batch and one of more.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.clouds import GCS, S3, Cloud, copy_all, emulated
from benchmarks.datasets import AGGREGATION, KEPT, WINDOW, Dataset
from benchmarks.deployment import INGESTION, Storage, load_processors, write_configuration, write_deployment
from benchmarks.distance import Distant, at_distance
from benchmarks.figures import CloudStep
from benchmarks.parties import ROLES
from benchmarks.places import check_sums
from benchmarks.relay import Counted
from benchmarks.sizes import Sizes
from benchmarks.small_batches import add_up, make_list, take_in
from benchmarks.timing import measure
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.survey import survey
from prio_assets.wire.records import SumPart

DISTANCE: Final = 0.02
"""Seconds that a round trip to the distant server takes longer."""

STEPS: Final = ("intake", "list", "sum", "a sensor's look")


class Passed(NamedTuple):
    """What a step took of the network, and of time by the clock."""

    counted: Counted
    seconds: float


def measure_cloud_window(sizes: Sizes) -> Iterator[CloudStep]:
    """Of the first processor, each step; the second takes its own in between."""
    one, many = sizes.cloud_datasets
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        _pass_through(write_deployment(Path(directory, "one"), one), one, Counted)  # compiles, and fills caches
        found = _pass_through(write_deployment(Path(directory, "many"), many), many, Counted)
    for step, passed in found.items():
        yield CloudStep("directories", step, many.batches, None, None, None, None, None, None, passed.seconds, None)
    for kind in (S3, GCS):
        yield from _measure_cloud(kind, one, many)


def _measure_cloud(kind: str, one: Dataset, many: Dataset) -> Iterator[CloudStep]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=KEPT)))
        cloud = stack.enter_context(emulated(kind, directory / "server"))
        near, far = (stack.enter_context(at_distance(cloud.endpoint, seconds)) for seconds in (0.0, DISTANCE))
        of_one = _window(directory / "one", cloud, near, one)
        of_many = _window(directory / "many", cloud, near, many)
        distant = _window(directory / "distant", cloud, far, many)
    for step in STEPS:
        yield _step(cloud.name, step, many.batches, of_one[step].counted, of_many[step], distant[step].seconds)


def _step(storage: str, step: str, batches: int, one: Counted, many: Passed, distant_seconds: float) -> CloudStep:
    def of_batch(number: Callable[[Counted], int]) -> float:
        return (number(many.counted) - number(one)) / (batches - 1)

    requests = of_batch(lambda counted: sum(counted.requests.values()))
    reads = of_batch(lambda counted: counted.requests.get("GET", 0) + counted.requests.get("HEAD", 0))
    listings = of_batch(lambda counted: counted.requests.get("LIST", 0))
    return CloudStep(
        storage,
        step,
        batches,
        requests=sum(one.requests.values()) - requests,
        reads_of_batch=reads,
        writes_of_batch=requests - reads - listings,
        listings_of_batch=listings,
        kilobytes_of_batch=of_batch(lambda counted: counted.sent + counted.received) / 1e3,
        round_trips=many.counted.round_trips,
        seconds=many.seconds,
        distant_seconds=distant_seconds,
    )


def _window(directory: Path, cloud: Cloud, server: Distant, dataset: Dataset) -> dict[str, Passed]:
    """The steps over buckets, of which those of the ingestor are filled first."""

    def storage(role: str, bucket: str) -> Storage:
        return {"url": cloud.url(f"{directory.name}/{role}/{bucket}"), "endpoint": server.endpoint}

    for role in ROLES:
        copy_all(dataset.ingestion(role), cloud.open(f"{directory.name}/{role}/{INGESTION}"))
    file = write_configuration(directory, dataset, storage)
    server.take()
    return _pass_through(file, dataset, server.take)


def _pass_through(file: Path, dataset: Dataset, take: Callable[[], Counted]) -> dict[str, Passed]:
    processors = load_processors(file)
    first, second = (processors[role] for role in ROLES)
    parts: list[SumPart] = []
    found: dict[str, Passed] = {}

    def do(step: str, of: Callable[[ShareProcessor], object]) -> None:
        take()
        times = measure(lambda: of(first))
        found[step] = Passed(take(), times.wall)
        of(second)

    do("intake", lambda processor: take_in(processor, dataset))
    do("list", make_list)
    do("sum", lambda processor: parts.append(add_up(processor)))
    do("a sensor's look", lambda processor: survey(processor, AGGREGATION, WINDOW.start, WINDOW.end))
    check_sums(parts, dataset, 1)
    return found
