"""Any object of the wire or of our own store as lines for people. Shares and payloads are never shown."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC
from typing import Any, BinaryIO
from uuid import UUID

from prio_assets.cli.logs import one_line
from prio_assets.errors import MalformedError
from prio_assets.wire.containers import read_records, stated_record
from prio_assets.wire.records import (
    BatchList,
    BatchSignature,
    Counted,
    IngestionHeader,
    LedgerEntry,
    ListedBatch,
    Receipt,
    Record,
    Rejection,
    Sent,
    State,
    SumPart,
    Totals,
    ValidityHeader,
    decode,
)
from prio_assets.wire.windows import from_ms

SHOWN = 5
"""Of a list, so many entries are shown."""

INDENT = "  "

TITLES: dict[type[Record], str] = {
    BatchSignature: "signature",
    IngestionHeader: "ingestion batch header",
    ValidityHeader: "validation batch header",
    SumPart: "sum part",
    BatchList: "batch list",
    Totals: "totals of a batch (own store)",
    Rejection: "rejection of a batch (own store)",
    Receipt: "receipt of a validation (own store)",
    State: "identity of a state storage",
    LedgerEntry: "ledger entry",
    Counted: "packets counted by a ledger entry",
    Sent: "receipt of a batch list or sum part",
}

RECORDS = {record_type.schema_name: record_type for record_type in TITLES}

TIMES = frozenset(
    {
        "batch_start_time",
        "batch_end_time",
        "aggregation_start_time",
        "aggregation_end_time",
        "newest_end",
        "not_before",
        "batch_time",
        "at",
        "sent_at",
    }
)


def describe(source: BinaryIO, name: str) -> Iterator[str]:
    """The lines about the object in `source`, which can be sought; the first line says what it is.

    Raises `MalformedError` for bytes that are no object of ours or the wire's.
    """
    if not source.read(1):
        yield "empty object: no packets, or one that was not written to its end"
        return
    source.seek(0)
    record_name = stated_record(source, name)
    source.seek(0)
    if record_name in PACKETS:
        yield from PACKETS[record_name](read_records(record_name, source, name))
    elif record_name in RECORDS:
        record_type = RECORDS[record_name]
        yield TITLES[record_type]
        yield from _record_lines(decode(record_type, source.read(), name), name)
    else:
        raise MalformedError(f"{name}: holds records named {record_name!r}, which nothing here has")


def _record_lines(record: Record, name: str) -> Iterator[str]:
    if isinstance(record, BatchSignature):
        yield from _signature_lines(record, name)
    elif isinstance(record, Counted):
        yield from _field_lines("uuids", _uuids(record.uuids))
    else:
        for field in fields(record):  # type: ignore[arg-type]
            yield from _field_lines(field.name, _shown_value(record, field.name))


def _signature_lines(signature: BatchSignature, name: str) -> Iterator[str]:
    yield from _field_lines("key_identifier", signature.key_identifier)
    yield from _field_lines("batch_header_signature", signature.batch_header_signature)
    for part in ("batch_header", "packets"):
        data = getattr(signature, part)
        if data is None:
            yield f"{part}: not in this object"
        else:
            lines = describe(io.BytesIO(data), f"{name}, its {part}")
            yield f"{part}: {next(lines)}"
            yield from (INDENT + line for line in lines)


def _shown_value(record: Record, field: str) -> Any:
    value = getattr(record, field)
    if not isinstance(record, Totals):
        return value
    if field == "sum":
        return f"{len(record.sum)} values, not shown: they are shares of few people's data"
    if field == "rejected" and value is not None:
        return _uuids(value)
    return value or "not known" if field == "engine" else value


def _uuids(column: bytes) -> list[UUID]:
    """UUIDs of 16 bytes each; what is left over is none."""
    return [UUID(bytes=column[start : start + 16]) for start in range(0, len(column) // 16 * 16, 16)]


def _field_lines(field: str, value: Any) -> Iterator[str]:
    if not isinstance(value, (tuple, list)):
        yield f"{field}: {_text(field, value)}"
        return
    yield f"{field}: {len(value)}"
    for item in value[:SHOWN]:
        yield INDENT + (_listed_batch_text(item) if isinstance(item, ListedBatch) else _text("", item))
    if len(value) > SHOWN:
        yield f"{INDENT}and {len(value) - SHOWN} more"


def _listed_batch_text(batch: ListedBatch) -> str:
    digests = f"{batch.validity_digest_0.hex()} {batch.validity_digest_1.hex()}"
    return f"{batch.batch_uuid} of {_time_text(batch.batch_time)}, digests {digests}, {len(batch.repeated)} repeated"


def _text(field: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field in TIMES:
        return f"{value} ({_time_text(value)})"
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 80 else f"{len(value)} bytes"
    return one_line(str(value))


def _time_text(time_ms: int) -> str:
    try:
        return from_ms(time_ms).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except MalformedError:
        return "beyond the year 9999"


# Packet files


def _ingestion_packet_lines(packets: Iterable[dict[str, Any]]) -> Iterator[str]:
    uuids: list[str] = []
    sizes: Counter[int] = Counter()
    key_ids: Counter[str | None] = Counter()
    points: set[int] = set()
    for packet in packets:
        uuids.append(packet["uuid"])
        sizes[len(packet["encrypted_payload"])] += 1
        key_ids[packet["encryption_key_id"]] += 1
        points.add(packet["r_pit"])
    yield "packets of an ingestion batch"
    yield from _uuid_lines(uuids)
    yield from _counter_lines("encrypted payloads of bytes", sizes)
    yield from _counter_lines("encryption key ids", key_ids)
    if points:
        yield f"r_pit: {len(points)} different, from {min(points)} to {max(points)}"


def _validity_packet_lines(packets: Iterable[dict[str, Any]]) -> Iterator[str]:
    uuids: list[str] = []
    examples: list[str] = []
    for packet in packets:
        uuids.append(packet["uuid"])
        if len(examples) < SHOWN:
            examples.append(f"{one_line(packet['uuid'])}: {packet['f_r']} {packet['g_r']} {packet['h_r']}")
    yield "packets of a validation batch"
    yield from _uuid_lines(uuids)
    yield "f_r, g_r, h_r of the first:"
    yield from (INDENT + example for example in examples)


def _invalid_packet_lines(packets: Iterable[dict[str, Any]]) -> Iterator[str]:
    uuids = [packet["uuid"] for packet in packets]
    yield "packets that are not in a sum"
    yield from _uuid_lines(uuids)


def _uuid_lines(uuids: list[str]) -> Iterator[str]:
    yield from _field_lines("packets", uuids)
    repeated = len(uuids) - len(set(uuids))
    if repeated:
        yield f"repeated uuids: {repeated}"


def _counter_lines(label: str, counts: Counter[Any]) -> Iterator[str]:
    yield f"{label}: {len(counts)} different"
    for value, count in counts.most_common(SHOWN):
        yield f"{INDENT}{_text('', value)} ({count} packets)"


PACKETS: dict[str, Callable[[Iterable[dict[str, Any]]], Iterator[str]]] = {
    "PrioDataSharePacket": _ingestion_packet_lines,
    "PrioValidityPacket": _validity_packet_lines,
    "PrioInvalidPacket": _invalid_packet_lines,
}
