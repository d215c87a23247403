"""From what is pending to what is wanted of assets and partitions. No Dagster here but the names."""

from collections.abc import Iterable, Iterator

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import partition_key
from prio_assets.defs.processor.names import BATCH_LISTS, OWN_VALIDATIONS, SUM_PARTS
from prio_assets.defs.requests import Wish, merged
from prio_assets.processor.pending import Pending, PendingStep

ASSETS = {
    PendingStep.VALIDATE: OWN_VALIDATIONS,
    PendingStep.SEND: OWN_VALIDATIONS,
    PendingStep.PROPOSE: BATCH_LISTS,
    PendingStep.DECIDE: BATCH_LISTS,
    PendingStep.SUM: SUM_PARTS,
}
"""The asset that does each step."""

QUEUED = (PendingStep.PROPOSE, PendingStep.DECIDE)
"""Of these the windows of an aggregation take turns, the oldest first: a batch goes into its own window if it can."""


def wishes_of(pending: Iterable[Pending], settings: ProcessorConfiguration) -> list[Wish]:
    """What can be done now, one wish an asset and partition; lists of one aggregation stand in a queue."""
    return merged(
        [
            Wish(
                asset=f"{settings.name}/{ASSETS[step.step]}",
                partition=str(partition_key(step.aggregation, step.window)),
                want=step.want,
                queue=step.aggregation if step.step in QUEUED else None,
            )
            for step in pending
            if not step.waits_for
        ]
    )


def waiting_texts(pending: Iterable[Pending]) -> Iterator[str]:
    """A line for each step that waits."""
    for step in pending:
        if step.waits_for:
            yield f"{step.aggregation} {step.window.start:%Y-%m-%d %H:%M} {step.step.value}: waits for {step.waits_for}"
