"""Arithmetic in the prime field of Prio v2, on whole arrays.

Elements are numpy uint64 arrays of at least one dimension with values in [0, PRIME). The rule against overflow lives
here and nowhere else: a product of two elements fits in 64 bits, the sum of two such products does not, and the sum of
up to 2^32 elements does. Source: the field FP32 of libprio-rs 0.4.0.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Elements: TypeAlias = NDArray[np.uint64]

PRIME: Final = 2**32 - 2**20 + 1
ELEMENT_BYTES: Final = 4

_HALF_WORD: Final = np.uint64(32)
_LOW_HALF: Final = np.uint64(2**32 - 1)


def reduce(x: Elements) -> Elements:
    """Any uint64 values, mod PRIME."""
    return x % np.uint64(PRIME)


def add(a: Elements, b: Elements | int) -> Elements:
    """a + b, broadcast."""
    total: Elements = np.add(a, b, dtype=np.uint64)
    # Below PRIME the difference wraps to a huge number, so the lesser of the two is the residue.
    np.minimum(total, total - np.uint64(PRIME), out=total)
    return total


def subtract(a: Elements, b: Elements | int) -> Elements:
    """a - b, broadcast."""
    difference: Elements = np.subtract(a, b, dtype=np.uint64)
    # A negative difference wraps to a huge number, and adding PRIME wraps it back to the residue.
    np.minimum(difference, difference + np.uint64(PRIME), out=difference)
    return difference


def multiply(a: Elements, b: Elements | int) -> Elements:
    """a * b, broadcast."""
    product: Elements = np.multiply(a, b, dtype=np.uint64)
    quotient: Elements = product // np.uint64(PRIME)
    quotient *= np.uint64(PRIME)
    product -= quotient
    return product


def power(a: Elements, exponent: int) -> Elements:
    """a to the power of one non-negative exponent; 0 to the power of 0 is 1."""
    result = np.ones_like(a)
    for bit in bin(exponent)[2:]:
        result = multiply(result, result)
        if bit == "1":
            result = multiply(result, a)
    return result


def inverse(a: Elements) -> Elements:
    """a to the power of PRIME - 2: the inverse of a, and 0 for 0 as in the reference."""
    return power(a, PRIME - 2)


def total(a: Elements, axis: int) -> Elements:
    """The sum of up to 2^32 elements along an axis."""
    return reduce(np.atleast_1d(a.sum(axis=axis, dtype=np.uint64)))


def dot(a: Elements, b: Elements, axis: int) -> Elements:
    """The sum of up to 2^32 products along an axis of the broadcast operands."""
    products: Elements = a * b
    high = (products >> _HALF_WORD).sum(axis=axis, dtype=np.uint64)
    products &= _LOW_HALF
    low = products.sum(axis=axis, dtype=np.uint64)
    return add(multiply(reduce(np.atleast_1d(high)), 2**32 % PRIME), reduce(np.atleast_1d(low)))


def is_element(values: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Which unsigned integers are in [0, PRIME)."""
    return values < PRIME


def to_bytes(elements: Elements) -> NDArray[np.uint8]:
    """Elements [..., k] as little-endian words of 4 bytes: uint8 [..., 4k]."""
    return np.ascontiguousarray(elements.astype("<u4")).view(np.uint8)


def from_bytes(encoded: NDArray[np.uint8]) -> Elements:
    """Contiguous bytes [..., 4k] as uint64 [..., k]. The values may be PRIME or more: see `is_element`."""
    return encoded.view("<u4").astype(np.uint64)
