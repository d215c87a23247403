"""Messages on stderr, one line each: for people, or as JSON for log collectors."""

import json
import logging
import re
from datetime import UTC, datetime

import click

PROGRAM = "prio-assets"

logger = logging.getLogger("prio_assets")

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"  # PEM
    r"|M(?:I[A-Za-z0-9+/]{2}AgEA|[A-Za-z0-9+/]{2}CAQ[AE])[A-Za-z0-9+/_-]*={0,2}"  # DER of PKCS#8 and of SEC 1
    r"|(?<![A-Za-z0-9+])B[A-P][A-Za-z0-9+/]{86,}={0,2}",  # more than an uncompressed point: a packet decryption key
    re.DOTALL,
)
"""What looks like a private key: messages repeat names, paths and options, and each may be a misplaced key."""


class TextFormatter(logging.Formatter):
    """`prio-assets: warning: the message`; plain information has no level."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{PROGRAM}: {level}{shown(record)}"


class JsonFormatter(logging.Formatter):
    """An object with `time` (RFC 3339, UTC), `level` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        return json.dumps({"time": time, "level": level, "message": shown(record)})


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


def shown(record: logging.LogRecord) -> str:
    """The record's message in one line, without private keys."""
    return one_line(PRIVATE_KEY.sub("(hidden)", record.getMessage()))


def one_line(text: str) -> str:
    """The text without line feeds or other control characters, whatever untrusted name it holds."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
