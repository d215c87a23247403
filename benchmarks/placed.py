"""Objects laid into the directory of fake-gcs-server past its protocol, which holds uploads in memory, often over."""

import base64
import json
import os
from pathlib import Path
from typing import Final

import google_crc32c

_ATTRIBUTE: Final = "user.metadata"
"""The extended attribute in which it keeps what it knows of an object beside the bytes."""

_TIME: Final = "2026-01-01T00:00:00Z"
_PIECE_BYTES: Final = 1 << 20


def describe_objects(bucket: Path) -> None:
    """Make the files below a bucket's folder its objects."""
    for path in bucket.rglob("*"):
        if path.is_file():
            os.setxattr(path, _ATTRIBUTE, json.dumps(_description(path)).encode())


def _description(path: Path) -> dict[str, object]:
    checksum = google_crc32c.Checksum()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            checksum.update(piece)
    return {
        "ContentType": "application/octet-stream",
        "Crc32c": base64.b64encode(checksum.digest()).decode(),
        "Etag": "placed",
        "Created": _TIME,
        "Updated": _TIME,
        "Generation": 1,
    }
