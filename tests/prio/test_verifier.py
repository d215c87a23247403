"""Verification messages against the vectors and the oracle, and what no forged share survives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.prio import field, proof, seeds, shares
from prio_assets.prio.domain import proof_length, root_of_unity
from prio_assets.prio.field import PRIME
from prio_assets.prio.shares import ShareLayout
from prio_assets.prio.verifier import Messages, proofs_hold, verification_messages
from tests.oracle import server
from tests.vectors import load_vectors

PROOF_VECTORS = load_vectors("proof")
DERIVED = load_vectors("proof_derived")
(TWEAKS,) = [v["cases"] for v in PROOF_VECTORS if "cases" in v]
R_PIT = 998314904


def rows(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def as_lists(messages: Messages) -> list[tuple[int, ...]]:
    return list(zip(*[column.tolist() for column in messages], strict=True))


def split_proofs(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both servers' shares of the data's proofs."""
    packets = len(data)
    proofs = proof.prove(data, proof.draw_elements(packets), proof.draw_elements(packets))
    first, drawn = shares.split(proofs)
    return first, seeds.expand(drawn, proofs.shape[1])


def messages_of_both(first: np.ndarray, second: np.ndarray, point: int, bins: int) -> tuple[Messages, Messages]:
    points = np.full(len(first), point, dtype=np.uint64)
    return verification_messages(first, points, bins, 0), verification_messages(second, points, bins, 1)


@pytest.mark.parametrize("vector", DERIVED, ids=lambda v: f"{v['label']}, {v['dimension']}")
def test_messages_that_the_reference_confirms(vector: dict[str, Any]) -> None:
    point = vector["r_pit"] % PRIME
    both = messages_of_both(rows(vector["share1"]), rows(vector["share2"]), point, vector["dimension"])
    assert as_lists(both[0]) == [tuple(vector["first"].values())]
    assert as_lists(both[1]) == [tuple(vector["second"].values())]
    assert proofs_hold(*both).tolist() == [vector["valid"]]


def test_the_worked_example() -> None:
    second = seeds.expand(np.arange(32, dtype=np.uint8)[np.newaxis], 9)
    first = field.subtract(proof.prove(rows([1, 0]), rows(5), rows(7)), second)
    both = messages_of_both(first, second, 12313, 2)
    assert as_lists(both[0]) == [(3776087557, 3392575863, 3052029495)]
    assert as_lists(both[1]) == [(3126208936, 3260510484, 290312920)]
    sums = [int(field.add(ours, theirs)[0]) for ours, theirs in zip(*both, strict=True)]
    assert sums == [2608377772, 2359167626, 3342342415]
    assert proofs_hold(*both).tolist() == [True]


def test_the_proof_of_the_reference_holds_however_it_is_split() -> None:
    vector, values = PROOF_VECTORS[0], PROOF_VECTORS[1]
    proofs = np.repeat(rows(vector["proof"]), 5, axis=0)
    first, drawn = shares.split(proofs)
    both = messages_of_both(first, seeds.expand(drawn, proofs.shape[1]), vector["eval_at"], vector["dimension"])
    assert proofs_hold(*both).tolist() == [vector["expected_valid"]] * 5
    sums = [set(field.add(ours, theirs).tolist()) for ours, theirs in zip(*both, strict=True)]
    assert sums == [{values["f_r"]}, {values["g_r"]}, {values["h_r"]}]


def test_data_shares_of_the_reference_add_up_to_its_sum() -> None:
    vector = PROOF_VECTORS[2]
    bins = vector["dimension"]
    first, second = split_proofs(rows(*vector["inputs"]))
    assert proofs_hold(*messages_of_both(first, second, vector["eval_at"], bins)).all()
    sums = [field.total(share[:, :bins], axis=0) for share in (first, second)]
    assert field.add(*sums).tolist() == vector["expected_sum"]


def test_many_clients_as_in_the_reference() -> None:
    vector = PROOF_VECTORS[3]
    bins, clients = vector["dimension"], vector["clients"]
    data = np.random.default_rng(1).integers(0, 2, (clients, bins), dtype=np.uint64)
    first, second = split_proofs(data)
    assert proofs_hold(*messages_of_both(first, second, R_PIT, bins)).all()
    sums = [field.total(share[:, :bins], axis=0) for share in (first, second)]
    assert field.add(*sums).tolist() == data.sum(axis=0).tolist()


@pytest.mark.parametrize("case", TWEAKS, ids=lambda case: case["test"])
def test_tweaks_of_the_reference(case: dict[str, Any]) -> None:
    layout = ShareLayout(PROOF_VECTORS[4]["dimension"])
    data = np.zeros((1, layout.bins), dtype=np.uint64)
    data[0, 0] = 2 if case["test"] == "tweak_input" else 0
    first, second = split_proofs(data)
    columns = {"data": 0, "f_zero": layout.f0, "g_zero": layout.g0, "h_zero": layout.h0, "h_points": layout.bins + 3}
    tweaked = case["test"].removeprefix("tweak_")
    if tweaked in columns:
        first[:, columns[tweaked]] = field.add(first[:, columns[tweaked]], 1)
    ours, theirs = messages_of_both(first, second, R_PIT, layout.bins)
    verified = {"f_verif": 0, "g_verif": 1, "h_verif": 2}
    if tweaked in verified:
        ours[verified[tweaked]][:] = field.add(ours[verified[tweaked]], 1)
    assert proofs_hold(ours, theirs).tolist() == [case["expected_valid"]]


@pytest.mark.parametrize("bins", [1, 7, 8, 40])
@pytest.mark.parametrize("tampered", [0, 1])
def test_a_change_of_any_share_element_breaks_the_proof(bins: int, tampered: int) -> None:
    length = proof_length(bins)
    data = np.random.default_rng(bins).integers(0, 2, (length + 1, bins), dtype=np.uint64)
    both_shares = split_proofs(data)
    # One packet for each element, and a last one that is left as it was.
    changed = np.arange(length)
    both_shares[tampered][changed, changed] = field.add(both_shares[tampered][changed, changed], 1 + bins)
    held = proofs_hold(*messages_of_both(*both_shares, R_PIT, bins))
    assert held.tolist() == [False] * length + [True]


@pytest.mark.parametrize("lie", [2, PRIME - 1, 1000])
def test_data_that_are_no_bits_break_the_proof(lie: int) -> None:
    data = np.ones((9, 9), dtype=np.uint64)
    np.fill_diagonal(data, lie)
    assert not proofs_hold(*messages_of_both(*split_proofs(data), R_PIT, 9)).any()


@given(st.integers(1, 40), st.data())
@settings(max_examples=15, deadline=None)
def test_messages_of_any_share_equal_those_of_the_oracle(bins: int, data: st.DataObject) -> None:
    length = proof_length(bins)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    given_shares = random.integers(0, PRIME, (2, length), dtype=np.uint64)
    points = data.draw(st.lists(st.integers(0, PRIME - 1), min_size=2, max_size=2))
    server_index = data.draw(st.sampled_from([0, 1]))
    expected = [
        server.messages(share, point, bins, server_index)
        for share, point in zip(given_shares.tolist(), points, strict=True)
    ]
    assert as_lists(verification_messages(given_shares, rows(*points), bins, server_index)) == expected


@pytest.mark.parametrize("bins", [1, 5, 8])
def test_messages_at_every_root_of_unity_equal_those_of_the_oracle(bins: int) -> None:
    layout = ShareLayout(bins)
    points = [pow(root_of_unity(2 * layout.size), i, PRIME) for i in range(2 * layout.size)]
    given_shares = np.random.default_rng(bins).integers(0, PRIME, (len(points), layout.length), dtype=np.uint64)
    expected = [
        server.messages(share, point, bins, 0) for share, point in zip(given_shares.tolist(), points, strict=True)
    ]
    assert as_lists(verification_messages(given_shares, rows(*points), bins, 0)) == expected


@given(st.tuples(*[st.integers(0, PRIME - 1)] * 6))
def test_proofs_hold_as_in_the_oracle(values: tuple[int, ...]) -> None:
    first, second = values[:3], values[3:]
    completing = (((first[0] + second[0]) * (first[1] + second[1])) - first[2]) % PRIME
    for h in (second[2], completing):
        theirs = (*second[:2], h)
        held = proofs_hold(tuple(rows(v) for v in first), tuple(rows(v) for v in theirs))
        assert held.tolist() == [server.holds(first, theirs)]
    assert server.holds(first, (*second[:2], completing))
