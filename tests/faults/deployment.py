"""Two share processors and a portal over stores in memory, worked as sensors would: what is pending, step by step."""

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prio_assets.configuration import Configuration, ProcessorConfiguration, ProcessorStores
from prio_assets.errors import BatchReason, PrioAssetsError
from prio_assets.portal.collection import Statistic, add_sum_parts
from prio_assets.prio.choice import choose_engine
from prio_assets.processor.agreement import decision_of, make_own_list
from prio_assets.processor.ledger import read_counted
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.pending import Pending, PendingStep, Quiet, pending_steps
from prio_assets.processor.processor import ShareProcessor, initialise_state
from prio_assets.processor.survey import survey
from prio_assets.processor.validation import BatchOutcome, BatchState, validate_batches
from prio_assets.processor.window_sum import Override, WindowSum, sum_window
from prio_assets.storage.base import copy_bytes, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch, SumPartBatch, read_sum_part
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.records import Rejection, decode
from prio_assets.wire.uuids import uuid_values
from prio_assets.wire.windows import Window
from tests.faults.material import (
    AGGREGATION,
    BINS,
    FAULTY,
    INGESTOR_KEY,
    INSTANCE,
    PACKET_KEYS,
    PARAMETERS,
    PERIOD,
    PROCESSOR_KEYS,
    SOUND,
    WINDOW,
    sealed_batch,
    upload_of,
)
from tests.faults.memory_store import MemoryStore

ROLES = ("pha", "facilitator")
STORES = ("ingestion", "own_validations", "peer_validations", "state", "sum_parts")
GRACE = timedelta(hours=1)
AFTER_GRACE = WINDOW.end + GRACE + timedelta(minutes=1)
ROUNDS = 20
"""More than any window needs: whatever is pending after so many rounds is waiting for something."""


@dataclass
class SettableClock:
    now: datetime = AFTER_GRACE

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Deployment:
    """All parties of one instance. What went wrong in a step is kept, as Dagster keeps a failed run."""

    processors: tuple[ShareProcessor, ShareProcessor]
    clock: SettableClock
    differences: dict[str, Any]
    outcomes: tuple[dict[BatchName, BatchOutcome], dict[BatchName, BatchOutcome]] = field(
        default_factory=lambda: ({}, {})
    )
    sums: tuple[dict[Window, WindowSum], dict[Window, WindowSum]] = field(default_factory=lambda: ({}, {}))
    failures: list[tuple[int, PendingStep | None, PrioAssetsError]] = field(default_factory=list)

    def store(self, index: int, name: str) -> MemoryStore:
        """A store of one processor; `peer_validations` is the bucket that the other one writes to."""
        store = getattr(self.processors[index].stores, name)
        assert isinstance(store, MemoryStore)
        return store

    def copy(self) -> "Deployment":
        """A deployment with the same content, which can be spoiled without harm to this one."""
        clock = SettableClock(self.clock.now)
        twin = Deployment(make_processors(clock, **self.differences), clock, self.differences)
        for index in (0, 1):
            for name in STORES:
                twin.store(index, name).objects = dict(self.store(index, name).objects)
        return twin

    def ingest(self, batch: BatchName, index: int, sealed: SealedBatch) -> None:
        """Put a batch into a processor's ingestion bucket, whatever it is."""
        for name, data in zip(ingestion_objects(batch), sealed.three_objects(), strict=True):
            copy_bytes(self.store(index, "ingestion"), name, data)


def make_deployment(**differences: Any) -> Deployment:
    """Parties with empty stores and their state made; `differences` are those of `make_processors`."""
    clock = SettableClock()
    deployment = Deployment(make_processors(clock, **differences), clock, differences)
    for processor in deployment.processors:
        initialise_state(processor, processor.settings.first_window)
    return deployment


def make_processors(clock: SettableClock, **differences: Any) -> tuple[ShareProcessor, ShareProcessor]:
    """Both roles, each over stores of its own, the peer's bucket being the other's `peer_validations`."""
    stores = [{name: MemoryStore(f"{role}/{name}") for name in STORES} for role in ROLES]
    settings = _settings(**differences)
    first, second = (
        ShareProcessor(
            settings=settings[index],
            stores=ProcessorStores(**stores[index], peer_bucket=stores[1 - index]["peer_validations"]),
            signing_key=PROCESSOR_KEYS[index],
            packet_keys=PACKET_KEYS[index : index + 1],
            engine=choose_engine().engine,
            clock=clock,
        )
        for index in (0, 1)
    )
    return first, second


@cache
def _settings(
    peer_has_lists: bool = True,
    minimum_clients: int = 1,
    late_limit: str = "0h",
    with_parameters: bool = True,
    hamming_weight: int | None = None,
    undecryptable_limit: float = 0.1,
) -> list[ProcessorConfiguration]:
    expected = {"bins": BINS, "epsilon": PARAMETERS.epsilon, "hamming_weight": hamming_weight}
    common = {
        "instance": INSTANCE,
        "period": f"{PERIOD // timedelta(hours=1)}h",
        "grace": "1h",
        "first_window": "2024-05-01T00:00Z",
        "late_limit": late_limit,
        "minimum_clients": minimum_clients,
        "undecryptable_limit": undecryptable_limit,
        "peer_has_lists": peer_has_lists,
        "aggregations": {AGGREGATION: expected} if with_parameters else {},
        "packet_decryption_keys": [{"env": "UNUSED"}],
        "ingestor_keys": {INGESTOR_KEY.identifier: public_text(INGESTOR_KEY)},
    }
    processors = {
        role: common
        | {"role": role, "peer_bucket": f"peer-of-{role}", **{name: f"{role}/{name}" for name in STORES}}
        | {"signing_key": {"identifier": PROCESSOR_KEYS[index].identifier, "secret": {"env": "UNUSED"}}}
        | {"peer_keys": {PROCESSOR_KEYS[1 - index].identifier: public_text(PROCESSOR_KEYS[1 - index])}}
        for index, role in enumerate(ROLES)
    }
    configuration = Configuration.model_validate({"processors": processors}, context={"directory": "/nowhere"})
    return [configuration.processors[role] for role in ROLES]


def public_text(key: SigningKey) -> str:
    """A signing key's public half as manifests give it."""
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def with_batches(deployment: Deployment) -> Deployment:
    """Both batches in both ingestion buckets."""
    for index in (0, 1):
        for batch in (SOUND, FAULTY):
            deployment.ingest(batch, index, sealed_batch(batch, index))
    return deployment


def work(deployment: Deployment, until: PendingStep | None = None) -> None:
    """Do what is pending at both processors until nothing new is; `until` is the first step that is left alone."""
    requested: set[tuple[int, Pending]] = set()
    for _ in range(ROUNDS):
        wanted = [
            (index, pending)
            for index in (0, 1)
            for pending in pending_of(deployment, index)
            if not pending.waits_for and not _comes_after(pending.step, until)
        ]
        fresh = [want for want in wanted if want not in requested]
        if not fresh:
            return
        for index, pending in fresh:
            requested.add((index, pending))
            take_step(deployment, index, pending)
    raise AssertionError(f"still busy after {ROUNDS} rounds")


def _comes_after(step: PendingStep, until: PendingStep | None) -> bool:
    order = list(PendingStep)
    return until is not None and order.index(step) >= order.index(until)


def pending_of(deployment: Deployment, index: int) -> list[Pending]:
    """What a processor's sensors would see; every window has been quiet for long."""
    processor = deployment.processors[index]
    now = deployment.clock()
    found = survey(processor, AGGREGATION, WINDOW.start - 3 * PERIOD, now)
    quiet = {Window(WINDOW.start + n * PERIOD, WINDOW.end + n * PERIOD): Quiet("", WINDOW.start) for n in range(-3, 4)}
    return list(pending_steps(found, processor.settings, now, quiet))


def take_step(deployment: Deployment, index: int, pending: Pending) -> None:
    """Do one step; its failure is kept, an error that is not ours ends the test."""
    processor = deployment.processors[index]
    try:
        if pending.step in (PendingStep.VALIDATE, PendingStep.SEND):
            for outcome in validate_batches(processor, pending.batches):
                deployment.outcomes[index][outcome.batch] = outcome
        elif pending.step in (PendingStep.PROPOSE, PendingStep.DECIDE):
            make_own_list(processor, AGGREGATION, pending.window, None)
        else:
            deployment.sums[index][pending.window] = sum_window(processor, AGGREGATION, pending.window, Override())
    except PrioAssetsError as error:
        deployment.failures.append((index, pending.step, error))


def decide_or_accept(processor: ShareProcessor) -> None:
    """What is next once the peer's list is here, by hand."""
    if processor.settings.server_index == 0:
        sum_window(processor, AGGREGATION, WINDOW, Override())
    else:
        make_own_list(processor, AGGREGATION, WINDOW, None)


def sum_part(deployment: Deployment, index: int, window: Window = WINDOW) -> SumPartBatch:
    """A processor's part as the portal reads it."""
    store = deployment.store(index, "sum_parts")
    keys = {PROCESSOR_KEYS[index].identifier: PROCESSOR_KEYS[index].public}
    return read_sum_part(lambda name: read_bytes(store, name), INSTANCE, AGGREGATION, window, index, keys)


def statistic(deployment: Deployment, window: Window = WINDOW) -> Statistic:
    """What the portal publishes."""
    parts = [sum_part(deployment, index, window).header for index in (0, 1)]
    return add_sum_parts(AGGREGATION, window, *parts)


def counted_packets(deployment: Deployment, index: int, window: Window = WINDOW) -> set[UUID]:
    """The packets that a processor's ledger says it counted in the window."""
    processor = deployment.processors[index]
    entry = decision_of(processor, AGGREGATION, window)
    assert entry is not None
    return set(uuid_values(read_counted(processor.stores.state, AGGREGATION, entry)))


def check_sum(
    deployment: Deployment,
    *,
    batches: Collection[BatchName] = (SOUND, FAULTY),
    without: Collection[UUID] = (),
    window: Window = WINDOW,
) -> None:
    """The window's sum is exact over all packets of the batches but those named, and over the same set at both."""
    rows = {uuid: row for batch in batches for uuid, row in upload_of(batch).true_rows.items()}
    expected = {uuid: row for uuid, row in rows.items() if uuid not in without}
    result = statistic(deployment, window)
    assert sorted(result.batch_ids) == sorted(batch.uuid for batch in batches)
    assert counted_packets(deployment, 0, window) == counted_packets(deployment, 1, window) == expected.keys()
    assert result.clients == len(expected)
    assert list(result.sum) == np.sum(list(expected.values()), axis=0).tolist()
    assert not result.warnings


def rejection_reason(deployment: Deployment, index: int, batch: BatchName = FAULTY) -> BatchReason | None:
    """Why a processor leaves a batch out, from its own store."""
    last = deployment.processors[index].own.last_rejection(batch)
    return None if last is None or last.cleared else BatchReason(last.reason)


def rejections_of(own: OwnStore, batch: BatchName = FAULTY) -> list[Rejection]:
    """All rejection and clearing records of a batch, oldest first."""
    stored = {names.parse_rejection(name): name for name, _ in own.store.list(names.rejections(batch))}
    return [decode(Rejection, read_bytes(own.store, stored[key]), "a rejection") for key in sorted(stored)]


def states(deployment: Deployment, index: int) -> Iterator[tuple[BatchName, BatchState]]:
    """What became of each batch in the last run that had it."""
    for batch, outcome in deployment.outcomes[index].items():
        yield batch, outcome.state


def with_keys(deployment: Deployment, index: int, packet_keys: Any) -> None:
    """Give a processor other packet keys, as an operator does."""
    processors = list(deployment.processors)
    changed = copy(processors[index])
    object.__setattr__(changed, "packet_keys", packet_keys)
    processors[index] = changed
    deployment.processors = (processors[0], processors[1])
