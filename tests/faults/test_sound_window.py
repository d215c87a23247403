"""The window without a fault: what every other test takes something away from."""

from prio_assets.processor.validation import BatchState
from tests.faults.deployment import check_sum, make_deployment, pending_of, states, with_batches, work
from tests.faults.material import FAULTY, SOUND


def test_everything_is_counted_and_nothing_is_left_to_do() -> None:
    deployment = with_batches(make_deployment())
    work(deployment)
    check_sum(deployment)
    assert not deployment.failures
    for index in (0, 1):
        assert dict(states(deployment, index)) == {SOUND: BatchState.SENT, FAULTY: BatchState.SENT}
        assert not pending_of(deployment, index)
