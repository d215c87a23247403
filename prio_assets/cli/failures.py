"""How a command fails: one line on stderr; exit status 2 for wrong usage, 1 for everything else."""

import errno
import os
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
        raise CommandError(_system_text(error) or _unexpected_text(error)) from error


def _usage_text(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else PROGRAM
    return f"{error.format_message().rstrip('.')}; see '{command} --help'"


def _is_broken_pipe(error: Exception) -> bool:
    """A reader of our output that went away, which click ends quietly."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _system_text(error: Exception) -> str | None:
    """What the machine does not give us, which is nobody's defect."""
    match error:
        case MemoryError():
            return "there is not enough memory for so much data: take less at once, or a machine with more"
        case UnicodeEncodeError():
            return f"a text cannot be written as {error.encoding}: give options as UTF-8, and set a locale of UTF-8"
        case OSError():
            place = error.filename or "input or output"
            return f"cannot access {place}: {error.strerror or error}; set {DEBUG_VARIABLE}=1 to see where"
    return None


def _unexpected_text(error: Exception) -> str:
    """The kind and place of an error; its own text may hold anything, a key included."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}: this is a defect; set {DEBUG_VARIABLE}=1 to see more"
