"""Packet UUIDs as 16-byte columns, joined by sorting.

A column is uint8 of shape [n, 16]. It is ordered as two big-endian 64-bit words, because numpy's byte strings drop
trailing zeros. The high words are sorted alone, which is many times faster than sorting both. Clients choose their
UUIDs, so high words may be made to tie: then both words decide, which costs a few times more and never is quadratic.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prio_assets.wire.uuids import UUID_BYTES

Uuids = NDArray[np.uint8]

NO_UUIDS: Uuids = np.zeros((0, UUID_BYTES), dtype=np.uint8)

_RANGE_UUIDS = 2**18
"""About so many UUIDs of a group are held sorted at once."""
_MOST_RANGES = 256
"""So that a byte tells a UUID's range."""
_SAMPLES_OF_A_RANGE = 2**8
"""Ranges then differ in size by some per cent."""


def sort_uuids(uuids: Uuids) -> Uuids:
    """The distinct UUIDs in the order of their values."""
    ordered = uuids.take(_order(uuids), axis=0)
    starts = _starts_of_groups(ordered)
    return ordered if starts.all() else ordered[starts]


def first_occurrences(uuids: Uuids) -> NDArray[np.bool_]:
    """True where a UUID stands for the first time in the column, shape [n]."""
    order = _order(uuids)
    mask = np.zeros(len(order), dtype=bool)
    mask[order] = _starts_of_groups(uuids.take(order, axis=0))
    return mask


def duplicated(uuids: Uuids) -> NDArray[np.bool_]:
    """True where the UUID occurs more than once in the column, shape [n]."""
    mask = np.zeros(len(uuids), dtype=bool)
    among = _possibly_duplicated(uuids)
    if len(among):
        among = among[_order(uuids.take(among, axis=0))]
        starts = _starts_of_groups(uuids.take(among, axis=0))
        alone = starts.copy()
        alone[:-1] &= starts[1:]
        mask[among] = ~alone
    return mask


def positions(uuids: Uuids, within: Uuids) -> NDArray[np.intp]:
    """Where each UUID of `uuids` stands in `within` (whose UUIDs are distinct), -1 where it does not; shape [n]."""
    if not len(uuids) or not len(within):
        return np.full(len(uuids), -1, dtype=np.intp)
    if np.array_equal(uuids, within):  # as honest ingestors write the two files of a batch
        return np.arange(len(uuids), dtype=np.intp)
    (high, low), (high_within, low_within) = _words(uuids), _words(within)
    # Joined by both words in one, as either alone may be much alike in all UUIDs: a time, or a machine's address.
    folded, folded_within = high ^ low, high_within ^ low_within
    order, tied = _order_of_words(folded_within)
    if tied.any():
        return _positions_by_both_words(uuids, within)
    ascending, _ = _order_of_words(folded)  # looked up in this order, neighbours are found near each other in memory
    places = np.searchsorted(folded_within[order], folded[ascending])
    candidates = order[np.minimum(places, len(order) - 1)]
    equal = (high_within[candidates] == high[ascending]) & (low_within[candidates] == low[ascending])
    found = np.empty(len(uuids), dtype=np.intp)
    found[ascending] = np.where(equal, candidates, -1)
    return found


def contained(uuids: Uuids, within: Uuids) -> NDArray[np.bool_]:
    """True where a UUID of `uuids` stands in `within`, shape [n]."""
    return positions(uuids, within) >= 0


class Members:
    """A column that is asked many times which UUIDs stand in it; it is sorted once."""

    def __init__(self, uuids: Uuids) -> None:
        self._ordered = np.sort(_byte_strings(uuids))

    def contain(self, uuids: Uuids) -> NDArray[np.bool_]:
        """True where a UUID of `uuids` stands in the column, shape [n]."""
        if not self._ordered.size:
            return np.zeros(len(uuids), dtype=bool)
        asked = _byte_strings(uuids)
        places = np.minimum(np.searchsorted(self._ordered, asked), self._ordered.size - 1)
        return np.asarray(self._ordered[places] == asked)


def in_ranges(*groups: Sequence[Uuids]) -> Iterator[tuple[Uuids, ...]]:
    """The UUIDs of several groups of columns, range of values by range of values, in the order of the ranges.

    Each item has the UUIDs of each group that lie in one range, in the order of the group. So whole groups are
    compared, or sorted, while little more is held than the groups. The ranges hold about equally many UUIDs, however
    these are made (the first bytes may be a time); only those that share a high word are never parted.
    """
    longest = max(sum(map(len, columns)) for columns in groups)
    parts = min(-(-longest // _RANGE_UUIDS), _MOST_RANGES)
    if parts <= 1:
        yield tuple(np.concatenate([NO_UUIDS, *columns]) for columns in groups)
        return
    bounds = _bounds([uuids for columns in groups for uuids in columns], parts)
    numbers = [[_range_numbers(uuids, bounds) for uuids in columns] for columns in groups]
    for part in range(parts):
        yield tuple(
            np.concatenate([NO_UUIDS, *(uuids[its == part] for uuids, its in zip(columns, its_parts, strict=True))])
            for columns, its_parts in zip(groups, numbers, strict=True)
        )


def count_distinct(columns: Sequence[Uuids]) -> int:
    """How many different UUIDs stand in the columns."""
    return sum(len(sort_uuids(uuids)) for (uuids,) in in_ranges(columns))


def _bounds(columns: Sequence[Uuids], parts: int) -> NDArray[np.uint64]:
    """The lowest high words of all ranges but the first, ascending: quantiles of a sample, every so many-th UUID."""
    step = max(sum(map(len, columns)) // (parts * _SAMPLES_OF_A_RANGE), 1)
    samples = []
    passed = 0
    for uuids in columns:
        samples.append(_high_words(uuids[-passed % step :: step]))
        passed += len(uuids)
    sample = np.sort(np.concatenate(samples))
    return sample[np.arange(1, parts) * len(sample) // parts]


def _range_numbers(uuids: Uuids, bounds: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The number of the range in which each UUID lies, shape [n]."""
    return np.searchsorted(bounds, _high_words(uuids), side="right").astype(np.uint8)


def _positions_by_both_words(uuids: Uuids, within: Uuids) -> NDArray[np.intp]:
    """`positions`, whatever the words are."""
    both = np.concatenate([within, uuids])
    order = _order(both)
    starts = _starts_of_groups(both.take(order, axis=0))
    # The order is stable, so a UUID of `within` comes first in its group of equal values.
    first_of_group = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    found = np.full(len(uuids), -1, dtype=np.intp)
    hits = (order >= len(within)) & (first_of_group < len(within))
    found[order[hits] - len(within)] = first_of_group[hits]
    return found


def _order(uuids: Uuids) -> NDArray[np.intp]:
    """The stable order of the UUIDs' values."""
    high, low = _words(uuids)
    order, tied = _order_of_words(high)
    if tied.any():
        among = order[tied]
        order[tied] = among[np.lexsort((among, low[among], high[among]))]
    return order


def _order_of_words(words: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The order of the words but for their last bits, and which of the ordered tie with a neighbour; both [n].

    Numbers that carry their place in those bits are sorted a third faster than places by numbers. Words that lie near
    each other leave room above: then fewer of their last bits are dropped, or none.
    """
    bits = np.uint64(len(words).bit_length())
    largest = words.max(initial=np.uint64(0))
    smallest = words.min(initial=largest)
    dropped = np.uint64(max(int(largest - smallest).bit_length() + int(bits) - 64, 0))
    keys = (words - smallest) >> dropped << bits | np.arange(len(words), dtype=np.uint64)
    keys.sort()
    rough = keys >> bits
    tied = np.zeros(len(words), dtype=bool)
    np.equal(rough[1:], rough[:-1], out=tied[1:])
    tied[:-1] |= tied[1:]
    return (keys ^ rough << bits).view(np.intp), tied


def _possibly_duplicated(uuids: Uuids) -> NDArray[np.intp]:
    """Where UUIDs stand that may have an equal: few, unless clients see to it. Half as many bits are sorted faster."""
    high, low = _words(uuids)
    folded = ((high ^ low) >> np.uint64(32)).astype(np.uint32) ^ (high ^ low).astype(np.uint32)
    ordered = np.sort(folded)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.flatnonzero(np.isin(folded, again)) if len(again) else again.astype(np.intp)


def _byte_strings(uuids: Uuids) -> NDArray[np.bytes_]:
    """To be compared only: numpy passes over trailing zeros, which keeps strings of one length apart."""
    return np.ascontiguousarray(uuids).view(f"S{UUID_BYTES}").reshape(len(uuids))


def _words(uuids: Uuids) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The high and the low words, each of shape [n]."""
    return _high_words(uuids), np.ascontiguousarray(uuids).view(">u8")[:, 1].astype(np.uint64)


def _high_words(uuids: Uuids) -> NDArray[np.uint64]:
    return np.ascontiguousarray(uuids).view(">u8")[:, 0].astype(np.uint64)


def _starts_of_groups(ordered: Uuids) -> NDArray[np.bool_]:
    """True where a UUID of an ordered column differs from the one before, shape [n]."""
    starts = np.ones(len(ordered), dtype=bool)
    high, low = np.ascontiguousarray(ordered).view(np.uint64).T
    starts[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return starts
