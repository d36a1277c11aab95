"""Training beside programs that keep all cores busy, as a Markdown table: about four minutes, on made clips.

    python benchmarks/busy.py                 # two other programs
    python benchmarks/busy.py --beside 4

Each row is a process of its own: it trains quietly, then beside the others with the number of threads that
utils/threads.py chooses, then beside them with a thread for each core.
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command

CLIPS = 8


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=int, default=2, metavar="K", help="other programs (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, at least (%(default)s)")
    parser.add_argument("--row", nargs=3, metavar=("ROOT", "PRESET", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)

    from benchmarks.busy_rows import measure_row, print_report

    if args.row:
        root, preset, precision = args.row
        measure_row(Path(root), preset, precision, args.beside, args.seconds)
    else:
        print_report(CLIPS, args.beside, args.seconds)
    return 0


if __name__ == "__main__":
    run_command(main)
