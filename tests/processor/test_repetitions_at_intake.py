"""Packets that stand twice in a file, or in another batch of the window: which are left out, and for which reason."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

from prio_assets.errors import PacketReason
from prio_assets.ingestor.batches import seal_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.wire.columns import NO_UUIDS, Uuids
from prio_assets.wire.packets import IngestionPacket
from prio_assets.wire.uuids import uuid_columns, uuid_values
from tests.faults.material import INGESTOR_KEY, PROCESSOR_KEYS, SOUND, description_of, upload_of
from tests.processor.test_ingestion import source_of


def packet(number: int) -> IngestionPacket:
    return replace(upload_of(SOUND).packets[0][number % 2], uuid=str(UUID(int=number)))


def intake_of(packets: list[IngestionPacket], repeated: Uuids = NO_UUIDS) -> Intake:
    source = source_of(0, seal_batch(description_of(SOUND), packets, INGESTOR_KEY))
    return take_in(source, PROCESSOR_KEYS[0], repeated=repeated)


def accepted(intake: Intake) -> list[int]:
    return [uuid.int for uuid in uuid_values(intake.packets.uuids)]


def test_what_is_left_out_is_in_neither_the_validation_nor_the_sum() -> None:
    intake = intake_of([packet(number) for number in (1, 2, 3, 2, 4)], uuid_columns([UUID(int=4), UUID(int=9)]))
    assert accepted(intake) == [1, 3]
    assert intake.rejected == {PacketReason.UUID_DUPLICATED: 2, PacketReason.REPEATED_IN_WINDOW: 1}
    assert intake.totals.sum == intake_of([packet(1), packet(3)]).totals.sum


def test_of_a_packet_that_is_in_the_file_twice_and_in_the_window_the_file_is_told() -> None:
    intake = intake_of([packet(1), packet(2), packet(2)], uuid_columns([UUID(int=2)]))
    assert intake.rejected == {PacketReason.UUID_DUPLICATED: 2}


def test_a_copy_that_is_unusable_keeps_its_own_reason_and_still_costs_the_other() -> None:
    intake = intake_of([packet(1), packet(2), replace(packet(2), encrypted_payload=b"short")])
    assert accepted(intake) == [1]
    assert intake.rejected == {PacketReason.UUID_DUPLICATED: 1, PacketReason.PAYLOAD_TOO_SHORT: 1}


def test_texts_that_are_no_uuid_are_no_copies_of_the_uuid_of_zeros() -> None:
    intake = intake_of([packet(0), replace(packet(1), uuid="a"), replace(packet(1), uuid="a")])
    assert accepted(intake) == [0]
    assert intake.rejected == Counter({PacketReason.UUID_MALFORMED: 2})
