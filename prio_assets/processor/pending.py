"""What there is to do, and what it waits for: pure functions of a survey, the clock and the settings.

Sensors request what waits for nothing; `prio-assets status` prints all of it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.processor.peer_without_lists import deadline_of, stop_of
from prio_assets.processor.readiness import listed_name
from prio_assets.processor.survey import Survey
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window, window_of, windows


class PendingStep(StrEnum):
    """The steps of a window, in their order."""

    VALIDATE = "validate"
    SEND = "send"
    PROPOSE = "propose"
    DECIDE = "decide"
    SUM = "sum"


@dataclass(frozen=True)
class Pending:
    """One step of one window that is still to do; `waits_for` is empty when it can be done now.

    `want` is what is wanted: a step asked for twice with the same want is the same wish.
    """

    aggregation: str
    window: Window
    step: PendingStep
    waits_for: str
    batches: tuple[BatchName, ...]
    want: str


@dataclass(frozen=True)
class Quiet:
    """Since when the set of a window's validations has not changed: what storage cannot tell."""

    digest: str
    since: datetime


def pending_steps(
    survey: Survey, settings: ProcessorConfiguration, now: datetime, quiet: Mapping[Window, Quiet]
) -> Iterator[Pending]:
    """All that is still to do for the aggregation, windows in order."""
    yield from _validations(survey, settings, now)
    if survey.not_before is None:
        return
    if not settings.peer_has_lists:
        yield from _sums_without_lists(survey, settings, now)
    elif settings.server_index == 0:
        yield from _proposals(survey, settings, now, quiet)
        yield from _acceptances(survey, settings)
    else:
        yield from _decisions(survey, settings, now)
    yield from _sums(survey, settings)


def validations_of(survey: Survey, window: Window) -> str:
    """A digest of the set of the window's validations, ours and the peer's: it changes when one arrives."""
    own = (f"own {batch.base}" for batch in survey.validated if _inside(batch, window))
    peer = (f"peer {batch.base} {size}" for batch, size in survey.peer.items() if _inside(batch, window))
    return digest_of([*own, *peer])


def is_due(
    survey: Survey, settings: ProcessorConfiguration, window: Window, now: datetime, quiet: Quiet | None
) -> bool:
    """Whether the first processor should propose: grace is over, and all is here or nothing came for a while.

    A window that has no batch yet is not one of which all is here: proposed at once with late batches, or with those of
    an open proposal, it would be closed to its own, which after an outage are still to come.
    """
    if now < window.end + settings.grace:
        return False
    batches = {batch for batch in survey.ingested if _inside(batch, window)}
    if batches and all(
        batch in survey.rejections or (batch in survey.sent and batch in survey.peer) for batch in batches
    ):
        return True
    return quiet is not None and now - quiet.since >= settings.patience


def candidates(survey: Survey, settings: ProcessorConfiguration, window: Window) -> list[BatchName]:
    """The batches that a proposal of the window could hold, late ones included."""
    spent = {listed.batch_uuid for entry in survey.decided.values() for listed in entry.batches}
    begin = window.start - settings.late_limit
    return sorted(
        batch
        for batch in survey.sent & survey.peer.keys() & survey.ingested.keys()
        if begin <= batch.time < window.end
        and (survey.not_before is None or batch.time >= survey.not_before)
        and batch.uuid not in spent
        and batch not in survey.rejections
    )


def ended_windows(survey: Survey, settings: ProcessorConfiguration, now: datetime) -> list[Window]:
    """The windows from that of the earliest batch to the newest that has ended, in order.

    A late batch may go into a window that has none of its own.
    """
    earliest = min((batch.time for batch in survey.ingested), default=None)
    return [] if earliest is None else [w for w in windows(earliest, now, settings.period) if w.end <= now]


def digest_of(facts: Iterable[str]) -> str:
    """A short digest of a set of facts, for run keys."""
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()[:16]


def _inside(batch: BatchName, window: Window) -> bool:
    return window.start <= batch.time < window.end


def _pending(
    survey: Survey,
    settings: ProcessorConfiguration,
    window: Window,
    step: PendingStep,
    waits_for: str,
    batches: Iterable[BatchName],
    facts: Iterable[str] = (),
) -> Pending:
    """The step over these batches; what is wanted changes with them, with the settings and with the other `facts`.

    A run that found that nothing can be done ended well: only another want has it tried again.
    """
    ordered = tuple(sorted(batches))
    names = (batch.base for batch in ordered)
    want = digest_of([step, *names, *settings.rules_of(survey.aggregation), *facts])
    return Pending(survey.aggregation, window, step, waits_for, ordered, want)


def _peer_sizes(survey: Survey, batches: Iterable[BatchName]) -> Iterator[str]:
    """The peer's validations of these batches, as facts."""
    return (f"{batch.base} has {survey.peer[batch]} bytes" for batch in batches if batch in survey.peer)


def _validations(survey: Survey, settings: ProcessorConfiguration, now: datetime) -> Iterator[Pending]:
    """Batches to take in or to send; those that the peer must validate first, or that lack parameters, wait."""
    by_window: dict[tuple[Window, PendingStep, str], list[BatchName]] = defaultdict(list)
    for batch in survey.ingested:
        if batch in survey.sent or batch in survey.rejections:
            continue
        window = window_of(batch.time, settings.period)
        step = PendingStep.SEND if batch in survey.validated else PendingStep.VALIDATE
        waits_for = ""
        if settings.peer_has_lists:
            if settings.expected_parameters(survey.aggregation) is None:
                waits_for = "the aggregation's parameters in the configuration"
        elif step == PendingStep.SEND:
            if now >= stop_of(window, settings):
                continue
            waits_for = "" if batch in survey.peer else "the peer's validation"
        by_window[window, step, waits_for].append(batch)
    for (window, step, waits_for), batches in sorted(by_window.items()):
        facts = [f"{batch.base} cleared {survey.cleared[batch].at}" for batch in batches if batch in survey.cleared]
        if step == PendingStep.SEND:
            facts += _peer_sizes(survey, batches)
        yield _pending(survey, settings, window, step, waits_for, batches, facts)


def _proposals(
    survey: Survey, settings: ProcessorConfiguration, now: datetime, quiet: Mapping[Window, Quiet]
) -> Iterator[Pending]:
    """The first processor's lists, oldest window first.

    An older window does not hold back the proposals of later ones, since it may be below the minimum for ever; whoever
    asks for them takes the oldest that can be made.
    """
    for window in ended_windows(survey, settings, now):
        if window in survey.decided or window in survey.sent_lists:
            continue
        batches = candidates(survey, settings, window)
        if not batches and window not in survey.own_lists:
            continue
        waits_for = ""
        if window not in survey.own_lists and not is_due(survey, settings, window, now, quiet.get(window)):
            waits_for = "the window's grace, or validations of its batches"
        facts = _peer_sizes(survey, batches)
        yield _pending(survey, settings, window, PendingStep.PROPOSE, waits_for, batches, facts)


def _acceptances(survey: Survey, settings: ProcessorConfiguration) -> Iterator[Pending]:
    """Proposals whose answer is to come, or to be accepted and summed.

    An answer's batches may be older than what was looked at; of those the run that accepts it says what is missing.
    """
    for window in sorted(survey.sent_lists - survey.decided.keys()):
        answer = survey.peer_lists.get(window)
        if answer is None:
            waits_for = survey.refused_lists.get(window, "the peer's answer")
            yield _pending(survey, settings, window, PendingStep.SUM, waits_for, ())
            continue
        batches = [listed_name(survey.aggregation, listed) for listed in answer.batches]
        seen = [batch for batch in batches if batch.time >= survey.begin]
        missing = sum(batch not in survey.peer or batch not in survey.validated for batch in seen)
        waits_for = f"{missing} validations that the answer names" if missing else ""
        yield _pending(survey, settings, window, PendingStep.SUM, waits_for, batches)


def _decisions(survey: Survey, settings: ProcessorConfiguration, now: datetime) -> Iterator[Pending]:
    """The second processor's answers, oldest window first, so that a batch goes into its own window if it can.

    As with proposals, whoever asks for them takes the oldest that can be made, and an older one that fails holds up
    none.
    """
    for window in sorted(survey.peer_lists.keys() | survey.decided.keys()):
        if window in survey.sent_lists or window.end > now:
            continue
        listed = survey.peer_lists[window].batches if window in survey.peer_lists else ()
        batches = [listed_name(survey.aggregation, each) for each in listed]
        yield _pending(survey, settings, window, PendingStep.DECIDE, "", batches)
    waiting = {window_of(batch.time, settings.period) for batch in candidates_anywhere(survey)}
    for window in sorted(waiting - survey.peer_lists.keys() - survey.decided.keys()):
        waits_for = survey.refused_lists.get(window, "the peer's proposal")
        yield _pending(survey, settings, window, PendingStep.DECIDE, waits_for, ())


def candidates_anywhere(survey: Survey) -> list[BatchName]:
    """The batches with both validations that are in no set."""
    spent = {listed.batch_uuid for entry in survey.decided.values() for listed in entry.batches}
    both = survey.sent & survey.peer.keys() - survey.rejections.keys()
    return sorted(batch for batch in both if batch.uuid not in spent)


def _sums_without_lists(survey: Survey, settings: ProcessorConfiguration, now: datetime) -> Iterator[Pending]:
    """Windows whose stop has passed, toward a peer that knows no lists."""
    left_out = survey.rejections.keys() - survey.sent  # what was sent the peer sums, whatever was decided since
    both = survey.validated & survey.peer.keys() - left_out
    by_window: dict[Window, list[BatchName]] = defaultdict(list)
    for batch in both:
        by_window[window_of(batch.time, settings.period)].append(batch)
    for window, batches in sorted(by_window.items()):
        if window in survey.decided or (survey.not_before is not None and window.start < survey.not_before):
            continue
        if now >= deadline_of(window, settings):
            batches = [batch for batch in batches if batch in survey.sent]  # noqa: PLW2901 (narrowed on purpose)
        stop = stop_of(window, settings)
        waits_for = f"the stop at {stop:%Y-%m-%d %H:%M} UTC" if now < stop else ""
        if batches:
            yield _pending(survey, settings, window, PendingStep.SUM, waits_for, batches)


def _sums(survey: Survey, settings: ProcessorConfiguration) -> Iterator[Pending]:
    """Decided windows whose sum part the portal doesn't have yet."""
    for window, entry in sorted(survey.decided.items()):
        if entry.batches and window not in survey.sent_sums:
            batches = [listed_name(survey.aggregation, listed) for listed in entry.batches]
            yield _pending(survey, settings, window, PendingStep.SUM, "", batches)
