"""The boundary task: one time in seconds for each clip, the end of its opening or the start of its ending.

    task = boundary_task(AVTNet, regression_loss, BoundarySettings(shift=60))
    fit(task, FitSettings(), FitData(train, validation))

A boundary network is a torch module with

    inputs              names of the batch's tensors that its forward takes
    forward(**inputs)   -> a dict of tensors, the outputs
    seconds(outputs)    -> the answers in seconds, (B,); a static method

and, optionally,

    spread(outputs)     -> how far each answer may be off, (B,) s; a static method. The network then has a buffer
                        `interval_scale` too. Each validation sets it so that the intervals
                        seconds +- interval_scale * spread hold nine of ten truths
    explain(**inputs)   -> {"seconds": (B,), further columns: (B,)}, the columns of predictions.csv
    frame_net           the submodule that sees single frames; --pretrained and --channels_last apply to it
    outputs["steps"]    (B, K, 200), evidence for each second, which --step_loss trains
    standardise         (bool) an argument of its class, set by --if_normal where the entry script has that flag
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from datatools.augment import borrow, clip_generators, damage, shift_in_time, vary_look_and_sound
from datatools.clips import (
    clips_without,
    decode_missing_frames,
    find_processed,
    labelled_clips,
    recorded_encoders,
)
from datatools.dataset import ClipDataset, fill_frames
from datatools.encoders import hears
from datatools.errors import UserError
from datatools.features import SHAPES
from datatools.files import save_text
from datatools.layout import recorded_text_detector
from datatools.numbers import shortened
from datatools.scores import score_table
from datatools.submission import read_predictions, write_predictions
from utils.batches import Batches
from utils.checkpoint import load_pretrained
from utils.distributed import World
from utils.networks import build_network, frame_network
from utils.plots import curves_picture, predictions_picture
from utils.predict import validation_rows
from utils.run_folder import read_records
from utils.settings import INPUTS, BoundarySettings
from utils.task import Batch, Dataset, FitData, Outputs, Task, Validation, answer

INTERVAL = 0.9         # share of the truths that a network's intervals should hold
STEP_SPREAD = 1.5      # s; standard deviation of step_loss's Gaussian target around the boundary
WRONG_SECONDS = 10.0   # s; clips with a larger error go to error.txt
WORST_CLIPS = 4        # shown as strips of frames
Loss = Callable[[Outputs, Tensor], Tensor]      # (outputs, true seconds (B,)) -> a scalar


def boundary_task(network: type, loss: Loss, settings: BoundarySettings, sizes: dict | None = None) -> Task:
    """The task that trains a boundary network; `sizes` are the network's, `settings.if_normal` is added to them."""
    sizes = dict(sizes or {})
    if settings.if_normal is not None:
        sizes["standardise"] = settings.if_normal

    def validate(net: nn.Module, batches: Batches, batch_size: int, world: World) -> Validation:
        return validate_boundaries(network, net, batches, batch_size, world)

    detector, remarks = None, ()
    encoders = encoders_of_training(network, settings)
    if encoders:
        sizes["encoders"] = ",".join(f"{name}:{told['dim']}{':sound' if hears(name) else ''}"
                                     for name, told in encoders.items())
    dims = network.encoder_dims(sizes["encoders"]) if sizes.get("encoders") else {}
    if settings.data_root and "text_roi" in inputs_read(network, settings.without, settings.encoders):
        detector = recorded_text_detector(settings.data_root)
        if detector is None:
            remarks = ("which detector made the text boxes is not recorded with this data",)
    return Task(
        network=network.__name__, inputs=(*network.inputs, *dims), sizes=sizes, validate=validate, unit=" s",
        build=lambda sizes: build_network(network, sizes),
        start=lambda net: load_pretrained(frame_network(net), settings.pretrained),
        loss=lambda outputs, batch: boundary_loss(loss, settings.step_loss, outputs, batch["seconds"]),
        augment=lambda batch, seed, epoch: augment(batch, settings, seed, epoch),
        describe=describe, facts={"text_detector": detector, **({"encoders": encoders} if encoders else {})},
        same=("encoders",) if encoders else (), settings=settings, remarks=remarks,
        keep_best=lambda folder, validation: write_validation(folder, *validation.found),
        draw=draw,
    )


def encoders_of_training(network: type, settings: BoundarySettings) -> dict[str, dict]:
    """{encoder: the settings of its vectors} for --encoders. Raises UserError."""
    if not settings.encoders:
        return {}
    if not hasattr(network, "encoder_dims"):
        raise UserError(f"--encoders: {network.__name__} takes no further inputs. Leave it out, or use "
                        "avt_dist_main.py.")
    if settings.data_root is None:
        raise UserError("--encoders: vectors are read from --data_root, which is missing.")
    clips = [clip for folder in settings.train_folders for clip in find_processed(settings.data_root, folder)]
    return recorded_encoders(settings.data_root, clips, settings.encoders)


def inputs_read(network: type, without: tuple[str, ...], encoders: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The network's inputs that are read from files, except encoders' and those in --without.

    Raises UserError if nothing is left, and for a name in --without that is no input.
    """
    known = (*INPUTS, *encoders)
    if unknown := [name for name in without if name not in known]:
        raise UserError(f"--without: found {shortened(unknown[0])}, expected some of {', '.join(known)}.")
    left = tuple(name for name in network.inputs if name in SHAPES and name not in without)
    if not left and not set(encoders) - set(without):
        raise UserError(f"--without {' '.join(without)}: no input is left.")
    return left


# ---------------------------------------------------------------- data


def boundary_data(network: type, settings: BoundarySettings) -> FitData:
    """The labelled clips below settings.data_root, with every label and feature file checked. Raises UserError."""
    used = inputs_read(network, settings.without, settings.encoders)
    dims = {name: told["dim"] for name, told in encoders_of_training(network, settings).items()}
    root, without = settings.data_root, settings.without
    parts = labelled_clips(root, settings.train_folders, settings.label_files, settings.data_seed, used)
    for name, part in parts.items():
        if not len(part):
            raise UserError(f"{', '.join(settings.label_files)}: too few clips, none is left for the {name} part.")

    def prepare() -> list[str]:
        clips = [*parts["train"].clips, *parts["val"].clips]
        decoded = decode_missing_frames(root, clips) if "frames" in used else 0
        lines = [f"decoded the 1 fps videos of {decoded} clips into _frames.npy"] if decoded else []
        missing = {name: len(clips_without(root, clips, name)) for name in dims}
        return lines + [f"{count} of {len(clips)} clips have no vectors of {name}, it counts as missing there"
                        for name, count in missing.items() if count]

    train, val = (ClipDataset(root, parts[name], network.inputs, without, dims) for name in ("train", "val"))
    return FitData(train, val, prepare, lambda: fingerprint_data(root, parts, used, settings.encoders))


def fingerprint_data(root: Path, parts: dict, inputs: tuple[str, ...], encoders: tuple[str, ...] = ()) -> dict:
    """The number of clips in each part, and a SHA-256 over their names, labels and feature-file sizes."""
    digest = hashlib.sha256()
    for part in parts.values():
        for clip, seconds in sorted(zip(part.clips, part.seconds.tolist(), strict=True)):
            paths = [getattr(clip, name)(root) for name in inputs] + [clip.encoded(root, name) for name in encoders]
            sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
            digest.update(f"{clip.folder}/{clip.name} {seconds:.3f} {sizes}\n".encode())
    return {**{name: len(part) for name, part in parts.items()}, "sha256": digest.hexdigest()}


def augment(batch: Batch, settings: BoundarySettings, seed: int, epoch: int) -> Batch:
    """Augment a batch as the settings ask; random numbers depend on seed, epoch and clip alone."""
    generators = clip_generators(seed, epoch, batch["index"].tolist())
    if settings.borrow:
        batch = borrow(batch, settings.borrow, generators)
    if settings.shift:
        batch = shift_in_time(batch, settings.shift, generators)
    if settings.vary:
        batch = vary_look_and_sound(batch, settings.vary, generators)
    if settings.damage:
        batch = damage(batch, settings.damage, generators)
    return batch


# ---------------------------------------------------------------- losses


def boundary_loss(loss: Loss, step_weight: float, outputs: Outputs, seconds: Tensor) -> Tensor:
    """The network's own loss, plus `step_weight` times the step loss."""
    if not step_weight:
        return loss(outputs, seconds)
    if "steps" not in outputs:
        raise UserError(f"--step_loss {step_weight}: this network has no output `steps`. Leave it out.")
    return loss(outputs, seconds) + step_weight * step_loss(outputs, seconds)


def step_loss(outputs: Outputs, seconds: Tensor) -> Tensor:
    """Cross-entropy between the steps' softmax over time and a Gaussian around the boundary.

    outputs["steps"] (B, K, 200), the evidence of each second before a head's linear layers; seconds (B,). An addition
    for small data sets, not in the reference: the loss of a single time per clip tells a network little about where
    to look.
    """
    steps = outputs["steps"].float()
    centres = torch.arange(steps.shape[2], device=steps.device) + 0.5                     # s
    target = torch.softmax(-((centres - seconds[:, None]) / STEP_SPREAD) ** 2 / 2, 1)     # (B, 200)
    return cross_entropy(steps.flatten(0, 1), target.repeat_interleave(steps.shape[1], 0))


# ---------------------------------------------------------------- validation


def validate_boundaries(
    network: type, net: nn.Module, batches: Batches, batch_size: int, world: World
) -> Validation:
    """The score table of all validation clips; `found` is ({name: answer}, {name: truth}), in seconds.

    Sets the interval_scale of a network that has a spread.
    """
    spread_of = getattr(network, "spread", None)

    def columns_of(batch: Batch) -> dict[str, Tensor]:
        outputs = answer(net, batch, net.inputs)
        spread = {"spread": spread_of(outputs)} if spread_of else {}
        return {"seconds": network.seconds(outputs), "truth": batch["seconds"], **spread}

    found = validation_rows(net, columns_of, batches, batch_size, world)
    if wrong := [batches.name_of(index) for index, row in found.items() if not np.isfinite(list(row.values())).all()]:
        raise UserError(f"the answers for {len(wrong)} validation clips are not finite ({', '.join(wrong[:10])}). Look "
                        "at these clips' features; or lower --lr, or give --clip_grad 1.")
    names, rows = [batches.name_of(index) for index in found], list(found.values())
    if spread_of:
        calibrate(net, *(np.array([row[name] for row in rows], np.float32) for name in ("seconds", "spread", "truth")))
    predicted, truth = ({name: row[column] for name, row in zip(names, rows, strict=True)}
                        for column in ("seconds", "truth"))
    return Validation(score_table(predicted, truth), (predicted, truth))


def calibrate(net: nn.Module, found: np.ndarray, spreads: np.ndarray, truth: np.ndarray) -> None:
    """Set net.interval_scale so that `found` +- scale x `spreads` holds INTERVAL of the truths; arrays (N,), s.

    Split conformal prediction with a normalised error (Papadopoulos and others, 2002): the level of the quantile is
    raised by (N + 1) / N, as the theorem requires.
    """
    level = min(1.0, INTERVAL * (len(truth) + 1) / len(truth))
    net.interval_scale.fill_(float(np.quantile(np.abs(found - truth) / spreads, level, method="higher")))


def describe(numbers: dict[str, float]) -> str:
    """The log's words for a validation."""
    return (f"{numbers['score']:.3f} s (start {numbers['score_start']:.3f}, end {numbers['score_end']:.3f}; within 1 s "
            f"{numbers['within_1s']:.0%})")


# ---------------------------------------------------------------- files and pictures in --save_prefix


def wrong_clips(predicted: dict[str, float], truth: dict[str, float]) -> str:
    """Lines `name truth prediction` of the clips with an error above 10 s, the worst first."""
    wrong = [n for n in truth if abs(predicted[n] - truth[n]) > WRONG_SECONDS]
    wrong.sort(key=lambda n: -abs(predicted[n] - truth[n]))
    return "".join(f"{n} {truth[n]:.3f} {predicted[n]:.3f}\n" for n in wrong)


def write_validation(folder: Path, predicted: dict[str, float], truth: dict[str, float]) -> None:
    """Write validation.csv and error.txt of the best epoch."""
    rows = {name: {"seconds": truth[name], "predicted": predicted[name]} for name in truth}
    write_predictions(folder / "validation.csv", rows)
    save_text(folder / "error.txt", wrong_clips(predicted, truth))


def read_validation(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """({name: predicted}, {name: truth}) of the best epoch. Raises UserError where validation.csv was changed."""
    path = folder / "validation.csv"
    rows = read_predictions(path, ("seconds", "predicted"))
    if empty := [name for name, row in rows.items() if math.isnan(row["seconds"] + row["predicted"])]:
        raise UserError(f"{path}: no times of {', '.join(empty[:3])}. Delete the file: the next best epoch writes it.")
    return tuple({name: row[column] for name, row in rows.items()} for column in ("predicted", "seconds"))


def draw(folder: Path, dataset: Dataset) -> None:
    """Draw curves.png from the log, validation.png and, where files hold frames, worst.png from validation.csv."""
    if not (folder / "log.jsonl").exists() or not (folder / "validation.csv").exists():
        return      # stopped within the first epoch
    records = read_records(folder)
    curves_picture(folder / "curves.png", records)
    predicted, truth = read_validation(folder)
    best = min(records, key=lambda record: record["val_score"])
    title = f"validation at epoch {best['epoch']}: score {best['val_score']:.3f} s, {len(truth)} clips"
    predictions_picture(folder / "validation.png", truth, predicted, {}, title)
    worst = sorted(truth, key=lambda name: -abs(predicted[name] - truth[name]))[:WORST_CLIPS]
    frames = frames_of(worst, dataset) if isinstance(dataset, ClipDataset) else {}
    if frames:
        predictions_picture(folder / "worst.png", {n: truth[n] for n in frames}, {n: predicted[n] for n in frames},
                            frames, f"the worst of the validation clips, epoch {best['epoch']}")


def frames_of(names: list[str], dataset: ClipDataset) -> dict[str, np.ndarray]:
    """{name: uint8 (200, 66, 88, 3)} of those clips in `names` that have frames."""
    root, by_name = dataset.root, {clip.name: clip for clip in dataset.clip_set.clips}
    frames = {}
    for name in names:
        clip = by_name.get(name)
        if clip and (clip.frames(root).exists() or clip.video(root).exists()):
            frames[name] = np.empty(SHAPES["frames"], np.uint8)
            fill_frames(frames[name], root, clip)
    return frames
