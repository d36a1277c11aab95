"""How far two episodes agree along a diagonal: a's time is `shift + rate * b's time`.

    sound_stretches(a.sound, b.sound, shifts, rate=1.0, least=160)     # list of Stretch
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from episodes.fingerprint import NUM_BITS, POINT_RATE

SMOOTH = 2 * POINT_RATE    # points over which bits that differ are averaged
MOST_APART = 0.29          # share of bits that differ, on that average, within a stretch; chance is 0.5
BORDER = 0.32              # a point that differs in a smaller share speaks for the stretch, else against it
BRIDGED = 4 * POINT_RATE   # points of a gap within a stretch, as where somebody speaks over it
LEAST_TOLD = 0.3           # of the points of a window that tell something
PICTURE_GAP = 20.0         # s between two pictures of a stretch that agree
PICTURE_SLACK = 0.4        # s that pictures of a stretch may lie off the diagonal
CUT_SLACK = 0.15           # s that two keyframes of one cut may lie off the diagonal
LEAST_CUTS = 0.5           # of a stretch, from its first to its last such cut; at another rate they drift apart
HELD = 12.0                # s for which a keyframe's picture may be shown; encoders set one at least each 10 s
LEAST_PICTURES = 4         # of a stretch
SHADOW = 0.7               # of a stretch, of either episode, that a better one covers
OTHER_RATE = 0.8           # a stretch at another rate weighs so much less


@dataclass(frozen=True)
class Run:
    """A stretch that two episodes share; times in seconds from each file's time zero.

    a, b      the episodes' places in the sequence, a < b
    rate      how much faster b plays it than a: 1.0, RETIMED or 1 / RETIMED
    score     0 (chance) to 1 (identical)
    witness   sound or pictures
    """

    a: int
    b: int
    start_a: float
    end_a: float
    start_b: float
    end_b: float
    rate: float
    score: float
    witness: str


class Stretch(NamedTuple):
    """Seconds in both episodes; score from 0 (chance) to 1 (identical)."""

    start_a: float
    end_a: float
    start_b: float
    end_b: float
    score: float


def sound_stretches(a: np.ndarray, b: np.ndarray, shifts: Sequence[int], rate: float, least: int) -> list[Stretch]:
    """Where points a, uint32 (n,), and b, uint32 (m,), agree for at least `least` points of b, at one of `shifts`."""
    found: list[Stretch] = []
    for shift in shifts:
        for begin, end in _agreeing(*_apart(a, b, shift, rate, 0, len(b)), least):
            nearest = min((shift, shift - 1, shift + 1), key=lambda one: _mean_apart(a, b, one, rate, begin, end))
            low, high = max(0, begin - SMOOTH), min(len(b), end + SMOOTH)
            apart, told = _apart(a, b, nearest, rate, low, high)
            speaks = np.where(told, BORDER * NUM_BITS - apart, 0)
            begin, end = (low + edge for edge in _edges(speaks, begin - low, end - low))
            if end - begin < least:
                continue
            mean = apart[begin - low:end - low].mean(where=told[begin - low:end - low]) / NUM_BITS
            start_a, end_a = (nearest + begin * rate) / POINT_RATE, (nearest + end * rate) / POINT_RATE
            found.append(Stretch(start_a, end_a, begin / POINT_RATE, end / POINT_RATE, float(max(0.0, 1 - 2 * mean))))
    return found


def _apart(
    a: np.ndarray, b: np.ndarray, shift: int, rate: float, begin: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """For b's points from `begin` to `end`, (bits in which their counterparts differ, whether both tell something)."""
    first = min(end, max(begin, int(np.ceil(-shift / rate))))
    last = max(first, min(end, int(np.floor((len(a) - 1 - shift) / rate)) + 1))
    apart, told = np.zeros(end - begin, np.uint8), np.zeros(end - begin, bool)
    mine, there = b[first:last], slice(first - begin, last - begin)
    if rate == 1:
        other = a[first + shift:last + shift]
    else:
        other = a[np.clip(np.round(np.arange(first, last) * rate).astype(np.int64) + shift, 0, len(a) - 1)]
    told[there] = (mine != 0) & (other != 0)
    apart[there] = np.bitwise_count(mine ^ other)
    apart[~told] = 0
    return apart, told


def _mean_apart(a: np.ndarray, b: np.ndarray, shift: int, rate: float, begin: int, end: int) -> float:
    apart, told = _apart(a, b, shift, rate, begin, end)
    return apart.sum() / told.sum() if told.any() else NUM_BITS / 2


def _agreeing(apart: np.ndarray, told: np.ndarray, least: int) -> list[tuple[int, int]]:
    """(begin, end) of the stretches, roughly; shorter gaps are bridged."""
    count, total = _window_sums(told), _window_sums(apart)
    good = (count >= LEAST_TOLD * SMOOTH) & (total <= MOST_APART * NUM_BITS * count)
    borders = np.flatnonzero(good[1:] != good[:-1]) + 1
    borders = [0] * bool(good[0]) + borders.tolist() + [len(apart)] * bool(good[-1])
    spans: list[tuple[int, int]] = []
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        if spans and begin - spans[-1][1] <= BRIDGED:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
    return [(begin, min(end, len(apart))) for begin, end in spans if end - begin >= least - SMOOTH]


def _window_sums(values: np.ndarray) -> np.ndarray:
    """int32 (n,): the sum of the SMOOTH values around each."""
    total = np.zeros(len(values) + SMOOTH + 1, np.int32)
    half = SMOOTH // 2
    np.cumsum(values, out=total[half + 1:half + 1 + len(values)])
    total[half + 1 + len(values):] = total[half + len(values)]
    return total[SMOOTH:SMOOTH + len(values)] - total[:len(values)]


def _edges(speaks: np.ndarray, begin: int, end: int) -> tuple[int, int]:
    """The edges, near rough ones, between which the most speaks for the stretch."""
    total = np.pad(np.cumsum(speaks, dtype=np.float64), (1, 0))
    middle = (begin + end) // 2
    low, high = max(0, begin - SMOOTH), min(len(speaks), end + SMOOTH)
    early = total[low:min(begin + SMOOTH, middle) + 1]
    start = low + len(early) - 1 - int(np.argmin(early[::-1]))      # the last such place: silence before it is no part
    first = max(end - SMOOTH, middle)
    return start, first + int(np.argmax(total[first:high + 1]))


def picture_stretches(
    same: tuple[np.ndarray, np.ndarray], sampled: tuple[np.ndarray, np.ndarray], shifts: Sequence[float],
    rate: float, least: float
) -> list[Stretch]:
    """Where pictures agree for at least `least` seconds of b.

    Encoders set keyframes at cuts, and otherwise at times of their own. So two keyframes agree where they show the same
    and are shown at the same time, each until the next one.

    same      times in a and in b of the pictures that agree, float64 (n,) each
    sampled   times of all pictures of a and of b, ascending
    shifts    s
    """
    found = []
    until = [_shown_until(times, all_times) for times, all_times in zip(same, sampled, strict=True)]
    for rough in shifts:
        off = same[0] - rate * same[1] - rough
        if not (np.abs(off) < PICTURE_SLACK).any():
            continue
        shift = rough + float(np.median(off[np.abs(off) < PICTURE_SLACK]))
        b_times, b_until = (rate * times + shift for times in (same[1], until[1]))
        both = np.maximum(same[0], b_times)      # when both are shown, in a's time
        on = np.flatnonzero(both < np.minimum(until[0], b_until) + PICTURE_SLACK)
        on = on[np.argsort(both[on], kind="stable")]
        if len(on) < LEAST_PICTURES:
            continue
        for begin, end in _groups(both[on], PICTURE_GAP):
            part = on[begin:end]
            count = min(len(np.unique(times[part])) for times in same)
            start_a, end_a = float(both[part[0]]), float(both[part[-1]])
            start_b, end_b = (start_a - shift) / rate, (end_a - shift) / rate
            cuts = both[part][np.abs(off[part] + rough - shift) < CUT_SLACK]
            covered = np.ptp(cuts) if len(cuts) else 0.0
            if count < LEAST_PICTURES or end_b - start_b < least or covered < LEAST_CUTS * (end_a - start_a):
                continue
            there = min(np.count_nonzero((times >= first - PICTURE_SLACK) & (times <= last + PICTURE_SLACK))
                        for times, first, last in zip(sampled, (start_a, start_b), (end_a, end_b), strict=True))
            found.append(Stretch(start_a, end_a, start_b, end_b, min(1.0, count / max(1, there))))
    return found


def _shown_until(times: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """When the next keyframe comes after those at `times`, float64 (n,); at most HELD s later."""
    following = np.searchsorted(sampled, times, side="right")
    return np.minimum(times + HELD, np.append(sampled, np.inf)[following])


def _groups(times: np.ndarray, gap: float) -> list[tuple[int, int]]:
    """(begin, end) of the parts of ascending times between gaps."""
    borders = [0, *(np.flatnonzero(np.diff(times) > gap) + 1).tolist(), len(times)]
    return list(zip(borders[:-1], borders[1:], strict=True))


AnyStretch = TypeVar("AnyStretch")


def without_shadows(found: list[AnyStretch]) -> list[AnyStretch]:
    """Without stretches of one pair that better ones cover in both episodes, as where a song repeats its bars."""
    kept: list[AnyStretch] = []
    for one in sorted(found, key=_weight, reverse=True):
        if all(share_within(one, other) <= SHADOW for other in kept):
            kept.append(one)
    return kept


def share_within(one: AnyStretch, other: AnyStretch) -> float:
    """The share of `one` that lies within `other`, in both episodes; below 0 where they are apart."""
    return min(_covered(one.start_a, one.end_a, other.start_a, other.end_a),
               _covered(one.start_b, one.end_b, other.start_b, other.end_b))


def _weight(stretch: AnyStretch) -> float:
    """Longer and better ones weigh more; bits that differ as much as at BORDER weigh nothing."""
    share = OTHER_RATE if getattr(stretch, "rate", 1.0) != 1 else 1.0
    return share * (stretch.score - (1 - 2 * BORDER)) * (stretch.end_b - stretch.start_b)


def _covered(start: float, end: float, other_start: float, other_end: float) -> float:
    return (min(end, other_end) - max(start, other_start)) / max(1e-9, end - start)
