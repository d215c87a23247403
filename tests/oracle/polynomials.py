"""Polynomials over the field, by Lagrange's formula."""

from collections.abc import Sequence

PRIME = 4293918721


def root_of_unity(order: int) -> int:
    return pow(3925978153, 2**20 // order, PRIME)


def domain_size(bins: int) -> int:
    size = 1
    while size < bins + 1:
        size *= 2
    return size


def lagrange_weights(order: int, point: int) -> list[int]:
    """For each root of unity, the value at the point of the polynomial that is 1 there and 0 at the others."""
    nodes = [pow(root_of_unity(order), i, PRIME) for i in range(order)]
    weights = []
    for node in nodes:
        numerator = denominator = 1
        for other in nodes:
            if other != node:
                numerator = numerator * (point - other) % PRIME
                denominator = denominator * (node - other) % PRIME
        weights.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return weights


def evaluate(values: Sequence[int], point: int) -> int:
    """At a point, the polynomial that has these values at the roots of unity of order len(values)."""
    weights = lagrange_weights(len(values), point)
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
