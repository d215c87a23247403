"""The storages that commands take as options: where each is, and as whom it is reached, with the reference's names."""

import os
from typing import TYPE_CHECKING

import click

from prio_assets.cli.options import Decorator, option, together
from prio_assets.cli.parameters import BooleanType, EmptyType, KeyFileType

if TYPE_CHECKING:
    from prio_assets.storage.access import Access
    from prio_assets.storage.base import Store
    from prio_assets.storage.urls import Bucket, Directory

FORMS = (
    "A storage is the path of a directory, s3://region/bucket/prefix or gs://bucket/prefix; the prefix may be left "
    "out. Clouds are reached with the credentials that their SDKs find: in the environment, in configuration files, or "
    "as the identity of the machine. AWS_ENDPOINT_URL names a store that is compatible with S3, STORAGE_EMULATOR_HOST "
    "an emulator of Google Cloud Storage."
)
"""What the help of a command that takes storages ends with."""

_ROLE_AS_ACCOUNT = (
    "a role is assumed with what the AWS SDK finds, which is no Google account: leave this empty, and set AWS_ROLE_ARN "
    "and AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_PROFILE to a profile with a credential_process"
)
_POOL_PROVIDER = (
    "the Google SDK reads a pool's provider from a credential configuration: leave this empty, and name the file that "
    "`gcloud iam workload-identity-pools create-cred-config` makes in GOOGLE_APPLICATION_CREDENTIALS"
)


def storage_option(party: str, direction: str, *, environment: bool, text: str) -> Decorator:
    """`--PARTY-input` or `--PARTY-output`: where the party's storage is, and `--PARTY-identity`."""
    return together(
        option(f"{party}-{direction}", environment=environment, required=True, metavar="PATH", help=text),
        identity_option(party, environment=environment),
    )


def identity_option(party: str, *, environment: bool) -> Decorator:
    """`--PARTY-identity`: as whom the party's storage is reached."""
    return option(
        f"{party}-identity",
        environment=environment,
        metavar="IAM_ROLE_OR_SERVICE_ACCOUNT",
        help="Role to assume (its ARN) in s3, service account to impersonate (its e-mail address) in gs."
        "  [default: whoever the SDK finds]",
    )


def reference_storage_options(party: str, direction: str, text: str) -> Decorator:
    """`storage_option` with the reference's other options; what an SDK does by settings of its own is refused so."""
    return together(
        storage_option(party, direction, environment=True, text=text),
        option(
            f"{party}-use-default-aws-credentials-provider",
            environment=True,
            type=BooleanType(),
            metavar="BOOL",
            expose_value=False,
            help="Accepted for the reference's scripts; credentials are always those that the AWS SDK finds.",
        ),
        option(
            f"{party}-gcp-sa-to-impersonate-before-assuming-role",
            environment=True,
            type=EmptyType(_ROLE_AS_ACCOUNT),
            expose_value=False,
            hidden=True,
        ),
    )


def _use_key_file(_context: click.Context, _option: click.Parameter, path: str) -> None:
    if path:
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = path


google_credentials_options = together(
    option(
        "gcp-service-account-key-file",
        environment=True,
        type=KeyFileType(),
        metavar="FILE",
        callback=_use_key_file,
        expose_value=False,
        help="Key of the service account for gs, which takes the place of GOOGLE_APPLICATION_CREDENTIALS.",
    ),
    option(
        "gcp-workload-identity-pool-provider",
        environment=True,
        type=EmptyType(_POOL_PROVIDER),
        expose_value=False,
        hidden=True,
    ),
)


def open_storage(url: str, identity: str | None, party: str) -> "Store":
    """The store of a party, reached as `identity`, the value of `--PARTY-identity`."""
    from prio_assets.storage.urls import open_store

    return open_store(url, _access(url, identity, party))


def make_root(store: "Store") -> None:
    """Create the directory to write to, and those above it, where they are missing; buckets are made by people."""
    from prio_assets.errors import StorageError
    from prio_assets.storage.local import LocalStore

    if not isinstance(store, LocalStore):
        return
    try:
        store.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create the directory {store.root}: {error.strerror or error}") from error


def open_output(url: str, identity: str | None, party: str) -> "Store":
    """As `open_storage`, with its root made."""
    store = open_storage(url, identity, party)
    make_root(store)
    return store


def _access(url: str, identity: str | None, party: str) -> "Access":
    from prio_assets.errors import ConfigurationError
    from prio_assets.storage.access import AMBIENT
    from prio_assets.storage.urls import parse_url

    place = parse_url(url)
    if not identity:
        return AMBIENT
    try:
        return _access_as(identity, place)
    except ConfigurationError as error:
        raise ConfigurationError(f"--{party}-identity: {error}") from None


def _access_as(identity: str, place: "Directory | Bucket") -> "Access":
    from prio_assets.errors import ConfigurationError
    from prio_assets.storage.access import Access, check_role, check_service_account
    from prio_assets.storage.urls import Directory

    if isinstance(place, Directory):
        raise ConfigurationError(f"{place.path} is a directory, which is reached as whoever runs this; leave it empty")
    if place.region is None:
        return Access(impersonate=check_service_account(identity))
    return Access(assume_role=check_role(identity))


def check_apart(first: str, second: str, message: str) -> None:
    """Refuse one storage, or one within the other, for two that must be apart."""
    from prio_assets.storage.urls import overlap, parse_url

    if overlap(parse_url(first), parse_url(second)):
        raise click.UsageError(message, click.get_current_context())
