"""The portal at work: what lies in its storages, and a window's two sum parts into the statistic that it publishes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prio_assets.configuration import PortalConfiguration
from prio_assets.errors import BatchRejected, RefusedError
from prio_assets.portal.collection import Statistic, add_sum_parts
from prio_assets.portal.rendering import to_csv, to_json
from prio_assets.storage.base import SMALL_OBJECT_BYTES, Store, copy_bytes, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import SumPartBatch, read_sum_part
from prio_assets.wire.packets import digest
from prio_assets.wire.windows import Window


@dataclass(frozen=True)
class SumParts:
    """The windows of one aggregation that have a complete sum part of either processor, and those with a statistic.

    A part is known by the digest of its signature object, which is written last and determines the rest.
    """

    aggregation: str
    pha: Mapping[Window, str]
    facilitator: Mapping[Window, str]
    published: frozenset[Window]

    @property
    def pairs(self) -> list[Window]:
        """The windows with both parts, in order."""
        return sorted(self.pha.keys() & self.facilitator.keys())

    @property
    def single(self) -> list[Window]:
        """The windows with one part, in order."""
        return sorted(self.pha.keys() ^ self.facilitator.keys())


def aggregations(settings: PortalConfiguration) -> list[str]:
    """The aggregations that either processor has written a sum part of."""
    folders: set[str] = set()
    for store in (settings.stores.pha_sum_parts, settings.stores.facilitator_sum_parts):
        folders |= set(store.folders(f"{settings.instance}/"))
    return sorted(folder for folder in folders if names.is_aggregation(folder))


def look_at(settings: PortalConfiguration, aggregation: str, begin: datetime, end: datetime) -> SumParts:
    """The sum parts and statistics of the windows that start in [begin, end)."""
    stores = settings.stores
    within = names.sum_part_range(settings.instance, aggregation, begin, end)
    published = (names.parse_statistic_object(name) for name, _ in stores.statistics.list(*within))
    return SumParts(
        aggregation=aggregation,
        pha=dict(_complete_parts(stores.pha_sum_parts, within, 0)),
        facilitator=dict(_complete_parts(stores.facilitator_sum_parts, within, 1)),
        published=frozenset(found[2] for found in published if found is not None),
    )


def _complete_parts(store: Store, within: names.NameRange, index: int) -> Iterator[tuple[Window, str]]:
    for name, _ in store.list(*within):
        found = names.parse_sum_part_object(name, index)
        if found is not None and found[3] == "signature":
            yield found[2], digest(read_bytes(store, name, SMALL_OBJECT_BYTES)).hex()


def add_window(settings: PortalConfiguration, aggregation: str, window: Window) -> Statistic:
    """The window's statistic, from its two verified sum parts.

    Raises `ObjectMissingError` while one is not there, `RefusedError` where they cannot be used together.
    """
    try:
        pha = _read(settings.stores.pha_sum_parts, settings, aggregation, window, 0)
        facilitator = _read(settings.stores.facilitator_sum_parts, settings, aggregation, window, 1)
    except BatchRejected as rejected:
        raise RefusedError(f"a sum part cannot be used: {rejected}") from rejected
    return add_sum_parts(aggregation, window, pha.header, facilitator.header, legacy_peer=settings.legacy_peer)


def _read(store: Store, settings: PortalConfiguration, aggregation: str, window: Window, index: int) -> SumPartBatch:
    keys = (settings.pha_keys, settings.facilitator_keys)[index]
    return read_sum_part(lambda name: read_bytes(store, name), settings.instance, aggregation, window, index, keys)


def publish(settings: PortalConfiguration, statistic: Statistic) -> names.StatisticObjects:
    """Write the statistic as CSV and JSON; `ObjectConflictError` where another one of this window is published."""
    objects = names.statistic_objects(settings.instance, statistic.aggregation, statistic.window)
    copy_bytes(settings.stores.statistics, objects.csv, to_csv(statistic).encode())
    copy_bytes(settings.stores.statistics, objects.json, to_json(statistic).encode())
    return objects
