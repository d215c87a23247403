"""Roots of unity, and polynomials given by their values at them.

Values at the N-th roots of unity are in natural order: column i belongs to the i-th power of `root_of_unity(N)`.
Every N is a power of two of at most 2^20. Source: Corrigan-Gibbs and Boneh, "Prio", and the constants of libprio-rs
0.4.0. Evaluation weights are built by a tree of 2N multiplications that needs no division, so that they are right at
every point, the roots themselves included.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import ConfigurationError
from prio_assets.prio import field
from prio_assets.prio.field import PRIME, Elements

MAXIMUM_BINS: Final = 524287
MAXIMUM_ORDER: Final = 2**20

_GENERATOR: Final = 3925978153  # of order MAXIMUM_ORDER


def domain_size(bins: int) -> int:
    """N, the least power of two that exceeds `bins`; ConfigurationError unless 1 <= bins <= MAXIMUM_BINS."""
    if not 1 <= bins <= MAXIMUM_BINS:
        raise ConfigurationError(f"bins {bins} is not between 1 and {MAXIMUM_BINS}: correct the number of bins")
    return 1 << bins.bit_length()


def proof_length(bins: int) -> int:
    """L, the number of elements of a proof and of a share: the data, f0, g0, h0 and N points of h."""
    return bins + 3 + domain_size(bins)


def root_of_unity(order: int) -> int:
    """The primitive root of a power of two of at most 2^20; all are powers of one generator."""
    return pow(_GENERATOR, MAXIMUM_ORDER // order, PRIME)


def is_root_of_unity(points: Elements, order: int) -> NDArray[np.bool_]:
    """Which points [n] are roots of unity of this order."""
    roots = _roots_of_unity(order)
    return np.equal(roots[np.searchsorted(roots, points, side="right") - 1], points)


@lru_cache(maxsize=4)
def _roots_of_unity(order: int) -> Elements:
    """All of this order, ascending; 8 MiB for the greatest one."""
    return np.sort(powers(root_of_unity(order), order))


def repeated_squares(points: Elements, count: int) -> list[Elements]:
    """points to the powers 1, 2, 4, ... 2^(count - 1)."""
    squares = [points]
    while len(squares) < count:
        squares.append(field.multiply(squares[-1], squares[-1]))
    return squares


def evaluation_weights(points: Elements, size: int) -> Elements:
    """Weights [n, size] whose dot product with the values at the size-th roots is the polynomial's value at a point.

    points: [n]; size: a power of two. The polynomial is the one of degree below `size`.
    """
    squares = repeated_squares(points, size.bit_length() - 1)
    roots = powers(pow(root_of_unity(size), PRIME - 2, PRIME), max(1, size // 2))
    weights = np.empty((points.size, size), dtype=np.uint64)
    weights[:, 0] = pow(size, PRIME - 2, PRIME)
    width = 1
    while width < size:
        # One level of the tree: (W, -) becomes (W + x, W - x), where x is W times a power of the point and of a root.
        lower, upper = weights[:, :width], weights[:, width : 2 * width]
        point_power = squares[-width.bit_length()][:, np.newaxis]
        twist = field.multiply(point_power, roots[:: size // (2 * width)])
        x = field.multiply(lower, twist)
        upper[...] = field.subtract(lower, x)
        lower[...] = field.add(lower, x)
        width *= 2
    return weights


def values_between(values: Elements) -> Elements:
    """From values [n, N] at the N-th roots, the same polynomials' values at the odd 2N-th roots.

    Column j of the result belongs to `root_of_unity(2N)` to the power of 2j + 1; N is at most 2^19.
    """
    size = values.shape[1]
    shifts = powers(root_of_unity(2 * size), size)
    scale = field.multiply(shifts, pow(size, PRIME - 2, PRIME))
    coefficients = _transform(np.ascontiguousarray(values.T), pow(root_of_unity(size), PRIME - 2, PRIME))
    shifted = field.multiply(coefficients, scale[:, np.newaxis])
    return np.ascontiguousarray(_transform(shifted, root_of_unity(size)).T)


def _transform(values: Elements, root: int) -> Elements:
    """out[i] = sum over k of root^(ik) * values[k], for values [N, n] (Stockham's order: no bit reversal)."""
    size, packets = values.shape
    twists = powers(root, max(1, size // 2))
    half, stride = size // 2, 1
    while half >= 1:
        first, second = values.reshape(2, half, stride * packets)
        result = np.empty((half, 2, stride * packets), dtype=np.uint64)
        result[:, 0] = field.add(first, second)
        result[:, 1] = field.multiply(field.subtract(first, second), twists[::stride, np.newaxis])
        values = result
        half, stride = half // 2, stride * 2
    return values.reshape(size, packets)


@lru_cache(maxsize=4)
def powers(base: int, count: int) -> Elements:
    """base to the powers 0, 1, ... count - 1, for a count that is a power of two; read-only, since it is shared."""
    result = np.ones(count, dtype=np.uint64)
    known = 1
    while known < count:
        result[known : 2 * known] = field.multiply(result[:known], pow(base, known, PRIME))
        known *= 2
    result.flags.writeable = False
    return result
