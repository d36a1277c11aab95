"""Settings as frozen dataclasses. cli.py makes the flags from their fields; presets use the fields' names.

    fit_settings = FitSettings(lr=1e-3, max_epoch=20)

Each setting is defined here only, with its default, its help and its allowed values.
"""

import argparse
import re
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from datatools.layout import CLIP_SECONDS, TEST, TEST_B, TRAIN
from datatools.numbers import MOST_COUNT, MOST_SEED, MOST_WORKERS, count, number, shortened
from datatools.paths import folder_below, path, path_text

INPUTS = ("mfcc", "frames", "text_roi", "kind")
MOST_RATE = 1000.0     # a learning rate above it has never trained anything
MOST_FRAMES = 1024     # of a clip
MOST_PIXELS = 2048     # of a picture's side
MOST_VIEWS = 1000      # clips of a video

whole = partial(number, int)
any_seed = whole(low=0, high=MOST_SEED)
positive = whole(low=1, high=MOST_COUNT)
share = number(float, low=0, high=1)


def devices(text: str) -> str:
    """A type for argparse: auto, cpu, or ids of GPUs such as 0,1."""
    if not re.fullmatch(r"auto|cpu|[0-9]{1,4}(,[0-9]{1,4})*", text):
        raise argparse.ArgumentTypeError(f"found {shortened(text)}, expected ids like 0 or 0,1, or auto, or cpu")
    return text


def setting(default, group: str, help: str = "", *, agree: bool = False, **flag):
    """A field with its flag. `group` is its heading in --help; `flag` holds further arguments of add_argument.

    `agree`: a training can be resumed only with an unchanged value.
    """
    return field(default=default, metadata={"group": group, "help": help, "agree": agree, "flag": flag})


@dataclass(frozen=True)
class FitSettings:
    """How `fit` trains a network, whatever the task."""

    num_workers: int = setting(
        4, "data", "threads that read ahead, at most one a core (%(default)s)",
        type=whole(low=0, high=MOST_WORKERS))
    data_in_memory: bool = setting(False, "data", "hold all clips in the device's memory, 4.4 MB each")

    lr: float = setting(
        3e-4, "training", "highest learning rate (%(default)s)", type=number(float, above=0, high=MOST_RATE),
        agree=True)
    batch_size: int = setting(16, "training", "clips a step (%(default)s)", type=positive, agree=True)
    max_epoch: int = setting(64, "training", "%(default)s", type=positive, agree=True)
    schedule: str = setting(
        "warmup_cosine", "training", "of the learning rate: warmup_cosine is AVTNet's, steps TimeSformer's, cosine "
        "and steps begin with --warmup_epochs (%(default)s)", choices=("warmup_cosine", "one_cycle", "cosine", "steps"),
        agree=True)
    decay_epochs: tuple[int, ...] = setting(
        (11, 14), "training", "schedule steps: a tenth of the learning rate from each of these epochs on "
        "(%(default)s)", nargs="+", type=positive, metavar="EPOCH", agree=True)
    warmup_epochs: int = setting(
        0, "training", "schedules cosine and steps: epochs in which the learning rate rises from 0 (%(default)s)",
        type=count, metavar="EPOCHS", agree=True)
    accumulation_step: int = setting(
        1, "training", "batches whose gradients make one step (%(default)s)", type=positive, agree=True)
    use_amp: bool = setting(
        False, "training", "mixed precision where the device computes it: bfloat16, on an older GPU float16 with loss "
        "scaling; on a CPU without bfloat16 instructions float32", agree=True)
    clip_grad: float = setting(
        0.0, "training", "largest norm of a step's gradient; 0, the default, clips nothing",
        type=number(float, low=0, high=MOST_COUNT), metavar="NORM", agree=True)
    ema: float = setting(
        0.0, "training", "validate and save a moving average of the weights, e.g. 0.999 (default: none)", type=share,
        metavar="DECAY", agree=True)
    channels_last: bool = setting(
        False, "training", "keep the frame network's weights in the frames' own memory order")
    compile: bool = setting(False, "training", "torch.compile; the first step then takes minutes")
    halve_when_full: bool = setting(
        False, "training", "out of memory: make a batch's gradient in halves, instead of an error")
    patience: int = setting(
        0, "training", "stop after so many epochs without a better score; 0, the default, never", type=count,
        metavar="EPOCHS")
    seed: int = setting(10, "training", "of weights, order and augmentation (%(default)s)", type=any_seed, agree=True)
    show_freq: int = setting(
        10, "training", "steps between updates of the progress bar (%(default)s)", type=positive, metavar="STEPS")

    gpus: str = setting("auto", "run", "e.g. 0 or 0,1 (%(default)s)", type=devices, metavar="IDS|auto|cpu")
    threads: int = setting(
        0, "run", "CPU threads, always so many; 0, the default: all cores, and fewer while other programs use them "
        "(OMP_NUM_THREADS fixes the number too)", type=number(int, low=0, high=MOST_WORKERS), metavar="N")
    keep_last: int = setting(
        2, "run", "last checkpoints that are kept (%(default)s)", type=positive, metavar="K")
    save_prefix: Path | None = setting(None, "run", "folder for checkpoints, logs and the submission", type=path)
    resume: str | None = setting(
        None, "run", "go on with a training: auto takes save_prefix's newest", type=path_text, metavar="auto|FILE")
    overwrite: bool = setting(False, "run", "start anew in a save_prefix that holds a training")


@dataclass(frozen=True)
class BoundarySettings:
    """What a boundary network is trained on, how its clips are varied, and how it starts."""

    data_root: Path | None = setting(
        None, "data", "processed data (save_root of the preprocessing commands)", type=path)
    train_folders: tuple[str, ...] = setting(
        TRAIN.folders, "data", "folders of labelled clips below data_root (default: the competition's, %(default)s)",
        nargs="+", type=folder_below, metavar="FOLDER")
    label_files: tuple[str, ...] = setting(
        TRAIN.label_files, "data",
        "text (`name seconds`) or CSV (`name,seconds`), below data_root or a path (%(default)s)",
        nargs="+", type=path_text, metavar="FILE")
    data_seed: int = setting(0, "data", "which 7th of the clips validates (%(default)s)", type=any_seed, agree=True)
    without: tuple[str, ...] = setting(
        (), "data", f"leave inputs out, of {', '.join(INPUTS)} and the checkpoint's encoders: zeros stand for them, "
        "their files are not read", nargs="+", type=path_text, metavar="INPUT", agree=True)

    encoders: tuple[str, ...] = setting(
        (), "data", "further inputs, for AVTDist: vectors that preprocess.py --encoder has written, by the names in "
        "their files, such as efficientnet_lite0 (an inference reads those of its checkpoint)", nargs="+",
        type=path_text, metavar="NAME", agree=True)

    shift: int = setting(
        0, "training", "augmentation: shift clips in time by up to this (%(default)s)",
        type=whole(low=0, high=CLIP_SECONDS), metavar="SECONDS", agree=True)
    vary: float = setting(
        0.0, "training", "augmentation: vary colours, mirroring, loudness and timbre, 0 to 1 (%(default)s)",
        type=share, metavar="STRENGTH", agree=True)
    damage: float = setting(
        0.0, "training", "augmentation: do to this share of the clips, each by itself, what libraries do: another "
        "speed, high tones cut, noise, blur, a mark, lost text boxes (%(default)s)", type=share, metavar="SHARE",
        agree=True)
    borrow: float = setting(
        0.0, "training", "augmentation: give this share of the clips the picture or text of another clip, its boundary "
        "at the same time (%(default)s)", type=share, metavar="SHARE", agree=True)
    step_loss: int = setting(
        0, "training", "add a loss on where each second's evidence points, for small data sets (%(default)s)",
        type=count, metavar="WEIGHT", agree=True)
    pretrained: str = setting(
        "auto", "training", "start of the ResNet-18 for the frames: ImageNet's weights, downloaded once; none; or a "
        "file. auto: imagenet where the network has a ResNet-18, else none", type=path_text,
        metavar="auto|imagenet|none|FILE")
    if_normal: bool | None = setting(
        None, "training", "standardise frames by ImageNet's mean and deviation; the checkpoint remembers it (default: "
        "%(default)s)")
    folds: bool = setting(False, "training", "seven trainings, one for each data_seed, and their out-of-fold answers")


@dataclass(frozen=True)
class LaunchSettings:
    """How many processes a command starts."""

    strategy: str = setting(
        "dp", "run", "several GPUs: dp is one process with DataParallel, the reference's; ddp starts torchrun "
        "(%(default)s). Under torchrun it is always ddp", choices=("dp", "ddp"))
    processes: int = setting(
        0, "run", "with --strategy ddp: processes on this machine (default: one a GPU)",
        type=whole(low=0, high=MOST_WORKERS), metavar="N")


@dataclass(frozen=True)
class InferSettings:
    """Which clips a trained boundary network answers, and where to."""

    weights: Path | None = setting(
        None, "inference", "infer with these instead of training; default: AVTDist's shipped ones", type=path,
        metavar="CHECKPOINT")
    # --testB, --test, --folder and --split exclude each other. The first two stand for the competition's two boards.
    folder: str | None = setting(
        None, "inference", "clips of any folder below data_root", type=folder_below, one_of="clips", constants={
            "--testB": (TEST_B.folders[0], f"clips of {TEST_B.folders[0]} (the default)"),
            "--test": (TEST.folders[0], f"clips of {TEST.folders[0]}"),
        })
    split: str | None = setting(
        None, "inference", "the clips of this part of the labelled ones", one_of="clips", choices=("train", "val"))
    output: Path | None = setting(
        None, "inference", "default: submission.csv in save_prefix", type=path, metavar="CSV")


@dataclass(frozen=True)
class RecognitionSettings:
    """What a video recogniser is trained on, what becomes a clip, and how the network starts.

    None, for what becomes a clip, is the checkpoint's own in an inference, and in training the default of `Sampling`.
    """

    data_root: Path | None = setting(
        None, "data", "folder of train.csv, val.csv and test.csv (tools/make_lists.py makes them)", type=path)
    videos_root: Path | None = setting(
        None, "data", "where relative paths in the lists start (default: the working directory)", type=path,
        metavar="FOLDER")
    skip_broken: bool = setting(
        False, "data", "leave out videos that cannot be read in validation and test; in training another one takes "
        "their place anyway")
    num_frames: int | None = setting(
        None, "data", "frames of a clip (8)", type=whole(low=1, high=MOST_FRAMES), agree=True)
    sampling_rate: int | None = setting(
        None, "data", "a clip spans num_frames times so many frames at 30 frames a second (32)",
        type=whole(low=1, high=MOST_FRAMES), metavar="FRAMES", agree=True)
    segments: bool | None = setting(
        None, "data", "spread the frames over the whole video instead, one from each of equal segments (default: only "
        "ActionCLIP)", agree=True)
    image_size: int | None = setting(
        None, "data", "side of the square pictures, pixels (224)", type=whole(low=1, high=MOST_PIXELS), agree=True)
    short_side: tuple[int, int] | None = setting(
        None, "data", "least and most of the pictures' short side before they are cropped (8/7 and 10/7 of image_size)",
        nargs=2, type=whole(low=1, high=MOST_PIXELS), metavar=("LEAST", "MOST"), agree=True)
    bicubic: bool | None = setting(
        None, "data", "scale pictures as CLIP does, bicubic with antialiasing, not bilinear without (default: only "
        "ActionCLIP)", agree=True)
    flip: bool | None = setting(
        None, "training", "mirror one clip in two; not where left and right make the class (default: mirror)",
        agree=True)
    multi_scale: bool = setting(
        False, "training", "crop 1, 7/8, 3/4 or 0.66 of the short side, width and height a step apart at most, instead "
        "of --short_side", agree=True)
    jitter: float = setting(
        0.0, "training", "change brightness, contrast, saturation and hue of this share of the clips (%(default)s)",
        type=share, metavar="SHARE", agree=True)
    grey: float = setting(0.0, "training", "make this share of the clips grey (%(default)s)", type=share,
                          metavar="SHARE", agree=True)

    optimizer: str = setting("sgd", "training", "sgd has Nesterov's momentum (%(default)s)", choices=("sgd", "adamw"),
                             agree=True)
    momentum: float = setting(0.9, "training", "of sgd (%(default)s)", type=number(float, low=0, high=0.999999),
                              agree=True)
    betas: tuple[float, float] = setting(
        (0.9, 0.999), "training", "of adamw's two averages (%(default)s)", nargs=2,
        type=number(float, low=0, high=0.999999), metavar=("FIRST", "SECOND"), agree=True)
    eps: float = setting(1e-8, "training", "of adamw (%(default)s)", type=number(float, above=0, high=1), agree=True)
    weight_decay: float = setting(1e-4, "training", "of all weights (%(default)s)", type=share, agree=True)
    pretrained: str = setting(
        "auto", "training", "start: imagenet is a ViT-B/16, downloaded once; a file of a ViT or of this network "
        "fine-tunes it; or none. auto: imagenet for a network of that size, else none (%(default)s). ActionCLIP takes "
        "a file of CLIP or ActionCLIP, a name of open_clip such as ViT-B-32/openai, or none, and has no auto",
        type=path_text, metavar="auto|imagenet|none|FILE")


@dataclass(frozen=True)
class MatchingSettings:
    """How a recogniser that knows its classes by their names is trained and asked."""

    labels: Path | None = setting(
        None, "data", "names of the classes, one a line or a CSV `id,name` (default: those of classes.txt, else of the "
        "lists, with --video the checkpoint's); other names than those of the training: zero-shot", type=path,
        metavar="FILE")
    templates: Path | None = setting(
        None, "data", "texts with one {} where the name belongs, one a line (default: the public code's 16)", type=path,
        metavar="FILE")
    ratio: float = setting(
        1.0, "training", "learning rate of the visual tower, times --lr, the text tower's (%(default)s)",
        type=number(float, low=0, high=MOST_RATE), agree=True)
    f_ratio: float = setting(
        10.0, "training", "learning rate of the fusion, times --lr (%(default)s)",
        type=number(float, low=0, high=MOST_RATE), agree=True)
    fix_text: bool = setting(False, "training", "leave the text tower as it is", agree=True)
    random_shift: bool = setting(
        True, "training", "draw the frames of segments anywhere in them, not their middle ones (%(default)s)",
        agree=True)


@dataclass(frozen=True)
class RecogniseSettings:
    """What a trained recogniser is asked for."""

    weights: Path | None = setting(
        None, "inference", "test or infer with these instead of training", type=path, metavar="CHECKPOINT")
    split: str = setting(
        "test", "inference", "test on this list of data_root (%(default)s)", choices=("train", "val", "test"))
    video: tuple[Path, ...] = setting(
        (), "inference", "instead of a list: video files, folders of videos, or folders of frames", nargs="+",
        type=path, metavar="PATH")
    views: int = setting(1, "inference", "clips of a video, spread over its time (%(default)s)",
                         type=whole(low=1, high=MOST_VIEWS))
    crops: int = setting(
        3, "inference", "parts of each picture: 1, the middle, or 3 along its long side (%(default)s)",
        type=whole(low=1, high=3), choices=(1, 3))
    features: bool = setting(False, "inference", "write the features before the head too, a row a video")
    per_second: bool = setting(False, "inference", "with --video: write the scores of each second instead")
    attention: bool = setting(
        False, "inference", "with --video: draw what the network looked at, attention rollout over the frames")
    output: Path | None = setting(
        None, "inference", "folder of the results (default: save_prefix)", type=path, metavar="FOLDER")


def must_agree(*all_settings) -> dict:
    """{name: value} of what a resumed training must be told again; plain types, as a checkpoint holds them."""
    return {f.name: plain(getattr(settings, f.name)) for settings in all_settings if settings is not None
            for f in fields(settings) if f.metadata["agree"]}


def plain(value):
    """A setting as plain types, for JSON and checkpoints."""
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
