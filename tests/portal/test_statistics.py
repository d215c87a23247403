"""What the portal sees in its storages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prio_assets.configuration import PortalConfiguration
from prio_assets.portal.statistics import Portal, look_at
from prio_assets.settings import StorageSettings
from prio_assets.wire.names import sum_part_objects
from prio_assets.wire.windows import Window

MIDNIGHT = datetime(2023, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(MIDNIGHT, MIDNIGHT + 8 * HOUR)
STORAGES = ("pha_sum_parts", "facilitator_sum_parts", "statistics")


@pytest.fixture
def settings(tmp_path: Path) -> PortalConfiguration:
    for storage in STORAGES:
        (tmp_path / storage).mkdir()
    storages = {storage: StorageSettings.model_construct(url=str(tmp_path / storage)) for storage in STORAGES}
    return PortalConfiguration.model_construct(instance="instance", period=8 * HOUR, **storages)


def put_part(settings: PortalConfiguration, window: Window, index: int) -> None:
    """Something under the names of the processor's sum part; whether it holds is not looked at."""
    for name in sum_part_objects("instance", "kittens-seen", window, index):
        settings.stores[index].create(name, b"a part")


@pytest.mark.parametrize(
    "misnamed",
    [
        Window(MIDNIGHT + HOUR, MIDNIGHT + 9 * HOUR),
        Window(MIDNIGHT, MIDNIGHT + HOUR),
        Window(MIDNIGHT, MIDNIGHT + 16 * HOUR),
    ],
    ids=["start", "end", "twice as long"],
)
def test_parts_of_no_window_of_the_period_are_set_apart(settings: PortalConfiguration, misnamed: Window) -> None:
    for window, index in ((WINDOW, 0), (WINDOW, 1), (misnamed, 1)):
        put_part(settings, window, index)
    seen = look_at(Portal(settings, settings.stores), "kittens-seen", MIDNIGHT, MIDNIGHT + 24 * HOUR)
    assert seen.pha == seen.facilitator == {WINDOW}
    assert seen.misnamed == {"pha": frozenset(), "facilitator": {misnamed}}
