"""A peer without lists in the second role: it validates what it can, and sums once what is complete in its buckets.

It differs from the reference in that it survives what it cannot use, so that it is our faults that show.
"""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import PrioAssetsError
from prio_assets.prio import field
from prio_assets.processor.aggregation import Contribution, contribute, join, make_sum_part
from prio_assets.processor.ingestion import open_ingestion_batch
from prio_assets.processor.intake import Intake, take_in
from prio_assets.processor.readiness import read_peer_validation
from prio_assets.processor.totals import TotalsFault
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch
from prio_assets.wire.names import BatchName
from tests.faults.deployment import Deployment
from tests.faults.material import AGGREGATION, WINDOW

PEER = 1


def intake(deployment: Deployment, batches: list[BatchName]) -> None:
    """Validate each batch, and send the validation in three objects."""
    bucket = deployment.store(0, "peer_validations")
    for batch in batches:
        taken = _take_in(deployment, batch)
        if taken is not None:
            objects = names.validity_objects(batch, PEER)
            bucket.objects |= dict(zip(objects, taken.validation.three_objects(), strict=True))


def sum_up(deployment: Deployment, batches: list[BatchName]) -> SealedBatch:
    """The sum part over the batches of which both validations are there."""
    parts = [part for batch in batches if (part := _contribution(deployment, batch)) is not None]
    contributions, data_sums = zip(*parts, strict=True)
    total = reduce(field.add, data_sums)
    return make_sum_part(contributions, total, AGGREGATION, WINDOW, deployment.processors[PEER].signing_key)


def _take_in(deployment: Deployment, batch: BatchName) -> Intake | None:
    processor = deployment.processors[PEER]
    try:
        source = open_ingestion_batch(processor.stores.ingestion, batch, processor.opener, expected=None)
        return take_in(source, processor.signing_key)
    except PrioAssetsError:
        return None


def _contribution(deployment: Deployment, batch: BatchName) -> tuple[Contribution, NDArray[np.uint64]] | None:
    processor, taken = deployment.processors[PEER], _take_in(deployment, batch)
    received = deployment.store(PEER, "peer_validations").objects
    if taken is None or names.validity_objects(batch, 0).signature not in received:
        return None
    ours = read_peer_validation(processor, batch)
    return contribute(taken.source, join(taken.packets, ours.packets), TotalsFault.MISSING)
