"""Time, injected everywhere: whoever needs the present takes a `Clock`, so tests and backfills can choose it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The present as an aware datetime in UTC."""
    return datetime.now(UTC)


def fixed_clock(moment: datetime) -> Clock:
    """A clock that stands still at `moment`, an aware datetime."""
    return lambda: moment
