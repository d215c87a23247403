"""Intake of one batch at a command: the validation for the peer, and, where wanted, what we keep for ourselves."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from prio_assets.errors import BatchReason, BatchRejected, ObjectMissingError, PacketReason
from prio_assets.processor.ingestion import Opener, open_ingestion_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.processor.own_store import OwnStore, accepts_undecryptable, is_rejected
from prio_assets.storage.base import Store, copy_bytes, copy_in_order
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch, Validation
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Receipt
from prio_assets.wire.windows import to_ms


@dataclass(frozen=True)
class IntakePlace:
    """Where batches are read and validations written, with which keys; `own` is None where nothing is kept."""

    ingestion: Store
    peer_bucket: Store
    own: OwnStore | None
    opener: Opener
    signing_key: SigningKey
    single_object: bool


@dataclass(frozen=True)
class OneShotIntake:
    """What became of a batch; `received` and `rejected` are unknown (None) where an earlier run computed it."""

    accepted: int
    received: int | None
    rejected: Counter[PacketReason] | None


def intake_once(place: IntakePlace, batch: BatchName, by: str, now: datetime) -> OneShotIntake:
    """Verify the batch, keep what is to be kept, then send the validation, create-only.

    What an earlier run kept is sent, not computed again. A rejection is recorded, as made `by`, before it is raised;
    `ObjectConflictError` where the peer has another validation of the batch.
    """
    if place.own is None:
        intake = _take_in(place, batch, accept_undecryptable=False)
        _send(place, batch, intake.validation)
        return OneShotIntake(len(intake.packets.uuids), intake.received, intake.rejected)
    return _intake_and_keep(place, place.own, batch, by, now)


def _intake_and_keep(place: IntakePlace, own: OwnStore, batch: BatchName, by: str, now: datetime) -> OneShotIntake:
    last = own.last_rejection(batch)
    if is_rejected(last):
        raise BatchRejected(
            BatchReason.LEFT_OUT,
            f"{batch.base} was left out before, by {last.by} ({last.reason}: {last.details}); `prio-assets rejections "
            "clear` has it tried again",
        )
    stored, intake, packet_file_digest = own.validation(batch), None, None
    if stored is None:
        try:
            _check_unrepeated(own, batch)
            intake = _take_in(place, batch, accept_undecryptable=accepts_undecryptable(last))
        except BatchRejected as rejected:
            own.reject(batch, rejected, by, now)
            raise
        if own.keep(intake, place.signing_key):
            stored, packet_file_digest = intake.as_read, intake.source.header.packet_file_digest
        else:
            stored = _stored_validation(own, batch)
    _send(place, batch, stored.sealed)
    if packet_file_digest is None:
        packet_file_digest = _recorded_digest(place, own, batch, stored)
    own.write_receipt(batch, Receipt(packet_file_digest, stored.header.packet_file_digest, to_ms(now)))
    accepted = len(stored.packets.uuids)
    if intake is None:
        return OneShotIntake(accepted, None, None)
    return OneShotIntake(accepted, intake.received, intake.rejected)


def _check_unrepeated(own: OwnStore, batch: BatchName) -> None:
    other = own.namesake(batch)
    if other is not None:
        raise BatchRejected(
            BatchReason.BATCH_REPEATED, f"{batch.base} has the UUID of {other.base}, which was taken in before"
        )


def _take_in(place: IntakePlace, batch: BatchName, *, accept_undecryptable: bool) -> Intake:
    source = open_ingestion_batch(place.ingestion, batch, place.opener, expected=None)
    return take_in(source, place.signing_key, accept_undecryptable=accept_undecryptable)


def _stored_validation(own: OwnStore, batch: BatchName) -> Validation:
    """What another run has stored meanwhile."""
    stored = own.validation(batch)
    if stored is None:
        raise ObjectMissingError(f"{names.own_validation(batch)} vanished after it was written; run this again")
    return stored


def _send(place: IntakePlace, batch: BatchName, sealed: SealedBatch) -> None:
    """Write the peer's copy; the signature comes last, since it makes the validation visible."""
    objects = names.validity_objects(batch, place.opener.server_index)
    if place.single_object:
        copy_bytes(place.peer_bucket, objects.signature, sealed.single_object())
        return
    copy_in_order(place.peer_bucket, objects, sealed.three_objects())


def _recorded_digest(place: IntakePlace, own: OwnStore, batch: BatchName, stored: Validation) -> bytes:
    recorded = own.recorded_digest(batch, stored, {place.signing_key.identifier: place.signing_key.public})
    if recorded is not None:
        return recorded
    return open_ingestion_batch(place.ingestion, batch, place.opener, expected=None).header.packet_file_digest
