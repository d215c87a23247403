"""When the first processor proposes a window: all is here, or nothing came for a while."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prio_assets.demo.parties import make_place, set_up
from prio_assets.demo.scenario import make_plan
from prio_assets.processor.pending import Quiet, is_due
from prio_assets.processor.processor import load_processor
from prio_assets.processor.survey import survey
from prio_assets.wire.names import BatchName
from prio_assets.wire.windows import Window

NOW = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_due(tmp_path: Path) -> None:
    configuration = set_up(make_place(tmp_path), make_plan(NOW, 1))
    processor = load_processor(configuration.processors["pha"])
    settings = processor.settings
    window = Window(NOW.replace(minute=0) - HOUR, NOW.replace(minute=0))
    nothing = survey(processor, "commute", window.start, window.end)
    first, second = (BatchName("commute", window.start, UUID(int=number)) for number in (1, 2))

    def due(ingested, *, sent, peer, rejected=(), quiet_for: timedelta | None = None, now: datetime = NOW) -> bool:
        found = replace(
            nothing,
            ingested=dict.fromkeys(ingested, 1),
            sent=frozenset(sent),
            peer=dict.fromkeys(peer, 1),
            rejections=dict.fromkeys(rejected),
        )
        quiet = None if quiet_for is None else Quiet("", now - quiet_for)
        return is_due(found, settings, window, now, quiet)

    both = [first, second]
    assert due(both, sent=both, peer=both)
    assert not due(both, sent=both, peer=both, now=window.end - SECOND)
    assert not due(both, sent=both, peer=[first])
    assert not due(both, sent=[first], peer=both)
    assert due(both, sent=[first], peer=both, rejected=[second])
    assert not due(both, sent=both, peer=[first], quiet_for=settings.patience - SECOND)
    assert due(both, sent=both, peer=[first], quiet_for=settings.patience)
    # A window without batches waits for its own before it takes late ones.
    late = [BatchName("commute", window.start - HOUR, UUID(int=3))]
    assert not due(late, sent=late, peer=late)
    assert due(late, sent=late, peer=late, quiet_for=settings.patience)
