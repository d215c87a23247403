"""From a storage URL of the configuration to a store."""

import os
from pathlib import Path

from prio_assets.errors import ConfigurationError
from prio_assets.storage.base import Store
from prio_assets.storage.local import LocalStore


def open_store(url: str) -> Store:
    """The store that `url` names: the path of a local directory; nothing is read or connected to yet.

    `ConfigurationError` for an empty text and for anything with a scheme: a mistyped bucket must not become a local
    directory.
    """
    if not url:
        raise ConfigurationError("a storage URL is empty: give the path of a directory")
    scheme, separator, _ = url.partition("://")
    if not separator:
        return LocalStore(Path(url))
    if scheme in ("s3", "gs"):
        raise ConfigurationError(f"{url}: {scheme}:// storages are not supported yet, give the path of a directory")
    raise ConfigurationError(f"{url}: unknown scheme {scheme!r}, give the path of a directory")


def overlap(first: str, second: str) -> bool:
    """Whether one of two storages is the other or lies within it, however they are written, symbolic links included."""
    paths = [os.path.realpath(url) for url in (first, second)]
    return os.path.commonpath(paths) in paths
