"""The clients of the clouds where Dagster runs, and the resources under which a code location offers them.

What belongs to a cloud is imported when a party has a storage in it: it takes seconds.
"""

from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from prio_assets.settings import Section, StorageSettings
from prio_assets.storage.access import Access
from prio_assets.storage.urls import Bucket, Clients

if TYPE_CHECKING:
    from google.cloud.storage import Client
    from types_boto3_s3 import S3Client

    from resources.gcs import GCSStorageResource
    from resources.s3 import S3StorageResource


def s3_resource(region: str, access: Access) -> "S3StorageResource":
    """The resource of dagster-aws that reaches a storage."""
    from resources.s3 import S3StorageResource  # noqa: PLC0415

    return S3StorageResource.of(region, access)


def gcs_resource(access: Access) -> "GCSStorageResource":
    """The resource of dagster-gcp that reaches a storage."""
    from resources.gcs import GCSStorageResource  # noqa: PLC0415

    return GCSStorageResource.of(access)


def _s3_client(region: str, access: Access) -> "S3Client":
    return s3_resource(region, access).get_client()


@cache
def _gcs_client(access: Access) -> "Client":
    return gcs_resource(access).get_client()


DAGSTER_CLIENTS = Clients(_s3_client, _gcs_client)


def storage_resources(party: str, settings: Section) -> dict[str, dg.ConfigurableResource]:
    """A resource for each storage in the party's section that is in a cloud, such as `pha_ingestion_storage`."""
    return {
        f"{party}_{key}_storage": _resource(storage.place, storage.access)
        for key, storage in settings
        if isinstance(storage, StorageSettings) and isinstance(storage.place, Bucket)
    }


def _resource(bucket: Bucket, access: Access) -> dg.ConfigurableResource:
    return gcs_resource(access) if bucket.region is None else s3_resource(bucket.region, access)
