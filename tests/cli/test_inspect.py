"""The command prints every kind of object, says whether it holds, and shows neither shares nor payloads."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from prio_assets.cli.descriptions import PACKETS, RECORDS
from prio_assets.cli.file_checks import check_file
from prio_assets.wire.records import (
    BatchList,
    Counted,
    LedgerEntry,
    ListedBatch,
    Receipt,
    Record,
    Rejection,
    Sent,
    State,
    Totals,
    encode,
)
from prio_assets.wire.schemas import record_names
from prio_assets.wire.sealed import seal_record
from tests.cli.program import error, run
from tests.ingestor.parties import SIGNING_KEY, SIGNING_KEY_TEXT

INTEROP = Path(__file__).parents[1] / "interop"
THREE, SINGLE = INTEROP / "plain-8", INTEROP / "single-object-123"
PARAMETERS: dict[str, Any] = {
    "bins": 3,
    "epsilon": 0.5,
    "prime": 4293918721,
    "number_of_servers": 2,
    "hamming_weight": None,
}
SHARES = (3141592653, 2718281828, 1618033988)
LISTED = ListedBatch(UUID(int=5), 1685548800000, b"\x01" * 32, b"\x02" * 32, (UUID(int=9),))

OWN_RECORDS: dict[str, tuple[Record, list[str]]] = {
    "totals": (
        Totals(UUID(int=5), **PARAMETERS, packet_file_digest=b"\x03" * 32, validity_digest=b"", packets=7, sum=SHARES),
        ["packets: 7", f"packet_file_digest: {'03' * 32}", "sum: 3 values, not shown", "engine: not known"],
    ),
    "totals with what was left out": (
        Totals(
            UUID(int=5),
            **PARAMETERS,
            packet_file_digest=b"\x03" * 32,
            validity_digest=b"",
            packets=7,
            sum=SHARES,
            rejected=UUID(int=7).bytes + b"\x01",
            engine="compiled, single key agreement",
        ),
        ["rejected: 1", f"  {UUID(int=7)}", "engine: compiled, single key agreement"],
    ),
    "rejection": (
        Rejection(UUID(int=5), "unknown_key", "by\x1b a\nstranger", None, "operator", 1685548800000, False),
        ["reason: unknown_key", "details: by  a stranger", "at: 1685548800000 (2023-05-31T16:00:00Z)", "cleared: no"],
    ),
    "receipt": (Receipt(b"\x04" * 32, b"\x05" * 32, 1685548800000), [f"validity_digest: {'05' * 32}"]),
    "state": (State(1, "us-pa-apple", 0, 0), ["instance_name: us-pa-apple", "not_before: 0 (1970-01-01T00:00:00Z)"]),
    "ledger": (
        LedgerEntry(3, 0, 1, 1, 20, **PARAMETERS, batches=(LISTED,), answer=b"x" * 100, counted_digest=b"\x06" * 32),
        ["number: 3", "batches: 1", f"{UUID(int=5)} of 2023-05-31T16:00:00Z", "1 repeated", "answer: 100 bytes"],
    ),
    "counted": (Counted(UUID(int=5).bytes + UUID(int=6).bytes), ["uuids: 2", str(UUID(int=6))]),
    "sent": (
        Sent(b"\x07" * 32, 10**17),
        [f"digest: {'07' * 32}", "sent_at: 100000000000000000 (beyond the year 9999)"],
    ),
}


def files(case: Path, pattern: str) -> list[Path]:
    found = sorted(case.glob(pattern))
    assert found
    return found


def key_options(case: Path, party: str) -> list[str]:
    key = json.loads((case / "keys.json").read_text())[party]
    return ["--public-key", key["public_pem"], "--public-key-identifier", key["id"]]


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("pattern", "party", "lines"),
    [
        ("pha/ingestion/**/*.batch", "ingestor", ["ingestion batch header", "bins: 8", "hamming_weight: none"]),
        (
            "pha/ingestion/**/*.batch.avro",
            "ingestor",
            ["packets of an ingestion batch", "packets: 40", "r_pit: 1 diff"],
        ),
        ("pha/ingestion/**/*.batch.sig", "ingestor", ["signature", "key_identifier: ingestor-signing-"]),
        ("pha/peer-validation/**/*.validity_1", "facilitator", ["validation batch header", "name: kittens-seen"]),
        (
            "pha/peer-validation/**/*.avro",
            "facilitator",
            ["packets of a validation batch", "packets: 40", "and 35 more"],
        ),
        ("pha/peer-validation/**/*.sig", "facilitator", ["batch_header: not in this object"]),
        ("portal/pha/**/*.sum_0", "pha", ["sum part", "total_individual_clients: 120", "(2023-05-31T16:00:00Z)"]),
        ("portal/pha/**/*.avro", "pha", ["empty object"]),
        ("portal/pha/**/*.sig", "pha", ["signature"]),
    ],
)
def test_the_references_objects_in_three_are_shown_and_hold(pattern: str, party: str, lines: list[str]) -> None:
    for path in files(THREE, pattern):
        result = run("inspect", path, *key_options(THREE, party))
        assert result.exit_code == 0
        assert all(line in result.stdout for line in lines)
        assert "packet digest: holds" in result.stdout
        assert "signature: holds for key" in result.stdout


def test_a_validation_in_a_single_object_is_shown_whole_and_holds() -> None:
    (path, *_) = files(SINGLE, "pha/peer-validation/**/*.sig")
    result = run("inspect", path, *key_options(SINGLE, "facilitator"))
    for line in ("batch_header: validation batch header", "bins: 123", "packets: packets of a validation batch"):
        assert line in result.stdout
    assert "packet digest: holds" in result.stdout
    assert "signature: holds for key 'facilitator-signing-834407'" in result.stdout


def test_invalid_packets_are_listed() -> None:
    (path,) = files(INTEROP / "liars-255", "portal/pha/**/*.avro")
    expected = json.loads((INTEROP / "liars-255" / "case.json").read_text())["reference"]["pha"]["invalid_uuids"]
    output = run("inspect", path).stdout
    assert f"packets: {len(expected)}" in output
    assert expected[0] in output


def test_without_a_key_the_signature_is_not_checked_and_that_is_said() -> None:
    (path, *_) = files(THREE, "pha/ingestion/**/*.batch")
    result = run("inspect", path)
    assert result.exit_code == 0
    assert "packet digest: holds" in result.stdout
    assert "signature: not checked, give the public key 'ingestor-signing-954497'" in result.stdout


@pytest.mark.parametrize("suffix", ["", ".avro", ".sig"])
def test_a_signature_by_another_key_does_not_hold(suffix: str) -> None:
    path = files(THREE, f"pha/ingestion/**/*.batch{suffix}")[0]
    options = ["--public-key", SIGNING_KEY_TEXT, "--public-key-identifier", "ingestor-signing-954497"]
    result = run("inspect", path, *options)
    assert "signature: DOES NOT HOLD for key 'ingestor-signing-954497'" in result.stdout
    assert "1 of 1 files are malformed or fail a check" in error(result, 1)
    assert SIGNING_KEY_TEXT[:40] not in result.output


@pytest.mark.parametrize("suffix", ["", ".avro", ".sig"])
def test_packets_that_were_changed_do_not_hold(tmp_path: Path, suffix: str) -> None:
    folder = shutil.copytree(files(THREE, "pha/ingestion/**/*.batch")[0].parent, tmp_path / "batch")
    packets = next(folder.glob("*.avro"))
    data = bytearray(packets.read_bytes())
    data[-100] ^= 1  # within the last packet's payload
    packets.write_bytes(data)
    result = run("inspect", next(folder.glob(f"*.batch{suffix}")), *key_options(THREE, "ingestor"))
    assert "packet digest: DOES NOT HOLD" in result.stdout
    assert "signature: holds for key" in result.stdout
    assert "1 of 1 files are malformed or fail a check" in error(result, 1)


@pytest.mark.parametrize(
    ("kept", "verdicts"),
    [
        (
            ".batch",
            ["packet digest: not checked, there are no packets", "signature: not checked, there is no signature"],
        ),
        (
            ".batch.avro",
            ["packet digest: not checked, there is no header", "signature: not checked, there is no header"],
        ),
        (
            ".batch.sig",
            ["packet digest: not checked, there is no header", "signature: not checked, there is no header"],
        ),
    ],
)
def test_a_file_alone_is_shown_unchecked(tmp_path: Path, kept: str, verdicts: list[str]) -> None:
    path = shutil.copy(files(THREE, f"pha/ingestion/**/*{kept}")[0], tmp_path)
    result = run("inspect", path, *key_options(THREE, "ingestor"))
    assert result.exit_code == 0
    assert all(verdict in result.stdout for verdict in verdicts)


def test_a_sum_part_without_its_empty_packet_object_holds(tmp_path: Path) -> None:
    for path in files(THREE, "portal/pha/**/*.sum_0*"):
        shutil.copy(path, tmp_path)
    result = run("inspect", next(tmp_path.glob("*.sum_0")), *key_options(THREE, "pha"))
    assert "packet digest: holds" in result.stdout


def test_a_batch_list_is_shown_and_holds(tmp_path: Path) -> None:
    times = {"aggregation_start_time": 0, "aggregation_end_time": 1}
    record = BatchList("us-pa-apple", "kittens", 1, **PARAMETERS, **times, minimum_clients=20, batches=(LISTED,))
    path = write(tmp_path, "list.batches_1", seal_record(record, SIGNING_KEY))
    result = run("inspect", path, "--public-key", SIGNING_KEY_TEXT, "--public-key-identifier", "ingestor-1")
    assert result.exit_code == 0
    assert "batch_header: batch list" in result.stdout
    assert "minimum_clients: 20" in result.stdout
    assert f"{UUID(int=5)} of 2023-05-31T16:00:00Z, digests {'01' * 32} {'02' * 32}, 1 repeated" in result.stdout
    assert "packets: not in this object" in result.stdout
    assert "packet digest: none, this object has no packets" in result.stdout
    assert "signature: holds for key 'ingestor-1'" in result.stdout


@pytest.mark.parametrize("kind", OWN_RECORDS)
def test_our_own_records_are_shown_without_shares(tmp_path: Path, kind: str) -> None:
    record, lines = OWN_RECORDS[kind]
    result = run("inspect", write(tmp_path, kind, encode(record)))
    assert result.exit_code == 0
    for line in lines:
        assert line in result.stdout
    assert not any(str(share) in result.output for share in SHARES)


def test_signed_totals_are_shown_without_shares(tmp_path: Path) -> None:
    totals = OWN_RECORDS["totals"][0]
    assert isinstance(totals, Totals)
    result = run("inspect", write(tmp_path, "totals", seal_record(totals, SIGNING_KEY)))
    assert "batch_header: totals of a batch (own store)" in result.stdout
    assert not any(str(share) in result.output for share in SHARES)


def test_every_record_of_the_schemas_is_known() -> None:
    only_inside_others = {"PrioListedBatch"}
    assert set(record_names()) == set(RECORDS) | set(PACKETS) | only_inside_others


def test_payloads_are_not_shown() -> None:
    path = files(THREE, "pha/ingestion/**/*.batch.avro")[0]
    output = run("inspect", path).stdout
    assert "encrypted payloads of bytes: 1 different" in output
    assert len(output) < 2000


@pytest.mark.parametrize("data", [b"Obj\x01", b"\0" * 100, np.random.default_rng(1).bytes(500)])
def test_a_malformed_file_is_named_and_the_others_are_shown(tmp_path: Path, data: bytes) -> None:
    bad = write(tmp_path, "bad.batch", data)
    good = write(tmp_path, "good", encode(OWN_RECORDS["sent"][0]))
    result = run("inspect", bad, good)
    assert f"{bad}: " in result.stderr.splitlines()[0]
    assert f"{good}: receipt of a batch list or sum part" in result.stdout
    assert "1 of 2 files are malformed or fail a check" in error(result, 1)


@pytest.mark.parametrize("pattern", ["pha/ingestion/**/*.batch", "pha/ingestion/**/*.avro", "pha/ingestion/**/*.sig"])
def test_a_truncated_file_is_an_error(tmp_path: Path, pattern: str) -> None:
    source = files(THREE, pattern)[0]
    path = write(tmp_path, source.name, source.read_bytes()[:-30])
    assert str(path) in error(run("inspect", path), 1)


def test_a_packet_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path, "wide.batch.avro", files(THREE, "pha/ingestion/**/*.avro")[0].read_bytes())
    os.truncate(path, 64 << 20)
    tracemalloc.start()
    try:
        checks = [check.text for check in check_file(path, {})]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "packet digest: not checked, there is no header beside this file" in checks
    assert peak < 8 << 20


def test_a_record_that_nothing_has_is_refused(tmp_path: Path) -> None:
    data = encode(OWN_RECORDS["sent"][0]).replace(b'"name":"Sent"', b'"name":"Snet"')
    assert "holds records named 'Snet'" in run("inspect", write(tmp_path, "file", data)).stderr


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: not a regular file; save the object to one" in run("inspect", tmp_path / "pipe").stderr


def test_keys_and_identifiers_come_in_pairs() -> None:
    path = files(THREE, "pha/ingestion/**/*.batch")[0]
    assert "equally often" in error(run("inspect", path, "--public-key", SIGNING_KEY_TEXT), 2)


def test_a_wrong_key_is_refused_without_repeating_it() -> None:
    path = files(THREE, "pha/ingestion/**/*.batch")[0]
    result = run("inspect", path, "--public-key", SIGNING_KEY_TEXT[:-4], "--public-key-identifier", "x")
    assert "batch signing public key" in error(result, 1)
    assert SIGNING_KEY_TEXT[:40] not in result.output
