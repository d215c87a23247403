"""A store in memory, whose content can be taken and given back, and whose writes can be made to end after so many."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from prio_assets.errors import ObjectMissingError


class Crash(BaseException):
    """The process ends here: nothing may catch it."""


class MemoryStore:
    """Objects by name, under the contract of `storage.base.Store`.

    `writes_left` is how many more writes succeed before the process crashes; None is no limit.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.writes_left: int | None = None

    def list(self, prefix: str, start: str = "", end: str | None = None) -> Iterator[tuple[str, int]]:
        for name in sorted(self.objects):
            if name.startswith(prefix) and name >= start and (end is None or name < end):
                yield name, len(self.objects[name])

    def folders(self, prefix: str) -> Iterator[str]:
        below = (name.removeprefix(prefix) for name in sorted(self.objects) if name.startswith(prefix))
        yield from dict.fromkeys(name.split("/")[0] for name in below if "/" in name)

    def open_read(self, name: str) -> BinaryIO:
        if name not in self.objects:
            raise ObjectMissingError(f"{self.name}/{name} is missing")
        return io.BytesIO(self.objects[name])

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        stream = io.BytesIO()
        yield stream
        self._count_write()
        self.objects[name] = stream.getvalue()

    def create(self, name: str, data: bytes) -> bool:
        self._count_write()
        if name in self.objects:
            return False
        self.objects[name] = data
        return True

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)

    def _count_write(self) -> None:
        if self.writes_left == 0:
            raise Crash
        if self.writes_left is not None:
            self.writes_left -= 1
