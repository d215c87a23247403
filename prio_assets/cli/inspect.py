"""`inspect`: what is in a file, and whether its digest and signature hold."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prio_assets.cli.failures import CommandError
from prio_assets.cli.logs import logger
from prio_assets.cli.options import option
from prio_assets.errors import MalformedError, PrioAssetsError

if TYPE_CHECKING:
    from prio_assets.wire.keys import VerificationKeys


@click.command("inspect")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@option(
    "public-key",
    multiple=True,
    metavar="B64",
    help="Public key to check signatures with: base64 of a P-256 point or SPKI, or PEM. Repeat it for more keys.",
)
@option(
    "public-key-identifier",
    multiple=True,
    metavar="ID",
    help="Identifier of the public key; the first belongs to the first key, and so on.",
)
def command(files: tuple[Path, ...], public_key: tuple[str, ...], public_key_identifier: tuple[str, ...]) -> None:
    """Print batches, lists, sum parts and signatures readably.

    Takes any object that is exchanged, and those of our own store and state; what a file is, it says itself. The other
    objects of a batch are looked for beside the file, to say whether digest and signature hold. Payloads and shares
    are not shown. The exit status is 1 if a file is malformed, or a digest or signature does not hold.
    """
    keys = read_keys(public_key, public_key_identifier)
    wrong = [file for file in files if not inspect_file(file, keys)]
    if wrong:
        raise CommandError(f"{len(wrong)} of {len(files)} files are malformed or fail a check, the first is {wrong[0]}")


def inspect_file(path: Path, keys: "VerificationKeys") -> bool:
    """Print what is in one file; whether it is in order."""
    from prio_assets.cli.descriptions import INDENT, describe
    from prio_assets.cli.file_checks import check_file

    try:
        if not path.is_file():
            raise MalformedError(f"{path}: not a regular file; save the object to one")
        with path.open("rb") as source:
            lines = describe(source, str(path))
            click.echo(f"{path}: {next(lines)}")
            for line in lines:
                click.echo(INDENT + line)
        checks = list(check_file(path, keys))
    except PrioAssetsError as error:
        logger.error("%s", error)
        return False
    for check in checks:
        click.echo(INDENT + check.text)
    return not any(check.failed for check in checks)


def read_keys(public_keys: tuple[str, ...], identifiers: tuple[str, ...]) -> "VerificationKeys":
    """The keys by identifier; there must be as many of the ones as of the others."""
    from prio_assets.wire.keys import parse_verification_key

    if len(public_keys) != len(identifiers):
        raise click.UsageError(
            "Give --public-key and --public-key-identifier equally often.", click.get_current_context()
        )
    return {identifier: parse_verification_key(key) for identifier, key in zip(identifiers, public_keys, strict=True)}
