"""Aggregation without ledger and lists: which parameters stand, and what packets of two batches do."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest

from prio_assets.errors import RefusedError
from prio_assets.ingestor.batches import draw_labels, seal_batch, write_batch
from prio_assets.ingestor.client import random_rows
from prio_assets.prio.field import PRIME
from prio_assets.prio.plain import PlainEngine
from prio_assets.processor.ingestion import Opener
from prio_assets.processor.one_shot_aggregation import AggregationPlace, Gathered, gather, seal_sum
from prio_assets.processor.one_shot_intake import IntakePlace, intake_once
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import SumPart, decode
from tests.faults.material import (
    AGGREGATION,
    BINS,
    INGESTOR_KEY,
    PACKET_KEYS,
    PARAMETERS,
    PROCESSOR_KEYS,
    WINDOW,
    Upload,
    description_of,
    make_upload,
)
from tests.faults.memory_store import MemoryStore
from tests.ingestor.parties import repeatable

NAMES = [
    BatchName(AGGREGATION, WINDOW.start + timedelta(hours=hour), UUID(f"{hour}a000000-0000-4000-8000-000000000000"))
    for hour in range(4)
]
CLIENTS = 3


class Parties(NamedTuple):
    """Both processors' places; the PHA's is looked at."""

    intake: tuple[IntakePlace, IntakePlace]
    aggregation: tuple[AggregationPlace, AggregationPlace]


@pytest.fixture
def parties() -> Parties:
    ingestion = [MemoryStore(f"ingestion {index}") for index in (0, 1)]
    buckets = [MemoryStore(f"bucket {index}") for index in (0, 1)]
    openers = [
        Opener(index, {INGESTOR_KEY.identifier: INGESTOR_KEY.public}, PACKET_KEYS[index : index + 1], PlainEngine())
        for index in (0, 1)
    ]
    keys = [{key.identifier: key.public} for key in PROCESSOR_KEYS]
    intake = [
        IntakePlace(ingestion[i], buckets[1 - i], None, openers[i], PROCESSOR_KEYS[i], single_object=True)
        for i in (0, 1)
    ]
    aggregation = [
        AggregationPlace(ingestion[i], buckets[i], None, openers[i], PROCESSOR_KEYS[i], keys[1 - i]) for i in (0, 1)
    ]
    return Parties((intake[0], intake[1]), (aggregation[0], aggregation[1]))


def clients(seed: str) -> Upload:
    random = repeatable(seed)
    rows = random_rows(CLIENTS, BINS, random)
    return make_upload(rows, draw_labels(CLIENTS, BINS, random), seed)


def put(parties: Parties, batch: BatchName, upload: Upload, epsilon: float = PARAMETERS.epsilon) -> None:
    """The batch at both processors, taken in by both."""
    description = description_of(batch, replace(PARAMETERS, epsilon=epsilon))
    for place, packets in zip(parties.intake, upload.packets, strict=True):
        write_batch(place.ingestion, batch, seal_batch(description, packets, INGESTOR_KEY))
        intake_once(place, batch, "a test", WINDOW.end)


def batches_of(gathered: Gathered) -> list[BatchName]:
    return [part.source.batch for part in gathered.contributions]


@pytest.mark.parametrize(
    ("epsilons", "standing"),
    [([1.0, 2.0, 2.0], [1, 2]), ([2.0, 1.0, 2.0], [0, 2]), ([1.0, 2.0], [0]), ([1.0, 2.0, 2.0, 1.0], [0, 3])],
    ids=["most", "most apart", "tie", "tie of two"],
)
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
def test_the_parameters_of_most_batches_stand_ties_go_to_the_earliest(
    parties: Parties, epsilons: list[float], standing: list[int], order: int
) -> None:
    names = NAMES[: len(epsilons)]
    for position, (batch, epsilon) in enumerate(zip(names, epsilons, strict=True)):
        put(parties, batch, clients(str(position)), epsilon)
    gathered = gather(parties.aggregation[0], names[::order], WINDOW)
    assert batches_of(gathered) == [NAMES[position] for position in standing][::order]
    assert {each.batch for each in gathered.left_out} == set(names) - {NAMES[position] for position in standing}
    assert all(each.why.startswith("parameters_differ: ") for each in gathered.left_out)


def test_packets_in_two_batches_count_twice_and_are_noticed(parties: Parties) -> None:
    """A peer without lists counts them twice, so leaving them out here alone would spoil the sum."""
    upload, other = clients("the same"), clients("another")
    for batch, each in zip(NAMES, (upload, other, upload), strict=False):
        put(parties, batch, each)
    parts = []
    for place in parties.aggregation:
        gathered = gather(place, NAMES[:3], WINDOW)
        assert gathered.repeated == CLIENTS
        parts.append(decode(SumPart, seal_sum(gathered, AGGREGATION, WINDOW, 1, place.signing_key).header, "sum"))
    recovered = (np.array(parts[0].sum) + np.array(parts[1].sum)) % PRIME
    assert recovered.tolist() == (2 * upload.rows.sum(axis=0) + other.rows.sum(axis=0)).tolist()
    assert parts[0].total_individual_clients == 3 * CLIENTS


def test_nothing_left_is_refused(parties: Parties) -> None:
    gathered = gather(parties.aggregation[0], NAMES[:2], WINDOW)
    assert [each.batch for each in gathered.left_out] == NAMES[:2]
    with pytest.raises(RefusedError, match=r"no batch of .* is left to sum \(2 left out\)"):
        seal_sum(gathered, AGGREGATION, WINDOW, 1, PROCESSOR_KEYS[0])


def test_the_minimum_is_of_clients_that_count(parties: Parties) -> None:
    put(parties, NAMES[0], clients("few"))
    gathered = gather(parties.aggregation[0], NAMES[:1], WINDOW)
    seal_sum(gathered, AGGREGATION, WINDOW, CLIENTS, PROCESSOR_KEYS[0])
    with pytest.raises(RefusedError, match=f"{CLIENTS} clients .* the minimum is {CLIENTS + 1}"):
        seal_sum(gathered, AGGREGATION, WINDOW, CLIENTS + 1, PROCESSOR_KEYS[0])


def test_a_packet_in_two_batches_is_one_client_toward_the_minimum(parties: Parties) -> None:
    for batch in NAMES[:2]:
        put(parties, batch, clients("the same"))
    gathered = gather(parties.aggregation[0], NAMES[:2], WINDOW)
    seal_sum(gathered, AGGREGATION, WINDOW, CLIENTS, PROCESSOR_KEYS[0])
    with pytest.raises(RefusedError, match=f"^{CLIENTS} clients .* the minimum is {CLIENTS + 1}"):
        seal_sum(gathered, AGGREGATION, WINDOW, CLIENTS + 1, PROCESSOR_KEYS[0])
