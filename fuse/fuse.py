"""Fuse several submissions into one, clip by clip: by 2-means, by a median, or by what out-of-fold answers teach.

    cd fuse && python fuse.py                       # submission_B_3/*.csv -> submission_fused.csv
    python fuse/fuse.py --inputs a.csv b.csv c.csv --output fused.csv
    python fuse/fuse.py --inputs a.csv b.csv c.csv --output fused.csv --method stacked --truth labels.csv --report \\
        --out_of_fold a/out_of_fold.csv b/out_of_fold.csv c/out_of_fold.csv
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):   # run as a file: imports start at the repository's root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.numbers import MOST_LISTED_SECONDS, number
from datatools.paths import check_output, path
from fuse.choices import LEARNT, METHODS

FOLDER = Path(__file__).resolve().parent
WARN_SPREAD = 10.0   # s


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        description="""Fuse several submissions into one, clip by clip.

  kmeans    exact 2-means of all times, the mean of the larger cluster; where the clusters are
            equally large, the median of all
  median    the median of all times
  weighted  their median weighted by how well each input did on out-of-fold clips
  stacked   the same plus a regression of what it misses there (known biases of the inputs)""",
    )
    parser.add_argument("--inputs", nargs="+", type=path, default=[FOLDER / "submission_B_3"], metavar="CSV",
                        help="submissions, or folders of them (default: %(default)s)")
    parser.add_argument("--output", type=path, default=FOLDER / "submission_fused.csv", help="default: %(default)s")
    parser.add_argument("--method", choices=METHODS, default="kmeans", help="default: %(default)s")
    parser.add_argument("--out_of_fold", nargs="+", type=path, default=[], metavar="CSV",
                        help="answers of the same networks to labelled clips that they were not trained on, as "
                        "submissions: one file for each input in the same order, or a folder of files named as the "
                        "inputs; for weighted, stacked and --report")
    parser.add_argument("--truth", type=path, help="true times of the out-of-fold clips, and for --report of the "
                        "inputs' clips where known: CSV name,seconds or text lines `<name> <seconds>`")
    parser.add_argument("--report", action="store_true",
                        help="print as Markdown the score of each input and method and what each input contributes; "
                        "without a truth, how far each input is from the fused answer")
    parser.add_argument("--warn_spread", type=number(float, low=0, high=MOST_LISTED_SECONDS), default=WARN_SPREAD,
                        metavar="SECONDS",
                        help="tell the clips on which no majority of the inputs agrees within so many seconds "
                        "(default: %(default)g)")
    return parser


def check_flags(args: argparse.Namespace) -> None:
    """Raise UserError where a flag needs another one, or would have no effect."""
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
    check_output(args.output, ending=".csv")
    from fuse.fusion import fuse_files, spread_warning, write_fusion
    from fuse.inputs import find_out_of_fold, find_submissions

    paths = find_submissions(args.inputs, args.output)
    out_of_fold = find_out_of_fold(args.out_of_fold, paths) if args.out_of_fold else []
    check_output(args.output, [*out_of_fold, *([args.truth] if args.truth else [])])
    fusion = fuse_files(paths, args.method, out_of_fold, args.truth)
    report = ""
    if args.report:
        from fuse.report import report_text

        report = report_text(fusion)   # before anything is written: its truth may not fit
    write_fusion(fusion, args.output)
    if warning := spread_warning(fusion, args.warn_spread):
        print(warning, file=sys.stderr)
    how = "" if args.method == "kmeans" else f" by {args.method}"
    print(f"fused {len(paths)} submissions{how}, {len(fusion.clips)} clips: {args.output}")
    for submission in paths:
        print(f"  {submission}")
    if report:
        print(f"\n{report}")
    return 0


if __name__ == "__main__":
    run_command(main)
