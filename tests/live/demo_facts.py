"""What storage says about a finished demo, for comparison with what the UI and the terminal show."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from prio_assets.configuration import Configuration, load_configuration
from prio_assets.demo.scenario import PERIOD
from prio_assets.processor.processor import load_processor
from prio_assets.processor.survey import Survey, survey
from prio_assets.wire.windows import Window


@dataclass(frozen=True)
class DemoFacts:
    """A directory that the demo left."""

    directory: Path

    @cached_property
    def configuration(self) -> Configuration:
        """The parties."""
        return load_configuration(self.directory / "prio.yaml")

    @cached_property
    def windows(self) -> tuple[Window, Window]:
        """The demo's two windows."""
        first = self.configuration.processors["pha"].first_window
        return Window(first, first + PERIOD), Window(first + PERIOD, first + 2 * PERIOD)

    def partition(self, aggregation: str, window: Window) -> str:
        """The partition's key in Dagster."""
        return f"{aggregation}|{window.start:%Y-%m-%d-%H:%M}"

    def survey(self, processor: str, aggregation: str, window: Window) -> Survey:
        """What a processor's storages hold of the window."""
        actor = load_processor(self.configuration.processors[processor])
        return survey(actor, aggregation, window.start, window.end)

    @cached_property
    def forged(self) -> UUID:
        """The batch whose signature the PHA rejected, of phone-use in the second window."""
        rejections = self.survey("pha", "phone-use", self.windows[1]).rejections
        (batch,) = (batch for batch, record in rejections.items() if record.reason == "signature_invalid")
        return batch.uuid
