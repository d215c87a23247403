"""The processor's rules, each broken in one place: a test that lets one of these pass does not test that rule.

A mutant is a replacement in a function's source. The text must occur there exactly once, so that a mutant that no
longer fits the code is an error, not a success.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType

from prio_assets.processor import (
    aggregation,
    agreement,
    batch_lists,
    ledger,
    processor,
    readiness,
    steps,
    validation,
    window_sum,
)
from tests.processor.agreement.scenes import (
    EVIL_LEADER,
    FORGED_ANSWERS,
    FORMLESS_LISTS,
    LATE_BATCHES,
    LOST_COPIES,
    LOST_STATE,
    MINIMUMS,
    NO_LATE_BATCHES,
    OVERLAPPING,
    RACES,
    REPLACED_INPUTS,
    SECOND_ANSWERS,
    SPOILT_LISTS,
    UNEQUAL_LIMITS,
    Scene,
)


@dataclass(frozen=True)
class Mutant:
    """A rule that is broken: in `function`, `old` is replaced by `new`; it shows in `scene`."""

    rule: str
    function: object
    old: str
    new: str
    scene: Scene = OVERLAPPING

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While the block runs, the function is the mutated one, for whoever has imported it too."""
        function = self.function
        assert isinstance(function, FunctionType)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"{self.rule}: the text must be there once: {self.old}"
        namespace = dict(function.__globals__)
        exec(compile(source.replace(self.old, self.new), f"<{self.rule}>", "exec"), namespace)
        original = function.__code__
        function.__code__ = namespace[function.__name__].__code__
        try:
            yield
        finally:
            function.__code__ = original


MUTANTS = (
    # Order of writes, and runs that die or meet
    Mutant(
        "the answer before the ledger entry",
        batch_lists.decide,
        "[*view.ledger.append(decision), *_answer(view, answer, author)]",
        "[*_answer(view, answer, author), *view.ledger.append(decision)]",
    ),
    Mutant(
        "an append that goes on when the number is taken",
        steps.take,
        "or not stop_if_taken",
        "or True",
        scene=RACES,
    ),
    Mutant("the copy of a proposal is not completed", batch_lists.propose, "if view.own_list_sent else", "or"),
    Mutant("the copy of an answer is not completed", batch_lists.decide, "if view.own_list_sent:", "if True:"),
    Mutant(
        "the copies of a sum part are not completed",
        window_sum.sum_window,
        "if stored is not None:",
        "if stored is not None: return WindowSum(entry, None, unready, None, Counter(), {})\n    if False:",
    ),
    Mutant(
        "an answer is sent otherwise than it was decided",
        batch_lists.decide,
        'return _answer(view, entry.answer or b"", author)',
        "return _answer(view, seal_record(make_list(view, author, entry.parameters, (), 1),"
        " author.signing_key), author)",
    ),
    Mutant(
        "a receipt before the copy",
        batch_lists._send,
        "[Copy(STATE, name, PEER_BUCKET, name), Acknowledge(name, names.sent(name), author.now)]",
        "[Acknowledge(name, names.sent(name), author.now), Copy(STATE, name, PEER_BUCKET, name)]",
    ),
    Mutant(
        "a list that the peer has lost is not copied again",
        agreement.is_sent,
        " and not may_be_lost(processor.stores.peer_bucket, name)",
        "",
        scene=LOST_COPIES,
    ),
    Mutant(
        "a validation that the peer has lost is not copied again",
        validation._send,
        "is not None and (not is_safe or not may_be_lost_at_peer(processor, batch))",
        "is not None",
        scene=LOST_COPIES,
    ),
    Mutant(
        "a sum part that the portal has lost is not copied again",
        window_sum.sum_window,
        "if stored is not None:",
        'if stored is not None and not [*processor.stores.state.list(f"sent/{processor.settings.instance}/")]:',
        scene=LOST_COPIES,
    ),
    Mutant(
        "our list is read after the ledger",
        agreement.view_to_decide,
        "    own_list = read_own_list(processor, aggregation, window)\n"
        "    ledger = ledger_of(processor, aggregation, window)\n",
        "    ledger = ledger_of(processor, aggregation, window)\n"
        "    own_list = read_own_list(processor, aggregation, window)\n",
        scene=RACES,
    ),
    # The ledger
    Mutant(
        "the ledger is read to its newest entry only", ledger.read_ledger, "read[-1].newest_end <= earliest", "True"
    ),
    Mutant(
        "the ledger is read no further back than the window",
        agreement.ledger_of,
        "window.start - processor.settings.late_limit",
        "window.start",
    ),
    Mutant(
        "newest_end is the entry's own end",
        ledger.Ledger.append,
        "newest_end=max(end, self.newest_end)",
        "newest_end=end",
        scene=NO_LATE_BATCHES,
    ),
    Mutant(
        "the answer is held against the ledger of its window only",
        agreement.view_to_accept,
        "min([window.start, *(batch.time for batch in batches)])",
        "window.start",
        scene=SECOND_ANSWERS,
    ),
    Mutant(
        "the answer is held against the leader's late limit",
        agreement.view_to_accept,
        "min([window.start, *(batch.time for batch in batches)])",
        "window.start - processor.settings.late_limit",
        scene=UNEQUAL_LIMITS,
    ),
    Mutant(
        "the leader compares packets that the follower may not have compared",
        ledger.Ledger.counted_in_reach,
        "if _reach(entry) < end",
        "if True",
        scene=NO_LATE_BATCHES,
    ),
    Mutant(
        "a new state begins at the first window",
        processor.default_not_before,
        "return max([settings.first_window, *ends])",
        "return settings.first_window",
        scene=LOST_STATE,
    ),
    # The leader's proposal
    Mutant(
        "each batch is proposed once",
        agreement.view_to_propose,
        "validated_batches(processor, aggregation, window)",
        "[batch for batch in validated_batches(processor, aggregation, window) if not any("
        "str(batch.uuid).encode() in read_bytes(processor.stores.state, name)"
        ' for name, _ in processor.stores.state.list("batch-lists/"))]',
        scene=SPOILT_LISTS,
    ),
    Mutant(
        "spent batches are proposed",
        batch_lists.propose,
        "if uuid not in view.ledger.spent]",
        "]",
    ),
    Mutant(
        "a proposal below the minimum",
        batch_lists.propose,
        "if clients < author.minimum_clients:",
        "if False:",
        scene=MINIMUMS,
    ),
    Mutant("a proposal before the window's end", batch_lists.propose, "if author.now < view.window.end:", "if False:"),
    Mutant(
        "the batches of an earlier window only",
        agreement._within,
        "earliest <= batch.time < window.end",
        "window.start <= batch.time < window.end",
        scene=LATE_BATCHES,
    ),
    # The follower's decision
    Mutant("spent batches are decided again", batch_lists._agreed, "not in view.ledger.spent", "is not None"),
    Mutant(
        "digests are ignored at the decision",
        batch_lists._agreed,
        "_is_ready(listed, view)",
        "listed.batch_uuid in view.ready",
        scene=EVIL_LEADER,
    ),
    Mutant(
        "an answer below the follower's minimum",
        batch_lists.decide,
        "if sum(map(len, counted)) < minimum:",
        "if False:",
        scene=MINIMUMS,
    ),
    Mutant(
        "an answer below the proposal's minimum",
        batch_lists.decide,
        "max(proposal.minimum_clients, author.minimum_clients)",
        "author.minimum_clients",
        scene=UNEQUAL_LIMITS,
    ),
    Mutant(
        "a decision before the window's end",
        batch_lists.decide,
        "if author.now < view.window.end:",
        "if False:",
        scene=EVIL_LEADER,
    ),
    Mutant(
        "packets of earlier answers are counted again",
        batch_lists.without_repeated,
        "first_occurrences(packets) & ~contained(packets, counted)",
        "first_occurrences(packets)",
    ),
    Mutant(
        "packets of earlier entries are counted again",
        batch_lists.without_repeated,
        "first_occurrences(packets) & ~contained(packets, counted)",
        "~contained(packets, counted)",
    ),
    Mutant(
        "batches left out are decided",
        readiness.check_eligible,
        "if is_rejected(rejection):",
        "if False:",
    ),
    Mutant(
        "batches from before the state are decided",
        agreement.earliest_batch,
        "settings.first_window, not_before(processor))",
        "settings.first_window)",
        scene=LOST_STATE,
    ),
    Mutant(
        "late batches without a limit",
        agreement.earliest_batch,
        "window.start - settings.late_limit",
        "settings.first_window",
        scene=EVIL_LEADER,
    ),
    Mutant(
        "a decided window is decided again",
        ledger.Ledger.entry,
        "return entry",
        "return None",
    ),
    # The leader's acceptance
    Mutant(
        "spent batches are accepted",
        batch_lists.accept,
        "_check_unspent(answer, view.ledger, name)",
        "pass",
        scene=SECOND_ANSWERS,
    ),
    Mutant(
        "what was not proposed is accepted",
        batch_lists.accept,
        "_check_proposed(answer, proposal, name)",
        "pass",
        scene=FORGED_ANSWERS,
    ),
    Mutant(
        "digests of the answer are not those of the proposal",
        batch_lists._check_proposed,
        "proposed.get(listed.batch_uuid) != replace(listed, repeated=())",
        "listed.batch_uuid not in proposed",
        scene=FORGED_ANSWERS,
    ),
    Mutant(
        "digests are ignored at the acceptance",
        batch_lists._missing,
        "if not _is_ready(listed, view)",
        "if listed.batch_uuid not in view.ready",
        scene=FORGED_ANSWERS,
    ),
    Mutant(
        "repeated packets are accepted",
        batch_lists.accept,
        "_check_counted_once(counted, view.ledger.counted_in_reach(view.window), name)",
        "pass",
        scene=SECOND_ANSWERS,
    ),
    Mutant(
        "packets counted twice within an answer are accepted",
        batch_lists._check_counted_once,
        "duplicated(counted) | contained(counted, before)",
        "contained(counted, before)",
        scene=SECOND_ANSWERS,
    ),
    Mutant(
        "packets counted in an earlier answer are accepted",
        batch_lists._check_counted_once,
        "duplicated(counted) | contained(counted, before)",
        "duplicated(counted)",
        scene=SECOND_ANSWERS,
    ),
    Mutant(
        "an answer below the minimum is accepted",
        batch_lists.accept,
        "clients < proposal.minimum_clients",
        "False",
        scene=FORGED_ANSWERS,
    ),
    Mutant(
        "an empty answer is refused",
        batch_lists.accept,
        "if answer.batches and clients",
        "if clients",
        scene=MINIMUMS,
    ),
    Mutant(
        "what the leader left out is not accepted",
        agreement.view_to_accept,
        "check_still_ingested)",
        "check_eligible)",
        scene=LATE_BATCHES,
    ),
    # Lists that are none
    Mutant(
        "a stranger's list is used",
        agreement.read_peer_list,
        "open_record(BatchList, data, settings.peer_keys, name)",
        "stored_record(BatchList, data, name)",
        scene=SPOILT_LISTS,
    ),
    Mutant(
        "a list of another window is used",
        batch_lists.check_list,
        '"start": (record',
        '"start": (0, 0) or (record',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list to another end is used",
        batch_lists.check_list,
        '"end": (record',
        '"end": (0, 0) or (record',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list of another instance is used",
        batch_lists.check_list,
        '"instance name": (',
        '"": (0, 0) or (',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list of another aggregation is used",
        batch_lists.check_list,
        '"aggregation": (',
        '"": (0, 0) or (',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list of another writer is used",
        batch_lists.check_list,
        '"server index": (',
        '"": (0, 0) or (',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list of other parameters is used",
        batch_lists.check_list,
        '"parameters": (',
        '"": (0, 0) or (',
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a window of another period is decided",
        batch_lists.check_list,
        "window != window_of(window.start, settings.period)",
        "False",
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "a list in any order, or with a batch twice, is used",
        batch_lists._check_entries,
        "if uuids != sorted(set(uuids)):",
        "if False:",
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "an entry of another minute is used",
        batch_lists._check_entries,
        " or listed.batch_time % MINUTE_MS",
        "",
        scene=FORMLESS_LISTS,
    ),
    Mutant(
        "an entry of a later window is used",
        batch_lists._check_entries,
        "0 <= listed.batch_time < record.aggregation_end_time",
        "0 <= listed.batch_time",
        scene=FORMLESS_LISTS,
    ),
    # The sum
    Mutant(
        "digests are ignored at the sum",
        window_sum._contribution,
        "if not ready.is_listed_as(listed):",
        "if False:",
        scene=REPLACED_INPUTS,
    ),
    Mutant(
        "another ingestion batch is summed",
        window_sum._check_taken_in,
        "if source.header.packet_file_digest != ",
        "if False and source.header.packet_file_digest != ",
        scene=REPLACED_INPUTS,
    ),
    Mutant(
        "repeated packets are summed",
        aggregation.contribute,
        "again = contained(joined.valid, repeated)",
        "again = contained(joined.valid, repeated[:0])",
    ),
    Mutant(
        "packets whose proof fails are counted",
        aggregation.join,
        "own.uuids if held.all() else own.uuids[held]",
        "own.uuids",
    ),
)
