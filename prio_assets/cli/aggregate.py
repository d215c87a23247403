"""`aggregate`: one share processor's sum part over the batches of a window."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from prio_assets.cli.logs import logger
from prio_assets.cli.options import (
    aggregation_id_option,
    aggregation_window_options,
    batch_signing_key_options,
    date_option,
    ingestor_key_options,
    instance_name_option,
    is_first_option,
    option,
    permit_malformed_batch_option,
    read_opener,
    read_signing_key,
    read_verification_keys,
    read_window,
    tell_engine,
    warn_of_permission,
)
from prio_assets.cli.parameters import BatchIdType, Secret, UnsignedType
from prio_assets.cli.storages import (
    FORMS,
    google_credentials_options,
    identity_option,
    make_root,
    open_storage,
    reference_storage_options,
)

if TYPE_CHECKING:
    from prio_assets.processor.one_shot_aggregation import Gathered
    from prio_assets.wire.names import BatchName


@click.command("aggregate", epilog=FORMS)
@is_first_option
@instance_name_option
@aggregation_id_option
@aggregation_window_options
@option(
    "batch-id",
    required=True,
    multiple=True,
    type=BatchIdType(),
    metavar="UUID",
    help="Identifier of a batch; repeated, in the order that the sum part is to name the batches.",
)
@date_option(
    "batch-time", required=True, multiple=True, help="Time of a batch, UTC: the first for the first --batch-id, etc."
)
@reference_storage_options("ingestor", "input", "Storage with the ingestor's batches.")
@ingestor_key_options
@batch_signing_key_options
@reference_storage_options("peer", "input", "Storage into which the peer writes its validations.")
@option(
    "peer-public-key",
    required=True,
    metavar="B64",
    help="Public half of the peer's signing key: base64 of a P-256 point or SPKI, or PEM.",
)
@option("peer-public-key-identifier", required=True, metavar="ID", help="Identifier of the peer's signing key.")
@reference_storage_options("portal", "output", "Storage for our sum parts, which the portal reads.")
@option(
    "own-input",
    metavar="PATH",
    help="Storage that intake kept its results in (`intake-batch --own-output`). Without it all shares are verified "
    "again.",
)
@identity_option("own", environment=False)
@google_credentials_options
@option(
    "minimum-clients",
    type=UnsignedType(31, minimum=1),
    default=1,
    show_default=True,
    metavar="INT",
    help="Fewest clients that a sum part may be over.",
)
@permit_malformed_batch_option
def command(
    is_first: bool,
    instance_name: str,
    aggregation_id: str,
    aggregation_start: datetime,
    aggregation_end: datetime,
    batch_id: tuple[UUID, ...],
    batch_time: tuple[datetime, ...],
    ingestor_input: str,
    ingestor_identity: str | None,
    ingestor_public_key: str,
    ingestor_public_key_identifier: str,
    packet_decryption_keys: tuple[Secret, ...],
    batch_signing_private_key: Secret,
    batch_signing_private_key_identifier: str | None,
    batch_signing_private_key_default_identifier: str | None,
    peer_input: str,
    peer_identity: str | None,
    peer_public_key: str,
    peer_public_key_identifier: str,
    portal_output: str,
    portal_identity: str | None,
    own_input: str | None,
    own_identity: str | None,
    minimum_clients: int,
    permit_malformed_batch: bool,
) -> None:
    """Sum our shares of the batches of a window, for the portal.

    Checks the proofs of every packet with the peer's validations, and writes the signed sum over the packets that
    count. A batch that is rejected, or that has no valid validation of the peer's, is left out, with the reason on
    stderr; so is one with other parameters than most. Nothing is overwritten.

    This keeps no ledger of what was summed. Two sums of a window over different batches, subtracted, reveal the few
    clients in between: sum each window once, and never as a processor that sums in Dagster too.
    """
    from prio_assets.processor.one_shot_aggregation import AggregationPlace, gather, seal_sum
    from prio_assets.processor.own_store import OwnStore
    from prio_assets.storage.base import copy_in_order
    from prio_assets.wire.names import sum_part_objects

    warn_of_permission(permit_malformed_batch)
    batches = pair_batches(aggregation_id, batch_id, batch_time)
    window = read_window(aggregation_start, aggregation_end)
    portal = open_storage(portal_output, portal_identity, "portal")
    opener = read_opener(is_first, ingestor_public_key, ingestor_public_key_identifier, packet_decryption_keys)
    place = AggregationPlace(
        ingestion=open_storage(ingestor_input, ingestor_identity, "ingestor"),
        peer_validations=open_storage(peer_input, peer_identity, "peer"),
        own=OwnStore(open_storage(own_input, own_identity, "own")) if own_input else None,
        opener=opener,
        signing_key=read_signing_key(
            batch_signing_private_key,
            batch_signing_private_key_identifier,
            batch_signing_private_key_default_identifier,
        ),
        peer_keys=read_verification_keys(peer_public_key, peer_public_key_identifier),
    )
    if place.own is None:
        logger.warning(
            "without --own-input all shares are verified again: the keys must be those of intake, or our sum is over "
            "other packets than the validations that the peer has"
        )
    tell_engine()
    gathered = gather(place, batches, window)
    warn(gathered)
    sealed = seal_sum(gathered, aggregation_id, window, minimum_clients, place.signing_key)
    objects = sum_part_objects(instance_name, aggregation_id, window, opener.server_index)
    make_root(portal)
    copy_in_order(portal, objects, sealed.three_objects())
    click.echo(summary(objects.header, gathered))


def pair_batches(aggregation: str, ids: tuple[UUID, ...], times: tuple[datetime, ...]) -> "list[BatchName]":
    """The batches in the order of the options."""
    from prio_assets.wire.names import BatchName

    if len(ids) != len(times):
        raise click.UsageError(
            f"{len(ids)} times --batch-id, but {len(times)} times --batch-time: give each batch both.",
            click.get_current_context(),
        )
    return [BatchName(aggregation, time, uuid) for uuid, time in zip(ids, times, strict=True)]


def warn(gathered: "Gathered") -> None:
    """Say what is not in the sum, and what was noticed."""
    for left_out in gathered.left_out:
        logger.warning("batch %s is left out: %s", left_out.batch.base, left_out.why)
    for batch, fault in gathered.decrypted_again.items():
        logger.warning("batch %s is decrypted again: the totals of intake are %s", batch.base, fault)
    if gathered.repeated:
        logger.warning(
            "%s packets are in more than one batch and count more than once, as they do at a peer without batch lists",
            gathered.repeated,
        )


def summary(name: str, gathered: "Gathered") -> str:
    """What is in the sum part, a line each."""
    from prio_assets.processor.totals import text_of_faults

    clients = sum(len(part.counted) for part in gathered.contributions)
    lines = [
        f"sum part  {name}",
        f"batches   {len(gathered.contributions)}, {len(gathered.left_out)} left out",
        f"clients   {clients}",
        f"decrypted again  {text_of_faults(gathered.decrypted_again.values()) or 'none'}",
        f"packets that do not count  {gathered.reasons.total()}",
    ]
    return "\n".join([*lines, *(f"  {reason.label}  {count}" for reason, count in sorted(gathered.reasons.items()))])
