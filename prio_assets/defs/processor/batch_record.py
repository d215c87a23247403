"""What runs recorded of a window's batches: each group's rows, whole, as an observation of `own_validations`.

A group is recorded as soon as it was handled, whatever becomes of its run: how many of a batch's packets were rejected
is known only to the run that read them. The tables of batches, which are for people and cut, are never read back.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import dagster as dg

from prio_assets.defs import metadata as keys
from prio_assets.defs.processor.batch_table import BatchRow, merge, row_of_facts
from prio_assets.defs.reports import DATA_VERSION, digest_of
from prio_assets.wire.names import BatchName

PAGE = 50
"""So many observations are fetched at once."""


def record_of_group(key: dg.AssetKey, partition: str, rows: Iterable[BatchRow]) -> dg.AssetObservation:
    """The observation that records the rows of a group."""
    recorded = [row.facts for row in rows]
    return dg.AssetObservation(
        asset_key=key,
        partition=partition,
        description=f"{len(recorded)} batches were handled",
        metadata={keys.BATCHES: len(recorded), keys.RECORD_OF_BATCHES: dg.MetadataValue.json(recorded)},
    )


def recorded_rows(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> list[BatchRow]:
    """What all runs so far recorded of the partition's batches, one row a batch."""
    return merge([], _rows(instance, key, partition))


def version_of_sent(sent: Iterable[BatchName]) -> str:
    """The data version of `own_validations`: what was sent when the window was last reported."""
    return digest_of(batch.base for batch in sent)


def reported_versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Collection[str]
) -> Mapping[str, str | None]:
    """By partition, the data version of the last report; partitions that were never reported may be left out."""
    found = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION], asset_partitions=list(partitions)
    )
    return {partition: tags.get(DATA_VERSION) for partition, tags in found.items()}


def _rows(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> Iterator[BatchRow]:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_observations(wanted, limit=PAGE, cursor=cursor, ascending=True)
        for record in page.records:
            observation = record.asset_observation
            recorded = observation.metadata.get(keys.RECORD_OF_BATCHES) if observation else None
            if isinstance(recorded, dg.JsonMetadataValue):
                yield from map(row_of_facts, recorded.data or [])
        cursor, has_more = page.cursor, page.has_more
