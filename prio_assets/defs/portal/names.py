"""Asset keys and names of checks of the portal. They are for ever: a new name starts a new history."""

from dataclasses import dataclass

import dagster as dg

PHA_SUM_PARTS = "pha_sum_parts"
FACILITATOR_SUM_PARTS = "facilitator_sum_parts"
AGGREGATES = "aggregates"

SUM_PARTS_AGREE = "sum_parts_agree"
BOTH_PARTS_ARRIVE = "both_parts_arrive"
WINDOWS_FIT = "windows_fit"
STORAGES_ANSWER = "storages_answer"


@dataclass(frozen=True)
class PortalKeys:
    """The asset keys of the portal of this name and instance."""

    portal: str
    instance: str

    def __getitem__(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.portal, self.instance, asset])
