"""The program, run in this process."""

from click.testing import CliRunner, Result

from prio_assets.cli.main import cli


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """The result of `prio-assets` with these arguments; one that failed has said so in one line."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def error(result: Result, exit_code: int) -> str:
    """The last line of stderr of a run that must have failed with this status."""
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("prio-assets: error: ")
    return last
