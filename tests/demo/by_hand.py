"""The demo without Dagster: the steps that its sensors would request, taken one after the other."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from prio_assets.configuration import Configuration
from prio_assets.defs.processor.batch_table import text_of_counts
from prio_assets.demo.instance import Record, Run
from prio_assets.demo.outcome import NOT_COUNTED_IN_SUM, REJECTED_AT_INTAKE, Result, outcomes
from prio_assets.demo.parties import Place, make_place, set_up
from prio_assets.demo.scenario import Plan, Rows, make_plan
from prio_assets.demo.traffic import Ingestor
from prio_assets.demo.watch import Watcher
from prio_assets.portal.statistics import Portal, add_window, publish
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import load_processor
from prio_assets.processor.survey import survey
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire.windows import Window

NOW = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)


@dataclass
class DemoByHand:
    """A demo whose steps a test takes."""

    directory: Path
    seed: int = 1
    own_rows: Rows | None = None
    packets: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan: Plan = make_plan(NOW, self.seed, self.own_rows)
        self.place: Place
        self.configuration: Configuration
        self.place = make_place(self.directory)
        self.configuration = set_up(self.place, self.plan)
        self.processors = {
            name: load_processor(settings, lambda: NOW) for name, settings in self.configuration.processors.items()
        }
        self.ingestor = Ingestor(self.configuration.ingestor, self.configuration.ingestor.signing_key.load())
        self.watcher = Watcher(self.plan, self.processors, self.configuration.portal)

    def run(self) -> Result:
        """Everything, in the order of the demo."""
        first, second = self.plan.windows
        self._write(self.plan.of(first))
        self._validate()
        self._propose(first)
        self._write(self.plan.of(first, late=True) + self.plan.of(second))
        self._validate()
        self._propose(second)
        for window in self.plan.windows:
            self._sum(window)
        record = Record(RUNS, self._metadata(), FAILED_CHECKS)
        found = tuple(outcomes(self.plan, self.configuration.portal, record))
        return Result(self.plan, found, self.watcher.look(), record)

    def _write(self, batches) -> None:
        made = self.ingestor.make_all(batches)
        self.ingestor.write_pha(made)
        self.ingestor.write_facilitator(made)

    def _validate(self) -> None:
        for name, processor in self.processors.items():
            for topic in self.plan.topics:
                found = survey(processor, topic.name, self.plan.windows[0].start, self.plan.windows[-1].end)
                waiting = found.ingested.keys() - found.sent - found.rejections.keys()
                for outcome in validate_batches(processor, sorted(waiting)):
                    window = next(window for window in self.plan.windows if outcome.batch.time in window)
                    reasons = Counter({reason.label: count for reason, count in outcome.rejected.items()})
                    self._count(f"{name}/own_validations", topic.name, window, reasons)

    def _propose(self, window: Window) -> None:
        for topic in self.plan.topics:
            for name in ("pha", "facilitator"):
                make_own_list(self.processors[name], topic.name, window, None)

    def _sum(self, window: Window) -> None:
        for topic in self.plan.topics:
            sums = [sum_window(processor, topic.name, window, Override()) for processor in self.processors.values()]
            if all(found.header for found in sums):
                portal = Portal(self.configuration.portal, self.configuration.portal.stores)
                publish(portal, add_window(portal, topic.name, window))
                reasons = Counter({reason.label: count for reason, count in sums[0].reasons.items()})
                self._count("pha/sum_parts", topic.name, window, reasons)

    def _count(self, asset: str, aggregation: str, window: Window, reasons: Counter[str]) -> None:
        partition = f"{aggregation}|{window.start:%Y-%m-%d-%H:%M}"
        counts = self.packets.setdefault(asset, {}).setdefault(partition, Counter())
        counts.update(reasons)

    def _metadata(self) -> dict[str, dict[str, dict[str, str]]]:
        """As the definitions write it."""
        names = {"sum_parts": NOT_COUNTED_IN_SUM, "own_validations": REJECTED_AT_INTAKE}
        return {
            asset: {
                partition: {names[asset.split("/")[1]]: text_of_counts(counts) or "none"}
                for partition, counts in partitions.items()
            }
            for asset, partitions in self.packets.items()
        }


RUNS = (
    Run("1", "SUCCESS", "work", ("pha/own_validations",), "commute|2026-03-01-10:00", 1.0, 3.0),
    Run("2", "SUCCESS", "work", ("portal/demo/aggregates",), "commute|2026-03-01-10:00", 4.0, 5.0),
)
FAILED_CHECKS = (("pha/own_validations", "batches_accepted", "commute|2026-03-01-10:00"),)


def rows(clients: int, bins: int) -> Rows:
    """Rows of a person's own."""
    return (np.arange(clients * bins).reshape(clients, bins) % 3 == 0).astype(np.uint8)
