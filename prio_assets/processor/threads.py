"""Work on the pieces of a stream in threads, while the caller's thread goes on reading it.

How many threads: one for each core that the process may use, as far as one reader keeps them busy; none where the work
would hold the interpreter lock. A run works at one batch at a time, so this is how it uses a machine's cores. Where
several processes run at once, the operating system shares the cores between them.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import Final, TypeVar

from prio_assets.prio.engine import Engine

Piece = TypeVar("Piece")
Result = TypeVar("Result")

MOST_THREADS: Final = 16
"""More than reading and hashing a packet file keeps busy."""
PIECES_PER_THREAD: Final = 2
BYTES_PER_THREAD: Final = 8 * 2**20
"""So many pieces, and so many bytes of them, are read ahead of the result that is next; or one piece."""

_NICENESS: Final = 5
"""What is added to that of a thread: beside others it gets a third of their time, and gives way when they wake up."""


def threads_for(engine: Engine) -> int:
    """How many threads verify with this engine; 1 is the caller's alone."""
    if not engine.parallel:
        return 1
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def map_in_order(
    function: Callable[[Piece], Result], pieces: Iterator[Piece], size_of: Callable[[Piece], int], threads: int
) -> Iterator[tuple[Piece, Result]]:
    """Each piece and what `function` makes of it, in the order of the pieces, with so many threads at work.

    Of the pieces, whose bytes `size_of` tells, a bounded number is held. One thread, or a single piece, runs in the
    caller's thread. An error of `function` or of `pieces` ends the iteration; when it has ended, or the iterator is
    closed, no thread is left.
    """
    if threads == 1:
        yield from ((piece, function(piece)) for piece in pieces)
        return
    first_two = list(islice(pieces, 2))
    if len(first_two) < 2:
        yield from ((piece, function(piece)) for piece in first_two)
        return
    pool = ThreadPoolExecutor(threads, "prio-assets", _give_way)
    try:
        yield from _in_pool(pool, function, chain(first_two, pieces), size_of, threads)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_pool(
    pool: ThreadPoolExecutor,
    function: Callable[[Piece], Result],
    pieces: Iterator[Piece],
    size_of: Callable[[Piece], int],
    threads: int,
) -> Iterator[tuple[Piece, Result]]:
    ahead: deque[tuple[Piece, Future[Result]]] = deque()
    bytes_ahead = 0
    for piece in pieces:
        bytes_ahead += size_of(piece)
        while ahead and (len(ahead) == threads * PIECES_PER_THREAD or bytes_ahead > threads * BYTES_PER_THREAD):
            done, result = ahead.popleft()
            bytes_ahead -= size_of(done)
            yield done, result.result()
        ahead.append((piece, pool.submit(function, piece)))
    while ahead:
        done, result = ahead.popleft()
        yield done, result.result()


def _give_way() -> None:
    """Lower the priority of the thread, so that what else runs keeps its heartbeat. On Linux a thread has its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
