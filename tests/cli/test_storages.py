"""The options that say where storages are and as whom they are reached, and what is wrong with them."""

import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from prio_assets.cli.aggregate import command as aggregate
from prio_assets.cli.collect import command as collect
from prio_assets.cli.generate_ingestion_sample import command as generate_ingestion_sample
from prio_assets.cli.intake_batch import command as intake_batch
from prio_assets.cli.storages import google_credentials_options
from tests.cli.interop_case import Case, arguments
from tests.cli.program import error, run

PLAIN = Case("plain-8", 0)
S3, GCS = "s3://us-west-2/bucket/prefix", "gs://bucket/prefix"
ROLE, ACCOUNT = "arn:aws:iam::123456789012:role/writer", "writer@project-1.iam.gserviceaccount.com"

REFERENCE = {
    generate_ingestion_sample: ("peer", "facilitator"),
    intake_batch: ("ingestor", "peer"),
    aggregate: ("ingestor", "peer", "portal"),
}
"""The parties whose storages each of the reference's commands takes."""


def intake(output: object, **changes: Any) -> Any:
    return run(*arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], output, **changes)))


@pytest.mark.parametrize("command", REFERENCE, ids=lambda command: command.name)
def test_commands_have_the_reference_s_options_and_variables(command: click.Command) -> None:
    names = {
        f"{party}-{option}"
        for party in REFERENCE[command]
        for option in (
            "identity",
            "use-default-aws-credentials-provider",
            "gcp-sa-to-impersonate-before-assuming-role",
        )
    }
    names |= {"gcp-service-account-key-file"}
    found = {option.opts[0]: option.envvar for option in command.params if isinstance(option, click.Option)}
    for name in names:
        assert found[f"--{name}"] == name.upper().replace("-", "_")


@pytest.mark.parametrize("command", [*REFERENCE, collect], ids=lambda command: command.name)
def test_the_help_names_the_forms_of_a_storage(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert "s3://region/bucket/prefix or gs://bucket/prefix" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("output", "identity", "said"),
    [
        (
            "directory",
            ROLE,
            "--peer-identity: {} is a directory, which is reached as whoever runs this; leave it empty",
        ),
        (S3, ACCOUNT, "--peer-identity: not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME"),
        (S3, "arn:aws:iam::1:role/x", "--peer-identity: not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME"),
        (GCS, ROLE, "--peer-identity: not a service account; write its e-mail address, NAME@PROJECT.iam.gservicea"),
        ("s4://bucket", "", "'s4' is not the beginning of a storage URL: write s3://region/bucket/prefix, gs://bucket"),
        (
            "s3://bucket/prefix",
            ROLE,
            "error: 's3://bucket/prefix': its first part is no region; write s3://region/bucket",
        ),
        ("gs:/bucket", "", "'gs' is not the beginning of a storage URL"),
        ("https://user:hunter2@host", "", "'https' is not the beginning of a storage URL"),
    ],
)
def test_what_is_wrong_with_a_storage_is_one_line(tmp_path: Path, output: str, identity: str, said: str) -> None:
    place = str(tmp_path / output) if output == "directory" else output
    result = intake(place, peer_identity=identity)
    assert said.format(place) in error(result, 1)
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.output
    assert not list(tmp_path.iterdir())


def test_the_identity_of_a_sum_part_s_storage_is_looked_at_before_the_work(tmp_path: Path) -> None:
    result = run(
        *arguments("aggregate", PLAIN.aggregate_options(Path("x")) | {"portal_output": S3, "portal_identity": "x"})
    )
    assert "--portal-identity: not the ARN of a role" in error(result, 1)
    assert "engine" not in result.stderr


@pytest.mark.parametrize("role", ["pha", "facilitator"])
def test_the_portal_s_identities_are_looked_at(tmp_path: Path, role: str) -> None:
    options = PLAIN.collect_options(tmp_path, tmp_path) | {f"{role}_input": GCS, f"{role}_identity": ROLE}
    assert f"--{role}-identity: not a service account" in error(run(*arguments("collect", options)), 1)


@pytest.mark.parametrize("value", ["true", "false"])
def test_credentials_are_always_the_sdk_s(tmp_path: Path, value: str) -> None:
    changes = {f"{party}_use_default_aws_credentials_provider": value for party in ("peer", "ingestor")}
    result = intake(tmp_path, **changes)
    assert result.exit_code == 0, result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("peer_gcp_sa_to_impersonate_before_assuming_role", "set AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("gcp_workload_identity_pool_provider", "create-cred-config` makes in GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_what_an_sdk_does_by_its_own_settings_is_told(tmp_path: Path, option: str, said: str) -> None:
    assert said in error(intake(tmp_path, **{option: ACCOUNT}), 2)
    options = arguments("intake-batch", PLAIN.intake_options(PLAIN.batches[0], tmp_path))
    assert said in error(run(*options, env={option.upper(): ACCOUNT}), 2)
    assert intake(tmp_path, **{option: ""}).exit_code == 0


@pytest.mark.parametrize("given", ["", None])
def test_a_key_file_is_what_google_s_sdk_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "as-before")
    file = tmp_path / "key.json"
    file.write_text("{}")
    seen = []

    @click.command
    @google_credentials_options
    def command() -> None:
        seen.append(os.environ["GOOGLE_APPLICATION_CREDENTIALS"])

    option = "--gcp-service-account-key-file"
    for path in (given, str(file)):
        CliRunner().invoke(command, [option, path] if path is not None else [], catch_exceptions=False)
    assert seen == ["as-before", str(file)]
    result = CliRunner().invoke(command, [option, str(tmp_path / "none.json")])
    assert (result.exit_code, "none.json' does not exist" in result.output) == (2, True)
