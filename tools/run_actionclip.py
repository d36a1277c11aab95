"""Train and test ActionCLIP by a configuration in the form that its users know: a YAML, and pairs KEY VALUE after it.

    python tools/run_actionclip.py --config configs/ucf101/ucf_train.yaml data.batch_size 8
    python tools/run_actionclip.py --test --config configs/ucf101/ucf_test.yaml pretrain model_best.pt
    bash scripts/run_train.sh configs/ucf101/ucf_train.yaml        # the same as the first line
    bash scripts/run_test.sh configs/ucf101/ucf_zero_shot.yaml     # names that were not trained on

The pairs win over the YAML; a value is written as in YAML. Trainings and tests lie in
exp/<type>/<arch>/<dataset>/<time>, the checkpoints also as model_best.pt and last_model.pt. In a test the weights tell
the network.
actionclip_main.py does the same with flags, and answers for any videos.
"""

import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from datatools.errors import run_command
from datatools.paths import folder_below, path
from utils.cli import Parser
from utils.matching_keys import FORM


def build_parser() -> ArgumentParser:
    parser = Parser(description=__doc__, epilog=FORM.described(), allow_abbrev=False)
    parser.add_argument("--config", "-cfg", type=path, required=True, metavar="YAML",
                        help="those of the project lie in configs/ucf101")
    parser.add_argument("--test", action="store_true", help="test the weights `pretrain` on data.val_list")
    parser.add_argument("--log_time", type=folder_below, metavar="NAME",
                        help="of the folder (default: the time, as in 20260131_120000)")
    parser.add_argument("pairs", nargs="*", metavar="KEY VALUE", help="settings that win over the YAML's")
    return parser


def main(argv: list[str] | None = None) -> int:
    words = tuple(sys.argv[1:] if argv is None else map(str, argv))
    arguments = build_parser().parse_args(words)
    # First, so that mistakes answer before torch is imported.
    asked = FORM.read(arguments.config, arguments.pairs, words)

    from models.actionclip import ActionCLIP
    from models.losses import actionclip_loss
    from utils.matching_form import run_asked
    from utils.recognition_command import run

    return run_asked(asked, arguments.test, arguments.log_time, partial(run, ActionCLIP, loss=actionclip_loss))


if __name__ == "__main__":
    run_command(main)
