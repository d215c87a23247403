"""A bucket of Amazon S3, or of a server that speaks its protocol, as a store.

Retries with backoff, checksums of what is sent, and credentials are the SDK's. What a process that is killed leaves of
a large upload is invisible, and the bucket's lifecycle rule removes it.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import google_crc32c
from botocore import exceptions as sdk

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError
from prio_assets.storage import s3_errors
from prio_assets.storage.names import check_folder, check_name, check_prefix, is_name
from prio_assets.storage.s3_client import attempts, connect
from prio_assets.storage.s3_errors import Failures
from prio_assets.storage.s3_upload import Upload, checksum_of, in_pieces
from prio_assets.storage.streams import Body, Checksum, RunningChecksum, open_stream

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CREATION_CONFLICTS: Final = 5
"""How often a creation is tried that met another one at the same time."""


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

        It must be a CRC32 (as all that we write in one request has), CRC32C, SHA-256 or SHA-1. CRC64NVME, which S3
        gives to what others write without any, is not verified. That of an object uploaded in parts is one over its
        parts' checksums, and of these the store tells us nothing; its length alone is checked. The packets, which
        alone are so large, are under a signed digest.
        """
        check_name(name)
        client = self._client
        answer = self._get(name, {"ChecksumMode": "ENABLED"})
        with self._failures(name, s3_errors.READING):
            size, checksum = answer["ContentLength"], _checksum(answer)
        return open_stream(
            self._url(name),
            size,
            answer["Body"],
            partial(self._reopen, name, answer.get("ETag")),
            broken=s3_errors.BROKEN,
            attempts=attempts(client),
            checksum=checksum,
        )

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """See `Store.write`: one request, or a multipart upload, for which one part is held in memory."""
        check_name(name)
        upload = Upload(self._client, self.bucket, self.prefix + name, self._failures(name, "s3:PutObject"))
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
                    if s3_errors.code_of(error) != s3_errors.CONFLICT:
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

    def _forget_client(self) -> None:
        """Read the credentials again for the next request: those of a file, and a sign-in, may be renewed there."""
        self.__dict__.pop("_client", None)
        connect.cache_clear()

    def _url(self, name: str) -> str:
        return s3_errors.shown(f"s3://{self.region}/{self.bucket}/{self.prefix}{name}")

    def _failures(self, name: str, permission: str) -> Failures:
        return Failures(self._url(name), permission, self._forget_client)

    def _pages(self, **request: Any) -> Iterator[Any]:
        failures = self._failures(request["Prefix"].removeprefix(self.prefix), "s3:ListBucket")
        with failures:
            pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **request))
        last = ""
        while True:
            with failures:
                page = cast("dict[str, Any] | None", next(pages, None))
                keys = _keys(page) if page is not None else []
            if page is None:
                return
            # A range ends at the first name behind it, so a store without order (S3 Express) would hide objects.
            for key in keys:
                if key <= last:
                    raise StorageError(
                        f"{failures.url}: the server's listing is not in the order of names: use a general purpose "
                        "bucket, or another server"
                    )
                last = key
            yield page

    def _get(self, name: str, request: Any) -> Any:
        with self._failures(name, s3_errors.READING):
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
            self._client.put_object(
                Bucket=self.bucket,
                Key=self.prefix + name,
                Body=in_pieces(data),
                IfNoneMatch="*",
                **checksum_of(self._client, data),
            )
        except sdk.ClientError as error:
            if s3_errors.code_of(error) not in s3_errors.CREATED_MEANWHILE:
                raise
            return (is_repeated or s3_errors.tries(error) > 1) and self._holds(name, data)
        return True

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            with self.open_read(name) as stream:
                return stream.read(len(data) + 1) == data
        except (AccessDeniedError, ObjectMissingError):
            return False


_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _name_before(start: str) -> str:
    """The name behind which a listing begins at `start`, as good as exactly: there is no last name before another.

    The servers repeat it in XML. Where that has no such character, the listing begins a little earlier.
    """
    head = start[:-1]
    if odd := _NOT_IN_XML.search(head):
        return head[: odd.start()]
    before = ord(start[-1]) - 1
    is_in_xml = before >= 0x20 and not _NOT_IN_XML.match(chr(before))
    return f"{head}{chr(before)}\U0010ffff" if is_in_xml else head


def _keys(page: dict[str, Any]) -> list[str]:
    """The keys of a page; KeyError or ValueError for what is none. A page of another protocol would be an empty one."""
    if page["IsTruncated"] and not page["NextContinuationToken"]:
        raise ValueError("no more names, and not the last page")
    entries = page.get("Contents", ())
    if any("Size" not in entry for entry in entries):
        raise ValueError("an object without a size")
    return [entry["Key"] for entry in entries]


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
            return Checksum(running(), base64.b64decode(value, validate=True))
    return None
