"""The program as a whole: its help, its messages, how it fails."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module, metadata

import click
import pytest

from prio_assets.cli import main
from prio_assets.cli.main import COMMANDS, Listed, cli
from prio_assets.errors import StorageError
from tests.cli.program import error, run

IMPORTED = """
import sys
before = set(sys.modules)
from prio_assets.cli.main import main
sys.argv = ["prio-assets", *sys.argv[1:]]
try:
    main()
finally:
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    print("imported:", *sorted(loaded - sys.stdlib_module_names))
"""

FAKE_KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg" * 3
FAKE_PEM = "\n".join(("-----BEGIN PRIVATE KEY-----", FAKE_KEY[:64], FAKE_KEY[64:], "-----END PRIVATE KEY-----"))


def subprocess_output(*arguments: str) -> str:
    command = [sys.executable, "-c", IMPORTED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ)).stdout


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes the command `fail` raise an exception."""

    def prepare(exception: BaseException) -> None:
        @click.command("fail")
        def command() -> None:
            raise exception

        monkeypatch.setitem(COMMANDS, "fail", Listed("failing", "Fails."))
        monkeypatch.setattr(main, "import_module", lambda name: type("failing", (), {"command": command}))

    return prepare


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_but_click(arguments: list[str]) -> None:
    output = subprocess_output(*arguments)
    assert output.startswith("Usage: prio-assets")
    assert output.splitlines()[-1] == "imported: click prio_assets"


@pytest.mark.parametrize(("name", "listed"), COMMANDS.items())
def test_the_list_of_commands_says_what_the_commands_say(name: str, listed: Listed) -> None:
    command = import_module(listed.module).command
    assert command.name == name
    assert command.get_short_help_str(limit=200) == listed.summary
    assert listed.summary in " ".join(run("--help").stdout.split())


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"prio-assets": "1.2.3"}.__getitem__)
    assert run("--version").stdout == "prio-assets, version 1.2.3\n"


def test_without_a_command_the_help_is_shown_as_wrong_usage() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: prio-assets")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-command"], "No such command 'no-command'; see 'prio-assets --help'"),
        (["--no-option"], "No such option '--no-option'; see 'prio-assets --help'"),
        (["inspect", "--no-option"], "No such option '--no-option'; see 'prio-assets inspect --help'"),
        (["inspect"], "Missing argument 'FILE...'; see 'prio-assets inspect --help'"),
        (["--force-json-log-output", "perhaps", "inspect"], "'perhaps' is not a valid boolean"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert message in error(result, 2)
    assert result.stderr.count("\n") == 1


def test_our_errors_are_one_line_and_status_1(failing: Callable[[BaseException], None]) -> None:
    failing(StorageError("the storage\nis not there: \x1b[1mcreate it"))
    result = run("fail")
    assert result.exit_code == 1
    assert result.stderr == "prio-assets: error: the storage is not there:  [1mcreate it\n"


@pytest.mark.parametrize(
    ("exception", "said", "unsaid"),
    [
        (ValueError(f"odd {FAKE_KEY}"), "this is a defect", FAKE_KEY),
        (OSError(28, "No space left"), "cannot access input or output: No space left", "defect"),
        (OSError(5, "Input/output error", "rows.npy"), "cannot access rows.npy: Input/output error", "defect"),
    ],
)
def test_unexpected_errors_are_one_line_without_a_secret(
    failing: Callable[[BaseException], None], exception: Exception, said: str, unsaid: str
) -> None:
    failing(exception)
    result = run("fail")
    message = error(result, 1)
    assert said in message
    assert "PRIO_DEBUG=1" in message
    assert unsaid not in result.output


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "cannot be written as utf-8"),
    ],
)
def test_what_the_machine_lacks_is_no_defect(
    failing: Callable[[BaseException], None], exception: Exception, said: str
) -> None:
    failing(exception)
    message = error(run("fail"), 1)
    assert said in message
    assert "defect" not in message


def test_unexpected_errors_are_shown_in_full_for_debugging(failing: Callable[[BaseException], None]) -> None:
    failing(ValueError("odd"))
    result = click.testing.CliRunner().invoke(cli, ["fail"], env={"PRIO_DEBUG": "1"})
    assert isinstance(result.exception, ValueError)


def test_an_interrupt_ends_the_program_quietly(failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    result = run("fail")
    assert result.exit_code == 1
    assert result.stderr.strip() == "Aborted!"


def test_a_reader_that_went_away_ends_the_program_quietly(failing: Callable[[BaseException], None]) -> None:
    failing(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = run("fail")
    assert result.exit_code == 1
    assert result.stderr == ""


@pytest.mark.parametrize("how", ["option", "environment"])
def test_messages_are_json_where_asked_for(failing: Callable[[BaseException], None], how: str) -> None:
    failing(StorageError("gone"))
    if how == "option":
        result = run("--force-json-log-output", "true", "fail")
    else:
        result = run("fail", env={"FORCE_JSON_LOG_OUTPUT": "true"})
    message = json.loads(result.stderr)
    assert (message["level"], message["message"]) == ("error", "gone")
    assert message["time"].endswith("+00:00")


def test_an_empty_environment_variable_counts_as_unset(failing: Callable[[BaseException], None]) -> None:
    failing(StorageError("gone"))
    assert error(run("fail", env={"FORCE_JSON_LOG_OUTPUT": ""}), 1) == "prio-assets: error: gone"


@pytest.mark.parametrize(
    "arguments",
    [
        [FAKE_KEY],
        ["inspect", FAKE_KEY],
        ["collect", FAKE_KEY],
        ["generate-ingestion-sample", FAKE_KEY],
        ["generate-ingestion-sample", "--dimension", FAKE_KEY],
        ["generate-ingestion-sample", f"--batch-signing-private-kye={FAKE_KEY}"],
        [FAKE_PEM],
        ["collect", FAKE_PEM],
        ["generate-ingestion-sample", "--batch-id", FAKE_KEY],
        ["generate-ingestion-sample", "--date", FAKE_PEM],
    ],
)
def test_a_misplaced_key_is_not_repeated(arguments: list[str]) -> None:
    result = run(*arguments)
    error(result, 2)
    assert FAKE_KEY[:40] not in result.output


@pytest.mark.parametrize("key", [FAKE_KEY, FAKE_PEM, "BP4DETIcThsBu64YU0GE" * 7])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_message_shows_what_looks_like_a_private_key(
    failing: Callable[[BaseException], None], key: str, form: str
) -> None:
    failing(StorageError(f"the storage /buckets/{key} is not there: create it"))
    result = run("--force-json-log-output", str(form == "json").lower(), "fail")
    assert "the storage /buckets/(hidden) is not there: create it" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "BP4DETIcThsBu64YU0GE" * 4 + "BP4DETI=",
        "/buckets/BOSTON/" + "a/" * 20 + "2026/01/31/10/20/5b9cbfa6-88d6-4237-a3c4-331e26171ef6.batch",
    ],
    ids=["a public point", "a path"],
)
def test_what_is_no_private_key_is_shown(failing: Callable[[BaseException], None], text: str) -> None:
    failing(StorageError(text))
    assert text in run("fail").stderr
