"""A stream of an object in a cloud that goes on where its connection broke, and checks at the end what it delivered."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, BinaryIO, Protocol

from prio_assets.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SMALL_BYTES = 1 << 16
"""An object of no more bytes is read whole when it is opened, so that its connection is free for the next one."""

_BUFFER_BYTES = 1 << 18

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
"""Seconds, as the clouds' SDKs wait between their attempts at one request."""


def pause(attempts: int) -> None:
    """Wait before going on after so many attempts in a row that brought nothing: a random time, longer for more.

    After the first there is no waiting: a connection that broke says little of the next one.
    """
    if attempts > 1:
        sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 2))))


class Body(Protocol):
    """The bytes of an answer, as they come from the connection."""

    def read(self, amount: int, /) -> bytes:
        """Up to `amount` of the next bytes; none at the end of the answer, or when the connection was closed."""

    def close(self) -> None:
        """Give the connection back if all was read, else drop it."""


class RunningChecksum(Protocol):
    """A checksum over bytes that come one piece after the other."""

    def update(self, data: bytes, /) -> object:
        """Take the next piece."""

    def digest(self) -> bytes:
        """The checksum of all pieces."""


@dataclass(frozen=True)
class Checksum:
    """What the store says of the object's bytes, and what computes it."""

    running: RunningChecksum
    expected: bytes


def open_stream(
    name: str,
    size: int,
    body: Body,
    reopen: Callable[[int], Body],
    *,
    broken: tuple[type[Exception], ...],
    attempts: int,
    checksum: Checksum | None,
) -> BinaryIO:
    """The object's bytes, of which `body` are the first answer and `reopen` asks for those from an offset on.

    `name` is for messages. `broken` are the exceptions of a connection that broke; those of `reopen` are final. An
    object that gives no byte `attempts` times in a row is a `StorageError`, as is one that is not what the store said.
    """
    raw = _ResumingStream(name, size, body, reopen, broken, attempts, checksum)
    if size > SMALL_BYTES:
        return io.BufferedReader(raw, _BUFFER_BYTES)
    with raw:
        return io.BytesIO(raw.readall())


class _ResumingStream(io.RawIOBase):
    def __init__(
        self,
        name: str,
        size: int,
        body: Body,
        reopen: Callable[[int], Body],
        broken: tuple[type[Exception], ...],
        attempts: int,
        checksum: Checksum | None,
    ) -> None:
        super().__init__()
        self._name = name
        self._size = size
        self._body = body
        self._reopen = reopen
        self._broken = broken
        self._attempts = attempts
        self._checksum = checksum
        self._position = 0
        self._failure: StorageError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if self.closed:
            raise ValueError(f"{self._name} is closed")
        if self._failure:
            raise self._failure
        target = memoryview(buffer).cast("B")
        try:
            piece = self._next(min(len(target), self._size - self._position))
        except StorageError as error:
            self._failure = error
            self._body.close()
            raise
        target[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()

    def _next(self, amount: int) -> bytes:
        """Up to `amount` of the next bytes. The last ones are given only if all were what the store said."""
        piece = self._received(amount) if amount else b""
        self._position += len(piece)
        if self._checksum:
            self._checksum.running.update(piece)
            if self._position == self._size and self._checksum.running.digest() != self._checksum.expected:
                raise StorageError(
                    f"{self._name} did not arrive as it is stored (its checksum differs): try again, and if it stays "
                    "so, have the object written again"
                )
        return piece

    def _received(self, amount: int) -> bytes:
        cause: Exception | None = None
        for attempt in range(self._attempts):
            if attempt:
                self._body.close()
                pause(attempt)
                self._body = self._reopen(self._position)
            try:
                piece = self._body.read(amount)
            except self._broken as error:
                cause = error
            else:
                if piece:
                    return piece
        reason = "the connection broke or stalled" if cause else "the answer ended too early"
        raise StorageError(
            f"{self._name}: {reason} at byte {self._position} of {self._size}, {self._attempts} times in a row: try "
            "again later, or raise attempts and read_timeout"
        ) from cause
