"""`collect`: the portal's work for one window, two sum parts in, the statistic out."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from prio_assets.cli.logs import logger
from prio_assets.cli.options import (
    Decorator,
    aggregation_id_option,
    aggregation_window_options,
    instance_name_option,
    option,
    read_verification_keys,
    read_window,
    together,
)
from prio_assets.cli.storages import FORMS, google_credentials_options, open_storage, storage_option

if TYPE_CHECKING:
    from prio_assets.portal.collection import Statistic
    from prio_assets.storage.base import Store
    from prio_assets.wire.keys import VerificationKeys
    from prio_assets.wire.records import SumPart
    from prio_assets.wire.windows import Window

PHA_INDEX, FACILITATOR_INDEX = 0, 1


def party_options(party: str, title: str) -> Decorator:
    """Where a processor's sum parts are, and the key that they are signed with."""
    return together(
        storage_option(party, "input", environment=False, text=f"Storage with {title}'s sum parts."),
        option(
            f"{party}-public-key",
            required=True,
            metavar="B64",
            help=f"Public half of {title}'s signing key: base64 of a P-256 point or SPKI, or PEM.",
        ),
        option(
            f"{party}-public-key-identifier", required=True, metavar="ID", help=f"Identifier of {title}'s signing key."
        ),
    )


@click.command("collect", epilog=FORMS)
@instance_name_option
@aggregation_id_option
@aggregation_window_options
@party_options("pha", "the PHA")
@party_options("facilitator", "the facilitator")
@google_credentials_options
@option(
    "format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print the statistic.",
)
def command(
    instance_name: str,
    aggregation_id: str,
    aggregation_start: datetime,
    aggregation_end: datetime,
    pha_input: str,
    pha_identity: str | None,
    pha_public_key: str,
    pha_public_key_identifier: str,
    facilitator_input: str,
    facilitator_identity: str | None,
    facilitator_public_key: str,
    facilitator_public_key_identifier: str,
    format: str,
) -> None:
    """Add the two processors' sum parts into the statistic.

    Verifies both parts, checks that they are over the same batches with the same parameters, and prints how many
    clients had a 1 in each bin. Parts that do not belong together are refused. Where the counts of clients differ the
    lower one is printed, with a warning: a legacy peer counts clients with invalid proofs too.
    """
    from prio_assets.portal.collection import add_sum_parts

    window = read_window(aggregation_start, aggregation_end)
    pha_keys = read_verification_keys(pha_public_key, pha_public_key_identifier)
    facilitator_keys = read_verification_keys(facilitator_public_key, facilitator_public_key_identifier)
    check_two_parties(pha_keys, facilitator_keys)

    pha = open_storage(pha_input, pha_identity, "pha")
    facilitator = open_storage(facilitator_input, facilitator_identity, "facilitator")

    def read(index: int, store: "Store", keys: "VerificationKeys") -> "SumPart":
        return read_part(store, (instance_name, aggregation_id, window, index), keys)

    statistic = add_sum_parts(
        aggregation_id,
        window,
        read(PHA_INDEX, pha, pha_keys),
        read(FACILITATOR_INDEX, facilitator, facilitator_keys),
        legacy_peer=True,
    )
    for warning in statistic.warnings:
        logger.warning("%s", warning)
    click.echo(renderer(format)(statistic), nl=False)


def check_two_parties(pha: "VerificationKeys", facilitator: "VerificationKeys") -> None:
    """Refuse one key for both parties: with it, a copy of one sum part would pass for the other."""
    if any(key == other for key in pha.values() for other in facilitator.values()):
        raise click.UsageError(
            "--pha-public-key and --facilitator-public-key are one key: give each processor's own.",
            click.get_current_context(),
        )


def read_part(store: "Store", place: "tuple[str, str, Window, int]", keys: "VerificationKeys") -> "SumPart":
    """The verified sum part of one processor; `place` is instance, aggregation, window and index."""
    from prio_assets.storage.base import read_bytes
    from prio_assets.wire.batches import read_sum_part

    return read_sum_part(lambda name: read_bytes(store, name), *place, keys).header


def renderer(name: str) -> "Callable[[Statistic], str]":
    """The rendering of a format."""
    from prio_assets.portal import rendering

    return {"table": rendering.to_table, "json": rendering.to_json, "csv": rendering.to_csv}[name]
