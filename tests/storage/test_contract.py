"""What every store must do: this suite runs on each kind of store through the fixture `store`."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prio_assets.errors import BatchReason, BatchRejected, ObjectConflictError, ObjectMissingError, StorageError
from prio_assets.storage.base import Store, copy_bytes, exists, read_bytes

UNORDERED = ["a/b", "a.b", "a-b/c", "a/b.c/d", "a/b-c", "a0", "a/b0", "ä/1", "z", "\uffee", "\U0001d4b6/1"]
"""Names whose order differs between a walk of directories and whole names, or between UTF-16 and code points."""

ODD = [
    "a b",
    "a+b",
    "a%2Fb",
    "a%b",
    "a?b=c",
    "a#b",
    "a&b<c>",
    "a\\b",
    "'a\"",
    "a:b",
    "*",
    "~a",
    "\N{SNOWMAN}/e\u0301",
    "...",
    "a/.b",
]
"""Names with characters that mean something in a URL, in XML, in a shell or to a file system."""


def names(store: Store, *arguments: str | None) -> list[str]:
    return [name for name, _ in store.list(*arguments)]


def fill(store: Store, objects: list[str]) -> None:
    for name in objects:
        assert store.create(name, name.encode())


def test_created_object_is_read_listed_and_found(store: Store) -> None:
    assert store.create("a/b/c", b"text")
    assert read_bytes(store, "a/b/c") == b"text"
    assert list(store.list("")) == [("a/b/c", 4)]
    assert exists(store, "a/b/c")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_names(store: Store, name: str) -> None:
    assert store.create(name, b"created")
    assert store.create(name, b"again") is False
    with store.write(name) as stream:
        stream.write(b"text")
    assert read_bytes(store, name) == b"text"
    assert list(store.list(name)) == [(name, 4)]
    store.delete(name)
    assert not exists(store, name)


def test_an_empty_object_is_an_object(store: Store) -> None:
    assert store.create("empty", b"")
    assert read_bytes(store, "empty") == b""
    assert list(store.list("")) == [("empty", 0)]


def test_second_creation_is_refused_and_changes_nothing(store: Store) -> None:
    assert store.create("name", b"first")
    assert store.create("name", b"second") is False
    assert read_bytes(store, "name") == b"first"
    assert list(store.list("")) == [("name", 5)]


def test_write_replaces_and_is_visible_only_at_its_end(store: Store) -> None:
    store.create("a/name", b"first")
    with store.write("a/name") as stream:
        stream.write(b"sec")
        stream.write(b"ond")
        assert read_bytes(store, "a/name") == b"first"
    assert read_bytes(store, "a/name") == b"second"


@pytest.mark.parametrize("before", [None, b"first"])
def test_aborted_write_leaves_nothing(store: Store, before: bytes | None) -> None:
    if before is not None:
        store.create("a/name", before)
    with pytest.raises(KeyError), store.write("a/name") as stream:
        stream.write(b"x" * 100_000)
        raise KeyError
    assert exists(store, "a/name") is (before is not None)
    assert [size for _, size in store.list("")] == ([] if before is None else [len(before)])


def test_a_reader_keeps_what_it_opened(store: Store) -> None:
    store.create("name", b"first" * 100_000)
    with store.open_read("name") as stream:
        head = stream.read(5)
        with store.write("name") as target:
            target.write(b"second")
        assert head + stream.read() == b"first" * 100_000


def test_deleted_object_is_missing_and_may_be_created_again(store: Store) -> None:
    store.create("a/name", b"first")
    store.delete("a/name")
    store.delete("a/name")
    assert not exists(store, "a/name")
    with pytest.raises(ObjectMissingError, match="a/name"):
        store.open_read("a/name")
    assert store.create("a/name", b"second")


@pytest.mark.parametrize("name", ["nothing", "no/thing", "file/below"])
def test_missing_object(store: Store, name: str) -> None:
    store.create("file", b"")
    with pytest.raises(ObjectMissingError, match=name):
        store.open_read(name)
    assert not exists(store, name)


def test_what_exists_is_found_without_a_listing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing costs more the more lies beside the name, which made a window's cost quadratic."""
    store.create("a/name", b"")
    monkeypatch.setattr(type(store), "list", None)
    assert exists(store, "a/name")
    assert not exists(store, "a/other")


def test_exists_asks_for_the_whole_name(store: Store) -> None:
    store.create("a/name.longer", b"")
    assert not exists(store, "a/name")
    assert not exists(store, "a")
    assert not exists(store, "name.longer")


@pytest.mark.parametrize("name", ["", "/", "/a", "a/", "a//b", ".", "a/.", "..", "../a", "a/../b", "a\0b", "a\udcff"])
def test_names_that_no_object_can_have_are_refused(store: Store, name: str) -> None:
    for operation in (store.open_read, store.delete, lambda name: store.create(name, b"")):
        with pytest.raises(StorageError, match="cannot be an object's name"):
            operation(name)
    with pytest.raises(StorageError, match="cannot be an object's name"), store.write(name):
        pass


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//b"])
def test_prefixes_that_leave_the_root_are_refused(store: Store, prefix: str) -> None:
    with pytest.raises(StorageError):
        names(store, prefix)


def test_listing_is_in_the_order_of_whole_names(store: Store) -> None:
    fill(store, UNORDERED)
    assert names(store, "") == sorted(UNORDERED)


def test_a_missing_prefix_lists_as_empty(store: Store) -> None:
    fill(store, UNORDERED)
    assert names(store, "nothing/here/") == []
    assert names(store, "z/") == []
    assert list(store.folders("nothing/")) == []


def test_a_prefix_may_end_within_a_component(store: Store) -> None:
    fill(store, UNORDERED)
    assert names(store, "a/b") == sorted(name for name in UNORDERED if name.startswith("a/b"))


COMPONENT = st.text("ab.-/0", min_size=1, max_size=7)


@pytest.fixture
def unordered_store(store: Store) -> Store:
    fill(store, UNORDERED)
    return store


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=st.just("") | COMPONENT, start=st.just("") | COMPONENT, end=st.none() | COMPONENT)
def test_listing_equals_the_filtered_names(unordered_store: Store, prefix: str, start: str, end: str | None) -> None:
    expected = sorted(n for n in UNORDERED if n.startswith(prefix) and n >= start and (end is None or n < end))
    try:
        assert names(unordered_store, prefix, start, end) == expected
    except StorageError:
        assert not expected


@pytest.mark.parametrize("start", UNORDERED)
def test_a_range_begins_with_its_start_and_ends_before_its_end(unordered_store: Store, start: str) -> None:
    ordered = sorted(UNORDERED)
    place = ordered.index(start)
    assert names(unordered_store, "", start) == ordered[place:]
    assert names(unordered_store, "", "", start) == ordered[:place]
    assert names(unordered_store, "", start + "\t") == ordered[place + 1 :]


def test_folders_are_one_level_in_the_order_of_names(store: Store) -> None:
    fill(store, ["b/1/x", "b.c/2", "b-c/3", "file", "b/0", "b/1/y"])
    assert list(store.folders("")) == ["b-c", "b.c", "b"]
    assert list(store.folders("b/")) == ["1"]
    with pytest.raises(StorageError, match="does not end"):
        list(store.folders("b"))


def test_read_bytes_is_bounded(store: Store) -> None:
    store.create("name", b"12345")
    assert read_bytes(store, "name", limit=5) == b"12345"
    with pytest.raises(BatchRejected, match="name has more than 4 bytes") as caught:
        read_bytes(store, "name", limit=4)
    assert caught.value.reason is BatchReason.OBJECT_TOO_LARGE
    store.create("large", bytes(range(256)) * 1000)
    assert read_bytes(store, "large") == bytes(range(256)) * 1000


def test_reading_takes_no_more_memory_than_there_are_bytes(store: Store) -> None:
    store.create("name", b"1")
    read_bytes(store, "name")  # what a first use takes
    tracemalloc.start()
    read_bytes(store, "name", limit=2**28)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("other", [b"", b"firs", b"first!", b"First"])
def test_copy_succeeds_again_with_the_same_bytes_only(store: Store, other: bytes) -> None:
    copy_bytes(store, "a/name", b"first")
    copy_bytes(store, "a/name", b"first")
    with pytest.raises(ObjectConflictError, match="a/name"):
        copy_bytes(store, "a/name", other)
    assert read_bytes(store, "a/name") == b"first"


def test_copy_says_when_the_present_object_cannot_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_bytes(store, "name", b"first")

    def refuse(self: Store, name: str) -> None:
        raise StorageError("forbidden")

    monkeypatch.setattr(type(store), "open_read", refuse)
    with pytest.raises(StorageError, match="cannot be read back"):
        copy_bytes(store, "name", b"first")
