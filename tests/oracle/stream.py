"""Seed expansion, one block after the other."""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from tests.oracle.polynomials import PRIME


def expand(seed: bytes, length: int) -> list[int]:
    cipher = Cipher(AES(seed[:16]), ECB()).encryptor()
    counter = int.from_bytes(seed[24:32], "big")
    elements: list[int] = []
    while len(elements) < length:
        block = cipher.update(seed[16:24] + (counter % 2**64).to_bytes(8, "big"))
        words = [int.from_bytes(block[i : i + 4], "little") for i in range(0, 16, 4)]
        elements += [word for word in words if word < PRIME]
        counter += 1
    return elements[:length]
