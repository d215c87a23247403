"""Propose, decide, accept: how two processors agree on the set of batches that a window's sum is over.

The first processor proposes what is ready at both as far as it can see; the second answers with what is ready there too
and was never counted before; the answer is the set. These are pure functions from what storage says about a window (a
`View`) to the steps to take; they raise `RefusedError` where a list breaks the rules, and return `Waiting` where there
is nothing to do yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.errors import BatchRejected, RefusedError, StateError
from prio_assets.processor.ledger import Decision, Ledger
from prio_assets.processor.readiness import ReadyBatch
from prio_assets.processor.steps import PEER_BUCKET, STATE, Acknowledge, Copy, Create, Step
from prio_assets.wire import names
from prio_assets.wire.columns import NO_UUIDS, Uuids, contained, duplicated, first_occurrences, in_ranges, sort_uuids
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.records import BatchList, LedgerEntry, ListedBatch, Parameters
from prio_assets.wire.sealed import seal_record
from prio_assets.wire.uuids import uuid_columns, uuid_values
from prio_assets.wire.windows import Window, to_ms, window_of

MINUTE_MS = 60_000


@dataclass(frozen=True)
class StoredList:
    """A list and the object that holds it."""

    record: BatchList
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class View:
    """What storage says about one aggregation's window, as far as its list depends on it.

    `ready` are the batches that may stand in the list, by UUID; `unready` says why others may not. `own_list` is ours
    as it is stored, `peer_list` the peer's as it was read and verified now.
    """

    aggregation: str
    window: Window
    ledger: Ledger
    ready: Mapping[UUID, ReadyBatch]
    unready: Mapping[UUID, BatchRejected]
    own_list: StoredList | None
    own_list_sent: bool
    peer_list: StoredList | None


@dataclass(frozen=True)
class Waiting:
    """Nothing to do now; `why` says what is missing."""

    why: str


@dataclass(frozen=True)
class Author:
    """Who makes a list: the configuration, the signing key, the present, and the minimum of clients that holds."""

    settings: ProcessorConfiguration
    signing_key: SigningKey
    now: datetime
    minimum_clients: int


def propose(view: View, author: Author) -> list[Step] | Waiting:
    """The first processor's list: every ready batch in no set of the ledger; or the copy that it still lacks."""
    name = names.batch_list(view.aggregation, view.window, 0)
    if view.own_list is not None:
        return Waiting("the peer's answer") if view.own_list_sent else _send(name, author)
    if view.ledger.entry(view.window) is not None:
        return Waiting("nothing: the window is decided")
    if author.now < view.window.end:
        return Waiting("the end of the window")
    batches = [ready for uuid, ready in sorted(view.ready.items()) if uuid not in view.ledger.spent]
    if not batches:
        return Waiting("a batch that is ready at both processors")
    clients = sum(map(len, distinct_packets(batches, view.ledger.packets)))
    if clients < author.minimum_clients:
        return Waiting(f"more clients: {clients} of at least {author.minimum_clients}")
    entries = tuple(ready.listed() for ready in batches)
    parameters = parameters_of_lists(author.settings, view.aggregation)
    proposal = make_list(view, author, parameters, entries, author.minimum_clients)
    return [Create(STATE, name, seal_record(proposal, author.signing_key)), *_send(name, author)]


def decide(view: View, author: Author) -> list[Step] | Waiting:
    """The second processor's answer to a proposal: the ledger entry first, then the list, then its copy."""
    entry = view.ledger.entry(view.window)
    _check_own_answer(view, entry)
    if entry is not None:
        if view.own_list_sent:
            return Waiting("nothing: the window is decided")
        return _answer(view, entry.answer or b"", author)
    if view.peer_list is None:
        return Waiting("the peer's proposal")
    if author.now < view.window.end:
        return Waiting("the end of the window")
    proposal = view.peer_list.record
    minimum = max(proposal.minimum_clients, author.minimum_clients)
    entries, counted = without_repeated(_agreed(proposal, view), view.ledger.packets)
    if sum(map(len, counted)) < minimum:
        entries, counted = (), []
    answer = seal_record(make_list(view, author, proposal.parameters, entries, minimum), author.signing_key)
    decision = Decision(view.window, entries, proposal.parameters, minimum, counted, answer)
    return [*view.ledger.append(decision), *_answer(view, answer, author)]


def accept(view: View) -> list[Step] | Waiting:
    """The first processor's ledger entry for an answer that keeps the rules; `RefusedError` for one that doesn't."""
    if view.ledger.entry(view.window) is not None:
        return Waiting("nothing: the window is decided")
    if view.own_list is None:
        return Waiting("our proposal")
    if view.peer_list is None:
        return Waiting("the peer's answer")
    proposal, answer = view.own_list.record, view.peer_list.record
    name = names.batch_list(view.aggregation, view.window, 1)
    _check_proposed(answer, proposal, name)
    _check_unspent(answer, view.ledger, name)
    missing = _missing(answer, view)
    if missing:
        return Waiting(f"{len(missing)} of the {len(answer.batches)} batches in {name}, first {missing[0]}")
    counted = _counted_by(answer, view)
    _check_counted_once(counted, view.ledger.counted_in_reach(view.window), name)
    clients = sum(map(len, counted))
    if answer.batches and clients < proposal.minimum_clients:
        raise RefusedError(
            f"{name} counts {clients} clients, our proposal demanded {proposal.minimum_clients}; nothing is spent"
        )
    return list(
        view.ledger.append(
            Decision(
                window=view.window,
                batches=answer.batches,
                parameters=answer.parameters,
                minimum_clients=answer.minimum_clients,
                counted=counted,
                answer=view.peer_list.data,
            )
        )
    )


def check_list(
    record: BatchList, name: str, settings: ProcessorConfiguration, aggregation: str, window: Window
) -> None:
    """The peer's list is about what its name says and what we expect; `RefusedError` says what differs."""
    facts = {
        "instance name": (record.instance_name, settings.instance),
        "aggregation": (record.name, aggregation),
        "server index": (record.server_index, settings.peer_index),
        "start": (record.aggregation_start_time, to_ms(window.start)),
        "end": (record.aggregation_end_time, to_ms(window.end)),
        "parameters": (record.parameters, parameters_of_lists(settings, aggregation)),
    }
    for fact, (found, wanted) in facts.items():
        if found != wanted:
            raise RefusedError(f"{name} has {fact} {found}, not {wanted}")
    if window != window_of(window.start, settings.period) or window.start < settings.first_window:
        raise RefusedError(f"{name} is not about a window of this instance's period, from its first window on")
    _check_entries(record, name)


def check_possible(answer: BatchList, proposal: BatchList, ledger: Ledger, name: str) -> None:
    """The answer can be accepted once its batches are here; `RefusedError` where it never can."""
    _check_proposed(answer, proposal, name)
    _check_unspent(answer, ledger, name)


def parameters_of_lists(settings: ProcessorConfiguration, aggregation: str) -> Parameters:
    """The parameters that all batches of a list have."""
    expected = settings.expected_parameters(aggregation)
    if expected is None:
        raise RefusedError(f"the configuration has no parameters of aggregation {aggregation}; add them")
    return expected


def make_list(
    view: View, author: Author, parameters: Parameters, entries: tuple[ListedBatch, ...], minimum_clients: int
) -> BatchList:
    """The list of this window over `entries`."""
    return BatchList(
        instance_name=author.settings.instance,
        name=view.aggregation,
        server_index=author.settings.server_index,
        bins=parameters.bins,
        epsilon=parameters.epsilon,
        prime=parameters.prime,
        number_of_servers=parameters.number_of_servers,
        hamming_weight=parameters.hamming_weight,
        aggregation_start_time=to_ms(view.window.start),
        aggregation_end_time=to_ms(view.window.end),
        minimum_clients=minimum_clients,
        batches=entries,
    )


def without_repeated(
    batches: Sequence[ReadyBatch], before: Sequence[Uuids]
) -> tuple[tuple[ListedBatch, ...], list[Uuids]]:
    """List entries that name their packets counted before (in `before` or an earlier entry), and the packets left.

    Both are in the order of the batches. Few packets are looked at together, so that a window may be large.
    """
    columns = [ready.valid for ready in batches]
    suspects, counted = _seen_again(columns, before)
    chosen = [valid[contained(valid, suspects)] for valid in columns]
    packets = np.concatenate([NO_UUIDS, *chosen])
    new = first_occurrences(packets) & ~contained(packets, counted)
    repeated = [part[~is_new] for part, is_new in zip(chosen, _split(new, chosen), strict=True)]
    entries = tuple(ready.listed(uuid_values(again)) for ready, again in zip(batches, repeated, strict=True))
    return entries, [_without(valid, again) for valid, again in zip(columns, repeated, strict=True)]


def distinct_packets(batches: Sequence[ReadyBatch], before: Sequence[Uuids]) -> list[Uuids]:
    """The packets of these batches that were not counted before, each once."""
    return without_repeated(batches, before)[1]


def _send(name: str, author: Author) -> list[Step]:
    return [Copy(STATE, name, PEER_BUCKET, name), Acknowledge(name, names.sent(name), author.now)]


def _answer(view: View, answer: bytes, author: Author) -> list[Step]:
    """The steps after the ledger entry: our own list, its copy, its receipt."""
    name = names.batch_list(view.aggregation, view.window, 1)
    return [Create(STATE, name, answer), *_send(name, author)]


def _check_own_answer(view: View, entry: LedgerEntry | None) -> None:
    """Our list is written after its ledger entry, and read before the ledger: the entry must be there, and hold it."""
    if view.own_list is None and (entry is None or entry.answer is not None):
        return
    if entry is None or view.own_list is None or entry.answer != view.own_list.data:
        raise StateError(
            f"our list of {view.aggregation} {view.window} and the ledger of the state storage disagree: it was "
            "restored to an earlier time or belongs to another peer; nothing is decided"
        )


def _agreed(proposal: BatchList, view: View) -> list[ReadyBatch]:
    """The proposed batches that are ready here, by the very validations, and were never in an answer."""
    return [
        view.ready[listed.batch_uuid]
        for listed in proposal.batches
        if _is_ready(listed, view) and listed.batch_uuid not in view.ledger.spent
    ]


def _is_ready(listed: ListedBatch, view: View) -> bool:
    ready = view.ready.get(listed.batch_uuid)
    return ready is not None and ready.is_listed_as(listed)


def _missing(answer: BatchList, view: View) -> list[str]:
    """The answer's batches that are not ready here, each with the reason."""
    return [
        f"{listed.batch_uuid} ({view.unready.get(listed.batch_uuid) or 'a validation of it was replaced'})"
        for listed in answer.batches
        if not _is_ready(listed, view)
    ]


def _check_proposed(answer: BatchList, proposal: BatchList, name: str) -> None:
    proposed = {listed.batch_uuid: listed for listed in proposal.batches}
    for listed in answer.batches:
        if proposed.get(listed.batch_uuid) != replace(listed, repeated=()):
            raise RefusedError(f"{name} has batch {listed.batch_uuid} otherwise than we proposed it; nothing is spent")


def _check_unspent(answer: BatchList, ledger: Ledger, name: str) -> None:
    for listed in answer.batches:
        if listed.batch_uuid in ledger.spent:
            raise RefusedError(f"{name} has batch {listed.batch_uuid}, which was summed before; nothing is spent")


def _check_counted_once(columns: Sequence[Uuids], earlier: Sequence[Uuids], name: str) -> None:
    again = 0
    for counted, before in in_ranges(columns, earlier):
        again += int((duplicated(counted) | contained(counted, before)).sum())
    if again:
        raise RefusedError(f"{name} counts {again} packets that were counted before; nothing is spent")


def _counted_by(answer: BatchList, view: View) -> list[Uuids]:
    """The packets that the answer counts, by batch."""
    return [_without(view.ready[each.batch_uuid].valid, uuid_columns(each.repeated)) for each in answer.batches]


def _seen_again(columns: Sequence[Uuids], before: Sequence[Uuids]) -> tuple[Uuids, Uuids]:
    """The UUIDs that stand in the columns more than once or in `before` too, and those that stand in `before`."""
    suspects, counted = [NO_UUIDS], [NO_UUIDS]
    for packets, earlier in in_ranges(columns, before):
        known = contained(packets, earlier)
        suspects.append(sort_uuids(packets[known | duplicated(packets)]))
        counted.append(sort_uuids(packets[known]))
    return np.concatenate(suspects), np.concatenate(counted)


def _split(mask: NDArray[np.bool_], columns: Sequence[Uuids]) -> list[NDArray[np.bool_]]:
    """The mask of the columns' UUIDs together as one for each column."""
    ends = accumulate(map(len, columns))
    return [mask[end - len(column) : end] for column, end in zip(columns, ends, strict=True)]


def _without(uuids: Uuids, repeated: Uuids) -> Uuids:
    """The UUIDs but the repeated ones; the very column where there are none, so that it is held once."""
    return uuids[~contained(uuids, repeated)] if len(repeated) else uuids


def _check_entries(record: BatchList, name: str) -> None:
    """The entries' order, times and repeated packets are what they must be."""
    uuids = [listed.batch_uuid for listed in record.batches]
    if uuids != sorted(set(uuids)):
        raise RefusedError(f"{name} is not sorted by batch UUID, or has one twice")
    for listed in record.batches:
        if not 0 <= listed.batch_time < record.aggregation_end_time or listed.batch_time % MINUTE_MS:
            raise RefusedError(f"{name} has batch {listed.batch_uuid} at no whole minute before the window's end")
        if list(listed.repeated) != sorted(set(listed.repeated)):
            raise RefusedError(f"{name} has repeated packets that are not sorted, or there twice")
        if listed.repeated and record.server_index == 0:
            raise RefusedError(f"{name} is a proposal and names repeated packets, which only an answer does")
