"""UUID columns against Python's sets and dictionaries."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.wire.columns import (
    NO_UUIDS,
    Members,
    _order_of_words,
    contained,
    count_distinct,
    duplicated,
    first_occurrences,
    in_ranges,
    positions,
    sort_uuids,
)
from prio_assets.wire.uuids import uuid_columns, uuid_values

# Few values, among them neighbours and one with trailing zeros, which numpy's byte strings would drop.
values = st.sampled_from([0, 1, 2**64, 2**64 - 1, 2**127, 2**128 - 1, 0xAB << 120, 0xAB00 << 112]).map(
    lambda number: number.to_bytes(16, "big")
)
# What only an attacker sends: all high words the same, so that only the low ones tell; or high and low ones the same.
equal_high_words = st.integers(0, 5).map(lambda low: (7 << 64 | low).to_bytes(16, "big"))
equal_words = st.integers(0, 5).map(lambda word: (word << 60 | word << 124).to_bytes(16, "big"))
columns = st.lists(values, max_size=12) | st.lists(values | equal_high_words | equal_words, max_size=12)


def column(items: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(items), dtype=np.uint8).reshape(-1, 16)


def rows(uuids: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in uuids]


@given(columns)
def test_sorted_once_each(items: list[bytes]) -> None:
    assert rows(sort_uuids(column(items))) == sorted(set(items))


@given(columns)
def test_first_occurrences(items: list[bytes]) -> None:
    expected = [item not in items[:place] for place, item in enumerate(items)]
    assert first_occurrences(column(items)).tolist() == expected


@given(columns)
def test_duplicated(items: list[bytes]) -> None:
    assert duplicated(column(items)).tolist() == [items.count(item) > 1 for item in items]


@given(columns, columns)
def test_members(items: list[bytes], within: list[bytes]) -> None:
    members = Members(column(within))
    for _ in range(2):
        assert members.contain(column(items)).tolist() == [item in within for item in items]


@given(columns, columns.map(lambda items: list(dict.fromkeys(items))))
def test_positions(items: list[bytes], within: list[bytes]) -> None:
    found = positions(column(items), column(within)).tolist()
    assert found == [within.index(item) if item in within else -1 for item in items]


@given(columns, columns)
def test_contained(items: list[bytes], within: list[bytes]) -> None:
    assert contained(column(items), column(within)).tolist() == [item in within for item in items]


@given(st.integers(0), st.integers(0, 3))
@settings(max_examples=20)
def test_columns_of_many_different_uuids(seed: int, tied: int) -> None:
    """Where no high words tie, and where a few of many do."""
    random = Random(seed)
    items = [random.randbytes(16) for _ in range(200)] + [bytes(8) + random.randbytes(8) for _ in range(tied)]
    asked = random.sample(items, 100) + [random.randbytes(16) for _ in range(50)] + [items[0][:8] + random.randbytes(8)]
    random.shuffle(asked)
    found = positions(column(asked), column(items)).tolist()
    assert found == [items.index(item) if item in items else -1 for item in asked]
    assert rows(sort_uuids(column(items))) == sorted(items)
    assert not duplicated(column(items)).any() and first_occurrences(column(items)).all()
    again = [*items, *asked]
    assert duplicated(column(again)).tolist() == [again.count(item) > 1 for item in again]


@given(st.lists(columns, max_size=4), st.lists(columns, max_size=4), st.integers(1, 30))
def test_ranges_hold_each_group_in_its_order(first: list[list[bytes]], second: list[list[bytes]], held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prio_assets.wire.columns._RANGE_UUIDS", held)
        found = list(in_ranges([column(items) for items in first], [column(items) for items in second]))
        distinct = count_distinct([column(items) for items in first])
    for group, columns_of_group in enumerate((first, second)):
        items = [item for each in columns_of_group for item in each]
        ranges = [rows(each[group]) for each in found]
        assert sorted(items) == [item for each in ranges for item in sorted(each)]
        assert all(each == [item for item in items if item in each] for each in ranges)
    assert distinct == len({item for items in first for item in items})
    bounds = [[item for group in each for item in rows(group)] for each in found]
    filled = [each for each in bounds if each]
    assert all(max(before) < min(after) for before, after in pairwise(filled))


def test_a_range_is_a_part_of_the_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prio_assets.wire.columns._RANGE_UUIDS", 100)
    uuids = np.random.default_rng(0).integers(0, 256, (1000, 16), dtype=np.uint8)
    lengths = [len(part) for (part,) in in_ranges([uuids[:300], uuids[300:]])]
    assert sum(lengths) == 1000 and max(lengths) < 120


def test_ranges_of_uuids_that_begin_with_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups, one of them of columns shorter than a sample's step, and one high word that many share."""
    monkeypatch.setattr("prio_assets.wire.columns._RANGE_UUIDS", 100)
    monkeypatch.setattr("prio_assets.wire.columns._SAMPLES_OF_A_RANGE", 20)
    random = Random(0)
    items = [b"minute" + random.randbytes(10) for _ in range(1000)]
    later = [b"minutf" + random.randbytes(10) for _ in range(300)]
    tied = [b"minute\x80\x00" + random.randbytes(8) for _ in range(400)]
    groups = [column(items)], [column([item]) for item in later]
    ranges = [[item for group in each for item in rows(group)] for each in in_ranges(*groups)]
    assert [item for each in ranges for item in sorted(each)] == sorted(items + later)
    assert len(ranges) == 10 and max(map(len, ranges)) < 250
    ranges = [rows(uuids) for (uuids,) in in_ranges([column(items), column(tied)])]
    assert [item for each in ranges for item in sorted(each)] == sorted(items + tied)
    assert sorted(map(len, ranges))[-2] < 200
    assert count_distinct([column(items), column(tied), column(items)]) == 1400


@pytest.mark.parametrize("alike", [slice(0, 6), slice(8, 16)], ids=["a time first", "an address last"])
def test_uuids_with_alike_words_are_joined_as_fast_as_others(alike: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("prio_assets.wire.columns._positions_by_both_words")
    within = np.random.default_rng(0).integers(0, 256, (5000, 16), dtype=np.uint8)
    within[:, alike] = within[0, alike]
    asked = np.concatenate([within[::-2], within[:100] ^ np.uint8(1)])
    places = {item: place for place, item in enumerate(rows(within))}
    assert positions(asked, within).tolist() == [places.get(item, -1) for item in rows(asked)]


def test_words_near_each_other_are_ordered_to_their_last_bit() -> None:
    words = np.random.default_rng(0).permutation(1000).astype(np.uint64) + np.uint64(2**64 - 1000)
    order, tied = _order_of_words(words)
    assert words[order].tolist() == sorted(words.tolist()) and not tied.any()


def test_nothing() -> None:
    assert next(in_ranges([]))[0].shape == (0, 16)
    assert sort_uuids(NO_UUIDS).shape == (0, 16)
    assert not len(duplicated(NO_UUIDS)) and not len(first_occurrences(NO_UUIDS))


@given(columns)
def test_columns_and_values(items: list[bytes]) -> None:
    assert rows(uuid_columns(uuid_values(column(items)))) == items
