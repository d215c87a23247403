"""Buckets that do not keep their promise, and those at which we may create and do nothing else."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from prio_assets.errors import AccessDeniedError, ObjectConflictError, StorageError
from prio_assets.storage.base import PROBE, Store, check_creation, copy_bytes, may_be_lost
from prio_assets.storage.local import LocalStore
from tests.clouds import Cloud
from tests.servers.fault_proxy import Fault

READING, WRITING = "GET|HEAD", "PUT|POST"
CREATED = {"s3": "", "gcs": json.dumps({"name": PROBE, "generation": "1", "size": "0", "crc32c": "AAAAAA=="})}
"""What a server answers that has created the probe."""


@pytest.fixture
def url(cloud: Cloud) -> Iterator[str]:
    """A new bucket; the proxy forgets its faults afterwards."""
    yield cloud.create_bucket()
    cloud.proxy.set()


def denied(cloud: Cloud, url: str, methods: str) -> Store:
    """The bucket, where requests by these methods are not allowed."""
    cloud.proxy.set(Fault(**cloud.forbidden.__dict__ | {"method": methods, "times": -1}))
    return cloud.open_through_proxy(url)


def test_a_sound_bucket_is_tried_with_one_request_once_the_probe_is_there(cloud: Cloud, url: str) -> None:
    store = cloud.open_through_proxy(url)
    check_creation(store)
    assert cloud.objects(url) == {PROBE: b""}
    cloud.proxy.set()
    check_creation(store)
    assert len(cloud.proxy.requests()) == 1


def test_a_bucket_that_creates_an_object_twice_is_refused(cloud: Cloud, url: str) -> None:
    headers = {"ETag": '"0"', "Content-Type": "application/json"}
    cloud.proxy.set(Fault("answer", WRITING, times=-1, status=200, headers=headers, body=CREATED[cloud.kind]))
    bucket = url.rpartition("/")[2]
    with pytest.raises(StorageError, match=f"{bucket} creates {PROBE} though it is there.*conditional writes"):
        check_creation(cloud.open_through_proxy(url))


def test_a_directory_is_not_tried(tmp_path: Path) -> None:
    check_creation(LocalStore(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_probe_that_may_not_be_created_is_a_refused_access(cloud: Cloud, url: str) -> None:
    with pytest.raises(AccessDeniedError):
        check_creation(denied(cloud, url, WRITING))


def test_what_may_not_be_read_back_is_taken_for_ours_and_that_is_logged(
    cloud: Cloud, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.put(url, "one/two", b"ours")
    with caplog.at_level(logging.INFO):
        copy_bytes(denied(cloud, url, READING), "one/two", b"ours")
    (record,) = caplog.records
    assert "one/two is there, and is taken for ours" in record.getMessage()


def test_what_may_be_read_back_is_compared(cloud: Cloud, url: str) -> None:
    cloud.put(url, "one/two", b"another's")
    with pytest.raises(ObjectConflictError):
        copy_bytes(cloud.open(url), "one/two", b"ours")


def test_an_object_may_be_lost_where_it_is_not_or_where_we_may_not_look(cloud: Cloud, url: str) -> None:
    assert may_be_lost(cloud.open(url), "one/two")
    assert may_be_lost(denied(cloud, url, READING), "one/two")
    cloud.put(url, "one/two", b"")
    assert not may_be_lost(cloud.open(url), "one/two")
