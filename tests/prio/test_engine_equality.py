"""The compiled engines against the plain one, to the bit: any mixture of honest, faulty and hostile packets."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import PacketReason
from prio_assets.prio import compiled
from prio_assets.prio.domain import domain_size, proof_length
from prio_assets.prio.encryption import OVERHEAD, PacketDecryptionKey, encrypt
from prio_assets.prio.engine import Chunk, Engine, Verification, VerificationParameters
from prio_assets.prio.field import PRIME
from tests.oracle import curve
from tests.oracle.ambiguous import ambiguous
from tests.oracle.polynomials import root_of_unity
from tests.prio.chunks import chunk_of
from tests.prio.engines import COMPILED, ENGINES, PLAIN

SCALARS = [0x1234567 << 200, 7, 2**255 + 3]
KEYS = [PacketDecryptionKey.from_scalar(scalar.to_bytes(32, "big")) for scalar in SCALARS]
STRANGER = PacketDecryptionKey.from_scalar(b"\x99" * 32)
RECIPIENTS = [*KEYS, STRANGER]

TWIST_X = next(x for x in range(1, 99) if pow(x**3 - 3 * x + curve.B, (curve.FIELD - 1) // 2, curve.FIELD) != 1)

examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(params=COMPILED, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


def assert_equal_to_plain(
    engine: Engine, chunk: Chunk, keys: list[PacketDecryptionKey], parameters: VerificationParameters
) -> Verification:
    expected, found = (each.verify(chunk, keys, parameters) for each in (PLAIN, engine))
    for one, other in zip(expected, found, strict=True):
        assert np.array_equal(one, other)
        assert not isinstance(one, np.ndarray) or one.dtype == other.dtype
    return found


def sealed(encoded_point: bytes, point: curve.Point, scalar: int, plaintext: bytes) -> bytes:
    """A payload that authenticates with whoever agrees on `point` and derives from its encoding, however that is."""
    shared = curve.multiply(scalar, point)
    assert shared is not None
    derived = hashlib.sha256(shared[0].to_bytes(32, "big") + b"\0\0\0\1" + encoded_point).digest()
    return encoded_point + AESGCM(derived[:16]).encrypt(derived[16:], plaintext, None)


def encoded(x: int, y: int, leading: int = 4) -> bytes:
    return bytes([leading]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")


HOSTILE_POINTS = {
    "x over the prime": (encoded(curve.SMALL_X[0] + curve.FIELD, curve.SMALL_X[1]), curve.SMALL_X),
    "y over the prime": (encoded(curve.SMALL_Y[0], curve.SMALL_Y[1] + curve.FIELD), curve.SMALL_Y),
    "x is the prime": (encoded(curve.FIELD, curve.SMALL_X[1]), curve.SMALL_X),
    "off the curve": (encoded(curve.GENERATOR[0], curve.GENERATOR[1] ^ 1), curve.GENERATOR),
    "on the twist": (encoded(TWIST_X, 1), curve.GENERATOR),
    "greatest coordinates": (b"\x04" + b"\xff" * 64, curve.GENERATOR),
    "zeros": (b"\x04" + bytes(64), curve.GENERATOR),
    "infinity": (bytes(65), curve.GENERATOR),
    "compressed": (encoded(*curve.GENERATOR, leading=3), curve.GENERATOR),
    "hybrid": (encoded(*curve.GENERATOR, leading=7), curve.GENERATOR),
    "no leading byte": (encoded(*curve.GENERATOR, leading=0), curve.GENERATOR),
    "another leading byte": (encoded(*curve.GENERATOR, leading=0x84), curve.GENERATOR),
}


def shares(length: int) -> st.SearchStrategy[list[int]]:
    """Elements as words; some are none, at any place."""
    word = st.one_of(st.sampled_from([0, 1, PRIME - 1, PRIME, 2**32 - 1]), st.integers(0, 2**32 - 1))
    return st.one_of(
        st.sampled_from([[PRIME - 1] * length, [0] * length, [1] * length]),
        st.builds(
            lambda place, other: [PRIME - 1] * place + [other] + [5] * (length - place - 1), places(length), word
        ),
        st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).integers(0, PRIME, length).tolist()),
    )


def places(length: int) -> st.SearchStrategy[int]:
    return st.integers(0, length - 1)


def seeds() -> st.SearchStrategy[bytes]:
    """Seeds, some with a counter that wraps soon."""
    counter = st.one_of(st.integers(2**64 - 9, 2**64 - 1), st.integers(0, 2**64 - 1))
    front = st.binary(min_size=24, max_size=24)
    return st.builds(lambda key, start: key + start.to_bytes(8, "big"), front, counter)


@st.composite
def plaintexts(draw: st.DrawFn, bins: int, server_index: int) -> bytes:
    length = proof_length(bins)
    plaintext = draw(seeds()) if server_index else np.array(draw(shares(length)), dtype="<u4").tobytes()
    missing = draw(st.sampled_from([0, 0, 0, 0, 1, 4, len(plaintext), -1, -4]))
    return plaintext[: len(plaintext) - missing] if missing >= 0 else plaintext + bytes(-missing)


@st.composite
def payloads(draw: st.DrawFn, bins: int, server_index: int) -> bytes:
    plaintext = draw(plaintexts(bins, server_index))
    recipient = draw(st.sampled_from(RECIPIENTS))
    payload = encrypt(recipient.public_point, plaintext)
    fault = draw(st.sampled_from(["none", "none", "none", "bit", "cut", "point"]))
    if fault == "bit":
        bit = draw(st.integers(0, 8 * len(payload) - 1))
        return payload[: bit // 8] + bytes([payload[bit // 8] ^ 1 << bit % 8]) + payload[bit // 8 + 1 :]
    if fault == "cut":
        return payload[: draw(st.integers(0, len(payload) - 1))]
    if fault == "point":
        encoding, point = draw(st.sampled_from(list(HOSTILE_POINTS.values())))
        return sealed(encoding, point, SCALARS[0], plaintext)
    return payload


def points(bins: int) -> st.SearchStrategy[int]:
    size = domain_size(bins)
    special = [0, 1, 2, PRIME - 1, PRIME, PRIME + 1, 2**32 - 1, 2**32, -1, 2**63 - 1, -(2**63)]
    roots = [pow(root_of_unity(2 * size), power, PRIME) for power in (1, 2, size, 2 * size - 1)]
    return st.one_of(st.sampled_from([*special, *roots, root_of_unity(4 * size)]), st.integers(0, 2**32 - 1))


@st.composite
def chunks(draw: st.DrawFn) -> tuple[Chunk, VerificationParameters]:
    bins = draw(st.one_of(st.integers(1, 18), st.sampled_from([62, 63, 64, 127, 128])))
    parameters = VerificationParameters(bins, draw(st.sampled_from([0, 1])))
    contents = draw(st.lists(payloads(bins, parameters.server_index), min_size=1, max_size=18))
    r_pit = [draw(points(bins)) for _ in contents]
    status = [draw(st.sampled_from([PacketReason.ACCEPTED] * 5 + [PacketReason.UUID_MALFORMED])) for _ in contents]
    return chunk_of(contents, r_pit, status), parameters


@given(chunks(), st.permutations(KEYS), st.integers(0, 3))
@examples
def test_any_packets_give_the_same(
    engine: Engine, drawn: tuple[Chunk, VerificationParameters], keys: list[PacketDecryptionKey], count: int
) -> None:
    chunk, parameters = drawn
    assert_equal_to_plain(engine, chunk, keys[:count], parameters)


@pytest.mark.parametrize("server_index", [0, 1])
@pytest.mark.parametrize("case", HOSTILE_POINTS)
def test_a_point_that_is_none_is_refused_though_its_payload_authenticates(
    engine: Engine, case: str, server_index: int
) -> None:
    plaintext = bytes(32 if server_index else 4 * proof_length(3))
    hostile = sealed(*HOSTILE_POINTS[case], SCALARS[0], plaintext)
    good = sealed(encoded(*curve.SMALL_X), curve.SMALL_X, SCALARS[0], plaintext)
    for lane in range(9):  # any lane of a group, and the first of the next
        contents = [good] * 9
        contents[lane] = hostile
        chunk = chunk_of(contents, [77] * 9)
        found = assert_equal_to_plain(engine, chunk, KEYS, VerificationParameters(3, server_index))
        expected = [PacketReason.ACCEPTED] * 9
        expected[lane] = PacketReason.EPHEMERAL_KEY_INVALID
        assert found.status.tolist() == expected


@pytest.mark.parametrize("mask", range(256))
def test_each_lane_of_a_group_stands_for_itself(engine: Engine, mask: int) -> None:
    good = encrypt(KEYS[1].public_point, b"\x17" * 32)
    contents = [good if mask >> lane & 1 else b"\x04" + bytes(64) + good[65:] for lane in range(8)]
    found = assert_equal_to_plain(engine, chunk_of(contents, [8] * 8), KEYS[1:], VerificationParameters(4, 1))
    expected = [PacketReason.ACCEPTED if mask >> lane & 1 else PacketReason.EPHEMERAL_KEY_INVALID for lane in range(8)]
    assert found.status.tolist() == expected


@pytest.mark.parametrize("count", range(1, 18))
def test_several_keys_are_mixed_in_groups_of_any_size(engine: Engine, count: int) -> None:
    recipients = [RECIPIENTS[(position * position + position // 3) % 4] for position in range(count)]
    contents = [
        encrypt(recipient.public_point, bytes([position] * 32)) for position, recipient in enumerate(recipients)
    ]
    found = assert_equal_to_plain(engine, chunk_of(contents, [12] * count), KEYS, VerificationParameters(9, 1))
    assert [status == PacketReason.UNDECRYPTABLE for status in found.status] == [r is STRANGER for r in recipients]


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 8, 255, 256, 1023, 1024, 5000])
@pytest.mark.parametrize("server_index", [0, 1])
def test_sizes_around_powers_of_two(engine: Engine, bins: int, server_index: int) -> None:
    length = proof_length(bins)
    random = np.random.default_rng(bins)
    bodies = random.integers(0, PRIME, (3, length), dtype=np.uint32)
    bodies[1] = PRIME - 1
    contents = [
        encrypt(KEYS[0].public_point, random.bytes(32) if server_index else body.astype("<u4").tobytes())
        for body in bodies
    ]
    chunk = chunk_of(contents, [PRIME - 2, 3, 0])
    found = assert_equal_to_plain(engine, chunk, KEYS[:1], VerificationParameters(bins, server_index))
    assert not found.status.any()


@pytest.mark.parametrize("place", range(proof_length(6)))
@pytest.mark.parametrize("word", [PRIME - 1, PRIME, 2**32 - 1])
def test_a_word_that_is_no_element_is_found_at_every_place(engine: Engine, place: int, word: int) -> None:
    body = np.full(proof_length(6), PRIME - 1, dtype="<u4")
    body[place] = word
    payload = encrypt(KEYS[0].public_point, body.tobytes())
    found = assert_equal_to_plain(engine, chunk_of([payload], [99]), KEYS[:1], VerificationParameters(6, 0))
    assert (found.status[0] == PacketReason.SHARE_OUT_OF_RANGE) == (word >= PRIME)


@pytest.mark.parametrize("ahead", [0, 1, 2, 3, 5, 700])
def test_counters_wrap_without_a_carry(engine: Engine, ahead: int) -> None:
    seed = bytes(range(24)) + (2**64 - 1 - ahead).to_bytes(8, "big")
    payload = encrypt(KEYS[0].public_point, seed)
    assert_equal_to_plain(engine, chunk_of([payload], [99]), KEYS[:1], VerificationParameters(1500, 1))


def test_words_that_are_no_elements_are_dropped(engine: Engine) -> None:
    """Of 60 seeds with 4,096 words each, some drop several words."""
    random = np.random.default_rng(11)
    contents = [encrypt(KEYS[0].public_point, random.bytes(32)) for _ in range(60)]
    chunk = chunk_of(contents, list(range(50, 110)))
    assert_equal_to_plain(engine, chunk, KEYS[:1], VerificationParameters(2045, 1))


def test_a_payload_outside_of_the_buffer_never_reaches_a_compiled_loop(engine: Engine) -> None:
    chunk = chunk_of([bytes(OVERHEAD)], [1000])
    for offset, length in ((-1, OVERHEAD), (4, len(chunk.buffer) - 3), (0, -1)):
        chunk.payload_offsets[0], chunk.payload_lengths[0] = offset, length
        with pytest.raises(IndexError):
            engine.verify(chunk, KEYS, VerificationParameters(5, 0))


@pytest.mark.parametrize("server_index", [0, 1])
def test_every_kind_of_buffer_uses_the_same_machine_code(engine: Engine, server_index: int) -> None:
    chunk = chunk_of([encrypt(KEYS[0].public_point, bytes(32))], [1000])
    for buffer in (chunk.buffer, memoryview(chunk.buffer), memoryview(bytearray(chunk.buffer))):
        assert_equal_to_plain(engine, replace(chunk, buffer=buffer), KEYS, VerificationParameters(5, server_index))
    assert len(compiled._verify_packets.signatures) == 1


def test_a_chunk_is_some_hundredths_of_a_second_of_work(engine: Engine) -> None:
    assert [engine.packets_per_chunk(bins) for bins in (1, 1024, 4096, 524287)] == [1024, 1024, 512, 16]


def test_which_key_opens_a_payload_depends_on_nothing_but_their_order() -> None:
    """A payload that two keys open gives the same share beside whatever else, earlier and later."""
    first, second = (curve.decode(key.public_point) for key in KEYS[:2])
    assert first is not None
    assert second is not None
    payload = ambiguous(4711, first, second)
    shares = [curve.decrypt(scalar, payload) for scalar in SCALARS[:2]]
    assert None not in shares
    assert shares[0] != shares[1]
    parameters = VerificationParameters(3, 1)
    for engine in ENGINES:
        by_order = []
        for keys in (KEYS[:2], KEYS[1::-1]):
            alone = engine.verify(chunk_of([payload], [77]), keys, parameters)
            for neighbour in KEYS[:2]:
                contents = [encrypt(neighbour.public_point, bytes(32)), payload]
                found = assert_equal_to_plain(engine, chunk_of(contents, [77, 77]), keys, parameters)
                assert found.f_r[1] == alone.f_r[0]
            by_order.append(int(alone.f_r[0]))
        assert by_order[0] != by_order[1]
