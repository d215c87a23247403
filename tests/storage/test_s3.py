"""What is of S3 alone: its errors and their remedies, roles, conditional creation, parts."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prio_assets.errors import AccessDeniedError, StorageError
from prio_assets.storage import s3, s3_upload
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, check_creation, read_bytes
from prio_assets.storage.urls import open_store
from tests.clouds import REGION, Cloud, Clouds, s3_error
from tests.servers.fault_proxy import Fault

ROLE = "arn:aws:iam::123456789012:role/prio-writer"
PART = 5 << 20
"""The least that S3 takes as a part that is not the last one."""

STS_TARGET = r"^/$"


@pytest.fixture
def cloud(clouds: Clouds) -> Cloud:
    return clouds["s3"]


@pytest.fixture
def url(cloud: Cloud) -> str:
    return cloud.create_bucket()


@pytest.fixture
def store(cloud: Cloud, url: str) -> Store:
    """A store behind the proxy."""
    return cloud.open_through_proxy(url, attempts=2)


@pytest.fixture(autouse=True)
def new_clients() -> Iterator[None]:
    """A client that met many failures repeats less; those of one test are not those of the next."""
    s3.connect.cache_clear()
    yield
    s3.connect.cache_clear()


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (404, "NoSuchBucket", "create it, or correct the URL"),
        (403, "InvalidAccessKeyId", "the key that belongs to this endpoint"),
        (403, "SignatureDoesNotMatch", "correct the credentials"),
        (400, "ExpiredToken", "sign in again"),
        (400, "InvalidToken", "the key that belongs"),
        (403, "RequestTimeTooSkewed", "clock is wrong"),
        (503, "SlowDown", "after 2 attempts: .* raise the setting attempts"),
        (500, "InternalError", "failed 2 times: try again"),
        (501, "NotImplemented", "does not know conditional writes"),
        (403, "InvalidObjectState", "have it restored"),
        (400, "KMS.DisabledException", "key of the bucket's encryption"),
        (400, "Unheard", "look the code up"),
    ],
)
def test_a_code_has_its_remedy(cloud: Cloud, store: Store, url: str, status: int, code: str, remedy: str) -> None:
    cloud.proxy.set(replace(s3_error(status, code, "what the server says"), times=-1))
    with pytest.raises(StorageError, match=f"^{url}/a/name: {code}.*{remedy}") as raised:
        store.create("a/name", b"")
    assert not isinstance(raised.value, AccessDeniedError)
    says_more = code not in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")
    assert ("what the server says" in str(raised.value)) is says_more


@pytest.mark.parametrize("where", ["body", "header"])
def test_the_right_region_is_told(cloud: Cloud, store: Store, where: str) -> None:
    answer = s3_error(301, "PermanentRedirect", "Use the right endpoint.")
    if where == "body":
        answer = replace(answer, body=answer.body.replace("<Request", "<Region>eu-west-7</Region><Request", 1))
    else:
        answer = replace(answer, headers={**answer.headers, "x-amz-bucket-region": "eu-west-7"})
    cloud.proxy.set(replace(answer, times=-1))
    with pytest.raises(StorageError, match="another region, eu-west-7: write it into the URL"):
        store.open_read("name")


def test_a_refused_reading_may_be_a_missing_object(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(cloud.forbidden)
    with pytest.raises(AccessDeniedError, match=r"grant us s3:GetObject on it, and s3:ListBucket .* not there"):
        store.open_read("name")


def test_an_answer_of_another_protocol_is_told(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(Fault("answer", status=400, body="<html>Welcome<p>", times=-1))
    with pytest.raises(StorageError, match="check that the endpoint speaks S3"):
        list(store.list(""))


def test_without_credentials_it_says_where_they_go(cloud: Cloud, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for access in ({}, {"assume_role": ROLE}):
        with pytest.raises(StorageError, match="no credentials were found: set the credentials up"):
            cloud.open(url, **access).create("name", b"")


def test_a_program_that_fetches_credentials_is_not_repeated(
    cloud: Cloud, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    file.write_text("[profile odd]\ncredential_process = sh -c 'echo hidden >&2; exit 1'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    with pytest.raises(StorageError, match="could not be fetched") as raised:
        cloud.open(url, profile="odd").create("name", b"")
    assert "hidden" not in str(raised.value)


def test_a_profile_gives_the_credentials(
    cloud: Cloud, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[one]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert cloud.open(url, profile="one").create("name", b"")
    with pytest.raises(StorageError, match="add it, or correct the setting profile"):
        cloud.open(url, profile="two").create("name", b"")


def test_a_role_is_assumed_once_at_the_same_endpoint(cloud: Cloud, url: str) -> None:
    store = cloud.open_through_proxy(url, assume_role=ROLE, external_id="agreed")
    assert store.create("one", b"")
    assert store.create("two", b"")
    assert [(seen.method, seen.target.split("?")[0]) for seen in cloud.proxy.requests()] == [
        ("POST", "/"),
        ("PUT", f"/{url.rpartition('/')[2]}/one"),
        ("PUT", f"/{url.rpartition('/')[2]}/two"),
    ]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("AccessDenied", "its owner must trust .* external id"), ("ExpiredToken", "sign in again")],
)
def test_a_role_that_cannot_be_assumed_is_named(cloud: Cloud, url: str, code: str, remedy: str) -> None:
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>No.</Message></Error></ErrorResponse>"
    cloud.proxy.set(Fault("answer", target=STS_TARGET, status=403, body=body, times=-1))
    store = cloud.open_through_proxy(url, assume_role=ROLE)
    with pytest.raises(StorageError, match=f"the role {ROLE} \\({code}\\): .*{remedy}") as raised:
        store.create("name", b"")
    assert not isinstance(raised.value, AccessDeniedError)


def test_clients_are_shared_by_settings() -> None:
    access = Access(endpoint="http://127.0.0.1:1")
    assert s3.connect(REGION, access) is s3.connect(REGION, Access(endpoint="http://127.0.0.1:1"))
    assert s3.connect(REGION, access) is not s3.connect("eu-west-1", access)


def test_the_settings_reach_the_client() -> None:
    config = s3.connect(REGION, Access(attempts=9, connect_timeout=1.5, read_timeout=2.5)).meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 9}
    assert (config.connect_timeout, config.read_timeout) == (1.5, 2.5)
    assert "prio-assets" in config.user_agent_extra


def test_a_representation_is_the_url() -> None:
    assert repr(open_store("s3://eu-west-1/bucket/one", Access(external_id="agreed", assume_role=ROLE))) == (
        "S3Store(s3://eu-west-1/bucket/one/)"
    )


@pytest.mark.parametrize(("stored", "expected"), [(b"ours", True), (b"others", False), (b"our", False)])
def test_a_creation_that_was_repeated_is_ours_if_the_bytes_are(
    cloud: Cloud, store: Store, url: str, stored: bytes, expected: bool
) -> None:
    cloud.put(url, "name", stored)
    assert store.create("name", b"ours") is False
    cloud.proxy.set(Fault("reset", method="PUT"))
    assert store.create("name", b"ours") is expected


def test_a_creation_that_was_repeated_is_not_ours_where_we_may_not_read(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(Fault("lose", method="PUT"), replace(cloud.forbidden, method="GET"))
    assert store.create("name", b"ours") is False


def test_a_creation_that_met_another_is_tried_again(cloud: Cloud, store: Store, url: str) -> None:
    conflict = s3_error(409, "ConditionalRequestConflict", "Another one is under way.")
    cloud.proxy.set(replace(conflict, times=2))
    assert store.create("name", b"ours")
    cloud.proxy.set(replace(conflict, method="PUT"))
    assert store.create("name", b"ours")
    cloud.proxy.set(replace(conflict, method="PUT"))
    assert store.create("name", b"others") is False
    cloud.proxy.set(replace(conflict, times=-1))
    with pytest.raises(StorageError, match="at the same time, each time"):
        store.create("other", b"")
    assert cloud.proxy.applied() == s3.CREATION_CONFLICTS
    assert cloud.objects(url) == {"name": b"ours"}


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART, 2 * PART + 7])
def test_what_fits_into_a_part_is_one_request(
    cloud: Cloud, store: Store, url: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    data = (b"0123456789abcde" * (size // 15 + 1))[:size]
    with store.write("name") as stream:
        for start in range(0, size, 1_000_003):
            assert stream.write(data[start : start + 1_000_003]) == len(data[start : start + 1_000_003])
    parts = -(-size // PART)
    assert len(cloud.proxy.requests()) == (1 if parts < 2 else parts + 2)
    assert zlib.crc32(cloud.objects(url)["name"]) == zlib.crc32(data)
    assert read_bytes(store, "name") == data


def test_more_parts_than_the_server_takes_are_refused(
    cloud: Cloud, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    monkeypatch.setattr(s3_upload, "MOST_PARTS", 2)
    with pytest.raises(StorageError, match=f"{url}/name has more than {2 * PART} bytes"), store.write("name") as stream:
        stream.write(bytes(3 * PART))
    assert cloud.objects(url) == {}
    assert cloud.unfinished_uploads(url) == []


def test_a_failing_abort_does_not_hide_the_failure(
    cloud: Cloud, store: Store, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    cloud.proxy.set(replace(cloud.forbidden, method="DELETE"))
    with pytest.raises(KeyboardInterrupt), store.write("name") as stream:
        stream.write(bytes(PART + 1))
        raise KeyboardInterrupt
    assert f"{url}/name: an unfinished upload is left" in caplog.text


def test_a_stream_is_closed_after_its_block(store: Store) -> None:
    with store.write("name") as stream:
        stream.write(b"text")
    with pytest.raises(ValueError, match="closed"):
        stream.write(b"more")


def test_keys_that_are_no_names_are_passed_over(cloud: Cloud, url: str) -> None:
    for key in ("a//b", "a/./b", "/a", "a/", "a/b", "x/" * 40 + "y"):
        cloud.put(url, key, b"")
    assert [name for name, _ in cloud.open(url).list("")] == ["a/b"]
    assert list(cloud.open(url).folders("a/")) == []


def test_a_listing_out_of_order_is_refused(cloud: Cloud, store: Store) -> None:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>"
        for key in "acb"
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    cloud.proxy.set(Fault("answer", status=200, body=body))
    with pytest.raises(StorageError, match="not in the order of names"):
        list(store.list(""))


def test_a_server_that_gives_only_whole_objects_is_refused(cloud: Cloud, store: Store, url: str) -> None:
    data = bytes(range(256)) * 1000
    cloud.put(url, "name", data)
    whole = Fault("answer", status=200, body="x" * len(data), skip=1)
    cloud.proxy.set(Fault("truncate", size=100_000), whole)
    with store.open_read("name") as stream, pytest.raises(StorageError, match="does not give parts"):
        stream.read()


def test_a_listing_of_which_nothing_arrives_is_not_empty(cloud: Cloud, store: Store, url: str) -> None:
    cloud.put(url, "name", b"")
    cloud.proxy.set(Fault("truncate", size=0))
    assert list(store.list("")) == [("name", 0)]
    cloud.proxy.set(Fault("truncate", size=0, times=-1))
    with pytest.raises(StorageError, match="failed 2 times"):
        list(store.list(""))


def test_an_upload_survives_answers_of_which_nothing_arrives(
    cloud: Cloud, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    cloud.proxy.set(Fault("truncate", method="POST", target="uploads"))
    with store.write("name") as stream:
        stream.write(bytes(PART + 1))
    assert cloud.objects(url) == {"name": bytes(PART + 1)}


@pytest.mark.parametrize("field", ["crc32", "crc32c", "sha256", "sha1"])
def test_each_checksum_of_a_whole_object_is_verified(cloud: Cloud, store: Store, url: str, field: str) -> None:
    from base64 import b64encode  # noqa: PLC0415
    from hashlib import sha1, sha256  # noqa: PLC0415

    import google_crc32c  # noqa: PLC0415

    digests = {
        "crc32": zlib.crc32(b"text").to_bytes(4, "big"),
        "crc32c": google_crc32c.value(b"text").to_bytes(4, "big"),
        "sha256": sha256(b"text").digest(),
        "sha1": sha1(b"text").digest(),
    }
    value = b64encode(digests[field]).decode()
    answer = Fault("answer", status=200, headers={f"x-amz-checksum-{field}": value}, body="text", times=-1)
    cloud.proxy.set(answer)
    assert read_bytes(store, "name") == b"text"
    cloud.proxy.set(replace(answer, body="texT"))
    with pytest.raises(StorageError, match=re.escape(f"{url}/name") + ".*checksum"):
        read_bytes(store, "name")
    cloud.proxy.set(replace(answer, body="texT", headers={f"x-amz-checksum-{field}": f"{value}-2"}))
    assert read_bytes(store, "name") == b"texT"


def test_a_probe_that_had_to_be_repeated_accuses_nobody(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(Fault("reset", method="PUT", skip=1))
    check_creation(store)
    assert cloud.proxy.applied() == 1
