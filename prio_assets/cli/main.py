"""The program `prio-assets`: its commands, found by name and imported when used.

A new command is a module with a click command named `command`, and one line in `COMMANDS`.
"""

from importlib import import_module
from typing import Any, NamedTuple

import click

from prio_assets.cli.failures import one_line_errors
from prio_assets.cli.logs import PROGRAM, set_up_logs
from prio_assets.cli.options import boolean_option


class Listed(NamedTuple):
    """Where a command is, and its line in the list of commands."""

    module: str
    summary: str


COMMANDS: dict[str, Listed] = {
    "generate-ingestion-sample": Listed(
        "prio_assets.cli.generate_ingestion_sample", "Make an ingestion batch for each of the two processors."
    ),
    "intake-batch": Listed("prio_assets.cli.intake_batch", "Verify an ingestion batch and tell the peer the result."),
    "aggregate": Listed("prio_assets.cli.aggregate", "Sum our shares of the batches of a window, for the portal."),
    "collect": Listed("prio_assets.cli.collect", "Add the two processors' sum parts into the statistic."),
    "status": Listed("prio_assets.cli.status", "Print what is pending, and what it waits for."),
    "state": Listed("prio_assets.cli.state", "Make the record of what a processor has summed."),
    "rejections": Listed("prio_assets.cli.rejections", "List, add and clear rejections of batches."),
    "doctor": Listed("prio_assets.cli.doctor", "Print what runs here, and check that it works."),
    "inspect": Listed("prio_assets.cli.inspect", "Print batches, lists, sum parts and signatures readably."),
    "demo": Listed("prio_assets.cli.demo", "Run all parties on this machine, to try them."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, and whose failures take one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        listed = COMMANDS.get(cmd_name)
        return import_module(listed.module).command if listed else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.summary) for name, listed in COMMANDS.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        set_up_logs(json_lines=False)  # until the option is known
        with one_line_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


@click.command(PROGRAM, cls=LazyGroup, context_settings={"max_content_width": 110})
@boolean_option(
    "force-json-log-output",
    environment=True,
    default=False,
    help="Whether messages on stderr are JSON objects, one a line.",
)
@click.version_option(package_name="prio-assets")
def cli(force_json_log_output: bool) -> None:
    """Prio v2 share processors: statistics about many people without seeing anyone's data.

    Results go to stdout, messages to stderr. The exit status is 0 when all went well, 2 for wrong usage, 1 for any
    other failure. An option may come from the environment variable that its help names; an empty variable counts as
    unset.
    """
    set_up_logs(json_lines=force_json_log_output)


def main() -> None:
    """Run the program."""
    cli(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
