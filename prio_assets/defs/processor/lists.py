"""The asset `batch_lists`: our proposal of the batches to sum, or our answer, which is the set that both sum."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.checks import partitioned_checks
from prio_assets.defs.failures import RETRIES, retried_if_operational
from prio_assets.defs.partitions import partitions_of
from prio_assets.defs.processor.names import (
    ALL_BATCHES_READY,
    BATCH_LISTS,
    OWN_VALIDATIONS,
    PEER_BATCH_LISTS,
    PEER_VALIDATIONS,
    ProcessorKeys,
)
from prio_assets.defs.processor.partition import aggregation_and_window_of
from prio_assets.defs.processor.set_report import PAIR_CHECKS, check_of_unready, checks_of_pairs, table_of_set
from prio_assets.defs.processor.validation_report import text_of_checks
from prio_assets.processor.agreement import Agreement, make_own_list
from prio_assets.wire.names import batch_list
from prio_assets.wire.windows import Window
from resources import ShareProcessorResource

DESCRIPTIONS = {
    0: "Our proposal of the batches that the window is summed over, sent to the other processor; the batches of its "
    "answer are the set. Written once.",
    1: "Our answer to the other processor's proposal: the set of batches that both sum. Written once.",
}

CHECKS = {
    ALL_BATCHES_READY: "Every batch that could stand in the list is ready: validated by both, with the same "
    "parameters, and sent.",
} | PAIR_CHECKS


class ListOverrides(dg.Config):
    """What an operator decides about the list of this window."""

    minimum_clients: int | None = Field(default=None, ge=1, description="The minimum of clients for this window alone.")


def batch_lists_asset(settings: ProcessorConfiguration) -> dg.AssetsDefinition:
    """The asset for one processor whose peer knows lists."""
    asset_keys, partitions = ProcessorKeys(settings.name), partitions_of(settings.schedule)
    key = asset_keys[BATCH_LISTS]
    proposals = [asset_keys[PEER_BATCH_LISTS]] if settings.server_index == 1 else []

    @dg.multi_asset(
        name=f"{settings.name}__{BATCH_LISTS}",
        specs=[
            dg.AssetSpec(
                key,
                deps=[asset_keys[OWN_VALIDATIONS], asset_keys[PEER_VALIDATIONS], *proposals],
                description=DESCRIPTIONS[settings.server_index],
                group_name=settings.name,
                kinds={"python"},
            )
        ],
        partitions_def=partitions,
        check_specs=partitioned_checks(key, CHECKS, partitions),
        retry_policy=RETRIES,
    )
    def batch_lists(
        context: dg.AssetExecutionContext, config: ListOverrides, processor: ShareProcessorResource
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        with retried_if_operational():
            aggregation, window = aggregation_and_window_of(context, processor.settings)
            agreement = make_own_list(processor.processor, aggregation, window, config.minimum_clients)
            checks = [check_of_unready(agreement.unready, key), *checks_of_pairs(agreement.unready, key)]
            facts = list_metadata(processor.settings, aggregation, window, agreement) | overridden(config)
        yield from checks
        yield dg.MaterializeResult(asset_key=key, metadata=facts | {keys.CHECKS: text_of_checks(checks)})

    return batch_lists


def overridden(config: ListOverrides) -> dict[str, Any]:
    """The operator's overrides, where there are any."""
    return {} if config.minimum_clients is None else {keys.OVERRIDES: dg.MetadataValue.json(config.model_dump())}


def list_metadata(
    settings: ProcessorConfiguration, aggregation: str, window: Window, agreement: Agreement
) -> dict[str, Any]:
    """What a person wants to know of the list."""
    own = agreement.own_list
    kind = "proposal" if settings.server_index == 0 else "answer"
    facts: dict[str, Any] = {keys.LIST: kind if own else "none"}
    if agreement.waiting:
        facts[keys.WAITS_FOR] = agreement.waiting
    if agreement.entry:
        facts[keys.LEDGER_ENTRY] = agreement.entry.number
    if own is None:
        return facts
    return (
        facts
        | {
            keys.BATCHES: len(own.batches),
            keys.MINIMUM_CLIENTS: own.minimum_clients,
            keys.BINS: own.bins,
            keys.OBJECT: batch_list(aggregation, window, settings.server_index),
        }
        | table_of_set(own.batches, window)
    )
