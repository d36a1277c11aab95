"""Learns joining.py's weights from seasons whose truth is known, and measures what they are worth on others.

    model = learn(training, origin="python tools/learn_joining.py ...")
    save_model(WEIGHTS, model)
    print(measure(test, model).text())
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from datatools.errors import UserError
from datatools.files import save_text
from episodes.candidates import FEATURES, KINDS, USUAL_RULES, Candidate, Rules, candidates, edge_of, features
from episodes.evidence import EpisodeEvidence, Repeat
from episodes.joining import GROUPS, Model, group_of, join
from episodes.judging import Told, Verdict, judge, total
from episodes.markers import Marker

# What was believed before anything was learnt, cautiously: it holds where the seasons show nothing else.
PRIOR = {
    "constant": -6.0, "other kinds": 1.0, "usual length": 2.0, "exact length": 0.5, "short": -4.0, "place": 1.0,
    "far from its place": -3.0,
    "repeats": 1.0, "members": 2.5, "share": 2.0, "sound agrees": 1.5, "pictures agree": 2.5, "pictures differ": -5.0,
    "theme's place": 2.0, "where the theme is": 3.0, "within a longer repeat": -1.0,
    "repeat with other edges": -4.0, "chapter with other edges": -2.0, "chapter": 9.0, "chapter of another kind": -6.0,
    "chapter's edges": 1.0, "networks looked": -0.5, "networks' weight": 8.0, "credits": 2.0, "moment at start": 0.3,
    "moment at end": 0.3, "guessed": -0.5, "rival": -2.0, "sources": 2.0,
    "other edge's weight": 2.0, "other edge untold": -6.0, "another's story": -4.0,
}
EITHER_WAY = ("constant", "ending", "other kinds")      # all other weights keep the sign that they have in PRIOR
BELIEFS = (0.25, 0.5, 1.0, 2.0)      # standard deviations of the weights around PRIOR, one of which is chosen
FOLDS = 5                   # parts of the seasons that are left out in turn to choose it
CALIBRATION = (0.0, 0.5, 0.9, 0.968, 0.99, 0.997, 1.0)     # edges of the table of confidences


@dataclass(frozen=True)
class KnownSeason:
    """The evidence of a season's episodes by name, what they share, their true markers, and the rules for them.

    `counts`: how many episodes a file holds, where there is more than one.
    """

    episodes: Mapping[str, EpisodeEvidence]
    repeats: Mapping[str, Sequence[Repeat]]
    truth: Mapping[str, Sequence[Marker]]
    rules: Rules = USUAL_RULES
    counts: Mapping[str, int] = field(default_factory=dict)


def is_right(candidate: Candidate, evidence: EpisodeEvidence, truth: Iterable[Marker], rules: Rules) -> bool:
    """Whether the edges that something tells lie within the rules' tolerance of a true marker's of that kind."""
    edges = {side: edge_of(candidate, side, evidence).time for side in ("start", "end") if side != candidate.guessed}
    return any(marker.type == candidate.kind and all(abs(getattr(marker, side) - time) <= rules.tolerance
                                                     for side, time in edges.items()) for marker in truth)


def examples(seasons: Iterable[KnownSeason]) -> tuple[list[Candidate], np.ndarray, np.ndarray]:
    """All n candidates, their features, float64 (n, len(FEATURES)), and whether each is right, bool (n,)."""
    found, told, right = [], [], []
    for season in seasons:
        for name, evidence in season.episodes.items():
            repeats = season.repeats.get(name, ())
            count = season.counts.get(name, 1)
            for candidate in candidates(evidence, repeats, season.rules, count):
                found.append(candidate)
                told.append(features(candidate, evidence, repeats, season.rules, count))
                right.append(is_right(candidate, evidence, season.truth.get(name, ()), season.rules))
    return found, np.array(told).reshape(-1, len(FEATURES)), np.array(right, bool)


@dataclass(frozen=True)
class _Examples:
    """The n candidates of one season: the group of each, features, whether it is right, and how much it counts, (n,).

    The members of a theme are right or wrong together, so a theme counts as much as one candidate, whatever the number
    of its members.
    """

    groups: np.ndarray
    told: np.ndarray
    right: np.ndarray
    counts: np.ndarray


def _examples(season: KnownSeason) -> _Examples:
    found, told, right = examples([season])
    ones = [(each.kind, each.repeat.theme) if each.repeat else number for number, each in enumerate(found)]
    members = Counter(ones)
    return _Examples(np.array([group_of(each) for each in found], object), told, right,
                     np.array([1 / members[one] for one in ones]))


def learn(seasons: Iterable[KnownSeason], origin: str) -> Model:
    """A logistic model of which candidates are right: the most probable weights, normally distributed around PRIOR.

    So a feature that these seasons never show keeps the weight that it had before. What speaks for a candidate never
    comes to speak against it, nor the other way round. How far the weights may move (BELIEFS) is what predicts best
    the seasons that are left out in turn. Raises UserError where there is nothing to learn from.
    """
    known = [_examples(season) for season in seasons]
    right = np.concatenate([each.right for each in known]) if known else np.zeros(0, bool)
    if right.all() or not right.any():
        raise UserError(f"{int(right.sum())} of {len(right)} candidates are right: nothing to learn from. Take more "
                        "seasons.")
    return Model({group: _learn_group([_only(each, group) for each in known]) for group in GROUPS}, origin)


def _only(known: _Examples, group: str) -> _Examples:
    held = known.groups == group
    return _Examples(known.groups[held], known.told[held], known.right[held], known.counts[held])


def _learn_group(known: Sequence[_Examples]) -> np.ndarray:
    """One group's weights, (features,)."""
    losses = []
    for belief in BELIEFS:
        parts = [(known[fold::FOLDS], [each for place, each in enumerate(known) if place % FOLDS != fold])
                 for fold in range(min(FOLDS, len(known)))]
        losses.append(sum(_loss(_most_probable(others, belief), left_out) for left_out, others in parts))
    return _most_probable(known, BELIEFS[int(np.argmin(losses))])


def _loss(weights: np.ndarray, known: Sequence[_Examples]) -> float:
    """Minus the logarithm of the probability of what is right, under these weights."""
    scores = [(each, each.told @ weights) for each in known]
    return float(sum((each.counts * (np.logaddexp(0, score) - each.right * score)).sum() for each, score in scores))


def _most_probable(known: Sequence[_Examples], belief: float) -> np.ndarray:
    """The weights (features,) under which what is right is most probable, given PRIOR and the signs of its weights."""
    prior = prior_weights()
    if not known:
        return prior
    told, right, counts = (np.concatenate([getattr(each, name) for each in known])
                           for name in ("told", "right", "counts"))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the logarithm of the weights' probability, and its gradient."""
        score = told @ weights
        wrong = 1 / (1 + np.exp(-np.clip(score, -30, 30))) - right
        apart = (weights - prior) / belief**2
        return (float((counts * (np.logaddexp(0, score) - right * score)).sum() + apart @ (weights - prior) / 2),
                told.T @ (counts * wrong) + apart)

    bounds = [(None, None) if name in EITHER_WAY or not was else (0, None) if was > 0 else (None, 0)
              for name, was in zip(FEATURES, prior, strict=True)]
    return minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=bounds).x


def prior_weights() -> np.ndarray:
    """PRIOR in the order of the features."""
    return np.array([PRIOR.get(name, 0.0) for name in FEATURES])


def prior_model() -> Model:
    """The model from which nothing has been learnt."""
    return Model({group: prior_weights() for group in GROUPS}, "set by hand, cautiously; learnt from nothing")


def save_model(path: Path, model: Model) -> None:
    """Write a model as `load_model` reads it."""
    weights = {group: {name: round(float(weight), 3) for name, weight in zip(FEATURES, model.weights[group],
                                                                             strict=True)} for group in GROUPS}
    save_text(path, json.dumps({"origin": model.origin, "weights": weights}, indent=1) + "\n")


@dataclass
class Measured:
    """What markers are worth beside the truth.

    price  what they cost by the seasons' rules: 1 for a missed marker, more for story that is skipped
    kinds  {kind: its Verdict}
    table  (confidence, whether it skips no story) of each marker that was set
    """

    kinds: dict[str, Verdict] = field(default_factory=lambda: dict.fromkeys(KINDS, Verdict()))
    table: list[tuple[float, bool]] = field(default_factory=list)
    price: float = 0.0

    @property
    def total(self) -> Verdict:
        """The verdict about the markers of all kinds."""
        return total(self.kinds.values())

    def text(self) -> str:
        """The figures as lines, with how often markers of a confidence are right."""
        whole = self.total
        errors = np.array(whole.errors or (0.0,))
        lines = [f"{whole.known} true markers, {whole.given} set: {whole.right} right, {whole.useful} useful, "
                 f"{whole.wrong} wrong, {whole.missed} missed; {whole.story:.1f} s of story skipped; "
                 f"price {self.price:.1f}",
                 "; ".join(f"{kind}s: {each.missed} of {each.known} missed, {each.wrong} of {each.given} wrong"
                           for kind, each in self.kinds.items() if each.known or each.given),
                 f"edges: median {np.median(errors):.3f} s, 95% {np.percentile(errors, 95):.3f} s"]
        for low, high in zip(CALIBRATION, CALIBRATION[1:], strict=False):
            held = [right for sure, right in self.table if low <= sure < high]
            if held:
                lines.append(f"confidence {low:.3f} to {high:.3f}: {np.mean(held):.3f} of {len(held)} right")
        return "\n".join(lines)


def measure(seasons: Iterable[KnownSeason], model: Model) -> Measured:
    """Join each season's evidence and hold the markers beside its truth."""
    found = Measured()
    for season in seasons:
        joined = join(season.episodes, season.repeats, season.rules, model, season.counts)
        for name, markers in joined.items():
            truth = [_told(marker) for marker in season.truth.get(name, ())]
            told = [_told(marker) for marker in markers]
            found.price += _price(truth, told, season.rules)
            for kind in KINDS:
                found.kinds[kind] += judge(truth, told, (kind,), season.rules.tolerance)
            # A marker with a guessed edge is meant to be right at the other edge, and to skip no story.
            found.table += [(marker.confidence, not judge(truth, [each], KINDS, season.rules.tolerance).wrong)
                            for marker, each in zip(markers, told, strict=True)]
    return found


def _price(truth: Sequence[Told], told: Sequence[Told], rules: Rules) -> float:
    """As joining.py expects it; of one wrong marker, only the rules' `most_story` seconds count."""
    wrong = [verdict.story for each in told if (verdict := judge(truth, [each], KINDS, rules.tolerance)).wrong]
    return rules.missed * judge(truth, told, KINDS, rules.tolerance).missed + rules.story * sum(
        min(story, rules.most_story) for story in wrong)


def _told(marker: Marker) -> Told:
    return marker.type, marker.start, marker.end
