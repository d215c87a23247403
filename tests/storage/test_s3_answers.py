"""What a server answers that is none of S3, or that our settings must follow."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prio_assets.errors import ObjectMissingError, StorageError
from prio_assets.storage import s3, s3_upload
from prio_assets.storage.access import Access
from prio_assets.storage.base import Store, read_bytes
from tests.clouds import REGION, Cloud, Clouds, s3_error
from tests.servers.fault_proxy import Fault

PAGE = "<html><head><title>x</title></head><body>welcome</body></html>"
PART = 5 << 20
ROLE = "arn:aws:iam::123456789012:role/prio-writer"


def listing(content: str) -> str:
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{content}</ListBucketResult>"


@pytest.fixture
def cloud(clouds: Clouds) -> Cloud:
    return clouds["s3"]


@pytest.fixture
def url(cloud: Cloud) -> str:
    return cloud.create_bucket()


@pytest.fixture(autouse=True)
def new_clients() -> Iterator[None]:
    s3.connect.cache_clear()
    yield
    s3.connect.cache_clear()


@pytest.fixture
def store(cloud: Cloud, url: str) -> Store:
    return cloud.open_through_proxy(url, attempts=2)


def _read(store: Store) -> None:
    read_bytes(store, "name")


def _list(store: Store) -> None:
    list(store.list(""))


def _create(store: Store) -> None:
    store.create("name", b"")


def _write_parts(store: Store) -> None:
    with store.write("name") as stream:
        stream.write(bytes(PART + 1))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("operation", [_read, _list, _create])
def test_a_redirection_names_the_endpoint(
    cloud: Cloud, store: Store, operation: Callable[[Store], None], status: int
) -> None:
    cloud.proxy.set(Fault("answer", status=status, headers={"Location": "https://store.example/"}, times=-1))
    with pytest.raises(StorageError, match=f": {status} .*sends us elsewhere: write that address as the endpoint"):
        operation(store)
    assert len(cloud.proxy.requests()) <= 2


@pytest.mark.parametrize("body", ["", PAGE, "default backend - 404"])
@pytest.mark.parametrize("operation", [_read, _list, _create])
def test_a_404_of_a_proxy_says_nothing_of_the_object(
    cloud: Cloud, store: Store, operation: Callable[[Store], None], body: str
) -> None:
    cloud.proxy.set(Fault("answer", status=404, body=body, times=-1))
    with pytest.raises(StorageError, match=r": 404.*check the endpoint") as raised:
        operation(store)
    assert not isinstance(raised.value, ObjectMissingError)


def test_only_what_is_read_can_be_missing(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(replace(s3_error(404, "NoSuchKey", "No."), times=-1))
    with pytest.raises(ObjectMissingError):
        _read(store)
    with pytest.raises(StorageError) as raised:
        _create(store)
    assert not isinstance(raised.value, ObjectMissingError)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        (_list, Fault("answer", status=200, body=PAGE)),
        (_list, Fault("answer", status=204)),
        (_list, Fault("answer", status=200, body=listing("").replace("false", "true"))),
        (_list, Fault("answer", status=200, body=listing("<Contents><Key>a</Key></Contents>"))),
        (_list, Fault("answer", status=200, body=listing("<Contents><Size>1</Size></Contents>"))),
        (_list, Fault("answer", status=200, body=listing("<Contents><Key>a</Key><Size>x</Size></Contents>"))),
        (_read, Fault("answer", status=204)),
        (_read, Fault("answer", status=200, headers={"x-amz-checksum-crc32": "!!!"}, body="text")),
        (_read, Fault("answer", status=200, headers={"x-amz-checksum-sha256": "a"}, body="text")),
        (_write_parts, Fault("answer", status=200, body=PAGE)),
    ],
)
def test_an_answer_that_is_none_of_s3_is_told(
    cloud: Cloud,
    url: str,
    store: Store,
    operation: Callable[[Store], None],
    answer: Fault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    cloud.proxy.set(replace(answer, times=-1))
    with pytest.raises(StorageError, match=f"^{url}/.*: the answer is none of S3: check that the endpoint"):
        operation(store)


def test_codes_and_names_stay_on_one_line(cloud: Cloud, store: Store) -> None:
    cloud.proxy.set(s3_error(400, "Bad\nCode", "what"))
    with pytest.raises(StorageError, match=r"Bad\\nCode") as raised:
        store.create("a\nb", b"")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("answer", [s3_error(400, "ExpiredToken", ""), s3_error(403, "InvalidAccessKeyId", "")])
@pytest.mark.parametrize("role", [None, ROLE])
def test_credentials_that_were_renewed_in_their_file_are_taken_up(
    cloud: Cloud, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Fault, role: str | None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    text = "[one]\naws_access_key_id = OLD\naws_secret_access_key = x\n"
    file.write_text(text)
    store = cloud.open_through_proxy(url, profile="one", assume_role=role)
    assert store.create("name", b"")
    file.write_text(text.replace("OLD", "NEW"))
    cloud.proxy.set(answer)
    with pytest.raises(StorageError):
        store.create("other", b"")
    assert store.create("other", b"")
    signed = [seen.headers["authorization"] for seen in cloud.proxy.requests()]
    assert "Credential=NEW/" in (signed[-2] if role else signed[-1])


def test_a_profile_keeps_its_other_settings_when_a_role_is_assumed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    file.write_text(
        "[profile one]\nrequest_checksum_calculation = when_required\nendpoint_url = http://store.example\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    for role in (None, ROLE):
        meta = s3.connect(REGION, Access(profile="one", assume_role=role)).meta
        assert meta.endpoint_url == "http://store.example"
        assert meta.config.request_checksum_calculation == "when_required"


def test_it_is_told_that_the_sdk_has_stopped_repeating(
    cloud: Cloud, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    cloud.proxy.set(replace(cloud.internal_error, times=-1))
    told = []
    for _ in range(40):
        with pytest.raises(StorageError) as raised:
            _create(store)
        told.append(str(raised.value))
    assert "failed 2 times" in told[0]
    assert "stopped repeating requests after many failures: try again later" in told[-1]


@pytest.mark.parametrize("setting", ["when_required", "when_supported"])
def test_an_older_server_is_sent_no_checksums(
    cloud: Cloud, url: str, store: Store, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", setting)
    monkeypatch.setattr(s3_upload, "PART_BYTES", PART)
    _write_parts(store)
    assert store.create("other", b"")
    sent = [any("checksum" in name for name in seen.headers) for seen in cloud.proxy.requests()]
    assert any(sent) is (setting == "when_supported")
    assert cloud.objects(url) == {"name": bytes(PART + 1), "other": b""}


@pytest.mark.parametrize("start", ["a\x01b", "a\ufffeb", "\x01b", "a\udcffb"])
def test_a_range_may_begin_with_what_xml_cannot_hold(cloud: Cloud, store: Store, url: str, start: str) -> None:
    cloud.put(url, "b", b"")
    assert list(store.list("", start)) == [("b", 0)]


@pytest.mark.parametrize("prefix", ["\udcff", "a/\udcff", "a\0"])
def test_a_prefix_of_no_name_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(StorageError, match="no name begins with"):
        list(store.list(prefix))


def _create_great(store: Store) -> None:
    assert store.create("name", bytes(24 << 20))


def _write_great(store: Store) -> None:
    with store.write("name") as stream:
        stream.write(bytes(24 << 20))


@pytest.mark.parametrize("operation", [_create_great, _write_great])
def test_a_slow_server_is_waited_for_as_long_as_it_takes_bytes(
    cloud: Cloud, url: str, operation: Callable[[Store], None]
) -> None:
    """All of them take it longer than the timeout, each piece does not."""
    cloud.proxy.set(Fault("slow_request", method="PUT", size=2 << 20, delay=0.1, times=-1))
    operation(cloud.open_through_proxy(url, connect_timeout=0.4, attempts=1))
    assert cloud.objects(url) == {"name": bytes(24 << 20)}
