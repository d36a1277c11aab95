"""Make seasons of episodes with exact truth: real video files, named as in people's libraries, to find markers in.

    python synth/make_episodes.py --save_root data/library --short
    python synth/make_episodes.py --save_root data/library --train 6 --test 3

writes train/ and test/, a folder a season, with truth.json beside its files: seasons of train are for learning weights
and thresholds, those of test for measuring. Everything follows from --seed: the same seed gives the same bytes. A
second run makes only what is missing.
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
    """The flags; make_library knows their ranges."""
    parser = CommandParser(description=__doc__)
    count, amount = number(int), number(float)
    parser.add_argument("--save_root", type=path, required=True, help="folder of the library to write")
    parser.add_argument("--train", type=count, default=3, help="seasons to learn from (default %(default)s)")
    parser.add_argument("--test", type=count, default=3, help="seasons to measure with (default %(default)s)")
    parser.add_argument("--seed", type=count, default=0,
                        help="the same seed gives the same seasons (default %(default)s)")
    parser.add_argument("--family", choices=("all", *FAMILIES), default="all",
                        help="how they look and sound (default: all in turn)")
    parser.add_argument("--short", action="store_true",
                        help="episodes of 1.5 minutes, four a season, 90 pixels high: seconds to make")
    parser.add_argument("--minutes", type=amount, help="length of an episode (default 24)")
    parser.add_argument("--episodes", type=count, help="episodes a season (default 12)")
    parser.add_argument("--seasons", type=count, help="seasons of each series, in one folder (default 1)")
    parser.add_argument("--height", type=count, help="picture height, pixels (default 180)")
    parser.add_argument("--theme", type=amount, help="usual length of an opening or ending in seconds (default 90)")
    parser.add_argument("--workers", type=count, default=0, help="processes (default: one per core)")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = vars(build_parser().parse_args(argv))
    from synth.episodes.library import make_library, sizes_of
    from synth.episodes.plan import SHORT, Sizes

    changes = {name: arguments.pop(name) for name in ("minutes", "episodes", "seasons", "height", "theme")}
    sizes = sizes_of(SHORT if arguments.pop("short") else Sizes(), **changes)
    return make_library(**arguments, sizes=sizes).exit_code


if __name__ == "__main__":
    run_command(main)
