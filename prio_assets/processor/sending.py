"""Sending our validation to the peer: from the stored bytes, in the form that the peer reads, then the receipt."""

from prio_assets.processor.ingestion import open_ingestion_batch
from prio_assets.processor.processor import ShareProcessor
from prio_assets.processor.steps import OWN_VALIDATIONS, PEER_BUCKET, Copy, CopyParts, Create, Step
from prio_assets.storage.base import may_be_lost
from prio_assets.wire import names
from prio_assets.wire.batches import Validation
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Receipt, encode
from prio_assets.wire.windows import to_ms


def steps_to_send(
    processor: ShareProcessor, batch: BatchName, own: Validation, packet_file_digest: bytes | None = None
) -> list[Step]:
    """Copy the stored validation `own` to the peer's bucket, the signature last, and record the receipt after it.

    `packet_file_digest` is that of the packet file that it was computed from; None where that has to be looked up.
    """
    if packet_file_digest is None:
        packet_file_digest = recorded_digest(processor, batch, own)
    receipt = Receipt(packet_file_digest, own.header.packet_file_digest, to_ms(processor.clock()))
    return [_copy(processor, batch), Create(OWN_VALIDATIONS, names.receipt(batch), encode(receipt))]


def may_be_lost_at_peer(processor: ShareProcessor, batch: BatchName) -> bool:
    """Whether the peer's bucket may have lost our validation that was sent: its signature, which is written last."""
    objects = names.validity_objects(batch, processor.settings.server_index)
    return may_be_lost(processor.stores.peer_bucket, objects.signature)


def recorded_digest(processor: ShareProcessor, batch: BatchName, own: Validation) -> bytes:
    """The digest of the packet file that intake read, from what intake kept, else from the ingestion header."""
    recorded = processor.own.recorded_digest(batch, own, processor.own_keys)
    if recorded is not None:
        return recorded
    source = open_ingestion_batch(processor.stores.ingestion, batch, processor.opener, expected=None)
    return source.header.packet_file_digest


def _copy(processor: ShareProcessor, batch: BatchName) -> Step:
    source = names.own_validation(batch)
    target = names.validity_objects(batch, processor.settings.server_index)
    if processor.settings.single_object_validations:
        return Copy(OWN_VALIDATIONS, source, PEER_BUCKET, target.signature)
    return CopyParts(OWN_VALIDATIONS, source, PEER_BUCKET, target)
