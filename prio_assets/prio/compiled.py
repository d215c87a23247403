"""The engine for speed: compiled loops over a chunk's packets, in which libcrypto does all cryptography.

It gives what `PlainEngine` gives, to the bit. The key agreement of a whole chunk comes first, by whichever
`KeyAgreement` the machine has. Then a packet goes through all its steps while it is in the processor's cache: key
derivation, decryption, expansion, the range of its elements, and the evaluation of f, g and h. There is no array over
packets and elements.

Elements are uint64 in [0, p). `_multiply` is Montgomery's: a * b / 2^32 mod p. So one of its operands is kept times
2^32: names of such values end in `_form`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import OperationalError, PacketReason
from prio_assets.prio import field
from prio_assets.prio.agreement import SECRET_BYTES, KeyAgreement
from prio_assets.prio.domain import powers, root_of_unity
from prio_assets.prio.encryption import OVERHEAD, POINT_BYTES, PacketDecryptionKey
from prio_assets.prio.engine import Chunk, Verification, VerificationParameters, check_r_pit
from prio_assets.prio.field import ELEMENT_BYTES, PRIME, Elements
from prio_assets.prio.jit import inlined, kernel
from prio_assets.prio.libcrypto import (
    SET_TAG,
    SHA256_STATE_WORDS,
    TAG_BYTES,
    Libcrypto,
    control,
    decrypt_final,
    decrypt_init,
    decrypt_update,
    encrypt_init,
    encrypt_update,
    sha256_final,
    sha256_init,
    sha256_update,
)
from prio_assets.prio.plain import PlainEngine
from prio_assets.prio.seeds import SEED_BYTES
from prio_assets.prio.shares import ShareLayout

Bytes: TypeAlias = NDArray[np.uint8]

_MOST_PACKETS: Final = 1024
_LEAST_PACKETS: Final = 16
"""Two groups of eight points."""
_CHUNK_VALUES: Final = 2**21
"""Bins of all packets in a chunk: some hundredths of a second of work, for threads to share and a run to stop at."""

_PRIME: Final = np.uint64(PRIME)
_ONE_FORM: Final = np.uint64(2**32 % PRIME)
_LOW: Final = np.uint64(2**32 - 1)
_HALF_WORD: Final = np.uint64(32)
_INVERSE_SHIFT: Final = np.uint64(20)  # 1 / p is 1 + 2^20 mod 2^32

_ACCEPTED: Final = int(PacketReason.ACCEPTED)
_UNDECRYPTABLE: Final = int(PacketReason.UNDECRYPTABLE)
_LENGTH_DIFFERS: Final = int(PacketReason.SHARE_LENGTH_DIFFERS)
_OUT_OF_RANGE: Final = int(PacketReason.SHARE_OUT_OF_RANGE)
_LIBRARY_FAILED: Final = 255

_KEY_BYTES: Final = 16
_BLOCK_BYTES: Final = 16
_BLOCK_WORDS: Final = 4
_DERIVED_BYTES: Final = 32


class _Domain(NamedTuple):
    """What the evaluation at any point needs to know of a number of bins."""

    bins: int
    size: int
    roots_form: Elements
    """At h + i, for each power of two h < size: the 2h-th root of unity to the power of -i."""
    inverse_size: np.uint64
    """1 / N."""
    inverse_order_form: np.uint64
    """1 / 2N."""
    turn_form: np.uint64
    """1 / the 2N-th root of unity."""
    half_form: np.uint64


class _Scratch(NamedTuple):
    """Where one packet's values stand; it is overwritten by the next packet. All of it is secret."""

    state: NDArray[np.uint64]
    derived: Bytes
    """The key and the nonce; then the counter of the key derivation, the big-endian number 1."""
    plaintext: Bytes
    words: NDArray[np.uint32]
    zeros: Bytes
    share: NDArray[np.uint32]
    weights: Elements
    squares_form: Elements
    """Of the point: its powers 1, 2, 4, … N."""
    written: NDArray[np.int32]

    def __repr__(self) -> str:
        return "_Scratch()"


class CompiledEngine:
    """The compiled loops behind a key agreement; OSError where the system's libcrypto is none that they can call."""

    parallel = True

    def __init__(self, agreement: KeyAgreement) -> None:
        self._agreement = agreement
        self._libcrypto = Libcrypto()
        self.name = f"compiled, {agreement.name} key agreement"

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        if not keys:
            return PlainEngine().verify(chunk, keys, parameters)  # which is not slow then
        status, r_pit = _check_lengths(chunk, *check_r_pit(chunk, ShareLayout(parameters.bins)))
        tried = np.flatnonzero(status == PacketReason.ACCEPTED)
        points = _points(chunk, tried)
        columns = np.zeros((3, len(chunk)), dtype=np.uint64)
        data_sum = np.zeros(parameters.bins, dtype=np.uint64)
        key_agreements = None
        for key in keys:
            secrets, are_points = self._agreement.agree(points, key)
            if key_agreements is None:
                key_agreements = int(are_points.sum())
            if not are_points.all():
                status[tried[~are_points]] = PacketReason.EPHEMERAL_KEY_INVALID
                tried, points, secrets = tried[are_points], points[are_points], secrets[are_points]
            self._open_and_evaluate(chunk, tried, secrets, r_pit, parameters, status, columns, data_sum)
            undecided = status[tried] == PacketReason.UNDECRYPTABLE
            tried, points = tried[undecided], points[undecided]
            if not tried.size:
                break
        f_r, g_r, h_r = columns
        return Verification(f_r, g_r, h_r, status, field.reduce(data_sum), key_agreements or 0)

    def packets_per_chunk(self, bins: int) -> int:
        return max(_LEAST_PACKETS, min(_MOST_PACKETS, _CHUNK_VALUES // bins))

    def _open_and_evaluate(
        self,
        chunk: Chunk,
        tried: NDArray[np.intp],
        secrets: Bytes,
        r_pit: Elements,
        parameters: VerificationParameters,
        status: NDArray[np.uint8],
        columns: Elements,
        data_sum: Elements,
    ) -> None:
        """Of the packets `tried`: their entries of status and columns, and their share of the sum."""
        domain, server_index = _domain(parameters.bins), parameters.server_index
        lengths = chunk.payload_lengths[tried]
        scratch = _scratch(domain, server_index, int(lengths.max(initial=0)))
        # Never writeable: for another type of argument the kernels would be compiled once more.
        buffer = np.frombuffer(memoryview(chunk.buffer).toreadonly(), dtype=np.uint8)
        offsets, r_form = chunk.payload_offsets[tried], field.multiply(r_pit[tried], int(_ONE_FORM))
        with self._libcrypto.decryption() as decryption, self._libcrypto.stream() as stream:
            _verify_packets(
                buffer, offsets, lengths, secrets, r_form, tried, domain, server_index,
                decryption, stream, scratch, status, columns, data_sum,
            )  # fmt: skip
        if (status[tried] == _LIBRARY_FAILED).any():
            raise OperationalError(
                "libcrypto failed, perhaps for lack of memory: if it fails again, set PRIO_ENGINE=plain"
            )


def _check_lengths(chunk: Chunk, status: NDArray[np.uint8], r_pit: Elements) -> tuple[NDArray[np.uint8], Elements]:
    """Payloads that are too short get their status. What lies outside of the buffer must not reach a compiled loop."""
    room = len(memoryview(chunk.buffer)) - chunk.payload_offsets
    outside = (chunk.payload_offsets < 0) | (chunk.payload_lengths < 0) | (chunk.payload_lengths > room)
    if outside.any():
        raise IndexError(f"payload {int(outside.argmax())} of a chunk lies outside of its buffer")
    too_short = (status == PacketReason.ACCEPTED) & (chunk.payload_lengths < OVERHEAD)
    status[too_short] = PacketReason.PAYLOAD_TOO_SHORT
    return status, r_pit


def _points(chunk: Chunk, tried: NDArray[np.intp]) -> Bytes:
    """The ephemeral points of these packets, [n, 65]; their payloads are long enough."""
    if not tried.size:
        return np.empty((0, POINT_BYTES), dtype=np.uint8)
    places = len(memoryview(chunk.buffer)) - POINT_BYTES + 1
    # A row for each place, over the same bytes: numpy sees to it that none lies outside of the buffer.
    rows: Bytes = np.ndarray((places, POINT_BYTES), dtype=np.uint8, buffer=chunk.buffer, strides=(1, 1))
    points: Bytes = rows[chunk.payload_offsets[tried]]
    return points


@lru_cache(maxsize=4)
def _domain(bins: int) -> _Domain:
    size = ShareLayout(bins).size
    roots_form = np.zeros(size, dtype=np.uint64)
    width = 1
    while width < size:
        inverse_root = pow(root_of_unity(2 * width), PRIME - 2, PRIME)
        roots_form[width : 2 * width] = field.multiply(powers(inverse_root, width), int(_ONE_FORM))
        width *= 2
    return _Domain(
        bins=bins,
        size=size,
        roots_form=roots_form,
        inverse_size=np.uint64(pow(size, PRIME - 2, PRIME)),
        inverse_order_form=_form(pow(2 * size, PRIME - 2, PRIME)),
        turn_form=_form(pow(root_of_unity(2 * size), PRIME - 2, PRIME)),
        half_form=_form(pow(2, PRIME - 2, PRIME)),
    )


def _form(element: int) -> np.uint64:
    return np.uint64(element * int(_ONE_FORM) % PRIME)


def _scratch(domain: _Domain, server_index: int, longest_payload: int) -> _Scratch:
    elements = domain.bins + 3 + domain.size
    # About one word in 4096 is dropped; the loop goes on where the words were too few.
    words = (elements + elements // 2048) // _BLOCK_WORDS * _BLOCK_WORDS + 2 * _BLOCK_WORDS
    derived = np.zeros(_DERIVED_BYTES + 4, dtype=np.uint8)
    derived[-1] = 1
    return _Scratch(
        state=np.empty(SHA256_STATE_WORDS, dtype=np.uint64),
        derived=derived,
        plaintext=np.empty(max(longest_payload, ELEMENT_BYTES * elements) + _BLOCK_BYTES, dtype=np.uint8),
        words=np.empty(words if server_index == 1 else 0, dtype=np.uint32),
        zeros=np.zeros(ELEMENT_BYTES * words if server_index == 1 else 0, dtype=np.uint8),
        share=np.empty(elements, dtype=np.uint32),
        weights=np.empty(domain.size, dtype=np.uint64),
        squares_form=np.empty(domain.size.bit_length(), dtype=np.uint64),
        written=np.empty(1, dtype=np.int32),
    )


@inlined
def _multiply(a: np.uint64, b: np.uint64) -> np.uint64:
    product = a * b
    multiple = (product + (product << _INVERSE_SHIFT)) & _LOW
    difference = (product >> _HALF_WORD) - ((multiple * _PRIME) >> _HALF_WORD)
    return min(difference, difference + _PRIME)


@inlined
def _subtract(a: np.uint64, b: np.uint64) -> np.uint64:
    difference = a - b
    return min(difference, difference + _PRIME)


@inlined
def _add(a: np.uint64, b: np.uint64) -> np.uint64:
    total = a + b
    return min(total, total - _PRIME)


@kernel
def _fill_weights(scratch: _Scratch, point_form: np.uint64, domain: _Domain) -> None:
    """The evaluation weights at a point, in the order of the roots, and the point's powers."""
    weights, squares_form = scratch.weights, scratch.squares_form
    squares_form[0] = point_form
    for level in range(1, squares_form.size):
        squares_form[level] = _multiply(squares_form[level - 1], squares_form[level - 1])
    weights[0] = domain.inverse_size
    width = 1
    level = squares_form.size - 2
    while width < domain.size:
        power_form = squares_form[level]
        for i in range(width):
            weight = weights[i]
            turned = _multiply(weight, _multiply(power_form, domain.roots_form[width + i]))
            weights[i] = _add(weight, turned)
            weights[width + i] = _subtract(weight, turned)
        width *= 2
        level -= 1


@kernel
def _dot(weights: Elements, share: NDArray[np.uint32]) -> np.uint64:
    """The sum of products of equally many weights and elements; the products' halves are summed apart."""
    low = np.uint64(0)
    high = np.uint64(0)
    for i in range(weights.size):
        product = weights[i] * np.uint64(share[i])
        low += product & _LOW
        high += product >> _HALF_WORD
    return _add(low % _PRIME, (high % _PRIME) * _ONE_FORM % _PRIME)


@kernel
def _evaluate(
    scratch: _Scratch, r_form: np.uint64, domain: _Domain, server_index: int
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """(f_r, g_r, h_r) of the share."""
    bins = domain.bins
    share, weights, squares_form = scratch.share, scratch.weights, scratch.squares_form
    _fill_weights(scratch, r_form, domain)
    of_data = _dot(weights[1 : bins + 1], share[:bins])
    f_r = _add(of_data, weights[0] * np.uint64(share[bins]) % _PRIME)
    g_r = _add(of_data, weights[0] * np.uint64(share[bins + 1]) % _PRIME)
    if server_index == 0:
        g_r = _subtract(g_r, weights[1 : bins + 1].sum() % _PRIME)

    h_r = np.uint64(share[bins + 2])
    for square_form in squares_form:
        h_r = _multiply(h_r, _add(square_form, _ONE_FORM))
    h_r = _multiply(h_r, domain.inverse_order_form)
    scale_form = _multiply(_subtract(_ONE_FORM, squares_form[-1]), domain.half_form)
    _fill_weights(scratch, _multiply(r_form, domain.turn_form), domain)
    return f_r, g_r, _add(h_r, _multiply(scale_form, _dot(weights, share[bins + 3 :])))


@kernel
def _decrypt(payload: int, length: int, secret: int, context: int, scratch: _Scratch) -> int:
    """Derive key and nonce from the secret, and decrypt the payload into the scratch: the packet's status."""
    state, derived, written = scratch.state.ctypes.data, scratch.derived.ctypes.data, scratch.written.ctypes.data
    done = sha256_init(state)
    done &= sha256_update(state, secret, SECRET_BYTES)
    done &= sha256_update(state, derived + _DERIVED_BYTES, 4)
    done &= sha256_update(state, payload, POINT_BYTES)
    done &= sha256_final(derived, state)
    done &= decrypt_init(context, 0, 0, derived, derived + _KEY_BYTES)
    done &= control(context, SET_TAG, TAG_BYTES, payload + length - TAG_BYTES)
    plaintext, count = scratch.plaintext.ctypes.data, length - OVERHEAD
    done &= decrypt_update(context, plaintext, written, payload + POINT_BYTES, count)
    if done != 1:
        return _LIBRARY_FAILED
    if decrypt_final(context, plaintext + count, written) != 1:
        return _UNDECRYPTABLE
    return _ACCEPTED


@kernel
def _expand(context: int, scratch: _Scratch) -> int:
    """The share whose seed the plaintext is: the packet's status."""
    seed, words, share = scratch.plaintext, scratch.words, scratch.share
    counter = np.uint64(0)
    for position in range(24, 32):
        counter = (counter << np.uint64(8)) | np.uint64(seed[position])
    found = 0
    while found < share.size:
        missing = share.size - found
        blocks = min(np.uint64(words.size // _BLOCK_WORDS), np.uint64((missing + missing // 2048 + 8) // 4 + 1))
        before_wrap = np.uint64(0) - counter
        if before_wrap != 0:
            blocks = min(blocks, before_wrap)
        for position in range(8):
            seed[31 - position] = np.uint8((counter >> np.uint64(8 * position)) & np.uint64(0xFF))
        key = seed.ctypes.data
        done = encrypt_init(context, 0, 0, key, key + _KEY_BYTES)
        count = _BLOCK_BYTES * np.int64(blocks)
        done &= encrypt_update(
            context, words.ctypes.data, scratch.written.ctypes.data, scratch.zeros.ctypes.data, count
        )
        if done != 1:
            return _LIBRARY_FAILED
        counter += blocks
        for word in words[: _BLOCK_WORDS * np.int64(blocks)]:
            if found == share.size:
                break
            share[found] = word
            found += word < _PRIME
    return _ACCEPTED


@kernel
def _read(scratch: _Scratch) -> int:
    """The share that the plaintext is: the packet's status."""
    share = scratch.share
    received = scratch.plaintext[: ELEMENT_BYTES * share.size].view(np.uint32)
    greatest = np.uint32(0)
    for i in range(share.size):
        share[i] = received[i]
        greatest = max(greatest, received[i])
    return _ACCEPTED if greatest < _PRIME else _OUT_OF_RANGE


@kernel
def _verify_packets(
    buffer: Bytes,
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    secrets: Bytes,
    r_form: Elements,
    rows: NDArray[np.intp],
    domain: _Domain,
    server_index: int,
    decryption: int,
    stream: int,
    scratch: _Scratch,
    status: NDArray[np.uint8],
    columns: Elements,
    data_sum: Elements,
) -> None:
    """Packet i of `offsets`, `lengths`, `secrets` and `r_form` is rows[i] of status and columns."""
    expected = SEED_BYTES if server_index == 1 else ELEMENT_BYTES * scratch.share.size
    for i in range(rows.size):
        payload, secret = buffer.ctypes.data + offsets[i], secrets.ctypes.data + SECRET_BYTES * i
        outcome = _decrypt(payload, lengths[i], secret, decryption, scratch)
        if outcome == _ACCEPTED and lengths[i] - OVERHEAD != expected:
            outcome = _LENGTH_DIFFERS
        if outcome == _ACCEPTED:
            outcome = _expand(stream, scratch) if server_index == 1 else _read(scratch)
        status[rows[i]] = outcome
        if outcome == _ACCEPTED:
            columns[0, rows[i]], columns[1, rows[i]], columns[2, rows[i]] = _evaluate(
                scratch, r_form[i], domain, server_index
            )
            for element in range(domain.bins):
                data_sum[element] += scratch.share[element]
