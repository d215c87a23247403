"""What the two processors of the agreement test work on: a few real batches, made once, and the truth about them.

Five batches in three windows of one hour. `AGAIN` is `FIRST` sent again by the ingestor: other batch, other `r_pit`,
the same shares under the same packet UUIDs and path time. `LATER` repeats the packet of `SMALL` at another time.
`MIXED` has a client who lies and one whose packet the facilitator never got.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from uuid import UUID

import numpy as np

from prio_assets.ingestor.batches import (
    BatchDescription,
    PacketLabels,
    draw_r_pit,
    make_packets,
    sample_parameters,
    seal_batch,
)
from prio_assets.ingestor.client import encrypt_proofs, prove_rows
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.engine import Chunk, Engine, Verification, VerificationParameters
from prio_assets.processor.ingestion import Opener, open_ingestion_batch
from prio_assets.processor.intake import take_in
from prio_assets.wire.batches import SealedBatch, seal
from prio_assets.wire.keys import SigningKey, generate_signing_key_text, parse_signing_key
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.packets import ValidityPackets, digest, encode_validity_packets
from prio_assets.wire.records import ValidityHeader, decode
from prio_assets.wire.uuids import uuid_values
from prio_assets.wire.windows import Window, to_ms
from tests.faults.memory_store import MemoryStore
from tests.ingestor.parties import PACKET_KEYS, POINTS, repeatable

INSTANCE = "us-ct-g-enpa"
AGGREGATION = "com.example.Agreement-v1"
BINS = 2
PARAMETERS = sample_parameters(BINS, 8.0)
PERIOD = timedelta(hours=1)
GRACE = timedelta(minutes=10)
START = datetime(2024, 5, 1, 8, tzinfo=UTC)
WINDOWS = tuple(Window(START + n * PERIOD, START + (n + 1) * PERIOD) for n in range(8))


def _signing_key(identifier: str) -> SigningKey:
    return parse_signing_key(identifier, generate_signing_key_text(repeatable(identifier)))


INGESTOR_KEY = _signing_key("ingestor")
PROCESSOR_KEYS = (_signing_key("pha"), _signing_key("facilitator"))
STRANGER_KEY = _signing_key("stranger")


@dataclass(frozen=True)
class Client:
    """One packet: its UUID, its row of bits, whether its proof lies, and whether both processors get it."""

    uuid: UUID
    row: tuple[int, ...]
    lies: bool = False
    reaches_facilitator: bool = True


@dataclass(frozen=True)
class Batch:
    """An ingestion batch of the pool and the truth about it."""

    minutes: int
    number: int
    clients: tuple[Client, ...]

    @cached_property
    def name(self) -> BatchName:
        uuid = UUID(int=0xBA7C4 << 100 | (97 - self.number) << 90)
        return BatchName(AGGREGATION, START + timedelta(minutes=self.minutes), uuid)

    @property
    def valid(self) -> frozenset[UUID]:
        """The packets that a sum over the batch must count."""
        return frozenset(client.uuid for client in self.clients if not client.lies and client.reaches_facilitator)

    def __repr__(self) -> str:
        return f"b{self.number}"


def _client(number: int, **facts: bool) -> Client:
    return Client(UUID(int=0xC11E47 << 100 | number), (number & 1, number >> 1 & 1), **facts)


CLIENTS = tuple(_client(number, lies=number == 6, reaches_facilitator=number != 5) for number in range(8))

FIRST = Batch(10, 0, CLIENTS[:3])
SMALL = Batch(40, 1, CLIENTS[3:4])
MIXED = Batch(80, 2, CLIENTS[4:7])
AGAIN = Batch(10, 3, CLIENTS[:3])
LATER = Batch(125, 4, (CLIENTS[7], CLIENTS[3]))
BATCHES = (FIRST, SMALL, MIXED, AGAIN, LATER)
BY_NAME = {batch.name: batch for batch in BATCHES}
BY_UUID = {batch.name.uuid: batch for batch in BATCHES}
ROWS = {client.uuid: np.array(client.row) for client in CLIENTS}


@cache
def ingestion_batch(batch: Batch, index: int, *, replaced: bool = False) -> SealedBatch:
    """The batch as the ingestor gives it to the processor `index`; `replaced` has other evaluation points."""
    clients = [client for client in batch.clients if index == 0 or client.reaches_facilitator]
    random = repeatable(f"r_pit {batch.number} {replaced}")
    points = dict(zip(batch.clients, draw_r_pit(len(batch.clients), BINS, random).tolist(), strict=True))
    labels = PacketLabels(
        [str(client.uuid) for client in clients], np.array([points[client] for client in clients], dtype=np.int64)
    )
    packets = make_packets([_payloads(client)[index] for client in clients], labels)
    times = to_ms(batch.name.time), to_ms(batch.name.time) + 3_600_000
    return seal_batch(BatchDescription(batch.name, PARAMETERS, *times), packets, INGESTOR_KEY)


@cache
def _payloads(client: Client) -> tuple[bytes, bytes]:
    """The encrypted shares of a client, the same in whatever batch they come."""
    row = np.array([client.row if not client.lies else (3, 0)])
    payloads = encrypt_proofs(prove_rows(row, repeatable(f"proof {client.uuid}")), POINTS, repeatable(str(client.uuid)))
    return payloads.pha[0], payloads.facilitator[0]


@dataclass(frozen=True)
class CachedEngine:
    """The plain engine, which computes a chunk that it has seen before no second time."""

    name: str = "cached"
    parallel: bool = False

    def verify(self, chunk: Chunk, keys: object, parameters: VerificationParameters) -> Verification:
        facts = (chunk.uuids, chunk.r_pit, chunk.status, chunk.payload_offsets)
        key = (bytes(chunk.buffer), *(column.tobytes() for column in facts), parameters)
        if key not in _VERIFIED:
            _VERIFIED[key] = choose_engine().engine.verify(chunk, keys, parameters)  # type: ignore[arg-type]
        return _VERIFIED[key]

    def packets_per_chunk(self, bins: int) -> int:
        return choose_engine().engine.packets_per_chunk(bins)


_VERIFIED: dict[tuple[object, ...], Verification] = {}
ENGINE: Engine = CachedEngine()


@dataclass(frozen=True)
class Variant:
    """A validation that a processor could have signed, and the packets in it."""

    sealed: SealedBatch
    digest: bytes
    packets: frozenset[UUID]


@cache
def variants(batch: Batch, index: int) -> tuple[Variant, Variant, Variant]:
    """The honest validation of a batch by the processor `index`, one of other bytes, and one without a packet."""
    store = MemoryStore("taken in")
    for name, data in zip(ingestion_objects(batch.name), ingestion_batch(batch, index).three_objects(), strict=True):
        store.create(name, data)
    opener = Opener(index, {INGESTOR_KEY.identifier: INGESTOR_KEY.public}, PACKET_KEYS[index : index + 1], ENGINE)
    intake = take_in(open_ingestion_batch(store, batch.name, opener, PARAMETERS), PROCESSOR_KEYS[index])
    fewer = ValidityPackets(*(getattr(intake.packets, column)[1:] for column in ("uuids", "f_r", "g_r", "h_r")))
    return (
        Variant(intake.validation, digest(intake.validation.packets), frozenset(uuid_values(intake.packets.uuids))),
        _variant(intake.validation, intake.packets, index, b"other"),
        _variant(intake.validation, fewer, index, b"fewer"),
    )


def _variant(honest: SealedBatch, packets: ValidityPackets, index: int, seed: bytes) -> Variant:
    data = encode_validity_packets(packets, seed)
    header = decode(ValidityHeader, honest.header, "honest")
    sealed = seal(ValidityHeader(**header.__dict__ | {"packet_file_digest": digest(data)}), data, PROCESSOR_KEYS[index])
    return Variant(sealed, digest(data), frozenset(uuid_values(packets.uuids)))


@cache
def packets_by_digest() -> dict[bytes, frozenset[UUID]]:
    """The packets of every validation that can occur, by its digest."""
    return {
        variant.digest: variant.packets for batch in BATCHES for index in (0, 1) for variant in variants(batch, index)
    }
