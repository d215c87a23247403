"""The portal's arithmetic: the two processors' sum parts, checked against each other, added to the statistic."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from prio_assets.errors import RefusedError
from prio_assets.prio import field
from prio_assets.prio.domain import MAXIMUM_BINS
from prio_assets.wire.batches import NUMBER_OF_SERVERS
from prio_assets.wire.records import SumPart
from prio_assets.wire.windows import Window, to_ms

COMMON_FIELDS = ("name", "bins", "epsilon", "prime", "number_of_servers", "hamming_weight")
"""What both sum parts must say alike, beside the times, the clients and the batches."""


@dataclass(frozen=True)
class Statistic:
    """How many of `clients` had a 1 in each bin: `sum` holds `bins` counts in [0, p).

    `batch_ids` are in the order of the PHA's part. `warnings` say what a reader of the numbers should know.
    """

    aggregation: str
    window: Window
    bins: int
    epsilon: float
    hamming_weight: int | None
    clients: int
    sum: tuple[int, ...]
    batch_ids: tuple[UUID, ...]
    warnings: tuple[str, ...]


def add_sum_parts(
    aggregation: str, window: Window, pha: SumPart, facilitator: SumPart, *, legacy_peer: bool = False
) -> Statistic:
    """The statistic of one window of an aggregation, from verified sum parts.

    `RefusedError` with the reason where they don't belong together, or not to this window. Counts of clients may
    differ only with `legacy_peer`: a processor that counts packets with an invalid proof as clients. The lower count
    stands then, since it is the one without them.
    """
    _check_same(pha, facilitator)
    _check_window(aggregation, window, pha)
    _check_possible(pha)
    _check_same_batches(pha, facilitator)
    warnings = _client_warnings(pha, facilitator, legacy_peer)
    clients = min(pha.total_individual_clients, facilitator.total_individual_clients)
    counts = field.add(_elements(pha, "PHA"), _elements(facilitator, "facilitator"))
    return Statistic(
        aggregation=aggregation,
        window=window,
        bins=pha.bins,
        epsilon=pha.epsilon,
        hamming_weight=pha.hamming_weight,
        clients=clients,
        sum=tuple(counts.tolist()),
        batch_ids=pha.batch_uuids,
        warnings=(*warnings, *_count_warnings(counts, clients)),
    )


def _check_same(pha: SumPart, facilitator: SumPart) -> None:
    """Both parts have the same parameters and times."""
    for name in (*COMMON_FIELDS, "aggregation_start_time", "aggregation_end_time"):
        _require_equal(name, getattr(pha, name), getattr(facilitator, name))


def _require_equal(name: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise _refusal(f"{name} is {ours!r} in the PHA's and {theirs!r} in the facilitator's")


def _check_window(aggregation: str, window: Window, part: SumPart) -> None:
    """The parts are of the aggregation and window that their objects are named after."""
    expected: dict[str, object] = {
        "name": aggregation,
        "aggregation_start_time": to_ms(window.start),
        "aggregation_end_time": to_ms(window.end),
    }
    for name, value in expected.items():
        if getattr(part, name) != value:
            raise RefusedError(f"the sum parts state {name} {getattr(part, name)!r}, their object names say {value!r}")


def _check_possible(part: SumPart) -> None:
    """The parameters, by now the same in both parts, are ones that we can add under."""
    if not 1 <= part.bins <= MAXIMUM_BINS:
        raise RefusedError(f"the sum parts have {part.bins} bins, possible are 1 to {MAXIMUM_BINS}")
    if part.prime != field.PRIME:
        raise RefusedError(f"the sum parts are modulo {part.prime}, not {field.PRIME}")
    if part.number_of_servers != NUMBER_OF_SERVERS:
        raise RefusedError(f"the sum parts are of {part.number_of_servers} servers, not of two")


def _check_same_batches(pha: SumPart, facilitator: SumPart) -> None:
    """Both parts are over the same set of batches, each once; the order may differ."""
    for owner, part in (("PHA", pha), ("facilitator", facilitator)):
        if not part.batch_uuids:
            raise RefusedError(f"the {owner}'s sum part is over no batch: ask its writer for the part of this window")
        if len(set(part.batch_uuids)) != len(part.batch_uuids):
            raise RefusedError(f"the {owner}'s sum part counts a batch twice")
    _refuse_extra("PHA", set(pha.batch_uuids) - set(facilitator.batch_uuids))
    _refuse_extra("facilitator", set(facilitator.batch_uuids) - set(pha.batch_uuids))


def _refuse_extra(owner: str, extra: set[UUID]) -> None:
    if extra:
        first = min(extra)
        others = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise _refusal(f"batch {first}{others} is only in the {owner}'s")


def _client_warnings(pha: SumPart, facilitator: SumPart, legacy_peer: bool) -> list[str]:
    ours, theirs = pha.total_individual_clients, facilitator.total_individual_clients
    if min(ours, theirs) < 0:
        raise RefusedError("a sum part states a negative number of clients")
    if ours == theirs:
        return []
    difference = f"the PHA counted {ours} clients, the facilitator {theirs}"
    if not legacy_peer:
        raise _refusal(difference)
    return [f"{difference}: a legacy peer counts clients with invalid proofs too, the lower count stands"]


def _elements(part: SumPart, owner: str) -> NDArray[np.uint64]:
    """The part's sums as field elements; integers of 32 bits are reduced, as everywhere on the wire."""
    if len(part.sum) != part.bins:
        raise RefusedError(f"the {owner}'s sum part has {len(part.sum)} sums for {part.bins} bins")
    if not all(0 <= value < 1 << 32 for value in part.sum):
        raise RefusedError(f"the {owner}'s sum part holds a sum that is no unsigned 32-bit integer")
    return field.reduce(np.array(part.sum, dtype=np.uint64))


def _count_warnings(counts: NDArray[np.uint64], clients: int) -> Sequence[str]:
    """Nobody counts twice in a bin, so a greater count shows that the parts are over different packets."""
    excessive = int((counts > clients).sum())
    if not excessive:
        return []
    return [
        f"{excessive} of {len(counts)} bins exceed the number of clients: the sum parts are over different packets, "
        "or a client's forged proof was counted; do not use these numbers"
    ]


def _refusal(difference: str) -> RefusedError:
    return RefusedError(f"the sum parts do not belong together: {difference}")
