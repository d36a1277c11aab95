"""The recognition task: one of several classes for each video.

    lists, classes = recognition_lists(settings, ("train", "val"))
    task = recognition_task(TimeSformer, settings, sizes, lists)
    fit(task, FitSettings(schedule="steps"), recognition_data(settings, lists, sampling, seed=10))

A recogniser is a torch module with

    inputs              ("video",): its forward takes video, uint8 (B, T, H, W, 3), RGB
    forward(video)      -> {"logits": (B, classes), "features": (B, width)}
    rollout(video)      -> what it looked at, (B, T, rows, columns), for --attention
    start_from_scratch()    optional: initial weights where no file starts the network
    frames, image_size, classes     arguments of its class, set by what becomes a clip and by the lists
    sampling            optional, of its class: what becomes a clip where nothing else is told, {setting: value}
    patch_size          where it has one, pictures must be a multiple of it
"""

import csv
import hashlib
import itertools
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from datatools.downloads import download_timeout
from datatools.errors import UserError
from datatools.files import write_atomic
from datatools.lists import read_csv
from datatools.numbers import shortened
from datatools.video_dataset import Sampling, VideoDataset
from datatools.video_lists import CLASSES_FILE, VideoList, read_video_lists
from utils.batches import Batches
from utils.checkpoint import start_from
from utils.distributed import World
from utils.networks import build_network, imagenet_start
from utils.predict import validation_rows
from utils.recognition_plots import confusion_picture, curves_picture
from utils.run_folder import read_records
from utils.settings import FitSettings, RecogniseSettings, RecognitionSettings, plain
from utils.task import Batch, Dataset, FitData, Task, Validation, answer

TOP = 5                    # classes that an answer may name
CLIP_SETTINGS = ("num_frames", "sampling_rate", "segments", "image_size", "short_side", "bicubic", "flip")
VARIATION = ("multi_scale", "jitter", "grey")      # of the clips in training alone
SHORT_SIDES = (8 / 7, 10 / 7)     # of image_size: 256 to 320 for 224


# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class Lists:
    """The lists of a data set by split. `certain`: its classes are named, so their number is known."""

    by_split: dict[str, VideoList]
    certain: bool

    @property
    def classes(self) -> tuple[str, ...]:
        return next(iter(self.by_split.values())).classes


def read_lists(
    settings: RecognitionSettings, splits: tuple[str, ...], classes: tuple[str, ...] = (), names: tuple[str, ...] = (),
    files: dict[str, Path] | None = None,
) -> Lists:
    """The lists of settings.data_root. `classes`: those of a checkpoint, whose numbers the labels shall be.

    `names`: those of the classes, in place of classes.txt and of all others. `files`: the lists, in place of
    data_root's.

    Raises UserError for a list or a video that is missing (unless broken ones are left out), for every bad line, and
    for classes.txt where it holds others than `classes`.
    """
    root = settings.data_root
    if root is None and not files:
        raise UserError("--data_root is missing: the folder of train.csv, val.csv and test.csv (tools/make_lists.py "
                        "makes them).")
    if not files and not root.is_dir():
        raise UserError(f"{root}: no such folder (--data_root).")
    files = {split: files[split] if files else root / f"{split}.csv" for split in splits}
    named = files[splits[0]].with_name(CLASSES_FILE)
    names = names or (named if named.exists() else None)
    for file in files.values():
        if not file.exists():
            raise UserError(f"{file}: no such list. Expected lines of `path label`; tools/make_lists.py makes them.")
    read = read_video_lists(files, names or classes or None, not settings.skip_broken, settings.videos_root)
    lists = Lists(read, names is not None or any(not name.isdigit() for name in next(iter(read.values())).classes))
    if classes and lists.classes != classes:
        if len(lists.classes) != len(classes) or any(not name.isdigit() for name in classes):
            raise UserError(f"{names}: its {len(lists.classes)} classes are not the checkpoint's {len(classes)}, or in "
                            "another order. Take the list that the training had, or another checkpoint.")
    return lists


def number_of_classes(lists: Lists, head: int | None) -> int:
    """The classes of a network's head; `head` is their number where settings or a checkpoint give one.

    Raises UserError where the lists have another number: more than the head, or not as many names.
    """
    found = len(lists.classes)
    if head is None:
        return found
    if type(head) is not int:
        raise UserError(f"classes={shortened(head)}: expected a whole number. Give --sizes classes={found}, or leave "
                        "it out.")
    if found > head or (lists.certain and found != head):
        file = next(iter(lists.by_split.values())).file
        raise UserError(f"{file}: {found} classes{'' if lists.certain else ' at least'}, the network's head has "
                        f"{head}. Expected as many: give --sizes classes={found}, or the lists that belong to it.")
    return head


def recognition_data(settings: RecognitionSettings, lists: Lists, sampling: Sampling, seed: int) -> FitData:
    """The videos of the lists `train` and `val` as clips; what is drawn for a clip depends on seed, epoch and clip."""
    train, val = (VideoDataset(lists.by_split[split], split, sampling, seed, settings.skip_broken)
                  for split in ("train", "val"))
    return FitData(train, val, fingerprint=lambda: fingerprint_lists(lists))


def fingerprint_lists(lists: Lists) -> dict:
    """The number of videos in each list, and a SHA-256 over their paths, labels and sizes."""
    digest = hashlib.sha256()
    for split, videos in lists.by_split.items():
        for path, label in zip(videos.paths, videos.labels.tolist(), strict=True):
            size = os.stat(path).st_size if os.path.isfile(path) else 0
            digest.update(f"{split} {path} {label} {size}\n".encode())
    return {**{split: len(videos) for split, videos in lists.by_split.items()}, "sha256": digest.hexdigest()}


def sampling_of(
    settings: RecognitionSettings, told: dict | None = None, asked: RecogniseSettings | None = None
) -> Sampling:
    """What becomes a clip: the settings, then what a checkpoint has `told`, then Sampling's defaults; views as asked.

    The short side's default follows from the picture's size. Raises UserError for what makes no sense.
    """
    given = {name: getattr(settings, name) for name in CLIP_SETTINGS if getattr(settings, name) is not None}
    if "image_size" in given and "short_side" not in given:
        given["short_side"] = None
    chosen = {**(told or {}), **given}
    size = chosen.pop("image_size", Sampling.size)
    views = {"views": asked.views, "crops": asked.crops} if asked else {}
    sides = chosen.pop("short_side", None) or [round(size * share) for share in SHORT_SIDES]
    return Sampling(**chosen, size=size, short_side=tuple(sides), **views,
                    **{name: getattr(settings, name) for name in VARIATION})


def check_pictures(net: nn.Module, sampling: Sampling) -> None:
    """Raise UserError where a network cannot take pictures of the sampling's size."""
    if (only := getattr(net, "image_size", sampling.size)) != sampling.size:
        raise UserError(f"--image_size {sampling.size}: the network takes pictures of {only}x{only} alone. Give "
                        f"--image_size {only}, or leave it out.")
    patch = getattr(net, "patch_size", 1)
    if sampling.size % patch:
        raise UserError(f"--image_size {sampling.size}: the network's patches are {patch} pixels wide. Give a multiple "
                        f"of {patch}.")


def sampling_facts(sampling: Sampling) -> dict:
    """What a checkpoint keeps of the sampling, {setting: plain value}; `sampling_told` reads it."""
    found = {f.name: plain(getattr(sampling, f.name)) for f in fields(sampling)}
    return {name: found["size" if name == "image_size" else name] for name in CLIP_SETTINGS}


def sampling_told(content: dict) -> dict:
    """The sampling that a checkpoint holds, without what is no plain setting."""
    told = content.get("sampling")
    told = told if isinstance(told, dict) else {}

    def is_right(name: str, value) -> bool:
        if name in ("segments", "flip", "bicubic"):
            return isinstance(value, bool)
        if name == "short_side":
            return isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value)
        return type(value) is int and value > 0

    return {name: told[name] for name in CLIP_SETTINGS if name in told and is_right(name, told[name])}


# ---------------------------------------------------------------- the task


def usual_sampling(network: type) -> dict:
    """What becomes a clip for a network, {setting: value}, where neither settings nor a checkpoint tell."""
    return getattr(network, "sampling", {})


def recognition_task(network: type, settings: RecognitionSettings, sizes: dict, lists: Lists) -> Task:
    """The task that trains a recogniser on these lists; `sizes` are the network's, where they are given.

    Raises UserError where the lists do not fit the sizes.
    """
    sampling = sampling_of(settings, usual_sampling(network))
    sizes = {"frames": sampling.num_frames, "image_size": sampling.size, **sizes}
    sizes["classes"] = number_of_classes(lists, sizes.get("classes"))

    def build(sizes: dict) -> nn.Module:
        number_of_classes(lists, sizes.get("classes"))      # those of a checkpoint may be others
        net = build_network(network, sizes)
        check_pictures(net, sampling)
        return net

    names = lists.classes if len(lists.classes) == sizes["classes"] else tuple(map(str, range(sizes["classes"])))
    return Task(
        network=network.__name__, inputs=network.inputs, sizes=sizes, build=build,
        loss=lambda outputs, batch: cross_entropy(outputs["logits"].float(), batch["label"]),
        validate=lambda net, batches, batch_size, world: validate(network, net, batches, batch_size, world),
        score="top1", higher_is_better=True, unit=" %", describe=describe,
        start=lambda net: start(net, network, sizes, settings.pretrained), optimizer=optimizer_of(settings),
        facts={"classes": list(names), "sampling": sampling_facts(sampling)}, same=("classes",), settings=settings,
        keep_best=lambda folder, validation: write_validation(folder, lists.by_split["val"], validation.found),
        draw=draw,
    )


def optimizer_of(settings: RecognitionSettings, groups: Callable[[nn.Module, float], list[dict]] | None = None):
    """(network, fit settings) -> SGD with Nesterov's momentum, TimeSformer's optimiser, or AdamW.

    `groups`: (network, learning rate) -> the optimiser's groups of weights; all alike without it.
    """

    def build(net: nn.Module, fit_settings: FitSettings) -> torch.optim.Optimizer:
        weights = groups(net, fit_settings.lr) if groups else net.parameters()
        if settings.optimizer == "adamw":
            return torch.optim.AdamW(weights, fit_settings.lr, settings.betas, settings.eps,
                                     weight_decay=settings.weight_decay)
        return torch.optim.SGD(weights, fit_settings.lr, settings.momentum, nesterov=settings.momentum > 0,
                               weight_decay=settings.weight_decay)

    return build


def start(net: nn.Module, network: type, sizes: dict, choice: str) -> list[str]:
    """Start a network as --pretrained says; returns lines for the log. Raises UserError where that cannot be done."""
    source = imagenet_start(network, sizes)
    if choice == "none" or (choice == "auto" and source is None):
        if hasattr(net, "start_from_scratch"):
            net.start_from_scratch()
        return ["begins with random weights"]
    if choice == "imagenet" and source is None:
        raise UserError("--pretrained imagenet: there are weights for a ViT-B/16 alone, and this network has other "
                        "sizes. Give --pretrained none, or a file.")
    path = downloaded(source) if choice in ("auto", "imagenet") else Path(choice)
    if not path.is_file():
        raise UserError(f"--pretrained {choice}: no such file. Expected auto, imagenet, none, or a checkpoint.")
    return [f"begins with the weights of {path}", *told_together(start_from(path, net))]


def downloaded(url: str) -> Path:
    """The file of an URL, in torch's cache; downloaded if it is not there. Raises UserError."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with download_timeout():
                torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2])
        except Exception as error:      # network and HTTP errors, a wrong hash, a full disk
            reason = str(error).strip() or type(error).__name__
            raise UserError(
                f"{url}: the ImageNet weights that a training begins with cannot be downloaded ({reason}). Put the "
                f"file to {path}; or give another one with --pretrained FILE (a ViT-B/16 of timm, or a checkpoint); or "
                "go on without: --pretrained none.") from error
    return path


def told_together(notes: list[str]) -> list[str]:
    """Notes about tensors; those that differ in the numbers of blocks alone become one line."""
    groups: dict[str, int] = {}
    for note in notes:
        name = re.sub(r"\bblocks\.\d+\.", "blocks.*.", note)
        groups[name] = groups.get(name, 0) + 1
    return [f"{note} ({count} blocks)" if "blocks.*." in note else note for note, count in groups.items()]


# ---------------------------------------------------------------- validation


@dataclass(frozen=True)
class Answers:
    """Answers beside the truth: `index` the videos' places in their list, `label` and `predicted` (N,) int64.

    `in_top` (N,) bool: whether the true class is among the five with the highest scores.
    """

    index: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    in_top: np.ndarray

    @property
    def top1(self) -> float:
        """Per cent."""
        return 100 * float(np.mean(self.label == self.predicted))

    @property
    def top5(self) -> float:
        """Per cent."""
        return 100 * float(np.mean(self.in_top))


def top_columns(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """{"label", "predicted", "in_top": (B,)} of logits (B, classes)."""
    top = logits.topk(min(TOP, logits.shape[1])).indices
    return {"label": labels, "predicted": top[:, 0], "in_top": (top == labels[:, None]).any(1)}


def validate(network: type, net: nn.Module, batches: Batches, batch_size: int, world: World) -> Validation:
    """Top-1 and top-5 accuracy (per cent) and loss of the validation videos; `found` is Answers."""

    def columns_of(batch: Batch) -> dict[str, Tensor]:
        logits = answer(net, batch, network.inputs)["logits"].float()
        loss = cross_entropy(logits, batch["label"], reduction="none")
        return {**top_columns(logits, batch["label"]), "loss": loss}

    rows = validation_rows(net, columns_of, batches, batch_size, world)
    if not rows:
        raise UserError(f"none of the {len(batches.dataset)} validation videos can be read.")
    if wrong := [batches.name_of(index) for index, row in rows.items() if not math.isfinite(row["loss"])]:
        raise UserError(f"the answers for {len(wrong)} validation videos are not finite ({', '.join(wrong[:10])}). "
                        "Lower --lr, or give --clip_grad 1.")
    columns = {name: np.array([row[name] for row in rows.values()]) for name in ("label", "predicted", "in_top")}
    found = Answers(np.array(list(rows)), **columns)
    loss = float(np.mean([row["loss"] for row in rows.values()]))
    return Validation({"top1": found.top1, "top5": found.top5, "loss": loss}, found)


def describe(numbers: dict[str, float]) -> str:
    """The log's words for a validation."""
    return f"top-1 {numbers['top1']:.1f} %, top-5 {numbers['top5']:.1f} %, loss {numbers['loss']:.3f}"


# ---------------------------------------------------------------- files and pictures


def save_table(path: Path, heads: list[str], rows: Iterable[list]) -> None:
    """Write a CSV with a header, row by row: hours of many classes are too much text to hold."""
    with write_atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(itertools.chain([heads], rows))


def write_validation(folder: Path, videos: VideoList, found: Answers) -> None:
    """Write validation.csv (path, label, predicted) and classes.csv (accuracy of each class) of the best epoch."""
    save_table(folder / "validation.csv", ["path", "label", "predicted"],
               [[videos.paths[index], videos.classes[label], name_of(videos.classes, predicted)]
                for index, label, predicted in zip(found.index, found.label, found.predicted, strict=True)])
    write_classes(folder / "classes.csv", videos.classes, found)


def name_of(classes: tuple[str, ...], number: int) -> str:
    """A class's name; its number where the head has more classes than the lists name."""
    return classes[number] if number < len(classes) else str(number)


def write_classes(path: Path, classes: tuple[str, ...], found: Answers) -> None:
    """Write the accuracy of each class that has videos, as CSV: class, videos, top1, top5 (per cent)."""
    rows = []
    for number in np.unique(found.label):
        of = found.label == number
        rows.append([name_of(classes, number), int(of.sum()), f"{100 * np.mean(found.predicted[of] == number):.1f}",
                     f"{100 * np.mean(found.in_top[of]):.1f}"])
    save_table(path, ["class", "videos", "top1", "top5"], rows)


def draw(folder: Path, dataset: Dataset) -> None:
    """Draw curves.png from the log and confusion.png from validation.csv."""
    if not (folder / "log.jsonl").exists() or not (folder / "validation.csv").exists():
        return      # stopped within the first epoch
    records = read_records(folder)
    curves_picture(folder / "curves.png", records)
    lines = read_csv(folder / "validation.csv", "answers", "Delete the file: the next best epoch writes it.")[1:]
    best = max(records, key=lambda record: record["val_top1"])
    confusion_picture(folder / "confusion.png", [line.fields[1] for line in lines], [line.fields[2] for line in lines],
                      dataset.videos.classes,
                      f"validation at epoch {best['epoch']}: top-1 {best['val_top1']:.1f} %, {len(lines)} videos")
