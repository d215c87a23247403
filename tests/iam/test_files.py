"""The files of docs/iam are what AWS and Google Cloud take: actions and keys that exist, and no placeholder is left."""

import json
import warnings
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.validate import validate_parameters

from tests.clouds import forget_own_credentials
from tests.iam.policies import AWS, IAM, PLACEHOLDER, Policy, policy, text_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources
    import parliament

FILES = sorted(path.stem for path in AWS.glob("*.json"))
LIFECYCLES = [name for name in FILES if name.startswith("lifecycle-")]
TRUSTS = [name for name in FILES if name.startswith("trust-")]
POLICIES = [name for name in FILES if name not in LIFECYCLES]

MEANT = {
    **{name: {"CREDENTIALS_EXPOSURE"} for name in (*TRUSTS, "assume-writer-role")},  # to assume a role is their purpose
    # A cluster's issuer, and the keys of its tokens, which parliament cannot know.
    "trust-web-identity": {"CREDENTIALS_EXPOSURE", "UNKNOWN_FEDERATION_SOURCE", "UNKNOWN_CONDITION_FOR_ACTION"},
}


def findings(content: Policy) -> set[str]:
    """What parliament has against a policy. It doesn't look at the keys of `Null`, so it gets another operator."""
    text = json.dumps(content).replace('"Null"', '"StringEquals"')
    analysed = parliament.analyze_policy_string(text, include_community_auditors=True)
    return {finding.issue for finding in analysed.findings}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_pass_the_linter(name: str) -> None:
    content = policy(name)
    if name in TRUSTS:  # they are of the role that they lie in, which parliament wants to be named
        role = {"Resource": "arn:aws:iam::111122223333:role/prio-processor"}
        content["Statement"] = [statement | role for statement in content["Statement"]]
    assert findings(content) == MEANT.get(name, set())


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"Action": "s3:PutObjects"}, "UNKNOWN_ACTION"),
        ({"Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
        ({"Condition": {"Null": {"s3:if-none-matches": "false"}}}, "UNKNOWN_CONDITION_FOR_ACTION"),
    ],
)
def test_the_linter_finds_what_is_wrong(change: Policy, issue: str) -> None:
    content = policy("writer-role")
    content["Statement"][0] |= change
    assert findings(content) == {issue}


@pytest.mark.parametrize("name", FILES)
def test_every_placeholder_has_a_value(name: str) -> None:
    assert not PLACEHOLDER.search(text_of(name))


def test_every_value_is_used() -> None:
    used = {found for name in FILES for found in PLACEHOLDER.findall((AWS / f"{name}.json").read_text())}
    assert used == set(PLACEHOLDER.findall((IAM / "values.sed").read_text()))


@pytest.mark.parametrize("name", LIFECYCLES)
def test_lifecycle_rules_are_what_s3_takes(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_own_credentials(monkeypatch, tmp_path)
    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="unused", aws_secret_access_key="unused")
    shape = client.meta.service_model.operation_model("PutBucketLifecycleConfiguration").input_shape
    validate_parameters({"Bucket": "bucket", "LifecycleConfiguration": policy(name)}, shape)
    rules = policy(name)["Rules"]
    assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
    assert [rule["Expiration"] for rule in rules if "Expiration" in rule] == (
        [{"Days": 30}] if name == "lifecycle-expire" else []
    )


ROLES = {
    "reader": {"storage.objects.get", "storage.objects.list"},
    "creator": {"storage.objects.create"},
    "keeper": {"storage.objects.create", "storage.objects.get", "storage.objects.list"},
}


def test_roles_of_google_cloud_hold_just_their_permissions() -> None:
    """None may delete, which it takes to replace an object there, too."""
    found = {path.stem: yaml.safe_load(path.read_text()) for path in (IAM / "gcp").glob("*.yaml")}
    condition = found.pop("prefix-condition")
    assert {name: set(role["includedPermissions"]) for name, role in found.items()} == ROLES
    for role in found.values():
        assert role.keys() == {"title", "description", "stage", "includedPermissions"}
        assert role["stage"] == "GA"
        assert len(role["title"]) <= 100
        assert len(role["description"]) <= 300
    assert condition.keys() == {"title", "description", "expression"}
    assert set(PLACEHOLDER.findall(condition["expression"])) == {"@BUCKET@", "@PREFIX@"}


def test_lifecycle_rules_of_google_cloud() -> None:
    rules = json.loads((IAM / "gcp/lifecycle-expire.json").read_text())
    assert rules == {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 30}}]}
