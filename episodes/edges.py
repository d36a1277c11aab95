"""The edges of a theme, from what all its members together sound and look like around them.

    theme = refine(theme, prints, paths)      # the same theme with other starts and ends
    theme = refine(theme, prints)             # without the files: as fine as the prints are

Within a theme its members agree, beyond it they do not. So the members are laid upon each other, and an edge lies where
that changes: at the greatest sum of the logarithms of likelihood ratios, of sound and of pictures, over all pairs.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from episodes.edge_notes import Notes, kept_pictures, kept_sound, kept_window
from episodes.edge_signals import STEP, Window, steps
from episodes.fingerprint import Prints
from episodes.themes import Occurrence, Theme

REACH = 6.0                # s of the theme's own time that are looked at on both sides of an edge
MOST_LAG = 1.5             # s that a run's edge may lie off another's
MOST_OFF = 4.0             # s that the theme's edge may lie off the runs'
INNER = 1.0                # s around an edge that tell nothing about what agreement looks like
MOST_MEMBERS = 10          # that are compared with each other; the others are laid upon these
LEAST_LIKENESS = 0.4       # correlation of the changes of two sounds that are the same
LEAST_APART = 0.7          # of the logarithm of two members' distance, between beyond and within
MOST_EVIDENCE = 3.0        # that one step may give, in nats
PICTURES_COUNT = 2.0       # times as much as sound, since they change at once
FLAT = 6.0                 # levels; a picture that deviates less from its mean tells next to nothing
QUIET_BELOW = 5.0          # nats below the loud steps of the members' sound; quieter ones tell next to nothing
FAINT = 0.2                # nats that a step gives where all is black or silent, in all members at once
USUAL_APART = 2.0          # of the logarithm of the distance, where a file has nothing beyond the edge
SAME_PICTURES = 0.8        # correlation of two pictures that are the same
LEAST_STEPS = 20           # that tell something, on one side of an edge
LAG_STEPS = 3              # a change of sound is taken over so many steps
DOUBT = 6.0                # nats by which a place may be less likely than the edge, and still be it; twice the 3 nats
                           # of 95%, since steps that follow each other share most of their sound
LEAST_LEFT = 0.5           # s; less between a theme and the file's start or end is its fading
SURE = 3.0                 # mean errors within which an edge lies with 95% (Laplace)


@dataclass(frozen=True)
class _Member:
    """One occurrence around an edge: arrays as edge_signals.py reads them, moved earlier by `lag` steps."""

    window: Window
    sound: np.ndarray | None          # (steps, bands)
    pictures: np.ndarray | None       # (steps, side, side)
    lag: int | None = None            # None: it is like no other


def refine(
    theme: Theme, prints: Sequence[Prints], paths: Sequence[Path] | None = None, notes: Notes | None = None,
) -> Theme:
    """The theme with the edges of all its occurrences on the finest grid that its members allow.

    `paths`: the episodes' files, from which some seconds around each edge are read; a file that cannot be read keeps
    its edges. Without them the theme stays as it is. `notes`: {(path, name): bytes}, of what was read before.
    """
    spans = [(episode, one) for episode, ones in theme.members.items() for one in ones]
    if paths is None or len(spans) < 2:
        return theme
    notes = {} if notes is None else notes
    starts, alike = _edges(spans, 1, paths, notes)
    ends, also_alike = _edges(spans, -1, paths, notes)
    members: dict[int, list[Occurrence]] = {episode: [] for episode in theme.members}
    for (episode, one), (start, before), (end, after) in zip(spans, starts, ends, strict=True):
        start, end = _with_rests(start, end, prints[episode].duration or math.inf)
        good = end - start > 0.5 * (one.end - one.start)
        members[episode].append(one._replace(start=start, end=end, spreads=(before, after)) if good else one)
    members = _with_pictures(members, list(zip(alike, also_alike, strict=True)))
    lengths = [(one.end - one.start) * one.rate for ones in members.values() for one in ones]
    return replace(theme, members=members, length=float(np.median(lengths)))


def _with_rests(start: float, end: float, duration: float) -> tuple[float, float]:
    """The edges within the file, and with what is left before or after them where that is too short to be anything."""
    return 0.0 if start < LEAST_LEFT else start, duration if end > duration - LEAST_LEFT else end


def _with_pictures(
    members: dict[int, list[Occurrence]], alike: list[tuple[float | None, float | None]]
) -> dict[int, list[Occurrence]]:
    """The members with the share of others whose pictures are the same near the edges, where that was looked at."""
    shares = iter(alike)
    found = {}
    for episode, ones in members.items():
        found[episode] = []
        for one in ones:
            seen = [share for share in next(shares) if share is not None]
            found[episode].append(one._replace(pictures=max(seen)) if seen else one)
    return found


def _edges(
    spans: list[tuple[int, Occurrence]], side: int, paths: Sequence[Path], notes: Notes
) -> tuple[list[tuple[float, float | None]], list[float | None]]:
    """The start (side 1: the theme lies after it) or end (side -1) of each occurrence, s of its file, with the mean
    error of it, s; None where it could not be refined.

    With it, the share of the others whose pictures are the same there; None where there are no pictures.
    """
    places = [one.start if side == 1 else one.end for _, one in spans]
    spreads: list[float | None] = [None] * len(spans)
    files = [str(paths[episode]) for episode, _ in spans]
    windows = [kept_window(notes, file, Window(place, one.rate, REACH))
               for file, place, (_, one) in zip(files, places, spans, strict=True)]
    order = sorted(range(len(spans)), key=lambda number: -(spans[number][1].sound + spans[number][1].pictures))
    members = {number: _Member(
        windows[number], kept_sound(notes, files[number], windows[number]),
        kept_pictures(notes, files[number], windows[number]) if rank < MOST_MEMBERS else None)
               for rank, number in enumerate(order)}
    times = side * steps(REACH)      # above 0 within the theme
    aligned = _align(list(members.values()), times)
    used = [member for member in aligned if member.lag is not None][:MOST_MEMBERS]
    found = _change(used, times) if len(used) > 1 else None
    if found is not None:
        edge, spread = found
        for number, member in zip(members, aligned, strict=True):
            if member.lag is not None:
                at = side * edge + member.lag * STEP      # in the theme's own time
                places[number] = member.window.place + at / member.window.rate
                spreads[number] = spread / member.window.rate
    shares = dict(zip(members, _alike(aligned, (times > 0) & (times < REACH - MOST_LAG)), strict=True))
    return list(zip(places, spreads, strict=True)), [shares[number] for number in range(len(spans))]


def _alike(members: list[_Member], within: np.ndarray) -> list[float | None]:
    """For each member the share of the others with the same pictures; None without pictures."""
    seen = [None if one.pictures is None or one.lag is None else _standardised(one.pictures[within][::4])
            for one in members]
    found: list[float | None] = []
    for number, one in enumerate(seen):
        others = [other for index, other in enumerate(seen) if index != number and other is not None]
        if one is None or not others:
            found.append(None)
            continue
        likeness = [float(_median((one * other).mean(axis=(1, 2)))) for other in others]
        found.append(float(np.mean([value > SAME_PICTURES for value in likeness])))
    return found


def _standardised(pictures: np.ndarray) -> np.ndarray:
    """Pictures with mean 0 and deviation 1; NaN where they are all but one colour."""
    deviation = pictures.std(axis=(1, 2), keepdims=True)
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return np.where(deviation < FLAT, np.nan, centred / np.maximum(deviation, 1e-6))


def _change(members: list[_Member], times: np.ndarray) -> tuple[float, float] | None:
    """Where the members begin to agree, s as `times`, and its mean error, s; None where nothing tells.

    The edge may lie wherever the evidence is nearly as good. The evidence is the mean over the pairs, as if there were
    but one: what makes one pair agree beyond the theme, such as a sound that rings on, does so with all of them.
    """
    edge, spread = 0.0, 0.0
    for _ in range(2):      # the second time with a better idea of what lies within
        within, beyond = times > edge + INNER, times < edge - INNER
        sound, pictures = _sound_evidence(members, within, beyond), _picture_evidence(members, within, beyond)
        evidence = sound + PICTURES_COUNT * pictures
        if not evidence.any():
            return None
        order = np.argsort(times)
        total = np.cumsum(evidence[order])
        near = np.abs(times[order]) <= MOST_OFF
        # All from here on speaks for the theme, all before against it. Of equal places the one nearest to the theme.
        best = np.flatnonzero(near & (total <= total[near].min() + 1e-6))[-1]
        edge = times[order][best] + STEP
        possible = times[order][near & (total <= total[near].min() + DOUBT)] + STEP
        spread = max(STEP, edge - possible[0], possible[-1] - edge) / SURE
    return float(edge), float(spread)


# ---------------------------------------------------------------- laying the members upon each other


def _align(members: list[_Member], times: np.ndarray) -> list[_Member]:
    """The members moved onto the first of those that are alike; in their order."""
    best: list[_Member] = list(members)
    for reference in members:
        found = [_moved(member, _lag(reference, member, times)) for member in members]
        if sum(one.lag is not None for one in found) > sum(one.lag is not None for one in best):
            best = found
        if all(one.lag is not None for one in best):
            break
    return best


def _lag(reference: _Member, member: _Member, times: np.ndarray) -> int | None:
    """Steps by which the member comes later than the reference, by sound or else by pictures."""
    if member is reference:
        return 0
    most = round(MOST_LAG / STEP)
    within = np.flatnonzero((times > 0) & (times < REACH - MOST_LAG))
    if reference.sound is not None and member.sound is not None:
        likeness = [_likeness(_changes(reference.sound)[within], _changes(member.sound)[within + lag])
                    for lag in range(-most, most + 1)]
        if max(likeness) >= LEAST_LIKENESS:
            return int(np.argmax(likeness)) - most
    if reference.pictures is not None and member.pictures is not None:
        apart = [_picture_distance(reference.pictures[within[::4]], member.pictures[within[::4] + lag])
                 for lag in range(-most, most + 1, 2)]
        usual, lowest = np.nanmedian(apart), np.nanmin(apart)
        if np.log(usual + 1) - np.log(lowest + 1) > LEAST_APART:
            return 2 * int(np.nanargmin(apart)) - most
    return None


def _changes(sound: np.ndarray) -> np.ndarray:
    """How the bands change, (steps, bands): sharp in time, and the same at any loudness."""
    return np.nan_to_num(sound - np.roll(sound, LAG_STEPS, axis=0))


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / (np.sqrt((one ** 2).sum() * (other ** 2).sum()) + 1e-9))


def _picture_distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.nanmean(np.abs(one - other))) if np.isfinite(one - other).any() else np.nan


def _moved(member: _Member, lag: int | None) -> _Member:
    if lag is None:
        return replace(member, lag=None)
    return replace(member, lag=lag, sound=_shifted(member.sound, lag), pictures=_shifted(member.pictures, lag))


def _shifted(values: np.ndarray | None, lag: int) -> np.ndarray | None:
    """Values `lag` steps later at each step; NaN where there are none."""
    if values is None or not lag:
        return values
    found = np.full_like(values, np.nan)
    if lag > 0:
        found[:-lag] = values[lag:]
    else:
        found[-lag:] = values[:lag]
    return found


# ---------------------------------------------------------------- evidence


def _sound_evidence(members: list[_Member], within: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """float64 (steps,): the logarithm of how much likelier the members' sounds are within the theme than beyond it."""
    sounds = [member.sound for member in members if member.sound is not None]
    distances, faint = [], []
    for one, other in itertools.combinations(sounds, 2):
        apart = one - other
        apart = np.abs(apart - _median(apart[within])).mean(axis=1)      # loudness and equaliser aside
        level = np.fmax(one.mean(axis=1), other.mean(axis=1))
        distances.append(apart)
        faint.append(level < _loud(level[within]) - QUIET_BELOW)
    return _evidence(distances, faint, within, beyond)


def _loud(levels: np.ndarray) -> float:
    return float(np.percentile(levels[np.isfinite(levels)], 90)) if np.isfinite(levels).any() else -np.inf


def _picture_evidence(members: list[_Member], within: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """The same, of their pictures."""
    pictures = [member.pictures for member in members if member.pictures is not None]
    flat = [one.std(axis=(1, 2)) < FLAT for one in pictures]
    distances, faint = [], []
    for one, other in itertools.combinations(range(len(pictures)), 2):
        distances.append(np.abs(pictures[one] - pictures[other]).mean(axis=(1, 2)))
        faint.append(flat[one] & flat[other])
    return _evidence(distances, faint, within, beyond)


def _evidence(
    distances: list[np.ndarray], faint: list[np.ndarray], within: np.ndarray, beyond: np.ndarray
) -> np.ndarray:
    """Mean over the pairs whose distance, (steps,) each, is clearly lower within; 0 where it is NaN.

    `faint`: bool (steps,) each, where both members are black, or silent.
    """
    evidence = []
    for distance, dim in zip(distances, faint, strict=True):
        log = np.where(dim, np.nan, np.log(distance + 0.1))
        if np.isfinite(log[within]).sum() < LEAST_STEPS:
            continue
        low = float(_median(log[within]))
        high = float(_median(log[beyond])) if np.isfinite(log[beyond]).sum() >= LEAST_STEPS else low + USUAL_APART
        if high - low < LEAST_APART:
            continue
        spread = max(0.25 * (high - low), (_spread(log[within]) + _spread(log[beyond])) / 2)
        ratio = ((log - high) ** 2 - (log - low) ** 2) / (2 * spread ** 2)
        ratio = np.where(log < low, MOST_EVIDENCE, np.where(log > high, -MOST_EVIDENCE, ratio))
        ratio = np.nan_to_num(np.clip(ratio, -MOST_EVIDENCE, MOST_EVIDENCE))
        evidence.append(np.where(dim & np.isfinite(distance), FAINT, ratio))
    return np.mean(evidence, axis=0) if evidence else np.zeros(len(within))


def _median(values: np.ndarray) -> np.ndarray:
    """Along the first axis, of the finite values; 0 where there are none."""
    values = values[np.isfinite(values.reshape(len(values), -1)).all(axis=1)]
    return np.median(values, axis=0) if len(values) else np.zeros(values.shape[1:])


def _spread(values: np.ndarray) -> float:
    """Standard deviation, by the median of the deviations."""
    return float(1.48 * _median(np.abs(values - _median(values))))
