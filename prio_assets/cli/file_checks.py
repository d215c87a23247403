"""Whether the digest and the signature of a batch in files hold, its other objects being found beside each."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from prio_assets.cli.logs import one_line
from prio_assets.errors import BatchRejected, MalformedError
from prio_assets.wire.batches import verify_header
from prio_assets.wire.containers import stated_record
from prio_assets.wire.keys import VerificationKeys
from prio_assets.wire.names import objects_beside
from prio_assets.wire.records import BatchSignature, IngestionHeader, SumPart, ValidityHeader, decode

WITH_PACKETS: dict[str, type[IngestionHeader | ValidityHeader | SumPart]] = {
    record.schema_name: record for record in (IngestionHeader, ValidityHeader, SumPart)
}


class Check(NamedTuple):
    """One thing that was looked at: what, and the verdict; `failed` if it does not hold."""

    text: str
    failed: bool = False


@dataclass(frozen=True)
class _Batch:
    """What was found of a batch's parts; the digest is that of the packets."""

    header: bytes | None
    packet_digest: bytes | None
    signature: BatchSignature | None


def check_file(path: Path, keys: VerificationKeys) -> Iterator[Check]:
    """The checks of the batch that the file belongs to; none for an object that is neither signed nor digested."""
    batch = _find(path)
    if batch is None:
        return
    yield _check_digest(batch)
    yield _check_signature(batch, keys, path)


def _find(path: Path) -> _Batch | None:
    signature = _read_signature(path)
    if signature is not None and signature.batch_header is not None:
        return _from_single_object(signature)
    objects = objects_beside(path.name)
    if objects is None:
        return None
    signature = _read_signature(path.with_name(objects.signature))
    header = _read(path.with_name(objects.header))
    if header is None and signature is not None and signature.batch_header is not None:
        return _from_single_object(signature)
    return _Batch(header, _digest_of(path.with_name(objects.packets)), signature)


def _from_single_object(signature: BatchSignature) -> _Batch:
    packets = signature.packets
    return _Batch(signature.batch_header, None if packets is None else hashlib.sha256(packets).digest(), signature)


def _read_signature(path: Path) -> BatchSignature | None:
    """The signature in the file, if that is what it says it is: a packet file is not read for finding out."""
    if not path.is_file() or not _is_signature(path):
        return None
    return decode(BatchSignature, path.read_bytes(), str(path))


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest_of(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _is_signature(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return stated_record(file, "") == BatchSignature.schema_name
        except MalformedError:
            return False


def _check_digest(batch: _Batch) -> Check:
    if batch.header is None:
        return Check("packet digest: not checked, there is no header beside this file")
    record_name = stated_record(io.BytesIO(batch.header), "the header")
    record_type = WITH_PACKETS.get(record_name)
    if record_type is None:
        return Check("packet digest: none, this object has no packets")
    expected = decode(record_type, batch.header, "the header").packet_file_digest
    found = batch.packet_digest
    if found is None and record_type is SumPart:
        found = hashlib.sha256(b"").digest()  # some storages hold no empty object
    if found is None:
        return Check("packet digest: not checked, there are no packets beside this file")
    return Check("packet digest: holds") if found == expected else Check("packet digest: DOES NOT HOLD", failed=True)


def _check_signature(batch: _Batch, keys: VerificationKeys, path: Path) -> Check:
    if batch.header is None or batch.signature is None:
        missing = "header" if batch.header is None else "signature"
        return Check(f"signature: not checked, there is no {missing} beside this file")
    identifier = batch.signature.key_identifier
    shown = one_line(identifier)
    if identifier not in keys:
        return Check(f"signature: not checked, give the public key {shown!r}")
    try:
        verify_header(batch.header, batch.signature, keys, str(path))
    except BatchRejected:
        return Check(f"signature: DOES NOT HOLD for key {shown!r}", failed=True)
    return Check(f"signature: holds for key {shown!r}")
