"""Signed batches: a header, packets and a signature, in three objects or (validations only) within one.

The signature is over the stored bytes of the header, and is verified before these are parsed; the header authenticates
the stored bytes of the packets by their SHA-256. So bytes are kept as they were read, and never encoded again.

Whoever gives the bytes bounds them. What they may become when they are decompressed is bounded here, by the kind of
record: a few bytes of a stranger's could fill the memory before any signature is verified.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, MalformedError, ObjectMissingError, quoted
from prio_assets.prio.domain import MAXIMUM_BINS
from prio_assets.prio.field import PRIME
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.names import BatchName, Objects, sum_part_objects, validity_objects
from prio_assets.wire.packets import ValidityPackets, decode_invalid_packets, decode_validity_packets, digest
from prio_assets.wire.records import (
    SMALL_RECORD_BYTES,
    BatchSignature,
    IngestionHeader,
    Parameters,
    Record,
    SumPart,
    ValidityHeader,
    decode,
    encode,
)
from prio_assets.wire.windows import Window

NUMBER_OF_SERVERS = 2

R = TypeVar("R", bound=Record)
Header = TypeVar("Header", IngestionHeader, ValidityHeader, SumPart)


@dataclass(frozen=True)
class SealedBatch:
    """A batch as stored bytes; `signature` is without the embedded parts, whatever form the batch was read in."""

    header: bytes = field(repr=False)
    packets: bytes = field(repr=False)
    signature: BatchSignature

    def single_object(self) -> bytes:
        """The signature object that is the whole batch."""
        return encode(replace(self.signature, batch_header=self.header, packets=self.packets))

    def three_objects(self) -> tuple[bytes, bytes, bytes]:
        """Header, packets and signature object."""
        return self.header, self.packets, encode(self.signature)


@dataclass(frozen=True)
class Validation:
    """A verified validation: what a processor computed of a batch, and the bytes that say so."""

    header: ValidityHeader
    packets: ValidityPackets
    sealed: SealedBatch


@dataclass(frozen=True)
class SumPartBatch:
    """A verified sum part; `invalid_packets` are the UUIDs, uint8[n, 16], that its writer left out of it."""

    header: SumPart
    invalid_packets: NDArray[np.uint8]


def seal(header: IngestionHeader | ValidityHeader | SumPart, packets: bytes, signing_key: SigningKey) -> SealedBatch:
    """The signed batch; the same inputs give the same bytes."""
    data = encode(header)
    return SealedBatch(data, packets, BatchSignature(signing_key.sign(data), signing_key.identifier))


def open_signature(data: bytes, name: str, maximum_bytes: int = SMALL_RECORD_BYTES) -> BatchSignature:
    """The record in a signature object; BatchRejected (signature malformed) if it is none.

    Only a signature object that may be a whole batch, or a signed record, needs a higher limit than the usual one.
    """
    try:
        return decode(BatchSignature, data, name, maximum_bytes)
    except MalformedError as error:
        raise BatchRejected(BatchReason.SIGNATURE_MALFORMED, str(error)) from error


def open_single_object(data: bytes, name: str) -> SealedBatch | None:
    """The batch that a signature object holds, not verified; None if it is one of three objects."""
    return _embedded_batch(open_signature(data, name, BatchSignature.maximum_bytes))


def open_header(record_type: type[R], data: bytes, name: str) -> R:
    """The record in a header object, whose signature was verified; BatchRejected (header malformed) if it is none."""
    try:
        return decode(record_type, data, name)
    except MalformedError as error:
        raise BatchRejected(BatchReason.HEADER_MALFORMED, str(error)) from error


def verify_header(header: bytes, signature: BatchSignature, keys: VerificationKeys, name: str) -> None:
    """Check the signature over the bytes of a header; BatchRejected (unknown key, signature invalid)."""
    key = keys.get(signature.key_identifier)
    if key is None:
        signer, known = quoted(signature.key_identifier), ", ".join(map(quoted, keys)) or "none"
        details = f"{name} is signed by {signer}, which its sender does not publish (published: {known})"
        raise BatchRejected(BatchReason.UNKNOWN_KEY, details)
    try:
        key.verify(signature.batch_header_signature, header, ECDSA(SHA256()))
    except InvalidSignature:
        details = f"the signature of {name} by {quoted(signature.key_identifier)} does not hold"
        raise BatchRejected(BatchReason.SIGNATURE_INVALID, details) from None


def check_path(header: IngestionHeader | ValidityHeader, batch: BatchName, name: str) -> None:
    """Check that the header is of the batch that its object's name says: a signed batch must not be moved."""
    if header.batch_uuid != batch.uuid:
        raise BatchRejected(BatchReason.BATCH_UUID_DIFFERS, f"{name} holds the batch {header.batch_uuid}")
    _check_aggregation(header.name, batch.aggregation, name)


def check_parameters(parameters: Parameters, name: str) -> None:
    """Check that a batch can have these parameters, before anything is sized by them; BatchRejected otherwise.

    bins is 1 to 524287; epsilon is a label of the clients' noise, finite and not negative; the prime is the field's;
    there are two servers; the Hamming weight, if there is one, is 0 to bins.
    """
    bins, weight = parameters.bins, parameters.hamming_weight
    checks = (
        (BatchReason.BINS_OUT_OF_RANGE, 1 <= bins <= MAXIMUM_BINS, bins, f"1 to {MAXIMUM_BINS}"),
        (
            BatchReason.EPSILON_OUT_OF_RANGE,
            math.isfinite(parameters.epsilon) and parameters.epsilon >= 0,
            parameters.epsilon,
            "finite and not negative",
        ),
        (BatchReason.PRIME_DIFFERS, parameters.prime == PRIME, parameters.prime, str(PRIME)),
        (
            BatchReason.NUMBER_OF_SERVERS_DIFFERS,
            parameters.number_of_servers == NUMBER_OF_SERVERS,
            parameters.number_of_servers,
            str(NUMBER_OF_SERVERS),
        ),
        (
            BatchReason.HAMMING_WEIGHT_OUT_OF_RANGE,
            weight is None or 0 <= weight <= bins,
            weight,
            "0 to bins, or absent",
        ),
    )
    for reason, holds, value, wanted in checks:
        if not holds:
            raise BatchRejected(reason, f"{name} states {value}, it must be {wanted}")


def check_packet_digest(header: IngestionHeader | ValidityHeader | SumPart, packets: bytes, name: str) -> None:
    """Check that these bytes are the packets that the header means; BatchRejected (digest differs)."""
    if digest(packets) != header.packet_file_digest:
        raise BatchRejected(BatchReason.DIGEST_DIFFERS, f"the SHA-256 of {name} is not the one that its header states")


def read_validation(read: Callable[[str], bytes], batch: BatchName, index: int, keys: VerificationKeys) -> Validation:
    """The validation of `batch` by the processor `index`, in either form, wholly verified.

    `read` gives an object's bytes by its name. Raises ObjectMissingError as long as there is no signature object, and
    BatchRejected, which names the object, for everything that is wrong with what is there.
    """
    header, sealed, objects = _read_batch(ValidityHeader, read, validity_objects(batch, index), keys)
    return _checked_validation(header, sealed, batch, objects)


def stored_validation(data: bytes, batch: BatchName, name: str) -> Validation:
    """A validation that we stored ourselves, in single-object form: all but its signature verified.

    The signature may be by a key that is no longer in use; BatchRejected for everything else that is wrong.
    """
    sealed = open_single_object(data, name)
    if sealed is None:
        raise BatchRejected(BatchReason.SIGNATURE_MALFORMED, f"{name} is not a validation in single-object form")
    header = open_header(ValidityHeader, sealed.header, name)
    check_packet_digest(header, sealed.packets, name)
    return _checked_validation(header, sealed, batch, Objects(name, name, name))


def parts_of_batch(data: bytes, name: str) -> tuple[bytes, bytes, bytes]:
    """Header, packets and signature object: what a batch in single-object form stands for."""
    sealed = open_single_object(data, name)
    if sealed is None:
        raise BatchRejected(BatchReason.SIGNATURE_MALFORMED, f"{name} is not a batch in single-object form")
    return sealed.three_objects()


def read_sum_part(
    read: Callable[[str], bytes], instance: str, aggregation: str, window: Window, index: int, keys: VerificationKeys
) -> SumPartBatch:
    """The sum part of the processor `index`: signature, aggregation, parameters and packets verified.

    That its times, sums and batches fit is left to whoever adds it to the other one. `read` and errors are those of
    `read_validation`.
    """
    names = sum_part_objects(instance, aggregation, window, index)
    header, sealed, objects = _read_batch(SumPart, read, names, keys)
    _check_aggregation(header.name, aggregation, objects.header)
    check_parameters(header.parameters, objects.header)
    try:
        invalid_packets = decode_invalid_packets(sealed.packets, objects.packets)
    except MalformedError as error:
        raise BatchRejected(BatchReason.PACKETS_MALFORMED, str(error)) from error
    return SumPartBatch(header, invalid_packets)


def _read_batch(
    header_type: type[Header], read: Callable[[str], bytes], objects: Objects, keys: VerificationKeys
) -> tuple[Header, SealedBatch, Objects]:
    """The header and the bytes of a batch in either form, its signature and packet digest verified.

    The names are those of the objects that hold the parts: of one object thrice where it is the whole batch.
    """
    signature = open_signature(read(objects.signature), objects.signature, BatchSignature.maximum_bytes)
    whole = _embedded_batch(signature)
    if whole is not None:
        objects = Objects(objects.signature, objects.signature, objects.signature)
    data = whole.header if whole is not None else _read_header(read, objects.header)
    verify_header(data, signature, keys, objects.header)
    header = open_header(header_type, data, objects.header)
    packets = whole.packets if whole is not None else _read_packets(read, objects.packets, header.packet_file_digest)
    check_packet_digest(header, packets, objects.packets)
    return header, SealedBatch(data, packets, _without_parts(signature)), objects


def _checked_validation(header: ValidityHeader, sealed: SealedBatch, batch: BatchName, objects: Objects) -> Validation:
    check_path(header, batch, objects.header)
    check_parameters(header.parameters, objects.header)
    try:
        packets = decode_validity_packets(sealed.packets, objects.packets)
    except MalformedError as error:
        raise BatchRejected(BatchReason.PACKETS_MALFORMED, str(error)) from error
    return Validation(header, packets, sealed)


def _read_header(read: Callable[[str], bytes], name: str) -> bytes:
    try:
        return read(name)
    except ObjectMissingError:
        raise BatchRejected(BatchReason.OBJECT_MISSING, f"{name} is missing, though its signature is there") from None


def _read_packets(read: Callable[[str], bytes], name: str, expected_digest: bytes) -> bytes:
    """The packet object; the reference writes none, or an empty one, when there are no packets."""
    try:
        return read(name)
    except ObjectMissingError:
        if expected_digest == digest(b""):
            return b""
        raise BatchRejected(BatchReason.OBJECT_MISSING, f"{name} is missing, though its header is there") from None


def _embedded_batch(signature: BatchSignature) -> SealedBatch | None:
    """The whole batch, if the signature record carries both of its parts."""
    if signature.batch_header is None or signature.packets is None:
        return None
    return SealedBatch(signature.batch_header, signature.packets, _without_parts(signature))


def _without_parts(signature: BatchSignature) -> BatchSignature:
    return replace(signature, batch_header=None, packets=None)


def _check_aggregation(stated: str, aggregation: str, name: str) -> None:
    if stated != aggregation:
        raise BatchRejected(BatchReason.NAME_DIFFERS, f"{name} is of the aggregation {quoted(stated)}")
