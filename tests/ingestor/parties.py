"""Keys of two processors and an ingestor, and a random source that repeats itself."""

import hashlib
from base64 import b64decode
from collections.abc import Callable

from prio_assets.ingestor.client import PublicPoints
from prio_assets.wire.keys import (
    generate_packet_key_text,
    generate_signing_key_text,
    parse_packet_decryption_key,
    parse_packet_public_key,
    parse_signing_key,
)


def repeatable(seed: str) -> Callable[[int], bytes]:
    """A random source whose bytes depend on the seed alone."""
    calls = 0

    def random(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{seed} {calls}".encode()).digest(count)

    return random


PACKET_KEY_TEXTS = tuple(generate_packet_key_text(repeatable(party)) for party in ("pha", "facilitator"))
PACKET_KEYS = tuple(parse_packet_decryption_key(text) for text in PACKET_KEY_TEXTS)
SCALARS = tuple(int.from_bytes(b64decode(text)[65:], "big") for text in PACKET_KEY_TEXTS)
POINTS = PublicPoints(*(parse_packet_public_key(text) for text in PACKET_KEY_TEXTS))

SIGNING_KEY_TEXT = generate_signing_key_text(repeatable("ingestor"))
SIGNING_KEY = parse_signing_key("ingestor-1", SIGNING_KEY_TEXT)
