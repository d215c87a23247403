"""Messages on stderr, one line each: for people, or as JSON for log collectors."""

import json
import logging
from datetime import UTC, datetime

import click

PROGRAM = "prio-assets"

logger = logging.getLogger("prio_assets")


class TextFormatter(logging.Formatter):
    """`prio-assets: warning: the message`; plain information has no level."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{PROGRAM}: {level}{one_line(record.getMessage())}"


class JsonFormatter(logging.Formatter):
    """An object with `time` (RFC 3339, UTC), `level` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        return json.dumps({"time": time, "level": level, "message": one_line(record.getMessage())})


class StderrHandler(logging.Handler):
    """Writes to what stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def set_up_logs(*, json_lines: bool) -> None:
    """Send this package's messages to stderr in the chosen form."""
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def one_line(text: str) -> str:
    """The text without line feeds or other control characters, whatever untrusted name it holds."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
