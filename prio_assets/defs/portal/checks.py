"""The unpartitioned checks of the portal: what its sensor reports when it changes, and anyone may execute."""

from collections.abc import Iterator

import dagster as dg

from prio_assets.configuration import PortalConfiguration
from prio_assets.defs.checks import unpartitioned_checks
from prio_assets.defs.failures import retried_if_operational
from prio_assets.defs.portal.findings import CHECKS, findings, reported_since
from prio_assets.defs.portal.look import look
from prio_assets.defs.portal.names import PHA_SUM_PARTS, PortalKeys
from prio_assets.defs.reports import result
from resources import PortalResource


def portal_checks(settings: PortalConfiguration) -> dg.AssetChecksDefinition:
    """All of them, executed together."""
    asset = PortalKeys(settings.name, settings.instance)[PHA_SUM_PARTS]

    @dg.multi_asset_check(name=f"{settings.name}__checks", specs=unpartitioned_checks(asset, CHECKS), can_subset=True)
    def checks(context: dg.AssetCheckExecutionContext, portal: PortalResource) -> Iterator[dg.AssetCheckResult]:
        with retried_if_operational():
            seen = look(portal.portal, portal.clock.clock())
            found = findings(seen, portal.settings, reported_since(context.instance, portal.settings, seen.now))
        for finding in found:
            if dg.AssetCheckKey(asset, finding.check) in context.selected_asset_check_keys:
                yield result(context.instance, finding)

    return checks
