"""Proofs against the reference's vectors and the oracle."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.prio import proof, seeds, shares
from prio_assets.prio.field import PRIME
from tests.oracle import client
from tests.vectors import load_vectors

DERIVED = load_vectors("proof_derived")
elements = st.integers(0, PRIME - 1)


def rows(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_the_worked_example() -> None:
    proofs = proof.prove(rows([1, 0]), rows(5), rows(7))
    first, drawn = shares.split(proofs, lambda count: bytes(range(count)))
    assert proofs.tolist() == [[1, 0, 5, 7, 35, 9107821, 3658311728, 2416115558, 2504302318]]
    assert seeds.expand(drawn, 9)[0].tolist() == [
        1961885191, 1845745121, 300813968, 2475857038, 80069266, 42077400, 1652390214, 148830603, 1731731914
    ]  # fmt: skip
    assert first[0].tolist() == [
        2332033531, 2448173600, 3993104758, 1818061690, 4213849490, 4260949142, 2005921514, 2267284955, 772570404
    ]  # fmt: skip


def test_the_proof_of_the_reference() -> None:
    vector = load_vectors("proof")[0]
    proofs = proof.prove(rows(vector["data"]), rows(vector["f0"]), rows(vector["g0"]))
    assert proofs[0].tolist() == vector["proof"]
    layout = shares.ShareLayout(vector["dimension"])
    assert layout.size == vector["n"]
    assert proofs[0, layout.h0] == vector["h0"]
    assert proofs[0, layout.h_points].tolist() == vector["points_h_packed"]


@pytest.mark.parametrize("vector", DERIVED, ids=lambda v: f"{v['label']}, {v['dimension']}")
def test_proofs_and_shares_that_the_reference_confirms(vector: dict[str, Any]) -> None:
    proofs = proof.prove(rows(vector["data"]), rows(vector["f0"]), rows(vector["g0"]))
    first, drawn = shares.split(proofs, lambda count: bytes.fromhex(vector["seed_hex"]))
    assert proofs[0].tolist() == vector["proof"]
    assert first[0].tolist() == vector["share1"]
    assert seeds.expand(drawn, proofs.shape[1])[0].tolist() == vector["share2"]
    assert shares.share_bytes(first)[0].tobytes().hex() == vector["share1_hex"]


@given(st.integers(1, 40), st.data())
@settings(max_examples=15, deadline=None)
def test_proofs_of_any_values_equal_those_of_the_oracle(bins: int, data: st.DataObject) -> None:
    vector = st.lists(st.one_of(st.integers(0, 1), elements), min_size=bins, max_size=bins)
    packets = data.draw(st.lists(st.tuples(vector, elements, elements), min_size=1, max_size=2))
    values, f0, g0 = zip(*packets, strict=True)
    assert proof.prove(rows(*values), rows(*f0), rows(*g0)).tolist() == [client.prove(*packet) for packet in packets]


def test_drawn_elements_skip_the_words_that_are_none() -> None:
    source = iter([(2**32 - 1).to_bytes(4, "little") + (7).to_bytes(4, "little"), (PRIME - 1).to_bytes(4, "little")])
    assert proof.draw_elements(2, lambda count: next(source)).tolist() == [7, PRIME - 1]


def test_as_many_elements_are_drawn_as_asked() -> None:
    assert proof.draw_elements(0).size == 0
    drawn = proof.draw_elements(5000)
    assert drawn.dtype == np.uint64
    assert drawn.size == 5000
    assert (drawn < PRIME).all()
    assert np.unique(drawn).size > 4900
