"""A real daemon with real sensors, runs in processes of their own, and what happens to them on a bad day.

All situations are aggregations of one instance, so that they share its start and go on side by side.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import dagster as dg
import pytest

from prio_assets.prio.choice import choose_engine
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.operator_decisions import leave_out
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire.keys import generate_signing_key_text, parse_signing_key
from prio_assets.wire.names import BatchName, batch_list, ingestion_objects
from prio_assets.wire.packets import digest
from prio_assets.wire.records import BatchList, BatchSignature, IngestionHeader, decode, encode
from prio_assets.wire.sealed import seal_record
from prio_assets.wire.windows import Window, to_ms
from tests.defs.deployments import ROLES, Deployment, full_deployment, ingest, true_counts
from tests.instance.live import LiveInstance, Record, wait_for

PERIOD = timedelta(hours=1)
LATE = 6 * PERIOD
NAMES = ("mixed", "late", "stranger", "thousand", "ranged")
BINS = 3

BACKFILL = """
mutation LaunchPartitionBackfill($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.fixture
def window() -> Window:
    """The last hour that is over."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - PERIOD
    return Window(start, start + PERIOD)


@pytest.fixture
def grace(window: Window) -> str:
    """One that is over for the window, and not within half an hour for the next: that would take held-up batches."""
    return "30m" if datetime.now(UTC) - window.end >= timedelta(minutes=30) else "1s"


@pytest.fixture
def deployment(tmp_path: Path, keys: dict[str, Any], window: Window, grace: str) -> Deployment:
    return full_deployment(
        tmp_path,
        keys,
        period="1h",
        grace=grace,
        patience="30s",
        first_window=f"{window.start - LATE:%Y-%m-%dT%H:%MZ}",
        late_limit="12h",
        aggregations={name: {"bins": BINS, "epsilon": 1.0} for name in NAMES},
    )


@pytest.fixture
def live(deployment: Deployment, tmp_path: Path) -> Iterator[LiveInstance]:
    live = LiveInstance(tmp_path / "instance", deployment.path)
    yield live
    live.kill()


@pytest.fixture
def record(live: LiveInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    monkeypatch.setenv("DAGSTER_HOME", str(live.home))
    with dg.DagsterInstance.get() as instance:
        yield Record(instance)


def forge_signature(deployment: Deployment, batch: BatchName, role: str) -> None:
    """Replace a batch's signature by one of a key that nobody knows."""
    folder, names = deployment.storage(f"{role}/ingestion"), ingestion_objects(batch)
    identifier = deployment.configuration.ingestor.signing_key.identifier
    stranger = parse_signing_key(identifier, generate_signing_key_text())
    header = (folder / names.header).read_bytes()
    (folder / names.signature).write_bytes(encode(BatchSignature(stranger.sign(header), identifier)))


def multiply(deployment: Deployment, batch: BatchName, count: int, role: str) -> None:
    """The same packets in `count` batches altogether, each with a header and a signature of its own."""
    folder, names = deployment.storage(f"{role}/ingestion"), ingestion_objects(batch)
    key = deployment.configuration.ingestor.signing_key.load()
    header = decode(IngestionHeader, (folder / names.header).read_bytes(), names.header)
    for number in range(1, count):
        copy = BatchName(batch.aggregation, batch.time, UUID(int=number))
        objects = ingestion_objects(copy)
        data = encode(replace(header, batch_uuid=copy.uuid))
        (folder / objects.packets).hardlink_to(folder / names.packets)
        (folder / objects.header).write_bytes(data)
        (folder / objects.signature).write_bytes(encode(BatchSignature(key.sign(data), key.identifier)))


def decide(deployment: Deployment, batch: BatchName, window: Window, *, counted: bool) -> None:
    """Both processors decide the window over the batch, or close it since the facilitator has left the batch out."""
    now = datetime.now(UTC)
    pha, facilitator = (deployment.processor(role, now) for role in ROLES)
    for processor in (pha, facilitator):
        assert [outcome.state for outcome in validate_batches(processor, [batch])] == ["sent"]
    make_own_list(pha, batch.aggregation, window, None)
    if not counted:
        leave_out(facilitator.own, batch, "an operator", "asked to", now)
    make_own_list(facilitator, batch.aggregation, window, None)
    for processor in (pha, facilitator):
        assert (sum_window(processor, batch.aggregation, window, Override()).header is not None) == counted


def proposal_of_a_stranger(deployment: Deployment, aggregation: str, window: Window) -> Path:
    """A list in the facilitator's bucket, under the name of the PHA's, that is not the PHA's."""
    parameters = deployment.configuration.processors["pha"].expected_parameters(aggregation)
    proposal = BatchList(
        instance_name="instance",
        name=aggregation,
        server_index=0,
        aggregation_start_time=to_ms(window.start),
        aggregation_end_time=to_ms(window.end),
        bins=parameters.bins,
        epsilon=parameters.epsilon,
        prime=parameters.prime,
        number_of_servers=parameters.number_of_servers,
        hamming_weight=parameters.hamming_weight,
        minimum_clients=1,
        batches=(),
    )
    path = deployment.storage("facilitator/peer_validations") / batch_list(aggregation, window, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(seal_record(proposal, parse_signing_key("stranger", generate_signing_key_text())))
    return path


def published(deployment: Deployment, aggregation: str, window: Window) -> dict[str, Any] | None:
    """The portal's statistic of a window, once it is there."""
    folder = deployment.storage("portal/statistics/instance") / aggregation
    paths = list(folder.glob(f"{window.start:%Y%m%d%H%M}-*.json"))
    return json.loads(paths[0].read_text()) if paths else None


def statistics_after(deployment: Deployment, aggregation: str, window: Window) -> list[dict[str, Any]]:
    """The portal's statistics of later windows."""
    folder = deployment.storage("portal/statistics/instance") / aggregation
    own = f"{window.start:%Y%m%d%H%M}-"
    return [json.loads(path.read_text()) for path in folder.glob("*.json") if not path.name.startswith(own)]


def snapshot(deployment: Deployment, aggregation: str) -> dict[str, bytes]:
    """What left of an aggregation: validations, lists and sum parts."""
    folders = ("pha/peer_validations", "facilitator/peer_validations", "portal")
    return {
        str(path): digest(path.read_bytes())
        for folder in folders
        for path in deployment.storage(folder).rglob("*")
        if path.is_file() and aggregation in path.parts
    }


def test_a_real_instance_on_a_bad_day(  # noqa: PLR0915 (a story: each part begins where the one before ends)
    live: LiveInstance, record: Record, deployment: Deployment, window: Window
) -> None:
    before = Window(window.start - LATE, window.end - LATE)
    undecided, summed = (Window(window.start - ago * PERIOD, window.end - ago * PERIOD) for ago in (2, 1))
    decide(deployment, ingest(deployment, "ranged", summed.start), summed, counted=True)
    decide(deployment, ingest(deployment, "ranged", window.start), window, counted=False)
    sound = ingest(deployment, "mixed", window.start, clients=4)
    forged = ingest(deployment, "mixed", window.start)
    forge_signature(deployment, forged, "pha")
    ingest(deployment, "mixed", window.start, only="pha")
    in_time = ingest(deployment, "late", before.start)
    held_up = ingest(deployment, "stranger", window.start)
    multiply(deployment, ingest(deployment, "thousand", window.start, clients=1, only="pha"), 1000, "pha")
    strange = proposal_of_a_stranger(deployment, "stranger", window)
    (deployment.storage("portal/pha") / "instance").mkdir(exist_ok=True)
    outage = deployment.storage("portal/pha") / "instance/mixed"
    outage.write_text("a file, where there should be a folder")
    live.order(r"pha/own_validations/prio-assets/validations/late/")
    live.order(r"pha/own_validations/prio-assets/receipts/late/")
    live.order(r"pha/state/instance/late/.*\.sum_0\.sig$")
    live.order(r"facilitator/peer_validations/stranger/.*\.sig$")
    live.order(r"pha/state/ledger/stranger/")

    # Everything is killed while the run over a thousand batches is at work, and is started again.
    live.start()
    thousand = partition("thousand", window)
    wait_for("the run of a thousand", lambda: _started(record.runs("pha/own_validations", thousand)))
    live.kill()
    terminate_what_was_killed(record)
    restart = time.time()
    live.start()

    # A stranger's list holds its window up until the bucket's owner deletes it. Then the peer's list comes, much later.
    held = partition("stranger", window)
    wait_for("a proposal that fails", lambda: _failed(record.runs("pha/batch_lists", held)))
    wait_for("the finding", lambda: _fails(record.check("facilitator/peer_batch_lists", "peer_lists_verify")))
    assert published(deployment, "stranger", window) is None
    strange.unlink()

    # A run that was killed after its own copy, after its receipt, after its sum is done again, and the sum is exact.
    found = wait_for("the sum of late", lambda: published(deployment, "late", before))
    assert found["sum"] == true_counts(deployment, in_time)
    assert len(record.runs("pha/own_validations", partition("late", before))) >= 2  # one was under way at the kill
    assert len(record.runs("pha/sum_parts", partition("late", before))) == 2

    # A batch that comes after its window was summed goes into a later one; a backfill of the summed one sends nothing,
    # nor does one of a range of windows: of own validations and sum parts together, and of own validations alone.
    sent = snapshot(deployment, "late") | snapshot(deployment, "ranged")
    late = ingest(deployment, "late", before.start, clients=5)
    ranged = [partition("ranged", each) for each in (undecided, summed, window)]
    together = launch_backfill(live, ["own_validations", "sum_parts"], [partition("late", before), *ranged])
    alone = launch_backfill(live, ["own_validations"], ranged)

    # The portal's storage fails, and comes back: the same work is requested again until it is done.
    mixed = partition("mixed", window)
    wait_for("two failures", lambda: len(_failed(record.runs("pha/sum_parts", mixed))) >= 2)
    outage.unlink()
    found = wait_for("the sum of mixed", lambda: published(deployment, "mixed", window))
    assert found["sum"] == true_counts(deployment, sound)

    # Its batch with a forged signature was rejected once, and the one that reached one side only is in no sum.
    rejection = record.check("pha/ingestion_batches", "no_outstanding_rejections")
    assert rejection.description.startswith(f"{forged.base}: signature_invalid")
    assert [run.status.value for run in record.runs("pha/own_validations", mixed)] == ["SUCCESS"]

    # The runs of the window that the stranger held up were killed after the peer's copy and after the ledger entry.
    found = wait_for("the sum of stranger", lambda: published(deployment, "stranger", window))
    assert found["sum"] == true_counts(deployment, held_up)
    assert not list(live.orders.iterdir())

    # A thousand batches are one run, beside the one that was killed, and ticks stay short.
    wait_for("the thousand", lambda: "batches" in record.metadata("pha/own_validations", thousand))
    assert record.metadata("pha/own_validations", thousand)["batches accepted"].value == 1000
    assert record.metadata("pha/own_validations", thousand)["engine"].value == choose_engine().engine.name
    assert len(record.runs("pha/own_validations", thousand)) == 2
    validated = wait_for("the run's end", lambda: record.ended(record.runs("pha/own_validations", thousand)[0]))
    for sensor in ("pha_runs", "pha_discovery"):
        ticks = record.ticks(sensor, restart, validated)
        # The first tick waits for all that starts at the same time.
        assert median(ticks[1:] or ticks) < 10

    # Which window that is, depends: one that is closed while the answer to an older proposal is awaited is not open.
    (carried,) = wait_for("the late batch", lambda: statistics_after(deployment, "late", before))
    assert carried["batch_ids"] == [str(late.uuid)]
    assert carried["sum"] == true_counts(deployment, late)

    # Windows of the range that are decided or closed are a success, the undecided one is a failure of its sum alone.
    statuses = dict.fromkeys(ranged, "SUCCESS")
    assert wait_for("the backfill alone", lambda: record.backfilled(alone)) == statuses
    statuses |= {partition("late", before): "SUCCESS", partition("ranged", undecided): "FAILURE"}
    assert wait_for("the backfill together", lambda: record.backfilled(together)) == statuses
    assert record.metadata("pha/sum_parts", partition("ranged", summed))["sum"].value == "written"
    assert record.metadata("pha/sum_parts", partition("ranged", window))["sum"].value == "none"
    now = snapshot(deployment, "late") | snapshot(deployment, "ranged")
    assert {name: now[name] for name in sent} == sent
    for run in record.instance.get_runs():
        assert "dagster/sensor_name" in run.tags or run.tags.get("dagster/backfill") in (together, alone)


def partition(aggregation: str, window: Window) -> str:
    return f"{aggregation}|{window.start:%Y-%m-%d-%H:%M}"


def terminate_what_was_killed(record: Record) -> None:
    """What an operator does: to Dagster, runs of killed processes are active until their largest runtime."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    for run in record.instance.get_runs(dg.RunsFilter(statuses=under_way)):
        record.instance.report_run_canceled(run, message="an operator terminates what was killed")


def _started(runs: list[dg.DagsterRun]) -> bool:
    return any(run.status == dg.DagsterRunStatus.STARTED for run in runs)


def _failed(runs: list[dg.DagsterRun]) -> list[dg.DagsterRun]:
    return [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]


def _fails(evaluation: dg.AssetCheckEvaluation | None) -> bool:
    return evaluation is not None and not evaluation.passed


def launch_backfill(live: LiveInstance, names: list[str], partitions: list[str]) -> str:
    """A backfill of assets of the PHA, by the mutation that the UI sends."""
    assets = [{"path": ["pha", name]} for name in names]
    variables = {"backfillParams": {"assetSelection": assets, "partitionNames": partitions, "title": "again"}}
    answer = live.graphql(BACKFILL, variables)["data"]["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return answer["backfillId"]
