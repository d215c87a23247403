"""`status` says at every stage of a window what is pending and what it waits for, without private keys."""

import json
from typing import Any

from prio_assets.processor.agreement import make_own_list
from prio_assets.processor.validation import validate_batches
from prio_assets.processor.window_sum import Override, sum_window
from tests.cli.conftest import CASE, Deployed
from tests.cli.program import error
from tests.clouds import Cloud

BASES = sorted(CASE.base(batch) for batch in CASE.batches)


def pending(deployed: Deployed, *options: str) -> list[dict[str, Any]]:
    result = deployed.run("status", "--format", "json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def steps(deployed: Deployed) -> list[tuple[str, str, int, bool]]:
    """Processor, step, number of batches, whether it waits for something."""
    found = pending(deployed)
    return [(row["processor"], row["step"], len(row["batches"]), bool(row["waits_for"])) for row in found]


def validate(deployed: Deployed, role: str) -> None:
    outcomes = list(validate_batches(deployed.processor(role), deployed.batches))
    assert [outcome.state for outcome in outcomes] == ["sent"] * 3, outcomes


def go_through_a_window(deployed: Deployed) -> None:
    """Every stage, from a processor without a state to a window that is summed."""
    assert steps(deployed) == [
        ("facilitator", "state", 0, True),
        ("facilitator", "validate", 3, False),
        ("pha", "state", 0, True),
        ("pha", "validate", 3, False),
    ]
    deployed.state_init()
    validate(deployed, "pha")
    assert steps(deployed) == [("facilitator", "validate", 3, False)]
    validate(deployed, "facilitator")
    assert steps(deployed) == [("facilitator", "decide", 0, True), ("pha", "propose", 3, False)]
    make_own_list(deployed.processor("pha"), deployed.aggregation, deployed.window, None)
    assert steps(deployed) == [("facilitator", "decide", 3, False), ("pha", "sum", 0, True)]
    make_own_list(deployed.processor("facilitator"), deployed.aggregation, deployed.window, None)
    assert steps(deployed) == [("facilitator", "sum", 3, False), ("pha", "sum", 3, False)]
    for role in ("pha", "facilitator"):
        summed = sum_window(deployed.processor(role), deployed.aggregation, deployed.window, Override())
        assert summed.header is not None
        assert summed.header.total_individual_clients == CASE.facts["truth"]["valid_clients"]
    assert pending(deployed) == []
    assert deployed.run("status").stdout == "nothing is pending\n"


def test_every_stage_of_a_window(deployed: Deployed) -> None:
    go_through_a_window(deployed)


def test_every_stage_of_a_window_in_buckets(deployed: Deployed, cloud: Cloud) -> None:
    url = cloud.create_bucket()
    for path in deployed.folder.glob("*/ingestion/**/*"):
        if path.is_file():
            cloud.put(url, str(path.relative_to(deployed.folder)), path.read_bytes())
    for role, section in deployed.sections.items():
        places = {
            key: path for key, path in section.items() if (deployed.folder / str(path)).is_dir() and key != "role"
        }
        deployed.set(
            role, **{key: {"url": f"{url}/{path}", "endpoint": cloud.endpoint} for key, path in places.items()}
        )
    go_through_a_window(deployed)
    written = {name.split("/")[1] for name in cloud.objects(url) if name.startswith("pha/")}
    assert written == {"ingestion", "own", "peer", "state"}
    assert "pha/state/prio-assets/probe" in cloud.objects(url)


def test_a_step_is_told_in_full(deployed: Deployed) -> None:
    deployed.state_init()
    start, end = CASE.facts["window"]
    assert pending(deployed, "--processor", "pha") == [
        {
            "processor": "pha",
            "aggregation": "kittens-seen",
            "window": {"start": start, "end": end},
            "step": "validate",
            "waits_for": "",
            "batches": BASES,
        }
    ]


def test_missing_state_is_said_with_the_remedy(deployed: Deployed) -> None:
    state = pending(deployed, "--processor", "pha")[0]
    assert (state["step"], state["aggregation"], state["window"]) == ("state", None, None)
    assert "run `prio-assets state init`" in state["waits_for"]
    assert "run `prio-assets state init`" in deployed.run("status").stdout


def test_the_table_has_a_line_for_each_step(deployed: Deployed) -> None:
    deployed.state_init()
    heading, *lines = deployed.run("status").stdout.splitlines()
    assert heading.split() == ["processor", "aggregation", "window", "step", "batches", "waits", "for"]
    assert len(lines) == 2
    start, end = CASE.facts["window"]
    assert f"pha          kittens-seen  {start} to {end}  validate  3        nothing: it can be done now" in lines


def test_a_folders_name_forges_no_line(deployed: Deployed) -> None:
    deployed.state_init()
    ingestion = deployed.folder / "pha" / "ingestion"
    (ingestion / deployed.aggregation).rename(ingestion / "x\x1b[31m\nnothing is pending")
    heading, line = deployed.run("status", "--processor", "pha").stdout.splitlines()
    assert heading.startswith("processor")
    assert line.startswith("pha        x [31m nothing is pending  2023/")


def test_the_file_is_needed(deployed: Deployed) -> None:
    result = deployed.run("status", "--configuration", str(deployed.folder / "other.yaml"))
    assert "other.yaml: cannot be read" in error(result, 1)
    result = deployed.run("status", "--processor", "nobody")
    assert "has no processor nobody, but facilitator, pha" in error(result, 1)
