"""The stores that the contract holds for."""

from pathlib import Path

import pytest

from prio_assets.storage.base import Store
from prio_assets.storage.local import LocalStore
from tests.clouds import Cloud, Clouds

STORES = ("local", "s3", "s3 with a prefix", "gcs", "gcs with a prefix")
NEIGHBOURS = ("one", "one/two", "one/two.batch", "one/twofold/a/b", "one/tw/a", "zzz")
"""Keys in a bucket that the store of the prefix one/two has nothing to do with."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    kind, _, prefix = request.param.partition(" ")
    if kind == "local":
        return LocalStore(tmp_path)
    clouds: Clouds = request.getfixturevalue("clouds")  # not an argument, so that the local ones start no server
    return cloud_store(clouds[kind], prefix=bool(prefix))


def cloud_store(cloud: Cloud, *, prefix: bool) -> Store:
    """A store that is a new bucket, or a folder in one with other objects around."""
    url = cloud.create_bucket()
    if not prefix:
        return cloud.open(url)
    for key in NEIGHBOURS:
        cloud.put(url, key, b"a neighbour")
    return cloud.open(f"{url}/one/two")
