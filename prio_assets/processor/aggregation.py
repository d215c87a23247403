"""Aggregation: a set of batches in, a signed sum part out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, PacketReason
from prio_assets.prio import field
from prio_assets.prio.verifier import proofs_hold
from prio_assets.processor.ingestion import IngestionBatch
from prio_assets.processor.totals import KeptTotals, TotalsFault
from prio_assets.wire.batches import SealedBatch, seal
from prio_assets.wire.columns import NO_UUIDS, Uuids, contained, first_occurrences, positions
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import ValidityPackets, digest, encode_invalid_packets
from prio_assets.wire.records import Parameters, SumPart, ValidityHeader
from prio_assets.wire.windows import Window, to_ms


@dataclass(frozen=True)
class Contribution:
    """What one batch adds to a window: the data shares' sum, and which packets count.

    `data_sum` is uint64 of shape [bins] mod p; `counted` and `invalid` are UUIDs, uint8 of shape [n, 16], the latter in
    the order of the ingestion batch; `reasons` says why packets of either validation do not count. `decrypted_again`
    says why shares were verified again that intake had summed; None where its totals served.
    """

    source: IngestionBatch
    data_sum: NDArray[np.uint64] = dataclass_field(repr=False)
    counted: Uuids
    invalid: Uuids
    reasons: Counter[PacketReason]
    decrypted_again: TotalsFault | None


def valid_packets(own: ValidityPackets, peer: ValidityPackets) -> Uuids:
    """The UUIDs that stand in both validations and whose proof holds, in the order of `own`; uint8 of shape [n, 16]."""
    held = _proof_held(own, peer, positions(own.uuids, peer.uuids))
    return own.uuids if held.all() else own.uuids[held]


def contribute(
    source: IngestionBatch,
    own: ValidityPackets,
    peer: ValidityPackets,
    kept: KeptTotals | TotalsFault,
    repeated: Uuids = NO_UUIDS,
) -> Contribution:
    """Check the proofs of one batch and sum the data shares of the packets that count; `repeated` don't.

    With the totals that intake kept, only packets of `own` that don't count are verified again, and the packet file is
    left alone where there are none. Without, the counted packets are. The result is the same, to the order.
    """
    at = positions(own.uuids, peer.uuids)
    held = _proof_held(own, peer, at)
    counts = held & ~contained(own.uuids, repeated)
    counted = own.uuids if counts.all() else own.uuids[counts]
    if isinstance(kept, TotalsFault):
        data_sum, received = source.sum_and_uuids(counted)
    elif kept.rejected is not None and len(counted) == len(own):
        data_sum, received = kept.data_sum, kept.rejected
    else:
        others, received = source.sum_and_uuids(own.uuids[~counts])
        data_sum = field.subtract(kept.data_sum, others)
    left_out = received[~contained(received, counted)]
    both = at >= 0
    reasons = Counter(
        {
            PacketReason.MISSING_AT_PEER: len(own) - int(both.sum()),
            PacketReason.MISSING_HERE: len(peer) - int(both.sum()),
            PacketReason.PROOF_INVALID: int((both & ~held).sum()),
            PacketReason.REPEATED_IN_WINDOW: int((held & ~counts).sum()),
        }
    )
    return Contribution(
        source,
        data_sum,
        counted,
        invalid=left_out[first_occurrences(left_out)],
        reasons=+reasons,
        decrypted_again=kept if isinstance(kept, TotalsFault) else None,
    )


def make_sum_part(
    contributions: Sequence[Contribution], aggregation: str, window: Window, signing_key: SigningKey
) -> SealedBatch:
    """The signed sum part over the contributions, in their order. There is at least one; all have one's parameters."""
    parameters = contributions[0].source.header.parameters
    total = np.zeros(parameters.bins, dtype=np.uint64)
    for part in contributions:
        total = field.add(total, part.data_sum)
    batch_uuids = tuple(part.source.batch.uuid for part in contributions)
    invalid = np.concatenate([NO_UUIDS, *(part.invalid for part in contributions)])
    packets = encode_invalid_packets(invalid, b"".join(uuid.bytes for uuid in batch_uuids))
    header = SumPart(
        batch_uuids=batch_uuids,
        name=aggregation,
        bins=parameters.bins,
        epsilon=parameters.epsilon,
        prime=parameters.prime,
        number_of_servers=parameters.number_of_servers,
        hamming_weight=parameters.hamming_weight,
        sum=tuple(total.tolist()),
        aggregation_start_time=to_ms(window.start),
        aggregation_end_time=to_ms(window.end),
        packet_file_digest=digest(packets),
        total_individual_clients=sum(len(part.counted) for part in contributions),
    )
    return seal(header, packets, signing_key)


def decrypted_again(contributions: Iterable[Contribution]) -> dict[BatchName, TotalsFault]:
    """The batches whose shares were verified again, and why the totals of intake did not serve."""
    faults = {part.source.batch: part.decrypted_again for part in contributions}
    return {batch: fault for batch, fault in faults.items() if fault is not None}


def common_parameters(batches: Mapping[BatchName, Parameters]) -> Parameters:
    """The parameters that most batches have; ties go to those of the earliest batch. There is at least one batch."""
    counts = Counter(parameters for _, parameters in sorted(batches.items(), key=lambda item: item[0]))
    # max() keeps the first of equals, and the counts stand in the order of their earliest batch.
    return max(counts, key=lambda parameters: counts[parameters])


def check_headers_agree(own: ValidityHeader, peer: ValidityHeader, source: IngestionBatch) -> None:
    """Both validations and the ingestion batch have the same parameters; `BatchRejected` says which differs."""
    for who, header in (("our", own), ("the peer's", peer)):
        if header.parameters != source.header.parameters:
            raise BatchRejected(
                BatchReason.PARAMETERS_DIFFER,
                f"{who} validation of {source.batch.base} has {header.parameters}, its ingestion batch "
                f"{source.header.parameters}",
            )


def _proof_held(own: ValidityPackets, peer: ValidityPackets, at: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True where a packet of `own` stands in `peer` too, at `at`, and its proof holds; shape [n]."""
    if not len(peer):
        return np.zeros(len(own), dtype=bool)
    # Where a packet is missing there, `at` is -1 and some other packet is looked at, in vain.
    theirs = (peer.f_r[at], peer.g_r[at], peer.h_r[at])
    held: NDArray[np.bool_] = proofs_hold((own.f_r, own.g_r, own.h_r), theirs) & (at >= 0)
    return held
