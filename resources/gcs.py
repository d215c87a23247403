"""A client of Google Cloud Storage for Dagster, that of a storage of the configuration; for assets of yours, too."""

from typing import TYPE_CHECKING, Self

from dagster_gcp import GCSResource
from pydantic import Field

from prio_assets.errors import ConfigurationError
from prio_assets.storage.access import AMBIENT, Access
from prio_assets.storage.gcs import connect

if TYPE_CHECKING:
    from google.cloud.storage import Client


class GCSStorageResource(GCSResource):
    """The client of one identity. Without any, it is the one of Google's application default credentials."""

    endpoint: str | None = Field(default=None, description="Another server than Google's: an emulator.")
    impersonate: str | None = Field(default=None, description="The e-mail address of the service account to act as.")
    attempts: int = Field(default=AMBIENT.attempts, description="How often a request is tried.")
    connect_timeout: float = Field(default=AMBIENT.connect_timeout, description="Seconds to wait for a connection.")
    read_timeout: float = Field(default=AMBIENT.read_timeout, description="Seconds to wait for the next bytes.")

    @classmethod
    def of(cls, access: Access) -> Self:
        """The resource of a storage's settings."""
        return cls(
            endpoint=access.endpoint,
            impersonate=access.impersonate,
            attempts=access.attempts,
            connect_timeout=access.connect_timeout,
            read_timeout=access.read_timeout,
        )

    def get_client(self) -> "Client":
        """The client, which knows impersonation and time limits. Raises `ConfigurationError`."""
        if self.project is not None:
            raise ConfigurationError("project has no meaning here, buckets are found without; remove it")
        access = Access(
            endpoint=self.endpoint,
            impersonate=self.impersonate,
            attempts=self.attempts,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )
        return connect(access)
