"""What is said of a bucket of Google Cloud Storage that does not answer as it should."""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, read_bytes
from prio_assets.storage.gcs import GcsStore, connect
from prio_assets.storage.gcs_errors import is_transient
from prio_assets.storage.urls import open_store
from tests.clouds import Clouds, GcsCloud, gcs_error
from tests.servers.certificates import write_certificate
from tests.servers.fault_proxy import Fault
from tests.servers.processes import run_server

ATTEMPTS = 3
NOT_FOUND = gcs_error(404, "notFound", "Not Found")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_unary.exponential_sleep_generator", lambda *_, **__: repeat(0))
    monkeypatch.setattr("prio_assets.storage.streams.FIRST_PAUSE", 0)
    monkeypatch.setattr("prio_assets.storage.gcs_upload.CHUNK_BYTES", 1 << 18)


@pytest.fixture
def cloud(clouds: Clouds) -> GcsCloud:
    cloud = clouds["gcs"]
    assert isinstance(cloud, GcsCloud)
    return cloud


@pytest.fixture
def url(cloud: GcsCloud) -> str:
    return cloud.create_bucket()


@pytest.fixture
def store(cloud: GcsCloud, url: str) -> Store:
    return cloud.open_through_proxy(url, attempts=ATTEMPTS)


LOOKING: list[Callable[[Store], Any]] = [lambda store: store.delete("name"), lambda store: store.open_read("name")]


@pytest.mark.parametrize("operation", LOOKING)
def test_whether_the_bucket_is_there_is_asked_as_often_as_anything(
    cloud: GcsCloud, url: str, store: Store, operation: Callable[[Store], Any]
) -> None:
    cloud.proxy.set(NOT_FOUND, Fault("answer", method="GET", target="[?]", status=503, times=-1, skip=0))
    with pytest.raises(StorageError, match=f"{url}/name: .* {ATTEMPTS} times in a row") as raised:
        operation(store)
    assert not isinstance(raised.value, ObjectMissingError)
    assert len(cloud.proxy.requests()) == 1 + ATTEMPTS


def test_an_object_that_google_calls_missing_needs_no_second_request(cloud: GcsCloud, store: Store) -> None:
    cloud.proxy.set(Fault(**gcs_error(404, "notFound", "No such object: bucket/name").__dict__ | {"times": -1}))
    with pytest.raises(ObjectMissingError):
        store.open_read("name")
    store.delete("name")
    assert len(cloud.proxy.requests()) == 2


@pytest.mark.parametrize(
    "body", ["[]", "3", '{"items": 3}', '{"items": [3]}', '{"items": [{"name": "a"}]}', "<html>", "", '{"prefixes": 3}']
)
@pytest.mark.parametrize("listing", [lambda store: list(store.list("")), lambda store: list(store.folders(""))])
def test_a_listing_without_sense_is_told_at_once(
    cloud: GcsCloud, store: Store, body: str, listing: Callable[[Store], list[Any]]
) -> None:
    cloud.proxy.set(Fault("answer", status=200, body=body, headers={"Content-Type": "application/json"}, times=-1))
    try:
        assert listing(store) == []  # what only the other kind of listing looks at
        assert body.startswith("{")
    except StorageError as error:
        assert f"the answer of {cloud.proxy.endpoint} makes no sense" in str(error)
    assert len(cloud.proxy.requests()) == 1


def write_much(store: Store) -> None:
    with store.write("name") as stream:
        stream.write(bytes(1 << 19))


@pytest.mark.parametrize("body", ["[]", "3", '{"error": "text"}', "<html>"])
@pytest.mark.parametrize("status", [400, 403, 503])
@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("GET", lambda store: store.open_read("name")),
        ("GET", lambda store: list(store.list(""))),
        ("DELETE", lambda store: store.delete("name")),
        ("POST", lambda store: store.create("name", b"")),
        ("POST", write_much),
        ("PUT", write_much),
    ],
)
def test_a_refusal_in_any_shape_is_told(
    cloud: GcsCloud, store: Store, method: str, status: int, body: str, operation: Callable[[Store], Any]
) -> None:
    cloud.proxy.set(Fault("answer", method=method, status=status, body=body, times=-1))
    with pytest.raises(StorageError, match="gs://"):
        operation(store)


def test_what_is_done_with_a_listing_is_not_the_servers_fault(cloud: GcsCloud, url: str, store: Store) -> None:
    cloud.put(url, "name", b"")
    with pytest.raises(TypeError):
        for _ in store.list(""):
            raise TypeError


def test_the_size_is_that_of_what_is_stored(cloud: GcsCloud, store: Store) -> None:
    headers = {"x-goog-generation": "1", "x-goog-stored-content-length": "100"}
    cloud.proxy.set(Fault("answer", status=200, body="text", headers=headers))
    cloud.proxy.set(
        Fault("answer", status=200, body="text", headers=headers), Fault("answer", status=206, times=-1, skip=0)
    )
    with pytest.raises(StorageError, match="at byte 4 of 100"):
        read_bytes(store, "name")


def test_the_rest_is_of_the_generation_that_was_begun(cloud: GcsCloud, url: str, store: Store) -> None:
    great = bytes(1 << 20)
    cloud.put(url, "name", great)
    cloud.proxy.set(Fault("truncate", size=1 << 19))
    with store.open_read("name") as stream:
        stream.read(10)
        cloud.put(url, "name", great)
        with pytest.raises(StorageError, match=f"{url}/name was replaced or deleted while it was read: try again"):
            stream.read()


def test_a_server_that_refuses_connections_needs_no_more_time() -> None:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(StorageError, match="ConnectionRefusedError") as raised:
            open_store("gs://bucket", Access(endpoint=endpoint, attempts=2)).open_read("name")
    assert f"gs://bucket/name: {endpoint} cannot be reached" in str(raised.value)
    assert "timeout" not in str(raised.value)


def test_a_connection_that_breaks_needs_no_more_time(cloud: GcsCloud, store: Store) -> None:
    cloud.proxy.set(Fault("reset", times=-1))
    with pytest.raises(StorageError, match=f"the connection to {cloud.proxy.endpoint} broke") as raised:
        store.open_read("name")
    assert "timeout" not in str(raised.value)


def test_the_server_that_the_environment_names_is_told(
    cloud: GcsCloud, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.proxy.endpoint)
    cloud.proxy.set(gcs_error(401, "authError", "Invalid Credentials"))
    with pytest.raises(StorageError, match=f"none are sent to {cloud.proxy.endpoint}: use https") as raised:
        open_store(url).open_read("name")
    assert not isinstance(raised.value, AccessDeniedError)  # which tells of what we may, and nobody asked that
    cloud.proxy.set(Fault("reset", times=-1))
    with pytest.raises(StorageError, match=f"{cloud.proxy.endpoint} broke"):
        open_store(url).open_read("name")


def test_another_server_in_the_environment_is_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    first = connect(Access())
    assert connect(Access()) is first
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:2/")
    assert connect(Access()).api_endpoint == "http://127.0.0.1:2"
    assert connect(Access(endpoint="http://127.0.0.1:3")).api_endpoint == "http://127.0.0.1:3"


def test_a_server_in_the_environment_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    with pytest.raises(StorageError, match="STORAGE_EMULATOR_HOST is not the address of a server; write https://host"):
        open_store("gs://bucket").create("name", b"")


def over_tls(endpoint: str) -> GcsStore:
    """The store over TLS that nobody's credentials are needed for."""
    client = Client(project=None, credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    return GcsStore("bucket", "", lambda: client, Access(attempts=ATTEMPTS))


def test_a_server_without_tls_is_told(cloud: GcsCloud) -> None:
    endpoint = cloud.proxy.endpoint.replace("http:", "https:")
    with pytest.raises(StorageError, match=f"gs://bucket/name: no secure connection to {endpoint}.*check the endpoint"):
        over_tls(endpoint).open_read("name")


def test_a_certificate_that_is_not_trusted_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = write_certificate(tmp_path)
    with run_server("tests.servers.google_server", str(certificate), str(key)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(StorageError, match=r"storage\.googleapis\.com.*certificate.*REQUESTS_CA_BUNDLE") as raised:
            list(over_tls("https://storage.googleapis.com").list(""))
    assert "times in a row" not in str(raised.value)
    assert isinstance(raised.value.__cause__, Exception)
    assert not is_transient(raised.value.__cause__)
