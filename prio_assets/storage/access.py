"""How a storage in a cloud is reached, and as whom. What is not given is left to the cloud's SDK."""

from dataclasses import dataclass


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
    external_id: str | None = None
    profile: str | None = None
    impersonate: str | None = None
    attempts: int = 6
    connect_timeout: float = 10.0
    read_timeout: float = 60.0


AMBIENT = Access()
"""As the SDK finds it: environment, configuration files, the machine's own identity."""
