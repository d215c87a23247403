"""The program that prints, as JSON, what the Dagster instance in DAGSTER_HOME recorded; see `instance.Record`."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus as Status

ACTIVE = [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
SECONDS_UNTIL_IDLE = 60
MOST_EVENTS = 10_000


def main() -> None:
    """Wait until no run is active, and print."""
    with dg.DagsterInstance.get() as instance:
        wait_until_idle(instance)
        record = {
            "runs": list(runs(instance)),
            "metadata": {key.to_user_string(): metadata(instance, key) for key in instance.get_asset_keys()},
            "failed_checks": failed_checks(instance),
        }
    json.dump(record, sys.stdout)


def wait_until_idle(instance: dg.DagsterInstance) -> None:
    """Return when no run is active, or when that takes too long."""
    deadline = time.monotonic() + SECONDS_UNTIL_IDLE
    while instance.get_runs_count(dg.RunsFilter(statuses=ACTIVE)) and time.monotonic() < deadline:
        time.sleep(0.5)


def runs(instance: dg.DagsterInstance) -> Iterator[dict[str, Any]]:
    """All runs, the first that was created first."""
    for record in reversed(instance.get_run_records()):
        run = record.dagster_run
        assets = sorted(key.to_user_string() for key in run.asset_selection or ())
        yield {
            "id": run.run_id,
            "status": run.status.value,
            "sensor": run.tags.get("dagster/sensor_name"),
            "assets": assets or [run.job_name],
            "partition": run.tags.get("dagster/partition", ""),
            "start": record.start_time or record.create_timestamp.timestamp(),
            "end": record.end_time or record.update_timestamp.timestamp(),
        }


def metadata(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, dict[str, Any]]:
    """By partition, the metadata of the last materialisation of an asset."""
    found: dict[str, dict[str, Any]] = {}
    for record in instance.fetch_materializations(key, limit=MOST_EVENTS).records:
        materialization = record.asset_materialization
        if materialization is not None:
            plain = {name: _plain(value) for name, value in materialization.metadata.items()}
            found.setdefault(materialization.partition or "", plain)
    return found


def failed_checks(instance: dg.DagsterInstance) -> list[tuple[str, str, str]]:
    """The checks whose last result is a failure: asset, check, partition."""
    results: dict[tuple[str, str, str], bool] = {}
    filters = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    for record in instance.get_event_records(filters, limit=MOST_EVENTS, ascending=True):
        event = record.event_log_entry.dagster_event
        if event is not None:
            evaluation = event.asset_check_evaluation_data
            place = (evaluation.asset_key.to_user_string(), evaluation.check_name, evaluation.partition or "")
            results[place] = evaluation.passed
    return sorted(place for place, passed in results.items() if not passed)


def _plain(value: dg.MetadataValue[Any]) -> Any:
    if isinstance(value, dg.TableMetadataValue):
        return [dict(record.data) for record in value.records]
    return value.value if isinstance(value.value, (str, int, float, dict, list, bool)) else str(value.value)


if __name__ == "__main__":
    main()
