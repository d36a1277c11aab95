"""Make clips with exact truth: real .mp4 files in the competition's layout, to learn from, to test with, to show.

    python synth/make.py --save_root data/raw --train 48 --test 16

writes data_A/train and data_B (with their label files), data_C and, where asked for, data_A/test (with truth.csv).
A start clip holds an opening and asks where it ends; an end clip holds an ending and asks where it begins. Everything
follows from --seed: the same seed gives the same bytes. A second run makes only what is missing.
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
from synth.plan import FAMILIES


def build_parser() -> argparse.ArgumentParser:
    """The flags; make_dataset knows their ranges."""
    parser = CommandParser(description=__doc__)
    count, seconds = number(int), number(float)
    parser.add_argument("--save_root", type=path, required=True, help="root of the raw data to write")
    parser.add_argument("--train", type=count, default=48,
                        help="training clips, a third in data_B (default %(default)s)")
    parser.add_argument("--test", type=count, default=16, help="test clips in data_C (default %(default)s)")
    parser.add_argument("--test_a", type=count, default=0, help="test clips in data_A/test (default: none)")
    parser.add_argument("--seed", type=count, default=0,
                        help="the same seed gives the same clips (default %(default)s)")
    parser.add_argument("--height", type=count, default=180,
                        help="smallest picture height, pixels (default %(default)s)")
    parser.add_argument("--duration", type=seconds, help="length of every clip in seconds (default: 180 to 200)")
    parser.add_argument("--fps", type=count, help="frames a second of every clip (default: as usual in videos)")
    parser.add_argument("--family", choices=FAMILIES, default="drawn", help="how they look and sound (%(default)s)")
    parser.add_argument("--workers", type=count, default=0, help="processes (default: one per core)")
    parser.add_argument("--force", action="store_true", help="remove the clips made here with other settings")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    from synth.dataset import make_dataset

    return make_dataset(**vars(arguments)).exit_code


if __name__ == "__main__":
    run_command(main)
