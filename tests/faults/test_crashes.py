"""A process that ends between any two writes, a store that was tidied: done again, all is there as if it hadn't."""

import itertools

import pytest

from prio_assets.errors import BatchReason, BatchRejected
from prio_assets.processor.operator_decisions import try_again
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.pending import PendingStep
from prio_assets.wire import names
from prio_assets.wire.packets import digest
from prio_assets.wire.records import Rejection
from tests.faults.crafting import with_faulty, with_header
from tests.faults.deployment import STORES, Deployment, check_sum, rejection_reason, rejections_of, work
from tests.faults.material import FAULTY, SOUND, sealed_batch
from tests.faults.memory_store import Crash, MemoryStore

WRITTEN = ("own_validations", "peer_validations", "state", "sum_parts")


def _objects(deployment: Deployment) -> dict[tuple[int, str], dict[str, bytes]]:
    return {(index, name): deployment.store(index, name).objects for index in (0, 1) for name in STORES}


@pytest.mark.parametrize(("index", "store"), list(itertools.product((0, 1), WRITTEN)))
def test_a_crash_after_any_write_loses_nothing(index: int, store: str, summed_deployment: Deployment) -> None:
    for writes in range(100):
        deployment = with_faulty({})
        crashing = deployment.store(index, store)
        crashing.writes_left = writes
        try:
            work(deployment)
        except Crash:
            crashing.writes_left = None
            work(deployment, until=PendingStep.PROPOSE)
            work(deployment)
            check_sum(deployment)
            assert _objects(deployment) == _objects(summed_deployment)
        else:
            assert writes > 1
            return
    raise AssertionError("the processor writes without end")


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "stale", "empty", "garbage"])
def test_totals_that_do_not_hold_are_computed_again(damage: str, index: int, decided_deployment: Deployment) -> None:
    deployment = decided_deployment.copy()
    objects, name = deployment.store(index, "own_validations").objects, names.totals(FAULTY)
    if damage == "missing":
        del objects[name]
    else:
        objects[name] = {"stale": objects[names.totals(SOUND)], "empty": b"", "garbage": b"garbage"}[damage]
    work(deployment)
    assert not deployment.failures
    check_sum(deployment)


@pytest.mark.parametrize("index", [0, 1])
def test_without_totals_and_receipt_the_validation_is_sent_again(index: int, decided_deployment: Deployment) -> None:
    deployment = decided_deployment.copy()
    objects = deployment.store(index, "own_validations").objects
    for name in (names.totals(FAULTY), names.receipt(FAULTY)):
        del objects[name]
    work(deployment)
    assert not deployment.failures
    assert names.receipt(FAULTY) in objects
    check_sum(deployment)


def _record(at: int, *, cleared: bool, reason: str = "unknown_key") -> Rejection:
    return Rejection(FAULTY.uuid, reason, "details", None, "a test", at, cleared)


def test_rejections_are_numbered_and_the_last_counts() -> None:
    own = OwnStore(MemoryStore("own"))
    for at, cleared in enumerate([False, True] * 6):
        own.record_rejection(FAULTY, _record(at, cleared=cleared))
    assert [record.at for record in rejections_of(own)] == list(range(12))
    last = own.last_rejection(FAULTY)
    assert last is not None
    assert last.cleared


def test_what_the_last_rejection_says_is_not_recorded_again() -> None:
    own = OwnStore(MemoryStore("own"))
    own.record_rejection(FAULTY, _record(1, cleared=False))
    own.record_rejection(FAULTY, _record(2, cleared=False))
    own.record_rejection(FAULTY, _record(3, cleared=False, reason="no_packets"))
    assert [record.at for record in rejections_of(own)] == [1, 3]


def test_a_rejection_after_records_were_deleted_still_counts() -> None:
    store = MemoryStore("own")
    own = OwnStore(store)
    for at, cleared in ((1, False), (2, True), (3, False), (4, True)):
        own.record_rejection(FAULTY, _record(at, cleared=cleared))
    for number in (1, 2, 3):
        store.delete(names.rejection(FAULTY, number))
    own.record_rejection(FAULTY, _record(5, cleared=False))
    last = own.last_rejection(FAULTY)
    assert last is not None
    assert (last.at, last.cleared) == (5, False)


def test_records_of_other_names_are_none() -> None:
    store = MemoryStore("own")
    own = OwnStore(store)
    own.record_rejection(FAULTY, _record(1, cleared=True))
    for suffix in ("02", "2.tmp", "-3", "9" * 30, "\N{SUPERSCRIPT TWO}"):
        store.objects[names.rejections(FAULTY) + suffix] = b"stray"
    last = own.last_rejection(FAULTY)
    assert last is not None
    assert last.at == 1


def test_a_rejected_batch_that_an_operator_clears_is_tried_again() -> None:
    deployment = with_faulty({0: with_header(sealed_batch(FAULTY, 0), epsilon=2.0)})
    work(deployment)
    assert rejection_reason(deployment, 0) == BatchReason.PARAMETERS_DIFFER
    own = deployment.processors[0].own
    try_again(own, FAULTY, "an operator", "mended", deployment.clock())
    assert rejection_reason(deployment, 0) is None
    work(deployment)
    records = rejections_of(own)
    assert [record.cleared for record in records] == [False, True, False]
    assert {record.packet_file_digest for record in records} == {digest(sealed_batch(FAULTY, 0).packets)}


def test_a_cleared_batch_that_was_mended_is_counted_in_the_next_window() -> None:
    deployment = with_faulty({0: with_header(sealed_batch(FAULTY, 0), epsilon=2.0)}, late_limit="8h")
    work(deployment)
    for name, data in zip(names.ingestion_objects(FAULTY), sealed_batch(FAULTY, 0).three_objects(), strict=True):
        deployment.store(0, "ingestion").objects[name] = data
    deployment.processors[0].own.record_rejection(FAULTY, _record(1, cleared=True))
    work(deployment)
    own = deployment.processors[0].own.validation(FAULTY)
    assert own is not None
    assert len(own.packets) == 10


def test_an_own_validation_of_another_batch_is_damage(validated_deployment: Deployment) -> None:
    deployment = validated_deployment.copy()
    objects = deployment.store(0, "own_validations").objects
    objects[names.own_validation(FAULTY)] = objects[names.own_validation(SOUND)]
    with pytest.raises(BatchRejected) as raised:
        deployment.processors[0].own.validation(FAULTY)
    assert raised.value.reason == BatchReason.OWN_RECORD_DAMAGED
