"""An S3 client for Dagster, that of a storage of the configuration: for the parties here, and for assets of yours."""

from typing import TYPE_CHECKING, Self

from dagster_aws.s3 import S3Resource
from pydantic import Field

from prio_assets.errors import ConfigurationError
from prio_assets.storage.access import AMBIENT, Access
from prio_assets.storage.s3_client import connect

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NOT_TAKEN = (
    "use_unsigned_session",
    "use_ssl",
    "verify",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
)
"""What the resource of dagster-aws takes beyond ours: keys would stand in the UI, where everyone could read them."""


class S3StorageResource(S3Resource):
    """The client of one region and identity. Without any, boto3 finds it in the environment."""

    max_attempts: int = Field(default=AMBIENT.attempts, description="How often a request is tried.")
    assume_role: str | None = Field(default=None, description="The ARN of the role to assume.")
    external_id: str | None = Field(default=None, description="The external id that the role's owner demands.")
    connect_timeout: float = Field(default=AMBIENT.connect_timeout, description="Seconds to wait for a connection.")
    read_timeout: float = Field(default=AMBIENT.read_timeout, description="Seconds to wait for the next bytes.")

    @classmethod
    def of(cls, region: str, access: Access) -> Self:
        """The resource of a storage's settings."""
        return cls(
            region_name=region,
            endpoint_url=access.endpoint,
            assume_role=access.assume_role,
            external_id=access.external_id,
            profile_name=access.profile,
            max_attempts=access.attempts,
            connect_timeout=access.connect_timeout,
            read_timeout=access.read_timeout,
        )

    def get_client(self) -> "S3Client":
        """The client, which knows roles and time limits. Raises `ConfigurationError`."""
        for name in NOT_TAKEN:
            if getattr(self, name) != S3Resource.model_fields[name].default:
                raise ConfigurationError(f"{name} has no meaning here; remove it, or use the resource of dagster-aws")
        if self.region_name is None:
            raise ConfigurationError("region_name is missing; give the region of the bucket")
        access = Access(
            endpoint=self.endpoint_url,
            assume_role=self.assume_role,
            external_id=self.external_id,
            profile=self.profile_name,
            attempts=self.max_attempts,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )
        return connect(self.region_name, access)
