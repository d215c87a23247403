"""The plain engine, which runs everywhere and which a reader understands: numpy, and `cryptography` packet by packet.

It says what every engine's numbers are.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import PacketReason
from prio_assets.prio import field, seeds
from prio_assets.prio.domain import domain_size
from prio_assets.prio.encryption import PacketDecryptionKey, decrypt_payloads
from prio_assets.prio.engine import Chunk, Verification, VerificationParameters, check_r_pit
from prio_assets.prio.field import Elements
from prio_assets.prio.shares import ShareLayout
from prio_assets.prio.verifier import verification_messages

DEFAULT_BUDGET_BYTES: Final = 64 * 2**20

# Measured: at the peak, the evaluation holds the shares (up to 2N elements), a packet's N weights and two temporary
# arrays of N products. The rest is the columns, and the objects that decryption makes one at a time.
_ELEMENTS_PER_NODE: Final = 6
_COLUMN_BYTES: Final = 512


def packets_per_chunk(bins: int, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> int:
    """How many packets numpy handles at once within a budget of memory; at least 1, whatever `bins` is."""
    return max(1, budget_bytes // (_ELEMENTS_PER_NODE * 8 * domain_size(bins) + _COLUMN_BYTES))


class PlainEngine:
    """The engine that runs everywhere: numpy, and `cryptography` packet by packet."""

    name = "plain"
    parallel = False

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        layout = ShareLayout(parameters.bins)
        status, r_pit = check_r_pit(chunk, layout)
        tried = np.flatnonzero(status == PacketReason.ACCEPTED)
        shares, status[tried], key_agreements = _read_shares(chunk, tried, keys, layout, parameters.server_index)
        accepted = np.flatnonzero(status == PacketReason.ACCEPTED)
        columns = np.zeros((3, len(chunk)), dtype=np.uint64)
        columns[:, accepted] = verification_messages(shares, r_pit[accepted], layout.bins, parameters.server_index)
        f_r, g_r, h_r = columns
        return Verification(f_r, g_r, h_r, status, field.total(shares[:, layout.data], axis=0), key_agreements)

    def packets_per_chunk(self, bins: int) -> int:
        return packets_per_chunk(bins)


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
