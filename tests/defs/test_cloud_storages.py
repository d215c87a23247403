"""Storages in clouds: the clients that the resources give, what a code location imports, and storages that fail."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
import yaml

from prio_assets.defs.definitions import definitions_of
from prio_assets.errors import ConfigurationError
from prio_assets.storage import gcs, s3
from prio_assets.storage.access import Access
from resources.gcs import GCSStorageResource
from resources.s3 import S3StorageResource
from tests.clouds import REGION, Cloud
from tests.defs.daemon import Daemon
from tests.defs.deployments import Deployment, ingest, move_into_cloud, statistic, true_counts
from tests.servers.fault_proxy import Fault

MORNING = datetime(2023, 5, 1, 3, tzinfo=UTC)
FIRST = "202305010000-202305010800"
PARTITION = "kittens-seen|2023-05-01-00:00"
WRITING = "PUT|POST"
STEPS = (
    ("facilitator", "own_validations"),
    ("pha", "own_validations"),
    ("pha", "batch_lists"),
    ("facilitator", "batch_lists"),
    ("pha", "sum_parts"),
)
REFUSED = r"(s3|gs)://.*bucket-[0-9a-f]{32}/.*denied.*grant"
MODULES = ("boto3", "dagster_aws", "google.cloud.storage", "dagster_gcp")
LOAD = f"""
import sys
from prio_assets.defs import definitions
for party in ("pha", "facilitator", "portal", "ingestor"):
    getattr(definitions, party)
print(*(name for name in {MODULES} if name in sys.modules))
"""

ROLE, ACCOUNT = "arn:aws:iam::123456789012:role/share", "share@project.iam.gserviceaccount.com"
IN_S3 = {"url": "s3://eu-west-1/bucket/in", "assume_role": ROLE, "external_id": "agreed", "read_timeout": "20s"}
IN_GCS = {"url": "gs://bucket/sums", "impersonate": ACCOUNT, "attempts": 3, "connect_timeout": "4s"}


@pytest.fixture
def in_cloud(deployment: Deployment, cloud: Cloud) -> Iterator[Deployment]:
    """A deployment with all storages in one bucket, reached through the proxy, where each request is tried once."""
    move_into_cloud(deployment, cloud.create_bucket(), endpoint=cloud.proxy.endpoint, attempts=1)
    yield deployment
    cloud.proxy.set()


@pytest.fixture
def mixed(deployment: Deployment) -> Deployment:
    """A deployment whose PHA has one storage in each cloud."""
    content = yaml.safe_load(deployment.path.read_text())
    content["processors"]["pha"] |= {"peer_bucket": IN_S3, "sum_parts": IN_GCS}
    deployment.path.write_text(yaml.safe_dump(content))
    return deployment


def modules_of(deployment: Deployment) -> list[str]:
    """Of the clouds' modules those that a code location imports."""
    environment = {"PRIO_CONFIG": str(deployment.path)}
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_directories_alone_import_no_cloud(deployment: Deployment) -> None:
    assert modules_of(deployment) == []


def test_a_code_location_with_storages_in_clouds_loads(mixed: Deployment) -> None:
    assert modules_of(mixed) == list(MODULES)


def test_each_storage_in_a_cloud_is_a_resource_of_its_party(mixed: Deployment) -> None:
    definitions = definitions_of("pha", mixed.configuration, mixed.path)
    dg.Definitions.validate_loadable(definitions)
    resources = dict(definitions.resources)
    assert set(resources) == {"processor", "pha_peer_bucket_storage", "pha_sum_parts_storage"}
    in_s3, in_gcs = resources["pha_peer_bucket_storage"], resources["pha_sum_parts_storage"]
    assert (in_s3.region_name, in_s3.assume_role, in_s3.external_id) == ("eu-west-1", ROLE, "agreed")
    assert (in_s3.max_attempts, in_s3.connect_timeout, in_s3.read_timeout) == (6, 10.0, 20.0)
    assert (in_gcs.impersonate, in_gcs.attempts, in_gcs.connect_timeout) == (ACCOUNT, 3, 4.0)
    assert set(definitions_of("facilitator", mixed.configuration, mixed.path).resources) == {"processor"}


def test_an_asset_of_ones_own_gets_the_client_of_a_storage(mixed: Deployment) -> None:
    """The one that the processor itself uses: clients are shared."""
    clients = []

    @dg.asset
    def listing(pha_peer_bucket_storage: S3StorageResource) -> None:
        clients.append(pha_peer_bucket_storage.get_client())

    settings = mixed.configuration.processors["pha"].peer_bucket
    resources = definitions_of("pha", mixed.configuration, mixed.path).resources
    assert dg.materialize(
        [listing], resources={"pha_peer_bucket_storage": resources["pha_peer_bucket_storage"]}
    ).success
    assert clients == [s3.connect("eu-west-1", settings.access)]


def test_the_resource_of_gcs_gives_the_client_of_its_access() -> None:
    access = Access(endpoint="http://127.0.0.1:1", attempts=2)
    assert GCSStorageResource.of(access).get_client() is gcs.connect(access)


@pytest.mark.parametrize(
    "resource",
    [
        S3StorageResource(region_name=REGION, aws_secret_access_key="a secret"),
        S3StorageResource(region_name=REGION, use_ssl=False),
        S3StorageResource(),
        GCSStorageResource(project="a-project"),
    ],
    ids=["key", "other setting", "no region", "project"],
)
def test_a_setting_that_would_have_no_effect_is_refused(resource: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resource.get_client()
    assert "secret" not in str(caught.value).replace("aws_secret_access_key", "")


def test_a_window_is_counted_whatever_becomes_of_the_server(in_cloud: Deployment, daemon: Daemon, cloud: Cloud) -> None:
    """At every step writing is refused first, and then the server is gone for a moment."""
    batch = ingest(in_cloud, "kittens-seen", MORNING)
    daemon.tick("pha", "pha_discovery")
    for role, step in STEPS:
        cloud.proxy.set(replace(cloud.forbidden, method=WRITING, times=-1))
        failed = daemon.materialize(role, PARTITION, step)
        assert not failed.success
        assert re.search(REFUSED, text_of(failed)), text_of(failed)
        cloud.proxy.set(Fault("reset", WRITING))
        assert daemon.materialize(role, PARTITION, step).success
        assert cloud.proxy.applied() == 1
    cloud.proxy.set()
    daemon.settle()
    assert statistic(in_cloud, "kittens-seen", FIRST)["sum"] == true_counts(in_cloud, batch)


def test_ticks_say_which_storage_cannot_be_looked_at(in_cloud: Deployment, daemon: Daemon, cloud: Cloud) -> None:
    ingest(in_cloud, "kittens-seen", MORNING)
    cloud.proxy.set(replace(cloud.forbidden, method="GET|HEAD", times=-1))
    for party in daemon.parties:
        for sensor in daemon.sensors(party):
            tick = daemon.tick(party, sensor)
            assert not tick.requests
            assert re.search(REFUSED, f"{tick.skip} {tick.events}")
    cloud.proxy.set()
    daemon.tick("pha", "pha_discovery")
    assert daemon.tick("pha", "pha_runs").requests


def text_of(failed: dg.ExecuteInProcessResult) -> str:
    """What the run's steps say of their failure."""
    events = [event for event in failed.all_events if event.is_step_failure]
    return "\n".join(event.step_failure_data.error_display_string for event in events)
