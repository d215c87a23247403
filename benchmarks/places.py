"""Buckets of both roles in a directory, and what the commands of intake and aggregation are given."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.datasets import AGGREGATION, WINDOW, Dataset
from benchmarks.parties import PARTIES, ROLES
from prio_assets.prio.engine import Engine
from prio_assets.prio.field import PRIME
from prio_assets.processor.ingestion import Opener
from prio_assets.processor.one_shot_aggregation import AggregationPlace, gather, seal_sum
from prio_assets.processor.one_shot_intake import IntakePlace, OneShotIntake, intake_once
from prio_assets.processor.own_store import OwnStore
from prio_assets.storage.local import LocalStore
from prio_assets.wire.batches import open_header
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import SumPart


@dataclass(frozen=True)
class Places:
    """Who takes in the batches of a dataset with an engine, and sums them; results lie below `directory`."""

    dataset: Dataset
    engine: Engine
    directory: Path
    linked: bool = False
    """Whether the ingestion buckets, too, are below `directory`."""

    def bucket(self, role: str, name: str) -> LocalStore:
        """A bucket of a role, made where it is not there."""
        path = self.directory / role / name
        path.mkdir(parents=True, exist_ok=True)
        return LocalStore(path)

    def ingestion(self, role: str) -> LocalStore:
        """The ingestion bucket of a role."""
        return self.bucket(role, "ingestion") if self.linked else self.dataset.ingestion(role)

    def opener(self, role: str) -> Opener:
        """What it takes to read a role's shares."""
        ingestor = PARTIES["ingestor"]
        keys = {ingestor.key_identifier: ingestor.signing_key.public}
        return Opener(ROLES.index(role), keys, [PARTIES[role].packet_key], self.engine)

    def intake_place(self, role: str) -> IntakePlace:
        """Of `prio-assets intake-batch --own-output`."""
        return IntakePlace(
            ingestion=self.ingestion(role),
            peer_bucket=self.bucket(peer_of(role), "peer-validations"),
            own=OwnStore(self.bucket(role, "own-validations")),
            opener=self.opener(role),
            signing_key=PARTIES[role].signing_key,
            single_object=True,
        )

    def aggregation_place(self, role: str) -> AggregationPlace:
        """Of `prio-assets aggregate --own-input`."""
        peer = PARTIES[peer_of(role)]
        return AggregationPlace(
            ingestion=self.ingestion(role),
            peer_validations=self.bucket(role, "peer-validations"),
            own=OwnStore(self.bucket(role, "own-validations")),
            opener=self.opener(role),
            signing_key=PARTIES[role].signing_key,
            peer_keys={peer.key_identifier: peer.signing_key.public},
        )

    def take_in(self, role: str, batch: BatchName) -> OneShotIntake:
        """Intake of one batch: keep validation and totals, send the validation."""
        return intake_once(self.intake_place(role), batch, "benchmark", WINDOW.end)

    def sum(self, role: str, batches: list[BatchName]) -> SumPart:
        """Aggregation of the batches: what the sum part says."""
        place = self.aggregation_place(role)
        gathered = gather(place, batches, WINDOW)
        part = seal_sum(gathered, AGGREGATION, WINDOW, 1, place.signing_key)
        return open_header(SumPart, part.header, f"the {role}'s sum part")


def peer_of(role: str) -> str:
    """The other role."""
    return ROLES[1 - ROLES.index(role)]


def check_accepted(outcome: OneShotIntake, dataset: Dataset) -> None:
    """Raise `ValueError` unless intake accepted all of a batch."""
    if outcome.accepted != dataset.packets:
        raise ValueError(f"{outcome.accepted} packets of {dataset} were accepted: remove .bench and try again")


def check_sums(parts: list[SumPart], dataset: Dataset, times: int) -> None:
    """Raise `ValueError` unless both roles' parts add up to so many times the dataset's true counts."""
    shares = [np.array(part.sum, dtype=np.uint64) for part in parts]
    expected = dataset.true_counts() * np.uint64(times)
    if ((shares[0] + shares[1]) % np.uint64(PRIME) != expected).any():
        raise ValueError(f"the sum parts of {dataset} do not add up to its counts: remove .bench and try again")
    clients = {part.total_individual_clients for part in parts}
    if clients != {times * dataset.packets * dataset.batches}:
        raise ValueError(f"the sum parts of {dataset} are over {clients} clients")
