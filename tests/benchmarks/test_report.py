"""What a run's figures become: tables and a JSON document, from figures that are known."""

import json
from dataclasses import replace

import pytest

from benchmarks.documents import document, figures_of
from benchmarks.report import report
from tests.benchmarks.canned import FIGURES, ONE_CORE


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells below the headings of the table in the section whose heading begins so."""
    (section,) = (part for part in text.split("\n## ") if part.startswith(heading))
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1, "columns stand below each other"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_intake_with_its_ratio_and_the_gain_of_a_second_core() -> None:
    found = rows(report(FIGURES), "Intake\n")
    assert found[0] == ["chosen", "pha", "64", "20,000 in 1", "12.00", "1.50", "13.00", "6.50", "1.85"]
    assert found[1] == ["chosen", "facilitator", "64", "20,000 in 1", "10.00", "1.25", "13.00", "", ""]


def test_reference_is_scaled_by_the_key_agreement_of_both_machines() -> None:
    """107 µs at a call of 15 are 7.13 calls; ours are 1.5 of them, or 8.75 with one agreement after the other."""
    found = {(row[0], row[1]): row for row in rows(report(FIGURES), "Intake beside the reference")}
    assert found["chosen", "pha"][3:] == ["1.50", "≤ 1.15, at most 1.4", "4.76", "≥ 6"]
    assert found["single", "pha"][3:] == ["8.75", "", "0.82", "≥ 1.4"]


def test_no_comparison_where_the_chosen_engine_has_no_call_like_that_it_is_scaled_by() -> None:
    plain = replace(FIGURES, machine=replace(FIGURES.machine, engine="plain"))
    assert "reference" not in report(plain)
    assert document(plain)["wholes"][0]["times_the_reference"] is None


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Aggregation, with", ["chosen", "pha", "64", "1,000,000 in 50", "0.40", "0.05", "13.00", "", ""]),
        ("Stages by themselves, chosen", ["key agreement", "8.00", "8.00"]),
        ("Small batches", ["pha", "900", "20", "1.50", "0.25", "0.50", "2.25"]),
        ("A window of small batches", ["directories", "intake", "", "", "", "", "", "", "0.50", ""]),
        ("Processes", ["a command", "0.25", "0.30"]),
        ("Memory", ["an intake", "1000", "123"]),
    ],
)
def test_tables(heading: str, expected: list[str]) -> None:
    assert rows(report(FIGURES), heading)[0] == expected


def test_a_clouds_requests_and_how_long_they_are_waited_for() -> None:
    found = rows(report(FIGURES), "A window of small batches")[1]
    assert found == ["a server", "intake", "1.00", "6.00", "4.00", "1.00", "45.60", "300", "2.00", "8.00"]
    assert FIGURES.cloud_steps[1].waited == 6.0 / 300


def test_machine_and_why_it_has_no_faster_engine() -> None:
    text = report(FIGURES)
    for expected in (
        "A processor; 2 cores; a system",
        "python 3.11",
        "engine: compiled, multi-buffer key agreement",
        "no faster engine: a reason",
    ):
        assert expected in text


def test_document_holds_every_figure_and_the_ratios() -> None:
    made = json.loads(json.dumps(document(FIGURES)))
    assert figures_of(made) == FIGURES
    assert made["wholes"][0]["over_agreement"] == 1.5
    assert made["wholes"][0]["times_the_reference"] == pytest.approx(107 / 15 / 1.5)
    assert [entry["gain_of_second_core"] for entry in made["wholes"]] == [12 / 6.5, None, None, None, None]


def test_bins_that_the_reference_was_not_measured_with() -> None:
    made = document(replace(FIGURES, wholes=[replace(ONE_CORE, bins=8)]))
    assert made["wholes"][0]["times_the_reference"] is None
