"""What repeats in a season, in sound and in pictures: runs that two episodes share.

    found = runs(prints)                                         # list of Run, of all pairs of episodes
    new = runs_with(make_prints("13.mkv"), stored)               # those of a new episode alone
    for theme in themes(found, prints):                          # what several episodes share
        theme.members[3], features(theme, prints)

A run is found by shift voting (voting.py) and measured along its diagonal (diagonals.py); themes.py joins runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from episodes.diagonals import Run, Stretch, picture_stretches, sound_stretches, without_shadows
from episodes.fingerprint import POINT_RATE, RETIMED, Prints
from episodes.themes import Occurrence, Theme, features, themes
from episodes.voting import Votes, hits, make_index, may_hold, shifts

__all__ = ["Occurrence", "Run", "Theme", "features", "runs", "runs_with", "themes", "without_copies"]

LEAST_SECONDS = 10.0
QUERY_STEP = 4             # every so many points of an episode look for equals; all can be found
NEW_STEP = 2               # the same, of the stored episodes, for one new episode
BLOCK = 24                 # episodes that look at once; bounds the memory
SHIFT_SECONDS = 0.25       # two pictures at shifts this near vote together
RUN_SLACK = 0.4            # s that equals in a run may lie off it
COPY = 0.8                 # of an episode; two that share more are one and the same
NEAR_BITS = 10             # pictures that differ in no more of 64 bits are the same


def runs(prints: Sequence[Prints], least: float = LEAST_SECONDS) -> list[Run]:
    """All runs of at least `least` seconds of all pairs, by pair and time.

    A stretch that more than voting.MOST_LINKS episodes share is found between each and its nearest ones.
    """
    found = []
    sound = _Pool([one.sound for one in prints])
    index = make_index(sound.keys)
    for first in range(0, len(prints), BLOCK):
        block = range(first, min(first + BLOCK, len(prints)))
        found += _sound_runs(prints, _look(prints, block, sound, index), least)
    found += _picture_runs(prints, None, least)
    return _sorted(found)


def runs_with(new: Prints, others: Sequence[Prints], least: float = LEAST_SECONDS) -> list[Run]:
    """The runs of a new episode with stored ones: those with b == len(others) of `runs([*others, new])`."""
    prints, last = [*others, new], len(others)
    found = _sound_runs(prints, _look_for_new(prints), least)
    found += _picture_runs(prints, last, least)
    return _sorted(found)


def _sorted(found: list[Run]) -> list[Run]:
    return sorted(found, key=lambda run: (run.a, run.b, run.start_a, run.start_b))


def without_copies(found: Sequence[Run], prints: Sequence[Prints]) -> list[Run]:
    """Without the runs of two files that are one and the same episode: what they share says nothing of its themes."""
    covered: dict[tuple[int, int], float] = {}
    last: dict[tuple[int, int], float] = {}
    for run in sorted(found, key=lambda run: run.start_a):
        pair = (run.a, run.b)
        covered[pair] = covered.get(pair, 0.0) + max(0.0, run.end_a - max(run.start_a, last.get(pair, 0.0)))
        last[pair] = max(run.end_a, last.get(pair, 0.0))
    copies = {(a, b) for (a, b), seconds in covered.items() if seconds > COPY * prints[a].duration}
    return [run for run in found if (run.a, run.b) not in copies]


class _Pool:
    """Keys of all episodes, end to end; `offsets` int64 (episodes + 1,): where each begins."""

    def __init__(self, keys: Sequence[np.ndarray]):
        self.keys = np.concatenate([*keys, np.zeros(0, np.uint32)])
        self.offsets = np.cumsum([0, *map(len, keys)])

    def episode_of(self, positions: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.offsets, positions, side="right") - 1


@dataclass(frozen=True)
class _Equal:
    """Equal points: pairs a < b, points of each, int64 (n,); kind: which of `slowed` is meant: "", "a" or "b"."""

    kind: str
    a: np.ndarray
    b: np.ndarray
    a_index: np.ndarray
    b_index: np.ndarray


def _look(prints: Sequence[Prints], block: range, sound: _Pool, index: np.ndarray) -> Iterator[_Equal]:
    """Points of the block's episodes that equal points of others: as they are, later ones alone; slowed, all."""
    begin, end = sound.offsets[block.start], sound.offsets[block.stop]
    place = np.arange(begin, end, QUERY_STEP)
    mine = sound.episode_of(place)
    nothing, all_of_it = np.zeros(len(place), np.int64), np.full(len(place), len(sound.keys))
    slowed = np.concatenate([prints[number].slowed for number in block])[place - begin]
    number, found = hits(index, sound.keys[place], sound.offsets[mine + 1], all_of_it)
    other = sound.episode_of(found)
    a, own = mine[number], place - sound.offsets[mine]
    yield _Equal("", a, other, own[number], found - sound.offsets[other])
    for kind, first, last in (("a", sound.offsets[mine + 1], all_of_it), ("b", nothing, sound.offsets[mine])):
        number, found = hits(index, slowed, first, last)
        other = sound.episode_of(found)
        one, two = (mine[number], own[number]), (other, found - sound.offsets[other])
        (a, a_index), (b, b_index) = (one, two) if kind == "a" else (two, one)
        yield _Equal(kind, a, b, a_index, b_index)


def _look_for_new(prints: Sequence[Prints]) -> Iterator[_Equal]:
    """The same for the last episode with all before it."""
    new, others = prints[-1], prints[:-1]
    for kind in ("", "b", "a"):
        pool = _Pool([one.slowed if kind == "a" else one.sound for one in others])
        index = make_index(new.slowed if kind == "b" else new.sound)
        keys = pool.keys[::NEW_STEP]
        place = np.flatnonzero(may_hold(index, keys))
        number, found = hits(index, keys[place], np.zeros(len(place), np.int64),
                             np.full(len(place), len(new.sound)))
        position = place[number] * NEW_STEP
        a = pool.episode_of(position)
        yield _Equal(kind, a, np.full(len(a), len(others)), position - pool.offsets[a], found)


def _sound_runs(prints: Sequence[Prints], looks: Iterator[_Equal], least: float) -> list[Run]:
    found: list[Run] = []
    for equal in looks:
        rates = {"": (1.0, RETIMED, 1 / RETIMED), "a": (1 / RETIMED,), "b": (RETIMED,)}[equal.kind]
        for rate in rates:
            some = _sound_runs_at(prints, equal, rate, least)
            found += some
            if len(rates) > 1:
                equal = _unexplained(equal, some)
    return _without_shadows(found)


def _sound_runs_at(prints: Sequence[Prints], equal: _Equal, rate: float, least: float) -> list[Run]:
    votes = shifts(equal.a * len(prints) + equal.b, equal.a_index, equal.b_index, rate)
    found = []
    for a, b, group in _by_pair(votes, len(prints)):
        a_points = prints[a].slowed if equal.kind == "a" else prints[a].sound
        b_points = prints[b].slowed if equal.kind == "b" else prints[b].sound
        stretches = sound_stretches(a_points, b_points, group, rate, round(least * POINT_RATE))
        found += [_run(a, b, stretch, rate, "sound") for stretch in stretches]
    return found


def _by_pair(votes: Votes, num_episodes: int) -> Iterator[tuple[int, int, list[int]]]:
    """(a, b, shifts), the ones with the most votes first."""
    borders = np.flatnonzero(np.diff(votes.pair, prepend=-1, append=-1))
    for begin, end in zip(borders[:-1], borders[1:], strict=True):
        yield (*divmod(int(votes.pair[begin]), num_episodes), votes.shift[begin:end].tolist())


def _run(a: int, b: int, stretch: Stretch, rate: float, witness: str) -> Run:
    return Run(a, b, stretch.start_a, stretch.end_a, stretch.start_b, stretch.end_b, rate, stretch.score, witness)


def _unexplained(equal: _Equal, found: list[Run]) -> _Equal:
    """Without the points that lie in runs; at a slant, each of those would vote for some dozens of shifts."""
    kept = _outside(found, equal.a, equal.b, equal.a_index / POINT_RATE, equal.b_index / POINT_RATE)
    return _Equal(equal.kind, *(part[kept] for part in (equal.a, equal.b, equal.a_index, equal.b_index)))


def _outside(found: list[Run], a: np.ndarray, b: np.ndarray, a_time: np.ndarray, b_time: np.ndarray) -> np.ndarray:
    """bool (n,): which equals, of episodes a and b at some seconds, lie in none of the runs."""
    kept = np.ones(len(a), bool)
    order = np.lexsort((b, a))
    codes = a[order] << 32 | b[order]
    for run in found:
        begin, end = np.searchsorted(codes, [run.a << 32 | run.b, (run.a << 32 | run.b) + 1])
        here = order[begin:end]
        off = a_time[here] - run.start_a - (b_time[here] - run.start_b) * run.rate
        inside = (b_time[here] > run.start_b - 1) & (b_time[here] < run.end_b + 1) & (np.abs(off) < RUN_SLACK)
        kept[here[inside]] = False
    return kept


# ---------------------------------------------------------------- pictures


def _picture_runs(prints: Sequence[Prints], new: int | None, least: float) -> list[Run]:
    """Runs by pictures of all pairs, or of those with the episode `new`, the last one, alone."""
    pool = _Pool([one.pictures for one in prints])
    if not len(pool.keys):
        return []
    hashes, times = pool.keys.astype(np.uint64), np.concatenate([one.picture_times for one in prints])
    # Of two hashes that differ in few bits, one of four quarters is likely the same (always, up to 3 bits).
    quarters = [(hashes >> np.uint64(16 * part)) & np.uint64(0xFFFF) for part in range(4)]
    quarter = np.concatenate([one.astype(np.uint32) + 1 + part * 2**17 for part, one in enumerate(quarters)])
    place = np.tile(np.arange(len(hashes)), 4)
    mine = pool.episode_of(place)
    pairs_found = []
    index = make_index(quarter if new is None else np.where(mine == new, quarter, 0).astype(np.uint32))
    for part in range(4):      # positions in `quarter` are those of the hashes, part by part
        begin = part * len(hashes)
        here = slice(begin, begin + len(hashes))
        number, found = hits(index, quarter[here], begin + pool.offsets[mine[here] + 1],
                             np.full(len(hashes), begin + len(hashes)))
        found = found - begin
        near = np.bitwise_count(hashes[number] ^ hashes[found]) <= NEAR_BITS
        pairs_found.append(np.stack([number[near], found[near]]))
    both = np.unique(np.concatenate(pairs_found, axis=1), axis=1)
    a, b = pool.episode_of(both[0]), pool.episode_of(both[1])
    a_time, b_time = times[both[0]], times[both[1]]
    found = []
    for rate in (1.0, RETIMED, 1 / RETIMED):
        votes = shifts(a * len(prints) + b, np.round(a_time / SHIFT_SECONDS).astype(np.int64),
                       np.round(b_time * rate / SHIFT_SECONDS).astype(np.int64))
        some = _picture_runs_at(prints, (a, b, a_time, b_time), votes, rate, least)
        found += some
        kept = _outside(some, a, b, a_time, b_time)
        a, b, a_time, b_time = a[kept], b[kept], a_time[kept], b_time[kept]
    return _without_shadows(found)


def _picture_runs_at(
    prints: Sequence[Prints], same: tuple[np.ndarray, ...], votes: Votes, rate: float, least: float
) -> list[Run]:
    """`same`: episodes a, b, and times in them, of the pictures that are the same."""
    a, b, a_time, b_time = same
    order = np.lexsort((a_time, b, a))
    codes = (a * len(prints) + b)[order]
    found = []
    for one, two, group in _by_pair(votes, len(prints)):
        begin, end = np.searchsorted(codes, [one * len(prints) + two, one * len(prints) + two + 1])
        here = order[begin:end]
        found += [_run(one, two, stretch, rate, "pictures") for stretch in picture_stretches(
            (a_time[here], b_time[here]), (prints[one].picture_times, prints[two].picture_times),
            [shift * SHIFT_SECONDS for shift in group], rate, least)]
    return found


def _without_shadows(found: list[Run]) -> list[Run]:
    by_pair: dict[tuple[int, int], list[Run]] = {}
    for run in found:
        by_pair.setdefault((run.a, run.b), []).append(run)
    return [run for group in by_pair.values() for run in without_shadows(group)]
