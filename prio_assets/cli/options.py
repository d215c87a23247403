"""Options that several commands share, with the reference's names and environment variables."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from prio_assets.cli.logs import logger
from prio_assets.cli.parameters import (
    AggregationType,
    BooleanType,
    InstanceType,
    MinuteType,
    Secret,
    SecretType,
)

if TYPE_CHECKING:
    from prio_assets.configuration import ProcessorConfiguration
    from prio_assets.processor.ingestion import Opener
    from prio_assets.processor.processor import KeylessProcessor
    from prio_assets.wire.keys import SigningKey, VerificationKeys
    from prio_assets.wire.windows import Window

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
    return option(name, type=BooleanType(), metavar="BOOL", **attributes)


def date_option(name: str, **attributes: Any) -> Decorator:
    """An option that takes a minute in UTC."""
    return option(name, type=MinuteType(), metavar="YYYY/MM/DD/HH/MM", **attributes)


instance_name_option = option(
    "instance-name",
    environment=True,
    required=True,
    type=InstanceType(),
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


def read_window(start: datetime, end: datetime) -> "Window":
    """The window that `aggregation_window_options` describe, if it is one."""
    from prio_assets.wire.windows import Window

    if start >= end:
        raise click.UsageError("--aggregation-end is not after --aggregation-start.", click.get_current_context())
    return Window(start, end)


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


is_first_option = boolean_option(
    "is-first",
    environment=True,
    required=True,
    help="Whether this is the first processor (the PHA); the facilitator is the second.",
)

ingestor_key_options = together(
    option(
        "ingestor-public-key",
        required=True,
        metavar="B64",
        help="Public half of the ingestor's signing key: base64 of a P-256 point or SPKI, or PEM.",
    ),
    option("ingestor-public-key-identifier", required=True, metavar="ID", help="Identifier of the ingestor's key."),
    option(
        "packet-decryption-keys",
        environment=True,
        required=True,
        multiple=True,
        type=SecretType(),
        metavar="B64",
        help="Keys that packets may be encrypted to, tried in this order; may be repeated, or separated by commas.",
    ),
)

permit_malformed_batch_option = boolean_option(
    "permit-malformed-batch",
    environment=True,
    default=False,
    help="Accepted for the reference's scripts; changes nothing, a batch that does not verify is never used.",
)


def warn_of_permission(permit_malformed_batch: bool) -> None:
    """Say that `permit_malformed_batch_option` has no effect, where it is set."""
    if permit_malformed_batch:
        logger.warning(
            "--permit-malformed-batch has no effect: a batch whose signature or digest does not hold is never used"
        )


def read_opener(
    is_first: bool, public_key: str, public_key_identifier: str, packet_decryption_keys: tuple[Secret, ...]
) -> "Opener":
    """What it takes to read shares, from `is_first_option` and `ingestor_key_options`."""
    from prio_assets.prio.choice import choose_engine
    from prio_assets.processor.ingestion import Opener
    from prio_assets.wire.keys import parse_packet_decryption_key

    texts = [text for secret in packet_decryption_keys for text in secret.reveal().split(",") if text.strip()]
    if not texts:
        raise click.UsageError("Option '--packet-decryption-keys' holds no key.", click.get_current_context())
    packet_keys = [parse_packet_decryption_key(text) for text in texts]
    ingestor_keys = read_verification_keys(public_key, public_key_identifier)
    return Opener(0 if is_first else 1, ingestor_keys, packet_keys, choose_engine().engine)


def tell_engine() -> None:
    """Say which engine is about to verify packets, and why it is no faster one."""
    from prio_assets.prio.choice import choose_engine

    engine, reasons = choose_engine()
    logger.info("engine: %s%s", engine.name, f"; no faster one: {'; '.join(reasons)}" if reasons else "")


def read_verification_keys(public_key: str, identifier: str) -> "VerificationKeys":
    """The one key of another party, as options give it."""
    from prio_assets.wire.keys import parse_verification_key

    return {identifier: parse_verification_key(public_key)}


configuration_option = click.option(
    "--configuration",
    envvar="PRIO_CONFIG",
    show_envvar=True,
    default="demo/prio.yaml",
    show_default=True,
    metavar="PATH",
    help="The configuration file.",
)

one_processor_options = together(
    configuration_option,
    option("processor", metavar="NAME", help="Name of the processor in it; may be left out where it has only one."),
)

any_processor_options = together(
    configuration_option, option("processor", metavar="NAME", help="Name of a processor in it.  [default: all]")
)


def read_processors(configuration: str, name: str | None) -> "list[KeylessProcessor]":
    """The processors of a configuration file, or the one of this name; no private key is read."""
    from prio_assets.clock import system_clock
    from prio_assets.configuration import load_configuration
    from prio_assets.errors import ConfigurationError
    from prio_assets.processor.processor import load_keyless

    found: dict[str, ProcessorConfiguration] = load_configuration(configuration).processors
    if name is not None and name not in found:
        raise ConfigurationError(f"{configuration} has no processor {name}, but {', '.join(found) or 'none at all'}")
    return [load_keyless(settings, system_clock) for key, settings in found.items() if name in (None, key)]


def read_processor(configuration: str, name: str | None) -> "KeylessProcessor":
    """The processor of this name, or the only one."""
    from prio_assets.errors import ConfigurationError

    found = read_processors(configuration, name)
    if not found:
        raise ConfigurationError(f"{configuration} has no processor")
    if len(found) > 1:
        known = ", ".join(processor.settings.name for processor in found)
        raise click.UsageError(f"Give --processor, one of {known}.", click.get_current_context())
    return found[0]
