"""What a local directory has beyond the contract: modes, odd entries, faults of the file system."""

import os
import resource
import threading
from pathlib import Path

import pytest

from prio_assets.errors import ObjectMissingError, StorageError
from prio_assets.storage import local
from prio_assets.storage.base import read_bytes
from prio_assets.storage.local import LocalStore
from prio_assets.storage.names import MAXIMUM_COMPONENTS


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o007])
def test_modes_follow_the_umask(store: LocalStore, umask: int) -> None:
    before = os.umask(umask)
    try:
        store.create("a/created", b"")
        with store.write("a/written"):
            pass
    finally:
        os.umask(before)
    assert (store.root / "a/created").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (store.root / "a/written").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (store.root / "a").stat().st_mode & 0o777 == 0o777 & ~umask


def test_nothing_temporary_remains(store: LocalStore) -> None:
    store.create("a/b", b"1")
    store.create("a/b", b"2")
    with store.write("a/c"):
        pass
    with pytest.raises(ValueError, match="stop"), store.write("a/d"):
        raise ValueError("stop")
    assert files(store.root) == {"a/b", "a/c"}


def test_temporary_files_are_neither_listed_nor_addressed(store: LocalStore) -> None:
    with store.write("a/b") as stream:
        stream.write(b"x")
        (temporary,) = files(store.root)
        assert list(store.list("")) == []
        with pytest.raises(StorageError):
            store.open_read(temporary)


class Recorder:
    """What is done to the disk, in order: (operation, file or folder). A temporary file is called that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, str]] = []
        self._fsync, self._link, self._rename = os.fsync, os.link, os.rename
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "link", self.link)
        monkeypatch.setattr(os, "replace", self.replace)

    def fsync(self, descriptor: int) -> None:
        self._record("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
        self._fsync(descriptor)

    def link(self, source: str, target: str) -> None:
        self._record("link", target)
        self._link(source, target)

    def replace(self, source: str, target: str) -> None:
        self._record("rename", target)
        self._rename(source, target)

    def _record(self, operation: str, path: str | os.PathLike[str]) -> None:
        name = Path(path).name
        self.done.append((operation, "temporary" if name.startswith(local.TEMPORARY_PREFIX) else name))


@pytest.mark.parametrize("operation", ["link", "rename"])
def test_an_object_and_its_new_folders_are_on_the_disk_when_it_is_written(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes before the name, and the folders that the names stand in, from the root down."""
    root = tmp_path / "root"
    root.mkdir()
    recorder = Recorder(monkeypatch)
    store = LocalStore(root)
    if operation == "link":
        assert store.create("a/b/name", b"x")
    else:
        with store.write("a/b/name") as stream:
            stream.write(b"x")
    folders = [("fsync", "root"), ("fsync", "a")]
    assert recorder.done == [*folders, ("fsync", "temporary"), (operation, "name"), ("fsync", "b")]


def test_a_deletion_is_on_the_disk(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("a/name", b"")
    recorder = Recorder(monkeypatch)
    store.delete("a/name")
    assert recorder.done == [("fsync", "a")]


def test_two_writers_create_one_object(store: LocalStore) -> None:
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def race(data: bytes) -> None:
        barrier.wait()
        if store.create("deep/down/name", data):
            won.append(data)

    threads = [threading.Thread(target=race, args=(b"%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_bytes(store, "deep/down/name")] == won


def test_a_missing_root_fails_every_operation(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "missing")
    for operation in (
        lambda: list(store.list("")),
        lambda: list(store.folders("")),
        lambda: store.open_read("a"),
        lambda: store.create("a", b""),
        lambda: store.delete("a"),
        lambda: store.write("a").__enter__(),
    ):
        with pytest.raises(StorageError, match="missing is not there: create the directory"):
            operation()
    assert not store.root.exists()


def test_a_root_whose_name_is_too_long_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        list(LocalStore(tmp_path / ("a" * 5000)).list(""))


def test_a_directory_in_place_of_an_object(store: LocalStore) -> None:
    (store.root / "a/b").mkdir(parents=True)
    with pytest.raises(ObjectMissingError, match="a/b is not a regular file"):
        store.open_read("a/b")
    with pytest.raises(StorageError, match="a/b"):
        store.delete("a/b")
    with pytest.raises(StorageError, match="a/b"), store.write("a/b"):
        pass
    assert store.create("a/b", b"") is False
    assert files(store.root) == set()


def test_a_file_in_place_of_a_folder(store: LocalStore) -> None:
    store.create("a", b"")
    with pytest.raises(StorageError, match="a/b"):
        store.create("a/b", b"")
    with pytest.raises(StorageError, match="a/b"), store.write("a/b"):
        pass
    store.delete("a/b")
    assert list(store.list("a/")) == []


def test_a_name_that_is_too_long(store: LocalStore) -> None:
    with pytest.raises(StorageError, match="too long"):
        store.create("a" * 300, b"")
    with pytest.raises(StorageError, match="too long"):
        store.open_read("a" * 300)


def test_odd_entries_never_abort_a_listing(store: LocalStore) -> None:
    store.create("a/b", b"1")
    (store.root / "a/loop").symlink_to("loop")
    (store.root / "a/up").symlink_to("..")
    (store.root / "a/dangling").symlink_to("nowhere")
    os.mkfifo(store.root / "a/pipe")
    (store.root / os.fsdecode(b"a/\xff")).write_bytes(b"")
    (store.root / os.fsdecode(b"\xfe")).mkdir()
    assert list(store.list("")) == [("a/b", 1)]
    assert list(store.folders("")) == ["a"]


def test_folders_nested_deeper_than_any_name_are_left_alone(store: LocalStore) -> None:
    """A thousand of them would exhaust a listing that descends."""
    deepest = "/".join("d" * MAXIMUM_COMPONENTS)
    assert store.create(deepest, b"")
    with pytest.raises(StorageError, match="cannot be an object's name"):
        store.create(f"{deepest}/e", b"")
    deeper = store.root / "/".join("e" * MAXIMUM_COMPONENTS)
    deeper.mkdir(parents=True)
    (deeper / "file").touch()
    assert list(store.list("")) == [(deepest, 0)]


def test_a_named_pipe_is_refused_at_once(store: LocalStore) -> None:
    os.mkfifo(store.root / "pipe")
    with pytest.raises(StorageError, match="pipe is not a regular file"):
        store.open_read("pipe")


def test_what_is_deleted_during_a_listing_is_left_out(store: LocalStore) -> None:
    for name in ("a/1", "a/2", "b/1", "c/1"):
        store.create(name, b"")
    listing = store.list("")
    assert next(listing) == ("a/1", 0)
    store.delete("a/2")
    store.delete("b/1")
    (store.root / "b").rmdir()
    assert list(listing) == [("c/1", 0)]


def test_folders_outside_the_range_are_never_opened(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 10):
        for hour in range(3):
            store.create(f"agg/2020/0{day}/{hour}/x", b"")
    opened: list[str] = []
    entries = local._entries

    def record(directory: str) -> list[str]:
        opened.append(str(Path(directory).relative_to(store.root)))
        return entries(directory)

    monkeypatch.setattr(local, "_entries", record)
    found = [name for name, _ in store.list("agg/", "agg/2020/03/2/", "agg/2020/05/1/")]
    assert found == [f"agg/2020/{hour}/x" for hour in ("03/2", "04/0", "04/1", "04/2", "05/0")]
    assert opened == ["agg", "agg/2020", *(f"agg/2020/{at}" for at in
                      ("03", "03/2", "04", "04/0", "04/1", "04/2", "05", "05/0"))]  # fmt: skip


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(store: LocalStore) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StorageError, match="cannot access"), store.write("a") as stream:
            stream.write(b"x" * 2000)
            stream.flush()
        with pytest.raises(StorageError, match="cannot access"):
            store.create("b", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(store.root) == set()


def test_the_callers_own_errors_pass_unchanged(store: LocalStore) -> None:
    with pytest.raises(ConnectionError), store.write("a"):
        raise ConnectionError


def test_a_folder_that_may_not_be_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("a/b", b"")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        list(store.list("a/"))
