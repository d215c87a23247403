"""Seed expansion against the reference's vectors and a block-by-block oracle."""

import base64
import hashlib
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.prio import field, seeds
from tests.oracle import stream
from tests.vectors import load_vectors

VECTORS = load_vectors("prng")
COUNTING_SEED = bytes(range(32))


def seed_rows(*given_seeds: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(given_seeds), dtype=np.uint8).reshape(-1, 32)


def seed_of(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["seed_hex"]) if "seed_hex" in vector else base64.b64decode(vector["seed_base64"])


@pytest.mark.parametrize("vector", [v for v in VECTORS if "elements" in v])
def test_elements_of_the_reference(vector: dict[str, Any]) -> None:
    assert seeds.expand(seed_rows(seed_of(vector)), vector["length"])[0].tolist() == vector["elements"]


def test_long_expansions_of_the_reference_have_its_hashes() -> None:
    vectors = [v for v in VECTORS if "sha256_of_u32le_serialization_base64" in v]
    assert len(vectors) == 5
    expanded = seeds.expand(seed_rows(*[seed_of(v) for v in vectors]), 100000)
    hashes = [base64.b64encode(hashlib.sha256(field.to_bytes(row)).digest()).decode() for row in expanded]
    assert hashes == [v["sha256_of_u32le_serialization_base64"] for v in vectors]


def test_exactly_the_words_that_are_no_elements_are_dropped() -> None:
    (vector,) = [v for v in VECTORS if "rejected" in v]
    indices = [rejected["index"] for rejected in vector["rejected"]]
    (words,) = seeds._streams(seed_rows(seed_of(vector)), 30000 // 4)
    assert [int(words[i]) for i in indices] == [rejected["value"] for rejected in vector["rejected"]]
    expected = np.delete(words, indices)
    assert np.array_equal(seeds.expand(seed_rows(seed_of(vector)), expected.size)[0], expected)


@given(st.lists(st.binary(min_size=24, max_size=24), min_size=1, max_size=4), st.integers(1, 60), st.integers(0, 8))
@settings(max_examples=50)
def test_the_counter_wraps_in_its_low_half_only(heads: list[bytes], length: int, before_wrap: int) -> None:
    given_seeds = [head + (-before_wrap % 2**64).to_bytes(8, "big") for head in heads]
    expected = [stream.expand(seed, length) for seed in given_seeds]
    assert seeds.expand(seed_rows(*given_seeds), length).tolist() == expected


@pytest.mark.parametrize("length", [2937, 2938, 2939, 9112, 9113, 9114])
def test_lengths_around_a_dropped_word(length: int) -> None:
    given_seeds = [COUNTING_SEED, b"\xff" * 32, COUNTING_SEED]
    expected = [stream.expand(seed, length) for seed in given_seeds]
    assert seeds.expand(seed_rows(*given_seeds), length).tolist() == expected


def test_streams_that_are_too_short_are_made_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "_spare_words", lambda length: 0)
    given_seeds = [COUNTING_SEED, b"\x01" * 32, b"\xff" * 32]
    length = 30000
    expected = [stream.expand(seed, length) for seed in given_seeds]
    assert seeds.expand(seed_rows(*given_seeds), length).tolist() == expected


def test_no_seeds_give_no_rows() -> None:
    assert seeds.expand(np.empty((0, 32), dtype=np.uint8), 9).shape == (0, 9)


def test_the_longest_expansion_is_right_and_bounded_in_memory() -> None:
    length = 1048578
    tracemalloc.start()
    expanded = seeds.expand(seed_rows(COUNTING_SEED), length)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert expanded.shape == (1, length)
    assert peak < 32 * length
    (words,) = seeds._streams(seed_rows(COUNTING_SEED), length // 4 + 200)
    assert np.array_equal(expanded[0], words[words < field.PRIME][:length])
