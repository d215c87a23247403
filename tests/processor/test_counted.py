"""The object that names a ledger entry's packets, against the encoding of the record as any other."""

import io
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.errors import MalformedError
from prio_assets.processor.counted import CountedObject, is_counted_object, uuids_of
from prio_assets.wire.columns import Uuids
from prio_assets.wire.containers import SYNC_BYTES
from prio_assets.wire.packets import digest
from prio_assets.wire.records import Counted, encode

uuids = st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), bytes(15) + b"\1", b"\xff" * 16])
groups = st.lists(st.lists(uuids, max_size=6), max_size=4)


def columns_of(items: Sequence[Sequence[bytes]]) -> list[Uuids]:
    return [np.frombuffer(b"".join(each), dtype=np.uint8).reshape(-1, 16) for each in items]


def counted_object(columns: Sequence[Uuids]) -> bytes:
    return b"".join(CountedObject(columns))


def plain_object(items: Sequence[Sequence[bytes]]) -> bytes:
    return encode(Counted(b"".join(sorted({uuid for each in items for uuid in each}))))


@given(groups, st.sampled_from([1, 2**18]))
def test_the_object_is_the_record_of_the_sorted_uuids(items: list[list[bytes]], held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prio_assets.wire.columns._RANGE_UUIDS", held)
        data = counted_object(columns_of(items))
        assert CountedObject(columns_of(items)).digest == digest(data)
        assert is_counted_object(columns_of(items), io.BytesIO(data), digest(data))
    plain = plain_object(items)
    assert data.replace(data[-SYNC_BYTES:], plain[-SYNC_BYTES:]) == plain, "but for the sync marker"
    assert uuids_of(data, "x").tobytes() == b"".join(sorted({uuid for each in items for uuid in each}))


@given(groups.flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))))
def test_the_object_does_not_depend_on_the_order(both: tuple[list[list[bytes]], list[list[bytes]]]) -> None:
    items, others = both
    assert counted_object(columns_of(items)) == counted_object(columns_of([each[::-1] for each in others]))


def test_other_packets_have_another_sync_marker() -> None:
    first, second = (counted_object(columns_of([[bytes(15) + last]])) for last in (b"\1", b"\2"))
    assert first[-SYNC_BYTES:] != second[-SYNC_BYTES:]


@given(groups, groups)
def test_other_packets_have_another_object(items: list[list[bytes]], others: list[list[bytes]]) -> None:
    data = plain_object(others)
    same = {uuid for each in items for uuid in each} == {uuid for each in others for uuid in each}
    assert is_counted_object(columns_of(items), io.BytesIO(data), digest(data)) == same


@pytest.mark.parametrize("stored", [b"", b"garbage" * 100])
def test_what_is_not_the_object_of_the_digest_is_told(stored: bytes) -> None:
    columns = columns_of([[bytes(16)]])
    assert not is_counted_object(columns, io.BytesIO(stored), digest(counted_object(columns)))


def test_an_object_of_broken_uuids_is_malformed() -> None:
    with pytest.raises(MalformedError, match="x does not hold whole UUIDs"):
        uuids_of(encode(Counted(bytes(17))), "x")


def test_little_more_is_held_than_the_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A range of them, and nothing of the object that is as large as they are."""
    monkeypatch.setattr("prio_assets.wire.columns._RANGE_UUIDS", 2**12)
    random = np.random.default_rng(0)
    columns = [random.integers(0, 256, (1000, 16), dtype=np.uint8) for _ in range(200)]
    number = sum(map(len, columns))
    data = counted_object(columns)
    for work in (
        lambda: is_counted_object(columns, io.BytesIO(data), digest(data)),
        lambda: sum(map(len, CountedObject(columns))),
    ):
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 6 * number
