"""Parts of an episode that may be its opening, ending, recap or preview, each with what speaks for and against it.

    for candidate in candidates(evidence, repeats, rules):
        features(candidate, evidence, repeats, rules)      # float64 (len(FEATURES),), what joining.py judges by
        edge_of(candidate, "start", evidence, rules)       # where exactly, and how surely
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from episodes.evidence import Curve, EpisodeEvidence, Evidence, Repeat

LONGEST = 150.0            # s; of an opening or ending
TYPICAL = 90.0              # s; most openings and endings last this long, to the second
LONGEST_PREVIEW = 45.0      # s
USUAL = (80.0, 95.0)        # s; nearly all of the others
NETWORK_EDGE = {"opening": "end", "ending": "start"}       # what the boundary networks are asked for
# s; mean error of an edge that a source tells; the sound's is that of a theme whose other edge the networks tell
SPREADS = {"person": 0.02, "chapters": 0.4, "networks": 0.6, "sound": 0.2,
           "recogniser": 1.0}       # a recogniser scores whole seconds; assumed, as there is none to measure
MOMENTS = {"cut": 0.05, "black": 0.15, "silence": 0.25}    # the same of the moments at which one part becomes another
GUESSED = 3.0               # s; of an edge that nothing tells
NEAR = {"chapters": 3.0, "networks": 1.5, "moments": 1.0}  # s; within which a source means this edge
LEAST_SNAP = 0.12           # s; an edge is moved to a moment at least this near, up to SNAP times its spread
SNAP = 3.0
SAME = 0.7                  # share of their union in which two spans overlap that mean the same part
CARD = (2.0, 20.0)          # s; by how much a repeat is longer than an opening or ending where a card is part of it
STORY = (0.3, 0.7)          # of an episode; a theme that one other episode plays there may be a part of its story
AT_END = 3.0                # s; what ends this near to the file's end ends the file
AGREE = 1.5                 # s; edges that are further apart contradict each other
EXACT = 0.5                 # s; how exactly openings and endings are of the usual length
MOST_GUESSES = 6            # edges tried where the networks tell only the other one
KINDS = ("opening", "ending", "recap", "preview")


@dataclass(frozen=True)
class Rules:
    """What may be a marker, and what errors cost.

    lengths        s; the shortest and longest opening or ending
    story, missed  what a second of story costs that is skipped, and a marker that is missed
    tolerance      s; of story that may be skipped at an edge for nothing
    most_story     s; that count of one wrong marker: a viewer who sees that a skip is wrong goes back, and has lost the
                   few seconds that this takes. With the usual prices, a marker needs a probability above 30/31. Were
                   all 90 s of a theme counted, it would need 900/901, which no model can be held to: to show that one
                   of 900 is wrong takes thousands of episodes
    """

    lengths: tuple[float, float] = (20.0, LONGEST)
    story: float = 10.0
    missed: float = 1.0
    tolerance: float = 1.0
    most_story: float = 3.0

    @property
    def scale(self) -> float:
        """How much shorter than usual all is, in short episodes made for tests."""
        return min(1.0, self.lengths[1] / LONGEST)


USUAL_RULES = Rules()


@dataclass(frozen=True)
class Candidate:
    """A part that may be `kind`, as one source (or `repeat`) tells it; `guessed` names the edge that it does not."""

    kind: str
    start: float
    end: float
    source: str
    repeat: Repeat | None = None
    guessed: str | None = None

    @property
    def length(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Edge:
    """Where a candidate starts or ends: seconds, the mean error to expect, and the sources that agree."""

    time: float
    spread: float
    sources: tuple[str, ...] = ()


def candidates(
    evidence: EpisodeEvidence, repeats: Sequence[Repeat], rules: Rules, count: int = 1
) -> list[Candidate]:
    """All parts that may be marked, of a plausible length; several may mean the same part.

    `count`: the number of episodes that the file holds, one after the other.
    """
    found = [Candidate(kind, each.start, min(each.end, evidence.duration), "sound", each)
             for repeat in repeats for each in (repeat, *_without_card(repeat, evidence, rules))
             for kind in ((repeat.retold,) if repeat.retold else ("opening", "ending"))]
    found += [Candidate("preview", repeat.start, evidence.duration, "sound", repeat) for repeat in repeats
              if _is_preview_music(repeat, repeats, evidence.duration, rules)]
    for told in evidence.of("chapters", "recogniser", "text"):
        if told.is_span:
            kinds = (told.kind,) if told.kind else ("opening", "ending") if told.source == "chapters" else ()
            found += [Candidate(kind, told.start, told.end, told.source) for kind in kinds]
        elif told.kind and told.start is not None and told.end is None:
            found += _with_guesses(told, evidence, rules)
    for told in evidence.of("networks"):
        if told.kind and not told.is_span:
            found += _with_guesses(told, evidence, rules)
    return [each for each in found if _is_plausible(each, evidence.duration, rules, count)]


def _is_preview_music(repeat: Repeat, repeats: Sequence[Repeat], duration: float, rules: Rules) -> bool:
    """Whether the same music with other pictures each time ends the file, after an ending's place."""
    return (repeat.pictures < 0.5 and duration - repeat.end < AT_END
            and repeat.end - repeat.start <= LONGEST_PREVIEW * rules.scale
            and any(duration / 2 < other.start and other.end <= repeat.start + AT_END
                    and other.end - other.start >= rules.lengths[0] for other in repeats))


def _without_card(repeat: Repeat, evidence: EpisodeEvidence, rules: Rules) -> list[Repeat]:
    """A theme of the usual length within a longer repeat, where a moment parts it from what is before or after it.

    A sponsor's card that follows each opening of a season repeats with it, as if it were a part of it.
    """
    usual = TYPICAL * rules.scale
    if not usual + CARD[0] * rules.scale <= repeat.end - repeat.start <= usual + CARD[1] * rules.scale:
        return []
    found = []
    for side, place in (("end", repeat.start + usual), ("start", repeat.end - usual)):
        near = [moment_of(each) for each in evidence.of(*MOMENTS) if abs(moment_of(each) - place) <= NEAR["moments"]]
        if near:
            time = min(near, key=lambda time: abs(time - place))
            found.append(replace(repeat, **{side: time}))
    return found


def _place(candidate: Candidate, duration: float, count: int) -> float:
    """Where the candidate's middle lies in its episode, 0 to 1; a file's `count` episodes are taken to be as long."""
    at = (candidate.start + candidate.end) / 2 / duration * count
    return at - min(max(0, count - 1), int(at))


def _is_plausible(candidate: Candidate, duration: float, rules: Rules, count: int) -> bool:
    low, high = rules.lengths
    if candidate.kind in ("recap", "preview"):
        low = low / 4
    middle = _place(candidate, duration, count)
    placed = {"opening": middle < 0.6, "ending": middle > 0.4}.get(candidate.kind, True)
    return low <= candidate.length <= high and 0 <= candidate.start and candidate.end <= duration + 0.5 and placed


def _with_guesses(told: Evidence, evidence: EpisodeEvidence, rules: Rules) -> list[Candidate]:
    """Candidates of which `told` says one edge: the other is where the sound stops to be the theme's, a moment or a
    chapter's edge, or the usual length away.

    Where the file's start or end is nearer than that, it is the other edge.
    """
    side, time = ("start", told.start) if told.start is not None else ("end", told.end)
    other, sign = ("end", 1) if side == "start" else ("start", -1)
    low, high = rules.lengths
    limit = evidence.duration if other == "end" else 0.0
    places = {moment_of(each) for each in evidence.of(*MOMENTS)}
    places |= {place for each in evidence.of("chapters") for place in (each.start, each.end) if place is not None}
    ranked = sorted((place for place in places if low <= sign * (place - time) <= high),
                    key=lambda place: abs(sign * (place - time) - TYPICAL * rules.scale))[:MOST_GUESSES]
    usual = time + sign * TYPICAL * rules.scale
    heard = [getattr(each, other) for each in evidence.of("sound") if each.kind == told.kind]
    guesses = [(place, None) for place in (*heard, *ranked) if place is not None]
    guesses.append((limit, None) if (usual - limit) * sign > -1.0 else (usual, other))
    return [Candidate(told.kind, *sorted((time, place)), told.source, None, guessed) for place, guessed in guesses]


def moment_of(each: Evidence) -> float:
    """The time at which black, silence or a cut parts what is before from what is after."""
    return (each.start + each.end) / 2


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """How much of their union two spans share, 0 to 1."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, shared / union) if union > 0 else 0.0


def _agree(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether both edges of two spans are the same but for what a chapter may be off."""
    return all(abs(a - b) <= AGREE for a, b in zip(one, other, strict=True))


# ---------------------------------------------------------------- where exactly


def edge_of(candidate: Candidate, side: str, evidence: EpisodeEvidence) -> Edge:
    """The best place of one edge, `side` start or end: told by the exactest source, moved to a moment within reach."""
    time = getattr(candidate, side)
    told = [Edge(time, candidate.repeat.spread_of(side), _heard(candidate.repeat))] if candidate.repeat else []
    for each in evidence.of("chapters"):
        place = getattr(each, side)
        if each.kind == candidate.kind and place is not None and abs(place - time) <= NEAR["chapters"]:
            told.append(Edge(place, SPREADS["chapters"] / max(each.confidence, 0.1), ("chapters",)))
        elif each.kind != candidate.kind:
            told += [Edge(place, 1.5 * SPREADS["chapters"], ("chapters",)) for place in (each.start, each.end)
                     if place is not None and abs(place - time) <= 1.0]
    for each in evidence.of("networks"):
        place = getattr(each, side)
        if each.kind == candidate.kind and place is not None and abs(place - time) <= NEAR["networks"]:
            told.append(Edge(place, SPREADS["networks"] / max(each.confidence, 0.1), ("networks",)))
    if candidate.source == "networks":      # the sound was listened to for these alone
        told += [Edge(getattr(each, side), SPREADS["sound"] / max(each.confidence, 0.1), ("sound",))
                 for each in evidence.of("sound") if each.kind == candidate.kind and getattr(each, side) == time]
    if candidate.source == "recogniser" and candidate.guessed != side:
        told.append(Edge(time, SPREADS["recogniser"], ("recogniser",)))
    at_limit = time == (0.0 if side == "start" else evidence.duration)
    if at_limit:
        told.append(Edge(time, 0.1))
    best = min(told, key=lambda edge: edge.spread, default=Edge(time, GUESSED))
    sources = tuple(dict.fromkeys(word for edge in told for word in edge.sources))
    snapped = _snap(best, evidence) if candidate.guessed != side and not at_limit else best
    return replace(snapped, sources=tuple(dict.fromkeys((*sources, *snapped.sources))))


def _heard(repeat: Repeat) -> tuple[str, ...]:
    """What the members of a theme agree in; the sound where nothing is known of that."""
    agreed = tuple(word for word in ("sound", "pictures") if getattr(repeat, word) > 0.5)
    return agreed or ("sound",)


def _snap(edge: Edge, evidence: EpisodeEvidence) -> Edge:
    """The edge at the nearest moment within reach; a cut before black, black before silence."""
    reach = max(LEAST_SNAP, SNAP * edge.spread)
    for source, spread in MOMENTS.items():
        places = [moment_of(each) for each in evidence.of(source)] if spread < edge.spread else []
        place = min(places, key=lambda place: abs(place - edge.time), default=math.inf)
        if abs(place - edge.time) <= reach:
            return Edge(place, spread + edge.spread / 10, (*edge.sources, source))
    return edge


# ---------------------------------------------------------------- what speaks for it


FEATURES = (
    "constant", "ending", "other kinds", "usual length", "exact length", "short", "place", "far from its place",
    "repeats", "members", "share", "sound agrees", "pictures agree", "pictures differ", "theme's place",
    "where the theme is", "seen elsewhere", "another's story", "within a longer repeat", "repeat with other edges",
    "chapter", "chapter with other edges", "chapter of another kind", "chapter's edges",
    "networks looked",
    "networks' weight", "credits", "moment at start", "moment at end", "guessed", "rival", "sources",
    "other edge's weight", "other edge untold", "recogniser",
)


def features(
    candidate: Candidate, evidence: EpisodeEvidence, repeats: Iterable[Repeat], rules: Rules, count: int = 1
) -> np.ndarray:
    """What speaks for and against a candidate, float64 (len(FEATURES),); each within -1 to 1, 0 where unknown.

    `count`: as for `candidates`.
    """
    middle = _place(candidate, evidence.duration, count)
    told = {"constant": 1.0, "ending": float(candidate.kind == "ending"),
            "other kinds": float(candidate.kind in ("recap", "preview")),
            "guessed": float(candidate.guessed is not None)}
    told |= _of_place(candidate, middle, rules)
    told |= _of_repeats(candidate, list(repeats), middle, evidence.duration)
    told |= _of_chapters(candidate, evidence)
    told |= _of_networks(candidate, evidence)
    told |= _of_other_edge(candidate, evidence, rules)
    told |= _of_pictures(candidate, evidence)
    told["recogniser"] = _more_within(candidate, evidence.curve("recogniser", candidate.kind))
    told["sources"] = (bool(told.get("repeats")) + (told["chapter"] > 0) + (told["networks' weight"] > 0.5)
                       + (told["credits"] > 0.1)) / 4
    return np.array([told.get(name, 0.0) for name in FEATURES])


def _of_place(candidate: Candidate, middle: float, rules: Rules) -> dict[str, float]:
    place = {"opening": 1 - middle, "ending": middle}.get(candidate.kind, max(middle, 1 - middle))
    low, high = (edge * rules.scale for edge in USUAL)
    return {"usual length": math.exp(-max(low - candidate.length, candidate.length - high, 0) / (10 * rules.scale)),
            "exact length": math.exp(-max(0.0, abs(candidate.length - TYPICAL * rules.scale) - EXACT) / EXACT),
            "short": float(candidate.length < 40 * rules.scale and candidate.kind in ("opening", "ending")),
            "place": place,
            "far from its place": float(place < 0.7)}


def _of_repeats(candidate: Candidate, repeats: list[Repeat], middle: float, duration: float) -> dict[str, float]:
    """Of the theme at this place; `rival`: how much more of the season another theme has that lies in the same half."""
    span = candidate.start, candidate.end
    same = [each for each in repeats if overlap((each.start, each.end), span) >= SAME]
    own = candidate.repeat or max((each for each in same if _agree((each.start, each.end), span)),
                                  key=lambda each: each.share, default=None)
    late = candidate.kind == "ending"
    others = [each.share for each in repeats if each not in (own, *same)
              and ((each.start + each.end) / 2 / duration > 0.5) == late]
    told = {"rival": max([0.0, *others]) - (own.share if own else 0.0)}
    if own is None:
        told["repeat with other edges"] = float(any(overlap((each.start, each.end), span) > 0.3 for each in repeats))
        return told
    longer = [each for each in repeats if own.theme == each.theme and each.start < span[1] and span[0] < each.end
              and each.end - each.start > own.end - own.start + CARD[0] / 2]
    told["within a longer repeat"] = float(bool(longer))
    fits = own.position if late else 1 - own.position
    where = max(0.0, 1 - 4 * abs(middle - own.position))
    other = 2 * own.position - middle      # of two members: where the other one lies
    seen = not math.isnan(own.pictures)
    # The music of previews has other pictures each time.
    agree = 1 - own.pictures if candidate.kind == "preview" and not own.retold else own.pictures
    return told | {
        "repeats": 1.0, "members": min(math.log2(max(own.members, 1)), 4) / 4, "share": own.share,
        "sound agrees": 0.0 if math.isnan(own.sound) else own.sound,
        "pictures agree": agree if seen else 0.0, "pictures differ": 1 - agree if seen else 0.0,
        "theme's place": fits, "where the theme is": where,
        # A last episode may end with the opening; a song that is sung within the story has other pictures.
        "seen elsewhere": own.pictures * (1 - where) if seen else 0.0,
        "another's story": float(own.members == 2 and not own.retold and STORY[0] < other < STORY[1]) * (1 - where)}


def _of_chapters(candidate: Candidate, evidence: EpisodeEvidence) -> dict[str, float]:
    span, own, other, beside, edges = (candidate.start, candidate.end), 0.0, 0.0, 0.0, [0.0, 0.0]
    for each in evidence.of("chapters"):
        spans = (each.start, candidate.end if each.end is None else each.end)
        agrees = overlap(spans, span) >= SAME
        if each.kind == candidate.kind and _agree(spans, span):
            own = max(own, each.confidence)
        elif each.kind == candidate.kind and overlap(spans, span) > 0.3:
            beside = 1.0
        elif each.kind and each.kind != candidate.kind and agrees:
            other = max(other, each.confidence)
        for index, time in enumerate(span):
            if any(place is not None and abs(place - time) <= 1.0 for place in (each.start, each.end)):
                edges[index] = 1.0
    return {"chapter": own, "chapter of another kind": other, "chapter with other edges": beside * (own == 0),
            "chapter's edges": sum(edges) / 2}


def _of_networks(candidate: Candidate, evidence: EpisodeEvidence) -> dict[str, float]:
    curve = evidence.curve("networks", candidate.kind)
    side = NETWORK_EDGE.get(candidate.kind)
    if side is None:
        return {"networks looked": 0.0, "networks' weight": 0.0}
    time = getattr(candidate, side)
    if curve is not None:
        weight = curve.around(time, 1.0)
        return {"networks looked": float(not math.isnan(weight)),
                "networks' weight": 0.0 if math.isnan(weight) else min(1.0, weight)}
    near = [each.confidence for each in evidence.of("networks") if each.kind == candidate.kind
            and getattr(each, side) is not None and abs(getattr(each, side) - time) <= NEAR["networks"]]
    return {"networks looked": float(bool(evidence.of("networks"))), "networks' weight": max(near, default=0.0)}


def _of_other_edge(candidate: Candidate, evidence: EpisodeEvidence, rules: Rules) -> dict[str, float]:
    """How sure the sound is of the edge that the networks do not tell, and whether anything but a moment tells it.

    An edge of a chapter tells it where the length is usual: a chapter may hold a scene and the opening after it.
    """
    side = {"end": "start", "start": "end"}.get(NETWORK_EDGE.get(candidate.kind))
    unnamed = candidate.source == "chapters" and not any(
        each.kind == candidate.kind and _agree((each.start, each.end), (candidate.start, candidate.end))
        for each in evidence.of("chapters") if each.is_span)
    if side is None or candidate.guessed or not (candidate.source == "networks" or unnamed):
        return {}
    time, weight = getattr(candidate, side), told_by_sound(candidate, evidence)
    low, high = (edge * rules.scale for edge in USUAL)
    chapters = low <= candidate.length <= high and any(
        place is not None and abs(place - time) <= 1.0
        for each in evidence.of("chapters") for place in (each.start, each.end))
    at_limit = candidate.source == "networks" and abs(time - (0.0 if side == "start" else evidence.duration)) <= 1.0
    return {"other edge's weight": weight, "other edge untold": float(weight < 0.5 and not chapters and not at_limit)}


def told_by_sound(candidate: Candidate, evidence: EpisodeEvidence) -> float:
    """The weight, 0 to 1, that the sound gives to the edge which the networks do not tell; 0 where none listened."""
    curve = evidence.curve("sound", candidate.kind)
    weight = math.nan if curve is None else curve.around(getattr(candidate, curve.edge), 1.0)
    return 0.0 if math.isnan(weight) else min(1.0, weight)


def _of_pictures(candidate: Candidate, evidence: EpisodeEvidence) -> dict[str, float]:
    told = {}
    for side in ("start", "end"):
        time = getattr(candidate, side)
        told[f"moment at {side}"] = float(any(abs(moment_of(each) - time) <= NEAR["moments"]
                                              for each in evidence.of(*MOMENTS)))
    return {**told, "credits": _more_within(candidate, evidence.curve("text"))}


def _more_within(candidate: Candidate, curve: Curve | None) -> float:
    """By how much a curve's mean is higher within the candidate than beside it, -1 to 1; 0 where one was not seen."""
    if curve is None:
        return 0.0
    inside = slice(int(candidate.start / curve.step), max(1, int(candidate.end / curve.step)))
    within, without = curve.values[inside], np.delete(curve.values, np.r_[inside])
    if not (np.isfinite(within).any() and np.isfinite(without).any()):
        return 0.0
    return min(1.0, max(-1.0, float(np.nanmean(within) - np.nanmean(without))))
