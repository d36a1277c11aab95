"""Fuse several submissions into one by 2-means, clip by clip.

    cd fuse && python fuse.py                       # submission_B_3/*.csv -> submission_fused.csv
    python fuse/fuse.py --inputs a.csv b.csv c.csv --output fused.csv
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):   # run as a file: imports start at the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.command import UserError, check_writable, run_command, save_text

FOLDER = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Per clip, split the times of all submissions by exact 2-means and answer with the mean of the "
        "larger cluster; where the clusters are equally large, with the median of all.",
    )
    parser.add_argument("--inputs", nargs="+", type=Path, default=[FOLDER / "submission_B_3"], metavar="CSV",
                        help="submissions, or folders of them (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER / "submission_fused.csv", help="default: %(default)s")
    return parser


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


def check_same_clips(submissions: dict[Path, dict]) -> None:
    """Raise UserError that lists, for each file, the clips that others have and it lacks."""
    everything = set().union(*submissions.values())
    lines = []
    for path, answers in submissions.items():
        if missing := sorted(everything - answers.keys()):
            shown = ", ".join(f"{name} ({kind})" for name, kind in missing[:5]) + (", ..." if len(missing) > 5 else "")
            lines.append(f"{path}: lacks {len(missing)} of {len(everything)} clips: {shown}")
    if lines:
        raise UserError("the submissions do not hold the same clips.\n  " + "\n  ".join(lines))


def fuse_files(paths: list[Path], output: Path) -> int:
    """Fuse the submissions in `paths` into `output`, joined by clip; returns the number of clips.

    The order of the files changes nothing; the rows are sorted by clip, so the same inputs give the same bytes.
    """
    import numpy as np

    from datatools.submission import read_submission
    from fuse.vote import two_means_vote

    submissions = {path: read_submission(path) for path in paths}
    check_same_clips(submissions)
    clips = sorted(next(iter(submissions.values())))
    times = np.array([[answers[clip] for answers in submissions.values()] for clip in clips])   # (N, K)
    # Sorting inside the vote makes the sum's order, and so its last bit, independent of the files' order.
    fused = two_means_vote(times)
    check_writable(output.parent)
    save_text(output, "".join(f"{n},{k},{s:.3f}\n" for (n, k), s in zip(clips, fused, strict=True)))
    return len(clips)


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    paths = find_submissions(args.inputs, args.output)
    count = fuse_files(paths, args.output)
    print(f"fused {len(paths)} submissions, {count} clips: {args.output}")
    for path in paths:
        print(f"  {path}")
    return 0


if __name__ == "__main__":
    run_command(main)
