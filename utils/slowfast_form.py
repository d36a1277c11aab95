"""What a configuration in SlowFast's form asks of a video recogniser: a training, a test, or one after the other.

    found = read_configuration(file, ["NUM_GPUS", "1"])      # utils/slowfast_keys.py
    run(TimeSformer, training_command(found))
    run(TimeSformer, test_command(found))

What a configuration leaves out is as in timesformer_main.py.
"""

import json
from collections.abc import Callable
from pathlib import Path

from datatools.errors import UserError
from utils.cli import RECOGNITION_PARTS, RecognitionCommand
from utils.devices import choose_devices
from utils.distributed import started_by_torchrun
from utils.keys import Configuration, command_of
from utils.run_folder import LAST, SETTINGS, checkpoints_by_age
from utils.settings import LaunchSettings
from utils.slowfast_keys import FORM, in_keys

# The published training's.
DEFAULTS = {"fit.batch_size": 8, "fit.lr": 0.005, "fit.max_epoch": 15, "fit.schedule": "steps"}
GLOBAL_BATCH = 64


def run_phases(asked: Configuration, run: Callable[[RecognitionCommand], int]) -> int:
    """Train, then test, as far as both are enabled; returns the exit code. Raises UserError that speaks of keys.

    Under torchrun only the training: each process would test for itself.
    """
    phases = {"train": training_command, "test": test_command}
    wanted = [phase for phase in phases if asked.values.get(f"{phase.upper()}.ENABLE", True)]
    if started_by_torchrun():
        wanted = [phase for phase in wanted if phase == "train"]
    else:
        for line in remarks(asked):
            print(line, flush=True)
    if not wanted:
        raise UserError(f"{asked.file}: nothing to do: expected TRAIN.ENABLE True or TEST.ENABLE True"
                        + (" (torchrun is for trainings; test without it)." if started_by_torchrun() else "."))
    for phase in wanted:
        try:
            code = run(phases[phase](asked))
        except UserError as error:
            raise UserError(in_keys(str(error), phase)) from None
        if code:
            return code
    return 0


def remarks(asked: Configuration) -> list[str]:
    """Lines about what is not done as the configuration's words may suggest."""
    lines = [f"not used here: {', '.join(asked.unused)}"] if asked.unused else []
    if "NUM_GPUS" in asked.typed and gpus_of(asked) == "cpu":
        number = asked.values["NUM_GPUS"]
        lines.append(f"NUM_GPUS {number}: computes on the CPU{', there is no GPU' if number else ''}")
    if asked.values.get("SOLVER.OPTIMIZING_METHOD") == "adam":
        lines.append("SOLVER.OPTIMIZING_METHOD adam: AdamW is taken, whose weight decay is apart from the gradient")
    return lines


def training_command(asked: Configuration) -> RecognitionCommand:
    """The training that a configuration asks for. Raises UserError for keys that do not belong together."""
    values, settings, folder = asked.values, settings_of(asked, "train"), folder_of(asked)
    if settings.get("recognition.segments"):      # left and right matter there, and the published weights expect BGR
        settings = {"recognition.flip": False, "sizes.bgr": True, **settings}
    if settings.get("recognition.optimizer") == "adam":
        settings["recognition.optimizer"] = "adamw"
    tenths, steps = values.get("SOLVER.LRS"), values.get("SOLVER.STEPS")
    if settings["fit.schedule"] == "steps" and tenths != (None if steps is None else len(steps)):
        raise UserError(f"{asked.file}: SOLVER.STEPS and SOLVER.LRS: expected both, of the same length, such as "
                        "[0, 11, 14] and [1, 0.1, 0.01].")
    settings["fit.accumulation_step"] = max(
        1, values.get("GLOBAL_BATCH_SIZE", GLOBAL_BATCH) // settings["fit.batch_size"])
    given = values.get("TRAIN.CHECKPOINT_FILE_PATH")
    if values.get("TRAIN.FINETUNE"):
        if not given:
            raise UserError(f"{asked.file}: TRAIN.FINETUNE True needs TRAIN.CHECKPOINT_FILE_PATH, the weights to begin "
                            "with.")
        settings["recognition.pretrained"] = given
    if values.get("TRAIN.AUTO_RESUME", True) and checkpoints_by_age(folder):
        check_same_start(folder, settings.get("recognition.pretrained", "auto"))
        settings["fit.resume"] = "auto"
    elif given and not values.get("TRAIN.FINETUNE"):
        settings["fit.resume"] = given
    gpus = settings["fit.gpus"]
    launch = LaunchSettings(strategy="ddp") if "," in gpus else LaunchSettings()
    return command_of(settings, launch, asked.words, RECOGNITION_PARTS)


def test_command(asked: Configuration) -> RecognitionCommand:
    """The test that a configuration asks for: of its weights, or of the last ones in its folder. Raises UserError."""
    settings = {name: value for name, value in settings_of(asked, "test").items() if not name.startswith("sizes.")}
    settings.setdefault("recognition.segments", asked.values.get("TRAIN.DATASET"))
    if settings["recognition.segments"]:      # published weights that are saved alone do not tell it
        settings["sizes.bgr"] = True
    folder = folder_of(asked)
    last, begun = folder / LAST, asked.values.get("TRAIN.CHECKPOINT_FILE_PATH")
    weights = settings.get("recognise.weights") or (last if last.exists() else begun and Path(begun))
    if not weights:
        raise UserError(f"{folder}: no training in it to test. Give TEST.CHECKPOINT_FILE_PATH, or train first.")
    settings["recognise.weights"] = weights
    return command_of(settings, LaunchSettings(), asked.words, RECOGNITION_PARTS)


def settings_of(asked: Configuration, phase: str) -> dict:
    """{part.setting: value} of the keys that count in a phase, and of what holds without them."""
    return {**DEFAULTS, **FORM.settings_of(asked, phase), "fit.save_prefix": folder_of(asked),
            "fit.gpus": gpus_of(asked)}


def folder_of(asked: Configuration) -> Path:
    """Where the training and the results go: a fine-tuning is not put upon the training with the same YAML."""
    name = asked.file.stem + ("_finetune" if asked.values.get("TRAIN.FINETUNE") else "")
    return asked.values.get("OUTPUT_DIR", Path("work_dir", name))


def gpus_of(asked: Configuration) -> str:
    """The devices that NUM_GPUS asks for, as --gpus takes them. Raises UserError where the number typed is not there.

    Without any GPU, 1 is the CPU.
    """
    there = sum(device.type == "cuda" for device in choose_devices("auto"))
    wanted = asked.values.get("NUM_GPUS", there)
    if "NUM_GPUS" in asked.typed and wanted > max(1, there):
        raise UserError(f"command line: NUM_GPUS {wanted}: {there} found here. Give a number that is there; in a YAML "
                        "it means at most so many.")
    return ",".join(map(str, range(min(wanted, there)))) or "cpu"


def check_same_start(folder: Path, start: str) -> None:
    """Raise UserError where the folder's training began with other weights than this one would."""
    try:
        began = json.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("pretrained", start)
    except (OSError, ValueError, AttributeError):
        return
    if began != start:
        raise UserError(f"{folder}: its training began with the weights {began}, this one would with {start}. Give "
                        "another OUTPUT_DIR, or the same TIMESFORMER.PRETRAINED_MODEL and TRAIN.CHECKPOINT_FILE_PATH.")
