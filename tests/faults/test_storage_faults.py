"""Both processors over a cloud that fails at one request after the other: done again, all is there as if it hadn't."""

from copy import copy

import pytest

from prio_assets.configuration import ProcessorStores
from prio_assets.errors import StorageError
from prio_assets.processor.pending import PendingStep
from prio_assets.processor.processor import initialise_state
from prio_assets.processor.validation import BatchState
from prio_assets.storage import s3
from prio_assets.storage.base import Store, copy_in_order
from prio_assets.wire.names import ingestion_objects
from tests.clouds import Cloud
from tests.faults.deployment import (
    AFTER_GRACE,
    ROLES,
    STORES,
    Deployment,
    SettableClock,
    make_processors,
    pending_of,
    take_step,
    work,
)
from tests.faults.material import FAULTY, SOUND, sealed_batch
from tests.servers.fault_proxy import Fault

ATTEMPTS = 2
PLACES = 6
"""At so many requests, evenly spread over the whole way of a window, there is a fault."""


def cloud_deployment(cloud: Cloud) -> tuple[Deployment, str]:
    """Both processors with both batches, over one bucket that they reach through the proxy."""
    url = cloud.create_bucket()
    stores: list[dict[str, Store]] = [
        {name: cloud.open_through_proxy(f"{url}/{role}/{name}", attempts=ATTEMPTS) for name in STORES} for role in ROLES
    ]
    clock = SettableClock(AFTER_GRACE)
    processors = []
    for index, processor in enumerate(make_processors(clock)):
        over_cloud = copy(processor)
        peer_bucket = stores[1 - index]["peer_validations"]
        object.__setattr__(over_cloud, "stores", ProcessorStores(**stores[index], peer_bucket=peer_bucket))
        initialise_state(over_cloud, over_cloud.settings.first_window)
        for batch in (SOUND, FAULTY):
            objects = sealed_batch(batch, index).three_objects()
            copy_in_order(over_cloud.stores.ingestion, ingestion_objects(batch), objects)
        processors.append(over_cloud)
    return Deployment((processors[0], processors[1]), clock, {}), url


def work_until_a_failure(deployment: Deployment) -> None:
    """As a process would that ends with it."""
    done = set()
    while True:
        ready = [(i, each) for i in (0, 1) for each in pending_of(deployment, i) if not each.waits_for]
        fresh = [want for want in ready if want not in done]
        if not fresh:
            return
        for want in fresh:
            done.add(want)
            take_step(deployment, *want)
            if deployment.failures or failed_batches(deployment):
                return


def failed_batches(deployment: Deployment) -> list[str]:
    """Why batches failed, of which a run tells so that the others go on."""
    outcomes = [outcome for by_batch in deployment.outcomes for outcome in by_batch.values()]
    return [outcome.why for outcome in outcomes if outcome.state is BatchState.FAILED]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr("prio_assets.storage.gcs_requests.FIRST_DELAY", 0.001)
    monkeypatch.setattr("prio_assets.storage.streams.FIRST_PAUSE", 0)
    s3.connect.cache_clear()


def test_a_fault_at_any_request_of_a_windows_way_loses_nothing(cloud: Cloud) -> None:
    deployment, url = cloud_deployment(cloud)
    cloud.proxy.set()
    work_until_a_failure(deployment)
    assert not deployment.failures
    requests = len(cloud.proxy.requests())
    expected = cloud.objects(url)
    assert any("sum_parts" in name for name in expected)
    for place in range(PLACES):
        deployment, url = cloud_deployment(cloud)
        action = ("reset", "lose", "answer")[place % 3]
        skip = (2 * place + 1) * requests // (2 * PLACES)
        cloud.proxy.set(Fault(action, skip=skip, times=ATTEMPTS, status=503))
        told: list[Exception] = []
        try:
            work_until_a_failure(deployment)
        except StorageError as error:  # of a look
            told.append(error)
        told += [error for _, _, error in deployment.failures]
        assert cloud.proxy.applied() == ATTEMPTS
        assert all(isinstance(error, StorageError) and url in str(error) for error in told)
        assert cloud.objects(url).items() <= expected.items()  # nothing half-written, nothing else
        cloud.proxy.set()
        deployment.failures.clear()
        work(deployment, until=PendingStep.PROPOSE)
        work(deployment)
        assert not deployment.failures
        assert cloud.objects(url) == expected


def test_a_batch_whose_signature_is_listed_late_is_taken_in_at_a_later_look(cloud: Cloud) -> None:
    deployment, _ = cloud_deployment(cloud)
    late = ingestion_objects(FAULTY)[-1]
    cloud.proxy.set(Fault("hide", target=r"list-type=2|/o\?", times=-1, hidden=f"ingestion/{late}$"))
    assert _to_validate(deployment) == [SOUND]
    cloud.proxy.set()
    assert _to_validate(deployment) == [SOUND, FAULTY]
    work(deployment)
    assert not deployment.failures
    assert {outcome.state for outcome in deployment.outcomes[0].values()} == {BatchState.SENT}
    assert deployment.outcomes[0].keys() == {SOUND, FAULTY}


def _to_validate(deployment: Deployment) -> list[object]:
    """The batches that the first processor would take in."""
    pending = pending_of(deployment, 0)
    return sorted(batch for each in pending if each.step == PendingStep.VALIDATE for batch in each.batches)
