"""P-256 by its formulas, and the decryption of one payload."""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# Points with a coordinate so small that adding the curve's prime to it still gives 32 bytes.
SMALL_X = (0, 0x66485C780E2F83D72433BD5D84A06BB6541C2AF31DAE871728BF856A174F93F4)
SMALL_Y = (0xD7325D7646CD60D80A92738CEB345F844CFFAF35841022CAB176F692DE8DE1D7, 5)

Point = tuple[int, int]


def is_on_curve(point: Point) -> bool:
    x, y = point
    return (x**3 - 3 * x + B - y * y) % FIELD == 0


def add(a: Point | None, b: Point | None) -> Point | None:
    """The sum; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % FIELD == 0:
        return None
    rise, run = (3 * a[0] * a[0] - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, FIELD)
    x = (slope * slope - a[0] - b[0]) % FIELD
    return x, (slope * (a[0] - x) - a[1]) % FIELD


def multiply(scalar: int, point: Point) -> Point | None:
    result: Point | None = None
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def decode(encoded: bytes) -> Point | None:
    """The point of the uncompressed form, or None if it is not one."""
    x, y = int.from_bytes(encoded[1:33], "big"), int.from_bytes(encoded[33:65], "big")
    if len(encoded) != 65 or encoded[0] != 4 or x >= FIELD or y >= FIELD or not is_on_curve((x, y)):
        return None
    return x, y


def encode(point: Point) -> bytes:
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def decrypt(scalar: int, payload: bytes) -> bytes | None:
    """The plaintext of a payload whose point is good, or None if it does not authenticate."""
    ephemeral = payload[:65]
    point = decode(ephemeral)
    assert point is not None
    shared = multiply(scalar, point)
    assert shared is not None
    derived = hashlib.sha256(shared[0].to_bytes(32, "big") + b"\x00\x00\x00\x01" + ephemeral).digest()
    try:
        return AESGCM(derived[:16]).decrypt(derived[16:], payload[65:], None)
    except InvalidTag:
        return None
