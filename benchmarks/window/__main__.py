"""`python -m benchmarks.window`: measure the window, print where its seconds go, and write all figures as JSON."""

import json
from pathlib import Path

import click

from benchmarks.datasets import KEPT
from benchmarks.window.batches import Size
from benchmarks.window.measure import measure
from benchmarks.window.report import figures, lines
from prio_assets.errors import PrioAssetsError

SIZES = {"small": Size(batches=4, packets=200, bins=16), "full": Size(batches=50, packets=20_000, bins=256)}


@click.command()
@click.option(
    "--size", type=click.Choice(list(SIZES)), default="small", show_default=True, help="Full takes 4 GB of the disk."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="Directory for the window's data and the figures.",
)
def main(size: str, output: Path) -> None:
    """Measure how long a window takes from its arrival to both sum parts, under Dagster's daemon."""
    output.mkdir(parents=True, exist_ok=True)
    try:
        found = figures(measure(output / "window", SIZES[size], click.echo))
    except PrioAssetsError as error:
        raise click.ClickException(str(error)) from error
    path = output / f"window-{size}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    click.echo("\n".join(["", *lines(found), "", f"Written to {path}"]))


main()
