"""What a client, or the ingestor, can do to a packet: it costs that packet, by its own reason, and nothing else."""

import dataclasses
from collections.abc import Callable, Sequence
from uuid import UUID

import numpy as np
import pytest

from prio_assets.errors import PacketReason
from prio_assets.ingestor.batches import seal_batch
from prio_assets.ingestor.client import encrypt_proofs, prove_rows
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.domain import domain_size, proof_length, root_of_unity
from prio_assets.prio.encryption import encrypt
from prio_assets.prio.field import PRIME
from prio_assets.processor.validation import BatchState
from prio_assets.wire.packets import IngestionPacket
from tests.faults.deployment import Deployment, check_sum, make_deployment, work
from tests.faults.material import (
    BINS,
    FAULTY,
    INGESTOR_KEY,
    POINTS,
    SOUND,
    WINDOW,
    description_of,
    sealed_batch,
    upload_of,
)
from tests.ingestor.parties import repeatable

Packets = Sequence[IngestionPacket]
AT = 3
"""The place of the packet that is changed."""
SHARE_BYTES = 4 * proof_length(BINS)
ROOTS = [pow(root_of_unity(2 * domain_size(BINS)), power, PRIME) for power in range(2 * domain_size(BINS))]
NIL = str(UUID(int=0))


def packets_of(index: int) -> list[IngestionPacket]:
    return list(upload_of(FAULTY).packets[index])


def uuid_at(place: int = AT) -> UUID:
    return UUID(packets_of(0)[place].uuid)


def changed(index: int, place: int = AT, **fields: object) -> list[IngestionPacket]:
    """FAULTY's packets with other fields of one of them."""
    packets = packets_of(index)
    packets[place] = dataclasses.replace(packets[place], **fields)
    return packets


def deploy(first: Packets, second: Packets) -> Deployment:
    """Both processors with SOUND as it is, and FAULTY of these packets."""
    deployment = make_deployment()
    for index, packets in enumerate((first, second)):
        deployment.ingest(SOUND, index, sealed_batch(SOUND, index))
        deployment.ingest(FAULTY, index, seal_batch(description_of(FAULTY), packets, INGESTOR_KEY))
    work(deployment)
    assert not deployment.failures
    for index in (0, 1):
        assert deployment.outcomes[index][FAULTY].state == BatchState.SENT
    return deployment


def deploy_at(index: int, packets: Packets) -> Deployment:
    """These packets at one processor, FAULTY as it is at the other."""
    return deploy(packets, packets_of(1)) if index == 0 else deploy(packets_of(0), packets)


def rejected_at(deployment: Deployment, index: int) -> dict[PacketReason, int]:
    return dict(deployment.outcomes[index][FAULTY].rejected)


def reasons_at(deployment: Deployment, index: int) -> dict[PacketReason, int]:
    return dict(deployment.sums[index][WINDOW].reasons)


def check_costs_one(deployment: Deployment, index: int, reason: PacketReason, place: int = AT) -> None:
    assert rejected_at(deployment, index) == {reason: 1}
    assert reasons_at(deployment, index) == {PacketReason.MISSING_HERE: 1}
    assert reasons_at(deployment, 1 - index) == {PacketReason.MISSING_AT_PEER: 1}
    check_sum(deployment, without={uuid_at(place)})


def _flipped(payload: bytes, at: int) -> bytes:
    return (
        payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :] if at >= 0 else _flipped(payload, len(payload) + at)
    )


PAYLOADS: dict[str, tuple[Callable[[bytes, int], bytes], PacketReason]] = {
    "empty": (lambda payload, index: b"", PacketReason.PAYLOAD_TOO_SHORT),
    "one byte short of a tag": (lambda payload, index: payload[:80], PacketReason.PAYLOAD_TOO_SHORT),
    "cut": (lambda payload, index: payload[:-1], PacketReason.UNDECRYPTABLE),
    "longer": (lambda payload, index: payload + b"\0", PacketReason.UNDECRYPTABLE),
    "compressed point": (lambda payload, index: b"\x02" + payload[1:], PacketReason.EPHEMERAL_KEY_INVALID),
    "point at infinity": (lambda payload, index: bytes(65) + payload[65:], PacketReason.EPHEMERAL_KEY_INVALID),
    "point off the curve": (lambda payload, index: _flipped(payload, 64), PacketReason.EPHEMERAL_KEY_INVALID),
    "coordinates over p": (
        lambda payload, index: b"\x04" + b"\xff" * 64 + payload[65:],
        PacketReason.EPHEMERAL_KEY_INVALID,
    ),
    "other ciphertext": (lambda payload, index: _flipped(payload, 65), PacketReason.UNDECRYPTABLE),
    "other tag": (lambda payload, index: _flipped(payload, -1), PacketReason.UNDECRYPTABLE),
    "for the other processor": (
        lambda payload, index: encrypt(POINTS[1 - index], bytes(32)),
        PacketReason.UNDECRYPTABLE,
    ),
    "no plaintext": (lambda payload, index: encrypt(POINTS[index], b""), PacketReason.SHARE_LENGTH_DIFFERS),
    "a byte less": (
        lambda payload, index: encrypt(POINTS[index], bytes((SHARE_BYTES, 32)[index] - 1)),
        PacketReason.SHARE_LENGTH_DIFFERS,
    ),
    "an element more": (
        lambda payload, index: encrypt(POINTS[index], bytes((SHARE_BYTES, 32)[index] + 4)),
        PacketReason.SHARE_LENGTH_DIFFERS,
    ),
    "the other kind of share": (
        lambda payload, index: encrypt(POINTS[index], bytes((32, SHARE_BYTES)[index])),
        PacketReason.SHARE_LENGTH_DIFFERS,
    ),
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("fault", PAYLOADS)
def test_a_payload(fault: str, index: int) -> None:
    change, reason = PAYLOADS[fault]
    payload = change(packets_of(index)[AT].encrypted_payload, index)
    check_costs_one(deploy_at(index, changed(index, encrypted_payload=payload)), index, reason)


@pytest.mark.parametrize("element", [PRIME, 2**32 - 1])
@pytest.mark.parametrize("place", [0, BINS, proof_length(BINS) - 1])
def test_an_element_out_of_range(element: int, place: int) -> None:
    share = np.zeros(proof_length(BINS), dtype="<u4")
    share[place] = element
    payload = encrypt(POINTS.pha, share.tobytes())
    check_costs_one(deploy_at(0, changed(0, encrypted_payload=payload)), 0, PacketReason.SHARE_OUT_OF_RANGE)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("r_pit", [-1, -(2**63), 2**32, 2**63 - 1])
def test_an_r_pit_out_of_range_at_one_side(r_pit: int, index: int) -> None:
    check_costs_one(deploy_at(index, changed(index, r_pit=r_pit)), index, PacketReason.R_PIT_OUT_OF_RANGE)


@pytest.mark.parametrize("r_pit", [-1, 2**32])
def test_an_r_pit_out_of_range_at_both_sides(r_pit: int) -> None:
    deployment = deploy(changed(0, r_pit=r_pit), changed(1, r_pit=r_pit))
    for index in (0, 1):
        assert rejected_at(deployment, index) == {PacketReason.R_PIT_OUT_OF_RANGE: 1}
    check_sum(deployment, without={uuid_at()})


@pytest.mark.parametrize("r_pit", [*ROOTS, PRIME + 1])
def test_an_r_pit_on_a_root_of_unity(r_pit: int) -> None:
    deployment = deploy(changed(0, r_pit=r_pit), changed(1, r_pit=r_pit))
    for index in (0, 1):
        assert rejected_at(deployment, index) == {PacketReason.R_PIT_ROOT_OF_UNITY: 1}
    check_sum(deployment, without={uuid_at()})


@pytest.mark.parametrize("r_pit", [0, PRIME, PRIME + 5, 2**32 - 1])
def test_an_r_pit_that_is_reduced(r_pit: int) -> None:
    check_sum(deploy(changed(0, r_pit=r_pit), changed(1, r_pit=r_pit)))


def test_another_r_pit_at_one_side_fails_the_proof() -> None:
    deployment = deploy_at(1, changed(1, r_pit=packets_of(1)[AT].r_pit + 1))
    for index in (0, 1):
        assert reasons_at(deployment, index) == {PacketReason.PROOF_INVALID: 1}
    check_sum(deployment, without={uuid_at()})


UUID_TEXT = packets_of(0)[AT].uuid
NO_UUIDS = [
    "not-a-uuid",
    "",
    f"{{{UUID_TEXT}}}",
    "x" * 49,
    f"{UUID_TEXT}\n",
    UUID_TEXT[:-1],
    f"urn:uuid:{UUID_TEXT.replace('-', '')}",
    UUID_TEXT.replace("-", "", 1) + "-",
    UUID_TEXT[:-1] + "\N{FULLWIDTH DIGIT ONE}",
    UUID_TEXT[:-1] + "\0",
]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("text", NO_UUIDS)
def test_a_uuid_that_is_none_at_one_side(text: str, index: int) -> None:
    check_costs_one(deploy_at(index, changed(index, uuid=text)), index, PacketReason.UUID_MALFORMED)


@pytest.mark.parametrize("text", NO_UUIDS)
def test_a_uuid_that_is_none_at_both_sides(text: str) -> None:
    deployment = deploy(changed(0, uuid=text), changed(1, uuid=text))
    for index in (0, 1):
        assert rejected_at(deployment, index) == {PacketReason.UUID_MALFORMED: 1}
        assert reasons_at(deployment, index) == {}
    check_sum(deployment, without={uuid_at()})


def test_a_uuid_is_compared_by_value() -> None:
    check_sum(deploy(changed(0, uuid=UUID_TEXT.upper()), changed(1, uuid=f"urn:uuid:{UUID_TEXT}")))
    check_sum(deploy(changed(0, uuid=UUID_TEXT.replace("-", "")), packets_of(1)))


@pytest.mark.parametrize("place", [0, 9])
def test_the_nil_uuid_beside_one_that_is_none(place: int) -> None:
    """Where a text is no UUID its column is zero: that must not be taken for the packet whose UUID is zero."""
    sides = []
    for index in (0, 1):
        packets = changed(index, uuid="not-a-uuid")
        packets[place] = dataclasses.replace(packets[place], uuid=NIL, r_pit=packets[place].r_pit + index)
        sides.append(packets)
    deployment = deploy(*sides)
    for index in (0, 1):
        assert reasons_at(deployment, index) == {PacketReason.PROOF_INVALID: 1}
    check_sum(deployment, without={uuid_at(), uuid_at(place)})


@pytest.mark.parametrize("cell", [2, PRIME - 1, 12345])
def test_a_lie_is_not_counted(cell: int) -> None:
    row = np.array([[0, 1, cell, 0]], dtype=np.uint64)
    payloads = encrypt_proofs(prove_rows(row, repeatable("lie")), POINTS, repeatable("lie"))
    deployment = deploy(
        changed(0, encrypted_payload=payloads.pha[0]), changed(1, encrypted_payload=payloads.facilitator[0])
    )
    for index in (0, 1):
        assert reasons_at(deployment, index) == {PacketReason.PROOF_INVALID: 1}
    check_sum(deployment, without={uuid_at()})


def test_shares_of_two_packets_exchanged_at_one_side() -> None:
    packets = packets_of(0)
    first, second = packets[0], packets[1]
    packets[0] = dataclasses.replace(first, encrypted_payload=second.encrypted_payload)
    packets[1] = dataclasses.replace(second, encrypted_payload=first.encrypted_payload)
    deployment = deploy_at(0, packets)
    assert reasons_at(deployment, 1) == {PacketReason.PROOF_INVALID: 2}
    check_sum(deployment, without={uuid_at(0), uuid_at(1)})


@pytest.mark.parametrize("index", [0, 1])
def test_packets_in_another_order_at_one_side(index: int) -> None:
    check_sum(deploy_at(index, packets_of(index)[::-1]))


@pytest.mark.parametrize("index", [0, 1])
def test_a_packet_that_one_side_never_got(index: int) -> None:
    packets = packets_of(index)
    del packets[AT]
    deployment = deploy_at(index, packets)
    assert reasons_at(deployment, index) == {PacketReason.MISSING_HERE: 1}
    assert reasons_at(deployment, 1 - index) == {PacketReason.MISSING_AT_PEER: 1}
    check_sum(deployment, without={uuid_at()})


def _again(index: int, **fields: object) -> IngestionPacket:
    """The packet once more, under the same UUID."""
    return dataclasses.replace(packets_of(index)[AT], **fields)


OTHER_SHARES = [packets_of(index)[7].encrypted_payload for index in (0, 1)]
DUPLICATES: dict[str, Callable[[int], list[IngestionPacket]]] = {
    "twice": lambda index: [*packets_of(index), _again(index)],
    "twice in a row": lambda index: [_again(index), *packets_of(index)[AT:], *packets_of(index)[:AT]],
    "three times": lambda index: [_again(index), *packets_of(index), _again(index)],
    "with other shares": lambda index: [*packets_of(index), _again(index, encrypted_payload=OTHER_SHARES[index])],
    "under another text": lambda index: [_again(index, uuid=UUID_TEXT.upper()), *packets_of(index)],
    "once unusable": lambda index: [_again(index, encrypted_payload=b""), *packets_of(index)],
}


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_uuid_that_is_there_more_than_once_is_out(
    duplicate: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(choose_engine().engine), "packets_per_chunk", lambda engine, bins: chunk)
    sides = [DUPLICATES[duplicate](index) for index in (0, 1)]
    for deployment in (deploy(*sides), deploy_at(0, sides[0]), deploy_at(1, sides[1])):
        assert PacketReason.UUID_DUPLICATED in {**rejected_at(deployment, 0), **rejected_at(deployment, 1)}
        check_sum(deployment, without={uuid_at()})


def test_a_packet_of_another_batch_is_counted_once() -> None:
    repeated = 2
    sides = [
        [*packets_of(index), dataclasses.replace(upload_of(SOUND).packets[index][repeated], r_pit=424242)]
        for index in (0, 1)
    ]
    deployment = deploy(*sides)
    for index in (0, 1):
        assert reasons_at(deployment, index) == {PacketReason.REPEATED_IN_WINDOW: 1}
    check_sum(deployment)


def test_an_ingestor_that_ran_twice() -> None:
    """New batch id, new `r_pit`, the same shares."""
    sides = [
        [dataclasses.replace(packet, r_pit=packet.r_pit + 1) for packet in upload_of(SOUND).packets[index]]
        for index in (0, 1)
    ]
    deployment = deploy(*sides)
    for index in (0, 1):
        assert reasons_at(deployment, index) == {PacketReason.REPEATED_IN_WINDOW: len(sides[0])}
    check_sum(deployment, without=upload_of(FAULTY).true_rows)
