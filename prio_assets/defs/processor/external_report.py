"""What a processor's external partitions hold, from the surveys of its storages."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import dagster as dg

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs import metadata as keys
from prio_assets.defs.partitions import partition_key
from prio_assets.defs.processor.names import INGESTION_BATCHES, PEER_BATCH_LISTS, PEER_VALIDATIONS
from prio_assets.defs.reports import ExternalPartition, digest_of
from prio_assets.defs.tables import table
from prio_assets.processor.survey import Survey
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import BatchList
from prio_assets.wire.windows import Window, format_minute, window_of


def external_partitions(survey: Survey, settings: ProcessorConfiguration) -> Iterator[ExternalPartition]:
    """The partitions of one aggregation that hold something."""
    for window, batches in by_window(survey.ingested, settings):
        yield ExternalPartition(
            asset=f"{settings.name}/{INGESTION_BATCHES}",
            partition=str(partition_key(survey.aggregation, window)),
            version=digest_of(batch.base for batch in batches),
            describe=partial(_ingested, survey, window, batches),
        )
    for window, batches in by_window(survey.peer, settings):
        yield ExternalPartition(
            asset=f"{settings.name}/{PEER_VALIDATIONS}",
            partition=str(partition_key(survey.aggregation, window)),
            version=digest_of(f"{batch.base} {survey.peer[batch]}" for batch in batches),
            describe=partial(_batches, batches, survey.peer),
        )
    for window, record in sorted(survey.peer_lists.items()):
        yield ExternalPartition(
            asset=f"{settings.name}/{PEER_BATCH_LISTS}",
            partition=str(partition_key(survey.aggregation, window)),
            version=digest_of([record]),
            describe=partial(_list, record),
        )


def _ingested(survey: Survey, window: Window, batches: list[BatchName]) -> dict[str, Any]:
    incomplete = sum(batch.time in window for batch in survey.incomplete)
    return _batches(batches, survey.ingested, {keys.INCOMPLETE_BATCHES: incomplete})


def _batches(
    batches: list[BatchName], sizes: Mapping[BatchName, int], more: Mapping[str, int] | None = None
) -> dict[str, Any]:
    counts = {keys.BATCHES: len(batches), keys.BYTES: sum(sizes[batch] for batch in batches), **(more or {})}
    return counts | {keys.TABLE_OF_BATCHES: table_of_batches(batches, sizes)}


def _list(record: BatchList) -> dict[str, Any]:
    return {
        keys.LIST: "proposal" if record.server_index == 0 else "answer",
        keys.BATCHES: len(record.batches),
        keys.MINIMUM_CLIENTS: record.minimum_clients,
    }


def by_window(
    batches: Iterable[BatchName], settings: ProcessorConfiguration
) -> Iterator[tuple[Window, list[BatchName]]]:
    """The batches by the window that holds the time in their path."""
    groups: dict[Window, list[BatchName]] = defaultdict(list)
    for batch in sorted(batches):
        groups[window_of(batch.time, settings.period)].append(batch)
    yield from sorted(groups.items())


def table_of_batches(batches: list[BatchName], sizes: Mapping[BatchName, int]) -> dg.TableMetadataValue:
    """Which batches, and how large."""
    rows = [{"batch": str(batch.uuid), "time": format_minute(batch.time), "bytes": sizes[batch]} for batch in batches]
    return table(rows, {"batch": str, "time": str, "bytes": int})
