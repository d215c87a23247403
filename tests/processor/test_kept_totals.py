"""Totals kept at intake: with them a sum part is, to the byte, what decrypting every share again makes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prio_assets.errors import PacketReason
from prio_assets.ingestor.batches import draw_labels
from prio_assets.ingestor.client import random_rows
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.field import PRIME
from prio_assets.processor import totals as kept_totals
from prio_assets.processor.aggregation import Contribution, contribute, join, make_sum_part
from prio_assets.processor.ingestion import IngestionBatch, Opener, open_ingestion_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.totals import KeptTotals, TotalsFault, text_of_faults, usable_totals
from prio_assets.wire import names
from prio_assets.wire.batches import Validation
from prio_assets.wire.packets import IngestionPacket
from prio_assets.wire.records import Totals
from prio_assets.wire.sealed import seal_record
from prio_assets.wire.uuids import uuid_columns, uuid_values
from tests.faults.crafting import batch_of
from tests.faults.material import (
    AGGREGATION,
    BINS,
    FAULTY,
    INGESTOR_KEY,
    PACKET_KEYS,
    PROCESSOR_KEYS,
    WINDOW,
    Upload,
    make_upload,
)
from tests.faults.memory_store import MemoryStore
from tests.ingestor.parties import repeatable

CLIENTS = 8
LIARS = (6, 7)
OWN_KEYS = {PROCESSOR_KEYS[0].identifier: PROCESSOR_KEYS[0].public}


@cache
def upload() -> Upload:
    """The last two clients lie."""
    random = repeatable("kept totals")
    rows = random_rows(CLIENTS, BINS, random)
    rows[list(LIARS), 0] = 2
    return make_upload(rows, draw_labels(CLIENTS, BINS, random), "kept totals")


def cut(packet: IngestionPacket) -> list[IngestionPacket]:
    return [replace(packet, encrypted_payload=packet.encrypted_payload[:-1])]


FATES: dict[str, tuple[Callable[[IngestionPacket], list[IngestionPacket]], ...]] = {
    "sound": (lambda packet: [packet], lambda packet: [packet]),
    "unreadable here": (cut, lambda packet: [packet]),
    "unreadable at the peer": (lambda packet: [packet], cut),
    "missing here": (lambda packet: [], lambda packet: [packet]),
    "missing at the peer": (lambda packet: [packet], lambda packet: []),
    "twice": (lambda packet: [packet, packet], lambda packet: [packet, packet]),
    "twice here, once unreadable": (lambda packet: [packet, *cut(packet)], lambda packet: [packet]),
    "no UUID": (lambda packet: [replace(packet, uuid="none")], lambda packet: [replace(packet, uuid="none")]),
}


@dataclass(frozen=True)
class Side:
    """One processor's intake of the batch."""

    source: IngestionBatch
    intake: Intake

    @property
    def own(self) -> Validation:
        return self.intake.as_read


def take_in_at(index: int, packets: Sequence[IngestionPacket]) -> Side:
    store = MemoryStore("ingestion")
    for name, data in zip(names.ingestion_objects(FAULTY), batch_of(packets).three_objects(), strict=True):
        store.create(name, data)
    keys = {INGESTOR_KEY.identifier: INGESTOR_KEY.public}
    opener = Opener(index, keys, PACKET_KEYS[index : index + 1], choose_engine().engine)
    source = open_ingestion_batch(store, FAULTY, opener, expected=None)
    return Side(source, take_in(source, PROCESSOR_KEYS[index], accept_undecryptable=True))


def sides(fates: Sequence[str]) -> tuple[Side, Side]:
    first, second = (
        take_in_at(
            index,
            [
                each
                for packet, fate in zip(upload().packets[index], fates, strict=True)
                for each in FATES[fate][index](packet)
            ],
        )
        for index in (0, 1)
    )
    return first, second


def sum_part_of(summed: tuple[Contribution, NDArray[np.uint64]]) -> tuple[bytes, bytes, bytes]:
    contribution, data_sum = summed
    return make_sum_part([contribution], data_sum, AGGREGATION, WINDOW, PROCESSOR_KEYS[0]).three_objects()


@given(st.lists(st.sampled_from(list(FATES)), min_size=CLIENTS - 1, max_size=CLIENTS - 1), st.sets(st.integers(0, 7)))
@settings(max_examples=40, deadline=None)
def test_with_totals_and_without_the_sum_part_has_the_same_bytes(fates: list[str], repeated: set[int]) -> None:
    for here, there in (sides(["sound", *fates]), sides(["sound", *fates])[::-1]):
        again = uuid_columns(list(upload().true_rows)[place] for place in sorted(repeated))
        joined = join(here.own.packets, there.own.packets)
        kept = kept_of(here)
        with_totals = contribute(here.source, joined, kept, again)
        without = contribute(here.source, joined, TotalsFault.MISSING, again)
        assert sum_part_of(with_totals) == sum_part_of(without)
        assert with_totals[0].reasons == without[0].reasons
        unnamed = contribute(here.source, joined, replace(kept, rejected=None), again)
        assert sum_part_of(unnamed) == sum_part_of(with_totals)


def test_the_two_sums_are_the_honest_clients_that_both_could_read() -> None:
    fates = ["twice", "missing here", "missing at the peer", "no UUID", "unreadable here", *["sound"] * 3]
    first, second = sides(fates)
    parts = [
        contribute(here.source, join(here.own.packets, there.own.packets), kept_of(here))
        for here, there in ((first, second), (second, first))
    ]
    true_rows = list(upload().true_rows.items())
    assert (sum(data_sum for _, data_sum in parts) % PRIME).tolist() == true_rows[5][1].tolist()
    expected = [uuid for place, (uuid, _) in enumerate(true_rows) if place in (0, 2, 4, 6, 7)]
    assert uuid_values(parts[0][0].invalid) == expected, (
        "those of the file that do not count, once each and in its order"
    )
    assert parts[0][0].reasons == {
        PacketReason.MISSING_AT_PEER: 1,
        PacketReason.MISSING_HERE: 2,
        PacketReason.PROOF_INVALID: 2,
    }


def usable(side: Side, totals: Totals) -> KeptTotals | TotalsFault:
    return usable_totals(totals, side.source, side.own.header.packet_file_digest, len(side.own.packets))


def kept_of(side: Side) -> KeptTotals:
    kept = usable(side, side.intake.totals)
    assert isinstance(kept, KeptTotals)
    return kept


def test_where_all_packets_of_the_validation_count_the_packet_file_is_left_alone() -> None:
    packets = [list(each)[:6] for each in upload().packets]
    first, second = (take_in_at(index, [*packets[index], *cut(upload().packets[index][7])]) for index in (0, 1))
    expected = sum_part_of(contribute(first.source, join(first.own.packets, second.own.packets), TotalsFault.MISSING))
    assert isinstance(first.source.ingestion, MemoryStore)
    first.source.ingestion.objects.clear()
    found = contribute(first.source, join(first.own.packets, second.own.packets), kept_of(first))
    assert len(found[0].invalid) == 1
    assert sum_part_of(found) == expected


def test_of_very_many_packets_left_out_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone can send them; the sum reads the packet file for them instead."""
    fates = [*["unreadable here"] * 3, *["sound"] * 5]
    named = sides(fates)[0].intake.totals
    assert named.rejected == uuid_columns(list(upload().true_rows)[:3]).tobytes()
    monkeypatch.setattr(kept_totals, "MAXIMUM_REJECTED", 2)
    first, second = sides(fates)
    assert first.intake.totals == replace(named, rejected=None)
    found = contribute(first.source, join(first.own.packets, second.own.packets), kept_of(first))
    without = contribute(first.source, join(first.own.packets, second.own.packets), TotalsFault.MISSING)
    assert sum_part_of(found) == sum_part_of(without)


def test_totals_name_the_engine_that_summed() -> None:
    assert sides(["sound"] * CLIENTS)[0].intake.totals.engine == choose_engine().engine.name


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"packet_file_digest": bytes(32)}, TotalsFault.STALE),
        ({"validity_digest": bytes(32)}, TotalsFault.STALE),
        ({"packets": CLIENTS - 1}, TotalsFault.STALE),
        ({"epsilon": 0.5}, TotalsFault.STALE),
        ({"hamming_weight": 1}, TotalsFault.STALE),
        ({"sum": (1,) * (BINS - 1)}, TotalsFault.UNVERIFIABLE),
        ({"sum": (PRIME,) * BINS}, TotalsFault.UNVERIFIABLE),
    ],
)
def test_totals_of_other_data_do_not_serve(changes: dict[str, object], fault: TotalsFault) -> None:
    side = sides(["sound"] * CLIENTS)[0]
    assert usable(side, replace(side.intake.totals, **changes)) == fault


def test_rejected_packets_that_are_no_uuids_are_read_from_the_packet_file() -> None:
    side = sides(["sound"] * CLIENTS)[0]
    kept = usable(side, replace(side.intake.totals, rejected=bytes(15)))
    assert isinstance(kept, KeptTotals)
    assert kept.rejected is None


@pytest.mark.parametrize("damage", ["gone", "garbage", "tampered", "signed by a stranger"])
def test_totals_that_do_not_hold_are_told_from_those_that_are_not_there(damage: str) -> None:
    side = sides(["sound"] * CLIENTS)[0]
    own, name = OwnStore(MemoryStore("own")), names.totals(FAULTY)
    own.keep(side.intake, PROCESSOR_KEYS[0])
    assert isinstance(own.store, MemoryStore)
    objects = own.store.objects
    assert own.totals(FAULTY, OWN_KEYS) == side.intake.totals
    if damage == "gone":
        del objects[name]
    else:
        objects[name] = {
            "garbage": b"garbage",
            "tampered": objects[name].replace(bytes(side.intake.totals.packet_file_digest), bytes(32)),
            "signed by a stranger": seal_record(side.intake.totals, PROCESSOR_KEYS[1]),
        }[damage]
    assert own.totals(FAULTY, OWN_KEYS) == (TotalsFault.MISSING if damage == "gone" else TotalsFault.UNVERIFIABLE)


def test_faults_are_counted_by_reason() -> None:
    faults = [TotalsFault.STALE, TotalsFault.MISSING, TotalsFault.STALE]
    assert text_of_faults(faults) == "missing 1, of another packet file, validation or parameters 2"
    assert text_of_faults([]) == ""


def test_sums_of_shares_are_in_no_text_form() -> None:
    kept = KeptTotals(np.array([12345678], dtype=np.uint64), rejected=None)
    assert "12345678" not in repr(kept)
