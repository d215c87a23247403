"""Storage URLs: what becomes a directory, and what must not."""

from pathlib import Path

import pytest

from prio_assets.errors import ConfigurationError
from prio_assets.storage.local import LocalStore
from prio_assets.storage.urls import open_store


@pytest.mark.parametrize("url", ["/absolute/path", "relative/path/", "noscheme"])
def test_a_path_is_a_local_directory(url: str) -> None:
    assert open_store(url) == LocalStore(Path(url))


@pytest.mark.parametrize("url", ["s3://us-west-2/bucket/prefix", "gs://bucket"])
def test_buckets_are_not_supported_yet(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not supported yet"):
        open_store(url)


@pytest.mark.parametrize("url", ["", "http://localhost", "qq://bucket", "S3://bucket", "://x"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_store(url)
