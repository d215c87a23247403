"""What only a bucket of Google Cloud Storage does; the contract and the faults have suites of their own."""

import gzip
import json
from itertools import repeat
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from prio_assets.errors import StorageError
from prio_assets.storage import gcs_upload
from prio_assets.storage.access import Access
from prio_assets.storage.base import read_bytes
from prio_assets.storage.urls import open_store
from tests.clouds import Clouds, GcsCloud
from tests.servers.fault_proxy import Fault


@pytest.fixture
def cloud(clouds: Clouds) -> GcsCloud:
    cloud = clouds["gcs"]
    assert isinstance(cloud, GcsCloud)
    return cloud


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_unary.exponential_sleep_generator", lambda *_, **__: repeat(0))
    monkeypatch.setattr("prio_assets.storage.streams.FIRST_PAUSE", 0)


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_exactly_so_many_attempts_are_made_as_are_set(cloud: GcsCloud, attempts: int) -> None:
    store = cloud.open_through_proxy(cloud.create_bucket(), attempts=attempts)
    for operation in (lambda: store.create("a", b"1"), lambda: list(store.list("")), lambda: store.open_read("a")):
        cloud.proxy.set(Fault("answer", status=503, times=-1))
        with pytest.raises(StorageError, match=f"{attempts} times in a row"):
            operation()
        assert len(cloud.proxy.requests()) == attempts


def test_one_operation_is_one_request(cloud: GcsCloud) -> None:
    store = cloud.open_through_proxy(cloud.create_bucket())
    store.create("a", b"1")
    with store.write("a") as stream:
        stream.write(b"2")
    assert read_bytes(store, "a") == b"2"
    assert list(store.list("")) == [("a", 1)]
    store.delete("a")
    assert [seen.method for seen in cloud.proxy.requests()] == ["POST", "POST", "GET", "GET", "DELETE"]


def test_an_object_that_is_stored_compressed_is_read_as_it_is_stored(cloud: GcsCloud) -> None:
    url = cloud.create_bucket()
    stored = gzip.compress(b"text" * 1000)
    metadata = json.dumps({"name": "packed", "contentEncoding": "gzip"}).encode()
    parts = [b"Content-Type: application/json\r\n\r\n" + metadata, b"Content-Type: text/plain\r\n\r\n" + stored]
    body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + b"--B--\r\n"
    target = f"{cloud.endpoint}/upload/storage/v1/b/{url.removeprefix('gs://')}/o?uploadType=multipart"
    urlopen(Request(target, body, {"Content-Type": "multipart/related; boundary=B"})).close()
    assert read_bytes(cloud.open(url), "packed") == stored


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 3 << 18])
def test_chunks_make_up_the_object(cloud: GcsCloud, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", 1 << 18)
    url = cloud.create_bucket()
    data = bytes(range(251)) * (size // 251 + 1)
    with cloud.open_through_proxy(url).write("large") as stream:
        stream.write(data[:100])
        stream.write(data[100:size])
    assert cloud.objects(url) == {"large": data[:size]}
    chunks = [seen for seen in cloud.proxy.requests() if seen.method == "PUT"]
    assert len(chunks) == (0 if size == 1 << 18 else -(-size // (1 << 18)))


def test_an_upload_that_arrives_altered_is_an_error_and_is_deleted(
    cloud: GcsCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", 1 << 18)
    url = cloud.create_bucket()
    cloud.proxy.set(Fault("lose", method="PUT"))  # this server, unlike the cloud, appends what it gets a second time
    with pytest.raises(StorageError, match="large"), cloud.open_through_proxy(url).write("large") as stream:
        stream.write(bytes(3 << 18))
    assert cloud.objects(url) == {}


def test_the_address_of_an_upload_is_in_no_message(cloud: GcsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", 1 << 18)
    store = cloud.open_through_proxy(cloud.create_bucket(), attempts=2)
    cloud.proxy.set(Fault("answer", method="PUT", status=503, times=-1))
    with pytest.raises(StorageError) as raised, store.write("large") as stream:
        stream.write(bytes(3 << 18))
    assert "upload_id" not in f"{raised.value!r}{raised.value.__cause__!r}"
    assert raised.value.__suppress_context__


def test_without_credentials_it_is_told_how_to_have_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    store = open_store("gs://bucket", Access(endpoint="https://127.0.0.1:1"))
    with pytest.raises(StorageError, match=r"gs://bucket/a: .*missing\.json.*GOOGLE_APPLICATION_CREDENTIALS"):
        store.open_read("a")


def test_a_store_shows_its_url_only(cloud: GcsCloud) -> None:
    assert repr(cloud.open("gs://bucket/some/folder")) == "gs://bucket/some/folder/"
