"""Since when the set of a window's validations has not changed: what a sensor's cursor keeps. No Dagster here."""

import json
from collections.abc import Mapping
from datetime import datetime

from prio_assets.configuration import ProcessorConfiguration
from prio_assets.processor.pending import Quiet, ended_windows, validations_of
from prio_assets.processor.survey import Survey
from prio_assets.wire.windows import Window

QuietWindows = dict[str, dict[Window, Quiet]]
"""By aggregation and window."""


def observe(
    before: QuietWindows, surveys: Mapping[str, Survey], settings: ProcessorConfiguration, now: datetime
) -> QuietWindows:
    """The sets as they are now; one that was not seen before, as after a lost cursor, is quiet since now."""
    seen: QuietWindows = {}
    for name, survey in surveys.items():
        known = before.get(name, {})
        for window in ended_windows(survey, settings, now):
            if window in survey.decided or window in survey.own_lists:
                continue
            digest = validations_of(survey, window)
            unchanged = window in known and known[window].digest == digest
            seen.setdefault(name, {})[window] = known[window] if unchanged else Quiet(digest, now)
    return seen


def to_cursor(windows: QuietWindows) -> str:
    """The windows as text."""
    return json.dumps(
        {
            name: {
                window.start.isoformat(): [quiet.digest, quiet.since.isoformat()] for window, quiet in by_window.items()
            }
            for name, by_window in windows.items()
        },
        separators=(",", ":"),
    )


def from_cursor(cursor: str | None, settings: ProcessorConfiguration) -> QuietWindows:
    """What `to_cursor` wrote."""
    return {
        name: {
            Window(start, start + settings.period): Quiet(digest, datetime.fromisoformat(since))
            for start, (digest, since) in ((datetime.fromisoformat(text), quiet) for text, quiet in by_window.items())
        }
        for name, by_window in json.loads(cursor or "{}").items()
    }
