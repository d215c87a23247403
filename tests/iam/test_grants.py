"""What each party may do where, by the policies as AWS reads them, conditions included: this and nothing else."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest

from tests.iam.evaluation import Request, is_allowed
from tests.iam.policies import Policy, policy

INGESTION = "example-pha-ingestion"
OWN_VALIDATIONS = "example-pha-own-validations"
PEER_VALIDATIONS = "example-pha-peer-validations"
STATE = "example-pha-state"
PEER_BUCKET = "example-facilitator-peer-validations"
OTHER_INGESTION = "example-facilitator-ingestion"
SUM_PARTS = "example-portal-pha-sum-parts"
OTHER_SUM_PARTS = "example-portal-facilitator-sum-parts"
STATISTICS = "example-portal-statistics"
STRANGE = "example-of-somebody-else"

PLACES = {
    **{
        bucket: f"{bucket}/survey/2026/01/31/10/20/object"
        for bucket in (
            *(INGESTION, OWN_VALIDATIONS, PEER_VALIDATIONS, PEER_BUCKET, OTHER_INGESTION),
            *(SUM_PARTS, OTHER_SUM_PARTS, STATISTICS, STRANGE),
        )
    },
    STATE: f"{STATE}/ledger/survey/0000000001",
    "counted": f"{STATE}/counted/survey/00ff",
}
"""Where something may be tried: a bucket and an object in it."""

OPERATIONS = {
    "list": ("s3:ListBucket", {}),
    "read": ("s3:GetObject", {}),
    "read-if-changed": ("s3:GetObject", {"s3:if-none-match": "etag"}),
    "create": ("s3:PutObject", {"s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}),
    "replace": ("s3:PutObject", {"s3:ObjectCreationOperation": "true"}),
    "upload": ("s3:PutObject", {"s3:ObjectCreationOperation": "false"}),
    "abort": ("s3:AbortMultipartUpload", {}),
    "delete": ("s3:DeleteObject", {}),
    "delete-with-header": ("s3:DeleteObject", {"s3:if-none-match": "*"}),
    "delete-version": ("s3:DeleteObjectVersion", {}),
    "list-versions": ("s3:ListBucketVersions", {}),
    "let-in": ("s3:PutBucketPolicy", {}),
    "expire": ("s3:PutLifecycleConfiguration", {}),
    "delete-bucket": ("s3:DeleteBucket", {}),
}
READ = {"read", "read-if-changed"}
DELETE = {"delete", "delete-with-header", "delete-version"}
OF_BUCKETS = {"list", "list-versions", "let-in", "expire", "delete-bucket"}

Grants = dict[str, set[str]]

ROLES: dict[str, Grants] = {
    "processor-role": {
        INGESTION: {"list", *READ},
        PEER_VALIDATIONS: {"list", *READ},
        OWN_VALIDATIONS: {"list", *READ, "create"},
        STATE: {"list", *READ, "create"},
        "counted": {"list", *READ, "create", "replace", "upload", "abort"},
        PEER_BUCKET: {"create"},
        SUM_PARTS: {"create"},
    },
    "ingestor-role": {INGESTION: {"create"}, OTHER_INGESTION: {"create"}},
    "portal-role": {
        SUM_PARTS: {"list", *READ},
        OTHER_SUM_PARTS: {"list", *READ},
        STATISTICS: {"list", *READ, "create"},
    },
    "writer-role": {PEER_BUCKET: {"create"}},
}

WRITERS = {
    "ingestion-bucket": (INGESTION, "arn:aws:iam::777788889999:role/prio-ingestor"),
    "peer-validations-bucket": (PEER_VALIDATIONS, "arn:aws:iam::444455556666:role/prio-processor"),
    "sum-parts-bucket": (SUM_PARTS, "arn:aws:iam::111122223333:role/prio-processor"),
}
CLOSED = {
    "own-validations-bucket": OWN_VALIDATIONS,
    "statistics-bucket": STATISTICS,
    "state-bucket": STATE,
}
BUCKET_OF = {**{name: bucket for name, (bucket, _) in WRITERS.items()}, **CLOSED}

ADMINISTRATOR: Policy = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def grants(policies: list[Policy], principal: str = "", secure: str = "true") -> Grants:
    """All that the policies let somebody do, by place."""
    found: Grants = {}
    for place, name in PLACES.items():
        for operation, (action, context) in OPERATIONS.items():
            resource = f"arn:aws:s3:::{name.partition('/')[0] if operation in OF_BUCKETS else name}"
            request = Request(action, resource, principal, {"aws:SecureTransport": secure, **context})
            if is_allowed(policies, request):
                found.setdefault(place, set()).add(operation)
    return found


@pytest.mark.parametrize("name", ROLES)
def test_roles_may_do_what_their_party_does_and_no_more(name: str) -> None:
    assert _without_bucket_of_counted(grants([policy(name)])) == _without_bucket_of_counted(ROLES[name])


@pytest.mark.parametrize("name", WRITERS)
def test_bucket_policies_let_one_other_party_create(name: str) -> None:
    bucket, writer = WRITERS[name]
    assert grants([policy(name)], writer) == {bucket: {"create"}}
    assert grants([policy(name)], "arn:aws:iam::999999999999:role/somebody-else") == {}
    assert grants([policy(name)], writer, secure="false") == {}


@pytest.mark.parametrize("name", CLOSED)
def test_bucket_policies_of_private_storages_let_nobody_in(name: str) -> None:
    assert grants([policy(name)], "arn:aws:iam::999999999999:role/somebody-else") == {}


@pytest.mark.parametrize("name", BUCKET_OF)
def test_nobody_gets_in_without_tls(name: str) -> None:
    """Whatever an identity may do, elsewhere it still may."""
    found = grants([ADMINISTRATOR, policy(name)], secure="false")
    own = {place for place, object_name in PLACES.items() if object_name.startswith(f"{BUCKET_OF[name]}/")}
    assert found.keys() == PLACES.keys() - own


def test_administrators_can_neither_delete_nor_replace_in_the_state() -> None:
    found = grants([ADMINISTRATOR, policy("state-bucket")])
    everything = OPERATIONS.keys()
    assert found[STATE] == everything - {*DELETE, "replace"}
    assert found["counted"] == everything - DELETE


@pytest.mark.parametrize("name", CLOSED)
def test_owners_keep_their_roles_rights_where_policies_deny(name: str) -> None:
    """What the bucket's policy denies is nothing that its owner's role needs."""
    for role in ("processor-role", "portal-role"):
        assert grants([policy(role), policy(name)]) == grants([policy(role)])


def test_a_role_is_assumed_with_the_external_id_alone() -> None:
    processor = "arn:aws:iam::111122223333:role/prio-processor"

    def may_assume(principal: str, external_id: str | None = None) -> bool:
        keys = {} if external_id is None else {"sts:ExternalId": external_id}
        return is_allowed([policy("trust-role")], Request("sts:AssumeRole", "", principal, keys))

    assert may_assume(processor, "example-external-id")
    assert not may_assume(processor, "another")
    assert not may_assume(processor)
    assert not may_assume("arn:aws:iam::111122223333:role/another", "example-external-id")
    writer = Request("sts:AssumeRole", "arn:aws:iam::444455556666:role/prio-writer")
    other = Request("sts:AssumeRole", "arn:aws:iam::444455556666:role/another")
    assert is_allowed([policy("assume-writer-role")], writer)
    assert not is_allowed([policy("assume-writer-role")], other)


def test_a_web_identity_is_one_service_account_and_meant_for_aws() -> None:
    issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
    provider = f"arn:aws:iam::111122223333:oidc-provider/{issuer}"
    token = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": "system:serviceaccount:prio:processor"}

    def may_assume(claims: dict[str, str], principal: str = provider) -> bool:
        return is_allowed(
            [policy("trust-web-identity")], Request("sts:AssumeRoleWithWebIdentity", "", principal, claims)
        )

    assert may_assume(token)
    assert not may_assume(token | {f"{issuer}:sub": "system:serviceaccount:prio:another"})
    assert not may_assume(token | {f"{issuer}:aud": "another"})
    assert not may_assume(token, "arn:aws:iam::111122223333:oidc-provider/another")


@pytest.mark.parametrize("name", ROLES)
def test_every_change_of_a_role_shows(name: str) -> None:
    """The tables above are whole: nothing in a role's policy can be left out, and nothing widened, unnoticed."""
    changed = list(mutants(policy(name)))
    assert changed
    for mutant in changed:
        assert _without_bucket_of_counted(grants([mutant])) != _without_bucket_of_counted(ROLES[name]), mutant


def mutants(content: Policy) -> Iterator[Policy]:
    """A policy with one thing in it removed or widened."""
    for index, statement in enumerate(content["Statement"]):
        yield _changed(content, lambda statements, at=index: statements.pop(at))
        for key in ("Action", "Resource"):
            yield _changed(content, lambda statements, at=index, key=key: statements[at].update({key: "*"}))
            values = statement[key]
            for value in values if isinstance(values, list) else []:
                yield _changed(content, lambda each, at=index, key=key, value=value: each[at][key].remove(value))
        if "Condition" in statement:
            yield _changed(content, lambda statements, at=index: statements[at].pop("Condition"))


def _changed(content: Policy, change: Callable[[list[Policy]], object]) -> Policy:
    copy = deepcopy(content)
    change(copy["Statement"])
    return copy


def _without_bucket_of_counted(found: Grants) -> Grants:
    """`counted` is of the state's bucket: what is granted on the bucket is the state's."""
    return {place: operations - (OF_BUCKETS if place == "counted" else set()) for place, operations in found.items()}
