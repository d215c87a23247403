"""Packets read in bulk: a container's blocks as slabs of bytes, and of each slab the columns that the scanner finds.

Columns refer to their slab, so no packet is copied, and a slab is never written again. What the scanner is in doubt
about is left, with all that follows, to the reader of records.
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import MalformedError
from prio_assets.wire.containers import Container, Progress
from prio_assets.wire.fields import Wanted, field_table
from prio_assets.wire.scan import DOUBT, FULL, POSITION, Columns, FieldTable, scan
from prio_assets.wire.uuids import UUID_BYTES

FIRST_SLAB_BYTES: Final = 2**20
"""Of the first slab; each has twice as many as the one before, up to SLAB_BYTES."""
SLAB_BYTES: Final = 4 * 2**20
"""Enough for chunks of some hundred packets; more would not be in the processor's cache from reading to verifying."""
LONGEST_RECORD: Final = 5 * 2**20
"""What is longer is read as a record: a packet of the most bins has 4 MiB."""


class Slice(NamedTuple):
    """Columns, and the slab in which their packets lie."""

    slab: memoryview
    columns: Columns


class BulkReader:
    """Reads the packets of a container whose header is read, once, as far as the scanner is sure."""

    def __init__(self, container: Container, wanted: Wanted, maximum_packets: int) -> None:
        self._container = container
        self._wanted = wanted
        self._maximum_packets = maximum_packets
        self._sync = np.frombuffer(container.sync, dtype=np.uint8)
        self._state = np.array([0, *Progress()], dtype=np.int64)
        self._slab = np.empty(0, dtype=np.uint8)
        self._at_end = False
        if isinstance(container.source, io.BytesIO):
            self._take_in_place(container.source)

    def slices(self, most_rows: int, byte_limit: int) -> Iterator[Slice]:
        """Slices of at most so many packets, and bytes of the first byte field, or of one packet.

        When they end, `rest` is what is in none of them: nothing, if all is well.
        """
        table = field_table(self._container.schema, self._wanted)
        size = FIRST_SLAB_BYTES
        while table is not None:
            columns, stop = self._scan(table, most_rows, byte_limit)
            if len(columns.well_formed):
                yield Slice(self._slab.data, columns)
            if stop == FULL:
                continue
            left = self._slab[self._state[POSITION] :]
            if stop == DOUBT or self._at_end or len(left) >= LONGEST_RECORD:
                break
            self._next_slab(left, max(size, 2 * len(left)))
            size = min(2 * size, SLAB_BYTES)

    def rest(self) -> tuple[Container, Progress]:
        """The container whose source is what follows the slices, and how far it is read by then."""
        position, *progress = self._state.tolist()
        ahead = _Ahead(self._slab.data[position:], self._container.source)
        return self._container._replace(source=io.BufferedReader(ahead)), Progress(*progress)

    def _take_in_place(self, source: io.BytesIO) -> None:
        """Bytes that are in memory are one slab as they are."""
        self._slab = np.frombuffer(source.getvalue(), dtype=np.uint8)  # which are not copied
        self._state[POSITION] = source.tell()
        source.seek(0, io.SEEK_END)
        self._at_end = True

    def _next_slab(self, left: NDArray[np.uint8], size: int) -> None:
        """A slab that begins with what is left of the one before."""
        slab = np.empty(size, dtype=np.uint8)
        slab[: len(left)] = left
        length = len(left) + _read_into(self._container.source, slab.data[len(left) :])
        self._at_end = length < size
        self._slab = slab[:length]
        self._state[POSITION] = 0

    def _scan(self, table: FieldTable, most_rows: int, byte_limit: int) -> tuple[Columns, int]:
        # A field takes at least one byte, which bounds the rows by the bytes there are.
        rows = min(most_rows, (len(self._slab) - int(self._state[POSITION])) // len(table.fields) + 1)
        columns = Columns(
            uuids=np.empty((rows, UUID_BYTES), dtype=np.uint8),
            well_formed=np.empty(rows, dtype=np.bool_),
            numbers=np.empty((len(self._wanted.numbers), rows), dtype=np.int64),
            offsets=np.empty((len(self._wanted.byte_fields), rows), dtype=np.int64),
            lengths=np.empty((len(self._wanted.byte_fields), rows), dtype=np.int64),
        )
        data = self._slab.view()
        data.flags.writeable = False  # as bytes are: the scanner is compiled for such data alone
        found, stop = scan(data, self._state, self._sync, self._maximum_packets, byte_limit, table, columns)
        return columns.first(found), stop


def _read_into(source: BinaryIO, buffer: memoryview) -> int:
    """How many bytes of the buffer are read: fewer than it has if the source ends, or is at fault, which it remains."""
    length = 0
    with suppress(MalformedError):
        while read := source.readinto1(buffer[length:]):  # type: ignore[attr-defined]
            length += read
    return length


class _Ahead(io.RawIOBase):
    """Bytes that are read already, and the source behind them."""

    def __init__(self, ahead: memoryview, source: BinaryIO) -> None:
        self._ahead = ahead
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._ahead[: len(buffer)] or self._source.read(len(buffer))
        self._ahead = self._ahead[len(data) :]
        buffer[: len(data)] = data
        return len(data)
