"""The asset `sum_parts`: this processor's part of the sum over the window's set, signed, for the portal."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.checks import partitioned_checks
from prio_assets.defs.failures import RETRIES, retried_if_operational
from prio_assets.defs.partitions import partitions_of
from prio_assets.defs.processor.batch_table import text_of_counts
from prio_assets.defs.processor.names import (
    ALL_BATCHES_READY,
    BATCH_LISTS,
    OWN_VALIDATIONS,
    PEER_BATCH_LISTS,
    PEER_VALIDATIONS,
    SUM_PARTS,
    ProcessorKeys,
)
from prio_assets.defs.processor.partition import aggregation_and_window_of
from prio_assets.defs.processor.set_report import (
    PAIR_CHECKS,
    check_of_unready,
    checks_of_pairs,
    decrypted_again_metadata,
    table_of_set,
    texts,
)
from prio_assets.defs.processor.validation_report import fault_table, text_of_checks
from prio_assets.processor.window_sum import Override, WindowSum, sum_window
from prio_assets.wire.names import sum_part_objects
from prio_assets.wire.windows import Window
from resources import ShareProcessorResource

CHECKS = {ALL_BATCHES_READY: "Every batch that could be summed was ready when the window was decided."}
CHECKS_WITHOUT_LISTS = CHECKS | PAIR_CHECKS
"""Toward a peer without lists it is this asset whose runs decide."""


class SumOverrides(dg.Config):
    """What an operator decides about the sum of this window."""

    minimum_clients: int | None = Field(
        default=None, ge=1, description="With a peer without lists: the minimum of clients for this window alone."
    )
    despite_stop: bool = Field(
        default=False,
        description="With a peer without lists: sum what is ready now, though the peer may have summed another set.",
    )


def sum_parts_asset(settings: ProcessorConfiguration) -> dg.AssetsDefinition:
    """The asset for one processor."""
    asset_keys, partitions = ProcessorKeys(settings.name), partitions_of(settings.schedule)
    key = asset_keys[SUM_PARTS]
    lists = [BATCH_LISTS, PEER_BATCH_LISTS] if settings.peer_has_lists else [PEER_VALIDATIONS]

    @dg.multi_asset(
        name=f"{settings.name}__{SUM_PARTS}",
        specs=[
            dg.AssetSpec(
                key,
                deps=[asset_keys[asset] for asset in (OWN_VALIDATIONS, *lists)],
                description="Our signed part of the window's sum, for the portal. Alone it is random; computed again, "
                "it is the same.",
                group_name=settings.name,
                kinds={"python", "numpy"},
            )
        ],
        partitions_def=partitions,
        check_specs=partitioned_checks(key, CHECKS if settings.peer_has_lists else CHECKS_WITHOUT_LISTS, partitions),
        retry_policy=RETRIES,
    )
    def sum_parts(
        context: dg.AssetExecutionContext, config: SumOverrides, processor: ShareProcessorResource
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        with retried_if_operational():
            aggregation, window = aggregation_and_window_of(context, processor.settings)
            override = Override(config.minimum_clients, config.despite_stop)
            result = sum_window(processor.processor, aggregation, window, override)
        checks = [check_of_unready(result.unready, key)]
        if not processor.settings.peer_has_lists:
            checks += checks_of_pairs(result.unready, key)
        yield from checks
        if result.entry is None:
            raise undecided(aggregation, window, result)
        facts = sum_metadata(processor.settings, aggregation, window, result)
        if override != Override():
            facts[keys.OVERRIDES] = dg.MetadataValue.json(config.model_dump())
        yield dg.MaterializeResult(asset_key=key, metadata=facts | {keys.CHECKS: text_of_checks(checks)})

    return sum_parts


def undecided(aggregation: str, window: Window, result: WindowSum) -> dg.Failure:
    """The run's end where nothing is decided about the window yet."""
    return dg.Failure(
        description=f"nothing is decided about {aggregation} from {window.start:%Y-%m-%d %H:%M} to "
        f"{window.end:%H:%M} UTC yet; missing: {result.waiting}",
        metadata={keys.WAITS_FOR: result.waiting or "", keys.NOT_READY: fault_table(texts(result.unready))},
        allow_retries=False,
    )


def sum_metadata(
    settings: ProcessorConfiguration, aggregation: str, window: Window, result: WindowSum
) -> dict[str, Any]:
    """What a person wants to know of the sum part; the sum itself is a share, and stays out."""
    if result.entry is None or result.header is None:
        number = result.entry.number if result.entry else 0
        return {keys.SUM: "none", keys.SET: "empty: the window is closed without a sum", keys.LEDGER_ENTRY: number}
    header = result.header
    reasons = {reason.label: count for reason, count in result.reasons.items()}
    return {
        keys.SUM: "written",
        keys.CLIENTS: header.total_individual_clients,
        keys.BATCHES: len(header.batch_uuids),
        keys.PACKETS_NOT_COUNTED: text_of_counts(reasons) or "none",
        keys.BINS: header.bins,
        keys.EPSILON: header.epsilon,
        keys.MINIMUM_CLIENTS: result.entry.minimum_clients,
        keys.LEDGER_ENTRY: result.entry.number,
        keys.OBJECTS: ", ".join(sum_part_objects(settings.instance, aggregation, window, settings.server_index)),
        **decrypted_again_metadata(result.decrypted_again),
    } | table_of_set(result.entry.batches, window)
