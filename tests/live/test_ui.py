"""The Dagster UI on the demo's instance, in a browser: what a newcomer looks for stands there as text."""

import re
from collections.abc import Iterator

import pytest

from tests.live.browser import DagsterUI, dagster_ui
from tests.live.conftest import FinishedDemo
from tests.live.serving import serve_ui

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def ui(finished: FinishedDemo) -> Iterator[DagsterUI]:
    with serve_ui(finished.clone, finished.directory) as address, dagster_ui(address) as browser:
        yield browser


def test_rejected_batch_its_reason_and_the_counts(ui: DagsterUI, finished: FinishedDemo) -> None:
    facts = finished.facts
    found = facts.survey("pha", "phone-use", facts.windows[1])
    ui.open_partition("pha/own_validations", facts.partition("phone-use", facts.windows[1]), str(facts.forged))
    ui.expect(f"{facts.forged} rejected signature_invalid 0 0")
    ui.expect(f"batches {len(found.ingested)} batches accepted {len(found.sent)} batches rejected 1 ")
    ui.expect("packets rejected by reason none")
    ui.expect("batches_accepted: 1 of 4 batches")


def test_statistic(ui: DagsterUI, finished: FinishedDemo) -> None:
    facts = finished.facts
    ui.open_partition("portal/demo/aggregates", facts.partition("commute", facts.windows[0]), "bicycle")
    ui.expect("clients 176 ")
    ui.expect("bicycle 90 51.1%")


def test_failed_check(ui: DagsterUI) -> None:
    ui.open("/assets/pha/own_validations?view=checks", "batches_accepted")
    ui.expect("No batch of the window was rejected or failed.")
    ui.expect(re.compile("parameters_differ|signature_invalid"))


def test_graph_shows_all_parties(ui: DagsterUI) -> None:
    ui.open_graph()
    for name in ("ingestion_batches", "own_validations", "batch_lists", "sum_parts", "aggregates"):
        ui.expect(name)
    assert "default" not in ui.text()
