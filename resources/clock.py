"""The present, as a resource: tests set it, everything else leaves it to the machine's clock."""

import dagster as dg
from pydantic import Field

from prio_assets.clock import Clock, fixed_clock, system_clock
from prio_assets.settings import parse_time


class ClockResource(dg.ConfigurableResource):
    """What assets and sensors of a processor or a portal take for the present."""

    moment: str | None = Field(
        default=None, description="A time in ISO 8601 (UTC unless it names a zone) to stand still at; for tests."
    )

    @property
    def clock(self) -> Clock:
        """The clock that everything below Dagster takes."""
        return system_clock if self.moment is None else fixed_clock(parse_time(self.moment))
