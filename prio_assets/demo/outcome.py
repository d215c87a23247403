"""What came out: each window's statistic as the portal published it, beside what the plan says must come out."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prio_assets.configuration import PortalConfiguration
from prio_assets.demo.instance import Record
from prio_assets.demo.scenario import Fault, Plan, PlannedBatch, Topic
from prio_assets.demo.watch import Snapshot
from prio_assets.prio.field import add
from prio_assets.storage.base import read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import read_sum_part
from prio_assets.wire.windows import Window

REJECTED_AT_INTAKE = "packets rejected by reason"
NOT_COUNTED_IN_SUM = "packets not counted by reason"
PROOF_INVALID = "proof_invalid"


@dataclass(frozen=True)
class WindowOutcome:
    """One window of one aggregation: what the portal published, and the truth; counts are int64 of shape [bins].

    `packets` says, by reason, how many packets of the window's batches don't count.
    """

    topic: Topic
    window: Window
    clients: int
    counts: NDArray[np.int64]
    batch_ids: frozenset[str]
    true_clients: int
    true_counts: NDArray[np.int64]
    true_batches: tuple[PlannedBatch, ...]
    packets: Counter[str]

    @property
    def is_exact(self) -> bool:
        """Whether batches, clients and the count of every bin are the true ones."""
        return (
            self.clients == self.true_clients
            and self.batch_ids == {str(batch.name.uuid) for batch in self.true_batches}
            and np.array_equal(self.counts, self.true_counts)
        )

    @property
    def late_batches(self) -> int:
        """How many of the counted batches are of an earlier window."""
        return sum(batch.name.time < self.window.start for batch in self.true_batches)


@dataclass(frozen=True)
class Result:
    """A whole demo, at its end."""

    plan: Plan
    outcomes: tuple[WindowOutcome, ...]
    snapshot: Snapshot
    record: Record

    @property
    def is_exact(self) -> bool:
        """Whether every window came out as it must."""
        return all(outcome.is_exact for outcome in self.outcomes)

    def fates(self, topic: Topic, window: Window) -> Counter[str]:
        """The window's batches that it doesn't count, by reason."""
        return Counter(
            why for batch in self.plan.batches_of(topic, window) if (why := self.why_left_out(batch)) is not None
        )

    def why_left_out(self, batch: PlannedBatch) -> str | None:
        """Why its own window doesn't count the batch; None where it does."""
        if batch.fault is Fault.LATE:
            return "late"
        if batch.fault is Fault.ONE_SIDED:
            return "at one processor only"
        reasons = [reason for (_, name), reason in self.snapshot.rejected.items() if name == batch.name]
        return reasons[0] if reasons else None


@dataclass(frozen=True)
class Shares:
    """The two processors' parts of a window's sum, and the sum mod p; each uint64 of shape [bins]."""

    pha: NDArray[np.uint64]
    facilitator: NDArray[np.uint64]

    @property
    def total(self) -> NDArray[np.uint64]:
        """What they add up to."""
        return add(self.pha, self.facilitator)


def read_shares(portal: PortalConfiguration, outcome: WindowOutcome) -> Shares:
    """The verified sum parts of a window, as they lie in the portal's storages."""
    stores = (portal.stores.pha_sum_parts, portal.stores.facilitator_sum_parts)
    place = (portal.instance, outcome.topic.name, outcome.window)
    parts = [
        read_sum_part(partial(read_bytes, store), *place, index, keys).header.sum
        for index, (store, keys) in enumerate(zip(stores, (portal.pha_keys, portal.facilitator_keys), strict=True))
    ]
    return Shares(*(np.array(part, dtype=np.uint64) for part in parts))


def outcomes(plan: Plan, portal: PortalConfiguration, record: Record) -> Iterator[WindowOutcome]:
    """The outcome of every window that has one, aggregation by aggregation."""
    for topic, window in plan.expected():
        name = names.statistic_objects(portal.instance, topic.name, window).json
        published = json.loads(read_bytes(portal.stores.statistics, name))
        yield WindowOutcome(
            topic=topic,
            window=window,
            clients=published["clients"],
            counts=np.array(published["sum"], dtype=np.int64),
            batch_ids=frozenset(published["batch_ids"]),
            true_clients=plan.clients(topic, window),
            true_counts=plan.true_counts(topic, window),
            true_batches=tuple(plan.counted(topic, window)),
            packets=packets_by_reason(record, topic.name, window),
        )


def packets_by_reason(record: Record, aggregation: str, window: Window) -> Counter[str]:
    """What each processor refused at intake, and the proofs that did not hold, which only both together can see."""
    partition = f"{aggregation}|{window.start:%Y-%m-%d-%H:%M}"
    refused: Counter[str] = Counter()
    for processor in ("pha", "facilitator"):
        refused += _counts(_fact(record, f"{processor}/own_validations", partition, REJECTED_AT_INTAKE))
    in_sum = _counts(_fact(record, "pha/sum_parts", partition, NOT_COUNTED_IN_SUM))
    return refused + Counter({PROOF_INVALID: in_sum[PROOF_INVALID]})


def _fact(record: Record, asset: str, partition: str, name: str) -> str:
    facts: Mapping[str, str] = record.metadata.get(asset, {}).get(partition, {})
    return facts.get(name, "none")


def _counts(text: str) -> Counter[str]:
    """The counts in a text such as `undecryptable 3, uuid_malformed 1`, or `none`."""
    pairs = [part.split(" ") for part in text.split(", ") if text != "none"]
    return Counter({label: int(count) for label, count in pairs})
