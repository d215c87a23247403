"""The definitions of one share processor."""

from pathlib import Path

import dagster as dg

from prio_assets.configuration import Configuration, ProcessorConfiguration
from prio_assets.defs.ingestor.assets import simulated_batches_key
from prio_assets.defs.processor.checks import processor_checks
from prio_assets.defs.processor.external import external_assets
from prio_assets.defs.processor.lists import batch_lists_asset
from prio_assets.defs.processor.sensors import discovery_sensor, runs_sensor
from prio_assets.defs.processor.sums import sum_parts_asset
from prio_assets.defs.processor.validations import own_validations_asset
from resources import ClockResource, ShareProcessorResource
from resources.storage import storage_resources


def processor_definitions(configuration: Configuration, name: str, path: Path) -> dg.Definitions:
    """Assets, checks and sensors of the processor `name` of the file at `path`."""
    settings = configuration.processors[name]
    peer = peer_of(configuration, settings)
    ingestor = configuration.ingestor
    written = [each.place for each in (ingestor.pha_ingestion, ingestor.facilitator_ingestion)] if ingestor else []
    simulated = settings.ingestion.place in written
    lists = [batch_lists_asset(settings)] if settings.peer_has_lists else []
    return dg.Definitions(
        assets=[
            *external_assets(
                settings,
                peer=peer,
                ingestor=simulated_batches_key(ingestor.name) if ingestor and simulated else None,
            ),
            own_validations_asset(settings),
            *lists,
            sum_parts_asset(settings),
        ],
        asset_checks=[processor_checks(settings)],
        sensors=[discovery_sensor(settings), runs_sensor(settings, peer)],
        resources={
            "processor": ShareProcessorResource(configuration=str(path), party=name, clock=ClockResource()),
            **storage_resources(name, settings),
        },
        executor=dg.in_process_executor,
    )


def peer_of(configuration: Configuration, settings: ProcessorConfiguration) -> str | None:
    """The name of the other processor of the same instance, if this deployment runs it too."""
    others = (
        other.name
        for other in configuration.processors.values()
        if other.instance == settings.instance and other.role != settings.role
    )
    return next(others, None)
