"""A directory as a store: an object is a regular file, the name's components are folders.

Temporary files lie beside their targets, so that whoever may write the object may also write them; they carry a
reserved prefix, are never listed, and cannot be addressed; nor can names of more than 32 components, so that folders
that someone nested without end do no harm. Symbolic links are not listed, which keeps a listing inside the root and
free of loops; nor are files whose names are not UTF-8.
"""

import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from prio_assets.errors import ObjectMissingError, StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

TEMPORARY_PREFIX = ".prio-assets-temporary-"
MAXIMUM_COMPONENTS = 32
"""Most components that a name may have. Those of the objects here have about ten."""


@dataclass(frozen=True)
class LocalStore:
    """The store whose root is the directory `root`, which must exist when an operation runs."""

    root: Path

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        """See `Store.list`; folders wholly outside the prefix or the range are never opened."""
        self._check_root()
        folder = prefix[: prefix.rfind("/") + 1]
        if folder:
            _check_name(folder[:-1])
        yield from _walk(self.root, folder, _Range(prefix, start, end))

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`; a directory counts even when it is empty."""
        self._check_root()
        if prefix:
            if not prefix.endswith("/"):
                raise StorageError(f"the folder {prefix!r} does not end in '/'")
            _check_name(prefix[:-1])
        for entry in _entries(self.root / prefix):
            if entry.endswith("/"):
                yield entry[:-1]

    def open_read(self, name: str) -> BinaryIO:
        """See `Store.open_read`."""
        path = self._path(name)
        try:
            # Non-blocking, lest opening a named pipe waits for its writer for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissingError(f"{path} is missing") from error
        except OSError as error:
            raise _failure(path, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ObjectMissingError(f"{path} is not a regular file")  # so it is no object, and is not listed either
        return io.BufferedReader(_ObjectFile(descriptor, "rb", path))

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """See `Store.write`: temporary file, fsync, rename."""
        path = self._path(name)
        with _temporary_file(self.root, path) as file:
            with io.BufferedWriter(file) as stream:
                yield stream
                stream.flush()
                file.synchronise()
            with _failures(path):
                file.path.replace(path)
                _synchronise_folder(path.parent)

    def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`: temporary file, fsync, link, which fails if the name is taken."""
        path = self._path(name)
        with _temporary_file(self.root, path) as file:
            with io.BufferedWriter(file) as stream:
                stream.write(data)
                stream.flush()
                file.synchronise()
            with _failures(path):
                try:
                    path.hardlink_to(file.path)
                except FileExistsError:
                    return False
                _synchronise_folder(path.parent)
        return True

    def delete(self, name: str) -> None:
        """See `Store.delete`; folders stay."""
        path = self._path(name)
        with _failures(path), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            _synchronise_folder(path.parent)

    def _check_root(self) -> None:
        with _failures(self.root):
            is_there = self.root.is_dir()
        if not is_there:
            raise StorageError(f"the storage {self.root} is not there: create the directory or correct the setting")

    def _path(self, name: str) -> Path:
        self._check_root()
        _check_name(name)
        return self.root / name


class _ObjectFile(io.FileIO):
    """An open file whose failures are storage errors that name it."""

    def __init__(self, descriptor: int, mode: str, path: Path) -> None:
        super().__init__(descriptor, mode)
        self.path = path

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with _failures(self.path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _failures(self.path):
            return super().readall()

    def write(self, data: "ReadableBuffer", /) -> int:
        with _failures(self.path):
            return super().write(data)

    def synchronise(self) -> None:
        """Wait until the bytes are on the disk."""
        with _failures(self.path):
            os.fsync(self.fileno())


@dataclass(frozen=True)
class _Range:
    """The names that begin with `prefix` and lie in [start, end)."""

    prefix: str
    start: str
    end: str | None

    def holds(self, name: str) -> bool:
        return name.startswith(self.prefix) and name >= self.start and not self.ends_before(name)

    def ends_before(self, name: str) -> bool:
        """Whether `name`, and so everything that comes after it or begins with it, is past the range."""
        return self.end is not None and name >= self.end

    def may_hold_below(self, folder: str) -> bool:
        """Whether a name that begins with `folder` can lie in the range."""
        in_prefix = folder.startswith(self.prefix) or self.prefix.startswith(folder)
        return in_prefix and (folder >= self.start or self.start.startswith(folder)) and not self.ends_before(folder)


def _walk(root: Path, folder: str, wanted: _Range) -> Iterator[tuple[str, int]]:
    """The objects in range below `folder` ("" or ending in '/'), in order of whole names."""
    for entry in _entries(root / folder):
        name = folder + entry
        if wanted.ends_before(name):
            return
        if entry.endswith("/"):
            if name.count("/") < MAXIMUM_COMPONENTS and wanted.may_hold_below(name):
                yield from _walk(root, name, wanted)
        elif wanted.holds(name):
            size = _size(root / name)
            if size is not None:
                yield name, size


def _size(path: Path) -> int | None:
    """The file's length in bytes, None if it was deleted meanwhile."""
    with _failures(path):
        try:
            return path.lstat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None


def _entries(directory: Path) -> list[str]:
    """The directories (with a final '/') and regular files in `directory`, sorted as whole names are.

    The '/' makes the order right: `a.b` comes before what is in the directory `a`, `a0` after it. A directory that is
    missing, or was deleted meanwhile, is empty.
    """
    found = []
    with _failures(directory), suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if not _is_component(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name + "/")
            elif entry.is_file(follow_symlinks=False):
                found.append(entry.name)
    return sorted(found)


def _is_component(text: str) -> bool:
    if text in ("", ".", "..") or text.startswith(TEMPORARY_PREFIX) or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:  # the file system's name is not UTF-8
        return False
    return True


def _check_name(name: str) -> None:
    components = name.split("/")
    if len(components) > MAXIMUM_COMPONENTS or not all(map(_is_component, components)):
        raise StorageError(f"{name!r} cannot be an object's name")


@contextmanager
def _temporary_file(root: Path, target: Path) -> Iterator[_ObjectFile]:
    """A new file beside `target`, open for writing; it is gone at the end unless it was renamed."""
    path = target.with_name(TEMPORARY_PREFIX + secrets.token_hex(16))
    with _failures(target):
        _make_folder(root, target.parent)
        # The umask decides the mode, unlike with `tempfile`: the reader may be another user.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with _ObjectFile(descriptor, "wb", path) as file:
            yield file
    finally:
        with _failures(path), suppress(FileNotFoundError):
            path.unlink()


def _make_folder(root: Path, folder: Path) -> None:
    """Create the missing directories down to `folder`, durably."""
    if folder == root or folder.is_dir():
        return
    _make_folder(root, folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    _synchronise_folder(folder.parent)


def _synchronise_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Raise the operating system's errors as storage errors that name `path`."""
    try:
        yield
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot access {path}: {error.strerror or error}")
