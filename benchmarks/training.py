"""Loading, steps, inference and epochs of AVTNet's training beside a straightforward baseline, as Markdown tables.

    python benchmarks/training.py                                    # on made clips
    python benchmarks/training.py --only curves --data_root data/processed
    python benchmarks/training.py --gpu                              # one GPU, under 8 minutes
    python benchmarks/training.py --gpu --device cpu --tiny          # the same as a dry run

Baseline: of every clip OpenCV decodes the 1 fps video, all 200 pictures, and each is resized to 88x66 and standardised
in float32 on the CPU; np.load for MFCC and masks; float32 NCHW tensors; a plain loop of float32 steps with Adam.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import count
from datatools.paths import path

TABLES = ("loading", "step", "infer", "waiting", "curves", "gpu")


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TABLES, metavar="TABLE", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--gpu", action="store_true", help="short for --only gpu")
    parser.add_argument("--data_root", type=path, help="processed, labelled clips with their 1 fps videos (default: "
                        "clips are made, and the table of curves is left out)")
    parser.add_argument("--clips", type=count, default=16, help="of all tables but the curves (%(default)s)")
    parser.add_argument("--steps", type=count, default=5, help="of each way through the full network (%(default)s)")
    parser.add_argument("--weights", type=path, help="checkpoint of an AVTNet for the table of inference")
    parser.add_argument("--train_steps", type=count, default=8, help="without --weights: steps before it (%(default)s)")
    parser.add_argument("--epochs", type=count, default=6, help="of the curves (%(default)s)")
    parser.add_argument("--seeds", type=count, nargs="+", default=[0, 1, 2], help="of the curves (%(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--tiny", action="store_true", help="a tiny network in place of the full one")
    args = parser.parse_args(argv)

    from benchmarks.training_report import print_report

    print_report(["gpu"] if args.gpu else args.only or TABLES, args)
    return 0


if __name__ == "__main__":
    run_command(main)
