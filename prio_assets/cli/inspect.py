"""`inspect`: what is in an object, and whether its digest and signature hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prio_assets.cli.failures import CommandError
from prio_assets.cli.logs import logger
from prio_assets.cli.options import option
from prio_assets.errors import MalformedError, PrioAssetsError

if TYPE_CHECKING:
    from prio_assets.wire.keys import VerificationKeys


class ObjectType(click.Path):
    """A file, as a path; or the URL of an object in a bucket, as it is."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from prio_assets.storage.urls import is_path

        return super().convert(value, param, ctx) if is_path(value) else value


@click.command("inspect")
@click.argument("files", nargs=-1, required=True, type=ObjectType(), metavar="FILE...")
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
def command(files: tuple[Path | str, ...], public_key: tuple[str, ...], public_key_identifier: tuple[str, ...]) -> None:
    """Print batches, lists, sum parts and signatures readably.

    Takes any object that is exchanged, and those of our own store and state; what a file is, it says itself. The other
    objects of a batch are looked for beside the file, to say whether digest and signature hold. A file may be an object
    in a bucket, s3://region/bucket/name or gs://bucket/name, which is fetched. Payloads and shares are not shown. The
    exit status is 1 if a file is malformed, or a digest or signature does not hold.
    """
    keys = read_keys(public_key, public_key_identifier)
    wrong = [file for file in files if not inspect_object(file, keys)]
    if wrong:
        raise CommandError(f"{len(wrong)} of {len(files)} files are malformed or fail a check, the first is {wrong[0]}")


def inspect_object(place: Path | str, keys: "VerificationKeys") -> bool:
    """Print what is in one file, or in the object at a URL; whether it is in order."""
    from prio_assets.cli.fetched import fetched

    try:
        if isinstance(place, Path):
            return inspect_file(place, keys, str(place))
        with fetched(place) as path:
            return inspect_file(path, keys, place)
    except PrioAssetsError as error:
        logger.error("%s", error)
        return False


def inspect_file(path: Path, keys: "VerificationKeys", shown: str) -> bool:
    """Print what is in one file, which is `shown` under this name; whether its checks hold."""
    from prio_assets.cli.descriptions import INDENT, describe
    from prio_assets.cli.file_checks import check_file

    if not path.is_file():
        raise MalformedError(f"{path}: not a regular file; save the object to one")
    with path.open("rb") as source:
        lines = describe(source, shown)
        click.echo(f"{shown}: {next(lines)}")
        for line in lines:
            click.echo(INDENT + line)
    checks = list(check_file(path, keys))
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
