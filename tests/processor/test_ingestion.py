"""Reading an ingestion batch again, for its sum: in one pass, and never with a packet left out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO
from uuid import UUID

import numpy as np
import pytest

from prio_assets.errors import OperationalError, UndecryptableBatchError
from prio_assets.ingestor.batches import seal_batch, write_batch
from prio_assets.prio import field
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.plain import PlainEngine
from prio_assets.processor.ingestion import IngestionBatch, Opener, open_ingestion_batch
from prio_assets.processor.intake import take_in
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.uuids import uuid_columns
from tests.faults.material import (
    INGESTOR_KEY,
    PACKET_KEYS,
    PROCESSOR_KEYS,
    SOUND,
    SOUND_CLIENTS,
    description_of,
    sealed_batch,
    upload_of,
)
from tests.faults.memory_store import MemoryStore

UUIDS = uuid_columns(upload_of(SOUND).true_rows)
ABSENT = np.full((1, 16), 7, dtype=np.uint8)


def source_of(
    index: int, sealed: SealedBatch | None = None, packet_keys: Sequence[PacketDecryptionKey] | None = None
) -> IngestionBatch:
    store = MemoryStore("ingestion")
    write_batch(store, SOUND, sealed or sealed_batch(SOUND, index))
    keys = PACKET_KEYS[index : index + 1] if packet_keys is None else packet_keys
    opener = Opener(index, {INGESTOR_KEY.identifier: INGESTOR_KEY.public}, keys, PlainEngine())
    return open_ingestion_batch(store, SOUND, opener, expected=None)


@pytest.mark.parametrize("wanted", [[], [1, 4], range(SOUND_CLIENTS)], ids=["none", "some", "all"])
def test_the_wanted_packets_are_summed_and_all_are_named_in_order(wanted: list[int]) -> None:
    sums = []
    for index in (0, 1):
        data_sum, uuids = source_of(index).sum_and_uuids(UUIDS[list(wanted)])
        assert np.array_equal(uuids, UUIDS)
        sums.append(data_sum)
    assert field.add(*sums).tolist() == upload_of(SOUND).rows[list(wanted)].sum(axis=0).tolist()


def test_the_packet_file_is_streamed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source, opened = source_of(0), []
    open_read = source.ingestion.open_read

    def counting(name: str) -> BinaryIO:
        opened.append(name)
        return open_read(name)

    monkeypatch.setattr(source.ingestion, "open_read", counting)
    source.sum_and_uuids(UUIDS[:2])
    assert opened == [source.packets_name]


def test_of_the_key_ids_that_do_not_decrypt_the_first_ten_are_told_whatever_their_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PlainEngine, "packets_per_chunk", lambda engine, bins: 2)
    (packet, *_) = upload_of(SOUND).packets[0]
    numbers = [*range(10, 26, 2), *range(11, 26, 2)]
    packets = [replace(packet, uuid=str(UUID(int=each)), encryption_key_id=f"key-{each}") for each in numbers]
    source = source_of(0, seal_batch(description_of(SOUND), packets, INGESTOR_KEY), PACKET_KEYS[1:])
    told = ", ".join(f"'key-{each}'" for each in range(10, 20))
    with pytest.raises(UndecryptableBatchError, match=rf"^16 of 16 packets .* \(encryption key ids: {told}\)"):
        take_in(source, PROCESSOR_KEYS[0])


def test_a_wanted_packet_that_is_not_there_stops_the_sum() -> None:
    with pytest.raises(OperationalError, match=r"1 packets .* missing in .*; the ingestion batch was replaced"):
        source_of(0).sum_and_uuids(np.concatenate([UUIDS[:2], ABSENT]))
