"""The kinds of value that the configuration file holds: durations, times, names, places, keys, references to secrets.

Each is checked where it is read; what is wrong is said with the remedy, and without the value where that may be a
misplaced secret.
"""

import difflib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from prio_assets.errors import ConfigurationError, InvalidKeyError
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.storage.access import (
    AMBIENT,
    Access,
    check_endpoint,
    check_external_id,
    check_role,
    check_service_account,
)
from prio_assets.storage.base import Store
from prio_assets.storage.urls import SDK_CLIENTS, Bucket, Clients, Directory, is_path, open_store, parse_url
from prio_assets.wire.keys import (
    SigningKey,
    parse_packet_decryption_key,
    parse_packet_public_key,
    parse_signing_key,
    parse_verification_key,
)
from prio_assets.wire.names import is_aggregation, is_instance

LONGEST_DURATION = timedelta(days=3650)  # so that times stay within the calendar
Key = TypeVar("Key")
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def problem(text: str, key: str | None = None) -> PydanticCustomError:
    """What is wrong with the value at hand or, with `key`, with that key of the section at hand."""
    return PydanticCustomError("setting", "{text}", {"text": text, "key": key})


def as_problem(check: Callable[[str], str]) -> Callable[[str], str]:
    """The check of a text, whose error is told with the key of the value."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ConfigurationError as error:
            raise problem(str(error)) from None

    return checked


def parse_duration(value: object) -> timedelta:
    """A whole number and a unit, d, h, m or s, as in `8h`; a bare 0 is no time at all."""
    if value == 0 and not isinstance(value, bool):
        return timedelta(0)
    match = re.fullmatch(r"([0-9]{1,9})([dhms])", str(value))
    if not match:
        raise problem("not a duration; write a whole number and a unit, such as 7d, 8h, 30m or 90s")
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    if duration > LONGEST_DURATION:
        raise problem(f"longer than {format_duration(LONGEST_DURATION)}; lower it")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads as `duration`, a whole number of seconds."""
    unit = next(unit for unit, name in UNITS.items() if not duration % timedelta(**{name: 1}))
    return f"{duration // timedelta(**{UNITS[unit]: 1})}{unit}"


def parse_time(value: object) -> datetime:
    """A time in ISO 8601 as an aware datetime in UTC; a time that names no zone is in UTC already."""
    try:
        time = datetime.fromisoformat(str(value))
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise problem("not a time; write it as 2026-01-31T16:00Z") from None


def check_party_name(name: str) -> str:
    """Names become parts of asset keys, where Dagster takes no other letters."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise problem("not a name; use a to z, 0 to 9 and _ only")
    return name


def check_instance_name(name: str) -> str:
    """Instance names are a folder of the sum part storage."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise problem("not an instance name; use letters, digits, '-', '_' and '.' only, the first a letter or digit")
    if not is_instance(name):
        raise problem("reserved for other objects of the state storage; choose another instance name")
    return name


def check_aggregation_name(name: str) -> str:
    """Aggregation names are folders of the ingestion storage."""
    if not is_aggregation(name):
        raise problem("not the name of an aggregation; name it as its folder in the ingestion storage")
    return name


def resolve_path(path: str, info: ValidationInfo) -> str:
    """A path relative to the configuration file's directory as an absolute path."""
    if not path:
        raise problem("empty; name a file or a directory")
    return os.path.normpath(Path(info.context["directory"]) / path)


def resolve_url(url: str, info: ValidationInfo) -> str:
    """A URL as it is, and the path of a directory as an absolute path."""
    return resolve_path(url, info) if url and is_path(url) else url


def check_positive(duration: timedelta) -> timedelta:
    """With no time at all every request would fail, and looks would have no pause between them."""
    if not duration:
        raise problem("no time at all; give at least 1s")
    return duration


def as_tuple(value: object) -> object:
    """A list of the file, as what cannot be changed."""
    if not isinstance(value, list):
        raise problem("not a list; write [one, two, ...]")
    return tuple(value)


def parse_public_key(text: object) -> EllipticCurvePublicKey:
    """The public key in a text of any form that wire.keys takes."""
    return _parse_key(parse_verification_key, text)


def public_text(key: EllipticCurvePublicKey) -> str:
    """A public key as text, the same for every form that it was read from."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint).hex()


def parse_packet_key(text: object) -> bytes:
    """The public point that packets are encrypted to, 65 bytes."""
    return _parse_key(parse_packet_public_key, text)


def _parse_key(parse: Callable[[str], Key], text: object) -> Key:
    if not isinstance(text, str):
        raise problem("not a public key; write its text, PEM or base64")
    try:
        return parse(text)
    except InvalidKeyError as error:
        raise problem(str(error)) from None


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Time = Annotated[datetime, BeforeValidator(parse_time)]
PartyName = Annotated[str, AfterValidator(check_party_name)]
InstanceName = Annotated[str, AfterValidator(check_instance_name)]
AggregationName = Annotated[str, AfterValidator(check_aggregation_name)]
FilePath = Annotated[str, AfterValidator(resolve_path)]
StorageUrl = Annotated[str, AfterValidator(resolve_url)]
Endpoint = Annotated[str, AfterValidator(as_problem(check_endpoint))]
RoleArn = Annotated[str, AfterValidator(as_problem(check_role))]
ExternalId = Annotated[str, AfterValidator(as_problem(check_external_id))]
ServiceAccount = Annotated[str, AfterValidator(as_problem(check_service_account))]
PositiveDuration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(check_positive)]
PublicKeys = Annotated[
    dict[str, Annotated[EllipticCurvePublicKey, BeforeValidator(parse_public_key)]], Field(min_length=1)
]
PacketPublicKey = Annotated[bytes, BeforeValidator(parse_packet_key), Field(repr=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Labels = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class Section(BaseModel):
    """A mapping of the file. Nothing is converted, and a key that is not known is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def check_keys(cls, data: object) -> object:
        if not isinstance(data, dict):
            raise problem(f"not a mapping; write the keys of this section below it: {', '.join(cls.model_fields)}")
        for key in data:
            if key not in cls.model_fields:
                close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                remedy = f"did you mean {close[0]}?" if close else f"remove it, or use {', '.join(cls.model_fields)}"
                raise problem(f"unknown key; {remedy}", key=str(key))
        return data


class StorageSettings(Section):
    """A storage: its URL, which may stand alone, and for one in a cloud how it is reached and as whom."""

    url: StorageUrl
    endpoint: Endpoint | None = None
    assume_role: RoleArn | None = None
    external_id: ExternalId | None = Field(default=None, repr=False)
    profile: str | None = Field(default=None, min_length=1)
    impersonate: ServiceAccount | None = None
    attempts: int = Field(default=AMBIENT.attempts, ge=1, le=20)
    connect_timeout: PositiveDuration = timedelta(seconds=AMBIENT.connect_timeout)
    read_timeout: PositiveDuration = timedelta(seconds=AMBIENT.read_timeout)

    @model_validator(mode="before")
    @classmethod
    def accept_url(cls, data: object) -> object:
        if isinstance(data, str):
            return {"url": data}
        if not isinstance(data, dict):
            raise problem("not a storage; write its URL, or a mapping with its url")
        return data

    @model_validator(mode="after")
    def check_place(self) -> Self:
        try:
            parse_url(self.url, self.access)
        except ConfigurationError as error:
            raise problem(str(error)) from None
        return self

    def __str__(self) -> str:
        return self.url

    @property
    def place(self) -> Directory | Bucket:
        """What the URL names: the same for two settings that reach one storage as different users."""
        return parse_url(self.url, self.access)

    @property
    def access(self) -> Access:
        """How it is reached, and as whom."""
        return Access(
            self.endpoint,
            self.assume_role,
            self.external_id,
            self.profile,
            self.impersonate,
            self.attempts,
            self.connect_timeout.total_seconds(),
            self.read_timeout.total_seconds(),
        )

    def open(self, clients: Clients = SDK_CLIENTS) -> Store:
        """The store itself; nothing is read or connected to yet."""
        return open_store(self.url, self.access, clients)


class SecretReference(Section):
    """Where a secret is: in an environment variable or in a file. Exactly one is given."""

    env: str | None = None
    file: FilePath | None = None

    @model_validator(mode="before")
    @classmethod
    def check_is_reference(cls, data: object) -> object:
        if not isinstance(data, dict):
            raise problem("not a reference to a secret; write {env: NAME} or {file: PATH}, never the secret itself")
        return data

    @model_validator(mode="after")
    def check_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise problem("not one reference; write either {env: NAME} or {file: PATH}")
        if self.env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.env):
            raise problem("not the name of an environment variable; name one", key="env")
        return self

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env is not None else f"file {self.file}"

    def resolve(self) -> str:
        """The secret's text, without the white space around it. Raises `ConfigurationError` that names the place."""
        secret = self._read().strip()
        if not secret:
            raise ConfigurationError(f"{self}: no secret in it; set it to the secret that the configuration expects")
        return secret

    def _read(self) -> str:
        if self.file is None:
            return os.environ.get(str(self.env), "")
        try:
            return Path(self.file).read_text("utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{self}: not a text; write the secret as base64 text") from None
        except OSError as error:
            raise ConfigurationError(f"{self}: cannot be read ({error.strerror}); make the secret available") from None


class SigningKeyReference(Section):
    """The key that this party signs with, and the identifier under which others know it."""

    identifier: str = Field(min_length=1)
    secret: SecretReference

    def load(self) -> SigningKey:
        """The key itself, read now. Raises `ConfigurationError` that names the place of the secret."""
        try:
            return parse_signing_key(self.identifier, self.secret.resolve())
        except InvalidKeyError as error:
            raise InvalidKeyError(f"{self.secret}: {error}") from None


SecretReferences = Annotated[tuple[SecretReference, ...], BeforeValidator(as_tuple), Field(min_length=1)]


def load_packet_decryption_keys(secrets: tuple[SecretReference, ...]) -> tuple[PacketDecryptionKey, ...]:
    """The keys themselves, read now, in the same order. Raises `ConfigurationError` that names the secret's place."""
    return tuple(_load_packet_decryption_key(secret) for secret in secrets)


def _load_packet_decryption_key(secret: SecretReference) -> PacketDecryptionKey:
    try:
        return parse_packet_decryption_key(secret.resolve())
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{secret}: {error}") from None
