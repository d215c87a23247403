"""The parties' roles at a server that enforces their policies: moto's, in another process.

It knows actions, resources, roles and external ids. It does not evaluate the conditions of S3's statements, nor what a
bucket's policy allows; those are held by `test_grants`, and here against the requests that are really sent.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

from prio_assets.demo.emulators import run_s3
from tests.iam.policies import filled

REGION = "eu-west-1"
ACCOUNT = "123456789012"  # moto's
EXTERNAL_ID = "a word that both know"
MACHINE = f"arn:aws:iam::{ACCOUNT}:user/machine"
PROCESSORS = ("pha", "facilitator")
STORAGES = ("ingestion", "own-validations", "peer-validations", "state")
BUCKETS = (
    *(f"{processor}-{storage}" for processor in PROCESSORS for storage in STORAGES),
    *(f"portal-{storage}" for storage in ("pha-sum-parts", "facilitator-sum-parts", "statistics")),
)

EXPECTED = {
    **{
        own: {
            f"{own}-ingestion": {"list", "read"},
            f"{own}-peer-validations": {"list", "read"},
            f"{own}-own-validations": {"list", "read", "create"},
            f"{own}-state": {"list", "read", "create"},
            f"{other}-peer-validations": {"create"},
            f"portal-{own}-sum-parts": {"create"},
        }
        for own, other in (PROCESSORS, PROCESSORS[::-1])
    },
    "ingestor": {"pha-ingestion": {"create"}, "facilitator-ingestion": {"create"}},
    "portal": {
        "portal-pha-sum-parts": {"list", "read"},
        "portal-facilitator-sum-parts": {"list", "read"},
        "portal-statistics": {"list", "read", "create"},
    },
    "writer": {"facilitator-peer-validations": {"create"}},
}
"""What docs/clouds.md says that each role may do, by bucket."""

OPERATIONS: dict[str, Callable[[Any, str, str], object]] = {
    "list": lambda s3, bucket, name: s3.list_objects_v2(Bucket=bucket),
    "read": lambda s3, bucket, name: s3.get_object(Bucket=bucket, Key=name),
    "create": lambda s3, bucket, name: s3.put_object(Bucket=bucket, Key=name, Body=b"", IfNoneMatch="*"),
    "delete": lambda s3, bucket, name: s3.delete_object(Bucket=bucket, Key=name),
}


@dataclass(frozen=True)
class Cloud:
    """A server that enforces policies, and the keys of one machine, which may do nothing but assume the roles."""

    endpoint: str
    keys: Mapping[str, str]

    def client(self, service: str, **keys: str) -> Any:
        """A client with the machine's keys or others."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, **keys or self.keys)

    def as_role(self, name: str, **options: str) -> Any:
        """A client of S3 that has assumed a role."""
        answer = self.client("sts").assume_role(RoleArn=role_arn(name), RoleSessionName="test", **options)
        keys = answer["Credentials"]
        return self.client(
            "s3",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def values(own: str, other: str) -> dict[str, str]:
    """What one processor's organisation, and the others in its place, write for the placeholders."""
    return {
        "ACCOUNT": ACCOUNT,
        "PROCESSOR_ROLE": role_arn(own),
        "PEER_ROLE": role_arn(other),
        "INGESTOR_ROLE": role_arn("ingestor"),
        "INGESTION_BUCKET": f"{own}-ingestion",
        "OWN_VALIDATIONS_BUCKET": f"{own}-own-validations",
        "PEER_VALIDATIONS_BUCKET": f"{own}-peer-validations",
        "STATE_BUCKET": f"{own}-state",
        "PEER_BUCKET": f"{other}-peer-validations",
        "OTHER_INGESTION_BUCKET": f"{other}-ingestion",
        "SUM_PARTS_BUCKET": f"portal-{own}-sum-parts",
        "OTHER_SUM_PARTS_BUCKET": f"portal-{other}-sum-parts",
        "STATISTICS_BUCKET": "portal-statistics",
        "WRITTEN_BUCKET": f"{other}-peer-validations",
        "WRITER_ROLE": role_arn("*"),
        "ASSUMING_ROLE": MACHINE,
        "EXTERNAL_ID": EXTERNAL_ID,
    }


ROLES = {
    "pha": filled("processor-role", values("pha", "facilitator")),
    "facilitator": filled("processor-role", values("facilitator", "pha")),
    "ingestor": filled("ingestor-role", values("pha", "facilitator")),
    "portal": filled("portal-role", values("pha", "facilitator")),
    "writer": filled("writer-role", values("pha", "facilitator")),
}


def with_action(policy: str, action: str) -> str:
    """The policy with one more action in its last statement."""
    content = json.loads(policy)
    statement = content["Statement"][-1]
    statement["Action"] = [statement["Action"], action] if isinstance(statement["Action"], str) else [action]
    return json.dumps(content)


MUTANTS = {
    "deleting-portal": ("portal", with_action(ROLES["portal"], "s3:DeleteObject")),
    "reading-ingestor": ("ingestor", with_action(ROLES["ingestor"], "s3:GetObject")),
    "facilitator-as-pha": ("pha", ROLES["facilitator"]),
    "powerless-writer": ("writer", ROLES["writer"].replace("PutObject", "PutObjectAcl")),
}
"""Roles whose policies are not those of the role named first."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with run_s3(tmp_path_factory.mktemp("s3")) as emulator:
        administrator = Cloud(emulator.endpoint, {"aws_access_key_id": "any", "aws_secret_access_key": "any"})
        for bucket in BUCKETS:
            location = {"LocationConstraint": REGION}
            administrator.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
        iam = administrator.client("iam")
        iam.create_user(UserName="machine")
        key = iam.create_access_key(UserName="machine")["AccessKey"]
        wanted = values("pha", "facilitator")
        assume = filled("assume-writer-role", wanted)
        iam.put_user_policy(UserName="machine", PolicyName="assume", PolicyDocument=assume)
        for name, policy in {**ROLES, **{name: policy for name, (_, policy) in MUTANTS.items()}}.items():
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=filled("trust-role", wanted))
            iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy)
        from_now_on = f"{emulator.endpoint}/moto-api/reset-auth"  # the server looks who asks
        with urlopen(HttpRequest(from_now_on, data=b"0", headers={"Content-Type": "text/plain"})):
            pass
        yield Cloud(
            emulator.endpoint,
            {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]},
        )


def what_is_allowed(s3: Any) -> dict[str, set[str]]:
    """What a client may do, tried at every bucket."""
    found: dict[str, set[str]] = {}
    for bucket in BUCKETS:
        for operation, attempt in OPERATIONS.items():
            if passes(lambda attempt=attempt, bucket=bucket: attempt(s3, bucket, "tried/object")):
                found.setdefault(bucket, set()).add(operation)
    return found


def passes(attempt: Callable[[], object]) -> bool:
    """Whether the server lets a request pass; what comes after that may fail."""
    try:
        attempt()
    except ClientError as error:
        return error.response["Error"]["Code"] != "AccessDenied"
    return True


@pytest.mark.parametrize("name", ROLES)
def test_roles_may_do_what_the_documents_say_and_no_more(cloud: Cloud, name: str) -> None:
    assert what_is_allowed(cloud.as_role(name, ExternalId=EXTERNAL_ID)) == EXPECTED[name]


@pytest.mark.parametrize("name", MUTANTS)
def test_other_policies_show(cloud: Cloud, name: str) -> None:
    assert what_is_allowed(cloud.as_role(name, ExternalId=EXTERNAL_ID)) != EXPECTED[MUTANTS[name][0]]


def test_the_machine_itself_may_do_nothing(cloud: Cloud) -> None:
    assert what_is_allowed(cloud.client("s3")) == {}


def test_a_role_is_assumed_with_the_external_id_alone(cloud: Cloud) -> None:
    assert passes(lambda: cloud.as_role("pha", ExternalId=EXTERNAL_ID))
    assert not passes(lambda: cloud.as_role("pha", ExternalId="another word"))
