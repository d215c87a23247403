"""The demo from its beginning to its end: set up, start Dagster, write batches phase by phase, watch, report.

Nothing is waited for by the clock: a phase begins when the one before has left its traces in the buckets. The order in
which the ingestor writes makes it certain what each window counts: the first processor proposes a window as soon as
every batch in its own bucket is validated by both, so the facilitator's copies come last. The late batch comes when its
window is proposed, and the facilitator's copies of the next window when the late one is validated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep

from prio_assets.clock import Clock, system_clock
from prio_assets.configuration import PortalConfiguration
from prio_assets.demo.clouds import new_storages
from prio_assets.demo.instance import read_instance
from prio_assets.demo.outcome import Result, outcomes, read_shares
from prio_assets.demo.parties import Place, make_place, set_up
from prio_assets.demo.processes import Daemon, interrupted_by_termination, run_daemon, write_settings
from prio_assets.demo.report import write_report
from prio_assets.demo.scenario import Plan, Rows, make_plan
from prio_assets.demo.storages import Choice
from prio_assets.demo.summary import summary, ui_command
from prio_assets.demo.traffic import Ingestor
from prio_assets.demo.watch import Snapshot, Watcher, changes
from prio_assets.errors import ConfigurationError, OperationalError
from prio_assets.processor.processor import load_processor
from prio_assets.wire.windows import Window

SECONDS_BETWEEN_LOOKS = 1.0
LONGEST_STANDSTILL = timedelta(minutes=2)
"""With no change for so long, the demo gives up."""

Say = Callable[[str], None]


def run_demo(
    directory: Path, seed: int, own_rows: Rows | None, choice: Choice, say: Say, clock: Clock = system_clock
) -> bool:
    """Run the whole demo in `directory`, and say what happens; whether all counts came out as they must.

    Raises `ConfigurationError` for a directory that is no demo's, `OperationalError` where it does not come to its end.
    """
    began = clock()
    plan = make_plan(began, seed, own_rows)
    say(f"Setting up two processors, an ingestor and a portal in {directory}")
    place = make_place(directory)
    with interrupted_by_termination(), new_storages(choice, place.buckets) as storages:
        configuration = set_up(place, plan, storages)
        write_settings(place)
        if configuration.ingestor is None or configuration.portal is None:
            raise ConfigurationError(f"{place.configuration}: the demo needs an ingestor and a portal")
        processors = {name: load_processor(settings) for name, settings in configuration.processors.items()}
        demo = Demo(
            plan=plan,
            place=place,
            watcher=Watcher(plan, processors, configuration.portal),
            ingestor=Ingestor(configuration.ingestor, configuration.ingestor.signing_key.load()),
            portal=configuration.portal,
            say=say,
            clock=clock,
            began=began,
        )
        result = demo.run()
        write_report(result, read_shares(configuration.portal, result.outcomes[0]), place)
    for line in summary(result, place):
        say(line)
    return result.is_exact


@dataclass
class Demo:
    """A demo that is going on: it writes ingestion batches and looks at the buckets, and does nothing else."""

    plan: Plan
    place: Place
    watcher: Watcher
    ingestor: Ingestor
    portal: PortalConfiguration
    say: Say
    clock: Clock
    began: datetime
    snapshot: Snapshot = field(default_factory=Snapshot)

    def run(self) -> Result:
        """Write all batches, wait until every window is published, and gather what came out."""
        first, second = self.plan.windows
        self._write_first(first)
        self._tell("starting Dagster: the daemon with its sensors, and a code server for each party")
        with run_daemon(self.place) as daemon:
            self._wait(daemon, lambda now: now.proposed >= self._places(first))
            self._write_second(daemon, first, second)
            self._wait(daemon, lambda now: now.published >= self._places(first) | self._places(second))
            self._tell("all windows are published; waiting for the last runs to end")
            record = read_instance(self.place)
        found = tuple(outcomes(self.plan, self.portal, record))
        return Result(self.plan, found, self.watcher.look(), record)

    def _write_first(self, window: Window) -> None:
        batches = self.plan.of(window)
        made = self.ingestor.make_all(batches)
        self.ingestor.write_pha(made)
        self.ingestor.write_facilitator(made)
        self._tell(f"the ingestor wrote the {len(batches)} batches of the first window")

    def _write_second(self, daemon: Daemon, first: Window, second: Window) -> None:
        batches, late = self.plan.of(second), self.plan.of(first, late=True)
        made, made_late = self.ingestor.make_all(batches), self.ingestor.make_all(late)
        self.ingestor.write_pha(made)
        self.ingestor.write_pha(made_late)
        self.ingestor.write_facilitator(made_late)
        self._tell(f"the ingestor wrote the {len(batches)} batches of the second window, and a late one of the first")
        self._wait(daemon, lambda now: now.validated >= {batch.name for batch in late})
        self.ingestor.write_facilitator(made)

    def _places(self, window: Window) -> set[tuple[str, Window]]:
        return {(topic.name, its_window) for topic, its_window in self.plan.expected() if its_window == window}

    def _wait(self, daemon: Daemon, reached: Callable[[Snapshot], bool]) -> None:
        """Look until the state is reached, and tell what changes."""
        changed = self.clock()
        while True:
            now = self.watcher.look()
            for change in changes(self.plan, self.snapshot, now):
                self._tell(change)
                changed = self.clock()
            self.snapshot = now
            if reached(now):
                return
            daemon.check()
            if self.clock() - changed > LONGEST_STANDSTILL:
                seconds = LONGEST_STANDSTILL.seconds
                raise OperationalError(
                    f"nothing changed for {seconds} seconds; see {daemon.log}, or run `{ui_command(self.place)}`"
                )
            sleep(SECONDS_BETWEEN_LOOKS)

    def _tell(self, what: str) -> None:
        seconds = int((self.clock() - self.began).total_seconds())
        self.say(f"{seconds // 60:3}:{seconds % 60:02}  {what}")
