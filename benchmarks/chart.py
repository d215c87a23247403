"""The chart: what a packet costs at intake, stage by stage, above the floor of its key agreement."""

import io
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.engines import CHOSEN
from benchmarks.figures import Figures
from benchmarks.stages import INTAKE_STAGES

_REST: Final = "the rest"
_COLOURS: Final = ("#94a3b8", "#0f766e", "#14b8a6", "#c2410c", "#f59e0b", "#2f6fdf", "#7c3aed", "#e5e7eb")
_STYLE: Final[dict[Any, object]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "prio-assets benchmarks",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def chart(figures: Figures) -> str:
    """The chart as SVG text; the same figures give the same text."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.subplots()
        _draw(axes, figures)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _draw(axes: Axes, figures: Figures) -> None:
    wholes = [
        whole for whole in figures.wholes if whole.topic == "intake" and whole.engine == CHOSEN and whole.cores == 1
    ]
    stages = {
        (stage.name, stage.bins, stage.role): stage.processor for stage in figures.stages if stage.engine == CHOSEN
    }
    places = range(len(wholes))
    bottoms = [0.0] * len(wholes)
    for name, colour in zip((*INTAKE_STAGES, _REST), _COLOURS, strict=True):
        heights = [
            max(0.0, whole.processor - bottom) if name == _REST else stages[name, whole.bins, whole.role]
            for whole, bottom in zip(wholes, bottoms, strict=True)
        ]
        axes.bar(places, heights, bottom=bottoms, width=0.7, color=colour, label=name)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    agreement = figures.agreements[0]
    axes.axhline(
        agreement.processor,
        color="#111827",
        linewidth=1,
        linestyle="--",
        label=f"{agreement.name} key agreement\nby itself, {agreement.processor:.1f} µs",
    )
    axes.set_xticks(places, [f"{whole.bins} bins\n{whole.role}" for whole in wholes])
    axes.set_ylabel("µs of one core for a packet")
    axes.set_title(f"Intake, {figures.machine.engine}", loc="left")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
