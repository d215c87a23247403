"""What the scanner of packets must know of a writer's schema: a table of its fields, in the order of their encodings.

Only schemas of primitive types and unions of these have a table; a packet has no other types. How fields are resolved
to ours is as fastavro does it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from prio_assets.errors import MalformedError
from prio_assets.wire.resolution import PRIMITIVES, writer_schema
from prio_assets.wire.scan import FieldTable, Step
from prio_assets.wire.schemas import datum_schema


class Wanted(NamedTuple):
    """The columns that are wanted of a record of ours, beside its UUID."""

    record_name: str
    numbers: tuple[str, ...] = ()
    byte_fields: tuple[str, ...] = ()


_FIXED_BYTES: Final = {"boolean": 1, "float": 4, "double": 8}
_NUMBERS: Final = frozenset({"int", "long"})
_TEXTS: Final = frozenset({"bytes", "string"})

_Branch = tuple[Step, int, bool]


@lru_cache(maxsize=64)
def field_table(schema: bytes, wanted: Wanted) -> FieldTable | None:
    """The table of a container's `avro.schema`, or None if fastavro must read it, or refuse to."""
    try:
        theirs, _ = writer_schema(schema, wanted.record_name)
    except MalformedError:
        return None
    ours = {field["name"]: field["type"] for field in datum_schema(wanted.record_name)["fields"]}
    if not ours.keys() <= {field["name"] for field in theirs["fields"]}:
        return None
    fields: list[tuple[bool, int, int]] = []
    branches: list[_Branch] = []
    for field in theirs["fields"]:
        its_branches = _branches(field["type"], ours.get(field["name"]), field["name"], wanted)
        if its_branches is None:
            return None
        fields.append((isinstance(field["type"], list), len(branches), len(its_branches)))
        branches += its_branches
    return FieldTable(np.array(fields, dtype=np.int64), np.array(branches, dtype=np.int64).reshape(-1, 3))


def _branches(theirs: Any, ours: Any, name: str, wanted: Wanted) -> list[_Branch] | None:
    if isinstance(theirs, list):
        all_simple = all(isinstance(branch, str) and branch in PRIMITIVES | {"null"} for branch in theirs)
        return [_branch(branch, ours, name, wanted) for branch in theirs] if all_simple else None
    if not isinstance(theirs, str) or theirs not in PRIMITIVES:
        return None
    return [_branch(theirs, ours, name, wanted)]


def _branch(theirs: str, ours: Any, name: str, wanted: Wanted) -> _Branch:
    """What to do with a primitive value; `ours` is the type that the field `name` has with us, or None."""
    if ours is None:
        return _skip(theirs, False)
    resolved = _resolve(theirs, ours if isinstance(ours, list) else [ours])
    if resolved is None:
        return Step.REFUSE, 0, False
    # fastavro decodes a text, or encodes it again, where bytes and texts are exchanged.
    only_ascii = theirs in _TEXTS and theirs != resolved
    if name == "uuid":
        return Step.UUID, 0, only_ascii
    if name in wanted.numbers:
        return Step.NUMBER, wanted.numbers.index(name), False
    if name in wanted.byte_fields:
        step = Step.NO_BYTES if theirs == "null" else Step.BYTES
        return step, wanted.byte_fields.index(name), only_ascii
    return _skip(theirs, only_ascii)


def _skip(theirs: str, only_ascii: bool) -> _Branch:
    if theirs in _TEXTS:
        return Step.SKIP_BYTES, 0, only_ascii
    if theirs in _NUMBERS:
        return Step.SKIP_NUMBER, 0, False
    if theirs == "null":
        return Step.NOTHING, 0, False
    return Step.SKIP_FIXED, _FIXED_BYTES[theirs], False


def _resolve(theirs: str, ours: Sequence[str]) -> str | None:
    """The first of our types that a value of theirs can be."""
    for candidate in ours:
        same_kind = {theirs, candidate} == _TEXTS or (theirs, candidate) == ("int", "long")
        if theirs == candidate or same_kind:
            return candidate
    return None
