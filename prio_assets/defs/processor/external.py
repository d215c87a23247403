"""What others write and the sensor reports: ingestion batches, the peer's validations, the peer's lists."""

from collections.abc import Sequence

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import partitions_of
from prio_assets.defs.processor.names import (
    BATCH_LISTS,
    INGESTION_BATCHES,
    OWN_VALIDATIONS,
    PEER_BATCH_LISTS,
    PEER_VALIDATIONS,
    ProcessorKeys,
)

DESCRIPTIONS = {
    INGESTION_BATCHES: "The complete ingestion batches of the window: clients' shares, encrypted to this processor. "
    "Written by the ingestor, reported when their set changes.",
    PEER_VALIDATIONS: "What the other processor computed of the window's batches and wrote into our bucket. Reported "
    "when it changes.",
    PEER_BATCH_LISTS: "The other processor's list for the window, in our bucket: its proposal of the batches to sum, "
    "or its answer, which is the set that both sum.",
}


def external_assets(
    settings: ProcessorConfiguration, peer: str | None, ingestor: dg.AssetKey | None
) -> list[dg.AssetSpec]:
    """The external assets of a processor; `peer` and `ingestor` are there if this deployment runs them too."""
    deps: dict[str, Sequence[dg.AssetKey]] = {
        INGESTION_BATCHES: [ingestor] if ingestor else [],
        PEER_VALIDATIONS: [ProcessorKeys(peer)[OWN_VALIDATIONS]] if peer else [],
    }
    if settings.peer_has_lists:
        deps[PEER_BATCH_LISTS] = [ProcessorKeys(peer)[BATCH_LISTS]] if peer else []
    return [
        dg.AssetSpec(
            ProcessorKeys(settings.name)[asset],
            deps=producers,
            description=DESCRIPTIONS[asset],
            group_name=settings.name,
            kinds={"file"},
            partitions_def=partitions_of(settings.schedule),
        )
        for asset, producers in deps.items()
    ]
