"""What is written to an object of Google Cloud Storage: one request for what fits in a chunk, a session for more."""

import base64
import io
import logging
import re
from typing import TYPE_CHECKING, Any

import google_crc32c
from google.api_core.exceptions import GoogleAPICallError

from prio_assets.errors import StorageError
from prio_assets.storage import streams
from prio_assets.storage.gcs_errors import FAILURES, ReplacingDeniedError, parsing
from prio_assets.storage.gcs_requests import CONTENT_TYPE, Requests

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

CHUNK_BYTES = 8 << 20
"""What is written is sent in pieces of so many bytes; whatever fits in one is sent in a single request."""

_OK, _INCOMPLETE = 200, 308
_GONE = (404, 410)


class Upload(io.RawIOBase):
    """A stream to write an object to. At most a chunk of it is held, and nothing is visible before `finish`."""

    def __init__(self, requests: Requests, name: str) -> None:
        super().__init__()
        self._requests = requests
        self._name = name
        self._address: str | None = None
        self._waiting = bytearray()
        self._sent = 0
        self._checksum = google_crc32c.Checksum()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.closed:
            raise ValueError(f"{self._place} is closed")
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            # A chunk goes when something comes after it: the last one has to say that it is the last.
            if len(self._waiting) == CHUNK_BYTES:
                self._send(is_last=False)
            room = CHUNK_BYTES - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
        return size

    def finish(self) -> None:
        """Make the object of what was written.

        Whoever may not replace an object is refused also when its own first request did all, and the answer was lost,
        or when another run wrote the same: then what there is has just our bytes, and all is well.
        """
        whole = bytes(self._waiting)
        size = self._sent + len(whole)
        try:
            if self._address is None:
                self._checksum.update(whole)
                self._requests.upload_whole(self._name, whole, self._requests.attempts())
            else:
                self._send(is_last=True)
        except ReplacingDeniedError:
            if not self._is_there(size):
                raise
            self.cancel()

    def cancel(self) -> None:
        """Leave nothing behind. Should that fail the server does so in a week; nothing is visible."""
        self._waiting.clear()
        if self._address is None:
            return
        try:
            session = self._requests.connect()._http
            session.delete(self._address, headers={"Content-Length": "0"}, timeout=self._requests.timeout)
        except FAILURES:
            logger.warning("the upload of %s was not cancelled, the server will discard it", self._place)

    @property
    def _place(self) -> str:
        return self._requests.place(self._name)

    def _send(self, *, is_last: bool) -> None:
        if self._address is None:
            self._address = self._begin()
        chunk = bytes(self._waiting)
        self._waiting.clear()
        self._checksum.update(chunk)
        idle = 0
        while chunk or is_last:
            answer = self._put(self._address, chunk, is_last=is_last)
            if answer.status_code == _OK:
                self._check_end(answer, is_last=is_last)
                return
            # The server may keep less than it was sent, or nothing, and wants the rest again.
            kept = _kept(answer) - self._sent
            if not 0 <= kept <= len(chunk):
                raise self._out_of_step()
            self._sent += kept
            chunk = chunk[kept:]
            idle = 0 if kept else idle + 1
            if idle == self._requests.access.attempts:
                raise StorageError(
                    f"{self._place}: the server keeps nothing of what it is sent, {idle} times in a row: try later, or "
                    "raise attempts"
                )
            streams.pause(idle)

    def _begin(self) -> str:
        """The address of a new session. Who knows it may write the object, so that it is told to nobody."""
        with self._requests.failures(self._name, "storage.objects.create"), parsing():
            address: str = self._requests.blob(self._name).create_resumable_upload_session(
                content_type=CONTENT_TYPE, timeout=self._requests.timeout, retry=self._requests.attempts()
            )
            return address

    def _put(self, address: str, chunk: bytes, *, is_last: bool) -> Any:
        """Send bytes; the answer says how many of them are kept, or that the object is there.

        A chunk may be sent again when its answer was lost: what the server has of it already is passed over.
        """
        try:
            with self._requests.failures(self._name, "storage.objects.create"):
                headers = self._headers(len(chunk), is_last=is_last)
                try:
                    return self._requests.send("PUT", address, (_OK, _INCOMPLETE), data=chunk, headers=headers)
                except GoogleAPICallError as error:
                    if error.code not in _GONE:
                        raise
                    raise StorageError(f"{self._place}: the server forgot the upload: try again") from None
        except StorageError as error:
            raise error from None  # its cause would show the address

    def _headers(self, size: int, *, is_last: bool) -> dict[str, str]:
        end = self._sent + size
        pieces = f"{self._sent}-{end - 1}" if size else "*"
        headers = {"Content-Range": f"bytes {pieces}/{end if is_last else '*'}"}
        if is_last:
            # With this the server itself refuses to make the object of other bytes.
            headers["X-Goog-Hash"] = f"crc32c={base64.b64encode(self._checksum.digest()).decode()}"
        return headers

    def _check_end(self, answer: Any, *, is_last: bool) -> None:
        """The server has made the object: of all bytes, and of just these?"""
        if not is_last:
            raise self._out_of_step()
        with self._requests.failures(self._name, "storage.objects.create"), parsing():
            made = answer.json()
            generation = int(made["generation"])
            is_right = base64.b64decode(made["crc32c"]) == self._checksum.digest()
        if not is_right:
            self._discard(generation)
            raise StorageError(f"{self._place} is not stored as it was sent (its checksum differs): try again")

    def _out_of_step(self) -> StorageError:
        return StorageError(f"the upload of {self._place} got out of step: try again")

    def _discard(self, generation: int) -> None:
        """Delete this very generation, as far as we may."""
        try:
            blob = self._requests.blob(self._name)
            with parsing():
                blob.delete(if_generation_match=generation, timeout=self._requests.timeout, retry=None)
        except FAILURES:
            logger.warning("%s could not be deleted", self._place)

    def _is_there(self, size: int) -> bool:
        """Whether the object has so many bytes and our checksum, as far as we may see it."""
        try:
            with parsing():
                blob = self._requests.blob(self._name)
                blob.reload(timeout=self._requests.timeout, retry=self._requests.attempts())
                return bool(blob.size == size and base64.b64decode(blob.crc32c) == self._checksum.digest())
        except FAILURES:
            return False


def _kept(answer: Any) -> int:
    """How many bytes of a session the server has."""
    found = re.fullmatch(r"bytes=0-([0-9]+)", answer.headers.get("range", ""))
    return int(found[1]) + 1 if found else 0
