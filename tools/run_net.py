"""Train and test TimeSformer by a configuration in the form that its users know: a YAML, and pairs KEY VALUE after it.

    python tools/run_net.py --cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml DATA.PATH_TO_DATA_DIR data/k400
    python tools/run_net.py --cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml DATA.PATH_TO_DATA_DIR data/k400 \\
        NUM_GPUS 1 TRAIN.BATCH_SIZE 6 TRAIN.CHECKPOINT_FILE_PATH checkpoints/X.pyth TRAIN.FINETUNE True
    python tools/run_net.py --cfg configs/Kinetics/TimeSformer_divST_8x32_224_TEST.yaml \\
        DATA.PATH_TO_DATA_DIR data/k400 TEST.CHECKPOINT_FILE_PATH checkpoints/X.pyth TRAIN.ENABLE False

The pairs win over the YAML. A value is written as in YAML: 6, 1e-4, True, "[256, 320]". The test follows the training;
under torchrun, which several machines need, only the training runs. The lists of tools/make_lists.py are read.
timesformer_main.py does the same with flags, and answers for any videos.
"""

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.paths import path
from utils.cli import Parser
from utils.slowfast_keys import described, read_configuration


def build_parser() -> ArgumentParser:
    parser = Parser(description=__doc__, epilog=described(), allow_abbrev=False)
    parser.add_argument("--cfg", type=path, required=True, metavar="YAML",
                        help="those of the project lie in configs/Kinetics and configs/SSv2")
    parser.add_argument("pairs", nargs="*", metavar="KEY VALUE", help="settings that win over the YAML's")
    return parser


def main(argv: list[str] | None = None) -> int:
    words = tuple(sys.argv[1:] if argv is None else map(str, argv))
    arguments = build_parser().parse_args(words)
    # First, so that mistakes answer before torch is imported.
    asked = read_configuration(arguments.cfg, arguments.pairs, words)

    from models.timesformer import TimeSformer
    from utils.recognition_command import run
    from utils.slowfast_form import run_phases

    return run_phases(asked, partial(run, TimeSformer))


if __name__ == "__main__":
    run_command(main)
