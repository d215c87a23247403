"""The asset `own_validations`: a validation for each batch of the window, computed by a fan-out over groups of batches.

What passes between its ops is names and counts.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.checks import partitioned_checks
from prio_assets.defs.failures import RETRIES, retried_if_operational
from prio_assets.defs.metadata import ENGINE
from prio_assets.defs.partitions import partitions_of
from prio_assets.defs.processor.batch_record import record_of_group, recorded_rows, version_of_sent
from prio_assets.defs.processor.batch_table import NEW, BatchRow, merge, row_of_outcome
from prio_assets.defs.processor.names import (
    BATCHES_ACCEPTED,
    INGESTION_BATCHES,
    OWN_VALIDATIONS,
    PACKETS_ACCEPTED,
    ProcessorKeys,
)
from prio_assets.defs.processor.overrides import BatchOverrides, record_overrides
from prio_assets.defs.processor.partition import aggregation_and_window_of
from prio_assets.defs.processor.validation_report import check_results, engine_metadata, failure, metadata
from prio_assets.defs.reports import DATA_VERSION
from prio_assets.defs.runs import WANT
from prio_assets.errors import OperationalError
from prio_assets.processor.survey import Survey, survey
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import format_minute
from resources import ShareProcessorResource

GROUP_BYTES = (512 << 20, 64 << 20)
"""By the server's index: batches of so many bytes together are worth a step of their own, some seconds of work, for a
tenth of a second of events. The packets of the second server are short, since they hold a seed in place of shares."""

CHECKS = {
    BATCHES_ACCEPTED: "No batch of the window was rejected or failed.",
    PACKETS_ACCEPTED: "No more packets were rejected than `rejected_packets_limit` allows.",
}


@dg.config_mapping
def overrides_of_first_op(val: BatchOverrides) -> dict:
    """The asset's configuration is that of the op which finds the batches."""
    return {"find_batches": {"config": val.model_dump()}}


@dg.op(
    description="Find the window's batches, and group those that are still to validate or to send.",
    ins={"ready": dg.In(dg.Nothing)},
    out={"groups": dg.DynamicOut(list), "overrides": dg.Out(dict)},
    retry_policy=RETRIES,
)
def find_batches(
    context: dg.OpExecutionContext, config: BatchOverrides, processor: ShareProcessorResource
) -> Iterator[dg.Output | dg.DynamicOutput]:
    with retried_if_operational():
        actor = processor.keyless
        aggregation, window = aggregation_and_window_of(context, processor.settings)
        found = survey(actor, aggregation, window.start, window.end)
        if config.given:
            record_overrides(actor, found.ingested, config, context.run_id)
            found = survey(actor, aggregation, window.start, window.end)
        groups = groups_of_batches(found, processor.settings, batches_known(context, processor.party))
    yield dg.Output(config.given, "overrides")
    for number, group in enumerate(groups):
        yield dg.DynamicOutput(group, mapping_key=str(number), output_name="groups")


@dg.op(
    description="Take in the batches of one group, keep and send their validations.",
    out=dg.Out(list),
    retry_policy=RETRIES,
)
def validate_group(
    context: dg.OpExecutionContext, processor: ShareProcessorResource, group: list
) -> Iterator[dg.AssetObservation | dg.Output]:
    with retried_if_operational():
        outcomes = list(validate_batches(processor.processor, group))
        key = ProcessorKeys(processor.party)[OWN_VALIDATIONS]
        engine = engine_metadata()
        rows = [row_of_outcome(outcome, engine[ENGINE]) for outcome in outcomes]
        # What tells nothing that storage doesn't is left out: in an outage it would be told at every try.
        telling = [row for row in rows if row.received or row.state == BatchState.SENT]
        record = record_of_group(key, context.partition_key, telling) if telling else None
    if record is not None:
        yield record
    failed = [outcome for outcome in outcomes if outcome.state == BatchState.FAILED]
    if failed and context.retry_number < RETRIES.max_retries:
        raise OperationalError(f"{len(failed)} of {len(group)} batches failed, the first: {failed[0].why}")
    yield dg.Output(rows, metadata=engine)


@dg.op(
    description="Say what became of the batches, and check it.",
    out={OWN_VALIDATIONS: dg.Out(dg.Nothing)} | {name: dg.Out(dg.Nothing, is_required=False) for name in CHECKS},
    retry_policy=RETRIES,
)
def report_validations(
    context: dg.OpExecutionContext, processor: ShareProcessorResource, overrides: dict, groups: list
) -> Iterator[dg.Output | dg.AssetCheckResult]:
    with retried_if_operational():
        settings = processor.settings
        key = ProcessorKeys(settings.name)[OWN_VALIDATIONS]
        aggregation, window = aggregation_and_window_of(context, settings)
        found = survey(processor.keyless, aggregation, window.start, window.end)
        now = [row for rows in groups for row in rows]
        earlier = recorded_rows(context.instance, key, context.partition_key)
        rows = merge(merge(earlier, rows_of_survey(found)), now)
        checks = check_results(rows, settings.rejected_packets_limit, key)
        facts = metadata(found, rows, checks, overrides)
    yield from checks
    failed = [row for row in now if row.state in (BatchState.FAILED, BatchState.UNDECRYPTABLE)]
    if failed:
        raise failure(failed, rows, facts)
    yield dg.Output(None, OWN_VALIDATIONS, metadata=facts, tags={DATA_VERSION: version_of_sent(found.sent)})


def own_validations_asset(settings: ProcessorConfiguration) -> dg.AssetsDefinition:
    """The asset for one processor."""
    keys, partitions = ProcessorKeys(settings.name), partitions_of(settings.schedule)
    specs = partitioned_checks(keys[OWN_VALIDATIONS], CHECKS, partitions)

    @dg.graph_multi_asset(
        name=f"{settings.name}__{OWN_VALIDATIONS}",
        outs={
            OWN_VALIDATIONS: dg.AssetOut(
                key=keys[OWN_VALIDATIONS],
                dagster_type=dg.Nothing,
                description="A validation of each ingestion batch of the window, kept here and sent to the other "
                "processor: for each packet what it takes to check the client's proof together. Computed again, it "
                "sends nothing different.",
                kinds={"python", "numpy"},
            )
        },
        group_name=settings.name,
        ins={INGESTION_BATCHES: dg.AssetIn(key=keys[INGESTION_BATCHES], dagster_type=dg.Nothing)},
        partitions_def=partitions,
        check_specs=specs,
        config=overrides_of_first_op,
    )
    def own_validations(ingestion_batches):
        groups, overrides = find_batches(ready=ingestion_batches)
        validated = groups.map(validate_group)
        report = report_validations(overrides=overrides, groups=validated.collect())
        results = {spec.get_python_identifier(): getattr(report, spec.name) for spec in specs}
        return {OWN_VALIDATIONS: getattr(report, OWN_VALIDATIONS)} | results

    return own_validations


def batches_known(context: dg.OpExecutionContext, party: str) -> set[str]:
    """The batches that need no handling once they are sent, since a run has recorded their packets.

    There are none in a run that no sensor requested: whoever starts one by hand, or a backfill, also wants the copies
    completed that the other processor's bucket has lost.
    """
    if WANT not in context.run.tags:
        return set()
    rows = recorded_rows(context.instance, ProcessorKeys(party)[OWN_VALIDATIONS], context.partition_key)
    return {row.batch for row in rows if row.accepted}


def groups_of_batches(found: Survey, settings: ProcessorConfiguration, known: Collection[str]) -> list[list[BatchName]]:
    """The batches to handle, in the order of their names, in groups worth a step: all but those sent that are `known`.

    Toward a peer without lists there is one group: which packet is left out as repeated depends on that order.
    """
    groups: list[list[BatchName]] = []
    enough = GROUP_BYTES[settings.server_index]
    size = enough
    for batch in sorted(found.ingested.keys() - found.rejections.keys()):
        if batch in found.sent and str(batch.uuid) in known:
            continue
        if size >= enough and (settings.peer_has_lists or not groups):
            groups.append([])
            size = 0
        groups[-1].append(batch)
        size += found.ingested[batch]
    return groups


def rows_of_survey(found: Survey) -> Iterator[BatchRow]:
    """The rows of the window's batches as far as storage tells."""
    for batch in sorted(found.ingested):
        state, reason = NEW, ""
        if batch in found.rejections:
            rejection = found.rejections[batch]
            state, reason = BatchState.REJECTED.value, f"{rejection.reason}: {rejection.details}"
        elif batch in found.sent:
            state = BatchState.SENT.value
        elif batch in found.validated:
            state = BatchState.WAITS_FOR_PEER.value
        yield BatchRow(str(batch.uuid), format_minute(batch.time), state, reason)
