"""Batches that the reference processed: the same messages, the same verdicts, the same sums."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from prio_assets.prio import field
from prio_assets.prio.encryption import PacketDecryptionKey
from prio_assets.prio.engine import Chunk, Engine, Verification, VerificationParameters
from prio_assets.prio.verifier import proofs_hold
from tests.prio.chunks import chunk_of
from tests.prio.engines import ENGINES

CASE_FOLDER = Path(__file__).parents[1] / "interop" / "liars-255"
CASE = json.loads((CASE_FOLDER / "case.json").read_text())
ROLES = ("pha", "facilitator")


def keys_of(role: str) -> list[PacketDecryptionKey]:
    texts = json.loads((CASE_FOLDER / "keys.json").read_text())["packet_decryption"][role]
    return [PacketDecryptionKey.from_scalar(base64.b64decode(text)[65:]) for text in texts]


def batch_path(role: str, bucket: str, batch: dict[str, Any], extension: str) -> Path:
    return CASE_FOLDER / role / bucket / CASE["aggregation"] / batch["time"] / f"{batch['id']}.{extension}"


def chunk_at(server_index: int, batch: dict[str, Any]) -> tuple[list[str], Chunk]:
    """The packets' UUIDs, and their chunk, of one server's ingestion batch."""
    content = batch_path(ROLES[server_index], "ingestion", batch, "batch.avro").read_bytes()
    packets = list(fastavro.reader(BytesIO(content)))
    chunk = chunk_of([p["encrypted_payload"] for p in packets], [p["r_pit"] for p in packets])
    return [str(p["uuid"]) for p in packets], chunk


def verify(engine: Engine, server_index: int, chunk: Chunk) -> Verification:
    return engine.verify(chunk, keys_of(ROLES[server_index]), VerificationParameters(CASE["bins"], server_index))


def verify_only(
    engine: Engine, server_index: int, batch: dict[str, Any], wanted: set[str]
) -> tuple[list[str], Verification]:
    """The wanted packets alone, by UUID in the batch's order."""
    uuids, chunk = chunk_at(server_index, batch)
    mask = np.array([uuid in wanted for uuid in uuids])
    return [uuid for uuid in uuids if uuid in wanted], verify(engine, server_index, chunk.select(mask))


def reference_messages(server_index: int, batch: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """What the reference wrote as this server, by packet; it lies in the bucket of the other one."""
    path = batch_path(ROLES[1 - server_index], "peer-validation", batch, f"validity_{server_index}")
    packets = path.with_name(path.name + ".avro")
    if packets.exists():
        content = packets.read_bytes()
    else:
        (signature,) = fastavro.reader(BytesIO(path.with_name(path.name + ".sig").read_bytes()))
        content = signature["packets"]
    return {str(p["uuid"]): (p["f_r"], p["g_r"], p["h_r"]) for p in fastavro.reader(BytesIO(content))}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@pytest.mark.parametrize("server_index", [0, 1])
@pytest.mark.parametrize("batch", CASE["batches"], ids=lambda batch: batch["id"])
def test_messages_equal_those_of_the_reference(batch: dict[str, Any], server_index: int, engine: Engine) -> None:
    uuids, chunk = chunk_at(server_index, batch)
    result = verify(engine, server_index, chunk)
    messages = zip(result.f_r.tolist(), result.g_r.tolist(), result.h_r.tolist(), strict=True)
    assert len(uuids) == batch["packets"] - len(batch[f"missing_at_{ROLES[server_index]}"])
    assert not result.status.any()
    assert dict(zip(uuids, messages, strict=True)) == reference_messages(server_index, batch)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@pytest.mark.parametrize("batch", CASE["batches"], ids=lambda batch: batch["id"])
def test_the_liars_are_found(batch: dict[str, Any], engine: Engine) -> None:
    at_both = {*chunk_at(0, batch)[0]} & {*chunk_at(1, batch)[0]}
    (uuids, first), (others, second) = (verify_only(engine, server_index, batch, at_both) for server_index in (0, 1))
    assert uuids == others
    held = proofs_hold(first[:3], second[:3])
    assert {*np.array(uuids)[~held].tolist()} == {*batch["invalid_proofs"]} & at_both


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_both_servers_sums_add_up_to_what_the_honest_clients_sent(engine: Engine) -> None:
    total = np.zeros(CASE["bins"], dtype=np.uint64)
    clients = 0
    for batch in CASE["batches"]:
        honest = ({*chunk_at(0, batch)[0]} & {*chunk_at(1, batch)[0]}) - {*batch["invalid_proofs"]}
        clients += len(honest)
        for server_index in (0, 1):
            total = field.add(total, verify_only(engine, server_index, batch, honest)[1].data_sum)
    assert clients == CASE["truth"]["valid_clients"]
    assert total.tolist() == CASE["truth"]["sum"]
