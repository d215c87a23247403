"""The end of the demo on the terminal: a table of the windows, the counts beside the true ones, where to look."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prio_assets.demo.outcome import Result, WindowOutcome
from prio_assets.demo.parties import Place
from prio_assets.demo.watch import hours_text

HEADINGS = ("aggregation", "window (UTC)", "clients", "batches", "batches left out", "packets left out", "counts")
MOST_BINS = 8
"""Of an aggregation with more bins, the fullest so many are printed."""
DEFAULT_DIRECTORY = Path("demo")
UI_TARGET = re.compile(r"^ui:", re.MULTILINE)


def summary(result: Result, place: Place) -> Iterator[str]:
    """The lines to print."""
    yield ""
    yield from table([HEADINGS, *(window_row(result, outcome) for outcome in result.outcomes)])
    for topic in result.plan.topics:
        yield ""
        yield from counts_lines([outcome for outcome in result.outcomes if outcome.topic == topic])
    yield ""
    yield verdict(result)
    yield runs_text(result)
    yield ""
    yield f"Report with plots:         {place.report}"
    yield f"The Dagster UI:            {ui_command(place)}"
    yield f"Configuration, to copy:    {place.configuration}"
    yield "Your own rows of 0 and 1:  prio-assets demo --data FILE"
    yield ""
    yield "This one instance holds both processors' keys, so it protects nobody: it is for trying."


def window_row(result: Result, outcome: WindowOutcome) -> tuple[str, ...]:
    """The window's row of the table."""
    late = f" ({outcome.late_batches} late)" if outcome.late_batches else ""
    return (
        outcome.topic.name,
        hours_text(outcome.window),
        str(outcome.clients),
        f"{len(outcome.batch_ids)}{late}",
        reasons_text(result.fates(outcome.topic, outcome.window)),
        reasons_text(outcome.packets),
        "exact" if outcome.is_exact else "WRONG",
    )


def reasons_text(reasons: Counter[str]) -> str:
    """E.g. `1 late, 2 parameters_differ`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "-"


def counts_lines(outcomes: Sequence[WindowOutcome]) -> Iterator[str]:
    """The question, and the recovered counts of an aggregation's windows, each beside the true one."""
    topic = outcomes[0].topic
    rest = f" (the fullest {MOST_BINS} of {topic.bins} bins)" if topic.bins > MOST_BINS else ""
    yield f"{topic.name}: {topic.question}{rest}"
    yield from table(counts_table(outcomes, MOST_BINS))


def counts_table(outcomes: Sequence[WindowOutcome], most_bins: int) -> list[Sequence[str]]:
    """Headings, a row for each of the fullest `most_bins` bins, and the totals."""
    topic = outcomes[0].topic
    totals = np.sum([outcome.counts for outcome in outcomes], axis=0)
    shown = np.sort(np.argsort(-totals, kind="stable")[:most_bins])
    heading = ["", *(f"{hours_text(outcome.window)}: recovered / true" for outcome in outcomes)]
    rows = [
        [
            topic.labels[place] if topic.labels else f"bin {place}",
            *(f"{outcome.counts[place]} / {outcome.true_counts[place]}" for outcome in outcomes),
        ]
        for place in shown
    ]
    sums = ["all bins", *(f"{outcome.counts.sum()} / {outcome.true_counts.sum()}" for outcome in outcomes)]
    return [heading, *rows, sums]


def runs_text(result: Result) -> str:
    """Who requested the runs of the instance."""
    runs, others = result.record.runs, result.record.runs_of_no_sensor
    if others:
        return f"Of {len(runs)} runs {len(others)} were not requested by a sensor."
    return f"Dagster's sensors requested all {len(runs)} runs; the demo itself only wrote ingestion batches."


def ui_command(place: Place) -> str:
    """What opens the UI on this instance, in the working directory."""
    if place.directory == DEFAULT_DIRECTORY.resolve() and _has_ui_target(Path("Makefile")):
        return "make ui"
    return f"prio-assets demo --ui --directory {shlex.quote(str(place.directory))}"


def _has_ui_target(makefile: Path) -> bool:
    return makefile.is_file() and UI_TARGET.search(makefile.read_text("utf-8", "replace")) is not None


def verdict(result: Result) -> str:
    """Whether everything is as it must be."""
    wrong = [
        f"{outcome.topic.name}, {hours_text(outcome.window)}" for outcome in result.outcomes if not outcome.is_exact
    ]
    if wrong:
        return f"WRONG: the recovered counts are not the true ones for {'; '.join(wrong)}."
    bins = sum(outcome.topic.bins for outcome in result.outcomes)
    return (
        f"Exact: in all {len(result.outcomes)} windows the recovered counts of all {bins} bins are the true ones, over "
        "the batches that both processors received."
    )


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of text in columns, a rule below the headings."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if number == 0:
            yield "  ".join("-" * width for width in widths)
