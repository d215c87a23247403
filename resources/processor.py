"""A share processor, as a resource."""

from functools import cached_property

import dagster as dg
from pydantic import Field

from prio_assets.configuration import ProcessorConfiguration, current_configuration
from prio_assets.errors import ConfigurationError
from prio_assets.processor.processor import KeylessProcessor, ShareProcessor, load_keyless, load_processor
from resources.clock import ClockResource
from resources.storage import DAGSTER_CLIENTS


class ShareProcessorResource(dg.ConfigurableResource):
    """One processor of the configuration file; file and secrets are read at first use."""

    configuration: str = Field(description="The path of the configuration file.")
    party: str = Field(description="The processor's name in it.")
    clock: ClockResource

    @cached_property
    def settings(self) -> ProcessorConfiguration:
        """The processor's section of the file. Raises `ConfigurationError`."""
        processors = current_configuration(self.configuration).processors
        if self.party not in processors:
            raise ConfigurationError(f"{self.configuration}: has no processor {self.party}; name one of its processors")
        return processors[self.party]

    @property
    def keyless(self) -> KeylessProcessor:
        """The processor without its keys: enough to look. Raises `ConfigurationError`."""
        return load_keyless(self.settings, self.clock.clock, DAGSTER_CLIENTS)

    @cached_property
    def processor(self) -> ShareProcessor:
        """The processor with its keys. Raises `ConfigurationError` that names the secret which is missing."""
        return load_processor(self.settings, self.clock.clock, DAGSTER_CLIENTS)
