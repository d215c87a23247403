"""What the unpartitioned checks of the portal find."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg

from prio_assets.configuration import PortalConfiguration
from prio_assets.defs.partitions import partition_key
from prio_assets.defs.portal.look import Look, alone
from prio_assets.defs.portal.names import (
    BOTH_PARTS_ARRIVE,
    FACILITATOR_SUM_PARTS,
    PHA_SUM_PARTS,
    STORAGES_ANSWER,
    WINDOWS_FIT,
    PortalKeys,
)
from prio_assets.defs.reports import Finding
from prio_assets.settings import format_duration
from prio_assets.wire.names import sum_part_objects
from prio_assets.wire.windows import Window

CHECKS = {
    BOTH_PARTS_ARRIVE: "No window has had one sum part without the other for longer than the grace.",
    WINDOWS_FIT: "Each sum part is of a window of the instance's period.",
    STORAGES_ANSWER: "The portal's storages can be read.",
}
ASSETS = {"pha": PHA_SUM_PARTS, "facilitator": FACILITATOR_SUM_PARTS}
"""The external asset of each role's parts; the checks are of the PHA's."""

Since = Callable[[str, Window, str], datetime]
"""Since when an aggregation's window has had the part of this role."""


def findings(seen: Look, settings: PortalConfiguration, since: Since) -> list[Finding]:
    """One finding for each check."""
    asset = PortalKeys(settings.name, settings.instance)[PHA_SUM_PARTS].to_user_string()
    by_check = {
        BOTH_PARTS_ARRIVE: dict(_lonely(seen, settings, since)),
        WINDOWS_FIT: dict(_misnamed(seen, settings)),
        STORAGES_ANSWER: dict(seen.failures),
    }
    return [Finding(asset, check, faults, looked_everywhere=not seen.failures) for check, faults in by_check.items()]


def _lonely(seen: Look, settings: PortalConfiguration, since: Since) -> Iterator[tuple[str, str]]:
    for name, parts in seen.parts.items():
        for window, role in alone(parts):
            if seen.now - since(name, window, role) >= settings.grace:
                missing = "facilitator" if role == "pha" else "PHA"
                yield f"{name} {window.start:%Y-%m-%d %H:%M}", f"the {missing}'s sum part has not come"


def _misnamed(seen: Look, settings: PortalConfiguration) -> Iterator[tuple[str, str]]:
    """The sum parts that are passed over: no partition is theirs, or one that is another window's too."""
    for name, parts in seen.parts.items():
        for index, role in enumerate(ASSETS):
            for window in sorted(parts.misnamed[role]):
                header = sum_part_objects(settings.instance, name, window, index).header
                yield header, f"{window} is no window of the period {format_duration(settings.period)}"


def reported_since(instance: dg.DagsterInstance, settings: PortalConfiguration, now: datetime) -> Since:
    """Since the part was reported to this instance; one that wasn't yet is there since now."""
    keys = PortalKeys(settings.name, settings.instance)

    def since(aggregation: str, window: Window, role: str) -> datetime:
        wanted = dg.AssetRecordsFilter(
            asset_key=keys[ASSETS[role]], asset_partitions=[str(partition_key(aggregation, window))]
        )
        records = instance.fetch_materializations(wanted, limit=1, ascending=True).records
        return datetime.fromtimestamp(records[0].timestamp, UTC) if records else now

    return since
