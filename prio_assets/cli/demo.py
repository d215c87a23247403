"""`demo`: a small deployment of all parties on this machine, from clients' rows to the statistics."""

from pathlib import Path

import click

from prio_assets.cli.failures import CommandError
from prio_assets.cli.options import option


@click.command("demo")
@option(
    "directory",
    type=click.Path(path_type=Path),
    default="demo",
    show_default=True,
    metavar="PATH",
    help="Where everything is written; an earlier demo there is removed.",
)
@option(
    "data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your own rows, .csv (without headings) or .npy: a row for each client, a column for each bin, all 0 or 1."
    " They take the place of the first survey.",
)
@option(
    "seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="INT",
    help="Another number makes other clients.",
)
@option(
    "storage",
    type=click.Choice(["directory", "s3", "gcs", "both"]),
    default="directory",
    show_default=True,
    help="Where the parties keep their data: in directories, in buckets of S3 or of Google Cloud Storage, or the PHA in"
    " S3 and the others in Google Cloud Storage. The clouds are played by servers on this machine.",
)
@click.option(
    "--ui", is_flag=True, help="Open the Dagster UI on the demo that ran last in this directory, and run none."
)
@option(
    "port", type=click.IntRange(1, 65535), metavar="INT", help="The port of the UI.  [default: 3000, or a free one]"
)
def command(directory: Path, data: Path | None, seed: int, storage: str, ui: bool, port: int | None) -> None:
    """Run all parties on this machine, to try them.

    Two processors, an ingestor and a portal: starts Dagster, writes batches of simulated clients (some batches are
    faulty, some clients lie), waits until all is summed and published, and compares the statistics with the truth. Ends
    by itself after a few minutes, with status 0 only if every count is right. One machine with both processors' keys
    protects nobody: this is for trying.
    """
    from prio_assets.demo.run import run_demo
    from prio_assets.demo.storages import Choice
    from prio_assets.demo.ui import open_ui
    from prio_assets.ingestor.data_files import read_rows

    if ui:
        open_ui(directory, port)
        return
    own_rows = None if data is None else read_rows(data)
    if not run_demo(directory, seed, own_rows, Choice(storage), click.echo):
        raise CommandError("the statistics are not the true counts; this is a defect")
