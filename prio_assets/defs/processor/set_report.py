"""What lists and sums tell about the set of batches that they are over."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dagster as dg

from prio_assets.defs import metadata as keys
from prio_assets.defs.processor.names import ALL_BATCHES_READY, PARAMETERS_AGREE, PEER_VALIDATIONS_HOLD
from prio_assets.defs.processor.validation_report import check_of_faults, engine_metadata, fault_table
from prio_assets.defs.tables import table
from prio_assets.errors import BatchReason, BatchRejected
from prio_assets.processor.totals import TotalsFault, text_of_faults
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import ListedBatch
from prio_assets.wire.windows import Window, format_minute, from_ms

PAIR_CHECKS = {
    PARAMETERS_AGREE: "Both processors' validations, where both are here, have the parameters that we expect.",
    PEER_VALIDATIONS_HOLD: "The other processor's validations, where they are here, are signed and whole.",
}
"""Checks of the asset whose runs read the pairs of validations, to decide which batches may stand in the set."""

_NOT_OF_THE_PEERS_VALIDATION = (
    BatchReason.OBJECT_MISSING,
    BatchReason.LEFT_OUT,
    BatchReason.OWN_RECORD_DAMAGED,
    BatchReason.PARAMETERS_DIFFER,
)
"""Reasons for which a batch is not ready although the other processor's validation holds, or is not here yet."""


def table_of_set(batches: Sequence[ListedBatch], window: Window) -> dict[str, Any]:
    """The batches of a set; a late one is of an earlier window."""
    records = [
        {
            "batch": str(listed.batch_uuid),
            "time": format_minute(from_ms(listed.batch_time)),
            "late": from_ms(listed.batch_time) < window.start,
            "repeated packets": len(listed.repeated),
        }
        for listed in batches
    ]
    return {
        keys.BATCHES_LATE: sum(record["late"] is True for record in records),
        keys.TABLE_OF_BATCHES: table(records, {"batch": str, "time": str, "late": bool, "repeated packets": int}),
    }


def decrypted_again_metadata(batches: Mapping[BatchName, TotalsFault]) -> dict[str, str]:
    """How many batches of the set had no totals that serve, why, and which engine verified their packets again."""
    if not batches:
        return {keys.DECRYPTED_AGAIN: "none"}
    return {keys.DECRYPTED_AGAIN: text_of_faults(batches.values())} | engine_metadata()


def check_of_unready(unready: Mapping[UUID, BatchRejected], key: dg.AssetKey) -> dg.AssetCheckResult:
    """Fails for batches that could not be used when the window was looked at."""
    first = next(iter(texts(unready).items()), None)
    return dg.AssetCheckResult(
        passed=not unready,
        check_name=ALL_BATCHES_READY,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(unready)} batches are not ready, the first {first[0]}: {first[1]}" if first else "all ready",
        metadata={keys.NOT_READY: fault_table(texts(unready))},
    )


def checks_of_pairs(unready: Mapping[UUID, BatchRejected], key: dg.AssetKey) -> list[dg.AssetCheckResult]:
    """The `PAIR_CHECKS`: of the batches that could not be used, those whose pair of validations is at fault."""
    differing = {uuid: why for uuid, why in unready.items() if why.reason == BatchReason.PARAMETERS_DIFFER}
    unusable = {uuid: why for uuid, why in unready.items() if why.reason not in _NOT_OF_THE_PEERS_VALIDATION}
    return [
        check_of_faults(PARAMETERS_AGREE, texts(differing), key),
        check_of_faults(PEER_VALIDATIONS_HOLD, texts(unusable), key),
    ]


def texts(unready: Mapping[UUID, BatchRejected]) -> dict[str, str]:
    """The batches and what is wrong with each, for people."""
    return {str(uuid): str(rejected) for uuid, rejected in unready.items()}
