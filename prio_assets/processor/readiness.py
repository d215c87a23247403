"""Which batches are ready: both validations are here and hold, with the packets that both find valid."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prio_assets.errors import BatchReason, BatchRejected, ObjectMissingError
from prio_assets.processor.aggregation import Joined, join
from prio_assets.processor.own_store import is_rejected
from prio_assets.storage.base import Store, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import Validation, read_validation
from prio_assets.wire.columns import Uuids
from prio_assets.wire.keys import VerificationKeys
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import ListedBatch, Parameters, Rejection
from prio_assets.wire.windows import from_ms, to_ms, window_of

if TYPE_CHECKING:
    from prio_assets.processor.processor import ShareProcessor  # which reads the configuration, as commands need not

PATH_STEP = timedelta(minutes=1)
"""The times in paths are whole minutes."""


@dataclass(frozen=True)
class ReadyBatch:
    """A batch with both validations: their packet digests by writer's index, what they say together, parameters."""

    batch: BatchName
    digests: tuple[bytes, bytes]
    joined: Joined
    parameters: Parameters

    @property
    def valid(self) -> Uuids:
        """The UUIDs valid at both, uint8 of shape [n, 16]."""
        return self.joined.valid

    def listed(self, repeated: Iterable[UUID] = ()) -> ListedBatch:
        """The batch as an entry of a batch list."""
        return ListedBatch(self.batch.uuid, to_ms(self.batch.time), *self.digests, repeated=tuple(sorted(repeated)))

    def is_listed_as(self, listed: ListedBatch) -> bool:
        """Whether the entry names this batch and these validations."""
        return (listed.batch_uuid, listed.batch_time, listed.validity_digest_0, listed.validity_digest_1) == (
            self.batch.uuid,
            to_ms(self.batch.time),
            *self.digests,
        )


def listed_name(aggregation: str, listed: ListedBatch) -> BatchName:
    """The name of the batch that a list entry is about."""
    return BatchName(aggregation, from_ms(listed.batch_time), listed.batch_uuid)


def read_own_validation(processor: "ShareProcessor", batch: BatchName) -> Validation:
    """Our stored validation; `BatchRejected` where there is none or it is damaged."""
    own = processor.own.validation(batch)
    if own is None:
        raise BatchRejected(
            BatchReason.OBJECT_MISSING, f"{names.own_validation(batch)} is missing: the batch was not taken in here"
        )
    return own


def read_peer_validation(processor: "ShareProcessor", batch: BatchName) -> Validation:
    """The peer's validation in our bucket, wholly verified; `BatchRejected` otherwise."""
    settings = processor.settings
    return read_validation_in(processor.stores.peer_validations, batch, settings.peer_index, settings.peer_keys)


def read_validation_in(bucket: Store, batch: BatchName, writer_index: int, keys: VerificationKeys) -> Validation:
    """The validation that the peer of this index wrote into `bucket`; `BatchRejected` where it is not there or bad."""
    try:
        return read_validation(lambda name: read_bytes(bucket, name), batch, writer_index, keys)
    except ObjectMissingError as error:
        raise BatchRejected(BatchReason.OBJECT_MISSING, f"the peer's validation is not here: {error}") from error


def read_ready(processor: "ShareProcessor", batch: BatchName, decided: Parameters | None = None) -> ReadyBatch:
    """The batch, if its validations are here, hold and agree; `BatchRejected` says what it waits for or why not.

    Their parameters are the decided ones, or else the configuration's, if it has any.
    """
    own = read_own_validation(processor, batch)
    peer = read_peer_validation(processor, batch)
    expected = decided or processor.settings.expected_parameters(batch.aggregation) or own.header.parameters
    for who, validation in (("our", own), ("the peer's", peer)):
        if validation.header.parameters != expected:
            raise BatchRejected(
                BatchReason.PARAMETERS_DIFFER,
                f"{who} validation of {batch.base} has {validation.header.parameters}, not {expected}",
            )
    digests = own.header.packet_file_digest, peer.header.packet_file_digest  # which were checked when they were read
    by_index = digests if processor.settings.server_index == 0 else digests[::-1]
    return ReadyBatch(batch, by_index, join(own.packets, peer.packets), expected)


@dataclass(frozen=True)
class Listed:
    """What listings say of batches: the ingestion objects that are there, and the last record of each that has one."""

    ingested: AbstractSet[str]
    records: Mapping[BatchName, Rejection]


def list_around(processor: "ShareProcessor", batches: Iterable[BatchName]) -> Listed:
    """Two listings for the batches of a window, whatever their number: in a cloud each object asked for is a request.

    Late batches are listed by their own windows, so that a few of them don't cost the days in between.
    """
    ingested: set[str] = set()
    records: dict[BatchName, Rejection] = {}
    by_window = defaultdict(list)
    for batch in batches:
        by_window[batch.aggregation, window_of(batch.time, processor.settings.period)].append(batch.time)
    for (aggregation, _), times in by_window.items():
        times_of_batches = aggregation, min(times), max(times) + PATH_STEP
        listed = processor.stores.ingestion.list(*names.time_range(*times_of_batches))
        ingested.update(name for name, _ in listed)
        records.update(processor.own.last_rejections(*names.time_range(*times_of_batches, names.REJECTIONS)))
    return Listed(ingested, records)


def check_eligible(processor: "ShareProcessor", batch: BatchName, listed: Listed) -> None:
    """Beyond its validations: nobody left the batch out, ours was sent, the ingestion batch is still there."""
    rejection = listed.records.get(batch)
    if is_rejected(rejection):
        raise BatchRejected(BatchReason.LEFT_OUT, f"{batch.base} was left out: {rejection.reason}: {rejection.details}")
    if processor.own.receipt(batch) is None:
        raise BatchRejected(BatchReason.OBJECT_MISSING, f"our validation of {batch.base} has not been sent yet")
    check_still_ingested(processor, batch, listed)


def check_still_ingested(_: "ShareProcessor", batch: BatchName, listed: Listed) -> None:
    """The ingestion batch is there: without it there will be no sum."""
    for name in names.ingestion_objects(batch):
        if name not in listed.ingested:
            raise BatchRejected(BatchReason.OBJECT_MISSING, f"{name} is no longer in the ingestion bucket")
