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
from prio_assets.wire.batches import SealedBatch, Validation, seal
from prio_assets.wire.columns import NO_UUIDS, Uuids, contained, first_occurrences, positions, sort_uuids
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.names import BatchName
from prio_assets.wire.packets import ValidityPackets, digest, encode_invalid_packets
from prio_assets.wire.records import Parameters, SumPart, Totals, ValidityHeader
from prio_assets.wire.windows import Window, to_ms


@dataclass(frozen=True)
class Contribution:
    """What one batch adds to a window: the data shares' sum, and which packets count.

    `data_sum` is uint64 of shape [bins] mod p; `counted` and `invalid` are UUIDs, uint8 of shape [n, 16], the latter in
    the order of the ingestion batch; `reasons` says why packets of either validation do not count.
    """

    source: IngestionBatch
    data_sum: NDArray[np.uint64] = dataclass_field(repr=False)
    counted: Uuids
    invalid: Uuids
    reasons: Counter[PacketReason]


def valid_packets(own: ValidityPackets, peer: ValidityPackets) -> Uuids:
    """The UUIDs that stand in both validations and whose proof holds, in the order of `own`; uint8 of shape [n, 16]."""
    return own.uuids[_proof_held(own, peer)]


def contribute(
    source: IngestionBatch,
    own: ValidityPackets,
    peer: ValidityPackets,
    total: NDArray[np.uint64] | None,
    repeated: Uuids = NO_UUIDS,
) -> Contribution:
    """Check the proofs of one batch and sum the data shares of the packets that count.

    `total` is the sum over all packets of `own` (uint64 [bins]), as intake computed it of this very packet file; then
    only the packets that don't count are verified again. Without it the counted packets are. `repeated` don't count.
    """
    held = _proof_held(own, peer)
    counts = held & ~contained(own.uuids, repeated)
    counted = own.uuids[counts]
    if total is None:
        data_sum, received = source.sum_and_uuids(counted)
    else:
        others, received = source.sum_and_uuids(own.uuids[~counts])
        data_sum = field.subtract(total, others)
    left_out = received[~contained(received, counted)]
    reasons = Counter(
        {
            PacketReason.MISSING_AT_PEER: int((positions(own.uuids, peer.uuids) < 0).sum()),
            PacketReason.MISSING_HERE: int((positions(peer.uuids, own.uuids) < 0).sum()),
            PacketReason.PROOF_INVALID: int((~held & (positions(own.uuids, peer.uuids) >= 0)).sum()),
            PacketReason.REPEATED_IN_WINDOW: int((held & ~counts).sum()),
        }
    )
    return Contribution(source, data_sum, counted, left_out[first_occurrences(left_out)], +reasons)


def bound_total(totals: Totals | None, source: IngestionBatch, own: Validation) -> NDArray[np.uint64] | None:
    """The total that intake kept, if it is of this packet file and of the packets of this validation; else None."""
    if totals is None:
        return None
    bound_to = (totals.packet_file_digest, totals.validity_digest, totals.packets, totals.parameters)
    here = (source.header.packet_file_digest, digest(own.sealed.packets), len(own.packets.uuids), own.header.parameters)
    return np.array(totals.sum, dtype=np.uint64) if bound_to == here else None


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


def counted_packets(contributions: Iterable[Contribution]) -> Uuids:
    """The sorted UUIDs of the packets that a sum counts, uint8 of shape [n, 16]."""
    return sort_uuids(np.concatenate([NO_UUIDS, *(part.counted for part in contributions)]))


def _proof_held(own: ValidityPackets, peer: ValidityPackets) -> NDArray[np.bool_]:
    """True where a packet of `own` stands in `peer` too and its proof holds, shape [n]."""
    at = positions(own.uuids, peer.uuids)
    both = at >= 0
    held = np.zeros(len(at), dtype=bool)
    held[both] = proofs_hold(
        (own.f_r[both], own.g_r[both], own.h_r[both]),
        (peer.f_r[at[both]], peer.g_r[at[both]], peer.h_r[at[both]]),
    )
    return held
