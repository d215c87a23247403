"""A bucket of Amazon S3, or of a server that speaks its protocol, as a store.

Retries with backoff, checksums of what is sent, and credentials are the SDK's. What a process that is killed leaves of
a large upload is invisible, and the bucket's lifecycle rule removes it.
"""

import base64
import hashlib
import io
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import boto3
import google_crc32c
import urllib3
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError, quoted
from prio_assets.storage import s3_errors
from prio_assets.storage.access import Access
from prio_assets.storage.names import check_folder, check_name, check_prefix, is_name
from prio_assets.storage.streams import Body, Checksum, RunningChecksum, open_stream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from types_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

PRODUCT: Final = "prio-assets"
"""How we are named in the logs of the bucket's owner."""

PART_BYTES = 16 << 20
MOST_PARTS = 10_000
"""S3 takes no more."""

CREATION_CONFLICTS: Final = 5
"""How often a creation is tried that met another one at the same time."""

_WITH_BODY: Final = ("ListObjectsV2", "CreateMultipartUpload", "CompleteMultipartUpload")
"""Operations whose every good answer has a body that the SDK reads whole."""

_FAILURES = (sdk.BotoCoreError, sdk.ClientError, ResponseParserError, OSError, urllib3.exceptions.HTTPError)
_BROKEN = (sdk.BotoCoreError, OSError, urllib3.exceptions.HTTPError)
"""What the SDK raises while an answer is read."""


@cache
def connect(region: str, access: Access) -> "S3Client":
    """The client for a region and an access, the same one for the same arguments. Raises `StorageError`."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": access.attempts},
        connect_timeout=access.connect_timeout,
        read_timeout=access.read_timeout,
        user_agent_extra=PRODUCT,
        s3={"addressing_style": "path"} if access.endpoint else None,
    )
    try:
        session = Session(profile=access.profile)
        if access.assume_role:
            session = _assumed(session, region, access, config)
        client = boto3.Session(botocore_session=session, region_name=region).client(
            "s3", endpoint_url=access.endpoint, config=config
        )
    except sdk.BotoCoreError as error:
        raise StorageError(f"no client for S3 in {region}: {_explained(error)}") from error
    for operation in _WITH_BODY:
        client.meta.events.register(f"before-parse.s3.{operation}", _refuse_empty)
    return cast("S3Client", client)


def _refuse_empty(response_dict: Any, **_: Any) -> None:
    """Take an answer whose body was cut off before its first byte for a failure, which the SDK then repeats.

    It does so itself with a body that is cut off later. Of none, it makes a listing without objects.
    """
    if response_dict["status_code"] == 200 and not response_dict["body"]:
        response_dict["status_code"] = 500


class S3Store:
    """The objects of a bucket whose keys begin with `prefix` ("" or ending in '/'); see `Store`."""

    def __init__(self, region: str, bucket: str, prefix: str, connect: "Callable[[], S3Client]") -> None:
        self.region = region
        self.bucket = bucket
        self.prefix = prefix
        self._connect = connect

    def __repr__(self) -> str:
        return f"S3Store({self._url('')})"

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Store.list`; a page of 1000 names at a time."""
        check_prefix(prefix)
        after = {"StartAfter": self.prefix + _name_before(start)} if start > prefix else {}
        for page in self._pages(Prefix=self.prefix + prefix, **after):
            for entry in page.get("Contents", ()):
                name = entry["Key"].removeprefix(self.prefix)
                if end is not None and name >= end:
                    return
                if name >= start and is_name(name):
                    yield name, entry["Size"]

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`."""
        check_folder(prefix)
        for page in self._pages(Prefix=self.prefix + prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                folder = entry["Prefix"].removeprefix(self.prefix).removesuffix("/")
                if is_name(folder):
                    yield folder.removeprefix(prefix)

    def open_read(self, name: str) -> BinaryIO:
        """See `Store.open_read`; the checksum is verified where the store has one over the whole object.

        That of an object uploaded in parts is one over its parts' checksums, and of these the store tells us nothing;
        its length alone is checked. The packets, which alone are so large, are under a signed digest.
        """
        check_name(name)
        answer = self._get(name, {"ChecksumMode": "ENABLED"})
        return open_stream(
            self._url(name),
            answer["ContentLength"],
            answer["Body"],
            partial(self._reopen, name, answer.get("ETag")),
            broken=_BROKEN,
            attempts=_attempts(self._client),
            checksum=_checksum(answer),
        )

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """See `Store.write`: one request, or a multipart upload, for which one part is held in memory."""
        check_name(name)
        upload = _Upload(self._client, self.bucket, self.prefix + name, self._failures(name, "s3:PutObject"))
        try:
            yield cast(BinaryIO, upload)
            upload.complete()
        except BaseException:
            upload.abort()
            raise
        finally:
            upload.close()

    def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`: a write that the server makes only if the name is free.

        When the answer to a write is lost, the SDK sends it again, and is told that the name is taken: by us. So after
        a repetition the object is compared. If it holds our bytes it counts as ours; another one who created the same
        bytes at this very moment then counts as having created it, too. Where we may not read, it counts as another's.
        """
        check_name(name)
        is_repeated = False
        with self._failures(name, "s3:PutObject"):
            for _ in range(CREATION_CONFLICTS - 1):
                try:
                    return self._put_if_absent(name, data, is_repeated)
                except sdk.ClientError as error:
                    if _code(error) != s3_errors.CONFLICT:
                        raise
                    # Another request for this name was under way, which may be the one whose answer we lost.
                    is_repeated = True
            return self._put_if_absent(name, data, is_repeated)

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        check_name(name)
        with self._failures(name, "s3:DeleteObject"):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    @cached_property
    def _client(self) -> "S3Client":
        return self._connect()

    def _url(self, name: str) -> str:
        return f"s3://{self.region}/{self.bucket}/{self.prefix}{name}"

    def _failures(self, name: str, permission: str) -> "_Failures":
        return _Failures(self._url(name), permission)

    def _pages(self, **request: Any) -> Iterator[Any]:
        failures = self._failures(request["Prefix"].removeprefix(self.prefix), "s3:ListBucket")
        with failures:
            pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **request))
        last = ""
        while True:
            with failures:
                page = cast("dict[str, Any] | None", next(pages, None))
            if page is None:
                return
            # A range ends at the first name behind it, so a store without order (S3 Express) would hide objects.
            for key in [entry["Key"] for entry in page.get("Contents", ())]:
                if key <= last:
                    raise StorageError(
                        f"{failures.url}: the server's listing is not in the order of names: use a general purpose "
                        "bucket, or another server"
                    )
                last = key
            yield page

    def _get(self, name: str, request: Any) -> Any:
        with self._failures(name, "s3:GetObject"):
            return self._client.get_object(Bucket=self.bucket, Key=self.prefix + name, **request)

    def _reopen(self, name: str, etag: str | None, offset: int) -> Body:
        """The bytes from `offset` on of the same object, and not of one that replaced it."""
        condition = {"IfMatch": etag} if etag else {}
        answer = self._get(name, {"Range": f"bytes={offset}-", **condition})
        if offset and not answer.get("ContentRange", "").startswith(f"bytes {offset}-"):
            answer["Body"].close()
            raise StorageError(f"{self._url(name)}: the server does not give parts of objects: use another one")
        return cast(Body, answer["Body"])

    def _put_if_absent(self, name: str, data: bytes, is_repeated: bool) -> bool:
        try:
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data, IfNoneMatch="*")
        except sdk.ClientError as error:
            if _code(error) not in s3_errors.CREATED_MEANWHILE:
                raise
            return (is_repeated or _tries(error) > 1) and self._holds(name, data)
        return True

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            with self.open_read(name) as stream:
                return stream.read(len(data) + 1) == data
        except (AccessDeniedError, ObjectMissingError):
            return False


class _Upload(io.RawIOBase):
    """The stream behind `write`: what doesn't fit into one part begins a multipart upload."""

    def __init__(self, client: "S3Client", bucket: str, key: str, failures: "_Failures") -> None:
        super().__init__()
        self._client = client
        self._target: Any = {"Bucket": bucket, "Key": key}
        self._failures = failures
        self._pending = bytearray()
        self._upload: Any = None
        self._parts: list[Any] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.closed:
            raise ValueError(f"{self._failures.url} is closed")
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            if len(self._pending) == PART_BYTES:
                self._send()
            room = PART_BYTES - len(self._pending)
            self._pending += rest[:room]
            rest = rest[room:]
        return size

    def complete(self) -> None:
        """Make the object visible."""
        if self._upload is None:
            with self._failures:
                self._client.put_object(**self._target, Body=self._pending)
            return
        self._send()
        with self._failures:
            self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})

    def abort(self) -> None:
        """Leave nothing of the upload. This follows a failure, which is worth more than one of its own."""
        if self._upload is None:
            return
        try:
            self._client.abort_multipart_upload(**self._upload)
        except _FAILURES as error:
            logger.warning(
                "%s: an unfinished upload is left, for the bucket's lifecycle rule to remove (%s)",
                self._failures.url,
                type(error).__name__,
            )

    def _send(self) -> None:
        if len(self._parts) == MOST_PARTS:
            raise StorageError(
                f"{self._failures.url} has more than {MOST_PARTS * PART_BYTES} bytes, the most that can be uploaded: "
                "make smaller batches"
            )
        with self._failures:
            if self._upload is None:
                # The parts' checksums are verified by the server as they come; they must be named again at the end.
                begun = self._client.create_multipart_upload(**self._target, ChecksumAlgorithm="CRC32")
                self._upload = self._target | {"UploadId": begun["UploadId"]}
            number = len(self._parts) + 1
            sent = self._client.upload_part(
                **self._upload, PartNumber=number, Body=self._pending, ChecksumAlgorithm="CRC32"
            )
        part = {"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": sent.get("ChecksumCRC32")}
        self._parts.append({name: value for name, value in part.items() if value is not None})
        self._pending = bytearray()


class _AssumedRole(CredentialProvider):  # type: ignore[misc]  # the SDK has no types
    """The credentials of a role, which are fetched at first use and renewed before they expire."""

    METHOD = f"{PRODUCT}-assumed-role"

    def __init__(self, fetch: Callable[[], Any]) -> None:
        super().__init__()
        self._fetch = fetch

    def load(self) -> Any:
        return DeferredRefreshableCredentials(self._fetch, self.METHOD)


def _assumed(source: Session, region: str, access: Access, config: Config) -> Session:
    """A session that acts as the role, which that of `source` assumes."""
    external_id = {"ExternalId": access.external_id} if access.external_id else {}

    def fetch() -> Any:
        try:
            credentials = source.get_credentials()
            if credentials is None:
                raise sdk.NoCredentialsError
            return AssumeRoleCredentialFetcher(
                partial(source.create_client, region_name=region, endpoint_url=access.endpoint, config=config),
                credentials,
                access.assume_role,
                {"RoleSessionName": PRODUCT, **external_id},
            ).fetch_credentials()
        except sdk.ClientError as error:
            remedy = (
                "its owner must trust the identity that we have, and may demand the external id that was agreed"
                if _code(error) in s3_errors.ACCESS_DENIED
                else _explained(error)
            )
            raise StorageError(f"cannot assume the role {access.assume_role} ({_code(error)}): {remedy}") from error
        except sdk.BotoCoreError as error:
            raise StorageError(f"cannot assume the role {access.assume_role}: {_explained(error)}") from error

    session = Session()
    session.register_component("credential_provider", CredentialResolver([_AssumedRole(fetch)]))
    return session


def _name_before(start: str) -> str:
    """The name behind which a listing begins at `start`, as good as exactly: there is no last name before another.

    The servers repeat it in XML. Where that has no such character, the listing begins a little earlier.
    """
    head, before = start[:-1], ord(start[-1]) - 1
    is_in_xml = 0x20 <= before <= 0xD7FF or 0xE000 <= before <= 0xFFFD or before >= 0x10000
    return f"{head}{chr(before)}\U0010ffff" if is_in_xml else head


_CHECKSUMS: Final[dict[str, Callable[[], RunningChecksum]]] = {
    "ChecksumCRC32C": google_crc32c.Checksum,
    "ChecksumSHA256": hashlib.sha256,
    "ChecksumSHA1": hashlib.sha1,
}


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _checksum(answer: Any) -> Checksum | None:
    """The checksum over the whole object that the answer tells, if it is one that we can compute."""
    for field, running in {"ChecksumCRC32": _Crc32, **_CHECKSUMS}.items():
        value = answer.get(field)
        if value and "-" not in value and answer.get("ChecksumType") != "COMPOSITE":
            return Checksum(running(), base64.b64decode(value))
    return None


class _Failures:
    """Raises the SDK's errors as storage errors that name the object, what happened and the remedy."""

    def __init__(self, url: str, permission: str) -> None:
        self.url = url
        self._permission = permission

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, _FAILURES):
            return
        if isinstance(error, sdk.ClientError):
            if _code(error) in s3_errors.MISSING:
                raise ObjectMissingError(f"{self.url} is missing") from error
            if _code(error) in s3_errors.ACCESS_DENIED:
                remedy = s3_errors.grant(self._permission)
                raise AccessDeniedError(f"{self.url}: access denied{_message(error)}: {remedy}") from error
            raise StorageError(f"{self.url}: {_code(error)}{_message(error)}: {_explained(error)}") from error
        raise StorageError(f"{self.url}: {_explained(error)}") from error


_CONNECTION_REMEDY = "check the network, the endpoint and the region in the URL"
_CREDENTIALS_REMEDY = "set the credentials up: in the environment, a profile, or the machine's own identity"

_EXPLANATIONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (sdk.NoCredentialsError, f"no credentials were found: {_CREDENTIALS_REMEDY}"),
    (sdk.PartialCredentialsError, f"a part of the credentials is missing: {_CREDENTIALS_REMEDY}"),
    (sdk.ProfileNotFound, "the profile is not in the AWS configuration files: add it, or correct the setting profile"),
    ((sdk.ConfigParseError, sdk.ConfigNotFound), "the AWS configuration files cannot be read: correct them"),
    (
        (sdk.TokenRetrievalError, sdk.NoAuthTokenError, sdk.SSOError),
        "the sign-in is missing or has expired: sign in again (aws sso login)",
    ),
    (
        (sdk.CredentialRetrievalError, sdk.MetadataRetrievalError, sdk.UnknownCredentialError),
        f"the credentials could not be fetched: {_CREDENTIALS_REMEDY}",
    ),
    (sdk.SSLError, "no safe connection (TLS): check the server's certificate, or name its authority in AWS_CA_BUNDLE"),
    (sdk.ProxyConnectionError, "the proxy cannot be reached: check HTTPS_PROXY and NO_PROXY"),
    (sdk.ConnectTimeoutError, f"connecting took too long: {_CONNECTION_REMEDY}, or raise connect_timeout"),
    (sdk.EndpointConnectionError, f"the server cannot be reached: {_CONNECTION_REMEDY}"),
    (sdk.ReadTimeoutError, "the server's answer took too long: try again later, or raise read_timeout"),
    (ResponseParserError, "the answer is none of S3: check that the endpoint speaks its protocol"),
    (sdk.PaginationError, "the server's listing goes in circles: use another server"),
    (sdk.ParamValidationError, "the SDK takes no such request: correct the URL, or report this as a fault of ours"),
    (
        (sdk.HTTPClientError, OSError, urllib3.exceptions.HTTPError),
        "the connection broke, on every attempt: try again later, or raise attempts",
    ),
)


def _explained(error: BaseException) -> str:
    """What happened, without the SDK's text (which may hold what a program that fetches credentials said), and why."""
    if isinstance(error, sdk.ClientError):
        return s3_errors.explain(
            _code(error), _status(error), attempts=_tries(error), right_region=_right_region(error)
        )
    for kinds, explanation in _EXPLANATIONS:
        if isinstance(error, kinds):
            return explanation
    return f"the SDK failed ({type(error).__name__}): look it up in its documents, and try again"


def _code(error: sdk.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: sdk.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _message(error: sdk.ClientError) -> str:
    message = error.response.get("Error", {}).get("Message", "")
    return f" ({quoted(message)})" if message and s3_errors.may_repeat(_code(error)) else ""


def _tries(error: sdk.ClientError) -> int:
    """How often the SDK sent the request."""
    return 1 + int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def _right_region(error: sdk.ClientError) -> str | None:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return str(region) if region else None


def _attempts(client: "S3Client") -> int:
    return int(client.meta.config.retries["total_max_attempts"])
