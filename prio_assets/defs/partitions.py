"""The partitions that every asset has: an aggregation, and a window of time.

Their names are for ever: a partition that is called otherwise later loses its history.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from prio_assets.configuration import Instance
from prio_assets.errors import ConfigurationError
from prio_assets.settings import format_duration
from prio_assets.wire.windows import Window

AGGREGATION = "aggregation"
WINDOW = "window"
WINDOW_FORMAT = "%Y-%m-%d-%H:%M"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

_NOT_IN_KEYS = ("|", "...")


def partitions_of(instance: Instance) -> dg.MultiPartitionsDefinition:
    """The partitions of an instance, which both processors and the portal share; the current window is one of them."""
    return dg.MultiPartitionsDefinition(
        {
            AGGREGATION: dg.DynamicPartitionsDefinition(name=instance.name),
            WINDOW: dg.TimeWindowPartitionsDefinition(
                start=instance.first_window,
                fmt=WINDOW_FORMAT,
                cron_schedule=cron_schedule(instance.period),
                timezone="UTC",
                end_offset=1,
            ),
        }
    )


def cron_schedule(period: timedelta) -> str:
    """The starts of the windows as a cron schedule. `ConfigurationError` where one schedule cannot say them."""
    if not timedelta(days=1) % period:
        if not period % HOUR:
            return f"0 */{period // HOUR} * * *" if period < timedelta(days=1) else "0 0 * * *"
        if not HOUR % period and not period % MINUTE:
            return f"*/{period // MINUTE} * * * *"
    raise ConfigurationError(
        f"the period {format_duration(period)} cannot be one of Dagster's schedules; take whole hours of which a whole "
        "number makes 24h, or minutes of which a whole number makes 1h"
    )


def partition_key(aggregation: str, window: Window) -> dg.MultiPartitionKey:
    """The key of a window of an aggregation."""
    return dg.MultiPartitionKey({AGGREGATION: aggregation, WINDOW: window.start.strftime(WINDOW_FORMAT)})


def aggregation_and_window(key: str, period: timedelta) -> tuple[str, Window]:
    """What a key made by `partition_key` (or by Dagster, as text) stands for."""
    aggregation, _, text = key.rpartition("|")
    start = datetime.strptime(text, WINDOW_FORMAT).replace(tzinfo=UTC)
    return aggregation, Window(start, start + period)


def is_partition_key(aggregation: str) -> bool:
    """Whether Dagster can have a partition of this name."""
    return bool(aggregation) and aggregation.isprintable() and not any(text in aggregation for text in _NOT_IN_KEYS)
