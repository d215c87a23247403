"""Servers that speak the clouds' protocols, beside us or elsewhere, with a bucket for the benchmarks."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen
from uuid import uuid4

from prio_assets.demo.emulators import run_gcs, run_s3
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, copy_bytes, read_bytes
from prio_assets.storage.urls import open_store

S3: Final = "s3"
GCS: Final = "gcs"
NAMES: Final = {S3: "moto's server", GCS: "fake-gcs-server"}

_REGION: Final = "us-east-1"
_ENDPOINT_VARIABLES: Final = {S3: "AWS_ENDPOINT_URL", GCS: "STORAGE_EMULATOR_HOST"}
_CREDENTIALS: Final = {S3: {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}, GCS: {}}
"""What the SDKs ask for; the emulators take any."""


@dataclass(frozen=True)
class Cloud:
    """A server, and a bucket of it. This process and those that it starts find it in their environment."""

    kind: str
    name: str
    """Which it is, as a reader of the figures is told."""
    endpoint: str
    bucket: str

    def url(self, prefix: str) -> str:
        """The storage below a prefix of the bucket."""
        return f"s3://{_REGION}/{self.bucket}/{prefix}" if self.kind == S3 else f"gs://{self.bucket}/{prefix}"

    def open(self, prefix: str) -> Store:
        """The same, opened in this process."""
        return open_store(self.url(prefix), Access(endpoint=self.endpoint))


@contextmanager
def emulated(kind: str, directory: Path) -> Iterator[Cloud]:
    """The emulator of a cloud, which keeps its objects, the great ones at least, in a directory."""
    run = run_s3 if kind == S3 else run_gcs
    with run(directory) as emulator:
        environment = {**_CREDENTIALS[kind], _ENDPOINT_VARIABLES[kind]: emulator.endpoint}
        with _with_environment(environment):
            yield _with_bucket(kind, NAMES[kind], emulator.endpoint)


@contextmanager
def given_s3(endpoint: str) -> Iterator[Cloud]:
    """A server that is there already, whose credentials are in our environment."""
    with _with_environment({_ENDPOINT_VARIABLES[S3]: endpoint}):
        yield _with_bucket(S3, endpoint, endpoint)


def copy_all(source: Store, target: Store) -> None:
    """Copy all objects of a storage, each of them small."""
    for name, _ in source.list(""):
        copy_bytes(target, name, read_bytes(source, name))


def _with_bucket(kind: str, server: str, endpoint: str) -> Cloud:
    """The server, in which we make a bucket of a name that is new."""
    cloud = Cloud(kind, server, endpoint, f"bench-{uuid4().hex}")
    if kind == S3:
        import boto3  # noqa: PLC0415 (takes its time)

        boto3.client("s3", region_name=_REGION, endpoint_url=endpoint).create_bucket(Bucket=cloud.bucket)
    else:
        body = json.dumps({"name": cloud.bucket}).encode()
        request = Request(f"{endpoint}/storage/v1/b?project=bench", body, {"Content-Type": "application/json"})
        urlopen(request).close()
    return cloud


@contextmanager
def _with_environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
