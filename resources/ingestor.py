"""The simulated ingestor, as a resource."""

from functools import cached_property

import dagster as dg
from pydantic import Field

from prio_assets.configuration import IngestorConfiguration, current_configuration
from prio_assets.errors import ConfigurationError
from prio_assets.ingestor.simulation import IngestionStores
from resources.clock import ClockResource
from resources.storage import DAGSTER_CLIENTS


class IngestorResource(dg.ConfigurableResource):
    """The ingestor of the configuration file, which is read at first use."""

    configuration: str = Field(description="The path of the configuration file.")
    clock: ClockResource

    @cached_property
    def settings(self) -> IngestorConfiguration:
        """The ingestor's section of the file. Raises `ConfigurationError`."""
        ingestor = current_configuration(self.configuration).ingestor
        if ingestor is None:
            raise ConfigurationError(f"{self.configuration}: has no ingestor; add its section")
        return ingestor

    @cached_property
    def stores(self) -> IngestionStores:
        """The processors' ingestion storages, which are not written to yet. Raises `ConfigurationError`."""
        settings = self.settings
        return IngestionStores(
            settings.pha_ingestion.open(DAGSTER_CLIENTS), settings.facilitator_ingestion.open(DAGSTER_CLIENTS)
        )
