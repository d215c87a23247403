"""What a run of `own_validations` tells about the window's batches: metadata, check results, a failure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from prio_assets.defs import metadata as keys
from prio_assets.defs.processor.batch_table import (
    FAULTY,
    NEW,
    BatchRow,
    packets_by_reason,
    text_of_counts,
)
from prio_assets.defs.processor.names import (
    BATCHES_ACCEPTED,
    PACKETS_ACCEPTED,
)
from prio_assets.defs.tables import table
from prio_assets.prio.choice import choose_engine
from prio_assets.processor.survey import Survey
from prio_assets.processor.validation import BatchState

COLUMNS = {
    "batch": str,
    "state": str,
    "reason": str,
    "packets": int,
    "accepted": int,
    "rejected packets": str,
    "time": str,
    "seconds": float,
    "details": str,
}


def engine_metadata() -> dict[str, str]:
    """The engine of this process, and why it is no faster one."""
    engine, reasons = choose_engine()
    return {keys.ENGINE: engine.name} | ({keys.NO_FASTER_ENGINE: "; ".join(reasons)} if reasons else {})


def metadata(
    found: Survey, rows: Sequence[BatchRow], checks: Sequence[dg.AssetCheckResult], overrides: dict[str, list[str]]
) -> dict[str, Any]:
    """What a person wants to know of the window's batches; the page shows it in this order."""
    states = Counter(row.state for row in rows)
    rejected = packets_by_reason(rows)
    facts: dict[str, Any] = {
        keys.BATCHES: len(rows),
        keys.BATCHES_ACCEPTED: states[BatchState.SENT],
        keys.BATCHES_REJECTED: states[BatchState.REJECTED],
        keys.TABLE_OF_BATCHES: table([row.record for row in rows], COLUMNS),
        keys.BATCHES_WAITING: states[BatchState.WAITS_FOR_PEER] + states[BatchState.KEPT_BACK] + states[NEW],
        keys.BATCHES_FAILED: states[BatchState.FAILED] + states[BatchState.UNDECRYPTABLE],
        keys.INCOMPLETE_BATCHES: len(found.incomplete),
        keys.PACKETS_RECEIVED: sum(row.received for row in rows),
        keys.PACKETS_ACCEPTED: sum(row.accepted for row in rows),
        keys.PACKETS_REJECTED: rejected.total(),
        keys.PACKETS_REJECTED_BY_REASON: text_of_counts(rejected) or "none",
        keys.SECONDS: round(sum(row.seconds for row in rows), 3),
        keys.ENGINE: "; ".join(sorted({row.engine for row in rows if row.engine})) or "none: no packet was verified",
        keys.CHECKS: text_of_checks(checks),
    }
    if overrides:
        facts[keys.OVERRIDES] = dg.MetadataValue.json(overrides)
    return facts


def failure(failed: Sequence[BatchRow], rows: Sequence[BatchRow], facts: dict[str, Any]) -> dg.Failure:
    """The run's end where batches `failed` for a reason that may go away; `rows` are all of the window."""
    first = failed[0]
    known = sum(row.state != NEW for row in rows)
    return dg.Failure(
        description=f"{len(failed)} of {known} batches failed, the others are done; {first.batch}: {first.reason}",
        metadata=facts,
        allow_retries=False,
    )


def check_results(
    rows: Sequence[BatchRow], rejected_packets_limit: float, key: dg.AssetKey
) -> list[dg.AssetCheckResult]:
    """The partition's checks. None of them blocks: the rest of the window is summed."""
    return [_batches_accepted(rows, key), _packets_accepted(rows, key, rejected_packets_limit)]


def text_of_checks(checks: Sequence[dg.AssetCheckResult]) -> str:
    """What they found, for the metadata: a partition's page shows no checks."""
    return "; ".join(f"{each.check_name}: {each.description}" for each in checks)


def _batches_accepted(rows: Sequence[BatchRow], key: dg.AssetKey) -> dg.AssetCheckResult:
    faults = {row.batch: f"{row.state}: {row.reason}" for row in rows if row.state in FAULTY}
    return check_of_faults(BATCHES_ACCEPTED, faults, key, whole=len(rows))


def _packets_accepted(rows: Sequence[BatchRow], key: dg.AssetKey, limit: float) -> dg.AssetCheckResult:
    rejected, received = packets_by_reason(rows), sum(row.received for row in rows)
    share = rejected.total() / received if received else 0.0
    counted = f"{rejected.total()} of {received} packets rejected ({share:.1%}, limit {limit:.1%})"
    return dg.AssetCheckResult(
        passed=share <= limit,
        check_name=PACKETS_ACCEPTED,
        asset_key=key,
        description=f"{counted}: {text_of_counts(rejected)}" if rejected else counted,
        metadata={
            keys.PACKETS_RECEIVED: received,
            keys.PACKETS_REJECTED: rejected.total(),
            keys.PACKETS_REJECTED_BY_REASON: text_of_counts(rejected) or "none",
        },
    )


def check_of_faults(
    name: str, faults: dict[str, str], key: dg.AssetKey, whole: int | None = None
) -> dg.AssetCheckResult:
    """Fails if a batch has a fault; `faults` says by batch which."""
    of = "" if whole is None else f" of {whole}"
    first = next(iter(faults.items()), None)
    return dg.AssetCheckResult(
        passed=not faults,
        check_name=name,
        asset_key=key,
        description=f"{len(faults)}{of} batches, the first {first[0]}: {first[1]}" if first else "no fault",
        metadata={keys.FINDINGS: fault_table(faults)},
    )


def fault_table(faults: dict[str, str]) -> dg.TableMetadataValue:
    """Batches and what is wrong with each."""
    records = [{"batch": batch, "reason": reason} for batch, reason in faults.items()]
    return table(records, {"batch": str, "reason": str})
