"""The competition's score and further figures from errors in seconds.

    competition_score(np.array([10.0, 22.0]), np.array([10.5, 20.0]))     # 0.5
"""

import numpy as np

from datatools.errors import UserError
from datatools.layout import CLIP_SECONDS, KINDS, clips_of_kind

TOLERANCE = 1.0                 # s; an error up to this costs nothing in the competition
WITHIN = (0.5, 1.0, 2.0, 5.0)   # s; limits of |error| for the shares of clips
DECIMALS = 6                    # of errors in seconds; submissions have three


def clip_costs(error: np.ndarray) -> np.ndarray:
    """What each clip adds to the score, max(0, |error| - 1 s); in seconds, shape (N,)."""
    return np.maximum(0, np.abs(error) - TOLERANCE)


def clip_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Found minus true, in seconds, shape (N,). Raises ValueError unless both are finite, (N,) and not empty."""
    predicted, truth = np.asarray(predicted, dtype=float), np.asarray(truth, dtype=float)
    if predicted.ndim != 1 or predicted.shape != truth.shape or not len(truth):
        raise ValueError(f"predicted {predicted.shape} and truth {truth.shape}: expected one shape (N,), N above 0")
    if not (np.isfinite(predicted).all() and np.isfinite(truth).all()):
        raise ValueError("predicted or truth holds NaN or infinity")
    # 2.2 - 1.2 is 1.0000000000000002: without rounding, a clip on the limit would not count as "within 1 s".
    return np.round(predicted - truth, DECIMALS)


def competition_score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean of max(0, |error| - 1 s) over clips; both in seconds, shape (N,). Raises ValueError as `clip_errors`."""
    return float(clip_costs(clip_errors(predicted, truth)).mean())


def error_table(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Number of clips, score, mean and median |error|, and shares of clips within 0.5, 1, 2 and 5 s.

    Both arguments in seconds, shape (N,). Raises ValueError as `clip_errors`.
    """
    error = clip_errors(predicted, truth)
    size = np.abs(error)
    return {
        "clips": len(error),
        "score": float(clip_costs(error).mean()),
        "mean_error": float(size.mean()),
        "median_error": float(np.median(size)),
        **{f"within_{limit:g}s": float((size <= limit).mean()) for limit in WITHIN},
    }


def frame_f1(predicted: np.ndarray, truth: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> float:
    """F1 over all seconds of all clips, each told inside or outside of what the clip asks for.

    `predicted`, `truth` and the clips' `lengths` in s, `starts` bool, all (N,). A label is one boundary, so a second of
    a start clip is inside until the opening has ended, and one of an end clip from the ending's start on; its middle
    counts. Binary seconds are arXiv 2504.09738's measure; there the opening's own start is labelled too. NaN where no
    second is inside.
    """
    middles = np.arange(CLIP_SECONDS) + 0.5
    there = middles < np.asarray(lengths)[:, None]
    told, true = (there & ((middles < np.asarray(times)[:, None]) == np.asarray(starts, dtype=bool)[:, None])
                  for times in (predicted, truth))
    inside = told.sum() + true.sum()
    return float(2 * (told & true).sum() / inside) if inside else float("nan")


def score_table(predicted: dict[str, float], truth: dict[str, float]) -> dict[str, float]:
    """`error_table` over all clips of `truth`, and over start and end clips apart, as `score_start`, `score_end` ...

    Both are {clip name: seconds}; a kind without clips has NaN. Raises UserError where their clips differ.
    """
    if missing := sorted(truth.keys() - predicted.keys()):
        raise UserError(f"no answer for {len(missing)} clips that have a truth: {', '.join(missing[:10])}")
    if unknown := sorted(predicted.keys() - truth.keys()):
        raise UserError(f"no truth for {len(unknown)} clips that have an answer: {', '.join(unknown[:10])}")

    def table(names: list[str]) -> dict[str, float]:
        return error_table(np.array([predicted[n] for n in names]), np.array([truth[n] for n in names]))

    whole = table(list(truth))
    for kind in KINDS:
        names = clips_of_kind(truth, kind)
        part = table(names) if names else {**dict.fromkeys(whole, float("nan")), "clips": 0}
        whole |= {f"{key}_{kind.title}": value for key, value in part.items()}
    return whole


def best_constant(truth: dict[str, float]) -> dict[str, float]:
    """The best constant answer: one time for all start clips and one for all end clips.

    The score is convex and piecewise linear with kinks 1 s beside each truth, so its minimum is at a kink.
    """
    answer: dict[str, float] = {}
    for kind in KINDS:
        names = clips_of_kind(truth, kind)
        times = np.array([truth[n] for n in names])
        candidates = np.concatenate([times - TOLERANCE, times + TOLERANCE])
        costs = clip_costs(candidates[:, None] - times[None]).sum(1)
        answer |= dict.fromkeys(names, float(candidates[costs.argmin()]) if names else 0.0)
    return {n: answer[n] for n in truth}
