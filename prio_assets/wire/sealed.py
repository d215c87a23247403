"""Signed objects that are one header and no packets: batch lists, and the totals that a processor keeps for itself.

Such an object is a `PrioBatchSignature` in single-object form: `batch_header` is a container with the one record,
`packets` is null, the signature is over the bytes of `batch_header`, as for validations.
"""

from typing import TypeVar

from prio_assets.errors import BatchReason, BatchRejected
from prio_assets.wire.batches import open_header, open_signature, verify_header
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.records import SMALL_RECORD_BYTES, BatchList, BatchSignature, Totals, encode

SealedRecord = TypeVar("SealedRecord", BatchList, Totals)


def seal_record(record: BatchList | Totals, signing_key: SigningKey) -> bytes:
    """The signed object that holds `record`; the same record and key give the same bytes."""
    header = encode(record)
    signature = BatchSignature(signing_key.sign(header), signing_key.identifier, batch_header=header, packets=None)
    return encode(signature)


def open_record(record_type: type[SealedRecord], data: bytes, keys: VerificationKeys, name: str) -> SealedRecord:
    """The record in a signed object, its signature verified before it is parsed.

    Raises `BatchRejected` that names the object.
    """
    signature = _open(record_type, data, name)
    header = _embedded_header(signature, record_type, name)
    verify_header(header, signature, keys, name)
    return open_header(record_type, header, name)


def stored_record(record_type: type[SealedRecord], data: bytes, name: str) -> SealedRecord:
    """The record in a signed object that we stored ourselves; its signature may be by a key that is no longer in use.

    Raises `BatchRejected` that names the object.
    """
    return open_header(record_type, _embedded_header(_open(record_type, data, name), record_type, name), name)


def _open(record_type: type[SealedRecord], data: bytes, name: str) -> BatchSignature:
    """The signature object that holds such a record: as large as the record may be, and what a signature may have."""
    return open_signature(data, name, record_type.maximum_bytes + SMALL_RECORD_BYTES)


def _embedded_header(signature: BatchSignature, record_type: type[SealedRecord], name: str) -> bytes:
    if signature.batch_header is None or signature.packets is not None:
        raise BatchRejected(BatchReason.SIGNATURE_MALFORMED, f"{name} holds no signed {record_type.__name__}")
    return signature.batch_header
