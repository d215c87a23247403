"""`rejections`: batches that are left out, and what an operator decides about them."""

import getpass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from prio_assets.cli.logs import logger, one_line
from prio_assets.cli.options import (
    aggregation_id_option,
    any_processor_options,
    date_option,
    one_processor_options,
    option,
    read_processor,
    read_processors,
    together,
)
from prio_assets.cli.parameters import AggregationType, BatchIdType

if TYPE_CHECKING:
    from prio_assets.processor.processor import KeylessProcessor
    from prio_assets.wire.names import BatchName

PARTITION_FORMAT = "%Y-%m-%d-%H:%M"
"""How Dagster's partitions name the start of a window."""

batch_options = together(
    aggregation_id_option,
    option("batch-id", required=True, type=BatchIdType(), metavar="UUID", help="Identifier of the batch."),
    date_option("date", required=True, help="Time of the batch, UTC."),
    option("by", metavar="NAME", help="Who decides this.  [default: the login name]"),
)


@click.group("rejections")
def command() -> None:
    """List, add and clear rejections of batches.

    A batch that cannot be used is rejected when it is taken in, and then left alone; all others go on. A rejection
    stays until it is cleared here, or by the configuration of a run.
    """


@command.command("list")
@any_processor_options
@option("aggregation-id", type=AggregationType(), metavar="ID", help="Name of an aggregation.  [default: all]")
def list_rejections(configuration: str, processor: str | None, aggregation_id: str | None) -> None:
    """Print the batches that are left out now, with the reasons."""
    from prio_assets.processor.operator_decisions import outstanding_rejections
    from prio_assets.wire.windows import from_ms

    for each in read_processors(configuration, processor):
        for batch, record in outstanding_rejections(each.own, aggregation_id):
            click.echo(f"{each.settings.name} {one_line(batch.base)}")
            click.echo(f"  {record.reason}: {one_line(record.details)}")
            if record.by:  # nobody is known of a record that is damaged
                click.echo(f"  by {one_line(record.by)}, {from_ms(record.at):%Y-%m-%d %H:%M} UTC")


@command.command("add")
@one_processor_options
@batch_options
@option("details", required=True, metavar="TEXT", help="Why, for those who find the batch left out.")
def add(
    configuration: str,
    processor: str | None,
    aggregation_id: str,
    batch_id: UUID,
    date: datetime,
    by: str | None,
    details: str,
) -> None:
    """Leave a batch out.

    Has an effect until the window's batches are proposed (by the PHA) or decided (by the facilitator).
    """
    from prio_assets.errors import RefusedError
    from prio_assets.processor.operator_decisions import decided_entry, leave_out
    from prio_assets.wire.windows import format_minute, from_ms

    chosen, batch = read_batch(configuration, processor, aggregation_id, batch_id, date)
    entry = decided_entry(chosen, batch)
    if entry is not None:
        start, end = (from_ms(time) for time in (entry.aggregation_start_time, entry.aggregation_end_time))
        raise RefusedError(
            f"{batch.base} is in the decided set of the window {format_minute(start)} to {format_minute(end)}: it "
            "cannot be left out any more"
        )
    leave_out(chosen.own, batch, by or login_name(), details, chosen.clock())
    if not chosen.settings.peer_has_lists and chosen.own.receipt(batch) is not None:
        logger.warning("the peer has our validation of the batch already and will count it: the two sums will differ")
    click.echo(f"{batch.base} is left out by processor {chosen.settings.name}")


@command.command("clear")
@one_processor_options
@batch_options
@option("details", default="to be tried again", show_default=True, metavar="TEXT", help="Why, for the record.")
@click.option(
    "--accept-undecryptable",
    is_flag=True,
    help="Take the batch in even if many of its packets, or all but a few, decrypt with no key: they are lost.",
)
def clear(
    configuration: str,
    processor: str | None,
    aggregation_id: str,
    batch_id: UUID,
    date: datetime,
    by: str | None,
    details: str,
    accept_undecryptable: bool,
) -> None:
    """Have a rejected batch tried again.

    The sensors take it up by themselves, unless it is older than they look: then the backfill to start is named.
    """
    from prio_assets.processor import operator_decisions

    chosen, batch = read_batch(configuration, processor, aggregation_id, batch_id, date)
    decide = operator_decisions.accept_undecryptable if accept_undecryptable else operator_decisions.try_again
    decide(chosen.own, batch, by or login_name(), details, chosen.clock())
    click.echo(f"{batch.base} will be tried again by processor {chosen.settings.name}")
    if batch.time < chosen.clock() - chosen.settings.intake_max_age:
        click.echo(backfill_hint(chosen, batch))


def read_batch(
    configuration: str, processor: str | None, aggregation: str, uuid: UUID, time: datetime
) -> "tuple[KeylessProcessor, BatchName]":
    """The processor and the batch that the options name, if the processor has it."""
    from prio_assets.processor.operator_decisions import check_ingested
    from prio_assets.wire.names import BatchName

    chosen = read_processor(configuration, processor)
    batch = BatchName(aggregation, time, uuid)
    check_ingested(chosen, batch)
    return chosen, batch


def login_name() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise click.UsageError("Give --by: there is no login name.", click.get_current_context()) from None


def backfill_hint(processor: "KeylessProcessor", batch: "BatchName") -> str:
    """What to start for a batch that no sensor looks at."""
    from prio_assets.settings import format_duration
    from prio_assets.wire.windows import window_of

    settings = processor.settings
    start = window_of(batch.time, settings.period).start
    return (
        f"it is older than intake_max_age ({format_duration(settings.intake_max_age)}), so no sensor looks at it: "
        f"start a backfill of the asset {settings.name}/own_validations, partition {batch.aggregation}|"
        f"{start.strftime(PARTITION_FORMAT)}"
    )
