"""The window's way under Dagster: its data, and what is said of times that are known."""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fastavro
import pytest

from benchmarks.window.batches import Size, client_rows, write_batches
from benchmarks.window.measure import Measured
from benchmarks.window.path import stages
from benchmarks.window.processes import Sampler, Usage
from benchmarks.window.record import RunTimes, Tick
from benchmarks.window.report import figures, lines
from prio_assets.demo.scenario import Topic
from prio_assets.wire.records import IngestionHeader, decode
from prio_assets.wire.windows import Window
from tests.defs.deployments import Deployment, full_deployment

START = 1_000_000.0


def run(asset: str, pid: int, tick: float, steps: tuple[tuple[str, float, float], ...], ended: float) -> RunTimes:
    """A run that is requested a second after its tick, launched half a second later, begun two seconds after that."""
    at = START + tick
    times = tuple((name, START + begin, START + end) for name, begin, end in steps)
    return RunTimes(asset, "SUCCESS", pid, at, at + 1, at + 1.5, at + 3.5, times, START + ended, events=30)


RUNS = [
    run("pha/own_validations", 11, 2, (("a.validate_group[0]", 6, 16), ("a.validate_group[1]", 16, 25)), 27),
    run("facilitator/own_validations", 12, 3, (("b.find_batches", 7, 8), ("b.validate_group[0]", 8, 24)), 26),
    run("pha/batch_lists", 13, 28, (("lists", 32, 33),), 34),
    run("facilitator/batch_lists", 14, 33, (("lists", 38, 39),), 40),
    run("pha/sum_parts", 15, 41, (("sums", 45, 47),), 48),
    run("facilitator/sum_parts", 16, 41, (("sums", 45, 46),), 47),
]


@pytest.fixture
def measured() -> Measured:
    usage = Sampler(1)
    usage.found = {
        1: Usage("dagster dev", 1.0),
        2: Usage("python -m dagster._daemon run", 5.0),
        3: Usage("python -m dagster api grpc", 7.0),
        11: Usage("python -c from multiprocessing.spawn import spawn_main", 30.0, 300 << 20),
        12: Usage("python -c from multiprocessing.spawn import spawn_main", 20.0),
    }
    ticks = [Tick("1", START - 3, START - 2, False), Tick("2", START + 2, START + 3, False)]
    return Measured(
        size=Size(batches=10, packets=100, bins=4),
        arrived=START + 1,
        summed={"pha": START + 47, "facilitator": START + 46},
        runs=RUNS,
        ticks={"pha_runs": [*ticks, Tick("3", START + 10, START + 14, True)]},
        usage=usage,
        before={2: 3.0, 3: 4.0},
        longest_silence=30.0,
    )


def test_stages_follow_each_other_from_the_first_tick_to_the_last_sum_part(measured: Measured) -> None:
    found = list(stages(measured))
    assert [(stage.name, stage.requesting, stage.seconds) for stage in found] == [
        ("validate", 1, 25),
        ("propose", 2, 7),
        ("answer", 0, 6),
        ("sum", 2, 7),
    ]
    assert found[0].intake == 19
    assert found[0].working == 27 - 5.5 - 19
    assert [stage.queueing + stage.starting for stage in found] == [2.5] * 4


def test_what_is_not_intake(measured: Measured) -> None:
    """Of 45 seconds 19 are spent on packets by one processor or both."""
    found = figures(measured)
    assert found["seconds from tick to both sum parts"] == 45
    assert found["seconds of intake"] == 19
    assert found["share that is not intake"] == pytest.approx(26 / 45)
    assert found["packets per second"] == pytest.approx(1000 / 45)


def test_processor_seconds_are_those_since_the_arrival(measured: Measured) -> None:
    assert figures(measured)["processor seconds"] == {"code servers": 4.0, "daemon": 2.0, "runs": 50.0}


def test_ticks_are_those_since_the_arrival(measured: Measured) -> None:
    found = figures(measured)["ticks"]["pha_runs"]
    assert found == {"ticks": 2, "failed": 1, "median seconds": 4, "longest seconds": 4, "longest pause": 8}


def test_figures_are_told_in_tables(measured: Measured) -> None:
    text = "\n".join(lines(figures(measured)))
    assert "from the first tick to both sum parts 45.0 s, 22 packets a second; 58% of it is not intake" in text
    assert "validate        1.00      0.50      2.00   19.00     2.50    25.00" in text


@pytest.fixture
def deployment(tmp_path: Path, interop_cases: Path) -> Deployment:
    (tmp_path / "deployment").mkdir()
    return full_deployment(tmp_path / "deployment", json.loads((interop_cases / "plain-8" / "keys.json").read_text()))


def packets(path: Path) -> list[dict]:
    return list(fastavro.reader(io.BytesIO(path.read_bytes())))


def test_batches_hold_the_same_payloads_under_uuids_of_their_own(deployment: Deployment, tmp_path: Path) -> None:
    size, start = Size(batches=2, packets=3, bins=4), datetime(2024, 1, 1, tzinfo=UTC)
    topic, window = Topic("window", "", size.bins), Window(start, start + timedelta(hours=1))
    folders = {role: tmp_path / role for role in ("pha", "facilitator")}
    write_batches(size, client_rows(size), topic, window, deployment.configuration.ingestor, folders)
    uuids = {}
    for role, folder in folders.items():
        first, second = (packets(path) for path in sorted(folder.rglob("*.avro")))
        assert [each["encrypted_payload"] for each in first] == [each["encrypted_payload"] for each in second]
        assert [each["r_pit"] for each in first] == [each["r_pit"] for each in second]
        uuids[role] = [each["uuid"] for each in (*first, *second)]
        assert len(set(uuids[role])) == 6
        for path in folder.rglob("*.batch"):
            header = decode(IngestionHeader, path.read_bytes(), path.name)
            assert header.packet_file_digest == hashlib.sha256(Path(f"{path}.avro").read_bytes()).digest()
            assert str(header.batch_uuid) == path.stem
    assert uuids["pha"] == uuids["facilitator"]
