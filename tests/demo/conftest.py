"""One demo without Dagster, for all tests that look at its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prio_assets.demo.outcome import Result
from tests.demo.by_hand import DemoByHand


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DemoByHand, Result]]:
    """The demo by hand, and what came out."""
    directory: Path = tmp_path_factory.mktemp("demo") / "demo"
    by_hand = DemoByHand(directory)
    yield by_hand, by_hand.run()
