"""The table of a window's batches: what became of each, from this run and from those before it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prio_assets.errors import PacketReason
from prio_assets.processor.validation import BatchOutcome, BatchState
from prio_assets.wire.windows import format_minute

REASON_END = ": "
"""What stands between a rejection's reason and its details."""

FAULTY = (BatchState.REJECTED, BatchState.UNDECRYPTABLE, BatchState.FAILED)

NEW = "new, for the next run"
"""The state of a batch that came while a run was at work, which did not handle it."""


@dataclass(frozen=True)
class BatchRow:
    """One batch: its state, why, and its packets; `rejected` counts packets by the reason's label."""

    batch: str
    time: str
    state: str
    reason: str = ""
    received: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    engine: str = ""
    """The name of the engine that verified the packets; empty where that is not known."""

    @property
    def facts(self) -> dict[str, Any]:
        """The row as it is recorded; `row_of_facts` reads it."""
        return vars(self) | {"rejected": dict(self.rejected)}

    @property
    def record(self) -> dict[str, Any]:
        """The row as a person reads it: what is short comes first, a rejection's reason without its details."""
        is_rejected = self.state == BatchState.REJECTED
        reason, _, details = self.reason.partition(REASON_END) if is_rejected else ("", "", self.reason)
        return {
            "batch": self.batch,
            "state": self.state,
            "reason": reason,
            "packets": self.received,
            "accepted": self.accepted,
            "rejected packets": text_of_counts(self.rejected),
            "time": self.time,
            "seconds": round(self.seconds, 3),
            "details": details,
        }


def row_of_outcome(outcome: BatchOutcome, engine: str) -> BatchRow:
    """The row of a batch that this run handled, with the engine of this name."""
    return BatchRow(
        batch=str(outcome.batch.uuid),
        time=format_minute(outcome.batch.time),
        state=outcome.state.value,
        reason=outcome.why,
        received=outcome.received,
        accepted=outcome.accepted,
        rejected=Counter({PacketReason(reason).label: count for reason, count in outcome.rejected.items()}),
        seconds=outcome.seconds,
        engine=engine if outcome.received else "",
    )


def row_of_facts(facts: Mapping[str, Any]) -> BatchRow:
    """The row that `BatchRow.facts` was made of."""
    return BatchRow(**{**facts, "rejected": Counter(facts["rejected"])})


def merge(earlier: Iterable[BatchRow], now: Iterable[BatchRow]) -> list[BatchRow]:
    """One row a batch, the faulty ones first: packets were counted in the run that read them, states change later."""
    rows = {row.batch: row for row in earlier}
    for row in now:
        before = rows.get(row.batch)
        if before is not None and before.received and not row.received and row.state != BatchState.REJECTED:
            row = BatchRow(  # noqa: PLW2901 (this run did not read the packets, an earlier one did)
                row.batch,
                row.time,
                row.state,
                row.reason,
                before.received,
                before.accepted,
                before.rejected,
                before.seconds,
                before.engine,
            )
        rows[row.batch] = row
    return sorted(rows.values(), key=lambda row: (row.state not in FAULTY, row.time, row.batch))


def packets_by_reason(rows: Sequence[BatchRow]) -> Counter[str]:
    """How many packets were left out, by reason."""
    return sum((row.rejected for row in rows), Counter())


def text_of_counts(counts: Mapping[str, int]) -> str:
    """`undecryptable 3, uuid_malformed 1`; empty where there are none."""
    return ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
