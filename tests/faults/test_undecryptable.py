"""Packets that do not decrypt: a few are lost alone, many show that a key is missing, an operator has the last word."""

import dataclasses
from uuid import UUID

import pytest

from prio_assets.errors import BatchReason, PacketReason
from prio_assets.prio.encryption import encrypt
from prio_assets.processor.operator_decisions import accept_undecryptable
from prio_assets.processor.pending import PendingStep
from prio_assets.processor.validation import BatchState
from prio_assets.wire.keys import generate_packet_key_text, parse_packet_decryption_key
from tests.faults.crafting import batch_of, packets_of, with_faulty
from tests.faults.deployment import AFTER_GRACE, Deployment, check_sum, rejection_reason, with_keys, work
from tests.faults.material import FAULTY, PACKET_KEYS, SOUND, upload_of
from tests.ingestor.parties import repeatable
from tests.prio.payloads import decrypt

OTHER_KEY = parse_packet_decryption_key(generate_packet_key_text(repeatable("a key that came later")))


def deployment_with(
    undecryptable: int, index: int, of: int = 10, key_id: str | None = "key-of-tomorrow", **differences: object
) -> Deployment:
    """FAULTY of so many packets, the first of which are encrypted to a key that the processor doesn't have."""
    packets = packets_of(index)[:of]
    for place in range(undecryptable):
        plaintext = decrypt(PACKET_KEYS[index], packets[place].encrypted_payload)
        assert plaintext is not None
        packets[place] = dataclasses.replace(
            packets[place],
            encrypted_payload=encrypt(OTHER_KEY.public_point, plaintext),
            encryption_key_id=key_id,
        )
    return with_faulty({index: batch_of(packets)}, **differences)


def lost(undecryptable: int) -> set[UUID]:
    """The packets of these places."""
    return set(list(upload_of(FAULTY).true_rows)[:undecryptable])


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("undecryptable", [0, 1])
def test_as_many_as_the_limit_are_left_out(undecryptable: int, index: int) -> None:
    deployment = deployment_with(undecryptable, index)
    work(deployment)
    assert deployment.outcomes[index][FAULTY].rejected[PacketReason.UNDECRYPTABLE] == undecryptable
    check_sum(deployment, without=lost(undecryptable))


@pytest.mark.parametrize(
    ("key_id", "said"),
    [
        (None, "none stated"),
        ("of two\nlines", r"'of two\nlines'"),
        ("long" * 10_000, "'" + "long" * 25 + "'"),
    ],
)
def test_the_key_that_packets_state_is_said_in_one_short_line(key_id: str | None, said: str) -> None:
    deployment = deployment_with(10, 0, key_id=key_id)
    work(deployment)
    why = deployment.outcomes[0][FAULTY].why
    assert f"(encryption key ids: {said})" in why
    assert "\n" not in why


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("undecryptable", "of"), [(2, 10), (9, 10), (10, 10), (1, 1)])
def test_more_are_a_missing_key(undecryptable: int, of: int, index: int) -> None:
    deployment = deployment_with(undecryptable, index, of)
    work(deployment)
    outcome = deployment.outcomes[index][FAULTY]
    assert outcome.state == BatchState.UNDECRYPTABLE
    assert "key-of-tomorrow" in outcome.why
    assert deployment.processors[index].own.validation(FAULTY) is None
    assert rejection_reason(deployment, index) is None
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("limit", "undecryptable", "passes"),
    [(0.0, 1, False), (0.5, 4, True), (0.5, 5, True), (0.5, 6, False), (1.0, 9, True), (1.0, 10, False)],
)
def test_the_limit_is_the_configured_one_and_a_batch_of_which_nothing_decrypts_stops_whatever_it_is(
    limit: float, undecryptable: int, passes: bool, index: int
) -> None:
    deployment = deployment_with(undecryptable, index, undecryptable_limit=limit)
    work(deployment)
    outcome = deployment.outcomes[index][FAULTY]
    assert outcome.state == (BatchState.SENT if passes else BatchState.UNDECRYPTABLE)
    assert outcome.rejected[PacketReason.UNDECRYPTABLE] == (undecryptable if passes else 0)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("undecryptable", [2, 10])
def test_once_the_key_is_there_nothing_is_lost(undecryptable: int, index: int) -> None:
    deployment = deployment_with(undecryptable, index)
    work(deployment, until=PendingStep.PROPOSE)
    with_keys(deployment, index, [*PACKET_KEYS[index : index + 1], OTHER_KEY])
    work(deployment, until=PendingStep.PROPOSE)
    work(deployment)
    check_sum(deployment)


@pytest.mark.parametrize("index", [0, 1])
def test_an_operator_accepts_the_loss(index: int) -> None:
    deployment = deployment_with(4, index)
    work(deployment, until=PendingStep.PROPOSE)
    accept_undecryptable(deployment.processors[index].own, FAULTY, "an operator", "they are lost", AFTER_GRACE)
    work(deployment, until=PendingStep.PROPOSE)
    work(deployment)
    assert deployment.outcomes[index][FAULTY].rejected == {PacketReason.UNDECRYPTABLE: 4}
    check_sum(deployment, without=lost(4))


@pytest.mark.parametrize("index", [0, 1])
def test_a_batch_without_any_packet_left_is_rejected(index: int) -> None:
    deployment = deployment_with(10, index)
    work(deployment, until=PendingStep.PROPOSE)
    accept_undecryptable(deployment.processors[index].own, FAULTY, "an operator", "they are lost", AFTER_GRACE)
    work(deployment, until=PendingStep.PROPOSE)
    work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.NO_ACCEPTED_PACKETS
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_packets_that_no_key_could_be_tried_on_say_nothing_about_keys(index: int) -> None:
    packets = packets_of(index)
    short = [dataclasses.replace(packet, encrypted_payload=b"short") for packet in packets[:8]]
    deployment = with_faulty({index: batch_of([*short, *packets[8:]])})
    work(deployment)
    assert deployment.outcomes[index][FAULTY].rejected == {PacketReason.PAYLOAD_TOO_SHORT: 8}
    check_sum(deployment, without=lost(8))


@pytest.mark.parametrize("index", [0, 1])
def test_a_key_that_is_gone_when_the_window_is_summed_stops_the_sum(index: int, decided_deployment: Deployment) -> None:
    deployment = decided_deployment.copy()
    deployment.store(index, "own_validations").objects = {
        name: data
        for name, data in deployment.store(index, "own_validations").objects.items()
        if "/totals/" not in name
    }
    keys = deployment.processors[index].packet_keys
    with_keys(deployment, index, [OTHER_KEY])
    work(deployment)
    ((failed, _, error),) = deployment.failures
    assert failed == index
    assert "packet keys" in str(error)
    with_keys(deployment, index, keys)
    work(deployment)
    check_sum(deployment)
