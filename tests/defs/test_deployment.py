"""Both processors and the portal of one instance, worked by their sensors alone."""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg

from prio_assets.ingestor.batches import sample_parameters
from prio_assets.processor.validation import BatchState
from prio_assets.wire.records import SumPart, decode
from tests.defs.daemon import Daemon
from tests.defs.deployments import full_deployment, ingest, statistic, true_counts

MIDNIGHT = datetime(2023, 5, 1, tzinfo=UTC)
FIRST, SECOND = "202305010000-202305010800", "202305010800-202305011600"


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def test_windows_are_summed_exactly_and_nothing_is_asked_for_twice(daemon: Daemon) -> None:
    batches = {
        name: [ingest(daemon.deployment, name, at(hour)) for hour in (0, 3, 7)] for name in ("kittens-seen", "votes.v1")
    }
    runs = daemon.settle()
    assert runs == 2 * 7
    assert all(result.success for result in daemon.results)
    for name, written in batches.items():
        published = statistic(daemon.deployment, name, FIRST)
        assert published["sum"] == true_counts(daemon.deployment, *written)
        assert published["clients"] == 9
    assert daemon.settle() == 0


def test_every_run_has_a_largest_runtime_and_tells_its_want(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    for result in daemon.results:
        assert int(result.dagster_run.tags["dagster/max_runtime"]) > 0
        assert result.dagster_run.tags["prio-assets/want"]


def test_no_key_and_no_part_of_a_sum_enters_dagster(daemon: Daemon, keys: dict[str, Any]) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    secrets = [keys[party]["private_pkcs8_b64"] for party in ("pha", "facilitator", "ingestor")]
    secrets += [key for role in ("pha", "facilitator") for key in keys["packet_decryption"][role]]
    shares = set()
    for role in ("pha", "facilitator"):
        part = next(daemon.deployment.storage(f"portal/{role}").rglob("*.sum_?"))
        header = decode(SumPart, part.read_bytes(), part.name)
        shares |= {value for value in header.sum if value > 1000}
    events = [entry for result in daemon.results for entry in daemon.instance.all_logs(result.run_id)]
    told = "".join(map(str, events)) + "".join(str(result.dagster_run) for result in daemon.results)
    passed_on = [leaf for value in passed_between_steps(daemon) for leaf in leaves(value)]
    assert len(shares) > 5
    assert events
    assert not any(str(secret) in told for secret in (*secrets, *shares))
    assert {type(leaf) for leaf in passed_on} <= {str, int, float, UUID, datetime, BatchState}
    assert not shares.intersection(passed_on)
    assert not any(str(secret) in str(leaf) for leaf in passed_on for secret in (*secrets, *shares))


def passed_between_steps(daemon: Daemon) -> list[Any]:
    """What the I/O manager stored."""
    folder = Path(daemon.instance.storage_directory())
    runs = [folder / result.run_id for result in daemon.results]
    found = [pickle.loads(path.read_bytes()) for run in runs for path in run.rglob("*") if path.is_file()]
    assert found
    return found


def leaves(value: Any) -> Iterator[Any]:
    """The values within containers and objects."""
    if isinstance(value, Mapping):
        for pair in value.items():
            yield from leaves(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from leaves(each)
    elif is_dataclass(value):
        yield from leaves(vars(value))
    else:
        yield value


def test_the_statistic_has_a_table_by_labels_and_a_plot(daemon: Daemon) -> None:
    batch = ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    metadata = daemon.latest("portal/instance/aggregates", "kittens-seen|2023-05-01-00:00")
    rows = metadata["counts"]
    assert [row["bin"] for row in rows] == ["tabby", "black", "white", "red", "grey"]
    assert [row["count"] for row in rows] == true_counts(daemon.deployment, batch)
    assert metadata["plot"].startswith("![counts by bin](data:image/png;base64,")


def test_nothing_is_proposed_before_the_grace_is_over(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.now = at(8.9)
    daemon.settle()
    assert {result.dagster_run.asset_selection for result in daemon.results} == {
        frozenset({dg.AssetKey([role, "own_validations"])}) for role in ("pha", "facilitator")
    }
    assert "waits for the window's grace" in daemon.tick("pha", "pha_runs").skip
    daemon.now = at(9)
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", FIRST)["clients"] == 3


def test_a_late_batch_is_counted_in_a_later_window_and_is_called_late(daemon: Daemon) -> None:
    first = ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    late = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.settle()
    assert daemon.failed_findings()["pha/ingestion_batches no_late_batches"].startswith(late.base)
    in_time = ingest(daemon.deployment, "kittens-seen", at(10))
    daemon.now = at(17.5)
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", FIRST)["sum"] == true_counts(daemon.deployment, first)
    second = statistic(daemon.deployment, "kittens-seen", SECOND)
    assert second["sum"] == true_counts(daemon.deployment, late, in_time)
    metadata = daemon.latest("pha/sum_parts", "kittens-seen|2023-05-01-08:00")
    assert metadata["late batches"] == 1
    assert "pha/ingestion_batches no_late_batches" not in daemon.failed_findings()


def test_a_batch_at_one_side_holds_the_window_up_for_the_patience_only(daemon: Daemon) -> None:
    both = ingest(daemon.deployment, "kittens-seen", at(1))
    lonely = ingest(daemon.deployment, "kittens-seen", at(2), only="pha")
    daemon.settle()
    assert not list(daemon.deployment.storage("portal/statistics").rglob("*.json"))
    daemon.now += timedelta(minutes=59)
    assert daemon.settle() == 0
    daemon.now += timedelta(minutes=1)
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", FIRST)["sum"] == true_counts(daemon.deployment, both)
    late = daemon.failed_findings()["pha/ingestion_batches no_late_batches"]
    assert late.startswith(f"{lonely.base}: it is not in the set of its own window")


def test_a_lost_cursor_starts_the_patience_again(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    ingest(daemon.deployment, "kittens-seen", at(2), only="pha")
    daemon.settle()
    daemon.now += timedelta(hours=1)
    daemon.cursors.clear()
    assert daemon.settle() == 0


def test_a_window_below_the_minimum_waits_and_goes_into_the_next(
    tmp_path: Path, keys: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    deployment = full_deployment(tmp_path, keys, minimum_clients=5)
    daemon = Daemon(instance, deployment, ("pha", "facilitator", "portal"), at(9.5))
    small = ingest(deployment, "kittens-seen", at(1))
    daemon.settle()
    assert daemon.settle() == 0
    assert daemon.latest("pha/batch_lists", "kittens-seen|2023-05-01-00:00")["list"] == "none"
    more = ingest(deployment, "kittens-seen", at(9))
    daemon.now = at(17.5)
    daemon.settle()
    assert statistic(deployment, "kittens-seen", SECOND)["sum"] == true_counts(deployment, small, more)


def test_an_operators_minimum_holds_for_one_window_and_is_recorded(
    tmp_path: Path, keys: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    deployment = full_deployment(tmp_path, keys, minimum_clients=5)
    daemon = Daemon(instance, deployment, ("pha", "facilitator", "portal"), at(9.5))
    batch = ingest(deployment, "kittens-seen", at(1))
    daemon.settle()
    for role in ("pha", "facilitator"):
        config = {"ops": {f"{role}__batch_lists": {"config": {"minimum_clients": 2}}}}
        partition = "kittens-seen|2023-05-01-00:00"
        assert daemon.materialize(role, partition, "batch_lists", run_config=config).success
        metadata = daemon.latest(f"{role}/batch_lists", "kittens-seen|2023-05-01-00:00")
        assert metadata["operator's overrides"] == {"minimum_clients": 2}
    daemon.settle()
    assert statistic(deployment, "kittens-seen", FIRST)["sum"] == true_counts(deployment, batch)


def test_another_epsilon_on_both_sides_is_rejected_and_named(daemon: Daemon) -> None:
    sound = ingest(daemon.deployment, "kittens-seen", at(1))
    other = ingest(daemon.deployment, "kittens-seen", at(2), parameters=sample_parameters(5, 2.0))
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", FIRST)["sum"] == true_counts(daemon.deployment, sound)
    found = daemon.failed_findings()
    for role in ("pha", "facilitator"):
        assert found[f"{role}/ingestion_batches no_outstanding_rejections"].startswith(
            f"{other.base}: parameters_differ"
        )


def test_a_backfill_of_everything_over_a_decided_window_sends_nothing(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    before = objects(daemon)
    for role in ("pha", "facilitator"):
        for selection in (["own_validations", "batch_lists", "sum_parts"], ["own_validations"], ["sum_parts"]):
            assert daemon.materialize(role, "kittens-seen|2023-05-01-00:00", *selection).success
    assert objects(daemon) == before


def test_a_backfill_of_an_undecided_window_fails_and_says_what_is_missing(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    for role in ("pha", "facilitator"):
        daemon.tick(role, f"{role}_discovery")
        assert daemon.materialize(role, "kittens-seen|2023-05-01-00:00", "own_validations").success
    asked = (("pha", "the peer's answer"), ("facilitator", "our answer to the peer's proposal"))
    for role, missing in asked:
        lists = ["batch_lists"] if role == "pha" else []
        result = daemon.materialize(role, "kittens-seen|2023-05-01-00:00", "own_validations", *lists, "sum_parts")
        failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
        assert [failure.user_failure_data.description for failure in failures] == [
            f"nothing is decided about kittens-seen from 2023-05-01 00:00 to 08:00 UTC yet; missing: {missing}"
        ]
        assert not any(event.is_step_up_for_retry for event in result.all_events)


def objects(daemon: Daemon) -> dict[str, bytes]:
    """Everything in every storage."""
    root = daemon.deployment.path.parent
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("pha", "facilitator", "portal")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }
