"""Numbers and sizes that an object states are never believed: what is allocated is bounded by what is there."""

import dataclasses
import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from prio_assets.errors import BatchReason, BatchRejected, RefusedError
from prio_assets.ingestor.batches import sample_parameters
from prio_assets.processor.pending import PendingStep
from prio_assets.processor.readiness import read_ready
from prio_assets.processor.validation import BatchState
from prio_assets.storage.base import LARGE_OBJECT_BYTES
from prio_assets.wire.containers import SYNC_BYTES, container, encode_datum, encode_long
from prio_assets.wire.names import batch_list, ingestion_objects, validity_objects
from prio_assets.wire.packets import MAXIMUM_PACKETS
from prio_assets.wire.records import BatchList
from tests.faults.crafting import batch_of, packets_of, with_faulty, with_header
from tests.faults.deployment import Deployment, check_sum, decide_or_accept, rejection_reason, work
from tests.faults.material import AGGREGATION, FAULTY, PROCESSOR_KEYS, SOUND, WINDOW, sealed_batch
from tests.faults.memory_store import MemoryStore
from tests.faults.signing import replace_ingestion_header, replace_ingestion_packets, resealed, signed_record

MEBIBYTE = 2**20
GREATEST_LONG = encode_long(2**63 - 1)


@contextmanager
def at_most(allocated: int) -> Iterator[None]:
    """Fail if more bytes than this are allocated at once."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < allocated


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("bins", [2**31 - 2, 2**31 - 1, 524288])
def test_bins_of_a_header(bins: int, index: int) -> None:
    deployment = with_faulty({index: with_header(sealed_batch(FAULTY, index), bins=bins)})
    with at_most(8 * MEBIBYTE):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.BINS_OUT_OF_RANGE
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_the_most_bins_that_are_possible_where_no_parameters_are_configured(index: int) -> None:
    """The first processor's shares have another length; a seed is expanded to any."""
    parameters = sample_parameters(524287, 8.0)
    batch = batch_of(packets_of(index)[:2], parameters=parameters)
    deployment = with_faulty({index: batch}, peer_has_lists=False, with_parameters=False)
    with at_most(64 * MEBIBYTE):
        work(deployment, until=PendingStep.PROPOSE)
    expected = (BatchReason.NO_ACCEPTED_PACKETS, None)[index]
    assert rejection_reason(deployment, index) == expected
    assert deployment.outcomes[index][SOUND].state == BatchState.KEPT_BACK


def _frame(data: bytes) -> tuple[bytes, bytes]:
    sync = data[-SYNC_BYTES:]
    return data[: data.index(sync)] + sync, sync


HOSTILE_BLOCKS: dict[str, Callable[[bytes], bytes]] = {
    "a block of very many records": lambda sync: GREATEST_LONG + encode_long(16) + bytes(16) + sync,
    "a block of very many bytes": lambda sync: encode_long(1) + GREATEST_LONG + bytes(16) + sync,
    "a negative count": lambda sync: encode_long(-1) + encode_long(16) + bytes(16) + sync,
    "a text of very many bytes": lambda sync: encode_long(1) + encode_long(16) + GREATEST_LONG + bytes(6) + sync,
    "a payload of very many bytes": lambda sync: (
        encode_long(1) + encode_long(16) + encode_long(0) + GREATEST_LONG + bytes(5) + sync
    ),
    "a number without end": lambda sync: b"\xff" * 64,
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("block", HOSTILE_BLOCKS)
def test_lengths_within_a_packet_file(block: str, index: int) -> None:
    deployment = with_faulty({})
    frame, sync = _frame(sealed_batch(FAULTY, index).packets)
    replace_ingestion_packets(deployment, index, frame + HOSTILE_BLOCKS[block](sync))
    with at_most(8 * MEBIBYTE):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.PACKETS_MALFORMED
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_packet_file_that_grows_when_decompressed(codec: str, index: int) -> None:
    """A packet of which 32 MiB are one payload of zeros."""
    payload = bytes(32 * MEBIBYTE)
    packet = encode_long(0) + encode_long(len(payload)) + payload + encode_long(0) * 4
    deployment = with_faulty({})
    data = container("PrioDataSharePacket", [(1, packet)], b"", codec)
    assert len(data) < 2 * MEBIBYTE
    replace_ingestion_packets(deployment, index, data)
    with at_most(8 * len(payload)):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.NO_ACCEPTED_PACKETS
    check_sum(deployment, batches=[SOUND])


def _grown(record: str, datum: bytes) -> bytes:
    """An object of some kilobytes that decompresses to this record of tens of mebibytes."""
    data = container(record, [(1, datum)], b"", "deflate")
    assert len(data) < MEBIBYTE // 4
    return data


def _grown_signature() -> bytes:
    """One whose key identifier has 32 MiB. Whoever can write to a bucket can write it: no key is needed."""
    identifier = bytes(32 * MEBIBYTE)
    return _grown("PrioBatchSignature", encode_long(0) + encode_long(len(identifier)) + identifier + encode_long(0) * 2)


@pytest.mark.parametrize("index", [0, 1])
def test_a_signature_that_grows_when_decompressed(index: int) -> None:
    deployment = with_faulty({})
    deployment.store(index, "ingestion").objects[ingestion_objects(FAULTY).signature] = _grown_signature()
    with at_most(8 * MEBIBYTE):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.SIGNATURE_MALFORMED
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_a_header_that_grows_when_decompressed(index: int) -> None:
    datum = encode_long(0) + encode_long(32 * MEBIBYTE) + bytes(32 * MEBIBYTE)
    deployment = with_faulty({})
    replace_ingestion_header(deployment, index, _grown("PrioIngestionHeader", datum))
    with at_most(8 * MEBIBYTE):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.HEADER_MALFORMED
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("writer", [0, 1])
def test_a_list_whose_signature_grows_when_decompressed(
    writer: int, proposed_deployment: Deployment, decided_deployment: Deployment
) -> None:
    deployment = (proposed_deployment, decided_deployment)[writer].copy()
    name = batch_list(AGGREGATION, WINDOW, writer)
    deployment.store(1 - writer, "peer_validations").objects[name] = _grown_signature()
    with at_most(64 * MEBIBYTE), pytest.raises(RefusedError, match="decompresses to more than the limit"):
        decide_or_accept(deployment.processors[1 - writer])


@pytest.mark.parametrize("writer", [0, 1])
def test_a_list_of_very_many_batches(
    writer: int, proposed_deployment: Deployment, decided_deployment: Deployment
) -> None:
    """The fields of each batch are empty, so as an object it takes far more memory than the bytes it has."""
    deployment = (proposed_deployment, decided_deployment)[writer].copy()
    none = BatchList("", "", 0, 1, 1.0, 17, 2, None, 0, 0, 0, ())
    without_end = encode_datum("PrioBatchList", dataclasses.asdict(none)).removesuffix(encode_long(0))
    count = 4 * MEBIBYTE
    header = _grown("PrioBatchList", without_end + encode_long(count) + bytes(5 * count) + encode_long(0))
    name = batch_list(AGGREGATION, WINDOW, writer)
    deployment.store(1 - writer, "peer_validations").objects[name] = signed_record(header, PROCESSOR_KEYS[writer])
    with at_most(80 * MEBIBYTE), pytest.raises(RefusedError, match="too many values"):
        decide_or_accept(deployment.processors[1 - writer])


def _many(record: str, fields: int) -> bytes:
    """One packet more than is read, of which each field is a zero byte."""
    count = MAXIMUM_PACKETS + 1
    return container(record, [(count, bytes(fields * count))], b"", "deflate")


@pytest.mark.parametrize("index", [0, 1])
def test_more_packets_than_any_batch_has(index: int) -> None:
    data = _many("PrioDataSharePacket", 6)
    deployment = with_faulty({})
    replace_ingestion_packets(deployment, index, data)
    with at_most(8 * MEBIBYTE):
        work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.PACKETS_MALFORMED
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("reader", [0, 1])
def test_more_validity_packets_than_any_batch_has(reader: int, validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    name = validity_objects(FAULTY, 1 - reader).signature
    objects, key = deployment.store(reader, "peer_validations").objects, PROCESSOR_KEYS[1 - reader]
    objects[name] = resealed(objects[name], key, packets=_many("PrioValidityPacket", 4))
    with at_most(8 * MEBIBYTE), pytest.raises(BatchRejected) as raised:
        read_ready(deployment.processors[reader], FAULTY)
    assert raised.value.reason == BatchReason.PACKETS_MALFORMED


class _Endless(io.RawIOBase):
    """As many zeros as anyone asks for, up to a little more than is read of an object."""

    given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        assert 0 <= size <= MEBIBYTE
        self.given += size
        assert self.given <= LARGE_OBJECT_BYTES + MEBIBYTE
        return bytes(size)


class _EndlessStore(MemoryStore):
    def open_read(self, name: str) -> BinaryIO:
        return _Endless() if self.objects.get(name) == b"endless" else super().open_read(name)


@pytest.mark.parametrize("reader", [0, 1])
def test_a_validation_without_end(reader: int, validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    processor = deployment.processors[reader]
    store = _EndlessStore("endless")
    store.objects = dict(deployment.store(reader, "peer_validations").objects)
    store.objects[validity_objects(FAULTY, 1 - reader).signature] = b"endless"
    stores = processor.stores._replace(peer_validations=store)
    with pytest.raises(BatchRejected) as raised:
        read_ready(dataclasses.replace(processor, stores=stores), FAULTY)
    assert raised.value.reason == BatchReason.OBJECT_TOO_LARGE
