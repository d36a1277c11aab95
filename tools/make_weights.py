"""Make the default weights: clips of all made families, one small AVTDist trained on them, its model card and SHA-256.

    make weights                                              # or: python tools/make_weights.py
    python tools/make_weights.py --clips 2 --seasons 0 --epochs 1 --output work_dir/tiny

Writes avt_dist.pth, avt_dist.md and avt_dist.sha256, which `--weights default` finds in work_dir/weights. What is there
already (clips, features, a training that has ended) is not made again.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):
    sys.path[0] = str(ROOT)

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import MOST_COUNT, MOST_SEED, count, number
from datatools.paths import path


def build_parser() -> ArgumentParser:
    parser = CommandParser(description=__doc__)
    positive = number(int, low=1, high=MOST_COUNT)
    parser.add_argument("--clips", type=positive, default=80, help="training clips of each family (%(default)s)")
    parser.add_argument("--seasons", type=count, default=1, help="test seasons of each family, eight clips each, for "
                        "the card's figures (%(default)s)")
    parser.add_argument("--epochs", type=positive, help="default: the preset's")
    parser.add_argument("--seed", type=number(int, low=0, high=MOST_SEED - 2_000), default=0,
                        help="of clips and training (%(default)s)")
    parser.add_argument("--output", type=path, default=ROOT / "work_dir/weights", help="default: work_dir/weights")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from benchmarks.accuracy.clips import Sizes
    from benchmarks.accuracy.weights import make_weights

    target = make_weights(args.output.resolve(), Sizes(train=args.clips, seasons=args.seasons), args.seed, args.epochs)
    print(f"written: {target}, its card {target.with_suffix('.md').name} and {target.with_suffix('.sha256').name}")
    return 0


if __name__ == "__main__":
    run_command(main)
