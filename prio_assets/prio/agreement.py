"""The key agreement of a chunk: elliptic-curve Diffie-Hellman on P-256 between one key and many points."""

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.encryption import POINT_BYTES, PacketDecryptionKey, decode_point

SECRET_BYTES: Final = 32


class SharedSecrets(NamedTuple):
    """What a key and n encoded points agree on."""

    secrets: NDArray[np.uint8]
    """[n, 32], the x coordinates; any bytes where there is no point."""
    are_points: NDArray[np.bool_]
    """[n], which of the encodings are uncompressed, canonical and on the curve."""

    def __repr__(self) -> str:
        return f"SharedSecrets({int(self.are_points.sum())} of {self.are_points.size} points)"


class KeyAgreement(Protocol):
    """A way to agree."""

    name: str

    def agree(self, points: NDArray[np.uint8], key: PacketDecryptionKey) -> SharedSecrets:
        """With points uint8 [n, 65], as they came."""
        ...


class SingleAgreement:
    """One point after the other, by `cryptography`."""

    name = "single"

    def agree(self, points: NDArray[np.uint8], key: PacketDecryptionKey) -> SharedSecrets:
        encoded = points.tobytes()
        found = [decode_point(encoded[start : start + POINT_BYTES]) for start in range(0, len(encoded), POINT_BYTES)]
        secrets = bytearray().join(bytes(SECRET_BYTES) if point is None else key.agree(point) for point in found)
        are_points = np.array([point is not None for point in found], dtype=np.bool_)
        return SharedSecrets(np.frombuffer(secrets, dtype=np.uint8).reshape(-1, SECRET_BYTES), are_points)
