"""Calibration: how far a network's intervals and confidences can be trusted.

    predictions = read_certainty(Path("a_predictions.csv"), inputs)
    result["calibration"] = calibrate(predictions, inputs.truth)
    scale = conformal_scale(np.abs(found - truth) / half_widths)      # from clips that no training saw

What guarantees what: intervals whose width is learnt from clips that the network was not trained on hold 9 of 10 truths
in the mean over such choices, if those clips and the asked ones are exchangeable (drawn alike, in any order): split
conformal prediction. Clips of one season share their opening, so exchangeable are at best seasons, and a clip's own
season must not be among those that set its width. Another family is not exchangeable with those seen: there nothing is
guaranteed, and a table only tells what was found.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

from datatools.errors import UserError
from datatools.scores import TOLERANCE, clip_errors
from datatools.submission import read_predictions
from utils.evaluation import bootstrap_interval
from utils.evaluation_inputs import Inputs, listed

COLUMNS = ("seconds", "low", "high", "confidence")
MADE_FOR = 0.9            # share of the truths that AVTDist's intervals are meant to hold
LEAST_GROUP = 19          # calibration clips; with 9 the scale would be the largest error of all
MOST_BINS = 10
CLIPS_A_BIN = 10          # the least, except with ties or in a smaller set
ROUNDING = 0.0015         # s; submissions and predictions hold three decimals


def half_width(seconds: float, low: float, high: float) -> float:
    """Half of an interval's width in s, before the clip's ends cut it off on one side."""
    return max(high - seconds, seconds - low, ROUNDING)


def conformal_scale(scores: np.ndarray, level: float = MADE_FOR) -> float:
    """By how much half widths must be multiplied to hold `level` of the truths.

    `scores`, (N,), are |error| / half width of calibration clips; the answer is the ceil((N + 1) level)-th smallest
    (Papadopoulos and others, 2002), or the largest where N is below 9. With scores of clips that the network never saw,
    coverage is at least `level` for exchangeable clips. With out-of-fold scores of several networks and the answer of a
    network trained on all folds (cross-conformal), it is about `level` where the networks answer alike. Proved is only
    1 - 2 (1 - level), less a term of about sqrt(2 / N), and only for intervals made from each fold's own network (CV+
    and jackknife+: Barber and others, Predictive inference with the jackknife+, 2021). Raises ValueError without
    scores.
    """
    scores = np.sort(np.asarray(scores, dtype=float))
    if not len(scores):
        raise ValueError("no scores: expected one for each calibration clip")
    return float(scores[min(math.ceil((len(scores) + 1) * level), len(scores)) - 1])


def scale_by_confidence(
    scores: np.ndarray, confidence: np.ndarray, asked: np.ndarray, most_groups: int = 3, level: float = MADE_FOR
) -> np.ndarray:
    """`conformal_scale` by groups of equally many clips of like confidence, for each confidence `asked`, (M,) -> (M,).

    Within a group the guarantee holds for its own clips (Mondrian conformal prediction), so sure and unsure answers
    are each held at `level`, at the price of fewer clips a scale. No group is smaller than LEAST_GROUP.
    """
    groups = max(1, min(most_groups, len(scores) // LEAST_GROUP))
    edges = np.quantile(confidence, np.arange(1, groups) / groups)
    group = np.searchsorted(edges, confidence)
    whole = conformal_scale(scores, level)
    scales = np.array([conformal_scale(scores[group == g], level) if (group == g).sum() >= LEAST_GROUP else whole
                       for g in range(groups)])
    return scales[np.searchsorted(edges, asked)]


@dataclass(frozen=True)
class Certainty:
    """A network's certainty about its answers: intervals in seconds and a confidence from 0 to 1, shapes (N,)."""

    path: Path
    seconds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: np.ndarray


def read_certainty(path: Path, inputs: Inputs) -> Certainty:
    """The predictions that belong to the first submission of `inputs`, in the order of its clips. Raises UserError."""
    rows = read_predictions(path, COLUMNS)
    submission, found = next(iter(inputs.found.items()))
    if missing := [name for name in inputs.names if name not in rows]:
        raise UserError(f"{path}: misses {listed(missing)} of {inputs.truth_path}. Name the predictions that were "
                        f"written beside {submission}.")
    table = {column: np.array([rows[name][column] for name in inputs.names]) for column in COLUMNS}
    if holes := [name for i, name in enumerate(inputs.names) if not all(np.isfinite(table[c][i]) for c in COLUMNS)]:
        raise UserError(f"{path}: no figure for {listed(holes)} in one of {', '.join(COLUMNS)}. Infer again.")
    if beyond := [n for n, c in zip(inputs.names, table["confidence"], strict=True) if not 0 <= c <= 1]:
        raise UserError(f"{path}: a confidence outside 0 to 1 for {listed(beyond)}. Infer again.")
    others = np.abs(table["seconds"] - found) > ROUNDING
    if others.any():
        raise UserError(f"{path}: answers {listed([n for n, o in zip(inputs.names, others, strict=True) if o])} "
                        f"otherwise than {submission}. Name the predictions that were written beside it.")
    return Certainty(path, **table)


def calibrate(certainty: Certainty, truth: np.ndarray, resamples: int = 10_000, seed: int = 0) -> dict:
    """Share of intervals that hold the `truth`, (N,) s, and share of clips within 1 s against confidence.

    `bins` hold about equally many clips, the least confident first: mean confidence, share answered within 1 s, and
    that share by isotonic regression over all clips (`curve`: its corners). `gap` is the mean distance between
    confidence and share, weighted by clips (expected calibration error: Guo et al., On Calibration of Modern Neural
    Networks, 2017).
    """
    inside = (certainty.low <= truth) & (truth <= certainty.high)
    right = (np.abs(clip_errors(certainty.seconds, truth)) <= TOLERANCE).astype(float)
    confidence = certainty.confidence
    num_bins = int(np.clip(len(truth) // CLIPS_A_BIN, 1, MOST_BINS))
    share, told = calibration_curve(right, confidence, n_bins=num_bins, strategy="quantile", pos_label=1)
    edges = np.percentile(confidence, np.linspace(0, 100, num_bins + 1))[1:-1]   # as calibration_curve does
    counts = np.bincount(np.searchsorted(edges, confidence), minlength=num_bins)
    counts = counts[counts > 0]
    fit = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, right)
    return {
        "file": str(certainty.path), "clips": len(truth), "made_for": MADE_FOR, "inside": float(inside.mean()),
        "inside_interval": bootstrap_interval(inside, resamples, seed),
        "median_width": float(np.median(certainty.high - certainty.low)),
        "gap": float(np.average(np.abs(share - told), weights=counts)),
        "bins": [{"confidence": float(c), "clips": int(n), "within_1s": float(s), "fitted": float(f)}
                 for c, n, s, f in zip(told, counts, share, fit.predict(told), strict=True)],
        "curve": {"confidence": fit.X_thresholds_.tolist(), "within_1s": fit.y_thresholds_.tolist()},
    }
