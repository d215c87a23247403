"""Deployments in a temporary directory, with everything that the definitions need: storages, keys, configuration."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import yaml

from prio_assets.clock import fixed_clock
from prio_assets.configuration import Configuration, load_configuration
from prio_assets.ingestor.batches import BatchDescription, draw_labels, draw_uuid, seal_batches, write_batch
from prio_assets.ingestor.client import Payloads, PublicPoints, random_rows, upload
from prio_assets.processor.processor import ShareProcessor, initialise_state, load_processor
from prio_assets.storage.base import read_bytes
from prio_assets.wire.keys import generate_packet_key_text, parse_packet_public_key
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Parameters
from prio_assets.wire.windows import to_ms

INTEROP = Path(__file__).parents[1] / "interop"
ROLES = ("pha", "facilitator")
STORAGES = ("ingestion", "own_validations", "peer_validations", "state")


def peer_of(role: str) -> str:
    return ROLES[1 - ROLES.index(role)]


@dataclass(frozen=True)
class Deployment:
    """The configuration file of a deployment and the directory of its storages."""

    path: Path

    @property
    def configuration(self) -> Configuration:
        return load_configuration(self.path)

    def processor(self, role: str, now: datetime) -> ShareProcessor:
        return load_processor(self.configuration.processors[role], fixed_clock(now))

    def storage(self, name: str) -> Path:
        return self.path.parent / name


def processor_section(role: str, keys: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The section of one role, its storages below `{role}/`."""
    return {
        "role": role,
        "instance": "instance",
        "ingestion": f"{role}/ingestion",
        "own_validations": f"{role}/own_validations",
        "peer_validations": f"{role}/peer_validations",
        "peer_bucket": f"{peer_of(role)}/peer_validations",
        "state": f"{role}/state",
        "sum_parts": f"portal/{role}",
        "period": "8h",
        "grace": "1h",
        "first_window": "2023-05-01T00:00Z",
        "minimum_clients": 1,
        "peer_has_lists": True,
        "signing_key": {"identifier": keys[role]["id"], "secret": {"file": f"secrets/{role}-signing-key"}},
        "packet_decryption_keys": [
            {"file": f"secrets/{role}-packet-key-{number}"} for number in range(len(keys["packet_decryption"][role]))
        ],
        "ingestor_keys": {keys["ingestor"]["id"]: keys["ingestor"]["public_pem"]},
        "peer_keys": {keys[peer_of(role)]["id"]: keys[peer_of(role)]["public_pem"]},
    } | settings


def portal_section(keys: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {
        "instance": "instance",
        "period": "8h",
        "first_window": "2023-05-01T00:00Z",
        "grace": "1h",
        "pha_sum_parts": "portal/pha",
        "facilitator_sum_parts": "portal/facilitator",
        "statistics": "portal/statistics",
        "pha_keys": {keys["pha"]["id"]: keys["pha"]["public_pem"]},
        "facilitator_keys": {keys["facilitator"]["id"]: keys["facilitator"]["public_pem"]},
    } | settings


def make_deployment(directory: Path, content: dict[str, Any], keys: dict[str, Any]) -> Deployment:
    """Directories, secrets and the file; the state of each processor from its first window."""
    for storage in ("portal/pha", "portal/facilitator", "portal/statistics"):
        (directory / storage).mkdir(parents=True)
    for role in ROLES:
        for storage in STORAGES:
            (directory / role / storage).mkdir(parents=True)
    (directory / "secrets").mkdir()
    for role in ROLES:
        (directory / "secrets" / f"{role}-signing-key").write_text(keys[role]["private_pkcs8_b64"])
        for number, key in enumerate(keys["packet_decryption"][role]):
            (directory / "secrets" / f"{role}-packet-key-{number}").write_text(key)
    (directory / "secrets" / "ingestor-signing-key").write_text(keys["ingestor"]["private_pkcs8_b64"])
    deployment = Deployment(directory / "prio.yaml")
    deployment.path.write_text(yaml.safe_dump(content))
    for settings in deployment.configuration.processors.values():
        initialise_state(load_processor(settings), settings.first_window)
    return deployment


def parse_path_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y/%m/%d/%H/%M").replace(tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A case of the reference, and its deployment: each role by itself has the reference for its peer."""

    facts: dict[str, Any]
    keys: dict[str, Any]
    folder: Path
    deployment: Deployment

    @property
    def partition(self) -> str:
        start = parse_path_time(self.facts["window"][0])
        return f"{self.facts['aggregation']}|{start:%Y-%m-%d-%H:%M}"

    @property
    def between_stop_and_deadline(self) -> datetime:
        """Grace is an hour, the margin fifteen minutes."""
        return parse_path_time(self.facts["window"][1]) + timedelta(minutes=50)


def reference_case(folder: Path, directory: Path) -> Case:
    """The deployment of a case: ingestion batches and the reference's validations are there, nothing else is."""
    facts = json.loads((folder / "case.json").read_text())
    keys = json.loads((folder / "keys.json").read_text())
    settings = {
        "instance": facts["instance"],
        "first_window": "2021-01-01T00:00Z",
        "peer_has_lists": False,
        "intake_max_age": "3650d",
    }
    content = {
        "processors": {
            role: processor_section(role, keys, peer_bucket=f"sent-by-{role}", **settings)
            | {"single_object_validations": facts["single_object"][role]}
            for role in ROLES
        },
        "portal": portal_section(
            keys, instance=facts["instance"], first_window=settings["first_window"], legacy_peer=True
        ),
    }
    for role in ROLES:
        (directory / f"sent-by-{role}").mkdir()
    deployment = make_deployment(directory, content, keys)
    for role in ROLES:
        for source, target in (("ingestion", "ingestion"), ("peer-validation", "peer_validations")):
            shutil.copytree(folder / role / source, directory / role / target, dirs_exist_ok=True)
    return Case(facts, keys, folder, deployment)


AGGREGATIONS = {"kittens-seen": {"bins": 5, "epsilon": 1.0}, "votes.v1": {"bins": 8, "epsilon": 1.0}}
"""What both processors of the full deployment expect."""


def full_deployment(directory: Path, keys: dict[str, Any], **settings: Any) -> Deployment:
    """Both processors, who know lists, the portal and the simulated ingestor of one instance.

    `settings` are of the processors; what the portal must have in common with them is the portal's too.
    """
    common = {key: settings[key] for key in ("period", "first_window", "grace") if key in settings}
    content = {
        "processors": {
            role: processor_section(role, keys, aggregations=AGGREGATIONS, late_limit="1d") | settings for role in ROLES
        },
        "portal": portal_section(keys, labels={"kittens-seen": ["tabby", "black", "white", "red", "grey"]}, **common),
        "ingestor": {
            "pha_ingestion": "pha/ingestion",
            "facilitator_ingestion": "facilitator/ingestion",
            "signing_key": {"identifier": keys["ingestor"]["id"], "secret": {"file": "secrets/ingestor-signing-key"}},
            "pha_packet_key": keys["packet_decryption"]["pha"][0],
            "facilitator_packet_key": keys["packet_decryption"]["facilitator"][0],
        },
    }
    return make_deployment(directory, content, keys)


def ingest(
    deployment: Deployment,
    aggregation: str,
    time: datetime,
    clients: int = 3,
    only: str | None = None,
    parameters: Parameters | None = None,
    uuid: UUID | None = None,
    lost: int = 0,
) -> BatchName:
    """A batch of honest clients at both processors, or at one only; its rows are remembered in `rows/`.

    `lost` of the clients encrypt the PHA's shares to a key that nobody has.
    """
    settings, configuration = deployment.configuration.ingestor, deployment.configuration
    expected = parameters or configuration.processors["pha"].expected_parameters(aggregation)
    batch = BatchName(aggregation, time, uuid or draw_uuid())
    rows = random_rows(clients, expected.bins)
    points = PublicPoints(settings.pha_packet_key, settings.facilitator_packet_key)
    astray = points._replace(pha=parse_packet_public_key(generate_packet_key_text()))
    halves = upload(rows[lost:], points), upload(rows[:lost], astray)
    payloads = Payloads(*(sound + unreadable for sound, unreadable in zip(*halves, strict=True)))
    description = BatchDescription(batch, expected, to_ms(time), to_ms(time))
    sealed = seal_batches(description, payloads, draw_labels(clients, expected.bins), settings.signing_key.load())
    for role, one in zip(ROLES, sealed, strict=True):
        if only in (None, role):
            write_batch(configuration.processors[role].stores.ingestion, batch, one)
    folder = deployment.storage("rows")
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{batch.uuid}.npy", rows)
    return batch


def true_counts(deployment: Deployment, *batches: BatchName) -> list[int]:
    """What the statistic over these batches must be."""
    rows = [np.load(deployment.storage("rows") / f"{batch.uuid}.npy") for batch in batches]
    return np.concatenate(rows).sum(axis=0).tolist()


def statistic(deployment: Deployment, aggregation: str, window: str) -> dict[str, Any]:
    """What the portal published; `window` as in object names."""
    store = deployment.configuration.portal.stores.statistics
    return json.loads(read_bytes(store, f"instance/{aggregation}/{window}.json"))


def move_into_cloud(deployment: Deployment, url: str, **access: Any) -> None:
    """Have all storages in the bucket, under the paths that they have in the directory; the states are made anew."""
    content = yaml.safe_load(deployment.path.read_text())
    for section in (*content["processors"].values(), content["portal"], content["ingestor"]):
        for key, path in section.items():
            if isinstance(path, str) and "/" in path and (deployment.path.parent / path).is_dir():
                section[key] = {"url": f"{url}/{path}", **access}
    deployment.path.write_text(yaml.safe_dump(content))
    for settings in deployment.configuration.processors.values():
        initialise_state(load_processor(settings), settings.first_window)
