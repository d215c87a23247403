"""`status`: what is still to do, from storages and configuration alone."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from prio_assets.cli.logs import one_line
from prio_assets.cli.options import any_processor_options, option, read_processors

if TYPE_CHECKING:
    from prio_assets.processor.pending import Pending
    from prio_assets.processor.processor import KeylessProcessor

COLUMNS = ("processor", "aggregation", "window", "step", "batches", "waits for")


@click.command("status")
@any_processor_options
@option(
    "format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print it.",
)
def command(configuration: str, processor: str | None, format: str) -> None:
    """Print what is pending, and what it waits for.

    Looks at the batches of the time that sensors look at, and their windows. A step that waits for nothing is done at
    the next tick of a sensor, or by a backfill. Needs no private key and no Dagster.
    """
    rows = [row for each in read_processors(configuration, processor) for row in rows_of(each)]
    click.echo(json.dumps(rows, indent=2) if format == "json" else table(rows))


def rows_of(processor: "KeylessProcessor") -> Iterator[dict[str, Any]]:
    """What is pending at a processor: first its state, where that is missing, then the windows of each aggregation."""
    from prio_assets.errors import StateError
    from prio_assets.processor.pending import pending_steps
    from prio_assets.processor.processor import read_state
    from prio_assets.processor.survey import aggregations, range_to_look_at, survey

    settings, now = processor.settings, processor.clock()
    try:
        read_state(processor)
    except StateError as error:
        yield row(settings.name, None, str(error))
    begin, end = range_to_look_at(settings, now)
    for aggregation in aggregations(processor):
        # Since when a window has been quiet is not known here, so its patience is taken not to be over.
        for pending in pending_steps(survey(processor, aggregation, begin, end), settings, now, quiet={}):
            yield row(settings.name, pending, pending.waits_for)


def row(processor: str, pending: "Pending | None", waits_for: str) -> dict[str, Any]:
    """One step as plain values; without a step it is the processor's state that is to be made."""
    from prio_assets.wire.windows import format_minute

    window = pending and {"start": format_minute(pending.window.start), "end": format_minute(pending.window.end)}
    return {
        "processor": processor,
        "aggregation": pending and pending.aggregation,
        "window": window,
        "step": pending.step.value if pending else "state",
        "waits_for": waits_for,
        "batches": [batch.base for batch in pending.batches] if pending else [],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Aligned columns, a line for each step."""
    if not rows:
        return "nothing is pending"
    lines = [COLUMNS, *(cells(each) for each in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The texts of a line; others name the folders that aggregations are."""
    window = row["window"]
    texts = (
        row["processor"],
        row["aggregation"] or "-",
        f"{window['start']} to {window['end']}" if window else "-",
        row["step"],
        str(len(row["batches"])),
        row["waits_for"] or "nothing: it can be done now",
    )
    return tuple(map(one_line, texts))
