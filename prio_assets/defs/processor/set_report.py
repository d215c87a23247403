"""What lists and sums tell about the set of batches that they are over."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from prio_assets.defs import metadata as keys
from prio_assets.defs.processor.names import ALL_BATCHES_READY
from prio_assets.defs.processor.validation_report import fault_table
from prio_assets.defs.tables import table
from prio_assets.wire.records import ListedBatch
from prio_assets.wire.windows import Window, format_minute, from_ms


def table_of_set(batches: Sequence[ListedBatch], window: Window) -> dict[str, Any]:
    """The batches of a set; a late one is of an earlier window."""
    records = [
        {
            "batch": str(listed.batch_uuid),
            "time": format_minute(from_ms(listed.batch_time)),
            "late": from_ms(listed.batch_time) < window.start,
            "repeated packets": len(listed.repeated),
        }
        for listed in batches
    ]
    return {
        keys.BATCHES_LATE: sum(record["late"] is True for record in records),
        keys.TABLE_OF_BATCHES: table(records, {"batch": str, "time": str, "late": bool, "repeated packets": int}),
    }


def check_of_unready(unready: Mapping[str, str], key: dg.AssetKey) -> dg.AssetCheckResult:
    """Fails for batches that could not be used when the window was looked at."""
    first = next(iter(unready.items()), None)
    return dg.AssetCheckResult(
        passed=not unready,
        check_name=ALL_BATCHES_READY,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(unready)} batches are not ready, the first {first[0]}: {first[1]}" if first else "all ready",
        metadata={keys.NOT_READY: fault_table(dict(unready))},
    )
