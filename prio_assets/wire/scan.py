"""The scanner: packets as columns, straight from the bytes of a container's blocks.

It takes what it is sure about, and judges nothing: at whatever may be a fault, or may be read in more ways than one, it
stops in front, and fastavro reads from there on.
"""

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.jit import borrowing_kernel, inlined
from prio_assets.wire.uuids import DIGIT_VALUES, HYPHENATED_LENGTH, HYPHENS, LONGEST_TEXT, UUID_BYTES


class Step(IntEnum):
    """What the scanner does with a value; the argument of the step is in brackets."""

    REFUSE = 0
    """It is no value of ours: who judges must read it."""
    NOTHING = 1
    """Null takes no bytes."""
    SKIP_FIXED = 2
    """[bytes]"""
    SKIP_NUMBER = 3
    SKIP_BYTES = 4
    UUID = 5
    NUMBER = 6
    """[number column]"""
    BYTES = 7
    """[column of offsets and lengths]"""
    NO_BYTES = 8
    """[column of offsets and lengths]: null"""


Bytes: TypeAlias = NDArray[np.uint8]
Longs: TypeAlias = NDArray[np.int64]


class FieldTable(NamedTuple):
    """The fields of a writer's record."""

    fields: Longs
    """[fields, 3]: 1 if it is a union, else 0; its first branch; how many it has. What is no union has one branch."""
    branches: Longs
    """[branches, 3]: the step, its argument, and 1 if bytes that are not ASCII must be refused."""


class Columns(NamedTuple):
    """n packets."""

    uuids: Bytes
    """[n, 16]; zeros where the text is no UUID."""
    well_formed: NDArray[np.bool_]
    """[n]: whether it is one."""
    numbers: Longs
    """[numbers, n]"""
    offsets: Longs
    """[byte fields, n], in the data; like lengths, which are -1 for null."""
    lengths: Longs

    def first(self, packets: int) -> "Columns":
        """Of the first so many packets."""
        cut = np.s_[:, :packets]
        return Columns(
            self.uuids[:packets], self.well_formed[:packets], self.numbers[cut], self.offsets[cut], self.lengths[cut]
        )


# Why the scanner stops. As positions, which these are given as, they are negative.
FULL: Final = -1
"""The columns are full."""
SHORT: Final = -2
"""What begins here goes on behind the data, or behind its block."""
DOUBT: Final = -3

POSITION: Final = 0
"""Of the position in the data in the scanner's state, which goes on with what `Progress` is."""
_STATED: Final = 1
_RECORDS_LEFT: Final = 2
_BYTES_LEFT: Final = 3

_LAST_SHIFT: Final = np.uint64(63)
_REFUSE, _NOTHING, _SKIP_FIXED = int(Step.REFUSE), int(Step.NOTHING), int(Step.SKIP_FIXED)
_SKIP_NUMBER, _SKIP_BYTES, _UUID = int(Step.SKIP_NUMBER), int(Step.SKIP_BYTES), int(Step.UUID)
_NUMBER, _BYTES, _NO_BYTES = int(Step.NUMBER), int(Step.BYTES), int(Step.NO_BYTES)

_PREFIX: Final = np.frombuffer(b"urn:uuid:", dtype=np.uint8)
_HYPHEN: Final = ord("-")
_HYPHENATED_PLACES: Final = [place for place in range(HYPHENATED_LENGTH) if place not in HYPHENS]
_DIGIT_PLACES: Final = np.array([range(0, 2 * UUID_BYTES, 2), _HYPHENATED_PLACES[::2]], dtype=np.int64)
"""Of the first digit of each byte, in bare and in hyphenated texts."""


@inlined
def _read_long(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """An Avro long, and the position behind it; or SHORT or DOUBT in place of that."""
    value, shift = np.uint64(0), np.uint64(0)
    while position < end:
        byte = data[position]
        value |= np.uint64(byte & 0x7F) << shift
        position += 1
        if shift == _LAST_SHIFT and byte > 1:  # more than 64 bits
            return 0, DOUBT
        if byte < 0x80:
            return int(np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))), position
        shift += np.uint64(7)
    return 0, SHORT


@inlined
def _read_span(data: Bytes, position: int, end: int, only_ascii: bool) -> tuple[int, int]:
    """Where bytes begin that follow their length, and the position behind them; or SHORT or DOUBT in place of that."""
    length, start = _read_long(data, position, end)
    if start < 0:
        return 0, start
    if length < 0:
        return 0, DOUBT
    if length > end - start:
        return 0, SHORT
    if only_ascii:
        for place in range(start, start + length):
            if data[place] >= 0x80:
                return 0, DOUBT
    return start, start + length


@inlined
def _parse_uuid(data: Bytes, start: int, end: int, uuids: Bytes, row: int) -> bool:
    """Whether a text is a UUID, in the forms that `parse_uuid` takes; that row of `uuids` becomes it, or zeros."""
    for place in range(UUID_BYTES):
        uuids[row, place] = 0
    if end - start == LONGEST_TEXT:
        for place in range(_PREFIX.size):
            if data[start + place] != _PREFIX[place]:
                return False
        start += _PREFIX.size
    hyphenated = end - start == HYPHENATED_LENGTH
    if not hyphenated and end - start != 2 * UUID_BYTES:
        return False
    for place in HYPHENS:
        if hyphenated and data[start + place] != _HYPHEN:
            return False
    digits = np.uint8(0)
    for place in range(UUID_BYTES):
        first = start + _DIGIT_PLACES[int(hyphenated), place]
        high, low = DIGIT_VALUES[data[first]], DIGIT_VALUES[data[first + 1]]
        digits |= high | low
        uuids[row, place] = (high << 4) | (low & 0x0F)
    if digits <= 0x0F:
        return True
    for place in range(UUID_BYTES):
        uuids[row, place] = 0
    return False


@inlined
def _scan_value(
    data: Bytes, position: int, end: int, table: FieldTable, branch: int, columns: Columns, row: int
) -> int:
    """The position behind the value of a branch, which is put where it is wanted; or SHORT or DOUBT."""
    step, argument = table.branches[branch, 0], table.branches[branch, 1]
    if step in (_UUID, _BYTES, _SKIP_BYTES):
        start, after = _read_span(data, position, end, table.branches[branch, 2] != 0)
        if after >= 0 and step == _UUID:
            columns.well_formed[row] = _parse_uuid(data, start, after, columns.uuids, row)
        elif after >= 0 and step == _BYTES:
            columns.offsets[argument, row], columns.lengths[argument, row] = start, after - start
        return after
    if step in (_NUMBER, _SKIP_NUMBER):
        value, after = _read_long(data, position, end)
        if after >= 0 and step == _NUMBER:
            columns.numbers[argument, row] = value
        return after
    if step == _SKIP_FIXED:
        return position + argument if argument <= end - position else SHORT
    if step == _NO_BYTES:
        columns.offsets[argument, row], columns.lengths[argument, row] = 0, -1
    return DOUBT if step == _REFUSE else position


@inlined
def _scan_record(data: Bytes, position: int, end: int, table: FieldTable, columns: Columns, row: int) -> int:
    """The position behind the record that begins at `position` and may go on to `end`, or SHORT or DOUBT."""
    for field in range(table.fields.shape[0]):
        is_union, branch, branches = table.fields[field, 0], table.fields[field, 1], table.fields[field, 2]
        if is_union:
            index, position = _read_long(data, position, end)
            if position < 0:
                return position
            if not 0 <= index < branches:
                return DOUBT
            branch += index
        position = _scan_value(data, position, end, table, branch, columns, row)
        if position < 0:
            return position
    return position


@inlined
def _enter_block(data: Bytes, state: Longs, maximum_records: int) -> int:
    """The position behind a block's count and size, or SHORT or DOUBT."""
    count, position = _read_long(data, state[POSITION], data.size)
    if position < 0:
        return position
    size, position = _read_long(data, position, data.size)
    if position < 0:
        return position
    if not 0 <= count <= size or count > maximum_records - state[_STATED]:
        return DOUBT
    state[_STATED] += count
    state[_RECORDS_LEFT], state[_BYTES_LEFT] = count, size
    return position


@inlined
def _leave_block(data: Bytes, state: Longs, sync: Bytes) -> int:
    """The position behind the sync marker, or SHORT or DOUBT."""
    position = int(state[POSITION])
    if state[_BYTES_LEFT] > 0:
        return DOUBT
    if position + sync.size > data.size:
        return SHORT
    for place in range(sync.size):
        if data[position + place] != sync[place]:
            return DOUBT
    state[_BYTES_LEFT] = -1
    return position + sync.size


@borrowing_kernel
def scan(
    data: Bytes,
    state: Longs,
    sync: Bytes,
    maximum_records: int,
    byte_limit: int,
    table: FieldTable,
    columns: Columns,
) -> tuple[int, int]:
    """Fill the columns from state[POSITION] on; how many rows there are, and why no more: FULL, SHORT or DOUBT.

    The first byte field, if there is one, takes at most `byte_limit` bytes, or one row. The state becomes that before
    whatever the scanner stops at.
    """
    row, taken = 0, 0
    while True:
        start, bytes_left = state[POSITION], state[_BYTES_LEFT]
        if bytes_left < 0:
            position = _enter_block(data, state, maximum_records)
        elif state[_RECORDS_LEFT] == 0:
            position = _leave_block(data, state, sync)
        elif row == columns.well_formed.size:
            return row, FULL
        else:
            end = start + min(bytes_left, data.size - start)
            position = _scan_record(data, start, end, table, columns, row)
            if position >= 0:
                taken += columns.lengths[0, row] if columns.lengths.shape[0] else 0
                if row and taken > byte_limit:
                    return row, FULL
                state[_RECORDS_LEFT] -= 1
                state[_BYTES_LEFT] -= position - start
                row += 1
        if position < 0:
            return row, position
        state[POSITION] = position
