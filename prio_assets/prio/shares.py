"""The layout of a proof vector, and its split into the shares of the two servers.

The first server's share is explicit, the second's is the expansion of a seed; their sum is the proof.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio import field, seeds
from prio_assets.prio.domain import domain_size, proof_length
from prio_assets.prio.field import Elements


@dataclass(frozen=True)
class ShareLayout:
    """Where the parts of a proof or share vector [n, L] lie, for 1 <= bins <= 524287: slices and columns of axis 1."""

    bins: int

    @cached_property
    def size(self) -> int:
        """N, the number of points of h that are sent."""
        return domain_size(self.bins)

    @cached_property
    def length(self) -> int:
        """L, the number of elements."""
        return proof_length(self.bins)

    @property
    def data(self) -> slice:
        return slice(0, self.bins)

    @property
    def f0(self) -> int:
        return self.bins

    @property
    def g0(self) -> int:
        return self.bins + 1

    @property
    def h0(self) -> int:
        return self.bins + 2

    @property
    def h_points(self) -> slice:
        """The values of h at the odd 2N-th roots of unity."""
        return slice(self.bins + 3, self.length)


def split(proofs: Elements, random: Callable[[int], bytes] = os.urandom) -> tuple[Elements, NDArray[np.uint8]]:
    """Proofs [n, L] to the first server's shares uint64 [n, L] and the second server's seeds uint8 [n, 32]."""
    packets, length = proofs.shape
    drawn = np.frombuffer(random(packets * seeds.SEED_BYTES), dtype=np.uint8).reshape(packets, seeds.SEED_BYTES)
    return field.subtract(proofs, seeds.expand(drawn, length)), drawn


def share_bytes(first_shares: Elements) -> NDArray[np.uint8]:
    """The first server's plaintexts uint8 [n, 4L] from its shares [n, L]."""
    return field.to_bytes(first_shares)
