"""The report's plots, as SVG text without a script or a font of its own."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prio_assets.demo.instance import Run
from prio_assets.demo.outcome import Shares, WindowOutcome
from prio_assets.demo.watch import hours_text
from prio_assets.prio.field import PRIME

RECOVERED = "#2f6fdf"
TRUE = "#111827"
PHA = "#c2410c"
FACILITATOR = "#0f766e"
PORTAL = RECOVERED
MOST_BARS = 20
"""With more bins than these, counts are a line."""

COLOURS = {"pha": PHA, "facilitator": FACILITATOR, "portal": PORTAL}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "prio-assets demo",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
}


def counts_plot(outcomes: Sequence[WindowOutcome]) -> str:
    """The recovered counts of an aggregation's windows beside the true ones."""
    with _figure(len(outcomes), height=3.2) as (figure, axes):
        for axis, outcome in zip(axes, outcomes, strict=True):
            axis.set_title(f"{hours_text(outcome.window)} UTC: {outcome.clients} clients")
            axis.set_ylim(0, max(1, outcome.counts.max(), outcome.true_counts.max()) * 1.15)
            if len(outcome.counts) <= MOST_BARS:
                _bars(axis, outcome)
            else:
                _line(axis, outcome)
        axes[0].set_ylabel("clients with a 1")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
        return _svg(figure)


def shares_plot(shares: Shares, labels: Sequence[str]) -> str:
    """What each processor knows of a sum, and what both add up to."""
    with _figure(3, height=2.6) as (figure, axes):
        parts = (
            ("the PHA knows", shares.pha, PHA),
            ("the facilitator knows", shares.facilitator, FACILITATOR),
            ("added modulo p", shares.total, RECOVERED),
        )
        for axis, (title, values, colour) in zip(axes, parts, strict=True):
            axis.bar(range(len(values)), values, color=colour)
            axis.set_title(title)
            if len(labels) <= MOST_BARS:
                axis.set_xticks(range(len(values)), labels, rotation=30, ha="right")
        for axis in axes[:2]:
            axis.set_ylim(0, PRIME)
            axis.set_yticks([0, PRIME], ["0", "p"])
        return _svg(figure)


def runs_plot(runs: Sequence[Run]) -> str:
    """When each run went, a row for each asset; the time from the first run's beginning in seconds."""
    begin = min(run.start for run in runs)
    assets = list(dict.fromkeys(run.assets[-1] for run in sorted(runs, key=lambda run: run.start)))
    with _figure(1, height=0.6 + 0.32 * len(assets)) as (figure, (axis,)):
        for run in runs:
            party = run.assets[-1].split("/")[0]
            axis.barh(
                assets.index(run.assets[-1]),
                run.end - run.start,
                left=run.start - begin,
                height=0.6,
                alpha=0.55,
                color=COLOURS.get(party, RECOVERED),
            )
        axis.set_yticks(range(len(assets)), assets)
        axis.invert_yaxis()
        axis.set_xlabel("seconds since the first run began")
        return _svg(figure)


def _bars(axis: Axes, outcome: WindowOutcome) -> None:
    places = np.arange(len(outcome.counts))
    bars = axis.bar(places - 0.2, outcome.counts, 0.4, color=RECOVERED, label="recovered")
    axis.bar(places + 0.2, outcome.true_counts, 0.4, color="white", edgecolor=TRUE, label="true")
    axis.bar_label(bars, fontsize=8)
    axis.set_xticks(places, outcome.topic.labels or [str(place) for place in places], rotation=20, ha="right")


def _line(axis: Axes, outcome: WindowOutcome) -> None:
    bins = np.arange(len(outcome.counts))
    axis.step(bins, outcome.counts, where="mid", color=RECOVERED, linewidth=2.4, alpha=0.7, label="recovered")
    axis.step(bins, outcome.true_counts, where="mid", color=TRUE, linewidth=0.6, label="true")
    labels = outcome.topic.labels
    if labels:
        ticks = bins[:: max(1, len(bins) // 6)]
        axis.set_xticks(ticks, [labels[tick] for tick in ticks])
    else:
        axis.set_xlabel("bin")
    axis.margins(x=0.01)


@contextmanager
def _figure(columns: int, height: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """A row of plots as wide as the report."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, height), layout="constrained")
        yield figure, list(np.atleast_1d(figure.subplots(1, columns)))


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()
