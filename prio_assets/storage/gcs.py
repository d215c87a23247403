"""A bucket of Google Cloud Storage as a store. Besides `prio_assets.storage.s3`, no other module knows a cloud's SDK.

The SDK lists, deletes and creates. It has no stream to pull an object's bytes from one request, and none to push them
to, so these two speak the JSON API over the SDK's authorized session.
"""

import base64
import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

import google.auth
import google_crc32c
import urllib3
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed, from_http_response
from google.api_core.retry import Retry
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, with_scopes_if_required
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, InvalidOperation, TransportError
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError, quoted
from prio_assets.storage.access import AMBIENT, Access
from prio_assets.storage.names import check_folder, check_name, check_prefix, is_name
from prio_assets.storage.streams import Checksum, open_stream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

CHUNK_BYTES = 8 << 20
"""What is written is sent in pieces of so many bytes; whatever fits in one is sent in a single request."""

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_PAGE_NAMES = 1000
_CONTENT_TYPE = "application/octet-stream"

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 20.0
"""Seconds: before the second attempt it waits a random part of the first, then of twice as much, up to the longest."""

_OK, _PARTIAL, _INCOMPLETE = 200, 206, 308
_TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
_UNAUTHORIZED, _FORBIDDEN, _THROTTLED = 401, 403, 429

_BROKEN = (OSError, urllib3.exceptions.HTTPError)
"""What a connection raises that broke, stalled or was never made; the errors of `requests` are OSErrors."""

_FAILURES = (GoogleAPICallError, InvalidResponse, DataCorruption, GoogleAuthError, ValueError, *_BROKEN)
"""Everything that the SDK raises; ValueError is for an answer that is no JSON, and for settings that it refuses."""

EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"
"""The SDK's own variable, which it heeds only where it looks for credentials itself."""


@cache
def connect(access: Access) -> Client:
    """The SDK's client for this access; one for all stores that have the same.

    At an `http://` endpoint nobody's credentials are sent, because anyone could read them on their way.
    """
    endpoint = access.endpoint or os.environ.get(EMULATOR_VARIABLE)
    if endpoint and not endpoint.startswith("https://"):
        credentials = AnonymousCredentials()
    else:
        credentials = _credentials(access.impersonate)
    # Else the SDK asks, for traces that nobody collects, for the metadata of each bucket, which few may read.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    options = {"api_endpoint": endpoint} if endpoint else None
    # A project is needed for making buckets, and for nothing here.
    return Client(project=None, credentials=credentials, client_options=options)


def _credentials(impersonate: str | None) -> Any:
    # Scopes come later, since with them some kinds of credentials would ask the network for their project's name.
    ambient, _ = google.auth.default()
    if impersonate is None:
        return with_scopes_if_required(ambient, [_SCOPE])
    return impersonated_credentials.Credentials(ambient, target_principal=impersonate, target_scopes=[_SCOPE])


@dataclass(frozen=True, repr=False)
class GcsStore:
    """The objects of `bucket` whose names begin with `prefix` ("" or ending in '/'), which their names here lack."""

    bucket: str
    prefix: str
    connect: Callable[[], Client]
    access: Access = AMBIENT

    def __repr__(self) -> str:
        return self._place("")

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Store.list`; a page of names is asked for when the last one is used up."""
        check_prefix(prefix)
        if end == "":
            return
        with self._failures(self._place(prefix), "storage.objects.list"):
            blobs = self.connect().list_blobs(
                self.bucket,
                prefix=self.prefix + prefix,
                start_offset=self.prefix + start if start else None,
                end_offset=None if end is None else self.prefix + end,
                fields="items(name,size),nextPageToken",
                page_size=_PAGE_NAMES,
                timeout=self._timeout,
                retry=_Attempts(self.access.attempts),
            )
            for blob in blobs:
                name = blob.name.removeprefix(self.prefix)
                if is_name(name):
                    yield name, blob.size

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`."""
        check_folder(prefix)
        above = self.prefix + prefix
        with self._failures(self._place(prefix), "storage.objects.list"):
            blobs = self.connect().list_blobs(
                self.bucket,
                prefix=above,
                delimiter="/",
                fields="prefixes,nextPageToken",
                page_size=_PAGE_NAMES,
                timeout=self._timeout,
                retry=_Attempts(self.access.attempts),
            )
            for page in blobs.pages:
                for folder in page.prefixes:
                    name = folder[len(above) : -1]
                    if is_name(prefix + name):
                        yield name

    def open_read(self, name: str) -> BinaryIO:
        """See `Store.open_read`: one request, whose answer's headers say which generation it is of."""
        check_name(name)
        place = self._place(name)
        with self._failures(place, "storage.objects.get"):
            try:
                answer = self._get(name)
            except NotFound as error:
                self._check_bucket(error)
                raise ObjectMissingError(f"{place} is missing") from error
            generation = answer.headers.get("x-goog-generation")
            size = answer.headers.get("x-goog-stored-content-length") or answer.headers.get("content-length")
            if generation is None or size is None:
                answer.close()
                raise StorageError(f"the server of {place} does not tell its generation and size: check the endpoint")
            return open_stream(
                place,
                int(size),
                _Body(answer),
                lambda offset: _Body(self._get_rest(name, generation, offset)),
                broken=_BROKEN,
                attempts=self.access.attempts,
                checksum=_checksum(answer.headers.get("x-goog-hash", "")),
            )

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """See `Store.write`: one request for what fits in a chunk, a resumable upload for more."""
        check_name(name)
        upload = _Upload(self, name)
        try:
            yield cast("BinaryIO", upload)
            upload.finish()
        except BaseException:
            upload.cancel()
            raise

    def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`: on the condition that there is no generation of the object.

        When an answer was lost and the request made once more, the name may be taken by ourselves: then what is there
        is compared with our bytes. Whoever may not read it cannot know, and is told that the name is taken.
        """
        check_name(name)
        attempts = _Attempts(self.access.attempts)
        try:
            self.upload_whole(name, data, attempts, if_generation_match=0)
        except _TakenError:
            return attempts.failures > 0 and self._holds(name, data)
        return True

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        with self._failures(self._place(name), "storage.objects.delete"):
            try:
                self._blob(name).delete(timeout=self._timeout, retry=_Attempts(self.access.attempts))
            except NotFound as error:
                self._check_bucket(error)

    def upload_whole(self, name: str, data: bytes, attempts: "_Attempts", **conditions: int) -> None:
        """Write an object with a single request, if it is of no more than a chunk."""
        with self._failures(self._place(name), "storage.objects.create"):
            try:
                self._blob(name).upload_from_string(
                    data, _CONTENT_TYPE, timeout=self._timeout, checksum="crc32c", retry=attempts, **conditions
                )
            except PreconditionFailed as error:
                raise _TakenError(f"{self._place(name)} is there already") from error

    def begin_upload(self, name: str) -> str:
        """The address of a new resumable upload. Who knows it may write the object, so that it is told to nobody."""
        with self._failures(self._place(name), "storage.objects.create"):
            address: str = self._blob(name).create_resumable_upload_session(
                content_type=_CONTENT_TYPE, timeout=self._timeout, retry=_Attempts(self.access.attempts)
            )
            return address

    def put_chunk(self, name: str, address: str, chunk: bytes, headers: dict[str, str]) -> Any:
        """Send bytes to a resumable upload; the answer says how many of them are kept, or that the object is there.

        A chunk may be sent again when its answer was lost: what the server has of it already is passed over.
        """
        try:
            with self._failures(self._place(name), "storage.objects.create"):
                try:
                    return self._request("PUT", address, (_OK, _INCOMPLETE), data=chunk, headers=headers)
                except NotFound:
                    raise StorageError(f"{self._place(name)}: the server forgot the upload: try again") from None
        except StorageError as error:
            raise error from None  # its cause would show the address

    def cancel_upload(self, name: str, address: str) -> None:
        """Have a resumable upload thrown away. Should that fail the server does so in a week; nothing is visible."""
        try:
            session = self.connect()._http
            session.delete(address, headers={"Content-Length": "0"}, timeout=self._timeout)
        except _FAILURES:
            logger.warning("the upload of %s was not cancelled, the server will discard it", self._place(name))

    def discard(self, name: str, generation: int) -> None:
        """Delete this very generation, as far as we may."""
        try:
            self._blob(name).delete(if_generation_match=generation, timeout=self._timeout, retry=None)
        except _FAILURES:
            logger.warning("%s could not be deleted", self._place(name))

    @property
    def _timeout(self) -> tuple[float, float]:
        return self.access.connect_timeout, self.access.read_timeout

    def _place(self, name: str) -> str:
        return f"gs://{self.bucket}/{self.prefix}{name}"

    def _blob(self, name: str) -> Any:
        return self.connect().bucket(self.bucket).blob(self.prefix + name)

    def _get(self, name: str, query: str = "", offset: int = 0) -> Any:
        url = (
            f"{self.connect().api_endpoint}/download/storage/v1/b/{self.bucket}/o/{quote(self.prefix + name, safe='')}"
        )
        # Bytes as they are stored: only those are what size, range and checksum are about.
        headers = {"Accept-Encoding": "gzip"} | ({"Range": f"bytes={offset}-"} if offset else {})
        expected = _PARTIAL if offset else _OK
        return self._request("GET", f"{url}?alt=media{query}", (expected,), headers=headers, stream=True)

    def _get_rest(self, name: str, generation: str, offset: int) -> Any:
        place = self._place(name)
        with self._failures(place, "storage.objects.get"):
            try:
                return self._get(name, f"&generation={generation}", offset)
            except NotFound as error:
                raise StorageError(f"{place} was replaced or deleted while it was read: try again") from error

    def _request(self, method: str, url: str, expected: tuple[int, ...], **arguments: Any) -> Any:
        """The answer with an expected status; `GoogleAPICallError` for another one, after all attempts."""
        session = self.connect()._http  # there is no public way to it

        def send() -> Any:
            answer = session.request(method, url, timeout=self._timeout, allow_redirects=False, **arguments)
            if answer.status_code not in expected:
                raise from_http_response(answer)
            return answer

        return _Attempts(self.access.attempts)(send)()

    def _check_bucket(self, error: GoogleAPICallError) -> None:
        """Raise `StorageError` if what was not found is the bucket. One request, where the answer leaves it open."""
        if "No such object" in _told(error):
            return
        try:
            next(self.connect().list_blobs(self.bucket, max_results=1, timeout=self._timeout).pages)
        except NotFound as missing:
            raise self._missing_bucket() from missing
        except GoogleAPICallError:
            logger.debug("whether the bucket %s is there cannot be seen without storage.objects.list", self.bucket)

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            with self.open_read(name) as stream:
                return stream.read(len(data) + 1) == data
        except (AccessDeniedError, ObjectMissingError):
            return False

    @contextmanager
    def _failures(self, place: str, permission: str) -> Iterator[None]:
        """Raises the SDK's errors as storage errors that name `place`, and what to do."""
        try:
            yield
        except _FAILURES as error:
            raise self._failure(place, permission, error) from error

    def _failure(self, place: str, permission: str, error: Exception) -> StorageError:
        if isinstance(error, InvalidResponse):
            error = from_http_response(error.response)
        if isinstance(error, GoogleAPICallError):
            return self._refusal(place, permission, error)
        if isinstance(error, DataCorruption):
            return StorageError(f"{place} did not arrive at the server as it was sent: try again")
        if isinstance(error, TransportError):
            return StorageError(f"{place}: the server that gives out credentials cannot be reached: {_kind(error)}")
        if isinstance(error, GoogleAuthError):
            return self._unauthenticated(place, error)
        if isinstance(error, _BROKEN):
            server = self.access.endpoint or "storage.googleapis.com"
            return StorageError(
                f"{place}: {server} cannot be reached or does not answer in time ({_kind(error)}), "
                f"{self.access.attempts} times in a row: check the endpoint and the network, raise read_timeout, or "
                "try later"
            )
        return StorageError(f"{place}: the server's answer makes no sense ({_kind(error)}): check the endpoint")

    def _refusal(self, place: str, permission: str, error: GoogleAPICallError) -> StorageError:
        """What the server's status means, in order of the statuses."""
        told = quoted(_told(error))
        if error.code == _UNAUTHORIZED:
            return AccessDeniedError(f"{place}: the credentials of {self._identity} are refused ({told}): renew them")
        if error.code == _FORBIDDEN:
            return AccessDeniedError(
                f"{place}: access denied ({told}): have the bucket's owner grant {permission} to {self._identity}"
            )
        if isinstance(error, NotFound):
            return self._missing_bucket()
        if error.code == _THROTTLED:
            return StorageError(
                f"{place}: throttled {self.access.attempts} times in a row ({told}): try later, or raise attempts"
            )
        if error.code in _TRANSIENT_STATUSES:
            return StorageError(
                f"{place}: the server failed {self.access.attempts} times in a row, with status {error.code} ({told}): "
                "try later, or raise attempts"
            )
        return StorageError(f"{place}: the server refuses the request with status {error.code} ({told})")

    def _missing_bucket(self) -> StorageError:
        return StorageError(f"the bucket gs://{self.bucket} is not there: create it or correct the setting")

    @property
    def _identity(self) -> str:
        return self.access.impersonate or "the account of the application default credentials"

    def _unauthenticated(self, place: str, error: GoogleAuthError) -> StorageError:
        told = quoted(str(error.args[0])) if error.args else type(error).__name__
        if isinstance(error, InvalidOperation):
            return AccessDeniedError(
                f"{place}: the server asks for credentials, and none are sent to {self.access.endpoint}: use https"
            )
        if isinstance(error, DefaultCredentialsError):
            return StorageError(
                f"{place}: there are no usable Google credentials ({told}): run `gcloud auth application-default "
                "login`, set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run where a service account is"
            )
        if self.access.impersonate:
            return StorageError(
                f"{place}: no token for {self.access.impersonate} ({told}): grant the ambient account "
                "roles/iam.serviceAccountTokenCreator on it, and have the ambient credentials renewed if they expired"
            )
        return StorageError(f"{place}: the Google credentials gave no token ({told}): renew or correct them")


class _TakenError(StorageError):
    """An object that is there already."""


class _Upload(io.RawIOBase):
    """What is written to an object. At most a chunk of it is held, and nothing is visible before `finish`."""

    def __init__(self, store: GcsStore, name: str) -> None:
        super().__init__()
        self._store = store
        self._name = name
        self._address: str | None = None
        self._waiting = bytearray()
        self._sent = 0
        self._checksum = google_crc32c.Checksum()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.closed:
            raise ValueError(f"{self._name} is closed")
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
        """Make the object of what was written."""
        if self._address is None:
            self._store.upload_whole(self._name, bytes(self._waiting), _Attempts(self._store.access.attempts))
        else:
            self._send(is_last=True)

    def cancel(self) -> None:
        """Leave nothing behind."""
        self._waiting.clear()
        if self._address is not None:
            self._store.cancel_upload(self._name, self._address)

    def _send(self, *, is_last: bool) -> None:
        if self._address is None:
            self._address = self._store.begin_upload(self._name)
        chunk = bytes(self._waiting)
        self._waiting.clear()
        self._checksum.update(chunk)
        while chunk:
            answer = self._put(self._address, chunk, is_last=is_last)
            if is_last and answer.status_code == _OK:
                self._check(answer)
                return
            # The server may keep less than it was sent, and wants the rest again.
            kept = _kept(answer) - self._sent
            if not 0 < kept <= len(chunk) or answer.status_code == _OK or (is_last and kept == len(chunk)):
                raise StorageError(f"the upload of {self._name} to {self._store!r} got out of step: try again")
            self._sent += kept
            chunk = chunk[kept:]

    def _put(self, address: str, chunk: bytes, *, is_last: bool) -> Any:
        end = self._sent + len(chunk)
        headers = {"Content-Range": f"bytes {self._sent}-{end - 1}/{end if is_last else '*'}"}
        if is_last:
            # With this the server itself refuses to make the object of other bytes.
            headers["X-Goog-Hash"] = f"crc32c={base64.b64encode(self._checksum.digest()).decode()}"
        return self._store.put_chunk(self._name, address, chunk, headers)

    def _check(self, answer: Any) -> None:
        made = answer.json()
        if base64.b64decode(made.get("crc32c", "")) != self._checksum.digest():
            self._store.discard(self._name, int(made.get("generation", 0)))
            raise StorageError(
                f"{self._store!r}{self._name} is not stored as it was sent (its checksum differs): try again"
            )


class _Body:
    """The bytes of an answer as they are stored."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, amount: int, /) -> bytes:
        piece: bytes = self._answer.raw.read(amount, decode_content=False)
        return piece

    def close(self) -> None:
        self._answer.close()


@dataclass
class _Attempts:
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
            return failed < self.most and _is_transient(error)

        def count(_: Exception) -> None:
            self.failures += 1

        retry = Retry(is_tried_again, initial=_FIRST_DELAY, maximum=_LONGEST_DELAY, timeout=None, on_error=count)
        return cast("Callable[[], Any]", retry(call))


def _is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, GoogleAPICallError):
        return error.code in _TRANSIENT_STATUSES
    if isinstance(error, InvalidResponse):
        return error.response.status_code in _TRANSIENT_STATUSES
    if isinstance(error, GoogleAuthError):
        return isinstance(error, TransportError) or bool(error.retryable)
    return isinstance(error, _BROKEN)


def _checksum(header: str) -> Checksum | None:
    """What the header x-goog-hash says of the whole object's CRC32C."""
    found = re.search(r"crc32c=([A-Za-z0-9+/]+=*)", header)
    return Checksum(google_crc32c.Checksum(), base64.b64decode(found[1])) if found else None


def _kept(answer: Any) -> int:
    """How many bytes of a resumable upload the server has."""
    found = re.fullmatch(r"bytes=0-([0-9]+)", answer.headers.get("range", ""))
    return int(found[1]) + 1 if found else 0


def _told(error: GoogleAPICallError) -> str:
    """The server's own words, without the URL that the SDK's message shows."""
    if error.response is None:
        return ""
    try:
        return str(error.response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.response.text).strip()


def _kind(error: BaseException) -> str:
    """What kind of failure it was. The SDK's message may show a URL that is a secret, and is not repeated."""
    cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return type(cause).__name__
