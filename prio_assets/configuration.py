"""The one configuration file: which parties this deployment runs, where their storages are and what they agreed on.

Loading reads the file, and looks where links among the storages' directories lead. Secrets stand in it as references
only, and are read where they are used. Every error is one line, `file: path.to.key: what is wrong; the remedy`,
and holds names, never a secret.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple, Self

import yaml
from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from prio_assets.errors import ConfigurationError
from prio_assets.prio.domain import MAXIMUM_BINS
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.field import PRIME
from prio_assets.settings import (
    AggregationName,
    Duration,
    InstanceName,
    Labels,
    PacketPublicKey,
    PartyName,
    PositiveDuration,
    PublicKeys,
    SecretReferences,
    Section,
    Share,
    SigningKeyReference,
    StorageSettings,
    Time,
    format_duration,
    load_packet_decryption_keys,
    problem,
    public_text,
)
from prio_assets.storage.base import Store
from prio_assets.storage.urls import SDK_CLIENTS, Bucket, Clients, overlap
from prio_assets.wire.batches import NUMBER_OF_SERVERS
from prio_assets.wire.records import Parameters

DAY = timedelta(days=1)
LOOK_EVERY = timedelta(seconds=1)
LOOK_AT_BUCKETS_EVERY = timedelta(seconds=30)  # each request is charged for there
PROBLEMS = {
    "missing": "missing; add it",
    "too_short": "empty; give at least one",
    "string_too_short": "empty; give a text",
}

Role = Literal["pha", "facilitator"]


class AggregationConfiguration(Section):
    """What is expected of the batches of an aggregation, and what its bins are called."""

    bins: int | None = Field(default=None, ge=1, le=MAXIMUM_BINS)
    epsilon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hamming_weight: int | None = Field(default=None, ge=0)
    labels: Labels | None = None

    @model_validator(mode="after")
    def check_agreement(self) -> Self:
        missing = next((key for key in ("bins", "epsilon") if getattr(self, key) is None), None)
        given = {"bins", "epsilon", "hamming_weight"} & self.model_fields_set
        if missing and given:
            raise problem("missing; give bins and epsilon, or no parameters at all", key=missing)
        if self.bins is not None and self.hamming_weight is not None and self.hamming_weight > self.bins:
            raise problem(
                f"{self.hamming_weight} of {self.bins} bins can't be set; lower it, or raise bins",
                key="hamming_weight",
            )
        if self.bins is not None and self.labels is not None and len(self.labels) != self.bins:
            raise problem(f"{len(self.labels)} labels for {self.bins} bins; give every bin one label", key="labels")
        return self

    @property
    def parameters(self) -> Parameters | None:
        """The parameters that each batch must have, or None where none are expected."""
        if self.bins is None or self.epsilon is None:
            return None
        return Parameters(self.bins, self.epsilon, PRIME, NUMBER_OF_SERVERS, self.hamming_weight)


class Instance(NamedTuple):
    """What both processors and the portal of one instance must have in common, or their windows differ."""

    name: str
    period: timedelta
    first_window: datetime


class Party(Section):
    """What processors and portals share: the instance that they belong to and its windows, in UTC."""

    instance: InstanceName
    period: Duration
    first_window: Time
    grace: Duration
    look_every: PositiveDuration | None = None

    @model_validator(mode="after")
    def check_windows(self) -> Self:
        if not self.period or self.period % timedelta(minutes=1) or DAY % self.period:
            raise problem("not a part of a day; take whole minutes of which a whole number makes 24h", key="period")
        if (self.first_window - datetime.min.replace(tzinfo=UTC)) % self.period:
            raise problem(
                f"not the start of a window; take midnight UTC plus a multiple of {format_duration(self.period)}",
                key="first_window",
            )
        return self

    @property
    def schedule(self) -> Instance:
        return Instance(self.instance, self.period, self.first_window)

    @property
    def look_interval(self) -> timedelta:
        """How much time there is between two looks of a sensor at the storages, at least."""
        if self.look_every is not None:
            return self.look_every
        storages = (value for _, value in self if isinstance(value, StorageSettings))
        return LOOK_AT_BUCKETS_EVERY if any(isinstance(each.place, Bucket) for each in storages) else LOOK_EVERY


class ProcessorStores(NamedTuple):
    """The storages of a share processor; whose they are is said in `ProcessorConfiguration`."""

    ingestion: Store
    own_validations: Store
    peer_validations: Store
    peer_bucket: Store
    state: Store
    sum_parts: Store


class ProcessorConfiguration(Party):
    """One share processor: one role of one instance."""

    role: Role
    ingestion: StorageSettings  # the ingestor writes, we read
    own_validations: StorageSettings  # ours alone: what we keep of each batch
    peer_validations: StorageSettings  # the peer writes, we read
    peer_bucket: StorageSettings  # the peer's: we write our validations and lists
    state: StorageSettings  # ours alone: ledger, own lists and sum parts; no lifecycle rule may delete from it
    sum_parts: StorageSettings  # the portal's: we write our sum parts

    patience: Duration = Field(default_factory=lambda settings: settings.get("grace", timedelta(0)))
    intake_max_age: Duration = timedelta(days=7)
    late_limit: Duration = timedelta(0)
    margin: Duration = timedelta(minutes=15)
    minimum_clients: int = Field(ge=1)
    undecryptable_limit: Share = 0.1
    rejected_packets_limit: Share = 0.05

    peer_has_lists: bool
    # Every revision of the reference reads three objects, the older ones nothing else.
    single_object_validations: bool = Field(default_factory=lambda settings: settings.get("peer_has_lists", True))
    aggregations: dict[AggregationName, AggregationConfiguration] = Field(default_factory=dict)

    signing_key: SigningKeyReference
    packet_decryption_keys: SecretReferences
    ingestor_keys: PublicKeys
    peer_keys: PublicKeys

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def check_intake_reaches_late_batches(self) -> Self:
        """A batch must be seen until its window is proposed: by who leads, when patience is over at the latest."""
        leads = self.peer_has_lists and self.server_index == 0
        keys = ("late_limit", "period", "grace", *(("patience",) if leads else ()))
        parts = {key: getattr(self, key) for key in keys}
        needed = sum(parts.values(), timedelta(0))
        if self.intake_max_age < needed:
            sum_of_parts = " + ".join(f"{key} {format_duration(part)}" for key, part in parts.items())
            raise problem(
                f"{format_duration(self.intake_max_age)} is less than {sum_of_parts} = {format_duration(needed)}; "
                "raise it, or lower late_limit",
                key="intake_max_age",
            )
        return self

    @model_validator(mode="after")
    def check_buckets_apart(self) -> Self:
        """What we write for the peer must not stand among what we read of it."""
        if overlap(self.peer_bucket.place, self.peer_validations.place):
            raise problem(
                "the same storage as peer_validations, or one is within the other; name the peer's bucket",
                key="peer_bucket",
            )
        return self

    @model_validator(mode="after")
    def check_suits_peer(self) -> Self:
        if self.peer_has_lists:
            self._check_peer_with_lists()
        else:
            self._check_peer_without_lists()
        return self

    def _check_peer_with_lists(self) -> None:
        if "margin" in self.model_fields_set:
            raise problem("only for a peer without lists; remove it", key="margin")
        for name, aggregation in self.aggregations.items():
            if aggregation.parameters is None:
                raise problem(
                    "missing, and needed with peer_has_lists; give bins and epsilon", key=f"aggregations.{name}.bins"
                )

    def _check_peer_without_lists(self) -> None:
        if self.late_limit:
            raise problem("a peer without lists never counts late batches; remove it", key="late_limit")
        if self.margin > self.grace:
            raise problem(
                f"{format_duration(self.margin)} is more than grace {format_duration(self.grace)}; lower it",
                key="margin",
            )

    @property
    def name(self) -> str:
        """The processor's key in the file, which is its asset group too."""
        return self._name

    @property
    def server_index(self) -> int:
        """0 for the PHA, 1 for the facilitator."""
        return 0 if self.role == "pha" else 1

    @property
    def peer_index(self) -> int:
        return 1 - self.server_index

    def open_stores(self, clients: Clients) -> ProcessorStores:
        """The storages, reached through these clients."""
        return ProcessorStores(*(getattr(self, name).open(clients) for name in ProcessorStores._fields))

    @cached_property
    def stores(self) -> ProcessorStores:
        """The storages, opened at first use."""
        return self.open_stores(SDK_CLIENTS)

    def load_packet_decryption_keys(self) -> tuple[PacketDecryptionKey, ...]:
        """The keys that packets may be encrypted to, read now, in the file's order. Raises `ConfigurationError`."""
        return load_packet_decryption_keys(self.packet_decryption_keys)

    def expected_parameters(self, aggregation: str) -> Parameters | None:
        """The parameters that batches of `aggregation` must have, or None where none are configured."""
        configured = self.aggregations.get(aggregation)
        return configured.parameters if configured else None

    def rules_of(self, aggregation: str) -> tuple[str, ...]:
        """What here decides what can be used of the peer's, as text: what was in vain may succeed once it changes."""
        keys = (f"{identifier} {public_text(key)}" for identifier, key in sorted(self.peer_keys.items()))
        return (str(self.expected_parameters(aggregation)), str(self.minimum_clients), *keys)


class PortalStores(NamedTuple):
    """The storages of a portal: two that the processors write, and the one for its statistics."""

    pha_sum_parts: Store
    facilitator_sum_parts: Store
    statistics: Store


class PortalConfiguration(Party):
    """The portal of one instance, which adds the two sum parts of a window."""

    name: PartyName = "portal"
    pha_sum_parts: StorageSettings
    facilitator_sum_parts: StorageSettings
    statistics: StorageSettings
    pha_keys: PublicKeys
    facilitator_keys: PublicKeys
    legacy_peer: bool = False  # one of the two counts clients with invalid proofs, so the counts may differ
    labels: dict[AggregationName, Labels] = Field(default_factory=dict)

    @model_validator(mode="after")
    def check_two_parties(self) -> Self:
        """With one key for both, a copy of one sum part would pass for the other."""
        if any(key == other for key in self.pha_keys.values() for other in self.facilitator_keys.values()):
            raise problem("has a key of pha_keys; give each processor's own keys", key="facilitator_keys")
        return self

    def open_stores(self, clients: Clients) -> PortalStores:
        """The storages, reached through these clients."""
        return PortalStores(*(getattr(self, name).open(clients) for name in PortalStores._fields))

    @cached_property
    def stores(self) -> PortalStores:
        """The storages, opened at first use."""
        return self.open_stores(SDK_CLIENTS)


class IngestorConfiguration(Section):
    """The simulated ingestor: for trying and for tests of load."""

    name: PartyName = "ingestor"
    pha_ingestion: StorageSettings
    facilitator_ingestion: StorageSettings
    signing_key: SigningKeyReference
    pha_packet_key: PacketPublicKey
    facilitator_packet_key: PacketPublicKey


class Configuration(Section):
    """The whole file: the parties that this deployment runs."""

    processors: dict[PartyName, ProcessorConfiguration] = Field(default_factory=dict)
    portal: PortalConfiguration | None = None
    ingestor: IngestorConfiguration | None = None

    @model_validator(mode="after")
    def check_parties(self) -> Self:
        for name, processor in self.processors.items():
            processor._name = name
        self._check_names()
        self._check_schedules()
        self._check_roles()
        self._check_private_storages()
        return self

    def _check_names(self) -> None:
        names = set(self.processors)
        for key, party in (("portal", self.portal), ("ingestor", self.ingestor)):
            if party is not None and party.name in names:
                raise problem(f"{party.name} is another party's name too; choose a name of its own", key=f"{key}.name")
            if party is not None:
                names.add(party.name)

    def _check_schedules(self) -> None:
        first: dict[str, tuple[str, Party]] = {}
        for path, party in self._parties():
            other_path, other = first.setdefault(party.instance, (path, party))
            for key in ("period", "first_window"):
                if getattr(party, key) != getattr(other, key):
                    text = f"not that of {other_path}, which is of the same instance; make them equal"
                    raise problem(text, key=f"{path}.{key}")

    def _check_roles(self) -> None:
        """Two processors of one role and instance would write the same objects."""
        first: dict[tuple[str, Role], str] = {}
        for name, processor in self.processors.items():
            other = first.setdefault((processor.instance, processor.role), name)
            if other != name:
                text = f"processors.{other} has this role in the same instance; remove one of the two"
                raise problem(text, key=f"processors.{name}.role")

    def _check_private_storages(self) -> None:
        """Own validations and state hold what no other party may see or change."""
        for (first, storage), (second, other) in combinations(self.storages(), 2):
            is_private = any(where.endswith((".state", ".own_validations")) for where in (first, second))
            if is_private and overlap(storage.place, other.place):
                raise problem(f"the same storage as {first}, or one is within the other; give each its own", key=second)

    def storages(self) -> Iterator[tuple[str, StorageSettings]]:
        """All storages with their paths in the file."""
        for path, party in self._parties():
            stores = ProcessorStores if isinstance(party, ProcessorConfiguration) else PortalStores
            yield from ((f"{path}.{key}", getattr(party, key)) for key in stores._fields)
        if self.ingestor is not None:
            yield "ingestor.pha_ingestion", self.ingestor.pha_ingestion
            yield "ingestor.facilitator_ingestion", self.ingestor.facilitator_ingestion

    def _parties(self) -> list[tuple[str, ProcessorConfiguration | PortalConfiguration]]:
        parties: list[tuple[str, ProcessorConfiguration | PortalConfiguration]] = [
            (f"processors.{name}", processor) for name, processor in self.processors.items()
        ]
        return parties + ([("portal", self.portal)] if self.portal else [])

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances that the parties belong to, each once, in the file's order."""
        return tuple(dict.fromkeys(party.schedule for _, party in self._parties()))


class _Loader(yaml.SafeLoader):
    """YAML that leaves times to us and refuses a key that is there twice, which YAML would let win silently."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's way of choosing what is resolved)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node


def load_configuration(path: Path | str) -> Configuration:
    """The checked content of the configuration file at `path`.

    Raises `ConfigurationError` in one line that names the file, the key with its path in the file, and the remedy.
    """
    path = Path(path)
    data = _read_yaml(path)
    try:
        return Configuration.model_validate(data, context={"directory": path.resolve().parent})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_describe(error.errors()[0])}") from None


def current_configuration(path: Path | str) -> Configuration:
    """As `load_configuration`, but the file is read again only when it has changed: sensors ask at every tick."""
    path = Path(path)
    try:
        found = path.stat()
    except OSError:
        return load_configuration(path)  # which says what is wrong
    # The time of the last change, not that of the last writing, which tools such as `cp -p` and `touch` set back.
    return _configuration_of(path.absolute(), found.st_ino, found.st_ctime_ns, found.st_size)


@lru_cache(maxsize=4)
def _configuration_of(path: Path, *_version: int) -> Configuration:
    return load_configuration(path)


def _read_yaml(path: Path) -> object:
    try:
        return yaml.load(path.read_text("utf-8"), _Loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); name the configuration file") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not a text file; write it as YAML in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigurationError(f"{path}: {line}{error.problem}; correct the YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigurationError(
            f"{path}: not YAML (a character, number or depth that is not allowed); correct it"
        ) from None


def _describe(error: ErrorDetails) -> str:
    """`path.to.key: what is wrong; the remedy`, without the value, which may be a misplaced secret."""
    key = error.get("ctx", {}).get("key")
    path = [str(part) for part in error["loc"] if part != "[key]"] + ([key] if key else [])
    text = PROBLEMS.get(error["type"], error["msg"].removeprefix("Input "))
    return ": ".join([*([".".join(path)] if path else []), text])
