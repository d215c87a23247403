"""What the errors of S3, and of STS before it, mean to an operator: from the code to the remedy."""

from typing import Final

ACCESS_DENIED: Final = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden", "403"})
"""The credentials are good, and do not suffice."""

MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})
CREATED_MEANWHILE: Final = frozenset({"PreconditionFailed", "412"})
CONFLICT: Final = "ConditionalRequestConflict"

_REGION = "the bucket is in another region{right_region}: write it into the URL"
_KEY = "the access key or its session is not known here: give the key that belongs to this endpoint"
_EXPIRED = "the session's credentials have expired: sign in again, or renew the token"
_BUSY = "the service is still busy after {attempts} attempts: try again later, or raise the setting attempts"
_FAILED = "the service failed {attempts} times: try again later, and look at its health if it goes on"
_DAMAGED = "the bytes were damaged on their way: try again"
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
    "NotImplemented": "the server does not know conditional writes or checksums: use a storage whose server does",
    "501": "the server does not know conditional writes or checksums: use a storage whose server does",
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
    "MethodNotAllowed": "the server does not do this: check that the endpoint speaks S3",
}

_UNKNOWN = "look the code up with the service's documents, check that the endpoint speaks S3, and try again"

_WITH_MESSAGE: Final = frozenset(REMEDIES) - {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"}
"""Codes whose message may be repeated: those on keys and signatures may tell of what was sent."""


def explain(code: str, status: int, *, attempts: int, right_region: str | None) -> str:
    """What the code means, and the remedy."""
    text = REMEDIES.get(code) or REMEDIES.get(str(status)) or _UNKNOWN
    return text.format(attempts=attempts, right_region=f", {right_region}" if right_region else "")


def may_repeat(code: str) -> bool:
    """Whether the service's own message may be shown."""
    return code in _WITH_MESSAGE or code not in REMEDIES


def grant(permission: str) -> str:
    """The remedy of a refused access."""
    if permission == "s3:GetObject":
        return (
            "grant us s3:GetObject on it, and s3:ListBucket on the bucket, without which S3 answers alike for an "
            "object that is not there"
        )
    return f"grant us {permission} on it"
