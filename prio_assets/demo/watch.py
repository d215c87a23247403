"""What storage shows of the demo's progress, and what changed since the last look, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prio_assets.configuration import PortalConfiguration
from prio_assets.demo.scenario import Fault, Plan, PlannedBatch
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.survey import Survey, survey
from prio_assets.storage.base import exists
from prio_assets.wire import names
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window

Place = tuple[str, Window]
"""An aggregation and a window."""


@dataclass(frozen=True)
class Snapshot:
    """The state of all batches and windows at one moment.

    `validated` are the batches that are done wherever they arrive; `rejected` says, by processor and batch, why not;
    `agreed` how many batches a window is summed over.
    """

    validated: frozenset[BatchName] = frozenset()
    rejected: Mapping[tuple[str, BatchName], str] = field(default_factory=dict)
    proposed: frozenset[Place] = frozenset()
    agreed: Mapping[Place, int] = field(default_factory=dict)
    summed: frozenset[tuple[str, Place]] = frozenset()
    published: frozenset[Place] = frozenset()


@dataclass(frozen=True)
class Watcher:
    """Looks at the buckets of all parties."""

    plan: Plan
    processors: Mapping[str, ShareProcessor]
    portal: PortalConfiguration

    def look(self) -> Snapshot:
        """The present state."""
        begin, end = self.plan.windows[0].start, self.plan.windows[-1].end
        surveys = {
            (name, topic.name): survey(processor, topic.name, begin, end)
            for name, processor in self.processors.items()
            for topic in self.plan.topics
        }
        leader = {topic: found for (name, topic), found in surveys.items() if name == "pha"}
        follower = {topic: found for (name, topic), found in surveys.items() if name == "facilitator"}
        return Snapshot(
            validated=frozenset(batch.name for batch in self.plan.batches if _is_done(batch, surveys)),
            rejected={
                (name, batch): record.reason
                for (name, _), found in surveys.items()
                for batch, record in found.rejections.items()
            },
            proposed=frozenset((topic, window) for topic, found in leader.items() for window in found.sent_lists),
            agreed={
                (topic, window): len(entry.batches)
                for topic, found in follower.items()
                for window, entry in found.decided.items()
            },
            summed=frozenset(
                (name, (topic, window)) for (name, topic), found in surveys.items() for window in found.sent_sums
            ),
            published=frozenset(place for place in self._places() if self._is_published(*place)),
        )

    def _places(self) -> Iterator[Place]:
        return ((topic.name, window) for topic, window in self.plan.expected())

    def _is_published(self, aggregation: str, window: Window) -> bool:
        name = names.statistic_objects(self.portal.instance, aggregation, window).json
        return exists(self.portal.stores.statistics, name)


def changes(plan: Plan, before: Snapshot, now: Snapshot) -> Iterator[str]:
    """One line for each change from one look to the next."""
    for processor, batch in sorted(now.rejected.keys() - before.rejected.keys()):
        yield f"rejected by the {processor}: a batch of {batch.aggregation} ({now.rejected[processor, batch]})"
    if now.validated != before.validated:
        yield f"validated {len(now.validated)} of {len(plan.batches)} batches"
    for place in _in_order(now.agreed.keys() - before.agreed.keys()):
        yield f"agreed on {now.agreed[place]} batches to sum for {place_text(*place)}"
    if now.summed != before.summed:
        yield f"summed {len(now.summed)} of {2 * len(list(plan.expected()))} shares of windows"
    for place in _in_order(now.published - before.published):
        yield f"published {place_text(*place)}"


def place_text(aggregation: str, window: Window) -> str:
    """E.g. `commute, 14:00 to 15:00 UTC`."""
    return f"{aggregation}, {hours_text(window)} UTC"


def hours_text(window: Window) -> str:
    """E.g. `14:00 to 15:00`."""
    return f"{window.start:%H:%M} to {window.end:%H:%M}"


def _in_order(places: Sequence[Place] | frozenset[Place] | set[Place]) -> list[Place]:
    return sorted(places, key=lambda place: (place[1], place[0]))


def _is_done(batch: PlannedBatch, surveys: Mapping[tuple[str, str], Survey]) -> bool:
    """Whether every processor that the batch reaches has sent its validation or rejected it."""
    reached = [
        found
        for (processor, topic), found in surveys.items()
        if topic == batch.topic.name and not (batch.fault is Fault.ONE_SIDED and processor == "pha")
    ]
    return all(batch.name in found.sent or batch.name in found.rejections for found in reached)
