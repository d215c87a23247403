"""The two sensors of a processor: one reports what others wrote and what is wrong, one requests runs.

Both look at storage at every tick and decide from that; their cursors only save work, or keep since when a window has
been quiet. The second waits a little while runs are under way that it can follow with others.
"""

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.processor.external_report import external_partitions
from prio_assets.defs.processor.findings import findings
from prio_assets.defs.processor.look import LOOK_BACK, Look, look_at
from prio_assets.defs.processor.names import BATCH_LISTS, OWN_VALIDATIONS, SUM_PARTS, ProcessorKeys
from prio_assets.defs.processor.quiet import from_cursor, observe, to_cursor
from prio_assets.defs.processor.unreported import wishes_to_report
from prio_assets.defs.processor.wishes import waiting_texts, wishes_of
from prio_assets.defs.reports import Reporter
from prio_assets.defs.runs import active_selections, run_requests, wait_for_an_end
from prio_assets.processor.pending import pending_steps
from resources import ShareProcessorResource

MOST_LINES = 20
"""Of what waits, so many lines are said at a tick."""


def discovery_sensor(settings: ProcessorConfiguration) -> dg.SensorDefinition:
    """Adds the partitions of new aggregations, reports external partitions and the unpartitioned checks."""

    @dg.sensor(
        name=f"{settings.name}_discovery",
        description="Finds aggregations, batches, the other processor's validations and lists, and reports them when "
        "they change; and what is wrong with them.",
        minimum_interval_seconds=int(settings.look_interval.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def discovery(context: dg.SensorEvaluationContext, processor: ShareProcessorResource) -> dg.SensorResult:
        look = look_at(processor.keyless, look_back=LOOK_BACK)
        reporter = Reporter(context.cursor)
        events: list[dg.AssetObservation | dg.AssetMaterialization | dg.AssetCheckEvaluation] = []
        for survey in look.surveys.values():
            for partition in external_partitions(survey, processor.settings):
                events.extend(reporter.partition(partition))
        for name in look.failures:
            reporter.keep(f"{name}|" if name in look.aggregations else "")
        for finding in findings(look, processor.settings):
            events.extend(reporter.finding(finding))
        return dg.SensorResult(
            asset_events=events,
            dynamic_partitions_requests=new_partitions(context.instance, processor.settings.instance, look),
            cursor=reporter.cursor,
            skip_reason=None if events else text_of_failures(look) or "nothing changed",
        )

    return discovery


def runs_sensor(settings: ProcessorConfiguration, peer: str | None) -> dg.SensorDefinition:
    """Requests what can be done now. `peer` is the name of the other processor, if this deployment runs it too."""
    keys = ProcessorKeys(settings.name)
    processors = [settings.name] if peer is None else [settings.name, peer]
    followed = {ProcessorKeys(name)[asset] for name in processors for asset in (OWN_VALIDATIONS, BATCH_LISTS)}
    lists = [BATCH_LISTS] if settings.peer_has_lists else []

    @dg.sensor(
        name=f"{settings.name}_runs",
        description="Derives from storage what is to do, and requests a run for what can be done now: one for each "
        "asset and partition, not while one is active, and not again for the same once it ended well.",
        asset_selection=dg.AssetSelection.assets(*(keys[asset] for asset in (OWN_VALIDATIONS, *lists, SUM_PARTS))),
        minimum_interval_seconds=int(settings.look_interval.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def runs(context: dg.SensorEvaluationContext, processor: ShareProcessorResource) -> dg.SensorResult:
        wait_for_an_end(context.instance, followed)
        active = active_selections(context.instance)  # before the look, which must see what those that ended did
        look = look_at(processor.keyless)
        quiet = observe(from_cursor(context.cursor, processor.settings), look.surveys, processor.settings, look.now)
        pending = [
            step
            for name, survey in look.surveys.items()
            for step in pending_steps(survey, processor.settings, look.now, quiet.get(name, {}))
        ]
        wishes = wishes_of(pending, processor.settings)
        validations = keys[OWN_VALIDATIONS].to_user_string()
        busy = active.keys() | {wish.partition for wish in wishes if wish.asset == validations}
        wishes += wishes_to_report(context.instance, look.surveys.values(), busy, processor.settings)
        requests = run_requests(context.instance, wishes)
        waits = list(waiting_texts(pending))
        problems = [text for text in (text_of_failures(look), text_of_state(look)) if text]
        for problem in problems:
            context.log.warning(problem)
        more = [f"and {len(waits) - MOST_LINES} more"] if len(waits) > MOST_LINES else []
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=new_partitions(context.instance, processor.settings.instance, look),
            cursor=to_cursor(quiet),
            skip_reason=None if requests else "; ".join([*problems, *waits[:MOST_LINES], *more]) or "nothing to do",
        )

    return runs


def new_partitions(instance: dg.DagsterInstance, name: str, look: Look) -> list[dg.AddDynamicPartitionsRequest]:
    """The aggregations that are no partitions yet. They are named by the instance, which both roles share."""
    new = sorted(look.surveys.keys() - set(instance.get_dynamic_partitions(name)))
    return [dg.AddDynamicPartitionsRequest(name, new)] if new else []


def text_of_failures(look: Look) -> str:
    """Which aggregations could not be looked at."""
    return "; ".join(f"{name}: {why}" for name, why in look.failures.items())


def text_of_state(look: Look) -> str:
    """Why nothing is decided or summed, where that is so."""
    faults = {survey.state_fault for survey in look.surveys.values() if survey.state_fault}
    return "; ".join(f"no lists and no sums: {fault}" for fault in sorted(faults))
