"""Lists of labelled videos, train.csv, val.csv and test.csv with lines `path label`, and classes.txt.

    python tools/make_lists.py folders --videos videos --save_root data/mine --val 0.1 --test 0.1 --seed 0
    python tools/make_lists.py kinetics --lists train.csv validate.csv test.csv --videos k400 --save_root data/k400
    python tools/make_lists.py ucf101 --lists ucfTrainTestlist --split 1 --videos UCF-101 --save_root data/ucf101
    python tools/make_lists.py hmdb51 --lists hmdb51_splits --split 1 --videos hmdb51 --save_root data/hmdb51
    python tools/make_lists.py text --train train.txt --val val.txt --save_root data/other

folders: a folder of videos for each class, divided at random. kinetics, ucf101, hmdb51: the lists as these data sets
ship them; the latter two have no validation list, so val.csv is the test list. text: ready-made lists `path label`.
Instead of a video, the folder of its frames (img_00001.jpg, ...) may be there. Relative paths start at the working
directory. --shots 4 keeps four training videos of each class, drawn by --seed, for few-shot protocols; the other lists
stay whole. An existing list with other content is left as it is, unless --force is given.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import MOST_COUNT, MOST_SEED, number
from datatools.paths import path


def build_parser() -> ArgumentParser:
    parser = CommandParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=CommandParser,
                                  help="folders, kinetics, ucf101, hmdb51 or text")
    share = number(float, low=0, high=1)
    for kind in ("folders", "kinetics", "ucf101", "hmdb51", "text"):
        one = kinds.add_parser(kind, description=f"See {Path(__file__).name} --help.")
        one.add_argument("--videos", type=path, required=kind != "text", help="folder of the videos")
        one.add_argument("--save_root", type=path, required=True, help="folder of the lists to write")
        one.add_argument("--shots", type=number(int, low=1, high=MOST_COUNT), metavar="K",
                         help="training videos of each class to keep (default: all)")
        one.add_argument("--seed", type=number(int, low=0, high=MOST_SEED), default=0,
                         help="the same seed divides folders and draws shots in the same way (default: %(default)s)")
        one.add_argument("--skip_missing", action="store_true", help="leave out videos that are not there, and tell")
        one.add_argument("--force", action="store_true", help="replace lists with other content")
        if kind == "folders":
            one.add_argument("--val", type=share, default=0.1, help="share for validation (default: %(default)s)")
            one.add_argument("--test", type=share, default=0.1, help="share for the test (default: %(default)s)")
        elif kind == "kinetics":
            one.add_argument("--lists", type=path, nargs="+", required=True, metavar="CSV", help="its CSV files")
        elif kind == "text":
            for split in ("train", "val", "test"):
                one.add_argument(f"--{split}", type=path, metavar="FILE", help=f"becomes {split}.csv")
            one.add_argument("--names", type=path, metavar="FILE", help="names of the classes, one a line")
        else:
            one.add_argument("--lists", type=path, required=True, metavar="FOLDER", help="folder of its lists")
            one.add_argument("--split", type=number(int, low=1, high=3), default=1, help="1, 2 or 3 (%(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)

    from datatools.video_lists import make_lists

    print("\n".join(make_lists(**vars(arguments))))
    return 0


if __name__ == "__main__":
    run_command(main)
