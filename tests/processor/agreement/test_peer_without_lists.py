"""With a peer that knows no lists our set is the peer's, unless something was lost between a sending and its record.

The peer is a model of the reference: once, at its first run after the end and the grace, it sums what is complete in
its own validations and in its bucket. The stories of one window are gone through exhaustively: when the peer validates
each of two batches, when runs of ours take place, and after which write one of them dies.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from prio_assets.configuration import ProcessorStores
from prio_assets.errors import BatchReason, PrioAssetsError, RefusedError
from prio_assets.processor import peer_without_lists, validation, window_sum
from prio_assets.processor.pending import PendingStep, pending_steps
from prio_assets.processor.processor import ShareProcessor, default_not_before, initialise_state
from prio_assets.processor.survey import survey
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire import names
from prio_assets.wire.records import Rejection, SumPart, decode
from prio_assets.wire.windows import to_ms
from tests.faults.memory_store import MemoryStore
from tests.processor.agreement.material import (
    AGGREGATION,
    BATCHES,
    BY_UUID,
    ENGINE,
    FIRST,
    GRACE,
    INSTANCE,
    MIXED,
    PACKET_KEYS,
    PROCESSOR_KEYS,
    SMALL,
    START,
    WINDOWS,
    Batch,
    ingestion_batch,
    variants,
)
from tests.processor.agreement.mutants import Mutant
from tests.processor.agreement.runs import run_until_cut
from tests.processor.agreement.world import STORES, Rules, processor_settings

WINDOW = WINDOWS[0]
STOP = WINDOW.end + timedelta(minutes=5)
DEADLINE = WINDOW.end + GRACE
MOMENTS = [WINDOW.end + timedelta(minutes=minutes) for minutes in (-5, 1, 4, 6, 8, 11)]
"""Before the window's end, twice before the stop, twice between stop and deadline, once after."""


@dataclass(frozen=True)
class Story:
    """When the peer validates FIRST and SMALL, at which moments we work, and the moment and write at which we die."""

    first_at: int | None
    small_at: int
    works: tuple[int, ...]
    dies: tuple[int, str, int] | None = None
    minimum: int = 1
    left_out: bool = False
    index: int = 0


@dataclass
class Legacy:
    """One of our processors toward the model of its peer."""

    index: int = 0
    minimum: int = 1
    now: datetime = START
    stores: dict[str, MemoryStore] = field(default_factory=lambda: {name: MemoryStore(name) for name in STORES})
    peer_bucket: MemoryStore = field(default_factory=lambda: MemoryStore("peer's bucket"))
    peer_validated: set[Batch] = field(default_factory=set)
    peer_sum: set[Batch] | None = None

    def __post_init__(self) -> None:
        settings = processor_settings(Rules((0, 0), (self.minimum, self.minimum)), self.index, peer_has_lists=False)
        self.processor = ShareProcessor(
            settings=settings,
            stores=ProcessorStores(**self.stores, peer_bucket=self.peer_bucket),
            signing_key=PROCESSOR_KEYS[self.index],
            packet_keys=PACKET_KEYS[self.index : self.index + 1],
            engine=ENGINE,
            clock=lambda: self.now,
        )
        initialise_state(self.processor, default_not_before(self.processor))
        for batch in (FIRST, SMALL, MIXED):
            objects = names.ingestion_objects(batch.name)
            for name, data in zip(objects, ingestion_batch(batch, self.index).three_objects(), strict=True):
                self.stores["ingestion"].create(name, data)

    def peer_validates(self, batch: Batch) -> None:
        """The peer takes a batch in: a copy for us, and its own."""
        sealed = variants(batch, 1 - self.index)[0].sealed
        name = names.validity_objects(batch.name, 1 - self.index).signature
        self.stores["peer_validations"].create(name, sealed.single_object())
        self.peer_validated.add(batch)

    def validate(self, writes: int | None = None) -> None:
        """Take in and send what may be sent."""
        batches = [batch.name for batch in (FIRST, SMALL, MIXED)]
        self._do(lambda processor: list(validate_batches(processor, batches)), writes)

    def sum(self, writes: int | None = None, override: Override | None = None) -> None:
        """Settle and sum the window."""
        self._do(lambda processor: sum_window(processor, AGGREGATION, WINDOW, override or Override()), writes)

    def leave_out(self, batch: Batch) -> None:
        """An operator's decision."""
        record = Rejection(batch.name.uuid, BatchReason.LEFT_OUT, "", None, "operator", to_ms(self.now), cleared=False)
        self.processor.own.record_rejection(batch.name, record)

    def advance(self, to: datetime) -> None:
        """Time passes; when the grace is over the peer sums."""
        self.now = to
        if self.peer_sum is None and to >= DEADLINE:
            self.peer_sum = {batch for batch in self.sent() & self.peer_validated if batch.name.time in WINDOW}

    def sent(self) -> set[Batch]:
        """The batches whose validation by us is in the peer's bucket."""
        objects = self.peer_bucket.objects
        return {batch for batch in BATCHES if names.validity_objects(batch.name, self.index).signature in objects}

    def unrecorded(self) -> set[Batch]:
        """The batches that were sent without a record of it."""
        objects = self.stores["own_validations"].objects
        return {batch for batch in self.sent() if names.receipt(batch.name) not in objects}

    def part(self) -> SumPart | None:
        """What we published of the window."""
        name = names.sum_part_objects(INSTANCE, AGGREGATION, WINDOW, self.index).header
        data = self.stores["sum_parts"].objects.get(name)
        return None if data is None else decode(SumPart, data, name)

    def _do(self, work: Callable[[ShareProcessor], object], writes: int | None) -> None:
        before = self.sent()
        with suppress(RefusedError):
            run_until_cut(self.processor, work, writes)
        new = self.sent() - before
        assert new <= self.peer_validated, "sent before the peer's validation was here"
        late = {batch for batch in new if batch.name.time in WINDOW}
        assert not late or self.now < DEADLINE, "sent after the peer had summed"


def stories() -> Iterator[Story]:
    """All stories of the window; those in which most goes wrong come first, so that a broken rule shows soon."""
    for first_at, minimum, left_out, works in product((0, 2, None), (1, 4), (True, False), ((0, 3), (1, 2, 4), (0, 5))):
        yield Story(first_at, 0, works, minimum=minimum, left_out=left_out, index=1)
    for write, first_at, moment, kind in product(range(1, 8), (3, 0), (3, 1), ("sum", "validate")):
        for works in ((moment, 5), (0, moment, 5), (moment, 4, 5)):
            yield Story(first_at, 0, works, dies=(moment, kind, write))
    for first_at, small_at in product((0, 2, 3, 4), (0, 4)):
        for before, at_end, between in product(((), (0,)), ((), (1,), (2,)), ((), (3,), (4,), (3, 4))):
            yield Story(first_at, small_at, (*before, *at_end, *between, 5))


def tell(story: Story) -> None:
    """What happens in a story, and that it ended well."""
    legacy = Legacy(story.index, story.minimum)
    legacy.peer_validates(MIXED)
    unrecorded: set[Batch] = set()
    for moment, time in enumerate(MOMENTS):
        unrecorded = legacy.unrecorded()
        legacy.advance(time)
        for batch, at in ((FIRST, story.first_at), (SMALL, story.small_at)):
            if at == moment:
                legacy.peer_validates(batch)
        if story.left_out and moment == 3:
            legacy.leave_out(FIRST)
        if moment in story.works:
            work(legacy, story, moment)
    check_end(legacy, story, unrecorded)


def work(legacy: Legacy, story: Story, moment: int) -> None:
    """What a sensor would request: a validation, then a sum; a run that dies is not done again at once."""
    dying, kind, write = story.dies or (None, "", 0)
    legacy.validate(write if (dying, kind) == (moment, "validate") else None)
    if (dying, kind) != (moment, "validate"):
        legacy.sum(write if dying == moment else None)


def check_end(legacy: Legacy, story: Story, unrecorded: set[Batch]) -> None:
    """What we summed is what the peer summed; and we did sum, if we worked after the stop and did not die."""
    part = legacy.part()
    if part is not None:
        assert part.total_individual_clients >= story.minimum
        if not unrecorded:
            assert {BY_UUID[uuid] for uuid in part.batch_uuids} == legacy.peer_sum, "the peer summed another set"
    elif story.dies is None and {3, 4, 5} & {*story.works}:
        clients = {uuid for batch in legacy.peer_sum or () for uuid in batch.valid}
        assert len(clients) < max(story.minimum, 1), "the peer summed, and we did not"


def test_we_sum_what_the_peer_sums() -> None:
    for story in stories():
        tell(story)


MUTANTS = (
    Mutant("sent before the peer's is here", validation._send, "read_ready(processor, batch)", "BatchState.SENT"),
    Mutant("begun after the stop", validation._send, "processor.clock() < stop", "True"),
    Mutant(
        "after the deadline what was not sent is settled too",
        peer_without_lists.settle,
        "if now >= deadline_of(view.window, settings) and not despite_stop:",
        "if False:",
    ),
    Mutant("settled before the stop", peer_without_lists.settle, "if now < stop_of", "if False and now < stop_of"),
    Mutant("what is settled is not sent", window_sum.sum_window, "if not processor.settings.peer_has_lists:", "if 0:"),
    Mutant("a set that was not sent in time is summed", window_sum._send_set, "if unsent:", "if False:"),
    Mutant("sent after the deadline", window_sum._send_set, "if processor.clock() <", "if True or"),
    Mutant("below the minimum", peer_without_lists.settle, "count_distinct(counted) >= minimum_clients", "True"),
    Mutant("what was sent and left out since", window_sum._view_without_lists, "elif is_rejected", "if is_rejected"),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_some_story_ends_badly_where(mutant: Mutant) -> None:
    with mutant.applied(), pytest.raises(AssertionError):
        test_we_sum_what_the_peer_sums()


def test_a_window_whose_stop_was_past_when_the_state_began_is_not_summed() -> None:
    legacy = Legacy(now=STOP)
    for batch in (FIRST, SMALL):
        legacy.peer_validates(batch)
    legacy.validate()
    legacy.sum()
    assert not legacy.sent() and legacy.part() is None


def test_a_window_whose_stop_was_not_past_when_the_state_began_is_summed() -> None:
    legacy = Legacy(now=STOP - timedelta(minutes=1))
    for batch in (FIRST, SMALL):
        legacy.peer_validates(batch)
    legacy.validate()
    legacy.advance(STOP)
    legacy.sum()
    assert legacy.part() is not None


def test_a_set_is_sent_though_some_of_it_went_in_another_form_before() -> None:
    legacy = Legacy(now=WINDOW.end)
    settings = legacy.processor.settings
    former = settings.model_copy(update={"single_object_validations": not settings.single_object_validations})
    legacy.processor = replace(legacy.processor, settings=former)
    legacy.peer_validates(FIRST)
    legacy.validate()
    legacy.processor = replace(legacy.processor, settings=settings)
    legacy.peer_validates(SMALL)
    legacy.advance(STOP)
    legacy.sum()
    assert legacy.sent() == {FIRST, SMALL}
    assert legacy.part() is not None


def test_an_operator_sums_what_is_ready_though_the_stop_is_past() -> None:
    legacy = Legacy(now=DEADLINE + timedelta(hours=1))
    for batch in (FIRST, SMALL):
        legacy.peer_validates(batch)
    legacy.validate()
    run_until_cut(
        legacy.processor,
        lambda processor: sum_window(processor, AGGREGATION, WINDOW, Override(despite_stop=True)),
        None,
    )
    part = legacy.part()
    assert part is not None and {BY_UUID[uuid] for uuid in part.batch_uuids} == {FIRST, SMALL}


def test_an_operator_takes_another_minimum_for_one_window() -> None:
    legacy = Legacy(minimum=100)
    for batch in (FIRST, SMALL):
        legacy.peer_validates(batch)
    legacy.validate()
    legacy.advance(STOP)
    legacy.sum(override=Override(minimum_clients=4))
    part = legacy.part()
    assert part is not None and part.total_individual_clients == 4


def test_nothing_but_refusals_is_swallowed_here() -> None:
    legacy = Legacy()
    del legacy.stores["state"].objects[names.STATE]
    legacy.advance(STOP)
    with pytest.raises(PrioAssetsError, match="state init"):
        legacy.sum()


def test_what_was_sent_is_pending_though_it_was_left_out_since() -> None:
    legacy = Legacy()
    legacy.peer_validates(FIRST)
    legacy.validate()
    legacy.leave_out(FIRST)
    legacy.advance(STOP)
    found = survey(legacy.processor, AGGREGATION, WINDOW.start, WINDOW.end)
    pending = list(pending_steps(found, legacy.processor.settings, legacy.now, {}))
    assert [(each.step, each.batches, each.waits_for) for each in pending] == [(PendingStep.SUM, (FIRST.name,), "")]
