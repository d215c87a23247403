"""The report: one file without anything from elsewhere, well-formed, that says what happened."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from prio_assets.demo.outcome import Result, read_shares
from prio_assets.demo.report import write_report
from tests.demo.by_hand import DemoByHand

VOID = {"meta", "br", "use", "path", "rect", "image"}


class Reader(HTMLParser):
    """Checks that elements are nested well, and keeps the text and what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def report(demo: tuple[DemoByHand, Result]) -> str:
    by_hand, result = demo
    write_report(result, read_shares(by_hand.configuration.portal, result.outcomes[0]), by_hand.place)
    return by_hand.place.report.read_text("utf-8")


def test_is_whole_and_self_contained(report: str) -> None:
    reader = Reader()
    reader.feed(report)
    assert reader.open == []
    assert all(reference.startswith("#") for reference in reader.references)
    assert "<script" not in report
    assert "@import" not in report
    assert "url(http" not in report
    assert len(report) < 2_000_000


def test_says_what_happened(report: str, demo: tuple[DemoByHand, Result]) -> None:
    reader = Reader()
    reader.feed(report)
    text = " ".join(" ".join(reader.words).split())
    for expected in (
        "Counting people without seeing anyone's answer",
        "6 of 6",
        "rejected: signature_invalid",
        "never got it",
        "its epsilon is not the agreed one",
        "their proofs don't hold (3 of",
        "it comes after its window was proposed",
        "That protects nobody",
        "on foot",
    ):
        assert expected in text
    assert all(str(batch.name.uuid) in text for batch in demo[0].plan.batches)


@pytest.mark.parametrize(
    ("sensor", "said"), [("work", "all requested by sensors"), (None, "1 of them not requested by sensors")]
)
def test_says_who_requested_the_runs(demo: tuple[DemoByHand, Result], sensor: str | None, said: str) -> None:
    by_hand, result = demo
    first, *others = result.record.runs
    record = replace(result.record, runs=(replace(first, sensor=sensor), *others))
    write_report(
        replace(result, record=record), read_shares(by_hand.configuration.portal, result.outcomes[0]), by_hand.place
    )
    assert f"Dagster runs, {said}<" in by_hand.place.report.read_text("utf-8")


def test_a_wrong_count_is_not_called_exact(demo: tuple[DemoByHand, Result]) -> None:
    by_hand, result = demo
    wrong = replace(result, outcomes=(replace(result.outcomes[0], clients=1), *result.outcomes[1:]))
    write_report(wrong, read_shares(by_hand.configuration.portal, result.outcomes[0]), by_hand.place)
    text = by_hand.place.report.read_text("utf-8")
    assert "5 of 6" in text
    assert "WRONG" in text
