"""The greatest resident set of whole commands, against the size of what they read."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Final

from benchmarks.clouds import GCS, S3, Cloud, emulated, given_s3
from benchmarks.commands import Ended, Place, aggregate_command, intake_command, run
from benchmarks.datasets import KEPT
from benchmarks.figures import Memory
from benchmarks.great_batch import ROLE, GreatBatch, parse_great_batch, write_great_batch
from benchmarks.placed import describe_objects
from benchmarks.places import Places
from benchmarks.repeated import Repeated
from benchmarks.sizes import Sizes
from prio_assets.prio.choice import choose_engine
from prio_assets.storage.local import LocalStore

SUMMED: Final = 256
"""Bins of the aggregations."""

LARGEST_UPLOAD: Final = {S3: 1_000, GCS: 500}
"""The megabytes up to which an upload is given to an emulator, which holds it in memory several times."""


def measure_intake_memory(sizes: Sizes, bins: int, megabytes: int) -> Iterator[Memory]:
    """`intake-batch` of a packet file of about so many megabytes."""
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        ingestion, buckets = Path(directory, "ingestion"), Path(directory, "buckets")
        ingestion.mkdir()
        batch = write_great_batch(LocalStore(ingestion), bins, megabytes)
        ended = _take_in(batch, ingestion, buckets)
    yield _memory("intake", batch, ended)


def can_take(cloud: str, megabytes: int, endpoint: str | None) -> bool:
    """Whether there is a server for such a file: one that was given, or an emulator into whose directory it is laid."""
    return cloud == GCS or endpoint is not None or megabytes <= LARGEST_UPLOAD[cloud]


def measure_cloud_memory(sizes: Sizes, cloud: str, bins: int, megabytes: int, endpoint: str | None) -> Iterator[Memory]:
    """The upload of such a file to a server of the cloud, and `intake-batch` from there to there."""
    with tempfile.TemporaryDirectory(dir=KEPT) as directory, _server(cloud, Path(directory), endpoint) as server:
        if endpoint or megabytes <= LARGEST_UPLOAD[cloud]:
            batch, ended = _upload(server.url("ingestion"), bins, megabytes)
            yield _memory(f"upload to {server.name}", batch, ended)
        else:
            batch = _place(server, Path(directory), bins, megabytes)
        ended = _take_in(batch, server.url("ingestion"), server.url("buckets"))
        yield _memory(f"intake from and to {server.name}", batch, ended)


def measure_aggregation_memory(sizes: Sizes, batches: int) -> Iterator[Memory]:
    """`aggregate` of so many batches with totals."""
    dataset = sizes.dataset("chosen", SUMMED)
    repeated = Repeated(dataset, batches, max(1, sizes.summed_packets // dataset.packets))
    with tempfile.TemporaryDirectory(dir=KEPT) as directory:
        places = Places(dataset, choose_engine().engine, Path(directory), linked=True)
        repeated.write(places)
        read = (places.bucket(ROLE, name).root for name in ("own-validations", "peer-validations"))
        size = sum(path.stat().st_size for path in chain(*(root.rglob("*") for root in read)) if path.is_file())
        ingestion = places.ingestion(ROLE).root
        ended = run(aggregate_command(ROLE, repeated.names(), ingestion, places.directory))
        shutil.rmtree(places.directory / ROLE)
    packets = batches * repeated.copies * dataset.packets
    if f"clients   {packets}" not in ended.output:
        raise ValueError(f"not all of {packets} packets were summed: {ended.output[-1000:]}")
    yield Memory(f"sum over {packets:,} packets in {batches} batches, with totals", size / 1e6, ended.peak_megabytes)


def _server(cloud: str, directory: Path, endpoint: str | None) -> AbstractContextManager[Cloud]:
    return given_s3(endpoint) if endpoint else emulated(cloud, directory)


def _upload(ingestion: str, bins: int, megabytes: int) -> tuple[GreatBatch, Ended]:
    """Write the batch to a storage in a process of its own."""
    ended = run([sys.executable, "-m", "benchmarks.great_batch", ingestion, str(bins), str(megabytes)])
    return parse_great_batch(ended.output), ended


def _place(server: Cloud, directory: Path, bins: int, megabytes: int) -> GreatBatch:
    """Lay the batch into the directory of a server that could not take its upload."""
    bucket = directory / server.bucket
    (bucket / "ingestion").mkdir()
    batch = write_great_batch(LocalStore(bucket / "ingestion"), bins, megabytes)
    describe_objects(bucket)
    return batch


def _take_in(batch: GreatBatch, ingestion: Place, buckets: Place) -> Ended:
    ended = run(intake_command(ROLE, batch.name, ingestion, buckets))
    if f"accepted  {batch.packets}" not in ended.output:
        raise ValueError(f"not all of {batch.packets} packets were accepted: {ended.output}")
    return ended


def _memory(process: str, batch: GreatBatch, ended: Ended) -> Memory:
    name = f"{process}, {batch.packets:,} packets of {batch.bins:,} bins"
    return Memory(name, batch.megabytes, ended.peak_megabytes)
