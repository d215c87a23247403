"""The records that are stored one to an object: headers, signatures, batch lists, and our own store's.

Field names are those of `avro-schema/`. UUIDs are `uuid.UUID`, times are milliseconds since 1970, digests are SHA-256.
What a decoded record states is not checked here beyond its types: bounds and agreement are the readers' matter.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, partial
from typing import Any, ClassVar, TypeVar, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from prio_assets.errors import MalformedError, RefusedError
from prio_assets.wire.containers import MAXIMUM_BYTES, container, encode_datum, read_only_record
from prio_assets.wire.uuids import parse_uuid

MAXIMUM_SUM = 2**32 - 1
"""Greatest value that a sum's element may have: the reference reads unsigned 32-bit values and reduces them."""

SMALL_RECORD_BYTES = 2**20
SUM_BYTES = 8 * 2**20
"""Enough for a sum over the most bins that a domain has, 2.5 MiB, with 150,000 batches' UUIDs or 100,000 packets'."""
LIST_BYTES = 24 * 2**20
"""Enough for 10,000 batches, 1 MiB, and the UUIDs of 600,000 packets that were counted elsewhere."""
LIST_READS = 1_500_000
"""So many that list takes, two for a UUID. Batches of empty fields take sixty times their bytes: this bounds them."""


@dataclass(frozen=True)
class Parameters:
    """What all batches of one sum must agree about."""

    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None

    def __str__(self) -> str:
        """The parameters in messages."""
        weight = "no hamming weight" if self.hamming_weight is None else f"hamming weight {self.hamming_weight}"
        servers = f"{self.number_of_servers} servers"
        return f"{self.bins} bins, epsilon {self.epsilon}, {weight}, prime {self.prime}, {servers}"


class WithParameters:
    """A record that states the parameters field by field."""

    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None

    @property
    def parameters(self) -> Parameters:
        """The record's parameters, to compare them as a whole."""
        return Parameters(self.bins, self.epsilon, self.prime, self.number_of_servers, self.hamming_weight)


class Record:
    """Base of the records; `schema_name` is the record's name in `avro-schema/`.

    Of an encoded record `maximum_bytes` are read at most, and no greater one is written: a stored object of some
    kilobytes may decompress to many mebibytes. `maximum_reads` bounds what these become as Python objects.
    """

    schema_name: ClassVar[str]
    maximum_bytes: ClassVar[int] = SMALL_RECORD_BYTES
    maximum_reads: ClassVar[int | None] = None


@dataclass(frozen=True)
class BatchSignature(Record):
    """A signature over a header; with both later fields set, the whole batch in a single object."""

    schema_name = "PrioBatchSignature"
    maximum_bytes = MAXIMUM_BYTES  # a whole batch; whoever expects none sets a lower limit

    batch_header_signature: bytes
    key_identifier: str
    batch_header: bytes | None = None
    packets: bytes | None = None


@dataclass(frozen=True)
class IngestionHeader(Record, WithParameters):
    """What an ingestor states about a batch of encrypted shares. Production's times are seconds, not milliseconds."""

    schema_name = "PrioIngestionHeader"

    batch_uuid: UUID
    name: str
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    batch_start_time: int
    batch_end_time: int
    packet_file_digest: bytes


@dataclass(frozen=True)
class ValidityHeader(Record, WithParameters):
    """What a share processor states about its evaluations of a batch's proofs."""

    schema_name = "PrioValidityHeader"

    batch_uuid: UUID
    name: str
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    packet_file_digest: bytes


@dataclass(frozen=True)
class SumPart(Record, WithParameters):
    """One share processor's sum of a window; `sum` holds unsigned 32-bit values, to be reduced modulo the prime."""

    schema_name = "PrioSumPart"
    maximum_bytes = SUM_BYTES

    batch_uuids: tuple[UUID, ...]
    name: str
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    sum: tuple[int, ...] = field(repr=False)
    aggregation_start_time: int
    aggregation_end_time: int
    packet_file_digest: bytes
    total_individual_clients: int


@dataclass(frozen=True)
class ListedBatch(Record):
    """A batch in a batch list, with the digests of both validity packet files and the packets counted elsewhere."""

    schema_name = "PrioListedBatch"

    batch_uuid: UUID
    batch_time: int
    validity_digest_0: bytes
    validity_digest_1: bytes
    repeated: tuple[UUID, ...]


@dataclass(frozen=True)
class BatchList(Record, WithParameters):
    """The first processor's proposal of what a window sums, or the second's answer, which is the set."""

    schema_name = "PrioBatchList"
    maximum_bytes = LIST_BYTES
    maximum_reads = LIST_READS

    instance_name: str
    name: str
    server_index: int
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    aggregation_start_time: int
    aggregation_end_time: int
    minimum_clients: int
    batches: tuple[ListedBatch, ...]


@dataclass(frozen=True)
class Totals(Record, WithParameters):
    """Our summed shares of one batch; `sum` holds unsigned 32-bit values.

    `rejected` has the UUIDs, 16 bytes each, of the packets that intake left out; None where they were not kept.
    """

    schema_name = "Totals"
    maximum_bytes = SUM_BYTES

    batch_uuid: UUID
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    packet_file_digest: bytes
    validity_digest: bytes
    packets: int
    sum: tuple[int, ...] = field(repr=False)
    rejected: bytes | None = None
    engine: str = ""


@dataclass(frozen=True)
class Rejection(Record):
    """A verdict on an ingestion batch, or (`cleared`) the lifting of those before it."""

    schema_name = "Rejection"

    batch_uuid: UUID
    reason: str
    details: str
    packet_file_digest: bytes | None
    by: str
    at: int
    cleared: bool


@dataclass(frozen=True)
class Receipt(Record):
    """The mark that a validation was sent, and intake of its batch is done."""

    schema_name = "Receipt"

    packet_file_digest: bytes
    validity_digest: bytes
    sent_at: int


@dataclass(frozen=True)
class State(Record):
    """Whose state a state storage holds; batches of a path time before `not_before` are never summed."""

    schema_name = "State"

    version: int
    instance_name: str
    server_index: int
    not_before: int


@dataclass(frozen=True)
class LedgerEntry(Record, WithParameters):
    """A decided window: the set of batches that is summed for it, once."""

    schema_name = "LedgerEntry"
    maximum_bytes = MAXIMUM_BYTES  # with a list and its object; nobody else writes to where entries are

    number: int
    aggregation_start_time: int
    aggregation_end_time: int
    newest_end: int
    minimum_clients: int
    bins: int
    epsilon: float
    prime: int
    number_of_servers: int
    hamming_weight: int | None
    batches: tuple[ListedBatch, ...]
    answer: bytes | None
    counted_digest: bytes


@dataclass(frozen=True)
class Counted(Record):
    """The packets that a ledger entry counts: their UUIDs, 16 bytes each, sorted."""

    schema_name = "Counted"
    maximum_bytes = MAXIMUM_BYTES  # 16 bytes a client

    uuids: bytes


@dataclass(frozen=True)
class Sent(Record):
    """The mark that a batch list or a sum part was sent."""

    schema_name = "Sent"

    digest: bytes
    sent_at: int


R = TypeVar("R", bound=Record)


def encode(record: Record) -> bytes:
    """The object that holds one record: an Avro container, the same bytes for the same record.

    Raises RefusedError for a record that would be too large to be read.
    """
    datum = encode_datum(record.schema_name, _to_avro(record))
    if len(datum) > record.maximum_bytes:
        size, limit = len(datum), record.maximum_bytes
        raise RefusedError(f"a {record.schema_name} record of {size} bytes is not written: {limit} are read at most")
    return container(record.schema_name, [(1, datum)], sync_seed=datum)


def decode(record_type: type[R], data: bytes, name: str, maximum_bytes: int | None = None) -> R:
    """The one record, of at most its type's `maximum_bytes` or these, that the object `name` holds in `data`.

    Raises MalformedError for anything but a container of exactly one such record, for a batch's UUID that is none, and
    for a sum with a value that is no unsigned 32-bit integer.
    """
    limit = record_type.maximum_bytes if maximum_bytes is None else maximum_bytes
    values = read_only_record(record_type.schema_name, data, name, limit, record_type.maximum_reads)
    if values is None:
        raise MalformedError(f"{name}: holds no {record_type.schema_name} record")
    try:
        record: R = _from_avro(cast(Hashable, record_type))(values)
    except MalformedError as error:
        raise MalformedError(f"{name}: {error}") from None
    if isinstance(record, SumPart | Totals):
        _check_sum(record.sum, name)
    return record


def _check_sum(values: tuple[int, ...], name: str) -> None:
    if values and not 0 <= min(values) <= max(values) <= MAXIMUM_SUM:
        raise MalformedError(f"{name}: its sum has a value that is not an unsigned 32-bit integer")


_AS_IT_IS = (int, float, str, bytes, type(None))


def _to_avro(value: Any) -> Any:
    if isinstance(value, _AS_IT_IS):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, tuple):
        is_sum = bool(value) and isinstance(value[0], int)
        return list(value) if is_sum else [_to_avro(item) for item in value]
    return {name: _to_avro(getattr(value, name)) for name in _field_names(cast(Hashable, type(value)))}


@cache
def _field_names(record_type: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record_type))


@cache
def _from_avro(hint: Any) -> Callable[[Any], Any]:
    """What turns a value as fastavro gives it into the type that a field, or a whole record, has."""
    if hint is UUID:
        return parse_uuid
    if get_origin(hint) is tuple:
        item_type = get_args(hint)[0]
        return tuple if item_type is int else partial(_tuple_from_avro, _from_avro(item_type))
    if is_dataclass(hint):
        types = get_type_hints(hint)
        return partial(_record_from_avro, hint, {field.name: _from_avro(types[field.name]) for field in fields(hint)})
    return lambda value: value


def _tuple_from_avro(convert: Callable[[Any], Any], items: list[Any]) -> tuple[Any, ...]:
    return tuple(convert(item) for item in items)


def _record_from_avro(record_type: Any, converters: dict[str, Callable[[Any], Any]], values: dict[str, Any]) -> Any:
    return record_type(**{name: convert(values[name]) for name, convert in converters.items()})
