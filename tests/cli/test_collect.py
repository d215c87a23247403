"""The command gives the statistic of what the reference summed, and refuses what it must not add."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prio_assets.wire.batches import seal
from prio_assets.wire.keys import parse_signing_key
from prio_assets.wire.names import sum_part_objects
from prio_assets.wire.records import SumPart, decode
from prio_assets.wire.windows import Window, parse_minute
from tests.cli.program import error, run

CASES = sorted(path.parent for path in (Path(__file__).parents[1] / "interop").glob("*/case.json"))
CASE = next(case for case in CASES if case.name == "liars-255")


def load(case: Path, name: str) -> dict[str, Any]:
    return json.loads((case / name).read_text())


def arguments(case: Path, portal: Path, **changes: object) -> list[object]:
    facts, keys = load(case, "case.json"), load(case, "keys.json")
    options: dict[str, object] = {
        "instance_name": facts["instance"],
        "aggregation_id": facts["aggregation"],
        "aggregation_start": facts["window"][0],
        "aggregation_end": facts["window"][1],
    }
    for party in ("pha", "facilitator"):
        options |= {
            f"{party}_input": portal / party,
            f"{party}_public_key": keys[party]["public_x962_b64"],
            f"{party}_public_key_identifier": keys[party]["id"],
        }
    given = [(f"--{name.replace('_', '-')}", value) for name, value in (options | changes).items()]
    return ["collect", *(part for pair in given for part in pair)]


def names(case: Path, index: int) -> Any:
    facts = load(case, "case.json")
    window = Window(*map(parse_minute, facts["window"]))
    return sum_part_objects(facts["instance"], facts["aggregation"], window, index)


@pytest.fixture
def portal(tmp_path: Path) -> Path:
    """A copy of the portal's buckets, to be changed."""
    return shutil.copytree(CASE / "portal", tmp_path / "portal")


def change_facilitator(portal: Path, **changes: Any) -> None:
    """Replace fields of the facilitator's sum part, signed by its own key."""
    key = load(CASE, "keys.json")["facilitator"]
    objects = names(CASE, 1)
    folder = portal / "facilitator"
    part = replace(decode(SumPart, (folder / objects.header).read_bytes(), "part"), **changes)
    sealed = seal(part, b"", parse_signing_key(key["id"], key["private_pkcs8_b64"]))
    header, _, signature = sealed.three_objects()
    (folder / objects.header).write_bytes(header)
    (folder / objects.signature).write_bytes(signature)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_references_parts_give_the_true_sum(case: Path) -> None:
    facts = load(case, "case.json")
    result = run(*arguments(case, case / "portal", format="json"))
    assert (result.exit_code, result.stderr) == (0, "")
    statistic = json.loads(result.stdout)
    assert statistic["aggregation"] == facts["aggregation"]
    assert statistic["window"] == {"start": facts["window"][0], "end": facts["window"][1]}
    assert statistic["bins"] == facts["bins"] == len(statistic["sum"])
    assert statistic["sum"] == facts["truth"]["sum"]
    assert statistic["clients"] == facts["reference"]["pha"]["total_individual_clients"]
    assert sorted(statistic["batch_ids"]) == sorted(batch["id"] for batch in facts["batches"])


def test_all_forms_of_public_keys_are_accepted() -> None:
    keys = load(CASE, "keys.json")
    for form in ("public_x962_b64", "public_pem", "private_pkcs8_b64"):
        changes = {f"{party}_public_key": keys[party][form] for party in ("pha", "facilitator")}
        assert run(*arguments(CASE, CASE / "portal", **changes)).exit_code == 0


def test_the_other_formats() -> None:
    truth = load(CASE, "case.json")["truth"]["sum"]
    lines = run(*arguments(CASE, CASE / "portal", format="csv")).stdout.splitlines()
    assert lines == ["bin,count", *(f"{number},{count}" for number, count in enumerate(truth))]
    table = run(*arguments(CASE, CASE / "portal")).stdout.splitlines()
    assert table[0] == "aggregation com.example.interactions.v1"
    assert [int(line.split()[1]) for line in table[-len(truth) :]] == truth


def test_counts_of_clients_that_differ_are_a_warning(portal: Path) -> None:
    change_facilitator(portal, total_individual_clients=65, packet_file_digest=digest_of_packets(portal))
    result = run(*arguments(CASE, portal, format="json"))
    assert result.exit_code == 0
    statistic = json.loads(result.stdout)
    assert statistic["clients"] == 65
    assert result.stderr == f"prio-assets: warning: {statistic['warnings'][0]}\n"
    assert "a legacy peer counts clients with invalid proofs too" in result.stderr


def digest_of_packets(portal: Path) -> bytes:
    return decode(SumPart, (portal / "facilitator" / names(CASE, 1).header).read_bytes(), "part").packet_file_digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 0.5}, "the sum parts do not belong together: epsilon is 0.11 in the PHA's and 0.5"),
        ({"bins": 254}, "the sum parts do not belong together: bins is 255 in the PHA's and 254"),
        ({"batch_uuids": ()}, "is over no batch"),
        ({"aggregation_end_time": 1}, "aggregation_end_time is"),
        ({"name": "other"}, "name_differs: "),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(portal: Path, changes: dict[str, Any], message: str) -> None:
    change_facilitator(portal, packet_file_digest=digest_of_packets(portal), **changes)
    result = run(*arguments(CASE, portal))
    assert message in error(result, 1)
    assert result.stdout == ""


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "packets", "signature"])
def test_a_part_that_was_tampered_with_is_refused(portal: Path, part: int) -> None:
    path = portal / "pha" / names(CASE, 0)[part]
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert run(*arguments(CASE, portal)).exit_code == 1


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "packets", "signature"])
def test_an_object_that_is_missing_is_named(portal: Path, part: int) -> None:
    name = names(CASE, 0)[part]
    (portal / "pha" / name).unlink()
    assert Path(name).name in error(run(*arguments(CASE, portal)), 1)


def test_an_unknown_key_is_refused() -> None:
    result = run(*arguments(CASE, CASE / "portal", pha_public_key_identifier="another"))
    assert "unknown_key" in error(result, 1)


def test_the_other_partys_key_is_refused() -> None:
    keys = load(CASE, "keys.json")
    swapped = {
        "pha_public_key": keys["facilitator"]["public_x962_b64"],
        "facilitator_public_key": keys["pha"]["public_x962_b64"],
    }
    assert "signature_invalid" in error(run(*arguments(CASE, CASE / "portal", **swapped)), 1)


def test_one_key_for_both_parties_is_refused(portal: Path) -> None:
    """With it a copy of the PHA's part, renamed, would be added to itself."""
    for copy, original in zip(names(CASE, 1), names(CASE, 0), strict=True):
        (portal / "facilitator" / copy).write_bytes((portal / "pha" / original).read_bytes())
    keys = load(CASE, "keys.json")["pha"]
    result = run(
        *arguments(
            CASE,
            portal,
            facilitator_public_key=keys["public_x962_b64"],
            facilitator_public_key_identifier=keys["id"],
        )
    )
    assert "--pha-public-key and --facilitator-public-key are one key" in error(result, 2)


def test_a_window_that_ends_before_it_begins_is_wrong_usage() -> None:
    result = run(*arguments(CASE, CASE / "portal", aggregation_end="2000/01/01/00/00"))
    assert "--aggregation-end is not after --aggregation-start" in error(result, 2)


def test_a_storage_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "nowhere is not there" in error(run(*arguments(CASE, CASE / "portal", pha_input=tmp_path / "nowhere")), 1)


def test_the_instance_may_come_from_the_environment() -> None:
    given = arguments(CASE, CASE / "portal")
    position = given.index("--instance-name")
    without = given[:position] + given[position + 2 :]
    assert run(*without, env={"INSTANCE_NAME": load(CASE, "case.json")["instance"]}).exit_code == 0
    assert "Missing option '--instance-name'" in error(run(*without, env={"INSTANCE_NAME": ""}), 2)
