"""Fuse several submissions into one, clip by clip: by 2-means, by a median, or by what out-of-fold answers teach.

    cd fuse && python fuse.py                       # submission_B_3/*.csv -> submission_fused.csv
    python fuse/fuse.py --inputs a.csv b.csv c.csv --output fused.csv
    python fuse/fuse.py --inputs a.csv b.csv c.csv --output fused.csv --method stacked --truth labels.csv --report \\
        --out_of_fold a/out_of_fold.csv b/out_of_fold.csv c/out_of_fold.csv
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):   # run as a file: imports start at the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import UserError, run_command
from datatools.files import check_writable, save_text

if TYPE_CHECKING:
    import numpy as np

    from fuse.stack import Examples

FOLDER = Path(__file__).resolve().parent
METHODS = ("kmeans", "median", "weighted", "stacked")
LEARNT = ("weighted", "stacked")   # need out-of-fold answers
WARN_SPREAD = 10.0                 # s
NAMES_SHOWN = 5                    # of the clips that a message counts
KIND_NAMES = {"s": "start", "e": "end"}


def spread_limit(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:   # NaN neither
        raise argparse.ArgumentTypeError("must not be negative")
    return seconds


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="""Fuse several submissions into one, clip by clip.

  kmeans    exact 2-means of all times, the mean of the larger cluster; where the clusters are
            equally large, the median of all
  median    the median of all times
  weighted  their median weighted by how well each input did on out-of-fold clips
  stacked   the same plus a regression of what it misses there (known biases of the inputs)""",
    )
    parser.add_argument("--inputs", nargs="+", type=Path, default=[FOLDER / "submission_B_3"], metavar="CSV",
                        help="submissions, or folders of them (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER / "submission_fused.csv", help="default: %(default)s")
    parser.add_argument("--method", choices=METHODS, default="kmeans", help="default: %(default)s")
    parser.add_argument("--out_of_fold", nargs="+", type=Path, default=[], metavar="CSV",
                        help="answers of the same networks to labelled clips that they were not trained on, as "
                        "submissions: one file for each input in the same order, or a folder of files named as the "
                        "inputs; for weighted, stacked and --report")
    parser.add_argument("--truth", type=Path, help="true times of the out-of-fold clips, and for --report of the "
                        "inputs' clips where known: CSV name,seconds or text lines `<name> <seconds>`")
    parser.add_argument("--report", action="store_true",
                        help="print as Markdown the score of each input and method and what each input contributes; "
                        "without a truth, how far each input is from the fused answer")
    parser.add_argument("--warn_spread", type=spread_limit, default=WARN_SPREAD, metavar="SECONDS",
                        help="tell the clips on which no majority of the inputs agrees within so many seconds "
                        "(default: %(default)g)")
    return parser


# ---------------------------------------------------------------- files


def find_submissions(inputs: list[Path], output: Path) -> list[Path]:
    """The CSV files named or lying in the folders named, never the output itself. Raises UserError."""
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.glob("*.csv") if p.resolve() != output.resolve())
            if not found:
                raise UserError(f"{path}: no *.csv in it. Put the submissions there, or name them with --inputs.")
            paths += found
        elif path.resolve() == output.resolve():
            raise UserError(f"{path}: is the output too; name another --output.")
        elif path.is_file():
            paths.append(path)
        else:
            raise UserError(f"{path}: no such file or folder. Put the submissions there, or name them with --inputs.")
    resolved = [p.resolve() for p in paths]
    if doubled := [p for i, p in enumerate(paths) if resolved[i] in resolved[:i]]:
        raise UserError(f"{doubled[0]}: named twice; it would count double.")
    if len(paths) < 2:
        raise UserError(f"{paths[0]}: one submission alone, at least two are needed to fuse.")
    return paths


def find_out_of_fold(named: list[Path], paths: list[Path]) -> list[Path]:
    """The out-of-fold file of each submission in `paths`: by name from one folder, else in the order named.

    One file may serve two submissions (two checkpoints of one training). Raises UserError.
    """
    names = [path.name for path in paths]
    if len(named) == 1 and named[0].is_dir():
        folder = named[0]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"{folder}: several inputs are named {', '.join(doubled)}, so their out-of-fold files in a "
                            "folder cannot be told apart. Name the files themselves with --out_of_fold.")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise UserError(f"{folder}: no {listed(missing)} in it. Expected one file named as each input "
                            f"({listed(names)}). Rename them, or name the files in the inputs' order with "
                            "--out_of_fold.")
        return [folder / name for name in names]
    for path in named:
        if path.is_dir():
            raise UserError(f"{path}: a folder among several --out_of_fold. Expected one folder, or one file for each "
                            "input.")
        if not path.is_file():
            raise UserError(f"{path}: no such out-of-fold file. Expected one for each input; --folds of the training "
                            "commands writes it.")
    if len(named) != len(paths):
        raise UserError(f"{listed(named)}: {len(named)} out-of-fold files for {len(paths)} inputs. Expected one for "
                        "each, in the same order.")
    for path, own in zip(named, names, strict=True):
        if path.name != own and path.name in names and names.count(path.name) == 1:
            raise UserError(f"{path}: stands where the out-of-fold file of {own} is expected, but is named as another "
                            "input. Name the files in the inputs' order.")
    return named


def listed(items: list) -> str:
    """The first few, and how many more."""
    shown = ", ".join(str(item) for item in items[:NAMES_SHOWN])
    return shown + (f" and {len(items) - NAMES_SHOWN} more" if len(items) > NAMES_SHOWN else "")


def listed_clips(clips: list[tuple[str, str]]) -> str:
    return listed([f"{name} ({kind})" for name, kind in clips])


def check_same_clips(submissions: dict[Path, dict]) -> None:
    """Raise UserError that lists, for each file, the clips that others have and it lacks."""
    everything = set().union(*submissions.values())
    lines = []
    for path, answers in submissions.items():
        if missing := sorted(everything - answers.keys()):
            lines.append(f"{path}: lacks {len(missing)} of {len(everything)} clips: {listed_clips(missing)}")
    if lines:
        raise UserError("the submissions do not hold the same clips.\n  " + "\n  ".join(lines))


def read_answers(paths: list[Path]) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Clips (name.mp4, s|e), sorted, and the answers of all files to them, (N, K) in seconds. Raises UserError."""
    import numpy as np

    from datatools.submission import read_submission

    submissions = {path: read_submission(path) for path in dict.fromkeys(paths)}
    check_same_clips(submissions)
    clips = sorted(next(iter(submissions.values())))
    return clips, np.array([[submissions[path][clip] for path in paths] for clip in clips])


def read_truth_file(path: Path) -> dict[str, float]:
    """{clip: seconds}, names without .mp4. Raises UserError."""
    from datatools.labels import read_truth

    if not path.exists():
        raise UserError(f"{path}: no such truth. Expected a CSV `name,seconds` or text lines `<name> <seconds>`; name "
                        "it with --truth.")
    return read_truth(path)


def true_seconds(clips: list[tuple[str, str]], truth: dict[str, float]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The truth of each clip, (N,) in seconds, NaN where there is none; and the clips without one."""
    import numpy as np

    from datatools.labels import strip_suffix

    seconds = np.array([truth.get(strip_suffix(name), np.nan) for name, _ in clips])
    return seconds, [clip for clip, missing in zip(clips, np.isnan(seconds), strict=True) if missing]


def read_examples(paths: list[Path], truth_path: Path, truth: dict[str, float]) -> Examples:
    """Out-of-fold answers with their truth. Raises UserError where a clip is missing in a file or in the truth."""
    from fuse.stack import Examples

    clips, seconds = read_answers(paths)
    true, missing = true_seconds(clips, truth)
    if missing:
        raise UserError(f"{truth_path}: lacks {len(missing)} of {len(clips)} clips of the out-of-fold files: "
                        f"{listed_clips(missing)}. Add them, or name their truth with --truth.")
    return Examples(clips, seconds, true)


# ---------------------------------------------------------------- fusion


def fuse_answers(
    method: str, clips: list[tuple[str, str]], seconds: np.ndarray, examples: Examples | None
) -> np.ndarray:
    """Several answers (N, K) to one a clip, (N,), seconds; a learnt method needs `examples`."""
    from fuse.stack import fuse_learnt
    from fuse.vote import median_vote, two_means_vote

    if method in LEARNT:
        return fuse_learnt(method, clips, seconds, examples)
    # Sorting inside both votes makes the sum's order, and so its last bit, independent of the files' order.
    return {"kmeans": two_means_vote, "median": median_vote}[method](seconds)


def why_not(method: str, clips: list[tuple[str, str]], examples: Examples | None) -> str | None:
    """Why `method` cannot fuse `clips`, with the remedy; None where it can."""
    from fuse.stack import MIN_CLIPS

    if method not in LEARNT:
        return None
    if examples is None:
        return "needs --out_of_fold and --truth"
    if len(examples.clips) < MIN_CLIPS[method]:
        return (f"{len(examples.clips)} out-of-fold clips, at least {MIN_CLIPS[method]} are needed; give more, or take "
                "--method median")
    if missing := sorted({kind for _, kind in clips} - {kind for _, kind in examples.clips}):
        return (f"no {KIND_NAMES[missing[0]]} clips among the out-of-fold clips, but in the inputs; add some, or take "
                "--method median")
    return None


@dataclass(frozen=True)
class Fusion:
    """What was fused: clips (name.mp4, s|e), answers (N, K) and fused answer (N,) in seconds, report in Markdown."""

    clips: list[tuple[str, str]]
    seconds: np.ndarray
    fused: np.ndarray
    report: str


def fuse_files(
    paths: list[Path], output: Path, method: str = "kmeans", out_of_fold: list[Path] | None = None,
    truth: Path | None = None, report: bool = False,
) -> Fusion:
    """Fuse the submissions in `paths`, joined by clip, into `output`. Raises UserError before anything is written.

    Under kmeans and median the order of the files changes nothing; the rows are sorted by clip, so the same inputs
    give the same bytes. `out_of_fold` holds a file for each of `paths`.
    """
    for path in [*(out_of_fold or []), *([truth] if truth else [])]:
        if path.resolve() == output.resolve():
            raise UserError(f"{path}: is read and would be overwritten; name another --output.")
    clips, seconds = read_answers(paths)
    known = read_truth_file(truth) if truth else None
    examples = read_examples(out_of_fold, truth, known) if out_of_fold else None
    if reason := why_not(method, clips, examples):
        raise UserError(f"--method {method}: {reason}.")
    fused = fuse_answers(method, clips, seconds, examples)
    text = ""
    if report:
        names = [path.name for path in paths]
        labels = names if len(set(names)) == len(names) else [str(path) for path in paths]
        true, missing = true_seconds(clips, known or {})
        if not missing:
            text = score_report(f"the {len(clips)} clips of the inputs", labels, method, clips, seconds, true, examples)
        elif len(missing) < len(clips):
            raise UserError(f"{truth}: lacks {len(missing)} of {len(clips)} clips of the inputs: "
                            f"{listed_clips(missing)}. Add them, or leave out the truth of the others.")
        elif examples:
            text = score_report(
                f"the {len(examples.clips)} out-of-fold clips, each fused by what the others teach", labels, method,
                examples.clips, examples.seconds, examples.truth, examples,
            )
        elif known is not None:
            raise UserError(f"{truth}: holds none of the {len(clips)} clips of the inputs: {listed_clips(missing)}. "
                            "Name their truth with --truth, or ask for the report without it.")
        else:
            text = disagreement_report(labels, method, seconds, fused)
    check_writable(output.parent)
    save_text(output, "".join(f"{n},{k},{s:.3f}\n" for (n, k), s in zip(clips, fused, strict=True)))
    return Fusion(clips, seconds, fused, text)


# ---------------------------------------------------------------- reports


def score_report(
    what: str, labels: list[str], method: str, clips: list[tuple[str, str]], seconds: np.ndarray, truth: np.ndarray,
    examples: Examples | None,
) -> str:
    """Markdown: the score of every input and method on `clips`, and what each input contributes to `method`.

    A contribution is the score of the fusion without the input minus the score with it: above 0, the input helps.
    """
    import numpy as np

    from fuse.stack import score

    inputs = [score(seconds[:, k], truth) for k in range(len(labels))]
    reasons = {m: why_not(m, clips, examples) for m in METHODS}
    fusions = {
        m: score(fuse_answers(m, clips, seconds, examples), truth) for m, reason in reasons.items() if reason is None
    }
    best = int(np.argmin(inputs))
    weights = input_weights(clips, examples)
    lines = [
        f"Score on {what}: mean of max(0, |error| - 1 s).", "",
        "| | score, s | contribution, s |" + "".join(f" weight{title} |" for title, _ in weights),
        "| --- | ---: | ---: |" + " ---: |" * len(weights),
    ]
    for k, label in enumerate(labels):
        without = fuse_answers(
            method, clips, np.delete(seconds, k, axis=1), examples.without_input(k) if examples else None
        )
        contribution = score(without, truth) - fusions[method]
        # Adding 0 keeps a rounded -0.0 from showing a minus.
        lines.append(f"| {cell(label)} | {inputs[k]:.3f} | {round(contribution, 3) + 0.0:+.3f} |"
                     + "".join(f" {values[k]:.3f} |" for _, values in weights))
    for m in METHODS:
        told = f"{fusions[m]:.3f}" if m in fusions else f"not computed: {reasons[m]}"
        lines.append(f"| {m}{' (written)' if m == method else ''} | {told} | |" + " |" * len(weights))
    lines += [
        "", f"Best single input: {labels[best]}, {inputs[best]:.3f} s.",
        f"Contribution: score of {method} without the input minus score with it; above 0, the input helps.",
    ]
    return "\n".join(lines)


def input_weights(clips: list[tuple[str, str]], examples: Examples | None) -> list[tuple[str, np.ndarray]]:
    """Columns (title, (K,)) of the weights learnt from all examples; none where there are too few."""
    import numpy as np

    from fuse.stack import learn_weights, learnt_together

    if examples is None or why_not("weighted", clips, examples):
        return []
    columns = []
    for group in learnt_together("weighted", examples):
        rows = np.isin(examples.kinds, group)
        title = f", {KIND_NAMES[group[0]]}" if len(group) == 1 else ""
        columns.append((title, learn_weights(examples.seconds[rows], examples.truth[rows])))
    return columns


def disagreement_report(labels: list[str], method: str, seconds: np.ndarray, fused: np.ndarray) -> str:
    """Markdown: how far each input is from the fused answer on average."""
    import numpy as np

    lines = [
        f"Mean distance from the fused answer ({method}) over {len(fused)} clips; no truth was given.", "",
        "| | mean distance, s |", "| --- | ---: |",
    ]
    lines += [f"| {cell(label)} | {np.abs(seconds[:, k] - fused).mean():.3f} |" for k, label in enumerate(labels)]
    return "\n".join(lines)


def cell(text: str) -> str:
    """`text` for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def spread_warning(fusion: Fusion, limit: float) -> str | None:
    """A warning that names the clips on which no majority agrees within `limit` seconds, the widest first."""
    import numpy as np

    from fuse.vote import majority, majority_spread

    spread = majority_spread(fusion.seconds)
    wide = [i for i in np.argsort(-spread, kind="stable") if spread[i] > limit]
    if not wide:
        return None
    count = fusion.seconds.shape[1]
    lines = [f"warning: {len(wide)} of {len(spread)} clips: no {majority(count)} of the {count} inputs agree within "
             f"{limit:g} s."]
    for i in wide[:NAMES_SHOWN]:
        name, kind = fusion.clips[i]
        answers = ", ".join(f"{s:.1f}" for s in np.sort(fusion.seconds[i]))
        lines.append(f"  {name} ({kind}): {answers} s, fused {fusion.fused[i]:.1f} s")
    if len(wide) > NAMES_SHOWN:
        lines.append(f"  and {len(wide) - NAMES_SHOWN} more")
    return "\n".join(lines)


def check_flags(args: argparse.Namespace) -> None:
    """Raise UserError where a flag lacks another one, or would be used by nothing."""
    if args.method in LEARNT and not args.out_of_fold:
        raise UserError(f"--method {args.method}: no --out_of_fold given. Expected one file of out-of-fold answers for "
                        "each input (--folds of the training commands writes it), and their --truth.")
    if args.out_of_fold and not args.truth:
        raise UserError("--out_of_fold: no --truth given. Expected the true times of its clips, CSV or text.")
    if (args.out_of_fold or args.truth) and not (args.report or args.method in LEARNT):
        given = "--out_of_fold and --truth" if args.out_of_fold else "--truth"
        raise UserError(f"{given}: --method {args.method} learns nothing. Leave it out, add --report, or take --method "
                        "weighted or stacked.")


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    check_flags(args)
    paths = find_submissions(args.inputs, args.output)
    out_of_fold = find_out_of_fold(args.out_of_fold, paths) if args.out_of_fold else None
    fusion = fuse_files(paths, args.output, args.method, out_of_fold, args.truth, args.report)
    if warning := spread_warning(fusion, args.warn_spread):
        print(warning, file=sys.stderr)
    how = "" if args.method == "kmeans" else f" by {args.method}"
    print(f"fused {len(paths)} submissions{how}, {len(fusion.clips)} clips: {args.output}")
    for path in paths:
        print(f"  {path}")
    if fusion.report:
        print(f"\n{fusion.report}")
    return 0


if __name__ == "__main__":
    run_command(main)
