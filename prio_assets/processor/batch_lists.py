"""Propose, decide, accept: how two processors agree on the set of batches that a window's sum is over.

The first processor proposes what is ready at both as far as it can see; the second answers with what is ready there too
and was never counted before; the answer is the set. These are pure functions from what storage says about a window (a
`View`) to the steps to take; they raise `RefusedError` where a list breaks the rules, and return `Waiting` where there
is nothing to do yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import numpy as np

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.errors import BatchRejected, RefusedError
from prio_assets.processor.columns import NO_UUIDS, Uuids, contained, duplicated, first_occurrences
from prio_assets.processor.ledger import Decision, Ledger
from prio_assets.processor.readiness import ReadyBatch
from prio_assets.processor.steps import PEER_BUCKET, STATE, Acknowledge, Copy, Create, Step
from prio_assets.wire import names
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.records import BatchList, ListedBatch, Parameters
from prio_assets.wire.sealed import seal_record
from prio_assets.wire.uuids import uuid_columns, uuid_values
from prio_assets.wire.windows import Window, to_ms


@dataclass(frozen=True)
class View:
    """What storage says about one aggregation's window, as far as its list depends on it.

    `ready` are the batches that may stand in the list, by UUID; `unready` says why others may not. `own_list` is our
    stored list, `answer` the peer's as it was read and verified (the proposal at the second processor).
    """

    aggregation: str
    window: Window
    ledger: Ledger
    ready: Mapping[UUID, ReadyBatch]
    unready: Mapping[UUID, BatchRejected]
    own_list: BatchList | None
    own_list_sent: bool
    peer_list: BatchList | None
    peer_list_bytes: bytes


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
    batches = [ready for uuid, ready in sorted(view.ready.items()) if uuid not in view.ledger.spent]
    if not batches:
        return Waiting("a batch that is ready at both processors")
    clients = len(distinct_packets(batches, view.ledger.counted))
    if clients < author.minimum_clients:
        return Waiting(f"more clients: {clients} of at least {author.minimum_clients}")
    entries = tuple(ready.listed() for ready in batches)
    proposal = make_list(view, author, batches[0].parameters, entries, author.minimum_clients)
    return [Create(STATE, name, seal_record(proposal, author.signing_key)), *_send(name, author)]


def decide(view: View, author: Author) -> list[Step] | Waiting:
    """The second processor's answer to a proposal: the ledger entry first, then the list, then its copy."""
    name = names.batch_list(view.aggregation, view.window, 1)
    entry = view.ledger.entry(view.window)
    if entry is not None:
        if view.own_list_sent:
            return Waiting("nothing: the window is decided")
        if entry.answer is None:
            raise RefusedError(f"ledger entry {entry.number} of {view.aggregation} was made for a peer without lists")
        return [Create(STATE, name, entry.answer), *_send(name, author)]
    proposal = view.peer_list
    if proposal is None:
        return Waiting("the peer's proposal")
    if author.now < view.window.end:
        return Waiting("the end of the window")
    batches = [
        ready
        for listed in proposal.batches
        if (ready := view.ready.get(listed.batch_uuid)) is not None
        and ready.is_listed_as(listed)
        and listed.batch_uuid not in view.ledger.spent
    ]
    minimum = max(proposal.minimum_clients, author.minimum_clients)
    entries, counted = without_repeated(batches, view.ledger.counted)
    if len(counted) < minimum:
        entries, counted = (), NO_UUIDS
    answer = make_list(view, author, proposal.parameters, entries, minimum)
    data = seal_record(answer, author.signing_key)
    decision = Decision(view.window, entries, proposal.parameters, minimum, counted, data)
    return [*view.ledger.append(decision), Create(STATE, name, data), *_send(name, author)]


def accept(view: View) -> list[Step] | Waiting:
    """The first processor's ledger entry for an answer that keeps the rules; `RefusedError` for one that doesn't."""
    if view.ledger.entry(view.window) is not None:
        return Waiting("nothing: the window is decided")
    proposal, answer = view.own_list, view.peer_list
    if proposal is None:
        return Waiting("our proposal")
    if answer is None:
        return Waiting("the peer's answer")
    name = names.batch_list(view.aggregation, view.window, 1)
    _check_answer(answer, proposal, view.ledger, name)
    missing = [listed for listed in answer.batches if not _is_ready(view, listed)]
    if missing:
        why = view.unready.get(missing[0].batch_uuid)
        return Waiting(
            f"{len(missing)} of the {len(answer.batches)} validations in {name}, first {missing[0].batch_uuid}"
            f" ({why or 'here with another digest'})"
        )
    counted = _packets_of_answer(answer, view, name)
    if answer.batches and len(counted) < proposal.minimum_clients:
        raise RefusedError(
            f"{name} counts {len(counted)} clients, our proposal demanded {proposal.minimum_clients}; nothing is spent"
        )
    decision = Decision(
        view.window, answer.batches, answer.parameters, answer.minimum_clients, counted, view.peer_list_bytes
    )
    return list(view.ledger.append(decision))


def check_list(record: BatchList, view_window: Window, name: str, expected: tuple[str, str, int, Parameters]) -> None:
    """A list is about what its name says and what we expect: instance, aggregation, writer's index, parameters."""
    instance, aggregation, index, parameters = expected
    facts = {
        "instance name": (record.instance_name, instance),
        "aggregation": (record.name, aggregation),
        "server index": (record.server_index, index),
        "start": (record.aggregation_start_time, to_ms(view_window.start)),
        "end": (record.aggregation_end_time, to_ms(view_window.end)),
        "parameters": (record.parameters, parameters),
    }
    for fact, (found, wanted) in facts.items():
        if found != wanted:
            raise RefusedError(f"{name} has {fact} {found}, not {wanted}")
    uuids = [listed.batch_uuid for listed in record.batches]
    if uuids != sorted(set(uuids)):
        raise RefusedError(f"{name} is not sorted by batch UUID, or has one twice")
    if any(listed.batch_time >= record.aggregation_end_time for listed in record.batches):
        raise RefusedError(f"{name} has a batch that is not before the window's end")
    if any(list(listed.repeated) != sorted(set(listed.repeated)) for listed in record.batches):
        raise RefusedError(f"{name} has repeated packets that are not sorted, or there twice")
    if index == 0 and any(listed.repeated for listed in record.batches):
        raise RefusedError(f"{name} is a proposal and names repeated packets, which only an answer does")


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


def without_repeated(batches: Sequence[ReadyBatch], counted: Uuids) -> tuple[tuple[ListedBatch, ...], Uuids]:
    """List entries that name their packets counted before (in `counted` or an earlier entry), and the packets left."""
    packets = np.concatenate([NO_UUIDS, *(ready.valid for ready in batches)])
    new = first_occurrences(packets) & ~contained(packets, counted)
    ends = np.cumsum([len(ready.valid) for ready in batches])
    entries = tuple(
        ready.listed(uuid_values(packets[end - len(ready.valid) : end][~new[end - len(ready.valid) : end]]))
        for ready, end in zip(batches, ends, strict=True)
    )
    return entries, packets[new]


def distinct_packets(batches: Sequence[ReadyBatch], counted: Uuids) -> Uuids:
    """The packets of these batches that were not counted before, each once."""
    return without_repeated(batches, counted)[1]


def _send(name: str, author: Author) -> list[Step]:
    return [Copy(STATE, name, PEER_BUCKET, name), Acknowledge(name, names.sent(name), author.now)]


def _is_ready(view: View, listed: ListedBatch) -> bool:
    ready = view.ready.get(listed.batch_uuid)
    return ready is not None and ready.is_listed_as(listed)


def _check_answer(answer: BatchList, proposal: BatchList, ledger: Ledger, name: str) -> None:
    proposed = {listed.batch_uuid: listed for listed in proposal.batches}
    for listed in answer.batches:
        if proposed.get(listed.batch_uuid) != replace(listed, repeated=()):
            raise RefusedError(f"{name} has batch {listed.batch_uuid} otherwise than we proposed it; nothing is spent")
        if listed.batch_uuid in ledger.spent:
            raise RefusedError(f"{name} has batch {listed.batch_uuid}, which was summed before; nothing is spent")


def _packets_of_answer(answer: BatchList, view: View, name: str) -> Uuids:
    """The packets that the answer counts; none may be counted twice, here or in the ledger."""
    columns = [NO_UUIDS]
    for listed in answer.batches:
        valid = view.ready[listed.batch_uuid].valid
        columns.append(valid[~contained(valid, uuid_columns(listed.repeated))])
    counted = np.concatenate(columns)
    again = duplicated(counted) | contained(counted, view.ledger.counted)
    if again.any():
        raise RefusedError(f"{name} counts {int(again.sum())} packets that were counted before; nothing is spent")
    return counted
