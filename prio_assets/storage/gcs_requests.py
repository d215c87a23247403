"""Requests for a bucket of Google Cloud Storage: the SDK's client, how often each is tried, what their failures are.

The SDK lists, deletes and creates. It has no stream to pull an object's bytes from one request, and none to push them
to, so these two speak the JSON API over the SDK's authorized session.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from google.api_core.exceptions import PreconditionFailed
from google.api_core.retry import Retry
from google.cloud.storage.exceptions import InvalidResponse
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from prio_assets.storage.access import Access
from prio_assets.storage.gcs_errors import Failures, TakenError, failed_call, is_transient, parsing

if TYPE_CHECKING:
    from google.cloud.storage import Client

CONTENT_TYPE = "application/octet-stream"

FIRST_DELAY, LONGEST_DELAY = 1.0, 20.0
"""Seconds: before the second attempt it waits a random part of the first, then of twice as much, up to the longest."""


_PIECE_BYTES = 1 << 18


class _Pieces:
    """A request's body that is sent piece by piece."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[memoryview]:
        return (self._body[start : start + _PIECE_BYTES] for start in range(0, len(self._body), _PIECE_BYTES))


class PieceAdapter(HTTPAdapter):
    """Sends in pieces, for each of which there is the time of `connect_timeout`.

    A body of bytes would be sent at once, and to the system's sockets a timeout is then that of the whole body.
    """

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        if isinstance(request.body, bytes) and len(request.body) > _PIECE_BYTES:
            request.body = _Pieces(request.body)  # type: ignore[assignment]
        return super().send(request, *arguments, **options)


@dataclass
class Attempts:
    """How the SDK is to retry each request, in place of its `Retry`, which knows a deadline and no number of attempts.

    So exactly `most` attempts are made, with the SDK's own exponential backoff and jitter. `failures` counts those
    that were followed by another one.
    """

    most: int
    failures: int = field(default=0, init=False)

    def __call__(self, call: Callable[[], Any]) -> Callable[[], Any]:
        failed = 0

        def is_tried_again(error: Exception) -> bool:
            nonlocal failed
            failed += 1
            return failed < self.most and is_transient(error)

        def count(_: Exception) -> None:
            self.failures += 1

        retry = Retry(is_tried_again, initial=FIRST_DELAY, maximum=LONGEST_DELAY, timeout=None, on_error=count)
        return cast("Callable[[], Any]", retry(call))


@dataclass(frozen=True)
class Requests:
    """Whoever asks for something of `bucket` does so through this. Names are whole ones, prefix included."""

    bucket: str
    connect: "Callable[[], Client]"
    access: Access

    def place(self, name: str) -> str:
        """The object as messages name it."""
        return f"gs://{self.bucket}/{name}"

    def failures(self, name: str, permission: str) -> AbstractContextManager[None]:
        """Raises the SDK's errors as storage errors; `permission` is what it takes to do what is done inside."""
        return self.told.of(self.place(name), permission)

    @property
    def told(self) -> Failures:
        """How failures are told."""
        return Failures(self.bucket, self.connect, self.access)

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds for connecting, and for the next bytes."""
        return self.access.connect_timeout, self.access.read_timeout

    def attempts(self) -> Attempts:
        """How often a new request is tried."""
        return Attempts(self.access.attempts)

    def blob(self, name: str) -> Any:
        """The SDK's object."""
        return self.connect().bucket(self.bucket).blob(name)

    def list(self, **query: Any) -> Any:
        """The pages of a listing."""
        listing = self.connect().list_blobs(self.bucket, timeout=self.timeout, retry=self.attempts(), **query)
        return listing.pages

    def send(self, method: str, url: str, expected: tuple[int, ...], **arguments: Any) -> Any:
        """The answer with an expected status; `GoogleAPICallError` for another one, after all attempts."""
        session = self.connect()._http  # there is no public way to it

        def send() -> Any:
            answer = session.request(method, url, timeout=self.timeout, allow_redirects=False, **arguments)
            if answer.status_code not in expected:
                raise failed_call(answer)
            return answer

        return self.attempts()(send)()

    def upload_whole(self, name: str, data: bytes, attempts: Attempts, generation: int | None = None) -> None:
        """Write an object with a single request, if it has this generation (0: if it is not there).

        So it is of any size, since a condition then holds for all of the bytes at once, and `data` is in memory anyway:
        the SDK itself would begin a session for more than 8 MiB, and not end it when that fails.
        """
        with self.failures(name, "storage.objects.create"), parsing():
            try:
                answer = self.blob(name)._do_multipart_upload(
                    client=None,
                    stream=io.BytesIO(data),
                    content_type=CONTENT_TYPE,
                    size=len(data),
                    predefined_acl=None,
                    if_generation_match=generation,
                    if_generation_not_match=None,
                    if_metageneration_match=None,
                    if_metageneration_not_match=None,
                    timeout=self.timeout,
                    checksum="crc32c",
                    retry=attempts,
                )
            except InvalidResponse as error:
                if error.response.status_code == PreconditionFailed.code:
                    raise TakenError(f"{self.place(name)} is there already") from error
                raise
            int(answer.json()["generation"])  # what answers otherwise has made no object
