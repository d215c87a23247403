"""Windows and times, against the reference's scheduling vectors and Go's alignment of periods."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.errors import MalformedError
from prio_assets.wire.windows import (
    Window,
    format_minute,
    from_ms,
    parse_minute,
    to_ms,
    window_of,
    windows,
)

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors/scheduling.json").read_text())[
    "vectors"
]
HOUR = timedelta(hours=1)

times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
periods = st.timedeltas(timedelta(minutes=1), timedelta(days=40))


def vectors_with(key: str) -> list[dict[str, Any]]:
    found = [vector for vector in VECTORS if key in vector]
    assert found
    return found


def newest_window(now: datetime, period: timedelta, grace: timedelta) -> Window:
    """The newest window that ended at least `grace` ago, before the one that was under way then."""
    newest, _ = windows(now - grace - period, now - grace, period)
    return newest


@pytest.mark.parametrize("case", vectors_with("aggregation_intervals")[0]["aggregation_intervals"])
def test_newest_window_is_the_references_interval(case: dict[str, Any]) -> None:
    period, grace = timedelta(seconds=case["period_seconds"]), timedelta(seconds=case["grace_seconds"])
    expected = Window(parse_minute(case["begin"]), parse_minute(case["end"]))
    assert newest_window(parse_minute(case["now"]), period, grace) == expected


def test_newest_window_of_the_aggregation_task() -> None:
    (vector,) = vectors_with("aggregate_task")
    window = newest_window(parse_minute(vector["now"]), 8 * HOUR, 4 * HOUR)
    assert format_minute(window.start) == vector["aggregate_task"]["aggregation-start"]
    assert format_minute(window.end) == vector["aggregate_task"]["aggregation-end"]
    assert all(parse_minute(batch["time"]) in window for batch in vector["aggregate_task"]["batches"])


def test_a_window_is_half_open() -> None:
    (vector,) = [vector for vector in vectors_with("begin") if "time" in vector.get("cases", [{}])[0]]
    window = Window(datetime.fromisoformat(vector["begin"]), datetime.fromisoformat(vector["end"]))
    for case in vector["cases"]:
        assert (datetime.fromisoformat(case["time"]) in window) is case["included"]


@given(times, periods)
def test_window_of_holds_the_time_and_tiles(time: datetime, period: timedelta) -> None:
    window = window_of(time, period)
    assert time in window
    assert window.end - window.start == period
    assert window_of(window.start, period) == window
    assert window_of(window.end, period).start == window.end


@given(times, periods)
def test_windows_are_aligned_with_the_year_1(time: datetime, period: timedelta) -> None:
    # Go's zero time is 62135596800 s before the Unix epoch.
    since = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + 62135596800 * 10**6
    start = window_of(time, period).start
    assert (time - start) // timedelta(microseconds=1) == since % (period // timedelta(microseconds=1))


@given(times, periods, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_newest_window_ended_grace_ago_and_its_successor_did_not(
    now: datetime, period: timedelta, grace: timedelta
) -> None:
    window = newest_window(now, period, grace)
    assert window.end + grace <= now < window.end + period + grace


def test_windows_go_from_the_first_to_the_one_under_way() -> None:
    first, now = parse_minute("2023/05/31/17/00"), parse_minute("2023/06/01/08/00")
    found = list(windows(first, now, 8 * HOUR))
    assert [format_minute(window.start) for window in found] == [
        "2023/05/31/16/00",
        "2023/06/01/00/00",
        "2023/06/01/08/00",
    ]
    assert all(earlier.end == later.start for earlier, later in pairwise(found))
    assert list(windows(now, first, 8 * HOUR)) == []
    assert next(islice(windows(first, first, HOUR), 1)) == Window(first, first + HOUR)


@given(times)
def test_minutes_are_read_as_they_are_written(time: datetime) -> None:
    assert parse_minute(format_minute(time)) == time.replace(second=0, microsecond=0)


def test_minutes_are_written_in_utc_and_zero_padded() -> None:
    assert format_minute(datetime(986, 1, 2, 3, 4, 59, tzinfo=UTC)) == "0986/01/02/03/04"
    assert format_minute(datetime(2020, 1, 1, 1, 30, tzinfo=timezone(2 * HOUR))) == "2019/12/31/23/30"


@pytest.mark.parametrize(
    "text",
    ["", "2020/02/30/00/00", "2020/13/01/00/00", "2020/01/01/24/00", "2020/01/01/00/60", "0000/01/01/00/00",
     "2020/1/01/00/00", "2020/01/01/00/00/", " 2020/01/01/00/00", "2020/01/01/00/00\n", "2020-01-01-00-00",
     "٢٠٢٠/01/01/00/00", "+202/01/01/00/00", "9999/12/31/23/59"],
)  # fmt: skip
def test_other_texts_are_no_minutes(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_minute(text)


def test_every_parsed_time_has_a_window() -> None:
    assert window_of(parse_minute("9998/12/31/23/59"), timedelta(days=300)).end.year == 9999
    assert window_of(parse_minute("0001/01/01/00/00"), timedelta(days=300)).start.year == 1


@given(st.integers(-(10**13), 10**13))
def test_milliseconds_are_read_as_they_are_written(time_ms: int) -> None:
    assert to_ms(from_ms(time_ms)) == time_ms


def test_milliseconds_are_exact() -> None:
    assert to_ms(datetime(2009, 2, 13, 23, 31, 30, 654999, tzinfo=UTC)) == 1234567890654
    assert from_ms(1234567890000) == datetime(2009, 2, 13, 23, 31, 30, tzinfo=UTC)


@pytest.mark.parametrize("time_ms", [2**63 - 1, -(2**63), 253402300800000])
def test_milliseconds_out_of_range(time_ms: int) -> None:
    with pytest.raises(MalformedError):
        from_ms(time_ms)
