"""A look at the portal's storages: which parts are there, what can be added, what is alone. No Dagster."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from prio_assets.defs.partitions import is_partition_key
from prio_assets.errors import PrioAssetsError
from prio_assets.portal.statistics import Portal, SumParts, aggregations, digest_of_parts, look_at
from prio_assets.wire.windows import Window, window_of

HORIZON = timedelta(days=31)
"""Older windows are not looked at without being asked: a backfill still adds them."""


@dataclass(frozen=True)
class Look:
    """What was seen at `now`; `failures` says of an aggregation, or of "all aggregations", why it wasn't.

    `to_add` are the windows with both parts and no statistic, with what tells these parts from others.
    """

    now: datetime
    parts: Mapping[str, SumParts]
    to_add: Mapping[str, Mapping[Window, str]]
    failures: Mapping[str, str]


def look(portal: Portal, now: datetime) -> Look:
    """Look at every aggregation; a failure in one costs that one."""
    settings = portal.settings
    begin = max(settings.first_window, window_of(now - HORIZON, settings.period).start)
    end = window_of(now, settings.period).end
    parts: dict[str, SumParts] = {}
    to_add: dict[str, dict[Window, str]] = {}
    failures: dict[str, str] = {}
    try:
        found = aggregations(portal)
    except PrioAssetsError as error:
        return Look(now, parts, to_add, {"all aggregations": str(error)})
    for name in filter(is_partition_key, found):
        try:
            seen = look_at(portal, name, begin, end)
            pairs = sorted((seen.pha & seen.facilitator) - seen.published)
            to_add[name] = {window: digest_of_parts(portal, name, window) for window in pairs}
            parts[name] = seen
        except PrioAssetsError as error:
            failures[name] = str(error)
    return Look(now, parts, to_add, failures)


def alone(parts: SumParts) -> list[tuple[Window, str]]:
    """The windows with one part, and whose that is."""
    return sorted(
        [(window, "pha") for window in parts.pha - parts.facilitator]
        + [(window, "facilitator") for window in parts.facilitator - parts.pha]
    )
