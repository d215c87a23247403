"""Intake: an ingestion batch in, a validation batch out.

Whatever makes a packet unusable costs that packet and is counted by reason; what makes the batch unusable raises
`BatchRejected`; what may be our own fault raises an `OperationalError`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import BatchReason, BatchRejected, PacketReason, UndecryptableBatchError, quoted
from prio_assets.prio import field
from prio_assets.processor.ingestion import IngestionBatch, count_reasons, text_of_reasons, verdicts_about
from prio_assets.processor.totals import make_totals
from prio_assets.wire.batches import SealedBatch, Validation, seal
from prio_assets.wire.columns import NO_UUIDS, Uuids, contained, duplicated
from prio_assets.wire.keys import SigningKey
from prio_assets.wire.packets import ValidityPackets, digest, encode_validity_packets
from prio_assets.wire.records import Totals, ValidityHeader

_SHOWN_KEY_IDS: Final = 10
"""So many of the key identifiers that packets state which do not decrypt are told."""


@dataclass(frozen=True)
class Intake:
    """What intake computed of one batch: the sealed validation, the private totals, the packets left out by reason."""

    source: IngestionBatch
    validation: SealedBatch
    packets: ValidityPackets
    header: ValidityHeader
    totals: Totals
    received: int
    rejected: Counter[PacketReason]

    @property
    def as_read(self) -> Validation:
        """The validation as it is read once it is stored."""
        return Validation(self.header, self.packets, self.validation)


@dataclass(frozen=True)
class _Verified:
    """The columns of a whole packet file, and the sum of the data shares of the packets that it accepts."""

    uuids: Uuids
    f_r: NDArray[np.uint64]
    g_r: NDArray[np.uint64]
    h_r: NDArray[np.uint64]
    status: NDArray[np.uint8]
    data_sum: NDArray[np.uint64] = dataclass_field(repr=False)
    key_agreements: int
    failed_key_ids: frozenset[str]


def take_in(
    source: IngestionBatch,
    signing_key: SigningKey,
    *,
    repeated: Uuids = NO_UUIDS,
    undecryptable_limit: float = 0.1,
    accept_undecryptable: bool = False,
) -> Intake:
    """Verify the packets of one ingestion batch and seal its validation; nothing is written.

    `repeated` are packets that other batches of the window already hold; they are left out. Of the packets whose key
    agreement could be tried, more than the share `undecryptable_limit`, or all, failing to decrypt is an
    `UndecryptableBatchError`, unless `accept_undecryptable`.
    """
    with verdicts_about(source.header):
        verified = _verify(source)
        if not accept_undecryptable:
            _check_decryption(verified, undecryptable_limit, source)
        verified = _without_repetitions(verified, repeated, source)
        accepted = verified.status == PacketReason.ACCEPTED
        rejected = count_reasons(verified.status)
        if not accepted.any():
            raise BatchRejected(
                BatchReason.NO_ACCEPTED_PACKETS,
                f"no packet of {source.packets_name} is usable ({text_of_reasons(rejected)})",
            )
    columns = (verified.uuids, verified.f_r, verified.g_r, verified.h_r)
    packets = ValidityPackets(*(columns if accepted.all() else (column[accepted] for column in columns)))
    header, validation = _seal_validation(source, packets, signing_key)
    left_out = verified.uuids[~accepted & (verified.status != PacketReason.UUID_MALFORMED)]
    totals = make_totals(source, header.packet_file_digest, verified.data_sum, len(packets), left_out)
    return Intake(source, validation, packets, header, totals, len(accepted), rejected)


def _verify(source: IngestionBatch) -> _Verified:
    parts: list[tuple[NDArray[Any], ...]] = []
    data_sum = np.zeros(source.header.bins, dtype=np.uint64)
    key_agreements = 0
    failed_key_ids: set[str] = set()
    for chunk, verification in source.verified_chunks():
        parts.append((chunk.uuids, verification.f_r, verification.g_r, verification.h_r, verification.status))
        data_sum = field.add(data_sum, verification.data_sum)
        key_agreements += verification.key_agreements
        for position in np.flatnonzero(verification.status == PacketReason.UNDECRYPTABLE):
            stated = chunk.encryption_key_id(position)
            failed_key_ids.add(quoted(stated) if stated else "none stated")
        failed_key_ids = set(sorted(failed_key_ids)[:_SHOWN_KEY_IDS])  # clients could state millions
    if not parts:
        raise BatchRejected(BatchReason.NO_PACKETS, f"{source.packets_name} holds no packets")
    columns = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]
    uuids, f_r, g_r, h_r, status = columns
    return _Verified(uuids, f_r, g_r, h_r, status, data_sum, key_agreements, frozenset(failed_key_ids))


def _check_decryption(verified: _Verified, limit: float, source: IngestionBatch) -> None:
    failed = int((verified.status == PacketReason.UNDECRYPTABLE).sum())
    if failed and (failed == verified.key_agreements or failed > limit * verified.key_agreements):
        stated = ", ".join(sorted(verified.failed_key_ids))
        raise UndecryptableBatchError(
            f"{failed} of {verified.key_agreements} packets of {source.packets_name} decrypt with no configured packet "
            f"key (encryption key ids: {stated}); add the missing key, or accept that these packets are lost"
        )


def _without_repetitions(verified: _Verified, repeated: Uuids, source: IngestionBatch) -> _Verified:
    """Leave out UUIDs that stand twice in the file, or in another batch of the window.

    A duplicate counts even where one of its copies is unusable here, because the peer may be able to use both.
    """
    legible = np.flatnonzero(verified.status != PacketReason.UUID_MALFORMED)
    twice = legible[duplicated(verified.uuids[legible])]
    again = np.flatnonzero(contained(verified.uuids, repeated))
    if not len(twice) and not len(again):
        return verified
    status = verified.status.copy()
    for positions, reason in ((again, PacketReason.REPEATED_IN_WINDOW), (twice, PacketReason.UUID_DUPLICATED)):
        status[positions[verified.status[positions] == PacketReason.ACCEPTED]] = reason
    dropped = np.flatnonzero(status != verified.status)
    if not len(dropped):
        return verified
    data_sum = field.subtract(verified.data_sum, source.sum_of_positions(dropped))
    return replace(verified, status=status, data_sum=data_sum)


def _seal_validation(
    source: IngestionBatch, packets: ValidityPackets, signing_key: SigningKey
) -> tuple[ValidityHeader, SealedBatch]:
    header = source.header
    # The sync marker stands before the packets, so it derives from what determines them.
    seed = header.packet_file_digest + header.batch_uuid.bytes + bytes([source.opener.server_index])
    data = encode_validity_packets(packets, seed)
    validity = ValidityHeader(
        batch_uuid=header.batch_uuid,
        name=header.name,
        bins=header.bins,
        epsilon=header.epsilon,
        prime=header.prime,
        number_of_servers=header.number_of_servers,
        hamming_weight=header.hamming_weight,
        packet_file_digest=digest(data),
    )
    return validity, seal(validity, data, signing_key)
