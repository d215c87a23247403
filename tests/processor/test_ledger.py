"""The ledger: appended without gaps, read back as far as it matters, refused when it is not whole."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.errors import StateError
from prio_assets.processor.ledger import Decision, read_ledger
from prio_assets.processor.steps import STATE, take_all
from prio_assets.wire import names
from prio_assets.wire.records import LedgerEntry, ListedBatch, Parameters, decode, encode
from prio_assets.wire.uuids import uuid_columns, uuid_values
from prio_assets.wire.windows import Window, to_ms
from tests.faults.memory_store import MemoryStore

AGGREGATION = "com.example.Ledger"
START = datetime(2024, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARAMETERS = Parameters(2, 8.0, 4293918721, 2, None)


def window(number: int) -> Window:
    return Window(START + number * HOUR, START + (number + 1) * HOUR)


def decision(number: int, late: int = 0) -> Decision:
    """The decision of a window, over one batch of its own or of one so many windows before."""
    batch = ListedBatch(UUID(int=number + 1), to_ms(window(number - late).start), b"0" * 32, b"1" * 32, ())
    return Decision(window(number), (batch,), PARAMETERS, 1, [uuid_columns([UUID(int=100 + number)])], b"answer")


def append(store: MemoryStore, decided: Decision, back_to: datetime) -> bool:
    return take_all(read_ledger(store, AGGREGATION, back_to).append(decided), {STATE: store})


def ledger_of(order: list[int]) -> MemoryStore:
    store = MemoryStore("state")
    for number in order:
        assert append(store, decision(number), START)
    return store


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), unique=True, max_size=8), st.integers(0, 10))
def test_what_is_read_is_what_ends_late_enough(order: list[int], back_to: int) -> None:
    ledger = read_ledger(ledger_of(order), AGGREGATION, START + back_to * HOUR)
    relevant = [number for number in order if number + 1 > back_to]
    assert [entry.number for entry in ledger.entries] == [order.index(number) + 1 for number in relevant]
    assert ledger.length == len(order)
    assert ledger.newest_end == (to_ms(window(max(order)).end) if order else 0)
    assert ledger.spent == {UUID(int=number + 1) for number in relevant}
    assert [uuid_values(each) for each in ledger.packets] == [[UUID(int=100 + number)] for number in relevant]
    for number in range(10):
        assert (ledger.entry(window(number)) is not None) == (number in relevant)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=8))
def test_newest_end_is_that_of_all_entries_so_far(order: list[int]) -> None:
    store = ledger_of(order)
    for count in range(1, len(order) + 1):
        entry = decode(LedgerEntry, store.objects[names.ledger_entry(AGGREGATION, count)], "entry")
        assert entry.newest_end == max(to_ms(window(number).end) for number in order[:count])


def test_no_more_is_read_than_matters() -> None:
    store = ledger_of([0, 1, 2, 3])
    store.objects[names.ledger_entry(AGGREGATION, 1)] = b"damaged, and long out of reach"
    assert len(read_ledger(store, AGGREGATION, window(2).start).entries) == 2
    with pytest.raises(StateError, match="0000000001"):
        read_ledger(store, AGGREGATION, window(0).start)


def test_of_two_appends_to_one_ledger_one_stops() -> None:
    store = ledger_of([0])
    seen = read_ledger(store, AGGREGATION, START)
    assert take_all(seen.append(decision(1)), {STATE: store})
    assert not take_all(seen.append(decision(2)), {STATE: store})
    assert read_ledger(store, AGGREGATION, START).entry(window(2)) is None


def test_packets_in_reach_are_those_that_the_other_order_would_compare() -> None:
    """A newer window's packets count for an older one only if that newer one's batches reach back to it."""
    store = MemoryStore("state")
    for decided in (decision(2), decision(3, late=2), decision(4, late=3)):
        append(store, decided, START)
    ledger = read_ledger(store, AGGREGATION, START)
    reached = [[uuid_values(each) for each in ledger.counted_in_reach(window(number))] for number in range(3)]
    assert reached[0] == []
    assert reached[1] == [[UUID(int=103)], [UUID(int=104)]]
    assert reached[2] == [[UUID(int=102)], [UUID(int=103)], [UUID(int=104)]]


@pytest.mark.parametrize("missing", [1, 2])
def test_a_gap_is_refused(missing: int) -> None:
    store = ledger_of([0, 1, 2])
    del store.objects[names.ledger_entry(AGGREGATION, missing)]
    with pytest.raises(StateError, match="gap"):
        read_ledger(store, AGGREGATION, START)


def test_an_entry_of_another_number_is_refused() -> None:
    store = ledger_of([0, 1])
    entries = [names.ledger_entry(AGGREGATION, number) for number in (1, 2)]
    store.objects[entries[1]] = store.objects[entries[0]]
    with pytest.raises(StateError, match="entry 1"):
        read_ledger(store, AGGREGATION, START)


def test_packets_that_are_not_those_of_the_entry_are_refused() -> None:
    store = ledger_of([0])
    name = next(name for name in store.objects if name.startswith("counted/"))
    store.objects[name] = store.objects[name][:-1]
    with pytest.raises(StateError, match="counted"):
        read_ledger(store, AGGREGATION, START)
    del store.objects[name]
    with pytest.raises(StateError, match="counted"):
        read_ledger(store, AGGREGATION, START)
    assert read_ledger(store, AGGREGATION, START, with_counted=False).entries


def test_the_same_decision_gives_the_same_bytes() -> None:
    first, second = MemoryStore("state"), MemoryStore("state")
    for store in (first, second):
        take_all(read_ledger(store, AGGREGATION, START).append(decision(0)), {STATE: store})
    assert first.objects == second.objects
    data = first.objects[names.ledger_entry(AGGREGATION, 1)]
    assert encode(decode(LedgerEntry, data, "entry")) == data
