"""Toward a peer that knows no lists: what we send decides what both sum, so no fault may part the two sums."""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest

from prio_assets.ingestor.batches import sample_parameters
from prio_assets.portal.collection import Statistic, add_sum_parts
from prio_assets.processor.validation import BatchState
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.names import BatchName, own_validation, validity_objects
from prio_assets.wire.records import SumPart, decode
from tests.faults import legacy_peer
from tests.faults.crafting import batch_of, packets_of, with_faulty, with_header
from tests.faults.deployment import GRACE, Deployment, pending_of, rejection_reason, sum_part, take_step
from tests.faults.material import AGGREGATION, FAULTY, SOUND, STRANGER_KEY, WINDOW, sealed_batch, upload_of

BEFORE_STOP = WINDOW.end + timedelta(minutes=5)
AFTER_STOP = WINDOW.end + GRACE - timedelta(minutes=10)
AFTER_GRACE = WINDOW.end + GRACE + timedelta(minutes=1)
BOTH = [SOUND, FAULTY]


def work_at(deployment: Deployment, now: datetime) -> None:
    """Our sensors at one time; the other role is the peer's."""
    deployment.clock.now = now
    for _ in range(3):
        for pending in pending_of(deployment, 0):
            if not pending.waits_for:
                take_step(deployment, 0, pending)


def deploy(sealed: dict[int, SealedBatch], *, with_parameters: bool = True) -> Deployment:
    return with_faulty(sealed, peer_has_lists=False, with_parameters=with_parameters)


def run(deployment: Deployment) -> Statistic:
    """A whole window: both take in, we send what the peer has too, both sum once."""
    work_at(deployment, BEFORE_STOP)
    legacy_peer.intake(deployment, BOTH)
    work_at(deployment, BEFORE_STOP)
    work_at(deployment, AFTER_STOP)
    peer = decode(SumPart, legacy_peer.sum_up(deployment, BOTH).header, "the peer's part")
    return add_sum_parts(AGGREGATION, WINDOW, sum_part(deployment, 0).header, peer)


def check(result: Statistic, batches: list[BatchName], without: int = 0) -> None:
    """Exact over the batches, less the first packets of FAULTY."""
    rows = [upload_of(batch).rows[without if batch == FAULTY else 0 :] for batch in batches]
    assert sorted(result.batch_ids) == sorted(batch.uuid for batch in batches)
    assert list(result.sum) == np.concatenate(rows).sum(axis=0).tolist()
    assert result.clients == sum(len(each) for each in rows)


def test_a_sound_window() -> None:
    deployment = deploy({})
    check(run(deployment), BOTH)
    assert not deployment.failures
    assert {outcome.state for outcome in deployment.outcomes[0].values()} == {BatchState.SENT}


BATCH_FAULTS: dict[str, Callable[[int], SealedBatch]] = {
    "signature by a stranger": lambda index: with_header(sealed_batch(FAULTY, index), STRANGER_KEY),
    "wrong digest": lambda index: with_header(sealed_batch(FAULTY, index), packet_file_digest=bytes(32)),
    "impossible bins": lambda index: with_header(sealed_batch(FAULTY, index), bins=2**31 - 2),
    "other bins than its shares": lambda index: with_header(sealed_batch(FAULTY, index), bins=9),
    "other epsilon": lambda index: with_header(sealed_batch(FAULTY, index), epsilon=2.0),
    "no packets": lambda index: batch_of([]),
    "of the other side": lambda index: sealed_batch(FAULTY, 1 - index),
}


@pytest.mark.parametrize("with_parameters", [True, False])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("fault", BATCH_FAULTS)
def test_a_batch_with_a_fault_is_in_neither_sum(fault: str, index: int, with_parameters: bool) -> None:
    deployment = deploy({index: BATCH_FAULTS[fault](index)}, with_parameters=with_parameters)
    check(run(deployment), [SOUND])


def test_a_packet_with_a_fault_is_in_neither_sum() -> None:
    for index in (0, 1):
        packets = packets_of(index)
        packets[0] = dataclasses.replace(packets[0], r_pit=-1)
        check(run(deploy({index: batch_of(packets)})), BOTH, without=1)


def test_of_batches_with_different_parameters_those_of_most_stand() -> None:
    """Without configured parameters; of one and one the earlier stands."""
    other = sample_parameters(4, 2.0)
    sealed = {index: batch_of(packets_of(index), parameters=other) for index in (0, 1)}
    deployment = deploy(sealed, with_parameters=False)
    work_at(deployment, BEFORE_STOP)
    legacy_peer.intake(deployment, BOTH)
    work_at(deployment, BEFORE_STOP)
    work_at(deployment, AFTER_STOP)
    part = sum_part(deployment, 0).header
    assert part.batch_uuids == (SOUND.uuid,)
    assert part.epsilon == 8.0


def test_packets_of_an_earlier_batch_of_the_window_are_left_out_at_intake() -> None:
    packets = [[*packets_of(index), *packets_of(index, SOUND)] for index in (0, 1)]
    check(run(deploy({index: batch_of(packets[index]) for index in (0, 1)})), BOTH)


def test_a_damaged_validation_of_ours_does_not_reject_other_batches() -> None:
    deployment = deploy({})
    work_at(deployment, BEFORE_STOP)
    objects = deployment.store(0, "own_validations").objects
    original, objects[own_validation(SOUND)] = objects[own_validation(SOUND)], b"damaged"
    del objects[own_validation(FAULTY)]
    work_at(deployment, BEFORE_STOP)
    assert deployment.outcomes[0][FAULTY].state == BatchState.FAILED
    assert [rejection_reason(deployment, 0, batch) for batch in BOTH] == [None, None]
    objects[own_validation(SOUND)] = original
    check(run(deployment), BOTH)


def test_nothing_is_sent_for_a_validation_of_the_peer_that_does_not_hold() -> None:
    deployment = deploy({})
    work_at(deployment, BEFORE_STOP)
    legacy_peer.intake(deployment, BOTH)
    theirs = deployment.store(0, "peer_validations").objects
    theirs[validity_objects(FAULTY, 1).header] = b"garbage"
    work_at(deployment, BEFORE_STOP)
    assert deployment.outcomes[0][FAULTY].state == BatchState.WAITS_FOR_PEER
    assert validity_objects(FAULTY, 0).signature not in deployment.store(1, "peer_validations").objects
    work_at(deployment, AFTER_STOP)
    work_at(deployment, AFTER_GRACE)
    assert sum_part(deployment, 0).header.batch_uuids == (SOUND.uuid,)
    assert rejection_reason(deployment, 0) is None
