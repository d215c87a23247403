"""Object names, against those that the reference's tests use, and ranges of names against the times they stand for."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.wire import names
from prio_assets.wire.names import BatchName, NameRange
from prio_assets.wire.windows import Window, format_minute, parse_minute

TESTS = Path(__file__).parents[1]
PATHS: list[dict[str, Any]] = json.loads((TESTS / "vectors/paths.json").read_text())["vectors"]
SCHEDULING: list[dict[str, Any]] = json.loads((TESTS / "vectors/scheduling.json").read_text())["vectors"]

ID = UUID("b8a5579a-f984-460a-a42d-2813cbf57771")
BATCH = BatchName("com.apple.EN.UserRiskParameters", datetime(2020, 10, 31, 20, 29, tzinfo=UTC), ID)
WINDOW = Window(datetime(2020, 10, 31, 16, tzinfo=UTC), datetime(2020, 11, 1, tzinfo=UTC))
BASE = f"com.apple.EN.UserRiskParameters/2020/10/31/20/29/{ID}"

aggregations = st.sampled_from(["kittens-seen", "PeriodicExposureNotification14d-v3", "a|b", "…", "a b\n"])
times = st.datetimes(datetime(1, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))
minutes = times.map(lambda time: time.replace(second=0, microsecond=0))
batches = st.builds(BatchName, aggregations, minutes, st.uuids())
indexes = st.sampled_from([0, 1])


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=654)


@pytest.mark.parametrize("vector", [v for v in PATHS if "objects" in v], ids=lambda v: v["source"].split()[-1])
def test_names_are_the_references(vector: dict[str, Any]) -> None:
    if "instance" in vector:
        window = Window(moment(vector["start"]), moment(vector["end"]))
        index = int(vector["objects"][0][-1])
        made = {*names.sum_part_objects(vector["instance"], vector["aggregation"], window, index)}
    else:
        time = datetime.fromisoformat(vector["date"]) if "date" in vector else moment(vector["timestamp"])
        batch = BatchName(vector["aggregation"], time, ID)
        made = {*names.ingestion_objects(batch), *names.validity_objects(batch, 0), *names.validity_objects(batch, 1)}
    assert {name.replace("{batch_uuid}", str(ID)) for name in vector["objects"]} <= made


def test_batches_within_an_interval_are_those_of_the_range() -> None:
    (vector,) = [vector for vector in PATHS if "interval" in vector]
    begin, end = map(parse_minute, vector["interval"])
    expected = {vector["inputs"][index] for index in vector["within_indexes"]}
    assert set(in_range(vector["inputs"], names.time_range("kittens-seen", begin, end))) == expected


def test_ranges_are_exact_within_an_hour() -> None:
    (vector,) = [vector for vector in SCHEDULING if "listed_by_hour" in vector]
    listed = [name for hour in vector["listed_by_hour"] for name in hour]
    for case in vector["cases"]:
        wanted = names.time_range("kittens-seen", parse_minute(vector["begin"]), parse_minute(case["end"]))
        assert len(in_range(listed, wanted)) == case["files_returned"]


def test_ranges_begin_and_end_with_the_references_hours() -> None:
    (vector,) = [v for v in SCHEDULING if "hours" in v.get("cases", [{}])[0]]
    for case in vector["cases"]:
        wanted = names.time_range("agg", parse_minute(case["begin"]), parse_minute(case["end"]))
        hours = {
            format_minute(parse_minute("2009/12/31/22/00") + timedelta(minutes=minute))[: len("YYYY/MM/DD/HH")]
            for minute in range(12 * 60)
            if in_range(
                [f"agg/{format_minute(parse_minute('2009/12/31/22/00') + timedelta(minutes=minute))}/x"], wanted
            )
        }
        assert sorted(hours) == case["hours"]


def test_aggregations_are_the_references() -> None:
    (vector,) = [vector for vector in SCHEDULING if "aggregation_ids" in vector]
    found = [folder.removesuffix("/") for folder in vector["top_level_directories"]]
    assert list(filter(names.is_aggregation, found)) == vector["aggregation_ids"]


def in_range(found: list[str], wanted: NameRange) -> list[str]:
    return [name for name in found if name.startswith(wanted.prefix) and wanted.start <= name < wanted.end]


@given(batches, times, times)
def test_time_range_holds_exactly_the_batches_of_the_times(batch: BatchName, begin: datetime, end: datetime) -> None:
    for folder, name in (
        ("", names.ingestion_objects(batch).signature),
        (names.VALIDATIONS, names.own_validation(batch)),
        (names.REJECTIONS, names.rejection(batch, 1)),
    ):
        wanted = names.time_range(batch.aggregation, begin, end, folder)
        assert bool(in_range([name], wanted)) is (begin <= batch.time < end)


@given(minutes, st.integers(1, 10**6), times, times)
def test_window_ranges_hold_exactly_the_windows_that_start_in_them(
    start: datetime, length: int, begin: datetime, end: datetime
) -> None:
    window = Window(start, min(start + timedelta(minutes=length), datetime(9998, 12, 31, 23, 59, tzinfo=UTC)))
    expected = begin <= start < end
    listed = names.batch_list("a-b", window, 1)
    assert bool(in_range([listed], names.batch_list_range("a-b", begin, end))) is expected
    part = names.sum_part_objects("us-ct-g-enpa", "a-b", window, 1).packets
    assert bool(in_range([part], names.sum_part_range("us-ct-g-enpa", "a-b", begin, end))) is expected


@given(batches, indexes)
def test_batch_objects_are_read_as_they_are_written(batch: BatchName, index: int) -> None:
    for part in ("header", "packets", "signature"):
        ingestion = getattr(names.ingestion_objects(batch), part)
        validity = getattr(names.validity_objects(batch, index), part)
        assert names.parse_ingestion_object(ingestion) == (batch, part)
        assert names.parse_validity_object(validity, index) == (batch, part)
        assert names.parse_validity_object(validity, 1 - index) is None
        assert names.parse_validity_object(ingestion, index) is None
        assert names.parse_ingestion_object(validity) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        BASE,
        f"{BASE}.batch.tmp",
        f"{BASE}.batch.avro.tmp",
        f"{BASE}.batch ",
        f"{BASE}.BATCH",
        f"{BASE}x.batch",
        f"{BASE}.batch\n",
        f"/{BASE}.batch",
        f"x/{BASE}.batch",
        f"{BASE}/.batch",
        f"{BASE}.batch".upper(),
        f"{BASE}.batch".replace("b8a5", "B8A5"),
        f"{BASE}.batch".replace("-", ""),
        f"{BASE}.batch".replace("b8a5579a-f984", "b8a5579af-984"),
        f"{BASE}.batch".replace(str(ID), f"urn:uuid:{ID}"),
        f"{BASE}.batch".replace(str(ID), f"{{{ID}}}"),
        f"{BASE}.batch".replace(str(ID), "not-a-uuid"),
        f"{BASE}.batch".replace("2020/10/31", "2020/11/31"),
        f"{BASE}.batch".replace("/20/29/", "/24/29/"),
        f"{BASE}.batch".replace("/20/29/", "/20/9/"),
        f"{BASE}.batch".replace("/20/29/", "/20/29/30/"),
        f"{BASE}.batch".replace("2020/10/31", "2020-10-31"),
        f"{BASE}.batch".replace("com.apple.EN.UserRiskParameters", "task-markers"),
        f"{BASE}.batch".replace("com.apple.EN.UserRiskParameters", "batch-lists"),
        f"{BASE}.batch".replace("com.apple.EN.UserRiskParameters", ".."),
        f"{BASE}.batch".replace("com.apple.EN.UserRiskParameters", ""),
        "task-markers/intake-kittens-seen-2020-10-31-20-29-b8a5579a-f984-460a-a42d-2813cbf57771",
    ],
)
def test_stray_ingestion_objects_have_no_name(name: str) -> None:
    assert names.parse_ingestion_object(name) is None


READERS: list[Callable[[str], object]] = [
    names.parse_ingestion_object,
    lambda name: names.parse_validity_object(name, 0),
    lambda name: names.parse_sum_part_object(name, 0),
    lambda name: names.parse_batch_list(name, 0),
    lambda name: names.parse_own_object(names.RECEIPTS, name),
    names.parse_rejection,
    names.parse_ledger_entry,
]


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("/.-0129"), max_size=90))
def test_no_text_is_an_error(name: str) -> None:
    assert [read(name) for read in READERS] == [None] * len(READERS)


@given(batches, st.integers(0, 90), st.sampled_from("/.-09aZ\n"))
def test_an_altered_name_is_another_batchs_or_none(batch: BatchName, position: int, character: str) -> None:
    name = names.ingestion_objects(batch).header
    altered = name[:position] + character + name[position + 1 :]
    found = names.parse_ingestion_object(altered)
    assert found is None or names.ingestion_objects(found[0]).header == altered


@given(aggregations, minutes, st.integers(1, 10**6), indexes)
def test_window_objects_are_read_as_they_are_written(
    aggregation: str, start: datetime, length: int, index: int
) -> None:
    window = Window(start, min(start + timedelta(minutes=length), datetime(9998, 12, 31, 23, 59, tzinfo=UTC)))
    for part in ("header", "packets", "signature"):
        name = getattr(names.sum_part_objects("us-ct-g-enpa", aggregation, window, index), part)
        assert names.parse_sum_part_object(name, index) == ("us-ct-g-enpa", aggregation, window, part)
        assert names.parse_sum_part_object(name, 1 - index) is None
    listed = names.batch_list(aggregation, window, index)
    assert names.parse_batch_list(listed, index) == (aggregation, window)
    assert names.parse_batch_list(listed, 1 - index) is None
    assert names.parse_ingestion_object(listed) is None


@pytest.mark.parametrize(
    "file",
    ["202010311600-202010311600.sum_0", "202011010000-202010311600.sum_0", "202010311600-202011010000.sum_0.tmp",
     "202010311600-202011010000.sum_0\n", "202010311600-202011310000.sum_0", "2020103116-2020110100.sum_0",
     "202010311600-202011010000.invalid_uuid_0", "202010311600_202011010000.sum_0", "x202010311600-202011010000.sum_0"],
)  # fmt: skip
def test_stray_sum_part_objects_have_no_name(file: str) -> None:
    assert names.parse_sum_part_object(f"us-pa-apple/kittens-seen/{file}", 0) is None
    assert names.parse_batch_list(f"batch-lists/kittens-seen/{file.replace('sum', 'batches')}", 0) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "task-markers", "batch-lists", "prio-assets"])
def test_names_that_no_aggregation_may_have(name: str) -> None:
    assert not names.is_aggregation(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "ledger", "counted", "sent", "state", "batch-lists"])
def test_names_that_no_instance_may_have(name: str) -> None:
    assert not names.is_instance(name)
    assert names.parse_sum_part_object(f"{name}/agg/202010311600-202011010000.sum_0", 0) is None


def test_free_names() -> None:
    for name in ("com.apple.EN.UserRiskParameters", "PeriodicExposureNotification14d-v3", "a|b", "...", "us-ct-g-enpa"):
        assert names.is_aggregation(name)
        assert names.is_instance(name)


def test_own_names() -> None:
    assert names.own_validation(BATCH) == f"prio-assets/validations/{BASE}"
    assert names.totals(BATCH) == f"prio-assets/totals/{BASE}"
    assert names.rejection(BATCH, 3) == f"prio-assets/rejections/{BASE}.3"
    assert names.receipt(BATCH) == f"prio-assets/receipts/{BASE}"
    assert names.STATE == "state"
    assert names.ledger_entry("agg", 12) == "ledger/agg/0000000012"
    assert names.counted("agg", bytes(31) + b"\xab") == "counted/agg/" + "00" * 31 + "ab"
    listed = names.batch_list("kittens-seen", WINDOW, 0)
    assert listed == "batch-lists/kittens-seen/202010311600-202011010000.batches_0"
    assert names.sent(listed) == f"sent/{listed}"


@given(batches, st.integers(0, 10**9 - 1))
def test_own_names_are_read_as_they_are_written(batch: BatchName, number: int) -> None:
    assert names.parse_own_object(names.VALIDATIONS, names.own_validation(batch)) == batch
    assert names.parse_own_object(names.TOTALS, names.totals(batch)) == batch
    assert names.parse_own_object(names.RECEIPTS, names.receipt(batch)) == batch
    assert names.parse_own_object(names.RECEIPTS, names.totals(batch)) is None
    assert names.parse_own_object(names.RECEIPTS, names.receipt(batch) + ".1") is None
    name = names.rejection(batch, number)
    assert name.startswith(names.rejections(batch))
    assert names.parse_rejection(name) == (batch, number)
    entry = names.ledger_entry(batch.aggregation, number)
    assert entry.startswith(names.ledger(batch.aggregation))
    assert names.parse_ledger_entry(entry) == (batch.aggregation, number)


@pytest.mark.parametrize("suffix", ["", ".", ".01", ".-1", ".1.tmp", ".1\n", ".٣", "." + "9" * 30])
def test_stray_rejections_have_no_number(suffix: str) -> None:
    assert names.parse_rejection(names.REJECTIONS + BASE + suffix) is None


def test_batches_are_ordered_by_aggregation_time_and_uuid() -> None:
    later = BATCH.time + timedelta(minutes=1)
    ordered = [
        BatchName("a", later, UUID(int=1)),
        BatchName("b", BATCH.time, UUID(int=2)),
        BatchName("b", later, UUID(int=1)),
        BatchName("b", later, UUID(int=2)),
    ]
    assert sorted([ordered[2], ordered[0], ordered[3], ordered[1]]) == ordered
