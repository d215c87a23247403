"""Listings of a bucket with a million objects: lazy, and at the cost of the range that is asked for."""

import json
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from urllib.request import urlopen

import pytest

from prio_assets.storage.access import Access
from prio_assets.storage.base import Store
from prio_assets.storage.urls import open_store
from tests.clouds import KINDS, REGION, Clouds
from tests.servers.listing_server import (
    AGGREGATION,
    FIRST,
    LATER_FOLDERS,
    OBJECTS,
    OBJECTS_A_DAY,
    PAGE,
    name_of,
)
from tests.servers.processes import run_server


@pytest.fixture(scope="module")
def server(clouds: Clouds) -> Iterator[str]:
    """The endpoint. (The clouds are not used, but for their credentials.)"""
    with run_server("tests.servers.listing_server") as endpoint:
        yield endpoint


@pytest.fixture(params=KINDS)
def million(request: pytest.FixtureRequest, server: str) -> Store:
    url = f"s3://{REGION}/million" if request.param == "s3" else "gs://million"
    return open_store(url, Access(endpoint=server))


def requests(server: str) -> int:
    """How many listings were asked for until now."""
    with urlopen(f"{server}/-/requests") as response:
        return json.load(response)


def test_the_first_names_come_after_one_request(million: Store, server: str) -> None:
    before = requests(server)
    listing = million.list("")
    assert [name for name, _ in islice(listing, PAGE)] == [name_of(number) for number in range(PAGE)]
    assert requests(server) == before + 1
    assert next(listing)[0] == name_of(PAGE)
    assert requests(server) == before + 2


def test_a_days_range_takes_no_more_requests_than_its_pages(million: Store, server: str) -> None:
    before, day = requests(server), FIRST + timedelta(days=100)
    start, end = (f"{AGGREGATION}/{time:%Y/%m/%d/%H/%M}" for time in (day, day + timedelta(days=1)))
    found = [name for name, _ in million.list(f"{AGGREGATION}/", start, end)]
    first = 100 * OBJECTS_A_DAY
    assert found == [name_of(number) for number in range(first, first + OBJECTS_A_DAY)]
    assert requests(server) - before <= OBJECTS_A_DAY // PAGE + 1


def test_an_empty_range_takes_one_request(million: Store, server: str) -> None:
    before = requests(server)
    assert list(million.list(f"{AGGREGATION}/", f"{AGGREGATION}/2030/", f"{AGGREGATION}/2031/")) == []
    assert requests(server) == before + 1


def test_folders_are_found_without_what_is_below_them(million: Store, server: str) -> None:
    before = requests(server)
    assert list(million.folders("")) == [AGGREGATION, *(folder.removesuffix("/") for folder in LATER_FOLDERS)]
    assert requests(server) == before + 1


def test_a_listing_takes_no_more_memory_the_longer_it_is(million: Store) -> None:
    """No page is kept: the names of ten alone would take more than 1 MiB."""
    listing, peaks = million.list(""), []
    tracemalloc.start()
    try:
        for pages in (2, 10):
            assert sum(1 for _ in islice(listing, pages * PAGE)) == pages * PAGE
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1 << 20


def test_the_last_names_are_reached_without_those_before_them(million: Store) -> None:
    end = name_of(OBJECTS - 10)
    assert [name for name, _ in million.list("", end)][:-2] == [name_of(n) for n in range(OBJECTS - 10, OBJECTS)]
