"""What a share processor keeps for itself: validations, totals, rejections and receipts, in its own-validation bucket.

Nothing here is changed once written: a name that is taken keeps its first object, and rejections are numbered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

from prio_assets.errors import BatchRejected, ObjectMissingError
from prio_assets.processor.intake import Intake
from prio_assets.storage.base import SMALL_OBJECT_BYTES, Store, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import Validation, stored_validation
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Receipt, Rejection, Totals, decode, encode
from prio_assets.wire.sealed import open_record, seal_record

UNDECRYPTABLE_ACCEPTED = "undecryptable_accepted"
"""The reason in a clearing record by which an operator accepts that undecryptable packets are lost."""


@dataclass(frozen=True)
class OwnStore:
    """The objects under `prio-assets/` in the own-validation bucket."""

    store: Store

    def keep(self, intake: Intake, signing_key: SigningKey) -> None:
        """Store totals, then the validation; what is there already stays."""
        batch = intake.source.batch
        self.store.create(names.totals(batch), seal_record(intake.totals, signing_key))
        self.store.create(names.own_validation(batch), intake.validation.single_object())

    def validation(self, batch: BatchName) -> Validation | None:
        """The stored validation; None where there is none, `BatchRejected` where it is damaged."""
        name = names.own_validation(batch)
        data = self._read(name)
        return None if data is None else stored_validation(data, batch, name)

    def totals(self, batch: BatchName, keys: VerificationKeys) -> Totals | None:
        """The totals of intake, where they are there and verify; otherwise aggregation reads the shares again."""
        name = names.totals(batch)
        data = self._read(name)
        if data is None:
            return None
        try:
            return open_record(Totals, data, keys, name)
        except BatchRejected:
            return None

    def recorded_digest(self, batch: BatchName, keys: VerificationKeys) -> bytes | None:
        """The digest of the packet file that intake read; None where nothing that was kept says it."""
        record = self.totals(batch, keys) or self.receipt(batch)
        return None if record is None else record.packet_file_digest

    def receipt(self, batch: BatchName) -> Receipt | None:
        """The record that the peer has our validation."""
        name = names.receipt(batch)
        data = self._read(name, SMALL_OBJECT_BYTES)
        return None if data is None else decode(Receipt, data, name)

    def write_receipt(self, batch: BatchName, receipt: Receipt) -> None:
        """Record that the peer has our validation; the first record stays."""
        self.store.create(names.receipt(batch), encode(receipt))

    def rejections(self, batch: BatchName) -> Iterator[Rejection]:
        """All rejection and clearing records of the batch, oldest first."""
        numbered = []
        prefix = names.rejections(batch)
        for name, _ in self.store.list(prefix):
            number = name.removeprefix(prefix)
            if number.isascii() and number.isdigit():
                numbered.append((int(number), name))
        for _, name in sorted(numbered):
            yield decode(Rejection, read_bytes(self.store, name, SMALL_OBJECT_BYTES), name)

    def last_rejection(self, batch: BatchName) -> Rejection | None:
        """The record that counts: the one of the highest number, be it a rejection or a clearing."""
        last = None
        for record in self.rejections(batch):
            last = record
        return last

    def record_rejection(self, batch: BatchName, rejection: Rejection) -> None:
        """Append a record, under the next free number. One that says what the last one says is not repeated."""
        records = list(self.rejections(batch))
        if records and replace(records[-1], at=rejection.at, by=rejection.by) == rejection:
            return
        number = len(records) + 1
        while not self.store.create(names.rejection(batch, number), encode(rejection)):
            number += 1

    def _read(self, name: str, limit: int | None = None) -> bytes | None:
        try:
            return read_bytes(self.store, name) if limit is None else read_bytes(self.store, name, limit)
        except ObjectMissingError:
            return None


def is_rejected(record: Rejection | None) -> TypeGuard[Rejection]:
    """Whether the last record of a batch leaves it out."""
    return record is not None and not record.cleared


def accepts_undecryptable(record: Rejection | None) -> bool:
    """Whether an operator has accepted that the batch's undecryptable packets are lost."""
    return record is not None and record.cleared and record.reason == UNDECRYPTABLE_ACCEPTED
