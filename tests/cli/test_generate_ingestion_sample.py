"""The command makes batches that both processors accept, from random rows or given ones."""

import io
import os
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from prio_assets.prio.engine import VerificationParameters
from prio_assets.prio.plain import PlainEngine
from prio_assets.prio.verifier import proofs_hold
from prio_assets.wire.batches import verify_header
from prio_assets.wire.names import parse_ingestion_object
from prio_assets.wire.packets import read_chunks
from prio_assets.wire.records import BatchSignature, IngestionHeader, decode
from prio_assets.wire.windows import format_minute
from tests.cli.program import error, run
from tests.ingestor.parties import PACKET_KEY_TEXTS, PACKET_KEYS, POINTS, SIGNING_KEY, SIGNING_KEY_TEXT

BATCH_ID = "b8a5579a-f984-460a-a42d-2813cbf57771"
NAME = f"kittens-seen/2023/05/31/16/29/{BATCH_ID}"
SECRETS = {"BATCH_SIGNING_PRIVATE_KEY": SIGNING_KEY_TEXT}


def arguments(folder: Path, **changes: object) -> list[object]:
    """Options of a run; an option set to None is left out, others replace or come on top."""
    options: dict[str, object] = {
        "aggregation_id": "kittens-seen",
        "batch_id": BATCH_ID,
        "date": "2023/05/31/16/29",
        "epsilon": 0.5,
        "batch_start_time": 1685548800000,
        "batch_end_time": 1685577600000,
        "batch_signing_private_key": SIGNING_KEY_TEXT,
        "batch_signing_private_key_identifier": "ingestor-1",
        "pha_ecies_public_key": PACKET_KEY_TEXTS[0],
        "facilitator_ecies_public_key": PACKET_KEY_TEXTS[1],
        "peer_output": folder / "pha",
        "facilitator_output": folder / "facilitator",
        **changes,
    }
    given = [(f"--{name.replace('_', '-')}", value) for name, value in options.items() if value is not None]
    return ["generate-ingestion-sample", *(part for pair in given for part in pair)]


def accepted_sum(folder: Path, name: str, bins: int) -> tuple[int, list[int]]:
    """How many packets both processors accept, and the sum over all."""
    answers = []
    for index, party in enumerate(("pha", "facilitator")):
        header = (folder / party / f"{name}.batch").read_bytes()
        signature = decode(BatchSignature, (folder / party / f"{name}.batch.sig").read_bytes(), "signature")
        verify_header(header, signature, {"ingestor-1": SIGNING_KEY.public}, "header")
        packets = io.BytesIO((folder / party / f"{name}.batch.avro").read_bytes())
        expected = decode(IngestionHeader, header, "header").packet_file_digest
        (chunk,) = read_chunks(packets, expected, "packets", packets_per_chunk=100)
        answers.append(PlainEngine().verify(chunk, [PACKET_KEYS[index]], VerificationParameters(bins, index)))
    recovered = (answers[0].data_sum + answers[1].data_sum) % np.uint64(4293918721)
    return int(proofs_hold(answers[0][:3], answers[1][:3]).sum()), recovered.tolist()


def header(folder: Path, name: str = NAME) -> IngestionHeader:
    return decode(IngestionHeader, (folder / "pha" / f"{name}.batch").read_bytes(), "header")


@pytest.mark.parametrize("bins", [1, 8, 300])
def test_random_rows_are_accepted_by_both_processors(tmp_path: Path, bins: int) -> None:
    result = run(*arguments(tmp_path, dimension=bins, packet_count=4))
    assert (result.exit_code, result.stdout) == (0, NAME + "\n")
    accepted, recovered = accepted_sum(tmp_path, NAME, bins)
    assert accepted == 4
    assert max(recovered) <= 4


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_own_rows_are_recovered(tmp_path: Path, suffix: str) -> None:
    rows = np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    data = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        np.savetxt(data, rows, fmt="%d", delimiter=",")
    else:
        np.save(data, rows)
    assert run(*arguments(tmp_path, data=data, dimension=3, packet_count=4)).exit_code == 0
    assert accepted_sum(tmp_path, NAME, 3) == (4, [4, 1, 1])


def test_the_header_states_the_options(tmp_path: Path) -> None:
    run(*arguments(tmp_path, dimension=2, packet_count=1))
    stated = header(tmp_path)
    assert str(stated.batch_uuid) == BATCH_ID
    assert (stated.name, stated.bins, stated.epsilon) == ("kittens-seen", 2, 0.5)
    assert (stated.batch_start_time, stated.batch_end_time) == (1685548800000, 1685577600000)


def test_without_id_and_date_they_are_random_and_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    names = [
        run(*arguments(tmp_path, dimension=2, packet_count=1, batch_id=None, date=None)).stdout.strip() for _ in "12"
    ]
    after = datetime.now(UTC)
    assert names[0] != names[1]
    for name in names:
        batch, _ = parse_ingestion_object(f"{name}.batch") or pytest.fail(name)
        assert format_minute(before) <= format_minute(batch.time) <= format_minute(after)
        assert header(tmp_path, name).batch_uuid == batch.uuid


def test_a_fixed_evaluation_point_makes_no_difference_to_the_sum(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,0\n1,1\n")
    run(*arguments(tmp_path, data=tmp_path / "rows.csv", r_pit=998314904))
    assert accepted_sum(tmp_path, NAME, 2) == (2, [2, 1])


def test_options_with_an_environment_name_may_come_from_there(tmp_path: Path) -> None:
    names = {
        "batch_signing_private_key": SIGNING_KEY_TEXT,
        "batch_signing_private_key_default_identifier": "ingestor-1",
        "batch_signing_private_key_identifier": "",
        "pha_ecies_public_key": PACKET_KEY_TEXTS[0],
        "facilitator_ecies_public_key": PACKET_KEY_TEXTS[1],
        "peer_output": str(tmp_path / "pha"),
        "facilitator_output": str(tmp_path / "facilitator"),
        "peer_identity": "",
    }
    environment = {name.upper(): value for name, value in names.items()}
    left_out = dict.fromkeys(names)
    result = run(*arguments(tmp_path, dimension=2, packet_count=3, **left_out), env=environment)
    assert result.exit_code == 0
    assert accepted_sum(tmp_path, NAME, 2)[0] == 3


def test_the_identifier_beats_the_default_identifier(tmp_path: Path) -> None:
    run(*arguments(tmp_path, dimension=2, packet_count=1, batch_signing_private_key_default_identifier="other"))
    signature = (tmp_path / "pha" / f"{NAME}.batch.sig").read_bytes()
    assert decode(BatchSignature, signature, "signature").key_identifier == "ingestor-1"


def test_public_points_do_as_packet_keys(tmp_path: Path) -> None:
    points = [b64encode(point).decode() for point in POINTS]
    run(
        *arguments(
            tmp_path,
            dimension=2,
            packet_count=1,
            pha_ecies_public_key=points[0],
            facilitator_ecies_public_key=points[1],
        )
    )
    assert accepted_sum(tmp_path, NAME, 2)[0] == 1


def test_an_empty_identity_is_harmless(tmp_path: Path) -> None:
    result = run(*arguments(tmp_path, dimension=2, packet_count=1, peer_identity="", facilitator_identity=""))
    assert result.exit_code == 0


SIZES = {"dimension": 2, "packet_count": 1}


@pytest.mark.parametrize(
    ("changes", "exit_code", "message"),
    [
        ({"packet_count": 1}, 2, "Give --data, or --dimension and --packet-count for random rows"),
        ({"dimension": 2}, 2, "Give --data, or --dimension and --packet-count for random rows"),
        (SIZES | {"dimension": 0}, 2, "0 is not in 1 to 2147483647"),
        (SIZES | {"packet_count": 0}, 2, "0 is not in 1 to 2147483647"),
        (SIZES | {"dimension": 524288}, 1, "524288 bins are not possible: give from 1 to 524287"),
        (SIZES | {"aggregation_id": "a/b"}, 2, "'a/b' cannot name an aggregation"),
        (SIZES | {"aggregation_id": "task-markers"}, 2, "'task-markers' cannot name an aggregation"),
        (SIZES | {"batch_id": "{" + BATCH_ID + "}"}, 2, "is not a UUID"),
        (SIZES | {"date": "2023-05-31"}, 2, "is not a time of the form YYYY/MM/DD/HH/MM"),
        (SIZES | {"epsilon": "nan"}, 1, "epsilon_out_of_range: the batch to make states nan"),
        (SIZES | {"batch_start_time": 2**63}, 2, "is not in 0 to 9223372036854775807"),
        (SIZES | {"r_pit": 1}, 1, "r_pit 1 is a root of unity"),
        (SIZES | {"r_pit": 2**32}, 2, "is not in 0 to 4294967295"),
        (SIZES | {"batch_signing_private_key": None}, 2, "Missing option '--batch-signing-private-key'"),
        (SIZES | {"batch_signing_private_key": SIGNING_KEY_TEXT[:-8]}, 1, "batch signing key"),
        (SIZES | {"batch_signing_private_key_identifier": None}, 2, "--batch-signing-private-key-identifier"),
        (SIZES | {"pha_ecies_public_key": "AAAA"}, 1, "packet encryption key"),
        (SIZES | {"peer_output": None}, 2, "Missing option '--peer-output'"),
        (
            SIZES | {"peer_output": "s3://region/bucket"},
            1,
            "'s3://region/bucket': its first part is no region; write s3",
        ),
        (SIZES | {"peer_output": "/dev/null/x"}, 1, "cannot create the directory /dev/null/x"),
        (
            SIZES | {"peer_identity": "arn:aws:iam::1:role/x"},
            1,
            "which is reached as whoever runs this; leave it empty",
        ),
        (SIZES | {"pha_manifest_base_url": "https://example.com"}, 2, "No such option '--pha-manifest-base-url'"),
        (SIZES | {"data": "no-such-file.csv"}, 2, "'no-such-file.csv' does not exist"),
    ],
)
def test_faults_are_named_and_repeat_no_key(
    tmp_path: Path, changes: dict[str, object], exit_code: int, message: str
) -> None:
    result = run(*arguments(tmp_path, **changes))
    assert message in error(result, exit_code)
    assert SIGNING_KEY_TEXT[:40] not in result.output
    assert not list(tmp_path.rglob("*.sig"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimension": 3}, "rows.csv has 2 columns, --dimension says 3"),
        ({"packet_count": 1}, "rows.csv has 3 rows, --packet-count says 1"),
    ],
)
def test_sizes_are_checked_against_own_rows(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    (tmp_path / "rows.csv").write_text("1,0\n0,0\n1,1\n")
    assert message in error(run(*arguments(tmp_path, data=tmp_path / "rows.csv", **changes)), 1)


def test_a_fault_of_own_rows_is_named_by_file_row_and_column(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,0\n0,7\n")
    assert "rows.csv, row 2, column 2: '7' is not 0 or 1" in error(
        run(*arguments(tmp_path, data=tmp_path / "rows.csv")), 1
    )


def test_the_two_processors_need_two_directories(tmp_path: Path) -> None:
    result = run(*arguments(tmp_path, **SIZES, facilitator_output=tmp_path / "x" / ".." / "pha"))
    assert "--peer-output is --facilitator-output" in error(result, 2)
    assert not list(tmp_path.rglob("*.sig"))


def test_a_batch_is_not_replaced_by_another(tmp_path: Path) -> None:
    run(*arguments(tmp_path, **SIZES))
    assert "exists with other bytes than ours" in error(run(*arguments(tmp_path, **SIZES)), 1)


def test_neither_help_nor_messages_show_the_key_of_the_environment(tmp_path: Path) -> None:
    for given in (
        ["generate-ingestion-sample", "--help"],
        arguments(tmp_path, **SIZES, batch_signing_private_key=None),
    ):
        result = run(*given, env=SECRETS)
        assert result.exit_code == 0
        assert SIGNING_KEY_TEXT[:40] not in result.output


def test_the_program_itself_makes_a_sample(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "prio_assets.cli.main", *map(str, arguments(tmp_path, **SIZES))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == NAME + "\n"
    assert done.stderr == "prio-assets: wrote 1 clients' shares of 2 bins to both processors\n"
    assert accepted_sum(tmp_path, NAME, 2)[0] == 1
