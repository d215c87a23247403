"""What runs of `own_validations` record and report, whatever cuts them or comes while they are at work."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import dagster as dg
import pytest

from prio_assets.defs.processor.look import Look, look_at
from prio_assets.defs.processor.validations import groups_of_batches
from prio_assets.errors import StorageError
from prio_assets.prio.choice import Choice, choose_engine
from prio_assets.prio.plain import PlainEngine
from prio_assets.processor.processor import KeylessProcessor, ShareProcessor
from prio_assets.processor.survey import Survey, survey
from prio_assets.processor.validation import BatchOutcome, validate_batches
from prio_assets.wire.names import BatchName
from tests.defs.daemon import Daemon
from tests.defs.deployments import ingest
from tests.defs.test_sensors import start_run

PARTITION = "kittens-seen|2023-05-01-00:00"
MODULE = "prio_assets.defs.processor.validations"
REPORT = "prio_assets.defs.processor.validation_report"


def at(hour: float) -> datetime:
    return datetime(2023, 5, 1, tzinfo=UTC) + timedelta(hours=hour)


def launch_requested(daemon: Daemon) -> dg.ExecuteInProcessResult:
    """The one run that the PHA's sensor requests."""
    (request,) = daemon.tick("pha", "pha_runs").requests
    return daemon.launch("pha", request)


@pytest.fixture
def discovered(daemon: Daemon) -> Daemon:
    """One batch of one window is there, and its aggregation is a partition."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.tick("pha", "pha_discovery")
    return daemon


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[list[BatchName]]:
    """The groups of batches that runs handle."""
    groups: list[list[BatchName]] = []

    def spy(processor: ShareProcessor, batches: Sequence[BatchName]) -> Iterator[BatchOutcome]:
        groups.append(list(batches))
        return validate_batches(processor, batches)

    monkeypatch.setattr(f"{MODULE}.validate_batches", spy)
    return groups


def test_a_group_takes_batches_until_it_is_worth_a_step(
    discovered: Daemon, handled: list[list[BatchName]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small batch is joined by the next, a large one is not: groups end once they have the bytes, never before."""
    for hour, clients in ((2, 40), (3, 3), (4, 3)):
        ingest(discovered.deployment, "kittens-seen", at(hour), clients=clients)
    monkeypatch.setattr(f"{MODULE}.GROUP_BYTES", (5000, 1))
    assert launch_requested(discovered).success
    assert [[batch.time for batch in group] for group in handled] == [[at(1), at(2)], [at(3), at(4)]]


@pytest.mark.parametrize(("party", "mebibytes"), [("pha", 512), ("facilitator", 64)])
def test_a_group_of_the_second_server_has_fewer_bytes(discovered: Daemon, party: str, mebibytes: int) -> None:
    """Its packets are shorter, and as much work each."""
    settings = discovered.deployment.configuration.processors[party]
    batches = [BatchName("kittens-seen", at(hour), UUID(int=hour)) for hour in range(4)]
    sizes = ((mebibytes << 20) - 1, 1, mebibytes << 20, 1)
    empty = survey(discovered.deployment.processor(party, at(9)), "kittens-seen", at(0), at(8))
    found = replace(empty, ingested=dict(zip(batches, sizes, strict=True)))
    assert groups_of_batches(found, settings, ()) == [batches[:2], batches[2:3], batches[3:]]


def test_the_engine_that_is_chosen_here_is_named(discovered: Daemon) -> None:
    assert launch_requested(discovered).success
    assert discovered.latest("pha/own_validations", PARTITION)["engine"] == choose_engine().engine.name


def test_a_batch_that_comes_while_a_run_is_at_work_is_left_to_the_next(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(processor: ShareProcessor, batches: Sequence[BatchName]) -> Iterator[BatchOutcome]:
        yield from validate_batches(processor, batches)
        ingest(discovered.deployment, "kittens-seen", at(2))

    with monkeypatch.context() as patched:
        patched.setattr(f"{MODULE}.validate_batches", slow)
        result = launch_requested(discovered)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    metadata = discovered.latest("pha/own_validations", PARTITION)
    assert [row["state"] for row in metadata["table of batches"]] == ["sent", "new, for the next run"]
    assert (metadata["batches accepted"], metadata["batches waiting"], metadata["batches failed"]) == (1, 1, 0)
    assert launch_requested(discovered).success
    assert discovered.latest("pha/own_validations", PARTITION)["batches accepted"] == 2


@pytest.mark.parametrize(("step", "failing"), [("find_batches", 1), ("report_validations", 2)])
def test_one_blip_of_a_storage_is_tried_again_in_every_step(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch, step: str, failing: int
) -> None:
    calls = 0

    def flaky(processor: KeylessProcessor, aggregation: str, *times: datetime) -> Survey:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise StorageError("one blip")
        return survey(processor, aggregation, *times)

    monkeypatch.setattr(f"{MODULE}.survey", flaky)
    result = launch_requested(discovered)
    assert result.success
    retried = [event.step_key for event in result.all_events if event.is_step_up_for_retry]
    assert retried == [f"pha__own_validations.{step}"]


def test_what_was_sent_is_reported_though_its_run_did_not_come_to_it(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch, handled: list[list[BatchName]]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(f"{MODULE}.check_results", lambda *_: 1 / 0)
        assert not launch_requested(discovered).success
    assert launch_requested(discovered).success
    assert discovered.latest("pha/own_validations", PARTITION)["packets received"] == 3
    assert [len(group) for group in handled] == [1]
    assert discovered.tick("pha", "pha_runs").requests == []


def test_the_engine_is_named_and_why_it_is_no_faster_one(discovered: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(f"{REPORT}.choose_engine", lambda: Choice(PlainEngine(), ("no numba", "no library")))
        patched.setattr(f"{MODULE}.check_results", lambda *_: 1 / 0)
        cut = launch_requested(discovered)
    (output,) = [event for event in cut.all_events if event.is_successful_output and "validate_group" in event.step_key]
    told = {name: value.value for name, value in output.event_specific_data.metadata.items()}
    assert told == {"engine": "plain", "no faster engine because": "no numba; no library"}
    assert launch_requested(discovered).success
    assert discovered.latest("pha/own_validations", PARTITION)["engine"] == "plain"


def test_a_worker_that_was_killed_before_it_recorded_its_group_is_made_up_for(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch, handled: list[list[BatchName]]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(f"{MODULE}.record_of_group", lambda *_: 1 / 0)
        assert not launch_requested(discovered).success
    assert launch_requested(discovered).success
    metadata = discovered.latest("pha/own_validations", PARTITION)
    assert (metadata["batches accepted"], metadata["packets accepted"]) == (1, 3)
    assert [len(group) for group in handled] == [1, 1]
    assert discovered.tick("pha", "pha_runs").requests == []


def test_an_outage_of_the_peer_s_bucket_records_each_batch_once(discovered: Daemon) -> None:
    bucket = discovered.deployment.storage("facilitator/peer_validations")
    bucket.rename(bucket.with_name("away"))
    for hour in (2, 3):
        assert not launch_requested(discovered).success
        ingest(discovered.deployment, "kittens-seen", at(hour))
    bucket.with_name("away").rename(bucket)
    assert launch_requested(discovered).success
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(["pha", "own_validations"]))
    observations = discovered.instance.fetch_observations(wanted, limit=100, ascending=True).records
    assert [record.asset_observation.metadata["batches"].value for record in observations] == [1, 1, 3]
    assert discovered.latest("pha/own_validations", PARTITION)["packets received"] == 9


def test_what_a_run_reports_while_a_sensor_looks_is_not_asked_for_again(
    discovered: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch_requested(discovered).success
    run = start_run(discovered, PARTITION, "pha/own_validations")

    def slow(processor: KeylessProcessor) -> Look:
        look = look_at(processor)
        ingest(discovered.deployment, "kittens-seen", at(2))
        assert discovered.materialize("pha", PARTITION, "own_validations").success
        discovered.instance.report_run_canceled(run)
        return look

    with monkeypatch.context() as patched:
        patched.setattr("prio_assets.defs.processor.sensors.look_at", slow)
        assert discovered.tick("pha", "pha_runs").requests == []
    assert discovered.tick("pha", "pha_runs").requests == []


def test_a_window_of_more_batches_than_a_table_shows_is_recorded_whole(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, handled: list[list[BatchName]]
) -> None:
    monkeypatch.setattr("prio_assets.defs.tables.MOST_ROWS", 2)
    monkeypatch.setattr("prio_assets.defs.processor.batch_record.PAGE", 1)
    for hour in (1, 2, 3, 4):
        ingest(daemon.deployment, "kittens-seen", at(hour))
    daemon.tick("pha", "pha_discovery")
    assert launch_requested(daemon).success
    for hour in (5, 6):
        ingest(daemon.deployment, "kittens-seen", at(hour))
        assert launch_requested(daemon).success
    assert [len(group) for group in handled] == [4, 1, 1]
    metadata = daemon.latest("pha/own_validations", PARTITION)
    assert (metadata["batches"], metadata["packets received"], len(metadata["table of batches"])) == (6, 18, 2)


def test_a_run_that_no_sensor_requested_handles_what_was_sent_again(
    discovered: Daemon, handled: list[list[BatchName]]
) -> None:
    for _ in range(2):
        assert discovered.materialize("pha", PARTITION, "own_validations").success
    assert [len(group) for group in handled] == [1, 1]
    metadata = discovered.latest("pha/own_validations", PARTITION)
    assert (metadata["packets received"], metadata["packets accepted"]) == (3, 3)


def test_counts_of_a_run_that_could_not_send_are_kept(daemon: Daemon) -> None:
    """Three of forty clients' packets cannot be read, which is more than `rejected_packets_limit`."""
    ingest(daemon.deployment, "kittens-seen", at(1), clients=40, lost=3)
    daemon.tick("pha", "pha_discovery")
    bucket = daemon.deployment.storage("facilitator/peer_validations")
    bucket.rename(bucket.with_name("aside"))
    runs = [launch_requested(daemon)]
    bucket.with_name("aside").rename(bucket)
    runs.append(launch_requested(daemon))
    assert [run.success for run in runs] == [False, True]
    for run in runs:
        checks = {check.check_name: check for check in run.get_asset_check_evaluations()}
        assert checks["packets_accepted"].description.startswith("3 of 40 packets rejected (7.5%, limit 5.0%)")
        assert not checks["packets_accepted"].passed
    metadata = daemon.latest("pha/own_validations", PARTITION)
    assert metadata["packets rejected by reason"] == "undecryptable 3"
    assert (metadata["packets received"], metadata["packets accepted"]) == (40, 37)


def test_copies_that_the_peer_has_lost_are_sent_again_by_a_run_by_hand(discovered: Daemon) -> None:
    assert launch_requested(discovered).success
    bucket = discovered.deployment.storage("facilitator/peer_validations")
    sent = {path: path.read_bytes() for path in bucket.rglob("*") if path.is_file()}
    for path in sent:
        path.unlink()
    assert discovered.tick("pha", "pha_runs").requests == []
    assert discovered.materialize("pha", PARTITION, "own_validations").success
    assert {path: path.read_bytes() for path in bucket.rglob("*") if path.is_file()} == sent
    assert sent
