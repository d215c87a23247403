"""A statistic as people and programs read it: a table, JSON, CSV."""

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from prio_assets.portal.collection import Statistic
from prio_assets.wire.windows import format_minute

if TYPE_CHECKING:
    import pandas


def to_dictionary(statistic: Statistic) -> dict[str, Any]:
    """The statistic as plain values, for JSON; times are `YYYY/MM/DD/HH/MM` in UTC."""
    return {
        "aggregation": statistic.aggregation,
        "window": {"start": format_minute(statistic.window.start), "end": format_minute(statistic.window.end)},
        "bins": statistic.bins,
        "epsilon": statistic.epsilon,
        "hamming_weight": statistic.hamming_weight,
        "clients": statistic.clients,
        "sum": list(statistic.sum),
        "batch_ids": [str(batch_id) for batch_id in statistic.batch_ids],
        "warnings": list(statistic.warnings),
    }


def to_json(statistic: Statistic) -> str:
    """One JSON object, ending in a line feed."""
    return json.dumps(to_dictionary(statistic), indent=2) + "\n"


def to_csv(statistic: Statistic) -> str:
    """A row for each bin: its number, counted from 0, and its count."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("bin", "count"))
    writer.writerows(enumerate(statistic.sum))
    return text.getvalue()


def to_frame(statistic: Statistic) -> "pandas.DataFrame":
    """A row for each bin: its count, and the share of clients that had a 1 there."""
    import pandas  # noqa: PLC0415 (half a second that the other renderings do without)

    frame = pandas.DataFrame({"bin": range(statistic.bins), "count": statistic.sum})
    frame["share"] = frame["count"] / statistic.clients if statistic.clients else float("nan")
    return frame


def to_table(statistic: Statistic) -> str:
    """Text for a terminal: what was counted, then a line for each bin."""
    window = statistic.window
    weight = "" if statistic.hamming_weight is None else f", hamming weight {statistic.hamming_weight}"
    heading = (
        f"aggregation {statistic.aggregation}\n"
        f"window      {format_minute(window.start)} to {format_minute(window.end)} UTC\n"
        f"clients     {statistic.clients} in {len(statistic.batch_ids)} batches\n"
        f"parameters  {statistic.bins} bins, epsilon {statistic.epsilon:g}{weight}\n"
    )
    table = to_frame(statistic).to_string(index=False, formatters={"share": "{:.1%}".format})
    return f"{heading}\n{table}\n"
