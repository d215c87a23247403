"""The floor: the key agreement by itself, once a packet."""

from collections.abc import Iterator
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.engines import CHOSEN, fastest_agreement
from benchmarks.figures import Agreement
from benchmarks.parties import PARTIES
from benchmarks.sizes import Sizes
from benchmarks.timing import measure
from prio_assets.prio.agreement import KeyAgreement, SingleAgreement
from prio_assets.prio.encryption import POINT_BYTES, encrypt

_POINTS = 2048
_DISTINCT = 64


def measure_agreements(sizes: Sizes) -> Iterator[Agreement]:
    """The fastest here, and that of `cryptography`."""
    for agreement in {each.name: each for each in (fastest_agreement(CHOSEN), SingleAgreement())}.values():
        yield Agreement(agreement.name, BareAgreement(agreement).microseconds(2 * sizes.repetitions + 1))


def points() -> NDArray[np.uint8]:
    """Ephemeral points as packets bring them, uint8 [n, 65]; the same again and again, which no library notices."""
    random = np.random.default_rng(0).bytes
    key = PARTIES["pha"].packet_key.public_point
    distinct = b"".join(encrypt(key, b"", random)[:POINT_BYTES] for _ in range(_DISTINCT))
    return np.tile(np.frombuffer(distinct, dtype=np.uint8).reshape(_DISTINCT, POINT_BYTES), (_POINTS // _DISTINCT, 1))


class BareAgreement:
    """A key agreement to be timed beside whatever is compared with it."""

    def __init__(self, agreement: KeyAgreement) -> None:
        self._agreement = agreement
        self._points = points()
        self._key = PARTIES["pha"].packet_key
        if not agreement.agree(self._points, self._key).are_points.all():
            raise ValueError(f"the {agreement.name} key agreement finds points that are none")

    def microseconds(self, repetitions: int = 3) -> float:
        """Of the processor for one point, now: the median, since a machine's speed varies."""
        call = lambda: self._agreement.agree(self._points, self._key)  # noqa: E731 (one use)
        return median(measure(call).per(len(self._points)).processor for _ in range(repetitions))
