"""`generate-ingestion-sample`: an ingestion batch for each processor, from random rows or from a person's own."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from prio_assets.cli.logs import logger
from prio_assets.cli.options import (
    aggregation_id_option,
    batch_signing_key_options,
    date_option,
    option,
    read_signing_key,
)
from prio_assets.cli.parameters import BatchIdType, Secret, UnsignedType
from prio_assets.cli.storages import (
    FORMS,
    check_apart,
    google_credentials_options,
    open_output,
    reference_storage_options,
)

if TYPE_CHECKING:
    from prio_assets.ingestor.batches import BatchDescription
    from prio_assets.ingestor.data_files import Rows


@click.command("generate-ingestion-sample", epilog=FORMS)
@aggregation_id_option
@option("batch-id", type=BatchIdType(), metavar="UUID", help="Identifier of the batch.  [default: random]")
@date_option("date", help="Time of the batch, UTC.  [default: now]")
@option(
    "data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your own rows, .csv (without headings) or .npy: a row for each client, a column for each bin, all 0 or 1."
    "  [default: random rows]",
)
@option(
    "dimension",
    type=UnsignedType(31, minimum=1),
    metavar="INT",
    help="Number of bins. With --data it may be left out; given, the file must have so many columns.",
)
@option(
    "packet-count",
    type=UnsignedType(31, minimum=1),
    metavar="INT",
    help="Number of clients. With --data it may be left out; given, the file must have so many rows.",
)
@option("epsilon", required=True, type=float, metavar="DOUBLE", help="Privacy parameter to state; no noise is added.")
@option(
    "batch-start-time",
    required=True,
    type=UnsignedType(63),
    metavar="MILLIS",
    help="Begin of the time that the batch covers, in milliseconds since 1970.",
)
@option(
    "batch-end-time",
    required=True,
    type=UnsignedType(63),
    metavar="MILLIS",
    help="End of the time that the batch covers, in milliseconds since 1970.",
)
@option(
    "r-pit",
    type=UnsignedType(32),
    metavar="INT",
    help="Evaluation point of all packets; a client that can foresee it can cheat.  [default: random for each packet]",
)
@batch_signing_key_options
@option(
    "pha-ecies-public-key",
    environment=True,
    required=True,
    metavar="B64",
    help="Key that encrypts the PHA's shares: base64 of a P-256 point or SPKI, or PEM.",
)
@option(
    "facilitator-ecies-public-key",
    environment=True,
    required=True,
    metavar="B64",
    help="Key that encrypts the facilitator's shares: base64 of a P-256 point or SPKI, or PEM.",
)
@reference_storage_options("peer", "output", "Storage for the PHA's batch.")
@reference_storage_options("facilitator", "output", "Storage for the facilitator's batch.")
@google_credentials_options
def command(
    aggregation_id: str,
    batch_id: UUID | None,
    date: datetime | None,
    data: Path | None,
    dimension: int | None,
    packet_count: int | None,
    epsilon: float,
    batch_start_time: int,
    batch_end_time: int,
    r_pit: int | None,
    batch_signing_private_key: Secret,
    batch_signing_private_key_identifier: str | None,
    batch_signing_private_key_default_identifier: str | None,
    pha_ecies_public_key: str,
    facilitator_ecies_public_key: str,
    peer_output: str,
    peer_identity: str | None,
    facilitator_output: str,
    facilitator_identity: str | None,
) -> None:
    """Make an ingestion batch for each of the two processors.

    Plays clients and ingestor: splits rows of bits into encrypted shares with proofs, and writes two signed batches
    over the same packets. Prints the batch's name, {aggregation}/{date}/{id}.
    """
    from prio_assets.ingestor.batches import draw_labels, seal_batches, write_batch
    from prio_assets.ingestor.client import PublicPoints, upload
    from prio_assets.wire.keys import parse_packet_public_key

    check_apart(
        peer_output,
        facilitator_output,
        "--peer-output is --facilitator-output, or one is within the other: give each processor a storage.",
    )
    signing_key = read_signing_key(
        batch_signing_private_key, batch_signing_private_key_identifier, batch_signing_private_key_default_identifier
    )
    points = PublicPoints(
        parse_packet_public_key(pha_ecies_public_key), parse_packet_public_key(facilitator_ecies_public_key)
    )
    rows = choose_rows(data, dimension, packet_count)
    clients, bins = rows.shape
    description = describe_batch(aggregation_id, date, batch_id, bins, epsilon, batch_start_time, batch_end_time)
    stores = (
        open_output(peer_output, peer_identity, "peer"),
        open_output(facilitator_output, facilitator_identity, "facilitator"),
    )
    labels = draw_labels(clients, bins, r_pit=r_pit)
    for store, sealed in zip(stores, seal_batches(description, upload(rows, points), labels, signing_key), strict=True):
        write_batch(store, description.batch, sealed)
    logger.info("wrote %s clients' shares of %s bins to both processors", clients, bins)
    click.echo(description.batch.base)


def choose_rows(data: Path | None, dimension: int | None, packet_count: int | None) -> "Rows":
    """The file's rows, checked against the sizes that are given; or random ones of these sizes."""
    from prio_assets.errors import ConfigurationError
    from prio_assets.ingestor.client import random_rows
    from prio_assets.ingestor.data_files import read_rows

    if data is None:
        if dimension is None or packet_count is None:
            raise click.UsageError(
                "Give --data, or --dimension and --packet-count for random rows.", click.get_current_context()
            )
        return random_rows(packet_count, dimension)
    rows = read_rows(data)
    clients, bins = rows.shape
    if dimension not in (None, bins):
        raise ConfigurationError(f"{data} has {bins} columns, --dimension says {dimension}")
    if packet_count not in (None, clients):
        raise ConfigurationError(f"{data} has {clients} rows, --packet-count says {packet_count}")
    return rows


def describe_batch(
    aggregation_id: str,
    date: datetime | None,
    batch_id: UUID | None,
    bins: int,
    epsilon: float,
    batch_start_time: int,
    batch_end_time: int,
) -> "BatchDescription":
    """The batch's name and header, with a random id and the present where none is given."""
    from prio_assets.clock import system_clock
    from prio_assets.ingestor.batches import BatchDescription, draw_uuid, sample_parameters
    from prio_assets.wire.batches import check_parameters
    from prio_assets.wire.names import BatchName

    parameters = sample_parameters(bins, epsilon)
    batch = BatchName(aggregation_id, date or system_clock().replace(second=0, microsecond=0), batch_id or draw_uuid())
    check_parameters(parameters, "the batch to make")
    return BatchDescription(batch, parameters, batch_start_time, batch_end_time)
