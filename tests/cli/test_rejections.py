"""Rejections are listed, added and cleared by hand; what is decided stays decided."""

import getpass
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.operator_decisions import leave_out
from prio_assets.processor.own_store import accepts_undecryptable
from prio_assets.processor.validation import validate_batches
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import format_minute
from tests.cli.conftest import Deployed
from tests.cli.program import error
from tests.faults.deployment import rejections_of


def options(batch: BatchName) -> list[object]:
    named = ["--aggregation-id", batch.aggregation, "--batch-id", batch.uuid, "--date", format_minute(batch.time)]
    return ["--processor", "pha", *named]


def rejections(deployed: Deployed, command: str, batch: BatchName, *more: object) -> Any:
    return deployed.run("rejections", command, *options(batch), *more)


def pending_batches(deployed: Deployed) -> list[str]:
    rows = json.loads(deployed.run("status", "--format", "json", "--processor", "pha").stdout)
    return [batch for row in rows if row["step"] == "validate" for batch in row["batches"]]


def test_a_batch_is_left_out_listed_and_tried_again(deployed: Deployed) -> None:
    batch = deployed.batches[0]
    result = rejections(deployed, "add", batch, "--by", "ada", "--details", "sent by mistake")
    assert result.stdout == f"{batch.base} is left out by processor pha\n"
    assert batch.base not in pending_batches(deployed)
    listed = f"pha {batch.base}\n  left_out: sent by mistake\n  by ada, 2023-06-01 02:00 UTC\n"
    assert deployed.run("rejections", "list").stdout == listed
    assert deployed.run("rejections", "list", "--aggregation-id", "another").stdout == ""
    result = rejections(deployed, "clear", batch)
    assert result.stdout == f"{batch.base} will be tried again by processor pha\n"
    assert batch.base in pending_batches(deployed)
    assert deployed.run("rejections", "list").stdout == ""
    records = rejections_of(deployed.processor("pha").own, batch)
    assert [(record.by, record.cleared) for record in records] == [("ada", False), (getpass.getuser(), True)]
    assert records[1].details == "to be tried again"


def test_a_rejection_of_intake_is_listed_with_its_reason(deployed: Deployed) -> None:
    batch = deployed.batches[0]
    path = deployed.folder / "pha" / "ingestion" / f"{batch.base}.batch.avro"
    path.write_bytes(path.read_bytes()[:-1])
    list(validate_batches(deployed.processor("pha"), [batch]))
    listed = deployed.run("rejections", "list").stdout
    assert listed.startswith(f"pha {batch.base}\n  digest_differs: ")
    assert "  by pha, 2023-06-01 02:00 UTC\n" in listed


def test_names_and_details_forge_no_line(deployed: Deployed) -> None:
    name = "x\x1b[31m\nnothing"
    ingestion = deployed.folder / "pha" / "ingestion"
    (ingestion / deployed.aggregation).rename(ingestion / name)
    batch = replace(deployed.batches[0], aggregation=name)
    leave_out(deployed.processor("pha").own, batch, "ada\nbob", "asked\n\x1b[31mto", deployed.now)
    listed = deployed.run("rejections", "list").stdout
    shown = f"pha {batch.base}".replace(name, "x [31m nothing")
    assert listed == f"{shown}\n  left_out: asked  [31mto\n  by ada bob, 2023-06-01 02:00 UTC\n"


def test_of_a_damaged_record_no_author_is_made_up(deployed: Deployed) -> None:
    batch = deployed.batches[0]
    rejections(deployed, "add", batch, "--details", "asked to")
    (record,) = (deployed.folder / "pha/own/prio-assets/rejections").rglob(f"{batch.uuid}.*")
    record.write_bytes(b"damaged")
    output = deployed.run("rejections", "list").stdout
    assert "own_record_damaged" in output
    assert "1970" not in output


def test_undecryptable_packets_are_accepted_as_lost(deployed: Deployed) -> None:
    """Such a batch was not rejected: it is pending until the key is there or this is said."""
    batch = deployed.batches[0]
    assert rejections(deployed, "clear", batch, "--accept-undecryptable", "--by", "ada").exit_code == 0
    last = deployed.processor("pha").own.last_rejection(batch)
    assert last is not None
    assert (last.by, last.cleared) == ("ada", True)
    assert accepts_undecryptable(last)


def test_a_batch_older_than_sensors_look_needs_a_backfill(deployed: Deployed) -> None:
    batch = deployed.batches[0]
    rejections(deployed, "add", batch, "--details", "sent by mistake")
    deployed.now += timedelta(days=8)
    result = rejections(deployed, "clear", batch)
    assert "older than intake_max_age (7d)" in result.stdout
    assert "backfill of the asset pha/own_validations, partition kittens-seen|2023-05-31-16:00" in result.stdout


def test_what_is_not_rejected_cannot_be_cleared(deployed: Deployed) -> None:
    assert "is not rejected" in error(rejections(deployed, "clear", deployed.batches[0]), 1)


@pytest.mark.parametrize("command", ["add", "clear"])
def test_a_batch_that_is_not_there_is_refused(deployed: Deployed, command: str) -> None:
    batch = deployed.batches[0]
    other = BatchName(batch.aggregation, batch.time + timedelta(minutes=1), batch.uuid)
    more = ["--details", "mistake"] if command == "add" else []
    assert "is not in the ingestion bucket" in error(rejections(deployed, command, other, *more), 1)
    assert rejections_of(deployed.processor("pha").own, other) == []


def test_a_batch_of_a_decided_set_cannot_be_left_out(deployed: Deployed) -> None:
    deployed.state_init()
    for role in ("pha", "facilitator"):
        list(validate_batches(deployed.processor(role), deployed.batches))
    for role in ("pha", "facilitator"):
        make_own_list(deployed.processor(role), deployed.aggregation, deployed.window, None)
    batch = deployed.batches[0]
    named = ["facilitator" if option == "pha" else option for option in options(batch)]
    result = deployed.run("rejections", "add", *named, "--details", "too late")
    assert "is in the decided set of the window 2023/05/31/16/00 to 2023/06/01/00/00" in error(result, 1)
    assert deployed.processor("facilitator").own.last_rejection(batch) is None


def test_leaving_out_what_a_peer_without_lists_has_is_warned_of(deployed: Deployed) -> None:
    deployed.state_init()
    list(validate_batches(deployed.processor("pha"), deployed.batches))
    deployed.set("pha", peer_has_lists=False)
    result = rejections(deployed, "add", deployed.batches[0], "--details", "too late")
    assert result.exit_code == 0
    assert "the two sums will differ" in result.stderr


@pytest.mark.parametrize("command", ["list", "add", "clear"])
def test_help_reads_well(deployed: Deployed, command: str) -> None:
    result = deployed.run("rejections", command, "--help")
    assert result.exit_code == 0
    assert "env var: PRIO_CONFIG" in result.stdout


def test_wrong_usage_is_status_2(deployed: Deployed) -> None:
    assert "'--details'" in error(rejections(deployed, "add", deployed.batches[0]), 2)
    assert "No such command 'remove'" in error(deployed.run("rejections", "remove"), 2)


def test_without_a_login_name_the_person_must_be_named(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    result = rejections(deployed, "add", deployed.batches[0], "--details", "mistake")
    assert "Give --by" in error(result, 2)
