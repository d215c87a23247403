"""Headers that disagree, and what production peers really sent: nothing of it costs another batch its place."""

import dataclasses
from datetime import timedelta

import pytest

from prio_assets.errors import BatchReason, BatchRejected
from prio_assets.processor.readiness import read_ready
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.records import Parameters
from prio_assets.wire.windows import to_ms
from tests.faults.crafting import batch_name, batch_of, packets_of, with_faulty, with_header
from tests.faults.deployment import check_sum, make_deployment, rejection_reason, work
from tests.faults.material import (
    AGGREGATION,
    FAULTY,
    PARAMETERS,
    PERIOD,
    SOUND,
    WINDOW,
    description_of,
    sealed_batch,
    upload_of,
)

OTHER_PARAMETERS = {
    "bins": 5,
    "epsilon": 8.5,
    "hamming_weight": 2,
}
IMPOSSIBLE = {
    "bins": [0, -1, 2**31 - 2, 524288],
    "epsilon": [float("nan"), float("inf"), -0.5],
    "prime": [0, 4293918720, 2**32],
    "number_of_servers": [0, 1, 3],
    "hamming_weight": [-1, 5],
}
REASONS = {
    "bins": BatchReason.BINS_OUT_OF_RANGE,
    "epsilon": BatchReason.EPSILON_OUT_OF_RANGE,
    "prime": BatchReason.PRIME_DIFFERS,
    "number_of_servers": BatchReason.NUMBER_OF_SERVERS_DIFFERS,
    "hamming_weight": BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE,
}


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("field", OTHER_PARAMETERS)
def test_a_parameter_that_differs_from_the_configuration(field: str, sides: tuple[int, ...]) -> None:
    other = {field: OTHER_PARAMETERS[field]}
    deployment = with_faulty({index: with_header(sealed_batch(FAULTY, index), **other) for index in sides})
    work(deployment)
    for index in sides:
        assert rejection_reason(deployment, index) == BatchReason.PARAMETERS_DIFFER
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in IMPOSSIBLE for value in IMPOSSIBLE[field]])
def test_a_parameter_that_cannot_be(field: str, value: object) -> None:
    deployment = with_faulty({index: with_header(sealed_batch(FAULTY, index), **{field: value}) for index in (0, 1)})
    work(deployment)
    for index in (0, 1):
        assert rejection_reason(deployment, index) == REASONS[field]
    check_sum(deployment, batches=[SOUND])


@pytest.mark.parametrize("index", [0, 1])
def test_a_batch_of_another_aggregation(index: int) -> None:
    deployment = with_faulty({index: with_header(sealed_batch(FAULTY, index), name="another")})
    work(deployment)
    assert rejection_reason(deployment, index) == BatchReason.NAME_DIFFERS
    check_sum(deployment, batches=[SOUND])


def test_the_ingestor_told_the_processors_different_parameters() -> None:
    """Without a configuration both take the batch in, and see it when they compare."""
    deployment = make_deployment(peer_has_lists=False, with_parameters=False)
    for index in (0, 1):
        parameters = dataclasses.replace(PARAMETERS, epsilon=8.0 + index)
        deployment.ingest(FAULTY, index, batch_of(packets_of(index), parameters=parameters))
    work(deployment)
    for index in (0, 1):
        own = deployment.store(index, "own_validations").objects
        deployment.store(1 - index, "peer_validations").objects |= _as_sent(own, index)
    for processor in deployment.processors:
        with pytest.raises(BatchRejected) as raised:
            read_ready(processor, FAULTY)
        assert raised.value.reason == BatchReason.PARAMETERS_DIFFER


def _as_sent(own: dict[str, bytes], index: int) -> dict[str, bytes]:
    prefix = "prio-assets/validations/"
    return {f"{name.removeprefix(prefix)}.validity_{index}.sig": data for name, data in own.items() if prefix in name}


@pytest.mark.parametrize("number", [0, 1, -1, 2**40, -(2**62)])
def test_header_times_are_not_relied_on(number: int) -> None:
    changed = {"batch_start_time": number, "batch_end_time": -number}
    deployment = with_faulty({index: with_header(sealed_batch(FAULTY, index), **changed) for index in (0, 1)})
    work(deployment)
    check_sum(deployment)


def test_header_times_in_seconds_or_milliseconds() -> None:
    assert description_of(FAULTY).batch_start_time == to_ms(FAULTY.time) // 1000
    in_ms = {"batch_start_time": to_ms(FAULTY.time), "batch_end_time": to_ms(FAULTY.time) + 3600000}
    deployment = with_faulty({0: with_header(sealed_batch(FAULTY, 0), **in_ms)})
    work(deployment)
    check_sum(deployment)


@pytest.mark.parametrize("weight", [None, 0, 2, 4])
def test_a_hamming_weight_is_a_label(weight: int | None) -> None:
    parameters = Parameters(4, 8.0, PARAMETERS.prime, 2, weight)
    deployment = make_deployment(hamming_weight=weight)
    for index in (0, 1):
        for batch in (SOUND, FAULTY):
            deployment.ingest(batch, index, batch_of(packets_of(index, batch), batch, parameters))
    work(deployment)
    check_sum(deployment)


@pytest.mark.parametrize("index", [0, 1])
def test_a_batch_that_reaches_one_side_only(index: int) -> None:
    deployment = make_deployment()
    for role in (0, 1):
        deployment.ingest(SOUND, role, sealed_batch(SOUND, role))
    deployment.ingest(FAULTY, index, sealed_batch(FAULTY, index))
    work(deployment)
    assert not deployment.failures
    check_sum(deployment, batches=[SOUND])


STRAYS = [
    f"{FAULTY.base}.batch.tmp",
    f"{AGGREGATION}/2024/05/01/10/00/not-a-uuid.batch",
    f"{AGGREGATION}/2024/05/01/10/00/{FAULTY.uuid}.validity_2.sig",
    f"{AGGREGATION}/2024/13/01/10/00/{FAULTY.uuid}.batch",
    f"{AGGREGATION}/2024/05/01/10/{FAULTY.uuid}.batch",
    f"{AGGREGATION}/2024/05/01/10/00/{str(FAULTY.uuid).upper()}.batch.sig",
    f"{AGGREGATION}/README",
    "README",
    "task-markers/intake-x",
]


def test_stray_objects_are_passed_over() -> None:
    deployment = with_faulty({})
    for index in (0, 1):
        for store in ("ingestion", "peer_validations", "own_validations"):
            deployment.store(index, store).objects |= dict.fromkeys(STRAYS, b"stray")
        lone = batch_name(SOUND.time, 7)
        names = ingestion_objects(lone)
        deployment.store(index, "ingestion").objects |= {names.header: b"h", names.packets: b"p"}
    work(deployment)
    assert not deployment.failures
    check_sum(deployment)


def test_a_signed_batch_copied_to_another_time_of_the_window_is_counted_once() -> None:
    deployment = with_faulty({})
    copy = BatchName(AGGREGATION, FAULTY.time + timedelta(minutes=30), FAULTY.uuid)
    for index in (0, 1):
        deployment.ingest(copy, index, sealed_batch(FAULTY, index))
    work(deployment)
    for index in (0, 1):
        assert rejection_reason(deployment, index, copy) == BatchReason.BATCH_REPEATED
    check_sum(deployment)


def test_a_signed_batch_copied_to_the_next_window_is_counted_once() -> None:
    deployment = with_faulty({}, late_limit="8h")
    work(deployment)
    check_sum(deployment)
    copy = BatchName(AGGREGATION, FAULTY.time + PERIOD, FAULTY.uuid)
    fresh = batch_name(WINDOW.end + timedelta(hours=1), 9)
    for index in (0, 1):
        deployment.ingest(copy, index, sealed_batch(FAULTY, index))
        deployment.ingest(fresh, index, batch_of(packets_of(index, SOUND)[:3], fresh))
    deployment.clock.now += PERIOD
    work(deployment)
    for index in (0, 1):
        assert rejection_reason(deployment, index, copy) == BatchReason.BATCH_REPEATED
    check_sum(deployment)


def test_packets_counted_in_a_window_are_not_counted_in_the_next() -> None:
    """The ingestor ran again over the same hour, under a later path time, with new packets beside the old ones."""
    deployment = make_deployment(late_limit="8h")
    for index in (0, 1):
        deployment.ingest(SOUND, index, sealed_batch(SOUND, index))
    work(deployment)
    check_sum(deployment, batches=[SOUND])
    later = dataclasses.replace(FAULTY, time=WINDOW.end + timedelta(hours=1))
    for index in (0, 1):
        packets = [*packets_of(index, SOUND), *packets_of(index)]
        deployment.ingest(later, index, batch_of(packets, later))
    deployment.clock.now += PERIOD
    work(deployment)
    window = dataclasses.replace(WINDOW, start=WINDOW.end, end=WINDOW.end + PERIOD)
    check_sum(deployment, batches=[FAULTY], window=window)
    assert upload_of(FAULTY).true_rows.keys().isdisjoint(upload_of(SOUND).true_rows)
