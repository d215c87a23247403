"""A packet file that is not what its header states leaves a rejection, and nothing else, wherever that shows."""

import dataclasses
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from prio_assets.configuration import ProcessorStores
from prio_assets.errors import BatchReason, BatchRejected, OperationalError
from prio_assets.prio.choice import choose_engine
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Chunk, Engine, Verification, VerificationParameters
from prio_assets.prio.plain import PlainEngine
from prio_assets.processor import ingestion
from prio_assets.processor.ingestion import Opener
from prio_assets.processor.one_shot_intake import IntakePlace, intake_once
from prio_assets.processor.own_store import OwnStore
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.validation import BatchState, validate_batches
from prio_assets.storage.local import LocalStore
from prio_assets.wire.batches import SealedBatch, open_header, seal
from prio_assets.wire.names import ingestion_objects
from prio_assets.wire.packets import digest
from prio_assets.wire.records import IngestionHeader, Rejection, decode
from tests.faults.deployment import SettableClock, make_processors
from tests.faults.material import FAULTY, FAULTY_CLIENTS, INGESTOR_KEY, PACKET_KEYS, PROCESSOR_KEYS, sealed_batch

SERVER = 1
SOUND_BATCH = sealed_batch(FAULTY, SERVER)
FILE = SOUND_BATCH.packets
PLACES = sorted({*range(0, len(FILE), 101), *range(len(FILE) - 20, len(FILE))})
"""Of bytes: some everywhere, and all of the last sync marker, where all packets have been verified."""


class SmallChunks(PlainEngine):
    """A chunk a packet, verified in threads or not; counts them, and may fail at one."""

    def __init__(self, *, parallel: bool, fails_at: int | None = None) -> None:
        self.parallel = parallel
        self.verified = 0
        self._numbers = count(1)
        self._fails_at = fails_at

    def verify(
        self, chunk: Chunk, keys: Sequence[PacketDecryptionKey], parameters: VerificationParameters
    ) -> Verification:
        self.verified = number = next(self._numbers)
        if number == self._fails_at:
            raise OperationalError("no memory")
        return super().verify(chunk, keys, parameters)

    def packets_per_chunk(self, bins: int) -> int:
        return 1


ENGINES = {
    "chosen": choose_engine().engine,
    "one thread": SmallChunks(parallel=False),
    "threads": SmallChunks(parallel=True),
}


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "threads_for", lambda engine: 2 if engine.parallel else 1)


@dataclasses.dataclass(frozen=True)
class Place:
    """A processor's directories, with a batch in the first."""

    root: Path
    header: IngestionHeader

    def store(self, name: str) -> LocalStore:
        return LocalStore(self.root / name)

    def files(self) -> set[str]:
        """All that is below the directories that intake writes to, temporary files too."""
        written = [self.root / name for name in ("own", "peer")]
        return {str(path.relative_to(self.root)) for root in written for path in root.rglob("*") if path.is_file()}

    def validate(self, engine: Engine) -> BatchState:
        """As in Dagster."""
        settings = make_processors(SettableClock())[SERVER].settings
        stores = ProcessorStores(
            ingestion=self.store("ingestion"),
            own_validations=self.store("own"),
            peer_validations=self.store("unused"),
            state=self.store("unused"),
            sum_parts=self.store("unused"),
            peer_bucket=self.store("peer"),
        )
        key, packet_keys = PROCESSOR_KEYS[SERVER], PACKET_KEYS[SERVER : SERVER + 1]
        processor = ShareProcessor(settings, stores, SettableClock(), key, packet_keys, engine)
        (outcome,) = validate_batches(processor, [FAULTY])
        return outcome.state

    def intake(self, engine: Engine, own: OwnStore | None) -> None:
        """As the command does."""
        keys = {INGESTOR_KEY.identifier: INGESTOR_KEY.public}
        opener = Opener(SERVER, keys, PACKET_KEYS[SERVER : SERVER + 1], engine)
        place = IntakePlace(
            self.store("ingestion"), self.store("peer"), own, opener, PROCESSOR_KEYS[SERVER], single_object=False
        )
        intake_once(place, FAULTY, "a test", SettableClock()())

    def check_rejected(self, reason: BatchReason) -> None:
        """One rejection of this packet file, and not a byte beside it."""
        (name,) = self.files()
        record = decode(Rejection, (self.root / name).read_bytes(), name)
        assert (record.reason, record.packet_file_digest) == (reason, self.header.packet_file_digest)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("prio-assets")]


def make_place(root: Path, sealed: SealedBatch, file: bytes) -> Place:
    for name in ("ingestion", "own", "peer", "unused"):
        (root / name).mkdir(parents=True)
    names = ingestion_objects(FAULTY)
    header, _, signature = sealed.three_objects()
    for name, data in ((names.header, header), (names.packets, file), (names.signature, signature)):
        LocalStore(root / "ingestion").create(name, data)
    return Place(root, open_header(IngestionHeader, header, "header"))


def stating(sha256: bytes) -> SealedBatch:
    """The batch of a header that states this digest."""
    header = open_header(IngestionHeader, SOUND_BATCH.header, "header")
    return seal(dataclasses.replace(header, packet_file_digest=sha256), FILE, INGESTOR_KEY)


def altered(place: int) -> bytes:
    return FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :]


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("kind", ["altered", "cut off"])
def test_a_file_that_is_altered_or_cut_off_anywhere(kind: str, engine: Engine, tmp_path: Path) -> None:
    for at in PLACES:
        place = make_place(tmp_path / str(at), SOUND_BATCH, altered(at) if kind == "altered" else FILE[:at])
        assert place.validate(engine) == BatchState.REJECTED
        place.check_rejected(BatchReason.DIGEST_DIFFERS)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("keeps", [True, False])
def test_the_command_writes_nothing_of_such_a_file(keeps: bool, engine: Engine, tmp_path: Path) -> None:
    for at in (0, len(FILE) // 2, len(FILE) - 1):
        place = make_place(tmp_path / str(at), SOUND_BATCH, altered(at))
        with pytest.raises(BatchRejected, match=r"^digest_differs: "):
            place.intake(engine, OwnStore(place.store("own")) if keeps else None)
        if keeps:
            place.check_rejected(BatchReason.DIGEST_DIFFERS)
        else:
            assert not place.files()


@pytest.mark.parametrize("parallel", [True, False])
def test_a_digest_that_fails_when_all_is_verified(parallel: bool, tmp_path: Path) -> None:
    engine = SmallChunks(parallel=parallel)
    place = make_place(tmp_path, stating(bytes(32)), FILE)
    assert place.validate(engine) == BatchState.REJECTED
    assert engine.verified >= FAULTY_CLIENTS - 4  # at the end some may not have begun
    place.check_rejected(BatchReason.DIGEST_DIFFERS)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_a_file_that_ends_within_a_packet_as_its_header_says(engine: Engine, tmp_path: Path) -> None:
    file = FILE[:-20]
    place = make_place(tmp_path, stating(digest(file)), file)
    assert place.validate(engine) == BatchState.REJECTED
    place.check_rejected(BatchReason.PACKETS_MALFORMED)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("fails_at", [1, 5, FAULTY_CLIENTS])
def test_an_engine_that_fails_leaves_nothing_and_the_batch_is_tried_again(
    fails_at: int, parallel: bool, tmp_path: Path
) -> None:
    place = make_place(tmp_path, SOUND_BATCH, FILE)
    assert place.validate(SmallChunks(parallel=parallel, fails_at=fails_at)) == BatchState.FAILED
    assert not place.files()
    assert place.validate(SmallChunks(parallel=parallel)) == BatchState.SENT
