"""Domains, evaluation weights and the transform against Lagrange interpolation."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.errors import ConfigurationError
from prio_assets.prio import domain, field
from prio_assets.prio.field import PRIME
from tests.oracle import polynomials
from tests.vectors import load_vectors

SIZES = st.sampled_from([1, 2, 4, 8, 16, 32, 64])
VECTORS = load_vectors("field")


def test_proof_lengths_of_the_reference() -> None:
    lengths = VECTORS[10]["proof_lengths"]
    assert {int(bins): domain.proof_length(int(bins)) for bins in lengths} == {int(b): n for b, n in lengths.items()}


@pytest.mark.parametrize(("bins", "size"), [(1, 2), (2, 4), (3, 4), (4, 8), (255, 256), (256, 512), (524287, 524288)])
def test_the_domain_exceeds_the_bins(bins: int, size: int) -> None:
    assert domain.domain_size(bins) == size


@pytest.mark.parametrize("bins", [-1, 0, 524288, 2147483646])
def test_other_numbers_of_bins_are_refused(bins: int) -> None:
    with pytest.raises(ConfigurationError, match=f"bins {bins} is not between 1 and 524287"):
        domain.domain_size(bins)
    with pytest.raises(ConfigurationError):
        domain.proof_length(bins)


@given(SIZES, st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_weights_equal_those_of_lagrange(size: int, points: list[int]) -> None:
    weights = domain.evaluation_weights(np.array(points, dtype=np.uint64), size)
    assert weights.tolist() == [polynomials.lagrange_weights(size, point) for point in points]


@pytest.mark.parametrize("size", [1, 2, 4, 16, 32, 64, 128, 512])
def test_weights_at_the_roots_themselves_select_one_value(size: int) -> None:
    roots = [pow(domain.root_of_unity(size), i, PRIME) for i in range(size)]
    weights = domain.evaluation_weights(np.array(roots, dtype=np.uint64), size)
    assert np.array_equal(weights, np.eye(size, dtype=np.uint64))


@pytest.mark.parametrize("size", [4, 32, 64])
def test_weights_at_the_roots_of_the_double_order(size: int) -> None:
    roots = [pow(polynomials.root_of_unity(2 * size), i, PRIME) for i in range(1, 2 * size, size // 2 + 1)]
    weights = domain.evaluation_weights(np.array(roots, dtype=np.uint64), size)
    assert weights.tolist() == [polynomials.lagrange_weights(size, root) for root in roots]


def powers_of(base: int, count: int) -> np.ndarray:
    return np.array(list(accumulate(range(count - 1), lambda power, _: power * base % PRIME, initial=1)), np.uint64)


@pytest.mark.parametrize("size", [2**10, 2**19])
def test_weights_of_large_domains_evaluate_powers(size: int) -> None:
    points = np.array([12345678901 % PRIME, 7], dtype=np.uint64)
    weights = domain.evaluation_weights(points, size)
    roots = powers_of(polynomials.root_of_unity(size), size)
    for exponent in (0, 1, 3, size - 1):
        values = roots[np.arange(size) * exponent % size]
        expected = [pow(int(point), exponent, PRIME) for point in points]
        assert field.dot(weights, values, axis=1).tolist() == expected


@given(st.sampled_from([2, 4, 8, 2**20]), st.integers(0, PRIME - 1))
def test_other_points_are_no_roots_of_unity(order: int, point: int) -> None:
    expected = pow(point, order, PRIME) == 1
    assert domain.is_root_of_unity(np.array([point], dtype=np.uint64), order).tolist() == [expected]


def test_every_root_of_unity_is_found_and_none_of_their_neighbours() -> None:
    roots = domain.powers(domain.root_of_unity(256), 256)
    points = np.concatenate([roots, field.add(roots, 1), field.subtract(roots, 1)])
    assert domain.is_root_of_unity(points, 256).tolist() == [pow(int(point), 256, PRIME) == 1 for point in points]


def test_roots_of_unity_are_found_by_their_order() -> None:
    roots = np.array([domain.root_of_unity(order) for order in (1, 2, 4, 8, 16)] + [0], dtype=np.uint64)
    assert domain.is_root_of_unity(roots, 4).tolist() == [True, True, True, False, False, False]


@given(SIZES, st.data())
@settings(max_examples=20, deadline=None)
def test_values_between_equal_those_of_lagrange(size: int, data: st.DataObject) -> None:
    row = st.lists(st.integers(0, PRIME - 1), min_size=size, max_size=size)
    rows = data.draw(st.lists(row, min_size=1, max_size=2))
    points = [pow(polynomials.root_of_unity(2 * size), 2 * j + 1, PRIME) for j in range(size)]
    between = domain.values_between(np.array(rows, dtype=np.uint64))
    assert between.tolist() == [[polynomials.evaluate(values, point) for point in points] for values in rows]


def test_values_between_roots_of_the_largest_domain() -> None:
    size = 2**19
    identity = powers_of(polynomials.root_of_unity(size), size)[np.newaxis]
    between = domain.values_between(identity)
    turn = domain.root_of_unity(2 * size)
    assert between[0, [0, 1, size - 1]].tolist() == [turn, pow(turn, 3, PRIME), pow(turn, 2 * size - 1, PRIME)]
