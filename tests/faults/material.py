"""What every fault is put into: keys, and two batches of real shares for both processors, made once.

`SOUND` has 6 packets and stays as it is; `FAULTY` is where the faults go. It has 10 packets, so that one of them which
does not decrypt is still that packet's fault.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.ingestor.batches import (
    BatchDescription,
    PacketLabels,
    draw_labels,
    make_packets,
    sample_parameters,
    seal_batch,
)
from prio_assets.ingestor.client import encrypt_proofs, prove_rows, random_rows
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.keys import SigningKey, generate_signing_key_text, parse_signing_key
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import IngestionPacket
from prio_assets.wire.records import Parameters
from prio_assets.wire.windows import Window, to_ms
from tests.ingestor.parties import PACKET_KEYS, POINTS, repeatable

AGGREGATION = "com.example.Faults-v1"
INSTANCE = "us-ct-g-enpa"
PERIOD = timedelta(hours=8)
WINDOW = Window(datetime(2024, 5, 1, 8, tzinfo=UTC), datetime(2024, 5, 1, 16, tzinfo=UTC))
BINS = 4
PARAMETERS = sample_parameters(BINS, 8.0)

SOUND = BatchName(AGGREGATION, WINDOW.start + timedelta(hours=1), UUID("5a000000-0000-4000-8000-000000000001"))
FAULTY = BatchName(AGGREGATION, WINDOW.start + timedelta(hours=2), UUID("fa000000-0000-4000-8000-000000000002"))
SOUND_CLIENTS = 6
FAULTY_CLIENTS = 10


def _signing_key(identifier: str, seed: str) -> SigningKey:
    return parse_signing_key(identifier, generate_signing_key_text(repeatable(seed)))


INGESTOR_KEY = _signing_key("projects/p/locations/l/cryptoKeyVersions/1", "ingestor signs")
PROCESSOR_KEYS = (_signing_key("pha-key", "pha signs"), _signing_key("facilitator-key", "facilitator signs"))
STRANGER_KEY = _signing_key("stranger", "a stranger signs")

__all__ = ["PACKET_KEYS", "POINTS"]


@dataclass(frozen=True)
class Upload:
    """A batch's clients: their rows, and the packets that each processor gets, in the same order."""

    rows: NDArray[np.uint8]
    packets: tuple[tuple[IngestionPacket, ...], tuple[IngestionPacket, ...]]

    @property
    def true_rows(self) -> dict[UUID, NDArray[np.uint8]]:
        """Each client's row by the packet's UUID."""
        return {UUID(packet.uuid): row for packet, row in zip(self.packets[0], self.rows, strict=True)}


@cache
def upload_of(batch: BatchName) -> Upload:
    """The clients of SOUND or FAULTY."""
    clients = SOUND_CLIENTS if batch == SOUND else FAULTY_CLIENTS
    random = repeatable(f"upload {batch.uuid}")
    rows = random_rows(clients, BINS, random)
    return make_upload(rows, draw_labels(clients, BINS, random), str(batch.uuid))


def make_upload(rows: NDArray[np.generic], labels: PacketLabels, seed: str) -> Upload:
    """Proofs and encrypted shares of any rows: cells other than 0 and 1 are lies."""
    payloads = encrypt_proofs(prove_rows(rows, repeatable(f"proofs {seed}")), POINTS, repeatable(f"keys {seed}"))
    packets = (tuple(make_packets(side, labels, "packet-key-1")) for side in (payloads.pha, payloads.facilitator))
    return Upload(np.asarray(rows, dtype=np.uint8), tuple(packets))


def description_of(batch: BatchName, parameters: Parameters = PARAMETERS) -> BatchDescription:
    """What an honest ingestor's headers say; production writes the times in seconds."""
    seconds = to_ms(batch.time) // 1000
    return BatchDescription(batch, parameters, seconds, seconds + 3600)


@cache
def sealed_batch(batch: BatchName, index: int) -> SealedBatch:
    """SOUND or FAULTY as the ingestor gives it to the processor `index`."""
    return seal_batch(description_of(batch), upload_of(batch).packets[index], INGESTOR_KEY)
