"""locate.py beside its rivals: made seasons of whole episodes, the same files for all, one table.

    python benchmarks/locate/run.py                            # six seasons of full size
    python benchmarks/locate/run.py --short                    # short episodes: do the parts work?
    python benchmarks/locate/run.py --library data/library     # seasons that synth/make_episodes.py made (split test)
    python benchmarks/locate/run.py --methods needle median    # these alone

The rivals are written from their published rules (rivals.py) on Chromaprint fingerprints, which fpcalc makes (Debian's
package libchromaprint-tools). Prints Markdown tables and writes report.md and the answers below --work_dir. Episodes,
fingerprints, and answers by the same code that are there already are not made again. Six full-size seasons take hours
to make.
"""

import shutil
import sys
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.locate.methods import METHODS, NO_FPCALC, OURS, ask
from benchmarks.locate.report import report
from benchmarks.locate.seasons import Season, read_seasons
from benchmarks.measuring import say
from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.files import check_writable, save_text
from datatools.numbers import number
from datatools.paths import path
from synth.episodes.library import ALL, make_library, sizes_of
from synth.episodes.plan import SHORT, Sizes
from synth.plan import FAMILIES

ROOT = Path(__file__).resolve().parents[2]


def build_parser() -> CommandParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--work_dir", type=path, default=ROOT / "work_dir/locate", help="default: %(default)s")
    parser.add_argument("--library", type=path, metavar="FOLDER", help="made seasons; else they are made")
    parser.add_argument("--short", action="store_true", help="episodes of 1.5 minutes, four a season")
    parser.add_argument("--seasons", type=number(int, low=1), default=6, help="to make (default %(default)s)")
    parser.add_argument("--family", choices=(ALL, *FAMILIES), default=ALL, help="how they look and sound (all in turn)")
    parser.add_argument("--seed", type=number(int), default=8, help="of the seasons (default %(default)s)")
    parser.add_argument("--minutes", type=number(float), help="length of an episode (default 24)")
    parser.add_argument("--episodes", type=number(int), help="episodes a season (default 12)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all")
    parser.add_argument("--workers", type=number(int), default=0, help="processes that make episodes (one per core)")
    return parser


def seasons_of(args) -> list[Season]:
    """The seasons that the flags ask for, made where they are not there. Raises UserError."""
    if args.library:
        return read_seasons(args.library)
    sizes = sizes_of(SHORT if args.short else Sizes(), **{name: value for name in ("minutes", "episodes")
                                                          if (value := getattr(args, name)) is not None})
    folder = args.work_dir / f"{'short' if args.short else 'full'}_seed{args.seed}/library"
    made = make_library(folder, train=0, test=args.seasons, seed=args.seed, family=args.family, sizes=sizes,
                        workers=args.workers)
    if made.exit_code:
        raise UserError(f"{folder}: not all episodes could be made; see above. Run this again.")
    return read_seasons(folder)[:args.seasons]


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if set(args.methods) - {OURS} and not shutil.which("fpcalc"):
        raise UserError(f"{NO_FPCALC}. Without it: --methods {OURS}")
    check_writable(args.work_dir)
    seasons, started = seasons_of(args), time.perf_counter()
    answers = {}
    for method in dict.fromkeys(args.methods):
        answers[method] = []
        for season in seasons:
            answers[method].append(ask(method, season, args.work_dir))
            say(f"{method}, {season.folder.name}: {(time.perf_counter() - started) / 60:.1f} min so far")
    text = report(seasons, answers)
    save_text(args.work_dir / "report.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    run_command(main)
