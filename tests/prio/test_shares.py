"""The layout and the split of proofs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.errors import ConfigurationError
from prio_assets.prio import field, seeds, shares
from prio_assets.prio.field import PRIME
from prio_assets.prio.shares import ShareLayout
from tests.vectors import load_vectors


def test_the_layout_of_the_reference() -> None:
    (vector,) = [v for v in load_vectors("field") if "f0_index" in v]
    layout = ShareLayout(vector["dimension"])
    assert layout.length == vector["proof_length"]
    assert layout.f0 == vector["f0_index"]


@given(st.integers(1, 524287))
def test_the_parts_cover_the_vector_once(bins: int) -> None:
    layout = ShareLayout(bins)
    assert layout.data == slice(0, bins)
    assert [layout.f0, layout.g0, layout.h0] == [bins, bins + 1, bins + 2]
    assert (layout.h_points.start, layout.h_points.stop) == (bins + 3, layout.length)
    assert layout.h_points.stop - layout.h_points.start == layout.size


def test_bins_out_of_range_have_no_layout() -> None:
    with pytest.raises(ConfigurationError):
        _ = ShareLayout(524288).length


def test_both_shares_add_up_to_the_proof() -> None:
    (vector,) = [v for v in load_vectors("field") if "vector_length" in v]
    proofs = np.zeros((2, vector["vector_length"]), dtype=np.uint64)
    for index, value in vector["nonzero"].items():
        proofs[0, int(index)] = value
    proofs[1] = PRIME - 1
    first, drawn = shares.split(proofs)
    assert drawn.shape == (2, 32)
    assert (first < PRIME).all()
    assert field.add(first, seeds.expand(drawn, vector["vector_length"])).tolist() == proofs.tolist()


def test_the_split_of_the_reference_restores_its_vector() -> None:
    (vector,) = [v for v in load_vectors("prng") if "nonzero" in v]
    proofs = np.zeros((1, vector["length"]), dtype=np.uint64)
    for index, value in vector["nonzero"].items():
        proofs[0, int(index)] = value
    first, drawn = shares.split(proofs)
    assert field.add(first, seeds.expand(drawn, vector["length"])).tolist() == proofs.tolist()


def test_the_same_randomness_gives_the_same_shares_and_packets_differ() -> None:
    proofs = np.ones((2, 9), dtype=np.uint64)
    first, drawn = shares.split(proofs, lambda count: bytes(range(count)))
    again, _ = shares.split(proofs, lambda count: bytes(range(count)))
    assert drawn.tobytes() == bytes(range(64))
    assert first.tolist() == again.tolist()
    assert first[0].tolist() != first[1].tolist()


def test_share_bytes_are_the_first_servers_plaintexts() -> None:
    first = np.array([[1, 2], [PRIME - 1, 256]], dtype=np.uint64)
    assert [row.tobytes().hex() for row in shares.share_bytes(first)] == ["0100000002000000", "0000f0ff00010000"]
