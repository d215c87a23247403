"""Each check of a partition fails when it must, in the run that sees it first, and stops nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from prio_assets.errors import BatchReason
from prio_assets.ingestor.batches import sample_parameters
from prio_assets.wire.names import BatchName
from tests.defs.daemon import Daemon
from tests.defs.deployments import INTEROP, Case, Deployment, ingest, reference_case, statistic, true_counts
from tests.defs.test_interop import materialize

PARTITION = "kittens-seen|2023-05-01-00:00"
WINDOW = "202305010000-202305010800"
PAIRS = ("all_batches_ready", "parameters_agree", "peer_validations_hold")


def at(hour: float) -> datetime:
    return datetime(2023, 5, 1, tzinfo=UTC) + timedelta(hours=hour)


def evaluations(results: list[dg.ExecuteInProcessResult], asset: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The last evaluation of each check of the asset."""
    key = dg.AssetKey(asset.split("/"))
    found = [check for result in results for check in result.get_asset_check_evaluations()]
    return {check.check_name: check for check in found if check.asset_key == key}


def failed(daemon: Daemon, asset: str) -> set[str]:
    return {name for name, check in evaluations(daemon.results, asset).items() if not check.passed}


def garble_signature(daemon: Daemon, batch: BatchName, role: str) -> None:
    """Damage the validation of the batch that the other processor sent to this one."""
    (signature,) = daemon.deployment.storage(f"{role}/peer_validations").rglob(f"{batch.uuid}*.sig")
    signature.write_bytes(b"garbage")


@pytest.mark.parametrize(("lost", "passes"), [(1, True), (2, False)])
def test_more_rejected_packets_than_the_limit_fail_packets_accepted(daemon: Daemon, lost: int, passes: bool) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1), clients=10)
    ingest(daemon.deployment, "kittens-seen", at(2), clients=25, lost=lost)
    daemon.settle()
    check = evaluations(daemon.results, "pha/own_validations")["packets_accepted"]
    share = f"{lost / 35:.1%}"
    assert check.passed == passes
    assert check.partition == PARTITION
    assert check.description == (f"{lost} of 35 packets rejected ({share}, limit 5.0%): undecryptable {lost}")
    assert not failed(daemon, "facilitator/own_validations")
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["clients"] == 35 - lost


def test_nothing_fails_where_all_is_well(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.settle()
    for asset in ("own_validations", "batch_lists", "sum_parts"):
        for role in ("pha", "facilitator"):
            assert evaluations(daemon.results, f"{role}/{asset}")
            assert not failed(daemon, f"{role}/{asset}")
    assert evaluations(daemon.results, "portal/instance/aggregates")["sum_parts_agree"].passed


@pytest.mark.parametrize("role", ["pha", "facilitator"])
def test_a_peer_validation_that_came_damaged_after_ours_fails_its_check(daemon: Daemon, role: str) -> None:
    sound = ingest(daemon.deployment, "kittens-seen", at(1))
    damaged = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.now = at(3)
    daemon.settle()
    garble_signature(daemon, damaged, role)
    daemon.now = at(12)
    daemon.settle()
    check = evaluations(daemon.results, f"{role}/batch_lists")["peer_validations_hold"]
    assert not check.passed
    assert check.description.startswith(f"1 batches, the first {damaged.uuid}: signature_malformed")
    assert failed(daemon, f"{role}/batch_lists") == {"all_batches_ready", "peer_validations_hold"}
    assert str(damaged.uuid) in daemon.latest(f"{role}/batch_lists", PARTITION)["what the checks found"]
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["sum"] == true_counts(daemon.deployment, sound)


@pytest.mark.parametrize("role", ["pha", "facilitator"])
def test_a_later_run_sees_a_damaged_validation_too(daemon: Daemon, role: str) -> None:
    """A backfill, or the run after one that could store its list and not send it."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    damaged = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.now = at(3)
    daemon.settle()
    daemon.now = at(12)
    daemon.settle()
    garble_signature(daemon, damaged, role)
    result = daemon.materialize(role, PARTITION, "batch_lists")
    assert result.success
    checks = evaluations([result], f"{role}/batch_lists")
    assert {name for name, check in checks.items() if not check.passed} == {
        "all_batches_ready",
        "peer_validations_hold",
    }


def expect_epsilon(deployment: Deployment, role: str, epsilon: float) -> None:
    content = yaml.safe_load(deployment.path.read_text())
    expected = content["processors"][role]["aggregations"]["kittens-seen"] | {"epsilon": epsilon}
    content["processors"][role]["aggregations"] = {"kittens-seen": expected}
    deployment.path.write_text(yaml.safe_dump(content))


def test_a_peer_that_expects_other_parameters_fails_their_check(daemon: Daemon) -> None:
    batch = ingest(daemon.deployment, "kittens-seen", at(1), only="pha")
    ingest(
        daemon.deployment,
        "kittens-seen",
        at(1),
        only="facilitator",
        parameters=sample_parameters(5, 2.0),
        uuid=batch.uuid,
    )
    expect_epsilon(daemon.deployment, "facilitator", 2.0)
    daemon.settle()
    check = evaluations(daemon.results, "pha/batch_lists")["parameters_agree"]
    assert not check.passed
    assert check.description.startswith(f"1 batches, the first {batch.uuid}: parameters_differ: the peer's validation")
    assert failed(daemon, "pha/batch_lists") == {"all_batches_ready", "parameters_agree"}


def test_a_batch_at_one_side_is_not_ready_and_no_fault_of_the_peers(daemon: Daemon) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    lonely = ingest(daemon.deployment, "kittens-seen", at(2), only="pha")
    daemon.settle()
    daemon.now += timedelta(hours=1)
    daemon.settle()
    check = evaluations(daemon.results, "pha/batch_lists")["all_batches_ready"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert f"1 batches are not ready, the first {lonely.uuid}: object_missing" in check.description
    assert failed(daemon, "pha/batch_lists") == {"all_batches_ready"}


@pytest.fixture
def alone(tmp_path: Path) -> Case:
    """The PHA, whose peer is the reference."""
    return reference_case(INTEROP / "plain-8", tmp_path)


def test_toward_a_peer_without_lists_the_sum_checks_the_pairs(alone: Case, instance: dg.DagsterInstance) -> None:
    signature = next(alone.deployment.storage("pha/peer_validations").rglob("*.sig"))
    signature.write_bytes(b"garbage")
    result = materialize(alone, instance, "pha", "own_validations", "sum_parts")
    assert result.success
    checks = evaluations([result], "pha/sum_parts")
    assert {name for name, check in checks.items() if not check.passed} == {
        "all_batches_ready",
        "peer_validations_hold",
    }
    assert BatchReason.SIGNATURE_MALFORMED in checks["peer_validations_hold"].description
    assert set(checks) == set(PAIRS)
    again = materialize(alone, instance, "pha", "sum_parts")
    assert not evaluations([again], "pha/sum_parts")["peer_validations_hold"].passed


def test_sum_parts_that_do_not_belong_together_fail_their_check(daemon: Daemon) -> None:
    for name in ("kittens-seen", "votes.v1"):
        ingest(daemon.deployment, name, at(1))
    for _ in range(4):
        daemon.round(["pha", "facilitator"])
    folder = daemon.deployment.storage("portal/pha/instance")
    for path in folder.glob("votes.v1/*"):
        (folder / "kittens-seen" / path.name).write_bytes(path.read_bytes())
    daemon.settle()
    checks = [
        check
        for result in daemon.results
        for check in result.get_asset_check_evaluations()
        if check.check_name == "sum_parts_agree"
    ]
    assert {check.partition: check.passed for check in checks} == {
        PARTITION: False,
        PARTITION.replace("kittens-seen", "votes.v1"): True,
    }
