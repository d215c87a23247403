"""Encryption of a share to one server.

Elliptic-curve integrated encryption on P-256: an ephemeral key pair, the ANSI X9.63 key derivation with SHA-256 and
the ephemeral point as shared information, and AES-128-GCM with a nonce of 16 bytes and no associated data. A payload is
`ephemeral point (65, uncompressed) | ciphertext | tag (16)`. Source: libprio-rs 0.4.0, `encrypt.rs`.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from numpy.typing import NDArray

from prio_assets.errors import InvalidKeyError, PacketReason

POINT_BYTES: Final = 65
OVERHEAD: Final = POINT_BYTES + 16

_UNCOMPRESSED: Final = 4
_AES_KEY_BYTES: Final = 16
_CURVE_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 16 bytes more than the order has: the remainder is uniform but for 2^-128.
_SCALAR_RANDOM_BYTES: Final = 48


class PacketDecryptionKey:
    """A server's private key for packets. Equal keys have equal public points; no text form shows the secret."""

    __slots__ = ("_private", "public_point")

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public_point: bytes = _encode_point(private.public_key())

    @classmethod
    def from_scalar(cls, scalar: bytes) -> "PacketDecryptionKey":
        """From the big-endian scalar; InvalidKeyError unless it is above 0 and below the order of P-256."""
        value = int.from_bytes(scalar, "big")
        if not 0 < value < _CURVE_ORDER:
            raise InvalidKeyError("the scalar of the packet decryption key is not in the range of P-256: check the key")
        return cls(derive_private_key(value, SECP256R1()))

    def agree(self, point: EllipticCurvePublicKey) -> bytes:
        """The shared secret with a point: the x coordinate, 32 bytes."""
        return self._private.exchange(ECDH(), point)

    def scalar(self) -> NDArray[np.uint8]:
        """The secret itself, uint8 [32] from the lowest byte, for a library that takes it so."""
        value = self._private.private_numbers().private_value
        return np.frombuffer(value.to_bytes(32, "little"), dtype=np.uint8)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PacketDecryptionKey) and self.public_point == other.public_point

    def __hash__(self) -> int:
        return hash(self.public_point)

    def __repr__(self) -> str:
        return f"PacketDecryptionKey(public_point={self.public_point.hex()})"


class Decryption(NamedTuple):
    """What became of the payloads of a chunk; the plaintexts are secret."""

    plaintexts: NDArray[np.uint8]
    """[number of good payloads, plaintext length], in the payloads' order."""
    status: NDArray[np.uint8]
    """A PacketReason for each payload."""
    key_agreements: int
    """Payloads whose ephemeral point is one, so that the keys could be tried."""

    def __repr__(self) -> str:
        return f"Decryption({len(self.plaintexts)} of {len(self.status)} payloads, {self.key_agreements} agreements)"


def encrypt(public_point: bytes, plaintext: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The payload for the holder of an uncompressed P-256 point (65 bytes); InvalidKeyError if it is none.

    `random` is asked once, for 48 bytes, which fix the ephemeral key.
    """
    recipient = decode_point(public_point)
    if recipient is None:
        raise InvalidKeyError("the packet encryption key is no uncompressed point of P-256 (65 bytes): check the key")
    scalar = int.from_bytes(random(_SCALAR_RANDOM_BYTES), "big") % (_CURVE_ORDER - 1) + 1
    ephemeral = derive_private_key(scalar, SECP256R1())
    ephemeral_point = _encode_point(ephemeral.public_key())
    cipher, nonce = _cipher(ephemeral.exchange(ECDH(), recipient), ephemeral_point)
    return ephemeral_point + cipher.encrypt(nonce, plaintext, None)


def decrypt_payloads(
    buffer: bytes | memoryview,
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    keys: Sequence[PacketDecryptionKey],
    plaintext_bytes: int,
) -> Decryption:
    """Decrypt the payloads [n] that lie in a buffer at these offsets; a good plaintext has `plaintext_bytes` bytes.

    Statuses: PAYLOAD_TOO_SHORT, EPHEMERAL_KEY_INVALID (compressed, off the curve or not canonical), UNDECRYPTABLE (no
    key authenticates), SHARE_LENGTH_DIFFERS, ACCEPTED. Each payload tries the keys in the order given. For anybody can
    make one that authenticates under two keys: which of them opens it must not depend on other payloads.
    """
    view = memoryview(buffer)
    plaintexts = np.empty((offsets.size, plaintext_bytes), dtype=np.uint8)
    status = np.zeros(offsets.size, dtype=np.uint8)
    good = 0
    for position, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        opened = _open_with_any(keys, bytes(view[offset : offset + length]))
        if isinstance(opened, PacketReason):
            status[position] = opened
        elif len(opened) != plaintext_bytes:
            status[position] = PacketReason.SHARE_LENGTH_DIFFERS
        else:
            plaintexts[good] = np.frombuffer(opened, dtype=np.uint8)
            good += 1
    untried = (status == PacketReason.PAYLOAD_TOO_SHORT) | (status == PacketReason.EPHEMERAL_KEY_INVALID)
    return Decryption(plaintexts[:good], status, int(status.size - np.count_nonzero(untried)))


def _open_with_any(keys: Sequence[PacketDecryptionKey], payload: bytes) -> bytes | PacketReason:
    """The plaintext under the first key that authenticates, or what is wrong."""
    if len(payload) < OVERHEAD:
        return PacketReason.PAYLOAD_TOO_SHORT
    point = decode_point(payload[:POINT_BYTES])
    if point is None:
        return PacketReason.EPHEMERAL_KEY_INVALID
    for key in keys:
        plaintext = _open(key, point, payload)
        if plaintext is not None:
            return plaintext
    return PacketReason.UNDECRYPTABLE


def _open(key: PacketDecryptionKey, point: EllipticCurvePublicKey, payload: bytes) -> bytes | None:
    cipher, nonce = _cipher(key.agree(point), payload[:POINT_BYTES])
    try:
        return cipher.decrypt(nonce, memoryview(payload)[POINT_BYTES:], None)
    except InvalidTag:
        return None


def _cipher(shared_secret: bytes, ephemeral_point: bytes) -> tuple[AESGCM, bytes]:
    """The cipher and its nonce, both derived."""
    derived = X963KDF(SHA256(), 32, sharedinfo=ephemeral_point).derive(shared_secret)
    return AESGCM(derived[:_AES_KEY_BYTES]), derived[_AES_KEY_BYTES:]


def decode_point(encoded: bytes) -> EllipticCurvePublicKey | None:
    """The point, or None if these bytes are not the uncompressed form of one on the curve."""
    if len(encoded) != POINT_BYTES or encoded[0] != _UNCOMPRESSED:
        return None
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), encoded)
    except ValueError:
        return None


def _encode_point(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
