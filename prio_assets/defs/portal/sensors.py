"""The portal's sensor: it reports sum parts and what is wrong, and requests the statistics that can be made."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from prio_assets.configuration import PortalConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.partitions import partition_key
from prio_assets.defs.portal.findings import ASSETS, findings, reported_since
from prio_assets.defs.portal.look import Look, look
from prio_assets.defs.portal.names import AGGREGATES, PortalKeys
from prio_assets.defs.reports import ExternalPartition, Reporter, digest_of
from prio_assets.defs.requests import Wish
from prio_assets.defs.runs import run_requests
from prio_assets.wire.names import sum_part_objects
from resources import PortalResource


def portal_sensor(settings: PortalConfiguration) -> dg.SensorDefinition:
    """The sensor of one portal."""
    asset_keys = PortalKeys(settings.name, settings.instance)

    @dg.sensor(
        name=f"{settings.name}_runs",
        description="Reports the sum parts that arrive and what is wrong with them, and requests a run for each window "
        "that has both and no statistic.",
        asset_selection=dg.AssetSelection.assets(asset_keys[AGGREGATES]),
        minimum_interval_seconds=int(settings.look_interval.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def runs(context: dg.SensorEvaluationContext, portal: PortalResource) -> dg.SensorResult:
        seen = look(portal.portal, portal.clock.clock())
        reporter = Reporter(context.cursor)
        events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        for partition in external_partitions(seen, portal.settings):
            events.extend(reporter.partition(partition))
        for name in seen.failures:
            reporter.keep(f"{name}|" if name != "all aggregations" else "")
        for finding in findings(seen, portal.settings, reported_since(context.instance, portal.settings, seen.now)):
            events.extend(reporter.finding(finding))
        requests = run_requests(context.instance, wishes_of(seen, portal.settings))
        problems = "; ".join(f"{name}: {why}" for name, why in seen.failures.items())
        return dg.SensorResult(
            run_requests=requests,
            asset_events=events,
            dynamic_partitions_requests=new_partitions(context.instance, portal.settings.instance, seen),
            cursor=reporter.cursor,
            skip_reason=None if requests or events else problems or "nothing to add",
        )

    return runs


def external_partitions(seen: Look, settings: PortalConfiguration) -> Iterator[ExternalPartition]:
    """The sum parts that are there."""
    asset_keys = PortalKeys(settings.name, settings.instance)
    for name, parts in seen.parts.items():
        for index, (asset, present) in enumerate(zip(ASSETS.values(), (parts.pha, parts.facilitator), strict=True)):
            for window in sorted(present):
                objects = sum_part_objects(settings.instance, name, window, index)
                yield ExternalPartition(
                    asset=asset_keys[asset].to_user_string(),
                    partition=str(partition_key(name, window)),
                    version=digest_of([objects.header]),
                    describe=partial(dict, {keys.OBJECTS: ", ".join(objects)}),
                )


def wishes_of(seen: Look, settings: PortalConfiguration) -> list[Wish]:
    """The statistics that can be made; parts that were refused are tried again once either is replaced."""
    asset = PortalKeys(settings.name, settings.instance)[AGGREGATES].to_user_string()
    return [
        Wish(asset, str(partition_key(name, window)), digest)
        for name, windows in seen.to_add.items()
        for window, digest in windows.items()
    ]


def new_partitions(instance: dg.DagsterInstance, name: str, seen: Look) -> list[dg.AddDynamicPartitionsRequest]:
    """The aggregations that are no partitions yet."""
    new = sorted(seen.parts.keys() - set(instance.get_dynamic_partitions(name)))
    return [dg.AddDynamicPartitionsRequest(name, new)] if new else []
