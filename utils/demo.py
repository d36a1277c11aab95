"""The whole system on made clips: clips, features, three trainings, five submissions, fusion, score, picture.

    make demo                                  # or: python -m utils.demo --seed 0
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.layout import CLIP_SECONDS
from datatools.numbers import MOST_COUNT, MOST_SEED, number
from datatools.paths import path

ROOT = Path(__file__).resolve().parents[1]


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__)
    count = number(int, low=1, high=MOST_COUNT)
    # The trainings take 10 + seed.
    parser.add_argument("--seed", type=number(int, low=0, high=MOST_SEED - 10), default=0,
                        help="of clips and trainings (%(default)s)")
    parser.add_argument("--train", type=count, default=96, help="labelled clips (%(default)s)")
    parser.add_argument("--test", type=count, default=16, help="test clips (%(default)s)")
    parser.add_argument("--max_epoch", type=count, help="default: the presets'")
    parser.add_argument("--duration", type=number(float, above=0, high=CLIP_SECONDS), metavar="SECONDS",
                        help="length of the clips (default: 180 to 200)")
    parser.add_argument("--work_dir", type=path, help="default: work_dir/demo_seed<SEED>")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from utils.demo_report import write_report
    from utils.demo_steps import run_demo

    work = (args.work_dir or ROOT / "work_dir" / f"demo_seed{args.seed}").resolve()
    submissions, steps = run_demo(work, args.seed, args.train, args.test, args.max_epoch, args.duration)
    settings = {"seed": args.seed, "train": args.train, "test": args.test}
    print(f"\n{write_report(work, settings, submissions, [*steps.costs, steps.total()])}")
    print(f"picture: {work / 'demo.png'}\nreport:  {work / 'report.txt'}")
    return 0


if __name__ == "__main__":
    run_command(main)
