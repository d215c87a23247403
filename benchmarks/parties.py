"""The parties of the benchmarks: keys that derive from a seed. They protect nothing."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from prio_assets.ingestor.client import PublicPoints
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.wire.keys import (
    SigningKey,
    generate_packet_key_text,
    generate_signing_key_text,
    parse_packet_decryption_key,
    parse_packet_public_key,
    parse_signing_key,
)

SEED: Final = 20_260_101
ROLES: Final = ("pha", "facilitator")
"""In the order of the servers' indices."""


@dataclass(frozen=True)
class Party:
    """One party's private keys as texts; the ingestor's packet key is not used."""

    name: str
    signing_text: str
    packet_text: str

    @property
    def key_identifier(self) -> str:
        """Of its signing key."""
        return f"{self.name}-1"

    @cached_property
    def signing_key(self) -> SigningKey:
        """What it signs with."""
        return parse_signing_key(self.key_identifier, self.signing_text)

    @cached_property
    def packet_key(self) -> PacketDecryptionKey:
        """What shares are encrypted to."""
        return parse_packet_decryption_key(self.packet_text)


def _make(name: str, number: int) -> Party:
    random = np.random.default_rng((SEED, number)).bytes
    return Party(name, generate_signing_key_text(random), generate_packet_key_text(random))


PARTIES: Final = {name: _make(name, number) for number, name in enumerate((*ROLES, "ingestor"))}

PUBLIC_POINTS: Final = PublicPoints(*(parse_packet_public_key(PARTIES[role].packet_text) for role in ROLES))
