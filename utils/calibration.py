"""Calibration: how far a network's intervals and confidences can be trusted.

    predictions = read_certainty(Path("a_predictions.csv"), inputs)
    result["calibration"] = calibrate(predictions, inputs.truth)
"""

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
MOST_BINS = 10
CLIPS_A_BIN = 10          # the least, except with ties or in a smaller set
ROUNDING = 0.0015         # s; submissions and predictions hold three decimals


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
