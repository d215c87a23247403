"""Aggregation at the command line: the reference's sums, and what is left out is said with its reason."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prio_assets.processor.own_store import OwnStore
from prio_assets.storage.local import LocalStore
from prio_assets.wire.batches import seal
from prio_assets.wire.keys import parse_signing_key
from prio_assets.wire.names import BatchName, ingestion_objects, totals
from prio_assets.wire.records import IngestionHeader, Rejection, decode
from prio_assets.wire.uuids import parse_uuid
from prio_assets.wire.windows import parse_minute
from tests.cli.interop_case import NAMES, ROLES, Case, arguments, read_sum
from tests.cli.program import error, run
from tests.cli.test_intake_batch import assert_no_private_keys, files

CASES = [Case(name, 0) for name in NAMES]
PLAIN = Case("plain-8", 0)
LIARS = Case("liars-255", 0)


def aggregate(case: Case, output: Path, **changes: Any) -> Any:
    return run(*arguments("aggregate", case.aggregate_options(output, **changes)))


def collect(case: Case, pha: Path, facilitator: Path) -> dict[str, Any]:
    result = run(*arguments("collect", case.collect_options(pha, facilitator)))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def keep(case: Case, own: Path, **changes: Any) -> None:
    for batch in case.batches:
        options = case.intake_options(batch, own.parent / "validations", own_output=own, **changes)
        result = run(*arguments("intake-batch", options))
        assert result.exit_code == 0, result.output


def name_of(case: Case, position: int) -> BatchName:
    batch = case.batches[position]
    return BatchName(case.facts["aggregation"], parse_minute(batch["time"]), parse_uuid(batch["id"]))


@pytest.mark.parametrize("with_own_input", [True, False], ids=["own-input", "without"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_sums_are_the_truth(case: Case, with_own_input: bool, tmp_path: Path) -> None:
    """Both of our parts over the reference's validations; then each of ours with the reference's other one."""
    parts = {}
    for index, role in enumerate(ROLES):
        seen = Case(case.name, index)
        own = tmp_path / role / "own" if with_own_input else None
        if own is not None:
            keep(seen, own)
        parts[role] = tmp_path / role / "portal"
        result = aggregate(seen, parts[role], own_input=own)
        assert result.exit_code == 0, result.output
        assert ("the keys must be those of intake" in result.stderr) is not with_own_input
        header, invalid = read_sum(parts[role], seen)
        reference = case.facts["reference"][role]
        assert header["batch_uuids"] == reference["batch_uuids"]
        assert header["total_individual_clients"] == case.facts["truth"]["valid_clients"]
        assert invalid == reference["invalid_uuids"]
    theirs = {role: case.folder / "portal" / role for role in ROLES}
    ours = collect(case, parts["pha"], parts["facilitator"])
    assert ours["clients"] == case.facts["truth"]["valid_clients"]
    assert ours["batch_ids"] == case.facts["reference"]["pha"]["batch_uuids"]
    mixed = [collect(case, parts["pha"], theirs["facilitator"]), collect(case, theirs["pha"], parts["facilitator"])]
    for statistic in (ours, *mixed):
        assert statistic["sum"] == case.facts["truth"]["sum"] == case.facts["reference"]["recovered_sum"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_part_differs_from_the_reference_s_in_its_clients_alone(case: Case, tmp_path: Path) -> None:
    aggregate(case, tmp_path)
    (ours, _), (theirs, _) = read_sum(tmp_path, case), read_sum(case.folder / "portal" / case.role, case)
    different = {name for name in theirs if theirs[name] != ours[name]}
    assert different <= {"packet_file_digest", "total_individual_clients"}


@pytest.mark.parametrize("single_object", ["true", "false"])
def test_the_two_of_ours_sum_over_each_other_s_validations(single_object: str, tmp_path: Path) -> None:
    for index in (0, 1):
        case = Case(LIARS.name, index)
        for batch in case.batches:
            options = case.intake_options(
                batch, tmp_path / case.peer, write_single_object_validation_batches=single_object
            )
            assert run(*arguments("intake-batch", options)).exit_code == 0
    for index in (0, 1):
        case = Case(LIARS.name, index)
        result = aggregate(case, tmp_path / "portal" / case.role, peer_input=tmp_path / case.role)
        assert result.exit_code == 0, result.output
    statistic = collect(LIARS, tmp_path / "portal" / "pha", tmp_path / "portal" / "facilitator")
    assert statistic["sum"] == LIARS.facts["truth"]["sum"]
    assert statistic["warnings"] == []


def test_the_summary_says_what_counts(tmp_path: Path) -> None:
    result = aggregate(LIARS, tmp_path)
    clients = LIARS.facts["truth"]["valid_clients"]
    assert result.stdout.startswith(
        f"sum part  {LIARS.sum_stem()}.sum_0\nbatches   2, 0 left out\nclients   {clients}\n"
    )
    for reason in ("missing_at_peer", "missing_here", "proof_invalid"):
        assert f"  {reason}  " in result.stdout


def test_done_again_it_writes_the_same_bytes_and_another_sum_is_refused(tmp_path: Path) -> None:
    aggregate(PLAIN, tmp_path)
    before = files(tmp_path)
    assert aggregate(PLAIN, tmp_path).exit_code == 0
    assert files(tmp_path) == before
    fewer = {"batch_id": [PLAIN.batches[0]["id"]], "batch_time": [PLAIN.batches[0]["time"]]}
    assert "exists with other bytes" in error(aggregate(PLAIN, tmp_path, **fewer), 1)
    assert files(tmp_path) == before


def test_batch_ids_keep_the_order_of_the_options(tmp_path: Path) -> None:
    batches = PLAIN.batches[::-1]
    aggregate(PLAIN, tmp_path, batch_id=[each["id"] for each in batches], batch_time=[each["time"] for each in batches])
    assert read_sum(tmp_path, PLAIN)[0]["batch_uuids"] == [each["id"] for each in batches]


# What is left out


class Changeable:
    """A copy of a case's buckets; the last batch is the one that faults are put into."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.ingestion = Path(shutil.copytree(case.ingestion, folder / "ingestion", copy_function=shutil.copyfile))
        self.peer = Path(shutil.copytree(case.peer_input, folder / "peer", copy_function=shutil.copyfile))
        for path in [*self.ingestion.rglob("*"), *self.peer.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.own: Path | None = None
        self.batch = name_of(case, -1)
        self.options: dict[str, Any] = {}

    def path(self, suffix: str) -> Path:
        """An object of the last batch."""
        root = self.ingestion if suffix.startswith("batch") else self.peer
        return root / f"{self.batch.base}.{suffix}"

    def reseal(self, **changes: Any) -> None:
        """Change the ingestion header of the last batch, signed by the ingestor."""
        objects = [self.ingestion / name for name in ingestion_objects(self.batch)]
        header = replace(decode(IngestionHeader, objects[0].read_bytes(), "header"), **changes)
        keys = self.case.keys["ingestor"]
        signing_key = parse_signing_key(keys["id"], keys["private_pkcs8_b64"])
        sealed = seal(header, objects[1].read_bytes(), signing_key)
        for path, data in zip(objects, sealed.three_objects(), strict=True):
            path.write_bytes(data)


def peer_is_silent(buckets: Changeable) -> None:
    buckets.path("validity_1.sig").unlink()


def peer_signature_is_another(buckets: Changeable) -> None:
    buckets.path("validity_1.sig").write_bytes(
        (buckets.peer / f"{name_of(buckets.case, 0).base}.validity_1.sig").read_bytes()
    )


def peer_packets_are_gone(buckets: Changeable) -> None:
    buckets.path("validity_1.avro").unlink()


def ingestion_header_is_gone(buckets: Changeable) -> None:
    buckets.path("batch").unlink()


def ingestion_packets_are_gone(buckets: Changeable) -> None:
    buckets.path("batch.avro").unlink()


def ingestion_packets_are_cut(buckets: Changeable) -> None:
    path = buckets.path("batch.avro")
    path.write_bytes(path.read_bytes()[:-1])


def ingestion_epsilon_is_another(buckets: Changeable) -> None:
    buckets.reseal(epsilon=3.0)


def time_is_outside(buckets: Changeable) -> None:
    times = [each["time"] for each in buckets.case.batches]
    buckets.options["batch_time"] = [*times[:-1], buckets.case.facts["window"][1]]


def id_is_repeated(buckets: Changeable) -> None:
    batches = [*buckets.case.batches[:-1], buckets.case.batches[0]]
    buckets.options |= {
        "batch_id": [each["id"] for each in batches],
        "batch_time": [each["time"] for each in batches],
    }


FAULTS = [
    (peer_is_silent, "object_missing: the peer's validation is not here"),
    (peer_signature_is_another, "signature_invalid"),
    (peer_packets_are_gone, "object_missing"),
    (ingestion_header_is_gone, "object_missing"),
    (ingestion_packets_are_gone, "object_missing"),
    (ingestion_packets_are_cut, "digest_differs"),
    (ingestion_epsilon_is_another, "parameters_differ: the peer's validation"),
    (time_is_outside, "outside_window"),
    (id_is_repeated, "batch_repeated"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_batch_that_cannot_be_used_is_left_out(
    fault: Callable[[Changeable], None], said: str, tmp_path: Path
) -> None:
    buckets = Changeable(PLAIN, tmp_path)
    fault(buckets)
    options = {"ingestor_input": buckets.ingestion, "peer_input": buckets.peer} | buckets.options
    result = aggregate(PLAIN, tmp_path / "portal", **options)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "is left out" in line]
    assert said in line
    expected = [each["id"] for each in PLAIN.batches[:-1]]
    assert read_sum(tmp_path / "portal", PLAIN)[0]["batch_uuids"] == expected
    assert "batches   2, 1 left out" in result.stdout


def test_no_batch_left_writes_nothing(tmp_path: Path) -> None:
    result = aggregate(PLAIN, tmp_path / "portal", peer_public_key_identifier="nobody")
    assert "no batch of kittens-seen is left to sum (3 left out)" in error(result, 1)
    assert result.stderr.count("unknown_key") == 3
    assert not (tmp_path / "portal").exists()


def test_fewer_clients_than_the_minimum_write_nothing(tmp_path: Path) -> None:
    assert "120 clients" in error(aggregate(PLAIN, tmp_path / "portal", minimum_clients=121), 1)
    assert not (tmp_path / "portal").exists()
    assert aggregate(PLAIN, tmp_path / "portal", minimum_clients=120).exit_code == 0


@pytest.mark.parametrize("own", [True, False], ids=["own-input", "without"])
def test_undecryptable_batches_are_left_out_as_at_intake(own: bool, tmp_path: Path) -> None:
    """The second batch of the case is to the second key: intake did not send it without that."""
    case = Case("two-keys-16", 0)
    keys = {"packet_decryption_keys": case.keys["packet_decryption"]["pha"][0]}
    result = run(*arguments("intake-batch", case.intake_options(case.batches[0], tmp_path / "v", **keys)))
    assert result.exit_code == 0
    options = case.intake_options(case.batches[0], tmp_path / "v", own_output=tmp_path / "own", **keys)
    run(*arguments("intake-batch", options))
    result = aggregate(case, tmp_path / "portal", own_input=tmp_path / "own" if own else None, **keys)
    assert result.exit_code == 0, result.output
    assert read_sum(tmp_path / "portal", case)[0]["batch_uuids"] == [case.batches[0]["id"]]
    assert ("take the batch in" if own else "decrypt with no configured packet key") in result.stderr


# Our own store


def test_a_rejection_in_our_store_counts(tmp_path: Path) -> None:
    keep(PLAIN, tmp_path / "own")
    name = name_of(PLAIN, 1)
    record = Rejection(name.uuid, "left_out", "twice the same", None, "an operator", 0, cleared=False)
    OwnStore(LocalStore(tmp_path / "own")).record_rejection(name, record)
    result = aggregate(PLAIN, tmp_path / "portal", own_input=tmp_path / "own")
    assert f"{name.base} is left out: left_out: by an operator" in result.stderr
    assert str(name.uuid) not in read_sum(tmp_path / "portal", PLAIN)[0]["batch_uuids"]


def test_kept_totals_make_decryption_needless(tmp_path: Path) -> None:
    """No packet key of the case is given, and every packet of it counts."""
    keep(PLAIN, tmp_path / "own")
    others = LIARS.keys["packet_decryption"]["pha"]
    result = aggregate(PLAIN, tmp_path / "portal", own_input=tmp_path / "own", packet_decryption_keys=others)
    assert result.exit_code == 0, result.output
    assert "totals" not in result.stderr
    assert "\ndecrypted again  none\n" in result.stdout


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("gone", "missing 2"),
        ("of another key", "damaged or not signed with our key 2"),
        ("of another batch", "of another packet file, validation or parameters 1"),
    ],
)
def test_totals_that_cannot_be_used_are_computed_again(why: str, text: str, tmp_path: Path) -> None:
    keep(LIARS, tmp_path / "own")
    changes = {}
    if why == "gone":
        shutil.rmtree(tmp_path / "own" / "prio-assets" / "totals")
    elif why == "of another batch":
        first, second = (tmp_path / "own" / totals(name_of(LIARS, position)) for position in (0, 1))
        shutil.copyfile(first, second)
    else:
        changes = {"batch_signing_private_key": LIARS.keys["facilitator"]["private_pkcs8_b64"]}
    result = aggregate(LIARS, tmp_path / "portal", own_input=tmp_path / "own", **changes)
    assert result.exit_code == 0, result.output
    reason, number = text[:-2], int(text[-1])
    assert result.stderr.count(f"is decrypted again: the totals of intake are {reason}\n") == number
    assert f"\ndecrypted again  {text}\n" in result.stdout
    aggregate(LIARS, tmp_path / "expected")
    ours, expected = read_sum(tmp_path / "portal", LIARS), read_sum(tmp_path / "expected", LIARS)
    assert ours == expected


def test_packets_that_intake_could_read_and_we_cannot_stop_the_sum(tmp_path: Path) -> None:
    keep(LIARS, tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / "prio-assets" / "totals")
    others = PLAIN.keys["packet_decryption"]["pha"]
    result = aggregate(LIARS, tmp_path / "portal", own_input=tmp_path / "own", packet_decryption_keys=others)
    assert "cannot be verified now (undecryptable" in error(result, 1)
    assert not (tmp_path / "portal").exists()


def test_a_replaced_ingestion_batch_is_left_out(tmp_path: Path) -> None:
    buckets = Changeable(PLAIN, tmp_path)
    keep(PLAIN, tmp_path / "own")
    path = buckets.path("batch.avro")
    path.write_bytes((buckets.ingestion / f"{name_of(PLAIN, 0).base}.batch.avro").read_bytes())
    other = decode(IngestionHeader, (buckets.ingestion / f"{name_of(PLAIN, 0).base}.batch").read_bytes(), "header")
    buckets.reseal(packet_file_digest=other.packet_file_digest)
    result = aggregate(PLAIN, tmp_path / "portal", own_input=tmp_path / "own", ingestor_input=buckets.ingestion)
    assert result.exit_code == 0, result.output
    assert "is not the file that intake read" in result.stderr
    assert len(read_sum(tmp_path / "portal", PLAIN)[0]["batch_uuids"]) == 2


# Usage


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_id": [], "batch_time": []}, "'--batch-id'"),
        ({"batch_time": ["2023/05/31/16/29"]}, "3 times --batch-id, but 1 times --batch-time"),
        ({"aggregation_end": "2023/05/31/16/00"}, "--aggregation-end is not after --aggregation-start"),
        ({"minimum_clients": "0"}, "--minimum-clients"),
    ],
)
def test_wrong_usage_is_status_2(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    result = aggregate(PLAIN, tmp_path, **changes)
    assert said in error(result, 2)
    assert result.stderr.count("\n") == 1


def test_a_storage_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    for option in ("ingestor_input", "peer_input", "own_input"):
        result = aggregate(PLAIN, tmp_path / "portal", **{option: tmp_path / "nowhere"})
        assert "create the directory" in error(result, 1)
    assert not (tmp_path / "portal").exists()


ENVIRONMENT = [
    "is_first",
    "instance_name",
    "ingestor_input",
    "packet_decryption_keys",
    "batch_signing_private_key",
    "batch_signing_private_key_identifier",
    "peer_input",
    "portal_output",
]


def test_options_come_from_the_reference_s_environment_variables(tmp_path: Path) -> None:
    options = PLAIN.aggregate_options(tmp_path)
    variables = {name.upper(): str(options[name]) for name in ENVIRONMENT}
    variables |= {"INGESTOR_IDENTITY": "", "PEER_IDENTITY": "", "PORTAL_IDENTITY": "", "PERMIT_MALFORMED_BATCH": "true"}
    rest = {name: value for name, value in options.items() if name not in ENVIRONMENT}
    result = run(*arguments("aggregate", rest), env=variables)
    assert result.exit_code == 0, result.output
    assert "--permit-malformed-batch has no effect" in result.stderr


def test_no_private_key_is_in_any_output(tmp_path: Path) -> None:
    result = aggregate(PLAIN, tmp_path)
    assert_no_private_keys(PLAIN, result.output)
    for data in files(tmp_path).values():
        assert_no_private_keys(PLAIN, data.decode("latin-1"))
