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

    def tick(self, party: str, name: str) -> Tick:
        """One evaluation of a sensor; its events and partitions are stored, its runs are not launched."""
        definitions = definitions_at(self.deployment, party, self.now)
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
        return [sensor.name for sensor in definitions_at(self.deployment, party, self.now).sensors]

    def launch(self, party: str, request: dg.RunRequest, **arguments: Any) -> dg.ExecuteInProcessResult:
        """Execute a requested run here and now."""
        job = definitions_at(self.deployment, party, self.now).resolve_implicit_global_asset_job_def()
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
