"""Frames of all videos of some lists -> <save_root>/<video name>/img_00001.jpg, ..., and the lists of these folders.

    python tools/extract_frames.py --lists data/ucf101/train.csv data/ucf101/test.csv --save_root data/ucf101_frames

times.txt beside the frames holds the start of each in seconds. A folder is there only when it is whole. A second run
does what is missing or older than its video. A video that fails is told and left out of the lists; then the exit code
is 1. Relative paths start at the working directory.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import number
from datatools.paths import path
from datatools.stages import add_pool_flags, pool_of


def build_parser() -> ArgumentParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--lists", type=path, nargs="+", required=True, metavar="CSV", help="lists `path label`")
    parser.add_argument("--names", type=path, metavar="FILE", help="names of the classes, one a line")
    parser.add_argument("--save_root", type=path, required=True, help="folder of the frames and their lists")
    parser.add_argument("--rate", type=number(float, above=0, high=1000), metavar="FPS",
                        help="frames a second (default: every frame)")
    parser.add_argument("--short_side", type=number(int, low=16, high=4096), metavar="PIXELS",
                        help="scale larger pictures down to this (default: as they are)")
    parser.add_argument("--quality", type=number(int, low=1, high=100), default=95, help="of JPEG (%(default)s)")
    add_pool_flags(parser, "video")
    parser.add_argument("--force", action="store_true", help="do again what is already there")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(build_parser().parse_args(argv))

    from datatools.video_extraction import extract_lists

    return extract_lists(pool=pool_of(arguments), **arguments).exit_code


if __name__ == "__main__":
    run_command(main)
