"""Two processors, their storages and everything that may happen to them; what must hold is in `checks.py`.

With `evil` the processor of that index is malicious: its honest code runs too, and its keys sign whatever is asked for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prio_assets.configuration import Configuration, ProcessorConfiguration, ProcessorStores
from prio_assets.errors import BatchReason, OperationalError, PrioAssetsError
from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.processor import ShareProcessor, default_not_before, initialise_state
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from prio_assets.wire import names
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.records import BatchList, ListedBatch, Rejection
from prio_assets.wire.sealed import seal_record
from prio_assets.wire.windows import Window, from_ms, to_ms
from tests.faults.memory_store import MemoryStore
from tests.processor.agreement.material import (
    AGGREGATION,
    BATCHES,
    BINS,
    BY_NAME,
    ENGINE,
    GRACE,
    INGESTOR_KEY,
    INSTANCE,
    PACKET_KEYS,
    PARAMETERS,
    PERIOD,
    PROCESSOR_KEYS,
    START,
    STRANGER_KEY,
    WINDOWS,
    Batch,
    ingestion_batch,
    variants,
)
from tests.processor.agreement.runs import Run, run_until_cut

ROLES = ("pha", "facilitator")
STORES = ("ingestion", "own_validations", "peer_validations", "state", "sum_parts")


@dataclass(frozen=True)
class Rules:
    """What the two processors are configured with, each for itself, and which of them is malicious."""

    late_hours: tuple[int, int] = (2, 2)
    minimum: tuple[int, int] = (1, 1)
    evil: int | None = None


@cache
def processor_settings(rules: Rules, index: int, peer_has_lists: bool = True) -> ProcessorConfiguration:
    """The configuration of the processor `index`; its storages are replaced by those of the world."""
    section = {
        "role": ROLES[index],
        "instance": INSTANCE,
        "period": f"{PERIOD // timedelta(hours=1)}h",
        "grace": f"{GRACE // timedelta(minutes=1)}m",
        "first_window": f"{START:%Y-%m-%dT%H:%MZ}",
        "late_limit": f"{rules.late_hours[index]}h",
        "minimum_clients": rules.minimum[index],
        "peer_has_lists": peer_has_lists,
        "aggregations": {AGGREGATION: {"bins": BINS, "epsilon": PARAMETERS.epsilon}},
        "packet_decryption_keys": [{"env": "UNUSED"}],
        "ingestor_keys": {INGESTOR_KEY.identifier: _public_text(INGESTOR_KEY)},
        "signing_key": {"identifier": PROCESSOR_KEYS[index].identifier, "secret": {"env": "UNUSED"}},
        "peer_keys": {PROCESSOR_KEYS[1 - index].identifier: _public_text(PROCESSOR_KEYS[1 - index])},
        "peer_bucket": "peer",
        **{name: name for name in STORES},
    }
    if not peer_has_lists:
        section |= {"margin": "5m"}
    configuration = Configuration.model_validate({"processors": {ROLES[index]: section}}, context={"directory": "/no"})
    return configuration.processors[ROLES[index]]


def _public_text(key: SigningKey) -> str:
    return key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


Work = Callable[[ShareProcessor], object]


@dataclass
class World:
    """Everything that there is; the methods are everything that may happen."""

    rules: Rules
    now: datetime = START
    stores: tuple[dict[str, MemoryStore], dict[str, MemoryStore]] = field(
        default_factory=lambda: tuple({name: MemoryStore(f"{role} {name}") for name in STORES} for role in ROLES)
    )
    runs: list[tuple[int, Run]] = field(default_factory=list)
    errors: list[PrioAssetsError] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None
    disturbed: bool = False
    has_raced: bool = False
    losses: list[int] = field(default_factory=list)
    lost_lists: bool = False
    spoiled: set[Batch] = field(default_factory=set)
    rejected: set[tuple[int, Batch]] = field(default_factory=set)
    changed_under_a_run: set[tuple[int, Batch]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.disturbed = self.rules.evil is not None
        self.processors = tuple(self._processor(index) for index in (0, 1))
        for processor in self.processors:
            initialise_state(processor, default_not_before(processor))

    def _processor(self, index: int) -> ShareProcessor:
        stores = ProcessorStores(**self.stores[index], peer_bucket=self.stores[1 - index]["peer_validations"])
        return ShareProcessor(
            settings=processor_settings(self.rules, index),
            stores=stores,
            signing_key=PROCESSOR_KEYS[index],
            packet_keys=PACKET_KEYS[index : index + 1],
            engine=ENGINE,
            clock=lambda: self.now,
        )

    @property
    def honest(self) -> list[int]:
        """The indices of the processors that something is promised to."""
        return [index for index in (0, 1) if index != self.rules.evil]

    # What a processor may do

    def work(self, index: int, kind: str, window: Window = WINDOWS[0]) -> Work:
        """Validate and send all that is complete; or propose or decide; or accept, if that is the role's, and sum."""
        match kind:
            case "validate":
                return lambda processor: self._validate(index, processor)
            case "list":
                return lambda processor: make_own_list(processor, AGGREGATION, window, None)
            case _:
                return lambda processor: sum_window(processor, AGGREGATION, window, Override())

    def _validate(self, index: int, processor: ShareProcessor) -> None:
        batches = [batch.name for batch in BATCHES if self.has(index, batch)]
        failed = [each for each in validate_batches(processor, batches) if each.state.name == "FAILED"]
        self.errors += [OperationalError(each.why) for each in failed]

    def do_if_wanted(self, index: int, kind: str, window: Window) -> None:
        """Do it, unless there is a receipt that says it is done, as a sensor would."""
        wanted = names.batch_list(AGGREGATION, window, index)
        if kind == "sum":
            wanted = names.sum_part_objects(INSTANCE, AGGREGATION, window, index).header
        if names.sent(wanted) not in self.stores[index]["state"].objects:
            self.do(index, self.work(index, kind, window))

    def do(self, index: int, work: Work, writes: int | None = None) -> None:
        """Do it, or begin it and die after so many writes."""
        try:
            run_until_cut(self.processors[index], work, writes)
        except PrioAssetsError as error:
            self.errors.append(error)
        self.watch()

    def begin(self, index: int, work: Work) -> Run:
        """A run that takes its steps when it is told to."""
        self.has_raced = True
        run = Run(self.processors[index], work)
        self.runs.append((index, run))
        return run

    def reap(self) -> None:
        """Forget the runs that have ended, but not how."""
        self.errors += [run.error for _, run in self.runs if run.ended and run.error is not None]
        self.runs = [(index, run) for index, run in self.runs if not run.ended]
        self.watch()

    def cut_runs(self, indices: Iterable[int] = (0, 1)) -> None:
        """Every run of these processors dies where it stands."""
        for index, run in self.runs:
            if index in indices:
                run.cut()
        self.reap()

    def round(self) -> None:
        """All that sensors would request for the windows that have ended, oldest first, once."""
        for index in (0, 1):
            self.do(index, self.work(index, "validate"))
        for index in (0, 1):
            for window in self.ended_windows():
                self.do_if_wanted(index, "list", window)
        for window in self.ended_windows():
            for index in (0, 1):
                self.do_if_wanted(index, "sum", window)

    def ended_windows(self) -> list[Window]:
        return [window for window in WINDOWS if window.end <= self.now]

    # What may happen to them

    def arrive(self, batch: Batch, index: int) -> None:
        """The ingestor writes the batch for one processor."""
        objects = names.ingestion_objects(batch.name)
        for name, data in zip(objects, ingestion_batch(batch, index).three_objects(), strict=True):
            self.stores[index]["ingestion"].create(name, data)

    def has(self, index: int, batch: Batch) -> bool:
        """Whether the batch is complete in a processor's ingestion bucket."""
        objects = self.stores[index]["ingestion"].objects
        return all(name in objects for name in names.ingestion_objects(batch.name))

    def replace_ingestion(self, batch: Batch, index: int) -> None:
        """The ingestor replaces a batch that was taken in by one with other evaluation points."""
        if names.own_validation(batch.name) not in self.stores[index]["own_validations"].objects:
            return
        objects = names.ingestion_objects(batch.name)
        sealed = ingestion_batch(batch, index, replaced=True)
        for name, data in zip(objects, sealed.three_objects(), strict=True):
            self.stores[index]["ingestion"].objects[name] = data
        self._spoil_batch(index, batch)

    def _spoil_batch(self, index: int, batch: Batch) -> None:
        """One of the batch's objects is gone or another: nothing is promised about it."""
        self.disturbed = True
        self.spoiled.add(batch)
        self._changed(index, batch)

    def _changed(self, index: int, batch: Batch) -> None:
        """What is known of the batch at this processor may be older than this, in the runs that have begun."""
        if self.runs:
            self.changed_under_a_run.add((index, batch))

    def reject(self, index: int, batch: Batch) -> None:
        """An operator leaves the batch out."""
        record = Rejection(batch.name.uuid, BatchReason.LEFT_OUT, "", None, "operator", to_ms(self.now), cleared=False)
        self.processors[index].own.record_rejection(batch.name, record)
        self.rejected.add((index, batch))
        self._changed(index, batch)

    def lose_state(self, index: int) -> None:
        """The state storage is lost and made anew, before whatever may have been decided."""
        self.cut_runs([index])
        self.stores[index]["state"].objects.clear()
        default = default_not_before(self.processors[index])
        # Where lists are gone too, the default cannot know better, but the operator does.
        ended = [window.end for window in self.ended_windows()]
        initialise_state(self.processors[index], max([default, *(ended if self.lost_lists else [])]))
        self.losses.append(index)
        self.disturbed = True

    def copies_of(self, index: int) -> list[tuple[MemoryStore, str]]:
        """The copies, at the peer and at the portal, of what a processor keeps."""
        own = self.stores[index]
        kept = {
            objects.signature
            for batch in BATCHES
            for objects in [names.validity_objects(batch.name, index)]
            if names.own_validation(batch.name) in own["own_validations"].objects
            and (index, batch) not in self.rejected
        }
        return [
            (store, name)
            for store in (self.stores[1 - index]["peer_validations"], own["sum_parts"])
            for name, data in sorted(store.objects.items())
            if name in kept or own["state"].objects.get(name) == data
        ]

    def delete_from_bucket(self, index: int, choice: int) -> None:
        """An object in the bucket that the peer writes to is gone."""
        objects = self.stores[index]["peer_validations"].objects
        if not objects:
            return
        name = sorted(objects)[choice % len(objects)]
        del objects[name]
        self._spoiled(index, name)

    def _spoiled(self, index: int, name: str) -> None:
        self.disturbed = True
        found = names.parse_validity_object(name, 1 - index)
        if found is None:
            self.lost_lists = True
        else:
            self._spoil_batch(index, BY_NAME[found[0]])

    def write_bad_list(self, index: int, window: Window, *, stranger: bool) -> None:
        """What stands where the peer's list of the window should be is garbage, or signed by a stranger."""
        data = b"garbage"
        if stranger:
            data = seal_record(self.make_list(1 - index, window, self.listed_until(window)), STRANGER_KEY)
        self._spoiled(index, names.batch_list(AGGREGATION, window, 1 - index))
        self.write_list_as(index, window, data)

    def spoil_list(self, index: int, window: Window, *, garbage: bool) -> None:
        """The peer's list of the window, if it is there, is gone or garbage."""
        name = names.batch_list(AGGREGATION, window, 1 - index)
        objects = self.stores[index]["peer_validations"].objects
        if objects.pop(name, None) is not None:
            self._spoiled(index, name)
            if garbage:
                objects[name] = b"garbage"

    # What a malicious peer may do

    def replace_validation(self, index: int, batch: Batch, variant: int) -> None:
        """The peer replaces its validation in our bucket by another that it signed."""
        name = names.validity_objects(batch.name, 1 - index).signature
        sealed = variants(batch, 1 - index)[variant].sealed
        self.stores[index]["peer_validations"].objects[name] = sealed.single_object()
        self._spoil_batch(index, batch)

    def write_list(self, index: int, record: BatchList) -> None:
        """The peer writes a list into our bucket, or replaces the one that is there."""
        window = Window(from_ms(record.aggregation_start_time), from_ms(record.aggregation_end_time))
        self.write_list_as(index, window, seal_record(record, PROCESSOR_KEYS[1 - index]))

    def write_bad_record(self, index: int, window: Window, record: BatchList) -> None:
        """The peer signs a record that is not what belongs where it is written."""
        self.write_list_as(index, window, seal_record(record, PROCESSOR_KEYS[1 - index]))

    def write_list_as(self, index: int, window: Window, data: bytes) -> None:
        """The peer writes bytes where its list of the window belongs."""
        name = names.batch_list(AGGREGATION, window, 1 - index)
        self.stores[index]["peer_validations"].objects[name] = data

    def listed(self, batch: Batch, repeated: Iterable[UUID] = (), variant: tuple[int, int] = (0, 0)) -> ListedBatch:
        """An entry of a forged list."""
        digests = [variants(batch, index)[variant[index]].digest for index in (0, 1)]
        return ListedBatch(batch.name.uuid, to_ms(batch.name.time), *digests, repeated=tuple(sorted(repeated)))

    def listed_until(self, window: Window) -> tuple[ListedBatch, ...]:
        """Entries for all batches that a window's list may have, in order."""
        batches = sorted(BATCHES, key=lambda batch: batch.name.uuid)
        return tuple(self.listed(batch) for batch in batches if batch.name.time < window.end)

    def make_list(
        self, writer: int, window: Window, batches: tuple[ListedBatch, ...], minimum_clients: int = 1
    ) -> BatchList:
        """A list that keeps the form; what is in it may be anything."""
        return BatchList(
            instance_name=INSTANCE,
            name=AGGREGATION,
            server_index=writer,
            **PARAMETERS.__dict__,
            aggregation_start_time=to_ms(window.start),
            aggregation_end_time=to_ms(window.end),
            minimum_clients=minimum_clients,
            batches=batches,
        )


def malformed(record: BatchList) -> list[BatchList]:
    """Signed lists that break the form in one way each; none may ever be acted on."""
    batches = record.batches
    first = batches[0]
    changed: list[tuple[ListedBatch, ...]] = [
        (first, first, *batches[1:]),
        batches[::-1],
        (replace(first, batch_time=record.aggregation_end_time), *batches[1:]),
        (replace(first, batch_time=first.batch_time + 1000), *batches[1:]),
        (replace(first, batch_time=-(2**62)), *batches[1:]),
    ]
    facts = [
        {"instance_name": "another"},
        {"name": "another"},
        {"server_index": 1 - record.server_index},
        {"bins": BINS + 1},
        {"epsilon": 2.0},
        {"hamming_weight": 1},
        {"aggregation_start_time": record.aggregation_start_time - 3_600_000},
        {"aggregation_end_time": record.aggregation_end_time + 3_600_000},
    ]
    return [
        *(replace(record, batches=entries) for entries in changed if entries != batches),
        *(replace(record, **fact) for fact in facts),
    ]
