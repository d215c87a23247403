"""Packet UUIDs as 16-byte columns, joined by sorting.

A column is uint8 of shape [n, 16]. It is ordered as two big-endian 64-bit words, because numpy's byte strings drop
trailing zeros.
"""

import numpy as np
from numpy.typing import NDArray

from prio_assets.wire.uuids import UUID_BYTES

Uuids = NDArray[np.uint8]

NO_UUIDS: Uuids = np.zeros((0, UUID_BYTES), dtype=np.uint8)


def sort_uuids(uuids: Uuids) -> Uuids:
    """The distinct UUIDs in the order of their values."""
    ordered = uuids[_order(uuids)]
    return ordered[_starts_of_groups(ordered)]


def first_occurrences(uuids: Uuids) -> NDArray[np.bool_]:
    """True where a UUID stands for the first time in the column, shape [n]."""
    order = _order(uuids)
    mask = np.zeros(len(order), dtype=bool)
    mask[order] = _starts_of_groups(uuids[order])
    return mask


def duplicated(uuids: Uuids) -> NDArray[np.bool_]:
    """True where the UUID occurs more than once in the column, shape [n]."""
    order = _order(uuids)
    ordered = uuids[order]
    equal_next = (ordered[1:] == ordered[:-1]).all(axis=1)
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] |= equal_next
    repeated[:-1] |= equal_next
    mask = np.zeros(len(order), dtype=bool)
    mask[order] = repeated
    return mask


def positions(uuids: Uuids, within: Uuids) -> NDArray[np.intp]:
    """Where each UUID of `uuids` stands in `within` (whose UUIDs are distinct), -1 where it does not; shape [n]."""
    found = np.full(len(uuids), -1, dtype=np.intp)
    if not len(uuids) or not len(within):
        return found
    both = np.concatenate([within, uuids])
    order = _order(both)
    ordered = both[order]
    starts = _starts_of_groups(ordered)
    # The sort is stable, so a UUID of `within` comes first in its group of equal values.
    first_of_group = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    inside = first_of_group < len(within)
    asked = order >= len(within)
    found[order[asked & inside] - len(within)] = first_of_group[asked & inside]
    return found


def contained(uuids: Uuids, within: Uuids) -> NDArray[np.bool_]:
    """True where a UUID of `uuids` stands in `within`, shape [n]."""
    return positions(uuids, within) >= 0


def _starts_of_groups(ordered: Uuids) -> NDArray[np.bool_]:
    starts = np.ones(len(ordered), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return starts


def _order(uuids: Uuids) -> NDArray[np.intp]:
    words = np.ascontiguousarray(uuids).view(">u8").reshape(len(uuids), 2).astype(np.uint64)
    return np.lexsort((words[:, 1], words[:, 0]))
