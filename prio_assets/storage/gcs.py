"""A bucket of Google Cloud Storage as a store. Besides this, `s3` and what is named after them, none knows an SDK."""

import base64
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import google.auth
import google_crc32c
from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, with_scopes_if_required
from google.cloud.storage import Client

from prio_assets.errors import AccessDeniedError, ConfigurationError, ObjectMissingError, StorageError
from prio_assets.storage.access import AMBIENT, Access, check_endpoint
from prio_assets.storage.gcs_errors import BROKEN, ReplacingDeniedError, TakenError, parsing, told
from prio_assets.storage.gcs_requests import PieceAdapter, Requests
from prio_assets.storage.gcs_upload import Upload
from prio_assets.storage.names import check_folder, check_name, check_prefix, is_name
from prio_assets.storage.streams import Checksum, open_stream

logger = logging.getLogger(__name__)

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_PAGE_NAMES = 1000
_OK, _PARTIAL = 200, 206

EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"
"""The SDK's own variable, which it heeds only where it looks for credentials itself."""


def connect(access: Access) -> Client:
    """The SDK's client for this access; one for all stores that have the same. Raises `StorageError`.

    At an `http://` endpoint nobody's credentials are sent, because anyone could read them on their way.
    """
    return client_of(access, _endpoint(access))


@cache
def client_of(access: Access, endpoint: str | None) -> Client:
    """The client for an access at an endpoint, the same one for the same arguments."""
    if endpoint and not endpoint.startswith("https://"):
        credentials = AnonymousCredentials()
    else:
        credentials = _credentials(access.impersonate)
    # Else the SDK asks, for traces that nobody collects, for the metadata of each bucket, which few may read.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    options = {"api_endpoint": endpoint} if endpoint else None
    # A project is needed for making buckets, and for nothing here.
    client = Client(project=None, credentials=credentials, client_options=options)
    for scheme in ("http://", "https://"):
        client._http.mount(scheme, PieceAdapter())
    return client


def _endpoint(access: Access) -> str | None:
    """Another server than Google's own, from the settings or the environment."""
    named = os.environ.get(EMULATOR_VARIABLE)
    if access.endpoint or not named:
        return access.endpoint
    try:
        return check_endpoint(named)
    except ConfigurationError as error:
        raise StorageError(f"no client for Google Cloud Storage: {EMULATOR_VARIABLE} is {error}") from error


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
        return f"gs://{self.bucket}/{self.prefix}"

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Store.list`; a page of names is asked for when the last one is used up."""
        check_prefix(prefix)
        if end == "":
            return
        entries = self._listed(
            lambda page: [(blob.name.removeprefix(self.prefix), int(blob.size)) for blob in page],
            prefix=self.prefix + prefix,
            start_offset=self.prefix + start if start else None,
            end_offset=None if end is None else self.prefix + end,
            fields="items(name,size),nextPageToken",
        )
        for name, size in entries:
            if is_name(name):
                yield name, size

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`."""
        check_folder(prefix)
        above = self.prefix + prefix
        folders = self._listed(
            lambda page: [folder.removeprefix(above).removesuffix("/") for folder in page.prefixes],
            prefix=above,
            delimiter="/",
            fields="prefixes,nextPageToken",
        )
        for folder in folders:
            if is_name(prefix + folder):
                yield folder

    def open_read(self, name: str) -> BinaryIO:
        """See `Store.open_read`: one request, whose answer's headers say which generation it is of."""
        check_name(name)
        place = self._requests.place(self.prefix + name)
        with self._requests.failures(self.prefix + name, "storage.objects.get"):
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
                broken=BROKEN,
                attempts=self.access.attempts,
                checksum=_checksum(answer.headers.get("x-goog-hash", "")),
            )

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """See `Store.write`: one request for what fits in a chunk, a resumable upload for more."""
        check_name(name)
        upload = Upload(self._requests, self.prefix + name)
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
        attempts = self._requests.attempts()
        try:
            self._requests.upload_whole(self.prefix + name, data, attempts, generation=0)
        except (TakenError, ReplacingDeniedError):
            return attempts.failures > 0 and self._holds(name, data)
        return True

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        requests = self._requests
        with requests.failures(self.prefix + name, "storage.objects.delete"), parsing():
            try:
                requests.blob(self.prefix + name).delete(timeout=requests.timeout, retry=requests.attempts())
            except NotFound as error:
                self._check_bucket(error)

    @cached_property
    def _requests(self) -> Requests:
        return Requests(self.bucket, self.connect, self.access)

    def _listed(self, entries_of: Callable[[Any], Sequence[Any]], *, prefix: str, **query: Any) -> Iterator[Any]:
        """What a listing has in all of its pages. Only what the SDK does is watched, not what is done with it."""
        requests = self._requests
        with requests.failures(prefix, "storage.objects.list"):
            pages = requests.list(prefix=prefix, page_size=_PAGE_NAMES, **query)
        while True:
            with requests.failures(prefix, "storage.objects.list"), parsing():
                page = next(pages, None)
                entries = [] if page is None else entries_of(page)
            if page is None:
                return
            yield from entries

    def _get(self, name: str, query: str = "", offset: int = 0) -> Any:
        endpoint = self.connect().api_endpoint
        url = f"{endpoint}/download/storage/v1/b/{self.bucket}/o/{quote(self.prefix + name, safe='')}"
        # Bytes as they are stored: only those are what size, range and checksum are about.
        headers = {"Accept-Encoding": "gzip"} | ({"Range": f"bytes={offset}-"} if offset else {})
        expected = _PARTIAL if offset else _OK
        return self._requests.send("GET", f"{url}?alt=media{query}", (expected,), headers=headers, stream=True)

    def _get_rest(self, name: str, generation: str, offset: int) -> Any:
        with self._requests.failures(self.prefix + name, "storage.objects.get"):
            try:
                return self._get(name, f"&generation={generation}", offset)
            except NotFound as error:
                place = self._requests.place(self.prefix + name)
                raise StorageError(f"{place} was replaced or deleted while it was read: try again") from error

    def _check_bucket(self, error: GoogleAPICallError) -> None:
        """Raise `StorageError` if what was not found is the bucket. One request, where the answer leaves it open."""
        if "No such object" in told(error):
            return
        try:
            with parsing():
                next(self._requests.list(max_results=1), None)
        except NotFound as missing:
            raise self._requests.told.missing_bucket() from missing
        except Forbidden:
            logger.debug("whether the bucket %s is there cannot be seen without storage.objects.list", self.bucket)

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            with self.open_read(name) as stream:
                return stream.read(len(data) + 1) == data
        except (AccessDeniedError, ObjectMissingError):
            return False


class _Body:
    """The bytes of an answer as they are stored."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, amount: int, /) -> bytes:
        piece: bytes = self._answer.raw.read(amount, decode_content=False)
        return piece

    def close(self) -> None:
        self._answer.close()


def _checksum(header: str) -> Checksum | None:
    """What the header x-goog-hash says of the whole object's CRC32C."""
    found = re.search(r"crc32c=([A-Za-z0-9+/]+=*)", header)
    return Checksum(google_crc32c.Checksum(), base64.b64decode(found[1])) if found else None
