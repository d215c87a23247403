"""The portal at work: what lies in its storages, and a window's two sum parts into the statistic that it publishes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prio_assets.configuration import PortalConfiguration, PortalStores
from prio_assets.errors import BatchRejected, RefusedError
from prio_assets.portal.collection import Statistic, add_sum_parts
from prio_assets.portal.rendering import to_csv, to_json
from prio_assets.storage.base import Store, copy_bytes, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import SumPartBatch, read_sum_part
from prio_assets.wire.packets import digest
from prio_assets.wire.windows import Window, window_of


@dataclass(frozen=True)
class Portal:
    """The portal of one instance with its storages at hand."""

    settings: PortalConfiguration
    stores: PortalStores


@dataclass(frozen=True)
class SumParts:
    """The windows of one aggregation that have a complete sum part of either processor, and those with a statistic.

    `misnamed` has, by role, what other parts are named after though it is no window of the instance's period.
    """

    aggregation: str
    pha: frozenset[Window]
    facilitator: frozenset[Window]
    published: frozenset[Window]
    misnamed: Mapping[str, frozenset[Window]]


def aggregations(portal: Portal) -> list[str]:
    """The aggregations that either processor has written a sum part of."""
    folders: set[str] = set()
    for store in (portal.stores.pha_sum_parts, portal.stores.facilitator_sum_parts):
        folders |= set(store.folders(f"{portal.settings.instance}/"))
    return sorted(folder for folder in folders if names.is_aggregation(folder))


def look_at(portal: Portal, aggregation: str, begin: datetime, end: datetime) -> SumParts:
    """The sum parts and statistics of the windows that start in [begin, end)."""
    settings, stores = portal.settings, portal.stores
    within = names.sum_part_range(settings.instance, aggregation, begin, end)
    published = (names.parse_statistic_object(name) for name, _ in stores.statistics.list(*within))
    pha = frozenset(_complete_parts(stores.pha_sum_parts, within, 0))
    facilitator = frozenset(_complete_parts(stores.facilitator_sum_parts, within, 1))
    misnamed = {window for window in pha | facilitator if window != window_of(window.start, settings.period)}
    return SumParts(
        aggregation=aggregation,
        pha=pha - misnamed,
        facilitator=facilitator - misnamed,
        published=frozenset(found[2] for found in published if found is not None),
        misnamed={"pha": pha & misnamed, "facilitator": facilitator & misnamed},
    )


def _complete_parts(store: Store, within: names.NameRange, index: int) -> Iterator[Window]:
    """The windows whose part has its signature, which is written last."""
    for name, _ in store.list(*within):
        found = names.parse_sum_part_object(name, index)
        if found is not None and found[3] == "signature":
            yield found[2]


def digest_of_parts(portal: Portal, aggregation: str, window: Window) -> str:
    """It changes when either part of the window is replaced: a signature is of all that its part says."""
    signatures = []
    for index, store in enumerate((portal.stores.pha_sum_parts, portal.stores.facilitator_sum_parts)):
        name = names.sum_part_objects(portal.settings.instance, aggregation, window, index).signature
        signatures.append(read_bytes(store, name))
    return digest(b"".join(signatures)).hex()


def add_window(portal: Portal, aggregation: str, window: Window) -> Statistic:
    """The window's statistic, from its two verified sum parts.

    Raises `ObjectMissingError` while one is not there, `RefusedError` where they cannot be used together.
    """
    try:
        pha = _read(portal.stores.pha_sum_parts, portal.settings, aggregation, window, 0)
        facilitator = _read(portal.stores.facilitator_sum_parts, portal.settings, aggregation, window, 1)
    except BatchRejected as rejected:
        raise RefusedError(f"a sum part cannot be used: {rejected}") from rejected
    return add_sum_parts(aggregation, window, pha.header, facilitator.header, legacy_peer=portal.settings.legacy_peer)


def _read(store: Store, settings: PortalConfiguration, aggregation: str, window: Window, index: int) -> SumPartBatch:
    keys = (settings.pha_keys, settings.facilitator_keys)[index]
    return read_sum_part(lambda name: read_bytes(store, name), settings.instance, aggregation, window, index, keys)


def publish(portal: Portal, statistic: Statistic) -> names.StatisticObjects:
    """Write the statistic as CSV and JSON; `ObjectConflictError` where another one of this window is published."""
    objects = names.statistic_objects(portal.settings.instance, statistic.aggregation, statistic.window)
    copy_bytes(portal.stores.statistics, objects.csv, to_csv(statistic).encode())
    copy_bytes(portal.stores.statistics, objects.json, to_json(statistic).encode())
    return objects
