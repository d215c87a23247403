"""The definitions of the simulated ingestor."""

from pathlib import Path

import dagster as dg

from prio_assets.configuration import Configuration, IngestorConfiguration
from prio_assets.defs.ingestor.assets import simulated_batches_asset
from prio_assets.errors import ConfigurationError
from resources import ClockResource, IngestorResource
from resources.storage import storage_resources


def ingestor_definitions(configuration: Configuration, settings: IngestorConfiguration, path: Path) -> dg.Definitions:
    """The asset of the simulated ingestor of the file at `path`."""
    readers = (
        processor
        for processor in configuration.processors.values()
        if processor.ingestion.place == settings.pha_ingestion.place
    )
    reader = next(readers, None)
    if reader is None:
        raise ConfigurationError(
            f"{path}: no processor reads {settings.pha_ingestion}, which the ingestor writes; only such a processor "
            "tells it windows and parameters"
        )
    return dg.Definitions(
        assets=[simulated_batches_asset(settings.name, reader)],
        resources={
            "ingestor": IngestorResource(configuration=str(path), clock=ClockResource()),
            **storage_resources(settings.name, settings),
        },
        executor=dg.in_process_executor,
    )
