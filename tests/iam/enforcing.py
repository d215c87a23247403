"""A server that enforces policies, with all parties' buckets and roles: moto's, in another process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import boto3
import pytest

from prio_assets.demo.emulators import run_s3
from tests.clouds import forget_own_credentials
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


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def values(own: str, other: str) -> dict[str, str]:
    """What one processor's organisation, and the others in its place, write for the placeholders."""
    return {
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
"""The policies of the parties' roles."""


@dataclass(frozen=True)
class Cloud:
    """The server, and the keys of one machine, which may do nothing but assume the roles."""

    endpoint: str
    keys: Mapping[str, str]

    def client(self, service: str, **keys: str) -> Any:
        """A client with the machine's keys or others."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint, **keys or self.keys)

    def as_role(self, name: str, external_id: str = EXTERNAL_ID) -> Any:
        """A client of S3 that has assumed a role."""
        sts = self.client("sts")
        answer = sts.assume_role(RoleArn=role_arn(name), RoleSessionName="test", ExternalId=external_id)
        keys = answer["Credentials"]
        return self.client(
            "s3",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )


@contextmanager
def run_cloud(directory: Path, more_roles: Mapping[str, str]) -> Iterator[Cloud]:
    """Run the server, with the parties' roles and others; our own credentials are out of the way meanwhile."""
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        forget_own_credentials(environment, directory)
        emulator = stack.enter_context(run_s3(directory))
        administrator = Cloud(emulator.endpoint, {"aws_access_key_id": "any", "aws_secret_access_key": "any"})
        for bucket in BUCKETS:
            location = {"LocationConstraint": REGION}
            administrator.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
        keys = _make_roles(administrator.client("iam"), {**ROLES, **more_roles})
        # From here on the server looks who asks.
        switch = HttpRequest(
            f"{emulator.endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
        )
        with urlopen(switch) as answer:
            assert json.load(answer)["status"] == "ok"
        yield Cloud(emulator.endpoint, keys)


def _make_roles(iam: Any, roles: Mapping[str, str]) -> dict[str, str]:
    """The roles, and the keys of the machine that may assume them."""
    wanted = values("pha", "facilitator")
    iam.create_user(UserName="machine")
    assume = filled("assume-writer-role", wanted)
    iam.put_user_policy(UserName="machine", PolicyName="assume", PolicyDocument=assume)
    for name, policy in roles.items():
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=filled("trust-role", wanted))
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName="machine")["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
