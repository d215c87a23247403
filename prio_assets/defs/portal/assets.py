"""The portal's assets: the two processors' sum parts, and the statistic that they add up to."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from prio_assets.configuration import PortalConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.checks import partitioned_checks
from prio_assets.defs.failures import RETRIES, retried_if_operational
from prio_assets.defs.partitions import aggregation_and_window, partitions_of
from prio_assets.defs.portal.names import (
    AGGREGATES,
    FACILITATOR_SUM_PARTS,
    PHA_SUM_PARTS,
    SUM_PARTS_AGREE,
    PortalKeys,
)
from prio_assets.defs.portal.plot import plot
from prio_assets.defs.processor.names import SUM_PARTS, ProcessorKeys
from prio_assets.defs.tables import MOST_ROWS, table
from prio_assets.errors import ObjectConflictError, ObjectMissingError, RefusedError
from prio_assets.portal.collection import Statistic
from prio_assets.portal.statistics import add_window, publish
from prio_assets.wire.names import StatisticObjects
from resources import PortalResource

DESCRIPTIONS = {
    PHA_SUM_PARTS: "The PHA's signed part of the window's sum, in our storage. Reported when it is there.",
    FACILITATOR_SUM_PARTS: "The facilitator's signed part of the window's sum, in our storage. Reported when it is "
    "there.",
}

CHECKS = {SUM_PARTS_AGREE: "Both sum parts are verified, over the same batches and of the same parameters."}


def sum_part_assets(settings: PortalConfiguration, pha: str | None, facilitator: str | None) -> list[dg.AssetSpec]:
    """The external assets; the processors are named if this deployment runs them too."""
    asset_keys = PortalKeys(settings.name, settings.instance)
    return [
        dg.AssetSpec(
            asset_keys[asset],
            deps=[ProcessorKeys(processor)[SUM_PARTS]] if processor else [],
            description=DESCRIPTIONS[asset],
            group_name=settings.name,
            kinds={"file"},
            partitions_def=partitions_of(settings.schedule),
        )
        for asset, processor in ((PHA_SUM_PARTS, pha), (FACILITATOR_SUM_PARTS, facilitator))
    ]


def aggregates_asset(settings: PortalConfiguration) -> dg.AssetsDefinition:
    """The computed asset: the statistic."""
    asset_keys, partitions = PortalKeys(settings.name, settings.instance), partitions_of(settings.schedule)
    key = asset_keys[AGGREGATES]

    @dg.multi_asset(
        name=f"{settings.name}__{AGGREGATES}",
        specs=[
            dg.AssetSpec(
                key,
                deps=[asset_keys[PHA_SUM_PARTS], asset_keys[FACILITATOR_SUM_PARTS]],
                description="The statistic of the window: how many clients had a 1 in each bin. Both sum parts added, "
                "and published as JSON and CSV.",
                group_name=settings.name,
                kinds={"python", "numpy", "csv"},
            )
        ],
        partitions_def=partitions,
        check_specs=partitioned_checks(key, CHECKS, partitions),
        retry_policy=RETRIES,
    )
    def aggregates(
        context: dg.AssetExecutionContext, portal: PortalResource
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        with retried_if_operational():
            aggregation, window = aggregation_and_window(context.partition_key, portal.settings.period)
            try:
                statistic = add_window(portal.portal, aggregation, window)
                objects = publish(portal.portal, statistic)
                refusal = ""
            except (RefusedError, ObjectConflictError) as error:
                refusal = str(error)
            except ObjectMissingError as error:
                raise dg.Failure(
                    description=f"a sum part is not there: the window is not summed yet, or is closed ({error})",
                    allow_retries=False,
                ) from error
        yield dg.AssetCheckResult(
            passed=not refusal,
            check_name=SUM_PARTS_AGREE,
            asset_key=key,
            description=refusal or "the sum parts belong together",
        )
        if refusal:
            yield dg.MaterializeResult(asset_key=key, metadata={keys.STATISTIC: "none", keys.REFUSED: refusal})
            return
        labels = portal.settings.labels.get(aggregation)
        yield dg.MaterializeResult(asset_key=key, metadata=statistic_metadata(statistic, objects, labels))

    return aggregates


def statistic_metadata(
    statistic: Statistic, objects: StatisticObjects, labels: tuple[str, ...] | None
) -> dict[str, Any]:
    """The statistic for people: who counted, a table and a picture of the counts."""
    if labels is not None and len(labels) != statistic.bins:
        labels = None
    names = labels or tuple(str(number) for number in range(statistic.bins))
    rows = [
        {
            "bin": name,
            "count": count,
            "share of clients": f"{count / statistic.clients:.1%}" if statistic.clients else "",
        }
        for name, count in zip(names[:MOST_ROWS], statistic.sum, strict=False)
    ]
    facts: dict[str, Any] = {
        keys.STATISTIC: "published",
        keys.CLIENTS: statistic.clients,
        keys.BATCHES: len(statistic.batch_ids),
        keys.BINS: statistic.bins,
        keys.EPSILON: statistic.epsilon,
        keys.OBJECTS: ", ".join(objects),
        keys.COUNTS: table(rows, {"bin": str, "count": int, "share of clients": str}),
        keys.PLOT: dg.MetadataValue.md(plot(statistic, labels)),
    }
    if statistic.warnings:
        facts[keys.WARNINGS] = "; ".join(statistic.warnings)
    return facts
