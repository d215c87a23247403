"""Aggregation of a list of batches at a command, as the reference does it: without ledger and without batch lists.

The peer sums what is complete in its buckets, so nothing that both validations prove may be dropped here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of_dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import (
    BatchReason,
    BatchRejected,
    ObjectMissingError,
    PacketReason,
    RefusedError,
    UndecryptableBatchError,
)
from prio_assets.prio import field
from prio_assets.processor.aggregation import (
    Contribution,
    check_headers_agree,
    common_parameters,
    contribute,
    decrypted_again,
    join,
    make_sum_part,
)
from prio_assets.processor.ingestion import IngestionBatch, Opener, open_ingestion_batch
from prio_assets.processor.intake import take_in
from prio_assets.processor.own_store import OwnStore, is_rejected
from prio_assets.processor.readiness import read_validation_in
from prio_assets.processor.totals import KeptTotals, TotalsFault, usable_totals
from prio_assets.storage.base import Store
from prio_assets.wire import names
from prio_assets.wire.batches import SealedBatch, Validation, open_header
from prio_assets.wire.columns import count_distinct
from prio_assets.wire.keys import SigningKey, VerificationKeys
from prio_assets.wire.names import BatchName
from prio_assets.wire.records import Parameters, Totals, ValidityHeader
from prio_assets.wire.windows import Window, format_minute


@dataclass(frozen=True)
class AggregationPlace:
    """Where shares and validations are, with which keys; `own` is None where intake kept nothing."""

    ingestion: Store
    peer_validations: Store
    own: OwnStore | None
    opener: Opener
    signing_key: SigningKey
    peer_keys: VerificationKeys

    @property
    def own_keys(self) -> VerificationKeys:
        """The key that verifies what intake kept."""
        return {self.signing_key.identifier: self.signing_key.public}


@dataclass(frozen=True)
class LeftOut:
    """A batch that is not in the sum, and why."""

    batch: BatchName
    why: str


@dataclass(frozen=True)
class Gathered:
    """What can be summed, in the order asked for, and what was noticed on the way.

    `data_sum` is the sum mod p of the contributions' data shares, uint64 of shape [bins]. `repeated` counts packets
    that stand in more than one batch.
    """

    contributions: Sequence[Contribution]
    data_sum: NDArray[np.uint64] = field_of_dataclass(repr=False)
    left_out: Sequence[LeftOut]
    repeated: int

    @property
    def reasons(self) -> Counter[PacketReason]:
        """The packets that do not count, by reason."""
        return sum((part.reasons for part in self.contributions), Counter())

    @property
    def decrypted_again(self) -> Mapping[BatchName, TotalsFault]:
        """The batches whose shares were verified again, and why the totals of intake did not serve."""
        return decrypted_again(self.contributions)

    @property
    def clients(self) -> int:
        """How many different packets count."""
        return sum(len(part.counted) for part in self.contributions) - self.repeated


def gather(place: AggregationPlace, batches: Iterable[BatchName], window: Window) -> Gathered:
    """What each batch adds to the sum of the window.

    A batch that cannot be used is left out with its reason, as is one whose parameters are not those of most. Raises
    `OperationalError` where leaving a batch out would be wrong: a storage that fails, packets that could be decrypted
    at intake and cannot be now.
    """
    parts: list[Contribution] = []
    sums: dict[Parameters, NDArray[np.uint64]] = {}
    left_out: list[LeftOut] = []
    seen: set[UUID] = set()
    for batch in batches:
        try:
            _check_listing(batch, window, seen)
            part, data_sum = _contribution(place, batch)
            parts.append(part)
            parameters = part.source.header.parameters
            sums[parameters] = field.add(sums[parameters], data_sum) if parameters in sums else data_sum
        except (BatchRejected, UndecryptableBatchError) as error:
            left_out.append(LeftOut(batch, str(error)))
        except ObjectMissingError as error:
            left_out.append(LeftOut(batch, f"{BatchReason.OBJECT_MISSING}: {error}"))
    parts, others = _with_common_parameters(parts)
    counted = [part.counted for part in parts]
    total = sums[parts[0].source.header.parameters] if parts else np.zeros(0, dtype=np.uint64)
    return Gathered(parts, total, [*left_out, *others], repeated=sum(map(len, counted)) - count_distinct(counted))


def seal_sum(
    gathered: Gathered, aggregation: str, window: Window, minimum_clients: int, signing_key: SigningKey
) -> SealedBatch:
    """The sum part; `RefusedError` where nothing or too little is left to sum.

    A packet in two batches counts twice in the sum, as it does at the peer, and is one client toward the minimum.
    """
    if not gathered.contributions:
        raise RefusedError(
            f"no batch of {aggregation} is left to sum ({len(gathered.left_out)} left out): nothing was written"
        )
    if gathered.clients < minimum_clients:
        raise RefusedError(
            f"{gathered.clients} clients of {aggregation} count, the minimum is {minimum_clients}: nothing was written"
        )
    return make_sum_part(gathered.contributions, gathered.data_sum, aggregation, window, signing_key)


def _check_listing(batch: BatchName, window: Window, seen: set[UUID]) -> None:
    """The batch may be in the sum of this window, once."""
    if batch.uuid in seen:
        raise BatchRejected(BatchReason.BATCH_REPEATED, f"{batch.uuid} was given before")
    seen.add(batch.uuid)
    if batch.time not in window:
        start, end = format_minute(window.start), format_minute(window.end)
        raise BatchRejected(BatchReason.OUTSIDE_WINDOW, f"its time is not in {start} to {end}")


def _contribution(place: AggregationPlace, batch: BatchName) -> tuple[Contribution, NDArray[np.uint64]]:
    peer = read_validation_in(place.peer_validations, batch, 1 - place.opener.server_index, place.peer_keys)
    source = open_ingestion_batch(place.ingestion, batch, place.opener, expected=None)
    if place.own is None:
        own, kept = _computed_validation(place, source)
    else:
        own, kept = _kept_validation(place, place.own, source)
    check_headers_agree(own.header, peer.header, source)
    return contribute(source, join(own.packets, peer.packets), kept)


def _computed_validation(
    place: AggregationPlace, source: IngestionBatch
) -> tuple[Validation, KeptTotals | TotalsFault]:
    """The validation that intake computes of this batch with these keys, and its totals."""
    intake = take_in(source, place.signing_key)
    header = open_header(ValidityHeader, intake.validation.header, f"our validation of {source.batch.base}")
    own = Validation(header, intake.packets, intake.validation)
    return own, _usable(intake.totals, source, own)


def _kept_validation(
    place: AggregationPlace, own: OwnStore, source: IngestionBatch
) -> tuple[Validation, KeptTotals | TotalsFault]:
    """The validation that intake kept, and its totals where they are of this packet file and signed by our key."""
    batch = source.batch
    if is_rejected(last := own.last_rejection(batch)):
        raise BatchRejected(BatchReason.LEFT_OUT, f"by {last.by}: {last.reason}: {last.details}")
    validation = own.validation(batch)
    if validation is None:
        raise BatchRejected(BatchReason.OBJECT_MISSING, f"{names.own_validation(batch)} is missing: take the batch in")
    totals = own.totals(batch, place.own_keys)
    recorded = own.digest_recorded_beside(totals, batch, validation.header.packet_file_digest)
    if recorded not in (None, source.header.packet_file_digest):
        raise BatchRejected(
            BatchReason.DIGEST_DIFFERS, f"{source.packets_name} is not the file that intake read; it was replaced"
        )
    return validation, _usable(totals, source, validation)


def _usable(totals: Totals | TotalsFault, source: IngestionBatch, own: Validation) -> KeptTotals | TotalsFault:
    return usable_totals(totals, source, own.header.packet_file_digest, len(own.packets))


def _with_common_parameters(parts: Sequence[Contribution]) -> tuple[list[Contribution], list[LeftOut]]:
    """The parts that have the parameters which most have, and the others as left out."""
    by_batch = {part.source.batch: part.source.header.parameters for part in parts}
    common = common_parameters(by_batch) if by_batch else None
    others = [
        LeftOut(batch, f"{BatchReason.PARAMETERS_DIFFER}: it has {parameters}, most batches have {common}")
        for batch, parameters in by_batch.items()
        if parameters != common
    ]
    return [part for part in parts if part.source.header.parameters == common], others
