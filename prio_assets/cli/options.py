"""Options that several commands share, with the reference's names and environment variables."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prio_assets.cli.parameters import AggregationType, EmptyType, MinuteType, Secret, SecretType

if TYPE_CHECKING:
    from prio_assets.storage.base import Store
    from prio_assets.wire.keys import SigningKey

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(name: str, *, environment: bool = False, **attributes: Any) -> Decorator:
    """The option `--name`, whose environment variable, if it has one, is the name in upper snake case."""
    variable = name.upper().replace("-", "_") if environment else None
    return click.option(f"--{name}", envvar=variable, show_envvar=environment, **attributes)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, shown in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for single in reversed(options):
            function = single(function)
        return function

    return decorate


def boolean_option(name: str, **attributes: Any) -> Decorator:
    """An option that takes `true` or `false`."""
    return option(name, type=click.BOOL, metavar="BOOL", **attributes)


def date_option(name: str, **attributes: Any) -> Decorator:
    """An option that takes a minute in UTC."""
    return option(name, type=MinuteType(), metavar="YYYY/MM/DD/HH/MM", **attributes)


def storage_option(name: str, *, environment: bool, text: str) -> Decorator:
    """A required option that takes a storage's place, today the path of a directory."""
    return option(name, environment=environment, required=True, metavar="PATH", help=text)


def unused_identity_option(name: str) -> Decorator:
    """An identity for a cloud storage: scripts give an empty one for directories, which changes nothing."""
    return option(name, environment=True, type=EmptyType(), expose_value=False, hidden=True)


instance_name_option = option(
    "instance-name",
    environment=True,
    required=True,
    metavar="NAME",
    help="Name of the pair of processors, {locality}-{ingestor}.",
)

aggregation_id_option = option(
    "aggregation-id", required=True, type=AggregationType(), metavar="ID", help="Name of the aggregation."
)

aggregation_window_options = together(
    date_option("aggregation-start", required=True, help="Beginning of the window, UTC."),
    date_option("aggregation-end", required=True, help="End of the window, UTC; it does not belong to it."),
)

batch_signing_key_options = together(
    option(
        "batch-signing-private-key",
        environment=True,
        required=True,
        type=SecretType(),
        metavar="B64_PKCS8",
        help="Key that signs the batches: base64 of a PKCS#8 P-256 key.",
    ),
    option(
        "batch-signing-private-key-identifier",
        environment=True,
        metavar="ID",
        help="Identifier of the signing key, by which readers find its public half.",
    ),
    option(
        "batch-signing-private-key-default-identifier",
        environment=True,
        metavar="ID",
        help="Identifier of the signing key where no other is given.",
    ),
)


def read_signing_key(private_key: Secret, identifier: str | None, default_identifier: str | None) -> "SigningKey":
    """The key that `batch_signing_key_options` describe; one of the identifiers is needed."""
    from prio_assets.wire.keys import parse_signing_key

    chosen = identifier or default_identifier
    if not chosen:
        raise click.UsageError("Missing option '--batch-signing-private-key-identifier'.", click.get_current_context())
    return parse_signing_key(chosen, private_key.reveal())


def open_output(url: str) -> "Store":
    """The store to write to; a directory that is missing is created."""
    from prio_assets.storage.local import LocalStore
    from prio_assets.storage.urls import open_store

    store = open_store(url)
    if isinstance(store, LocalStore):
        make_directory(store.root)
    return store


def make_directory(path: Path) -> None:
    """Create the directory and those above it where they are missing."""
    from prio_assets.errors import StorageError

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create the directory {path}: {error.strerror or error}") from error
