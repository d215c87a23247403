"""Asset keys and names of checks of a share processor. They are for ever: a new name starts a new history."""

from dataclasses import dataclass

import dagster as dg

INGESTION_BATCHES = "ingestion_batches"
OWN_VALIDATIONS = "own_validations"
PEER_VALIDATIONS = "peer_validations"
BATCH_LISTS = "batch_lists"
PEER_BATCH_LISTS = "peer_batch_lists"
SUM_PARTS = "sum_parts"

BATCHES_ACCEPTED = "batches_accepted"
PACKETS_ACCEPTED = "packets_accepted"
PARAMETERS_AGREE = "parameters_agree"
PEER_VALIDATIONS_HOLD = "peer_validations_hold"
ALL_BATCHES_READY = "all_batches_ready"
PEER_LIST_HOLDS = "peer_list_holds"


@dataclass(frozen=True)
class ProcessorKeys:
    """The asset keys of the processor of this name; its name is also the group of its assets."""

    processor: str

    def __getitem__(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.processor, asset])
