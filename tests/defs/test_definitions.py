"""The definitions load anywhere, without secrets and storages, and are the graph that they should be."""

import importlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from prio_assets.configuration import load_configuration
from prio_assets.defs import definitions
from prio_assets.defs.failures import RETRIES
from prio_assets.defs.partitions import aggregation_and_window, cron_schedule, is_partition_key, partition_key
from prio_assets.errors import ConfigurationError
from prio_assets.wire.windows import Window
from tests.defs.deployments import Deployment, portal_section, processor_section

PARTIES = ("pha", "facilitator", "portal", "ingestor")
WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"
CALCULATE_DELAY = dg.RetryPolicy.calculate_delay  # as it is before a test patches the pauses away
OPS = {"find_batches", "validate_group", "report_validations"}

GRAPH = {
    "ingestor/simulated_batches": ("ingestor", []),
    "pha/ingestion_batches": ("pha", ["ingestor/simulated_batches"]),
    "pha/own_validations": ("pha", ["pha/ingestion_batches"]),
    "pha/peer_validations": ("pha", ["facilitator/own_validations"]),
    "pha/batch_lists": ("pha", ["pha/own_validations", "pha/peer_validations"]),
    "pha/peer_batch_lists": ("pha", ["facilitator/batch_lists"]),
    "pha/sum_parts": ("pha", ["pha/batch_lists", "pha/own_validations", "pha/peer_batch_lists"]),
    "facilitator/ingestion_batches": ("facilitator", ["ingestor/simulated_batches"]),
    "facilitator/own_validations": ("facilitator", ["facilitator/ingestion_batches"]),
    "facilitator/peer_validations": ("facilitator", ["pha/own_validations"]),
    "facilitator/batch_lists": (
        "facilitator",
        ["facilitator/own_validations", "facilitator/peer_batch_lists", "facilitator/peer_validations"],
    ),
    "facilitator/peer_batch_lists": ("facilitator", ["pha/batch_lists"]),
    "facilitator/sum_parts": (
        "facilitator",
        ["facilitator/batch_lists", "facilitator/own_validations", "facilitator/peer_batch_lists"],
    ),
    "portal/instance/pha_sum_parts": ("portal", ["pha/sum_parts"]),
    "portal/instance/facilitator_sum_parts": ("portal", ["facilitator/sum_parts"]),
    "portal/instance/aggregates": (
        "portal",
        ["portal/instance/facilitator_sum_parts", "portal/instance/pha_sum_parts"],
    ),
}
"""Each asset's group and dependencies: keys and groups are for ever."""


@pytest.fixture
def configured(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("PRIO_CONFIG", str(deployment.path))
    return deployment


def specs(found: dg.Definitions) -> list[dg.AssetSpec]:
    """The assets of a code location, without the stubs that stand for those of others."""
    return [spec for spec in found.resolve_all_asset_specs() if "dagster/auto_created_stub_asset" not in spec.metadata]


def test_the_graph(configured: Deployment) -> None:
    graph = {
        spec.key.to_user_string(): (spec.group_name, sorted(dep.asset_key.to_user_string() for dep in spec.deps))
        for party in PARTIES
        for spec in specs(getattr(definitions, party))
    }
    assert graph == GRAPH


def test_every_asset_explains_itself(configured: Deployment) -> None:
    for party in PARTIES:
        for spec in specs(getattr(definitions, party)):
            assert spec.description
            assert spec.kinds
            assert not spec.owners


def test_all_assets_share_one_partitions_definition(configured: Deployment) -> None:
    partitions = [spec.partitions_def for party in PARTIES for spec in specs(getattr(definitions, party))]
    assert all(each == partitions[0] for each in partitions)
    dynamic = partitions[0].get_partitions_def_for_dimension("aggregation")
    assert dynamic.name == "instance"


def test_definitions_load_where_neither_secrets_nor_storages_are(
    tmp_path: Path, keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    aggregations = {"kittens-seen": {"bins": 5, "epsilon": 1.0}}
    content = {
        "processors": {"ours": processor_section("pha", keys, aggregations=aggregations)},
        "portal": portal_section(keys),
    }
    path = tmp_path / "prio.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("PRIO_CONFIG", str(path))
    for party in ("ours", "portal"):
        dg.Definitions.validate_loadable(getattr(definitions, party))
    assert list(tmp_path.iterdir()) == [path]


def test_a_peer_without_lists_has_no_lists_in_the_graph(tmp_path: Path, keys: dict[str, Any]) -> None:
    path = tmp_path / "prio.yaml"
    path.write_text(yaml.safe_dump({"processors": {"ours": processor_section("pha", keys, peer_has_lists=False)}}))
    found = definitions.definitions_of("ours", load_configuration(path), path)
    names = {spec.key.path[-1] for spec in specs(found)}
    assert names == {"ingestion_batches", "own_validations", "peer_validations", "sum_parts"}
    deps = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in specs(found)}
    assert deps["sum_parts"] == {"own_validations", "peer_validations"}


def test_sensors_run_from_the_start_and_at_every_tick(configured: Deployment) -> None:
    sensors = [sensor for party in PARTIES for sensor in getattr(definitions, party).sensors or []]
    assert {sensor.name for sensor in sensors} == {
        "pha_discovery",
        "pha_runs",
        "facilitator_discovery",
        "facilitator_runs",
        "portal_runs",
    }
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in sensors)
    assert all(sensor.minimum_interval_seconds == 1 for sensor in sensors)


@pytest.mark.parametrize("party", ["pha", "portal"])
def test_sensors_look_as_often_as_is_configured(deployment: Deployment, party: str) -> None:
    content = yaml.safe_load(deployment.path.read_text())
    (content["portal"] if party == "portal" else content["processors"][party])["look_every"] = "90s"
    deployment.path.write_text(yaml.safe_dump(content))
    intervals = {
        sensor.name: sensor.minimum_interval_seconds
        for name in PARTIES
        for sensor in definitions.definitions_of(name, deployment.configuration, deployment.path).sensors or []
    }
    assert {name for name, seconds in intervals.items() if seconds == 90} == {
        name for name in intervals if name.startswith(f"{party}_")
    }


def test_no_check_blocks(configured: Deployment) -> None:
    checks = [spec for party in PARTIES for spec in getattr(definitions, party).resolve_asset_graph().asset_check_keys]
    assert checks
    for party in PARTIES:
        graph = getattr(definitions, party).resolve_asset_graph()
        assert not any(graph.get(key).blocking for key in graph.asset_check_keys)


def test_without_a_configuration_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRIO_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="set PRIO_CONFIG to the configuration file, or run `make demo` first"):
        _ = definitions.pha


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIO_CONFIG", str(tmp_path / "missing.yaml"))
    with pytest.raises(ConfigurationError, match=r"PRIO_CONFIG names .*missing\.yaml, which is no file"):
        _ = definitions.pha


def test_the_demo_configuration_is_found_in_the_working_directory(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRIO_CONFIG", raising=False)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "demo").mkdir(parents=True)
    (elsewhere / "demo" / "prio.yaml").write_text(deployment.path.read_text())
    monkeypatch.chdir(elsewhere)
    assert definitions.configuration_path() == elsewhere / "demo" / "prio.yaml"
    assert isinstance(definitions.portal, dg.Definitions)


def test_a_party_that_is_not_configured_is_no_attribute(configured: Deployment) -> None:
    with pytest.raises(AttributeError, match="has no party nobody"):
        _ = definitions.nobody


def test_importing_reads_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIO_CONFIG", "/nowhere")
    importlib.reload(definitions)


def test_the_workspace_names_every_party(configured: Deployment) -> None:
    locations = [entry["python_module"] for entry in yaml.safe_load(WORKSPACE.read_text())["load_from"]]
    assert [location["attribute"] for location in locations] == list(PARTIES)
    for location in locations:
        module = importlib.import_module(location["module_name"])
        assert isinstance(getattr(module, location["attribute"]), dg.Definitions)


def test_steps_are_tried_again_three_times_after_growing_pauses() -> None:
    assert RETRIES.max_retries == 3
    assert [CALCULATE_DELAY(RETRIES, attempt) for attempt in (1, 2, 3)] == [10, 30, 70]


def test_every_step_of_a_computed_asset_is_tried_again(configured: Deployment) -> None:
    policies = {
        node.name: node.retry_policy
        for party in PARTIES
        for node in getattr(definitions, party).resolve_implicit_global_asset_job_def().all_node_defs
        if isinstance(node, dg.OpDefinition) and not node.name.endswith("__checks")
    }
    computed = {f"{role}__{asset}" for role in ("pha", "facilitator") for asset in ("batch_lists", "sum_parts")}
    assert policies.keys() == {*OPS, *computed, "portal__aggregates", "ingestor__simulated_batches"}
    assert set(policies.values()) == {RETRIES}


@pytest.mark.parametrize(
    ("minutes", "cron"),
    [(480, "0 */8 * * *"), (60, "0 */1 * * *"), (1440, "0 0 * * *"), (1, "*/1 * * * *"), (30, "*/30 * * * *")],
)
def test_periods_are_cron_schedules(minutes: int, cron: str) -> None:
    assert cron_schedule(timedelta(minutes=minutes)) == cron


@pytest.mark.parametrize("minutes", [45, 90, 96, 7, 2880])
def test_a_period_that_no_cron_schedule_says_is_refused(minutes: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be one of Dagster's schedules"):
        cron_schedule(timedelta(minutes=minutes))


def test_a_partition_key_is_read_back() -> None:
    start = datetime(2023, 5, 31, 16, tzinfo=UTC)
    window = Window(start, start + timedelta(hours=8))
    key = partition_key("com.example.Interactions-v1", window)
    assert str(key) == "com.example.Interactions-v1|2023-05-31-16:00"
    assert aggregation_and_window(str(key), timedelta(hours=8)) == ("com.example.Interactions-v1", window)


@pytest.mark.parametrize("name", ["a|b", "a...b", "a\nb", "a\tb", ""])
def test_names_that_dagster_cannot_have(name: str) -> None:
    assert not is_partition_key(name)


def test_the_current_window_is_a_partition(configured: Deployment) -> None:
    partitions = specs(definitions.pha)[0].partitions_def.get_partitions_def_for_dimension("window")
    now = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
    with dg.partition_loading_context(effective_dt=now):
        assert partitions.get_last_partition_key() == "2026-01-01-08:00"
