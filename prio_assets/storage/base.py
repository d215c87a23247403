"""The storage protocol that everything above codes against, and what is built from its operations.

An object's name is a non-empty string of '/'-separated components. Names are ordered by code point (which is the order
of their UTF-8 bytes), the order in which object stores list. There are no modification times: no decision may rest on
them. Every failure of a storage is a `StorageError` that names the object.
"""

import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol, runtime_checkable

from prio_assets.errors import (
    AccessDeniedError,
    BatchReason,
    BatchRejected,
    ObjectConflictError,
    ObjectMissingError,
    StorageError,
)

logger = logging.getLogger(__name__)

SMALL_OBJECT_BYTES = 1 << 20
"""The most that a header or a signature object of three may hold: nothing honest comes near it."""

LARGE_OBJECT_BYTES = 256 << 20
"""The most that an object read whole into memory may hold, unless the reader says otherwise."""

PROBE = "prio-assets/probe"
"""An empty object with which a bucket is tried. Nobody lists it: no aggregation bears the name of its folder."""

_PIECE_BYTES = 1 << 16


class Store(Protocol):
    """A bucket with a prefix, or a directory.

    Names that no store can hold (absolute, with a NUL, with a component that is empty, `.` or `..`) are refused with
    `StorageError` by every operation.
    """

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        """Names that begin with `prefix` and lie in [start, end), with their sizes in bytes, in order of whole names.

        Lazy: the cost grows with the range, not with the storage. A prefix without objects lists as empty, a missing
        root is a `StorageError`.
        """

    def folders(self, prefix: str) -> Iterator[str]:
        """The components one level below the folder `prefix` ("" or ending in '/') that have something below them.

        In the order of the names below them; what is below is not walked.
        """

    def open_read(self, name: str) -> BinaryIO:
        """A stream of the object's bytes; `ObjectMissingError` if there is none."""

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A stream to write the object to, replacing what is there: visible only when the block ends well.

        When the block ends with an exception nothing is left of it, and the earlier object stays.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Create the object at once and durably; False, and nothing is changed, if the name is taken."""

    def delete(self, name: str) -> None:
        """Delete the object; one that is not there is no error."""


@runtime_checkable
class BucketStore(Store, Protocol):
    """A store in a cloud, or in whatever answers as one does: its promises are tried before anything hangs on them."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""


def check_creation(store: Store) -> None:
    """`StorageError` for a bucket that creates an object a second time: two runs could write one ledger entry.

    One request, once the object is there. A directory is not tried: the operating system keeps that promise.
    """
    # With other bytes the second time: a store takes equal ones for its own after a request that it had to repeat.
    if isinstance(store, BucketStore) and store.create(PROBE, b"") and store.create(PROBE, b"again"):
        raise StorageError(
            f"the server of the bucket {store.bucket} creates {PROBE} though it is there, so that two processors could "
            "write one entry of a ledger: use a storage whose server knows conditional writes (If-None-Match)"
        )


def read_bytes(store: Store, name: str, limit: int = LARGE_OBJECT_BYTES) -> bytes:
    """The whole object; `ObjectMissingError`, or `BatchRejected` (object too large) beyond `limit` bytes."""
    data = io.BytesIO()
    with store.open_read(name) as stream:
        # In pieces, because a stream allocates as much as it is asked for before it reads.
        while piece := stream.read(_PIECE_BYTES):
            data.write(piece)
            if data.tell() > limit:
                raise BatchRejected(BatchReason.OBJECT_TOO_LARGE, f"{name} has more than {limit} bytes")
    return data.getvalue()


def copy_bytes(store: Store, name: str, data: bytes) -> None:
    """Create the object, or find it there with these very bytes; `ObjectConflictError` if it has others.

    Where we may create and not read, what is there is taken for ours: nobody else may write that name.
    """
    if store.create(name, data):
        return
    try:
        with store.open_read(name) as stream:
            present = stream.read(len(data) + 1)
    except AccessDeniedError as error:
        logger.info("%s is there, and is taken for ours: to compare it takes leave to read it (%s)", name, error)
        return
    except StorageError as error:
        raise StorageError(f"{name} exists and cannot be read back to compare it with ours: {error}") from error
    if present != data:
        raise ObjectConflictError(f"{name} exists with other bytes than ours; its bucket's owner must look into it")


def copy_in_order(store: Store, names: Iterable[str], objects: Iterable[bytes]) -> None:
    """Copy objects that belong together, one after the other: the last one makes the others visible."""
    for name, data in zip(names, objects, strict=True):
        copy_bytes(store, name, data)


def exists(store: Store, name: str) -> bool:
    """Whether there is an object of exactly this name: opened, since a listing costs more the more lies beside it."""
    try:
        store.open_read(name).close()
    except ObjectMissingError:
        return False
    return True


def may_be_lost(store: Store, name: str) -> bool:
    """Whether an object that was there may be there no more. Where we may not look, only creating it again tells."""
    try:
        return not exists(store, name)
    except AccessDeniedError:
        return True
