"""The benchmarks over the clouds' emulators: what is counted is what was sent, and what is measured is whole."""

import http.client
import json
import socket
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.cloud_window import measure_cloud_window
from benchmarks.clouds import GCS, S3, emulated
from benchmarks.datasets import Dataset
from benchmarks.distance import at_distance
from benchmarks.great_batch import repeated_packets
from benchmarks.memory import can_take, measure_cloud_memory
from benchmarks.placed import describe_objects
from benchmarks.sizes import FEW_BINS, FULL, SMALL
from prio_assets.errors import StorageError
from prio_assets.storage.base import read_bytes
from tests.processor.test_requests import LIST, SUM, VALIDATE

ROOT = Path(__file__).parents[2]
DELAY = 0.01


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks keep their data below the directory in which they run, and start processes that do, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / ".bench").mkdir()


def test_a_relay_counts_requests_round_trips_and_bytes_and_delays_them(tmp_path: Path) -> None:
    with emulated(GCS, tmp_path / "server") as cloud, at_distance(cloud.endpoint, DELAY) as server:
        address = urlsplit(server.endpoint)
        connection = http.client.HTTPConnection(address.hostname, address.port)
        began, received = time.perf_counter(), 0
        for method, target, body in [
            ("GET", f"/storage/v1/b/{cloud.bucket}/o?prefix=a", None),
            ("POST", f"/upload/storage/v1/b/{cloud.bucket}/o?uploadType=media&name=a", b"x" * 300_000),
            ("GET", f"/storage/v1/b/{cloud.bucket}/o/a?alt=media", None),
        ]:
            connection.request(method, target, body)
            received += len(connection.getresponse().read())
        counted = server.take()
        assert time.perf_counter() - began >= 3 * DELAY
        assert counted.requests == {"LIST": 1, "POST": 1, "GET": 1}
        assert counted.round_trips == 3
        assert 0 < counted.sent - 300_000 < 1_000
        assert 0 < counted.received - received < 2_000
        assert server.take().round_trips == 0


def test_a_body_that_waits_for_the_servers_leave_is_a_round_trip_more(tmp_path: Path) -> None:
    with emulated(GCS, tmp_path / "server") as cloud, at_distance(cloud.endpoint, 0.0) as server:
        address = urlsplit(server.endpoint)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(
                f"POST /upload/storage/v1/b/{cloud.bucket}/o?uploadType=media&name=a HTTP/1.1\r\n"
                "Host: here\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"bytes")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        counted = server.take()
        assert (counted.requests, counted.round_trips) == ({"POST": 1}, 2)


def test_a_placed_file_is_an_object_with_its_checksum(tmp_path: Path) -> None:
    data = b"bytes " * 20_000
    with emulated(GCS, tmp_path / "server") as cloud:
        folder = tmp_path / "server" / cloud.bucket / "folder"
        folder.mkdir()
        (folder / "object").write_bytes(data)
        describe_objects(folder.parent)
        store = cloud.open("folder")
        assert list(store.list("")) == [("object", len(data))]
        assert read_bytes(store, "object") == data
        with (folder / "object").open("r+b") as stream:
            stream.write(b"other")
        with pytest.raises(StorageError, match="checksum"):
            read_bytes(store, "object")


@pytest.mark.parametrize("cloud", [S3, GCS])
def test_a_batch_is_uploaded_and_taken_in(cloud: str) -> None:
    repeated_packets(FEW_BINS).make()
    uploaded, taken_in = measure_cloud_memory(SMALL, cloud, FEW_BINS, 1, None)
    assert uploaded.name.startswith("upload to ")
    assert taken_in.name.startswith("intake from and to ")
    assert 0.9 < uploaded.input_megabytes == taken_in.input_megabytes < 1.1
    assert max(uploaded.peak_megabytes, taken_in.peak_megabytes) < 500


def test_a_batch_that_is_too_great_for_an_upload_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.memory.LARGEST_UPLOAD", {S3: 0, GCS: 0})
    repeated_packets(FEW_BINS).make()
    (taken_in,) = measure_cloud_memory(SMALL, GCS, FEW_BINS, 1, None)
    assert taken_in.name.startswith("intake from and to ")


def test_a_file_of_gigabytes_goes_to_another_server_than_moto() -> None:
    assert [megabytes for _, megabytes in FULL.cloud_files if not can_take(S3, megabytes, None)] == [8_000]
    assert all(can_take(S3, megabytes, "http://a-server") for _, megabytes in FULL.cloud_files)


def test_requests_of_a_batch_are_those_that_its_stores_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.cloud_window.DISTANCE", 0.0)
    few = Dataset(bins=3, packets=2), Dataset(bins=3, packets=2, batches=3)
    for dataset in few:
        dataset.make()
    monkeypatch.setattr(type(SMALL), "cloud_datasets", few)
    found = {(each.storage, each.step): each for each in measure_cloud_window(SMALL)}
    for step, expected in {"intake": VALIDATE, "list": LIST, "sum": SUM, "a sensor's look": {}}.items():
        operations: Counter[str] = Counter()
        for name, times in expected.items():
            operations[name.split()[0]] += times
        each = found["moto's server", step]
        assert each.reads_of_batch == operations["read"]
        assert each.writes_of_batch == operations["create"]
        assert each.listings_of_batch == operations["list"]
        assert found["fake-gcs-server", step].reads_of_batch == operations["read"]
        assert found["directories", step].round_trips is None
    json.dumps([vars(each) for each in found.values()])
