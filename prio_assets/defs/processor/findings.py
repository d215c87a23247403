"""What the unpartitioned checks of a processor find, from surveys of its storages. No Dagster here but the names."""

from collections.abc import Iterator
from datetime import datetime

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import is_partition_key
from prio_assets.defs.processor.look import Look
from prio_assets.defs.processor.names import (
    AGGREGATIONS_USABLE,
    INGESTION_BATCHES,
    NO_EXPIRED_BATCHES,
    NO_LATE_BATCHES,
    NO_OUTSTANDING_REJECTIONS,
    PEER_BATCH_LISTS,
    PEER_LISTS_VERIFY,
    PEER_SENDS_VALIDATIONS,
    PEER_VALIDATIONS,
    STORAGES_ANSWER,
)
from prio_assets.defs.reports import Finding
from prio_assets.processor.peer_without_lists import deadline_of
from prio_assets.processor.survey import Survey
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window, window_of

CHECKS = {
    INGESTION_BATCHES: {
        NO_OUTSTANDING_REJECTIONS: "No ingestion batch is rejected or left out. An operator can have one tried again.",
        NO_LATE_BATCHES: "No batch missed the set of its own decided window; one that did may go into a later window.",
        NO_EXPIRED_BATCHES: "No batch came, was validated or was decided about too late to be summed at all.",
        AGGREGATIONS_USABLE: "Every aggregation in the ingestion storage can be taken in.",
        STORAGES_ANSWER: "The storages of this processor, the state among them, can be read.",
    },
    PEER_VALIDATIONS: {
        PEER_SENDS_VALIDATIONS: "The other processor has sent validations of the last window whose grace is over.",
    },
    PEER_BATCH_LISTS: {
        PEER_LISTS_VERIFY: "Every list of the other processor is signed, whole, about what its name says, and none "
        "answers with a batch that was not proposed, or was summed before.",
    },
}


def checks_of(settings: ProcessorConfiguration) -> dict[str, dict[str, str]]:
    """The checks that this processor has, by asset, with their descriptions."""
    return {asset: checks for asset, checks in CHECKS.items() if settings.peer_has_lists or asset != PEER_BATCH_LISTS}


def findings(look: Look, settings: ProcessorConfiguration) -> list[Finding]:
    """One finding for each check of `checks_of`."""
    by_check = {
        NO_OUTSTANDING_REJECTIONS: dict(_rejections(look)),
        NO_LATE_BATCHES: dict(_late(look, settings)),
        NO_EXPIRED_BATCHES: dict(_expired(look, settings)),
        AGGREGATIONS_USABLE: dict(_unusable_aggregations(look, settings)),
        STORAGES_ANSWER: dict(_silent_storages(look)),
        PEER_SENDS_VALIDATIONS: dict(_silent_peer(look, settings)),
        PEER_LISTS_VERIFY: dict(_unverified_lists(look)),
    }
    return [
        Finding(
            f"{settings.name}/{asset}",
            check,
            by_check[check],
            looked_everywhere=not by_check[STORAGES_ANSWER],
            is_warning=check == NO_LATE_BATCHES,
        )
        for asset, checks in checks_of(settings).items()
        for check in checks
    ]


def _rejections(look: Look) -> Iterator[tuple[str, str]]:
    for survey in look.surveys.values():
        for batch, rejection in survey.rejections.items():
            yield batch.base, f"{rejection.reason}: {rejection.details}"


def _late(look: Look, settings: ProcessorConfiguration) -> Iterator[tuple[str, str]]:
    for survey in look.surveys.values():
        for batch in _unspent(survey):
            if window_of(batch.time, settings.period) in survey.decided and not _is_expired(
                batch, survey, settings, look
            ):
                yield (
                    batch.base,
                    "it is not in the set of its own window (it came late, or only one processor could use it); it may "
                    "still go into a later one",
                )


def _expired(look: Look, settings: ProcessorConfiguration) -> Iterator[tuple[str, str]]:
    for survey in look.surveys.values():
        for batch in _unspent(survey):
            is_old, is_ledger_known = batch.time < look.begin, not survey.state_fault
            if survey.not_before is not None and batch.time < survey.not_before:
                continue  # this state sums none of these, and does not know which were summed before it began
            if is_ledger_known and _is_expired(batch, survey, settings, look):
                yield batch.base, "no window is open any more that it could be summed in"
            elif is_old and batch not in survey.validated:
                yield batch.base, "it is older than the intake max age, and was not validated; a backfill still can"
            elif is_old and is_ledger_known:
                yield (
                    batch.base,
                    "its window was not decided, and is older than the intake max age: it is no longer looked at; "
                    "backfills at both processors still can",
                )


def _unspent(survey: Survey) -> list[BatchName]:
    """The batches in no set, which nobody left out."""
    spent = {listed.batch_uuid for entry in survey.decided.values() for listed in entry.batches}
    return sorted(batch for batch in survey.ingested.keys() - survey.rejections.keys() if batch.uuid not in spent)


def _is_expired(batch: BatchName, survey: Survey, settings: ProcessorConfiguration, look: Look) -> bool:
    """Whether its own window is decided, or past, and no later one reaches back to it."""
    window = window_of(batch.time, settings.period)
    if not settings.peer_has_lists:
        return window in survey.decided or look.now >= deadline_of(window, settings)
    newest = window_of(look.now, settings.period)
    return window in survey.decided and batch.time < newest.start - settings.late_limit


def _unusable_aggregations(look: Look, settings: ProcessorConfiguration) -> Iterator[tuple[str, str]]:
    for name in look.aggregations:
        if not is_partition_key(name):
            yield repr(name), "its name cannot be that of a partition; the ingestor must choose another"
        elif settings.peer_has_lists and settings.expected_parameters(name) is None:
            yield name, "the configuration has no parameters of it; add them, and its batches are taken in"


def _silent_storages(look: Look) -> Iterator[tuple[str, str]]:
    yield from look.failures.items()
    for survey in look.surveys.values():
        if survey.state_fault:
            yield "state", survey.state_fault


def _silent_peer(look: Look, settings: ProcessorConfiguration) -> Iterator[tuple[str, str]]:
    for name, survey in look.surveys.items():
        window = _last_window_with_validations(survey, settings, look.now)
        if window is None:
            continue
        own = [batch for batch in survey.validated if batch.time in window]
        if not any(batch in survey.peer for batch in own):
            yield f"{name} {_text(window)}", f"none of the other processor's validations of {len(own)} batches is here"


def _last_window_with_validations(survey: Survey, settings: ProcessorConfiguration, now: datetime) -> Window | None:
    """Of the windows whose grace is over."""
    over = {window_of(batch.time, settings.period) for batch in survey.validated - survey.rejections.keys()}
    return max((window for window in over if now >= window.end + settings.grace), default=None)


def _unverified_lists(look: Look) -> Iterator[tuple[str, str]]:
    for name, survey in look.surveys.items():
        for window, why in survey.refused_lists.items():
            yield f"{name} {_text(window)}", why


def _text(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M}"
