"""A packet file of 400 MB is taken in chunk by chunk: the whole process stays within 500 MB."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import fastavro
import numpy as np

from benchmarks.commands import run
from prio_assets.ingestor.batches import sample_parameters
from prio_assets.ingestor.client import PublicPoints, random_rows, upload
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.keys import (
    SigningKey,
    generate_packet_key_text,
    generate_signing_key_text,
    parse_packet_public_key,
    parse_signing_key,
)
from prio_assets.wire.names import BatchName, ingestion_objects
from prio_assets.wire.records import BatchSignature, IngestionHeader, encode
from prio_assets.wire.schemas import datum_schema
from prio_assets.wire.windows import parse_minute

BINS = 4000
FILE_BYTES = 400_000_000
LARGEST_MEGABYTES = 500

BATCH = BatchName("wide", parse_minute("2026/03/04/05/06"), UUID(int=1))


def packets(payload: bytes) -> Iterator[dict[str, object]]:
    """One client's share under many UUIDs: each costs what another client's would."""
    r_pit = np.random.default_rng(1).integers(1 << 31, size=FILE_BYTES // len(payload) + 1)
    for number, point in enumerate(r_pit.tolist()):
        yield {
            "uuid": str(UUID(int=number + 1)),
            "encrypted_payload": payload,
            "encryption_key_id": None,
            "r_pit": point,
            "version_configuration": None,
            "device_nonce": None,
        }


def write_batch(folder: Path, payload: bytes, signing_key: SigningKey) -> None:
    names = ingestion_objects(BATCH)
    path = folder / names.packets
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        fastavro.writer(file, datum_schema("PrioDataSharePacket"), packets(payload))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    parameters = sample_parameters(BINS, 1.0)
    header = encode(
        IngestionHeader(
            batch_uuid=BATCH.uuid,
            name=BATCH.aggregation,
            bins=parameters.bins,
            epsilon=parameters.epsilon,
            prime=parameters.prime,
            number_of_servers=parameters.number_of_servers,
            hamming_weight=parameters.hamming_weight,
            batch_start_time=0,
            batch_end_time=1,
            packet_file_digest=digest,
        )
    )
    sealed = SealedBatch(header, b"", BatchSignature(signing_key.sign(header), signing_key.identifier))
    (folder / names.header).write_bytes(header)
    (folder / names.signature).write_bytes(sealed.three_objects()[2])


def test_intake_of_400_megabytes(tmp_path: Path) -> None:
    packet_key, ingestor_text, own_text = (
        generate_packet_key_text(),
        generate_signing_key_text(),
        generate_signing_key_text(),
    )
    point = parse_packet_public_key(packet_key)
    payload = upload(random_rows(1, BINS), PublicPoints(point, point)).pha[0]
    ingestor = parse_signing_key("ingestor", ingestor_text)
    write_batch(tmp_path / "ingestion", payload, ingestor)
    (tmp_path / "peer").mkdir()
    arguments = [
        *(sys.executable, "-m", "prio_assets.cli.main", "intake-batch", "--is-first", "true", "--instance-name", "x-y"),
        *("--aggregation-id", BATCH.aggregation, "--batch-id", str(BATCH.uuid), "--date", "2026/03/04/05/06"),
        *("--ingestor-input", str(tmp_path / "ingestion"), "--peer-output", str(tmp_path / "peer")),
        *("--ingestor-public-key", ingestor_text, "--ingestor-public-key-identifier", "ingestor"),
        *("--packet-decryption-keys", packet_key, "--batch-signing-private-key", own_text),
        *("--batch-signing-private-key-identifier", "own"),
    ]
    # Compiling takes memory of its own; it is done once on a machine, by the doctor if that is run first.
    run([*arguments[:3], "doctor"])
    assert run(arguments).peak_megabytes < LARGEST_MEGABYTES
    assert (tmp_path / "peer" / BATCH.base).with_suffix(".validity_0.sig").exists()
