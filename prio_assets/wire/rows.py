"""Packets of a UUID and some numbers as the blocks of a container, written whole columns at a time."""

import sys
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.choice import compiled_loops_allowed
from prio_assets.prio.field import Elements
from prio_assets.wire.containers import BLOCK_BYTES, Block
from prio_assets.wire.uuids import HYPHENATED_LENGTH, uuid_characters

FEW_ROWS: Final = 300
"""Fewer are written sooner than numba is loaded. Where packets were scanned before, it is."""

_VARINT_BYTES: Final = 5
"""Enough for the zigzag form of an unsigned 32-bit value."""

_Data = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Encodings of one field of n records, each in a row of bytes [n, width], and which bytes of it there are."""


def blocks_of_rows(uuids: NDArray[np.uint8], numbers: Sequence[Elements]) -> Iterator[Block]:
    """The records of uuids uint8[n, 16] and columns of n numbers below 2^32, in the blocks that `blocks_of` makes."""
    compiled = (len(uuids) >= FEW_ROWS or is_scanner_loaded()) and compiled_loops_allowed()
    data, ends = _write_compiled(uuids, numbers) if compiled else _write(uuids, numbers)
    first, start = 0, 0
    while first < len(ends):
        last = min(int(np.searchsorted(ends, start + BLOCK_BYTES)), len(ends) - 1)
        end = int(ends[last])
        yield last + 1 - first, data[start:end].tobytes()
        first, start = last + 1, end


def is_scanner_loaded() -> bool:
    """Whether this process has loaded the compiled scanner, so that compiled loops are faster for any number."""
    return "prio_assets.wire.scan" in sys.modules


def _write(uuids: NDArray[np.uint8], numbers: Sequence[Elements]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The records as bytes, and where each ends."""
    fields = [_text_data(uuids), *(_long_data(values) for values in numbers)]
    rows, present = (np.concatenate(part, axis=1) for part in zip(*fields, strict=True))
    return rows[present], np.cumsum(present.sum(axis=1))


def _write_compiled(
    uuids: NDArray[np.uint8], numbers: Sequence[Elements]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from prio_assets.wire.write import write_rows  # noqa: PLC0415 (numba is an extra, and slow to import)

    columns = np.array(numbers, dtype=np.uint64).reshape(len(numbers), len(uuids))
    data = np.empty(len(uuids) * (1 + HYPHENATED_LENGTH + _VARINT_BYTES * len(numbers)), dtype=np.uint8)
    ends = np.empty(len(uuids), dtype=np.int64)
    write_rows(np.ascontiguousarray(uuids), columns, data, ends)
    return data, ends


def _text_data(uuids: NDArray[np.uint8]) -> _Data:
    """UUIDs as Avro strings."""
    rows = np.empty((len(uuids), 1 + HYPHENATED_LENGTH), dtype=np.uint8)
    rows[:, 0] = 2 * HYPHENATED_LENGTH
    rows[:, 1:] = uuid_characters(uuids)
    return rows, np.ones(rows.shape, dtype=np.bool_)


def _long_data(values: Elements) -> _Data:
    """Values below 2^32 as Avro longs: doubled (zigzag), then 7 bits a byte from the lowest."""
    shifts = np.arange(_VARINT_BYTES, dtype=np.uint64) * np.uint64(7)
    rest = (values.astype(np.uint64) << np.uint64(1))[:, np.newaxis] >> shifts
    continued = rest > np.uint64(0x7F)
    rows: NDArray[np.uint8] = (rest & np.uint64(0x7F)).astype(np.uint8) | (continued.astype(np.uint8) << np.uint8(7))
    present = np.ones(rows.shape, dtype=np.bool_)
    present[:, 1:] = continued[:, :-1]
    return rows, present
