"""Two sum parts that belong together are added, and any others refused."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prio_assets.errors import RefusedError
from prio_assets.portal import rendering
from prio_assets.portal.collection import Statistic, add_sum_parts
from prio_assets.wire.records import SumPart
from prio_assets.wire.windows import Window, to_ms

PRIME = 4293918721
WINDOW = Window(datetime(2023, 5, 31, 16, tzinfo=UTC), datetime(2023, 6, 1, tzinfo=UTC))
BATCHES = tuple(UUID(int=number) for number in (3, 1, 2))

PHA = SumPart(
    batch_uuids=BATCHES,
    name="kittens-seen",
    bins=3,
    epsilon=0.5,
    prime=PRIME,
    number_of_servers=2,
    hamming_weight=None,
    sum=(PRIME - 1, 10, 0),
    aggregation_start_time=to_ms(WINDOW.start),
    aggregation_end_time=to_ms(WINDOW.end),
    packet_file_digest=b"one",
    total_individual_clients=20,
)
FACILITATOR = replace(PHA, sum=(6, 7, 0), batch_uuids=BATCHES[::-1], packet_file_digest=b"other")

OTHER_VALUES: dict[str, Any] = {
    "batch_uuids": BATCHES[:2],
    "name": "dogs-seen",
    "bins": 4,
    "epsilon": 0.25,
    "prime": 65537,
    "number_of_servers": 3,
    "hamming_weight": 1,
    "sum": (6, 7),
    "aggregation_start_time": PHA.aggregation_start_time + 1,
    "aggregation_end_time": PHA.aggregation_end_time - 1,
    "total_individual_clients": 19,
}
INDEPENDENT = {"packet_file_digest"}


def add(pha: SumPart, facilitator: SumPart, *, legacy_peer: bool = False) -> Statistic:
    return add_sum_parts("kittens-seen", WINDOW, pha, facilitator, legacy_peer=legacy_peer)


def test_parts_that_belong_together_are_added_modulo_the_prime() -> None:
    statistic = add(PHA, FACILITATOR)
    assert statistic == Statistic("kittens-seen", WINDOW, 3, 0.5, None, 20, (5, 17, 0), BATCHES, ())


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=20))
def test_any_sums_are_added_modulo_the_prime(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    pha = replace(PHA, bins=len(pairs), sum=first)
    statistic = add(pha, replace(FACILITATOR, bins=len(pairs), sum=second))
    assert statistic.sum == tuple((a + b) % PRIME for a, b in pairs)
    assert bool(statistic.warnings) == any(value > 20 for value in statistic.sum)


def test_every_field_has_an_expected_outcome() -> None:
    assert {field.name for field in fields(SumPart)} == set(OTHER_VALUES) | INDEPENDENT


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_field_that_differs_is_refused_in_either_part(name: str) -> None:
    change = {name: OTHER_VALUES[name]}
    for pha, facilitator in [(replace(PHA, **change), FACILITATOR), (PHA, replace(FACILITATOR, **change))]:
        with pytest.raises(RefusedError):
            add(pha, facilitator)


@pytest.mark.parametrize("name", ["bins", "prime", "number_of_servers", "sum"])
def test_impossible_values_are_refused_though_both_parts_agree(name: str) -> None:
    change = {name: OTHER_VALUES[name]}
    with pytest.raises(RefusedError):
        add(replace(PHA, **change), replace(FACILITATOR, **change))


@pytest.mark.parametrize("name", ["name", "aggregation_start_time", "aggregation_end_time"])
def test_parts_of_another_aggregation_or_window_are_refused_though_they_agree(name: str) -> None:
    change = {name: OTHER_VALUES[name]}
    with pytest.raises(RefusedError, match=f"state {name} "):
        add(replace(PHA, **change), replace(FACILITATOR, **change))


@pytest.mark.parametrize("value", [-1, 2**32])
def test_sums_that_are_no_32_bit_integers_are_refused(value: int) -> None:
    with pytest.raises(RefusedError, match="facilitator's sum part holds a sum that is no unsigned"):
        add(PHA, replace(FACILITATOR, sum=(0, 0, value)))


def test_no_bins_are_refused() -> None:
    with pytest.raises(RefusedError, match="0 bins"):
        add(replace(PHA, bins=0, sum=()), replace(FACILITATOR, bins=0, sum=()))


def test_a_batch_that_is_counted_twice_is_refused() -> None:
    twice = (*BATCHES, BATCHES[0])
    with pytest.raises(RefusedError, match="PHA's sum part counts a batch twice"):
        add(replace(PHA, batch_uuids=twice), replace(FACILITATOR, batch_uuids=twice))


def test_parts_over_no_batch_are_refused() -> None:
    with pytest.raises(RefusedError, match="the PHA's sum part is over no batch"):
        add(replace(PHA, batch_uuids=()), replace(FACILITATOR, batch_uuids=()))


def test_the_refusal_names_a_batch_that_one_part_lacks() -> None:
    with pytest.raises(RefusedError, match=f"batch {UUID(int=1)} and 1 more is only in the facilitator's"):
        add(replace(PHA, batch_uuids=BATCHES[:1]), FACILITATOR)


def test_a_legacy_peer_may_count_more_clients_and_the_lower_count_stands() -> None:
    for parts in [
        (PHA, replace(FACILITATOR, total_individual_clients=25)),
        (replace(PHA, total_individual_clients=25), FACILITATOR),
    ]:
        statistic = add(*parts, legacy_peer=True)
        assert statistic.clients == 20
        assert len(statistic.warnings) == 1
        assert "legacy peer counts clients with invalid proofs" in statistic.warnings[0]


def test_a_negative_count_of_clients_is_refused_from_a_legacy_peer_too() -> None:
    with pytest.raises(RefusedError, match="negative"):
        add(replace(PHA, total_individual_clients=-1), FACILITATOR, legacy_peer=True)


def test_counts_above_the_number_of_clients_are_warned_of() -> None:
    statistic = add(PHA, replace(FACILITATOR, sum=(22, 10, 0)))
    assert statistic.sum[0] == 21
    assert statistic.warnings[0].startswith("1 of 3 bins exceed the number of clients")


def test_the_renderings_hold_the_statistic() -> None:
    statistic = add(PHA, replace(FACILITATOR, total_individual_clients=25), legacy_peer=True)
    assert json.loads(rendering.to_json(statistic)) == {
        "aggregation": "kittens-seen",
        "window": {"start": "2023/05/31/16/00", "end": "2023/06/01/00/00"},
        "bins": 3,
        "epsilon": 0.5,
        "hamming_weight": None,
        "clients": 20,
        "sum": [5, 17, 0],
        "batch_ids": [str(batch) for batch in BATCHES],
        "warnings": list(statistic.warnings),
    }
    assert rendering.to_csv(statistic) == "bin,count\n0,5\n1,17\n2,0\n"
    table = rendering.to_table(statistic)
    assert "clients     20 in 3 batches" in table
    assert [line.split() for line in table.splitlines()[-3:]] == [
        ["0", "5", "25.0%"],
        ["1", "17", "85.0%"],
        ["2", "0", "0.0%"],
    ]


def test_a_window_without_clients_is_rendered() -> None:
    statistic = add(
        replace(PHA, sum=(0, 0, 0), total_individual_clients=0),
        replace(FACILITATOR, sum=(0, 0, 0), total_individual_clients=0),
    )
    assert "NaN" in rendering.to_table(statistic)
