"""The totals that intake keeps of a batch, so that aggregation need not read the shares again; and when they serve.

They are of one packet file, one validation and one set of parameters. Anything else, or nothing, costs an aggregation
time, since it decrypts again; it never costs correctness.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.prio.field import PRIME
from prio_assets.processor.ingestion import IngestionBatch
from prio_assets.wire.columns import Uuids
from prio_assets.wire.records import Totals
from prio_assets.wire.uuids import UUID_BYTES

MAXIMUM_REJECTED: Final = 100_000
"""Most packets left out that totals name, 1.6 MB. Anyone can send millions: then the packet file is read for them."""


class TotalsFault(StrEnum):
    """Why the totals of a batch do not serve, so that its shares are decrypted again."""

    MISSING = "missing"
    UNVERIFIABLE = "damaged or not signed with our key"
    STALE = "of another packet file, validation or parameters"


@dataclass(frozen=True)
class KeptTotals:
    """What intake kept of this very packet file and validation.

    `data_sum` is the sum of the data shares of all packets of the validation, uint64 of shape [bins]; `rejected` are
    the packets that intake left out, uint8 of shape [n, 16], in the order of the file, or None where it named none.
    """

    data_sum: NDArray[np.uint64] = field(repr=False)
    rejected: Uuids | None


def make_totals(
    source: IngestionBatch, validity_digest: bytes, data_sum: NDArray[np.uint64], packets: int, rejected: Uuids
) -> Totals:
    """The record of a batch: `data_sum` is over all packets of its validation, `rejected` are the others."""
    header = source.header
    return Totals(
        batch_uuid=header.batch_uuid,
        bins=header.bins,
        epsilon=header.epsilon,
        prime=header.prime,
        number_of_servers=header.number_of_servers,
        hamming_weight=header.hamming_weight,
        packet_file_digest=header.packet_file_digest,
        validity_digest=validity_digest,
        packets=packets,
        sum=tuple(data_sum.tolist()),
        rejected=rejected.tobytes() if len(rejected) <= MAXIMUM_REJECTED else None,
        engine=source.opener.engine.name,
    )


def usable_totals(
    totals: Totals | TotalsFault, source: IngestionBatch, validity_digest: bytes, packets: int
) -> KeptTotals | TotalsFault:
    """The totals, if they are of this packet file, its parameters and the validation of this digest; else why not.

    `packets` are those that can be used of the validation.
    """
    if isinstance(totals, TotalsFault):
        return totals
    bound_to = (totals.packet_file_digest, totals.validity_digest, totals.packets, totals.parameters)
    if bound_to != (source.header.packet_file_digest, validity_digest, packets, source.header.parameters):
        return TotalsFault.STALE
    data_sum = np.array(totals.sum, dtype=np.uint64)
    if len(data_sum) != totals.bins or (data_sum >= PRIME).any():
        return TotalsFault.UNVERIFIABLE
    return KeptTotals(data_sum, _rejected(totals))


def text_of_faults(faults: Iterable[TotalsFault]) -> str:
    """How many batches were decrypted again, by reason, e.g. `missing 3`; empty where none was."""
    return ", ".join(f"{fault.value} {count}" for fault, count in sorted(Counter(faults).items()))


def _rejected(totals: Totals) -> Uuids | None:
    if totals.rejected is None or len(totals.rejected) % UUID_BYTES:
        return None
    return np.frombuffer(totals.rejected, dtype=np.uint8).reshape(-1, UUID_BYTES)
