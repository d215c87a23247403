"""The two batches hold the same packets, signed, and both processors accept them."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from prio_assets.errors import ObjectConflictError, RefusedError
from prio_assets.ingestor.batches import (
    BatchDescription,
    IngestionBatches,
    draw_labels,
    draw_r_pit,
    repeat_r_pit,
    sample_parameters,
    seal_batches,
    write_batch,
)
from prio_assets.ingestor.client import random_rows, upload
from prio_assets.prio.engine import VerificationParameters
from prio_assets.prio.plain import PlainEngine
from prio_assets.prio.verifier import proofs_hold
from prio_assets.storage.local import LocalStore
from prio_assets.wire.batches import SealedBatch, check_packet_digest, check_parameters, check_path, verify_header
from prio_assets.wire.containers import read_records
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import read_chunks
from prio_assets.wire.records import IngestionHeader, decode
from tests.ingestor.parties import PACKET_KEYS, POINTS, SIGNING_KEY, repeatable

BATCH = BatchName("kittens-seen", datetime(2023, 5, 31, 16, 29, tzinfo=UTC), UUID(int=7))


def make(bins: int, seed: str = "seed", r_pit: int | None = None) -> tuple[np.ndarray, IngestionBatches]:
    random = repeatable(seed)
    rows = random_rows(6, bins, random)
    description = BatchDescription(BATCH, sample_parameters(bins, 0.5), 1000, 2000)
    labels = draw_labels(len(rows), bins, random, r_pit)
    return rows, seal_batches(description, upload(rows, POINTS, random), labels, SIGNING_KEY)


def packets(batch: SealedBatch) -> Iterator[dict]:
    return read_records("PrioDataSharePacket", io.BytesIO(batch.packets), "packets")


@pytest.mark.parametrize("bins", [1, 300])
def test_both_processors_accept_every_packet_and_recover_the_sum(bins: int) -> None:
    rows, batches = make(bins)
    answers = []
    for index, batch in enumerate(batches):
        header = decode(IngestionHeader, batch.header, "header")
        stream = io.BytesIO(batch.packets)
        (chunk,) = read_chunks(stream, header.packet_file_digest, "packets", packets_per_chunk=100)
        answers.append(PlainEngine().verify(chunk, [PACKET_KEYS[index]], VerificationParameters(bins, index)))
        assert not answers[-1].status.any()
    assert proofs_hold(answers[0][:3], answers[1][:3]).all()
    recovered = (answers[0].data_sum + answers[1].data_sum) % np.uint64(4293918721)
    assert recovered.tolist() == rows.sum(axis=0).tolist()


def test_the_headers_are_signed_and_state_what_was_asked_for() -> None:
    _, batches = make(3)
    for batch in batches:
        verify_header(batch.header, batch.signature, {SIGNING_KEY.identifier: SIGNING_KEY.public}, "header")
        header = decode(IngestionHeader, batch.header, "header")
        check_path(header, BATCH, "header")
        check_parameters(header.parameters, "header")
        check_packet_digest(header, batch.packets, "packets")
        assert (header.epsilon, header.batch_start_time, header.batch_end_time) == (0.5, 1000, 2000)
        assert header.hamming_weight is None


def test_both_batches_hold_the_same_packets_with_other_payloads() -> None:
    _, batches = make(3)
    first, second = (list(packets(batch)) for batch in batches)
    assert [(packet["uuid"], packet["r_pit"]) for packet in first] == [
        (packet["uuid"], packet["r_pit"]) for packet in second
    ]
    assert len({packet["uuid"] for packet in first}) == len({packet["r_pit"] for packet in first}) == 6
    assert not {packet["encrypted_payload"] for packet in first} & {packet["encrypted_payload"] for packet in second}


def test_the_same_randomness_gives_the_same_bytes() -> None:
    objects = [[batch.three_objects() for batch in make(3, seed)[1]] for seed in ("a", "a", "b")]
    assert objects[0] == objects[1] != objects[2]


def test_a_fixed_evaluation_point_is_that_of_every_packet() -> None:
    assert {packet["r_pit"] for packet in packets(make(3, r_pit=998314904)[1].pha)} == {998314904}


def test_evaluation_points_are_31_bits_and_no_roots_of_unity() -> None:
    words = [b"\x05\x00\x00\x80" + b"\x01\x00\x00\x00", b"\x01\x00\x00\x80", b"\xff\xff\xff\xff"]
    assert draw_r_pit(2, 8, lambda count: words.pop(0)).tolist() == [5, 2**31 - 1]
    assert not words


@pytest.mark.parametrize("root", [1, 4293918720, 37101870])
def test_a_fixed_evaluation_point_on_a_root_of_unity_is_refused(root: int) -> None:
    with pytest.raises(RefusedError, match=f"r_pit {root} is a root of unity"):
        repeat_r_pit(root, 3, 8)


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_fixed_evaluation_point_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(RefusedError, match="is not in 0 to 4294967295"):
        repeat_r_pit(value, 3, 8)


class Recorder(LocalStore):
    """A directory that notes the order of what is created."""

    created: list[str] = []  # noqa: RUF012 (LocalStore is frozen)

    def create(self, name: str, data: bytes) -> bool:
        self.created.append(name)
        return super().create(name, data)


def test_a_batch_is_written_signature_last_and_again_with_the_same_bytes(tmp_path: Path) -> None:
    store = Recorder(tmp_path)
    batch = make(3)[1].pha
    write_batch(store, BATCH, batch)
    names = ingestion_objects(BATCH)
    assert store.created == [names.header, names.packets, names.signature]
    assert tuple((tmp_path / name).read_bytes() for name in names) == batch.three_objects()
    write_batch(store, BATCH, batch)


def test_a_batch_never_replaces_another(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_batch(store, BATCH, make(3, "a")[1].pha)
    with pytest.raises(ObjectConflictError):
        write_batch(store, BATCH, make(3, "b")[1].pha)
