"""What must hold, whatever happened: written from the promises, not from the code that keeps them.

A `Witness` looks at the world after every step and remembers all that was ever decided or published. Ranges, packets
and sums are its own computations over the truth of the pool.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

import numpy as np

from prio_assets.errors import MalformedError
from prio_assets.prio.field import PRIME
from prio_assets.wire import names
from prio_assets.wire.batches import open_single_object
from prio_assets.wire.packets import digest
from prio_assets.wire.records import (
    BatchList,
    BatchSignature,
    Counted,
    LedgerEntry,
    ListedBatch,
    State,
    SumPart,
    decode,
)
from prio_assets.wire.windows import Window, from_ms, window_of
from tests.processor.agreement.material import (
    AGGREGATION,
    BATCHES,
    BY_UUID,
    GRACE,
    PERIOD,
    ROWS,
    WINDOWS,
    Batch,
    ingestion_batch,
    packets_by_digest,
)
from tests.processor.agreement.world import World


def window_of_record(record: LedgerEntry | SumPart | BatchList) -> Window:
    return Window(from_ms(record.aggregation_start_time), from_ms(record.aggregation_end_time))


def read_list(data: bytes) -> BatchList:
    """The record in the bytes of a list, whoever signed it."""
    return decode(BatchList, decode(BatchSignature, data, "list").batch_header or b"", "list")


@dataclass(frozen=True)
class Decided:
    """A ledger entry that was seen, and in which life of the state (a new one begins when it is lost)."""

    entry: LedgerEntry
    life: int

    @property
    def window(self) -> Window:
        return window_of_record(self.entry)

    @cached_property
    def batches(self) -> list[Batch]:
        return [BY_UUID[listed.batch_uuid] for listed in self.entry.batches]

    @cached_property
    def counted(self) -> list[UUID]:
        """Every packet that the set counts, as often as it does."""
        return [uuid for listed in self.entry.batches for uuid in sorted(valid_packets(listed) - {*listed.repeated})]


def valid_packets(listed: ListedBatch) -> frozenset[UUID]:
    """The packets whose proof holds and that are in both validations of an entry."""
    known = packets_by_digest()
    return BY_UUID[listed.batch_uuid].valid & known[listed.validity_digest_0] & known[listed.validity_digest_1]


@dataclass
class Witness:
    """Looks at the honest processors of a world."""

    world: World
    decided: dict[int, list[Decided]] = field(default_factory=lambda: {0: [], 1: []})
    parts: dict[tuple[int, Window], SumPart] = field(default_factory=dict)
    lists_seen: dict[tuple[int, Window], list[BatchList]] = field(default_factory=dict)
    has_failed: bool = False
    _known: set[tuple[int, str, bytes]] = field(default_factory=set)

    def observe(self) -> None:
        """Check whatever is new since the last look."""
        was_good, self.has_failed = not self.has_failed, True
        self._observe()
        self.has_failed = not was_good

    def _observe(self) -> None:
        for index in (0, 1):
            for name, data in sorted(self.world.stores[index]["peer_validations"].objects.items()):
                if names.parse_batch_list(name, 1 - index) and self._is_new(index, name, data):
                    self._remember_list(index, data)
        for index in self.world.honest:
            for place in ("state", "sum_parts"):
                for name, data in sorted(self.world.stores[index][place].objects.items()):
                    if self._is_new(index, f"{place}/{name}", data):
                        self._look_at(index, place, name, data)
        assert self.world.disturbed or not self.world.errors, self.world.errors

    def _is_new(self, index: int, name: str, data: bytes) -> bool:
        seen = (index, name, data)
        new = seen not in self._known
        self._known.add(seen)
        return new

    def _remember_list(self, index: int, data: bytes) -> None:
        try:
            record = read_list(data)
            self.lists_seen.setdefault((index, window_of_record(record)), []).append(record)
        except MalformedError:
            return

    def _look_at(self, index: int, place: str, name: str, data: bytes) -> None:
        if place == "state" and names.parse_ledger_entry(name):
            self._check_entry(index, decode(LedgerEntry, data, name))
        elif place == "state" and names.parse_batch_list(name, 0):
            self._check_proposal(read_list(data))
        else:
            found = names.parse_sum_part_object(name, index)
            if found is not None and found[3] == "header":
                part = decode(SumPart, data, name)
                if place == "state":
                    self._check_inputs(index, part)
                else:
                    self._check_part(index, part)

    # Lists and ledgers

    def _check_proposal(self, proposal: BatchList) -> None:
        """The first processor proposes nothing of a window that runs, and nothing below its minimum."""
        assert window_of_record(proposal).end <= self.world.now, "proposed before the window's end"
        clients = {uuid for listed in proposal.batches for uuid in valid_packets(listed)}
        assert len(clients) >= self.world.rules.minimum[0], "a proposal below the minimum"
        if not self.world.has_raced:
            spent = {batch.name.uuid for batch in self._summed(0)}
            assert not spent & {listed.batch_uuid for listed in proposal.batches}, "spent batches are proposed"

    def _check_entry(self, index: int, entry: LedgerEntry) -> None:
        """A decision keeps every rule that its own side must keep against a peer that keeps none."""
        decided = Decided(entry, len([lost for lost in self.world.losses if lost == index]))
        window = decided.window
        assert window.end <= self.world.now, "decided before the window's end"
        assert window in WINDOWS, "decided a window of another period"
        self._check_listed_by_both(index, decided)
        for batch in decided.batches:
            assert batch.name.time < window.end, "a batch of a later window"
        if index == 1:
            self._check_ready_at_follower(decided)
        self._check_counted(index, decided)
        self._check_disjoint(index, decided)
        self.decided[index].append(decided)

    def _check_listed_by_both(self, index: int, decided: Decided) -> None:
        """Each entry was proposed as it is; what the first processor records is what its peer answered."""
        proposed = self.lists_seen.get((1, decided.window), [])
        if index == 0:
            name = names.batch_list(AGGREGATION, decided.window, 0)
            proposed = [read_list(self.world.stores[0]["state"].objects[name])]
            assert decided.entry.answer is not None
            assert read_list(decided.entry.answer).batches == decided.entry.batches
        entries = {replace(listed, repeated=()) for listed in decided.entry.batches}
        assert any(entries <= {*proposal.batches} for proposal in proposed), "decided what was not proposed"

    def _check_ready_at_follower(self, decided: Decided) -> None:
        begin = decided.window.start - timedelta(hours=self.world.rules.late_hours[1])
        for batch in decided.batches:
            assert batch.name.time >= max(begin, self._not_before(1)), f"{batch!r} is too late"
            if (1, batch) not in self.world.changed_under_a_run:
                assert (1, batch) not in self.world.rejected, f"{batch!r} was left out"
                assert self.world.has(1, batch), f"{batch!r} is not here"

    def _check_counted(self, index: int, decided: Decided) -> None:
        counted = decided.counted
        assert len(counted) == len({*counted}), "a packet is counted twice in one set"
        if decided.batches:
            assert len(counted) >= self.world.rules.minimum[index], "a set below the minimum"
        name = names.counted(AGGREGATION, decided.entry.counted_digest)
        kept = decode(Counted, self.world.stores[index]["state"].objects[name], name).uuids
        assert kept == b"".join(uuid.bytes for uuid in sorted(counted)), "the ledger counts other packets"

    def _check_disjoint(self, index: int, decided: Decided) -> None:
        """No batch in two sets, ever; no packet in two as far back as batches may be late."""
        for earlier in self.decided[index]:
            assert not {*earlier.batches} & {*decided.batches}, "a batch is in two sets"
            if earlier.life == decided.life:
                assert earlier.window != decided.window, "a window is decided twice"
                if self._must_compare(index, earlier, decided):
                    assert not {*earlier.counted} & {*decided.counted}, "a packet is in two sets"

    def _must_compare(self, index: int, earlier: Decided, later: Decided) -> bool:
        """The second processor looks back by its limit; the first knows neither that nor the other's order."""
        if index == 1:
            late = timedelta(hours=self.world.rules.late_hours[1])
            return earlier.window.end > later.window.start - late
        older, newer = sorted((earlier, later), key=lambda decided: decided.window)
        return older.window.end > min([newer.window.start, *(batch.name.time for batch in newer.batches)])

    # Sums

    def entries(self, index: int) -> dict[Window, Decided]:
        """The last decision of each window that has a set."""
        return {decided.window: decided for decided in self.decided[index] if decided.batches}

    def _check_inputs(self, index: int, part: SumPart) -> None:
        """A sum is made from the inputs that were decided on, not from what has replaced them."""
        for listed in self.entries(index)[window_of_record(part)].entry.batches:
            batch = BY_UUID[listed.batch_uuid]
            if (index, batch) in self.world.changed_under_a_run:
                continue
            name = names.validity_objects(batch.name, 1 - index).signature
            sealed = open_single_object(self.world.stores[index]["peer_validations"].objects[name], name)
            assert sealed is not None
            wanted = listed.validity_digest_1 if index == 0 else listed.validity_digest_0
            assert digest(sealed.packets) == wanted, "summed with another validation"
            packets = names.ingestion_objects(batch.name).packets
            taken_in = ingestion_batch(batch, index).packets
            assert self.world.stores[index]["ingestion"].objects[packets] == taken_in, "summed another ingestion batch"

    def _check_part(self, index: int, part: SumPart) -> None:
        window = window_of_record(part)
        assert (index, window) not in self.parts, "two versions of a part"
        self.parts[index, window] = part
        decided = self.entries(index)[window]
        assert part.batch_uuids == tuple(batch.name.uuid for batch in decided.batches)
        assert part.total_individual_clients == len(decided.counted), "not as many clients as the ledger counts"
        other = self.parts.get((1 - index, window))
        if other is not None and self.world.rules.evil is None:
            self._check_both_parts(decided, part, other)

    def _check_both_parts(self, decided: Decided, part: SumPart, other: SumPart) -> None:
        assert part.batch_uuids == other.batch_uuids, "the parts are over other batches"
        assert part.total_individual_clients == other.total_individual_clients
        total = (np.array(part.sum, dtype=np.uint64) + np.array(other.sum, dtype=np.uint64)) % PRIME
        assert total.tolist() == sum(ROWS[uuid] for uuid in decided.counted).tolist(), "the sum is not the truth"

    # At rest

    def check_at_rest(self) -> None:
        """Let everything come to rest, in a window that nothing was listed for; then nothing may be missing."""
        world = self.world
        world.cut_runs()
        world.now = window_of(world.now, PERIOD).end + PERIOD + GRACE
        for index in (0, 1):
            world.do(index, world.work(index, "validate"))
        owed = self._owed()
        before: object = None
        while before != (before := [dict(store.objects) for side in world.stores for store in side.values()]):
            world.round()
            self.observe()
        done = {*self._summed(0)} & {*self._summed(1)} | self._stuck()
        counted = {uuid for index in (0, 1) for decided in self.decided[index] for uuid in decided.counted}
        for window, batches in owed.items():
            missing = {uuid for batch in batches - done for uuid in batch.valid} - counted
            assert len(missing) < max(world.rules.minimum), f"{batches - done} could have been summed in {window}"
        self._check_finished()

    def _owed(self) -> dict[Window, set[Batch]]:
        """The batches that are ready at both now, by the windows in their range that no list has touched."""
        earliest = max(self._not_before(index) for index in (0, 1))
        late = timedelta(hours=min(self.world.rules.late_hours))
        ready = {batch for batch in BATCHES if batch.name.time >= earliest and self._is_ready_at_both(batch)}
        return {
            window: {batch for batch in ready if window.start - late <= batch.name.time < window.end}
            for window in self.world.ended_windows()
            if not self._is_touched(window)
        }

    def _is_ready_at_both(self, batch: Batch) -> bool:
        world = self.world
        return batch not in world.spoiled | {rejected for _, rejected in world.rejected} and all(
            world.has(index, batch)
            and names.receipt(batch.name) in world.stores[index]["own_validations"].objects
            and names.validity_objects(batch.name, 1 - index).signature
            in world.stores[index]["peer_validations"].objects
            for index in (0, 1)
        )

    def _is_touched(self, window: Window) -> bool:
        lists = [names.batch_list(AGGREGATION, window, index) for index in (0, 1)]
        objects = [store.objects for side in self.world.stores for store in side.values()]
        decided = [decided.window for index in (0, 1) for decided in self.decided[index]]
        return window in decided or any(name in there for name in lists for there in objects)

    def _summed(self, index: int) -> list[Batch]:
        return [batch for decided in self.decided[index] for batch in decided.batches]

    def _stuck(self) -> set[Batch]:
        """Batches of answers that were lost on their way, or that a lost state can't accept any more."""
        sides = self.world.stores
        stuck: set[Batch] = set()
        if not self.world.disturbed:
            return stuck
        for decided in self.decided[1]:
            name = names.batch_list(AGGREGATION, decided.window, 1)
            arrived = sides[0]["peer_validations"].objects.get(name) == decided.entry.answer
            if not arrived or self.world.losses:
                stuck |= {*decided.batches}
        return stuck

    def _check_finished(self) -> None:
        """What the second processor decided the first has accepted, and both have published what they decided."""
        stuck = self._stuck() | self.world.spoiled
        for window, decided in self.entries(1).items():
            if not {*decided.batches} & stuck:
                assert window in self.entries(0), "an answer was never accepted"
                for index in (0, 1):
                    assert (index, window) in self.parts, "a decided window has no part"
        if not self.world.disturbed:
            self._check_copies()

    def _check_copies(self) -> None:
        """Every list and sum part has its copies, the same to the byte, and its receipt."""
        for index, side in enumerate(self.world.stores):
            state = side["state"].objects
            for name in state:
                target = side["sum_parts"]
                if names.parse_batch_list(name, index):
                    target = self.world.stores[1 - index]["peer_validations"]
                elif names.parse_sum_part_object(name, index) is None:
                    continue
                assert target.objects.get(name) == state[name], f"{name} has no copy"

    def _not_before(self, index: int) -> datetime:
        state = self.world.stores[index]["state"].objects[names.STATE]
        return from_ms(decode(State, state, names.STATE).not_before)
