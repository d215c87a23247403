"""`state`: the storage in which a processor keeps what it decided and summed."""

from datetime import datetime

import click

from prio_assets.cli.options import date_option, one_processor_options, read_processor


@click.group("state")
def command() -> None:
    """Make the record of what a processor has summed.

    A processor decides and sums nothing without it.
    """


@command.command("init")
@one_processor_options
@date_option(
    "before",
    help="Batches before this time (UTC) are never summed.  [default: the first window, or the end of the newest "
    "window that may have been summed already]",
)
def init(configuration: str, processor: str | None, before: datetime | None) -> None:
    """Make the state of a processor.

    Once for a new processor, and again only after its state was lost: then nothing is summed that may have been summed
    before, since two sums over nearly the same clients reveal the few in between.
    """
    from prio_assets.errors import RefusedError
    from prio_assets.processor.processor import default_not_before, initialise_state
    from prio_assets.storage.base import exists
    from prio_assets.wire.names import STATE

    chosen = read_processor(configuration, processor)
    settings = chosen.settings
    taken = RefusedError(
        f"processor {settings.name} has a state in {settings.state} already: while it is there it is not made anew; "
        f"only if it is damaged, remove {settings.state}/{STATE}, and nothing else there, first"
    )
    if exists(chosen.stores.state, STATE):
        raise taken
    earliest = default_not_before(chosen)
    if before is not None and before < earliest:
        raise RefusedError(
            f"batches up to {minute(earliest)} may be in a sum already, or are before the first window: give no "
            "earlier --before"
        )
    if not initialise_state(chosen, before or earliest):
        raise taken
    click.echo(
        f"processor {settings.name} has its state in {settings.state}; batches before {minute(before or earliest)} are "
        "never summed"
    )


def minute(time: datetime) -> str:
    """A time as people read it."""
    return f"{time:%Y-%m-%d %H:%M} UTC"
