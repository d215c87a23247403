"""The partition that a run is about."""

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import aggregation_and_window
from prio_assets.wire.windows import Window


def aggregation_and_window_of(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, settings: ProcessorConfiguration
) -> tuple[str, Window]:
    """The aggregation and the window of the run's partition."""
    return aggregation_and_window(context.partition_key, settings.period)
