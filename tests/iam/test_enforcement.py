"""The parties' roles at a server that enforces their policies.

It knows actions, resources, roles and external ids. It does not evaluate the conditions of S3's statements, nor what a
bucket's policy allows; those are held by `test_grants`, and against the requests that are really sent by `test_window`.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.iam.enforcing import BUCKETS, PROCESSORS, ROLES, Cloud, run_cloud

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


def with_action(policy: str, action: str) -> str:
    """The policy with one more action in its last statement."""
    content = json.loads(policy)
    statement = content["Statement"][-1]
    statement["Action"] = [statement["Action"], action]
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
    mutants = {name: policy for name, (_, policy) in MUTANTS.items()}
    with run_cloud(tmp_path_factory.mktemp("s3"), mutants) as cloud:
        yield cloud


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
    assert what_is_allowed(cloud.as_role(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", MUTANTS)
def test_other_policies_show(cloud: Cloud, name: str) -> None:
    assert what_is_allowed(cloud.as_role(name)) != EXPECTED[MUTANTS[name][0]]


def test_the_machine_itself_may_do_nothing(cloud: Cloud) -> None:
    assert what_is_allowed(cloud.client("s3")) == {}


def test_a_role_is_assumed_with_the_external_id_alone(cloud: Cloud) -> None:
    assert passes(lambda: cloud.as_role("pha"))
    assert not passes(lambda: cloud.as_role("pha", external_id="another word"))
