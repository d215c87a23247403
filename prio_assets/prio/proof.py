"""A client's proof that its data are bits.

f and g of degree below N have at the N-th roots of unity the values (f0, data, 0 ...) and (g0, data - 1, 0 ...), f0 and
g0 being random. If the data are bits, h = f * g is 0 at all of them but the first. The client sends h by its values at
the odd 2N-th roots. Source: Corrigan-Gibbs and Boneh, "Prio"; libprio-rs 0.4.0, `client.rs`.
"""

import os
from collections.abc import Callable

import numpy as np

from prio_assets.prio import field
from prio_assets.prio.domain import values_between
from prio_assets.prio.field import ELEMENT_BYTES, Elements
from prio_assets.prio.shares import ShareLayout


def prove(data: Elements, f0: Elements, g0: Elements) -> Elements:
    """Proofs [n, L] of data [n, bins] with the random values f0 and g0 [n].

    The data may be any field elements; the proof of a vector that holds others than 0 and 1 does not hold.
    """
    packets, bins = data.shape
    layout = ShareLayout(bins)
    f = np.zeros((packets, layout.size), dtype=np.uint64)
    g = np.zeros((packets, layout.size), dtype=np.uint64)
    f[:, 0], f[:, 1 : bins + 1] = f0, data
    g[:, 0], g[:, 1 : bins + 1] = g0, field.subtract(data, 1)
    proofs = np.empty((packets, layout.length), dtype=np.uint64)
    proofs[:, layout.data] = data
    proofs[:, layout.f0] = f0
    proofs[:, layout.g0] = g0
    proofs[:, layout.h0] = field.multiply(f0, g0)
    proofs[:, layout.h_points] = field.multiply(values_between(f), values_between(g))
    return proofs


def draw_elements(count: int, random: Callable[[int], bytes] = os.urandom) -> Elements:
    """Uniform field elements uint64 [count]; words of the random source that are no elements are dropped."""
    drawn = np.empty(0, dtype=np.uint64)
    while drawn.size < count:
        words = np.frombuffer(random((count - drawn.size) * ELEMENT_BYTES), dtype=np.uint8)
        candidates = field.from_bytes(words)
        drawn = np.concatenate([drawn, candidates[field.is_element(candidates)]])
    return drawn
