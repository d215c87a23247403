"""Storage URLs: `s3://region/bucket/prefix`, `gs://bucket/prefix`, `file:///path` or the plain path of a directory."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from prio_assets.errors import ConfigurationError, quoted
from prio_assets.storage.access import AMBIENT, Access
from prio_assets.storage.base import Store
from prio_assets.storage.local import LocalStore
from prio_assets.storage.names import is_name

if TYPE_CHECKING:
    from google.cloud.storage import Client
    from types_boto3_s3 import S3Client

MOST_PREFIX_CHARACTERS = 200
"""The names of our objects come behind it, and the clouds take 1024 bytes for both."""

FORMS = "write s3://region/bucket/prefix, gs://bucket/prefix, or the path of a directory"

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:|.*://", re.DOTALL)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
_REGION_OF_ENDPOINT = re.compile(r"[a-z0-9-]+")
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where the SDK looks for another server, which may have regions of its own."""

_S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True)
class Directory:
    """A directory of this machine."""

    path: Path


@dataclass(frozen=True)
class Bucket:
    """A bucket, or the part of it below `prefix` ("" or ending in '/'); `region` is None for Google Cloud Storage."""

    region: str | None
    name: str
    prefix: str
    endpoint: str | None


class Clients(NamedTuple):
    """What makes the clients of the clouds' SDKs: for a region and an access, and for an access."""

    s3: "Callable[[str, Access], S3Client]"
    gcs: "Callable[[Access], Client]"


@contextmanager
def _sdk(package: str) -> Iterator[None]:
    """What is imported inside needs this package, which takes its time, and may not be there."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"this kind of storage needs the package {package}, which cannot be imported ({error}): install it"
        ) from error


def _s3_client(region: str, access: Access) -> "S3Client":
    with _sdk("boto3"):
        from prio_assets.storage.s3_client import connect  # noqa: PLC0415

        return connect(region, access)


def _gcs_client(access: Access) -> "Client":
    with _sdk("google-cloud-storage"):
        from prio_assets.storage.gcs import connect  # noqa: PLC0415

        return connect(access)


SDK_CLIENTS = Clients(_s3_client, _gcs_client)


def open_store(url: str, access: Access = AMBIENT, clients: Clients = SDK_CLIENTS) -> Store:
    """The store that `url` names; nothing is read or connected to yet. Raises `ConfigurationError` as `parse_url`."""
    place = parse_url(url, access)
    if isinstance(place, Directory):
        return LocalStore(place.path)
    if place.region is None:
        with _sdk("google-cloud-storage"):
            from prio_assets.storage.gcs import GcsStore  # noqa: PLC0415

        return GcsStore(place.name, place.prefix, lambda: clients.gcs(access), access)
    with _sdk("boto3"):
        from prio_assets.storage.s3 import S3Store  # noqa: PLC0415

    region = place.region
    return S3Store(region, place.name, place.prefix, lambda: clients.s3(region, access))


def is_path(url: str) -> bool:
    """Whether this is the plain path of a directory, and no URL of whatever scheme."""
    return not _SCHEME.match(url)


def parse_url(url: str, access: Access = AMBIENT) -> Directory | Bucket:
    """What `url` names.

    `ConfigurationError` for an empty text, for another scheme (a mistyped bucket must not become a local directory),
    and for an access that this kind of storage doesn't have.
    """
    if not url:
        raise ConfigurationError(f"a storage URL is empty: {FORMS}")
    if is_path(url):
        _refuse_settings(url, access, _SETTINGS)
        return Directory(Path(url))
    scheme, _, rest = url.partition(":")
    if scheme in ("file", "s3", "gs"):
        _refuse_credentials(scheme, rest)
    if scheme == "file":
        _refuse_settings(url, access, _SETTINGS)
        return Directory(_file_path(url))
    if scheme == "s3" and rest.startswith("//"):
        _refuse_settings(url, access, _GCS_SETTINGS)
        return _s3_bucket(url, rest[2:], access.endpoint)
    if scheme == "gs" and rest.startswith("//"):
        _refuse_settings(url, access, _S3_SETTINGS)
        return _gcs_bucket(url, rest[2:], access.endpoint)
    # Whatever stands behind an unknown scheme may be a secret.
    raise ConfigurationError(
        f"{quoted(scheme)} is not the beginning of a storage URL: {FORMS} (./ before one with a colon)"
    )


def overlap(first: Directory | Bucket, second: Directory | Bucket) -> bool:
    """Whether one of two storages is the other or lies within it, however they are written, symbolic links included."""
    if isinstance(first, Directory) and isinstance(second, Directory):
        paths = [os.path.realpath(place.path) for place in (first, second)]
        return os.path.commonpath(paths) in paths
    if isinstance(first, Directory) or isinstance(second, Directory):
        return False
    same = [(place.region is None, place.name, place.endpoint) for place in (first, second)]
    nested = first.prefix.startswith(second.prefix) or second.prefix.startswith(first.prefix)
    return same[0] == same[1] and nested


_S3_SETTINGS = ("assume_role", "external_id", "profile")
_GCS_SETTINGS = ("impersonate",)
_SETTINGS = tuple(field.name for field in fields(Access))


def _refuse_settings(url: str, access: Access, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(access, name) != getattr(AMBIENT, name)]
    if given:
        raise ConfigurationError(f"{url}: {given[0]} has no meaning for this kind of storage; remove it")
    if access.external_id is not None and access.assume_role is None:
        raise ConfigurationError(f"{url}: external_id is for the role in assume_role; give it, or remove external_id")


def _refuse_credentials(scheme: str, rest: str) -> None:
    """A user's password or a signed address would be shown wherever the URL is; so it is not repeated here."""
    if re.search(r"[?#@]", rest):
        raise ConfigurationError(
            f"a URL that begins with {scheme}: holds ?, # or @; credentials stand in none: {FORMS}"
        )


def _file_path(url: str) -> Path:
    try:
        parts = urlsplit(url)
        is_valid = parts.netloc in ("", "localhost") and parts.path.startswith("/")
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(
            f"{quoted(url)}: not the URL of a directory here; write file:///path, or the path alone"
        )
    return Path(url2pathname(parts.path))


def _s3_bucket(url: str, rest: str, endpoint: str | None) -> Bucket:
    form = "s3://region/bucket/prefix"
    region, _, rest = rest.partition("/")
    name, _, prefix = rest.partition("/")
    is_elsewhere = endpoint or any(map(os.environ.get, _ENDPOINT_VARIABLES))
    pattern = _REGION_OF_ENDPOINT if is_elsewhere else _REGION
    if not pattern.fullmatch(region):
        raise ConfigurationError(f"{quoted(url)}: its first part is no region; write {form}")
    if not _S3_BUCKET.fullmatch(name):
        raise ConfigurationError(f"{quoted(url)}: no bucket's name; write {form}")
    return Bucket(region, name, _normal_prefix(url, prefix, form), endpoint)


def _gcs_bucket(url: str, rest: str, endpoint: str | None) -> Bucket:
    form = "gs://bucket/prefix"
    name, _, prefix = rest.partition("/")
    if not _GCS_BUCKET.fullmatch(name):
        raise ConfigurationError(f"{quoted(url)}: no bucket's name; write {form}")
    return Bucket(None, name, _normal_prefix(url, prefix, form), endpoint)


def _normal_prefix(url: str, prefix: str, form: str) -> str:
    """Without or with a final '/', a prefix is the same folder."""
    folder = prefix.removesuffix("/")
    if not prefix:
        return ""
    if not (is_name(folder) and folder.isprintable() and len(folder) <= MOST_PREFIX_CHARACTERS):
        raise ConfigurationError(
            f"{quoted(url)}: its prefix is too long, or a part of it is empty, . or .. or unprintable; write {form}"
        )
    return f"{folder}/"
