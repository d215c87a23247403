"""A picture of a statistic, small enough to be metadata."""

import base64
import io

import numpy as np

from prio_assets.portal.collection import Statistic

MOST_LABELS = 24
"""More names than this under the bars cannot be read."""


def plot(statistic: Statistic, labels: tuple[str, ...] | None) -> str:
    """The counts as bars, a PNG within Markdown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (half a second, for this alone)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bins = np.arange(statistic.bins)
    if statistic.bins <= 200:
        axes.bar(bins, statistic.sum)
    else:
        axes.fill_between(bins, statistic.sum, step="mid")
    if labels is not None and statistic.bins <= MOST_LABELS:
        axes.set_xticks(bins, labels, rotation=30, ha="right")
    else:
        axes.set_xlabel("bin")
    axes.set_ylabel(f"of {statistic.clients} clients")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=80)
    return f"![counts by bin](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
