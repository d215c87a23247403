"""The demo by hand: what two real processors and a portal recover, and how the demo tells what is wrong."""

import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prio_assets.defs import metadata
from prio_assets.demo.outcome import NOT_COUNTED_IN_SUM, REJECTED_AT_INTAKE, Result, read_shares
from prio_assets.demo.parties import Place
from prio_assets.demo.scenario import Fault
from prio_assets.demo.summary import summary, ui_command, verdict
from prio_assets.demo.watch import Snapshot, changes
from tests.demo.by_hand import DemoByHand, rows

Demo = tuple[DemoByHand, Result]


def test_everything_is_exact(demo: Demo) -> None:
    result = demo[1]
    assert len(result.outcomes) == 6
    assert result.is_exact
    assert verdict(result).startswith("Exact: ")


def test_what_is_left_out_and_why(demo: Demo) -> None:
    result = demo[1]
    told = {
        (outcome.topic.name, number % 2): (result.fates(outcome.topic, outcome.window), outcome.packets)
        for number, outcome in enumerate(result.outcomes)
    }
    assert told == {
        ("commute", 0): (Counter({"parameters_differ": 1}), Counter({"proof_invalid": 3})),
        ("commute", 1): (Counter(), Counter()),
        ("phone-use", 0): (Counter({"at one processor only": 1, "late": 1}), Counter({"undecryptable": 3})),
        ("phone-use", 1): (Counter({"signature_invalid": 1}), Counter()),
        ("words", 0): (Counter(), Counter()),
        ("words", 1): (Counter({"parameters_differ": 1}), Counter({"proof_invalid": 3})),
    }


def test_each_processor_says_what_it_rejects(demo: Demo) -> None:
    by_hand, result = demo
    faults = {batch.name: batch.fault for batch in by_hand.plan.batches}
    found = Counter(
        (processor, faults[batch], reason) for (processor, batch), reason in result.snapshot.rejected.items()
    )
    assert found == {
        ("pha", Fault.OTHER_EPSILON, "parameters_differ"): 2,
        ("facilitator", Fault.OTHER_EPSILON, "parameters_differ"): 2,
        ("pha", Fault.BAD_SIGNATURE, "signature_invalid"): 1,
    }


def test_names_are_those_that_the_definitions_write() -> None:
    assert metadata.PACKETS_REJECTED_BY_REASON == REJECTED_AT_INTAKE
    assert metadata.PACKETS_NOT_COUNTED == NOT_COUNTED_IN_SUM


@pytest.mark.parametrize("field", ["clients", "counts", "batch_ids"])
def test_any_difference_is_told(demo: Demo, field: str) -> None:
    result = demo[1]
    wrong = {
        "clients": replace(result.outcomes[1], clients=result.outcomes[1].clients + 1),
        "counts": replace(result.outcomes[1], counts=result.outcomes[1].counts + np.eye(5, dtype=np.int64)[4]),
        "batch_ids": replace(result.outcomes[1], batch_ids=frozenset(list(result.outcomes[1].batch_ids)[1:])),
    }[field]
    changed = replace(result, outcomes=(result.outcomes[0], wrong, *result.outcomes[2:]))
    assert not changed.is_exact
    assert verdict(changed).startswith("WRONG: ")
    assert "commute, 11:00 to 12:00" in verdict(changed)
    assert "commute, 10:00" not in verdict(changed)


def test_summary(demo: Demo) -> None:
    by_hand, result = demo
    lines = list(summary(result, by_hand.place))
    text = "\n".join(lines)
    assert all(len(line) < 130 for line in lines if "DAGSTER_HOME" not in line)
    (row,) = (line for line in lines if line.startswith("phone-use    11:00"))
    assert "4 (1 late)" in row
    assert row.endswith("exact")
    bicycles = result.outcomes[0].true_counts[1]
    assert f"bicycle      {bicycles} / {bicycles}" in text
    assert "protects nobody" in text
    assert str(by_hand.place.report) in text


@pytest.mark.parametrize(
    ("makefile", "directory", "is_short"),
    [("ui: all\n", "demo", True), ("ui: all\n", "other", False), ("build:\n", "demo", False), (None, "demo", False)],
)
def test_the_ui_is_opened_by_make_only_where_that_is_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, makefile: str | None, directory: str, is_short: bool
) -> None:
    here = tmp_path / "my place"
    here.mkdir()
    monkeypatch.chdir(here)
    if makefile is not None:
        Path("Makefile").write_text(makefile)
    place = Place(Path(directory).resolve())
    if is_short:
        assert ui_command(place) == "make ui"
    else:
        assert shlex.split(ui_command(place)) == ["prio-assets", "demo", "--ui", "--directory", str(place.directory)]


def test_shares_add_up(demo: Demo) -> None:
    by_hand, result = demo
    shares = read_shares(by_hand.configuration.portal, result.outcomes[0])
    assert shares.total.tolist() == result.outcomes[0].true_counts.tolist()
    assert shares.pha.tolist() != shares.total.tolist() != shares.facilitator.tolist()


def test_changes_are_told_once(demo: Demo) -> None:
    by_hand, result = demo
    told = list(changes(by_hand.plan, Snapshot(), result.snapshot))
    assert "validated 24 of 24 batches" in told
    assert sum(line.startswith("rejected by the pha") for line in told) == 3
    assert sum(line.startswith("agreed on") for line in told) == 6
    assert sum(line.startswith("published") for line in told) == 6
    assert not list(changes(by_hand.plan, result.snapshot, result.snapshot))


def test_own_rows(tmp_path) -> None:
    own = rows(11, 7)
    result = DemoByHand(tmp_path, own_rows=own).run()
    assert result.is_exact
    mine = [outcome for outcome in result.outcomes if outcome.topic.name == "own-data"]
    assert sum(outcome.counts for outcome in mine).tolist() == own.sum(axis=0).tolist()
