"""How a storage in a cloud is reached, and as whom. What is not given is left to the cloud's SDK."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from prio_assets.errors import ConfigurationError

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*|[0-9a-f:.]*:[0-9a-f:.]*")
"""A name, or an address of version 4 or 6."""


@dataclass(frozen=True)
class Access:
    """The settings of one storage's client. Those that are of the other cloud, or of none, are refused with its URL.

    `endpoint` is another server than the cloud's own: an S3-compatible store or an emulator. `assume_role`,
    `external_id` and `profile` (of the AWS configuration files) are for S3, `impersonate` (the e-mail address of a
    service account) is for Google Cloud Storage. A request is tried `attempts` times, with the SDK's own backoff, and
    fails when connecting, or waiting for the next bytes, takes longer than so many seconds.
    """

    endpoint: str | None = None
    assume_role: str | None = None
    external_id: str | None = field(default=None, repr=False)
    profile: str | None = None
    impersonate: str | None = None
    attempts: int = 6
    connect_timeout: float = 10.0
    read_timeout: float = 60.0


AMBIENT = Access()
"""As the SDK finds it: environment, configuration files, the machine's own identity."""


def check_endpoint(endpoint: str) -> str:
    """The root of a server, without a final '/'. Whatever else stands in it may be a secret, and is not repeated."""
    try:
        parts = urlsplit(endpoint)
        has_host = parts.hostname and _HOST.fullmatch(parts.hostname)
        has_more = parts.path.strip("/") or parts.query or parts.fragment or re.search(r"[\s@\\]", endpoint)
        is_valid = parts.scheme in ("http", "https") and has_host and parts.port != 0 and not has_more
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError(
            "not the address of a server; write https://host or https://host:port, and nothing else; a _ is in no host"
        )
    return endpoint.rstrip("/")


def check_role(role: str) -> str:
    """The ARN of a role, which holds its account."""
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", role, re.ASCII):
        raise ConfigurationError("not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME")
    return role


def check_external_id(external_id: str) -> str:
    """An id of the letters that AWS allows."""
    if not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", external_id, re.ASCII):
        raise ConfigurationError("not an external id; write the one that the role's owner gave you")
    return external_id


def check_service_account(account: str) -> str:
    """The e-mail address of a service account."""
    if not re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", account, re.ASCII):
        raise ConfigurationError(
            "not a service account; write its e-mail address, NAME@PROJECT.iam.gserviceaccount.com"
        )
    return account
