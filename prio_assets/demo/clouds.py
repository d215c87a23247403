"""The servers that play the clouds of a demo, while it runs and while somebody looks at it afterwards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from prio_assets.configuration import Configuration
from prio_assets.demo.emulators import run_gcs, run_s3
from prio_assets.demo.kept_buckets import keep_buckets
from prio_assets.demo.storages import CLOUDS, REGION, Choice, Cloud, Storages
from prio_assets.storage.access import Access
from prio_assets.storage.urls import Bucket


@contextmanager
def new_storages(choice: Choice, directory: Path) -> Iterator[Storages]:
    """Run the servers that the choice takes; what they have is kept below `directory`."""
    clouds = CLOUDS[choice]
    with run_clouds(dict.fromkeys(clouds.values(), 0), directory) as endpoints:
        yield Storages(clouds, endpoints)


@contextmanager
def run_again(configuration: Configuration, directory: Path) -> Iterator[None]:
    """Run the servers of a demo that has ended, where its configuration file says, with what was kept."""
    places = [storage.place for _, storage in configuration.storages()]
    ports = {
        Cloud.GCS if place.region is None else Cloud.S3: urlsplit(place.endpoint).port or 0
        for place in places
        if isinstance(place, Bucket) and place.endpoint
    }
    with run_clouds(ports, directory):
        yield


@contextmanager
def run_clouds(ports: Mapping[Cloud, int], directory: Path) -> Iterator[Mapping[Cloud, str]]:
    """Run the servers of these clouds at these ports, with what their buckets held; it is kept below `directory`.

    Meanwhile our environment, and that of our processes, holds their credentials and no others.
    """
    with ExitStack() as stack:
        endpoints = {}
        if ports:
            stack.enter_context(credentials_of_nobody(directory))
        if Cloud.S3 in ports:
            emulator = stack.enter_context(run_s3(directory / "s3", ports[Cloud.S3]))
            endpoints[Cloud.S3] = emulator.endpoint
            stack.enter_context(keep_buckets(directory / "s3" / "buckets", REGION, Access(endpoint=emulator.endpoint)))
        if Cloud.GCS in ports:
            endpoints[Cloud.GCS] = stack.enter_context(run_gcs(directory / "gcs", ports[Cloud.GCS])).endpoint
        yield endpoints


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG", "CLOUDSDK_CONFIG")
OF_CLOUDS = ("AWS_", "BOTO", "GOOGLE_", "GCLOUD_", "CLOUDSDK_", "STORAGE_EMULATOR_HOST")


@contextmanager
def credentials_of_nobody(directory: Path) -> Iterator[None]:
    """Until the block ends, have our environment and those of our processes hold the servers' credentials only.

    What the user has configured for the clouds' SDKs is neither used nor touched.
    """
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(OF_CLOUDS)]:
        del os.environ[name]
    os.environ.update(CREDENTIALS)
    os.environ.update({name: str(directory / "no-such-file") for name in FILES})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
