"""S3 over TLS, for which the SDK builds requests of another form than without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prio_assets.errors import ObjectMissingError, StorageError
from prio_assets.storage import s3, s3_upload
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, read_bytes
from prio_assets.storage.urls import open_store
from tests.clouds import Cloud, Clouds
from tests.servers.certificates import write_certificate
from tests.servers.processes import run_server

PART = 5 << 20


@pytest.fixture
def cloud(clouds: Clouds) -> Cloud:
    return clouds["s3"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def endpoint(clouds: Clouds, certificate: tuple[Path, Path]) -> Iterator[str]:
    """The fault proxy, reached over TLS."""
    port = clouds["s3"].proxy.endpoint.rpartition(":")[2]
    with run_server("tests.servers.tls_forwarder", *map(str, certificate), port) as forwarder:
        yield forwarder.replace("http:", "https:")


@pytest.fixture
def store(
    cloud: Cloud, endpoint: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    s3.connect.cache_clear()
    yield open_store(cloud.create_bucket(), Access(endpoint=endpoint, attempts=2))
    s3.connect.cache_clear()


def test_a_checksum_comes_before_the_bytes(cloud: Cloud, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One behind them breaks the connection where a server refuses before it has read all, and its answer is lost."""
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    assert store.create("name", b"first")
    assert store.create("name", b"second") is False
    with store.write("small") as stream:
        stream.write(b"text")
    with store.write("great") as stream:
        stream.write(bytes(PART + 1))
    sent = [seen.headers for seen in cloud.proxy.requests() if seen.method == "PUT"]
    assert len(sent) == 5
    for headers in sent:
        assert {"x-amz-checksum-crc32", "content-length"} <= headers.keys()
        assert not {"x-amz-trailer", "transfer-encoding", "content-encoding"} & headers.keys()
    assert read_bytes(store, "name") == b"first"
    assert read_bytes(store, "small") == b"text"
    assert read_bytes(store, "great") == bytes(PART + 1)
    assert [name for name, _ in store.list("")] == ["great", "name", "small"]
    with pytest.raises(ObjectMissingError):
        store.open_read("other")


def test_a_certificate_that_is_not_trusted_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(StorageError, match=r"AWS_CA_BUNDLE; the connection may have broken, too: try again"):
        store.create("name", b"")
