"""What a share processor keeps for itself: validations, totals, rejections and receipts, in its own-validation bucket.

Nothing here is changed once written: a name that is taken keeps its first object, and rejections are numbered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeGuard, TypeVar

from prio_assets.errors import BatchReason, BatchRejected, MalformedError, ObjectMissingError
from prio_assets.processor.intake import Intake
from prio_assets.processor.totals import TotalsFault
from prio_assets.storage.base import SMALL_OBJECT_BYTES, Store, read_bytes
from prio_assets.wire import names
from prio_assets.wire.batches import Validation, stored_validation
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Receipt, Record, Rejection, Totals, decode, encode
from prio_assets.wire.sealed import open_record, seal_record
from prio_assets.wire.windows import to_ms

R = TypeVar("R", bound=Record)

UNDECRYPTABLE_ACCEPTED = "undecryptable_accepted"
"""The reason in a clearing record by which an operator accepts that undecryptable packets are lost."""


@dataclass(frozen=True)
class OwnStore:
    """The objects under `prio-assets/` in the own-validation bucket."""

    store: Store

    def keep(self, intake: Intake, signing_key: SigningKey) -> bool:
        """Store totals, then the validation; what is there already stays. False if there is another validation."""
        batch = intake.source.batch
        self.store.create(names.totals(batch), seal_record(intake.totals, signing_key))
        return self.store.create(names.own_validation(batch), intake.validation.single_object())

    def validation(self, batch: BatchName) -> Validation | None:
        """The stored validation; None where there is none, `BatchRejected` (own record damaged) for what is none."""
        name = names.own_validation(batch)
        try:
            data = self._read(name)
            return None if data is None else stored_validation(data, batch, name)
        except BatchRejected as rejected:
            raise _damaged(name, rejected) from rejected

    def totals(self, batch: BatchName, keys: VerificationKeys) -> Totals | TotalsFault:
        """The totals of intake, where they are there and their signature holds; otherwise what is wrong with them."""
        name = names.totals(batch)
        try:
            data = self._read(name)
            return TotalsFault.MISSING if data is None else open_record(Totals, data, keys, name)
        except BatchRejected:
            return TotalsFault.UNVERIFIABLE

    def recorded_digest(self, batch: BatchName, stored: Validation, keys: VerificationKeys) -> bytes | None:
        """The digest of the packet file that the stored validation was computed from; None where nothing kept says it.

        A record of another validation does not: a run may have ended between the two writes of intake.
        """
        return self.digest_recorded_beside(self.totals(batch, keys), batch, stored.header.packet_file_digest)

    def digest_recorded_beside(
        self, totals: Totals | TotalsFault, batch: BatchName, validity_digest: bytes
    ) -> bytes | None:
        """`recorded_digest`, with the batch's totals at hand, of the validation of this digest."""
        if isinstance(totals, Totals) and totals.validity_digest == validity_digest:
            return totals.packet_file_digest
        receipt = self.receipt(batch)
        if receipt is not None and receipt.validity_digest == validity_digest:
            return receipt.packet_file_digest
        return None

    def validated(self, aggregation: str, begin: datetime, end: datetime) -> Iterator[BatchName]:
        """The batches with a stored validation whose time is in [begin, end), in the order of their names."""
        return self._batches(names.VALIDATIONS, aggregation, begin, end)

    def sent(self, aggregation: str, begin: datetime, end: datetime) -> Iterator[BatchName]:
        """The batches with a receipt whose time is in [begin, end), in the order of their names."""
        return self._batches(names.RECEIPTS, aggregation, begin, end)

    def namesake(self, batch: BatchName) -> BatchName | None:
        """A batch of the same aggregation and UUID under another path time that has a validation, the earliest."""
        listed = self.store.list(f"{names.VALIDATIONS}{batch.aggregation}/")
        suffix = f"/{batch.uuid}"
        found = (names.parse_own_object(names.VALIDATIONS, name) for name, _ in listed if name.endswith(suffix))
        return next((other for other in found if other is not None and other != batch), None)

    def receipt(self, batch: BatchName) -> Receipt | None:
        """The record that the peer has our validation; `BatchRejected` (own record damaged) for what is none."""
        name = names.receipt(batch)
        data = self._read(name)
        return None if data is None else _decode(Receipt, data, name)

    def write_receipt(self, batch: BatchName, receipt: Receipt) -> None:
        """Record that the peer has our validation; the first record stays."""
        self.store.create(names.receipt(batch), encode(receipt))

    def last_rejection(self, batch: BatchName) -> Rejection | None:
        """The record that counts: the one of the highest number, be it a rejection or a clearing."""
        numbers = self._rejection_numbers(batch)
        return self._rejection(batch, numbers[-1]) if numbers else None

    def last_rejections(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[BatchName, Rejection]]:
        """The records that count of all batches in a range of names, in the order of the batches' names."""
        numbers: dict[BatchName, int] = {}
        for name, _ in self.store.list(prefix, start, end):
            found = names.parse_rejection(name)
            if found is not None:
                batch, number = found
                numbers[batch] = max(number, numbers.get(batch, number))
        for batch, number in sorted(numbers.items()):
            yield batch, self._rejection(batch, number)

    def reject(self, batch: BatchName, rejected: BatchRejected, by: str, now: datetime) -> None:
        """Record that the batch is not used, and why."""
        self.record_verdict(
            batch,
            rejected.reason.value,
            rejected.details,
            by,
            now,
            cleared=False,
            packet_file_digest=rejected.packet_file_digest,
        )

    def record_verdict(
        self,
        batch: BatchName,
        reason: str,
        details: str,
        by: str,
        now: datetime,
        *,
        cleared: bool,
        packet_file_digest: bytes | None = None,
    ) -> None:
        """Record a verdict on the batch, or with `cleared` that the verdicts before it are lifted."""
        record = Rejection(batch.uuid, reason, details, packet_file_digest, by, to_ms(now), cleared)
        self.record_rejection(batch, record)

    def record_rejection(self, batch: BatchName, rejection: Rejection) -> None:
        """Append a record, under the next number. One that says what the last one says is not repeated."""
        last = self.last_rejection(batch)
        if last is not None and replace(last, at=rejection.at, by=rejection.by) == rejection:
            return
        number = max(self._rejection_numbers(batch), default=0) + 1
        while not self.store.create(names.rejection(batch, number), encode(rejection)):
            number += 1

    def _batches(self, folder: str, aggregation: str, begin: datetime, end: datetime) -> Iterator[BatchName]:
        for name, _ in self.store.list(*names.time_range(aggregation, begin, end, folder)):
            batch = names.parse_own_object(folder, name)
            if batch is not None:
                yield batch

    def _rejection_numbers(self, batch: BatchName) -> list[int]:
        listed = (names.parse_rejection(name) for name, _ in self.store.list(names.rejections(batch)))
        return sorted(found[1] for found in listed if found is not None)

    def _rejection(self, batch: BatchName, number: int) -> Rejection:
        """One record; one that cannot be read leaves the batch out too, until an operator has looked at it."""
        name = names.rejection(batch, number)
        try:
            return _decode(Rejection, read_bytes(self.store, name, SMALL_OBJECT_BYTES), name)
        except BatchRejected as damaged:
            return Rejection(batch.uuid, damaged.reason.value, damaged.details, None, by="", at=0, cleared=False)

    def _read(self, name: str) -> bytes | None:
        try:
            return read_bytes(self.store, name)
        except ObjectMissingError:
            return None


def _decode(record_type: type[R], data: bytes, name: str) -> R:
    try:
        return decode(record_type, data, name)
    except MalformedError as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> BatchRejected:
    return BatchRejected(
        BatchReason.OWN_RECORD_DAMAGED, f"our own {name} is damaged, restore it or delete it to make it again ({error})"
    )


def is_rejected(record: Rejection | None) -> TypeGuard[Rejection]:
    """Whether the last record of a batch leaves it out."""
    return record is not None and not record.cleared


def accepts_undecryptable(record: Rejection | None) -> bool:
    """Whether an operator has accepted that the batch's undecryptable packets are lost."""
    return record is not None and record.cleared and record.reason == UNDECRYPTABLE_ACCEPTED
