"""All evidence of a season's episodes, joined into markers, or none where the risk is not worth it.

    markers = join({"01.mkv": evidence}, {"01.mkv": [Repeat(0, 60.0, 150.0, members=12)]})["01.mkv"]

It works with whatever evidence there is: one episode alone, a season without networks, chapters alone. A logistic model
(`Model`) turns what speaks for a candidate into the probability that it is right; a marker is set where that lowers the
expected price (`Rules`). Markers by people are taken as they are, and move the edges of their theme in the other
episodes.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from episodes.candidates import (
    FEATURES,
    SAME,
    SPREADS,
    USUAL_RULES,
    Candidate,
    Edge,
    Rules,
    candidates,
    edge_of,
    features,
    overlap,
)
from episodes.evidence import EpisodeEvidence, Evidence, Repeat
from episodes.markers import LEAST_SECONDS, Marker

WEIGHTS = Path(__file__).with_name("joining_weights.json")
SURE = 3.0                  # mean errors within which an edge lies with 95% (Laplace)
OVERLAPPING = 2.0           # s; markers that overlap by less are taken to follow each other
GROUPS = ("sound", "chapters", "networks")      # sources of candidates; the last one also stands for all others
MOST_CONFIDENT = 0.999      # of what no person has said


@dataclass(frozen=True)
class Model:
    """A logistic model over candidates.FEATURES for each of GROUPS; `origin` tells how the weights came about."""

    weights: Mapping[str, np.ndarray]
    origin: str

    def probability(self, candidate: Candidate, told: np.ndarray) -> float:
        """That a candidate with these features is right."""
        return float(1 / (1 + np.exp(-np.clip(told @ self.weights[group_of(candidate)], -30, 30))))


def group_of(candidate: Candidate) -> str:
    """Which weights judge a candidate: what a source says counts differently by whose candidate it is."""
    return candidate.source if candidate.source in GROUPS else GROUPS[-1]


@functools.lru_cache(maxsize=4)
def load_model(path: Path = WEIGHTS) -> Model:
    """The model of a JSON file, {"origin": ..., "weights": {group: {feature: weight}}}; what is missing weighs 0."""
    content = json.loads(path.read_text(encoding="utf-8"))
    named = {group: content["weights"][group] for group in GROUPS}
    assert all(weights.keys() <= {*FEATURES} for weights in named.values()), f"{path}: other features. Learn it again."
    return Model({group: np.array([weights.get(name, 0.0) for name in FEATURES]) for group, weights in named.items()},
                 content["origin"])


def join(
    episodes: Mapping[str, EpisodeEvidence], repeats: Mapping[str, Sequence[Repeat]] | None = None,
    rules: Rules = USUAL_RULES, model: Model | None = None, counts: Mapping[str, int] | None = None,
) -> dict[str, tuple[Marker, ...]]:
    """{episode: its markers, in order, not overlapping} of the episodes of one season.

    `repeats` are the parts that each of them shares with others; `counts` the number of episodes that a file holds,
    where there is more than one.
    """
    repeats = {name: list((repeats or {}).get(name, ())) for name in episodes}
    repeats, taught = learn_from_people(episodes, repeats)
    model = model or load_model()
    return {name: _markers(evidence, repeats[name], (rules, model, taught), (counts or {}).get(name, 1))
            for name, evidence in episodes.items()}


def _markers(evidence: EpisodeEvidence, repeats: list[Repeat], judge: tuple, count: int) -> tuple[Marker, ...]:
    rules, model, taught = judge
    by_people = evidence.of("person")
    settled = {each.kind for each in by_people}
    found = [Marker(each.kind, each.start, min(each.end, evidence.duration), 1.0,
                    ((each.start, each.start),) + ((min(each.end, evidence.duration),) * 2,), ("person",))
             for each in by_people if each.is_span and each.kind]
    judged = []
    for candidate in candidates(evidence, repeats, rules, count):
        known = taught.get(candidate.repeat.theme) if candidate.repeat else None
        if candidate.kind in settled or (known and candidate.kind not in known):
            continue
        told = features(candidate, evidence, repeats, rules, count)
        probability = MOST_CONFIDENT if known else min(MOST_CONFIDENT, model.probability(candidate, told))
        marker, gain = _priced(candidate, evidence, probability, rules)
        if known:
            marker = replace(marker, evidence=(*marker.evidence, "person"))
        if gain > 0:
            judged.append((gain, marker))
    for _, marker in sorted(judged, key=lambda pair: -pair[0]):
        fitted = _fitted(marker, found)
        if fitted is not None and _may_join(fitted, found, count):
            found.append(fitted)
    return tuple(sorted(found, key=lambda marker: marker.start))


def _priced(
    candidate: Candidate, evidence: EpisodeEvidence, probability: float, rules: Rules
) -> tuple[Marker, float]:
    """The candidate's marker, and by how much it lowers the expected price.

    `probability`: that the edges which something tells are right within the rules' tolerance. A wrong marker costs the
    story that it skips. An edge that nothing tells is moved inwards, as far as the story that it may cut costs more
    than what is left unskipped there: d seconds left unskipped cost d / length of a missed marker.
    """
    start, end = (edge_of(candidate, side, evidence) for side in ("start", "end"))
    length = max(end.time - start.time, LEAST_SECONDS)
    moved, price = {"start": 0.0, "end": 0.0}, 0.0
    if candidate.guessed:
        spread = (start if candidate.guessed == "start" else end).spread      # Laplace: half of it cuts story
        best = spread * math.log(max(1.0, rules.story * length / (2 * rules.missed))) - rules.tolerance
        inwards = moved[candidate.guessed] = min(max(0.0, best), length / 2)
        price = rules.missed * inwards / length + rules.story * spread / 2 * math.exp(
            -(rules.tolerance + inwards) / spread)
    wrong = rules.story * min(length, rules.most_story)
    gain = probability * (rules.missed - price) - (1 - probability) * wrong
    times = start.time + moved["start"], max(end.time - moved["end"], start.time + moved["start"] + LEAST_SECONDS)
    interval = tuple(_sure(edge, time) for edge, time in zip((start, end), times, strict=True))
    words = tuple(dict.fromkeys((*start.sources, *end.sources, candidate.source)))
    return Marker(candidate.kind, *times, probability, interval, words), gain


def _sure(edge: Edge, time: float) -> tuple[float, float]:
    """Where the edge lies with 95%, around the marker's time."""
    low, high = edge.time - SURE * edge.spread, edge.time + SURE * edge.spread
    return max(0.0, min(low, time)), max(high, time)


def _may_join(marker: Marker, found: list[Marker], count: int) -> bool:
    """Whether a marker fits to those found: no overlap, at most `count` of its kind, openings before endings."""
    if any(marker.start < other.end and other.start < marker.end for other in found if not _touch(marker, other)):
        return False
    if sum(other.type == marker.type for other in found) >= count:
        return False
    order = {"opening": 0, "ending": 1}
    return count > 1 or all(
        (marker.start < other.start) == (order[marker.type] < order[other.type])
        for other in found if {marker.type, other.type} == {"opening", "ending"})


def _touch(one: Marker, other: Marker) -> bool:
    return min(one.end, other.end) - max(one.start, other.start) <= OVERLAPPING


def _fitted(marker: Marker, found: list[Marker]) -> Marker | None:
    """The marker without what it shares with the edge of a more certain one; None where too little is left."""
    start, end = marker.start, marker.end
    for other in found:
        if _touch(marker, other):
            if other.start <= start < other.end:
                start = other.end
            if other.start < end <= other.end:
                end = other.start
    return _between(marker, start, end)


def _between(marker: Marker, start: float, end: float) -> Marker | None:
    if end - start < LEAST_SECONDS:
        return None
    interval = marker.interval and tuple((min(low, time), max(high, time)) for (low, high), time in
                                         zip(marker.interval, (start, end), strict=True))
    return replace(marker, start=start, end=end, interval=interval)


# ---------------------------------------------------------------- what people have corrected


def learn_from_people(
    episodes: Mapping[str, EpisodeEvidence], repeats: Mapping[str, list[Repeat]]
) -> tuple[dict[str, list[Repeat]], dict[int, set[str]]]:
    """The repeats with their theme's edges where people put them, and {theme: what people say that it is}.

    A person's marker speaks of the theme that lies there. Of several, the median shift of each edge counts.
    """
    shifts: dict[int, list[tuple[float, float]]] = {}
    kinds: dict[int, set[str]] = {}
    for name, evidence in episodes.items():
        for told in evidence.of("person"):
            there = _theme_at(told, repeats[name])
            if there is not None:
                shifts.setdefault(there.theme, []).append((told.start - there.start, told.end - there.end))
                kinds.setdefault(there.theme, set()).add(told.kind)
    moved = {theme: np.median(np.array(each), axis=0) for theme, each in shifts.items()}
    changed = {}
    for name, those in repeats.items():
        changed[name] = [_shifted(repeat, moved[repeat.theme], episodes[name].duration) if repeat.theme in moved
                         else repeat for repeat in those]
    return changed, kinds


def _theme_at(told: Evidence, repeats: list[Repeat]) -> Repeat | None:
    if not told.is_span or told.kind is None:
        return None
    shares = [(overlap((repeat.start, repeat.end), (told.start, told.end)), repeat) for repeat in repeats]
    share, repeat = max(shares, key=lambda pair: pair[0], default=(0.0, None))
    return repeat if share >= SAME else None


def _shifted(repeat: Repeat, shift: np.ndarray, duration: float) -> Repeat:
    start, end = max(0.0, repeat.start + float(shift[0])), min(duration, repeat.end + float(shift[1]))
    return replace(repeat, start=start, end=max(start, end), spread=max(repeat.spread, SPREADS["person"]),
                   end_spread=max(repeat.spread_of("end"), SPREADS["person"]))
