"""Chunks made of payloads, for the tests of engines."""

from collections.abc import Sequence

import numpy as np

from prio_assets.errors import PacketReason
from prio_assets.prio.encryption import PacketDecryptionKey, encrypt
from prio_assets.prio.engine import Chunk
from prio_assets.prio.proof import draw_elements, prove
from prio_assets.prio.shares import share_bytes, split


def chunk_of(payloads: Sequence[bytes], r_pit: Sequence[int], status: Sequence[PacketReason] | None = None) -> Chunk:
    """A chunk of these payloads; its buffer has other bytes before, between and after them."""
    lengths = np.array([len(payload) for payload in payloads], dtype=np.int64)
    offsets = np.cumsum(lengths + 3) - lengths
    key_ids = [f"key-{i}".encode() for i in range(len(payloads))]
    key_id_lengths = np.array([len(key_id) for key_id in key_ids], dtype=np.int64)
    return Chunk(
        buffer=b"".join(b"---" + payload for payload in payloads) + b"---" + b"".join(key_ids),
        payload_offsets=offsets,
        payload_lengths=lengths,
        uuids=np.arange(16 * len(payloads), dtype=np.uint8).reshape(-1, 16),
        r_pit=np.array(r_pit, dtype=np.int64),
        status=np.array(status or [PacketReason.ACCEPTED] * len(payloads), dtype=np.uint8),
        key_id_offsets=lengths.sum() + 3 * len(payloads) + 3 + np.cumsum(key_id_lengths) - key_id_lengths,
        key_id_lengths=key_id_lengths,
    )


def repeated_chunk(payload: bytes, packets: int) -> Chunk:
    """A chunk whose packets all have the one payload, each its own r_pit."""
    return Chunk(
        buffer=payload,
        payload_offsets=np.zeros(packets, dtype=np.int64),
        payload_lengths=np.full(packets, len(payload), dtype=np.int64),
        uuids=np.zeros((packets, 16), dtype=np.uint8),
        r_pit=np.arange(1000, 1000 + packets, dtype=np.int64),
        status=np.zeros(packets, dtype=np.uint8),
        key_id_offsets=np.zeros(packets, dtype=np.int64),
        key_id_lengths=np.full(packets, -1, dtype=np.int64),
    )


def encrypted_shares(data: np.ndarray, first: PacketDecryptionKey, second: PacketDecryptionKey) -> list[list[bytes]]:
    """The payloads of both servers for data [n, bins]."""
    proofs = prove(data, draw_elements(len(data)), draw_elements(len(data)))
    first_shares, seeds = split(proofs)
    return [
        [encrypt(first.public_point, row.tobytes()) for row in share_bytes(first_shares)],
        [encrypt(second.public_point, row.tobytes()) for row in seeds],
    ]
