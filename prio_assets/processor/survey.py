"""What storage holds of an aggregation: names, and the few small objects that decisions hang on. No shares are read."""

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.errors import RefusedError, StateError
from prio_assets.processor.agreement import read_own_list, read_peer_list
from prio_assets.processor.batch_lists import check_possible
from prio_assets.processor.ledger import Ledger, read_ledger
from prio_assets.processor.own_store import is_rejected
from prio_assets.processor.processor import KeylessProcessor, not_before
from prio_assets.storage.base import Store
from prio_assets.wire import names
from prio_assets.wire.names import BatchName, NameRange
from prio_assets.wire.records import BatchList, LedgerEntry, Rejection
from prio_assets.wire.windows import Window, from_ms, window_of


@dataclass(frozen=True)
class Survey:
    """One aggregation of one processor, for the batches and windows of a range of time.

    Nothing before `begin` was looked at: what is there is not known. `ingested` are complete ingestion batches with
    their size in bytes, `peer` the peer's validations in our bucket with theirs; `rejections` those batches whose last
    record leaves them out, `cleared` those that an operator has tried again. `state_fault` says why nothing is decided.
    """

    aggregation: str
    begin: datetime
    ingested: Mapping[BatchName, int]
    incomplete: frozenset[BatchName]
    validated: frozenset[BatchName]
    sent: frozenset[BatchName]
    rejections: Mapping[BatchName, Rejection]
    cleared: Mapping[BatchName, Rejection]
    peer: Mapping[BatchName, int]
    own_lists: frozenset[Window]
    sent_lists: frozenset[Window]
    peer_lists: Mapping[Window, BatchList]
    refused_lists: Mapping[Window, str]
    decided: Mapping[Window, LedgerEntry]
    sent_sums: frozenset[Window]
    not_before: datetime | None
    state_fault: str


def survey(processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime) -> Survey:
    """Look at the batches whose time is in [begin, end), and the windows that lie in it; not before the first one."""
    settings, stores = processor.settings, processor.stores
    begin = max(begin, settings.first_window)
    trios = _trios(stores.ingestion, names.time_range(aggregation, begin, end))
    complete = {batch: sum(parts.values()) for batch, parts in trios.items() if len(parts) == 3}
    try:
        earliest, fault = not_before(processor), ""
        ledger = read_ledger(stores.state, aggregation, begin, with_counted=False)
    except StateError as error:
        earliest, fault, ledger = None, str(error), None
    own_lists, sent_lists = (
        _own_windows(processor, aggregation, begin, end, prefix) if earliest else frozenset()
        for prefix in ("", names.sent(""))
    )
    records = _last_records(processor, aggregation, begin, end)
    peer_lists, refused = _peer_lists(processor, aggregation, begin, end) if settings.peer_has_lists else ({}, {})
    if ledger is not None and settings.server_index == 0:
        refused |= _impossible_answers(processor, aggregation, peer_lists, own_lists, ledger)
    return Survey(
        aggregation=aggregation,
        begin=begin,
        ingested=complete,
        incomplete=frozenset(trios.keys() - complete.keys()),
        validated=frozenset(processor.own.validated(aggregation, begin, end)),
        sent=frozenset(processor.own.sent(aggregation, begin, end)),
        rejections={batch: record for batch, record in records.items() if is_rejected(record)},
        cleared={batch: record for batch, record in records.items() if not is_rejected(record)},
        peer=_peer_validations(processor, aggregation, begin, end),
        own_lists=own_lists,
        sent_lists=sent_lists,
        peer_lists={window: record for window, record in peer_lists.items() if window not in refused},
        refused_lists=refused,
        decided={} if ledger is None else _decided(ledger),
        sent_sums=_sent_sums(processor, aggregation, begin, end) if earliest else frozenset(),
        not_before=earliest,
        state_fault=fault,
    )


def range_to_look_at(settings: ProcessorConfiguration, now: datetime) -> tuple[datetime, datetime]:
    """The whole windows that are looked at without being asked: those of the intake max age, to the one of `now`."""
    return window_of(now - settings.intake_max_age, settings.period).start, window_of(now, settings.period).end


def aggregations(processor: KeylessProcessor) -> list[str]:
    """The aggregations that the ingestion bucket has, those among its folders that can be one."""
    return [folder for folder in processor.stores.ingestion.folders("") if names.is_aggregation(folder)]


def _trios(store: Store, within: NameRange) -> dict[BatchName, dict[str, int]]:
    """Sizes by part of the ingestion batches in a range; stray objects are passed over."""
    trios: dict[BatchName, dict[str, int]] = defaultdict(dict)
    for name, size in store.list(*within):
        found = names.parse_ingestion_object(name)
        if found is not None:
            trios[found[0]][found[1]] = size
    return trios


def _last_records(
    processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime
) -> dict[BatchName, Rejection]:
    """Of the batches with a rejection or clearing record, the one that counts."""
    return dict(processor.own.last_rejections(*names.time_range(aggregation, begin, end, names.REJECTIONS)))


def _peer_validations(
    processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime
) -> dict[BatchName, int]:
    """The peer's validations whose signature, which is written last, is here; the size is that of all their objects."""
    sizes: dict[BatchName, int] = defaultdict(int)
    signed = set()
    for name, size in processor.stores.peer_validations.list(*names.time_range(aggregation, begin, end)):
        found = names.parse_validity_object(name, processor.settings.peer_index)
        if found is not None:
            sizes[found[0]] += size
            if found[1] == "signature":
                signed.add(found[0])
    return {batch: size for batch, size in sizes.items() if batch in signed}


def _own_windows(
    processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime, folder: str
) -> frozenset[Window]:
    """The windows that have our own list in the state storage, or (in the folder of receipts) its receipt."""
    found = set()
    for name, _ in processor.stores.state.list(*_below(folder, names.batch_list_range(aggregation, begin, end))):
        parsed = names.parse_batch_list(name.removeprefix(folder), processor.settings.server_index)
        if parsed is not None:
            found.add(parsed[1])
    return frozenset(found)


def _sent_sums(processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime) -> frozenset[Window]:
    """The windows whose sum part the portal has."""
    settings, found = processor.settings, set()
    within = _below(names.sent(""), names.sum_part_range(settings.instance, aggregation, begin, end))
    for name, _ in processor.stores.state.list(*within):
        parsed = names.parse_sum_part_object(name.removeprefix(names.sent("")), settings.server_index)
        if parsed is not None:
            found.add(parsed[2])
    return frozenset(found)


def _decided(ledger: Ledger) -> dict[Window, LedgerEntry]:
    return {
        Window(from_ms(entry.aggregation_start_time), from_ms(entry.aggregation_end_time)): entry
        for entry in ledger.entries
    }


def _peer_lists(
    processor: KeylessProcessor, aggregation: str, begin: datetime, end: datetime
) -> tuple[dict[Window, BatchList], dict[Window, str]]:
    """The peer's lists that verify, and of the others why not."""
    lists, refused = {}, {}
    for name, _ in processor.stores.peer_validations.list(*names.batch_list_range(aggregation, begin, end)):
        parsed = names.parse_batch_list(name, processor.settings.peer_index)
        if parsed is None:
            continue
        window = parsed[1]
        try:
            found = read_peer_list(processor, aggregation, window)
        except RefusedError as error:
            refused[window] = str(error)
        else:
            if found is not None:
                lists[window] = found.record
    return lists, refused


def _impossible_answers(
    processor: KeylessProcessor,
    aggregation: str,
    answers: Mapping[Window, BatchList],
    own_lists: AbstractSet[Window],
    ledger: Ledger,
) -> dict[Window, str]:
    """Of the answers to our open proposals those that can never be accepted, and why."""
    impossible = {}
    for window in sorted(answers.keys() & own_lists):
        if ledger.entry(window) is not None:
            continue
        try:
            proposal = read_own_list(processor, aggregation, window)
            if proposal is not None:
                name = names.batch_list(aggregation, window, processor.settings.peer_index)
                check_possible(answers[window], proposal.record, ledger, name)
        except (RefusedError, StateError) as error:
            impossible[window] = str(error)
    return impossible


def _below(folder: str, within: NameRange) -> NameRange:
    return NameRange(folder + within.prefix, folder + within.start, folder + within.end)
