"""What the sensors do with what they see: requests, reports, and failures that cost no more than they must."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

import dagster as dg
import pytest

from prio_assets.defs import runs
from prio_assets.defs.requests import pause_after
from prio_assets.errors import StorageError
from prio_assets.ingestor.batches import sample_parameters
from prio_assets.processor.processor import KeylessProcessor, initialise_state
from prio_assets.processor.survey import Survey, survey
from prio_assets.wire.names import BatchName, ingestion_objects
from tests.defs.daemon import Daemon
from tests.defs.deployments import ingest

PARTITION = "kittens-seen|2023-05-01-00:00"


def at(hour: float) -> datetime:
    return datetime(2023, 5, 1, tzinfo=UTC) + timedelta(hours=hour)


def requested(daemon: Daemon, party: str = "pha") -> list[tuple[str, str]]:
    """The asset and the partition of each request of a tick."""
    return [
        (request.asset_selection[0].to_user_string(), str(request.partition_key))
        for request in daemon.tick(party, f"{party}_runs").requests
    ]


def start_run(
    daemon: Daemon,
    partition: str,
    *assets: str,
    party: str = "pha",
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
) -> dg.DagsterRun:
    """A run that is active, as one launched from the UI or by a backfill."""
    job = daemon.definitions(party).resolve_implicit_global_asset_job_def()
    return daemon.instance.create_run_for_job(
        job,
        asset_selection=frozenset(dg.AssetKey(asset.split("/")) for asset in assets),
        status=status,
        tags={"dagster/partition": partition},
    )


@pytest.fixture
def discovered(daemon: Daemon) -> Daemon:
    """One batch of one window is there, and its aggregation is a partition."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.tick("pha", "pha_discovery")
    return daemon


def test_discovery_adds_the_aggregation_and_reports_the_batches_once(daemon: Daemon) -> None:
    batch = ingest(daemon.deployment, "kittens-seen", at(1))
    first = daemon.tick("pha", "pha_discovery")
    assert list(daemon.instance.get_dynamic_partitions("instance")) == ["kittens-seen"]
    reported = [event for event in first.events if not isinstance(event, dg.AssetCheckEvaluation)]
    assert [type(event) for event in reported] == [dg.AssetObservation, dg.AssetMaterialization]
    assert len({event.tags["dagster/data_version"] for event in reported}) == 1
    assert reported[1].partition == PARTITION
    assert reported[1].metadata["table of batches"].records[0].data["batch"] == str(batch.uuid)
    assert daemon.tick("pha", "pha_discovery").events == []


def test_another_batch_makes_another_data_version(discovered: Daemon) -> None:
    ingest(discovered.deployment, "kittens-seen", at(2))
    events = discovered.tick("pha", "pha_discovery").events
    assert [type(event) for event in events] == [dg.AssetObservation, dg.AssetMaterialization]
    assert events[1].metadata["batches"].value == 2


def test_a_lost_cursor_reports_everything_again_and_no_more(discovered: Daemon) -> None:
    discovered.cursors.clear()
    assert discovered.tick("pha", "pha_discovery").events
    assert discovered.tick("pha", "pha_discovery").events == []


def test_late_batches_make_the_validations_stale(discovered: Daemon) -> None:
    from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus  # noqa: PLC0415

    def status() -> StaleStatus:
        resolver = CachingStaleStatusResolver(
            discovered.instance, discovered.definitions("pha").resolve_asset_graph(), _loading_context(discovered)
        )
        return resolver.get_status(dg.AssetKey(["pha", "own_validations"]), PARTITION)

    assert discovered.materialize("pha", PARTITION, "own_validations").success
    assert status() == StaleStatus.FRESH
    ingest(discovered.deployment, "kittens-seen", at(2))
    discovered.tick("pha", "pha_discovery")
    assert status() == StaleStatus.STALE


def _loading_context(daemon: Daemon) -> object:
    from dagster._core.loader import LoadingContextForTest  # noqa: PLC0415

    return LoadingContextForTest(daemon.instance)


def test_what_is_ready_is_one_request_a_window(daemon: Daemon) -> None:
    for hour in (0, 1, 2, 8.5):
        ingest(daemon.deployment, "kittens-seen", at(hour))
    ingest(daemon.deployment, "votes.v1", at(1))
    daemon.tick("pha", "pha_discovery")
    assert sorted(requested(daemon)) == [
        ("pha/own_validations", "kittens-seen|2023-05-01-00:00"),
        ("pha/own_validations", "kittens-seen|2023-05-01-08:00"),
        ("pha/own_validations", "votes.v1|2023-05-01-00:00"),
    ]


@pytest.mark.parametrize("assets", [("pha/own_validations",), ("pha/own_validations", "pha/sum_parts")])
def test_an_active_run_of_the_partition_holds_requests_back_whoever_launched_it(
    discovered: Daemon, assets: tuple[str, ...]
) -> None:
    run = start_run(discovered, PARTITION, *assets)
    assert requested(discovered) == []
    discovered.instance.report_run_canceled(run)
    assert requested(discovered) == [("pha/own_validations", PARTITION)]


def test_a_tick_sees_what_can_be_done_after_a_run_that_ends_while_it_waits(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_run(discovered, "another|2023-05-01-00:00", "pha/own_validations")
    run = start_run(discovered, PARTITION, "pha/own_validations")
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            discovered.instance.report_run_canceled(run)

    monkeypatch.setattr(runs, "LONGEST_WAIT", 60.0)
    monkeypatch.setattr(runs, "sleep", sleep)
    assert requested(discovered) == [("pha/own_validations", PARTITION)]
    assert looks == 3


def test_a_tick_does_not_wait_long_and_only_while_runs_are_under_way(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0

    def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(runs, "LONGEST_WAIT", 4.0)
    monkeypatch.setattr(runs, "sleep", sleep)
    monkeypatch.setattr(runs, "monotonic", lambda: passed)
    assert requested(discovered) == [("pha/own_validations", PARTITION)]
    assert passed == 0
    start_run(discovered, PARTITION, "pha/own_validations")
    assert requested(discovered) == []
    assert passed == 4


@pytest.mark.parametrize(
    ("party", "asset"), [("pha", "own_validations"), ("facilitator", "own_validations"), ("facilitator", "batch_lists")]
)
def test_a_tick_waits_for_runs_of_both_processors(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch, party: str, asset: str
) -> None:
    run = start_run(discovered, "another|2023-05-01-00:00", f"{party}/{asset}", party=party)
    ends: list[dg.DagsterRun] = []

    def sleep(seconds: float) -> None:
        ends.append(run)
        discovered.instance.report_run_canceled(run)

    monkeypatch.setattr(runs, "LONGEST_WAIT", 60.0)
    monkeypatch.setattr(runs, "sleep", sleep)
    discovered.tick("pha", "pha_runs")
    assert ends == [run]


def test_no_tick_waits_for_runs_that_nothing_of_the_processor_follows(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of other jobs, they are the last of a window, or they have not begun to start."""

    @dg.job
    def unrelated() -> None:
        pass

    discovered.instance.create_run_for_job(unrelated, status=dg.DagsterRunStatus.STARTED)
    start_run(discovered, "another|2023-05-01-00:00", "pha/sum_parts")
    start_run(discovered, "another|2023-05-01-00:00", "portal/instance/aggregates", party="portal")
    created = dg.DagsterRunStatus.NOT_STARTED
    start_run(discovered, "another|2023-05-01-00:00", "pha/own_validations", status=created)
    monkeypatch.setattr(runs, "LONGEST_WAIT", 60.0)
    monkeypatch.setattr(runs, "sleep", lambda _: pytest.fail("the tick waits"))
    assert requested(discovered) == [("pha/own_validations", PARTITION)]
    discovered.tick("portal", "portal_runs")


def test_active_runs_of_other_assets_or_partitions_hold_nothing_back(discovered: Daemon) -> None:
    start_run(discovered, PARTITION, "pha/sum_parts")
    start_run(discovered, PARTITION, "facilitator/own_validations", party="facilitator")
    start_run(discovered, "kittens-seen|2023-05-01-08:00", "pha/own_validations")
    assert requested(discovered) == [("pha/own_validations", PARTITION)]


def test_an_outage_is_tried_again_after_a_pause_for_ever(discovered: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = discovered.deployment.storage("facilitator/peer_validations")
    shutil.rmtree(bucket)
    keys = []
    now = datetime.now(UTC)
    monkeypatch.setattr("prio_assets.defs.runs.system_clock", lambda: now)
    # The first run computes the validation and cannot send it; that it is sent is another wish.
    (request,) = discovered.tick("pha", "pha_runs").requests
    assert not discovered.launch("pha", request).success
    for attempt in range(1, 4):
        (request,) = discovered.tick("pha", "pha_runs").requests
        keys.append(request.run_key)
        result = discovered.launch("pha", request)
        assert not result.success
        retries = [event for event in result.all_events if event.is_step_up_for_retry]
        assert len(retries) == 3
        now = datetime.now(UTC)
        assert requested(discovered) == []
        now += pause_after(attempt)
    assert len(set(keys)) == 3
    bucket.mkdir()
    (request,) = discovered.tick("pha", "pha_runs").requests
    assert discovered.launch("pha", request).success
    assert requested(discovered) == []


def test_without_state_batches_are_taken_in_and_the_sensor_says_why_nothing_else_is_done(daemon: Daemon) -> None:
    (daemon.deployment.storage("pha/state") / "state").unlink()
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    assert {asset for result in daemon.results for asset in result.dagster_run.asset_selection} == {
        dg.AssetKey([role, "own_validations"]) for role in ("pha", "facilitator")
    }
    assert "prio-assets state init" in daemon.tick("pha", "pha_runs").skip
    assert "prio-assets state init" in daemon.failed_findings()["pha/ingestion_batches storages_answer"]


def test_a_failure_in_one_aggregation_does_not_stop_the_others(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kittens-seen", "votes.v1"):
        ingest(daemon.deployment, name, at(1))

    def failing(processor: KeylessProcessor, aggregation: str, *times: datetime) -> Survey:
        if aggregation == "kittens-seen":
            raise StorageError("its folder cannot be read")
        return survey(processor, aggregation, *times)

    monkeypatch.setattr("prio_assets.defs.processor.look.survey", failing)
    daemon.tick("pha", "pha_discovery")
    assert requested(daemon) == [("pha/own_validations", "votes.v1|2023-05-01-00:00")]
    assert daemon.failed_findings()["pha/ingestion_batches storages_answer"] == (
        "kittens-seen: its folder cannot be read"
    )


def test_a_storage_that_is_gone_is_said_and_remembers_what_was_reported(discovered: Daemon) -> None:
    ingestion = discovered.deployment.storage("pha/ingestion")
    aside = ingestion.with_name("aside")
    ingestion.rename(aside)
    tick = discovered.tick("pha", "pha_runs")
    assert tick.requests == []
    assert "is not there" in tick.skip
    gone = discovered.tick("pha", "pha_discovery").events
    assert [event.check_name for event in gone] == ["storages_answer"]
    aside.rename(ingestion)
    back = discovered.tick("pha", "pha_discovery").events
    assert [(event.check_name, event.passed) for event in back] == [("storages_answer", True)]


def test_an_outage_turns_no_failed_check_green(daemon: Daemon) -> None:
    rejections, answers = "pha/ingestion_batches no_outstanding_rejections", "pha/ingestion_batches storages_answer"
    rejected = ingest(daemon.deployment, "kittens-seen", at(1), parameters=sample_parameters(5, 2.0))
    daemon.settle()
    assert daemon.failed_findings()[rejections].startswith(rejected.base)
    ingestion = daemon.deployment.storage("pha/ingestion")
    ingestion.rename(ingestion.with_name("aside"))
    assert daemon.failed_findings().keys() >= {rejections, answers}
    for _ in range(2):  # by the sensor, and by whoever executes them
        executed = execute_checks(daemon)
        assert {name for name, passed in executed.items() if not passed} == {
            "storages_answer",
            "no_outstanding_rejections",
        }
        assert daemon.tick("pha", "pha_discovery").events == []
        assert daemon.failed_findings()[rejections].startswith(rejected.base)
    ingestion.with_name("aside").rename(ingestion)
    assert answers not in daemon.failed_findings()
    assert rejections in daemon.failed_findings()


def test_a_check_first_executed_in_an_outage_does_not_pass(daemon: Daemon) -> None:
    daemon.deployment.storage("pha/ingestion").rename(daemon.deployment.storage("pha/aside"))
    assert not any(execute_checks(daemon).values())


def test_what_fails_is_said_though_another_aggregation_cannot_be_looked_at(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = ingest(daemon.deployment, "votes.v1", at(1), parameters=sample_parameters(8, 2.0))
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.round(["pha"])

    def failing(processor: KeylessProcessor, aggregation: str, *times: datetime) -> Survey:
        if aggregation == "kittens-seen":
            raise StorageError("its folder cannot be read")
        return survey(processor, aggregation, *times)

    monkeypatch.setattr("prio_assets.defs.processor.look.survey", failing)
    found = {event.check_name: event.passed for event in daemon.tick("pha", "pha_discovery").events}
    assert found == {"storages_answer": False, "no_outstanding_rejections": False}
    assert daemon.failed_findings()["pha/ingestion_batches no_outstanding_rejections"].startswith(rejected.base)


def test_names_that_cannot_be_used_are_findings(daemon: Daemon) -> None:
    for name in ("a|b", "unknown"):
        (daemon.deployment.storage("pha/ingestion") / name).mkdir()
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.tick("pha", "pha_discovery")
    found = daemon.failed_findings()["pha/ingestion_batches aggregations_usable"]
    assert found.startswith("'a|b': its name cannot be that of a partition")
    assert found.endswith("1 more")
    assert list(daemon.instance.get_dynamic_partitions("instance")) == ["kittens-seen"]


def test_a_silent_peer_is_a_finding_once_grace_is_over(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.now = at(8.9)
    daemon.round(["pha"])
    assert "pha/peer_validations peer_sends_validations" not in daemon.failed_findings()
    daemon.now = at(9)
    assert daemon.failed_findings()["pha/peer_validations peer_sends_validations"].startswith(
        "kittens-seen 2023-05-01 00:00: none of the other processor's validations of 1 batches is here"
    )
    daemon.settle()
    assert "pha/peer_validations peer_sends_validations" not in daemon.failed_findings()


def test_a_list_by_a_stranger_is_a_finding_and_holds_up_only_its_window(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    folder = daemon.deployment.storage("facilitator/peer_validations") / "batch-lists/kittens-seen"
    folder.mkdir(parents=True)
    (folder / "202305010000-202305010800.batches_0").write_bytes(b"garbage")
    daemon.round(["facilitator"])
    found = daemon.failed_findings()["facilitator/peer_batch_lists peer_lists_verify"]
    assert found.startswith("kittens-seen 2023-05-01 00:00: ")
    assert requested(daemon, "facilitator") == []


def test_batches_past_the_late_limit_are_expired(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    late = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.now = at(72)
    assert daemon.failed_findings()["pha/ingestion_batches no_expired_batches"].startswith(late.base)


def test_a_batch_that_nobody_validated_in_time_is_expired(daemon: Daemon) -> None:
    batch = ingest(daemon.deployment, "kittens-seen", at(1), only="pha")
    daemon.now = at(7 * 24 + 12)
    daemon.tick("pha", "pha_discovery")
    assert requested(daemon) == []
    assert daemon.failed_findings()["pha/ingestion_batches no_expired_batches"].startswith(
        f"{batch.base}: it is older than the intake max age"
    )


def test_a_batch_whose_window_was_never_decided_is_expired_and_not_before(daemon: Daemon) -> None:
    expired = "pha/ingestion_batches no_expired_batches"
    batch = ingest(daemon.deployment, "kittens-seen", at(1), only="pha")
    daemon.settle()
    assert daemon.settle() == 0
    daemon.now = at(7 * 24 + 7.9)
    assert expired not in daemon.failed_findings()
    daemon.now = at(7 * 24 + 8)
    assert daemon.failed_findings()[expired].startswith(f"{batch.base}: its window was not decided")
    (daemon.deployment.storage("pha/state") / "state").unlink()  # what was decided is not known now
    daemon.cursors.clear()
    events = daemon.tick("pha", "pha_discovery").events
    checks = [event.check_name for event in events if isinstance(event, dg.AssetCheckEvaluation)]
    assert "storages_answer" in checks
    assert "no_expired_batches" not in checks


def test_what_is_older_than_the_state_is_not_called_expired(daemon: Daemon) -> None:
    """Another state may have summed it."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    for role in ("pha", "facilitator"):
        shutil.rmtree(daemon.deployment.storage(f"{role}/state"))
        daemon.deployment.storage(f"{role}/state").mkdir()
        initialise_state(daemon.deployment.processor(role, daemon.now), at(8))
    daemon.now = at(7 * 24 + 8)
    assert "pha/ingestion_batches no_expired_batches" not in daemon.failed_findings()


def test_one_part_without_the_other_is_a_finding_after_the_grace(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    for _ in range(4):
        daemon.round(["pha", "facilitator"])
    shutil.rmtree(daemon.deployment.storage("portal/facilitator"))
    daemon.deployment.storage("portal/facilitator").mkdir()
    daemon.now = datetime.now(UTC)
    lonely = "portal/instance/pha_sum_parts both_parts_arrive"
    daemon.now = at(9.5) + timedelta(days=20)
    daemon.tick("portal", "portal_runs")
    assert lonely not in daemon.failed_findings()
    # The part was reported just now by the machine's clock, which is ahead of the portal's.
    monkeypatch.setattr("prio_assets.defs.portal.findings.datetime", _Reported(daemon.now - timedelta(hours=1)))
    assert daemon.failed_findings()[lonely].endswith("the facilitator's sum part has not come")
    daemon.deployment.storage("portal/pha").rename(daemon.deployment.storage("portal/aside"))
    assert daemon.failed_findings()[lonely].endswith("the facilitator's sum part has not come")
    assert not list(daemon.deployment.storage("portal/statistics").rglob("*.json"))


class _Reported:
    """Stands for `datetime` where the time of a report is read."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def fromtimestamp(self, *_: object) -> datetime:
        return self.moment


def test_parts_that_disagree_publish_nothing_and_are_not_tried_again(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    ingest(daemon.deployment, "votes.v1", at(1))
    for _ in range(4):
        daemon.round(["pha", "facilitator"])
    folder = daemon.deployment.storage("portal/pha/instance")
    for path in folder.glob("votes.v1/*"):
        shutil.copy(path, folder / "kittens-seen" / path.name)
    daemon.settle()
    metadata = daemon.latest("portal/instance/aggregates", PARTITION)
    assert metadata["statistic"] == "none"
    assert metadata["refused because"].startswith("a sum part cannot be used: name_differs")
    published = [path.parent.name for path in daemon.deployment.storage("portal/statistics").rglob("*.json")]
    assert published == ["votes.v1"]
    assert daemon.settle() == 0


def test_a_thousand_waiting_batches_are_one_request_in_a_tick_below_ten_seconds(daemon: Daemon) -> None:
    template = ingest(daemon.deployment, "kittens-seen", at(1))
    root = daemon.deployment.storage("pha/ingestion")
    for number in range(1, 1000):
        copy = BatchName("kittens-seen", at(1) + timedelta(minutes=number % 400), UUID(int=number))
        for source, target in zip(ingestion_objects(template), ingestion_objects(copy), strict=True):
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            Path(root / target).hardlink_to(root / source)
    began = monotonic()
    tick = daemon.tick("pha", "pha_discovery")
    assert requested(daemon) == [("pha/own_validations", PARTITION)]
    assert monotonic() - began < 10
    assert tick.events[1].metadata["batches"].value == 1000


def execute_checks(daemon: Daemon) -> dict[str, bool]:
    """Execute the PHA's unpartitioned checks, as the UI does; which of them pass."""
    job = daemon.definitions("pha").resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection=unpartitioned(daemon)).execute_in_process(
        instance=daemon.instance
    )
    assert result.success
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def unpartitioned(daemon: Daemon) -> set[dg.AssetCheckKey]:
    external = ("ingestion_batches", "peer_validations", "peer_batch_lists")
    keys = daemon.definitions("pha").resolve_asset_graph().asset_check_keys
    return {key for key in keys if key.asset_key.path[-1] in external}


def test_the_unpartitioned_checks_can_be_executed(discovered: Daemon) -> None:
    assert execute_checks(discovered) == {key.name: True for key in unpartitioned(discovered)}
