"""Evaluation of answers: scores with bootstrap intervals, a paired comparison of two answers, groups of clips.

    evaluate(np.array([10.0, 22.0]), np.array([10.5, 20.0]))["score_interval"]

Arrays in seconds, shape (N,); errors are found minus true.
"""

import numpy as np

from datatools.layout import KINDS, clip_kind
from datatools.scores import clip_costs, clip_errors, error_table

CONFIDENCE = 0.95               # of the intervals
DRAWS_AT_ONCE = 4_000_000       # clips drawn at once; limits the memory to about 64 MB


def bootstrap_interval(values: np.ndarray, resamples: int = 10_000, seed: int = 0) -> tuple[float, float] | None:
    """The 95% percentile bootstrap interval of the mean of `values`, shape (N,).

    None for a single value, whose resamples are all equal. The interval treats clips as independent, although a start
    and an end clip may come from one episode. It is somewhat too narrow for few clips (below about 30), or where a few
    large errors dominate the mean. Raises ValueError where `values` is not (N,) or is empty.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values {values.shape}: expected (N,), N above 0")
    if len(values) == 1:
        return None
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, DRAWS_AT_ONCE // len(values))
    for first in range(0, resamples, rows):
        last = min(first + rows, resamples)
        drawn = rng.integers(len(values), size=(last - first, len(values)))   # (rows, N)
        means[first:last] = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def evaluate(predicted: np.ndarray, truth: np.ndarray, resamples: int = 10_000, seed: int = 0) -> dict:
    """`error_table` plus the bootstrap intervals of score and mean |error|.

    Each call seeds a new generator, so a group's interval does not depend on which other groups are evaluated.
    """
    error = clip_errors(predicted, truth)
    return error_table(predicted, truth) | {
        "score_interval": bootstrap_interval(clip_costs(error), resamples, seed),
        "mean_error_interval": bootstrap_interval(np.abs(error), resamples, seed),
    }


def compare(
    predicted: np.ndarray, against: np.ndarray, truth: np.ndarray, resamples: int = 10_000, seed: int = 0
) -> dict:
    """Paired comparison of two answers: both scores, their difference with its interval, and counts of better clips.

    All in seconds, shape (N,). `difference` is `predicted`'s score minus `against`'s: below 0, `predicted` is better.
    Each resample draws the same clips for both, so a clip's difficulty for both cancels out. `predicted` is better on a
    clip where it costs less; two answers within 1 s are equal. Raises ValueError as `clip_errors` of scores.py.
    """
    cost, other = clip_costs(clip_errors(predicted, truth)), clip_costs(clip_errors(against, truth))
    difference = cost - other
    return {
        "clips": len(difference),
        "score": float(cost.mean()),
        "score_against": float(other.mean()),
        "difference": float(difference.mean()),
        "difference_interval": bootstrap_interval(difference, resamples, seed),
        "better": int((difference < 0).sum()),
        "worse": int((difference > 0).sum()),
        "equal": int((difference == 0).sum()),
    }


def group_clips(names: list[str], families: dict[str, str] | None = None) -> dict[str, dict[str, np.ndarray]]:
    """{"kinds": {all, start, end: mask}, "families": {family: mask}}; a mask is bool (N,), empty groups are left out.

    Raises UserError for a name that is neither start nor end.
    """
    letters = np.array([clip_kind(name) for name in names])
    kinds = {"all": np.ones(len(names), dtype=bool)} | {kind.title: letters == kind.letter for kind in KINDS}
    members = np.array([families[name] for name in names] if families else [])
    return {
        "kinds": {title: mask for title, mask in kinds.items() if mask.any()},
        "families": {str(family): members == family for family in np.unique(members)},
    }


def worst_clips(predicted: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` clips with the largest |error|, the largest first; ties in the given order."""
    return np.argsort(-np.abs(clip_errors(predicted, truth)), kind="stable")[:count]
