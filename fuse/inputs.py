"""Submissions, out-of-fold answers and true times: found, read, and joined by clip.

    paths = find_submissions([Path("submission_B_3")], Path("submission_fused.csv"))
    clips, seconds = read_answers(paths)        # seconds (N, K): a row a clip, a column a submission
"""

from pathlib import Path

import numpy as np

from datatools.errors import UserError
from datatools.labels import strip_suffix
from datatools.submission import read_submission
from fuse.stack import Examples

NAMES_SHOWN = 5   # clips' names in one message


def find_submissions(inputs: list[Path], output: Path) -> list[Path]:
    """The CSV files in `inputs` and in its folders, without the output itself. Raises UserError."""
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(p for p in path.glob("*.csv") if p.resolve() != output.resolve())
            if not found:
                raise UserError(f"{path}: no *.csv in it. Put the submissions there, or name them with --inputs.")
            paths += found
        elif path.resolve() == output.resolve():
            raise UserError(f"{path}: is the output too; name another --output.")
        elif path.exists():
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
    """The out-of-fold file of each submission in `paths`: by name from a single folder, else in the order given.

    One file may serve two submissions (two checkpoints of one training). Raises UserError.
    """
    if len(named) == 1 and named[0].is_dir():
        return _out_of_fold_by_name(named[0], [path.name for path in paths])
    return _out_of_fold_in_order(named, [path.name for path in paths])


def _out_of_fold_by_name(folder: Path, names: list[str]) -> list[Path]:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{folder}: several inputs are named {', '.join(doubled)}, so their out-of-fold files in a "
                        "folder cannot be told apart. Name the files themselves with --out_of_fold.")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(f"{folder}: no {listed(missing)} in it. Expected one file named as each input "
                        f"({listed(names)}). Rename them, or name the files in the inputs' order with "
                        "--out_of_fold.")
    return [folder / name for name in names]


def _out_of_fold_in_order(named: list[Path], names: list[str]) -> list[Path]:
    for path in named:
        if path.is_dir():
            raise UserError(f"{path}: a folder among several --out_of_fold. Expected one folder, or one file for each "
                            "input.")
        if not path.is_file():
            raise UserError(f"{path}: no such out-of-fold file. Expected one for each input; --folds of the training "
                            "commands writes it.")
    if len(named) != len(names):
        raise UserError(f"{listed(named)}: {len(named)} out-of-fold files for {len(names)} inputs. Expected one for "
                        "each, in the same order.")
    for path, own in zip(named, names, strict=True):
        if path.name != own and path.name in names and names.count(path.name) == 1:
            raise UserError(f"{path}: stands where the out-of-fold file of {own} is expected, but is named as another "
                            "input. Name the files in the inputs' order.")
    return named


def listed(items: list) -> str:
    """The first few items, and the number of further ones."""
    shown = ", ".join(str(item) for item in items[:NAMES_SHOWN])
    return shown + (f" and {len(items) - NAMES_SHOWN} more" if len(items) > NAMES_SHOWN else "")


def listed_clips(clips: list[tuple[str, str]]) -> str:
    return listed([f"{name} ({kind})" for name, kind in clips])


def check_same_clips(submissions: dict[Path, dict]) -> None:
    """Raise UserError that lists, for each file, the clips that it lacks and other files have."""
    everything = set().union(*submissions.values())
    lines = []
    for path, answers in submissions.items():
        if missing := sorted(everything - answers.keys()):
            lines.append(f"{path}: lacks {len(missing)} of {len(everything)} clips: {listed_clips(missing)}")
    if lines:
        raise UserError("the submissions do not hold the same clips.\n  " + "\n  ".join(lines))


def read_answers(paths: list[Path]) -> tuple[list[tuple[str, str]], np.ndarray]:
    """The clips (name.mp4, s|e), sorted, and all files' answers, (N, K) in seconds. Raises UserError."""
    submissions = {path: read_submission(path) for path in dict.fromkeys(paths)}
    check_same_clips(submissions)
    clips = sorted(next(iter(submissions.values())))
    return clips, np.array([[submissions[path][clip] for path in paths] for clip in clips])


def true_seconds(clips: list[tuple[str, str]], truth: dict[str, float]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """The truth of each clip, (N,) in seconds, NaN where unknown; and the clips without a truth."""
    seconds = np.array([truth.get(strip_suffix(name), np.nan) for name, _ in clips])
    return seconds, [clip for clip, missing in zip(clips, np.isnan(seconds), strict=True) if missing]


def read_examples(paths: list[Path], truth_path: Path, truth: dict[str, float]) -> Examples:
    """Out-of-fold answers with their truth. Raises UserError where a clip is missing in a file or in the truth."""
    clips, seconds = read_answers(paths)
    true, missing = true_seconds(clips, truth)
    if missing:
        raise UserError(f"{truth_path}: lacks {len(missing)} of {len(clips)} clips of the out-of-fold files: "
                        f"{listed_clips(missing)}. Add them, or name their truth with --truth.")
    return Examples(clips, seconds, true)
