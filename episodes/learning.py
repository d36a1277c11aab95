"""Learns joining.py's weights from seasons whose truth is known, and measures what they are worth on others.

    model = learn(training, origin="python tools/learn_joining.py ...")
    save_model(WEIGHTS, model)
    print(measure(test, model).text())
"""

import json
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
}
BELIEF = 2.0                # standard deviation of the weights around PRIOR
STARTS_USEFUL, ENDS_USEFUL = 15.0, 5.0      # s; a marker this near helps, though it is not exact
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


def learn(seasons: Iterable[KnownSeason], origin: str) -> Model:
    """A logistic model of which candidates are right: the most probable weights, normally distributed around PRIOR.

    So a feature that these seasons never show keeps the weight that it had before. Raises UserError where there is
    nothing to learn from.
    """
    found, told, right = examples(seasons)
    if right.all() or not right.any():
        raise UserError(f"{int(right.sum())} of {len(right)} candidates are right: nothing to learn from. Take more "
                        "seasons.")
    groups = np.array([group_of(candidate) for candidate in found])
    return Model({group: _most_probable(told[groups == group], right[groups == group]) for group in GROUPS}, origin)


def _most_probable(told: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The weights (features,) under which `right` (n,) is most probable, given PRIOR."""
    prior = prior_weights()

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the logarithm of the weights' probability, and its gradient."""
        score = told @ weights
        wrong = 1 / (1 + np.exp(-np.clip(score, -30, 30))) - right
        apart = (weights - prior) / BELIEF**2
        return (float((np.logaddexp(0, score) - right * score).sum() + apart @ (weights - prior) / 2),
                told.T @ wrong + apart)

    return minimize(loss, prior, jac=True, method="L-BFGS-B").x


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

    known, set_  numbers of true markers, and of those that were set
    right        both edges within the tolerance        useful  start within 15 s, end within 5 s
    wrong        skips more story than the tolerance    story   seconds of it
    errors       s; of each edge of the right ones      table   (confidence, right) of each that was set
    kinds        {kind: [known, useful]}
    """

    known: int = 0
    set_: int = 0
    right: int = 0
    useful: int = 0
    wrong: int = 0
    story: float = 0.0
    errors: list[float] = field(default_factory=list)
    table: list[tuple[float, bool]] = field(default_factory=list)
    kinds: dict[str, list[int]] = field(default_factory=lambda: {kind: [0, 0] for kind in KINDS})

    def text(self) -> str:
        """The figures as lines, with how often markers of a confidence are right."""
        errors = np.abs(self.errors) if self.errors else np.zeros(1)
        lines = [f"{self.known} true markers, {self.set_} set: {self.right} right, {self.useful} useful, {self.wrong} "
                 f"wrong, {self.known - self.useful} missed; {self.story:.1f} s of story skipped",
                 "; ".join(f"{kind}s: {known - useful} of {known} missed" for kind, (known, useful) in
                           self.kinds.items() if known),
                 f"edges of the right ones: median {np.median(errors):.3f} s, 95% {np.percentile(errors, 95):.3f} s"]
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
            truth = season.truth.get(name, ())
            found.known += len(truth)
            for true in truth:
                found.kinds[true.type][0] += 1
            for marker in markers:
                _count(found, marker, truth, season.rules)
    return found


def _count(found: Measured, marker: Marker, truth: Sequence[Marker], rules: Rules) -> None:
    same = [true for true in truth if true.type == marker.type]
    nearest = min(same, key=lambda true: abs(true.start - marker.start) + abs(true.end - marker.end), default=None)
    # Of parts of other kinds nothing is lost to the viewer who skips openings but not endings; they count as story.
    covered = sum(max(0.0, min(true.end, marker.end) - max(true.start, marker.start)) for true in same)
    story = max(0.0, marker.end - marker.start - covered)
    found.set_ += 1
    found.story += story
    found.wrong += story > rules.tolerance
    if nearest is not None:
        errors = [marker.start - nearest.start, marker.end - nearest.end]
        right = max(map(abs, errors)) <= rules.tolerance
        found.right += right
        useful = abs(errors[0]) <= STARTS_USEFUL and abs(errors[1]) <= ENDS_USEFUL
        found.useful += useful
        found.kinds[marker.type][1] += useful
        found.errors += errors if right else []
    # A marker with a guessed edge is meant to be right at the other edge, and to skip no story.
    found.table.append((marker.confidence, story <= rules.tolerance))
