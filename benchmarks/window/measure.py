"""The measurement: parties and batches in a fresh directory, Dagster's daemon over them, and a watch until the sum."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np

from benchmarks.window.batches import Size, client_rows, write_batches
from benchmarks.window.processes import Sampler
from benchmarks.window.record import RunTimes, Tick, engines, heartbeats, runs, ticks
from prio_assets.configuration import Configuration
from prio_assets.demo.configuration_file import INSTANCE_NAME
from prio_assets.demo.parties import PROCESSORS, Place, make_place, set_up
from prio_assets.demo.processes import Daemon, environment, run_dagster, write_settings
from prio_assets.demo.scenario import PERIOD, Fault, Plan, PlannedBatch, Rows, Topic
from prio_assets.errors import OperationalError
from prio_assets.ingestor.batches import draw_uuid
from prio_assets.portal.statistics import Portal, add_window
from prio_assets.prio.choice import choose_engine
from prio_assets.wire.names import BatchName, sum_part_objects
from prio_assets.wire.windows import Window, window_of

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_START, SECONDS_TO_SUM = 120, 600
SENSORS = {"pha_discovery", "pha_runs", "facilitator_discovery", "facilitator_runs", "portal_runs"}


@dataclass(frozen=True)
class Measured:
    """What was measured; times in seconds since 1970, by role where both have their own.

    `arrived` is when the batches stood in the buckets, `summed` when a role's sum part stood in the portal's bucket.
    """

    size: Size
    arrived: float
    summed: dict[str, float]
    runs: list[RunTimes]
    ticks: dict[str, list[Tick]]
    usage: Sampler
    before: dict[int, float]
    longest_silence: float


@dataclass
class Watch:
    """Samples processes and heartbeats while something is waited for."""

    daemon: Daemon
    instance: dg.DagsterInstance
    usage: Sampler
    longest_silence: float = 0.0
    _next: float = field(default=0.0)

    def until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Look again and again until the condition holds. Raises `OperationalError` when that takes too long."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.daemon.check()
            self._look()
            if time.monotonic() > deadline:
                raise OperationalError(f"{what} did not come within {seconds} seconds; see {self.daemon.log}")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.usage.sample()

    def _look(self) -> None:
        self.usage.sample()
        now = time.time()
        if now >= self._next:
            self._next = now + 1
            self.longest_silence = max([self.longest_silence, *(now - at for at in heartbeats(self.instance))])


def measure(directory: Path, size: Size, say: Callable[[str], None]) -> Measured:
    """Measure in `directory`, which becomes that of a demo. Raises `OperationalError` where a sum is wrong."""
    window = _last_window()
    labels = tuple(f"bin {number}" for number in range(size.bins))
    topic, rows = Topic("window", "a window to measure", size.bins, labels), client_rows(size)
    place = make_place(directory)
    configuration = set_up(place, _plan(topic, window, rows))
    write_settings(place)
    say(f"writing {size.batches} batches of {size.packets} packets and {size.bins} bins for both processors")
    staged = {role: place.directory / "staged" / role for role in PROCESSORS}
    write_batches(size, rows, topic, window, configuration.ingestor, staged)
    os.sync()
    # The instance first: two processes that make its tables at the same time spoil them.
    with _instance(place) as instance, run_dagster(place, _dagster_dev(place)) as daemon:
        watch = Watch(daemon, instance, Sampler(daemon.process.pid))
        watch.until("a tick of each sensor", lambda: _ticking(instance), SECONDS_TO_START)
        say("the daemon is up; the batches arrive")
        watch.longest_silence = 0.0
        before = watch.usage.seconds()
        for role, folder in staged.items():
            (folder / topic.name).rename(place.buckets / role / "ingestion" / topic.name)
        arrived = time.time()
        summed = _wait_for_sums(watch, place, topic, window)
        watch.until("the end of all runs", lambda: _is_idle(instance), SECONDS_TO_START)
        _check_engine(instance)
        found = Measured(
            size, arrived, summed, runs(instance), ticks(instance), watch.usage, before, watch.longest_silence
        )
    _check_sum(configuration, topic, window, size, rows)
    return found


def _dagster_dev(place: Place) -> list[str]:
    """The daemon, the web server and a code server for each party, as most people start them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    program = Path(sys.executable).with_name("dagster")
    return [str(program), "dev", "--workspace", str(place.workspace), "--port", str(port)]


def _last_window() -> Window:
    end = window_of(datetime.now(UTC), PERIOD).start
    return Window(end - PERIOD, end)


def _plan(topic: Topic, window: Window, rows: Rows) -> Plan:
    """A plan of the topic and the window, from which the demo makes its configuration file."""
    name = BatchName(topic.name, window.start, draw_uuid())
    return Plan((topic,), (window,), (PlannedBatch(name, topic, rows, Fault.NONE, np.zeros(len(rows), dtype=bool)),))


@contextmanager
def _instance(place: Place) -> Iterator[dg.DagsterInstance]:
    os.environ["DAGSTER_HOME"] = environment(place)["DAGSTER_HOME"]
    with dg.DagsterInstance.get() as instance:
        yield instance


def _ticking(instance: dg.DagsterInstance) -> bool:
    return {sensor for sensor, of_sensor in ticks(instance).items() if of_sensor} >= SENSORS


def _is_idle(instance: dg.DagsterInstance) -> bool:
    return all(run.is_finished for run in instance.get_runs())


def _wait_for_sums(watch: Watch, place: Place, topic: Topic, window: Window) -> dict[str, float]:
    """When the sum part of each role was written: its signature, which is written last."""
    paths = {
        role: place.buckets / role / "sum-parts" / sum_part_objects(INSTANCE_NAME, topic.name, window, index).signature
        for index, role in enumerate(PROCESSORS)
    }
    watch.until("the sum parts", lambda: all(path.is_file() for path in paths.values()), SECONDS_TO_SUM)
    return {role: path.stat().st_mtime for role, path in paths.items()}


def _check_engine(instance: dg.DagsterInstance) -> None:
    """Both processors' runs name the engine that is chosen here."""
    chosen = choose_engine().engine.name
    for role in PROCESSORS:
        found = engines(instance, f"{role}/own_validations")
        if found != {chosen}:
            raise OperationalError(f"the runs of the {role} name {found or 'no engine'}, not {chosen}")


def _check_sum(configuration: Configuration, topic: Topic, window: Window, size: Size, rows: Rows) -> None:
    """The sum of both parts is that of the rows."""
    portal = Portal(configuration.portal, configuration.portal.stores)
    statistic = add_window(portal, topic.name, window)
    expected = rows.sum(axis=0, dtype=np.int64) * size.batches
    if statistic.clients != size.clients or list(statistic.sum) != expected.tolist():
        raise OperationalError(f"the sum over {statistic.clients} of {size.clients} clients is wrong")
