"""`intake-batch`: one share processor's intake of one ingestion batch."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from prio_assets.cli.options import (
    aggregation_id_option,
    batch_signing_key_options,
    boolean_option,
    date_option,
    ingestor_key_options,
    instance_name_option,
    is_first_option,
    option,
    permit_malformed_batch_option,
    read_opener,
    read_signing_key,
    tell_engine,
    warn_of_permission,
)
from prio_assets.cli.parameters import BatchIdType, Secret
from prio_assets.cli.storages import (
    FORMS,
    check_apart,
    google_credentials_options,
    identity_option,
    open_output,
    open_storage,
    reference_storage_options,
)

if TYPE_CHECKING:
    from prio_assets.processor.one_shot_intake import OneShotIntake
    from prio_assets.wire.names import BatchName


@click.command("intake-batch", epilog=FORMS)
@is_first_option
@instance_name_option
@aggregation_id_option
@option("batch-id", required=True, type=BatchIdType(), metavar="UUID", help="Identifier of the batch.")
@date_option("date", required=True, help="Time of the batch, UTC.")
@reference_storage_options("ingestor", "input", "Storage with the ingestor's batches.")
@ingestor_key_options
@batch_signing_key_options
@reference_storage_options("peer", "output", "Storage of the peer's for validations: ours is written there.")
@option(
    "own-output",
    metavar="PATH",
    help="Storage for what we keep: validation, totals, receipt, or why the batch was rejected. `aggregate "
    "--own-input` reads it.",
)
@identity_option("own", environment=False)
@google_credentials_options
@boolean_option(
    "write-single-object-validation-batches",
    environment=True,
    default=False,
    help="Whether the peer's validation is one object instead of three; a legacy peer must be able to read it.",
)
@permit_malformed_batch_option
def command(
    is_first: bool,
    instance_name: str,
    aggregation_id: str,
    batch_id: UUID,
    date: datetime,
    ingestor_input: str,
    ingestor_identity: str | None,
    ingestor_public_key: str,
    ingestor_public_key_identifier: str,
    packet_decryption_keys: tuple[Secret, ...],
    batch_signing_private_key: Secret,
    batch_signing_private_key_identifier: str | None,
    batch_signing_private_key_default_identifier: str | None,
    peer_output: str,
    peer_identity: str | None,
    own_output: str | None,
    own_identity: str | None,
    write_single_object_validation_batches: bool,
    permit_malformed_batch: bool,
) -> None:
    """Verify an ingestion batch and tell the peer the result.

    Decrypts the shares of one batch, writes what the peer needs to check the clients' proofs, and prints how many
    packets were accepted, and how many were not by reason. An unusable packet costs that packet, an unusable batch is
    rejected. Nothing is overwritten: done again it writes the same bytes.
    """
    from prio_assets.clock import system_clock
    from prio_assets.processor.one_shot_intake import IntakePlace, intake_once
    from prio_assets.processor.own_store import OwnStore
    from prio_assets.wire.names import BatchName

    warn_of_permission(permit_malformed_batch)
    if own_output:
        check_apart(
            own_output,
            peer_output,
            "--own-output is --peer-output, or one is within the other: what we keep the peer must not read.",
        )
    place = IntakePlace(
        ingestion=open_storage(ingestor_input, ingestor_identity, "ingestor"),
        opener=read_opener(is_first, ingestor_public_key, ingestor_public_key_identifier, packet_decryption_keys),
        signing_key=read_signing_key(
            batch_signing_private_key,
            batch_signing_private_key_identifier,
            batch_signing_private_key_default_identifier,
        ),
        peer_bucket=open_output(peer_output, peer_identity, "peer"),
        own=OwnStore(open_output(own_output, own_identity, "own")) if own_output else None,
        single_object=write_single_object_validation_batches,
    )
    tell_engine()
    batch = BatchName(aggregation_id, date, batch_id)
    by = f"intake-batch of {instance_name}, {'PHA' if is_first else 'facilitator'}"
    click.echo(summary(batch, intake_once(place, batch, by, system_clock())))


def summary(batch: "BatchName", outcome: "OneShotIntake") -> str:
    """What became of the batch's packets, a line each."""
    lines = [f"batch     {batch.base}"]
    if outcome.received is None or outcome.rejected is None:
        return "\n".join([*lines, f"accepted  {outcome.accepted} packets, by an earlier run; its validation was sent"])
    lines += [f"received  {outcome.received} packets", f"accepted  {outcome.accepted}"]
    lines.append(f"rejected  {outcome.rejected.total()}")
    lines += [f"  {reason.label}  {count}" for reason, count in sorted(outcome.rejected.items())]
    return "\n".join(lines)
