"""Aggregation: a set of batches in, a signed sum part out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
class Joined:
    """What both validations of a batch say together: UUIDs of our own, uint8 of shape [n, 16], in its order.

    `valid` stand in the peer's, too, and their proofs hold; `others` are the rest. `reasons` says why packets of either
    validation do not count.
    """

    valid: Uuids
    others: Uuids
    reasons: Counter[PacketReason]


@dataclass(frozen=True)
class Contribution:
    """Which packets of one batch count in a window.

    `counted` and `invalid` are UUIDs, uint8 of shape [n, 16], the latter in the order of the ingestion batch; `reasons`
    says why packets of either validation do not count. `decrypted_again` says why shares were verified again that
    intake had summed; None where its totals served.
    """

    source: IngestionBatch
    counted: Uuids
    invalid: Uuids
    reasons: Counter[PacketReason]
    decrypted_again: TotalsFault | None


def join(own: ValidityPackets, peer: ValidityPackets) -> Joined:
    """Look each packet of our own validation up in the peer's, and check the proofs."""
    at = positions(own.uuids, peer.uuids)
    held = _proof_held(own, peer, at)
    both = at >= 0
    reasons = Counter(
        {
            PacketReason.MISSING_AT_PEER: len(own) - int(both.sum()),
            PacketReason.MISSING_HERE: len(peer) - int(both.sum()),
            PacketReason.PROOF_INVALID: int((both & ~held).sum()),
        }
    )
    return Joined(own.uuids if held.all() else own.uuids[held], own.uuids[~held], +reasons)


def contribute(
    source: IngestionBatch, joined: Joined, kept: KeptTotals | TotalsFault, repeated: Uuids = NO_UUIDS
) -> tuple[Contribution, NDArray[np.uint64]]:
    """Which packets of one batch count, `repeated` don't, and the sum mod p of their data shares, uint64 [bins].

    With the totals that intake kept, only packets of our validation that don't count are verified again, and the packet
    file is left alone where there are none. Without, the counted packets are. The result is the same, to the order. The
    sum is not part of the contribution, which is kept until the window's end.
    """
    again = contained(joined.valid, repeated)
    counted = joined.valid[~again] if again.any() else joined.valid
    others = np.concatenate([joined.others, joined.valid[again]])
    if isinstance(kept, TotalsFault):
        data_sum, received = source.sum_and_uuids(counted)
    elif kept.rejected is not None and not len(others):
        data_sum, received = kept.data_sum, kept.rejected
    else:
        their_sum, received = source.sum_and_uuids(others)
        data_sum = field.subtract(kept.data_sum, their_sum)
    left_out = received[~contained(received, counted)]
    contribution = Contribution(
        source,
        counted,
        invalid=left_out[first_occurrences(left_out)],
        reasons=joined.reasons + Counter({PacketReason.REPEATED_IN_WINDOW: int(again.sum())}),
        decrypted_again=kept if isinstance(kept, TotalsFault) else None,
    )
    return contribution, data_sum


def make_sum_part(
    contributions: Sequence[Contribution],
    data_sum: NDArray[np.uint64],
    aggregation: str,
    window: Window,
    signing_key: SigningKey,
) -> SealedBatch:
    """The signed sum part over the contributions, in their order; `data_sum` is the sum of theirs.

    There is at least one; all have one's parameters.
    """
    parameters = contributions[0].source.header.parameters
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
        sum=tuple(data_sum.tolist()),
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
