"""`make bench`: measures, prints the tables, and writes JSON and the chart below `.bench/`."""

import json
from pathlib import Path

import click

from benchmarks.chart import chart
from benchmarks.datasets import KEPT
from benchmarks.documents import document
from benchmarks.report import report
from benchmarks.run import measure_all
from benchmarks.sizes import SIZES


@click.command()
@click.option(
    "--size", type=click.Choice(list(SIZES)), default="usual", show_default=True, help="How much is measured."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="Directory for the figures, the tables and the chart.",
)
@click.option(
    "--s3-endpoint",
    metavar="URL",
    help="Server that speaks S3 for the great files, with credentials from the environment.  [default: moto's, which "
    "holds no file of 8 GB]",
)
def main(size: str, output: Path, s3_endpoint: str | None) -> None:
    """Measure what a packet costs on this machine."""
    KEPT.mkdir(exist_ok=True)
    try:
        figures = measure_all(SIZES[size], s3_endpoint)
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{size}.json").write_text(json.dumps(document(figures), indent=1, ensure_ascii=False) + "\n", "utf-8")
    (output / f"{size}.md").write_text(report(figures), "utf-8")
    (output / f"{size}.svg").write_text(chart(figures), "utf-8")
    click.echo(report(figures))
    click.echo(f"Written to {output}: {size}.json, {size}.md, {size}.svg")


main()
