"""When the first processor proposes a window: all is here, or nothing came for a while."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from prio_assets.demo.parties import set_up
from prio_assets.demo.scenario import make_plan
from prio_assets.processor.pending import Quiet, is_due
from prio_assets.processor.survey import Survey
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window

NOW = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path):
    _, configuration = set_up(tmp_path, make_plan(NOW, 1))
    return configuration.processors["pha"]


def seen(*, ingested=(), sent=(), peer=(), rejected=()) -> Survey:
    """A survey of these batches."""
    return Survey(
        aggregation="commute",
        ingested=dict.fromkeys(ingested, 1),
        incomplete=frozenset(),
        validated=frozenset(sent),
        sent=frozenset(sent),
        rejections=dict.fromkeys(rejected),
        peer=dict.fromkeys(peer, 1),
        own_lists=frozenset(),
        sent_lists=frozenset(),
        peer_lists={},
        refused_lists={},
        decided={},
        sent_sums=frozenset(),
        not_before=NOW - 24 * HOUR,
        state_fault="",
    )


def test_due(settings) -> None:
    window = Window(NOW.replace(minute=0) - HOUR, NOW.replace(minute=0))
    first, second = (BatchName("commute", window.start, UUID(int=number)) for number in (1, 2))
    early = BatchName("commute", window.start - HOUR, UUID(int=3))

    def due(found: Survey, quiet_for: timedelta | None = None, now: datetime = NOW) -> bool:
        quiet = None if quiet_for is None else Quiet("", now - quiet_for)
        return is_due(found, settings, window, now, quiet)

    both = {"ingested": [first, second], "sent": [first, second], "peer": [first, second]}
    assert due(seen(**both))
    assert not due(seen(**both), now=window.end - timedelta(seconds=1))
    assert not due(seen(**both | {"peer": [first]}))
    assert not due(seen(**both | {"sent": [first]}))
    assert due(seen(**both | {"sent": [first], "rejected": [second]}))
    assert not due(seen(**both | {"peer": [first]}), settings.patience - timedelta(seconds=1))
    assert due(seen(**both | {"peer": [first]}), settings.patience)
    # An empty window waits for its own batches before it takes those of others.
    late_only = {"ingested": [early], "sent": [early], "peer": [early]}
    assert not due(seen(**late_only))
    assert due(seen(**late_only), settings.patience)
