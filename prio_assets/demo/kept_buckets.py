"""The buckets of an S3 that keeps everything in memory, on disk while its server doesn't run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj, rmtree

from prio_assets.storage.access import Access
from prio_assets.storage.base import Store
from prio_assets.storage.local import LocalStore
from prio_assets.storage.urls import SDK_CLIENTS, open_store


@contextmanager
def keep_buckets(directory: Path, region: str, access: Access) -> Iterator[None]:
    """Make the server's buckets of the folders of `directory`, and at the end the folders of the buckets."""
    client = SDK_CLIENTS.s3(region, access)
    directory.mkdir(exist_ok=True)
    for folder in sorted(directory.iterdir()):
        client.create_bucket(Bucket=folder.name, CreateBucketConfiguration={"LocationConstraint": region})
        copy_all(LocalStore(folder), open_store(f"s3://{region}/{folder.name}", access))
    try:
        yield
    finally:
        new = directory.with_name(f"{directory.name}-new")  # so that whoever interrupts this loses nothing
        rmtree(new, ignore_errors=True)
        for bucket in client.list_buckets()["Buckets"]:
            folder = new / bucket["Name"]
            folder.mkdir(parents=True)
            copy_all(open_store(f"s3://{region}/{folder.name}", access), LocalStore(folder))
        rmtree(directory)
        new.rename(directory)


def copy_all(source: Store, target: Store) -> None:
    """Copy every object."""
    for name, _ in source.list(""):
        with source.open_read(name) as reading, target.write(name) as writing:
            copyfileobj(reading, writing)
