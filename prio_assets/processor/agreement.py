"""Agreeing with the peer on a window's batches: reads storage into a `View`, asks the rules, takes their steps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from prio_assets.errors import BatchRejected, MalformedError, ObjectMissingError, RefusedError, StateError
from prio_assets.processor import batch_lists
from prio_assets.processor.batch_lists import Author, View, Waiting
from prio_assets.processor.ledger import Ledger, read_ledger
from prio_assets.processor.processor import ShareProcessor, not_before
from prio_assets.processor.readiness import ReadyBatch, check_eligible, listed_name, read_ready
from prio_assets.processor.steps import take_all
from prio_assets.storage.base import Store, exists, read_bytes
from prio_assets.wire import names
from prio_assets.wire.keys import VerificationKeys
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import BatchList, LedgerEntry
from prio_assets.wire.sealed import open_record
from prio_assets.wire.windows import Window


@dataclass(frozen=True)
class Agreement:
    """What a run found or did about a window's list: the decision, where there is one, or what it waits for."""

    entry: LedgerEntry | None
    own_list: BatchList | None
    waiting: str | None
    unready: Mapping[UUID, BatchRejected]


def make_own_list(
    processor: ShareProcessor, aggregation: str, window: Window, minimum_clients: int | None
) -> Agreement:
    """Propose (first processor) or decide (second): write our list of the window and send it.

    `minimum_clients` is an operator's minimum for this one window; None means the configured one.
    """
    author = author_of(processor, minimum_clients)
    rule = batch_lists.propose if processor.settings.server_index == 0 else batch_lists.decide
    while True:
        view = read_view(processor, aggregation, window)
        outcome = rule(view, author)
        if isinstance(outcome, Waiting):
            return Agreement(view.ledger.entry(window), view.own_list, outcome.why, view.unready)
        if take_all(outcome, processor.stores_by_name):
            after = read_view(processor, aggregation, window)
            return Agreement(after.ledger.entry(window), after.own_list, None, view.unready)


def accept_answer(processor: ShareProcessor, aggregation: str, window: Window) -> Agreement:
    """The first processor: append the peer's answer to the ledger, or say what is missing for it."""
    while True:
        view = read_view(processor, aggregation, window)
        outcome = batch_lists.accept(view)
        if isinstance(outcome, Waiting):
            return Agreement(view.ledger.entry(window), view.own_list, outcome.why, view.unready)
        if take_all(outcome, processor.stores_by_name):
            return Agreement(ledger_of(processor, aggregation, window).entry(window), view.own_list, None, view.unready)


def author_of(processor: ShareProcessor, minimum_clients: int | None) -> Author:
    """The processor as the author of a list made now."""
    settings = processor.settings
    minimum = settings.minimum_clients if minimum_clients is None else minimum_clients
    return Author(settings, processor.signing_key, processor.clock(), minimum)


def ledger_of(processor: ShareProcessor, aggregation: str, window: Window) -> Ledger:
    """The ledger as far back as it matters for this window."""
    return read_ledger(processor.stores.state, aggregation, window.start - processor.settings.late_limit)


def read_view(processor: ShareProcessor, aggregation: str, window: Window) -> View:
    """What storage says now. Raises `StateError` without state, `RefusedError` for a list that doesn't verify."""
    earliest = not_before(processor)
    own_list = read_list(processor, aggregation, window, own=True)
    peer_list = read_list(processor, aggregation, window, own=False)
    ledger = ledger_of(processor, aggregation, window)
    candidates = _candidates(
        processor, aggregation, window, own_list, peer_list, decided=ledger.entry(window) is not None
    )
    eligible = processor.settings.server_index == 1 or own_list is None
    begin = max(window.start - processor.settings.late_limit, earliest)
    ready: dict[UUID, ReadyBatch] = {}
    unready: dict[UUID, BatchRejected] = {}
    for batch in candidates:
        if eligible and not begin <= batch.time < window.end:
            continue
        try:
            if eligible:
                check_eligible(processor, batch)
            ready[batch.uuid] = read_ready(processor, batch)
        except BatchRejected as rejected:
            unready[batch.uuid] = rejected
    return View(
        aggregation,
        window,
        ledger,
        ready,
        unready,
        own_list=own_list and own_list[0],
        own_list_sent=exists(
            processor.stores.state,
            names.sent(names.batch_list(aggregation, window, processor.settings.server_index)),
        ),
        peer_list=peer_list and peer_list[0],
        peer_list_bytes=peer_list[1] if peer_list else b"",
    )


def read_list(
    processor: ShareProcessor, aggregation: str, window: Window, *, own: bool
) -> tuple[BatchList, bytes] | None:
    """Our stored list, or the peer's in our bucket, with its bytes; None where there is none.

    A list that does not verify, or is not about what its name says, raises `RefusedError`: as if it weren't there.
    """
    settings, stores = processor.settings, processor.stores
    index = settings.server_index if own else settings.peer_index
    name = names.batch_list(aggregation, window, index)
    data = _read(stores.state if own else stores.peer_validations, name)
    if data is None:
        return None
    if own:
        return _open_own_list(data, name, processor.own_keys), data
    try:
        record = open_record(BatchList, data, settings.peer_keys, name)
    except BatchRejected as rejected:
        raise RefusedError(f"the peer's list cannot be used: {rejected}") from rejected
    expected = settings.expected_parameters(aggregation)
    if expected is None:
        raise RefusedError(f"{name}: the configuration has no parameters of aggregation {aggregation}; add them")
    batch_lists.check_list(record, window, name, (settings.instance, aggregation, index, expected))
    return record, data


def _candidates(
    processor: ShareProcessor,
    aggregation: str,
    window: Window,
    own_list: tuple[BatchList, bytes] | None,
    peer_list: tuple[BatchList, bytes] | None,
    *,
    decided: bool,
) -> Iterable[BatchName]:
    """The batches that the next step is about: all that we validated for a proposal, else those of the peer's list."""
    if decided:
        return []
    if processor.settings.server_index == 0 and own_list is None:
        return validated_batches(processor, aggregation, window)
    return [] if peer_list is None else [listed_name(aggregation, listed) for listed in peer_list[0].batches]


def validated_batches(processor: ShareProcessor, aggregation: str, window: Window) -> list[BatchName]:
    """The batches of the window, and late ones within the limit, that we hold a validation of."""
    begin = window.start - processor.settings.late_limit
    found = processor.stores.own_validations.list(*names.time_range(aggregation, begin, window.end, names.VALIDATIONS))
    batches = (names.parse_own_object(names.VALIDATIONS, name) for name, _ in found)
    return [batch for batch in batches if batch is not None]


def _open_own_list(data: bytes, name: str, keys: VerificationKeys) -> BatchList:
    try:
        return open_record(BatchList, data, keys, name)
    except (BatchRejected, MalformedError) as error:
        raise StateError(f"our own list in the state storage cannot be read: {error}") from error


def _read(store: Store, name: str) -> bytes | None:
    try:
        return read_bytes(store, name)
    except ObjectMissingError:
        return None
