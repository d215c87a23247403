"""An answer that the first processor can never accept is a refused list at once, not one that waits for validations."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from prio_assets.processor.pending import PendingStep
from prio_assets.processor.survey import Survey, survey
from prio_assets.wire import names
from prio_assets.wire.records import BatchList
from prio_assets.wire.sealed import seal_record, stored_record
from prio_assets.wire.windows import Window
from tests.faults.deployment import Deployment, check_sum, make_deployment, pending_of, with_batches, work
from tests.faults.material import AGGREGATION, PERIOD, PROCESSOR_KEYS, WINDOW

ANSWER = names.batch_list(AGGREGATION, WINDOW, 1)
NEVER_PROPOSED = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")


@pytest.fixture
def answered() -> Deployment:
    """Both processors when the second has answered and the first has not accepted yet."""
    deployment = with_batches(make_deployment())
    work(deployment, until=PendingStep.SUM)
    return deployment


def forge(deployment: Deployment, change: Callable[[BatchList], BatchList]) -> bytes:
    """Let the second processor sign another answer; what it was."""
    objects = deployment.store(0, "peer_validations").objects
    original = objects[ANSWER]
    objects[ANSWER] = seal_record(change(stored_record(BatchList, original, ANSWER)), PROCESSOR_KEYS[1])
    return original


def look(deployment: Deployment) -> Survey:
    return survey(deployment.processors[0], AGGREGATION, WINDOW.start - PERIOD, deployment.clock())


def one_more(answer: BatchList) -> BatchList:
    """The answer with a batch beside those that were proposed, of which no validation is anywhere."""
    return replace(answer, batches=(*answer.batches, replace(answer.batches[-1], batch_uuid=NEVER_PROPOSED)))


def other_digest(answer: BatchList) -> BatchList:
    return replace(answer, batches=tuple(replace(listed, validity_digest_0=bytes(32)) for listed in answer.batches))


@pytest.mark.parametrize("change", [one_more, other_digest])
def test_a_batch_otherwise_than_it_was_proposed(answered: Deployment, change: Callable[[BatchList], BatchList]) -> None:
    original = forge(answered, change)
    assert "otherwise than we proposed it; nothing is spent" in look(answered).refused_lists[WINDOW]
    assert WINDOW not in look(answered).peer_lists
    [step] = pending_of(answered, 0)
    assert (step.step, step.window, step.batches) == (PendingStep.SUM, WINDOW, ())
    assert step.waits_for == look(answered).refused_lists[WINDOW]

    answered.store(0, "peer_validations").objects[ANSWER] = original
    assert not look(answered).refused_lists
    work(answered)
    check_sum(answered)


def test_a_batch_that_was_summed_before(answered: Deployment) -> None:
    """The next window's answer has it again, though our proposal was made before the first was accepted."""
    following = Window(WINDOW.end, WINDOW.end + PERIOD)
    answered.clock.now += PERIOD
    state, bucket = answered.store(0, "state"), answered.store(0, "peer_validations")
    times = {"aggregation_start_time": 1000 * int(following.start.timestamp())}
    times["aggregation_end_time"] = 1000 * int(following.end.timestamp())
    for index, store in ((0, state), (1, bucket)):
        name = names.batch_list(AGGREGATION, WINDOW, index)
        record = replace(stored_record(BatchList, store.objects[name], name), **times)
        store.objects[names.batch_list(AGGREGATION, following, index)] = seal_record(record, PROCESSOR_KEYS[index])
    assert not look(answered).refused_lists
    work(answered)
    assert list(look(answered).refused_lists) == [following]
    assert "was summed before; nothing is spent" in look(answered).refused_lists[following]
    check_sum(answered)


def test_our_own_proposal_that_cannot_be_read_costs_no_other_look(answered: Deployment) -> None:
    answered.store(0, "state").objects[names.batch_list(AGGREGATION, WINDOW, 0)] = b"damaged"
    assert "our own list in the state storage cannot be read" in look(answered).refused_lists[WINDOW]
