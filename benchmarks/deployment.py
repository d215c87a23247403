"""Both processors as a configuration file describes them, over the ingestion buckets of a dataset."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.datasets import AGGREGATION, WINDOW, Dataset
from benchmarks.parties import PARTIES, ROLES
from benchmarks.places import peer_of
from prio_assets.clock import fixed_clock
from prio_assets.configuration import load_configuration
from prio_assets.processor.processor import ShareProcessor, initialise_state, load_processor
from prio_assets.wire.keys import public_signing_key_text

INSTANCE = "bench"
INGESTION = "ingestion"
BUCKETS = ("own-validations", "peer-validations", "state", "sum-parts")
AFTER_WINDOW = WINDOW.end + timedelta(hours=1)


Storage = str | dict[str, str]
"""A storage as the configuration file describes it."""


def write_deployment(directory: Path, dataset: Dataset) -> Path:
    """The configuration file, with secrets, empty buckets and state beside it."""
    for bucket in BUCKETS:
        for role in ROLES:
            (directory / role / bucket).mkdir(parents=True)

    def storage(role: str, bucket: str) -> Storage:
        return str(dataset.ingestion(role).root.resolve()) if bucket == INGESTION else f"{role}/{bucket}"

    return write_configuration(directory, dataset, storage)


def write_configuration(directory: Path, dataset: Dataset, storage: Callable[[str, str], Storage]) -> Path:
    """The configuration file with secrets beside it, over storages that are there: of a role, by name."""
    secrets = directory / "secrets"
    secrets.mkdir(parents=True)
    for party in PARTIES.values():
        (secrets / f"{party.name}-signing-key").write_text(party.signing_text)
        (secrets / f"{party.name}-packet-key").write_text(party.packet_text)
    file = directory / "prio.yaml"
    file.write_text(yaml.safe_dump({"processors": {role: _section(role, dataset, storage) for role in ROLES}}))
    for processor in load_processors(file).values():
        initialise_state(processor, WINDOW.start)
    return file


def load_processors(file: Path) -> dict[str, ShareProcessor]:
    """Both processors, an hour after the window."""
    configured = load_configuration(file).processors
    return {role: load_processor(configured[role], fixed_clock(AFTER_WINDOW)) for role in ROLES}


def _section(role: str, dataset: Dataset, storage: Callable[[str, str], Storage]) -> dict[str, Any]:
    peer, ingestor = PARTIES[peer_of(role)], PARTIES["ingestor"]
    return {
        "role": role,
        "instance": INSTANCE,
        "ingestion": storage(role, INGESTION),
        "own_validations": storage(role, "own-validations"),
        "peer_validations": storage(role, "peer-validations"),
        "peer_bucket": storage(peer.name, "peer-validations"),
        "state": storage(role, "state"),
        "sum_parts": storage(role, "sum-parts"),
        "period": "8h",
        "grace": 0,
        "first_window": f"{WINDOW.start:%Y-%m-%dT%H:%MZ}",
        "minimum_clients": 1,
        "peer_has_lists": True,
        "aggregations": {AGGREGATION: {"bins": dataset.bins, "epsilon": dataset.parameters.epsilon}},
        "signing_key": {
            "identifier": PARTIES[role].key_identifier,
            "secret": {"file": f"secrets/{role}-signing-key"},
        },
        "packet_decryption_keys": [{"file": f"secrets/{role}-packet-key"}],
        "ingestor_keys": {ingestor.key_identifier: public_signing_key_text(ingestor.signing_text)},
        "peer_keys": {peer.key_identifier: public_signing_key_text(peer.signing_text)},
    }
