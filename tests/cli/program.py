"""The program, run in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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


def run_apart(*arguments: object, env: Mapping[str, str | None], first: str = "") -> "subprocess.CompletedProcess[str]":
    """The real program in a process of its own, in which the code `first` has run before anything of ours.

    Of the environment `env` changes variables, or removes those that are None.
    """
    code = f"{first}\nimport sys\nfrom prio_assets.cli.main import main\nsys.argv[0] = 'prio-assets'\nmain()"
    changed = {name: value for name, value in (os.environ | env).items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=changed | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
