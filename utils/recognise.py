"""What a trained recogniser answers: to the videos of a list, to any videos, and to each second of long ones.

    recognise(TimeSformer, command)      # what an entry script does with --weights
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from datatools.errors import UserError, describe_error
from datatools.files import check_writable, save_array, save_text
from datatools.stages import number_of_cores
from datatools.video_dataset import Sampling, SlidingVideo, VideoDataset
from datatools.video_lists import CLASSES_FILE, VideoList, videos_at
from utils.batches import Batches
from utils.cli import RecognitionCommand
from utils.matching import check_clips, check_named, cut_line, is_text, name_classes, read_labels, read_templates
from utils.networks import sizes_with_defaults
from utils.predict import Predictor
from utils.recognition import (
    TOP,
    Answers,
    Lists,
    check_pictures,
    name_of,
    number_of_classes,
    read_lists,
    sampling_of,
    sampling_told,
    save_table,
    usual_sampling,
    write_classes,
)
from utils.recognition_plots import attention_picture, confusion_picture
from utils.settings import FitSettings, RecogniseSettings, RecognitionSettings
from utils.task import Dataset
from utils.threads import fix_threads


@dataclass(frozen=True)
class Recogniser:
    """A trained network with what its answers need: the classes' names, what becomes a clip, where results go."""

    predictor: Predictor
    classes: tuple[str, ...]
    sampling: Sampling
    settings: FitSettings
    output: Path | None

    def batches(self, dataset: Dataset, together: int = 1) -> Iterator[dict[str, torch.Tensor]]:
        """A data set in order, in batches of batch_size rounded to a multiple of `together`, with a progress bar."""
        size = max(1, self.settings.batch_size // together) * together
        lists = [list(range(first, min(first + size, len(dataset)))) for first in range(0, len(dataset), size)]
        reading = Batches(dataset, self.predictor.device, min(self.settings.num_workers, number_of_cores()))
        yield from tqdm(reading(lists), unit="batch", total=len(lists), dynamic_ncols=True, disable=None)

    def columns(self, batch: dict[str, torch.Tensor], name: str) -> dict[str, np.ndarray]:
        """What the network answers to a batch, {name: (B, ...)} float64; `name` is the video's in an error.

        Raises UserError where an answer is not finite.
        """
        columns = {key: value.cpu().numpy().astype(np.float64) for key, value in self.predictor.columns(batch).items()}
        if wrong := [key for key, values in columns.items() if not np.isfinite(values).all()]:
            raise UserError(f"{self.predictor.checkpoint}: its {wrong[0]} for {name} are not finite. Take another "
                            "checkpoint, or leave --use_amp out.")
        return columns


@dataclass(frozen=True)
class Scores:
    """The scores of N videos: `logits` (N, classes), summed over `clips` (N,) clips; `features` (N, width), a mean.

    A video without clips could not be read.
    """

    logits: np.ndarray
    features: np.ndarray
    clips: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Softmax of the mean logits, (N, classes)."""
        mean = torch.from_numpy(self.logits / np.maximum(1, self.clips)[:, None])
        return mean.softmax(1).numpy()


def recognise(network: type, command: RecognitionCommand) -> int:
    """Test on a list, or answer for the videos of --video; returns the exit code, 1 where a video had no answer.

    Raises UserError.
    """
    asked, settings = command.recognise, command.recognition
    if command.fit.resume:
        raise UserError("--weights infers and --resume trains; give one of them.")
    if (asked.per_second or asked.attention) and not asked.video:
        raise UserError("--per_second and --attention are for --video.")
    if asked.per_second and (asked.features or asked.attention):
        raise UserError("--per_second writes the scores of each second alone. Leave --features and --attention out.")
    output = asked.output or command.fit.save_prefix
    if output is None and (asked.features or asked.per_second or asked.attention):
        raise UserError("--output is missing: the folder of the results.")
    fix_threads(command.fit.threads)
    predictor = Predictor(asked.weights, network, gpus=command.fit.gpus, mixed=command.fit.use_amp, sizes=command.sizes)
    sizes = sizes_with_defaults(network, predictor.sizes)
    if other := [f"{name} {sizes.get(name)}, not {size}" for name, size in command.sizes.items()
                 if sizes.get(name) != size]:
        raise UserError(f"{asked.weights}: its network has other sizes than those given: {'; '.join(other)}. Leave "
                        "--sizes and the preset's section `network` out.")
    sampling = trained_sampling(predictor, settings, asked)
    if command.matching is not None:
        check_clips(network, predictor.sizes, sampling)
    for remark in predictor.content.get("remarks", ()):
        print(f"{asked.weights}: {remark}", file=sys.stderr)
    if not asked.video:
        lists = lists_asked_for(predictor, command)
        if command.matching is None:
            number_of_classes(lists, sizes["classes"])
        recogniser = Recogniser(predictor, lists.classes, sampling, command.fit, writable(output))
        return test(recogniser, lists.by_split[asked.split], asked.split, settings.skip_broken, asked.features)
    videos = videos_at(asked.video)
    classes = classes_told(predictor.content)
    if command.matching is not None:
        classes = choose_between(predictor, command, classes)
    recogniser = Recogniser(predictor, classes, sampling, command.fit, writable(output))
    if asked.per_second:
        return each_second(recogniser, videos)
    return answer_videos(recogniser, videos, asked.features, asked.attention)


def trained_sampling(
    predictor: Predictor, settings: RecognitionSettings, asked: RecogniseSettings | None = None
) -> Sampling:
    """What becomes a clip: the settings, else as in the checkpoint's training. Raises UserError as `sampling_of`."""
    sizes = sizes_with_defaults(predictor.network, predictor.sizes)
    told = {"num_frames": sizes["frames"], "image_size": sizes["image_size"], **usual_sampling(predictor.network),
            **sampling_told(predictor.content)}
    sampling = sampling_of(settings, told, asked)
    check_pictures(predictor.net, sampling)
    return sampling


def lists_asked_for(predictor: Predictor, command: RecognitionCommand) -> Lists:
    """The list to test on; a network that knows classes by their names chooses between those of the list from now on.

    They are those of --labels, else those of classes.txt, else the checkpoint's.
    """
    settings, splits, told = command.recognition, (command.recognise.split,), classes_told(predictor.content)
    if command.matching is None:
        return read_lists(settings, splits, told, files=command.lists)
    labels = read_labels(command.matching.labels) if command.matching.labels else ()
    own = settings.data_root is not None and (settings.data_root / CLASSES_FILE).exists()
    lists = read_lists(settings, splits, () if labels or own else told, labels, command.lists)
    check_named(lists)
    choose_between(predictor, command, lists.classes)
    return lists


def choose_between(predictor: Predictor, command: RecognitionCommand, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Let the network choose between the names of --labels, else these; returns them. Raises UserError."""
    matching = command.matching
    names = read_labels(matching.labels) if matching.labels else classes
    if not names:
        raise UserError(f"{predictor.checkpoint}: holds no names of classes. Give --labels, a file of names.")
    templates = read_templates(matching.templates) or names_told(predictor.content, "templates")
    cut = name_classes(predictor.net, names, templates or predictor.network.usual_templates)
    for line in cut_line(cut):
        print(line, file=sys.stderr)
    return names


def writable(folder: Path | None) -> Path | None:
    """The folder, made if needed, only once all that is read was found. Raises UserError where it cannot be written."""
    if folder is not None:
        check_writable(folder)
    return folder


def classes_told(content: dict) -> tuple[str, ...]:
    """The names of the classes that a checkpoint holds; () where it holds none."""
    return names_told(content, "classes")


def names_told(content: dict, key: str) -> tuple[str, ...]:
    """The texts under a key of a checkpoint; () where it holds none."""
    names = content.get(key)
    right = isinstance(names, list) and all(isinstance(name, str) and is_text(name) for name in names)
    return tuple(names) if right else ()


def scores_of(recogniser: Recogniser, dataset: VideoDataset) -> Scores:
    """The scores of all videos of a test set: the logits of all clips summed. Raises UserError if one is not finite."""
    count, together = len(dataset.videos), dataset.views * dataset.crops
    sums: dict[str, np.ndarray] = {}
    clips = np.zeros(count, np.int64)
    for batch in recogniser.batches(dataset, dataset.crops):
        if not len(batch["index"]):
            continue
        videos = batch["index"].cpu().numpy() // together
        for name, values in recogniser.columns(batch, dataset.videos.paths[videos[0]]).items():
            np.add.at(sums.setdefault(name, np.zeros((count, values.shape[1]))), videos, values)
        np.add.at(clips, videos, 1)
    clips[list(dataset.broken)] = 0      # of some, other views were read before
    if not clips.any():
        raise UserError("no video can be read: " + next(iter(dataset.broken.values()), "there is none."))
    features = sums["features"] / np.maximum(1, clips)[:, None]
    return Scores(sums["logits"], features.astype(np.float32), clips)


# ---------------------------------------------------------------- a list


def test(recogniser: Recogniser, videos: VideoList, split: str, skip_broken: bool, features: bool) -> int:
    """Print and write top-1 and top-5 accuracy on a list; returns the exit code."""
    dataset = VideoDataset(videos, "test", recogniser.sampling, skip_broken=skip_broken)
    scores = scores_of(recogniser, dataset)
    index = np.flatnonzero(scores.clips)
    order = np.argsort(-scores.logits[index], 1, kind="stable")[:, :TOP]
    label = videos.labels[index]
    found = Answers(index, label, order[:, 0], (order == label[:, None]).any(1))
    results = {"split": split, "videos": len(index), "top1": round(found.top1, 2), "top5": round(found.top5, 2),
               "views": dataset.views, "crops": dataset.crops, "unreadable": len(dataset.broken),
               "weights": str(recogniser.predictor.checkpoint)}
    if recogniser.output:
        write_test(recogniser, videos, found, scores, results)
        if features:
            write_features(recogniser, [videos.paths[place] for place in index], scores.features[index])
    print(f"{len(index)} videos of {videos.file.name}: top-1 {found.top1:.2f} %, top-5 {found.top5:.2f} %"
          + (f", in {recogniser.output}" if recogniser.output else ""))
    print(json.dumps(results))
    return int(bool(dataset.broken))


def write_test(recogniser: Recogniser, videos: VideoList, found: Answers, scores: Scores, results: dict) -> None:
    """Write <split>.json, <split>_answers.csv, <split>_classes.csv and <split>_confusion.png."""
    folder, classes, split = recogniser.output, videos.classes, results["split"]
    rows = answer_rows(scores.shares[found.index], classes)
    save_table(folder / f"{split}_answers.csv", ["path", "label", *answer_heads(rows)],
               [[videos.paths[index], classes[label], *row]
                for index, label, row in zip(found.index, found.label, rows, strict=True)])
    write_classes(folder / f"{split}_classes.csv", classes, found)
    confusion_picture(folder / f"{split}_confusion.png", [classes[number] for number in found.label],
                      [name_of(classes, number) for number in found.predicted], classes,
                      f"{split}: top-1 {found.top1:.1f} %, {len(found.index)} videos")
    save_text(folder / f"{split}.json", json.dumps(results, indent=2) + "\n")


def answer_rows(shares: np.ndarray, classes: tuple[str, ...]) -> list[list[str]]:
    """The best classes of each video and their shares, best first: [name, share, name, share, ...]."""
    order = np.argsort(-shares, 1, kind="stable")[:, :TOP]
    return [[word for number in best for word in (name_of(classes, number), f"{row[number]:.4f}")]
            for row, best in zip(shares, order, strict=True)]


def answer_heads(rows: list[list[str]]) -> list[str]:
    return [word for place in range(1, len(rows[0]) // 2 + 1) for word in (f"class{place}", f"share{place}")]


def write_features(recogniser: Recogniser, paths: list[str], features: np.ndarray) -> None:
    """Write features.npy, float32 (N, width), and features.csv with the path of each row."""
    save_array(recogniser.output / "features.npy", features)
    save_table(recogniser.output / "features.csv", ["row", "path"], [[row, path] for row, path in enumerate(paths)])


# ---------------------------------------------------------------- any videos


def answer_videos(recogniser: Recogniser, videos: list[Path], features: bool, attention: bool) -> int:
    """Print the five best classes of each video, and write what else is asked for; returns the exit code."""
    listed = VideoList(Path("--video"), [str(video) for video in videos], np.zeros(len(videos), np.int64),
                       list(range(1, len(videos) + 1)), recogniser.classes)
    dataset = VideoDataset(listed, "test", recogniser.sampling, skip_broken=True)
    scores = scores_of(recogniser, dataset)
    index = np.flatnonzero(scores.clips)
    rows = answer_rows(scores.shares[index], recogniser.classes)
    for place, row in zip(index, rows, strict=True):
        best = ", ".join(f"{name} {float(share):.1%}" for name, share in zip(row[::2], row[1::2], strict=True))
        print(f"{videos[place]}: {best}")
    if recogniser.output:
        save_table(recogniser.output / "answers.csv", ["path", *answer_heads(rows)],
                   [[videos[place], *row] for place, row in zip(index, rows, strict=True)])
        if features:
            write_features(recogniser, [str(videos[place]) for place in index], scores.features[index])
    failed = len(dataset.broken)
    if attention:
        shown = dict(zip(index.tolist(), rows, strict=True))
        draw_attention(recogniser, VideoDataset(listed, "val", recogniser.sampling), shown)
    return int(bool(failed))


def draw_attention(recogniser: Recogniser, dataset: VideoDataset, rows: dict[int, list[str]]) -> None:
    """Draw <name>_attention.png for the videos whose answers are given, from the clip in their middle."""
    names = own_names(dataset.videos.paths)
    for place, row in rows.items():
        video = dataset.batch([place])["video"]
        with torch.inference_mode():
            shares = recogniser.predictor.net.rollout(video.to(recogniser.predictor.device))[0].float().cpu().numpy()
        path = recogniser.output / f"{names[place]}_attention.png"
        attention_picture(path, video[0].numpy(), shares,
                          f"{dataset.videos.paths[place]}: {row[0]} {float(row[1]):.1%}")
        print(f"attention: {path}")


def own_names(paths: list[str]) -> list[str]:
    """A name of its own for each video: that of its file, with a number where several have the same."""
    names: list[str] = []
    for path in paths:
        stem = Path(path).name if Path(path).is_dir() else Path(path).stem
        name, number = stem, 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


def each_second(recogniser: Recogniser, videos: list[Path]) -> int:
    """Write <name>_per_second.csv, a line a second and a column a class, for each video; returns the exit code.

    Of a damaged video, the seconds that can be decoded are written, and the exit code is 1.
    """
    failed = 0
    for video, name in zip(videos, own_names(list(map(str, videos))), strict=True):
        try:
            dataset = SlidingVideo(video, recogniser.sampling)
            seconds, shares = second_scores(recogniser, dataset)
            path = recogniser.output / f"{name}_per_second.csv"
            write_seconds(path, seconds, shares, recogniser.classes)
            print(f"{video}: {len(seconds)} of {len(dataset)} seconds: {path}")
            for message in damage_told(dataset, len(seconds)):
                failed += 1
                print(message, file=sys.stderr)
        except Exception as error:      # whatever a file leads to is this file's failure
            failed += 1
            reason = describe_error(error)
            print(reason if str(video) in reason else f"{video}: {reason}", file=sys.stderr)
    return int(bool(failed))


def second_scores(recogniser: Recogniser, dataset: SlidingVideo) -> tuple[np.ndarray, np.ndarray]:
    """(the seconds (S,), the softmax of their logits, float32 (S, classes)).

    Raises UserError where no second has a picture.
    """
    seconds, shares = [], []
    for batch in recogniser.batches(dataset):
        if len(batch["index"]):
            seconds.append(batch["index"].cpu().numpy())
            logits = recogniser.columns(batch, str(dataset.path))["logits"]
            shares.append(torch.from_numpy(logits).softmax(1).float().numpy())
    if not seconds:
        told = dataset.damage.get(min(dataset.damage, default=0))
        raise UserError(told or "no picture is shown in any of its seconds. Encode it again, or leave it out.")
    return np.concatenate(seconds), np.concatenate(shares)


def damage_told(dataset: SlidingVideo, answered: int) -> list[str]:
    """A line about a video's damage once its seconds are read, so many of them with an answer; [] if it has none."""
    if not dataset.damage:
        return []
    lost = len(dataset) - answered
    return [f"{dataset.damage[min(dataset.damage)]} {lost} of its {len(dataset)} seconds have no answer."]


def write_seconds(path: Path, seconds: np.ndarray, shares: np.ndarray, classes: tuple[str, ...]) -> None:
    heads = ["second", *(name_of(classes, number) for number in range(shares.shape[1]))]
    save_table(path, heads, ([int(second), *(f"{share:.4f}" for share in row)]
                             for second, row in zip(seconds, shares, strict=True)))
