"""The names of all objects, ours and the wire's, and back: no other module knows how a name is made.

An index is the role of an object's *writer*: 0 for the PHA, 1 for the facilitator. Readers are strict, so that an
object has one name and a stray object (`….batch.tmp`) none: fixed digits, dates that exist, lower-case hyphenated
UUIDs; what they do not know they answer with None, never with an error. Neither instance nor aggregation names are ever
split: both may hold hyphens, dots, capitals and anything else that a path component may.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple
from uuid import UUID

from prio_assets.errors import MalformedError
from prio_assets.wire.windows import ORIGIN, Window, format_minute, parse_minute

Part = Literal["header", "packets", "signature"]
"""Which of a batch's three objects a name means."""

BATCH_LISTS = "batch-lists/"

VALIDATIONS = "prio-assets/validations/"
TOTALS = "prio-assets/totals/"
REJECTIONS = "prio-assets/rejections/"
RECEIPTS = "prio-assets/receipts/"

STATE = "state"

_RESERVED_AGGREGATIONS = {"", ".", "..", "task-markers", "batch-lists", "prio-assets"}
_RESERVED_INSTANCES = {"", ".", "..", "state", "ledger", "counted", "sent", "batch-lists"}

_MINUTE_LENGTH = len("YYYY/MM/DD/HH/MM")
_BASE_LENGTH = len("/") + _MINUTE_LENGTH + len("/") + 36
"""Of a batch's base after its aggregation, which is of any length."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WINDOW = re.compile(r"([0-9]{12})-([0-9]{12})\.(.*)", re.DOTALL)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")
_TRIO_MEMBER = re.compile(r"(.*\.(?:batch|validity_[01]))(?:\.avro|\.sig)?", re.DOTALL)
_SUM_MEMBER = re.compile(r"(.*)\.(?:sum_([01])(?:\.sig)?|invalid_uuid_([01])\.avro)", re.DOTALL)
_REJECTION_NUMBER = re.compile(r"\.(0|[1-9][0-9]{0,8})")
_LEDGER_NUMBER = re.compile(r"[0-9]{10}")


@dataclass(frozen=True, order=True)
class BatchName:
    """An ingestion batch's identity: its aggregation, the minute (UTC) of its path, its UUID."""

    aggregation: str
    time: datetime
    uuid: UUID

    @cached_property
    def base(self) -> str:
        """What the names of the batch's objects, and of its validations, begin with."""
        return f"{self.aggregation}/{format_minute(self.time)}/{self.uuid}"


class Objects(NamedTuple):
    """The names of a batch's three objects."""

    header: str
    packets: str
    signature: str


class NameRange(NamedTuple):
    """The names that begin with `prefix` and lie in [start, end): the arguments of a store's `list`."""

    prefix: str
    start: str
    end: str


def is_aggregation(name: str) -> bool:
    """Whether an aggregation may bear this name: one path component, none of the reserved ones."""
    return _is_component(name) and name not in _RESERVED_AGGREGATIONS


def is_instance(name: str) -> bool:
    """Whether an instance may bear this name: one path component, none that the state storage uses itself."""
    return _is_component(name) and name not in _RESERVED_INSTANCES


# The wire's objects


def ingestion_objects(batch: BatchName) -> Objects:
    """The three objects that the ingestor writes."""
    return Objects(f"{batch.base}.batch", f"{batch.base}.batch.avro", f"{batch.base}.batch.sig")


def validity_objects(batch: BatchName, index: int) -> Objects:
    """The three objects of the validation by the processor `index`; in single-object form only the signature."""
    stem = f"{batch.base}.validity_{index}"
    return Objects(stem, f"{stem}.avro", f"{stem}.sig")


def sum_part_objects(instance: str, aggregation: str, window: Window, index: int) -> Objects:
    """The three objects of the sum part of the processor `index`; its packets are the invalid ones."""
    stem = f"{instance}/{aggregation}/{_format_window(window)}"
    return Objects(f"{stem}.sum_{index}", f"{stem}.invalid_uuid_{index}.avro", f"{stem}.sum_{index}.sig")


def objects_beside(name: str) -> Objects | None:
    """The three objects of the batch or sum part that one of them belongs to, found by how its name ends alone.

    For files that were moved out of their storage; None for names that end otherwise.
    """
    if match := _TRIO_MEMBER.fullmatch(name):
        stem = match[1]
        return Objects(stem, f"{stem}.avro", f"{stem}.sig")
    if match := _SUM_MEMBER.fullmatch(name):
        stem, index = match[1], match[2] or match[3]
        return Objects(f"{stem}.sum_{index}", f"{stem}.invalid_uuid_{index}.avro", f"{stem}.sum_{index}.sig")
    return None


def batch_list(aggregation: str, window: Window, index: int) -> str:
    """The proposal (index 0) or the answer (index 1) of a window."""
    return f"{BATCH_LISTS}{aggregation}/{_format_window(window)}.batches_{index}"


def parse_ingestion_object(name: str) -> tuple[BatchName, Part] | None:
    """The batch of which `name` is an ingestion object, and which of the three."""
    return _parse_batch_object(name, {".batch": "header", ".batch.avro": "packets", ".batch.sig": "signature"})


def parse_validity_object(name: str, index: int) -> tuple[BatchName, Part] | None:
    """The batch of which `name` is an object of the validation by the processor `index`, and which of the three."""
    stem = f".validity_{index}"
    return _parse_batch_object(name, {stem: "header", f"{stem}.avro": "packets", f"{stem}.sig": "signature"})


def parse_sum_part_object(name: str, index: int) -> tuple[str, str, Window, Part] | None:
    """Instance, aggregation, window and part of a sum part object of the processor `index`."""
    match name.split("/"):
        case [instance, aggregation, file] if is_instance(instance) and is_aggregation(aggregation):
            found = _parse_window(file)
        case _:
            return None
    parts: dict[str, Part] = {
        f"sum_{index}": "header",
        f"invalid_uuid_{index}.avro": "packets",
        f"sum_{index}.sig": "signature",
    }
    if found is None or found[1] not in parts:
        return None
    return instance, aggregation, found[0], parts[found[1]]


def parse_batch_list(name: str, index: int) -> tuple[str, Window] | None:
    """Aggregation and window of the batch list of the processor `index`."""
    aggregation, _, file = name.removeprefix(BATCH_LISTS).partition("/")
    if not name.startswith(BATCH_LISTS) or not is_aggregation(aggregation):
        return None
    found = _parse_window(file)
    return (aggregation, found[0]) if found is not None and found[1] == f"batches_{index}" else None


# The portal's statistics


class StatisticObjects(NamedTuple):
    """The names of a window's statistic; the JSON object is written last."""

    csv: str
    json: str


def statistic_objects(instance: str, aggregation: str, window: Window) -> StatisticObjects:
    """The statistic of a window in both of its forms."""
    stem = f"{instance}/{aggregation}/{_format_window(window)}"
    return StatisticObjects(f"{stem}.csv", f"{stem}.json")


def parse_statistic_object(name: str) -> tuple[str, str, Window] | None:
    """Instance, aggregation and window of a statistic's JSON object."""
    match name.split("/"):
        case [instance, aggregation, file] if is_instance(instance) and is_aggregation(aggregation):
            found = _parse_window(file)
            return (instance, aggregation, found[0]) if found is not None and found[1] == "json" else None
    return None


# Our own store, beside the validations


def own_validation(batch: BatchName) -> str:
    """Our validation of the batch as it was computed first, in single-object form."""
    return VALIDATIONS + batch.base


def totals(batch: BatchName) -> str:
    """The sum of our shares of the batch's accepted packets."""
    return TOTALS + batch.base


def rejections(batch: BatchName) -> str:
    """What the names of the batch's rejection records begin with."""
    return f"{REJECTIONS}{batch.base}."


def rejection(batch: BatchName, number: int) -> str:
    """One rejection record; the one of the greatest number counts, and names do not sort by number."""
    return f"{rejections(batch)}{number}"


def receipt(batch: BatchName) -> str:
    """The mark that the peer has our validation of the batch."""
    return RECEIPTS + batch.base


def parse_own_object(folder: str, name: str) -> BatchName | None:
    """The batch that `name` belongs to in the `folder` VALIDATIONS, TOTALS or RECEIPTS."""
    found = _parse_batch(name.removeprefix(folder)) if name.startswith(folder) else None
    return found[0] if found is not None and found[1] == "" else None


def parse_rejection(name: str) -> tuple[BatchName, int] | None:
    """The batch and the number of a rejection record."""
    found = _parse_batch(name.removeprefix(REJECTIONS)) if name.startswith(REJECTIONS) else None
    number = _REJECTION_NUMBER.fullmatch(found[1]) if found is not None else None
    return (found[0], int(number[1])) if found is not None and number is not None else None


# The state storage


def ledger(aggregation: str) -> str:
    """What the names of the aggregation's ledger entries begin with; they sort by number."""
    return f"ledger/{aggregation}/"


def ledger_entry(aggregation: str, number: int) -> str:
    """The ledger entry `number`, from 1."""
    return f"{ledger(aggregation)}{number:010}"


def parse_ledger_entry(name: str) -> tuple[str, int] | None:
    """Aggregation and number of a ledger entry."""
    match name.split("/"):
        case ["ledger", aggregation, number] if is_aggregation(aggregation) and _LEDGER_NUMBER.fullmatch(number):
            return aggregation, int(number)
    return None


def counted(aggregation: str, digest: bytes) -> str:
    """The UUIDs of the packets that a ledger entry counts, named by the SHA-256 of the object."""
    return f"counted/{aggregation}/{digest.hex()}"


def sent(object_name: str) -> str:
    """The receipt of a list or a sum part."""
    return f"sent/{object_name}"


# Ranges of names, so that listing costs no more than what is wanted


def time_range(aggregation: str, begin: datetime, end: datetime, folder: str = "") -> NameRange:
    """The objects of the batches whose time is in [begin, end).

    `folder` is "" in the buckets of ingestion batches and validations, or VALIDATIONS, TOTALS, REJECTIONS, RECEIPTS.
    """
    prefix = f"{folder}{aggregation}/"
    return NameRange(
        prefix, f"{prefix}{format_minute(_next_minute(begin))}/", f"{prefix}{format_minute(_next_minute(end))}/"
    )


def batch_list_range(aggregation: str, begin: datetime, end: datetime) -> NameRange:
    """The batch lists of the windows that start in [begin, end)."""
    return _window_range(f"{BATCH_LISTS}{aggregation}/", begin, end)


def sum_part_range(instance: str, aggregation: str, begin: datetime, end: datetime) -> NameRange:
    """The sum part objects of the windows that start in [begin, end)."""
    return _window_range(f"{instance}/{aggregation}/", begin, end)


def _window_range(prefix: str, begin: datetime, end: datetime) -> NameRange:
    return NameRange(prefix, prefix + _compact(_next_minute(begin)), prefix + _compact(_next_minute(end)))


def _next_minute(time: datetime) -> datetime:
    """The first whole minute that is not before `time`."""
    return time + (ORIGIN - time) % timedelta(minutes=1)


# How names are read


def _is_component(name: str) -> bool:
    return "/" not in name and "\0" not in name


def _parse_batch_object(name: str, parts: Mapping[str, Part]) -> tuple[BatchName, Part] | None:
    found = _parse_batch(name)
    return (found[0], parts[found[1]]) if found is not None and found[1] in parts else None


def _parse_batch(name: str) -> tuple[BatchName, str] | None:
    """The batch whose base `name` begins with, and what follows the base."""
    end = name.find("/") + _BASE_LENGTH
    batch = _batch_of_base(name[:end])
    return None if batch is None else (batch, name[end:])


@lru_cache(maxsize=2**16)
def _batch_of_base(base: str) -> BatchName | None:
    """The batch of this base. Sensors parse the same names at every tick, and a batch has six objects and more."""
    aggregation, _, rest = base.partition("/")
    minute, separator, uuid = (
        rest[:_MINUTE_LENGTH],
        rest[_MINUTE_LENGTH : _MINUTE_LENGTH + 1],
        rest[_MINUTE_LENGTH + 1 :],
    )
    if not is_aggregation(aggregation) or separator != "/" or not _UUID.fullmatch(uuid):
        return None
    try:
        return BatchName(aggregation, parse_minute(minute), UUID(uuid))
    except MalformedError:
        return None


def _parse_window(file: str) -> tuple[Window, str] | None:
    """The window whose times `file` begins with, and what follows the dot after them."""
    match = _WINDOW.fullmatch(file)
    if match is None:
        return None
    try:
        window = Window(_parse_compact(match[1]), _parse_compact(match[2]))
    except MalformedError:
        return None
    return (window, match[3]) if window.start < window.end else None


def _parse_compact(text: str) -> datetime:
    """The minute that twelve digits name."""
    return parse_minute(_COMPACT.sub(r"\1/\2/\3/\4/\5", text))


def _compact(time: datetime) -> str:
    """`YYYYMMDDHHMM`; seconds are cut off."""
    return format_minute(time).replace("/", "")


def _format_window(window: Window) -> str:
    return f"{_compact(window.start)}-{_compact(window.end)}"
