"""Flags of the training scripts, and presets: a YAML file whose keys are the flags' names.

    python avt_main.py --preset configs/demo_avt.yaml --lr 1e-3     # the command line wins over the preset
"""

import argparse
from pathlib import Path

from datatools.errors import UserError
from datatools.layout import TEST, TEST_B, TRAIN

INPUTS = ("mfcc", "frames", "text_roi", "kind")
NETWORK_KEY = "network"   # the one section of a preset that is no flag: the network's sizes


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake as a UserError, so that presets and the shell read alike."""

    def error(self, message: str):
        raise UserError(f"{message} (all flags: {self.prog} --help)")


def positive(kind):
    """A parser of numbers above zero."""

    def parse(text: str):
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
        return value

    return parse


def not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative")
    return value


def not_below_zero(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def training_parser(description: str, *, batch_size: int, standardise: bool) -> Parser:
    """The flags of the three training scripts; defaults are the reference's."""
    parser = Parser(description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", type=Path, metavar="YAML", help="a file of settings; flags given here win over it")

    data = parser.add_argument_group("data")
    data.add_argument("--data_root", type=Path, help="processed data (save_root of the preprocessing commands)")
    data.add_argument("--train_folders", nargs="+", default=list(TRAIN.folders), metavar="FOLDER",
                      help="folders of labelled clips below data_root (default: the competition's, %(default)s)")
    data.add_argument("--label_files", nargs="+", default=list(TRAIN.label_files), metavar="FILE",
                      help="text (`name seconds`) or CSV (`name,seconds`), below data_root or a path (%(default)s)")
    data.add_argument("--data_seed", type=int, default=0, help="which 7th of the clips validates (%(default)s)")
    data.add_argument("--without", nargs="+", default=[], choices=INPUTS, metavar="INPUT",
                      help=f"leave inputs out, of {', '.join(INPUTS)}: zeros stand for them, their files are not read")
    data.add_argument("--num_workers", type=not_negative, default=4,
                      help="threads that read ahead, at most one a core (%(default)s)")
    data.add_argument("--data_in_memory", action=argparse.BooleanOptionalAction, default=False,
                      help="hold all clips in the device's memory, 4.4 MB each")

    training = parser.add_argument_group("training")
    training.add_argument("--lr", type=positive(float), default=3e-4, help="highest learning rate (%(default)s)")
    training.add_argument("--batch_size", type=positive(int), default=batch_size, help="clips a step (%(default)s)")
    training.add_argument("--max_epoch", type=positive(int), default=64, help="%(default)s")
    training.add_argument("--schedule", choices=("warmup_cosine", "one_cycle"), default="warmup_cosine",
                          help="warmup_cosine is the reference's (%(default)s)")
    training.add_argument("--accumulation_step", type=positive(int), default=1,
                          help="batches whose gradients make one step (%(default)s)")
    training.add_argument("--shift", type=not_negative, default=0, metavar="SECONDS",
                          help="augmentation: shift clips in time by up to this (%(default)s)")
    training.add_argument("--vary", type=share, default=0.0, metavar="STRENGTH",
                          help="augmentation: vary colours, mirroring, loudness and timbre, 0 to 1 (%(default)s)")
    training.add_argument("--damage", type=share, default=0.0, metavar="SHARE",
                          help="augmentation: do to this share of the clips, each by itself, what libraries do: "
                          "another speed, high tones cut, noise, blur, a mark, lost text boxes (%(default)s)")
    training.add_argument("--borrow", type=share, default=0.0, metavar="SHARE",
                          help="augmentation: give this share of the clips the picture or text of another clip, its "
                          "boundary at the same time (%(default)s)")
    training.add_argument("--step_loss", type=not_negative, default=0, metavar="WEIGHT",
                          help="add a loss on where each second's evidence points, for small data sets (%(default)s)")
    training.add_argument("--use_amp", action=argparse.BooleanOptionalAction, default=False,
                          help="mixed precision where the device computes it: bfloat16, on an older GPU float16 with "
                          "loss scaling; on a CPU without bfloat16 instructions float32")
    training.add_argument("--clip_grad", type=not_below_zero, default=0.0, metavar="NORM",
                          help="largest norm of a step's gradient; 0, the default, clips nothing")
    training.add_argument("--ema", type=share, default=0.0, metavar="DECAY",
                          help="validate and save a moving average of the weights, e.g. 0.999 (default: none)")
    training.add_argument("--channels_last", action=argparse.BooleanOptionalAction, default=False,
                          help="keep the frame network's weights in the frames' own memory order")
    training.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False,
                          help="torch.compile; the first step then takes minutes")
    training.add_argument("--halve_when_full", action=argparse.BooleanOptionalAction, default=False,
                          help="out of memory: make a batch's gradient in halves, instead of an error")
    training.add_argument("--patience", type=not_negative, default=0, metavar="EPOCHS",
                          help="stop after so many epochs without a better score; 0, the default, never")
    training.add_argument("--folds", action=argparse.BooleanOptionalAction, default=False,
                          help="seven trainings, one for each data_seed, and their out-of-fold answers")
    training.add_argument("--pretrained", default="imagenet", metavar="imagenet|none|FILE",
                          help="start of the ResNet-18 for the frames (%(default)s)")
    training.add_argument("--if_normal", action=argparse.BooleanOptionalAction, default=standardise,
                          help="standardise frames by ImageNet's mean and deviation; the checkpoint remembers it "
                          f"(default: {standardise})")
    training.add_argument("--seed", type=int, default=10, help="of weights, order and augmentation (%(default)s)")
    training.add_argument("--show_freq", type=positive(int), default=10, metavar="STEPS",
                          help="steps between updates of the progress bar (%(default)s)")

    run = parser.add_argument_group("run")
    run.add_argument("--gpus", default="auto", metavar="IDS|auto|cpu", help="e.g. 0 or 0,1 (%(default)s)")
    run.add_argument("--strategy", choices=("dp", "ddp"), default="dp",
                     help="several GPUs: dp is one process with DataParallel, the reference's; ddp starts torchrun "
                     "(%(default)s). Under torchrun it is always ddp")
    run.add_argument("--processes", type=not_negative, default=0, metavar="N",
                     help="with --strategy ddp: processes on this machine (default: one a GPU)")
    run.add_argument("--keep_last", type=positive(int), default=2, metavar="K",
                     help="last checkpoints that are kept (%(default)s)")
    run.add_argument("--save_prefix", type=Path, help="folder for checkpoints, logs and the submission")
    run.add_argument("--resume", metavar="auto|FILE", help="go on with a training: auto takes save_prefix's newest")
    run.add_argument("--overwrite", action=argparse.BooleanOptionalAction, default=False,
                     help="start anew in a save_prefix that holds a training")

    infer = parser.add_argument_group("inference")
    infer.add_argument("--weights", type=Path, metavar="CHECKPOINT", help="infer with these instead of training")
    where = infer.add_mutually_exclusive_group()
    where.add_argument("--testB", dest="folder", action="store_const", const=TEST_B.folders[0],
                       help=f"clips of {TEST_B.folders[0]} (the default)")
    where.add_argument("--test", dest="folder", action="store_const", const=TEST.folders[0],
                       help=f"clips of {TEST.folders[0]}")
    where.add_argument("--folder", dest="folder", help="clips of any folder below data_root")
    where.add_argument("--split", choices=("train", "val"), help="the clips of this part of the labelled ones")
    infer.add_argument("--output", type=Path, metavar="CSV", help="default: submission.csv in save_prefix")
    return parser


def preset_arguments(path: Path) -> tuple[list[str], dict]:
    """A preset as command-line arguments, and its network's sizes. Raises UserError where it is no flat mapping."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such preset. Those of the project lie in configs/.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no valid YAML ({error}).") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `flag: value` lines, found {type(content).__name__}.")
    sizes = content.pop(NETWORK_KEY, {})
    if not isinstance(sizes, dict):
        raise UserError(f"{path}: {NETWORK_KEY}: expected `size: value` lines, found {sizes!r}.")
    arguments: list[str] = []
    for key, value in content.items():
        if key in ("preset", NETWORK_KEY) or isinstance(value, dict) or value is None:
            raise UserError(f"{path}: {key}: {value!r} is nothing that a preset can set.")
        if isinstance(value, bool):
            arguments.append(f"--{key}" if value else f"--no-{key}")
        elif isinstance(value, list):
            arguments += [f"--{key}", *map(str, value)]
        else:
            arguments += [f"--{key}={value}"]
    return arguments, sizes


def parse_with_preset(parser: Parser, argv: list[str] | None) -> tuple[argparse.Namespace, dict]:
    """Parsed flags, and the preset's network sizes ({} without a preset). Raises UserError."""
    import sys

    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    if args.preset is None:
        return args, {}
    arguments, sizes = preset_arguments(args.preset)
    try:
        parser.parse_args(arguments)
    except UserError as error:
        raise UserError(f"{args.preset}: {error}") from None
    return parser.parse_args(arguments + argv), sizes
