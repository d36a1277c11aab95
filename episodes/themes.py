"""Runs joined into themes: what several episodes share, such as an opening, wherever each of them plays it.

    for theme in themes(found, prints):
        theme.members[3]               # [Occurrence(start=61.2, end=151.2, rate=1.0, sound=1.0, pictures=1.0)]
        features(theme, prints)        # {"num_members": 11.0, "share": 0.92, "length": 90.0, ...}

A song that is also sung within the story is an occurrence whose sound agrees with the others and whose pictures do not.
What a theme is (an opening, an ending, a recap) is not decided here.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from episodes.diagonals import Run, share_within
from episodes.fingerprint import RETIMED, Prints

SAME_OVERLAP = 0.4         # of two stretches' union; with more, they are the same part of an episode
EDGE_SECONDS = 1.5         # edges of runs that are nearer belong together
INNER_SECONDS = 5.0        # a run is cut no nearer to its edges
LEAST_EDGES = 2            # runs that end at a place where others are cut
LEAST_EDGE_SHARE = 0.5     # of the runs that pass the place
SLACK_SECONDS = 1.0        # two witnesses of one run lie at most this far apart
SAME_PART = 0.5            # of a run that lies within one of the other witness; with more, both tell of one part
SHARED_SECONDS = 4.0       # an occurrence whose edge is nearer to the theme's has the theme's
MOST_CARD = 0.3            # of a theme's length, that a card beside it may be long
LEAST_WITHOUT = 0.2        # of a theme's occurrences, that show where it ends because no card follows them


class Occurrence(NamedTuple):
    """Where an episode plays a theme.

    start, end  seconds from the file's time zero
    rate        how much faster than most members: 1.0, RETIMED or 1 / RETIMED
    sound       share of the other occurrences it was compared with whose sound agrees
    pictures    the same, of pictures
    spreads     mean error of start and end, s; None for an edge that is only as fine as the prints
    """

    start: float
    end: float
    rate: float
    sound: float
    pictures: float
    spreads: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Theme:
    """members: episode's place in the sequence -> its occurrences, by time. `length`: s, at the speed of most."""

    members: dict[int, list[Occurrence]]
    length: float


@dataclass(frozen=True)
class _Link:
    """A run with both witnesses: a score from 0 to 1 each. `exact`: sound tells both edges, not keyframes near them."""

    run: Run
    sound: float
    pictures: float
    exact: bool = True


def themes(found: Sequence[Run], prints: Sequence[Prints]) -> list[Theme]:
    """Runs as themes, those with the most members first. A run is cut where a theme of others begins or ends."""
    links = _without_cards(_cut(_both_witnesses(found)))
    made = [_theme(links, laid) for laid in _laid(links)]
    return sorted(made, key=lambda theme: (-len(theme.members), -theme.length))


def features(theme: Theme, prints: Sequence[Prints]) -> dict[str, float]:
    """What tells openings, endings and the rest apart; medians over all occurrences.

    num_members, share (of all episodes), share_between (of those from the first member to the last)
    length, start (s from the file's start), to_end (s from the end to the file's), start_share, end_share (of the
    duration), start_spread, to_end_spread (median deviation, s)
    sound, pictures (0 to 1), most_times (in one episode), other_pictures (share of occurrences where pictures differ)
    """
    spans = [(number, one) for number, ones in theme.members.items() for one in ones]
    start = np.array([one.start for _, one in spans])
    to_end = np.array([prints[number].duration - one.end for number, one in spans])
    duration = np.array([prints[number].duration for number, _ in spans])
    pictures = np.array([one.pictures for _, one in spans])
    numbers = sorted(theme.members)
    found = {
        "num_members": len(numbers), "share": len(numbers) / len(prints),
        "share_between": len(numbers) / (numbers[-1] - numbers[0] + 1), "length": theme.length,
        "start": np.median(start), "to_end": np.median(to_end), "start_share": np.median(start / duration),
        "end_share": np.median(1 - to_end / duration), "start_spread": _spread(start), "to_end_spread": _spread(to_end),
        "sound": np.median([one.sound for _, one in spans]), "pictures": np.median(pictures),
        "most_times": max(map(len, theme.members.values())),
        "other_pictures": np.mean((pictures < 0.5 * pictures.max()) & (pictures.max() > 0)),
    }
    return {name: float(value) for name, value in found.items()}


def _spread(values: np.ndarray) -> float:
    return float(np.median(np.abs(values - np.median(values))))


# ---------------------------------------------------------------- runs


def _both_witnesses(found: Sequence[Run]) -> list[_Link]:
    """Runs of sound, with the share of each that pictures confirm; then the runs that pictures alone tell of.

    What both share, but pictures lay otherwise upon each other, is as the sound tells: held pictures fit in many ways.
    What sounds the same here and there in a part that looks the same is one run, as where another voice sings.
    """
    by_pair: dict[tuple[int, int], tuple[list[Run], list[Run]]] = {}
    for run in found:
        by_pair.setdefault((run.a, run.b), ([], []))[run.witness == "pictures"].append(run)
    return [link for heard, seen in by_pair.values() for link in _links(heard, seen)]


def _links(heard: list[Run], seen: list[Run]) -> list[_Link]:
    """The links of one pair of episodes."""
    found, joined = [], set()
    for one in seen:
        if any(share_within(one, run) > SAME_PART for run in heard):
            continue
        parts = [run for run in heard if _same_diagonal(one, run) and share_within(run, one) > SAME_PART]
        first, last = (choose([one, *parts], key=lambda run: run.start_a if choose is min else run.end_a)
                       for choose in (min, max))
        whole = replace(one, start_a=first.start_a, start_b=first.start_b, end_a=last.end_a, end_b=last.end_b)
        share = sum(run.score * (run.end_a - run.start_a) for run in parts) / (whole.end_a - whole.start_a)
        found.append(_Link(whole, min(1.0, share), one.score, one not in (first, last)))
        joined |= {id(run) for run in parts}
    for run in heard:
        if id(run) not in joined:
            confirming = [one.score for one in seen if _same_diagonal(run, one)
                          and max(share_within(one, run), share_within(run, one)) > SAME_PART]
            found.append(_Link(run, run.score, max(confirming, default=0.0)))
    return found


def _same_diagonal(one: Run, other: Run) -> bool:
    """Whether two runs of a pair lay the same moments upon each other."""
    middle = (max(one.start_b, other.start_b) + min(one.end_b, other.end_b)) / 2
    at_one, at_other = (run.start_a + (middle - run.start_b) * run.rate for run in (one, other))
    return abs(at_one - at_other) < SLACK_SECONDS


def _sides(links: Sequence[_Link]) -> np.ndarray:
    """float64 (2 * links, 3): episode, start, end."""
    return np.array([(link.run.a, link.run.start_a, link.run.end_a) for link in links]
                    + [(link.run.b, link.run.start_b, link.run.end_b) for link in links]).reshape(-1, 3)


def _cut(links: list[_Link]) -> list[_Link]:
    """Runs cut where many others begin or end, as where one pair shares a recap and the opening after it.

    Where there is sound, it alone tells such places: pictures begin and end at the nearest keyframes.
    """
    if not links:
        return []
    sides, number = _sides(links), len(links)
    exact = np.tile([link.exact for link in links], 2)
    tells = exact if exact.any() else ~exact
    places: list[set[float]] = [set() for _ in links]      # seconds of a
    for side in (0, 1):
        for episode in np.unique(sides[:, 0]):
            here = np.flatnonzero(sides[:, 0] == episode)
            for place in _common_edges(sides[here[tells[here]], 1:], sides[here, 1:]):
                inside = here[(sides[here, 1] < place - INNER_SECONDS) & (sides[here, 2] > place + INNER_SECONDS)]
                for index in inside[(inside >= number) == side].tolist():
                    run = links[index % number].run
                    at_a = run.start_a + (place - run.start_b) * run.rate if side else place
                    if all(abs(at_a - other) > INNER_SECONDS for other in places[index % number]):
                        places[index % number].add(at_a)
    return [part for link, cuts in zip(links, places, strict=True) for part in _parts(link, sorted(cuts))]


def _common_edges(telling: np.ndarray, every: np.ndarray) -> list[float]:
    """Places in one episode where enough of the runs that tell begin or end, beside all that pass; (n, 2) each."""
    edges = np.sort(telling.ravel())
    groups = np.split(edges, np.flatnonzero(np.diff(edges) > EDGE_SECONDS) + 1) if len(edges) else []
    found = []
    for group in groups:
        place = float(np.median(group))
        passing = np.count_nonzero((every[:, 0] < place - INNER_SECONDS) & (every[:, 1] > place + INNER_SECONDS))
        if passing and len(group) >= max(LEAST_EDGES, LEAST_EDGE_SHARE * passing):
            found.append(place)
    return found


def _parts(link: _Link, cuts: Iterable[float]) -> list[_Link]:
    run = link.run
    bounds = [run.start_a, *cuts, run.end_a]
    parts = []
    for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
        at_b = [run.start_b + (time - run.start_a) / run.rate for time in (begin, end)]
        parts.append(replace(link, run=replace(run, start_a=begin, end_a=end, start_b=at_b[0], end_b=at_b[1])))
    return parts


def _without_cards(links: list[_Link]) -> list[_Link]:
    """Links cut where some occurrences of their theme end, or begin, and the others go on.

    So an opening that most episodes follow with a sponsor's card ends where it ends in those without the card.
    """
    places: dict[int, list[float]] = {}      # of a link, seconds of a
    for laid in _laid(links):
        extents = _extents(links, laid)
        for side in (0, 1):
            place = _inner_edge(extents, side)
            if place is None:
                continue
            for index, one, _ in laid.between:
                run = links[index].run
                at_a = place / laid.speed[one] + laid.zero[one]
                if run.start_a + SHARED_SECONDS < at_a < run.end_a - SHARED_SECONDS:
                    places.setdefault(index, []).append(at_a)
    return [part for index, link in enumerate(links) for part in _parts(link, sorted(places.get(index, ())))]


def _extents(links: Sequence[_Link], laid: "_Laid") -> np.ndarray:
    """float64 (n, 2): the theme's own times from the first to the last moment that each occurrence shares with any
    other one. Only of those that sound like at least two others, and look like most of these, if any in the theme do.
    """
    heard = [(one, other, links[index]) for index, one, other in laid.between if links[index].exact]
    seen = any(link.pictures > 0 for _, _, link in heard)
    found = []
    for occurrence in range(len(laid.speed)):
        mine = [(one, link) for one, other, link in heard if occurrence in (one, other)]
        if len(mine) < LEAST_EDGES or seen and np.mean([link.pictures > 0 for _, link in mine]) <= 0.5:
            continue
        edges = [[(time - laid.zero[one]) * laid.speed[one] for time in (link.run.start_a, link.run.end_a)]
                 for one, link in mine]
        found.append((min(start for start, _ in edges), max(end for _, end in edges)))
    return np.array(found).reshape(-1, 2)


def _inner_edge(extents: np.ndarray, side: int) -> float | None:
    """Where enough occurrences begin (side 0) or end (1) well within the others; None where there are none."""
    if len(extents) < LEAST_EDGES + 1:
        return None
    edges = -extents[:, 0] if side == 0 else extents[:, 1]
    most = np.percentile(edges, 75)
    inner = edges[(most - edges > SHARED_SECONDS) & (most - edges < MOST_CARD * np.median(np.ptp(extents, axis=1)))]
    place = float(np.median(inner)) if len(inner) else 0.0
    if np.count_nonzero(np.abs(inner - place) < EDGE_SECONDS) < max(1.0, LEAST_WITHOUT * len(extents)):
        return None
    return -place if side == 0 else place


# ---------------------------------------------------------------- themes


class _Laid(NamedTuple):
    """A theme's links laid upon each other.

    sides       int64 (n,): of the links' sides (see _sides), those of the theme
    occurrence  int64 (n,): of each side
    between     (link, occurrence of its a, occurrence of its b)
    speed, zero  of each occurrence: how fast it is played, and its file time at which the theme's own time is 0
    """

    sides: np.ndarray
    occurrence: np.ndarray
    between: list[tuple[int, int, int]]
    speed: list[float]
    zero: list[float]


def _laid(links: Sequence[_Link]) -> list[_Laid]:
    """The links by theme."""
    if not links:
        return []
    sides, number = _sides(links), len(links)
    same = _same_places(sides)
    pairs = np.concatenate([same, np.stack([np.arange(number), np.arange(number) + number], axis=1)])
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(sides), len(sides)))
    _, theme_of = connected_components(graph, directed=False)
    places = coo_array((np.ones(len(same), bool), (same[:, 0], same[:, 1])), shape=(len(sides), len(sides)))
    _, place_of = connected_components(places, directed=False)
    found = []
    for label in np.unique(theme_of):
        mine = np.flatnonzero(theme_of == label)
        labels, occurrence = np.unique(place_of[mine], return_inverse=True)
        of_side = dict(zip(mine.tolist(), occurrence.tolist(), strict=True))
        between = [(side, of_side[side], of_side[side + number]) for side in mine.tolist() if side < number]
        runs = [(one, other, links[index].run) for index, one, other in between]
        speed = _speeds([(one, other, run.rate) for one, other, run in runs], len(labels))
        found.append(_Laid(mine, occurrence, between, speed, _zeros(runs, speed)))
    return found


def _same_places(sides: np.ndarray) -> np.ndarray:
    """Pairs of sides, int64 (n, 2), that are the same part of an episode."""
    found = [np.zeros((0, 2), np.int64)]
    order = np.argsort(sides[:, 0], kind="stable")
    for here in np.split(order, np.flatnonzero(np.diff(sides[order, 0])) + 1):
        start, end = sides[here, 1], sides[here, 2]
        both = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
        either = np.maximum(end[:, None], end) - np.minimum(start[:, None], start)
        one, other = np.nonzero(np.triu(both > SAME_OVERLAP * either, 1))
        found.append(np.stack([here[one], here[other]], axis=1))
    return np.concatenate(found)


def _theme(links: Sequence[_Link], laid: _Laid) -> Theme:
    """The theme of some links, with the same part for all occurrences whose own edges are near it."""
    number, sides, (mine, occurrence_of, between, speed, zero) = len(links), _sides(links), laid
    edges = np.array([((time - zero[one]) * speed[one]) for index, one, _ in between
                      for time in (links[index].run.start_a, links[index].run.end_a)]).reshape(-1, 2)
    exact = np.array([links[index].exact for index, _, _ in between])
    usual = np.median(edges[exact] if exact.any() else edges, axis=0)      # of the theme's own time
    members: dict[int, list[Occurrence]] = {}
    lengths = []
    for occurrence in range(len(speed)):
        here = mine[occurrence_of == occurrence]
        own = (np.median(sides[here, 1:], axis=0) - zero[occurrence]) * speed[occurrence]
        start, end = np.where(np.abs(own - usual) < SHARED_SECONDS, usual, own) / speed[occurrence] + zero[occurrence]
        mine_links = [links[side % number] for side in here.tolist()]
        sound = float(np.mean([link.sound > 0 for link in mine_links]))
        pictures = float(np.mean([link.pictures > 0 for link in mine_links]))
        lengths.append((end - start) * speed[occurrence])
        members.setdefault(int(sides[here[0], 0]), []).append(
            Occurrence(max(0.0, float(start)), float(end), speed[occurrence], sound, pictures))
    return Theme({episode: _once(members[episode]) for episode in sorted(members)}, float(np.median(lengths)))


def _once(ones: list[Occurrence]) -> list[Occurrence]:
    """An episode's occurrences by time, without those that lie within longer ones, as where a song repeats its bars."""
    kept: list[Occurrence] = []
    for one in sorted(ones, key=lambda one: one.start - one.end):
        if all(min(one.end, other.end) - max(one.start, other.start) < (one.end - one.start) / 2 for other in kept):
            kept.append(one)
    return sorted(kept)


def _zeros(between: Sequence[tuple[int, int, Run]], speed: Sequence[float]) -> list[float]:
    """Each occurrence's file time at which the theme's own time is 0: of the first, that of its file.

    Runs of one theme begin and end here and there, but which moments they lay upon each other is the same for all. The
    longest runs tell first.
    """
    near: dict[int, list[tuple[float, int, int, float, float]]] = {}
    for one, other, run in between:
        shorter = run.start_b - run.end_b
        near.setdefault(one, []).append((shorter, one, other, run.start_a, run.start_b))
        near.setdefault(other, []).append((shorter, other, one, run.start_b, run.start_a))
    zero = {0: 0.0}
    waiting = list(near.get(0, ()))
    heapq.heapify(waiting)
    while waiting:
        _, known, other, at_known, at_other = heapq.heappop(waiting)
        if other not in zero:
            zero[other] = at_other - (at_known - zero[known]) * speed[known] / speed[other]
            for link in near[other]:
                heapq.heappush(waiting, link)
    return [zero.get(occurrence, 0.0) for occurrence in range(len(speed))]


def _speeds(runs: list[tuple[int, int, float]], number: int) -> list[float]:
    """How fast each of so many occurrences is played, from (one, other, rate of the other) of the runs between them."""
    near: dict[int, list[tuple[int, int]]] = {}
    for one, other, rate in runs:
        step = round(np.log(rate) / np.log(RETIMED))
        near.setdefault(one, []).append((other, step))
        near.setdefault(other, []).append((one, -step))
    steps = {0: 0}
    waiting = [0]
    while waiting:
        one = waiting.pop()
        for other, step in near.get(one, ()):
            if other not in steps:
                steps[other] = steps[one] + step
                waiting.append(other)
    usual = Counter(steps.values()).most_common(1)[0][0]
    return [float(RETIMED ** (steps.get(occurrence, usual) - usual)) for occurrence in range(number)]
