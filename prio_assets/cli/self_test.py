"""A test of the engine that was chosen: what it makes of a few clients' packets, beside the plain engine.

The packets take the way of an intake, from a packet file's bytes to the validity file's. So this also compiles whatever
an intake compiles, where its machine code is not kept yet.
"""

import io
import os
from dataclasses import replace
from typing import Final

import numpy as np

from prio_assets.cli.failures import DEBUG_VARIABLE
from prio_assets.errors import PacketReason, PrioAssetsError
from prio_assets.ingestor.batches import draw_labels, make_packets
from prio_assets.ingestor.client import PublicPoints, random_rows, upload
from prio_assets.prio import field
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Engine, Verification, VerificationParameters
from prio_assets.prio.field import Elements
from prio_assets.prio.plain import PlainEngine
from prio_assets.prio.verifier import proofs_hold
from prio_assets.wire.keys import generate_packet_key_text, parse_packet_decryption_key
from prio_assets.wire.packets import (
    ValidityPackets,
    decode_validity_packets,
    digest,
    encode_ingestion_packets,
    encode_validity_packets,
    read_chunks,
)
from prio_assets.wire.uuids import UUID_BYTES

CLIENTS: Final = 19
"""The last one's packets are damaged. Of groups of eight points, the third is partly filled."""

BINS: Final = 10
ROWS: Final = 1000
ROLES: Final = ("PHA", "facilitator")


def faults_of(engine: Engine) -> list[str]:
    """What is wrong with the engine, a text each; none if it gives what it should."""
    try:
        return _compare(engine)
    except PrioAssetsError as error:
        return [str(error)]
    except Exception as error:  # of a compiler or a library that does not work here: to say so is the test's purpose
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return [f"it ends with {type(error).__name__}, set {DEBUG_VARIABLE}=1 to see where"]


def _compare(engine: Engine) -> list[str]:
    keys = [parse_packet_decryption_key(generate_packet_key_text()) for _ in ROLES]
    rows, labels = random_rows(CLIENTS, BINS), draw_labels(CLIENTS, BINS)
    payloads = upload(rows, PublicPoints(*(key.public_point for key in keys)))
    faults: list[str] = []
    results = []
    for server_index, role in enumerate(ROLES):
        packets = make_packets(payloads[server_index], labels)
        packets[-1] = replace(packets[-1], encrypted_payload=_damaged(packets[-1].encrypted_payload))
        file = encode_ingestion_packets(packets, sync_seed=role.encode())
        result, expected = (_verify(each, file, keys[server_index], server_index) for each in (engine, PlainEngine()))
        for name, value, plain_value in zip(result._fields, result, expected, strict=True):
            if not np.array_equal(value, plain_value):
                faults.append(f"as {role} it differs from the plain engine in {name}")
        results.append(result)
    return faults or _compare_with_rows(results, rows[:-1])


def _damaged(payload: bytes) -> bytes:
    """The payload with a tag that does not hold."""
    return payload[:-1] + bytes([payload[-1] ^ 1])


def _verify(engine: Engine, file: bytes, key: PacketDecryptionKey, server_index: int) -> Verification:
    (chunk,) = read_chunks(io.BytesIO(file), digest(file), "the self-test's packets", CLIENTS)
    result = engine.verify(chunk, [key], VerificationParameters(BINS, server_index))
    return result._replace(**_written_and_read(result))


def _written_and_read(result: Verification) -> dict[str, Elements]:
    """The columns of a validation as the other processor reads them, of one that is as large as those of work."""
    uuids = np.arange(2 * ROWS, dtype=np.uint64).view(np.uint8).reshape(ROWS, UUID_BYTES)
    columns = {name: getattr(result, name) for name in ("f_r", "g_r", "h_r")}
    packets = ValidityPackets(uuids, **{name: np.resize(column, ROWS) for name, column in columns.items()})
    read = decode_validity_packets(encode_validity_packets(packets, sync_seed=b""), "the self-test's validation")
    return {name: getattr(read, name)[:CLIENTS] for name in columns}


def _compare_with_rows(results: list[Verification], rows: np.ndarray) -> list[str]:
    """Both roles together must know of the clients what they sent, and nothing of the damaged packets."""
    expected = [PacketReason.ACCEPTED] * len(rows) + [PacketReason.UNDECRYPTABLE]
    faults = []
    if any(result.status.tolist() != expected for result in results):
        faults.append("it does not accept the packets that are good, and no others")
    elif not proofs_hold(*(tuple(column[:-1] for column in result[:3]) for result in results)).all():
        faults.append("proofs that hold do not hold by its numbers")
    elif not np.array_equal(field.add(results[0].data_sum, results[1].data_sum), rows.sum(axis=0)):
        faults.append("its sums are not the clients' data")
    return faults
