"""Fusions that learn from out-of-fold answers: a weighted median, and a linear correction of it (stacking).

    fused = fuse_learnt("stacked", clips, seconds, examples)

An out-of-fold answer to a labelled clip comes from a network that was not trained on this clip. Its errors are
therefore like those on new clips, unlike a network's errors on its own training clips.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from datatools.layout import KINDS
from datatools.scores import TOLERANCE, competition_score
from fuse.choices import MIN_CLIPS
from fuse.vote import weighted_median_vote

FOLDS = 5
MIN_ERROR = 0.1                        # s; inputs with a smaller mean error count as equally good
FAR = 10.0                             # s; larger errors are clipped to this
MAX_WEIGHT = 0.9                       # as a share of all others' weight, for an input that must not decide alone
STRENGTHS = (1e4, 1e3, 1e2, 1e1)       # of the ridge penalty, the strongest first
REWEIGHTINGS = 10                      # for Huber's loss; more changed no score by 0.01 s on made answers

Predictor = Callable[[np.ndarray], np.ndarray]   # (N, K) -> (N,), seconds


@dataclass(frozen=True)
class Examples:
    """Out-of-fold answers and their truth: clips (name.mp4, s|e), answers (N, K) and truth (N,) in seconds."""

    clips: list[tuple[str, str]]
    seconds: np.ndarray
    truth: np.ndarray

    @property
    def kinds(self) -> np.ndarray:
        """`s` or `e`, (N,)."""
        return np.array([kind for _, kind in self.clips])

    def without_input(self, index: int) -> "Examples":
        return Examples(self.clips, np.delete(self.seconds, index, axis=1), self.truth)


def fuse_learnt(method: str, clips: list[tuple[str, str]], seconds: np.ndarray, examples: Examples) -> np.ndarray:
    """Fuse answers (N, K) to `clips` by "weighted" or "stacked", learnt from `examples`; (N,), seconds.

    A clip that is also an example is fused by a method learnt from the other folds, never from itself. Starts and ends
    are learnt apart where there are enough examples of both.
    """
    fold_of_example = np.random.default_rng(0).permutation(len(examples.clips)) % FOLDS
    known = dict(zip(examples.clips, fold_of_example, strict=True))
    fold = np.array([known.get(clip, -1) for clip in clips])   # -1: not an example, so all examples are used
    kind = np.array([kind for _, kind in clips])
    fit = {"weighted": fit_weighted, "stacked": fit_stacked}[method]
    fused = np.full(len(clips), np.nan)
    for group in learnt_together(method, examples):
        for held_out in np.unique(fold):
            rows = (fold == held_out) & np.isin(kind, group)
            learn = (fold_of_example != held_out) & np.isin(examples.kinds, group)
            if rows.any():
                fused[rows] = fit(examples.seconds[learn], examples.truth[learn])(seconds[rows])
    assert not np.isnan(fused).any(), "a kind without examples"
    return fused


def learnt_together(method: str, examples: Examples) -> list[tuple[str, ...]]:
    """Groups of kinds that are learnt together: each kind alone where all have MIN_CLIPS examples, else one group."""
    counts = {kind.letter: int((examples.kinds == kind.letter).sum()) for kind in KINDS}
    kinds = tuple(kind for kind, count in counts.items() if count)
    if all(counts[kind] >= MIN_CLIPS[method] for kind in kinds):
        return [(kind,) for kind in kinds]
    return [kinds]


def learn_weights(seconds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights of the inputs for a weighted median, by their errors. (N, K) and (N,), seconds -> (K,), sum 1.

    If errors follow Laplace distributions of mean size b_k, the maximum-likelihood answer is the median weighted by
    1 / b_k. Errors are clipped at 10 s, because a few far larger ones would dominate the weights. An input with more
    weight than all others together decides alone, and its gross errors stay uncorrected. It keeps that weight only
    where this scores better on the examples than a weight that needs one other input to agree.

    A median, not a mean: networks err by little or by a minute, and one answer that is a minute off shifts every
    weighted mean (tests/test_fuse_methods.py shows what the best of all weighted means loses).
    """
    error = np.abs(seconds - truth[:, None]).clip(MIN_ERROR, FAR)
    weights = 1 / error.mean(0)
    weights /= weights.sum()
    first = weights.argmax()
    if len(weights) < 3 or weights[first] < 0.5:
        return weights
    held = weights.copy()
    held[first] = MAX_WEIGHT * (1 - weights[first])
    held /= held.sum()
    together, alone = (competition_score(weighted_median_vote(seconds, w), truth) for w in (held, weights))
    return held if together <= alone else weights


def fit_weighted(seconds: np.ndarray, truth: np.ndarray) -> Predictor:
    """The weighted median with weights learnt from answers (N, K) and truth (N,), seconds."""
    return partial(weighted_median_vote, weights=learn_weights(seconds, truth))


def fit_stacked(seconds: np.ndarray, truth: np.ndarray) -> Predictor:
    """The weighted median plus a ridge regression of what it misses, learnt from (N, K) and (N,), seconds.

    The penalty's strength is chosen by cross-validated score, with the weights learnt anew in each fold. Ties go to the
    largest, which leaves little but the weighted median and a constant. Stacking: Breiman, Stacked Regressions, 1996.
    """
    fold = np.random.default_rng(0).permutation(len(truth)) % FOLDS
    answers = np.empty((len(STRENGTHS), len(truth)))
    for held_out in range(FOLDS):
        learn = fold != held_out
        weights = learn_weights(seconds[learn], truth[learn])
        for i, strength in enumerate(STRENGTHS):
            predict = _fit_correction(seconds[learn], truth[learn], weights, strength)
            answers[i, ~learn] = predict(seconds[~learn])
    best = min(range(len(STRENGTHS)), key=lambda i: competition_score(answers[i], truth))
    return _fit_correction(seconds, truth, learn_weights(seconds, truth), STRENGTHS[best])


def _fit_correction(seconds: np.ndarray, truth: np.ndarray, weights: np.ndarray, strength: float) -> Predictor:
    """Ridge regression of truth minus weighted median on `_features`; the predictor adds it to the weighted median."""
    features, base = _features(seconds, weights)
    *slopes, constant = huber_ridge(features, truth - base, strength)

    def predict(seconds: np.ndarray) -> np.ndarray:
        features, base = _features(seconds, weights)
        return np.maximum(0, base + features @ np.array(slopes) + constant)   # no boundary lies before the clip

    return predict


def huber_ridge(features: np.ndarray, target: np.ndarray, strength: float) -> np.ndarray:
    """Slopes and constant (F + 1,) of a ridge regression under Huber's loss: quadratic up to 1 s, linear beyond.

    Linear, because a clip that all inputs miss by a minute cannot be corrected and must not distort the fit: Huber,
    Robust Estimation of a Location Parameter, 1964. Solved by iteratively reweighted least squares; (N, F) and (N,).
    The constant has no penalty. In plain NumPy, because a report needs over a thousand fits: a report on 60 clips and 4
    inputs took 15 s with scikit-learn's Ridge, which gives the same result, and 0.4 s so. Its HuberRegressor is slower
    still and scored the same within 0.02 s on made answers.
    """
    columns = np.column_stack([features, np.ones(len(target))])   # (N, F + 1)
    penalty = np.diag([strength] * features.shape[1] + [0.0])
    weight = np.ones(len(target))
    for _ in range(REWEIGHTINGS):
        weighted = columns.T * weight
        slopes = np.linalg.solve(weighted @ columns + penalty, weighted @ target)
        weight = 1 / np.maximum(np.abs(target - columns @ slopes) / TOLERANCE, 1)
    return slopes


def _features(seconds: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted answers and their median, as distances from the weighted median clipped to 10 s, and their range.

    (N, K) and (K,) -> (N, K + 2) and the weighted median (N,), all in seconds. Distances make what is learnt
    independent of the time within the clip; clipping makes an answer a minute off count like one 10 s off.
    """
    base = weighted_median_vote(seconds, weights)
    distance = np.sort(seconds - base[:, None], axis=1).clip(-FAR, FAR)
    middle = (np.median(seconds, axis=1) - base).clip(-FAR, FAR)
    return np.column_stack([distance, middle, distance[:, -1] - distance[:, 0]]), base
