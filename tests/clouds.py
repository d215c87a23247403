"""The clouds of the tests: emulators in processes of their own, and a look at what they hold past the package."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from prio_assets.storage.access import Access
from prio_assets.storage.base import Store
from prio_assets.storage.urls import open_store
from tests.servers.fault_proxy import Fault
from tests.servers.processes import FaultProxy, run_fault_proxy

REGION = "us-west-2"
KINDS = ("s3", "gcs")


@dataclass(frozen=True)
class Cloud(ABC):
    """An emulator, and a proxy before it that can be told to fail."""

    endpoint: str
    proxy: FaultProxy

    kind: ClassVar[str]
    slow_down: ClassVar[Fault]
    """What the cloud answers when there are too many requests,"""
    internal_error: ClassVar[Fault]
    """when it fails,"""
    expired: ClassVar[Fault]
    """when a session's credentials have expired,"""
    forbidden: ClassVar[Fault]
    """and when they don't suffice."""

    @abstractmethod
    def create_bucket(self) -> str:
        """Make a bucket of a new name; its URL."""

    @abstractmethod
    def objects(self, url: str) -> dict[str, bytes]:
        """All that a bucket has, by its keys."""

    @abstractmethod
    def put(self, url: str, key: str, data: bytes) -> None:
        """Write an object."""

    @abstractmethod
    def unfinished_uploads(self, url: str) -> list[str]:
        """The keys of uploads that were neither completed nor aborted, as far as the emulator tells."""

    def open(self, url: str, **access: Any) -> Store:
        """The store at a URL, reached straight."""
        return open_store(url, Access(endpoint=self.endpoint, **access))

    def open_through_proxy(self, url: str, **access: Any) -> Store:
        """The store at a URL, reached through the proxy."""
        return open_store(url, Access(endpoint=self.proxy.endpoint, **access))


def s3_error(status: int, code: str, message: str) -> Fault:
    """An error as S3 tells it."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>R</RequestId><HostId>H</HostId></Error>"
    )
    return Fault("answer", status=status, headers={"Content-Type": "application/xml"}, body=body)


def gcs_error(status: int, reason: str, message: str) -> Fault:
    """An error as the JSON API of Google Cloud Storage tells it."""
    details = {"message": message, "domain": "global", "reason": reason}
    body = json.dumps({"error": {"code": status, "message": message, "errors": [details]}})
    return Fault("answer", status=status, headers={"Content-Type": "application/json; charset=UTF-8"}, body=body)


@dataclass(frozen=True)
class S3Cloud(Cloud):
    """moto's server."""

    kind = "s3"
    slow_down = s3_error(503, "SlowDown", "Please reduce your request rate.")
    internal_error = s3_error(500, "InternalError", "We encountered an internal error. Please try again.")
    expired = s3_error(400, "ExpiredToken", "The provided token has expired.")
    forbidden = s3_error(403, "AccessDenied", "Access Denied")

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 (most tests need no cloud)

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client("s3", region_name=REGION, endpoint_url=self.endpoint, **keys)

    def create_bucket(self) -> str:
        name = f"bucket-{uuid4().hex}"
        self._client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return f"s3://{REGION}/{name}"

    def objects(self, url: str) -> dict[str, bytes]:
        bucket = _bucket(url)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {key: self._client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def put(self, url: str, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=_bucket(url), Key=key, Body=data)

    def unfinished_uploads(self, url: str) -> list[str]:
        uploads = self._client.list_multipart_uploads(Bucket=_bucket(url)).get("Uploads", [])
        return [upload["Key"] for upload in uploads]


@dataclass(frozen=True)
class GcsCloud(Cloud):
    """fake-gcs-server."""

    kind = "gcs"
    slow_down = gcs_error(429, "rateLimitExceeded", "The project exceeded the rate limit.")
    internal_error = gcs_error(503, "backendError", "We encountered an internal error. Please try again.")
    expired = gcs_error(401, "authError", "Invalid Credentials")
    forbidden = gcs_error(403, "forbidden", "somebody@example.com does not have storage.objects access.")

    def create_bucket(self) -> str:
        name = f"bucket-{uuid4().hex}"
        self._request("/storage/v1/b?project=test", json.dumps({"name": name}).encode(), "application/json")
        return f"gs://{name}"

    def objects(self, url: str) -> dict[str, bytes]:
        bucket, token, keys = _bucket(url), "", []
        while token is not None:
            page = json.loads(self._request(f"/storage/v1/b/{bucket}/o?{urlencode({'pageToken': token})}"))
            keys += [each["name"] for each in page.get("items", [])]
            token = page.get("nextPageToken")
        return {key: self._request(f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media") for key in keys}

    def put(self, url: str, key: str, data: bytes) -> None:
        query = urlencode({"uploadType": "media", "name": key})
        self._request(f"/upload/storage/v1/b/{_bucket(url)}/o?{query}", data, "application/octet-stream")

    def unfinished_uploads(self, url: str) -> list[str]:
        return []

    def _request(self, target: str, data: bytes | None = None, content_type: str = "") -> bytes:
        headers = {"Content-Type": content_type} if data is not None else {}
        with urlopen(Request(self.endpoint + target, data, headers)) as response:
            return response.read()


def _bucket(url: str) -> str:
    """The bucket's name in a URL without a prefix."""
    return url.rpartition("/")[2]


@contextmanager
def run_cloud(kind: str, directory: Path) -> Iterator[Cloud]:
    """Run the emulator of a cloud with a proxy before it."""
    from prio_assets.demo.emulators import run_gcs, run_s3  # noqa: PLC0415

    cloud, emulating = (S3Cloud, run_s3(directory)) if kind == "s3" else (GcsCloud, run_gcs(None))
    with emulating as emulator, run_fault_proxy(emulator.endpoint) as proxy:
        yield cloud(emulator.endpoint, proxy)


def forget_own_credentials(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    """The environment of someone who has the emulators' credentials and no others."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(empty / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@dataclass
class Clouds:
    """The clouds of a session, each started at first use."""

    directory: Path
    stack: ExitStack
    running: dict[str, Cloud] = field(default_factory=dict)

    def __getitem__(self, kind: str) -> Cloud:
        """The cloud of this kind, without faults."""
        if kind not in self.running:
            self.running[kind] = self.stack.enter_context(run_cloud(kind, self.directory / kind))
        self.running[kind].proxy.set()
        return self.running[kind]
