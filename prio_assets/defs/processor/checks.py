"""The unpartitioned checks of a processor: what the discovery sensor reports when it changes, and anyone may execute.

They are of external assets, so that no run of a computed asset executes them.
"""

from collections.abc import Iterator

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.checks import unpartitioned_checks
from prio_assets.defs.failures import retried_if_operational
from prio_assets.defs.processor.findings import checks_of, findings
from prio_assets.defs.processor.look import LOOK_BACK, look_at
from prio_assets.defs.processor.names import ProcessorKeys
from prio_assets.defs.reports import result
from resources import ShareProcessorResource


def processor_checks(settings: ProcessorConfiguration) -> dg.AssetChecksDefinition:
    """All of them, executed together."""
    keys = ProcessorKeys(settings.name)
    specs = [
        spec for asset, checks in checks_of(settings).items() for spec in unpartitioned_checks(keys[asset], checks)
    ]

    @dg.multi_asset_check(name=f"{settings.name}__checks", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, processor: ShareProcessorResource
    ) -> Iterator[dg.AssetCheckResult]:
        with retried_if_operational():
            look = look_at(processor.keyless, look_back=LOOK_BACK)
            found = findings(look, processor.settings)
        for finding in found:
            key = dg.AssetCheckKey(dg.AssetKey.from_user_string(finding.asset), finding.check)
            if key in context.selected_asset_check_keys:
                yield result(context.instance, finding)

    return checks
