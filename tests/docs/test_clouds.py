"""The commands of docs/clouds.md that need an account: no cloud is asked here, but they are run all the same.

What `aws` is told goes to a server that speaks its protocol, by a stand-in that knows the options by AWS's own models.
What `gcloud` and `kubectl` are told is written down, and compared with what the document says in words.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from prio_assets.configuration import load_configuration
from prio_assets.demo.emulators import run_s3
from tests.clouds import forget_own_credentials
from tests.demo.by_hand import DemoByHand
from tests.docs.test_documents import CHECKOUT, blocks
from tests.iam.policies import policy, text_of

DOCUMENT = CHECKOUT / "docs/clouds.md"
FOR_ACCOUNTS = re.compile(r"^( *)```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CONFIGURATION = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)

NOTE = 'printf "%s\\n" "${0##*/} $*" >> calls\n'
"""Of a command that is written down."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A directory where all commands were run in the order of the document, and the environment for more of them."""
    place = tmp_path_factory.mktemp("account")
    (place / "docs").symlink_to(CHECKOUT / "docs")
    programs = place / "programs"
    programs.mkdir()
    (programs / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.docs.aws "$@"\n')
    for name in ("gcloud", "kubectl"):
        (programs / name).write_text(f"#!/bin/sh\n{NOTE}")
    for program in programs.iterdir():
        program.chmod(0o755)
    with pytest.MonkeyPatch.context() as ours, ExitStack() as stack:
        forget_own_credentials(ours, place)
        emulator = stack.enter_context(run_s3(tmp_path_factory.mktemp("s3")))
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "AWS_ENDPOINT_URL": emulator.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
        }
        fill = next(block for block in blocks(DOCUMENT) if "values.sed" in block)
        for block in (fill, *commands_for_accounts()):
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, f"{block}\n{run.stderr}"
        yield place, environment


def commands_for_accounts() -> list[str]:
    """The blocks that need an account, without the indentation of lists. Each can be pasted by itself."""
    found = []
    for indentation, block in FOR_ACCOUNTS.findall(DOCUMENT.read_text()):
        found.append("".join(line.removeprefix(indentation) for line in block.splitlines(keepends=True)))
    return found


def client(environment: dict[str, str], service: str) -> Any:
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def test_the_command_fills_in_all_policies(account: tuple[Path, dict[str, str]]) -> None:
    place, _ = account
    found = {path.stem: path.read_text() for path in (place / "policies").iterdir()}
    assert found == {path.stem: text_of(path.stem) for path in (CHECKOUT / "docs/iam/aws").glob("*.json")}


BUCKETS = {
    "example-pha-ingestion": ("ingestion-bucket", "lifecycle-expire"),
    "example-pha-peer-validations": ("peer-validations-bucket", "lifecycle-expire"),
    "example-pha-own-validations": ("own-validations-bucket", "lifecycle-expire"),
    "example-pha-state": ("state-bucket", "lifecycle-keep"),
}


def test_buckets_of_aws_are_closed(account: tuple[Path, dict[str, str]]) -> None:
    s3 = client(account[1], "s3")
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == BUCKETS.keys()
    for bucket, (its_policy, lifecycle) in BUCKETS.items():
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}
        assert len(block) == 4
        ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
        assert ownership["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy(its_policy)
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert [rule["ID"] for rule in rules] == [rule["ID"] for rule in policy(lifecycle)["Rules"]]
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        assert versioning == ("Enabled" if bucket == "example-pha-state" else None)


def test_roles_of_aws_have_their_policies(account: tuple[Path, dict[str, str]]) -> None:
    iam = client(account[1], "iam")
    for role, trust, its_policy in (
        ("prio-processor", "trust-ec2", "processor-role"),
        ("prio-writer", "trust-web-identity", "writer-role"),
    ):
        assert iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"] == policy(trust)
        found = iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
        assert found == policy(its_policy)


def test_the_issuers_of_clusters_are_made_known_to_aws(account: tuple[Path, dict[str, str]]) -> None:
    providers = client(account[1], "iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert {provider["Arn"].partition(":oidc-provider/")[2] for provider in providers} == {
        "container.googleapis.com/v1/projects/example-pha/locations/europe-west1/clusters/example",
        "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
    }


def test_roles_come_before_the_buckets_whose_policies_name_them() -> None:
    """AWS refuses a policy that names a role that isn't there: two parties would wait for each other."""
    text = DOCUMENT.read_text()
    assert text.index("aws iam create-role --role-name prio-processor") < text.index("aws s3api put-bucket-policy")


WRITER = "prio-writer@example-facilitator.iam.gserviceaccount.com"
PROCESSOR = "serviceAccount:prio-processor@example-pha.iam.gserviceaccount.com"
GRANTS = {
    ("example-pha-ingestion", "reader", PROCESSOR),
    ("example-pha-ingestion", "creator", "serviceAccount:prio-ingestor@example-ingestor.iam.gserviceaccount.com"),
    ("example-pha-peer-validations", "reader", PROCESSOR),
    ("example-pha-peer-validations", "creator", PROCESSOR.replace("-pha", "-facilitator")),
    ("example-pha-own-validations", "keeper", PROCESSOR),
    ("example-pha-state", "keeper", PROCESSOR),
}
ACCOUNT = re.compile(r"([a-z-]+)@([a-z-]+)\.iam\.gserviceaccount\.com")


def test_buckets_of_google_cloud_are_granted_to_whom_the_document_says(account: tuple[Path, dict[str, str]]) -> None:
    calls = (account[0] / "calls").read_text()
    binding = r"gcloud storage buckets add-iam-policy-binding gs://(\S+) --role=projects/example-pha/roles/prio_(\S+)"
    found = re.findall(rf"^{binding} --member=(\S+)$", calls, re.MULTILINE)
    assert len(found) == len(GRANTS)
    assert set(found) == GRANTS
    assert "projects add-iam-policy-binding" not in calls


def test_who_comes_from_another_cloud_may_create_in_one_bucket(account: tuple[Path, dict[str, str]]) -> None:
    calls = (account[0] / "calls").read_text().splitlines()
    (grant,) = (call for call in calls if call.endswith("--member=serviceAccount:" + WRITER))
    assert grant.split()[4:6] == [
        "gs://example-facilitator-peer-validations",
        "--role=projects/example-facilitator/roles/prio_creator",
    ]
    trusted = [call for call in calls if f" add-iam-policy-binding {WRITER} " in call]
    configured = [call for call in calls if f" --service-account={WRITER} " in call]
    assert (len(trusted), len(configured)) == (2, 2)


def test_accounts_and_pools_of_google_cloud_are_made_before_they_are_used(
    account: tuple[Path, dict[str, str]],
) -> None:
    """Those of a call's own project. What belongs to other parties' projects is made there."""
    made: set[tuple[str, str]] = set()
    pools, used_pools = 0, 0
    for call in (account[0] / "calls").read_text().splitlines():
        if not call.startswith("gcloud "):
            continue
        projects = set(re.findall(r"(?:--project=|--role=projects/)([a-z-]+)", call))
        if creation := re.match(r"gcloud iam service-accounts create (\S+) --project=(\S+)", call):
            made.add((creation[1], creation[2]))
        for used in ACCOUNT.findall(call):
            assert used in made or (projects and used[1] not in projects), call
        pools += call.startswith("gcloud iam workload-identity-pools create prio ")
        if "workload-identity-pool=prio" in call:
            used_pools += 1
            assert pools == 1, call
    assert made == {("prio-processor", "example-pha"), ("prio-writer", "example-facilitator")}
    assert used_pools == 2


def test_each_project_has_the_services_that_its_commands_need(account: tuple[Path, dict[str, str]]) -> None:
    ready: set[str] = set()
    for call in (account[0] / "calls").read_text().splitlines():
        (project,) = re.findall(r"--project=(\S+)", call) or [""]
        if call.startswith("gcloud services enable "):
            ready.add(project)
            services = {"iam", "iamcredentials", "sts", "storage"}
            assert set(re.findall(r"(\S+)\.googleapis\.com", call)) == services
        elif project:
            assert project in ready, call
    assert ready == {"example-pha", "example-facilitator"}


def test_buckets_of_google_cloud_are_closed(account: tuple[Path, dict[str, str]]) -> None:
    calls = (account[0] / "calls").read_text()
    made = re.findall(r"^gcloud storage buckets create gs://(\S+) (.*)$", calls, re.MULTILINE)
    assert {name for name, _ in made} == BUCKETS.keys()
    for name, options in made:
        assert {"--uniform-bucket-level-access", "--public-access-prevention"} <= set(options.split())
        duration = "30d" if name == "example-pha-state" else "0"
        assert options.endswith(f"--soft-delete-duration={duration}")
    closed = re.findall(r"^gcloud storage buckets remove-iam-policy-binding gs://(\S+) (.*)$", calls, re.MULTILINE)
    assert sorted(closed) == sorted(
        (name, f"--role=roles/storage.legacy{level}{kind} --member={member}:example-pha")
        for name in BUCKETS
        for level in ("Bucket", "Object")
        for kind, member in (("Owner", "projectEditor"), ("Reader", "projectViewer"))
    )
    expiring = re.findall(r"^gcloud storage buckets update gs://(\S+) --lifecycle-file=\S+$", calls, re.MULTILINE)
    assert set(expiring) == BUCKETS.keys() - {"example-pha-state"}


def test_files_that_gcloud_is_given_are_there(account: tuple[Path, dict[str, str]]) -> None:
    given = re.findall(r"--(?:lifecycle-)?file=(\S+)", (account[0] / "calls").read_text())
    assert len(given) == 6
    assert all((CHECKOUT / path).is_file() for path in given)


def test_roles_of_google_cloud_are_those_of_the_files(account: tuple[Path, dict[str, str]]) -> None:
    made = re.findall(
        r"gcloud iam roles create prio_(\S+) \S+ --file=docs/iam/gcp/(\S+)\.yaml", (account[0] / "calls").read_text()
    )
    assert made == [(name, name) for name in ("reader", "creator", "keeper")]


def test_configurations_are_valid(tmp_path: Path) -> None:
    """Each example, its storages in the place of the demo's."""
    demo = DemoByHand(tmp_path / "demo")
    examples = [yaml.safe_load(text) for text in CONFIGURATION.findall(DOCUMENT.read_text())]
    examples = [example for example in examples if "processors" in example]
    assert len(examples) == 2
    for example in examples:
        content = yaml.safe_load(demo.place.configuration.read_text())
        for name, section in example["processors"].items():
            content["processors"][name].update(section)
        demo.place.configuration.write_text(yaml.safe_dump(content))
        loaded = load_configuration(demo.place.configuration).processors["pha"]
        for key, value in example["processors"]["pha"].items():
            assert str(getattr(loaded, key)) == (value if isinstance(value, str) else value["url"])
