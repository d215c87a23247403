"""Key material in the forms that organisations hand each other. All keys are on the curve P-256.

No error, text form or chained exception holds a private key.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_public_key,
)

from prio_assets.errors import InvalidKeyError
from prio_assets.prio.encryption import POINT_BYTES, PacketDecryptionKey

VerificationKeys: TypeAlias = Mapping[str, EllipticCurvePublicKey]
"""The signing keys that a sender publishes, by identifier; any of them may sign."""

SCALAR_BYTES = 32

_UNCOMPRESSED = b"\x04"
_LOADING_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True)
class SigningKey:
    """A batch signing key and the identifier under which its public half is published."""

    identifier: str
    private: EllipticCurvePrivateKey = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256, DER; the nonce is that of RFC 6979, so the same data gives the same signature."""
        return self.private.sign(data, ECDSA(SHA256(), deterministic_signing=True))

    @property
    def public(self) -> EllipticCurvePublicKey:
        """The key that verifies."""
        return self.private.public_key()


def parse_signing_key(identifier: str, text: str) -> SigningKey:
    """A batch signing key from base64 of PKCS#8 DER that holds the public key too; InvalidKeyError otherwise.

    The identifier, which every batch names, must not be a private key itself.
    """
    if _is_private_key(identifier):
        raise InvalidKeyError("the identifier of the batch signing key is a private key: give the key's name")
    return SigningKey(identifier, _load_private(_decode(text, "batch signing key"), "batch signing key"))


def parse_verification_key(text: str) -> EllipticCurvePublicKey:
    """The public half of a batch signing key; InvalidKeyError if it is not of an accepted form.

    Accepted: PEM or base64 of a SubjectPublicKeyInfo, base64 of the uncompressed point (65 bytes), base64 of the
    PKCS#8 private key.
    """
    return _parse_public(text, "batch signing public key")


def parse_packet_decryption_key(text: str) -> PacketDecryptionKey:
    """A packet key from base64 of `point (65 bytes) | scalar (32)`; InvalidKeyError otherwise, PKCS#8 included.

    A scalar without its leading zero bytes is accepted, since the reference's key tools write those. As in the
    reference, only the scalar is used.
    """
    data = _decode(text, "packet decryption key")
    if not (data.startswith(_UNCOMPRESSED) and POINT_BYTES < len(data) <= POINT_BYTES + SCALAR_BYTES):
        raise InvalidKeyError("the packet decryption key is not base64 of an uncompressed point and a scalar, 97 bytes")
    return PacketDecryptionKey.from_scalar(data[POINT_BYTES:].rjust(SCALAR_BYTES, b"\0"))


def parse_packet_public_key(text: str) -> bytes:
    """The uncompressed point (65 bytes) to encrypt packets to; InvalidKeyError if the key is not of an accepted form.

    Accepted: what `parse_verification_key` accepts, and the form of `parse_packet_decryption_key`.
    """
    with suppress(InvalidKeyError):
        return parse_packet_decryption_key(text).public_point
    return _point(_parse_public(text, "packet encryption key"))


def generate_signing_key_text(random: Callable[[int], bytes] = os.urandom) -> str:
    """A new batch signing key, base64 of PKCS#8 DER with its public key."""
    private = _draw_private(random)
    return b64encode(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


def generate_packet_key_text(random: Callable[[int], bytes] = os.urandom) -> str:
    """A new packet decryption key, base64 of `point (65 bytes) | scalar (32)`."""
    private = _draw_private(random)
    scalar = private.private_numbers().private_value.to_bytes(SCALAR_BYTES, "big")
    return b64encode(_point(private.public_key()) + scalar).decode()


def public_signing_key_text(private_text: str) -> str:
    """The public half of a batch signing key, base64 of a SubjectPublicKeyInfo; InvalidKeyError as when parsed."""
    public = parse_verification_key(private_text)
    return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def public_packet_key_text(private_text: str) -> str:
    """The public half of a packet key, base64 of its point; InvalidKeyError as when parsed."""
    return b64encode(parse_packet_public_key(private_text)).decode()


def _draw_private(random: Callable[[int], bytes]) -> EllipticCurvePrivateKey:
    """A uniform private key: 32 random bytes, drawn again (once in 2**32) if they are no scalar of the curve."""
    while True:
        try:
            return derive_private_key(int.from_bytes(random(SCALAR_BYTES), "big"), SECP256R1())
        except ValueError:
            continue


def _parse_public(text: str, what: str) -> EllipticCurvePublicKey:
    if text.lstrip().startswith("-----BEGIN"):
        return _load_public(load_pem_public_key, text.strip().encode(errors="replace"), what)
    data = _decode(text, what)
    if data.startswith(_UNCOMPRESSED):
        return _load_point(data, what)
    with suppress(InvalidKeyError):
        return _load_private(data, what).public_key()
    return _load_public(load_der_public_key, data, what)


def _decode(text: str, what: str) -> bytes:
    """The bytes of a base64 text; white space, as files and wrapped lines have it, is dropped."""
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise InvalidKeyError(f"the {what} is not base64") from None


def _is_private_key(text: str) -> bool:
    """Whether the text is a private key in a form that is taken here, or a PEM of one."""
    for parse in (lambda: _load_private(_decode(text, ""), ""), lambda: parse_packet_decryption_key(text)):
        with suppress(InvalidKeyError):
            parse()
            return True
    return "PRIVATE KEY-----" in text


def _load_private(der: bytes, what: str) -> EllipticCurvePrivateKey:
    try:
        key = load_der_private_key(der, password=None)
    except _LOADING_ERRORS:
        raise InvalidKeyError(f"the {what} is not base64 of PKCS#8 DER") from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidKeyError(f"the {what} is not a key of P-256")
    derived = derive_private_key(key.private_numbers().private_value, SECP256R1())
    if _point(derived.public_key()) not in der:
        raise InvalidKeyError(f"the {what} does not hold the public key that belongs to its private key")
    return derived


def _load_public(load: Callable[[bytes], object], data: bytes, what: str) -> EllipticCurvePublicKey:
    try:
        key = load(data)
    except _LOADING_ERRORS:
        raise InvalidKeyError(f"the {what} is of no accepted form: give PEM or base64 of a public key") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise InvalidKeyError(f"the {what} is not a key of P-256")
    return key


def _load_point(data: bytes, what: str) -> EllipticCurvePublicKey:
    if len(data) != POINT_BYTES or not data.startswith(_UNCOMPRESSED):
        raise InvalidKeyError(f"the {what} is not base64 of an uncompressed point, 65 bytes")
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), data)
    except ValueError:
        raise InvalidKeyError(f"the {what} is not a point of P-256") from None


def _point(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
