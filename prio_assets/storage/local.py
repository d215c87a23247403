# ruff: noqa: PTH102, PTH105, PTH108, PTH112, PTH116 (to make Path objects costs more than the system calls do)
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

from prio_assets.errors import ObjectMissingError, StorageError, quoted
from prio_assets.storage.names import MAXIMUM_COMPONENTS, check_name, has_only_components

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

TEMPORARY_PREFIX = ".prio-assets-temporary-"
"""How a component begins that no object may have."""


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
        yield from _walk(str(self.root), folder, _Range(prefix, start, end))

    def folders(self, prefix: str) -> Iterator[str]:
        """See `Store.folders`; a directory counts even when it is empty."""
        self._check_root()
        if prefix:
            if not prefix.endswith("/"):
                raise StorageError(f"the folder {prefix!r} does not end in '/'")
            _check_name(prefix[:-1])
        for entry in _entries(f"{self.root}/{prefix}"):
            if entry.endswith("/"):
                yield entry[:-1]

    def open_read(self, name: str) -> BinaryIO:
        """See `Store.open_read`."""
        path = self._path(name)
        try:
            # Non-blocking, lest opening a named pipe waits for its writer for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            self._check_root()
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
        with self._temporary_file(path) as file:
            with io.BufferedWriter(file) as stream:
                yield stream
                stream.flush()
                file.synchronise()
            with _Failures(path):
                os.replace(file.path, path)
                _synchronise_folder(_folder(path))

    def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`: temporary file, fsync, link, which fails if the name is taken."""
        path = self._path(name)
        with self._temporary_file(path) as file:
            with file:
                file.write_all(data)
                file.synchronise()
            with _Failures(path):
                try:
                    os.link(file.path, path)
                except FileExistsError:
                    return False
                _synchronise_folder(_folder(path))
        return True

    def delete(self, name: str) -> None:
        """See `Store.delete`; folders stay."""
        path = self._path(name)
        with _Failures(path):
            try:
                os.unlink(path)
                _synchronise_folder(_folder(path))
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()

    def _check_root(self) -> None:
        is_there = False
        with _Failures(self.root), suppress(FileNotFoundError, NotADirectoryError):
            is_there = stat.S_ISDIR(os.stat(self.root).st_mode)
        if not is_there:
            raise StorageError(f"the storage {self.root} is not there: create the directory or correct the setting")

    def _path(self, name: str) -> str:
        _check_name(name)
        return f"{self.root}/{name}"

    @contextmanager
    def _temporary_file(self, target: str) -> Iterator["_ObjectFile"]:
        """A new file beside `target`, open for writing; it is gone at the end unless it was renamed."""
        folder = _folder(target)
        path = f"{folder}/{TEMPORARY_PREFIX}{secrets.token_hex(16)}"
        with _Failures(target):
            try:
                descriptor = _open_new(path)
            except FileNotFoundError:
                self._check_root()
                _make_folder(folder)
                descriptor = _open_new(path)
        try:
            with _ObjectFile(descriptor, "wb", path) as file:
                yield file
        finally:
            with _Failures(path), suppress(FileNotFoundError):
                os.unlink(path)


class _ObjectFile(io.FileIO):
    """An open file whose failures are storage errors that name it."""

    def __init__(self, descriptor: int, mode: str, path: str) -> None:
        super().__init__(descriptor, mode)
        self.path = path

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with _Failures(self.path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _Failures(self.path):
            return super().readall()

    def write(self, data: "ReadableBuffer", /) -> int:
        with _Failures(self.path):
            return super().write(data)

    def write_all(self, data: bytes) -> None:
        """Write the bytes, however many the system takes at once."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(rest) :]

    def synchronise(self) -> None:
        """Wait until the bytes are on the disk."""
        with _Failures(self.path):
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


def _walk(root: str, folder: str, wanted: _Range) -> Iterator[tuple[str, int]]:
    """The objects in range below `folder` ("" or ending in '/'), in order of whole names."""
    for entry in _entries(f"{root}/{folder}"):
        name = folder + entry
        if wanted.ends_before(name):
            return
        if entry.endswith("/"):
            if name.count("/") < MAXIMUM_COMPONENTS and wanted.may_hold_below(name):
                yield from _walk(root, name, wanted)
        elif wanted.holds(name):
            size = _size(root, name)
            if size is not None:
                yield name, size


def _size(root: str, name: str) -> int | None:
    """The file's length in bytes, None if it was deleted meanwhile."""
    path = f"{root}/{name}"
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _failure(path, error) from error


def _entries(directory: str) -> list[str]:
    """The directories (with a final '/') and regular files in `directory`, sorted as whole names are.

    The '/' makes the order right: `a.b` comes before what is in the directory `a`, `a0` after it. A directory that is
    missing, or was deleted meanwhile, is empty.
    """
    found = []
    with _Failures(directory), suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if _is_reserved(entry.name) or not has_only_components(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append(entry.name + "/")
            elif entry.is_file(follow_symlinks=False):
                found.append(entry.name)
    return sorted(found)


def _is_reserved(name: str) -> bool:
    return f"/{TEMPORARY_PREFIX}" in f"/{name}"


def _check_name(name: str) -> None:
    check_name(name)
    if _is_reserved(name):
        raise StorageError(f"{quoted(name)} cannot be an object's name")


def _folder(path: str) -> str:
    return path[: path.rindex("/")]


def _open_new(path: str) -> int:
    # The umask decides the mode, unlike with `tempfile`: the reader may be another user.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _make_folder(folder: str) -> None:
    """Create the missing directories down to `folder`, durably."""
    if os.path.isdir(folder):
        return
    _make_folder(_folder(folder))
    with suppress(FileExistsError):
        os.mkdir(folder)
    _synchronise_folder(_folder(folder))


def _synchronise_folder(folder: str) -> None:
    """Wait until the folder's entries are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Failures:
    """Raises the operating system's errors as storage errors that name `path`."""

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise _failure(self._path, error) from error


def _failure(path: Path | str, error: OSError) -> StorageError:
    return StorageError(f"cannot access {path}: {error.strerror or error}")
