"""Runs of a processor that can be cut before any write, and interleaved with others at every look at the state."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import BinaryIO

from prio_assets.configuration import ProcessorStores
from prio_assets.errors import PrioAssetsError
from prio_assets.processor.processor import ShareProcessor
from prio_assets.storage.base import Store

Pause = Callable[[], None]


class Cut(BaseException):
    """The process dies here: nothing may catch it."""


class PausingStore:
    """A store that calls `before_write` before each write and `before_read` before each read."""

    def __init__(self, store: Store, before_write: Pause, before_read: Pause) -> None:
        self.store = store
        self.before_write = before_write
        self.before_read = before_read

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        self.before_read()
        return self.store.list(prefix, start, end)

    def folders(self, prefix: str) -> Iterator[str]:
        return self.store.folders(prefix)

    def open_read(self, name: str) -> BinaryIO:
        self.before_read()
        return self.store.open_read(name)

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        self.before_write()
        return self.store.write(name)

    def create(self, name: str, data: bytes) -> bool:
        self.before_write()
        return self.store.create(name, data)

    def delete(self, name: str) -> None:
        self.before_write()
        self.store.delete(name)


def with_pauses(processor: ShareProcessor, before_write: Pause, before_read: Pause) -> ShareProcessor:
    """The processor over the same stores, pausing before writes to any and reads of the state."""
    nothing = lambda: None  # noqa: E731 (one use)
    stores = {
        name: PausingStore(store, before_write, before_read if name == "state" else nothing)
        for name, store in processor.stores._asdict().items()
    }
    return replace(processor, stores=ProcessorStores(**stores))


def run_until_cut(processor: ShareProcessor, work: Callable[[ShareProcessor], object], writes: int | None) -> None:
    """Do the work with at most so many writes (None: all of it)."""
    left = -1 if writes is None else writes

    def before_write() -> None:
        nonlocal left
        if left == 0:
            raise Cut
        left -= 1

    try:
        work(with_pauses(processor, before_write, lambda: None))
    except Cut:
        return


class Run:
    """Work in a thread of its own that stands still before every write and every look at the state.

    Only one thread runs at a time: whoever calls `advance` waits until the run stands still again or has ended.
    """

    def __init__(self, processor: ShareProcessor, work: Callable[[ShareProcessor], object]) -> None:
        self.ended = False
        self.error: PrioAssetsError | None = None
        self._fault: BaseException | None = None
        self._cut = False
        self._may_go = threading.Semaphore(0)
        self._stands_still = threading.Semaphore(0)
        paused = with_pauses(processor, self._pause, self._pause)
        self._thread = threading.Thread(target=self._do, args=(paused, work), daemon=True)
        self._thread.start()

    def advance(self, steps: int = 1) -> None:
        """Let the run take so many steps."""
        for _ in range(steps):
            if self.ended:
                return
            self._may_go.release()
            self._stands_still.acquire()
        if self._fault is not None:
            raise self._fault

    def finish(self) -> None:
        """Let the run come to its end."""
        while not self.ended:
            self.advance()

    def cut(self) -> None:
        """The process dies where it stands."""
        self._cut = True
        self.advance()

    def _pause(self) -> None:
        self._stands_still.release()
        self._may_go.acquire()
        if self._cut:
            raise Cut

    def _do(self, processor: ShareProcessor, work: Callable[[ShareProcessor], object]) -> None:
        self._may_go.acquire()
        try:
            if not self._cut:
                work(processor)
        except Cut:
            pass
        except PrioAssetsError as error:
            self.error = error
        except BaseException as fault:
            self._fault = fault
        self.ended = True
        self._stands_still.release()
