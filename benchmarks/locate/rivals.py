"""Other programs' ways to find openings and endings, written anew from their published rules, on Chromaprint's points.

    intro-skipper   pairs in turn: the longest run of points that differ in at most 6 of 32 bits; the first pair counts
    needle          all pairs: unbroken runs of hashes that differ in at most 10 bits; the longest and most frequent one
    median          a plain matcher: intro-skipper's comparison of all pairs, and the median of their edges

    answers = ANSWERERS["intro-skipper"]([Sound(points, 1440.0), ...], USUAL)      # [{"opening": (60.3, 150.1)}, ...]

The rules are those of github.com/intro-skipper/intro-skipper (ChromaprintAnalyzer and its default settings), without
its later adjustments to silence and chapters, and of needle-rs 0.1.5 (docs.rs/needle-rs). Times are seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

POINT = 0.1238             # s from one point to the next
BITS = 32                  # of a point
Span = tuple[float, float]
Answer = dict[str, Span]   # by type of marker: opening, ending

# intro-skipper
NEAR, SHIFT, GAP = 6, 2, 3.5           # bits; how much equal points may differ as numbers; s
AT_START = 5.0                         # s; an opening that begins earlier begins at 0
# needle: a hash each PERIOD s of the WINDOW s before it, which hold WINDOW_POINTS points
NEEDLE_NEAR, PERIOD, WINDOW, WINDOW_POINTS = 10, 0.3, 3.0, 3
COUNT_WEIGHT, LENGTH_WEIGHT = 0.3, 0.7


@dataclass(frozen=True)
class Sound:
    """An episode's points, uint32 (n,), and its duration."""

    points: np.ndarray
    duration: float


@dataclass(frozen=True)
class Limits:
    """Where the programs look, and for how long a run; in seconds, and as shares of an episode.

    head, head_share   intro-skipper looks for openings before both      tail, tail_share   for endings after both
    least, most        of its openings; endings have no upper limit
    needle_least       of needle's runs      needle_head, needle_tail   openings end before, endings start after
    """

    head: float = 600.0
    head_share: float = 0.25
    tail: float = 450.0
    tail_share: float = 1.0
    least: float = 15.0
    most: float = 120.0
    needle_least: float = 20.0
    needle_head: float = 0.5
    needle_tail: float = 0.75


USUAL = Limits()
USUAL_THEME = 90.0         # s
SHORT_LEAST = 8.0          # s; a point describes 2.6 s of sound, so shorter runs mean nothing in short episodes either


def limits_for(theme: float) -> Limits:
    """The published limits; for short episodes, made for a first look, lengths shrink with the themes' `theme` s.

    There a theme takes a larger share of the episode, so halves of it are searched.
    """
    scale = theme / USUAL_THEME
    if scale >= 1:
        return USUAL
    return Limits(head=360.0 * scale, head_share=0.5, tail=450.0 * scale, tail_share=0.5,
                  least=max(SHORT_LEAST, USUAL.least * scale), most=USUAL.most * scale,
                  needle_least=max(SHORT_LEAST, USUAL.needle_least * scale), needle_head=0.5, needle_tail=0.5)


# ---------------------------------------------------------------- intro-skipper's comparison


def equal_shifts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shifts (index in b less index in a) of equal points, each point standing for its last occurrence."""
    values, places = _last_places(a)
    others, other_places = _last_places(b)
    found = []
    for off in range(-SHIFT, SHIFT + 1):
        at = np.searchsorted(others, values + off)
        there = np.flatnonzero(others[np.minimum(at, len(others) - 1)] == values + off)
        found.append(other_places[at[there]] - places[there])
    return np.unique(np.concatenate(found))


def _last_places(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each value of the points once, int64 and sorted, and where it stands last."""
    values, places = np.unique(points[::-1].astype(np.int64), return_index=True)
    return values, len(points) - 1 - places


def longest_run(alike: np.ndarray, most_gap: float) -> tuple[int, int] | None:
    """First and last of the indices (n,), in order, of the longest run whose neighbours are at most so far apart."""
    if not len(alike):
        return None
    breaks = np.flatnonzero(np.diff(alike) > most_gap)
    firsts, lasts = alike[np.r_[0, breaks + 1]], alike[np.r_[breaks, len(alike) - 1]]
    best = int(np.argmax(lasts - firsts))
    return int(firsts[best]), int(lasts[best])


def shared_run(a: np.ndarray, b: np.ndarray, least: float) -> tuple[Span, Span] | None:
    """The longest run that two episodes' points share, in seconds of each; None where none takes `least` s."""
    best = (least, None)
    if not len(a) or not len(b):
        return None
    for shift in equal_shifts(a, b):
        first, last = max(0, -shift), min(len(a), len(b) - shift)
        alike = first + np.flatnonzero(np.bitwise_count(a[first:last] ^ b[first + shift:last + shift]) <= NEAR)
        run = longest_run(alike, GAP / POINT)
        if run and (run[1] - run[0]) * POINT >= best[0] and (best[1] is None or (run[1] - run[0]) * POINT > best[0]):
            best = ((run[1] - run[0]) * POINT, (run, shift))
    if best[1] is None:
        return None
    (first, last), shift = best[1]
    return (first * POINT, last * POINT), (float(first + shift) * POINT, float(last + shift) * POINT)


def head_of(sound: Sound, limits: Limits) -> np.ndarray:
    """The points in which intro-skipper looks for an opening."""
    return sound.points[:int(min(limits.head, limits.head_share * sound.duration) / POINT)]


def tail_of(sound: Sound, limits: Limits) -> np.ndarray:
    """The points in which intro-skipper looks for an ending, the last one first."""
    seconds = min(limits.tail, limits.tail_share * sound.duration)
    return sound.points[max(0, int((sound.duration - seconds) / POINT)):][::-1]


def compare(a: Sound, b: Sound, kind: str, limits: Limits) -> tuple[Span, Span] | None:
    """What intro-skipper takes for the opening or ending of both of two episodes; None for nothing."""
    if kind == "opening":
        found = shared_run(head_of(a, limits), head_of(b, limits), limits.least)
        if found is None or found[1][1] - found[1][0] > limits.most:
            return None
        return tuple((0.0 if start <= AT_START else start, end) for start, end in found)
    found = shared_run(tail_of(a, limits), tail_of(b, limits), limits.least)
    return found and tuple((max(0.0, sound.duration - end), sound.duration - start)
                           for sound, (start, end) in zip((a, b), found, strict=True))


def intro_skipper(sounds: Sequence[Sound], limits: Limits = USUAL) -> list[Answer]:
    """Each episode in turn with those after it, until one of them shares a run; the longer of two answers stays."""
    answers: list[Answer] = [{} for _ in sounds]
    for kind in ("opening", "ending"):
        for i in range(len(sounds)):
            for j in range(i + 1, len(sounds)):
                found = compare(sounds[i], sounds[j], kind, limits)
                if found is None:
                    continue
                for place, span in zip((i, j), found, strict=True):
                    known = answers[place].get(kind, (0.0, 0.0))
                    if span[1] - span[0] > known[1] - known[0]:
                        answers[place][kind] = span
                break
    return answers


def median(sounds: Sequence[Sound], limits: Limits = USUAL) -> list[Answer]:
    """All pairs; an episode's edges are the medians of what its pairs say, where at least one says something."""
    answers: list[Answer] = [{} for _ in sounds]
    for kind in ("opening", "ending"):
        told: list[list[Span]] = [[] for _ in sounds]
        for i, j in combinations(range(len(sounds)), 2):
            found = compare(sounds[i], sounds[j], kind, limits)
            if found is not None:
                told[i].append(found[0])
                told[j].append(found[1])
        for place, spans in enumerate(told):
            if spans:
                start, end = np.median(spans, axis=0)
                answers[place][kind] = (float(start), float(end))
    return answers


# ---------------------------------------------------------------- needle


@dataclass(frozen=True)
class _Run:
    """A run in one of its two episodes: the times of its hashes, what it is, and the majority of its bits."""

    start: float
    end: float
    kind: str
    bits: int


def needle_hashes(points: np.ndarray) -> np.ndarray:
    """needle's hashes, uint32: hash k is the majority of the bits of the points from k * PERIOD s on."""
    count = max(0, int((len(points) - WINDOW_POINTS) * POINT / PERIOD))
    firsts = np.ceil(np.arange(count) * PERIOD / POINT).astype(int)
    a, b, c = (points[firsts + i] for i in range(WINDOW_POINTS))
    return (a & b) | (b & c) | (a & c)


def majority(hashes: np.ndarray) -> int:
    """The bits that are set in more than half of the hashes, uint32 (n,)."""
    ones = ((hashes[:, None] >> np.arange(BITS, dtype=np.uint32)) & 1).sum(0) * 2 > len(hashes)
    return int((ones * (np.uint64(1) << np.arange(BITS, dtype=np.uint64))).sum())


def unbroken_runs(a: np.ndarray, b: np.ndarray, least: int) -> list[tuple[int, int, int]]:
    """(first in a, first in b, length) of all runs of at least `least` hashes that differ in at most 10 bits."""
    found = []
    for shift in range(least - len(a), len(b) - least + 1):
        first, last = max(0, -shift), min(len(a), len(b) - shift)
        alike = np.bitwise_count(a[first:last] ^ b[first + shift:last + shift]) <= NEEDLE_NEAR
        if np.count_nonzero(alike) < least:
            continue
        edges = np.flatnonzero(np.diff(np.r_[False, alike, False]))
        for begin, end in edges.reshape(-1, 2):
            if end - begin >= least:
                found.append((int(first + begin), int(first + begin + shift), int(end - begin)))
    return found


def _placed(hashes: np.ndarray, first: int, length: int, limits: Limits) -> _Run | None:
    """A run as an opening or an ending, by its place. It counts from the hash before its first to its last."""
    before = max(0, first - 1)
    start, end = (WINDOW + PERIOD * index for index in (before, first + length - 1))
    head, tail = (WINDOW + PERIOD * int((len(hashes) - 1) * share) for share in (limits.needle_head,
                                                                                 limits.needle_tail))
    if end - start < limits.needle_least or not (end < head or start > tail):
        return None
    return _Run(start, end, "opening" if end < head else "ending", majority(hashes[before:first + length]))


def needle(sounds: Sequence[Sound], limits: Limits = USUAL) -> list[Answer]:
    """All pairs; of an episode's runs the one with the greatest weighted sum of length and number of similar runs."""
    hashes = [needle_hashes(sound.points) for sound in sounds]
    least = int(limits.needle_least / PERIOD)
    runs: list[list[_Run]] = [[] for _ in sounds]
    for i, j in combinations(range(len(sounds)), 2):
        for a, b, length in unbroken_runs(hashes[i], hashes[j], least):
            placed = _placed(hashes[i], a, length, limits), _placed(hashes[j], b, length, limits)
            if all(placed):
                runs[i].append(placed[0])
                runs[j].append(placed[1])
    return [{kind: span for kind in ("opening", "ending") if (span := _best(own, kind))} for own in runs]


def _best(runs: list[_Run], kind: str) -> Span | None:
    bits = np.array([run.bits for run in runs], np.uint32)
    best, weight = None, 0.0
    for run in runs:
        similar = int((np.bitwise_count(bits ^ np.uint32(run.bits)) < NEEDLE_NEAR * 1.5).sum())
        worth = COUNT_WEIGHT * similar + LENGTH_WEIGHT * (run.end - run.start)
        if run.kind == kind and worth > weight:
            best, weight = run, worth
    return (best.start, best.end - WINDOW) if best and best.end - WINDOW > best.start else None


ANSWERERS: dict[str, Callable[[Sequence[Sound], Limits], list[Answer]]] = {
    "intro-skipper": intro_skipper, "needle": needle, "median": median}
