"""What can happen to a whole object, whatever is in it."""

from collections.abc import Callable, MutableMapping
from enum import StrEnum

from prio_assets.storage.base import SMALL_OBJECT_BYTES
from prio_assets.wire.containers import SYNC_BYTES


class Damage(StrEnum):
    MISSING = "missing"
    EMPTY = "empty"
    CUT_IN_FRAME = "cut_in_frame"
    CUT_AFTER_FRAME = "cut_after_frame"
    CUT_IN_RECORD = "cut_in_record"
    CUT_AT_LAST_BYTE = "cut_at_last_byte"
    TRAILING = "trailing"
    GARBAGE = "garbage"
    OVERSIZED = "oversized"
    SWAPPED = "swapped"


def damage(objects: MutableMapping[str, bytes], name: str, kind: Damage, other: bytes) -> None:
    """Spoil the object; `other` is one of the same kind that belongs elsewhere."""
    if kind is Damage.MISSING:
        del objects[name]
    else:
        objects[name] = damaged(objects[name], kind, other)


def damaged(data: bytes, kind: Damage, other: bytes) -> bytes:
    """The bytes of a container, spoiled in any way but by not being there."""
    frame = data.index(data[-SYNC_BYTES:]) + SYNC_BYTES
    changes: dict[Damage, Callable[[], bytes]] = {
        Damage.EMPTY: lambda: b"",
        Damage.CUT_IN_FRAME: lambda: data[: frame // 2],
        Damage.CUT_AFTER_FRAME: lambda: data[:frame],
        Damage.CUT_IN_RECORD: lambda: data[: (frame + len(data)) // 2],
        Damage.CUT_AT_LAST_BYTE: lambda: data[:-1],
        Damage.TRAILING: lambda: data + b"\n",
        Damage.GARBAGE: lambda: bytes(range(256)) * 8,
        Damage.OVERSIZED: lambda: data + bytes(SMALL_OBJECT_BYTES),
        Damage.SWAPPED: lambda: other,
    }
    return changes[kind]()
