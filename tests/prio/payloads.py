"""One payload at a time, where a test is about one."""

import numpy as np

from prio_assets.prio.encryption import OVERHEAD, PacketDecryptionKey, decrypt_payloads


def decrypt(key: PacketDecryptionKey, payload: bytes) -> bytes | None:
    """The plaintext of a payload, or None if there is none."""
    offset, length = np.zeros(1, dtype=np.int64), np.array([len(payload)], dtype=np.int64)
    plaintext_bytes = max(0, len(payload) - OVERHEAD)
    plaintexts = decrypt_payloads(payload, offset, length, [key], plaintext_bytes).plaintexts
    return plaintexts[0].tobytes() if len(plaintexts) else None
