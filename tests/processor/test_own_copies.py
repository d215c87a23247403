"""What we have stored and sent holds, whatever becomes of keys, inputs and the peer's lists afterwards."""

from collections import Counter
from dataclasses import replace
from typing import BinaryIO

import pytest

from prio_assets.errors import ObjectConflictError, ObjectMissingError, OperationalError, PrioAssetsError, StateError
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.processor.window_sum import Override, WindowSum, sum_window
from prio_assets.wire import names
from prio_assets.wire.batches import seal, stored_validation
from prio_assets.wire.records import IngestionHeader, SumPart, decode, encode
from tests.faults.memory_store import MemoryStore
from tests.processor.agreement.material import (
    AGGREGATION,
    BATCHES,
    FIRST,
    INGESTOR_KEY,
    INSTANCE,
    PROCESSOR_KEYS,
    STRANGER_KEY,
    WINDOWS,
)
from tests.processor.agreement.runs import run_until_cut
from tests.processor.agreement.world import Rules, World

WINDOW = WINDOWS[0]
PROPOSAL, ANSWER = (names.batch_list(AGGREGATION, WINDOW, index) for index in (0, 1))
PART = names.sum_part_objects(INSTANCE, AGGREGATION, WINDOW, 0)


@pytest.fixture
def world() -> World:
    """Everything validated, nothing proposed."""
    world = World(Rules(), now=WINDOW.end)
    for index in (0, 1):
        for batch in BATCHES:
            world.arrive(batch, index)
        world.do(index, world.work(index, "validate"))
    return world


def propose_and_decide(world: World) -> None:
    for index in (0, 1):
        make_own_list(world.processors[index], AGGREGATION, WINDOW, None)


def sum_of(processor: ShareProcessor) -> WindowSum:
    return sum_window(processor, AGGREGATION, WINDOW, Override())


def test_our_proposal_outlives_its_signing_key(world: World) -> None:
    propose_and_decide(world)
    assert sum_of(replace(world.processors[0], signing_key=STRANGER_KEY)).header is not None


def test_our_sum_part_outlives_its_signing_key(world: World) -> None:
    propose_and_decide(world)
    first = sum_of(world.processors[0])
    stored = dict(world.stores[0]["sum_parts"].objects)
    assert sum_of(replace(world.processors[0], signing_key=STRANGER_KEY)).header == first.header
    assert world.stores[0]["sum_parts"].objects == stored


def stored_but_not_sent(world: World) -> None:
    """The sum part is in the state storage, and nothing of it at the portal."""
    propose_and_decide(world)
    run_until_cut(world.processors[0], sum_of, 5)  # the packets, the ledger entry, the three parts
    assert PART.signature in world.stores[0]["state"].objects
    assert not world.stores[0]["sum_parts"].objects


def test_a_stored_part_is_sent_though_its_inputs_are_gone(world: World) -> None:
    stored_but_not_sent(world)
    world.stores[0]["ingestion"].objects.clear()
    assert sum_of(world.processors[0]).header is not None
    assert set(world.stores[0]["sum_parts"].objects) == set(PART)


def test_a_stored_part_is_sent_though_its_inputs_were_replaced_and_the_run_fails(world: World) -> None:
    stored_but_not_sent(world)
    world.replace_validation(0, FIRST, 1)
    with pytest.raises(OperationalError, match="replaced"):
        sum_of(world.processors[0])
    assert set(world.stores[0]["sum_parts"].objects) == set(PART)


def test_a_sum_that_comes_out_otherwise_than_the_stored_part_is_told_with_what_became_of_that(world: World) -> None:
    stored_but_not_sent(world)
    state = world.stores[0]["state"].objects
    header = decode(SumPart, state[PART.header], PART.header)
    state[PART.header] = encode(replace(header, sum=header.sum[::-1]))
    with pytest.raises(ObjectConflictError, match="the stored part stays as it is, and was sent: look into"):
        sum_of(world.processors[0])
    assert world.stores[0]["sum_parts"].objects == {name: state[name] for name in PART}


@pytest.mark.parametrize(
    ("writes", "what_stays"), [(2, "nothing is published"), (5, "the stored part stays as it is, and was sent")]
)
def test_other_packets_than_were_decided_on_are_told_with_what_became_of_the_part(
    world: World, monkeypatch: pytest.MonkeyPatch, writes: int, what_stays: str
) -> None:
    propose_and_decide(world)
    run_until_cut(world.processors[0], sum_of, writes)
    monkeypatch.setattr("prio_assets.processor.window_sum.counts_just", lambda *_: False)
    with pytest.raises(OperationalError, match=f"not those that count now; {what_stays}: look into"):
        sum_of(world.processors[0])
    assert set(world.stores[0]["sum_parts"].objects) == (set(PART) if writes == 5 else set())


def test_done_again_each_copy_is_compared_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    propose_and_decide(world)
    sum_of(world.processors[0])
    reads: Counter[str] = Counter()
    portal, open_read = world.stores[0]["sum_parts"], MemoryStore.open_read

    def counting(store: MemoryStore, name: str) -> BinaryIO:
        reads[name] += store is portal
        return open_read(store, name)

    monkeypatch.setattr(MemoryStore, "open_read", counting)
    sum_of(world.processors[0])
    assert [reads[name] for name in PART] == [1, 1, 1]


def test_who_accepts_and_sums_in_one_run_reads_each_validation_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose_and_decide(world)
    reads: Counter[str] = Counter()
    open_read = MemoryStore.open_read

    def counting(store: MemoryStore, name: str) -> BinaryIO:
        reads[name] += 1
        return open_read(store, name)

    monkeypatch.setattr(MemoryStore, "open_read", counting)
    assert sum_of(world.processors[0]).header is not None
    assert reads[names.own_validation(FIRST.name)] == 1
    assert reads[names.validity_objects(FIRST.name, 1).signature] == 1


@pytest.mark.parametrize("with_validations", [True, False])
def test_a_batch_that_has_other_parameters_than_were_decided_stops_the_sum(
    world: World, *, with_validations: bool
) -> None:
    propose_and_decide(world)
    run_until_cut(world.processors[0], sum_of, 2)  # the packets, the ledger entry
    stores, batch = world.stores[0], FIRST.name
    own, peer = names.own_validation(batch), names.validity_objects(batch, 1).signature
    validations = (("own_validations", own, 0), ("peer_validations", peer, 1))
    for store, name, key in validations if with_validations else ():
        stored = stored_validation(stores[store].objects[name], batch, name)
        other = seal(replace(stored.header, epsilon=0.5), stored.sealed.packets, PROCESSOR_KEYS[key])
        stores[store].objects[name] = other.single_object()
    ingestion = names.ingestion_objects(batch)
    header = decode(IngestionHeader, stores["ingestion"].objects[ingestion.header], ingestion.header)
    other = seal(replace(header, epsilon=0.5), stores["ingestion"].objects[ingestion.packets], INGESTOR_KEY)
    stores["ingestion"].objects.update(zip(ingestion, other.three_objects(), strict=True))
    with pytest.raises(OperationalError, match=f"{batch.base} has .* epsilon 0.5, .*epsilon 8.0.*; .*restore it"):
        sum_of(world.processors[0])


def test_without_inputs_and_without_a_stored_part_there_is_no_sum(world: World) -> None:
    propose_and_decide(world)
    run_until_cut(world.processors[0], sum_of, 2)
    world.stores[0]["ingestion"].objects.clear()
    with pytest.raises(ObjectMissingError, match=r"^batch .* of the decided set .* is missing; restore it"):
        sum_of(world.processors[0])


def test_a_validation_of_ours_that_a_decided_window_lacks_can_be_made_again(world: World) -> None:
    propose_and_decide(world)
    run_until_cut(world.processors[0], sum_of, 2)
    del world.stores[0]["own_validations"].objects[names.own_validation(FIRST.name)]
    with pytest.raises(ObjectMissingError, match=f"^batch {FIRST.name.base} of the decided set .* is missing"):
        sum_of(world.processors[0])
    assert [outcome.state for outcome in validate_batches(world.processors[0], [FIRST.name])] == [BatchState.SENT]
    assert sum_of(world.processors[0]).header is not None


def test_a_damaged_sum_part_of_ours_is_told(world: World) -> None:
    stored_but_not_sent(world)
    world.stores[0]["state"].objects[PART.packets] = b"damaged"
    with pytest.raises(StateError, match="sum part"):
        sum_of(world.processors[0])


def test_a_garbage_answer_does_not_hold_up_our_proposal(world: World) -> None:
    world.write_list_as(0, WINDOW, b"garbage")
    make_own_list(world.processors[0], AGGREGATION, WINDOW, None)
    assert PROPOSAL in world.stores[1]["peer_validations"].objects


def test_a_proposal_that_turned_to_garbage_does_not_hold_up_our_answer(world: World) -> None:
    make_own_list(world.processors[0], AGGREGATION, WINDOW, None)
    run_until_cut(world.processors[1], lambda p: make_own_list(p, AGGREGATION, WINDOW, None), 2)
    world.write_list_as(1, WINDOW, b"garbage")
    make_own_list(world.processors[1], AGGREGATION, WINDOW, None)
    assert ANSWER in world.stores[0]["peer_validations"].objects


def test_later_versions_of_an_accepted_answer_are_ignored(world: World) -> None:
    propose_and_decide(world)
    first = sum_of(world.processors[0])
    world.write_list_as(0, WINDOW, b"garbage")
    assert sum_of(world.processors[0]).header == first.header


@pytest.mark.parametrize("index", [0, 1])
def test_without_parameters_in_the_configuration_nothing_is_listed(world: World, index: int) -> None:
    if index == 1:
        make_own_list(world.processors[0], AGGREGATION, WINDOW, None)
    settings = world.processors[index].settings.model_copy(update={"aggregations": {}})
    with pytest.raises(PrioAssetsError, match=f"no parameters of aggregation {AGGREGATION}"):
        make_own_list(replace(world.processors[index], settings=settings), AGGREGATION, WINDOW, None)


def test_a_ledger_that_is_older_than_our_answer_stops_the_processor(world: World) -> None:
    propose_and_decide(world)
    del world.stores[1]["state"].objects[names.ledger_entry(AGGREGATION, 1)]
    with pytest.raises(StateError, match="disagree"):
        make_own_list(world.processors[1], AGGREGATION, WINDOW, None)
