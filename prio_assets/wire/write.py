"""The writer of rows: UUIDs and numbers as the encodings of records, one after another."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.jit import borrowing_kernel
from prio_assets.wire.uuids import DIGITS, HYPHENATED_LENGTH, HYPHENS, UUID_BYTES

_HYPHEN: Final = ord("-")
_DIGIT_PLACES: Final = np.array(
    [place for place in range(HYPHENATED_LENGTH) if place not in HYPHENS][::2], dtype=np.int64
)
"""Of the first digit of each byte."""
_SEVEN_BITS: Final = np.uint64(7)
_GREATEST_BYTE: Final = np.uint64(0x7F)


@borrowing_kernel
def write_rows(
    uuids: NDArray[np.uint8], numbers: NDArray[np.uint64], written: NDArray[np.uint8], ends: NDArray[np.int64]
) -> None:
    """Write of uuids [n, 16] and numbers [m, n], below 2^63, one record each to `written`, which has the room for it.

    `ends` [n] becomes where each record ends.
    """
    position = 0
    for row in range(uuids.shape[0]):
        written[position] = 2 * HYPHENATED_LENGTH
        position += 1
        for place in HYPHENS:
            written[position + place] = _HYPHEN
        for place in range(UUID_BYTES):
            first, byte = position + _DIGIT_PLACES[place], uuids[row, place]
            written[first], written[first + 1] = DIGITS[byte >> 4], DIGITS[byte & 0x0F]
        position += HYPHENATED_LENGTH
        for column in range(numbers.shape[0]):
            rest = numbers[column, row] << np.uint64(1)
            while rest > _GREATEST_BYTE:
                written[position] = np.uint8(rest & _GREATEST_BYTE) | 0x80
                rest >>= _SEVEN_BITS
                position += 1
            written[position] = rest
            position += 1
        ends[row] = position
