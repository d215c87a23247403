"""Every engine: statuses, sums and messages against a server that handles one packet at a time."""

from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import ConfigurationError, PacketReason
from prio_assets.prio import field
from prio_assets.prio.domain import domain_size, proof_length
from prio_assets.prio.encryption import PacketDecryptionKey, encrypt
from prio_assets.prio.engine import Chunk, Verification, VerificationParameters
from prio_assets.prio.field import PRIME
from prio_assets.prio.verifier import proofs_hold
from tests.oracle import server
from tests.oracle.polynomials import root_of_unity
from tests.prio.chunks import chunk_of, encrypted_shares
from tests.prio.engines import ENGINES

SCALARS = [0x11 << 240, 0x22 << 240, 0x33 << 240]
KEYS = [PacketDecryptionKey.from_scalar(scalar.to_bytes(32, "big")) for scalar in SCALARS]
BINS = 5


class Verify(Protocol):
    def __call__(
        self, chunk: Chunk, server_index: int, bins: int = BINS, keys: list[PacketDecryptionKey] = KEYS
    ) -> Verification: ...


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.name)
def verify(request: pytest.FixtureRequest) -> Verify:
    def verify(
        chunk: Chunk, server_index: int, bins: int = BINS, keys: list[PacketDecryptionKey] = KEYS
    ) -> Verification:
        return request.param.verify(chunk, keys, VerificationParameters(bins, server_index))

    return verify


def first_payload(elements: list[int]) -> bytes:
    encoded = b"".join(element.to_bytes(4, "little") for element in elements)
    return encrypt(KEYS[0].public_point, encoded)


def assert_equal_to_oracle(result: Verification, payloads: list[bytes], r_pit: list[int], server_index: int) -> None:
    bins = result.data_sum.size
    one_by_one = [server.verify(p, r, SCALARS, bins, server_index) for p, r in zip(payloads, r_pit, strict=True)]
    assert [PacketReason(s).label for s in result.status] == [label for label, _, _ in one_by_one]
    messages = zip(result.f_r.tolist(), result.g_r.tolist(), result.h_r.tolist(), strict=True)
    assert list(messages) == [message for _, message, _ in one_by_one]
    data_shares = [data for _, _, data in one_by_one]
    assert result.data_sum.tolist() == [sum(column) % PRIME for column in zip(*data_shares, strict=True)]


def test_two_servers_verify_and_sum_what_clients_sent(verify: Verify) -> None:
    data = np.random.default_rng(5).integers(0, 2, (6, BINS), dtype=np.uint64)
    data[2, 1] = 2
    payloads = encrypted_shares(data, KEYS[0], KEYS[1])
    r_pit = [0, 12313, 998314904, 2**31 - 1, PRIME + 5, 2**32 - 1]
    results = [verify(chunk_of(payloads[i], r_pit), i) for i in (0, 1)]
    for server_index, result in enumerate(results):
        assert result.key_agreements == 6
        assert_equal_to_oracle(result, payloads[server_index], r_pit, server_index)
    held = proofs_hold(results[0][:3], results[1][:3])
    assert held.tolist() == [True, True, False, True, True, True]
    assert field.add(results[0].data_sum, results[1].data_sum).tolist() == data.sum(axis=0).tolist()


@given(st.integers(1, 20), st.sampled_from([0, 1]), st.lists(st.integers(-2, 2**32 + 1), min_size=1, max_size=3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_packets_equal_those_of_the_oracle(verify: Verify, bins: int, server_index: int, r_pit: list[int]) -> None:
    data = np.ones((len(r_pit), bins), dtype=np.uint64)
    payloads = encrypted_shares(data, KEYS[2], KEYS[1])[server_index]
    result = verify(chunk_of(payloads, r_pit), server_index, bins)
    assert_equal_to_oracle(result, payloads, r_pit, server_index)


def test_every_fault_of_a_first_servers_packet_is_its_status(verify: Verify) -> None:
    length = proof_length(BINS)
    good = first_payload([PRIME - 1] * length)
    stranger = PacketDecryptionKey.from_scalar(b"\x44" * 32)
    cases = [
        (good, 1000, PacketReason.ACCEPTED),
        (good, -1, PacketReason.R_PIT_OUT_OF_RANGE),
        (good, 2**32, PacketReason.R_PIT_OUT_OF_RANGE),
        (good, -(2**63), PacketReason.R_PIT_OUT_OF_RANGE),
        (good, 2**63 - 1, PacketReason.R_PIT_OUT_OF_RANGE),
        (good, 1, PacketReason.R_PIT_ROOT_OF_UNITY),
        (good, root_of_unity(2 * domain_size(BINS)), PacketReason.R_PIT_ROOT_OF_UNITY),
        (good, PRIME + 1, PacketReason.R_PIT_ROOT_OF_UNITY),
        (good, root_of_unity(4 * domain_size(BINS)), PacketReason.ACCEPTED),
        (good[:80], 1000, PacketReason.PAYLOAD_TOO_SHORT),
        (b"", 1000, PacketReason.PAYLOAD_TOO_SHORT),
        (b"\x05" + good[1:], 1000, PacketReason.EPHEMERAL_KEY_INVALID),
        (good[:64] + bytes([good[64] ^ 1]) + good[65:], 1000, PacketReason.EPHEMERAL_KEY_INVALID),
        (good[:-1] + bytes([good[-1] ^ 1]), 1000, PacketReason.UNDECRYPTABLE),
        (encrypt(stranger.public_point, bytes(4 * length)), 1000, PacketReason.UNDECRYPTABLE),
        (encrypt(KEYS[1].public_point, bytes(4 * length - 1)), 1000, PacketReason.SHARE_LENGTH_DIFFERS),
        (encrypt(KEYS[1].public_point, b""), 1000, PacketReason.SHARE_LENGTH_DIFFERS),
        (encrypt(KEYS[1].public_point, bytes(32)), 1000, PacketReason.SHARE_LENGTH_DIFFERS),
        (first_payload([0] * (length + 1)), 1000, PacketReason.SHARE_LENGTH_DIFFERS),
        (first_payload([PRIME] + [0] * (length - 1)), 1000, PacketReason.SHARE_OUT_OF_RANGE),
        (first_payload([0] * (length - 1) + [2**32 - 1]), 1000, PacketReason.SHARE_OUT_OF_RANGE),
        (good, 0, PacketReason.ACCEPTED),
    ]
    payloads, r_pit, expected = (list(column) for column in zip(*cases, strict=True))
    result = verify(chunk_of(payloads, r_pit), 0)
    assert result.status.tolist() == expected
    assert_equal_to_oracle(result, payloads, r_pit, 0)
    assert result.data_sum.tolist() == [PRIME - 3] * BINS
    untried = sum(reason in {*range(1, 7)} for reason in expected)
    assert result.key_agreements == len(cases) - untried


@pytest.mark.parametrize(("plaintext_bytes", "reason"), [(31, 8), (32, 0), (33, 8), (0, 8), (64, 8)])
def test_a_second_servers_plaintext_is_a_seed(verify: Verify, plaintext_bytes: int, reason: int) -> None:
    payloads = [encrypt(KEYS[0].public_point, bytes(plaintext_bytes)), encrypt(KEYS[0].public_point, b"\xff" * 32)]
    result = verify(chunk_of(payloads, [77, 78]), 1)
    assert result.status.tolist() == [reason, PacketReason.ACCEPTED]
    assert_equal_to_oracle(result, payloads, [77, 78], 1)


def test_statuses_that_are_set_already_are_left_alone(verify: Verify) -> None:
    payloads = encrypted_shares(np.ones((3, BINS), dtype=np.uint64), KEYS[0], KEYS[0])[0]
    status = [PacketReason.UUID_MALFORMED, PacketReason.ACCEPTED, PacketReason.UUID_DUPLICATED]
    chunk = chunk_of(payloads, [-1, 1000, 1000], status)
    before = chunk.status.copy()
    result = verify(chunk, 0)
    assert result.status.tolist() == status
    assert result.key_agreements == 1
    alone = verify(chunk_of(payloads[1:2], [1000]), 0)
    assert result.data_sum.tolist() == alone.data_sum.tolist()
    for column, of_one in zip(result[:3], alone[:3], strict=True):
        assert column.tolist() == [0, *of_one.tolist(), 0]
    assert chunk.status.tolist() == before.tolist()


@pytest.mark.parametrize("server_index", [0, 1])
@pytest.mark.parametrize("packets", [0, 2])
def test_a_chunk_without_good_packets_sums_to_nothing(verify: Verify, server_index: int, packets: int) -> None:
    result = verify(chunk_of([bytes(100)] * packets, [5] * packets), server_index)
    assert result.status.tolist() == [PacketReason.EPHEMERAL_KEY_INVALID] * packets
    assert result.f_r.tolist() == result.g_r.tolist() == result.h_r.tolist() == [0] * packets
    assert result.data_sum.tolist() == [0] * BINS
    assert result.key_agreements == 0


def test_packets_of_one_chunk_may_use_different_keys(verify: Verify) -> None:
    data = np.ones((1, BINS), dtype=np.uint64)
    payloads = [encrypted_shares(data, key, key)[1][0] for key in (*KEYS, KEYS[0])]
    assert verify(chunk_of(payloads, [9, 9, 9, 9]), 1).status.tolist() == [PacketReason.ACCEPTED] * 4
    some = verify(chunk_of(payloads, [9, 9, 9, 9]), 1, keys=KEYS[1:2])
    assert some.status.tolist() == [PacketReason.UNDECRYPTABLE, 0, PacketReason.UNDECRYPTABLE, 7]
    assert some.key_agreements == 4
    none = verify(chunk_of(payloads, [9, 9, 9, 9]), 1, keys=[])
    assert none.status.tolist() == [PacketReason.UNDECRYPTABLE] * 4


def test_selected_packets_verify_as_in_the_whole_chunk(verify: Verify) -> None:
    payloads = encrypted_shares(np.ones((4, BINS), dtype=np.uint64), KEYS[0], KEYS[0])[0]
    chunk = chunk_of(payloads, [10, 20, 30, 40])
    mask = np.array([True, False, False, True])
    selected = chunk.select(mask)
    assert (len(chunk), len(selected)) == (4, 2)
    assert selected.buffer is chunk.buffer
    assert selected.uuids.tolist() == chunk.uuids[mask].tolist()
    assert [selected.encryption_key_id(i) for i in range(2)] == ["key-0", "key-3"]
    whole, part = verify(chunk, 0), verify(selected, 0)
    for column, of_part in zip(whole[:4], part[:4], strict=True):
        assert column[mask].tolist() == of_part.tolist()
    rest = verify(chunk.select(~mask), 0)
    assert field.add(part.data_sum, rest.data_sum).tolist() == whole.data_sum.tolist()


@pytest.mark.parametrize("bins", [-1, 0, 524288, 2147483646])
def test_bins_are_bounded_before_anything_is_allocated(bins: int) -> None:
    with pytest.raises(ConfigurationError, match="524287"):
        VerificationParameters(bins, 0)


@pytest.mark.parametrize("server_index", [-1, 2])
def test_there_are_two_servers(server_index: int) -> None:
    with pytest.raises(ConfigurationError, match="neither 0 nor 1"):
        VerificationParameters(BINS, server_index)


def test_text_forms_hold_no_share(verify: Verify) -> None:
    payload = first_payload([123456789] * proof_length(BINS))
    chunk = chunk_of([payload], [1000])
    assert repr(verify(chunk, 0)) == "Verification(1 of 1 packets accepted)"
    assert "buffer" not in repr(chunk)
