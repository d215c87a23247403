"""Validating a group of ingestion batches: take each in, keep it, send it, or record why not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from uuid import UUID

import numpy as np

from prio_assets.errors import BatchReason, BatchRejected, OperationalError, PacketReason, UndecryptableBatchError
from prio_assets.processor import peer_without_lists
from prio_assets.processor.ingestion import open_ingestion_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.processor.own_store import accepts_undecryptable, is_rejected
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.readiness import read_own_validation, read_ready
from prio_assets.processor.sending import may_be_lost_at_peer, steps_to_send
from prio_assets.processor.steps import take_all
from prio_assets.wire.batches import Validation
from prio_assets.wire.columns import NO_UUIDS, Uuids
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window, window_of


class BatchState(StrEnum):
    """What became of a batch in a run."""

    SENT = "sent"
    WAITS_FOR_PEER = "waits for the peer's validation"
    KEPT_BACK = "kept back: the peer may have summed the window"
    REJECTED = "rejected"
    UNDECRYPTABLE = "undecryptable"
    FAILED = "failed"


@dataclass(frozen=True)
class BatchOutcome:
    """One batch of a run: its state, why, and its packets by reason where it was computed now."""

    batch: BatchName
    state: BatchState
    why: str = ""
    received: int = 0
    accepted: int = 0
    rejected: Counter[PacketReason] = field(default_factory=Counter)
    seconds: float = 0.0


def validate_batches(processor: ShareProcessor, batches: Sequence[BatchName]) -> Iterator[BatchOutcome]:
    """Bring each batch as far as it can come now, in the order of their names.

    A rejection is recorded and costs that batch; an operational failure is an outcome too, so that the others go on.
    Damage in our own store is the latter: it is not the ingestion batch's fault.
    """
    neighbours: dict[tuple[str, Window], _Neighbours] = {}
    for batch in sorted(batches):
        began = monotonic()
        window = window_of(batch.time, processor.settings.period)
        try:
            if (batch.aggregation, window) not in neighbours:
                neighbours[batch.aggregation, window] = _find_neighbours(processor, batch.aggregation, window)
            yield _validate(processor, batch, neighbours[batch.aggregation, window], began)
        except BatchRejected as rejected:
            state = BatchState.FAILED
            if rejected.reason != BatchReason.OWN_RECORD_DAMAGED:
                state = BatchState.REJECTED
                processor.own.reject(batch, rejected, processor.settings.name, processor.clock())
            yield BatchOutcome(batch, state, str(rejected), seconds=monotonic() - began)
        except UndecryptableBatchError as error:
            yield BatchOutcome(batch, BatchState.UNDECRYPTABLE, str(error), seconds=monotonic() - began)
        except OperationalError as error:
            yield BatchOutcome(batch, BatchState.FAILED, str(error), seconds=monotonic() - began)


@dataclass
class _Neighbours:
    """The batches with a stored validation as far off as late batches are summed, and, toward a peer without lists, the
    packets of those in the window: that peer would count them a second time."""

    by_uuid: dict[UUID, BatchName]
    packets: Uuids = field(default_factory=NO_UUIDS.copy)

    def add(self, batch: BatchName, packets: Uuids) -> None:
        self.by_uuid[batch.uuid] = batch
        self.packets = np.concatenate([self.packets, packets])


def _find_neighbours(processor: ShareProcessor, aggregation: str, window: Window) -> _Neighbours:
    settings = processor.settings
    begin, end = window.start - settings.late_limit, window.end + settings.late_limit
    batches = list(processor.own.validated(aggregation, begin, end))
    neighbours = _Neighbours({batch.uuid: batch for batch in reversed(batches)})
    if not settings.peer_has_lists:
        inside = [batch for batch in batches if window.start <= batch.time < window.end]
        columns = [read_own_validation(processor, batch).packets.uuids for batch in inside]
        neighbours.packets = np.concatenate([NO_UUIDS, *columns])
    return neighbours


def _validate(processor: ShareProcessor, batch: BatchName, neighbours: _Neighbours, began: float) -> BatchOutcome:
    last = processor.own.last_rejection(batch)
    if last is not None and is_rejected(last):
        return BatchOutcome(batch, BatchState.REJECTED, f"{last.reason}: {last.details}")
    own, intake, packet_file_digest = processor.own.validation(batch), None, None
    if own is None:
        intake = _take_in(processor, batch, neighbours, accept_undecryptable=accepts_undecryptable(last))
        is_first = processor.own.keep(intake, processor.signing_key)
        neighbours.add(batch, NO_UUIDS if processor.settings.peer_has_lists else intake.packets.uuids)
        if is_first:
            own, packet_file_digest = intake.as_read, intake.source.header.packet_file_digest
        else:
            own = read_own_validation(processor, batch)  # the first that was stored stays, and it need not be this one
    try:
        state, why = _send(processor, batch, own, packet_file_digest), ""
    except OperationalError as error:
        state, why = BatchState.FAILED, str(error)
    if intake is None:
        return BatchOutcome(batch, state, why, accepted=len(own.packets.uuids))
    return BatchOutcome(
        batch,
        state,
        why,
        received=intake.received,
        accepted=len(intake.packets.uuids),
        rejected=intake.rejected,
        seconds=monotonic() - began,
    )


def _take_in(
    processor: ShareProcessor, batch: BatchName, neighbours: _Neighbours, *, accept_undecryptable: bool
) -> Intake:
    settings = processor.settings
    expected = settings.expected_parameters(batch.aggregation)
    if expected is None and settings.peer_has_lists:
        raise OperationalError(f"the configuration has no parameters of aggregation {batch.aggregation}; add them")
    other = neighbours.by_uuid.get(batch.uuid, batch)
    if other != batch:
        raise BatchRejected(
            BatchReason.BATCH_REPEATED, f"{batch.base} has the UUID of {other.base}, which was taken in before"
        )
    source = open_ingestion_batch(processor.stores.ingestion, batch, processor.opener, expected)
    return take_in(
        source,
        processor.signing_key,
        repeated=neighbours.packets,
        undecryptable_limit=settings.undecryptable_limit,
        accept_undecryptable=accept_undecryptable,
    )


def _send(processor: ShareProcessor, batch: BatchName, own: Validation, packet_file_digest: bytes | None) -> BatchState:
    """Send the stored validation, again where the peer has lost it; to a peer without lists only while it is safe."""
    settings = processor.settings
    stop = peer_without_lists.stop_of(window_of(batch.time, settings.period), settings)
    is_safe = settings.peer_has_lists or processor.clock() < stop
    if processor.own.receipt(batch) is not None and (not is_safe or not may_be_lost_at_peer(processor, batch)):
        return BatchState.SENT
    if not is_safe:
        return BatchState.KEPT_BACK
    if not settings.peer_has_lists:
        try:
            read_ready(processor, batch)  # a pair that disagrees would cost such a peer its whole window
        except BatchRejected:
            return BatchState.WAITS_FOR_PEER
    take_all(steps_to_send(processor, batch, own, packet_file_digest), processor.stores_by_name)
    return BatchState.SENT
