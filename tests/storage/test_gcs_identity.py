"""As whom a bucket of Google Cloud Storage is reached: workload identity and impersonation, with Google's own URLs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from prio_assets.errors import StorageError
from prio_assets.storage.access import Access
from prio_assets.storage.gcs import client_of
from prio_assets.storage.urls import open_store
from tests.clouds import Clouds
from tests.servers.certificates import write_certificate
from tests.servers.google_server import REFUSED, SUBJECT_TOKEN
from tests.servers.processes import run_server

STS, IAM, STORAGE = (f"{name}.googleapis.com" for name in ("sts", "iamcredentials", "storage"))
ACCOUNT = "processor@project.iam.gserviceaccount.com"


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Google, as a machine outside of it reaches it that has a token of its own."""
    certificate, key = write_certificate(tmp_path, (STS, IAM, STORAGE))
    with run_server("tests.servers.google_server", str(certificate), str(key)) as endpoint:
        monkeypatch.setenv("HTTPS_PROXY", endpoint)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        write_credentials(tmp_path, monkeypatch)
        client_of.cache_clear()
        yield endpoint
        client_of.cache_clear()


def write_credentials(directory: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    (directory / "token").write_text(SUBJECT_TOKEN)
    credentials = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"https://{STS}/v1/token",
        "credential_source": {"file": str(directory / "token")},
    }
    (directory / "credentials.json").write_text(json.dumps(credentials | more))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(directory / "credentials.json"))


def asked(endpoint: str) -> list[list[str]]:
    """What Google was asked, at which of its servers and with which token."""
    with urlopen(f"{endpoint}/-/requests") as response:
        requests: list[list[str]] = json.load(response)
    return requests


def test_a_workload_has_its_token_exchanged(google: str) -> None:
    store = open_store("gs://bucket")
    assert list(store.list("")) == list(store.list("")) == [("name", 4)]
    assert asked(google) == [[STS, ""], [STORAGE, "Bearer federated"], [STORAGE, "Bearer federated"]]


def test_a_credentials_file_may_name_the_account_to_be(
    google: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://{IAM}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    write_credentials(tmp_path, monkeypatch, service_account_impersonation_url=url)
    assert list(open_store("gs://bucket").list("")) == [("name", 4)]
    assert asked(google) == [[STS, ""], [IAM, "Bearer federated"], [STORAGE, f"Bearer token-of-{ACCOUNT}"]]


def test_the_configuration_may_name_the_account_to_be(google: str) -> None:
    assert list(open_store("gs://bucket", Access(impersonate=ACCOUNT)).list("")) == [("name", 4)]
    assert asked(google) == [[STS, ""], [IAM, "Bearer federated"], [STORAGE, f"Bearer token-of-{ACCOUNT}"]]


def test_who_may_not_be_the_account_is_told_the_role_to_grant(google: str) -> None:
    store = open_store("gs://bucket/folder", Access(impersonate=REFUSED))
    with pytest.raises(StorageError, match=f"gs://bucket/folder/.*{REFUSED}.*serviceAccountTokenCreator") as raised:
        list(store.list(""))
    assert "federated" not in str(raised.value)
    assert STORAGE not in [server for server, _ in asked(google)]


def test_a_token_that_is_not_accepted_is_told(google: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another")
    with pytest.raises(StorageError, match="gs://bucket/: the Google credentials gave no token") as raised:
        list(open_store("gs://bucket").list(""))
    assert "another" not in str(raised.value)
    assert [server for server, _ in asked(google)] == [STS]


def test_no_token_is_fetched_for_a_server_without_tls(google: str, clouds: Clouds) -> None:
    cloud = clouds["gcs"]
    assert list(cloud.open(cloud.create_bucket(), impersonate=ACCOUNT).list("")) == []
    assert asked(google) == []
