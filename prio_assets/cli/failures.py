"""How a command fails: one line on stderr; exit status 2 for wrong usage, 1 for everything else."""

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from prio_assets.cli.logs import PROGRAM, logger
from prio_assets.errors import PrioAssetsError

USAGE_STATUS = 2
FAILURE_STATUS = 1
DEBUG_VARIABLE = "PRIO_DEBUG"

KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{80,}={0,2}")
"""Base64 as long as any key: click repeats what it does not understand, and that may be a misplaced private key."""


class CommandError(click.ClickException):
    """A failure that is reported in one line."""

    def __init__(self, message: str, exit_code: int = FAILURE_STATUS) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Log the message; click calls this."""
        logger.error("%s", self.message)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn whatever is raised inside into a `CommandError`; with PRIO_DEBUG set, unexpected errors stay as they are."""
    try:
        yield
    except (CommandError, click.exceptions.NoArgsIsHelpError, click.exceptions.Exit, click.Abort):
        raise
    except click.UsageError as error:
        raise CommandError(_usage_text(error), USAGE_STATUS) from error
    except click.ClickException as error:
        raise CommandError(error.format_message()) from error
    except PrioAssetsError as error:
        raise CommandError(str(error)) from error
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) or _is_broken_pipe(error):
            raise
        raise CommandError(_unexpected_text(error)) from error


def _usage_text(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else PROGRAM
    message = KEY_MATERIAL.sub("(hidden)", error.format_message()).rstrip(".")
    return f"{message}; see '{command} --help'"


def _is_broken_pipe(error: Exception) -> bool:
    """A reader of our output that went away, which click ends quietly."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _unexpected_text(error: Exception) -> str:
    """The kind and place of an error. Its own text may hold anything, a key included, but for those of the system."""
    text = f" ({error})" if isinstance(error, OSError) else ""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{text}{place}: this is a defect; set {DEBUG_VARIABLE}=1 to see more"
