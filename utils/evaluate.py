"""How good a submission is, how sure that is, and whether another one is better.

    python utils/evaluate.py --submission a.csv --truth truth.csv
    python utils/evaluate.py --submission a.csv --against b.csv --truth truth.csv --output work_dir/evaluation

Prints Markdown tables: the competition's score, mean and median |error| and shares of clips, for all clips, start and
end clips and families (`--families`, a CSV `name,family`), with bootstrap intervals; and the worst clips. `--output`
keeps them: evaluation.json, evaluation.txt and errors.png. Times in seconds; errors are found minus true.

`--predictions`, which AVTDist writes beside a submission, tells how far its intervals and confidences can be believed
(and reliability.png). The worst clips to look at: `--clips` makes an animated strip of each, worst_<name>.gif, and
`--raw` one film with sound of what lies around their found and true boundaries, worst.mp4.
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.files import check_writable
from datatools.numbers import MOST_COUNT, MOST_SEED, count, number
from datatools.paths import path


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--submission", type=path, required=True, metavar="CSV", help="lines of `name.mp4,s|e,seconds`")
    parser.add_argument("--against", type=path, metavar="CSV", help="another one for the same clips: compare with it")
    parser.add_argument("--truth", type=path, required=True, metavar="FILE",
                        help="CSV (`name,seconds`) or label text (`name seconds`)")
    parser.add_argument("--families", type=path, metavar="CSV", help="`name,family`: tell each family apart")
    parser.add_argument("--predictions", type=path, metavar="CSV",
                        help="what the network of --submission says of its certainty: tell how far it can be believed")
    parser.add_argument("--output", type=path, metavar="FOLDER",
                        help="write evaluation.json, evaluation.txt and errors.png there")
    parser.add_argument("--clips", type=path, metavar="FOLDER",
                        help="processed data: animated strips of the worst clips into --output")
    parser.add_argument("--raw", type=path, metavar="FOLDER",
                        help="raw clips: a film of the worst clips' boundaries into --output")
    parser.add_argument("--worst", type=count, default=10, metavar="N",
                        help="worst clips told (%(default)s)")
    parser.add_argument("--resamples", type=number(int, low=1, high=MOST_COUNT), default=10_000, metavar="N",
                        help="of the bootstrap (%(default)s)")
    parser.add_argument("--seed", type=number(int, low=0, high=MOST_SEED), default=0,
                        help="of the bootstrap (%(default)s)")
    return parser


def check_flags(args: argparse.Namespace) -> None:
    """Raise UserError where a flag lacks another one, or names no folder."""
    for flag in ("clips", "raw"):
        folder = getattr(args, flag)
        if folder is not None and args.output is None:
            raise UserError(f"--{flag}: no --output given. Expected the folder to write to.")
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder}: no such folder (--{flag}).")


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    check_flags(args)
    from utils.evaluation_inputs import read_inputs
    from utils.evaluation_report import as_text, evaluate_inputs, write_evaluation

    paths = [args.submission, *([args.against] if args.against else [])]
    inputs = read_inputs(paths, args.truth, args.families)
    certainty = None
    if args.predictions is not None:
        from utils.calibration import calibrate, read_certainty

        certainty = read_certainty(args.predictions, inputs)
    if args.output is not None:
        check_writable(args.output)
    result = evaluate_inputs(inputs, args.worst, args.resamples, args.seed)
    if certainty is not None:
        result["calibration"] = calibrate(certainty, inputs.truth, args.resamples, args.seed)
    print(as_text(result), end="")
    if args.output is None:
        return 0
    *names, last = write_evaluation(args.output, inputs, result)
    print(f"\nwritten: {', '.join(names)} and {last} in {args.output}")
    if args.clips is None and args.raw is None:
        return 0
    from utils.previews import show_worst

    problems = show_worst(args.output, result["worst"], args.clips, args.raw)
    for problem in problems:
        print(f"not shown: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(main)
