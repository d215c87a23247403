"""The verification of a chunk of packets: the interface, the plain engine, and the choice between engines.

A chunk is columns over one byte buffer. The order of checks is fixed, so that every engine gives the same status: the
range of r_pit, roots of unity, the payload's length, its ephemeral key, decryption, the share's length, its elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import compress
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import ConfigurationError, PacketReason
from prio_assets.prio import field, seeds
from prio_assets.prio.domain import domain_size, is_root_of_unity
from prio_assets.prio.encryption import PacketDecryptionKey, decrypt_payloads
from prio_assets.prio.field import Elements
from prio_assets.prio.shares import ShareLayout
from prio_assets.prio.verifier import verification_messages

DEFAULT_BUDGET_BYTES: Final = 64 * 2**20

# Measured: at the peak, the evaluation holds the shares (up to 2N elements), a packet's N weights and two temporary
# arrays of N products. The rest is the columns, and the objects that decryption makes one at a time.
_ELEMENTS_PER_NODE: Final = 6
_COLUMN_BYTES: Final = 512


@dataclass(frozen=True, eq=False)
class Chunk:
    """Packets as columns; n is their number."""

    buffer: bytes | memoryview = dataclass_field(repr=False)
    """Holds the encrypted payloads."""
    payload_offsets: NDArray[np.int64]
    payload_lengths: NDArray[np.int64]
    uuids: NDArray[np.uint8]
    """[n, 16]; zeros where the packet's text is no UUID, which the status says."""
    r_pit: NDArray[np.int64]
    """As read: any 64-bit value."""
    status: NDArray[np.uint8]
    """PacketReason values; a packet that is not ACCEPTED is left alone."""
    encryption_key_ids: tuple[str | None, ...] = dataclass_field(repr=False)
    """As the packets state them: for messages only."""

    def __len__(self) -> int:
        return self.status.size

    def select(self, mask: NDArray[np.bool_]) -> "Chunk":
        """The packets where mask [n] is true, over the same buffer."""
        return Chunk(
            buffer=self.buffer,
            payload_offsets=self.payload_offsets[mask],
            payload_lengths=self.payload_lengths[mask],
            uuids=self.uuids[mask],
            r_pit=self.r_pit[mask],
            status=self.status[mask],
            encryption_key_ids=tuple(compress(self.encryption_key_ids, mask)),
        )


@dataclass(frozen=True)
class VerificationParameters:
    """What fixes a share's form: 1 <= bins <= 524287 and the server's index, 0 or 1; else ConfigurationError."""

    bins: int
    server_index: int

    def __post_init__(self) -> None:
        domain_size(self.bins)
        if self.server_index not in (0, 1):
            raise ConfigurationError(f"server index {self.server_index} is neither 0 nor 1: correct the role")


class Verification(NamedTuple):
    """What a server finds out about a chunk's packets by itself."""

    f_r: Elements
    """[n], like g_r and h_r; 0 where the status is not ACCEPTED."""
    g_r: Elements
    h_r: Elements
    status: NDArray[np.uint8]
    """[n] PacketReason values."""
    data_sum: Elements
    """[bins], secret: the sum of the data shares of the ACCEPTED packets."""
    key_agreements: int
    """Packets with which a key agreement could be tried: what undecryptable ones are compared with."""

    def __repr__(self) -> str:
        accepted = int(np.count_nonzero(self.status == PacketReason.ACCEPTED))
        return f"Verification({accepted} of {self.status.size} packets accepted)"


class Engine(Protocol):
    """Verifies chunks. All engines give the same numbers."""

    name: str

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        """Decrypt and evaluate the packets whose status is ACCEPTED. A packet's fault is its status, no error."""
        ...


class PlainEngine:
    """The engine that runs everywhere: numpy, and `cryptography` packet by packet."""

    name = "plain"

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        layout = ShareLayout(parameters.bins)
        status, r_pit = _check_r_pit(chunk, layout)
        tried = np.flatnonzero(status == PacketReason.ACCEPTED)
        shares, status[tried], key_agreements = _read_shares(chunk, tried, keys, layout, parameters.server_index)
        accepted = np.flatnonzero(status == PacketReason.ACCEPTED)
        columns = np.zeros((3, len(chunk)), dtype=np.uint64)
        columns[:, accepted] = verification_messages(shares, r_pit[accepted], layout.bins, parameters.server_index)
        f_r, g_r, h_r = columns
        return Verification(f_r, g_r, h_r, status, field.total(shares[:, layout.data], axis=0), key_agreements)


def choose_engine() -> Engine:
    """The fastest engine that runs on this machine."""
    return PlainEngine()


def packets_per_chunk(bins: int, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> int:
    """How many packets `verify` can take at once within a budget of memory; at least 1, whatever `bins` is."""
    return max(1, budget_bytes // (_ELEMENTS_PER_NODE * 8 * domain_size(bins) + _COLUMN_BYTES))


def _check_r_pit(chunk: Chunk, layout: ShareLayout) -> tuple[NDArray[np.uint8], Elements]:
    """The chunk's status [n] with what r_pit adds to it, and r_pit as field elements [n], 0 where out of range.

    At a root of unity f_r and g_r would be one of the client's own values, and the proof would check that value alone.
    """
    in_range = (chunk.r_pit >= 0) & (chunk.r_pit < 2**32)
    r_pit = field.reduce(np.where(in_range, chunk.r_pit, 0).astype(np.uint64))
    is_root = is_root_of_unity(r_pit, 2 * layout.size)
    reasons = np.where(is_root, PacketReason.R_PIT_ROOT_OF_UNITY, PacketReason.ACCEPTED)
    reasons = np.where(in_range, reasons, PacketReason.R_PIT_OUT_OF_RANGE)
    return np.where(chunk.status == PacketReason.ACCEPTED, reasons, chunk.status).astype(np.uint8), r_pit


def _read_shares(
    chunk: Chunk,
    tried: NDArray[np.intp],
    keys: Sequence[PacketDecryptionKey],
    layout: ShareLayout,
    server_index: int,
) -> tuple[Elements, NDArray[np.uint8], int]:
    """The shares [accepted, L] of the tried packets, the status of each tried one, and the number of key agreements."""
    plaintext_bytes = seeds.SEED_BYTES if server_index == 1 else field.ELEMENT_BYTES * layout.length
    plaintexts, status, key_agreements = decrypt_payloads(
        chunk.buffer, chunk.payload_offsets[tried], chunk.payload_lengths[tried], keys, plaintext_bytes
    )
    if server_index == 1:
        return seeds.expand(plaintexts, layout.length), status, key_agreements
    shares = field.from_bytes(plaintexts)
    in_range = field.is_element(shares).all(axis=1)
    status[np.flatnonzero(status == PacketReason.ACCEPTED)[~in_range]] = PacketReason.SHARE_OUT_OF_RANGE
    return (shares if in_range.all() else shares[in_range]), status, key_agreements
