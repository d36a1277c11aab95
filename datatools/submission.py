"""Submissions: `name.mp4,s|e,seconds` with three decimals, no header; written, read, and scored.

    write_submission(Path("submission.csv"), {"0NJvw4n0_start": 65.342})
"""

import csv
from pathlib import Path

import numpy as np

from datatools.command import UserError, save_text
from datatools.labels import parse_seconds
from datatools.layout import clip_kind

TOLERANCE = 1.0                 # s; an error up to this costs nothing in the competition
WITHIN = (0.5, 1.0, 2.0, 5.0)   # s; shares of clips whose |error| is at most this are told
DECIMALS = 6                    # of errors in seconds; submissions hold three


def write_submission(path: Path, seconds: dict[str, float]) -> None:
    """Write {clip name: seconds} in the given order. Raises UserError for a name that is neither start nor end."""
    rows = [f"{name}.mp4,{clip_kind(name)},{value:.3f}\n" for name, value in seconds.items()]
    save_text(Path(path), "".join(rows))


def write_predictions(path: Path, rows: dict[str, dict[str, float]]) -> None:
    """CSV of what is known about each answer: `name` and the figures of {name: {column: figure}}; nan is left empty."""
    import csv
    import io

    text = io.StringIO()
    columns = list(next(iter(rows.values())))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *columns])
    for name, row in rows.items():
        writer.writerow([name, *("" if row[c] != row[c] else f"{row[c]:.3f}" for c in columns)])
    save_text(path, text.getvalue())


def read_submission(path: Path) -> dict[tuple[str, str], float]:
    """{(name.mp4, s|e): seconds} in the file's order. Raises UserError that lists every bad or doubled line."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such submission.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text, so no submission.") from None
    answers: dict[tuple[str, str], float] = {}
    problems = []
    for number, row in enumerate(csv.reader(lines), 1):
        if not row:
            continue
        seconds = parse_seconds(row[2]) if len(row) == 3 else None
        if seconds is None or row[1] not in ("s", "e"):
            problems.append(f"line {number}: found {','.join(row)!r}, expected `name.mp4,s|e,seconds`")
        elif (row[0], row[1]) in answers:
            problems.append(f"line {number}: {row[0]} ({row[1]}) stands there twice")
        else:
            answers[row[0], row[1]] = seconds
    if problems:
        shown = "\n  ".join(problems[:20]) + (f"\n  and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise UserError(f"{path}: no valid submission, {len(problems)} bad lines.\n  {shown}")
    if not answers:
        raise UserError(f"{path}: an empty submission. Expected lines of `name.mp4,s|e,seconds`.")
    return answers


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
    # 2.2 - 1.2 is 1.0000000000000002: without rounding, a clip on the limit would fall out of "within 1 s".
    return np.round(predicted - truth, DECIMALS)


def error_table(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Clips, score, mean and median |error|, and shares of clips within 0.5, 1, 2 and 5 s.

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


def score_table(predicted: dict[str, float], truth: dict[str, float]) -> dict[str, float]:
    """`error_table` over all clips of `truth`, and the same of start and end clips, as `score_start`, `score_end` ...

    Both are {clip name: seconds}; a kind without clips has NaN. Raises UserError where they do not hold the same clips.
    """
    if missing := sorted(truth.keys() - predicted.keys()):
        raise UserError(f"no answer for {len(missing)} clips that have a truth: {', '.join(missing[:10])}")
    if unknown := sorted(predicted.keys() - truth.keys()):
        raise UserError(f"no truth for {len(unknown)} clips that have an answer: {', '.join(unknown[:10])}")

    def table(names: list[str]) -> dict[str, float]:
        return error_table(np.array([predicted[n] for n in names]), np.array([truth[n] for n in names]))

    whole = table(list(truth))
    for kind, ending in (("start", False), ("end", True)):
        names = [n for n in truth if n.endswith("_end") == ending]
        part = table(names) if names else {**dict.fromkeys(whole, float("nan")), "clips": 0}
        whole |= {f"{key}_{kind}": value for key, value in part.items()}
    return whole


def best_constant(truth: dict[str, float]) -> dict[str, float]:
    """The best answer that looks at no clip: one time for all starts and one for all ends.

    The score is convex and bends only 1 s beside a truth, so its minimum lies at one of those times.
    """
    answer: dict[str, float] = {}
    for ending in (False, True):
        names = [n for n in truth if n.endswith("_end") == ending]
        times = np.array([truth[n] for n in names])
        candidates = np.concatenate([times - TOLERANCE, times + TOLERANCE])
        costs = clip_costs(candidates[:, None] - times[None]).sum(1)
        answer |= dict.fromkeys(names, float(candidates[costs.argmin()]) if names else 0.0)
    return {n: answer[n] for n in truth}
