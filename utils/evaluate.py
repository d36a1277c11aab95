"""How good a submission is, how sure that is, and whether another one is better.

    python utils/evaluate.py --submission a.csv --truth truth.csv
    python utils/evaluate.py --submission a.csv --against b.csv --truth truth.csv --output work_dir/evaluation

Prints Markdown tables: the competition's score, mean and median |error| and shares of clips, for all clips, start and
end clips and families (`--families`, a CSV `name,family`), with bootstrap intervals; and the worst clips. `--output`
keeps them: evaluation.json, evaluation.txt and errors.png. Times in seconds; errors are found minus true.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import check_writable, save_text, write_atomic
from utils.cli import not_negative, positive

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

CONFIDENCE = 0.95               # of the intervals
DRAWS_AT_ONCE = 4_000_000       # clips drawn before their means are taken: bounds the memory, about 64 MB
NAMES_SHOWN = 10                # of the clips that an error message counts
SMALLEST_SHOWN = 0.01           # s; left end of the picture's logarithmic axis, smaller errors are drawn there
ERROR_TICKS = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)   # s
TITLE_LENGTH = 40               # characters of a file's name above its part of the picture


# ---------------------------------------------------------------- errors to figures


def bootstrap_interval(values: np.ndarray, resamples: int = 10_000, seed: int = 0) -> tuple[float, float] | None:
    """The percentile interval (95%) of the mean of `values`, shape (N,), by drawing N of them with replacement.

    None for a single value, whose resamples are all alike. The interval takes clips as independent, although a start
    and an end clip may come from one episode, and it is somewhat too narrow for few clips (below about 30) or where a
    few large errors carry the mean. Raises ValueError where `values` is not (N,) or empty.
    """
    import numpy as np

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
    """`error_table`, and the bootstrap intervals of score and mean |error| beside it.

    The seed starts anew at each call, so that a group's interval does not depend on which other groups are asked for.
    """
    import numpy as np

    from datatools.scores import clip_costs, clip_errors, error_table

    error = clip_errors(predicted, truth)
    return error_table(predicted, truth) | {
        "score_interval": bootstrap_interval(clip_costs(error), resamples, seed),
        "mean_error_interval": bootstrap_interval(np.abs(error), resamples, seed),
    }


def compare(
    predicted: np.ndarray, against: np.ndarray, truth: np.ndarray, resamples: int = 10_000, seed: int = 0
) -> dict:
    """Two answers to the same clips: both scores, their difference with its interval, and who is better how often.

    All in seconds, shape (N,). `difference` is `predicted`'s score minus `against`'s: below 0, `predicted` is better.
    Each resample draws the same clips for both, so what makes a clip hard for both cancels out. A clip is better where
    it costs less; two answers within 1 s are equal. Raises ValueError as `clip_errors` of datatools/submission.py.
    """
    from datatools.scores import clip_costs, clip_errors

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
    import numpy as np

    from datatools.layout import clip_kind

    letters = np.array([clip_kind(name) for name in names])
    kinds = {"all": np.ones(len(names), dtype=bool), "start": letters == "s", "end": letters == "e"}
    members = np.array([families[name] for name in names] if families else [])
    return {
        "kinds": {title: mask for title, mask in kinds.items() if mask.any()},
        "families": {str(family): members == family for family in np.unique(members)},
    }


def worst_clips(predicted: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` clips with the largest |error|, the largest first; equal ones in their own order."""
    import numpy as np

    from datatools.scores import clip_errors

    return np.argsort(-np.abs(clip_errors(predicted, truth)), kind="stable")[:count]


# ---------------------------------------------------------------- files


def read_truth_file(path: Path) -> dict[str, float]:
    """{clip: seconds}, sorted by name. Raises UserError, also for names that are neither start nor end."""
    from datatools.labels import read_truth
    from datatools.layout import kind_of

    if not path.exists():
        raise UserError(f"{path}: no such truth. Expected a CSV `name,seconds` or text lines `<name> <seconds>`.")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path}: an empty file, so no truth. Expected a CSV `name,seconds` or text lines "
                        "`<name> <seconds>`. Name another file with --truth.")
    truth = read_truth(path)
    if nameless := sorted(name for name in truth if kind_of(name) is None):
        raise UserError(f"{path}: {_listed(nameless)} not named as start or end clips. Expected names that end in "
                        "_start or _end. Rename them.")
    return dict(sorted(truth.items()))


def read_answers(path: Path, truth: dict[str, float], truth_path: Path) -> dict[str, float]:
    """{clip: seconds} of a submission in the truth's order.

    Raises one UserError that tells all that does not fit the truth: missing, unknown and doubled clips, wrong letters.
    """
    from datatools.labels import strip_suffix
    from datatools.layout import kind_of
    from datatools.submission import read_submission

    answers: dict[str, float] = {}
    doubled, wrong = [], []
    for (file_name, letter), seconds in read_submission(path).items():
        name = strip_suffix(file_name)
        if (kind := kind_of(name)) and letter != kind.letter:
            wrong.append(f"{name} ({letter})")
        elif name in answers:
            doubled.append(name)
        answers[name] = seconds
    problems = [f"{text}: {_listed(clips)}" for text, clips in (
        ("missing in the submission", sorted(truth.keys() - answers.keys())),
        ("unknown to the truth", sorted(answers.keys() - truth.keys())),
        ("with the other kind's letter", sorted(wrong)),
        ("standing there twice", sorted(doubled)),
    ) if clips]
    if problems:
        raise UserError(f"{path}: does not fit {truth_path}.\n  " + "\n  ".join(problems) + "\nExpected one answer for "
                        f"each of the truth's {len(truth)} clips and no other. Infer the same clips again, or name the "
                        "--truth that belongs to this submission.")
    return {name: answers[name] for name in truth}


def read_families(path: Path, truth: dict[str, float], truth_path: Path) -> tuple[dict[str, str], int]:
    """({clip of the truth: family}, number of the file's other clips) of a CSV with the columns name and family.

    Clips that the truth does not hold are allowed, because one such file may serve several sets of clips.
    Raises UserError that lists every bad line, or the clips that the file misses.
    """
    import csv
    import io

    from datatools.labels import strip_suffix

    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such family file. Expected a CSV `name,family`.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text. Expected a CSV `name,family`; save it as UTF-8.") from None
    # Strict: a quote that is never closed would otherwise swallow the lines behind it.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is no CSV ({error}). Expected `name,family`.") from None
    if not {"name", "family"} <= set(reader.fieldnames or ()):
        raise UserError(f"{path}: found the header {','.join(reader.fieldnames or ())!r}, expected one with name and "
                        "family. Put it into the first line.")
    families: dict[str, str] = {}
    problems = []
    for number, row in rows:
        name, family = strip_suffix((row["name"] or "").strip()), " ".join((row["family"] or "").split())
        if not name or not family or None in row:
            problems.append(f"line {number}: found {list(row.values())}, expected a name and a family")
        elif name in families:
            problems.append(f"line {number}: {name} stands there twice")
        else:
            families[name] = family
    if problems:
        raise UserError(f"{path}: {len(problems)} bad lines.\n  " + "\n  ".join(problems[:NAMES_SHOWN])
                        + (f"\n  and {len(problems) - NAMES_SHOWN} more" if len(problems) > NAMES_SHOWN else ""))
    if missing := [name for name in truth if name not in families]:
        raise UserError(f"{path}: misses {_listed(missing)} of {truth_path}. Expected a family for each of its "
                        f"{len(truth)} clips. Add them, or leave out --families.")
    return {name: families[name] for name in truth}, len(families.keys() - truth.keys())


def _listed(names: list[str]) -> str:
    """`12 clips (a, b, ...)` with the first few names."""
    shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
    return f"{len(names)} clip{'s' if len(names) > 1 else ''} ({shown})"


# ---------------------------------------------------------------- figures to tables and pictures


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, padded so that it reads as text too; the first column to the left, the others to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [heads, *rows]]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(heads))]
    lines = [" | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in cells]
    lines.insert(1, " | ".join("-" * (w - 1) + ":" if i else "-" * w for i, w in enumerate(widths)))
    return "\n".join(f"| {line} |" for line in lines)


def _with_interval(value: float, interval: tuple[float, float] | None, sign: str = "") -> str:
    text = f"{value:{sign}.3f}"
    return text if interval is None else f"{text} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def as_text(result: dict) -> str:
    """The Markdown tables of what `evaluate_files` returns."""
    from datatools.scores import WITHIN

    texts = [
        f"Truth: {result['truth']}, {result['clips']} clips. Times in seconds. Score: mean of max(0, |error| - 1 s); "
        "mean, median and shares are of |error|. In brackets: "
        f"{CONFIDENCE:.0%} bootstrap interval over clips, {result['resamples']:,} resamples, seed {result['seed']}."
    ]
    if others := result["families_beyond_truth"]:
        texts.append(f"{result['families_file']}: clips in it that the truth does not hold, and that are left out: "
                     f"{others}.")
    for submission in result["submissions"]:
        tables = submission["kinds"] | {f"family {name}": table for name, table in submission["families"].items()}
        rows = [[title, str(t["clips"]), _with_interval(t["score"], t["score_interval"]),
                 _with_interval(t["mean_error"], t["mean_error_interval"]), f"{t['median_error']:.3f}",
                 *(f"{t[f'within_{limit:g}s']:.1%}" for limit in WITHIN)] for title, t in tables.items()]
        heads = ["clips of", "clips", "score", "mean error", "median error", *(f"in {x:g} s" for x in WITHIN)]
        texts += [f"## {submission['letter']}: {submission['file']}", markdown_table(heads, rows)]
    if comparison := result["comparison"]:
        tables = comparison["kinds"] | {f"family {name}": table for name, table in comparison["families"].items()}
        rows = [[title, str(t["clips"]), f"{t['score']:.3f}", f"{t['score_against']:.3f}",
                 _with_interval(t["difference"], t["difference_interval"], "+"),
                 *(str(t[key]) for key in ("better", "worse", "equal"))] for title, t in tables.items()]
        heads = ["clips of", "clips", "score A", "score B", "A - B", "A better", "B better", "equal"]
        texts += ["## A against B", markdown_table(heads, rows), _verdict(comparison["kinds"]["all"])]
    if worst := result["worst"]:
        letters = [submission["letter"] for submission in result["submissions"]]
        heads = ["clip", "true", *(f"{column} {letter}" for letter in letters for column in ("found", "error"))]
        rows = [[clip["name"], f"{clip['truth']:.3f}",
                 *(text for found, error in zip(clip["found"], clip["error"], strict=True)
                   for text in (f"{found:.3f}", f"{error:+.3f}"))] for clip in worst]
        texts += [f"## Worst clips of {letters[0]}", markdown_table(heads, rows)]
    return "\n\n".join(texts) + "\n"


def _verdict(table: dict) -> str:
    interval, difference = table["difference_interval"], table["difference"]
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "The difference may be chance: these clips do not tell which one is better."
    better = "A" if difference < 0 else "B"
    return f"{better} is better by {abs(difference):.3f} s, and more than these clips' chance explains."


def errors_figure(names: list[str], truth: np.ndarray, found: dict[str, np.ndarray]) -> Figure:
    """Cumulative share of clips against |error|, and found against true, start and end clips in their colours.

    `truth` is (N,), `found` {title: (N,)} with one or two submissions; all in seconds.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from datatools.layout import CLIP_SECONDS
    from datatools.scores import TOLERANCE, clip_errors
    from utils.plots import END_COLOUR, START_COLOUR

    groups = group_clips(names)["kinds"]
    kinds = [(groups[kind], colour, label) for kind, colour, label in (
        ("start", START_COLOUR, "end of the opening"), ("end", END_COLOUR, "start of the ending")) if kind in groups]
    longest = max(float(CLIP_SECONDS), truth.max(), *(seconds.max() for seconds in found.values()))
    figure = Figure(figsize=(6.4 + 5.2 * len(found), 5.6), layout="constrained")
    left, *others = figure.subplots(1, 1 + len(found), width_ratios=[1.25, *[1] * len(found)])

    left.axvspan(SMALLEST_SHOWN, TOLERANCE, color="0.93", zorder=0, label="up to 1 s: costs nothing")
    for letter, style, seconds in zip("AB", ("-", (0, (4, 2))), found.values(), strict=False):
        error = np.abs(clip_errors(seconds, truth))
        for mask, colour, label in kinds:
            steps = np.append(np.maximum(np.sort(error[mask]), SMALLEST_SHOWN), longest)
            share = np.append(np.arange(1, mask.sum() + 1) / mask.sum(), 1)
            left.step(steps, share, where="post", color=colour, linestyle=style, linewidth=1.8,
                      label=label if len(found) == 1 else f"{letter}, {label}")
    left.set(xscale="log", xlim=(SMALLEST_SHOWN, longest), ylim=(0, 1.01), title="cumulative share of clips",
             xlabel="|error|, s", ylabel="clips with at most this |error|")
    ticks = [tick for tick in ERROR_TICKS if tick <= longest]
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.set_xticks([], minor=True)
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    left.grid(color="0.88", linewidth=0.6)

    # One scatter for both kinds: in the clips' order neither colour hides the other.
    colours = np.empty(len(names), dtype=object)
    for mask, colour, _ in kinds:
        colours[mask] = colour
    for axis, (title, seconds) in zip(others, found.items(), strict=True):
        axis.plot([0, longest], [0, longest], color="0.7", linewidth=1, zorder=0)
        axis.scatter(truth, seconds, s=22 if len(names) < 500 else 8, color=list(colours), alpha=0.6, linewidths=0,
                     clip_on=False)
        # A dollar sign in a file's name would begin a formula.
        axis.set(xlim=(0, longest), ylim=(0, longest), aspect="equal", xlabel="true boundary, s",
                 ylabel="found boundary, s", title=title.replace("$", r"\$"))
    # Below the axes, where no curve, however good or bad, can run under it.
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def picture_title(letter: str, file: str) -> str:
    """The letter and the file's name; the letter alone where matplotlib's own font may lack the name's signs."""
    name = Path(file).name
    if not name.isascii():
        return letter
    return f"{letter}: {name if len(name) <= TITLE_LENGTH else '...' + name[-TITLE_LENGTH:]}"


# ---------------------------------------------------------------- the command


def evaluate_files(
    submission: Path, truth_path: Path, against: Path | None = None, families_path: Path | None = None,
    output: Path | None = None, worst: int = 10, resamples: int = 10_000, seed: int = 0,
) -> dict:
    """Read the files, take every figure, and write evaluation.json, evaluation.txt and errors.png into `output`.

    Returns what evaluation.json holds. Raises UserError before anything is written.
    """
    import numpy as np

    from datatools.scores import clip_errors

    paths = [submission] if against is None else [submission, against]
    if against is not None and submission.resolve() == against.resolve():
        raise UserError(f"{against}: is --submission too. Name another one with --against.")
    truth = read_truth_file(truth_path)
    found = {path: np.array(list(read_answers(path, truth, truth_path).values())) for path in paths}   # (N,) each
    families, beyond = read_families(families_path, truth, truth_path) if families_path else (None, 0)
    if output is not None:
        check_writable(output)

    names, true = list(truth), np.array(list(truth.values()))   # both N long
    errors = [clip_errors(seconds, true) for seconds in found.values()]
    groups = group_clips(names, families)
    submissions = [
        {"letter": letter, "file": str(path)} | {
            part: {title: evaluate(seconds[mask], true[mask], resamples, seed) for title, mask in masks.items()}
            for part, masks in groups.items()
        } for letter, (path, seconds) in zip("AB", found.items(), strict=False)
    ]
    comparison = None
    if against is not None:
        a, b = found.values()
        comparison = {part: {title: compare(a[mask], b[mask], true[mask], resamples, seed)
                             for title, mask in masks.items()} for part, masks in groups.items()}
    result = {
        "truth": str(truth_path), "clips": len(names), "resamples": resamples, "seed": seed, "confidence": CONFIDENCE,
        "families_file": str(families_path) if families_path else None, "families_beyond_truth": beyond,
        "submissions": submissions, "comparison": comparison,
        "worst": [
            {"name": names[i], "truth": float(true[i]), "found": [float(seconds[i]) for seconds in found.values()],
             "error": [float(error[i]) for error in errors]}
            for i in worst_clips(found[submission], true, worst)
        ],
    }
    if output is not None:
        titles = [picture_title(s["letter"], s["file"]) for s in submissions]
        figure = errors_figure(names, true, dict(zip(titles, found.values(), strict=True)))
        save_text(output / "evaluation.json", json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        save_text(output / "evaluation.txt", as_text(result))
        with write_atomic(output / "errors.png") as temporary:
            figure.savefig(temporary, dpi=110)
    return result


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submission", type=Path, required=True, metavar="CSV", help="lines of `name.mp4,s|e,seconds`")
    parser.add_argument("--against", type=Path, metavar="CSV", help="another one for the same clips: compare with it")
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE",
                        help="CSV (`name,seconds`) or label text (`name seconds`)")
    parser.add_argument("--families", type=Path, metavar="CSV", help="`name,family`: tell each family apart")
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="write evaluation.json, evaluation.txt and errors.png there")
    parser.add_argument("--worst", type=not_negative, default=10, metavar="N", help="worst clips told (%(default)s)")
    parser.add_argument("--resamples", type=positive(int), default=10_000, metavar="N",
                        help="of the bootstrap (%(default)s)")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the bootstrap (%(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    result = evaluate_files(args.submission, args.truth, args.against, args.families, args.output,
                            args.worst, args.resamples, args.seed)
    print(as_text(result), end="")
    if args.output is not None:
        print(f"\nwritten: evaluation.json, evaluation.txt and errors.png in {args.output}")
    return 0


if __name__ == "__main__":
    run_command(main)
