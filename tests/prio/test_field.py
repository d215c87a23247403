"""Field arithmetic against Python integers and the reference's constants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.prio import domain, field
from prio_assets.prio.field import PRIME
from tests.vectors import load_vectors

EDGES = [0, 1, 2, 2**16, 2**20, 2**31, 2**32 - 2**20, PRIME - 2, PRIME - 1]
elements = st.one_of(st.sampled_from(EDGES), st.integers(0, PRIME - 1))
VECTORS = load_vectors("field")


def column(*values: int) -> field.Elements:
    return np.array(values, dtype=np.uint64)


@given(st.lists(st.tuples(elements, elements), min_size=1, max_size=20))
def test_arithmetic_equals_that_of_integers(pairs: list[tuple[int, int]]) -> None:
    a, b = column(*[x for x, _ in pairs]), column(*[y for _, y in pairs])
    assert field.add(a, b).tolist() == [(x + y) % PRIME for x, y in pairs]
    assert field.subtract(a, b).tolist() == [(x - y) % PRIME for x, y in pairs]
    assert field.multiply(a, b).tolist() == [x * y % PRIME for x, y in pairs]
    assert field.dot(a, b, axis=0).tolist() == [sum(x * y for x, y in pairs) % PRIME]
    assert field.total(a, axis=0).tolist() == [sum(x for x, _ in pairs) % PRIME]


@given(elements, st.integers(0, 2**33))
def test_power_and_inverse_equal_those_of_integers(a: int, exponent: int) -> None:
    assert field.power(column(a), exponent).tolist() == [pow(a, exponent, PRIME)]
    assert field.inverse(column(a)).tolist() == [pow(a, -1, PRIME) if a else 0]


@given(st.integers(0, 2**64 - 1))
def test_reduce_takes_any_word(word: int) -> None:
    assert field.reduce(column(word)).tolist() == [word % PRIME]


def test_arguments_are_left_as_they_were() -> None:
    a, b = column(*EDGES), column(*EDGES[::-1])
    for operation in (field.add, field.subtract, field.multiply):
        operation(a, b)
    field.dot(a, b, axis=0)
    assert a.tolist() == EDGES
    assert b.tolist() == EDGES[::-1]


def test_sums_of_the_greatest_products_do_not_overflow() -> None:
    greatest = np.full((2, 2**20), PRIME - 1, dtype=np.uint64)
    assert field.dot(greatest, greatest, axis=1).tolist() == [2**20, 2**20]
    assert field.total(greatest, axis=1).tolist() == [-(2**20) % PRIME] * 2


def test_axes_are_summed_as_asked() -> None:
    a = column(1, 2, 3, 4).reshape(2, 2)
    assert field.total(a, axis=0).tolist() == [4, 6]
    assert field.dot(a, a, axis=1).tolist() == [5, 25]
    assert field.total(np.empty((0, 3), dtype=np.uint64), axis=0).tolist() == [0, 0, 0]


def test_roots_of_the_reference() -> None:
    constants = VECTORS[0]
    assert constants["p"] == PRIME
    assert [domain.root_of_unity(2**order) for order in range(21)] == constants["roots_plain"]
    montgomery = [root * pow(2, 128, PRIME) % PRIME for root in constants["roots_plain"]]
    assert montgomery == constants["roots_montgomery"]
    generator = VECTORS[1]
    assert generator["expected_p"] == PRIME
    assert domain.root_of_unity(generator["expected_order"]) == generator["expected_g_plain"]


def test_relations_of_the_reference() -> None:
    assert len(VECTORS[3]["relations"]) == 14
    one, two = column(1), column(2)
    assert field.add(column(PRIME - 1), one).tolist() == [0]
    assert field.add(one, one).tolist() == [2]
    assert field.add(two, field.reduce(column(PRIME))).tolist() == [2]
    assert field.subtract(column(0), one).tolist() == [PRIME - 1]
    assert field.subtract(two, field.reduce(column(PRIME))).tolist() == [2]
    assert field.subtract(one, column(PRIME - 1)).tolist() == [2]
    assert field.multiply(two, two).tolist() == [4]
    assert field.multiply(one, field.reduce(column(PRIME))).tolist() == [0]
    assert field.multiply(column(4), field.inverse(two)).tolist() == [2]
    assert field.multiply(column(0), field.inverse(two)).tolist() == [0]
    assert field.inverse(column(0)).tolist() == [0]
    assert field.power(two, PRIME - 1).tolist() == [1]
    assert field.power(two, PRIME).tolist() == [2]
    example = VECTORS[2]["mul_example"]
    assert field.multiply(column(example["x"]), column(example["y"])).tolist() == [example["product"]]


def test_vectors_are_merged_as_in_the_reference() -> None:
    vector = VECTORS[4]
    assert field.add(column(*vector["lhs"]), column(*vector["rhs"])).tolist() == vector["result"]
    with pytest.raises(ValueError, match="broadcast"):
        field.add(column(*vector["lhs"]), column(*vector["rhs"][1:]))


def test_bytes_are_little_endian_words() -> None:
    vector = VECTORS[5]
    encoded = field.to_bytes(column(*vector["elements"]))
    assert encoded.tobytes().hex() == vector["serialized_hex"]
    assert field.from_bytes(encoded).tolist() == vector["elements"]


@given(st.lists(st.lists(elements, min_size=3, max_size=3), min_size=1, max_size=5))
def test_bytes_of_rows_come_back(rows: list[list[int]]) -> None:
    encoded = field.to_bytes(np.array(rows, dtype=np.uint64))
    assert encoded.shape == (len(rows), 12)
    assert field.from_bytes(encoded).tolist() == rows


def test_words_of_the_prime_or_more_are_no_elements() -> None:
    assert field.is_element(column(0, PRIME - 1, PRIME, 2**32 - 1)).tolist() == [True, True, False, False]


def test_polynomials_of_the_reference_evaluate_alike() -> None:
    for case in VECTORS[8]["cases"]:
        powers = column(*[case["x"] ** k for k in range(len(case["coefficients"]))])
        assert field.dot(column(*case["coefficients"]), powers, axis=0).tolist() == [case["value"]]
