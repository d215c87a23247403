"""A payload of 32 bytes that authenticates under two keys: AES-GCM doesn't commit to its key."""

import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from tests.oracle import curve

ONE = 1 << 127
REDUCTION = 0xE1 << 120
PLAINTEXT_BITS = 256


def multiply(a: int, b: int) -> int:
    """The product in GHASH's field, whose first bit is the highest."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = b >> 1 ^ REDUCTION if b & 1 else b >> 1
    return product


def invert(a: int) -> int:
    result = ONE
    for _ in range(127):  # a to the power of 2^128 - 2
        a = multiply(a, a)
        result = multiply(result, a)
    return result


def encrypt_block(key: bytes, block: int) -> int:
    return int.from_bytes(Cipher(AES(key), ECB()).encryptor().update(block.to_bytes(16, "big")), "big")


def tag_terms(scalar: int, point: curve.Point) -> tuple[int, int, int, int]:
    """What the two blocks of ciphertext and the length are multiplied with in the tag, and what is added."""
    shared = curve.multiply(scalar, point)
    assert shared is not None
    ephemeral = curve.multiply(scalar, curve.GENERATOR)
    assert ephemeral is not None
    derived = hashlib.sha256(shared[0].to_bytes(32, "big") + b"\0\0\0\1" + curve.encode(ephemeral)).digest()
    key, nonce = derived[:16], int.from_bytes(derived[16:], "big")
    h = encrypt_block(key, 0)
    square = multiply(h, h)
    counter = multiply(nonce, square) ^ multiply(128, h)
    return multiply(square, h), square, h, encrypt_block(key, counter)


def ambiguous(scalar: int, first: curve.Point, second: curve.Point) -> bytes:
    """The payload with the ephemeral key `scalar` that the holders of both points can open, each to another text."""
    a3, a2, a, added_a = tag_terms(scalar, first)
    b3, b2, b, added_b = tag_terms(scalar, second)
    last = 0x5EED
    difference = multiply(last, a2 ^ b2) ^ multiply(PLAINTEXT_BITS, a ^ b) ^ added_a ^ added_b
    front = multiply(difference, invert(a3 ^ b3))
    tag = multiply(front, a3) ^ multiply(last, a2) ^ multiply(PLAINTEXT_BITS, a) ^ added_a
    ephemeral = curve.multiply(scalar, curve.GENERATOR)
    assert ephemeral is not None
    return curve.encode(ephemeral) + b"".join(block.to_bytes(16, "big") for block in (front, last, tag))
