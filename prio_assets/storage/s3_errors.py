"""What the errors of S3, of STS before it, and of the SDK mean to an operator: from the code to the remedy."""

from collections.abc import Callable
from typing import Any, Final

import urllib3
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from prio_assets.errors import AccessDeniedError, ObjectMissingError, StorageError, quoted

BROKEN: Final = (sdk.BotoCoreError, OSError, urllib3.exceptions.HTTPError)
"""What the SDK raises while an answer's body is read."""

UNREADABLE: Final = (ResponseParserError, LookupError, ValueError)
"""What is raised, by the SDK or by us, over an answer that is none of S3."""

_LONGEST_SHOWN = 1000

FAILURES: Final = (sdk.ClientError, *BROKEN, *UNREADABLE)

READING: Final = "s3:GetObject"

ACCESS_DENIED: Final = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "403"})
"""The credentials are good, and do not suffice."""

MISSING: Final = "NoSuchKey"
"""The answer to reading what is not there. A 404 without it may be a proxy's, and says nothing of the object."""

CREATED_MEANWHILE: Final = frozenset({"PreconditionFailed", "412"})
CONFLICT: Final = "ConditionalRequestConflict"

_REGION = "the bucket is in another region{right_region}: write it into the URL"
_KEY = "the access key or its session is not known here: give the key that belongs to this endpoint"
_EXPIRED = "the session's credentials have expired: sign in again, or renew the token"
_BUSY = "the service is still busy after {attempts} attempts: try again later, or raise the setting attempts"
_FAILED = "the service failed {attempts} times: try again later, and look at its health if it goes on"
_EXHAUSTED = "the SDK has stopped repeating requests after many failures: try again later"
_DAMAGED = "the bytes were damaged on their way: try again"
_ELSEWHERE = "the server sends us elsewhere: write that address as the endpoint"
_UNABLE = (
    "the server does not know conditional writes or checksums: use a storage whose server does; if it is checksums "
    "alone, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
)
_ENCRYPTION = "the key of the bucket's encryption cannot be used: let us use it, or have it enabled again"

REMEDIES: Final = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the URL",
    "InvalidBucketName": "no bucket can have this name: correct the URL",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": _KEY,
    "InvalidClientTokenId": _KEY,
    "UnrecognizedClientException": _KEY,
    "InvalidToken": _KEY,
    "SignatureDoesNotMatch": "the secret key does not belong to its access key: correct the credentials",
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it, by NTP",
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "TooManyRequests": _BUSY,
    "429": _BUSY,
    "ServiceUnavailable": _BUSY,
    "503": _BUSY,
    "RequestTimeout": _BUSY,
    "InternalError": _FAILED,
    "500": _FAILED,
    "502": _FAILED,
    "504": _FAILED,
    "NotImplemented": _UNABLE,
    "501": _UNABLE,
    "ConditionalRequestConflict": "others wrote it at the same time, each time that it was tried: try again",
    "PreconditionFailed": "it was replaced while it was read: try again",
    "InvalidObjectState": "it lies in an archive: have it restored, and let no rule archive this bucket's objects",
    "BadDigest": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "XAmzContentChecksumMismatch": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "NoSuchUpload": "its upload is gone, or was completed and the answer lost: try again",
    "EntityTooLarge": "the server takes no object of this size: make smaller batches",
    "KeyTooLongError": "the name is too long: use a shorter prefix",
    "QuotaExceeded": "the storage is full: raise its quota",
    "XMinioStorageFull": "the storage is full: make room",
    "KMS.DisabledException": _ENCRYPTION,
    "KMS.NotFoundException": _ENCRYPTION,
    "KMS.KMSInvalidStateException": _ENCRYPTION,
    "301": _ELSEWHERE,
    "302": _ELSEWHERE,
    "307": _ELSEWHERE,
    "308": _ELSEWHERE,
    "404": "the server does not know this address: check the endpoint, and try again",
    "MethodNotAllowed": "the server does not do this: check that the endpoint speaks S3",
}

_UNKNOWN = "look the code up with the service's documents, check that the endpoint speaks S3, and try again"

_WITH_MESSAGE: Final = frozenset(REMEDIES) - {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"}
"""Codes whose message may be repeated: those on keys and signatures may tell of what was sent."""


def may_repeat(code: str) -> bool:
    """Whether the service's own message may be shown."""
    return code in _WITH_MESSAGE or code not in REMEDIES


def grant(permission: str) -> str:
    """The remedy of a refused access."""
    if permission == READING:
        return (
            "grant us s3:GetObject on it, and s3:ListBucket on the bucket, without which S3 answers alike for an "
            "object that is not there"
        )
    return f"grant us {permission} on it"


_CREDENTIALS_CODES: Final = frozenset(
    {code for code, remedy in REMEDIES.items() if remedy in (_KEY, _EXPIRED)} | {"SignatureDoesNotMatch"}
)
"""Codes after which other credentials may have been written meanwhile."""

_CREDENTIALS_ERRORS: Final = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.NoAuthTokenError,
    sdk.SSOError,
)


class Failures:
    """Raises the SDK's errors as storage errors that name the object, what happened and the remedy.

    `renew` is called when other credentials may help, which a client that was made before does not see.
    """

    def __init__(self, url: str, permission: str, renew: Callable[[], None]) -> None:
        self.url = url
        self._permission = permission
        self._renew = renew

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, FAILURES):
            return
        if _is_of_credentials(error):
            self._renew()
        if isinstance(error, sdk.ClientError):
            code = code_of(error)
            if code == MISSING and self._permission == READING:
                raise ObjectMissingError(f"{self.url} is missing") from error
            if code in ACCESS_DENIED:
                remedy = grant(self._permission)
                raise AccessDeniedError(f"{self.url}: access denied{_message(error)}: {remedy}") from error
            raise StorageError(f"{self.url}: {shown(code)}{_message(error)}: {explained(error)}") from error
        raise StorageError(f"{self.url}: {explained(error)}") from error


_CONNECTION_REMEDY = "check the network, the endpoint and the region in the URL"
_CREDENTIALS_REMEDY = "set the credentials up: in the environment, a profile, or the machine's own identity"

_EXPLANATIONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (sdk.NoCredentialsError, f"no credentials were found: {_CREDENTIALS_REMEDY}"),
    (sdk.PartialCredentialsError, f"a part of the credentials is missing: {_CREDENTIALS_REMEDY}"),
    (sdk.ProfileNotFound, "the profile is not in the AWS configuration files: add it, or correct the setting profile"),
    ((sdk.ConfigParseError, sdk.ConfigNotFound), "the AWS configuration files cannot be read: correct them"),
    (
        (sdk.TokenRetrievalError, sdk.NoAuthTokenError, sdk.SSOError),
        "the sign-in is missing or has expired: sign in again (aws sso login)",
    ),
    (
        (sdk.CredentialRetrievalError, sdk.MetadataRetrievalError, sdk.UnknownCredentialError),
        f"the credentials could not be fetched: {_CREDENTIALS_REMEDY}",
    ),
    (
        sdk.SSLError,
        "no safe connection (TLS): check the server's certificate, or name its authority in AWS_CA_BUNDLE; the "
        "connection may have broken, too: try again",
    ),
    (sdk.ProxyConnectionError, "the proxy cannot be reached: check HTTPS_PROXY and NO_PROXY"),
    (sdk.ConnectTimeoutError, f"connecting took too long: {_CONNECTION_REMEDY}, or raise connect_timeout"),
    (sdk.EndpointConnectionError, f"the server cannot be reached: {_CONNECTION_REMEDY}"),
    (sdk.ReadTimeoutError, "the server's answer took too long: try again later, or raise read_timeout"),
    (sdk.PaginationError, "the server's listing goes in circles: use another server"),
    (sdk.ParamValidationError, "the SDK takes no such request: correct the URL, or report this as a fault of ours"),
    (
        (sdk.HTTPClientError, OSError, urllib3.exceptions.HTTPError),
        "the connection broke, on every attempt: try again later, or raise attempts",
    ),
    (UNREADABLE, "the answer is none of S3: check that the endpoint speaks S3, and try again"),
)


def explained(error: BaseException) -> str:
    """What happened, without the SDK's text (which may hold what a program that fetches credentials said), and why."""
    if isinstance(error, sdk.ClientError):
        return _explained_answer(error)
    for kinds, explanation in _EXPLANATIONS:
        if isinstance(error, kinds):
            return explanation
    return f"the SDK failed ({type(error).__name__}): look it up in its documents, and try again"


def _explained_answer(error: sdk.ClientError) -> str:
    text = REMEDIES.get(code_of(error)) or REMEDIES.get(str(_status(error))) or _UNKNOWN
    if text in (_BUSY, _FAILED) and _metadata(error).get("RetryQuotaReached"):
        return _EXHAUSTED
    right_region = _right_region(error)
    return text.format(attempts=tries(error), right_region=f", {right_region}" if right_region else "")


def code_of(error: sdk.ClientError) -> str:
    """The code of an answer; its status if it has none, as that of a proxy."""
    return str(error.response.get("Error", {}).get("Code") or _status(error))


def shown(text: str) -> str:
    """A stranger's text as it is if it is one short line."""
    return text if text.isprintable() and len(text) <= _LONGEST_SHOWN else quoted(text)


def tries(error: sdk.ClientError) -> int:
    """How often the SDK sent the request."""
    return 1 + int(_metadata(error).get("RetryAttempts", 0))


def _is_of_credentials(error: BaseException) -> bool:
    if isinstance(error, sdk.ClientError):
        return code_of(error) in _CREDENTIALS_CODES
    return isinstance(error, _CREDENTIALS_ERRORS)


def _metadata(error: sdk.ClientError) -> Any:
    return error.response.get("ResponseMetadata", {})


def _status(error: sdk.ClientError) -> int:
    return int(_metadata(error).get("HTTPStatusCode", 0))


def _message(error: sdk.ClientError) -> str:
    message = error.response.get("Error", {}).get("Message", "")
    return f" ({quoted(message)})" if message and may_repeat(code_of(error)) else ""


def _right_region(error: sdk.ClientError) -> str | None:
    region = error.response.get("Error", {}).get("Region")
    region = region or _metadata(error).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return shown(str(region)) if region else None
