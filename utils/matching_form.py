"""What a configuration of utils/matching_keys.py asks for: a training, or a test, also of names not trained on.

    asked = FORM.read(Path("configs/ucf101/ucf_train.yaml"), ["data.batch_size", "8"])
    run_asked(asked, False, "20260131_120000", run)      # exp/clip_ucf/ViT-B/16/ucf101/20260131_120000

What a configuration leaves out is as in actionclip_main.py.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable
from utils.cli import MATCHING_PARTS, RecognitionCommand
from utils.devices import choose_devices
from utils.distributed import started_by_torchrun
from utils.keys import Configuration, command_of
from utils.matching_keys import ARCHES, FORM
from utils.run_folder import BEST, LAST, LOCK, SETTINGS
from utils.settings import LaunchSettings

# The published training's.
DEFAULTS = {
    "fit.lr": 5e-6, "fit.batch_size": 64, "fit.max_epoch": 50, "fit.schedule": "cosine", "fit.warmup_epochs": 5,
    "recognition.optimizer": "adamw", "recognition.betas": (0.9, 0.98), "recognition.weight_decay": 0.2,
    "recognition.multi_scale": True, "recognition.jitter": 0.8, "recognition.grey": 0.2, "recognise.crops": 1,
}
DECAY_EPOCHS = 15                               # of multistep
DIRECTED = ("some", "sth", "ssv2")              # in the names of data sets whose classes left and right make
LINKS = {"model_best.pt": BEST, "last_model.pt": LAST}      # the public code's names
ROOT = Path("exp")


def run_asked(
    asked: Configuration, only_test: bool, log_time: str | None, run: Callable[[RecognitionCommand], int]
) -> int:
    """Train or test as a configuration asks; returns the exit code. Raises UserError that speaks of keys.

    `log_time` names the folder of a new training or test, the present time without it.
    """
    only_test = only_test or asked.values.get("solver.evaluate", False)
    if started_by_torchrun() and only_test:
        raise UserError("torchrun is for trainings; test without it.")
    if started_by_torchrun() and not log_time:
        raise UserError("--log_time is missing: under torchrun all processes must be told the name of the folder.")
    log_time = log_time or datetime.now().strftime("%Y%m%d_%H%M%S")
    leads = os.environ.get("RANK", "0") == "0"      # of the processes that torchrun has started
    for line in remarks(asked, only_test) if leads else ():
        print(line, flush=True)
    try:
        if only_test:
            return run(test_command(asked, log_time))
        command = training_command(asked, log_time)
        with linked(command.fit.save_prefix) if leads else contextlib.nullcontext():
            return run(command)
    except UserError as error:
        raise UserError(FORM.in_keys(str(error), "test" if only_test else "train")) from None


def remarks(asked: Configuration, only_test: bool) -> list[str]:
    """Lines about what is not done as the configuration's words may suggest."""
    lines = [f"not used here: {', '.join(asked.unused)}"] if asked.unused else []
    if only_test:
        return lines
    values = asked.values
    if "data.random_shift" not in values:
        lines.append("data.random_shift is not given: frames are drawn anywhere in their parts of the video. False, "
                     "what the public code then does, takes the middle ones.")
    if values.get("logging.eval_freq", 1) != 1:
        lines.append(f"logging.eval_freq {values['logging.eval_freq']}: every epoch is validated")
    if values.get("solver.optim") == "adam":
        lines.append("solver.optim adam: AdamW is taken, whose weight decay is apart from the gradient")
    if is_directed(asked):
        lines.append(f"data.dataset {dataset_of(asked)}: clips are not mirrored")
    return lines


def training_command(asked: Configuration, log_time: str) -> RecognitionCommand:
    """The training that a configuration asks for. Raises UserError for keys that do not belong together."""
    values, settings = asked.values, {**DEFAULTS, **FORM.settings_of(asked, "train")}
    sizes, name = ARCHES[values.get("network.arch", "ViT-B/32")]
    settings = {**{f"sizes.{size}": value for size, value in sizes.items()}, **settings}
    begin = values.get("pretrain") or values.get("network.init", "clip")
    settings["recognition.pretrained"] = f"{name}/openai" if begin == "clip" else begin
    if settings["recognition.optimizer"] == "adam":
        settings["recognition.optimizer"] = "adamw"
    if settings["fit.schedule"] == "steps":
        settings["fit.decay_epochs"] = decay_epochs(values.get("solver.lr_decay_step", DECAY_EPOCHS),
                                                    settings["fit.max_epoch"])
    if is_directed(asked):
        settings["recognition.flip"] = False
    settings["fit.save_prefix"] = folder_of(asked, log_time)
    if resume := resumed(asked):
        settings["fit.resume"] = str(resume)
        if (resume.parent / SETTINGS).exists():      # a training of the public code is no folder to go on in
            settings["fit.save_prefix"] = resume.parent
    several = len(choose_devices(settings.get("fit.gpus", "auto"))) > 1
    # The processes that torchrun starts must agree on the folder.
    words = (*asked.words, *(() if "--log_time" in asked.words else ("--log_time", log_time)))
    command = command_of(settings, LaunchSettings(strategy="ddp" if several else "dp"), words, MATCHING_PARTS)
    return replace(command, lists={"train": list_of(asked, "train_list"), "val": list_of(asked, "val_list")})


def test_command(asked: Configuration, log_time: str) -> RecognitionCommand:
    """The test that a configuration asks for. Raises UserError.

    Its weights tell the network and, where they do not know its kind of GELU, `sizes.quick_gelu` does.
    """
    settings = {**DEFAULTS, **FORM.settings_of(asked, "test"), "fit.save_prefix": folder_of(asked, log_time)}
    resume = asked.values.get("resume", "auto")
    weights = asked.values.get("pretrain") or (newest(asked, BEST) if resume == "auto" else resume)
    if not weights:
        raise UserError(f"{asked.file}: pretrain is missing, the weights to test, such as "
                        f"{folder_of(asked, 'TIME') / 'model_best.pt'}. (No training lies there yet.)")
    settings |= {"recognise.weights": Path(weights), "recognise.split": "val"}
    command = command_of(settings, LaunchSettings(), asked.words, MATCHING_PARTS)
    return replace(command, lists={"val": list_of(asked, "val_list")})


def list_of(asked: Configuration, name: str) -> Path:
    """The path under data.train_list or data.val_list. Raises UserError where it, or data.label_list, is missing."""
    for key, what in ((f"data.{name}", "a list of videos"), ("data.label_list", "the names of the classes")):
        if key not in asked.values:
            raise UserError(f"{asked.file}: {key} is missing, {what}.")
    return Path(asked.values[f"data.{name}"])


def decay_epochs(step: int | tuple[int, ...], epochs: int) -> tuple[int, ...]:
    """The epochs from which the learning rate is a tenth of that before."""
    return step if isinstance(step, tuple) else tuple(range(step, epochs, step)) or (step,)


def dataset_of(asked: Configuration) -> str:
    return asked.values.get("data.dataset", asked.file.stem)


def is_directed(asked: Configuration) -> bool:
    """Whether left and right make the data set's classes."""
    return any(word in dataset_of(asked).lower() for word in DIRECTED)


# ---------------------------------------------------------------- folders


def folder_of(asked: Configuration, log_time: str) -> Path:
    """exp/<type>/<arch>/<dataset>/<time>."""
    values = asked.values
    return ROOT / values.get("network.type", "clip") / values.get("network.arch", "ViT-B/32") / dataset_of(
        asked) / log_time


def newest(asked: Configuration, name: str) -> Path | None:
    """The newest checkpoint of that name of the trainings with the same type, arch and data set."""
    found = list(folder_of(asked, "").glob(f"*/{name}"))
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def resumed(asked: Configuration) -> Path | None:
    """The checkpoint to go on from. Raises UserError where it is not there."""
    word = asked.values.get("resume")
    if not word or word == "auto":
        return newest(asked, LAST) if word else None
    if not Path(word).exists():
        raise UserError(f"{word}: no such checkpoint (resume).")
    return Path(word)


@contextlib.contextmanager
def linked(folder: Path) -> Iterator[None]:
    """Give the checkpoints that a training will write into a folder the public code's names too, from the start.

    What was made for a training that could not begin is removed again. Raises UserError where nothing can be written.
    """
    is_new = not folder.exists()
    check_writable(folder)
    made = [(folder / name, target) for name, target in LINKS.items() if not os.path.lexists(folder / name)]
    for link, target in made:
        link.symlink_to(target)
    try:
        yield
    finally:
        if not (folder / SETTINGS).exists():
            for link, _ in made:
                link.unlink(missing_ok=True)
            if is_new and set(os.listdir(folder)) <= {LOCK}:
                shutil.rmtree(folder)
