"""What a season's themes say of each of its episodes, in the form that joining.py takes.

    repeats = repeats_of(themes, durations)      # repeats[3]: the parts of the fourth episode that others share
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from episodes.candidates import STORY
from episodes.evidence import Repeat

HEAD, TAIL = 0.25, 0.8      # of an episode: a recap lies before the one, a preview after the other
SPREAD = 0.3      # s; mean error of a theme's edge that is only as fine as the prints


class Played(Protocol):
    """Where an episode plays a theme, s; shares of the other occurrences whose sound and whose pictures agree.

    `spreads`: mean error of start and end, s, or None.
    """

    start: float
    end: float
    sound: float
    pictures: float
    spreads: tuple[float | None, float | None]


class Theme(Protocol):
    """A theme's occurrences, by the place of their episode in the season."""

    members: Mapping[int, Sequence[Played]]


def repeats_of(themes: Sequence[Theme], durations: Sequence[float]) -> list[list[Repeat]]:
    """For each episode of a season the themes that it plays; `durations` (s) of all its episodes, in their order.

    Where no pictures agree in the whole season, they were not compared.
    """
    found: list[list[Repeat]] = [[] for _ in durations]
    seen = any(one.pictures > 0 for theme in themes for ones in theme.members.values() for one in ones)
    for number, theme in enumerate(themes):
        middles = [(one.start + one.end) / 2 / durations[place] for place, ones in theme.members.items()
                   for one in ones]
        position = float(np.clip(np.median(middles), 0, 1)) if middles else 0.0
        retold = _retold(theme, durations)
        for place, ones in theme.members.items():
            found[place] += [Repeat(
                number, max(0.0, one.start), min(one.end, durations[place]), _spread(one.spreads[0]),
                len(theme.members), len(theme.members) / len(durations), position, one.sound,
                one.pictures if seen else math.nan, _spread(one.spreads[1]), retold.get(place)) for one in ones]
    return [sorted(repeats, key=lambda each: each.start) for repeats in found]


def _retold(theme: Theme, durations: Sequence[float]) -> dict[int, str]:
    """{place: recap or preview} of an episode that begins with a part of the last one, or ends with one of the next.

    So where two episodes that follow each other alone share a part, seen and heard the same, and it lies within the
    story of the other one.
    """
    if len(theme.members) != 2:
        return {}
    (first, ones), (second, others) = sorted(theme.members.items())
    if second - first != 1 or len(ones) > 1 or len(others) > 1 or min(ones[0].pictures, others[0].pictures) < 0.5:
        return {}
    here = (ones[0].start + ones[0].end) / 2 / durations[first]
    there = (others[0].start + others[0].end) / 2 / durations[second]
    if there < HEAD and STORY[0] < here < STORY[1]:
        return {second: "recap"}
    if here > TAIL and STORY[0] < there < STORY[1]:
        return {first: "preview"}
    return {}


def _spread(told: float | None) -> float:
    return SPREAD if told is None else told
