"""A server's verification messages about its shares, and the check of both servers' messages.

At the packet's random point r each server evaluates its shares of f, g and h. The proof holds if the sums over both
servers satisfy f(r) * g(r) = h(r). Source: Corrigan-Gibbs and Boneh, "Prio"; libprio-rs 0.4.0, `server.rs`.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio import field
from prio_assets.prio.domain import evaluation_weights, repeated_squares, root_of_unity
from prio_assets.prio.field import PRIME, Elements
from prio_assets.prio.shares import ShareLayout

Messages: TypeAlias = tuple[Elements, Elements, Elements]


def verification_messages(shares: Elements, r_pit: Elements, bins: int, server_index: int) -> Messages:
    """(f_r, g_r, h_r), each [n], of shares [n, L] at the points r_pit [n], which are field elements.

    server_index 0 is the first server: it alone subtracts the 1 of g's data - 1.
    """
    layout = ShareLayout(bins)
    f_r, g_r = _evaluate_f_and_g(shares, r_pit, layout, server_index)
    return f_r, g_r, _evaluate_h(shares, r_pit, layout)


def _evaluate_f_and_g(
    shares: Elements, r_pit: Elements, layout: ShareLayout, server_index: int
) -> tuple[Elements, Elements]:
    weights = evaluation_weights(r_pit, layout.size)
    data_weights = weights[:, 1 : layout.bins + 1]
    of_data = field.dot(data_weights, shares[:, layout.data], axis=1)
    f_r = field.add(of_data, field.multiply(weights[:, 0], shares[:, layout.f0]))
    g_r = field.add(of_data, field.multiply(weights[:, 0], shares[:, layout.g0]))
    if server_index == 0:
        g_r = field.subtract(g_r, field.total(data_weights, axis=1))
    return f_r, g_r


def _evaluate_h(shares: Elements, r_pit: Elements, layout: ShareLayout) -> Elements:
    """h has 2N values: h0 at 1, 0 at the other even roots, and the ones sent at the odd roots."""
    size = layout.size
    squares = repeated_squares(r_pit, size.bit_length())
    at_one = shares[:, layout.h0]
    for square in squares:
        at_one = field.multiply(at_one, field.add(square, 1))
    at_one = field.multiply(at_one, pow(2 * size, PRIME - 2, PRIME))

    # The odd roots are the N-th roots times one 2N-th root, so their weights are those of r divided by it.
    turned = field.multiply(r_pit, pow(root_of_unity(2 * size), PRIME - 2, PRIME))
    at_odd = field.dot(evaluation_weights(turned, size), shares[:, layout.h_points], axis=1)
    half = pow(2, PRIME - 2, PRIME)
    scale = field.multiply(field.subtract(np.ones_like(r_pit), squares[-1]), half)
    return field.add(at_one, field.multiply(scale, at_odd))


def proofs_hold(first: Messages, second: Messages) -> NDArray[np.bool_]:
    """Which packets' proofs hold, bool [n], by the two servers' (f_r, g_r, h_r)."""
    f, g, h = (field.add(ours, theirs) for ours, theirs in zip(first, second, strict=True))
    return np.equal(field.multiply(f, g), h)
