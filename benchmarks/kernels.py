"""The stages of the compiled engine's loop over packets, each in a loop by itself.

They are compiled in each process again: machine code that is kept would not notice a change of the stages.
"""

from contextlib import ExitStack
from types import TracebackType

import numba
import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import PacketReason
from prio_assets.prio import compiled, field
from prio_assets.prio.agreement import SECRET_BYTES
from prio_assets.prio.engine import Chunk
from prio_assets.prio.libcrypto import Libcrypto

_ACCEPTED = int(PacketReason.ACCEPTED)


class Loops:
    """The stages over a chunk whose packets are all good, for one role; a context manager."""

    def __init__(self, chunk: Chunk, secrets: NDArray[np.uint8], bins: int, server_index: int) -> None:
        self._chunk, self._secrets, self._server_index = chunk, secrets, server_index
        self._buffer = np.frombuffer(chunk.buffer, dtype=np.uint8)
        self._domain = compiled._domain(bins)
        self._scratch = compiled._scratch(self._domain, server_index, int(chunk.payload_lengths.max()))
        self._r_form = field.multiply(field.reduce(chunk.r_pit.astype(np.uint64)), int(compiled._ONE_FORM))
        self._contexts = ExitStack()

    def __enter__(self) -> "Loops":
        libcrypto = Libcrypto()
        self._decryption = self._contexts.enter_context(libcrypto.decryption())
        self._stream = self._contexts.enter_context(libcrypto.stream())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._contexts.close()

    def decrypt(self) -> None:
        """Derive keys and decrypt."""
        chunk = self._chunk
        self._check(
            _decrypt(
                self._buffer,
                chunk.payload_offsets,
                chunk.payload_lengths,
                self._secrets,
                self._decryption,
                self._scratch,
            )
        )

    def read(self) -> None:
        """The last packet's elements, once for each packet: of the first server."""
        self._check(_read(len(self._chunk), self._scratch))

    def expand(self) -> None:
        """The last packet's seed, once for each packet: of the second server."""
        self._check(_expand(len(self._chunk), self._stream, self._scratch))

    def evaluate(self) -> NDArray[np.uint64]:
        """The last packet's share at each packet's point: f_r, uint64 [n]."""
        data_sum = np.zeros(self._domain.bins, dtype=np.uint64)
        found: NDArray[np.uint64] = _evaluate(self._r_form, self._domain, self._server_index, self._scratch, data_sum)
        return found

    @staticmethod
    def _check(good: int) -> None:
        if not good:
            raise ValueError("a packet that the engine accepts is none for its stages")


@numba.njit(nogil=True, error_model="numpy")
def _decrypt(buffer, offsets, lengths, secrets, context, scratch):  # type: ignore[no-untyped-def]
    good = True
    for i in range(offsets.size):
        payload, secret = buffer.ctypes.data + offsets[i], secrets.ctypes.data + SECRET_BYTES * i
        good &= compiled._decrypt(payload, lengths[i], secret, context, scratch) == _ACCEPTED
    return good


@numba.njit(nogil=True, error_model="numpy")
def _read(times, scratch):  # type: ignore[no-untyped-def]
    good = True
    for _ in range(times):
        good &= compiled._read(scratch) == _ACCEPTED
    return good


@numba.njit(nogil=True, error_model="numpy")
def _expand(times, context, scratch):  # type: ignore[no-untyped-def]
    good = True
    for _ in range(times):
        good &= compiled._expand(context, scratch) == _ACCEPTED
    return good


@numba.njit(nogil=True, error_model="numpy")
def _evaluate(r_form, domain, server_index, scratch, data_sum):  # type: ignore[no-untyped-def]
    found = np.empty(r_form.size, dtype=np.uint64)
    for i in range(r_form.size):
        found[i], _, _ = compiled._evaluate(scratch, r_form[i], domain, server_index)
        for element in range(domain.bins):
            data_sum[element] += scratch.share[element]
    return found
