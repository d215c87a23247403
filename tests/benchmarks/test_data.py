"""The benchmarks' data: the same every time, and right, so that what is timed is what happens in earnest."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.commands import run
from benchmarks.datasets import Dataset
from benchmarks.engines import CHOSEN, PLAIN, fastest_agreement
from benchmarks.parties import ROLES
from benchmarks.places import Places, check_accepted, check_sums
from benchmarks.repeated import Repeated
from benchmarks.run import datasets
from benchmarks.sizes import SMALL, USUAL
from prio_assets.prio.agreement import SingleAgreement
from prio_assets.prio.choice import Choice
from prio_assets.prio.plain import PlainEngine

TWO_BATCHES = Dataset(bins=3, packets=4, batches=2)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.datasets.KEPT", tmp_path / "kept")


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    TWO_BATCHES.make()
    first = content(TWO_BATCHES.directory)
    assert len(first) == 2 * 2 * 3 + 1
    TWO_BATCHES.directory.rename(tmp_path / "first")
    TWO_BATCHES.make()
    assert content(TWO_BATCHES.directory) == first


def test_what_is_there_is_not_made_again() -> None:
    TWO_BATCHES.make()
    (TWO_BATCHES.directory / "counts.json").write_text("[0, 0, 0]")
    TWO_BATCHES.make()
    assert TWO_BATCHES.true_counts().tolist() == [0, 0, 0]


def test_sums_are_those_of_the_rows(tmp_path: Path) -> None:
    TWO_BATCHES.make()
    places = Places(TWO_BATCHES, PlainEngine(), tmp_path)
    for role in ROLES:
        for batch in TWO_BATCHES.names():
            check_accepted(places.take_in(role, batch), TWO_BATCHES)
    parts = [places.sum(role, TWO_BATCHES.names()) for role in ROLES]
    check_sums(parts, TWO_BATCHES, times=1)
    with pytest.raises(ValueError, match="do not add up"):
        check_sums([parts[0], parts[0]], TWO_BATCHES, times=1)
    with pytest.raises(ValueError, match="clients"):
        check_sums([replace(parts[0], total_individual_clients=7), parts[1]], TWO_BATCHES, times=1)


def test_repeated_batches_hold_the_packets_so_many_times(tmp_path: Path) -> None:
    dataset = Dataset(bins=3, packets=4)
    dataset.make()
    places = Places(dataset, PlainEngine(), tmp_path, linked=True)
    repeated = Repeated(dataset, batches=3, copies=2)
    repeated.write(places)
    parts = [places.sum(role, repeated.names()) for role in ROLES]
    check_sums(parts, dataset, times=6)


@pytest.mark.parametrize("sizes", [SMALL, USUAL])
def test_all_that_is_measured_is_made_once(sizes) -> None:
    made = datasets(sizes, ["chosen", "single", PLAIN])
    assert len(made) == len(set(made))
    assert {sizes.dataset(engine, bins) for engine in ("chosen", PLAIN) for bins in sizes.packets} <= set(made)


def test_memory_is_that_of_the_command_and_not_ours() -> None:
    ours = b"x" * 150_000_000
    small, great = (run([sys.executable, "-c", f"b'x' * {size}"]) for size in (1, 100_000_000))
    assert len(ours) / 1e6 > small.peak_megabytes + 75
    assert 100 < great.peak_megabytes < 150


def test_a_command_that_fails_is_not_a_figure() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_the_plain_engine_when_chosen_is_compared_with_its_own_key_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.engines.choose_engine", lambda: Choice(PlainEngine(), ("it is wished",)))
    assert isinstance(fastest_agreement(CHOSEN), SingleAgreement)
