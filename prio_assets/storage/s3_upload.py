"""Sending the bytes of an object: in one request, or in parts, with a checksum that the server verifies."""

import base64
import io
import logging
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from prio_assets.errors import StorageError
from prio_assets.storage.s3_errors import FAILURES, Failures

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from types_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

PART_BYTES = 16 << 20
MOST_PARTS = 10_000
"""S3 takes no more."""

_ALGORITHM: Final = "CRC32"


def checksum_of(client: "S3Client", data: "ReadableBuffer") -> Any:
    """The checksum as a parameter of the request that sends `data`; none to a server that is said to know none.

    The SDK would send it behind the bytes. Where a server refuses a creation before it has read that far, the
    connection breaks, and with it what the server said.
    """
    if not sends_checksums(client):
        return {}
    return {f"Checksum{_ALGORITHM}": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()}


def in_pieces(data: "ReadableBuffer") -> BinaryIO:
    """A body that goes to the server piece by piece, each of which has its time: bytes would have it all together."""
    return io.BytesIO(data)


def sends_checksums(client: "S3Client") -> bool:
    """Whether checksums are sent that are not required, which is the SDK's setting for older servers."""
    return str(client.meta.config.request_checksum_calculation).lower() == "when_supported"


class Upload(io.RawIOBase):
    """The stream behind `write`: what doesn't fit into one part begins a multipart upload."""

    def __init__(self, client: "S3Client", bucket: str, key: str, failures: Failures) -> None:
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
                self._client.put_object(
                    **self._target, Body=in_pieces(self._pending), **checksum_of(self._client, self._pending)
                )
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
        except FAILURES as error:
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
                algorithm: Any = {"ChecksumAlgorithm": _ALGORITHM} if sends_checksums(self._client) else {}
                begun = self._client.create_multipart_upload(**self._target, **algorithm)
                self._upload = self._target | {"UploadId": begun["UploadId"]}
            number = len(self._parts) + 1
            sent = self._client.upload_part(
                **self._upload,
                PartNumber=number,
                Body=in_pieces(self._pending),
                **checksum_of(self._client, self._pending),
            )
            part = {"PartNumber": number, "ETag": sent["ETag"], "ChecksumCRC32": sent.get("ChecksumCRC32")}
        self._parts.append({name: value for name, value in part.items() if value is not None})
        self._pending = bytearray()
