"""A look at all storages of a processor: a survey of each aggregation, and which could not be surveyed. No Dagster."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.defs.partitions import is_partition_key
from prio_assets.errors import PrioAssetsError
from prio_assets.processor.processor import KeylessProcessor
from prio_assets.processor.survey import Survey, aggregations, range_to_look_at, survey

LOOK_BACK = timedelta(days=1)
"""How much longer a batch that nobody validated is looked for, so that one that expires is noticed."""


@dataclass(frozen=True)
class Look:
    """What was seen at `now`.

    `begin` is the start of the windows that are worked on; the surveys may reach further back. `failures` says of an
    aggregation, or of "all aggregations", why it could not be surveyed.
    """

    now: datetime
    begin: datetime
    aggregations: tuple[str, ...]
    surveys: Mapping[str, Survey]
    failures: Mapping[str, str]


def look_at(processor: KeylessProcessor, *, look_back: timedelta = timedelta(0)) -> Look:
    """Survey every usable aggregation; a failure in one costs that one."""
    settings, now = processor.settings, processor.clock()
    begin, end = range_to_look_at(settings, now)
    failures: dict[str, str] = {}
    surveys: dict[str, Survey] = {}
    found: list[str] = []
    try:
        found = aggregations(processor)
    except PrioAssetsError as error:
        failures["all aggregations"] = str(error)
    for name in usable(found, settings):
        try:
            surveys[name] = survey(processor, name, begin - look_back, end)
        except PrioAssetsError as error:
            failures[name] = str(error)
    return Look(now, begin, tuple(found), surveys, failures)


def usable(names: list[str], settings: ProcessorConfiguration) -> Iterator[str]:
    """The aggregations that can be partitions and, between processors with lists, are configured."""
    for name in names:
        if is_partition_key(name) and (not settings.peer_has_lists or settings.expected_parameters(name) is not None):
            yield name
