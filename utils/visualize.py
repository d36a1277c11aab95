"""Videos with what a model sees in them drawn below: a boundary on a timeline, or a recogniser's five best classes.

    look = look_of(Predictor(Path("checkpoint.pth")), Asked(kind=START))
    exit_code = draw_videos([Path("a_start.mp4"), Path("b_start.mkv")], look, Path("drawn"), pages=True)

The model is loaded once. A video that cannot be drawn is told of, the others are still done.
"""

import errno
import html
import math
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import torch

from datatools.encoders import Encoder
from datatools.errors import UserError, describe_error
from datatools.features import letterbox
from datatools.files import check_writable, save_text, write_atomic
from datatools.labels import read_truth
from datatools.layout import CLIP_SECONDS, Kind, as_text, kind_of
from datatools.media import SAMPLE_RATE, probe, read_audio, read_frames, redraw
from datatools.media.transcode import Prepare
from datatools.numbers import shortened
from datatools.text_detector import load_detector
from datatools.video_dataset import SlidingVideo, span_of
from datatools.video_lists import videos_at
from datatools.windows import window
from utils.asked_encoders import window_inputs
from utils.cli import RecognitionCommand
from utils.devices import autocast
from utils.drawing import BACK, FAINT, Timeline, TopFive, drawn_on, fitted, line_height, loudness, put_text, text_size
from utils.matching import read_labels
from utils.networks import sizes_with_defaults
from utils.plots import LOOKS
from utils.predict import Predictor
from utils.presets import read_preset
from utils.recognise import (
    Recogniser,
    choose_between,
    classes_told,
    damage_told,
    own_names,
    second_scores,
    trained_sampling,
)
from utils.recognition import name_of
from utils.settings import MOST_FRAMES, FitSettings, MatchingSettings, RecognitionSettings
from utils.task import Batch

ENDING = "_visualized.mp4"          # of a drawn video's name
CELL, ACROSS = (480, 270), 4        # of a contact sheet: pixels of a picture, most pictures in a row
MOST_CELLS = 120                    # pictures on a contact sheet; the page lists all videos
LEVEL_SECONDS = 0.25                # about s that each value of the sound's level stands for
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)      # the next video would fail alike


@dataclass(frozen=True)
class Asked:
    """What may be asked of a model beside its videos; None where it is not.

    Of a boundary network: `truth`, a file of true times; `kind`, what is looked for where a file's name does not say
    it; `ocr` and `ocr_weights`, the text detector; `encoder`, the words for encoders of its training. Of a recogniser:
    `labels` and `templates`, files of what it chooses between; `true_label`, which tells a video's class; `num_frames`
    of a clip.
    """

    truth: Path | None = None
    kind: Kind | None = None
    ocr: str | None = None
    ocr_weights: Path | None = None
    encoder: tuple[str, ...] | None = None
    labels: Path | None = None
    templates: Path | None = None
    true_label: Callable[[Path], str | None] | None = None
    num_frames: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a model sees in a video: how to draw it, in one line, and the second that shows it."""

    prepare: Prepare
    told: str
    second: float


Look = Callable[[Path, list[str]], Seen]      # (video, a list that gets messages about damage) -> what is seen


def look_of(predictor: Predictor, asked: Asked, batch_size: int = 16) -> Look:
    """What a checkpoint's network sees, for `draw_videos`. Raises UserError where the question does not suit it."""
    finds_boundary = hasattr(predictor.net, "seconds")
    needless = (("labels", "templates", "true_label", "num_frames") if finds_boundary else
                ("truth", "kind", "ocr", "ocr_weights", "encoder"))
    if given := [f"--{name}" for name in needless if getattr(asked, name) is not None]:
        what = "a boundary network" if finds_boundary else "a recogniser"
        raise UserError(f"{' '.join(given)}: nothing that can be asked of {predictor.network.__name__}, {what} "
                        f"({predictor.checkpoint}). Leave it out.")
    for remark in predictor.content.get("remarks", ()):
        print(f"{predictor.checkpoint}: {remark}", file=sys.stderr)
    if finds_boundary:
        return partial(see_boundary, predictor, window_inputs(predictor, asked.encoder or ()), asked.kind,
                       read_truth(asked.truth) if asked.truth else {},
                       detector_of(predictor, asked.ocr, asked.ocr_weights))
    return partial(see_classes, recogniser_of(predictor, asked, batch_size), asked.true_label)


# ---------------------------------------------------------------- a boundary


def detector_of(predictor: Predictor, name: str | None, weights: Path | None):
    """The text detector of the training; None for a network without text. Raises UserError for another one."""
    if "text_roi" not in predictor.inputs:
        return None
    then = predictor.content.get("text_detector")
    if name and then and name != then:
        raise UserError(f"--ocr {name}: {predictor.checkpoint} was trained on the text boxes of {then}. Leave --ocr "
                        f"out, or give --ocr {then}.")
    return load_detector(name or then or "easyocr", weights)


def see_boundary(
    predictor: Predictor, inputs: tuple[str | Encoder, ...], kind: Kind | None, truth: dict[str, float], detector,
    video: Path, damage: list[str],
) -> Seen:
    """Where a boundary network finds the boundary of a clip, or of an episode's first or last 200 s.

    A file named <id>_start or <id>_end is a clip. Of any other one `kind` says what is looked for. `inputs` are
    window_inputs', `truth` is {name: s from the file's start}. Raises UserError and MediaError.
    """
    named = kind_of(video.stem)
    if kind is None and named is None:
        raise UserError(f"{video}: its name ends neither in _start nor in _end, so it does not say what is looked for. "
                        "Give --kind start or --kind end.")
    kind, lasts = kind or named, sum(span_of(video))
    is_ending = kind.letter == "e"
    start = math.floor(max(0.0, lasts - CLIP_SECONDS)) if is_ending and named is None else 0
    batch = window(video, start, inputs=inputs, kind=kind.number, detector=detector, salvage=damage)
    answer = {name: float(values[0]) for name, values in predictor(batch).items()}
    found, true = start + answer["seconds"], truth.get(video.stem)
    interval = (start + answer["low"], start + answer["high"]) if {"low", "high"} <= answer.keys() else None
    whole = max(lasts, found, true or 0.0)      # a short clip is padded, and the answer may lie there
    masks = batch["text_roi"][0].numpy() if detector else np.zeros((0, 1, 1))
    evidence, step = evidence_of(predictor, batch)
    timeline = Timeline(whole, LOOKS[kind][1], found, interval, true, on_whole(evidence, step, start, whole), step,
                        levels(video, start, whole, damage), on_whole(masks.mean((1, 2)), 1.0, start, whole), masks,
                        start)
    told = f"{timeline.name} {found:.1f} s" + (f" ({interval[0]:.1f} to {interval[1]:.1f} s)" if interval else "")
    return Seen(timeline.prepare, told + ("" if true is None else f", true {true:.1f} s"), found)


@torch.inference_mode()
def evidence_of(predictor: Predictor, batch: Batch) -> tuple[np.ndarray, float]:
    """(the probability of each part of a clip, its maximum made 1; seconds of a part); empty where none is told."""
    with autocast(predictor.device, predictor.mixed):
        outputs = predictor.net(**{name: batch[name].to(predictor.device) for name in predictor.inputs})
    if "quarters" in outputs:
        logits = outputs["quarters"][0]
    elif "steps" in outputs:
        logits = outputs["steps"].flatten(0, -2)[0]      # the first of several curves
    else:
        return np.zeros(0), 1.0
    shares = logits.float().softmax(0).cpu().numpy()
    return shares / shares.max(), CLIP_SECONDS / len(shares)


def on_whole(values: np.ndarray, step: float, start: float, whole: float) -> np.ndarray:
    """Values of `step` s each from `start` on, as those of `whole` seconds; 0 where there are none."""
    if not start or not len(values):
        return values
    first, padded = round(start / step), np.zeros(math.ceil(whole / step))
    values = values[:max(0, len(padded) - first)]
    padded[first:first + len(values)] = values
    return padded


def levels(video: Path, start: int, whole: float, damage: list[str]) -> np.ndarray:
    """The sound's level in equal parts of `whole` seconds, as a Timeline takes it; 0 outside the window."""
    if probe(video).audio is None:
        return np.zeros(0)
    count = math.ceil(whole / LEVEL_SECONDS)
    step = whole / count
    samples = read_audio(video, start=start, duration=CLIP_SECONDS, salvage=damage)
    found, first = loudness(samples, SAMPLE_RATE, step)[:count], round(start / step)
    return np.pad(found, (first, count))[:count]


# ---------------------------------------------------------------- classes


def recogniser_of(predictor: Predictor, asked: Asked, batch_size: int) -> Recogniser:
    """A recogniser of what becomes a clip as its checkpoint says. Raises UserError."""
    sizes = sizes_with_defaults(predictor.network, predictor.sizes)
    sampling = trained_sampling(predictor, RecognitionSettings(num_frames=asked.num_frames))
    classes = classes_told(predictor.content)
    if hasattr(predictor.net, "set_classes"):
        matching = MatchingSettings(labels=asked.labels, templates=asked.templates)
        classes = choose_between(predictor, RecognitionCommand(matching=matching), classes)
    elif asked.templates:
        raise UserError(f"--templates: {predictor.network.__name__} reads no texts. Leave it out.")
    elif asked.labels:
        classes = read_labels(asked.labels)
        if len(classes) != sizes["classes"]:
            raise UserError(f"{asked.labels}: {len(classes)} names, {predictor.checkpoint} knows {sizes['classes']} "
                            "classes. Give the list that it was trained with.")
    return Recogniser(predictor, classes, sampling, FitSettings(batch_size=batch_size), None)


def see_classes(
    recogniser: Recogniser, true_label: Callable[[Path], str | None] | None, video: Path, damage: list[str]
) -> Seen:
    """What a recogniser answers to each second of a video that can be decoded. Raises UserError and MediaError."""
    dataset = SlidingVideo(video, recogniser.sampling)
    seconds, shares = second_scores(recogniser, dataset)
    damage += damage_told(dataset, len(seconds))
    classes = tuple(name_of(recogniser.classes, number) for number in range(shares.shape[1]))
    true = true_label and true_label(video)
    true = named_class(classes, true) if true else None
    mean = shares.mean(0)
    best = int(mean.argmax())
    told = f"{classes[best]} {mean[best]:.1%} on average" + ("" if true is None else f", true: {true}")
    return Seen(TopFive(seconds, shares, classes, true).prepare, told, float(seconds[len(seconds) // 2]))


def named_class(classes: tuple[str, ...], name: str) -> str:
    """The class of this name, such as ApplyEyeMakeup for `apply eye makeup`; the name itself where there is none."""

    def letters(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    if name in classes or not letters(name):
        return name
    return next((one for one in classes if letters(one) == letters(name)), name)


def asked_by(config: Path | None, true_label: Callable[[Path], str | None] | None) -> Asked:
    """What a configuration of ActionCLIP's public code tells of its classes and clips. Raises UserError."""
    data = (read_preset(config) if config else {}).get("data") or {}
    if not isinstance(data, dict):
        raise UserError(f"{config}: data: found {shortened(data)}, expected `key: value` lines.")
    labels, segments = data.get("label_list"), data.get("num_segments")
    if not isinstance(labels, str | None) or not isinstance(segments, int | None):
        raise UserError(f"{config}: data: found label_list {shortened(labels)} and num_segments {shortened(segments)}, "
                        "expected a file and a whole number.")
    if segments is not None and not 1 <= segments <= MOST_FRAMES:
        raise UserError(f"{config}: data: num_segments {segments}, expected 1 to {MOST_FRAMES}.")
    return Asked(labels=Path(labels) if labels else None, num_frames=segments, true_label=true_label)


def some_of_each(root: Path, count: int, seed: int) -> dict[Path, str]:
    """{video: its class} of up to `count` videos, drawn by the seed, of each class's folder. Raises UserError."""
    by_class: dict[str, list[Path]] = {}
    for video in videos_at([root]):
        folder, *below = video.relative_to(root).parts or ("",)
        if below:
            by_class.setdefault(folder, []).append(video)
    if not by_class:
        raise UserError(f"{root}: no video in a folder below it. Expected a folder of each class, named after it.")
    return {video: name for name, videos in sorted(by_class.items())
            for video in sorted(random.Random(f"{seed} {name}").sample(videos, min(count, len(videos))))}


# ---------------------------------------------------------------- videos


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn video: its source, its file, what is told of it, and its picture for the contact sheet."""

    source: Path
    target: Path
    told: str
    damage: list[str]
    picture: np.ndarray | None


def draw_videos(videos: list[Path], look: Look, output: Path, pages: bool) -> int:
    """Write <name>_visualized.mp4 for each video; returns the exit code, 1 where one failed or is damaged.

    Of equal names the later ones get a number. `pages`: also contact.png, a contact sheet, and index.html, a page that
    plays the files. Raises UserError where a file would replace a video that is read, and OSError for a full disk.
    """
    targets = [output / f"{name}{ENDING}" for name in own_names(list(map(str, videos)))]
    read = {os.path.realpath(video) for video in videos}
    if mine := [target for target in targets if os.path.realpath(target) in read]:
        raise UserError(f"{mine[0]}: is read and would be overwritten; name another --output.")
    check_writable(output)
    done: list[Drawn] = []
    failed: dict[Path, str] = {}
    for video, target in zip(videos, targets, strict=True):
        try:
            drawn = draw_video(video, target, look, pages and len(done) < MOST_CELLS)
        except Exception as error:      # whatever a file leads to is this file's failure
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            reason = describe_error(error)
            failed[video] = reason if str(video) in reason else f"{video}: {reason}"
            print(failed[video], file=sys.stderr, flush=True)
            continue
        done.append(drawn)
        print(f"{video}: {drawn.told}: {target}", flush=True)
        for message in drawn.damage:
            print(f"drawn in part: {message}", file=sys.stderr, flush=True)
    if pages and done:
        save_sheet(output / "contact.png", done)
    if pages:
        save_text(output / "index.html", page(done, failed))
    in_part = sum(bool(drawn.damage) for drawn in done)
    more = [f"; {count} {what}" for count, what in ((in_part, "of them in part"), (len(failed), "failed")) if count]
    print(f"{len(done)} of {len(videos)} videos drawn, in {output}{''.join(more)}")
    return int(bool(more))


def draw_video(video: Path, target: Path, look: Look, with_picture: bool) -> Drawn:
    """Draw on one video. Raises UserError, MediaError, and whatever else it leads to."""
    if video.is_dir():
        raise UserError(f"{video}: a folder of frames, which has neither times nor sound. Give the video itself.")
    damage: list[str] = []
    seen = look(video, damage)
    redraw(video, target, seen.prepare, salvage=damage)
    damage = list(dict.fromkeys(damage))      # sound and picture may tell of the same
    return Drawn(video, target, seen.told, damage, picture_of(video, seen, bool(damage)) if with_picture else None)


def picture_of(video: Path, seen: Seen, is_damaged: bool) -> np.ndarray:
    """A video's picture at the second that shows what is seen, small, with the drawing; after its end, its first."""
    times = sorted({0.0, max(0.0, seen.second)})
    shown = [image for image in read_frames(video, times, salvage=[] if is_damaged else None) if image is not None]
    return drawn_on(letterbox(shown[-1], CELL[::-1]), seen.prepare, times[len(shown) - 1])


def save_sheet(path: Path, done: list[Drawn]) -> None:
    """Write the pictures of the drawn videos into one, a name above each."""
    shown = [drawn for drawn in done if drawn.picture is not None]
    across, width = min(ACROSS, math.ceil(math.sqrt(len(shown)))), CELL[0]
    size, gap = text_size(width), 8
    line = line_height(size) + gap
    rows = [shown[first:first + across] for first in range(0, len(shown), across)]
    heights = [line + gap + max(len(drawn.picture) for drawn in row) for row in rows]
    sheet = np.full((sum(heights) + gap, across * (width + gap) + gap, 3), BACK, np.uint8)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for left, drawn in zip(range(gap, sheet.shape[1], width + gap), row, strict=False):
            put_text(sheet, fitted(drawn.target.name.removesuffix(ENDING), width, size), (left, top), size, FAINT)
            sheet[top + line:top + line + len(drawn.picture), left:left + width] = drawn.picture
        top += height
    with write_atomic(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What the model sees</title>
<style>
body {{ background: #18181c; color: #ebebeb; font: 16px sans-serif; margin: 2em; }}
figure {{ display: inline-block; vertical-align: top; width: 480px; max-width: 100%; margin: 0 1em 2em 0; }}
video {{ width: 100%; }}
small, .failed {{ color: #f5554b; }}
figcaption {{ overflow-wrap: anywhere; }}
</style>
{body}
</html>
"""


def page(done: list[Drawn], failed: dict[Path, str]) -> str:
    """A page that plays the drawn videos beside it, without a network, and tells which ones failed."""
    figures = []
    for drawn in done:
        damage = "".join(f"<br><small>in part: {html.escape(message)}</small>" for message in drawn.damage)
        source = quote(os.fsencode(drawn.target.name))
        figures.append(f'<figure><video controls preload="metadata" src="{source}"></video>\n'
                       f"<figcaption>{html.escape(str(drawn.source))}<br>{html.escape(drawn.told)}{damage}</figcaption>"
                       "</figure>")
    figures += [f'<p class="failed">{html.escape(reason)}</p>' for reason in failed.values()]
    return PAGE.format(body=as_text("\n".join(figures)))      # a file's name may be no text
