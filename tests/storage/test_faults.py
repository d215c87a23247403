"""What a cloud does when it fails, between a store and its bucket: in the end all is done, or an error says what to do.

A proxy does the damage. Whatever happens, a look past it, straight at the bucket, must find nothing half-written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import repeat
from socket import socket
from typing import Any

import pytest

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError
from prio_assets.storage import gcs_upload, s3, s3_upload
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, copy_bytes, read_bytes
from prio_assets.storage.urls import open_store
from tests.clouds import Cloud, Clouds
from tests.servers.fault_proxy import Fault

ATTEMPTS = 3
OLD = b"what was there before" * 10
NEW = b"what is written now" * 20
LARGE = bytes(range(251)) * 25_000
"""More than is sent in one piece, now that pieces are small."""

GREAT = bytes(range(251)) * 12_000
"""More than what is read at once."""

REMEDY = "try again|try later|attempts"

LISTED = ["listed/1", "listed/2/a", "listed/3/b"]


@dataclass(frozen=True)
class Operation:
    """One operation on the object `name`, and what it gives; `written` is the object's content once it was done."""

    label: str
    name: str
    run: Callable[[Store], Any]
    result: Any
    written: bytes | None

    def __str__(self) -> str:
        return self.label


def _write(name: str, data: bytes) -> Callable[[Store], None]:
    def write(store: Store) -> None:
        with store.write(name) as stream:
            for start in range(0, len(data), 1 << 20):
                stream.write(data[start : start + (1 << 20)])

    return write


CREATE = Operation("create", "new/created", lambda store: store.create("new/created", NEW), True, NEW)
CREATE_AGAIN = Operation("create again", "old/taken", lambda store: store.create("old/taken", NEW), False, OLD)
WRITE = Operation("write", "new/written", _write("new/written", NEW), None, NEW)
REPLACE = Operation("replace", "old/replaced", _write("old/replaced", NEW), None, NEW)
WRITE_LARGE = Operation("write much", "new/large", _write("new/large", LARGE), None, LARGE)
READ = Operation("read", "old/read", lambda store: read_bytes(store, "old/read"), OLD, OLD)
DELETE = Operation("delete", "old/deleted", lambda store: store.delete("old/deleted"), None, None)
LIST = Operation("list", "listed/", lambda store: [name for name, _ in store.list("listed/")], LISTED, None)
FOLDERS = Operation("folders", "listed/", lambda store: list(store.folders("listed/")), ["2", "3"], None)

WRITING = [CREATE, CREATE_AGAIN, WRITE, REPLACE, DELETE]
READING = [READ, LIST, FOLDERS]
ALL = [*WRITING, *READING]


@dataclass(frozen=True)
class Bucket:
    """A bucket with some objects, reached through the proxy or straight."""

    cloud: Cloud
    url: str

    @property
    def store(self) -> Store:
        return self.through_proxy()

    def through_proxy(self, **access: Any) -> Store:
        return self.cloud.open_through_proxy(self.url, **({"attempts": ATTEMPTS, "connect_timeout": 5.0} | access))

    def objects(self) -> dict[str, bytes]:
        return self.cloud.objects(self.url)

    def set(self, *faults: Fault) -> None:
        self.cloud.proxy.set(*faults)

    def after(self, operation: Operation, before: dict[str, bytes]) -> dict[str, bytes]:
        """The objects that there are once the operation was done."""
        if operation in READING:
            return before
        rest = {name: data for name, data in before.items() if name != operation.name}
        return rest if operation.written is None else rest | {operation.name: operation.written}

    def names_itself(self, operation: Operation, error: BaseException) -> bool:
        """Whether an error names the object in its bucket."""
        return f"{self.url}/{operation.name}" in str(error) and "\n" not in str(error)


@pytest.fixture
def bucket(cloud: Cloud) -> Bucket:
    url = cloud.create_bucket()
    for name in ("old/taken", "old/replaced", "old/read", "old/deleted", *LISTED):
        cloud.put(url, name, OLD)
    return Bucket(cloud, url)


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs wait between attempts as they are made to; here nobody has to."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr("google.api_core.retry.retry_unary.exponential_sleep_generator", lambda *_, **__: repeat(0))
    monkeypatch.setattr("prio_assets.storage.streams.FIRST_PAUSE", 0)


@pytest.fixture(autouse=True)
def _new_clients() -> None:
    """Clients of S3 make no more attempts at all once too many failed, so each test has one of its own."""
    s3.connect.cache_clear()


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in parts as small as the servers allow."""
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", 1 << 21)


FAULTS = {
    "throttled": lambda cloud: cloud.slow_down,
    "failing": lambda cloud: cloud.internal_error,
    "reset": lambda cloud: Fault("reset"),
    "lost": lambda cloud: Fault("lose"),
    "cut off": lambda cloud: Fault("cut_request", method="PUT|POST", size=7),
    "reset within": lambda cloud: Fault("reset_body", size=7),
    "truncated": lambda cloud: Fault("truncate", size=7),
}

CASES = [
    pytest.param(operation, kind, id=f"{operation}-{kind}")
    for operation in ALL
    for kind in FAULTS
    # Not every request has a body, nor has every answer.
    if not (kind == "cut off" and operation in (DELETE, *READING))
    if not (kind in ("reset within", "truncated") and operation in WRITING)
]


@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_a_fault_that_passes_is_not_noticed(bucket: Bucket, operation: Operation, kind: str) -> None:
    before = bucket.objects()
    bucket.set(FAULTS[kind](bucket.cloud))
    assert operation.run(bucket.store) == operation.result
    assert bucket.cloud.proxy.applied() == 1
    assert bucket.objects() == bucket.after(operation, before)


@pytest.mark.parametrize(("operation", "kind"), CASES)
def test_a_fault_that_stays_is_told_and_a_second_try_completes_it(
    bucket: Bucket, operation: Operation, kind: str
) -> None:
    before = bucket.objects()
    after = bucket.after(operation, before)
    bucket.set(replace(FAULTS[kind](bucket.cloud), times=-1, size=0))
    with pytest.raises(StorageError) as raised:
        operation.run(bucket.store)
    assert bucket.names_itself(operation, raised.value)
    assert re.search(REMEDY, str(raised.value))
    assert not isinstance(raised.value, ObjectMissingError | AccessDeniedError)
    assert bucket.objects() in (before, after)  # the answer was lost, or it was never done: nothing in between
    assert bucket.cloud.proxy.applied() == ATTEMPTS
    bucket.set()
    operation.run(bucket.store)
    assert bucket.objects() == after


def test_a_copy_whose_answers_are_all_lost_is_completed_by_the_next(bucket: Bucket) -> None:
    bucket.set(Fault("lose", times=-1))
    with pytest.raises(StorageError):
        copy_bytes(bucket.store, "new/copied", NEW)
    assert bucket.objects()["new/copied"] == NEW
    bucket.set()
    copy_bytes(bucket.store, "new/copied", NEW)


def test_a_name_that_another_took_before_our_repetition_is_not_ours(bucket: Bucket) -> None:
    """The first answer is lost like one to a creation that was ours, but the bytes that are there are another's."""
    bucket.set(Fault("lose"))
    assert bucket.store.create("old/taken", NEW) is False
    assert bucket.objects()["old/taken"] == OLD


@pytest.mark.parametrize("kind", ["reset_body", "truncate", "stall"])
def test_a_great_object_is_read_on_from_where_its_connection_broke(bucket: Bucket, kind: str) -> None:
    bucket.cloud.put(bucket.url, "old/great", GREAT)
    bucket.set(*(Fault(kind, size=size, skip=number) for number, size in enumerate((1_000_000, 3, 700_001))))
    with bucket.through_proxy(read_timeout=0.3, attempts=5).open_read("old/great") as stream:
        assert stream.read(10) == GREAT[:10]
        assert stream.read() == GREAT[10:]
    assert bucket.cloud.proxy.applied() == 3
    assert len(bucket.cloud.proxy.requests()) == 4


def test_a_great_object_that_gives_no_more_bytes_is_an_error(bucket: Bucket) -> None:
    bucket.cloud.put(bucket.url, "old/great", GREAT)
    bucket.set(Fault("truncate", size=300_000), Fault("truncate", size=0, times=-1))
    with bucket.store.open_read("old/great") as stream, pytest.raises(StorageError, match=REMEDY) as raised:
        stream.read()
    assert f"{bucket.url}/old/great" in str(raised.value)


def test_what_replaced_an_object_is_not_taken_for_its_rest(bucket: Bucket) -> None:
    bucket.cloud.put(bucket.url, "old/great", GREAT)
    bucket.set(Fault("truncate", size=1_000_000))
    with bucket.store.open_read("old/great") as stream:
        assert stream.read(10) == GREAT[:10]
        bucket.cloud.put(bucket.url, "old/great", GREAT[::-1])
        with pytest.raises(StorageError, match="old/great"):
            stream.read()


def test_a_slow_answer_is_waited_for_as_long_as_bytes_come(bucket: Bucket) -> None:
    """All of it takes longer than the timeout, each piece does not."""
    bucket.cloud.put(bucket.url, "old/great", GREAT)
    bucket.set(Fault("slow", size=len(GREAT) // 6 + 1, delay=0.2))
    assert read_bytes(bucket.through_proxy(read_timeout=1.0), "old/great") == GREAT
    assert len(bucket.cloud.proxy.requests()) == 1


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_an_answer_that_never_comes_is_not_waited_for(bucket: Bucket, operation: Operation) -> None:
    before = bucket.objects()
    bucket.set(Fault("silence", times=-1))
    with pytest.raises(StorageError, match="read_timeout") as raised:
        operation.run(bucket.through_proxy(read_timeout=0.2, attempts=2))
    assert bucket.names_itself(operation, raised.value)
    assert bucket.objects() in (before, bucket.after(operation, before))


@pytest.mark.parametrize("place", [0, len(OLD) // 2, len(OLD) - 1])
def test_a_byte_that_is_altered_on_its_way_is_seen(bucket: Bucket, place: int) -> None:
    bucket.set(Fault("alter", size=place, times=-1))
    with pytest.raises(StorageError, match=r"old/read.*checksum") as raised:
        read_bytes(bucket.store, "old/read")
    assert bucket.names_itself(READ, raised.value)


def test_a_byte_of_a_great_object_that_is_altered_on_its_way_is_seen(bucket: Bucket) -> None:
    bucket.cloud.put(bucket.url, "old/great", GREAT)
    bucket.set(Fault("truncate", size=1_000_000), Fault("alter", size=1_000_000, skip=1))
    with bucket.store.open_read("old/great") as stream, pytest.raises(StorageError, match=r"old/great.*checksum"):
        stream.read()


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_credentials_that_expired_are_told(bucket: Bucket, operation: Operation) -> None:
    before = bucket.objects()
    bucket.set(replace(bucket.cloud.expired, times=-1))
    with pytest.raises(StorageError, match=r"expired|credentials") as raised:
        operation.run(bucket.store)
    assert bucket.names_itself(operation, raised.value)
    assert bucket.objects() == before


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_a_refusal_names_what_is_to_be_granted(bucket: Bucket, operation: Operation) -> None:
    before = bucket.objects()
    bucket.set(replace(bucket.cloud.forbidden, times=-1))
    with pytest.raises(AccessDeniedError, match=r"s3:\w+|storage\.objects\.\w+") as raised:
        operation.run(bucket.store)
    assert bucket.names_itself(operation, raised.value)
    assert bucket.objects() == before
    assert bucket.cloud.proxy.applied() == 1


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_a_bucket_that_is_not_there_is_no_missing_object(cloud: Cloud, operation: Operation) -> None:
    url = cloud.create_bucket() + "-not"
    with pytest.raises(StorageError, match=re.escape(url)) as raised:
        operation.run(cloud.open(url))
    assert not isinstance(raised.value, ObjectMissingError)


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_a_server_that_is_not_there_is_told(cloud: Cloud, operation: Operation) -> None:
    url = cloud.create_bucket()
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        access = Access(endpoint=f"http://127.0.0.1:{free.getsockname()[1]}", attempts=2)
        with pytest.raises(StorageError, match="endpoint") as raised:
            operation.run(open_store(url, access))
    assert f"{url}/{operation.name}" in str(raised.value)


def _steps_of_a_large_upload(bucket: Bucket) -> int:
    bucket.set()
    WRITE_LARGE.run(bucket.store)
    bucket.store.delete(WRITE_LARGE.name)
    return len(bucket.cloud.proxy.requests()) - 1


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("kind", ["failing", "reset", "lost"])
def test_a_large_upload_that_fails_at_any_step_leaves_nothing(bucket: Bucket, kind: str) -> None:
    before = bucket.objects()
    steps = _steps_of_a_large_upload(bucket)
    assert steps > 2
    for step in range(steps):
        bucket.set(replace(FAULTS[kind](bucket.cloud), method="PUT|POST", skip=step, times=ATTEMPTS))
        with pytest.raises(StorageError, match=REMEDY) as raised:
            WRITE_LARGE.run(bucket.store)
        assert bucket.names_itself(WRITE_LARGE, raised.value)
        whole = kind == "lost" and step == steps - 1  # all was done, and nobody told us
        assert bucket.objects() == (bucket.after(WRITE_LARGE, before) if whole else before)
        if kind != "lost":  # of an upload whose beginning nobody told us, we know nothing to abort
            assert bucket.cloud.unfinished_uploads(bucket.url) == []
    bucket.set()
    WRITE_LARGE.run(bucket.store)
    assert bucket.objects() == bucket.after(WRITE_LARGE, before)


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("kind", ["throttled", "failing", "reset", "lost", "cut off"])
def test_a_large_upload_survives_a_fault_at_every_step(bucket: Bucket, kind: str) -> None:
    before = bucket.objects()
    steps = _steps_of_a_large_upload(bucket)
    if kind == "lost" and bucket.cloud.kind == "gcs":
        steps = 1  # of the chunks, the emulator takes each that comes twice for two
    fault = replace(FAULTS[kind](bucket.cloud), method="PUT|POST")
    bucket.set(*(replace(fault, skip=2 * step) for step in range(steps)))
    WRITE_LARGE.run(bucket.store)
    assert bucket.cloud.proxy.applied() == steps
    assert bucket.objects() == bucket.after(WRITE_LARGE, before)
    if kind != "lost":
        assert bucket.cloud.unfinished_uploads(bucket.url) == []


@pytest.mark.usefixtures("_small_parts")
def test_a_chunk_that_the_server_took_twice_becomes_no_object(clouds: Clouds) -> None:
    cloud = clouds["gcs"]
    bucket = Bucket(cloud, cloud.create_bucket())
    bucket.set(Fault("lose", method="PUT"))
    with pytest.raises(StorageError, match=r"checksum.*try again") as raised:
        WRITE_LARGE.run(bucket.store)
    assert bucket.names_itself(WRITE_LARGE, raised.value)
    assert bucket.objects() == {}
    WRITE_LARGE.run(bucket.store)
    assert bucket.objects() == {WRITE_LARGE.name: LARGE}


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("failure", [KeyError, KeyboardInterrupt])
def test_a_large_upload_is_invisible_until_its_end_and_gone_if_abandoned(
    bucket: Bucket, failure: type[BaseException]
) -> None:
    before = bucket.objects()
    with pytest.raises(failure), bucket.store.write("old/replaced") as stream:
        stream.write(LARGE)
        assert len(bucket.cloud.proxy.requests()) >= 2  # a part was sent
        assert bucket.objects() == before
        raise failure
    assert bucket.objects() == before
    assert bucket.cloud.unfinished_uploads(bucket.url) == []
    assert bucket.cloud.proxy.requests()[-1].method == "DELETE"


@pytest.mark.usefixtures("_small_parts")
def test_an_abort_that_fails_does_not_hide_why(bucket: Bucket) -> None:
    before = bucket.objects()
    with pytest.raises(ZeroDivisionError), bucket.store.write("old/replaced") as stream:
        stream.write(LARGE)
        bucket.set(Fault("reset", times=-1))
        raise ZeroDivisionError
    assert bucket.objects() == before


def test_what_is_listed_late_is_listed_at_last(bucket: Bucket) -> None:
    bucket.set(Fault("hide", hidden="listed/2", times=2))
    listed = [[name for name, _ in bucket.store.list("listed/")] for _ in range(3)]
    assert listed == [["listed/1", "listed/3/b"]] * 2 + [LISTED]
