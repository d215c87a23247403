"""What goes wrong with a bucket of Google Cloud Storage: what of it passes, what it means, and what to do about it."""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, NotFound, from_http_status
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, InvalidOperation, TransportError
from google.cloud.storage.exceptions import InvalidResponse
from urllib3.exceptions import NewConnectionError

from prio_assets.errors import AccessDeniedError, StorageError, quoted
from prio_assets.storage.access import Access

if TYPE_CHECKING:
    from google.cloud.storage import Client

BROKEN = (OSError, urllib3.exceptions.HTTPError)
"""What a connection raises that broke, stalled or was never made; the errors of `requests` are OSErrors."""

FAILURES = (GoogleAPICallError, InvalidResponse, GoogleAuthError, ValueError, *BROKEN)
"""Everything that the SDK raises; ValueError is for an answer that is no JSON, and for settings that it refuses."""

REPLACING: Final = "storage.objects.delete"
"""The permission that Google wants of who replaces an object."""

_TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _THROTTLED = 400, 401, 403, 429

_ENDED_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""TLS over a connection that broke, which passes, unlike all else that is wrong with it."""

_TIMEOUTS = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)
_UNCONNECTED = (ConnectionRefusedError, NewConnectionError, urllib3.exceptions.ProxyError)


class TakenError(StorageError):
    """An object that is there already."""


class ReplacingDeniedError(AccessDeniedError):
    """An object that is there already, and that we may not replace."""


@contextmanager
def parsing() -> Iterator[None]:
    """Makes a ValueError, as for what is no JSON, of what the SDK raises while it looks into JSON of another shape."""
    try:
        yield
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError("the answer is of another shape") from error


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, GoogleAPICallError):
        return error.code in _TRANSIENT_STATUSES
    if isinstance(error, InvalidResponse):
        return error.response.status_code in _TRANSIENT_STATUSES
    if _broken_tls(error):
        return False
    if isinstance(error, GoogleAuthError):
        return isinstance(error, TransportError) or bool(error.retryable)
    return isinstance(error, BROKEN) and not isinstance(error, ValueError)


def failed_call(answer: Any) -> GoogleAPICallError:
    """The error of an answer, whatever its body is: the SDK's own function stumbles over JSON of another shape."""
    _ = answer.content  # read now, as long as a connection that breaks means another attempt
    return cast("GoogleAPICallError", from_http_status(answer.status_code, "", response=answer))


def told(error: GoogleAPICallError) -> str:
    """The server's own words, without the URL that the SDK's message shows."""
    if error.response is None:
        return ""
    try:
        return str(error.response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.response.text).strip()


@dataclass(frozen=True)
class Failures:
    """What the failures of a bucket are told with: its name, what reaches it, and as whom."""

    bucket: str
    connect: "Callable[[], Client]"
    access: Access

    @contextmanager
    def of(self, place: str, permission: str) -> Iterator[None]:
        """Raises the SDK's errors as storage errors that name `place`, and what to do."""
        try:
            yield
        except FAILURES as error:
            raise self._failure(place, permission, error) from error

    def missing_bucket(self) -> StorageError:
        """The bucket is not there."""
        return StorageError(f"the bucket gs://{self.bucket} is not there: create it or correct the setting")

    def _failure(self, place: str, permission: str, error: Exception) -> StorageError:
        if isinstance(error, InvalidResponse):
            error = failed_call(error.response)
        if isinstance(error, GoogleAPICallError):
            return self._refusal(place, permission, error)
        if isinstance(error, GoogleAuthError):
            return self._unauthenticated(place, error)
        if tls := _broken_tls(error):
            return self._insecure(place, tls)
        if isinstance(error, ValueError):
            return StorageError(
                f"{place}: the answer of {self._server} makes no sense ({_kind(error)}): check the endpoint"
            )
        return self._unanswered(place, error)

    def _insecure(self, place: str, tls: BaseException) -> StorageError:
        return StorageError(
            f"{place}: no secure connection to {self._server} ({_tls_fault(tls)}): check the endpoint, this "
            "machine's clock, and the authorities that it trusts (REQUESTS_CA_BUNDLE)"
        )

    def _unanswered(self, place: str, error: Exception) -> StorageError:
        attempts = f"({_kind(error)}), {self.access.attempts} times in a row"
        causes = list(_causes(error))
        # To urllib3 every connection that could not be made is one that took too long.
        if any(isinstance(cause, _TIMEOUTS) and not isinstance(cause, NewConnectionError) for cause in causes):
            return StorageError(
                f"{place}: {self._server} does not answer in time {attempts}: check the endpoint and the network, "
                "raise connect_timeout and read_timeout, or try later"
            )
        if any(isinstance(cause, _UNCONNECTED) for cause in causes):
            return StorageError(
                f"{place}: {self._server} cannot be reached {attempts}: check the endpoint and the network, or "
                "try later"
            )
        return StorageError(
            f"{place}: the connection to {self._server} broke {attempts}: check the network, raise attempts, or try "
            "later"
        )

    def _refusal(self, place: str, permission: str, error: GoogleAPICallError) -> StorageError:
        """What the server's status means, in order of the statuses."""
        words = told(error)
        shown = quoted(words)
        if error.code == _BAD_REQUEST and re.search("crc32c|md5", words, re.IGNORECASE):
            return StorageError(f"{place} arrived damaged at the server ({shown}): try again")
        if error.code == _UNAUTHORIZED:
            # Whose request it was is not known, so that nothing is said of what we may.
            return StorageError(f"{place}: the credentials of {self._identity} are refused ({shown}): renew them")
        if error.code == _FORBIDDEN:
            return self._denial(place, permission, words)
        if isinstance(error, NotFound):
            return self.missing_bucket()
        if error.code in _TRANSIENT_STATUSES:
            fault = "throttled" if error.code == _THROTTLED else f"the server failed with status {error.code},"
            return StorageError(
                f"{place}: {fault} {self.access.attempts} times in a row ({shown}): try later, or raise attempts"
            )
        return StorageError(
            f"{place}: the server refuses the request with status {error.code} ({shown}): check the bucket's settings "
            "and the endpoint, and try again"
        )

    def _denial(self, place: str, permission: str, words: str) -> AccessDeniedError:
        """The server knows better than we which permission it misses, and often says so."""
        named = re.search(r"\bstorage\.(objects|buckets|multipartUploads)\.[a-zA-Z]+", words)
        missed = named[0] if named else permission
        if missed == REPLACING != permission:
            return ReplacingDeniedError(
                f"{place} is there already, and {self._identity} may not replace it ({quoted(words)}): try again, and "
                "if it stays so, have the bucket's owner look who wrote it"
            )
        return AccessDeniedError(
            f"{place}: access denied ({quoted(words)}): have the bucket's owner grant {missed} to {self._identity}"
        )

    def _unauthenticated(self, place: str, error: GoogleAuthError) -> StorageError:
        if isinstance(error, TransportError):
            return StorageError(
                f"{place}: the server that gives out credentials cannot be reached ({_kind(error)}): check the "
                "network, or try later"
            )
        words = quoted(str(error.args[0])) if error.args else type(error).__name__
        if isinstance(error, InvalidOperation):
            return StorageError(
                f"{place}: the server asks for credentials, and none are sent to {self._server}: use https"
            )
        if isinstance(error, DefaultCredentialsError):
            return StorageError(
                f"{place}: there are no usable Google credentials ({words}): run `gcloud auth application-default "
                "login`, set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run where a service account is"
            )
        if self.access.impersonate:
            return StorageError(
                f"{place}: no token for {self.access.impersonate} ({words}): grant the ambient account "
                "roles/iam.serviceAccountTokenCreator on it, and have the ambient credentials renewed if they expired"
            )
        return StorageError(f"{place}: the Google credentials gave no token ({words}): renew or correct them")

    @property
    def _server(self) -> str:
        """The server that is asked, whoever has said so."""
        try:
            return str(self.connect().api_endpoint)
        except (StorageError, *FAILURES):
            return self.access.endpoint or "Google Cloud Storage"

    @property
    def _identity(self) -> str:
        return self.access.impersonate or "the account of the application default credentials"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is in it: the SDK's hold those of `requests`, these urllib3's, and these the system's."""
    current: object = error
    while isinstance(current, BaseException):
        yield current
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in current.args if isinstance(each, BaseException)), None)
        current = inner or current.__cause__


def _broken_tls(error: BaseException) -> BaseException | None:
    """The failure of TLS that is behind the error, unless its connection merely broke."""
    innermost = None
    for cause in _causes(error):
        if isinstance(cause, _ENDED_TLS):
            return None
        if isinstance(cause, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
            innermost = cause
    return innermost


def _tls_fault(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__)


def _kind(error: BaseException) -> str:
    """What kind of failure it was. The SDK's message may show a URL that is a secret, and is not repeated."""
    return type(list(_causes(error))[-1]).__name__
