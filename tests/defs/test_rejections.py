"""A batch that is not used: what its partition's metadata and checks tell, and what an operator can do about it."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from prio_assets.processor.operator_decisions import try_again
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.records import BatchSignature, encode
from tests.defs.daemon import Daemon
from tests.defs.deployments import ingest, statistic, true_counts

PARTITION = "kittens-seen|2023-05-01-00:00"
WINDOW = "202305010000-202305010800"


def at(hour: int) -> datetime:
    return datetime(2023, 5, 1, hour, tzinfo=UTC)


def forge_signature(daemon: Daemon, batch: BatchName, role: str) -> None:
    """Replace the signature by that of another batch of the same ingestor."""
    other = ingest(daemon.deployment, "votes.v1", at(20), only=role)
    folder = daemon.deployment.storage(f"{role}/ingestion")
    forged = (folder / ingestion_objects(other).signature).read_bytes()
    (folder / ingestion_objects(batch).signature).write_bytes(forged)


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(found for found in result.get_asset_check_evaluations() if found.check_name == name)


@pytest.fixture
def rejected(daemon: Daemon) -> BatchName:
    """The PHA's copy of one of two batches bears a forged signature."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    batch = ingest(daemon.deployment, "kittens-seen", at(2))
    forge_signature(daemon, batch, "pha")
    return batch


def test_the_partition_names_the_rejected_batch_and_its_reason(daemon: Daemon, rejected: BatchName) -> None:
    daemon.settle()
    metadata = daemon.latest("pha/own_validations", PARTITION)
    assert (metadata["batches"], metadata["batches accepted"], metadata["batches rejected"]) == (2, 1, 1)
    first = metadata["table of batches"][0]
    assert (first["batch"], first["state"]) == (str(rejected.uuid), "rejected")
    assert first["reason"] == "signature_invalid"
    assert f"{rejected.base}.batch" in first["details"]
    assert "batches_accepted: 1 of 2 batches, the first" in metadata["what the checks found"]


def test_checks_fail_without_blocking_the_window(daemon: Daemon, rejected: BatchName) -> None:
    daemon.settle()
    run = next(result for result in daemon.results if dg.AssetKey(["pha", "own_validations"]) in selection(result))
    assert run.success
    found = check(run, "batches_accepted")
    assert not found.passed
    assert found.partition == PARTITION
    assert str(rejected.uuid) in found.description
    outstanding = daemon.failed_findings()["pha/ingestion_batches no_outstanding_rejections"]
    assert outstanding.startswith(f"{rejected.base}: signature_invalid")
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["clients"] == 3


def selection(result: dg.ExecuteInProcessResult) -> frozenset[dg.AssetKey]:
    return result.dagster_run.asset_selection or frozenset()


def test_a_rejection_is_not_tried_again(daemon: Daemon, rejected: BatchName) -> None:
    daemon.settle()
    validations = [each for each in daemon.results if dg.AssetKey(["pha", "own_validations"]) in selection(each)]
    assert len(validations) == 1
    assert daemon.settle() == 0


def test_an_operator_has_a_rejected_batch_tried_again(daemon: Daemon, rejected: BatchName) -> None:
    daemon.tick("pha", "pha_discovery")
    assert daemon.materialize("pha", PARTITION, "own_validations").success
    repair_signature(daemon, rejected)
    config = overrides(clear=[str(rejected.uuid)])
    result = daemon.materialize("pha", PARTITION, "own_validations", run_config=config)
    assert result.success
    metadata = daemon.latest("pha/own_validations", PARTITION)
    assert metadata["batches accepted"] == 2
    assert metadata["operator's overrides"] == {"clear": [str(rejected.uuid)]}
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["clients"] == 6


def repair_signature(daemon: Daemon, batch: BatchName) -> None:
    """Put the signature back that the ingestor made."""
    folder = daemon.deployment.storage("pha/ingestion")
    names = ingestion_objects(batch)
    key = daemon.deployment.configuration.ingestor.signing_key.load()
    header = (folder / names.header).read_bytes()
    (folder / names.signature).write_bytes(encode(BatchSignature(key.sign(header), key.identifier)))


def overrides(**decisions: list[str]) -> dict[str, Any]:
    return {"ops": {"pha__own_validations": {"config": decisions}}}


def test_a_cleared_rejection_is_found_by_the_sensor(daemon: Daemon) -> None:
    """The batch is the only one of its window: all that is wanted now was wanted, and done, before."""
    rejected = ingest(daemon.deployment, "kittens-seen", at(2))
    forge_signature(daemon, rejected, "pha")
    daemon.tick("pha", "pha_discovery")
    for request in daemon.tick("pha", "pha_runs").requests:
        assert daemon.launch("pha", request).success
    assert daemon.tick("pha", "pha_runs").requests == []
    repair_signature(daemon, rejected)
    try_again(daemon.deployment.processor("pha", daemon.now).own, rejected, "someone", "repaired", daemon.now)
    assert [request.partition_key for request in daemon.tick("pha", "pha_runs").requests] == [PARTITION]
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["clients"] == 3


def test_an_operator_leaves_a_batch_out(daemon: Daemon) -> None:
    kept = ingest(daemon.deployment, "kittens-seen", at(1))
    left_out = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.tick("pha", "pha_discovery")
    config = overrides(leave_out=[str(left_out.uuid)])
    assert daemon.materialize("pha", PARTITION, "own_validations", run_config=config).success
    daemon.settle()
    assert statistic(daemon.deployment, "kittens-seen", WINDOW)["sum"] == true_counts(daemon.deployment, kept)


@pytest.mark.parametrize("text", ["no uuid", "00000000-0000-4000-8000-000000000000"])
def test_an_override_of_a_batch_that_is_not_there_is_refused(daemon: Daemon, text: str) -> None:
    ingest(daemon.deployment, "kittens-seen", at(1))
    daemon.tick("pha", "pha_discovery")
    result = daemon.materialize("pha", PARTITION, "own_validations", run_config=overrides(leave_out=[text]))
    assert not result.success
    assert f"{text} is no batch of this window" in failure_text(result)


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return " ".join(failure.user_failure_data.description for failure in failures if failure.user_failure_data)


@pytest.fixture
def undecryptable(daemon: Daemon, keys: dict[str, Any]) -> BatchName:
    """A batch whose shares are encrypted to the other processor's key, beside a sound one."""
    ingest(daemon.deployment, "kittens-seen", at(1))
    text = daemon.deployment.path.read_text()
    keys_of = keys["packet_decryption"]
    swapped = text.replace(f"pha_packet_key: {keys_of['pha'][0]}", f"pha_packet_key: {keys_of['facilitator'][0]}")
    assert swapped != text
    daemon.deployment.path.write_text(swapped)
    batch = ingest(daemon.deployment, "kittens-seen", at(2))
    daemon.deployment.path.write_text(text)
    return batch


def test_a_batch_that_cannot_be_decrypted_fails_the_run_but_not_the_other_batch(
    daemon: Daemon, undecryptable: BatchName
) -> None:
    daemon.tick("pha", "pha_discovery")
    (request,) = daemon.tick("pha", "pha_runs").requests
    result = daemon.launch("pha", request)
    assert not result.success
    assert f"1 of 2 batches failed, the others are done; {undecryptable.uuid}" in failure_text(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert not check(result, "batches_accepted").passed
    sent = daemon.deployment.storage("facilitator/peer_validations")
    assert len(list(sent.rglob("*.sig"))) == 1
    (request,) = daemon.tick("pha", "pha_runs").requests  # what is left is another wish
    assert not daemon.launch("pha", request).success
    assert daemon.tick("pha", "pha_runs").requests == []


def test_an_operator_accepts_that_undecryptable_packets_are_lost(daemon: Daemon, undecryptable: BatchName) -> None:
    daemon.tick("pha", "pha_discovery")
    config = overrides(accept_undecryptable=[str(undecryptable.uuid)])
    result = daemon.materialize("pha", PARTITION, "own_validations", run_config=config)
    # Of this batch nothing decrypts: what is accepted is that it holds no usable packet, which is a rejection.
    assert result.success
    metadata = daemon.latest("pha/own_validations", PARTITION)
    assert metadata["table of batches"][0]["reason"] == "no_accepted_packets"
