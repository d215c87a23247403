"""The portal, as a resource."""

from functools import cached_property

import dagster as dg
from pydantic import Field

from prio_assets.configuration import PortalConfiguration, current_configuration
from prio_assets.errors import ConfigurationError
from prio_assets.portal.statistics import Portal
from resources.clock import ClockResource
from resources.storage import DAGSTER_CLIENTS


class PortalResource(dg.ConfigurableResource):
    """The portal of the configuration file, which is read at first use."""

    configuration: str = Field(description="The path of the configuration file.")
    clock: ClockResource

    @cached_property
    def settings(self) -> PortalConfiguration:
        """The portal's section of the file. Raises `ConfigurationError`."""
        portal = current_configuration(self.configuration).portal
        if portal is None:
            raise ConfigurationError(f"{self.configuration}: has no portal; add its section")
        return portal

    @cached_property
    def portal(self) -> Portal:
        """The portal with its storages, which are not read yet. Raises `ConfigurationError`."""
        return Portal(self.settings, self.settings.open_stores(DAGSTER_CLIENTS))
