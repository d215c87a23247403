"""The definitions of the portal."""

from pathlib import Path

import dagster as dg

from prio_assets.configuration import Configuration, PortalConfiguration
from prio_assets.defs.portal.assets import aggregates_asset, sum_part_assets
from prio_assets.defs.portal.checks import portal_checks
from prio_assets.defs.portal.sensors import portal_sensor
from resources import ClockResource, PortalResource
from resources.storage import storage_resources


def portal_definitions(configuration: Configuration, settings: PortalConfiguration, path: Path) -> dg.Definitions:
    """Assets, checks and the sensor of the portal of the file at `path`."""
    processors = {
        processor.role: processor.name
        for processor in configuration.processors.values()
        if processor.instance == settings.instance
    }
    return dg.Definitions(
        assets=[
            *sum_part_assets(settings, processors.get("pha"), processors.get("facilitator")),
            aggregates_asset(settings),
        ],
        asset_checks=[portal_checks(settings)],
        sensors=[portal_sensor(settings)],
        resources={
            "portal": PortalResource(configuration=str(path), clock=ClockResource()),
            **storage_resources(settings.name, settings),
        },
        executor=dg.in_process_executor,
    )
