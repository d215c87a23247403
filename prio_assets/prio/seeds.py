"""The expansion of a 32-byte seed to the second server's share.

The stream is AES-128 in counter mode, cut into little-endian words of 4 bytes; words that are no field elements are
dropped. The key is seed[0:16], the first counter block seed[16:32]. Only the block's low 64 bits count, and no carry
enters the upper half (the counter mode of libprio-rs 0.4.0, `prng.rs`). Clients choose their seeds, so the wrap of the
low half does occur.
"""

from math import isqrt
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from prio_assets.prio import field
from prio_assets.prio.field import ELEMENT_BYTES, Elements

SEED_BYTES: Final = 32

_BLOCK_BYTES: Final = 16
_BLOCK_WORDS: Final = _BLOCK_BYTES // ELEMENT_BYTES
_COUNTERS: Final = 2**64


def expand(seeds: NDArray[np.uint8], length: int) -> Elements:
    """Seeds uint8 [n, 32] to elements uint64 [n, length]."""
    return _expand(seeds, length, _spare_words(length))


def _spare_words(length: int) -> int:
    """So many words more than needed that a stream is practically never short (one word in 4096 is dropped)."""
    dropped = length // 4096 + 1
    return dropped + 6 * (isqrt(dropped) + 1)


def _expand(seeds: NDArray[np.uint8], length: int, spare: int) -> Elements:
    """As `expand`, from a stream of at least length + spare words; streams that are too short are made longer."""
    blocks = -(-(length + spare) // _BLOCK_WORDS)
    words = _streams(seeds, blocks)
    kept = field.is_element(words)
    # Only the tail can hold more elements than needed, so only there their ranks must be known.
    found = np.count_nonzero(kept[:, :length], axis=1)
    tail = kept[:, length:]
    ranks = found[:, np.newaxis] + tail.cumsum(axis=1)
    short = np.flatnonzero(found + np.count_nonzero(tail, axis=1) < length)
    tail &= ranks <= length
    # Any words will do for the rows that are replaced below, but each row must have as many as the others.
    kept[short] = np.arange(kept.shape[1]) < length
    elements = words[kept].reshape(len(seeds), length).astype(np.uint64)
    if short.size:
        elements[short] = _expand(seeds[short], length, 2 * spare + _BLOCK_WORDS)
    return elements


def _streams(seeds: NDArray[np.uint8], blocks: int) -> NDArray[np.uint32]:
    """The first words of each seed's stream: uint32 [n, 4 * blocks]."""
    streams = np.empty((len(seeds), blocks * _BLOCK_BYTES), dtype=np.uint8)
    zeros = bytes(blocks * _BLOCK_BYTES)
    for row, seed in enumerate(seeds):
        streams[row] = np.frombuffer(_stream(seed.tobytes(), zeros), dtype=np.uint8)
    return streams.view("<u4")


def _stream(seed: bytes, zeros: bytes) -> bytes:
    """As many bytes of one seed's stream as there are zeros."""
    key, upper, counter = seed[:16], seed[16:24], int.from_bytes(seed[24:32], "big")
    before_wrap = min(len(zeros), (_COUNTERS - counter) * _BLOCK_BYTES)
    stream = _counter_mode(key, seed[16:32], zeros[:before_wrap])
    if before_wrap < len(zeros):
        stream += _counter_mode(key, upper + bytes(8), zeros[before_wrap:])
    return stream


def _counter_mode(key: bytes, first_block: bytes, zeros: bytes) -> bytes:
    return Cipher(AES(key), CTR(first_block)).encryptor().update(zeros)
