"""Pieces of a stream, worked at in threads: in order, a bounded number at once, and nothing left behind."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from prio_assets.prio.plain import PlainEngine
from prio_assets.processor import threads
from prio_assets.processor.threads import BYTES_PER_THREAD, MOST_THREADS, PIECES_PER_THREAD, map_in_order, threads_for

PATIENCE = 30
"""Seconds after which a test fails that waits for another thread."""
AHEAD = 2 * PIECES_PER_THREAD
"""How many pieces two threads have before them."""


class Parallel(PlainEngine):
    parallel = True


class Source:
    """The numbers from 0, counted as they are read."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.read = 0
        self._count = count
        self._fails_at = fails_at

    def __iter__(self) -> Iterator[int]:
        for number in range(self._count):
            if number == self._fails_at:
                raise ValueError(f"{number} cannot be read")
            self.read += 1
            yield number


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prio-assets")]


def test_results_come_in_order_though_later_ones_are_there_earlier() -> None:
    later_one_is_done = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert later_one_is_done.wait(PATIENCE)
        else:
            later_one_is_done.set()
        return number * number

    found = list(map_in_order(square, iter(range(20)), lambda piece: 1, threads=2))
    assert found == [(number, number * number) for number in range(20)]


def test_so_many_threads_work_at_once() -> None:
    meeting, lock = threading.Barrier(3), threading.Lock()
    at_work: set[int] = set()
    at_once: list[int] = []

    def meet(number: int) -> None:
        with lock:
            at_work.add(number)
            at_once.append(len(at_work))
        meeting.wait(PATIENCE)
        with lock:
            at_work.remove(number)

    list(map_in_order(meet, iter(range(60)), lambda piece: 1, threads=3))
    assert max(at_once) == 3


@pytest.mark.parametrize(("pieces", "count"), [(5, 1), (1, 2), (0, 2)], ids=["one thread", "one piece", "no piece"])
def test_what_needs_no_threads_runs_in_the_callers(pieces: int, count: int) -> None:
    found = list(map_in_order(lambda number: threading.get_ident(), iter(range(pieces)), lambda piece: 1, count))
    assert found == [(number, threading.get_ident()) for number in range(pieces)]


@pytest.mark.parametrize(
    ("size", "ahead"),
    [(1, AHEAD), (BYTES_PER_THREAD, 2), (2 * BYTES_PER_THREAD + 1, 1)],
    ids=["small", "great", "huge"],
)
def test_a_bounded_number_of_pieces_is_held(size: int, ahead: int) -> None:
    source = Source(50)
    for done, (piece, _) in enumerate(map_in_order(str, iter(source), lambda piece: size, threads=2)):
        assert piece == done
        assert source.read == min(done + ahead + 1, 50)  # the last one waits for its place


@pytest.mark.parametrize("fails_at", [0, 1, 7, 19])
def test_an_error_of_the_work_comes_in_its_place(fails_at: int) -> None:
    source, done = Source(20), []

    def divide(number: int) -> float:
        return 1 / (number - fails_at)

    with pytest.raises(ZeroDivisionError):
        done.extend(piece for piece, _ in map_in_order(divide, iter(source), lambda piece: 1, threads=2))
    assert not workers()
    assert source.read <= fails_at + 1 + AHEAD


@pytest.mark.parametrize("fails_at", [0, 1, 2, 7, 19])
def test_an_error_of_the_stream_ends_the_work(fails_at: int) -> None:
    with pytest.raises(ValueError, match=f"^{fails_at} cannot be read"):
        list(map_in_order(str, iter(Source(20, fails_at)), lambda piece: 1, threads=2))
    assert not workers()


def test_who_stops_early_leaves_nothing_that_runs() -> None:
    started: list[int] = []
    results = map_in_order(started.append, iter(Source(1000)), lambda piece: 1, threads=2)
    assert next(results) == (0, None)
    assert workers()
    results.close()  # type: ignore[attr-defined]
    assert not workers()
    assert len(started) <= 1 + AHEAD


def test_a_loop_that_raises_leaves_nothing_that_runs() -> None:
    with pytest.raises(KeyError):
        for piece, _ in map_in_order(str, iter(Source(1000)), lambda piece: 1, threads=2):
            {}[piece]
    assert not workers()


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_threads_give_way_to_what_else_runs(is_allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    if not is_allowed:
        monkeypatch.setattr(os, "setpriority", refuse)
    before = niceness(0)
    found = list(map_in_order(lambda _: niceness(0), iter(range(9)), lambda piece: 1, threads=2))
    expected = min(before + 5, 19) if is_allowed and sys.platform == "linux" else before
    assert {result for _, result in found} == {expected}
    assert niceness(0) == before


def test_a_thread_for_each_core_where_the_engine_works_in_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for cores, expected in ((1, 1), (2, 2), (MOST_THREADS + 1, MOST_THREADS)):
        monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert threads_for(Parallel()) == expected
        assert threads_for(PlainEngine()) == 1
