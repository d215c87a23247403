"""A client's part: rows of bits into proofs, proofs into one encrypted share for each processor.

All clients of a batch at once: the proofs and shares are columns, only the encryption goes packet by packet.
"""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import ConfigurationError, MalformedError
from prio_assets.prio.domain import MAXIMUM_BINS
from prio_assets.prio.encryption import encrypt
from prio_assets.prio.field import PRIME, Elements
from prio_assets.prio.plain import packets_per_chunk
from prio_assets.prio.proof import draw_elements, prove
from prio_assets.prio.shares import share_bytes, split

Random = Callable[[int], bytes]


class PublicPoints(NamedTuple):
    """The packet encryption keys of the two processors, each a 65-byte uncompressed P-256 point."""

    pha: bytes
    facilitator: bytes


class Payloads(NamedTuple):
    """The encrypted shares of the same clients, in the same order."""

    pha: list[bytes]
    facilitator: list[bytes]


def prove_rows(rows: NDArray[np.generic], random: Random = os.urandom) -> Elements:
    """Proofs [n, L] of the data rows [n, bins], any integers in [0, p).

    Only rows of 0 and 1 give proofs that hold. Raises `MalformedError` where the shape or a value is impossible.
    """
    data = _elements(rows)
    clients = len(data)
    return prove(data, draw_elements(clients, random), draw_elements(clients, random))


def encrypt_proofs(proofs: Elements, points: PublicPoints, random: Random = os.urandom) -> Payloads:
    """Split proofs [n, L] into shares and encrypt them: explicit elements for the PHA, a seed for the facilitator."""
    first_shares, seeds = split(proofs, random)
    return Payloads(
        [encrypt(points.pha, plaintext.tobytes(), random) for plaintext in share_bytes(first_shares)],
        [encrypt(points.facilitator, seed.tobytes(), random) for seed in seeds],
    )


def upload(rows: NDArray[np.generic], points: PublicPoints, random: Random = os.urandom) -> Payloads:
    """What honest clients send for `rows` [n, bins]; memory beyond the result is bounded whatever n is."""
    payloads = Payloads([], [])
    for part in _chunks(rows):
        encrypted = encrypt_proofs(prove_rows(part, random), points, random)
        payloads.pha.extend(encrypted.pha)
        payloads.facilitator.extend(encrypted.facilitator)
    return payloads


def random_rows(clients: int, bins: int, random: Random = os.urandom) -> NDArray[np.uint8]:
    """Fair coins, uint8 [clients, bins] of 0 and 1."""
    check_bins(bins)
    count = clients * bins
    packed = np.frombuffer(random((count + 7) // 8), dtype=np.uint8)
    return np.unpackbits(packed, count=count).reshape(clients, bins)


def check_bins(bins: int) -> None:
    """Raise `ConfigurationError` unless clients can prove rows of so many bins."""
    if not 1 <= bins <= MAXIMUM_BINS:
        raise ConfigurationError(f"{bins} bins are not possible: give from 1 to {MAXIMUM_BINS}")


def _elements(rows: NDArray[np.generic]) -> Elements:
    if rows.ndim != 2 or rows.dtype.kind not in "biu":
        raise MalformedError(f"rows are a table of integers, not {rows.dtype} of shape {rows.shape}")
    check_bins(rows.shape[1])
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < PRIME:
        raise MalformedError(f"a row holds a value outside of 0 to {PRIME - 1}")
    return rows.astype(np.uint64)


def _chunks(rows: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    step = packets_per_chunk(rows.shape[1])
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
