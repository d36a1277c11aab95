"""Make video clips of actions that only the order of the pictures tells apart, to train and test a video classifier.

    python synth/make_actions.py --save_root data/actions
    python synth/make_actions.py --save_root data/words --kind words

writes train.csv, val.csv and test.csv (a line `path label`), classes.txt (a name a line, in the order of the labels)
and the .mp4 files. With --kind words, unseen.csv lists clips of colours, shapes and motions that are not trained
together. Everything follows from --seed: the same seed gives the same bytes. A second run makes only what is
missing.
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import number
from datatools.paths import path


def build_parser() -> argparse.ArgumentParser:
    """The flags; make_actions knows their ranges."""
    parser = CommandParser(description=__doc__)
    count = number(int)
    parser.add_argument("--save_root", type=path, required=True, help="folder to write")
    parser.add_argument("--train", type=count, default=192,
                        help="scenes to train on; a scene becomes a clip of each class (default %(default)s)")
    parser.add_argument("--val", type=count, default=24, help="scenes of val.csv (default %(default)s)")
    parser.add_argument("--test", type=count, default=48, help="scenes of test.csv (default %(default)s)")
    parser.add_argument("--seed", type=count, default=0,
                        help="the same seed gives the same clips (default %(default)s)")
    parser.add_argument("--size", type=count, default=64, help="sides of the pictures, pixels (default %(default)s)")
    parser.add_argument("--kind", choices=("motions", "words"), default="motions",
                        help="8 classes named by their motion, or 192 also by colour and shape (default %(default)s)")
    parser.add_argument("--workers", type=count, default=0, help="processes (default: one per core)")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    from synth.actions import make_actions

    return make_actions(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
