"""The SDK's client for a region and an access: its settings, who it is, and what it makes of odd answers."""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, cast

import boto3
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.session import Session

from prio_assets.errors import StorageError
from prio_assets.storage import s3_errors
from prio_assets.storage.access import Access

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PRODUCT: Final = "prio-assets"
"""How we are named in the logs of the bucket's owner."""

_WITH_BODY: Final = ("ListObjectsV2", "CreateMultipartUpload", "CompleteMultipartUpload")
"""Operations whose every good answer has a body that the SDK reads whole."""

_REDIRECTIONS = (301, 302, 307)


@cache
def connect(region: str, access: Access) -> "S3Client":
    """The client for a region and an access, the same one for the same arguments. Raises `StorageError`."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": access.attempts},
        connect_timeout=access.connect_timeout,
        read_timeout=access.read_timeout,
        user_agent_extra=PRODUCT,
        s3={"addressing_style": "path"} if access.endpoint else None,
    )
    try:
        session = Session(profile=access.profile)
        if access.assume_role:
            roles = _AssumedRole(partial(_assume, region, access, config))
            session.register_component("credential_provider", CredentialResolver([roles]))
        client = boto3.Session(botocore_session=session, region_name=region).client(
            "s3", endpoint_url=access.endpoint, config=config
        )
    except (sdk.BotoCoreError, ValueError) as error:
        raise StorageError(f"no client for S3 in {region}: {s3_errors.explained(error)}") from error
    for operation in _WITH_BODY:
        client.meta.events.register(f"before-parse.s3.{operation}", _refuse_empty)
    client.meta.events.register("before-parse.s3.HeadBucket", _end_redirection)
    return cast("S3Client", client)


def attempts(client: "S3Client") -> int:
    """How often the client tries a request."""
    return int(client.meta.config.retries["total_max_attempts"])


def _refuse_empty(response_dict: Any, **_: Any) -> None:
    """Take an answer whose body was cut off before its first byte for a failure, which the SDK then repeats.

    It does so itself with a body that is cut off later. Of none, it makes a listing without objects.
    """
    if response_dict["status_code"] == 200 and not response_dict["body"]:
        response_dict["status_code"] = 500


def _end_redirection(response_dict: Any, **_: Any) -> None:
    """When a request is sent elsewhere, the SDK asks the bucket for its region, and would ask on for ever."""
    if response_dict["status_code"] in _REDIRECTIONS and "x-amz-bucket-region" not in response_dict["headers"]:
        response_dict["status_code"] = 400


class _AssumedRole(CredentialProvider):  # type: ignore[misc]  # the SDK has no types
    """The credentials of a role, which are fetched at first use and renewed before they expire."""

    METHOD = f"{PRODUCT}-assumed-role"

    def __init__(self, fetch: Callable[[], Any]) -> None:
        super().__init__()
        self._fetch = fetch

    def load(self) -> Any:
        return DeferredRefreshableCredentials(self._fetch, self.METHOD)


def _assume(region: str, access: Access, config: Config) -> Any:
    """Credentials of the role, which those of the profile assume, as they are now: they may have been renewed."""
    external_id = {"ExternalId": access.external_id} if access.external_id else {}
    try:
        source = Session(profile=access.profile)
        credentials = source.get_credentials()
        if credentials is None:
            raise sdk.NoCredentialsError
        return AssumeRoleCredentialFetcher(
            partial(source.create_client, region_name=region, endpoint_url=access.endpoint, config=config),
            credentials,
            access.assume_role,
            {"RoleSessionName": PRODUCT, **external_id},
        ).fetch_credentials()
    except sdk.ClientError as error:
        code = s3_errors.code_of(error)
        remedy = (
            "its owner must trust the identity that we have, and may demand the external id that was agreed"
            if code in s3_errors.ACCESS_DENIED
            else s3_errors.explained(error)
        )
        raise StorageError(
            f"cannot assume the role {access.assume_role} ({s3_errors.shown(code)}): {remedy}"
        ) from error
    except (sdk.BotoCoreError, ValueError) as error:
        raise StorageError(f"cannot assume the role {access.assume_role}: {s3_errors.explained(error)}") from error
