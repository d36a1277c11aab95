"""Seasons known from their plans alone (synth/episodes): what the sources would tell of them, errors and all.

    season = planned_season(plan_season(0, 3, "drawn", Sizes()), networks=True)

Nothing is drawn or decoded, so thousands of episodes cost seconds. What repeats follows from the plan: which clips are
seen and heard in several episodes, and what always follows what. The errors of the sources are assumed; the constants
below say which.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from episodes.candidates import MOMENTS, TYPICAL, USUAL_RULES
from episodes.chapter_evidence import from_chapters
from episodes.chapters import Chapter, type_of_title
from episodes.evidence import Curve, EpisodeEvidence, Evidence
from episodes.learning import KnownSeason
from episodes.markers import Marker
from episodes.reading import HEAD_SECONDS, TAIL_SECONDS
from episodes.repeats import LEAST_SECONDS
from episodes.season_evidence import repeats_of
from synth.episodes.plan import EpisodePlan, SeasonPlan, Truth, speed

EDGE_ERROR = 0.01           # s; of a theme's edges
SPREAD = 0.02               # s; the error that they are thought to have
WILD, WILD_ERROR = 0.005, 4.0     # share of themes with an edge that is further off, and by up to how much, s
FOUND = {"theme": 0.99, "sound alone": 0.8, "quiet": 0.4}      # probability that an occurrence is found
QUIET = -24.0               # dB; a repeated sound below it is quiet
CUT_SEEN, STRAY_CUT = 0.7, 0.3    # probability of a moment at a true edge, and of another one within 3 s
NETWORK_RIGHT, NETWORK_ERROR = 0.85, 0.25      # share of boundaries that the networks find, and their error, s
NETWORK_FOOLED = 0.05       # share of the episodes without a boundary where they are sure of one
HEARD_RIGHT, HEARD_ERROR = 0.95, 0.25      # of the other edges of themes whose one edge the networks tell rightly
SHOT = 4.0                  # s; between two cuts near an edge that only the sound tells, on average
LACKS = ((), ("moments",), ("repeats",), ("moments", "repeats"))      # what some seasons know nothing of


@dataclass
class _Played:
    start: float
    end: float
    sound: float
    pictures: float
    spreads: tuple[float, float] = (SPREAD, SPREAD)


@dataclass
class _Theme:
    members: dict[int, list[_Played]]


def planned_season(plan: SeasonPlan, networks: bool = False, lacking: Sequence[str] = ()) -> KnownSeason:
    """The evidence of a planned season; the same plan gives the same errors.

    `lacking`: moments, where no pictures can be read near the edges; repeats, where each episode is alone. As locate.py
    does, it leaves a movie to itself, and compares one version of an episode with the season.
    """
    plan = replace(plan, episodes=tuple(each for each in plan.episodes
                                        if each.numbers and "second version" not in each.cases))
    rng = random.Random(f"evidence/{plan.seed}/{plan.index}/{plan.family}")
    durations = [episode.duration for episode in plan.episodes]
    repeats = repeats_of(_themes(plan, rng), durations)
    names = [episode.path for episode in plan.episodes]
    truth = {episode.path: tuple(Marker(true.type, true.start, true.end) for true in episode.truth)
             for episode in plan.episodes}
    if "repeats" in lacking:
        repeats = [[] for _ in repeats]
    episodes = {episode.path: _evidence(episode, rng, networks) for episode in plan.episodes}
    if "moments" in lacking:
        episodes = {name: replace(each, spans=tuple(span for span in each.spans if span.source not in MOMENTS))
                    for name, each in episodes.items()}
    counts = {episode.path: len(episode.numbers) for episode in plan.episodes}
    return KnownSeason(episodes, dict(zip(names, repeats, strict=True)), truth, USUAL_RULES, counts)


def _themes(plan: SeasonPlan, rng: random.Random) -> list[_Theme]:
    """The clips that several episodes share; of clips that always follow each other, one theme."""
    seen, heard = _places(plan)
    chains = _chains(seen, heard)
    themes = []
    for chain in chains:
        members = _members(plan, chain, seen, heard, rng)
        if len(members) < 2:
            continue
        wild = [rng.uniform(-WILD_ERROR, WILD_ERROR) * (rng.random() < WILD) for _ in range(2)]
        for ones in members.values():
            for one in ones:
                one.start += wild[0] + rng.gauss(0, EDGE_ERROR)
                one.end += wild[1] + rng.gauss(0, EDGE_ERROR)
        themes.append(_Theme({place: [one for one in ones if one.end - one.start > LEAST_SECONDS]
                              for place, ones in members.items()}))
    return themes


def _places(plan: SeasonPlan) -> tuple[dict, dict]:
    """{clip: [(episode, start, end)]} of what is seen whole, and {clip: [(episode, start, end, language, level)]}."""
    seen, heard = defaultdict(list), defaultdict(list)
    for number, episode in enumerate(plan.episodes):
        faster, now = speed(episode.copy, episode.fps), 0.0
        for piece in episode.shown:
            if piece.start == 0 and piece.seconds > 0.8 * piece.clip.segments[0].seconds:
                seen[piece.clip.name].append((number, now / faster, (now + piece.seconds) / faster))
            now += piece.seconds
        for piece in episode.heard:
            length = min(piece.seconds, piece.clip.segments[0].seconds)
            heard[piece.clip.name].append((number, piece.at / faster, (piece.at + length) / faster, piece.language,
                                           piece.level))
    return seen, heard


def _chains(seen: dict, heard: dict) -> list[tuple[str, ...]]:
    """The shared clips: those that in all episodes follow one another, nowhere apart, are one chain."""
    shared = [name for name in heard if len({each[0] for each in heard[name]}) > 1]
    after: dict[str, str] = {}
    for one in shared:
        for other in shared:
            if other != one and len(seen[one]) == len(seen[other]) > 0 and all(
                    any(a[0] == b[0] and abs(a[2] - b[1]) < 0.01 for b in seen[other]) for a in seen[one]):
                after[one] = other
    chains = []
    for name in shared:
        if name not in after.values():
            chain = [name]
            while chain[-1] in after:
                chain.append(after[chain[-1]])
            chains.append(tuple(chain))
    return chains


def _members(plan: SeasonPlan, chain: tuple[str, ...], seen: dict, heard: dict, rng: random.Random) -> dict:
    members: dict[int, list[_Played]] = {}
    first, last = chain[0], chain[-1]
    for number, start, end, language, level in heard[first]:
        pictures = [each for each in seen[first] if each[0] == number and abs(each[1] - start) < 1.0]
        found = "theme" if pictures else "quiet" if level < QUIET else "sound alone"
        if rng.random() > FOUND[found]:
            continue
        if len(chain) > 1 and pictures:
            end = next((each[2] for each in seen[last] if each[0] == number and each[1] > start), end)
        if end - start < LEAST_SECONDS:
            continue
        members.setdefault(number, []).append(
            _Played(start, min(end, plan.episodes[number].duration), 0.2 if language else 1.0, float(bool(pictures))))
    return members


# ---------------------------------------------------------------- one episode


def _evidence(episode: EpisodePlan, rng: random.Random, networks: bool) -> EpisodeEvidence:
    duration = episode.duration
    chapters = [Chapter(start, end, title, type_of_title(title)) for start, end, title in episode.chapters]
    spans = list(from_chapters(chapters, duration))
    for part in episode.parts:
        for time in (part.start, part.end):
            times = [time + rng.gauss(0, 0.005)] * (rng.random() < CUT_SEEN)
            times += [time + rng.uniform(-3, 3)] * (rng.random() < STRAY_CUT)
            spans += [Evidence("cut", None, moment, moment, 0.8) for moment in times if 0 <= moment <= duration]
    if not networks:
        return EpisodeEvidence(duration, tuple(spans))
    curves = []
    for kind, edge in (("opening", "end"), ("ending", "start")):
        told, curve, right = _network(episode, kind, edge, rng)
        heard, heard_curve = _heard(episode, told, right, rng)
        spans += [told, heard]
        curves += [curve, heard_curve]
        place = heard.end if heard.start is None else heard.start
        spans += [Evidence("cut", None, time, time, 0.8) for time in (
            place + rng.uniform(-2, 2) for _ in range(round(rng.expovariate(SHOT / 4)))) if 0 <= time <= duration]
    return EpisodeEvidence(duration, tuple(spans), tuple(curves))


def _network(episode: EpisodePlan, kind: str, edge: str, rng: random.Random) -> tuple[Evidence, Curve, Truth | None]:
    """What the networks would say of an edge, in the head or tail that they see; and whose edge that is, if any's."""
    duration = episode.duration
    opens = kind == "opening"
    low, high = (0.0, min(HEAD_SECONDS, duration)) if opens else (max(0.0, duration - TAIL_SECONDS), duration)
    true = [each for each in episode.truth if each.type == kind and low < getattr(each, edge) < high]
    if right := bool(true) and rng.random() < NETWORK_RIGHT:
        time = getattr(true[0], edge) + rng.choice((-1, 1)) * rng.expovariate(1 / NETWORK_ERROR)
        sure = rng.betavariate(8, 1.2)
    else:
        time, fooled = rng.uniform(low, high), rng.random() < NETWORK_FOOLED
        sure = rng.betavariate(6, 2) if fooled else rng.betavariate(2, 6)
    time = min(max(time, low), high - 0.3)
    values = np.full(int(duration * 4) + 1, np.nan, np.float32)
    values[int(low * 4):int(high * 4)] = (1 - sure) / (4 * (high - low))
    values[int(time * 4)] = sure
    told = Evidence("networks", kind, time if edge == "start" else None, time if edge == "end" else None, sure)
    return told, Curve("networks", kind, edge, 0.25, values), true[0] if right else None


def _heard(episode: EpisodePlan, told: Evidence, right: Truth | None, rng: random.Random) -> tuple[Evidence, Curve]:
    """What the sound would say of the edge that the networks do not tell."""
    edge, sign = ("start", -1) if told.start is None else ("end", 1)
    if right and rng.random() < HEARD_RIGHT:
        time = getattr(right, edge) + rng.choice((-1, 1)) * rng.expovariate(1 / HEARD_ERROR)
        sure = rng.betavariate(8, 1)
    else:
        usual = rng.random() < 0.5      # nothing parts theme from story: the usual length is as good as any
        length, sure = TYPICAL if usual else rng.uniform(60, 140), rng.betavariate(3, 3)
        time = (told.end if told.start is None else told.start) + sign * length
    time = min(max(time, 0.0), episode.duration - 0.3)
    values = np.full(int(episode.duration * 4) + 1, np.nan, np.float32)
    values[int(time * 4)] = sure
    return (Evidence("sound", told.kind, *((time, None) if edge == "start" else (None, time)), sure),
            Curve("sound", told.kind, edge, 0.25, values))
