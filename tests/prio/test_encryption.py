"""Packet encryption against the reference's vectors and the curve's own formulas."""

import base64
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prio_assets.errors import InvalidKeyError, PacketReason
from prio_assets.prio.encryption import OVERHEAD, PacketDecryptionKey, decrypt_payloads, encrypt
from prio_assets.prio.proof import draw_elements, prove
from prio_assets.prio.shares import share_bytes, split
from tests.oracle import curve
from tests.prio.payloads import decrypt
from tests.vectors import load_vectors

VECTORS = load_vectors("ecies")
INTEROP = VECTORS[:2]
(FIXED,) = [v for v in VECTORS if "ephemeral_scalar_hex" in v]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def key_of(private: str) -> PacketDecryptionKey:
    return PacketDecryptionKey.from_scalar(base64.b64decode(private)[65:])


def statuses(payloads: list[bytes], keys: list[PacketDecryptionKey], plaintext_bytes: int) -> list[int]:
    lengths = np.array([len(payload) for payload in payloads], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    return decrypt_payloads(b"".join(payloads), offsets, lengths, keys, plaintext_bytes).status.tolist()


KEY, OTHER_KEY = (key_of(v["private_key_base64"]) for v in INTEROP)


@pytest.mark.parametrize("vector", INTEROP)
def test_payloads_of_the_reference_decrypt(vector: dict[str, str]) -> None:
    key = key_of(vector["private_key_base64"])
    payload = base64.b64decode(vector["ciphertext_base64"])
    assert decrypt(key, payload) == base64.b64decode(vector["plaintext_base64"])
    assert key.public_point == base64.b64decode(vector["private_key_base64"])[:65]


def test_a_fixed_ephemeral_key_gives_the_payload_of_the_vector() -> None:
    key = key_of(FIXED["recipient_private_key_base64"])
    scalar = int(FIXED["ephemeral_scalar_hex"], 16)
    plaintext = bytes.fromhex(FIXED["plaintext_hex"])
    payload = encrypt(key.public_point, plaintext, lambda count: (scalar - 1).to_bytes(count, "big"))
    assert payload.hex() == FIXED["ciphertext_hex"]
    assert payload[:65].hex() == FIXED["ephemeral_public_hex"]
    assert decrypt(key, payload) == plaintext


@pytest.mark.parametrize("random", [bytes, lambda count: b"\xff" * count])
def test_any_randomness_gives_a_payload(random: Callable[[int], bytes]) -> None:
    assert decrypt(KEY, encrypt(KEY.public_point, b"share", random)) == b"share"


@given(st.integers(1, ORDER - 1), st.binary(max_size=100))
@settings(max_examples=10, deadline=None)
def test_payloads_decrypt_by_the_curves_formulas(scalar: int, plaintext: bytes) -> None:
    key = PacketDecryptionKey.from_scalar(scalar.to_bytes(32, "big"))
    payload = encrypt(key.public_point, plaintext)
    assert len(payload) == len(plaintext) + OVERHEAD
    assert curve.decrypt(scalar, payload) == plaintext
    assert decrypt(key, payload) == plaintext


def test_a_hundred_bytes_survive_as_in_the_reference() -> None:
    vector = VECTORS[2]
    plaintext = bytes(range(100))
    payload = encrypt(base64.b64decode(vector["public_key_base64"]), plaintext)
    assert decrypt(key_of(vector["private_key_base64"]), payload) == plaintext
    assert payload != encrypt(base64.b64decode(vector["public_key_base64"]), plaintext)


def test_both_payloads_of_a_client_have_the_lengths_of_the_reference() -> None:
    vector = VECTORS[3]
    proofs = prove(np.array([vector["data"]], dtype=np.uint64), draw_elements(1), draw_elements(1))
    first, drawn = split(proofs)
    payload1 = encrypt(base64.b64decode(vector["public_key1_base64"]), share_bytes(first)[0].tobytes())
    payload2 = encrypt(base64.b64decode(vector["public_key2_base64"]), drawn[0].tobytes())
    assert len(payload1) == vector["expected_ciphertext1_length"]
    assert len(payload2) == vector["expected_ciphertext2_length"]


def test_error_cases_of_the_reference() -> None:
    payload = encrypt(KEY.public_point, b"")
    assert len(payload) == OVERHEAD
    assert decrypt(KEY, payload) == b""
    assert decrypt(KEY, payload[:80]) is None
    assert statuses([payload[:80], b"", payload], [KEY], 0) == [
        PacketReason.PAYLOAD_TOO_SHORT,
        PacketReason.PAYLOAD_TOO_SHORT,
        PacketReason.ACCEPTED,
    ]


def test_a_change_of_any_byte_is_found() -> None:
    payload = encrypt(KEY.public_point, b"a share")
    changed = [payload[:i] + bytes([payload[i] ^ 1]) + payload[i + 1 :] for i in range(len(payload))]
    assert all(decrypt(KEY, other) is None for other in changed)
    in_point = [PacketReason.EPHEMERAL_KEY_INVALID] * 65
    assert statuses(changed, [KEY], 7) == in_point + [PacketReason.UNDECRYPTABLE] * (len(payload) - 65)


def test_the_small_points_are_on_the_curve() -> None:
    for point in (curve.SMALL_X, curve.SMALL_Y):
        payload = curve.encode(point) + bytes(16)
        assert curve.is_on_curve(point)
        assert statuses([payload], [KEY], 0) == [PacketReason.UNDECRYPTABLE]


@pytest.mark.parametrize(
    "ephemeral",
    [
        pytest.param(curve.encode((curve.SMALL_X[0] + curve.FIELD, curve.SMALL_X[1])), id="x not canonical"),
        pytest.param(curve.encode((curve.SMALL_Y[0], curve.SMALL_Y[1] + curve.FIELD)), id="y not canonical"),
        pytest.param(curve.encode((curve.SMALL_X[0], curve.SMALL_X[1] ^ 1)), id="off the curve"),
        pytest.param(curve.encode((0, 0)), id="zeros"),
        pytest.param(b"\x04" + b"\xff" * 64, id="ones"),
        pytest.param(bytes(65), id="infinity"),
        *[pytest.param(bytes([lead]) + KEY.public_point[1:], id=f"leading byte {lead}") for lead in (0, 2, 3, 6, 7)],
        pytest.param(b"\x02" + KEY.public_point[1:33] + bytes(32), id="compressed even"),
        pytest.param(b"\x03" + KEY.public_point[1:33] + bytes(32), id="compressed odd"),
    ],
)
def test_other_forms_of_points_are_refused(ephemeral: bytes) -> None:
    assert curve.decode(ephemeral) is None
    assert statuses([ephemeral + bytes(48)], [KEY], 32) == [PacketReason.EPHEMERAL_KEY_INVALID]
    assert decrypt(KEY, ephemeral + bytes(48)) is None
    with pytest.raises(InvalidKeyError, match="65 bytes"):
        encrypt(ephemeral, b"share")


@pytest.mark.parametrize("scalar", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_scalars_out_of_range_are_refused_and_not_shown(scalar: bytes) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        PacketDecryptionKey.from_scalar(scalar)
    assert scalar.hex() not in str(caught.value) or not scalar


def test_the_first_and_last_scalar_are_keys() -> None:
    first, last = (PacketDecryptionKey.from_scalar(s.to_bytes(32, "big")) for s in (1, ORDER - 1))
    assert first.public_point[1:33] == last.public_point[1:33]
    assert first != last
    assert PacketDecryptionKey.from_scalar(b"\x01") == first


def test_keys_are_equal_by_their_public_point_and_show_no_secret() -> None:
    scalar = base64.b64decode(INTEROP[0]["private_key_base64"])[65:]
    again = PacketDecryptionKey.from_scalar(scalar)
    assert again == KEY
    assert {again, KEY, OTHER_KEY} == {KEY, OTHER_KEY}
    assert again != OTHER_KEY
    assert again != KEY.public_point
    for text in (repr(again), str(again), f"{again}", repr([again])):
        assert scalar.hex() not in text
        assert KEY.public_point.hex() in text
    with pytest.raises(TypeError):
        vars(again)


class CountingKey(PacketDecryptionKey):
    """Counts its key agreements."""

    agreements = 0

    def agree(self, point):  # type: ignore[no-untyped-def]
        self.agreements += 1
        return super().agree(point)


def test_each_payload_tries_the_keys_in_the_order_given() -> None:
    first, second = CountingKey.from_scalar(b"\x01" * 32), CountingKey.from_scalar(b"\x02" * 32)
    payloads = [encrypt(second.public_point, bytes(32)) for _ in range(5)]
    payloads += [encrypt(first.public_point, bytes(32)) for _ in range(3)]
    keys = [first, second]
    assert statuses(payloads, keys, 32) == [PacketReason.ACCEPTED] * 8
    assert (first.agreements, second.agreements) == (5 + 3, 5)


def test_plaintexts_are_those_of_the_good_payloads_in_order() -> None:
    plaintexts = [bytes([i]) * 32 for i in range(3)]
    payloads = [encrypt(KEY.public_point, p) for p in (plaintexts[0], b"short", plaintexts[1], plaintexts[2])]
    payloads[2] = payloads[2][:-1] + bytes([payloads[2][-1] ^ 1])
    lengths = np.array([len(p) for p in payloads], dtype=np.int64)
    result = decrypt_payloads(memoryview(b"".join(payloads)), np.cumsum(lengths) - lengths, lengths, [KEY], 32)
    assert [row.tobytes() for row in result.plaintexts] == [plaintexts[0], plaintexts[2]]
    assert result.key_agreements == 4
    assert plaintexts[2].hex() not in repr(result)
    assert repr(result) == "Decryption(2 of 4 payloads, 4 agreements)"
