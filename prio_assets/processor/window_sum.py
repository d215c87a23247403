"""Summing a decided window: the ledger's set in, the sum part out; our copy first, then the portal's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from prio_assets.errors import (
    BatchReason,
    BatchRejected,
    ObjectConflictError,
    ObjectMissingError,
    OperationalError,
    PacketReason,
)
from prio_assets.processor import peer_without_lists
from prio_assets.processor.aggregation import (
    Contribution,
    bound_total,
    check_headers_agree,
    contribute,
    counted_packets,
    make_sum_part,
)
from prio_assets.processor.agreement import Agreement, accept_answer, ledger_of, validated_batches
from prio_assets.processor.batch_lists import Waiting
from prio_assets.processor.ingestion import open_ingestion_batch
from prio_assets.processor.ledger import read_counted
from prio_assets.processor.own_store import is_rejected
from prio_assets.processor.processor import ShareProcessor, not_before
from prio_assets.processor.readiness import (
    ReadyBatch,
    listed_name,
    read_own_validation,
    read_peer_validation,
    read_ready,
)
from prio_assets.processor.sending import recorded_digest, steps_to_send
from prio_assets.processor.steps import STATE, SUM_PARTS, Acknowledge, Copy, Create, Step, take_all
from prio_assets.storage.base import read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch, Validation, open_header, open_signature, verify_header
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import digest
from prio_assets.wire.records import LedgerEntry, ListedBatch, SumPart
from prio_assets.wire.uuids import uuid_columns
from prio_assets.wire.windows import Window


@dataclass(frozen=True)
class Override:
    """What an operator decided for one window."""

    minimum_clients: int | None = None
    despite_stop: bool = False


@dataclass(frozen=True)
class WindowSum:
    """What became of a window: `entry` is None while undecided, `header` is None where there is no sum."""

    entry: LedgerEntry | None
    waiting: str | None
    unready: dict[str, str]
    header: SumPart | None
    reasons: Counter[PacketReason]


def sum_window(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> WindowSum:
    """Decide the window where it is our turn, sum it, and complete the copies.

    Done again it gives the same bytes from the same inputs, or what was summed where inputs are gone. Raises
    `RefusedError` for an answer that breaks the rules, `ObjectConflictError` for a sum that came out otherwise.
    """
    agreement = _decide(processor, aggregation, window, override)
    entry = agreement.entry
    unready = {str(uuid): str(rejected) for uuid, rejected in agreement.unready.items()}
    if entry is None or not entry.batches:
        waiting = agreement.waiting if entry is None else None
        return WindowSum(entry, waiting, unready, header=None, reasons=Counter())
    if not processor.settings.peer_has_lists:
        _send_set(processor, aggregation, window, entry, override)
    part, reasons = _sum_part(processor, aggregation, window, entry)
    take_all(_steps_to_publish(processor, aggregation, window, part), processor.stores_by_name)
    name = names.sum_part_objects(processor.settings.instance, aggregation, window, processor.settings.server_index)
    return WindowSum(entry, None, unready, open_header(SumPart, part.header, name.header), reasons)


def _decide(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> Agreement:
    """The ledger's decision about the window, made now where it is our turn."""
    entry = ledger_of(processor, aggregation, window).entry(window)
    if entry is not None:
        return Agreement(entry, None, None, {})
    if not processor.settings.peer_has_lists:
        return _settle(processor, aggregation, window, override)
    if processor.settings.server_index == 0:
        return accept_answer(processor, aggregation, window)
    return Agreement(None, None, "our answer to the peer's proposal", {})


def _settle(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> Agreement:
    settings = processor.settings
    minimum = settings.minimum_clients if override.minimum_clients is None else override.minimum_clients
    while True:
        view, unready = _view_without_lists(processor, aggregation, window)
        outcome = peer_without_lists.settle(
            view, settings, processor.clock(), minimum, despite_stop=override.despite_stop
        )
        if isinstance(outcome, Waiting):
            return Agreement(view.ledger.entry(window), None, outcome.why, unready)
        if take_all(outcome, processor.stores_by_name):
            return Agreement(ledger_of(processor, aggregation, window).entry(window), None, None, unready)


def _view_without_lists(
    processor: ShareProcessor, aggregation: str, window: Window
) -> tuple[peer_without_lists.View, dict[UUID, BatchRejected]]:
    ready: list[ReadyBatch] = []
    unready: dict[UUID, BatchRejected] = {}
    for batch in validated_batches(processor, aggregation, window):
        if not window.start <= batch.time < window.end or is_rejected(processor.own.last_rejection(batch)):
            continue
        try:
            ready.append(read_ready(processor, batch))
        except BatchRejected as rejected:
            unready[batch.uuid] = rejected
    sent = {each.batch for each in ready if processor.own.receipt(each.batch) is not None}
    ledger = ledger_of(processor, aggregation, window)
    return peer_without_lists.View(window, ledger, ready, sent, not_before(processor)), unready


def _send_set(
    processor: ShareProcessor, aggregation: str, window: Window, entry: LedgerEntry, override: Override
) -> None:
    """Send all of the set, again too, as long as the peer can't have summed without it."""
    if processor.clock() < peer_without_lists.deadline_of(window, processor.settings) or override.despite_stop:
        for listed in entry.batches:
            take_all(steps_to_send(processor, listed_name(aggregation, listed)), processor.stores_by_name)


def _sum_part(
    processor: ShareProcessor, aggregation: str, window: Window, entry: LedgerEntry
) -> tuple[SealedBatch, Counter[PacketReason]]:
    """The sum part, computed from the inputs and compared with the stored one; that one alone where inputs are gone."""
    stored = _stored_sum_part(processor, aggregation, window)
    try:
        contributions = [_contribution(processor, listed_name(aggregation, each), each) for each in entry.batches]
    except ObjectMissingError:
        if stored is None:
            raise
        return stored, Counter()
    counts = counted_packets(contributions)
    if not np.array_equal(counts, read_counted(processor.stores.state, aggregation, entry)):
        raise OperationalError(
            f"the packets that count in {aggregation} {window} are not those of ledger entry {entry.number}; "
            "the inputs changed, nothing is published"
        )
    part = make_sum_part(contributions, aggregation, window, processor.signing_key)
    if stored is not None and (stored.header, stored.packets) != (part.header, part.packets):
        raise ObjectConflictError(
            f"the sum of {aggregation} {window} came out otherwise than the stored sum part; nothing is published"
        )
    return stored or part, sum((each.reasons for each in contributions), Counter())


def _contribution(processor: ShareProcessor, batch: BatchName, listed: ListedBatch) -> Contribution:
    """What one batch of the set adds; whatever does not hold now, though it did when it was decided, stops the sum."""
    try:
        own = read_own_validation(processor, batch)
        peer = read_peer_validation(processor, batch)
        source = open_ingestion_batch(processor.stores.ingestion, batch, processor.opener, own.header.parameters)
        check_headers_agree(own.header, peer.header, source)
        _check_digests(processor, batch, listed, (own, peer))
        if source.header.packet_file_digest != recorded_digest(processor, batch):
            raise OperationalError(f"{source.packets_name} is not the file that intake read; the batch was replaced")
        total = bound_total(processor.own.totals(batch, processor.own_keys), source, own)
        return contribute(source, own.packets, peer.packets, total, uuid_columns(listed.repeated))
    except BatchRejected as rejected:
        error = ObjectMissingError if rejected.reason == BatchReason.OBJECT_MISSING else OperationalError
        raise error(f"batch {batch.base} of the decided set cannot be summed now: {rejected}") from rejected


def _check_digests(
    processor: ShareProcessor, batch: BatchName, listed: ListedBatch, validations: tuple[Validation, Validation]
) -> None:
    own, peer = (digest(validation.sealed.packets) for validation in validations)
    by_index = (own, peer) if processor.settings.server_index == 0 else (peer, own)
    if by_index != (listed.validity_digest_0, listed.validity_digest_1):
        raise OperationalError(f"a validation of {batch.base} is not the one that was decided on; it was replaced")


def _stored_sum_part(processor: ShareProcessor, aggregation: str, window: Window) -> SealedBatch | None:
    """Our own copy, verified; None while it is not complete."""
    settings, state = processor.settings, processor.stores.state
    objects = names.sum_part_objects(settings.instance, aggregation, window, settings.server_index)
    try:
        header, packets, signature = (read_bytes(state, name) for name in objects)
    except ObjectMissingError:
        return None
    opened = open_signature(signature, objects.signature)
    verify_header(header, opened, processor.own_keys, objects.header)
    return SealedBatch(header, packets, opened)


def _steps_to_publish(processor: ShareProcessor, aggregation: str, window: Window, part: SealedBatch) -> Sequence[Step]:
    """Our own copy first, then the portal's from the stored bytes, the signature last, then the receipt."""
    settings = processor.settings
    objects = names.sum_part_objects(settings.instance, aggregation, window, settings.server_index)
    header, packets, signature = part.three_objects()
    return [
        Create(STATE, objects.packets, packets),
        Create(STATE, objects.header, header),
        Create(STATE, objects.signature, signature),
        Copy(STATE, objects.packets, SUM_PARTS, objects.packets),
        Copy(STATE, objects.header, SUM_PARTS, objects.header),
        Copy(STATE, objects.signature, SUM_PARTS, objects.signature),
        Acknowledge(objects.header, names.sent(objects.header), processor.clock()),
    ]
