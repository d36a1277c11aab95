"""An evaluation from files to a report: all figures as one plain dict, as Markdown, and as files in a folder.

    result = evaluate_files(Path("submission.csv"), Path("truth.csv"))
    print(as_text(result))
"""

import json
from pathlib import Path

from datatools.files import save_text, write_atomic
from datatools.scores import WITHIN, clip_errors
from datatools.tables import markdown_table
from utils.evaluation import CONFIDENCE, compare, evaluate, group_clips, worst_clips
from utils.evaluation_inputs import Inputs, read_inputs
from utils.evaluation_plots import errors_figure, reliability_figure

LETTERS = "AB"
TITLE_LENGTH = 40               # characters of a file's name above its part of the picture


def evaluate_files(
    submission: Path, truth_path: Path, against: Path | None = None, families_path: Path | None = None,
    worst: int = 10, resamples: int = 10_000, seed: int = 0,
) -> dict:
    """Read the files and compute all figures: `evaluate_inputs` of `read_inputs`. Raises UserError."""
    paths = [submission] if against is None else [submission, against]
    return evaluate_inputs(read_inputs(paths, truth_path, families_path), worst, resamples, seed)


def evaluate_inputs(inputs: Inputs, worst: int = 10, resamples: int = 10_000, seed: int = 0) -> dict:
    """All figures by kind and family: of each submission, of their comparison, and the first one's `worst` clips."""
    names, true, found = inputs.names, inputs.truth, list(inputs.found.values())
    groups = group_clips(names, inputs.families)
    submissions = [
        {"letter": letter, "file": str(path)} | {
            part: {title: evaluate(seconds[mask], true[mask], resamples, seed) for title, mask in masks.items()}
            for part, masks in groups.items()
        } for letter, (path, seconds) in zip(LETTERS, inputs.found.items(), strict=False)
    ]
    comparison = None
    if len(found) == 2:
        a, b = found
        comparison = {part: {title: compare(a[mask], b[mask], true[mask], resamples, seed)
                             for title, mask in masks.items()} for part, masks in groups.items()}
    errors = [clip_errors(seconds, true) for seconds in found]
    return {
        "truth": str(inputs.truth_path), "clips": len(names), "resamples": resamples, "seed": seed,
        "confidence": CONFIDENCE, "families_file": str(inputs.families_path) if inputs.families_path else None,
        "families_beyond_truth": inputs.families_beyond, "submissions": submissions, "comparison": comparison,
        "worst": [
            {"name": names[i], "truth": float(true[i]), "found": [float(seconds[i]) for seconds in found],
             "error": [float(error[i]) for error in errors]} for i in worst_clips(found[0], true, worst)
        ],
    }


def write_evaluation(output: Path, inputs: Inputs, result: dict) -> list[str]:
    """Write the figures, tables and pictures into an existing folder; returns the files' names."""
    save_text(output / "evaluation.json", json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    save_text(output / "evaluation.txt", as_text(result))
    titles = [picture_title(s["letter"], s["file"]) for s in result["submissions"]]
    figures = {"errors.png": errors_figure(inputs.names, inputs.truth,
                                           dict(zip(titles, inputs.found.values(), strict=True)))}
    if "calibration" in result:
        figures["reliability.png"] = reliability_figure(result["calibration"])
    for name, figure in figures.items():
        with write_atomic(output / name) as temporary:
            figure.savefig(temporary, dpi=110)
    return ["evaluation.json", "evaluation.txt", *figures]


def picture_title(letter: str, file: str) -> str:
    """The letter and the file's name; the letter alone where matplotlib's font may lack the name's characters."""
    name = Path(file).name
    if not name.isascii():
        return letter
    return f"{letter}: {name if len(name) <= TITLE_LENGTH else '...' + name[-TITLE_LENGTH:]}"


# ---------------------------------------------------------------- as Markdown


def as_text(result: dict) -> str:
    """The Markdown tables of what `evaluate_inputs` returns."""
    texts = [
        f"Truth: {result['truth']}, {result['clips']} clips. Times in seconds. Score: mean of max(0, |error| - 1 s); "
        "mean, median and shares are of |error|. In brackets: "
        f"{CONFIDENCE:.0%} bootstrap interval over clips, {result['resamples']:,} resamples, seed {result['seed']}."
    ]
    if others := result["families_beyond_truth"]:
        texts.append(f"{result['families_file']}: clips in it that the truth does not hold, and that are left out: "
                     f"{others}.")
    for submission in result["submissions"]:
        texts += [f"## {submission['letter']}: {submission['file']}", _score_table(submission)]
    if comparison := result["comparison"]:
        texts += ["## A against B", _comparison_table(comparison), _verdict(comparison["kinds"]["all"])]
    if "calibration" in result:
        texts += _calibration_texts(result["calibration"])
    if worst := result["worst"]:
        letters = [submission["letter"] for submission in result["submissions"]]
        texts += [f"## Worst clips of {letters[0]}", _worst_table(worst, letters)]
    return "\n\n".join(texts) + "\n"


def _groups(part: dict) -> dict[str, dict]:
    return part["kinds"] | {f"family {name}": table for name, table in part["families"].items()}


def _with_interval(value: float, interval: tuple[float, float] | None, sign: str = "") -> str:
    text = f"{value:{sign}.3f}"
    return text if interval is None else f"{text} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def _score_table(submission: dict) -> str:
    rows = [[title, str(t["clips"]), _with_interval(t["score"], t["score_interval"]),
             _with_interval(t["mean_error"], t["mean_error_interval"]), f"{t['median_error']:.3f}",
             *(f"{t[f'within_{limit:g}s']:.1%}" for limit in WITHIN)] for title, t in _groups(submission).items()]
    heads = ["clips of", "clips", "score", "mean error", "median error", *(f"in {x:g} s" for x in WITHIN)]
    return markdown_table(heads, rows)


def _comparison_table(comparison: dict) -> str:
    rows = [[title, str(t["clips"]), f"{t['score']:.3f}", f"{t['score_against']:.3f}",
             _with_interval(t["difference"], t["difference_interval"], "+"),
             *(str(t[key]) for key in ("better", "worse", "equal"))] for title, t in _groups(comparison).items()]
    return markdown_table(["clips of", "clips", "score A", "score B", "A - B", "A better", "B better", "equal"], rows)


def _verdict(table: dict) -> str:
    interval, difference = table["difference_interval"], table["difference"]
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "The difference may be chance: these clips do not tell which one is better."
    better = "A" if difference < 0 else "B"
    return f"{better} is better by {abs(difference):.3f} s, and more than these clips' chance explains."


def _calibration_texts(calibration: dict) -> list[str]:
    """The report on a predictions file's intervals and confidences."""
    inside = calibration["inside"]
    interval = calibration["inside_interval"]
    told = f"{inside:.1%}" + (f" [{interval[0]:.1%}, {interval[1]:.1%}]" if interval else "")
    rows = [[f"{b['confidence']:.3f}", str(b["clips"]), f"{b['within_1s']:.1%}", f"{b['fitted']:.1%}"]
            for b in calibration["bins"]]
    return [
        f"## How sure A is: {calibration['file']}",
        f"The truth lies within low to high in {told} of the clips; the intervals are made for "
        f"{calibration['made_for']:.0%}. Their median width is {calibration['median_width']:.3f} s.",
        "Clips by confidence, from the least sure on: how many are answered within 1 s, counted, and by a curve that "
        f"only rises (isotonic regression). Confidence and count are {calibration['gap']:.1%} apart in the mean.",
        markdown_table(["mean confidence", "clips", "within 1 s", "fitted"], rows),
    ]


def _worst_table(worst: list[dict], letters: list[str]) -> str:
    heads = ["clip", "true", *(f"{column} {letter}" for letter in letters for column in ("found", "error"))]
    rows = [[clip["name"], f"{clip['truth']:.3f}",
             *(text for found, error in zip(clip["found"], clip["error"], strict=True)
               for text in (f"{found:.3f}", f"{error:+.3f}"))] for clip in worst]
    return markdown_table(heads, rows)
