"""Two processors, an ingestor and a portal as four configurations: the PHA in S3, the others in Google Cloud Storage.

One daemon asks three code servers, each of which knows the file and the keys of its own party, and no others.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from prio_assets.clock import system_clock
from prio_assets.configuration import Configuration, load_configuration
from prio_assets.demo.clouds import new_storages
from prio_assets.demo.outcome import Result
from prio_assets.demo.parties import make_place, set_up
from prio_assets.demo.processes import write_settings
from prio_assets.demo.run import Demo
from prio_assets.demo.scenario import PERIOD, Fault, Plan, PlannedBatch, Topic
from prio_assets.demo.storages import Choice
from prio_assets.demo.traffic import Ingestor
from prio_assets.demo.watch import Watcher
from prio_assets.ingestor.batches import draw_uuid
from prio_assets.processor.processor import load_processor
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window, window_of
from tests.live.organisations import PARTIES, code_servers, take_apart

pytestmark = pytest.mark.live

TOPIC = Topic("answers", "What did you answer?", 4, ("one", "two", "three", "four"))


def small_plan(now: datetime) -> Plan:
    """Two batches in each of the last two windows, and one of the first that comes late."""
    end = window_of(now, PERIOD).start
    first, second = Window(end - 2 * PERIOD, end - PERIOD), Window(end - PERIOD, end)
    places = [
        (first, Fault.NONE),
        (first, Fault.LIARS),
        (first, Fault.LATE),
        (second, Fault.NONE),
        (second, Fault.NONE),
    ]
    batches = (_batch(window.start + timedelta(minutes=7 * at), fault) for at, (window, fault) in enumerate(places))
    return Plan((TOPIC,), (first, second), tuple(batches))


def _batch(time: datetime, fault: Fault) -> PlannedBatch:
    rows = np.random.default_rng().integers(0, 2, (20, TOPIC.bins), dtype=np.uint8)
    faulty = np.arange(len(rows)) < (3 if fault is Fault.LIARS else 0)
    return PlannedBatch(BatchName(TOPIC.name, time, draw_uuid()), TOPIC, rows, fault, faulty)


def run_apart(directory: Path, choice: Choice, say: Callable[[str], None]) -> tuple[Result, dict[str, Configuration]]:
    """A whole demo with the parties apart."""
    plan, place = small_plan(system_clock()), make_place(directory)
    with new_storages(choice, place.buckets) as storages:
        set_up(place, plan, storages)
        write_settings(place)
        files = take_apart(place)
        own = {party: load_configuration(file) for party, file in files.items()}
        processors = {name: load_processor(own[name].processors[name]) for name in ("pha", "facilitator")}
        ingestor, portal = own["ingestor"].ingestor, own["portal"].portal
        with code_servers(place, files):
            demo = Demo(
                plan=plan,
                place=place,
                watcher=Watcher(plan, processors, portal),
                ingestor=Ingestor(ingestor, ingestor.signing_key.load()),
                portal=portal,
                say=say,
                clock=system_clock,
                began=system_clock(),
            )
            result = demo.run()
    return result, own


def test_a_window_with_a_late_batch_across_two_clouds(tmp_path: Path) -> None:
    result, own = run_apart(tmp_path / "demo", Choice.BOTH, print)
    first, second = result.outcomes
    assert result.is_exact
    assert (first.clients, first.late_batches, len(first.batch_ids)) == (37, 0, 2)
    assert (second.clients, second.late_batches, len(second.batch_ids)) == (60, 1, 3)
    assert first.packets == {"proof_invalid": 3}
    assert {run.status for run in result.record.runs} == {"SUCCESS"}
    assert result.record.runs_of_no_sensor == []
    for party in PARTIES:
        assert len(own[party].processors) + (own[party].portal is not None) + (own[party].ingestor is not None) == 1
    schemes = [
        str(own["pha"].processors["pha"].ingestion)[:5],
        str(own["facilitator"].processors["facilitator"].state)[:5],
    ]
    assert schemes == ["s3://", "gs://"]
