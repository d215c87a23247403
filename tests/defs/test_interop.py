"""The reference's cases through the graph: each role by itself, with the reference for its peer."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from prio_assets.prio import field
from prio_assets.prio.choice import choose_engine
from tests.cli import interop_case
from tests.defs.daemon import definitions_at
from tests.defs.deployments import INTEROP, ROLES, Case, parse_path_time, reference_case

CASES = sorted(path.name for path in INTEROP.iterdir() if path.is_dir())


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return reference_case(INTEROP / request.param, tmp_path)


def materialize(
    case: Case, instance: dg.DagsterInstance, role: str, *assets: str, now: datetime | None = None
) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(case.facts["instance"], [case.facts["aggregation"]])
    definitions = definitions_at(case.deployment, role, now or case.between_stop_and_deadline)
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        partition_key=case.partition,
        asset_selection=[dg.AssetKey([role, asset]) for asset in assets],
        raise_on_error=False,
    )


def stored(case: Case, *folders: str) -> dict[str, bytes]:
    """All objects of these storages."""
    return {
        str(path.relative_to(case.deployment.path.parent)): path.read_bytes()
        for folder in folders
        for path in sorted(case.deployment.storage(folder).rglob("*"))
        if path.is_file()
    }


def test_both_roles_recover_the_truth_and_send_what_the_reference_sends(
    case: Case, instance: dg.DagsterInstance
) -> None:
    for role in ROLES:
        result = materialize(case, instance, role, "own_validations", "sum_parts")
        assert result.success
        assert all(check.passed for check in result.get_asset_check_evaluations())
        assert_validations_equal_the_references(case, role)
    parts = []
    for index, role in enumerate(ROLES):
        seen = interop_case.Case(case.folder.name, index)
        part, invalid = interop_case.read_sum(case.deployment.storage(f"portal/{role}"), seen)
        reference, _ = interop_case.read_sum(case.folder / "portal" / role, seen)
        different = ("total_individual_clients", "batch_uuids")
        assert comparable(part, *different) == comparable(reference, *different)
        assert part["total_individual_clients"] == case.facts["truth"]["valid_clients"]
        assert sorted(part["batch_uuids"]) == sorted(case.facts["reference"][role]["batch_uuids"])
        assert sorted(invalid) == sorted(case.facts["reference"][role]["invalid_uuids"])
        parts.append(np.array(part["sum"], dtype=np.uint64))
    assert field.add(*parts).tolist() == case.facts["truth"]["sum"]


def assert_validations_equal_the_references(case: Case, role: str) -> None:
    """Ours, in the peer's bucket, as a reader of the reference's first release finds them."""
    seen = interop_case.Case(case.folder.name, ROLES.index(role))
    assert seen.batches
    for batch in seen.batches:
        base = seen.base(batch)
        header, packets = interop_case.read_validation(case.deployment.storage(f"sent-by-{role}"), base, seen.index)
        expected_header, expected = interop_case.read_validation(seen.reference_output, base, seen.index)
        assert comparable(header) == comparable(expected_header)
        assert packets == expected


def comparable(header: dict[str, Any], *besides: str) -> dict[str, Any]:
    """A header without what may differ: the digest, since containers of the same packets are framed at will."""
    return {name: value for name, value in header.items() if name not in ("packet_file_digest", *besides)}


@pytest.fixture
def liars(tmp_path: Path) -> Case:
    return reference_case(INTEROP / "liars-255", tmp_path)


@pytest.mark.parametrize("assets", [("own_validations", "sum_parts"), ("own_validations",), ("sum_parts",)])
def test_a_backfill_over_a_summed_window_changes_nothing(
    liars: Case, instance: dg.DagsterInstance, assets: tuple[str, ...]
) -> None:
    assert materialize(liars, instance, "pha", "own_validations", "sum_parts").success
    before = stored(liars, "sent-by-pha", "portal/pha", "pha")
    again = materialize(liars, instance, "pha", *assets)
    assert again.success
    assert stored(liars, "sent-by-pha", "portal/pha", "pha") == before


def test_a_backfill_before_the_stop_says_what_it_waits_for(liars: Case, instance: dg.DagsterInstance) -> None:
    early = parse_path_time(liars.facts["window"][1])
    result = materialize(liars, instance, "pha", "own_validations", "sum_parts", now=early)
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "missing: the stop at 2023-06-01 00:45 UTC" in failure.user_failure_data.description
    validations = result.asset_materializations_for_node("pha__own_validations")[0].metadata
    assert validations["batches accepted"].value == len(liars.facts["batches"])
    assert stored(liars, "portal/pha") == {}


def test_metadata_counts_what_the_case_says(liars: Case, instance: dg.DagsterInstance) -> None:
    result = materialize(liars, instance, "facilitator", "own_validations", "sum_parts")
    metadata = result.asset_materializations_for_node("facilitator__sum_parts")[0].metadata
    assert metadata["clients"].value == liars.facts["truth"]["valid_clients"]
    assert metadata["bins"].value == 255
    assert "proof_invalid 14" in metadata["packets not counted by reason"].value
    assert metadata["batches decrypted again"].value == "none"
    assert "engine" not in metadata


def test_what_is_decrypted_again_is_told_with_the_engine(liars: Case, instance: dg.DagsterInstance) -> None:
    batches = len(liars.facts["batches"])
    assert materialize(liars, instance, "facilitator", "own_validations").success
    shutil.rmtree(liars.deployment.storage("facilitator/own_validations") / "prio-assets" / "totals")
    result = materialize(liars, instance, "facilitator", "sum_parts")
    metadata = result.asset_materializations_for_node("facilitator__sum_parts")[0].metadata
    assert metadata["batches decrypted again"].value == f"missing {batches}"
    assert metadata["engine"].value == choose_engine().engine.name


def test_a_window_closed_for_its_minimum_is_a_success_without_a_sum(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    case = reference_case(INTEROP / "plain-8", tmp_path)
    text = case.deployment.path.read_text()
    case.deployment.path.write_text(text.replace("minimum_clients: 1\n", "minimum_clients: 1000\n"))
    for _ in range(2):
        result = materialize(case, instance, "pha", "own_validations", "sum_parts")
        assert result.success
        assert result.asset_materializations_for_node("pha__sum_parts")[0].metadata["sum"].value == "none"
    assert stored(case, "portal/pha") == {}
