"""The stream over an object, against bodies that break in every way."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from prio_assets.errors import StorageError
from prio_assets.storage import streams
from prio_assets.storage.streams import SMALL_BYTES, Checksum, open_stream

LARGE = bytes(range(256)) * 1024
SMALL = b"text" * 1000


class BrokenError(Exception):
    """The connection broke."""


@dataclass
class Source:
    """An object whose n-th answer ends after `limits[n]` bytes, with an exception or too early."""

    data: bytes
    limits: list[int]
    with_exception: bool = True
    offsets: list[int] = field(default_factory=list)
    closed: int = 0

    def open(self, offset: int) -> "Answer":
        self.offsets.append(offset)
        limit = self.limits.pop(0) if self.limits else len(self.data)
        return Answer(self, io.BytesIO(self.data[offset : offset + limit]))


@dataclass
class Answer:
    source: Source
    rest: io.BytesIO

    def read(self, amount: int) -> bytes:
        piece = self.rest.read(min(amount, 5000))
        if not piece and self.source.with_exception:
            raise BrokenError
        return piece

    def close(self) -> None:
        self.source.closed += 1


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited, at most."""
    waited: list[float] = []
    monkeypatch.setattr(streams, "sleep", waited.append)
    monkeypatch.setattr("random.uniform", lambda _, longest: longest)
    return waited


def stream(
    source: Source, *, size: int | None = None, expected: bytes | None = None, attempts: int = 3
) -> io.BufferedIOBase:
    checksum = Checksum(hashlib.sha256(), hashlib.sha256(source.data).digest() if expected is None else expected)
    length = len(source.data) if size is None else size
    body = source.open(0)
    return open_stream(
        "s3://b/name", length, body, source.open, broken=(BrokenError,), attempts=attempts, checksum=checksum
    )


@pytest.mark.parametrize("with_exception", [True, False])
@pytest.mark.parametrize("data", [LARGE, SMALL, b"", LARGE[: SMALL_BYTES + 1]])
def test_it_goes_on_at_the_byte_where_it_broke(data: bytes, with_exception: bool) -> None:
    source = Source(data, [0, 0, 1, 1, 2_000, 0], with_exception)
    with stream(source) as opened:
        assert opened.read() == data
        assert opened.read() == b""
    if data:
        assert source.offsets == [0, 0, 0, 1, 2, 2002, 2002]
    assert source.closed == len(source.offsets)


@pytest.mark.parametrize("with_exception", [True, False])
@pytest.mark.parametrize("data", [LARGE, SMALL])
def test_it_gives_up_without_progress(data: bytes, with_exception: bool) -> None:
    source = Source(data, [1_500, 0, 0, 0], with_exception)
    with pytest.raises(StorageError, match=f"s3://b/name: .* at byte 1500 of {len(data)}, 3 times in a row"):
        stream(source).read()
    assert source.offsets == [0, 1500, 1500]


def test_it_waits_longer_each_time_that_nothing_came(pauses: list[float]) -> None:
    """And goes on at once where the answer before gave something: a server that starts anew is not asked in vain."""
    source = Source(LARGE, [70_000, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    with stream(source, attempts=9) as opened:
        assert opened.read() == LARGE
    assert pauses == [1, 2, 4, 1, 2, 4, 8, 16, 20, 20]


def test_nothing_is_read_after_a_failure() -> None:
    source = Source(LARGE, [70_000, 0, 0])
    opened = stream(source)
    for _ in range(3):
        with pytest.raises(StorageError, match="at byte 70000"):
            opened.read()
    assert source.offsets == [0, 70_000, 70_000]
    assert source.closed == 3


@pytest.mark.parametrize("data", [LARGE, SMALL])
@pytest.mark.parametrize("limits", [[], [70_000]])
def test_the_last_bytes_are_given_only_if_the_checksum_is_right(data: bytes, limits: list[int]) -> None:
    arrived = 0
    with pytest.raises(StorageError, match="s3://b/name did not arrive as it is stored"):
        opened = stream(Source(data, limits), expected=b"other")
        while piece := opened.read(5000):
            arrived += len(piece)
    assert arrived < len(data)


def test_an_empty_object_has_a_checksum_too() -> None:
    with pytest.raises(StorageError, match="did not arrive"):
        stream(Source(b"", []), expected=b"other")


def test_what_comes_after_the_length_is_not_read() -> None:
    source = Source(LARGE, [])
    expected = hashlib.sha256(LARGE[:100_000]).digest()
    with stream(source, size=100_000, expected=expected) as opened:
        assert opened.read() == LARGE[:100_000]


def test_a_small_object_needs_no_connection_after_it_is_opened() -> None:
    source = Source(SMALL, [])
    opened = stream(source)
    assert source.closed == 1
    assert opened.read() == SMALL


def test_closing_closes_the_answer_once() -> None:
    source = Source(LARGE, [])
    opened = stream(source)
    assert opened.read(10) == LARGE[:10]
    opened.close()
    opened.close()
    assert source.closed == 1
    with pytest.raises(ValueError, match="closed"):
        opened.read(1)


def test_a_failing_reopening_is_final() -> None:
    source = Source(LARGE, [80_000])

    def refuse(offset: int) -> Answer:
        raise StorageError(f"gone at {offset}")

    opened = open_stream("n", len(LARGE), source.open(0), refuse, broken=(BrokenError,), attempts=3, checksum=None)
    with pytest.raises(StorageError, match="gone at 80000"):
        opened.read()


@pytest.mark.parametrize("read", [lambda s: s.read(), lambda s: s.readinto(bytearray(300_000)), lambda s: s.read(7)])
def test_without_a_checksum_the_length_is_what_is_checked(read: Callable[[io.BufferedIOBase], object]) -> None:
    source = Source(LARGE[:80_000], [])
    opened = open_stream("n", len(LARGE), source.open(0), source.open, broken=(BrokenError,), attempts=1, checksum=None)
    with pytest.raises(StorageError, match=f"at byte 80000 of {len(LARGE)}, 1 times"):
        while True:
            read(opened)
