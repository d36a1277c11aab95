"""Configurations in the form of SlowFast, which TimeSformer's users know: YAML sections, and KEY VALUE pairs.

    found = read_configuration(Path("configs/Kinetics/TimeSformer_divST_8x32_224.yaml"), ["TRAIN.BATCH_SIZE", "6"])
    found.values["TRAIN.BATCH_SIZE"], found.folder      # 6, work_dir/TimeSformer_divST_8x32_224

Each key stands in one of three tables. KEYS: what it sets. FIXED: the only value that is there. UNUSED: it changes no
result. A value that a flag takes too is checked as the flag's.
"""

import difflib
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import MOST_COUNT, MOST_WORKERS, number, shortened
from datatools.paths import path, path_text, read_text
from utils.cli import RECOGNITION_PARTS
from utils.presets import MOST_BYTES, read_yaml

DEEPEST = 6                        # mappings and lists within each other, in complete published configurations
LARGEST_SIZE = 16_384              # of a network's numbers
ANY_NUMBER = number(float, low=0, high=MOST_COUNT)
VIT = re.compile(r"vit_base_patch([0-9]{1,3})_[0-9]{2,4}")
SETTINGS = {f"{part}.{f.name}": f for part, kind in RECOGNITION_PARTS.items() for f in fields(kind)}


# ---------------------------------------------------------------- readers of values: ValueError says what is expected


def as_switch(value) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"found {shortened(value)}, expected True or False")
    return value


def as_text(value) -> str:
    """Text without the blanks around it, which the published files for SSv2 have; nothing is empty text."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"found {shortened(value)}, expected text; put it into quotes")
    return (value or "").strip()


def as_number(value, kind: Callable = ANY_NUMBER):
    """A number of YAML, whose version 1.1 takes 1e-4 for text, by a flag's own type."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"found {shortened(value)}, expected a number")
    return kind(str(int(value) if isinstance(value, float) and value.is_integer() else value))


def as_list(value, kind: Callable, length: int | None = None) -> tuple:
    if not isinstance(value, list) or (length and len(value) != length):
        raise ValueError(f"found {shortened(value)}, expected a list" + (f" of {length} numbers" if length else ""))
    return tuple(as_number(item, kind) for item in value)


def one_of(value, **words):
    """What a word stands for, whatever its capitals."""
    if (word := as_text(value).lower()) not in words:
        raise ValueError(f"found {shortened(value)}, expected {' or '.join(words)}")
    return words[word]


def as_steps(value) -> tuple[int, ...]:
    """The epochs at which the learning rate falls, of a list that begins with 0."""
    steps = as_list(value, number(int, low=0, high=MOST_COUNT))
    if steps[:1] != (0,) or list(steps) != sorted(set(steps)):
        raise ValueError(f"found {shortened(value)}, expected epochs that ascend from 0, such as [0, 11, 14]")
    return steps[1:]


def as_tenths(value) -> int:
    """How often the learning rate falls, of a list of its factors."""
    rates = as_list(value, number(float, low=0, high=1))
    if any(abs(rate - 0.1**place) > 1e-6 * 0.1**place for place, rate in enumerate(rates)) or not rates:
        raise ValueError(f"found {shortened(value)}, expected a tenth at each step, such as [1, 0.1, 0.01]")
    return len(rates) - 1


def as_vit(value) -> int:
    """The patches' side, of the name of a base ViT."""
    if not (match := VIT.fullmatch(as_text(value))):
        raise ValueError(f"found {shortened(value)}, expected a base ViT such as vit_base_patch16_224; NETWORK.WIDTH, "
                         "DEPTH, HEADS and PATCH_SIZE make others")
    return int(match[1])


def as_dataset(value) -> bool | None:
    """Whether frames come from equal segments of the whole video; None leaves it as it is."""
    return one_of(value, kinetics=None, ssv2=True)


as_size = partial(as_number, kind=number(int, low=1, high=LARGEST_SIZE))
as_processes = partial(as_number, kind=number(int, low=0, high=MOST_WORKERS))
as_optimizer = partial(one_of, sgd="sgd", adam="adam", adamw="adamw")
as_policy = partial(one_of, steps_with_relative_lrs="steps", cosine="cosine")


def as_setting(setting, value):
    """A value as the setting's flag takes it; None, where the text of a path is empty, leaves the default."""
    flag = setting.metadata["flag"]
    kind = flag.get("type")
    if setting.type in (bool, bool | None):
        return as_switch(value)
    if kind in (path, path_text):
        return kind(as_text(value)) if as_text(value) else None
    if "nargs" in flag:
        return as_list(value, kind, flag["nargs"])
    found = as_number(value, kind)
    if found not in flag.get("choices", (found,)):
        raise ValueError(f"found {found}, expected {' or '.join(map(str, flag['choices']))}")
    return found


# ---------------------------------------------------------------- the tables


@dataclass(frozen=True)
class Key:
    """What a key sets: `to` is `part.setting` or `sizes.name`, "" where utils/slowfast_form.py works it out.

    `phase` train or test: it counts there alone. `read` turns the YAML's value into the setting's; without it the
    flag's own type does.
    """

    help: str
    to: str = ""
    phase: str = ""
    read: Callable | None = None

    @property
    def is_text(self) -> bool:
        """Whether a word of the command line is the value as it stands, whatever YAML would make of it."""
        if self.read:
            return self.read is as_text
        return SETTINGS[self.to].metadata["flag"].get("type") in (path, path_text)

    def value(self, raw):
        return self.read(raw) if self.read else as_setting(SETTINGS[self.to], raw)


KEYS = {
    "TRAIN.ENABLE": Key("train (True)", read=as_switch),
    "TRAIN.DATASET": Key("kinetics: clips of a video; ssv2: frames of the whole video, not mirrored, BGR",
                         "recognition.segments", "train", as_dataset),
    "TRAIN.BATCH_SIZE": Key("videos of a batch, of all GPUs together (8)", "fit.batch_size", "train"),
    "TRAIN.FINETUNE": Key("begin with the weights of TRAIN.CHECKPOINT_FILE_PATH, at epoch 0", read=as_switch),
    "TRAIN.CHECKPOINT_FILE_PATH": Key("fine-tune this file, or go on with its training", read=as_text),
    "TRAIN.AUTO_RESUME": Key("go on with the training in OUTPUT_DIR, if there is one (True)", read=as_switch),
    "TRAIN.MIXED_PRECISION": Key("bfloat16 or float16 where that is faster (False)", "fit.use_amp"),
    "GLOBAL_BATCH_SIZE": Key("videos of a step: gradients of smaller batches are added up (64)",
                             read=partial(as_number, kind=number(int, low=1, high=MOST_COUNT))),
    "TEST.ENABLE": Key("test, after the training if there is one (True)", read=as_switch),
    "TEST.DATASET": Key("as TRAIN.DATASET, of the test's clips", "recognition.segments", "test", as_dataset),
    "TEST.BATCH_SIZE": Key("clips of a batch (8)", "fit.batch_size", "test"),
    "TEST.CHECKPOINT_FILE_PATH": Key("the weights to test (the last ones in OUTPUT_DIR)", "recognise.weights", "test"),
    "TEST.NUM_ENSEMBLE_VIEWS": Key("clips of a video (1)", "recognise.views", "test"),
    "TEST.NUM_SPATIAL_CROPS": Key("1, the middle, or 3 parts of each picture (3)", "recognise.crops", "test"),
    "DATA.PATH_TO_DATA_DIR": Key("folder of train.csv, val.csv and test.csv, lines of `path label`",
                                 "recognition.data_root"),
    "DATA.PATH_PREFIX": Key("where relative paths in the lists start (the working directory)",
                            "recognition.videos_root"),
    "DATA.NUM_FRAMES": Key("frames of a clip (8)", "recognition.num_frames"),
    "DATA.SAMPLING_RATE": Key("a clip spans NUM_FRAMES times so many frames at 30 a second (32)",
                              "recognition.sampling_rate"),
    "DATA.TRAIN_CROP_SIZE": Key("side of the pictures in training, pixels (224)", "recognition.image_size", "train"),
    "DATA.TEST_CROP_SIZE": Key("side of the pictures in the test, pixels (the checkpoint's)",
                               "recognition.image_size", "test"),
    "DATA.TRAIN_JITTER_SCALES": Key("least and most of the pictures' short side before the crop ([256, 320])",
                                    "recognition.short_side"),
    "DATA.RANDOM_FLIP": Key("mirror one clip in two in training (True)", "recognition.flip", "train"),
    "DATA.SKIP_BROKEN": Key("leave out videos of val.csv and test.csv that cannot be read (False)",
                            "recognition.skip_broken"),
    "TIMESFORMER.ATTENTION_TYPE": Key("divided_space_time, joint_space_time or space_only", "sizes.attention", "train",
                                      as_text),
    "TIMESFORMER.PRETRAINED_MODEL": Key("a ViT to begin with, or none ('': ImageNet's, downloaded once)",
                                        "recognition.pretrained", "train"),
    "SOLVER.BASE_LR": Key("highest learning rate (0.005)", "fit.lr", "train"),
    "SOLVER.LR_POLICY": Key("steps_with_relative_lrs or cosine (the former)", "fit.schedule", "train", as_policy),
    "SOLVER.STEPS": Key("epochs from which the rates of SOLVER.LRS hold ([0, 11, 14])", "fit.decay_epochs", "train",
                        as_steps),
    "SOLVER.LRS": Key("factors of the learning rate, each a tenth of the one before ([1, 0.1, 0.01])", read=as_tenths),
    "SOLVER.MAX_EPOCH": Key("epochs (15)", "fit.max_epoch", "train"),
    "SOLVER.MOMENTUM": Key("of sgd (0.9)", "recognition.momentum", "train"),
    "SOLVER.WEIGHT_DECAY": Key("(0.0001)", "recognition.weight_decay", "train"),
    "SOLVER.WARMUP_EPOCHS": Key("epochs in which the learning rate rises from 0 (0)", "fit.warmup_epochs", "train"),
    "SOLVER.OPTIMIZING_METHOD": Key("sgd, or adamw, which stands for adam too (sgd)", "recognition.optimizer", "train",
                                    as_optimizer),
    "SOLVER.CLIP_GRAD_L2NORM": Key("largest norm of a step's gradient (none)", "fit.clip_grad", "train"),
    "MODEL.MODEL_NAME": Key("vit_base_patch16_224 and the like", "sizes.patch_size", "train", as_vit),
    "MODEL.NUM_CLASSES": Key("classes of the head (those of the lists)", "sizes.classes", "train", as_size),
    "NETWORK.WIDTH": Key("of the network (768)", "sizes.width", "train", as_size),
    "NETWORK.DEPTH": Key("blocks (12)", "sizes.depth", "train", as_size),
    "NETWORK.HEADS": Key("of each attention (12)", "sizes.heads", "train", as_size),
    "NETWORK.PATCH_SIZE": Key("pixels (that of MODEL.MODEL_NAME)", "sizes.patch_size", "train", as_size),
    "NETWORK.MLP_RATIO": Key("(4)", "sizes.mlp_ratio", "train", as_number),
    "NETWORK.BGR": Key("channels as blue, green, red (True for ssv2, else False)", "sizes.bgr", "train", as_switch),
    "NETWORK.CHECKPOINTING": Key("compute each block twice in training, for less memory (False)",
                                 "sizes.checkpointing", "train", as_switch),
    "DATA_LOADER.NUM_WORKERS": Key("threads that read ahead (4)", "fit.num_workers"),
    "NUM_GPUS": Key("in a YAML at most so many, on the command line exactly so many (all)", read=as_processes),
    "RNG_SEED": Key("of weights, order and augmentation (10)", "fit.seed", "train"),
    "OUTPUT_DIR": Key("folder of checkpoints, log and results (work_dir/NAME of the YAML, NAME_finetune)",
                      "fit.save_prefix"),
    "LOG_PERIOD": Key("steps between updates of the progress bar (10)", "fit.show_freq", "train"),
}
# (the value that is there, what a user can do)
FIXED = {
    "DATA.MEAN": ([0.45, 0.45, 0.45], "the network subtracts it"),
    "DATA.STD": ([0.225, 0.225, 0.225], "the network divides by it"),
    "DATA.TARGET_FPS": (30, "times are counted so"),
    "DATA.PATH_LABEL_SEPARATOR": (" ", "blanks, tabs and commas are all understood"),
    "DATA.ENSEMBLE_METHOD": ("sum", "the logits of all views are summed"),
    "DATA.MULTI_LABEL": (False, "a video has one class"),
    "DATA.AUTO_AUGMENT": ("", "there is no such augmentation"),
    "DATA.RE_PROB": (0, "there is no random erasing"),
    "DATA.COLOR_JITTER": (0, "there is no such augmentation"),
    "DATA.DEIT_TRANSFORMS": (False, "there are no such augmentations"),
    "MIXUP.ENABLED": (False, "there is no mixup"),
    "EMA.ENABLED": (False, "averaged weights are a flag of timesformer_main.py, --ema"),
    "DETECTION.ENABLE": (False, "videos are classified, nothing is detected"),
    "DEMO.ENABLE": (False, "timesformer_main.py --video answers for any video"),
    "MULTIGRID.SHORT_CYCLE": (False, "all clips have the same size"),
    "MULTIGRID.LONG_CYCLE": (False, "all clips have the same size"),
    "MODEL.ARCH": ("vit", "there is no other network here"),
    "MODEL.LOSS_FUNC": ("cross_entropy", "there is no other loss"),
    "SOLVER.NESTEROV": (True, "sgd has Nesterov's momentum"),
    "SOLVER.DAMPENING": (0, "momentum is not dampened"),
    "SOLVER.COSINE_END_LR": (0, "the learning rate falls to zero"),
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": (False, "give SOLVER.BASE_LR itself"),
    "TRAIN.CHECKPOINT_TYPE": ("pytorch", "convert the file"),
    "TEST.CHECKPOINT_TYPE": ("pytorch", "convert the file"),
    "TRAIN.CHECKPOINT_INFLATE": (False, "there are no 3-D convolutions"),
    "TRAIN.CHECKPOINT_EPOCH_RESET": (False, "TRAIN.FINETUNE True begins at epoch 0"),
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": ([], "prefixes of the tensors' names are understood"),
    "NUM_SHARDS": (1, "for several machines start this command by torchrun on each"),
    "SHARD_ID": (0, "for several machines start this command by torchrun on each"),
}
UNUSED = {
    "TRAIN.EVAL_PERIOD": "every epoch is validated", "TRAIN.CHECKPOINT_PERIOD": "every epoch is saved",
    "TEST.SAVE_RESULTS_PATH": "results lie in OUTPUT_DIR", "MODEL.DROPOUT_RATE": "", "MODEL.DROPCONNECT_RATE": "",
    "MODEL.FC_INIT_STD": "", "MODEL.HEAD_ACT": "", "MODEL.SINGLE_PATHWAY_ARCH": "", "MODEL.MULTI_PATHWAY_ARCH": "",
    "DATA.INPUT_CHANNEL_NUM": "", "DATA.CROP_SIZE": "", "DATA.TEMPORAL_EXTENT": "", "DATA.DECODING_BACKEND": "",
    "DATA.INV_UNIFORM_SAMPLE": "sides are drawn uniformly",
    "DATA.REVERSE_INPUT_CHANNEL": "the data set tells the order", "DATA_LOADER.PIN_MEMORY": "",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "", "SOLVER.GAMMA": "", "SOLVER.STEP_SIZE": "",
    "SOLVER.WARMUP_FACTOR": "", "SOLVER.WARMUP_START_LR": "it rises from 0", "LOG_MODEL_INFO": "", "DIST_BACKEND": "",
}
# Of other networks and programs, as complete configurations hold them; FIXED has the keys that would matter.
UNUSED_SECTIONS = ("BN", "RESNET", "X3D", "NONLOCAL", "SLOWFAST", "MIXUP", "EMA", "BENCHMARK", "DETECTION", "AVA",
                   "MULTIGRID", "TENSORBOARD", "DEMO")


def described() -> str:
    """The keys that count, a line each, for --help."""
    return "keys (and what holds without them):\n" + "".join(f"  {name:<30}{key.help}\n" for name, key in KEYS.items())


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class Configuration:
    """A YAML with the pairs of the command line, which win. `values`: what the keys read as, without empty ones.

    `typed`: the keys given on the command line. `unused`: words for each key that changes nothing here.
    """

    file: Path
    values: dict
    typed: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Path:
        """Where the training and the results go: a fine-tuning is not put upon the training with the same YAML."""
        name = self.file.stem + ("_finetune" if self.values.get("TRAIN.FINETUNE") else "")
        return self.values.get("OUTPUT_DIR", Path("work_dir", name))


def read_configuration(file: Path, pairs: list[str], words: tuple[str, ...] = ()) -> Configuration:
    """The configuration of a YAML file and of KEY VALUE pairs; `words` start the same command again.

    Raises UserError with the file's name, or "command line", and the key.
    """
    text = read_text(file, "configuration", "Those of the project lie in configs/Kinetics and configs/SSv2.",
                     MOST_BYTES)
    try:
        content = read_yaml(text, DEEPEST)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    values, unused = {}, {}
    typed = list(typed_pairs(pairs))
    for place, name, raw in [*((str(file), *pair) for pair in flat(content)),
                             *(("command line", *pair) for pair in typed)]:
        name = known_key(place, name)
        if name not in KEYS:
            if name in FIXED:
                check_fixed(place, name, raw)
            else:
                unused[name] = UNUSED.get(name, "")
            continue
        try:
            values[name] = KEYS[name].value(raw)
        except (ValueError, ArgumentTypeError) as error:
            raise UserError(f"{place}: {name}: {error}.") from None
    told = [f"{name} ({reason})" if reason else name for name, reason in unused.items()]
    return Configuration(file, {name: value for name, value in values.items() if value not in (None, "")},
                         frozenset(name for name, _ in typed), tuple(told), words)


def flat(content: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of sections within each other; an empty section has none."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        elif above or value is not None:
            yield above + name, value


def typed_pairs(words: list[str]) -> Iterator[tuple[str, object]]:
    """(key, value) of the command line's words. A value is read as YAML; a path or a name is taken as it stands."""
    for place in range(0, len(words), 2):
        name = known_key("command line", words[place])
        if place + 1 == len(words) or words[place + 1] in KEYS:
            raise UserError(f"command line: {name} has no value. Expected pairs KEY VALUE, such as TRAIN.BATCH_SIZE 6.")
        word = words[place + 1]
        if (name in KEYS and KEYS[name].is_text) or isinstance(FIXED.get(name, [0])[0], str):
            yield name, word
            continue
        try:
            yield name, read_yaml(f"value: {word}", DEEPEST)["value"]
        except UserError as error:
            raise UserError(f"command line: {name}: found {shortened(word)}, {error}") from None


def known_key(place: str, name: str) -> str:
    """The key, or the section that is not used as a whole. Raises UserError for a key that is not known."""
    if name in KEYS or name in FIXED or name in UNUSED:
        return name
    if (section := name.split(".")[0]) in UNUSED_SECTIONS and "." in name:
        return section
    near = difflib.get_close_matches(name.upper(), [*KEYS, *FIXED, *UNUSED], 1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise UserError(f"{place}: {shortened(name)} is no key of a configuration.{meant} (The keys that count: "
                    "tools/run_net.py --help)")


def check_fixed(place: str, name: str, raw) -> None:
    """Raise UserError where a key asks for what is not there."""
    wanted, remedy = FIXED[name]
    try:
        is_number = isinstance(wanted, int) and not isinstance(wanted, bool)
        found = list(as_list(raw, number(float))) if isinstance(wanted, list) else as_number(raw) if is_number else raw
    except (ValueError, ArgumentTypeError):
        found = raw
    if found != wanted and not (raw is None and wanted == ""):
        raise UserError(f"{place}: {name}: found {shortened(raw)}, expected {wanted!r}: {remedy}.")


# ---------------------------------------------------------------- messages


# What messages of the engine call by its flag, and no single key sets.
SAID = {"--resume auto": "TRAIN.AUTO_RESUME True", "--overwrite, without --resume": "empty the folder",
        "--overwrite": "empty the folder", "--resume": "TRAIN.AUTO_RESUME",
        "--accumulation_step": "GLOBAL_BATCH_SIZE / TRAIN.BATCH_SIZE", "--gpus": "NUM_GPUS",
        "the section `network` of the preset": "the sections DATA, MODEL and NETWORK",
        "a training cannot go on from it": "a training cannot go on from it; TRAIN.FINETUNE True begins with them"}


def in_keys(message: str, phase: str = "train") -> str:
    """A message that names flags, with the keys that set the same in this phase; other flags stay."""
    for said, instead in SAID.items():
        message = re.sub(rf"{re.escape(said)}(?![a-z_])", instead, message)
    keys = {key.to.split(".")[1]: name for name, key in reversed(KEYS.items())
            if key.to and key.phase in ("", phase)}
    message = re.sub(r"--sizes (\w+)=(\w+)", lambda found: f"{keys.get(found[1], found[1])} {found[2]}", message)
    return re.sub(r"--([a-z][a-z_]+)", lambda found: keys.get(found[1], found[0]), message)
