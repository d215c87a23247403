"""The object that names the packets of a ledger entry: made, read and compared with little more memory than the UUIDs.

It is the Avro container of one `Counted` record. A window may have ten million packets, 160 MB of UUIDs, and encoding
or decoding these as any other record would hold them several times over.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import MalformedError
from prio_assets.wire.columns import Uuids, in_ranges, sort_uuids
from prio_assets.wire.containers import SYNC_BYTES, container, encode_long, sync_marker
from prio_assets.wire.records import Counted, decode
from prio_assets.wire.uuids import UUID_BYTES


class CountedObject:
    """The object of the sorted, distinct UUIDs in the columns, in any order. Iterating makes its bytes, piece by piece.

    It is made once for its digest, which names it, and again to be written: held whole, it would be as large as the
    columns.
    """

    def __init__(self, columns: Sequence[Uuids]) -> None:
        self._columns = columns
        self._sync = sync_marker(_exclusive_or(columns))
        self.digest, self._number = _digest_and_number(columns, sum(map(len, columns)), self._sync)
        if self._number < sum(map(len, columns)):
            self.digest, _ = _digest_and_number(columns, self._number, self._sync)

    def __iter__(self) -> Iterator[bytes]:
        frame = _Frame(self._number)
        yield frame.header + self._sync + frame.block + frame.length
        for uuids in _sorted(self._columns):
            yield uuids.tobytes()
        yield self._sync


def is_counted_object(columns: Sequence[Uuids], stream: BinaryIO, expected_digest: bytes) -> bool:
    """Whether the object of this digest names just the UUIDs in the columns. `stream` is read for its sync marker."""
    number = sum(map(len, columns))
    sync = stream.read(len(_Frame(number).header) + SYNC_BYTES)[-SYNC_BYTES:]
    found, distinct = _digest_and_number(columns, number, sync)
    if distinct < number:  # toward a peer without lists a packet may count in two batches
        found, _ = _digest_and_number(columns, distinct, sync)
    return found == expected_digest


def uuids_of(data: bytes, name: str) -> Uuids:
    """The UUIDs in the object `name`, uint8 of shape [n, 16]; MalformedError where it does not hold whole ones."""
    uuids = decode(Counted, data, name).uuids
    if len(uuids) % UUID_BYTES:
        raise MalformedError(f"{name} does not hold whole UUIDs")
    return np.frombuffer(uuids, dtype=np.uint8).reshape(-1, UUID_BYTES)


def _digest_and_number(columns: Sequence[Uuids], number: int, sync: bytes) -> tuple[bytes, int]:
    """The digest of the object that states so many UUIDs, and how many different ones there are."""
    frame = _Frame(number)
    hashing = hashlib.sha256(frame.header + sync + frame.block + frame.length)
    distinct = 0
    for uuids in _sorted(columns):
        hashing.update(uuids.data)
        distinct += len(uuids)
    hashing.update(sync)
    return hashing.digest(), distinct


def _exclusive_or(columns: Sequence[Uuids]) -> bytes:
    """Of all UUIDs in the columns: what depends on them and not on their order."""
    words = [np.bitwise_xor.reduce(np.ascontiguousarray(uuids).view(np.uint64), axis=0) for uuids in columns]
    together: NDArray[np.uint64] = np.bitwise_xor.reduce(np.array(words, dtype=np.uint64).reshape(-1, 2), axis=0)
    return together.tobytes()


def _sorted(columns: Sequence[Uuids]) -> Iterator[Uuids]:
    return (sort_uuids(uuids) for (uuids,) in in_ranges(columns))


class _Frame:
    """What stands before so many UUIDs: the container's header up to its sync marker, the block's, the field's."""

    def __init__(self, number: int) -> None:
        size = UUID_BYTES * number
        self.header = container(Counted.schema_name, [], sync_seed=b"")[:-SYNC_BYTES]
        self.length = encode_long(size)
        self.block = encode_long(1) + encode_long(len(self.length) + size)
