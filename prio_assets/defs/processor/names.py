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

NO_OUTSTANDING_REJECTIONS = "no_outstanding_rejections"
NO_LATE_BATCHES = "no_late_batches"
NO_EXPIRED_BATCHES = "no_expired_batches"
AGGREGATIONS_USABLE = "aggregations_usable"
STORAGES_ANSWER = "storages_answer"
PEER_SENDS_VALIDATIONS = "peer_sends_validations"
PEER_LISTS_VERIFY = "peer_lists_verify"


@dataclass(frozen=True)
class ProcessorKeys:
    """The asset keys of the processor of this name; its name is also the group of its assets."""

    processor: str

    def __getitem__(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.processor, asset])
