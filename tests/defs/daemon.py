"""A daemon in the test's own process: it evaluates sensors and executes the runs that they request, one by one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from prio_assets.defs.definitions import definitions_of
from resources import ClockResource, PortalResource, ShareProcessorResource
from tests.defs.deployments import Deployment


def definitions_at(deployment: Deployment, party: str, now: datetime) -> dg.Definitions:
    """The definitions of a party, with a clock that stands still."""
    configuration = deployment.configuration
    definitions = definitions_of(party, configuration, deployment.path)
    path, clock = str(deployment.path), ClockResource(moment=now.isoformat())
    if party in configuration.processors:
        resources: dict[str, Any] = {"processor": ShareProcessorResource(configuration=path, party=party, clock=clock)}
    else:
        resources = {"portal": PortalResource(configuration=path, clock=clock)}
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        sensors=definitions.sensors,
        resources=resources,
        executor=definitions.executor,
    )


@dataclass
class Tick:
    """What a sensor wanted."""

    requests: list[dg.RunRequest]
    events: list[Any]
    skip: str | None


@dataclass
class Daemon:
    """Evaluates the sensors of some parties at a time that the test sets."""

    instance: dg.DagsterInstance
    deployment: Deployment
    parties: tuple[str, ...]
    now: datetime
    cursors: dict[str, str | None] = field(default_factory=dict)
    results: list[dg.ExecuteInProcessResult] = field(default_factory=list)
    loaded: dict[tuple[str, datetime], dg.Definitions] = field(default_factory=dict)

    def definitions(self, party: str) -> dg.Definitions:
        if (party, self.now) not in self.loaded:
            self.loaded[party, self.now] = definitions_at(self.deployment, party, self.now)
        return self.loaded[party, self.now]

    def tick(self, party: str, name: str) -> Tick:
        """One evaluation of a sensor; its events and partitions are stored, its runs are not launched."""
        definitions = self.definitions(party)
        sensor = definitions.get_sensor_def(name)
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursors.get(name),
                definitions=definitions,
                resources=dict(definitions.resources or {}),
            ) as context,
        ):
            data = sensor.evaluate_tick(context)
        self.cursors[name] = data.cursor
        for request in data.dynamic_partitions_requests:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        for event in data.asset_events:
            self.instance.report_runless_asset_event(event)
        return Tick(list(data.run_requests or []), list(data.asset_events), data.skip_message)

    def sensors(self, party: str) -> list[str]:
        return [sensor.name for sensor in self.definitions(party).sensors]

    def launch(self, party: str, request: dg.RunRequest, **arguments: Any) -> dg.ExecuteInProcessResult:
        """Execute a requested run here and now."""
        job = self.definitions(party).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            tags={"dagster/run_key": request.run_key or "", **request.tags},
            raise_on_error=False,
            **arguments,
        )
        self.results.append(result)
        return result

    def materialize(self, role: str, partition: str, *assets: str, **arguments: Any) -> dg.ExecuteInProcessResult:
        """A run as the UI launches it."""
        selection = [dg.AssetKey([role, asset]) for asset in assets]
        return self.launch(role, dg.RunRequest(partition_key=partition, asset_selection=selection), **arguments)

    def round(self, parties: Iterable[str] = ()) -> list[dg.ExecuteInProcessResult]:
        """Every sensor once, and the runs that it requests."""
        done = []
        for party in parties or self.parties:
            for name in self.sensors(party):
                for request in self.tick(party, name).requests:
                    done.append(self.launch(party, request))
        return done

    def settle(self, limit: int = 20) -> int:
        """Rounds until no sensor requests a run; how many runs there were."""
        runs = 0
        for _ in range(limit):
            done = self.round()
            if not done:
                return runs
            runs += len(done)
        raise AssertionError(f"sensors still request runs after {limit} rounds")

    def latest(self, asset: str, partition: str) -> dict[str, Any]:
        """The metadata of the partition's last materialisation."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[partition])
        records = self.instance.fetch_materializations(wanted, limit=1).records
        return {
            name: [record.data for record in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in records[0].asset_materialization.metadata.items()
        }

    def failed_findings(self) -> dict[str, str]:
        """The unpartitioned checks whose last evaluation failed, with what they say."""
        for party in self.parties:
            for sensor in self.sensors(party):
                self.tick(party, sensor)
        found = {}
        for party in self.parties:
            graph = self.definitions(party).resolve_asset_graph()
            for key in graph.asset_check_keys:
                history = self.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
                evaluation = history[0].event.dagster_event.asset_check_evaluation_data if history else None
                if evaluation is not None and evaluation.partition is None and not evaluation.passed:
                    found[f"{key.asset_key.to_user_string()} {key.name}"] = evaluation.description
        return found
