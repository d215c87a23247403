"""Agreeing with the peer on a window's batches: reads storage into a `View`, asks the rules, takes their steps.

What a rule compares is read in a fixed order: our own list before the ledger, the ledger before everything that is
newer than it. A ledger that has grown since then stops the run at its next entry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from prio_assets.errors import BatchRejected, ObjectMissingError, RefusedError, StateError
from prio_assets.processor import batch_lists
from prio_assets.processor.batch_lists import Author, StoredList, View, Waiting
from prio_assets.processor.ledger import Ledger, read_ledger
from prio_assets.processor.processor import KeylessProcessor, ShareProcessor, not_before
from prio_assets.processor.readiness import (
    Listed,
    ReadyBatch,
    check_eligible,
    check_still_ingested,
    list_around,
    listed_name,
    read_ready,
)
from prio_assets.processor.steps import take_all
from prio_assets.storage.base import Store, exists, may_be_lost, read_bytes
from prio_assets.wire import names
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import BatchList, LedgerEntry
from prio_assets.wire.sealed import open_record, stored_record
from prio_assets.wire.windows import Window

DECISION_TRIES = 5
"""A decision that finds its ledger entry taken is made so often again: a run at the same time costs one, or two."""


@dataclass(frozen=True)
class Agreement:
    """What a run found or did about a window's list: the decision, where there is one, or what it waits for.

    `ready` are the batches that it has read, where the sum follows in the same run.
    """

    entry: LedgerEntry | None
    own_list: BatchList | None
    waiting: str | None
    unready: Mapping[UUID, BatchRejected]
    ready: Mapping[UUID, ReadyBatch] = field(default_factory=dict)


def make_own_list(
    processor: ShareProcessor, aggregation: str, window: Window, minimum_clients: int | None
) -> Agreement:
    """Propose (first processor) or decide (second): write our list of the window and send it.

    `minimum_clients` is an operator's minimum for this one window; None means the configured one.
    """
    author = author_of(processor, minimum_clients)
    for _ in range(DECISION_TRIES):
        if processor.settings.server_index == 0:
            view = view_to_propose(processor, aggregation, window)
            outcome = batch_lists.propose(view, author)
        else:
            view = view_to_decide(processor, aggregation, window)
            outcome = batch_lists.decide(view, author)
        if isinstance(outcome, Waiting) or take_all(outcome, processor.stores_for_lists):
            return _agreement(processor, view, outcome)
    raise entry_taken(processor, aggregation, window)


def accept_answer(processor: ShareProcessor, aggregation: str, window: Window) -> Agreement:
    """The first processor: append the peer's answer to the ledger, or say what is missing for it."""
    for _ in range(DECISION_TRIES):
        view = view_to_accept(processor, aggregation, window)
        outcome = batch_lists.accept(view)
        if isinstance(outcome, Waiting) or take_all(outcome, processor.stores_for_sums):
            return replace(_agreement(processor, view, outcome), ready=view.ready)
    raise entry_taken(processor, aggregation, window)


def entry_taken(processor: ShareProcessor, aggregation: str, window: Window) -> StateError:
    """The error of a decision that found its ledger entry taken every time: only a pause helps, as a retry has one."""
    return StateError(
        f"nothing is decided about {aggregation} {window}: the ledger in {processor.settings.state} has an entry that "
        "its listing does not show; the listing is late, so try again"
    )


def author_of(processor: ShareProcessor, minimum_clients: int | None) -> Author:
    """The processor as the author of a list made now."""
    settings = processor.settings
    minimum = settings.minimum_clients if minimum_clients is None else minimum_clients
    return Author(settings, processor.signing_key, processor.clock(), minimum)


def ledger_of(processor: ShareProcessor, aggregation: str, window: Window) -> Ledger:
    """The ledger as far back as a batch may be late for this window."""
    return read_ledger(processor.stores.state, aggregation, window.start - processor.settings.late_limit)


def decision_of(processor: ShareProcessor, aggregation: str, window: Window) -> LedgerEntry | None:
    """The ledger's entry about this window; None while it is open."""
    return read_ledger(processor.stores.state, aggregation, window.start, with_counted=False).entry(window)


def view_to_propose(processor: ShareProcessor, aggregation: str, window: Window) -> View:
    """What the first processor's proposal depends on. Raises `StateError` without state."""
    earliest = earliest_batch(processor, window)
    own_list = read_own_list(processor, aggregation, window)
    ledger = ledger_of(processor, aggregation, window)
    batches = validated_batches(processor, aggregation, window)
    ready, unready = _ready(processor, _within(batches, earliest, window), check_eligible)
    sent = is_sent(processor, aggregation, window)
    return View(aggregation, window, ledger, ready, unready, own_list, sent, peer_list=None)


def view_to_decide(processor: ShareProcessor, aggregation: str, window: Window) -> View:
    """What the second processor's answer depends on. Raises `RefusedError` for a proposal that doesn't verify."""
    earliest = earliest_batch(processor, window)
    own_list = read_own_list(processor, aggregation, window)
    ledger = ledger_of(processor, aggregation, window)
    try:
        proposal = read_peer_list(processor, aggregation, window)
    except RefusedError:
        if ledger.entry(window) is None:
            raise
        proposal = None  # the answer stands, whatever became of the proposal
    batches = _listed(aggregation, proposal)
    ready, unready = _ready(processor, _within(batches, earliest, window), check_eligible)
    sent = is_sent(processor, aggregation, window)
    return View(aggregation, window, ledger, ready, unready, own_list, sent, proposal)


def view_to_accept(processor: ShareProcessor, aggregation: str, window: Window) -> View:
    """What the first processor's acceptance depends on. Raises `RefusedError` for an answer that doesn't verify.

    The second processor has decided, so neither rejections nor our limits count here. The ledger is read as far back as
    the answer's batches go: whatever our late limit is or was, and never further than the second processor looked.
    """
    not_before(processor)
    own_list = read_own_list(processor, aggregation, window)
    answer = read_peer_list(processor, aggregation, window)
    proposed = set(_listed(aggregation, own_list))
    batches = [batch for batch in _listed(aggregation, answer) if batch in proposed]
    ledger = read_ledger(processor.stores.state, aggregation, min([window.start, *(batch.time for batch in batches)]))
    ready, unready = _ready(processor, batches, check_still_ingested)
    # An answer says so; the peer's bucket need not even answer.
    return View(aggregation, window, ledger, ready, unready, own_list, own_list_sent=True, peer_list=answer)


def earliest_batch(processor: ShareProcessor, window: Window) -> datetime:
    """The earliest path time that a batch of this window's set may have."""
    settings = processor.settings
    return max(window.start - settings.late_limit, settings.first_window, not_before(processor))


def read_own_list(processor: KeylessProcessor, aggregation: str, window: Window) -> StoredList | None:
    """Our list of the window as it is stored."""
    name = names.batch_list(aggregation, window, processor.settings.server_index)
    data = _read(processor.stores.state, name)
    if data is None:
        return None
    try:
        return StoredList(stored_record(BatchList, data, name), data)
    except BatchRejected as error:
        raise StateError(f"our own list in the state storage cannot be read, restore it: {error}") from error


def read_peer_list(processor: KeylessProcessor, aggregation: str, window: Window) -> StoredList | None:
    """The peer's list of the window in our bucket, wholly verified; None where there is none.

    One that does not verify, or is not about what its name says, raises `RefusedError`: it is as if it weren't there.
    """
    settings, bucket = processor.settings, processor.stores.peer_validations
    name = names.batch_list(aggregation, window, settings.peer_index)
    try:
        data = _read(bucket, name)
        if data is None:
            return None
        record = open_record(BatchList, data, settings.peer_keys, name)
    except BatchRejected as rejected:
        raise RefusedError(f"the peer's list cannot be used: {rejected}") from rejected
    batch_lists.check_list(record, name, settings, aggregation, window)
    return StoredList(record, data)


def is_sent(processor: ShareProcessor, aggregation: str, window: Window) -> bool:
    """Whether our list of the window has its receipt, and the peer is seen to have it still."""
    name = names.batch_list(aggregation, window, processor.settings.server_index)
    return exists(processor.stores.state, names.sent(name)) and not may_be_lost(processor.stores.peer_bucket, name)


def validated_batches(processor: ShareProcessor, aggregation: str, window: Window) -> list[BatchName]:
    """The batches of the window, and late ones within the limit, that we hold a validation of."""
    return list(processor.own.validated(aggregation, window.start - processor.settings.late_limit, window.end))


def _agreement(processor: ShareProcessor, view: View, outcome: object) -> Agreement:
    """What is known of the window after `outcome` was done."""
    own_list = read_own_list(processor, view.aggregation, view.window)
    entry = decision_of(processor, view.aggregation, view.window)
    waiting = outcome.why if isinstance(outcome, Waiting) else None
    return Agreement(entry, own_list.record if own_list else None, waiting, view.unready)


def _listed(aggregation: str, peer_list: StoredList | None) -> list[BatchName]:
    return [] if peer_list is None else [listed_name(aggregation, listed) for listed in peer_list.record.batches]


def _within(batches: Iterable[BatchName], earliest: datetime, window: Window) -> list[BatchName]:
    return [batch for batch in batches if earliest <= batch.time < window.end]


def _ready(
    processor: ShareProcessor, batches: Sequence[BatchName], check: Callable[[ShareProcessor, BatchName, Listed], None]
) -> tuple[dict[UUID, ReadyBatch], dict[UUID, BatchRejected]]:
    """Those of the batches that are ready and pass the check, and of the others why not."""
    ready: dict[UUID, ReadyBatch] = {}
    unready: dict[UUID, BatchRejected] = {}
    listed = list_around(processor, batches)
    for batch in batches:
        try:
            check(processor, batch, listed)
            ready[batch.uuid] = read_ready(processor, batch)
        except BatchRejected as rejected:
            unready[batch.uuid] = rejected
    return ready, unready


def _read(store: Store, name: str) -> bytes | None:
    try:
        return read_bytes(store, name)
    except ObjectMissingError:
        return None
