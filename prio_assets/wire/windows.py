"""Aggregation windows and the times of the wire. Pure arithmetic on aware datetimes in UTC; any period will do."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta

from prio_assets.errors import MalformedError

ORIGIN = datetime(1, 1, 1, tzinfo=UTC)
"""Windows of a period are aligned so that one of them begins here (as Go's time.Truncate counts)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

_MINUTE = re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})/([0-9]{2})/([0-9]{2})")


@dataclass(frozen=True, order=True)
class Window:
    """The half-open interval [start, end) of aware datetimes in UTC."""

    start: datetime
    end: datetime

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time < self.end

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%dT%H:%M}Z to {self.end:%Y-%m-%dT%H:%M}Z"


def window_of(time: datetime, period: timedelta) -> Window:
    """The window of this period that holds `time`."""
    start = time - (time - ORIGIN) % period
    return Window(start, start + period)


def windows(first: datetime, now: datetime, period: timedelta) -> Iterator[Window]:
    """The windows from the one that holds `first` to the last that has begun by `now`, in order."""
    window = window_of(first, period)
    while window.start <= now:
        yield window
        window = Window(window.end, window.end + period)


def format_minute(time: datetime) -> str:
    """`YYYY/MM/DD/HH/MM`, the form of object names; seconds are cut off."""
    utc = time.astimezone(UTC)
    return f"{utc.year:04}/{utc.month:02}/{utc.day:02}/{utc.hour:02}/{utc.minute:02}"


def parse_minute(text: str) -> datetime:
    """The minute that `YYYY/MM/DD/HH/MM` names; `MalformedError` for any other form and for dates that do not exist.

    The year 9999 is refused too, so that the window of every time that was parsed has an end.
    """
    match = _MINUTE.fullmatch(text)
    if match is None:
        raise MalformedError(f"{text!r} is not a time of the form YYYY/MM/DD/HH/MM")
    year, month, day, hour, minute = map(int, match.groups())
    if year == MAXYEAR:
        raise MalformedError(f"{text!r} is too late a time")
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError as error:
        raise MalformedError(f"{text!r} is not a time: {error}") from error


def to_ms(time: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00Z, rounded down."""
    return (time - EPOCH) // MILLISECOND


def from_ms(time_ms: int) -> datetime:
    """The time so many milliseconds after 1970-01-01T00:00Z; `MalformedError` outside the years 1 to 9999."""
    try:
        return EPOCH + time_ms * MILLISECOND
    except OverflowError as error:
        raise MalformedError(f"{time_ms} ms is not a time of the years 1 to 9999") from error
