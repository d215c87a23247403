"""The ledger: which batches were spent in which window, one numbered entry a decision, never changed or deleted.

Entries are created only if absent, without gaps, so two runs of one processor cannot both build on the same last entry,
and neither a batch nor a window can be spent twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

from prio_assets.errors import BatchRejected, MalformedError, ObjectMissingError, StateError
from prio_assets.processor.counted import CountedObject, is_counted_object, uuids_of
from prio_assets.processor.steps import STATE, Create, Step, WritePieces
from prio_assets.storage.base import Store, read_bytes
from prio_assets.wire import names
from prio_assets.wire.columns import Uuids
from prio_assets.wire.packets import digest
from prio_assets.wire.records import LedgerEntry, ListedBatch, Parameters, decode, encode
from prio_assets.wire.windows import Window, from_ms, to_ms


@dataclass(frozen=True)
class Decision:
    """What a ledger entry records: the set of a window (empty: the window is closed) and the packets that it counts.

    `counted` are columns in any order. `answer` is the second processor's signed list; None toward a peer that knows no
    lists.
    """

    window: Window
    batches: tuple[ListedBatch, ...]
    parameters: Parameters
    minimum_clients: int
    counted: Sequence[Uuids]
    answer: bytes | None


@dataclass(frozen=True)
class Ledger:
    """The part of an aggregation's ledger that a window's decision depends on.

    `length` and `newest_end` (ms) are of the whole ledger; `entries`, oldest first, are those of windows that end late
    enough to matter, `packets` those that each counts (empty where they were not read).
    """

    aggregation: str
    length: int
    newest_end: int
    entries: tuple[LedgerEntry, ...]
    packets: tuple[Uuids, ...]

    def counted_in_reach(self, window: Window) -> list[Uuids]:
        """The packets, by entry, that whoever decided must have compared with those of `window`, in whatever order.

        When it decided `window` before a newer one, it looked back from that one no further than its batches reach.
        """
        end = to_ms(window.end)
        return [uuids for entry, uuids in zip(self.entries, self.packets, strict=True) if _reach(entry) < end]

    @cached_property
    def spent(self) -> frozenset[UUID]:
        """The batches that stand in a set of these entries."""
        return frozenset(listed.batch_uuid for entry in self.entries for listed in entry.batches)

    def entry(self, window: Window) -> LedgerEntry | None:
        """The decision about this window, None while it is open."""
        times = (to_ms(window.start), to_ms(window.end))
        for entry in self.entries:
            if (entry.aggregation_start_time, entry.aggregation_end_time) == times:
                return entry
        return None

    def append(self, decision: Decision) -> list[Step]:
        """The steps that append a decision: the packets that it counts, then the entry, if its number is still free."""
        packets = CountedObject(decision.counted)
        end = to_ms(decision.window.end)
        parameters = decision.parameters
        entry = LedgerEntry(
            number=self.length + 1,
            aggregation_start_time=to_ms(decision.window.start),
            aggregation_end_time=end,
            newest_end=max(end, self.newest_end),
            minimum_clients=decision.minimum_clients,
            bins=parameters.bins,
            epsilon=parameters.epsilon,
            prime=parameters.prime,
            number_of_servers=parameters.number_of_servers,
            hamming_weight=parameters.hamming_weight,
            batches=decision.batches,
            answer=decision.answer,
            counted_digest=packets.digest,
        )
        return [
            WritePieces(STATE, names.counted(self.aggregation, packets.digest), packets),
            Create(STATE, names.ledger_entry(self.aggregation, entry.number), encode(entry), stop_if_taken=True),
        ]


def read_ledger(state: Store, aggregation: str, back_to: datetime, *, with_counted: bool = True) -> Ledger:
    """The ledger with its entries of windows that end after `back_to`: only these can hold a batch that is not older.

    Read from the newest back to the first whose `newest_end` says that none before it is of such a window. Raises
    `StateError` where a number is missing or an entry cannot be read.
    """
    length, earliest = _length(state, aggregation), to_ms(back_to)
    read: list[LedgerEntry] = []
    for number in range(length, 0, -1):
        read.append(_read_entry(state, aggregation, number))
        if read[-1].newest_end <= earliest:
            break
    entries = tuple(entry for entry in reversed(read) if entry.aggregation_end_time > earliest)
    packets = tuple(read_counted(state, aggregation, entry) for entry in entries) if with_counted else ()
    newest_end = read[0].newest_end if read else 0
    return Ledger(aggregation, length, newest_end, entries, packets)


def read_counted(state: Store, aggregation: str, entry: LedgerEntry) -> Uuids:
    """The sorted UUIDs of the packets that an entry counts, uint8 of shape [n, 16]."""
    name = names.counted(aggregation, entry.counted_digest)
    data = _read(state, name)
    if digest(data) != entry.counted_digest:
        raise StateError(f"{name} is not what ledger entry {entry.number} of {aggregation} names; restore it")
    try:
        return uuids_of(data, name)
    except MalformedError as error:
        raise StateError(f"the ledger is damaged, restore it: {error}") from error


def counts_just(state: Store, aggregation: str, entry: LedgerEntry, columns: Sequence[Uuids]) -> bool:
    """Whether the entry counts the packets in the columns, and no others."""
    try:
        with state.open_read(names.counted(aggregation, entry.counted_digest)) as stream:
            return is_counted_object(columns, stream, entry.counted_digest)
    except ObjectMissingError as error:
        raise StateError(f"the ledger is not whole, restore it: {error}") from error


def _reach(entry: LedgerEntry) -> int:
    """The earliest time, in ms, that the entry's window or one of its batches has."""
    return min([entry.aggregation_start_time, *(listed.batch_time for listed in entry.batches)])


def _read_entry(state: Store, aggregation: str, number: int) -> LedgerEntry:
    name = names.ledger_entry(aggregation, number)
    try:
        entry = decode(LedgerEntry, _read(state, name), name)
        for time in (entry.aggregation_start_time, entry.aggregation_end_time, *(b.batch_time for b in entry.batches)):
            from_ms(time)
    except MalformedError as error:
        raise StateError(f"the ledger is damaged, restore it: {error}") from error
    if entry.number != number:
        raise StateError(f"{name} says that it is entry {entry.number}; the state storage was tampered with")
    return entry


def _length(state: Store, aggregation: str) -> int:
    found = (names.parse_ledger_entry(name) for name, _ in state.list(names.ledger(aggregation)))
    numbers = [entry[1] for entry in found if entry is not None]
    if numbers != list(range(1, len(numbers) + 1)):
        raise StateError(
            f"the ledger of {aggregation} has a gap: {len(numbers)} entries up to number {max(numbers)}; nothing is "
            "decided before it is restored"
        )
    return len(numbers)


def _read(state: Store, name: str) -> bytes:
    try:
        return read_bytes(state, name)
    except (ObjectMissingError, BatchRejected) as error:
        raise StateError(f"the ledger is not whole, restore it: {error}") from error
