"""The key agreement of a chunk: elliptic-curve Diffie-Hellman on P-256 between one key and many points."""

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.encryption import PacketDecryptionKey, decode_point

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
        secrets = np.zeros((len(points), SECRET_BYTES), dtype=np.uint8)
        are_points = np.zeros(len(points), dtype=np.bool_)
        for position, encoded in enumerate(points):
            point = decode_point(encoded.tobytes())
            if point is not None:
                secrets[position] = np.frombuffer(key.agree(point), dtype=np.uint8)
                are_points[position] = True
        return SharedSecrets(secrets, are_points)
