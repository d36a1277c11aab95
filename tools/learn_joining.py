"""Learn how evidence is joined into markers: the weights in episodes/joining_weights.json, from made seasons.

    python tools/learn_joining.py --planned 400 --test_planned 60
    python tools/learn_joining.py library/train/* --planned 400 --test library/test/*

A folder is a season with its truth.json, as synth/make_episodes.py makes it. A planned season is never drawn: what its
episodes share follows from its plan, and the errors of the evidence are assumed (tools/planned_seasons.py). Every
fifth season is held out; where the learnt weights are not better on these than those so far, nothing is written. What
is learnt from is of the training split; seasons of the test split are refused unless they come after --test, where they
are measured and nothing is learnt from them.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):
    sys.path[0] = str(ROOT)

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import number
from datatools.paths import path


def build_parser() -> ArgumentParser:
    """The flags."""
    parser = CommandParser(description=__doc__)
    count = number(int, low=0, high=100_000)
    parser.add_argument("folders", nargs="*", type=path, help="seasons to learn from")
    parser.add_argument("--planned", type=count, default=0, metavar="N",
                        help="also learn from so many planned seasons (default %(default)s)")
    parser.add_argument("--test", nargs="*", type=path, default=[], metavar="FOLDER", help="seasons to measure with")
    parser.add_argument("--test_planned", type=count, default=0, metavar="N",
                        help="also measure with so many planned seasons (default %(default)s)")
    parser.add_argument("--weights", type=path, nargs="*", default=[], metavar="CHECKPOINT",
                        help="boundary networks to ask about the folders; `default`: the default weights")
    parser.add_argument("--seed", type=count, default=0, help="of the planned seasons (default %(default)s)")
    parser.add_argument("--output", type=path, default=ROOT / "episodes/joining_weights.json",
                        help="default: episodes/joining_weights.json")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    from tools.known_seasons import Seasons, learn_from

    print(learn_from(Seasons(args.folders, args.planned), Seasons(args.test, args.test_planned), args.weights,
                     args.seed, args.output))
    return 0


if __name__ == "__main__":
    run_command(main)
