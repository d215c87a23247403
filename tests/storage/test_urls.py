"""Storage URLs: what each names, and what must not become a directory."""

from pathlib import Path

import pytest

from prio_assets.errors import ConfigurationError
from prio_assets.storage.access import Access
from prio_assets.storage.local import LocalStore
from prio_assets.storage.urls import Bucket, Directory, open_store, overlap, parse_url


@pytest.mark.parametrize("url", ["/absolute/path", "relative/path/", "noscheme", "./with:colon"])
def test_a_path_is_a_local_directory(url: str) -> None:
    assert open_store(url) == LocalStore(Path(url))


@pytest.mark.parametrize("url", ["file:///a/b", "file:/a/b", "file://localhost/a/b", "file:///a/%62"])
def test_a_file_url_is_a_local_directory(url: str) -> None:
    assert open_store(url) == LocalStore(Path("/a/b"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://us-west-2/bucket", Bucket("us-west-2", "bucket", "", None)),
        ("s3://us-west-2/bucket/", Bucket("us-west-2", "bucket", "", None)),
        ("s3://us-gov-west-1/bucket/one", Bucket("us-gov-west-1", "bucket", "one/", None)),
        ("s3://us-west-2/bucket/one/two/", Bucket("us-west-2", "bucket", "one/two/", None)),
        ("gs://bucket_of.ours", Bucket(None, "bucket_of.ours", "", None)),
        ("gs://bucket/one/two", Bucket(None, "bucket", "one/two/", None)),
    ],
)
def test_a_bucket_with_its_prefix(url: str, place: Bucket) -> None:
    assert parse_url(url) == place


def test_another_server_may_have_regions_of_its_own() -> None:
    url, access = "s3://auto/bucket", Access(endpoint="https://store.example")
    assert parse_url(url, access) == Bucket("auto", "bucket", "", "https://store.example")
    with pytest.raises(ConfigurationError, match="no region"):
        parse_url(url)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_another_server_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "https://store.example")
    assert parse_url("s3://auto/bucket") == Bucket("auto", "bucket", "", None)


@pytest.mark.parametrize(
    "url",
    [
        *("", "http://localhost", "qq://bucket", "S3://bucket", "://x", "s3:/us-west-2/bucket", "gs:bucket"),
        *("gcs://bucket", "s3://", "s3://us-west-2", "s3://bucket/prefix", "s3://us-west-2/UPPER", "s3://us-west-2/ab"),
        *("gs://", "gs:///prefix", "gs://b", "gs://bucket//x", "gs://bucket/..", "s3://us-west-2/bucket/a//b"),
        *("file:relative", "file://host/path", "file:///a?b", "a:b", "C:\\windows", "file://[::1/x"),
        *(
            "\ns3://us-west-2/bucket",
            "\n://",
            " gs://bucket",
            "gs://bucket/\udcff",
            "gs://bucket/a\0b",
            "gs://bucket/a\nb",
        ),
        *("gs://bucket/" + 201 * "a", "gs://bucket/" + 33 * "/a"),
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("s3://name:secret@us-west-2/bucket", "gs://name:secret@bucket", "https://a:secret@b", "s3://a:x/secret@b/c"),
        *("file://a:secret@host/path", "file:///a?token=secret", "gs://bucket?key=secret", "gs://bucket/a#secret"),
        *("s3://us-west-2/bucket/name:secret@x//y", "s3://us-west-2/bucket/a?X-Amz-Signature=secret"),
    ],
)
def test_a_secret_in_a_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_url(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "access", "setting"),
    [
        ("/path", Access(endpoint="https://store.example"), "endpoint"),
        ("file:///path", Access(impersonate="a@b.example"), "impersonate"),
        ("s3://us-west-2/bucket", Access(impersonate="a@b.example"), "impersonate"),
        ("gs://bucket", Access(assume_role="arn:aws:iam::1:role/reader"), "assume_role"),
        ("gs://bucket", Access(profile="other"), "profile"),
        ("s3://us-west-2/bucket", Access(external_id="1"), "assume_role"),
    ],
)
def test_a_setting_of_another_kind_of_storage_is_refused(url: str, access: Access, setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        parse_url(url, access)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("gs://bucket", "gs://bucket/one", True),
        ("gs://bucket/one", "gs://bucket/one/", True),
        ("gs://bucket/one", "gs://bucket/one-more", False),
        ("gs://bucket", "s3://us-west-2/bucket", False),
        ("s3://us-west-2/bucket/a/b", "s3://us-west-2/bucket/a", True),
        ("s3://us-west-2/bucket/a", "s3://us-west-2/other/a", False),
        ("/bucket", "gs://bucket", False),
        ("/a/b", "/a/b/c/../d", True),
        ("/a/b", "file:///a", True),
        ("/a/b", "/a/bc", False),
    ],
)
def test_storages_within_each_other(first: str, second: str, expected: bool) -> None:
    assert overlap(parse_url(first), parse_url(second)) is expected
    assert overlap(parse_url(second), parse_url(first)) is expected


def test_a_bucket_of_another_server_is_another_one() -> None:
    here, there = (parse_url("s3://auto/bucket", Access(endpoint=f"https://{name}.example")) for name in ("a", "b"))
    assert not overlap(here, there)
    assert overlap(here, here)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert overlap(Directory(tmp_path / "link"), Directory(tmp_path / "real"))
