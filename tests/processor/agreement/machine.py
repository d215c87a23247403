"""The state machine: hypothesis chooses what happens to a world, and a witness looks at it after every step."""

from datetime import timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prio_assets.wire.windows import Window
from tests.processor.agreement.checks import Witness
from tests.processor.agreement.material import AGAIN, BATCHES, FIRST, LATER, MIXED, PERIOD, SMALL, START, WINDOWS
from tests.processor.agreement.world import Rules, World, malformed

OPEN = WINDOWS[:3]
"""The windows that the pool's batches are of; later ones are for what comes late."""

IN_ORDER = sorted(BATCHES, key=lambda batch: batch.name.uuid)

sides = st.sampled_from([0, 1])
batches = st.sampled_from(BATCHES)
windows = st.sampled_from(OPEN)
cuts = st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8])
late_clients = st.tuples(sides, st.sampled_from([(SMALL, LATER), (FIRST, AGAIN)])).map(
    lambda late: [(batch, late[0]) for batch in late[1]]
)
"""Every batch that some clients are in, at one side: none of them has been counted before it comes."""
some_batches = st.sampled_from(
    [[batch for batch in IN_ORDER if choice >> batch.number & 1] for choice in range(1, 2 ** len(BATCHES))]
)
kinds = st.sampled_from(["validate", "list", "sum"])


class AgreementMachine(RuleBasedStateMachine):
    """Two processors with everything that may happen to them.

    The trouble of a world: none but late batches and dying runs, or storages that lose and spoil objects, or the
    processor of that index is malicious.
    """

    troubles: tuple[str | int, ...] = ("none", "none", "storage", 0, 1)
    late_hours: tuple[tuple[int, int], ...] = ((6, 6), (6, 6), (0, 0), (6, 0), (0, 6))
    minimums: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (3, 1), (1, 3), (2, 2))

    @initialize(
        data=st.data(),
        hours=st.sampled_from([3, 3, 4, 2, 1]),
        missing=st.just([]) | st.lists(st.tuples(batches, sides), min_size=1, max_size=4) | late_clients,
    )
    def begin_world(self, data, hours, missing):
        """A world in which most batches have arrived and some time has passed."""
        trouble = data.draw(st.sampled_from(self.troubles))
        late = data.draw(st.sampled_from(self.late_hours))
        minimum = data.draw(st.sampled_from(self.minimums))
        self.storage_fails = trouble == "storage"
        self.world = World(Rules(late, minimum, trouble if isinstance(trouble, int) else None))
        self.witness = Witness(self.world)
        self.world.watch = self.witness.observe
        self.world.now += timedelta(hours=hours)
        for index in (0, 1):
            for batch in BATCHES:
                if (batch, index) not in missing:
                    self.world.arrive(batch, index)
            self.world.do(index, self.world.work(index, "validate"))

    # The ordinary course

    @rule(batch=batches, indices=st.sampled_from([(0, 1), (0, 1), (0,), (1,)]))
    def arrive(self, batch, indices):
        """A batch comes to both processors, or to one."""
        for index in indices:
            self.world.arrive(batch, index)

    @precondition(lambda self: self.world.now < START + 4 * PERIOD)
    @rule(minutes=st.sampled_from([30, 60, 60, 120]))
    def pass_time(self, minutes):
        self.world.now += timedelta(minutes=minutes)

    @rule(index=sides, kind=kinds, window=windows, writes=cuts)
    def run(self, index, kind, window, writes):
        """A run, perhaps one that dies after some writes."""
        self.world.do(index, self.world.work(index, kind, window), writes)

    @rule(the_rest_comes=st.sampled_from([True, True, False]))
    def do_everything(self, the_rest_comes):
        """What sensors would request, once; after it whatever has not come yet may come."""
        self.world.round()
        for batch in BATCHES if the_rest_comes else []:
            for index in (0, 1):
                self.world.arrive(batch, index)

    @rule(
        order=st.permutations(OPEN),
        writes=st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from([None, 2, 1, 2, 3, 4]), cuts),
        batch=batches,
        then=st.permutations(OPEN) | st.just(OPEN[::-1]),
        index=sides,
    )
    def answer_overlapping(self, order, writes, batch, then, index):
        """All windows are proposed, then answered in any order, then summed in any order.

        The first run of each kind dies; before the answers go on, a batch comes.
        """
        self.world.do(0, self.world.work(0, "list", order[0]), writes[0])
        self._propose_everywhere()
        self.world.do(1, self.world.work(1, "list", order[0]), writes[1])
        self._arrives(batch)
        for window in order:
            self.world.do_if_wanted(1, "list", window)
        self.world.do(index, self.world.work(index, "sum", then[0]), writes[2])
        self._sum_everywhere(then)

    @rule(index=sides, kind=kinds, window=windows, writes=st.integers(1, 8), batch=batches)
    def die_and_begin_again(self, index, kind, window, writes, batch):
        """A run dies, a batch comes, and the run is done again from storage."""
        work = self.world.work(index, kind, window)
        self.world.do(index, work, writes)
        self._arrives(batch)
        self.world.do(index, work)

    @rule(window=windows, batch=batches)
    def answer_in_part(self, window, batch):
        """One window is proposed and answered, and an operator of the leader's leaves a batch out before the sum."""
        self.world.do(0, self.world.work(0, "list", window))
        self.world.do(1, self.world.work(1, "list", window))
        self.world.reject(0, batch)
        self.world.do(0, self.world.work(0, "sum", window))

    # Runs that interleave

    @rule(index=sides, kinds=st.tuples(kinds, kinds), both=st.tuples(windows, windows), turns=st.data())
    def race(self, index, kinds, both, turns):
        """Two runs of one processor take turns to their ends."""
        runs = [
            self.world.begin(index, self.world.work(index, kind, window))
            for kind, window in zip(kinds, both, strict=True)
        ]
        for turn in turns.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6)), max_size=8)):
            runs[turn[0]].advance(turn[1])
        for run in runs:
            run.finish()
        self.world.reap()

    @rule(order=st.permutations(OPEN), first=st.sampled_from([5, 4, 6, 3, 7]), second=st.sampled_from([20, 12, 9, 5]))
    def race_for_two_windows(self, order, first, second):
        """The follower decides two windows at once, of proposals that overlap."""
        self._race_decisions(order[:2], first, second)
        self._sum_everywhere(order)

    @rule(order=st.permutations(OPEN), first=st.sampled_from([3, 2, 4, 5]), second=st.sampled_from([20, 12, 9, 5]))
    def race_for_one_window(self, order, first, second):
        """The follower decides one window twice at once."""
        self._race_decisions([order[0]] * 2, first, second)
        self._sum_everywhere(order)

    @precondition(lambda self: len(self.world.runs) < 3)
    @rule(index=sides, kind=kinds, window=windows, steps=st.integers(1, 12))
    def begin_run(self, index, kind, window, steps):
        """A run gets so far, and everything else goes on."""
        self.world.begin(index, self.world.work(index, kind, window)).advance(steps)
        self.world.reap()

    @precondition(lambda self: self.world.runs)
    @rule(choice=st.integers(0, 2), steps=st.integers(1, 12))
    def advance_run(self, choice, steps):
        self.world.runs[choice % len(self.world.runs)][1].advance(steps)
        self.world.reap()

    @precondition(lambda self: self.world.runs)
    @rule()
    def cut_runs(self):
        self.world.cut_runs()

    # Faults

    @precondition(lambda self: self.storage_fails)
    @rule(index=sides, order=st.permutations(OPEN))
    def lose_state(self, index, order):
        """A state is lost and made anew; what was proposed is decided again, if anything is."""
        self.world.lose_state(index)
        for window in order:
            self.world.do(1, self.world.work(1, "list", window))

    @precondition(lambda self: self.storage_fails)
    @rule(index=sides, choice=st.integers(0, 20))
    def delete_from_bucket(self, index, choice):
        self.world.delete_from_bucket(index, choice)

    @precondition(lambda self: self.world.rules.evil is None)
    @rule(index=sides, choice=st.integers(0, 20))
    def lose_copy(self, index, choice):
        """A copy that a processor sent is lost, and made again by its runs, though none of them is wanted."""
        self.world.round()
        copies = self.world.copies_of(index)
        if not copies:
            return
        store, name = copies[choice % len(copies)]
        lost = store.objects.pop(name)
        self.world.do(index, self.world.work(index, "validate"))
        for window in self.world.ended_windows():
            for kind in ("list", "sum"):
                self.world.do(index, self.world.work(index, kind, window))
        assert store.objects.get(name) == lost, f"{name} was not copied again"

    @precondition(lambda self: self.storage_fails)
    @rule(window=windows, garbage=st.booleans())
    def lose_proposal(self, window, garbage):
        """A proposal is gone or garbage before it is answered."""
        self._propose_everywhere()
        self.world.spoil_list(1, window, garbage=garbage)

    @rule(index=sides, batch=batches)
    def reject(self, index, batch):
        self.world.reject(index, batch)

    @precondition(lambda self: self.storage_fails)
    @rule(index=sides, window=windows, stranger=st.booleans())
    def write_bad_list(self, index, window, stranger):
        """Garbage, or a stranger's list, and the run that meets it: nothing may come of it."""
        self.world.write_bad_list(index, window, stranger=stranger)
        self._meet_bad_list(index, window)

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(batch=batches)
    def replace_ingestion(self, batch):
        self.world.replace_ingestion(batch, self._victim)

    # A malicious peer

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(batch=batches, variant=st.integers(0, 2))
    def replace_validation(self, batch, variant):
        self.world.replace_validation(self._victim, batch, variant)

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(
        order=st.permutations(OPEN),
        chosen=st.tuples(some_batches, some_batches),
        repeated=st.sampled_from(["known", "none", "all"]),
        validations=st.sampled_from([(0, 0), (0, 2), (1, 1), (0, 2), (2, 2), (1, 0)]),
        minimum=st.sampled_from([1, 1, 3, -1]),
        late=batches,
    )
    def forge_lists(self, order, chosen, repeated, validations, minimum, late):
        """Signed lists for two windows, and the runs that meet them.

        They may hold what is spent, what came after the proposal, packets that were counted, and other validations than
        the honest ones, or than those that are in the bucket.
        """
        stated, real = validations
        self._propose_everywhere()
        self._arrives(late)
        for window, some in zip(order, chosen, strict=False):
            entries = self._forged([batch for batch in some if batch.name.time < window.end], repeated, stated)
            for batch in some:
                self.world.replace_validation(self._victim, batch, real)
            self.world.write_list(self._victim, self.world.make_list(self._evil, window, entries, minimum))
            self._act_on_list(self._victim, window)

    @precondition(lambda self: self.world.rules.evil == 1)
    @rule(
        order=st.permutations(OPEN),
        pair=st.sampled_from([(FIRST, AGAIN), (FIRST, SMALL), (SMALL, LATER), (AGAIN, FIRST), (MIXED, SMALL)]),
        repeated=st.sampled_from(["known", "none"]),
        together=st.booleans(),
    )
    def answer_again(self, order, pair, repeated, together):
        """When all windows are over, a batch, or its packets under another, is in several answers, or twice in one."""
        common, other = pair
        self.world.now = max(self.world.now, OPEN[-1].end)
        self._propose_everywhere()
        answers = ({common, other}, {common}, {other}) if together else ({common}, {common, other}, {other})
        for window, some in zip(order, answers, strict=True):
            chosen = [batch for batch in IN_ORDER if batch in some and batch.name.time < window.end]
            record = self.world.make_list(1, window, self._forged(chosen, repeated, 0))
            self.world.write_list(0, record)
            self._act_on_list(0, window)

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(window=windows)
    def break_form(self, window):
        """Signed lists that are not of the form, each in one way, one after the other."""
        self._propose_everywhere()
        entries = self.world.listed_until(window)
        for record in malformed(self.world.make_list(self._evil, window, entries)):
            self.world.write_bad_record(self._victim, window, record)
            self._meet_bad_list(self._victim, window)

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(start=st.sampled_from([30, 60]), minutes=st.sampled_from([30, 120]))
    def choose_window(self, start, minutes):
        """A signed list of a window that is none of the instance's."""
        begin = START + timedelta(minutes=start)
        window = Window(begin, begin + timedelta(minutes=minutes))
        entries = self.world.listed_until(window)
        self.world.write_list(self._victim, self.world.make_list(self._evil, window, entries))
        self._meet_bad_list(self._victim, window)

    @precondition(lambda self: self.world.rules.evil is not None)
    @rule(window=windows, variant=st.sampled_from([0, 1, 2]))
    def replace_after_decision(self, window, variant):
        """The window is decided, then inputs are replaced before the sum (0: ingestion batches), and put back after."""
        self._propose_everywhere()
        self.world.do(1, self.world.work(1, "list", window))
        self.world.do(0, self.world.work(0, "sum", window), 2)
        for batch in BATCHES:
            if variant:
                self.world.replace_validation(self._victim, batch, variant)
            else:
                self.world.replace_ingestion(batch, self._victim)
        self.world.do(self._victim, self.world.work(self._victim, "sum", window))
        for batch in BATCHES:
            self.world.replace_validation(self._victim, batch, 0)

    @precondition(lambda self: self.world.rules.evil == 0)
    @rule(window=windows, variant=st.integers(1, 2))
    def replace_before_decision(self, window, variant):
        """The leader proposes by some validations and puts others in their place."""
        self._propose_everywhere()
        for batch in BATCHES:
            self.world.replace_validation(1, batch, variant)
        self._act_on_list(1, window)
        for batch in BATCHES:
            self.world.replace_validation(1, batch, 0)

    # What is common to these

    def _arrives(self, batch) -> None:
        for index in (0, 1):
            self.world.arrive(batch, index)
            self.world.do(index, self.world.work(index, "validate"))

    def _propose_everywhere(self) -> None:
        """The leader proposes every window before any is answered."""
        for window in OPEN:
            self.world.do_if_wanted(0, "list", window)

    def _race_decisions(self, chosen, first, second) -> None:
        self._propose_everywhere()
        runs = [self.world.begin(1, self.world.work(1, "list", window)) for window in chosen]
        runs[0].advance(first)
        runs[1].advance(second)
        for run in runs:
            run.finish()
        self.world.reap()

    def _sum_everywhere(self, order) -> None:
        for window in order:
            for index in (0, 1):
                self.world.do_if_wanted(index, "sum", window)

    @invariant()
    def keeps_its_promises(self):
        if hasattr(self, "witness"):
            self.witness.observe()

    def teardown(self):
        if hasattr(self, "world"):
            self.world.watch = lambda: None
            try:
                if self.world.rules.evil is None and not self.witness.has_failed:
                    self.witness.check_at_rest()
            finally:
                self.world.cut_runs()

    def _forged(self, some, repeated, stated):
        """Entries that name `repeated` packets (in an answer) and the evil side's validation `stated`."""
        if self._evil == 0:
            return tuple(self.world.listed(batch, (), (stated, 0)) for batch in some)
        entries, known = [], self._known()
        for batch in some:
            packets = {"known": known & batch.valid, "none": (), "all": batch.valid}[repeated]
            entries.append(self.world.listed(batch, packets, (0, stated)))
            known |= batch.valid
        return tuple(entries)

    @property
    def _evil(self) -> int:
        return self.world.rules.evil

    @property
    def _victim(self) -> int:
        return 1 - self.world.rules.evil

    def _known(self) -> set[UUID]:
        """The packets that the honest processor has counted."""
        return {uuid for decided in self.witness.decided[self._victim] for uuid in decided.counted}

    def _act_on_list(self, index: int, window: Window) -> None:
        """Decide or accept, and sum."""
        if index == 1:
            self.world.do(index, self.world.work(index, "list", window))
        self.world.do(index, self.world.work(index, "sum", window))

    def _meet_bad_list(self, index: int, window: Window) -> None:
        decided = len(self.witness.decided[index])
        self._act_on_list(index, window)
        assert len(self.witness.decided[index]) == decided, "a bad list was acted on"
