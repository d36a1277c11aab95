"""Equal keys of many episodes, and the shifts in time that they vote for.

    index = make_index(keys)                                  # all episodes' keys, end to end
    number, found = hits(index, keys[::4], first, last)
    votes = shifts(pairs, a_index, b_index, rate=1.0)         # (pair, shift, votes): where two episodes may agree

Two episodes that share a stretch have many equal keys at one and the same shift; by chance they have few at any.
"""

from typing import NamedTuple

import numpy as np

MOST_LINKS = 64            # equal keys, after or before a key, that it is joined with
LEAST_VOTES = 3
MOST_SHIFTS = 24           # of one pair of episodes, the ones with the most votes
FILTER_BITS = 22           # of the table that tells quickly which keys an index lacks
SHIFT_BITS = 22
MIX = 0x9E3779B1           # odd; spreads keys over the table (Knuth's multiplicative hashing)


class Votes(NamedTuple):
    """pair, shift, votes: int64 (n,)."""

    pair: np.ndarray
    shift: np.ndarray
    votes: np.ndarray


def make_index(keys: np.ndarray) -> np.ndarray:
    """Keys, uint32 (n,), with their positions, sorted: uint64 (m,), `key << 32 | position`; the key 0 is left out."""
    index = keys.astype(np.uint64)
    index <<= np.uint64(32)      # in place, as what follows: of a thousand episodes, each copy takes 0.2 GB
    np.bitwise_or(index, np.arange(len(keys), dtype=np.uint32), out=index)
    index.sort()
    return index[np.searchsorted(index, np.uint64(1 << 32)):]


def may_hold(index: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """bool (n,): False for keys, uint32 (n,), that a small index is sure to lack."""
    table = np.zeros(1 << FILTER_BITS, bool)
    table[_mixed((index >> np.uint64(32)).astype(np.uint32))] = True
    table[_mixed(np.zeros(1, np.uint32))] = False
    return table[_mixed(keys)]


def _mixed(keys: np.ndarray) -> np.ndarray:
    return (keys * np.uint32(MIX)) >> np.uint32(32 - FILTER_BITS)


def hits(
    index: np.ndarray, keys: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(number of the key, position in the index) of equal keys, int64 (m,) each.

    For key i, uint32 (n,), the positions asked for are those from first[i] on and before last[i], int64 (n,): at most
    MOST_LINKS, the lowest ones.
    """
    order = np.argsort(keys)      # a walk through the index in its own order stays in the cache
    high = keys[order].astype(np.uint64) << np.uint64(32)
    begin = np.searchsorted(index, high | first[order].astype(np.uint64))
    end = np.searchsorted(index, high | last[order].astype(np.uint64))
    count = np.clip(end - begin, 0, MOST_LINKS)
    count[high == 0] = 0
    number = np.repeat(order, count)
    within = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
    found = index[np.repeat(begin, count) + within] & np.uint64(0xFFFFFFFF)
    return number, found.astype(np.int64)


def shifts(pair: np.ndarray, a_index: np.ndarray, b_index: np.ndarray, rate: float = 1.0) -> Votes:
    """Shifts, `a_index - rate * b_index`, that at least LEAST_VOTES equal keys of a pair have, to the next whole one.

    All int64 (n,). Of neighbouring shifts, the one with the most votes; of one pair at most MOST_SHIFTS.
    """
    shift = a_index - (b_index if rate == 1 else np.round(b_index * rate).astype(np.int64))
    codes, counts = np.unique((pair << SHIFT_BITS) + shift + (1 << SHIFT_BITS - 1), return_counts=True)
    padded = np.pad(counts, 1)
    joined = counts + np.where(np.diff(codes, append=-1) == 1, padded[2:], 0)      # a shift between two whole ones
    near = np.diff(codes, prepend=-2) == 1
    before = np.where(near, np.pad(joined, (1, 0))[:-1], 0)
    after = np.where(np.append(near[1:], False), np.pad(joined, (0, 1))[1:], 0)
    best = (joined >= LEAST_VOTES) & (joined > before) & (joined >= after)
    codes, joined = codes[best], joined[best]
    pair = codes >> SHIFT_BITS
    order = np.lexsort((-joined, pair))
    codes, joined, pair = codes[order], joined[order], pair[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(pair)) - np.repeat(starts, np.diff(starts, append=len(pair)))
    kept = rank < MOST_SHIFTS
    shift = (codes & ((1 << SHIFT_BITS) - 1)) - (1 << SHIFT_BITS - 1)
    return Votes(pair[kept], shift[kept], joined[kept])
