"""Objects of a bucket as files here, for a command that looks at files."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from prio_assets.errors import ObjectMissingError
from prio_assets.storage.base import Store
from prio_assets.storage.urls import open_store
from prio_assets.wire.names import objects_beside


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """The object at a URL as a file, beside those of the others of its batch that there are.

    All of it is gone afterwards. Raises `StorageError`, and `ConfigurationError` for what is no URL of an object.
    """
    folder, _, name = url.rpartition("/")
    store = open_store(folder)
    with TemporaryDirectory() as directory:
        path = Path(directory, name)
        _fetch(store, path)
        for other in objects_beside(name) or ():
            if other != name:
                with suppress(ObjectMissingError):
                    _fetch(store, path.with_name(other))
        yield path


def _fetch(store: Store, path: Path) -> None:
    with store.open_read(path.name) as source, path.open("wb") as target:
        copyfileobj(source, target)
