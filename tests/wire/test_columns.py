"""UUID columns against Python's sets and dictionaries."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.wire.columns import (
    NO_UUIDS,
    contained,
    duplicated,
    first_occurrences,
    positions,
    sort_uuids,
)
from prio_assets.wire.uuids import uuid_columns, uuid_values

# Few values, among them neighbours and one with trailing zeros, which numpy's byte strings would drop.
values = st.sampled_from([0, 1, 2**64, 2**64 - 1, 2**127, 2**128 - 1, 0xAB << 120, 0xAB00 << 112]).map(
    lambda number: number.to_bytes(16, "big")
)
columns = st.lists(values, max_size=12)


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


@given(columns, columns.map(lambda items: list(dict.fromkeys(items))))
def test_positions(items: list[bytes], within: list[bytes]) -> None:
    found = positions(column(items), column(within)).tolist()
    assert found == [within.index(item) if item in within else -1 for item in items]


@given(columns, columns)
def test_contained(items: list[bytes], within: list[bytes]) -> None:
    assert contained(column(items), column(within)).tolist() == [item in within for item in items]


def test_nothing() -> None:
    assert sort_uuids(NO_UUIDS).shape == (0, 16)
    assert not len(duplicated(NO_UUIDS)) and not len(first_occurrences(NO_UUIDS))


@given(columns)
def test_columns_and_values(items: list[bytes]) -> None:
    assert rows(uuid_columns(uuid_values(column(items)))) == items
