"""Setting up: a configuration that loads, keys that only their owner reads, no file lost that is not a demo's."""

from pathlib import Path

import pytest

from prio_assets.demo.parties import MARKER, Place, make_place, set_up
from prio_assets.demo.scenario import make_plan
from prio_assets.errors import ConfigurationError
from prio_assets.processor.processor import load_processor, not_before
from tests.demo.by_hand import NOW, rows

PLAN = make_plan(NOW, 1)


def new_demo(directory: Path) -> Place:
    """A demo that has been set up and did not run."""
    place = make_place(directory)
    set_up(place, PLAN)
    return place


def test_parties(tmp_path: Path) -> None:
    configuration = set_up(make_place(tmp_path), PLAN)
    assert list(configuration.processors) == ["pha", "facilitator"]
    assert configuration.portal
    assert configuration.ingestor
    for processor in configuration.processors.values():
        assert not_before(load_processor(processor)) == PLAN.windows[0].start
        assert processor.minimum_clients == 10
        assert sorted(processor.aggregations) == ["commute", "phone-use", "words"]
    assert configuration.portal.labels["commute"][1] == "bicycle"


def test_minimum_lets_few_rows_pass(tmp_path: Path) -> None:
    configuration = set_up(make_place(tmp_path), make_plan(NOW, 1, rows(2, 3)))
    assert configuration.processors["pha"].minimum_clients == 2


def test_secrets(tmp_path: Path) -> None:
    place = new_demo(tmp_path)
    secrets = sorted(place.secrets.iterdir())
    assert len(secrets) == 5
    assert place.secrets.stat().st_mode & 0o077 == 0
    text = place.configuration.read_text()
    for secret in secrets:
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.read_text().strip() not in text


def test_comments_of_the_file_are_aligned(tmp_path: Path) -> None:
    place = new_demo(tmp_path)
    lines = place.configuration.read_text().splitlines()
    columns = {line.index("# ") for line in lines if line.startswith("    ingestion:") or "own-validations" in line}
    assert len(columns) == 2  # a column for each processor


def test_earlier_demo_is_removed(tmp_path: Path) -> None:
    first = new_demo(tmp_path)
    key = (first.secrets / "pha-signing-key").read_text()
    (first.instance / "left").write_text("over")
    (tmp_path / "report.html").write_text("old")
    second = new_demo(tmp_path)
    assert not (second.instance / "left").exists()
    assert not second.report.exists()
    assert (second.secrets / "pha-signing-key").read_text() != key


def test_interrupted_removal_is_gone_on_with(tmp_path: Path) -> None:
    new_demo(tmp_path)
    (tmp_path / "prio.yaml").unlink()
    new_demo(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="name another directory"):
        new_demo(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / MARKER).exists()


def test_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="not a directory"):
        new_demo(tmp_path / "file")
