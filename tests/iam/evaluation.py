"""Whether AWS would let a request pass, by the rules of its policy language as far as the files use it.

An explicit denial wins, something must allow. What a file uses beyond this is an error here, never a guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.iam.policies import Policy


@dataclass(frozen=True)
class Request:
    """An action on a resource, who asks for it, and the condition keys that come with it."""

    action: str
    resource: str
    principal: str = ""
    context: Mapping[str, str] = field(default_factory=dict)


def is_allowed(policies: Iterable[Policy], request: Request) -> bool:
    """Whether one of the policies allows the request, and none denies it."""
    statements = [each for policy in policies for each in policy["Statement"] if _concerns(each, request)]
    effects = {each["Effect"] for each in statements}
    assert effects <= {"Allow", "Deny"}
    return effects == {"Allow"}


def _concerns(statement: Mapping[str, Any], request: Request) -> bool:
    unknown = statement.keys() - {"Sid", "Effect", "Principal", "Action", "Resource", "NotResource", "Condition"}
    assert not unknown, unknown
    return (
        _is_one_of(statement["Action"], request.action)
        and _is_of_resource(statement, request.resource)
        and _is_of_principal(statement, request.principal)
        and all(
            _holds(operator, key, value, request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, value in keys.items()
        )
    )


def _is_one_of(patterns: str | list[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def _is_of_resource(statement: Mapping[str, Any], resource: str) -> bool:
    if "NotResource" in statement:
        return not _is_one_of(statement["NotResource"], resource)
    return "Resource" not in statement or _is_one_of(statement["Resource"], resource)


def _is_of_principal(statement: Mapping[str, Any], principal: str) -> bool:
    match statement.get("Principal", "*"):
        case "*":
            return True
        case {**kinds} if len(kinds) == 1:
            return principal in kinds.values()
        case other:
            raise AssertionError(other)


def _holds(operator: str, key: str, value: str, context: Mapping[str, str]) -> bool:
    if operator == "Null":
        return (key not in context) == (value == "true")
    assert operator in ("Bool", "StringEquals"), operator
    return context.get(key) == value
