"""A whole window over S3, each party as its own role, at a server that enforces the roles' policies.

Every request that is sent is looked at besides, with the conditions that the server does not evaluate: the policies
allow it, and there is nothing that they grant in vain.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from prio_assets.configuration import PortalConfiguration, PortalStores, ProcessorStores
from prio_assets.errors import AccessDeniedError
from prio_assets.ingestor.batches import write_batch
from prio_assets.portal.collection import Statistic
from prio_assets.portal.statistics import Portal, add_window, aggregations, look_at, publish
from prio_assets.processor.processor import initialise_state
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store
from prio_assets.storage.s3 import connect
from prio_assets.storage.urls import SDK_CLIENTS, Clients, open_store
from tests.faults.deployment import Deployment, SettableClock, make_processors, public_text, work
from tests.faults.material import (
    AGGREGATION,
    FAULTY,
    INSTANCE,
    PERIOD,
    PROCESSOR_KEYS,
    SOUND,
    WINDOW,
    sealed_batch,
    upload_of,
)
from tests.iam.enforcing import EXTERNAL_ID, REGION, ROLES, Cloud, role_arn, run_cloud
from tests.iam.evaluation import Request, is_allowed

COMPLETE = {"s3:ObjectCreationOperation": "true"}
PART = {"s3:ObjectCreationOperation": "false"}
ACTIONS = {
    "GetObject": ("s3:GetObject", {}),
    "ListObjectsV2": ("s3:ListBucket", {}),
    "PutObject": ("s3:PutObject", COMPLETE),
    "CreateMultipartUpload": ("s3:PutObject", PART),
    "UploadPart": ("s3:PutObject", PART),
    "CompleteMultipartUpload": ("s3:PutObject", COMPLETE),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload", {}),
}
"""What AWS asks a policy about, by the operations of its interface."""


@dataclass
class Parties:
    """The parties over one server, and what each has sent to it."""

    cloud: Cloud
    requests: dict[str, list[Request]] = field(default_factory=dict)

    def store(self, role: str, bucket: str) -> Store:
        """A bucket as a role reaches it, the machine's own keys being the ambient ones."""
        access = Access(endpoint=self.cloud.endpoint, assume_role=role_arn(role), external_id=EXTERNAL_ID)
        return open_store(f"s3://{REGION}/{bucket}", access, Clients(self._client, SDK_CLIENTS.gcs))

    def _client(self, region: str, access: Access) -> Any:
        client = connect(region, access)
        role = str(access.assume_role).rpartition("/")[2]
        self.requests.setdefault(role, [])
        client.meta.events.register("before-sign.s3", Recorder(self.requests[role]), unique_id="recorder")
        return client

    def processors(self, clock: SettableClock) -> Deployment:
        """Both processors, each as its own role."""
        made = make_processors(clock)
        roles = ("pha", "facilitator")
        processors = [
            replace(
                processor,
                stores=ProcessorStores(
                    ingestion=self.store(own, f"{own}-ingestion"),
                    own_validations=self.store(own, f"{own}-own-validations"),
                    peer_validations=self.store(own, f"{own}-peer-validations"),
                    peer_bucket=self.store(own, f"{other}-peer-validations"),
                    state=self.store(own, f"{own}-state"),
                    sum_parts=self.store(own, f"portal-{own}-sum-parts"),
                ),
            )
            for processor, own, other in zip(made, roles, roles[::-1], strict=True)
        ]
        return Deployment((processors[0], processors[1]), clock, {})

    def portal(self) -> Portal:
        """The portal as its role."""
        keys = [{key.identifier: public_text(key)} for key in PROCESSOR_KEYS]
        content = {
            "instance": INSTANCE,
            "period": f"{PERIOD // timedelta(hours=1)}h",
            "first_window": "2024-05-01T00:00Z",
            "grace": "1h",
            **{name: f"unused/{name}" for name in PortalStores._fields},
            "pha_keys": keys[0],
            "facilitator_keys": keys[1],
        }
        settings = PortalConfiguration.model_validate(content, context={"directory": "/nowhere"})
        stores = (self.store("portal", f"portal-{name.replace('_', '-')}") for name in PortalStores._fields)
        return Portal(settings, PortalStores(*stores))


@dataclass(frozen=True)
class Recorder:
    """Writes down what a client sends, as a policy sees it."""

    requests: list[Request]

    def __call__(self, request: Any, operation_name: str, **_others: Any) -> None:
        action, context = ACTIONS[operation_name]
        resource = unquote(urlsplit(request.url).path).strip("/")
        if "If-None-Match" in request.headers:
            context = {**context, "s3:if-none-match": request.headers["If-None-Match"]}
        self.requests.append(Request(action, f"arn:aws:s3:::{resource}", context=context))


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with run_cloud(tmp_path_factory.mktemp("s3"), {}) as cloud, pytest.MonkeyPatch.context() as environment:
        for name, value in cloud.keys.items():
            environment.setenv(name.upper(), value)
        yield Parties(cloud)


@pytest.fixture(scope="module")
def statistic(parties: Parties) -> Statistic:
    """What the portal publishes after a whole window of two batches."""
    deployment = parties.processors(SettableClock())
    for processor in deployment.processors:
        initialise_state(processor, processor.settings.first_window)
    for index, role in enumerate(("pha", "facilitator")):
        for batch in (SOUND, FAULTY):
            write_batch(parties.store("ingestor", f"{role}-ingestion"), batch, sealed_batch(batch, index))
    work(deployment)
    assert not deployment.failures
    portal = parties.portal()
    assert aggregations(portal) == [AGGREGATION]
    assert not look_at(portal, AGGREGATION, WINDOW.start, WINDOW.end).published
    found = add_window(portal, AGGREGATION, WINDOW)
    for _ in range(2):  # the second time it finds its own
        publish(portal, found)
    return found


def test_the_statistic_is_exact(statistic: Statistic) -> None:
    rows = [row for batch in (SOUND, FAULTY) for row in upload_of(batch).true_rows.values()]
    assert statistic.clients == len(rows)
    assert list(statistic.sum) == np.sum(rows, axis=0).tolist()


@pytest.mark.parametrize("role", ["pha", "facilitator", "ingestor", "portal"])
def test_policies_allow_every_request_that_is_sent(statistic: Statistic, parties: Parties, role: str) -> None:
    policy = json.loads(ROLES[role])
    assert parties.requests[role]
    assert [request for request in parties.requests[role] if not is_allowed([policy], request)] == []


@pytest.mark.parametrize("role", ["pha", "facilitator", "ingestor", "portal"])
def test_policies_grant_nothing_in_vain(statistic: Statistic, parties: Parties, role: str) -> None:
    """But for cutting off an upload, which takes a failure."""
    for statement in json.loads(ROLES[role])["Statement"]:
        actions, resources = (
            value if isinstance(value, list) else [value] for value in (statement["Action"], statement["Resource"])
        )
        for action in set(actions) - {"s3:AbortMultipartUpload"}:
            for resource in resources:
                part = {"Statement": [statement | {"Action": action, "Resource": resource}]}
                assert any(is_allowed([part], request) for request in parties.requests[role]), (action, resource)


def test_without_a_grant_the_store_says_what_is_denied(parties: Parties) -> None:
    """The ingestor looks into a state."""
    store = parties.store("ingestor", "pha-state")
    for attempt in (lambda: store.create("state", b""), lambda: store.open_read("state"), lambda: next(store.list(""))):
        with pytest.raises(AccessDeniedError, match="pha-state"):
            attempt()
