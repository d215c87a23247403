"""Summing a decided window: the ledger's set in, the sum part out; our copy first, then the portal's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import (
    BatchReason,
    BatchRejected,
    ObjectConflictError,
    ObjectMissingError,
    OperationalError,
    PacketReason,
    RefusedError,
    StateError,
)
from prio_assets.prio import field
from prio_assets.processor import peer_without_lists
from prio_assets.processor.aggregation import (
    Contribution,
    contribute,
    decrypted_again,
    make_sum_part,
)
from prio_assets.processor.agreement import (
    DECISION_TRIES,
    Agreement,
    accept_answer,
    decision_of,
    entry_taken,
    ledger_of,
    validated_batches,
)
from prio_assets.processor.batch_lists import Waiting
from prio_assets.processor.ingestion import IngestionBatch, open_ingestion_batch
from prio_assets.processor.ledger import counts_just
from prio_assets.processor.own_store import is_rejected
from prio_assets.processor.processor import ShareProcessor, not_before, read_state
from prio_assets.processor.readiness import (
    ReadyBatch,
    listed_name,
    read_own_validation,
    read_ready,
)
from prio_assets.processor.sending import may_be_lost_at_peer, steps_to_send
from prio_assets.processor.steps import STATE, SUM_PARTS, Acknowledge, Copy, Create, Step, take_all
from prio_assets.processor.totals import TotalsFault, usable_totals
from prio_assets.storage.base import read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch, check_packet_digest, open_header, open_signature
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import LedgerEntry, ListedBatch, Parameters, SumPart, Totals
from prio_assets.wire.uuids import uuid_columns
from prio_assets.wire.windows import Window

REMEDY = "restore it as it was when the window was decided, since no other set may be summed"


@dataclass(frozen=True)
class Override:
    """What an operator decided for one window."""

    minimum_clients: int | None = None
    despite_stop: bool = False


@dataclass(frozen=True)
class WindowSum:
    """What became of a window: `entry` is None while undecided, `header` is None where there is no sum.

    `decrypted_again` are the batches whose shares were verified again, and why the totals of intake did not serve.
    """

    entry: LedgerEntry | None
    waiting: str | None
    unready: Mapping[UUID, BatchRejected]
    header: SumPart | None
    reasons: Counter[PacketReason]
    decrypted_again: Mapping[BatchName, TotalsFault]


def sum_window(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> WindowSum:
    """Decide the window where it is our turn, sum it, and complete the copies.

    Done again it completes the copies of what was summed, whatever became of the inputs, and compares where they
    remain. Raises `RefusedError` for an answer that breaks the rules, `ObjectConflictError` for a sum that came out
    otherwise.
    """
    read_state(processor)
    agreement = _decide(processor, aggregation, window, override)
    entry, unready = agreement.entry, agreement.unready
    if entry is None or not entry.batches:
        waiting = agreement.waiting if entry is None else None
        return WindowSum(entry, waiting, unready, header=None, reasons=Counter(), decrypted_again={})
    if not processor.settings.peer_has_lists:
        _send_set(processor, aggregation, window, entry, override)
    stored = _stored_sum_part(processor, aggregation, window)
    if stored is not None:
        take_all(_steps_to_publish(processor, aggregation, window, stored), processor.stores_for_sums)
    part, contributions = _sum_part(processor, aggregation, window, agreement.ready, entry, stored)
    if stored is None:
        take_all(_steps_to_publish(processor, aggregation, window, part), processor.stores_for_sums)
    name = names.sum_part_objects(processor.settings.instance, aggregation, window, processor.settings.server_index)
    return WindowSum(
        entry,
        None,
        unready,
        header=open_header(SumPart, part.header, name.header),
        reasons=sum((each.reasons for each in contributions), Counter()),
        decrypted_again=decrypted_again(contributions),
    )


def _decide(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> Agreement:
    """The ledger's decision about the window, made now where it is our turn."""
    if not processor.settings.peer_has_lists:
        return _settle(processor, aggregation, window, override)
    entry = decision_of(processor, aggregation, window)
    if entry is not None:
        return Agreement(entry, None, None, {})
    if processor.settings.server_index == 0:
        return accept_answer(processor, aggregation, window)
    return Agreement(None, None, "our answer to the peer's proposal", {})


def _settle(processor: ShareProcessor, aggregation: str, window: Window, override: Override) -> Agreement:
    settings = processor.settings
    minimum = settings.minimum_clients if override.minimum_clients is None else override.minimum_clients
    for _ in range(DECISION_TRIES):
        view, unready = _view_without_lists(processor, aggregation, window)
        outcome = peer_without_lists.settle(
            view, settings, processor.clock(), minimum, despite_stop=override.despite_stop
        )
        if isinstance(outcome, Waiting):
            return Agreement(view.ledger.entry(window), None, outcome.why, unready)
        if take_all(outcome, processor.stores_for_sums):
            ready = {each.batch.uuid: each for each in view.ready}
            return Agreement(decision_of(processor, aggregation, window), None, None, unready, ready)
    raise entry_taken(processor, aggregation, window)


def _view_without_lists(
    processor: ShareProcessor, aggregation: str, window: Window
) -> tuple[peer_without_lists.View, dict[UUID, BatchRejected]]:
    ready: list[ReadyBatch] = []
    unready: dict[UUID, BatchRejected] = {}
    sent: set[BatchName] = set()
    for batch in validated_batches(processor, aggregation, window):  # toward such a peer the late limit is none
        if processor.own.receipt(batch) is not None:
            sent.add(batch)  # the peer sums it, even if an operator has left it out since
        elif is_rejected(processor.own.last_rejection(batch)):
            continue
        try:
            ready.append(read_ready(processor, batch))
        except BatchRejected as rejected:
            unready[batch.uuid] = rejected
    ledger = ledger_of(processor, aggregation, window)
    return peer_without_lists.View(window, ledger, ready, sent, not_before(processor)), unready


def _send_set(
    processor: ShareProcessor, aggregation: str, window: Window, entry: LedgerEntry, override: Override
) -> None:
    """Send all of the set, again too where the peer has lost it, as long as it can't have summed without it.

    Later, a set of which something was not sent is another than the peer's: `RefusedError`.
    """
    batches = [listed_name(aggregation, listed) for listed in entry.batches]
    if processor.clock() < peer_without_lists.deadline_of(window, processor.settings) or override.despite_stop:
        for batch in batches:
            if processor.own.receipt(batch) is None or may_be_lost_at_peer(processor, batch):
                own = read_own_validation(processor, batch)
                take_all(steps_to_send(processor, batch, own), processor.stores_by_name)
        return
    unsent = [batch for batch in batches if processor.own.receipt(batch) is None]
    if unsent:
        raise RefusedError(
            f"{len(unsent)} of the {len(batches)} batches of {aggregation} {window} were not sent before the peer "
            f"summed, first {unsent[0].base}; give the window up, or sum it despite the stop"
        )


def _sum_part(
    processor: ShareProcessor,
    aggregation: str,
    window: Window,
    ready: Mapping[UUID, ReadyBatch],
    entry: LedgerEntry,
    stored: SealedBatch | None,
) -> tuple[SealedBatch, Sequence[Contribution]]:
    """The sum part, computed from the inputs and compared with the stored one; that one alone where inputs are gone.

    `ready` are batches that this run has read before.
    """
    contributions: list[Contribution] = []
    total = np.zeros(0, dtype=np.uint64)
    try:
        for listed in entry.batches:
            batch = listed_name(aggregation, listed)
            contribution, data_sum = _contribution(processor, batch, ready.get(batch.uuid), listed, entry.parameters)
            total = field.add(total, data_sum) if contributions else data_sum
            contributions.append(contribution)
    except ObjectMissingError:
        if stored is None:
            raise
        return stored, ()
    _check_counted(processor, aggregation, entry, contributions, stored)
    part = make_sum_part(contributions, total, aggregation, window, processor.signing_key)
    if stored is not None and (stored.header, stored.packets) != (part.header, part.packets):
        raise ObjectConflictError(
            f"the sum of {aggregation} {window} came out otherwise than the stored sum part; {_what_stays(stored)}"
        )
    return stored or part, contributions


def _check_counted(
    processor: ShareProcessor,
    aggregation: str,
    entry: LedgerEntry,
    contributions: Sequence[Contribution],
    stored: SealedBatch | None,
) -> None:
    """The packets that count now are those that counted when the window was decided."""
    if not counts_just(processor.stores.state, aggregation, entry, [each.counted for each in contributions]):
        raise OperationalError(
            f"the packets of ledger entry {entry.number} of {aggregation} are not those that count now; "
            f"{_what_stays(stored)}"
        )


def _what_stays(stored: SealedBatch | None) -> str:
    """What an operator is told of a sum that came out otherwise."""
    stays = "nothing is published" if stored is None else "the stored part stays as it is, and was sent"
    return f"{stays}: look into what changed, the state storage or the validations and packets of the set"


def _contribution(
    processor: ShareProcessor, batch: BatchName, ready: ReadyBatch | None, listed: ListedBatch, decided: Parameters
) -> tuple[Contribution, NDArray[np.uint64]]:
    """What one batch of the set adds; whatever does not hold now, though it did when it was decided, stops the sum."""
    try:
        ready = ready or read_ready(processor, batch, decided)
        source = open_ingestion_batch(processor.stores.ingestion, batch, processor.opener, expected=None)
        if source.header.parameters != decided:
            parameters = source.header.parameters
            raise OperationalError(f"{batch.base} has {parameters}, decided was {decided}; it was replaced: {REMEDY}")
        if not ready.is_listed_as(listed):
            raise OperationalError(
                f"a validation of {batch.base} is not the one that was decided on; it was replaced: {REMEDY}"
            )
        validity_digest = ready.digests[processor.settings.server_index]
        totals = processor.own.totals(batch, processor.own_keys)
        _check_taken_in(processor, source, validity_digest, totals)
        kept = usable_totals(totals, source, validity_digest, len(ready.valid) + len(ready.joined.others))
        return contribute(source, ready.joined, kept, uuid_columns(listed.repeated))
    except (BatchRejected, ObjectMissingError) as fault:
        is_missing = isinstance(fault, ObjectMissingError) or fault.reason == BatchReason.OBJECT_MISSING
        error = ObjectMissingError if is_missing else OperationalError
        raise error(f"batch {batch.base} of the decided set cannot be summed now: {fault}; {REMEDY}") from fault


def _check_taken_in(
    processor: ShareProcessor, source: IngestionBatch, validity_digest: bytes, totals: Totals | TotalsFault
) -> None:
    """The packet file is the one that our validation was computed from."""
    if source.header.packet_file_digest != processor.own.digest_recorded_beside(totals, source.batch, validity_digest):
        raise OperationalError(
            f"{source.packets_name} is not known to be the file that intake read; it was replaced: {REMEDY}"
        )


def _stored_sum_part(processor: ShareProcessor, aggregation: str, window: Window) -> SealedBatch | None:
    """Our own copy, whose signing key may be no longer in use; None while it is not complete."""
    settings, state = processor.settings, processor.stores.state
    objects = names.sum_part_objects(settings.instance, aggregation, window, settings.server_index)
    try:
        header, packets, signature = (read_bytes(state, name) for name in objects)
        check_packet_digest(open_header(SumPart, header, objects.header), packets, objects.packets)
        return SealedBatch(header, packets, open_signature(signature, objects.signature))
    except ObjectMissingError:
        return None
    except BatchRejected as rejected:
        raise StateError(f"our own sum part in the state storage is damaged, restore it: {rejected}") from rejected


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
