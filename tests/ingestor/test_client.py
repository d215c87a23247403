"""Rows become shares that servers accept, and that add up to the rows."""

import numpy as np
import pytest

from prio_assets.errors import ConfigurationError, MalformedError
from prio_assets.ingestor import client
from prio_assets.ingestor.client import Payloads, encrypt_proofs, prove_rows, random_rows, upload
from tests.ingestor.parties import POINTS, SCALARS, repeatable
from tests.oracle import server
from tests.oracle.polynomials import PRIME

R_PIT = 12313


def check(payloads: Payloads, bins: int) -> list[tuple[bool, list[int]]]:
    """Of each client whether the oracle's servers accept the proof, and the row that the shares add up to."""
    found = []
    for pair in zip(payloads.pha, payloads.facilitator, strict=True):
        answers = [server.verify(pair[index], R_PIT, [SCALARS[index]], bins, index) for index in (0, 1)]
        assert [status for status, _, _ in answers] == ["accepted", "accepted"]
        row = [sum(values) % PRIME for values in zip(answers[0][2], answers[1][2], strict=True)]
        found.append((server.holds(answers[0][1], answers[1][1]), row))
    return found


@pytest.mark.parametrize("bins", [1, 3, 300])
def test_honest_rows_are_accepted_and_recovered(bins: int) -> None:
    rows = random_rows(3, bins, repeatable(f"rows {bins}"))
    assert check(upload(rows, POINTS, repeatable("clients")), bins) == [(True, row) for row in rows.tolist()]


def test_a_row_with_other_values_than_bits_is_not_accepted() -> None:
    rows = np.array([[1, 0, 2], [PRIME - 1, 0, 0], [1, 0, 1]])
    verdicts = [holds for holds, _ in check(upload(rows, POINTS, repeatable("liars")), 3)]
    assert verdicts == [False, False, True]


def test_a_proof_that_was_tampered_with_is_not_accepted() -> None:
    proofs = prove_rows(np.ones((2, 3), dtype=np.uint8), repeatable("proofs"))
    proofs[0, 5] = (proofs[0, 5] + 1) % PRIME  # h0
    verdicts = [holds for holds, _ in check(encrypt_proofs(proofs, POINTS, repeatable("shares")), 3)]
    assert verdicts == [False, True]


def test_the_same_randomness_gives_the_same_payloads() -> None:
    rows = random_rows(2, 5, repeatable("rows"))
    assert upload(rows, POINTS, repeatable("a")) == upload(rows, POINTS, repeatable("a"))
    assert upload(rows, POINTS, repeatable("a")) != upload(rows, POINTS, repeatable("b"))


def test_fresh_randomness_gives_other_payloads_each_time() -> None:
    rows = random_rows(1, 5)
    assert upload(rows, POINTS) != upload(rows, POINTS)


def test_many_rows_are_proved_in_parts_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "packets_per_chunk", lambda bins: 2)
    rows = random_rows(5, 4, repeatable("rows"))
    assert [row for _, row in check(upload(rows, POINTS, repeatable("clients")), 4)] == rows.tolist()


def test_random_rows_are_the_bits_of_the_source() -> None:
    assert random_rows(2, 5, lambda count: b"\xa5\xc0"[:count]).tolist() == [[1, 0, 1, 0, 0], [1, 0, 1, 1, 1]]


@pytest.mark.parametrize("rows", [np.zeros(3, dtype=np.uint8), np.zeros((1, 2)), np.array([[-1]]), np.array([[PRIME]])])
def test_what_is_no_table_of_field_elements_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(MalformedError):
        prove_rows(rows)


@pytest.mark.parametrize("bins", [0, 524288])
def test_numbers_of_bins_that_cannot_be_proved_are_refused(bins: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{bins} bins are not possible"):
        random_rows(0, bins)
