"""Signing what was tampered with: the right key, so that the fault is the field's and not the signature's."""

from dataclasses import replace
from uuid import UUID

from prio_assets.wire.batches import SealedBatch, open_single_object
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName, ingestion_objects, own_validation
from prio_assets.wire.names import receipt as receipt_name
from prio_assets.wire.names import totals as totals_name
from prio_assets.wire.packets import digest
from prio_assets.wire.records import BatchSignature, IngestionHeader, Receipt, ValidityHeader, decode, encode
from tests.faults.deployment import Deployment
from tests.faults.material import FAULTY, INGESTOR_KEY, upload_of


def signature_object(header: bytes, key: SigningKey) -> bytes:
    """The signature object of a batch in three objects."""
    return encode(BatchSignature(key.sign(header), key.identifier))


def signed_record(header: bytes, key: SigningKey) -> bytes:
    """A batch list, or totals: the record within its signature object."""
    return encode(BatchSignature(key.sign(header), key.identifier, batch_header=header))


def replace_ingestion_header(
    deployment: Deployment, index: int, header: bytes, batch: BatchName = FAULTY, key: SigningKey = INGESTOR_KEY
) -> None:
    """Put another header in the place of a batch's, signed."""
    names, objects = ingestion_objects(batch), deployment.store(index, "ingestion").objects
    objects[names.header] = header
    objects[names.signature] = signature_object(header, key)


def replace_ingestion_packets(deployment: Deployment, index: int, packets: bytes, batch: BatchName = FAULTY) -> None:
    """Put another packet file in the place of a batch's, with its digest in a signed header."""
    names, objects = ingestion_objects(batch), deployment.store(index, "ingestion").objects
    objects[names.packets] = packets
    header = decode(IngestionHeader, objects[names.header], names.header)
    replace_ingestion_header(deployment, index, encode(replace(header, packet_file_digest=digest(packets))), batch)


def resealed(validation: bytes, key: SigningKey, header: bytes | None = None, packets: bytes | None = None) -> bytes:
    """A validation in single-object form with another header, or other packets and their digest, signed."""
    sealed = open_single_object(validation, "the original")
    assert sealed is not None
    header = sealed.header if header is None else header
    if packets is not None:
        header = encode(replace(decode(ValidityHeader, header, "header"), packet_file_digest=digest(packets)))
    packets = sealed.packets if packets is None else packets
    return SealedBatch(header, packets, BatchSignature(key.sign(header), key.identifier)).single_object()


def replace_own_validation(deployment: Deployment, index: int, validation: bytes) -> None:
    """Let a processor have computed another validation of FAULTY, without totals."""
    objects = deployment.store(index, "own_validations").objects
    sealed = open_single_object(validation, "the other")
    assert sealed is not None
    receipt = decode(Receipt, objects[receipt_name(FAULTY)], "receipt")
    objects[receipt_name(FAULTY)] = encode(replace(receipt, validity_digest=digest(sealed.packets)))
    objects[own_validation(FAULTY)] = validation
    del objects[totals_name(FAULTY)]


def first_packet() -> UUID:
    """The packet that tamperings of a packet file change."""
    return UUID(upload_of(FAULTY).packets[0][0].uuid)
