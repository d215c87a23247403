"""Keys, against those of the reference's tests, RFC 6979, and forms that must be refused without showing the key."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import load_pem_x509_csr

from prio_assets.errors import InvalidKeyError
from prio_assets.wire.keys import (
    SigningKey,
    generate_packet_key_text,
    generate_signing_key_text,
    parse_packet_decryption_key,
    parse_packet_public_key,
    parse_signing_key,
    parse_verification_key,
    public_packet_key_text,
    public_signing_key_text,
)

TESTS = Path(__file__).parents[1]
VECTORS: list[dict[str, Any]] = json.loads((TESTS / "vectors/keys.json").read_text())["vectors"]
SELF_CHECK = next(vector for vector in VECTORS if "batch_signing" in vector)
SIGNING = [vector for vector in VECTORS if "spki_base64" in vector]
PACKET = [vector for vector in VECTORS if "public_key_base64" in vector]
INTEROP = sorted((TESTS / "interop").glob("*/keys.json"))

RFC_6979_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_6979 = {
    b"sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    b"test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def pkcs8(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.mark.parametrize("message", RFC_6979)
def test_signatures_are_those_of_rfc_6979(message: bytes) -> None:
    key = SigningKey("rfc", ec.derive_private_key(RFC_6979_SCALAR, ec.SECP256R1()))
    assert decode_dss_signature(key.sign(message)) == RFC_6979[message]
    key.public.verify(key.sign(message), message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("vector", SIGNING, ids=lambda v: v["key_identifier"])
def test_signing_keys_of_the_reference(vector: dict[str, Any]) -> None:
    key = parse_signing_key(vector["key_identifier"], vector["pkcs8_base64"])
    spki = b64decode(vector["spki_base64"])
    assert key.identifier == vector["key_identifier"]
    assert key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki
    for text in (vector["spki_base64"], vector["pkcs8_base64"], encoded(spki[-65:])):
        assert parse_verification_key(text) == key.public


@pytest.mark.parametrize("vector", SELF_CHECK["batch_signing"], ids=lambda v: v["key_identifier"])
def test_published_keys_verify_what_their_private_halves_sign(vector: dict[str, Any]) -> None:
    key = parse_signing_key(vector["key_identifier"], vector["pkcs8_base64"])
    published = [parse_verification_key(v["public_pem"]) for v in SELF_CHECK["batch_signing"] if "public_pem" in v]
    assert (key.public in published) is vector["in_manifest"]


def packet_vectors() -> list[dict[str, Any]]:
    return [*PACKET, *SELF_CHECK["packet_encryption"]]


@pytest.mark.parametrize("vector", packet_vectors())
def test_packet_keys_of_the_reference(vector: dict[str, Any]) -> None:
    private = vector["private_key_base64"]
    public = parse_packet_decryption_key(private).public_point
    assert parse_packet_public_key(private) == public
    assert parse_packet_public_key(encoded(public)) == public
    if "public_key_base64" in vector:
        assert public == b64decode(vector["public_key_base64"])
    if "csr_pem" in vector:
        requested = load_pem_x509_csr(vector["csr_pem"].encode()).public_key()
        assert isinstance(requested, ec.EllipticCurvePublicKey)
        assert public == point(requested)


def test_public_point_of_a_private_packet_key() -> None:
    (vector,) = [vector for vector in VECTORS if "expected_public_key_base64" in vector]
    assert encoded(parse_packet_public_key(vector["private_key_base64"])) == vector["expected_public_key_base64"]


@pytest.mark.parametrize("vector", SIGNING, ids=lambda v: v["key_identifier"])
def test_a_public_packet_key_is_taken_in_all_forms_of_a_public_signing_key(vector: dict[str, Any]) -> None:
    spki = b64decode(vector["spki_base64"])
    public = parse_verification_key(vector["spki_base64"])
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (encoded(spki), encoded(spki[-65:]), vector["pkcs8_base64"], pem, f"\n {pem}"):
        assert parse_packet_public_key(text) == point(public)


@pytest.mark.parametrize("path", INTEROP, ids=lambda path: path.parent.name)
def test_interop_keys(path: Path) -> None:
    keys = json.loads(path.read_text())
    for party in ("ingestor", "pha", "facilitator"):
        signing = parse_signing_key(keys[party]["id"], keys[party]["private_pkcs8_b64"])
        for form in ("private_pkcs8_b64", "public_x962_b64", "public_pem"):
            assert parse_verification_key(keys[party][form]) == signing.public
    for texts in keys["packet_decryption"].values():
        assert all(parse_packet_decryption_key(text).public_point == b64decode(text)[:65] for text in texts)


def test_short_scalars_are_padded_on_the_left() -> None:
    private = ec.derive_private_key(0x1234, ec.SECP256R1())
    public = point(private.public_key())
    for length in (2, 30, 31, 32):
        key = parse_packet_decryption_key(encoded(public + (0x1234).to_bytes(length, "big")))
        assert key.public_point == public


def test_white_space_around_and_within_is_dropped() -> None:
    text = PACKET[0]["private_key_base64"]
    assert parse_packet_decryption_key(f"  {text[:64]}\n{text[64:]}\n") == parse_packet_decryption_key(text)
    pem = SELF_CHECK["batch_signing"][0]["public_pem"]
    assert parse_verification_key(f"\n{pem}\n") == parse_verification_key(pem)


def test_generated_keys_are_of_the_accepted_forms() -> None:
    signing = parse_signing_key("new", generate_signing_key_text())
    signing.public.verify(signing.sign(b"data"), b"data", ec.ECDSA(SHA256()))
    text = generate_packet_key_text()
    assert len(b64decode(text)) == 97
    assert parse_packet_decryption_key(text).public_point == b64decode(text)[:65]


def test_public_halves_of_generated_keys() -> None:
    signing, packet = generate_signing_key_text(), generate_packet_key_text()
    assert parse_verification_key(public_signing_key_text(signing)) == parse_verification_key(signing)
    assert b64decode(public_packet_key_text(packet)) == b64decode(packet)[:65]
    for public in (public_signing_key_text, public_packet_key_text):
        refuse(public, "no key")


@pytest.mark.parametrize("generate", [generate_signing_key_text, generate_packet_key_text])
def test_generated_keys_depend_on_the_randomness_alone(generate: Callable[[Callable[[int], bytes]], str]) -> None:
    assert generate(lambda count: b"\x17" * count) == generate(lambda count: b"\x17" * count)
    assert generate(lambda count: b"\x17" * count) != generate(lambda count: b"\x18" * count)


def test_bytes_that_are_no_scalar_are_drawn_again() -> None:
    draws = iter([b"\0" * 32, b"\xff" * 32, (7).to_bytes(32, "big")])
    assert b64decode(generate_packet_key_text(lambda count: next(draws)))[65:] == (7).to_bytes(32, "big")


PRIVATE = ec.derive_private_key(0x7777, ec.SECP256R1())
OTHER = ec.derive_private_key(0x8888, ec.SECP256R1())
PUBLIC = point(PRIVATE.public_key())
MISMATCHED = pkcs8(PRIVATE).replace(PUBLIC, point(OTHER.public_key()))
P384 = ec.derive_private_key(0x7777, ec.SECP384R1())
OFF_CURVE = PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1])
WITHOUT_PUBLIC_KEY = bytes.fromhex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420") + (
    0x7777
).to_bytes(32, "big")
COMPRESSED = PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)

ANYWHERE = [
    "",
    "*",
    "not base64",
    "AAA",
    "é",
    encoded(b"\0" * 97),
    encoded(COMPRESSED),
    encoded(OFF_CURVE + b"\0" * 90),
]


@pytest.mark.parametrize(
    "text",
    [
        *ANYWHERE,
        encoded(MISMATCHED),
        encoded(WITHOUT_PUBLIC_KEY),
        encoded(pkcs8(PRIVATE)[:-1]),
        encoded(pkcs8(P384)),
        encoded(pkcs8(EDWARDS)),
        encoded(PUBLIC),
        encoded(PUBLIC + (0x7777).to_bytes(32, "big")),
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
)
def test_other_forms_are_no_signing_key(text: str) -> None:
    refuse(lambda text: parse_signing_key("id", text), text)


@pytest.mark.parametrize(
    "identifier",
    [
        generate_signing_key_text(),
        generate_packet_key_text(),
        PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
    ],
    ids=["signing key", "packet key", "PEM"],
)
def test_a_private_key_is_no_identifier(identifier: str) -> None:
    refuse(lambda text: parse_signing_key(text, generate_signing_key_text()), identifier)


NO_PUBLIC_KEY = [
    *ANYWHERE,
    encoded(OFF_CURVE),
    encoded(PUBLIC[:-1]),
    encoded(PUBLIC + b"\0"),
    encoded(PUBLIC + b"\0" * 33),
    encoded(MISMATCHED),
    encoded(WITHOUT_PUBLIC_KEY),
    encoded(P384.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    EDWARDS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    "-----BEGIN ü",
    "-----BEGIN \udcff",
]


@pytest.mark.parametrize("text", NO_PUBLIC_KEY)
def test_other_forms_are_no_verification_key(text: str) -> None:
    refuse(parse_verification_key, text)


@pytest.mark.parametrize(
    "text",
    [
        *ANYWHERE,
        encoded(PUBLIC),
        encoded(pkcs8(PRIVATE)),
        encoded(PUBLIC + b"\0" * 32),
        encoded(PUBLIC + b"\xff" * 32),
        encoded(PUBLIC + b"\0" + (0x7777).to_bytes(32, "big")),
    ],
)
def test_other_forms_are_no_packet_key(text: str) -> None:
    refuse(parse_packet_decryption_key, text)


@pytest.mark.parametrize("text", [*NO_PUBLIC_KEY, encoded(PUBLIC + b"\0" * 32)])
def test_other_forms_are_no_packet_encryption_key(text: str) -> None:
    refuse(parse_packet_public_key, text)


def refuse(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(text) < 20 or text[:20] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_text_form_shows_a_secret() -> None:
    key = SigningKey("id", PRIVATE)
    packet = parse_packet_decryption_key(encoded(PUBLIC + (0x7777).to_bytes(32, "big")))
    for shown in (repr(key), str(key), repr(packet), str(packet)):
        assert "7777" not in shown
        assert str(0x7777) not in shown
    assert repr(key) == "SigningKey(identifier='id')"


def tampered_signatures(signature: bytes) -> list[bytes]:
    flipped = [signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :] for at in range(len(signature))]
    return [*flipped, signature + b"\0", signature[:-1], b"", b"\x30\x80" + signature[2:] + b"\0\0"]


def test_signatures_are_verified_strictly() -> None:
    key = SigningKey("id", PRIVATE)
    for signature in tampered_signatures(key.sign(b"data")):
        with pytest.raises(InvalidSignature):
            key.public.verify(signature, b"data", ec.ECDSA(SHA256()))
