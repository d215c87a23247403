"""A client, one vector at a time."""

from collections.abc import Sequence

from tests.oracle.polynomials import PRIME, domain_size, evaluate, root_of_unity


def prove(data: Sequence[int], f0: int, g0: int) -> list[int]:
    size = domain_size(len(data))
    padding = [0] * (size - 1 - len(data))
    f = [f0, *data, *padding]
    g = [g0, *[(value - 1) % PRIME for value in data], *padding]
    points = [pow(root_of_unity(2 * size), 2 * j + 1, PRIME) for j in range(size)]
    return [*data, f0, g0, f0 * g0 % PRIME, *[evaluate(f, x) * evaluate(g, x) % PRIME for x in points]]
