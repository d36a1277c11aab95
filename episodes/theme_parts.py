"""Themes cut where the sound goes on as in the other episodes and the pictures do not.

    for part in cut_by_pictures(theme, prints):      # the theme, or the ending and the music of the preview after it

A preview has its own pictures in each episode, and often the same music. Where it follows the ending in all episodes,
the ending's sound and the preview's are one repeat; only the pictures tell where the one becomes the other.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from episodes.diagonals import PICTURE_SLACK
from episodes.fingerprint import Prints
from episodes.repeats import NEAR_BITS
from episodes.themes import Occurrence, Theme

LEAST_PART = 6.0           # s
LEAST_PICTURES = 6         # of all members together, of a part
SAME_SHARE = 0.6           # of a part's pictures, at least, that another member shows too
OTHER_SHARE = 0.1          # at most, of the other part
USUAL = (87.0, 93.0)       # s; a theme of the usual length is one, whatever it shows


def cut_by_pictures(theme: Theme, prints: Sequence[Prints]) -> list[Theme]:
    """The theme, or what it is cut into: at most one part before and one after that whose pictures are the same.

    Members that show other pictures throughout, as where the credits of one episode have changed, do not count; nor
    does a theme that lasts as long as most openings and endings do.
    """
    if USUAL[0] <= theme.length <= USUAL[1]:
        return [theme]
    times, same = _pictures(theme, prints)
    low, high = _middle(times, same, theme.length)
    if (low, high) == (0.0, theme.length):
        return [theme]
    spans = [(begin, end) for begin, end in ((0.0, low), (low, high), (high, theme.length)) if end > begin]
    return [part for part in (_part(theme, begin, end) for begin, end in spans) if len(part.members) > 1]


def _pictures(theme: Theme, prints: Sequence[Prints]) -> tuple[np.ndarray, np.ndarray]:
    """(s of the theme's own time, whether another member shows the same then) of its keyframes, (n,) each, by time."""
    seen = []
    for episode, ones in theme.members.items():
        for one in ones:
            own = (prints[episode].picture_times - one.start) * one.rate
            inside = (own >= -PICTURE_SLACK) & (own <= theme.length + PICTURE_SLACK)
            seen.append((own[inside], prints[episode].pictures[inside].astype(np.uint64)))
    times, same = [], []
    for number, (own, hashes) in enumerate(seen):
        shown = np.zeros(len(own), bool)
        for other, (their, others) in enumerate(seen):
            if other != number and len(their):
                near = np.abs(own[:, None] - their) <= PICTURE_SLACK
                shown |= (near & (np.bitwise_count(hashes[:, None] ^ others) <= NEAR_BITS)).any(axis=1)
        if len(shown) and shown.mean() >= SAME_SHARE / 2:
            times.append(own)
            same.append(shown)
    if not times:
        return np.zeros(0), np.zeros(0, bool)
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(times)[order], np.concatenate(same)[order]


def _middle(times: np.ndarray, same: np.ndarray, length: float) -> tuple[float, float]:
    """Between which times the pictures are the same; (0, length) where they are throughout, or nothing tells."""
    if not len(times):
        return 0.0, length
    weight = np.cumsum(np.where(same, 1.0, -1.0))
    last = int(np.argmax(weight))
    first = int(np.argmin(np.concatenate([[0.0], weight])[:last + 1]))
    low = high = None
    before, within, after = same[:first], same[first:last + 1], same[last + 1:]
    if within.mean() >= SAME_SHARE and len(within) >= LEAST_PICTURES:
        if len(after) >= LEAST_PICTURES and after.mean() <= OTHER_SHARE and length - times[last + 1] >= LEAST_PART:
            high = float(times[last + 1])
        if len(before) >= LEAST_PICTURES and before.mean() <= OTHER_SHARE and times[first] >= LEAST_PART:
            low = float(times[first])
    return low or 0.0, length if high is None else high


def _part(theme: Theme, begin: float, end: float) -> Theme:
    """What the theme's members play from `begin` to `end` s; one that has less than half of it has none of it."""
    members: dict[int, list[Occurrence]] = {}
    for episode, ones in theme.members.items():
        for one in ones:
            own_length = (one.end - one.start) * one.rate
            from_here = one.start + begin / one.rate
            to_here = one.end if end >= theme.length else min(one.end, one.start + end / one.rate)
            if min(own_length, end) - begin >= (end - begin) / 2:
                members.setdefault(episode, []).append(one._replace(start=from_here, end=to_here))
    return replace(theme, members=members, length=end - begin)
