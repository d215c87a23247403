"""The object that names the packets of a ledger entry: made, read and compared with little more memory than the UUIDs.

It is the Avro container of one `Counted` record. A window may have ten million packets, 160 MB of UUIDs, and encoding
or decoding these as any other record would hold them several times over.
"""

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import BinaryIO

import numpy as np

from prio_assets.errors import MalformedError
from prio_assets.wire.columns import Uuids, count_distinct, in_ranges, sort_uuids
from prio_assets.wire.containers import SYNC_BYTES, container, encode_long, sync_marker
from prio_assets.wire.records import Counted, decode
from prio_assets.wire.uuids import UUID_BYTES


def counted_object(columns: Sequence[Uuids]) -> bytes:
    """The object that `encode` makes of the sorted, distinct UUIDs in the columns."""
    frame = _Frame(count_distinct(columns))
    data = BytesIO()
    data.seek(frame.bytes - 1)
    data.write(b"\0")  # all of it at once: growing would hold more than is needed
    data.seek(0)
    data.write(frame.header + bytes(SYNC_BYTES) + frame.block + frame.length)
    for uuids in _sorted(columns):
        data.write(uuids.tobytes())
    with data.getbuffer() as written:
        sync = sync_marker(written[len(frame.header) + SYNC_BYTES + len(frame.block) : -SYNC_BYTES])
    data.write(sync)
    data.seek(len(frame.header))
    data.write(sync)
    return data.getvalue()


def is_counted_object(columns: Sequence[Uuids], stream: BinaryIO, expected_digest: bytes) -> bool:
    """Whether the object of this digest names just the UUIDs in the columns. `stream` is read for its sync marker."""
    number = sum(map(len, columns))
    start = stream.read(len(_Frame(number).header) + SYNC_BYTES)
    if _digest_of(columns, number, start) == expected_digest:
        return True
    distinct = count_distinct(columns)  # toward a peer without lists a packet may count in two batches
    return distinct < number and _digest_of(columns, distinct, start) == expected_digest


def uuids_of(data: bytes, name: str) -> Uuids:
    """The UUIDs in the object `name`, uint8 of shape [n, 16]; MalformedError where it does not hold whole ones."""
    uuids = decode(Counted, data, name).uuids
    if len(uuids) % UUID_BYTES:
        raise MalformedError(f"{name} does not hold whole UUIDs")
    return np.frombuffer(uuids, dtype=np.uint8).reshape(-1, UUID_BYTES)


def _digest_of(columns: Sequence[Uuids], number: int, start: bytes) -> bytes:
    """The digest of the object that begins with `start` and has the UUIDs in the columns, so many different ones."""
    frame = _Frame(number)
    found = hashlib.sha256(start + frame.block + frame.length)
    for uuids in _sorted(columns):
        found.update(uuids.tobytes())
    found.update(start[-SYNC_BYTES:])
    return found.digest()


def _sorted(columns: Sequence[Uuids]) -> Iterator[Uuids]:
    return (sort_uuids(uuids) for (uuids,) in in_ranges(columns))


class _Frame:
    """What stands before so many UUIDs: the container's header up to its sync marker, the block's, the field's.

    `bytes` is the length of all.
    """

    def __init__(self, number: int) -> None:
        size = UUID_BYTES * number
        self.header = container(Counted.schema_name, [], sync_seed=b"")[:-SYNC_BYTES]
        self.length = encode_long(size)
        self.block = encode_long(1) + encode_long(len(self.length) + size)
        self.bytes = len(self.header) + SYNC_BYTES + len(self.block) + len(self.length) + size + SYNC_BYTES
