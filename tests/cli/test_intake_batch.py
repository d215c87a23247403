"""Intake at the command line gives what the reference gives, keeps what aggregation needs, and fails in one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from prio_assets.prio.choice import choose_engine
from prio_assets.processor.own_store import UNDECRYPTABLE_ACCEPTED, OwnStore
from prio_assets.storage.local import LocalStore
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Rejection
from prio_assets.wire.uuids import parse_uuid
from prio_assets.wire.windows import parse_minute
from tests.cli.interop_case import NAMES, Case, arguments, read_validation
from tests.cli.program import error, run

PLAIN = Case("plain-8", 0)
BOTH = [Case(name, index) for name in NAMES for index in (0, 1)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def intake(case: Case, batch: dict[str, Any], output: Path, **changes: Any) -> Any:
    return run(*arguments("intake-batch", case.intake_options(batch, output, **changes)))


def name_of(case: Case, batch: dict[str, Any]) -> BatchName:
    return BatchName(case.facts["aggregation"], parse_minute(batch["time"]), parse_uuid(batch["id"]))


def comparable(header: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in header.items() if name != "packet_file_digest"}


@pytest.mark.parametrize("single_object", ["true", "false"])
@pytest.mark.parametrize("case", BOTH, ids=lambda case: f"{case.name}-{case.role}")
def test_our_validations_are_the_reference_s(case: Case, single_object: str, tmp_path: Path) -> None:
    for batch in case.batches:
        result = intake(case, batch, tmp_path, write_single_object_validation_batches=single_object)
        assert result.exit_code == 0, result.output
        ours_header, ours = read_validation(tmp_path, case.base(batch), case.index)
        header, theirs = read_validation(case.reference_output, case.base(batch), case.index)
        assert comparable(ours_header) == comparable(header)
        assert ours == theirs
    objects_each = 1 if single_object == "true" else 3
    assert len(files(tmp_path)) == objects_each * len(case.batches)


def test_the_summary_counts_what_was_received(tmp_path: Path) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path)
    assert result.stdout.splitlines() == [
        f"batch     {PLAIN.base(PLAIN.batches[0])}",
        "received  40 packets",
        "accepted  40",
        "rejected  0",
    ]
    assert result.stderr.startswith(f"prio-assets: engine: {choose_engine().engine.name}")
    assert result.stderr.count("\n") == 1


def test_packets_are_rejected_by_reason(tmp_path: Path) -> None:
    """Of production's second batch half of the packets are to a key that we leave out; none fails the batch alone."""
    case = Case("production-48", 0)
    keys = case.keys["packet_decryption"]["pha"]
    result = intake(case, case.batches[0], tmp_path / "out", packet_decryption_keys=keys[0])
    assert "packets" in error(result, 1)
    assert files(tmp_path / "out") == {}
    own = OwnStore(LocalStore(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    name = name_of(case, case.batches[0])
    accepted = Rejection(name.uuid, UNDECRYPTABLE_ACCEPTED, "lost", None, "someone", 0, cleared=True)
    own.record_rejection(name, accepted)
    result = intake(
        case, case.batches[0], tmp_path / "out", packet_decryption_keys=keys[0], own_output=tmp_path / "own"
    )
    assert result.exit_code == 0, result.output
    assert "  undecryptable  " in result.stdout


def test_done_again_it_writes_the_same_bytes(tmp_path: Path) -> None:
    options = {"own_output": tmp_path / "own"}
    intake(PLAIN, PLAIN.batches[0], tmp_path / "out", **options)
    before = files(tmp_path)
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "out", **options)
    assert result.exit_code == 0
    assert "accepted  40 packets, by an earlier run" in result.stdout
    assert files(tmp_path) == before


def test_what_was_kept_is_sent_when_the_run_was_cut(tmp_path: Path) -> None:
    """After a change of keys, too: nothing is computed again."""
    intake(PLAIN, PLAIN.batches[0], tmp_path / "out", own_output=tmp_path / "own")
    sent = files(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path / "own" / "prio-assets" / "receipts")
    other = PLAIN.keys["facilitator"]["private_pkcs8_b64"]
    result = intake(
        PLAIN, PLAIN.batches[0], tmp_path / "out", own_output=tmp_path / "own", batch_signing_private_key=other
    )
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == sent
    receipt = OwnStore(LocalStore(tmp_path / "own")).receipt(name_of(PLAIN, PLAIN.batches[0]))
    assert receipt is not None


def test_another_validation_at_the_peer_is_not_overwritten(tmp_path: Path) -> None:
    intake(PLAIN, PLAIN.batches[0], tmp_path)
    before = files(tmp_path)
    other = PLAIN.keys["facilitator"]["private_pkcs8_b64"]
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, batch_signing_private_key=other)
    assert "exists with other bytes" in error(result, 1)
    assert files(tmp_path) == before


def test_a_rejection_is_recorded_and_stays_until_it_is_cleared(tmp_path: Path) -> None:
    stranger = PLAIN.keys["facilitator"]["public_x962_b64"]
    options = {"own_output": tmp_path / "own"}
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "out", ingestor_public_key=stranger, **options)
    assert "signature_invalid" in error(result, 1)
    assert files(tmp_path / "out") == {}
    own = OwnStore(LocalStore(tmp_path / "own"))
    last = own.last_rejection(name_of(PLAIN, PLAIN.batches[0]))
    assert last is not None
    assert (last.reason, last.by) == ("signature_invalid", "intake-batch of zc-megacorp, PHA")
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "out", **options)
    assert "rejections clear" in error(result, 1)
    assert files(tmp_path / "out") == {}


def test_a_batch_that_was_copied_to_another_time_is_rejected(tmp_path: Path) -> None:
    """Nothing that is signed binds the time of the path, so the own store must tell."""
    batch, ingestion = PLAIN.batches[0], tmp_path / "ingestion"
    copied = batch | {"time": "2030/01/02/03/04"}
    shutil.copytree(PLAIN.ingestion, ingestion)
    for name in PLAIN.ingestion.glob(f"{PLAIN.base(batch)}.*"):
        target = ingestion / name_of(PLAIN, copied).aggregation / copied["time"] / name.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, target)
    options = {"own_output": tmp_path / "own", "ingestor_input": ingestion}
    assert intake(PLAIN, batch, tmp_path / "out", **options).exit_code == 0
    before = files(tmp_path / "out")
    message = error(intake(PLAIN, copied, tmp_path / "out", **options), 1)
    assert f"batch_repeated: {PLAIN.base(copied)} has the UUID of {PLAIN.base(batch)}" in message
    assert files(tmp_path / "out") == before
    last = OwnStore(LocalStore(tmp_path / "own")).last_rejection(name_of(PLAIN, copied))
    assert last is not None
    assert last.reason == "batch_repeated"
    assert intake(PLAIN, batch, tmp_path / "out", **options).exit_code == 0


def test_without_own_output_a_rejection_is_only_said(tmp_path: Path) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, ingestor_public_key_identifier="nobody")
    assert "unknown_key" in error(result, 1)
    assert result.stderr.count("error: ") == 1
    assert files(tmp_path) == {}


def test_permitting_malformed_batches_warns_and_changes_nothing(tmp_path: Path) -> None:
    stranger = PLAIN.keys["facilitator"]["public_x962_b64"]
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, ingestor_public_key=stranger, permit_malformed_batch="true")
    assert "signature_invalid" in error(result, 1)
    assert "warning: --permit-malformed-batch has no effect" in result.stderr
    assert files(tmp_path) == {}


ENVIRONMENT = [
    "is_first",
    "instance_name",
    "ingestor_input",
    "packet_decryption_keys",
    "batch_signing_private_key",
    "batch_signing_private_key_identifier",
    "peer_output",
]


def test_options_come_from_the_reference_s_environment_variables(tmp_path: Path) -> None:
    options = PLAIN.intake_options(PLAIN.batches[0], tmp_path)
    variables = {name.upper(): str(options[name]) for name in ENVIRONMENT}
    variables |= {"WRITE_SINGLE_OBJECT_VALIDATION_BATCHES": "true", "PERMIT_MALFORMED_BATCH": "true"}
    rest = {name: value for name, value in options.items() if name not in ENVIRONMENT}
    result = run(*arguments("intake-batch", rest), env=variables)
    assert result.exit_code == 0, result.output
    assert "no effect" in result.stderr
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("how", ["commas", "repeated", "environment"])
def test_several_packet_keys_are_tried(how: str, tmp_path: Path) -> None:
    """The second batch of the case needs the second key."""
    case = Case("two-keys-16", 0)
    keys = case.keys["packet_decryption"]["pha"]
    options = case.intake_options(case.batches[1], tmp_path)
    given = {"commas": ", ".join(keys), "repeated": keys, "environment": None}[how]
    variables = {"PACKET_DECRYPTION_KEYS": ",".join(keys)} if how == "environment" else {}
    result = run(*arguments("intake-batch", options | {"packet_decryption_keys": given}), env=variables)
    assert result.exit_code == 0, result.output
    assert "accepted  20" in result.stdout


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_an_empty_variable_counts_as_unset(name: str, tmp_path: Path) -> None:
    options = PLAIN.intake_options(PLAIN.batches[0], tmp_path) | {name: None}
    result = run(*arguments("intake-batch", options), env={name.upper(): ""})
    assert f"'--{name.replace('_', '-')}'" in error(result, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_first": "perhaps"}, "'perhaps' is not a valid boolean"),
        ({"is_first": ""}, "'' is not a valid boolean: give true or false"),
        ({"instance_name": "../other"}, "'../other' cannot name an instance"),
        ({"batch_id": "no-uuid"}, "no-uuid"),
        ({"date": "2023-05-31"}, "2023-05-31"),
        ({"aggregation_id": "a/b"}, "a/b"),
        ({"packet_decryption_keys": ","}, "holds no key"),
        ({"batch_signing_private_key_identifier": None}, "--batch-signing-private-key-identifier"),
    ],
)
def test_wrong_usage_is_status_2(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, **changes)
    assert said in error(result, 2)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("own_output", ["x/..", "own"])
def test_what_is_kept_does_not_go_to_the_peer(tmp_path: Path, own_output: str) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, own_output=tmp_path / own_output)
    assert "--own-output is --peer-output" in error(result, 2)
    assert files(tmp_path) == {}


def test_a_key_is_not_taken_for_an_identifier_which_the_peer_would_read(tmp_path: Path) -> None:
    key = PLAIN.keys["pha"]["private_pkcs8_b64"]
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "peer", batch_signing_private_key_identifier=key)
    assert "the identifier of the batch signing key is a private key" in error(result, 1)
    assert_no_private_keys(PLAIN, result.output)
    assert files(tmp_path) == {}


def test_the_default_identifier_serves_where_no_other_is_given(tmp_path: Path) -> None:
    result = intake(
        PLAIN,
        PLAIN.batches[0],
        tmp_path,
        batch_signing_private_key_identifier=None,
        batch_signing_private_key_default_identifier="ours",
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "changes",
    [
        {"ingestor_input": "/nowhere"},
        {"ingestor_input": "s3://region/bucket"},
        {"batch_id": "00000000-0000-4000-8000-000000000000"},
        {"batch_signing_private_key": "SECRETMARKER"},
        {"packet_decryption_keys": "SECRETMARKER"},
        {"packet_decryption_keys": "U0VDUkVUTUFSS0VSU0VDUkVUTUFSS0VS"},
    ],
)
def test_failures_are_one_line_status_1_and_hold_no_key(changes: dict[str, Any], tmp_path: Path) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "out", **changes)
    error(result, 1)
    assert len([line for line in result.stderr.splitlines() if "engine: " not in line]) == 1
    assert not [text for text in ("SECRETMARKER", "U0VDUkVU") if text in result.output]
    assert_no_private_keys(PLAIN, result.output)


def test_no_private_key_is_in_any_output(tmp_path: Path) -> None:
    result = intake(PLAIN, PLAIN.batches[0], tmp_path / "out", own_output=tmp_path / "own")
    assert_no_private_keys(PLAIN, result.output)
    for data in files(tmp_path).values():
        assert_no_private_keys(PLAIN, data.decode("latin-1"))


@pytest.mark.parametrize("option", ["is_first", "date", "batch_id", "aggregation_id", "permit_malformed_batch"])
def test_a_key_in_the_wrong_place_is_not_repeated(option: str, tmp_path: Path) -> None:
    key = PLAIN.keys["packet_decryption"]["pha"][0] + "/"
    result = intake(PLAIN, PLAIN.batches[0], tmp_path, **{option: key})
    error(result, 2)
    assert_no_private_keys(PLAIN, result.output)


def assert_no_private_keys(case: Case, text: str) -> None:
    private = [case.keys[role]["private_pkcs8_b64"] for role in ("pha", "facilitator", "ingestor")]
    for key in [*private, *case.keys["packet_decryption"][case.role]]:
        assert key[30:70] not in text
