"""Where the demo's parties keep their data: in directories, or in buckets of a cloud that is played on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prio_assets.storage.access import Access
from prio_assets.storage.urls import SDK_CLIENTS

REGION = "eu-central-1"
PROJECT = "demo"
BUCKETS = {
    **dict.fromkeys(("pha", "facilitator"), ("ingestion", "own-validations", "peer-validations", "state", "sum-parts")),
    "portal": ("statistics",),
}
"""The buckets of each party."""


class Cloud(StrEnum):
    """A cloud that is played."""

    S3 = "s3"
    GCS = "gcs"


class Choice(StrEnum):
    """What `--storage` may be."""

    DIRECTORY = "directory"
    S3 = "s3"
    GCS = "gcs"
    BOTH = "both"


CLOUDS: Mapping[Choice, Mapping[str, Cloud]] = {
    Choice.DIRECTORY: {},
    Choice.S3: dict.fromkeys(BUCKETS, Cloud.S3),
    Choice.GCS: dict.fromkeys(BUCKETS, Cloud.GCS),
    Choice.BOTH: {"pha": Cloud.S3, "facilitator": Cloud.GCS, "portal": Cloud.GCS},
}
"""In which cloud each party is; one that is in none has directories."""


@dataclass(frozen=True)
class Storages:
    """The clouds that the parties are in, and where the servers are that play them."""

    clouds: Mapping[str, Cloud]
    endpoints: Mapping[Cloud, str]

    def text(self, party: str, bucket: str) -> str:
        """A storage as the configuration file names it."""
        cloud = self.clouds.get(party)
        if cloud is None:
            return f"buckets/{party}/{bucket}"
        place = f"s3://{REGION}" if cloud is Cloud.S3 else "gs:/"
        return f"{{url: {place}/{party}-{bucket}, endpoint: {self.endpoints[cloud]}}}"

    def make(self, directory: Path) -> None:
        """Make all buckets; those that are directories, below `directory`."""
        for party, bucket in ((party, bucket) for party, buckets in BUCKETS.items() for bucket in buckets):
            cloud = self.clouds.get(party)
            if cloud is None:
                (directory / party / bucket).mkdir(parents=True)
            elif cloud is Cloud.S3:
                where = {"LocationConstraint": REGION}
                s3 = SDK_CLIENTS.s3(REGION, Access(endpoint=self.endpoints[cloud]))
                s3.create_bucket(Bucket=f"{party}-{bucket}", CreateBucketConfiguration=where)
            else:
                gcs = SDK_CLIENTS.gcs(Access(endpoint=self.endpoints[cloud]))
                gcs.create_bucket(f"{party}-{bucket}", project=PROJECT)


DIRECTORIES = Storages({}, {})
