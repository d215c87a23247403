"""What sensors report to Dagster: external partitions and checks, each only when it changed since the last report."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from prio_assets.defs import metadata as keys
from prio_assets.defs.tables import MOST_ROWS, table

DATA_VERSION = "dagster/data_version"
MOST_EXECUTIONS = 10
"""Among so many executions of a check there is one that was evaluated: others were planned and cut."""


@dataclass(frozen=True)
class Finding:
    """What an unpartitioned check found: `faults` says of each thing that is wrong why. It passes without any.

    `looked_everywhere` is false while a storage, or an aggregation, could not be looked at.
    """

    asset: str
    check: str
    faults: Mapping[str, str]
    looked_everywhere: bool
    is_warning: bool = False

    @property
    def is_known(self) -> bool:
        """Whether it passes or fails: where not everything was looked at, it cannot be said to pass."""
        return self.looked_everywhere or bool(self.faults)

    @property
    def description(self) -> str:
        """One line."""
        first = next(iter(sorted(self.faults.items())), None)
        others = f"; {len(self.faults) - 1} more" if len(self.faults) > 1 else ""
        return f"{first[0]}: {first[1]}{others}" if first else "nothing"

    @property
    def digest(self) -> str:
        """It changes when anything else is found."""
        return digest_of(self.faults.items())


@dataclass(frozen=True)
class ExternalPartition:
    """What an external partition holds: `version` changes when its content does.

    `describe` makes the metadata, tables of all batches, once there is something to report: at most ticks there isn't.
    """

    asset: str
    partition: str
    version: str
    describe: Callable[[], Mapping[str, Any]]


class Reporter:
    """Turns what was found into events, leaving out what was reported before; remembers it as a sensor's cursor.

    A lost cursor costs one more report of everything, no more.
    """

    def __init__(self, cursor: str | None) -> None:
        self.before: dict[str, str] = json.loads(cursor) if cursor else {}
        self.now: dict[str, str] = {}

    @property
    def cursor(self) -> str:
        """What to remember: only what was looked at this time, so that it does not grow for ever."""
        return json.dumps(self.now, separators=(",", ":"))

    def keep(self, prefix: str) -> None:
        """Remember what was reported before under names that begin so, since it could not be looked at now."""
        self.now |= {name: version for name, version in self.before.items() if name.startswith(prefix)}

    def partition(self, found: ExternalPartition) -> Iterator[dg.AssetObservation | dg.AssetMaterialization]:
        """An observation followed by a materialisation, in this order: so Dagster sees what is downstream as stale."""
        if self._is_known(f"{found.partition} {found.asset}", found.version):
            return
        facts = {
            "asset_key": dg.AssetKey.from_user_string(found.asset),
            "partition": found.partition,
            "metadata": found.describe(),
            "tags": {DATA_VERSION: found.version},
        }
        yield dg.AssetObservation(**facts)
        yield dg.AssetMaterialization(**facts)

    def finding(self, found: Finding) -> Iterator[dg.AssetCheckEvaluation]:
        """The evaluation of an unpartitioned check; while it is not known, the one that was reported before holds."""
        name = f"check {found.asset} {found.check}"
        if not found.is_known:
            self.keep(name)
        elif not self._is_known(name, found.digest):
            yield evaluation(found)

    def _is_known(self, name: str, version: str) -> bool:
        self.now[name] = version
        return self.before.get(name) == version


def evaluation(found: Finding) -> dg.AssetCheckEvaluation:
    """The finding as an event."""
    return dg.AssetCheckEvaluation(**_verdict(found))


def result(instance: dg.DagsterInstance, found: Finding) -> dg.AssetCheckResult:
    """What a check that runs yields: the finding, or, while it is not known, what was evaluated before once more."""
    if found.is_known:
        return dg.AssetCheckResult(**_verdict(found))
    key = dg.AssetCheckKey(dg.AssetKey.from_user_string(found.asset), found.check)
    before = _last_evaluation(instance, key)
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=before is not None and before.passed,
        severity=severity(found),
        description=(before and before.description) or "not known: not everything could be looked at",
        metadata=before.metadata if before else {},
    )


def _last_evaluation(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=MOST_EXECUTIONS):
        event = record.event.dagster_event if record.event else None
        if event is not None and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return event.asset_check_evaluation_data
    return None


def _verdict(found: Finding) -> dict[str, Any]:
    return {
        "asset_key": dg.AssetKey.from_user_string(found.asset),
        "check_name": found.check,
        "passed": not found.faults,
        "severity": severity(found),
        "description": found.description,
        "metadata": finding_metadata(found),
    }


def severity(found: Finding) -> dg.AssetCheckSeverity:
    """A warning is for what an operator need not act on."""
    return dg.AssetCheckSeverity.WARN if found.is_warning else dg.AssetCheckSeverity.ERROR


def finding_metadata(found: Finding) -> dict[str, Any]:
    """How many faults, and a table of them."""
    rows = [{"what": what, "why": why} for what, why in sorted(found.faults.items())[:MOST_ROWS]]
    return {keys.FAULTS: len(found.faults), keys.FINDINGS: table(rows, {"what": str, "why": str})}


def digest_of(facts: Any) -> str:
    """A short digest of facts in any order."""
    text = json.dumps(sorted(map(str, facts)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
