"""The verification of a chunk of packets: what every engine takes and gives.

A chunk is columns over one byte buffer. The order of checks is fixed, so that every engine gives the same status: the
range of r_pit, roots of unity, the payload's length, its ephemeral key, decryption, the share's length, its elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import ConfigurationError, PacketReason
from prio_assets.prio import field
from prio_assets.prio.domain import domain_size, is_root_of_unity
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.field import Elements
from prio_assets.prio.shares import ShareLayout

KEY_ID_CHARACTERS: Final = 100
"""So much of a packet's key identifier is shown: it may be of any length."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Packets as columns; n is their number."""

    buffer: bytes | memoryview = dataclass_field(repr=False)
    """Holds the encrypted payloads, and the texts that name keys."""
    payload_offsets: NDArray[np.int64]
    payload_lengths: NDArray[np.int64]
    uuids: NDArray[np.uint8]
    """[n, 16]; zeros where the packet's text is no UUID, which the status says."""
    r_pit: NDArray[np.int64]
    """As read: any 64-bit value."""
    status: NDArray[np.uint8]
    """PacketReason values; a packet that is not ACCEPTED is left alone."""
    key_id_offsets: NDArray[np.int64]
    """Of the texts in the buffer that name a packet's key, or -1 as length where there is none: for messages only."""
    key_id_lengths: NDArray[np.int64]

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
            key_id_offsets=self.key_id_offsets[mask],
            key_id_lengths=self.key_id_lengths[mask],
        )

    def encryption_key_id(self, position: int) -> str | None:
        """The key that the packet says it is encrypted for, of which no more than 100 characters; or None."""
        start, length = int(self.key_id_offsets[position]), int(self.key_id_lengths[position])
        if length < 0:
            return None
        # A character has at most 4 bytes, so what may be cut here lies beyond those that are returned.
        text = bytes(self.buffer[start : start + min(length, 4 * KEY_ID_CHARACTERS)])
        return text.decode(errors="replace")[:KEY_ID_CHARACTERS]


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
    parallel: bool
    """Whether threads that verify do so at the same time."""

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        """Decrypt and evaluate the packets whose status is ACCEPTED. A packet's fault is its status, no error.

        Each packet tries the keys in the order given, so that what it gives depends on nothing but itself.
        """
        ...

    def packets_per_chunk(self, bins: int) -> int:
        """How many packets make a chunk that is verified well within a budget of memory; at least 1."""
        ...


def check_r_pit(chunk: Chunk, layout: ShareLayout) -> tuple[NDArray[np.uint8], Elements]:
    """The chunk's status [n] with what r_pit adds to it, and r_pit as field elements [n], 0 where out of range.

    At a root of unity f_r and g_r would be one of the client's own values, and the proof would check that value alone.
    """
    in_range = (chunk.r_pit >= 0) & (chunk.r_pit < 2**32)
    r_pit = field.reduce(np.where(in_range, chunk.r_pit, 0).astype(np.uint64))
    is_root = is_root_of_unity(r_pit, 2 * layout.size)
    reasons = np.where(is_root, PacketReason.R_PIT_ROOT_OF_UNITY, PacketReason.ACCEPTED)
    reasons = np.where(in_range, reasons, PacketReason.R_PIT_OUT_OF_RANGE)
    return np.where(chunk.status == PacketReason.ACCEPTED, reasons, chunk.status).astype(np.uint8), r_pit
