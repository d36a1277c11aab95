"""Labelled videos as batches of clips, decoded at the moment of use, only at the times that are wanted.

    lists = read_video_lists({"train": Path("data/train.csv")})
    dataset = VideoDataset(lists["train"], "train", Sampling(num_frames=8, sampling_rate=32), seed=0)
    dataset.start_epoch(3)
    batch = dataset.batch([0, 5, 2])      # video uint8 (3, 8, 224, 224, 3), label int64 (3,), index int64 (3,)

What is drawn at random depends on the seed, the epoch and the clip alone.
"""

import math
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from datatools.errors import UserError, describe_error
from datatools.media import probe, read_frames
from datatools.media.packets import TIME_TOLERANCE
from datatools.media.probe import open_media, time_zero, video_stream
from datatools.video_frames import frame_file, frame_times, load_frame
from datatools.video_lists import VideoList

RATE = 30                   # frames a second that `sampling_rate` counts in
MOST_REPLACED = 10          # broken videos in a row, drawn in the place of one
CUT_AT_ONCE = 4 << 20       # bytes of pictures that are scaled in one call, for many small ones cost most by the call
MOST_ASPECT = 20            # a picture's long side over its short one; scaled up, longer ones would fill the memory
SCALES = (1.0, 0.875, 0.75, 0.66)      # of the short side, ActionCLIP's multi-scale crop
JITTER = ((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1))     # ranges of brightness, contrast, saturation, hue
CLIP, REPLACEMENT = 1, 2    # random streams of a clip, apart from the augmentation's on the device


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video become a clip, and which part of each picture.

    num_frames      of a clip
    sampling_rate   a clip spans num_frames x sampling_rate frames at 30 fps; its frames are spread evenly over that
    segments        spread over the whole video instead, one frame from each of num_frames equal segments
    random_shift    in training, frames of segments are drawn anywhere in them; else they are the middle ones
    size            side of the square picture, pixels
    short_side      of the picture before it is cropped: (least, most), drawn in training, else the least
    flip            mirror one clip in two in training; not where left and right make the class
    bicubic         scale with bicubic interpolation and antialiasing, as CLIP's pictures are; else bilinear without
    multi_scale     in training, crop SCALES of the short side, width and height a step apart at most, and scale that
    jitter, grey    in training, shares of the clips whose colours are changed, and that become grey
    views, crops    clips a video in the test: spans spread evenly, one is the middle; 1 crop, or 3 along the long side,
                    for which the picture is scaled to `size`
    """

    num_frames: int = 8
    sampling_rate: int = 32
    segments: bool = False
    random_shift: bool = True
    size: int = 224
    short_side: tuple[int, int] = (256, 320)
    flip: bool = True
    bicubic: bool = False
    multi_scale: bool = False
    jitter: float = 0.0
    grey: float = 0.0
    views: int = 1
    crops: int = 3

    def __post_init__(self):
        numbers = {name: getattr(self, name) for name in ("num_frames", "sampling_rate", "size", "views")}
        if bad := [f"{name} {value}" for name, value in numbers.items() if value < 1]:
            raise UserError(f"{', '.join(bad)}: expected at least 1.")
        if self.crops not in (1, 3):
            raise UserError(f"{self.crops} crops: expected 1 or 3.")
        least, most = self.short_side
        if not self.size <= least <= most:
            raise UserError(f"Pictures scaled to {least} to {most} cannot be cropped to {self.size}: give sizes that "
                            "ascend.")

    def times(self, span: tuple[float, float], place: float | np.ndarray) -> np.ndarray:
        """Seconds of the frames of a clip, ascending, (num_frames,); `span` is the video's start and duration (s).

        `place` in [0, 1]: where the clip lies between the video's start and end; with segments (num_frames,), where
        each frame lies in its segment. A clip that is longer than the video begins at its start.
        """
        start, seconds = span
        if self.segments:
            return start + seconds * (np.arange(self.num_frames) + place) / self.num_frames
        length = self.num_frames * self.sampling_rate / RATE
        return start + place * max(0.0, seconds - length) + np.linspace(0, length - 1 / RATE, self.num_frames)


@dataclass(frozen=True)
class _Draw:
    """What is drawn for a clip, the same for all its frames: its place in time, scale, crops (shares), mirroring."""

    place: float | np.ndarray
    short_side: int
    corners: tuple[tuple[float, float], ...]      # (top, left) of each crop, shares of the room there is
    mirrored: bool = False
    part: tuple[float, float] | None = None       # height and width of the crop, shares of the short side
    colours: tuple[float, float, float, float] | None = None      # brightness, contrast, saturation (factors), hue
    grey: bool = False


def _cut(draw: _Draw, sampling: Sampling, pictures: Sequence[np.ndarray]) -> Tensor:
    """Pictures uint8 (H, W, 3) scaled, cropped, mirrored and coloured: uint8 (pictures, crops, size, size, 3)."""
    (height, width), size = pictures[0].shape[:2], sampling.size
    if max(height, width) > MOST_ASPECT * min(height, width):
        raise UserError(f"pictures of {width}x{height}, expected sides no further apart than {MOST_ASPECT} to 1")
    image = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    if draw.part:
        image, shape = _part_of(image, draw), [size, size]
    else:
        scale = draw.short_side / min(height, width)
        shape = [draw.short_side if side == min(height, width) else int(side * scale) for side in (height, width)]
    way = InterpolationMode.BICUBIC if sampling.bicubic else InterpolationMode.BILINEAR
    image = functional.resize(image, shape, way, antialias=sampling.bicubic)
    image = _coloured(image, draw)
    cut = []
    for top, left in draw.corners:
        # Rounded up: the middle of an odd room is where the published results were measured.
        place = [math.ceil(share * (side - size)) for share, side in zip((top, left), shape, strict=True)]
        piece = functional.crop(image, *place, size, size)
        cut.append(functional.horizontal_flip(piece) if draw.mirrored else piece)
    return torch.stack(cut, 1).permute(0, 1, 3, 4, 2)


def _part_of(image: Tensor, draw: _Draw) -> Tensor:
    """The drawn part of pictures (N, 3, H, W)."""
    short = min(image.shape[2:])
    sides = [max(1, round(share * short)) for share in draw.part]
    (top, left), = draw.corners
    place = [round(share * (whole - side)) for share, whole, side in
             zip((top, left), image.shape[2:], sides, strict=True)]
    return functional.crop(image, *place, *sides)


def _coloured(image: Tensor, draw: _Draw) -> Tensor:
    """Pictures (N, 3, H, W) with the drawn colours."""
    if draw.colours:
        brightness, contrast, saturation, hue = draw.colours
        image = functional.adjust_brightness(image, brightness)
        image = functional.adjust_contrast(image, contrast)
        image = functional.adjust_hue(functional.adjust_saturation(image, saturation), hue)
    return functional.rgb_to_grayscale(image, 3) if draw.grey else image


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class VideoDataset:
    """A list of videos as batches: `index` (B,), `video` uint8 (B, T, size, size, 3) RGB, and `label` (B,), int64.

    `mode` train: a random span, scale, crop and mirroring. val: the middle, its centre crop. test: all views and crops,
    an index is (video * views + view) * crops + crop.

    A video that is too short repeats its last frame. One that cannot be read is told once and kept in `broken`, {index
    of the video: message}. In training another one, drawn by seed, epoch and clip, takes its place. Otherwise it is an
    error; with `skip_broken` its rows are left out, so a batch may be smaller, or empty. `tell` gets the messages.
    """

    def __init__(
        self, videos: VideoList, mode: str, sampling: Sampling | None = None, seed: int = 0, skip_broken: bool = False,
        tell: Callable[[str], None] = _say,
    ):
        assert mode in ("train", "val", "test"), mode
        self.videos, self.mode, self.sampling = videos, mode, sampling or Sampling()
        self.seed, self.skip_broken, self.tell, self.epoch = seed, skip_broken, tell, 0
        self.views, self.crops = (self.sampling.views, self.sampling.crops) if mode == "test" else (1, 1)
        self.broken: dict[int, str] = {}
        self.spans: dict[int, tuple[float, float]] = {}     # (start, seconds) of the videos that were opened
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.videos) * self.views * self.crops

    def name_of(self, index: int) -> str:
        """The path of the video of an index."""
        return self.videos.paths[index // (self.views * self.crops)]

    def start_epoch(self, epoch: int) -> None:
        """What is drawn from now on is this epoch's."""
        self.epoch = epoch

    def batch(self, indices: list[int], pinned: bool = False) -> dict[str, Tensor]:
        """The batch of these clips. Raises UserError that names a video that cannot be read."""
        clips: dict[tuple[int, int], tuple[int, Tensor] | None] = {}      # the crops of a view are decoded once
        rows = []
        for index in indices:
            (video, view), crop = divmod(index // self.crops, self.views), index % self.crops
            if (video, view) not in clips:
                clips[video, view] = self._clip(video, view)
            if (clip := clips[video, view]) is not None:
                rows.append((index + (clip[0] - video) * self.views * self.crops, clip[0], clip[1][crop]))
        size = self.sampling.size
        video = torch.empty((len(rows), self.sampling.num_frames, size, size, 3), dtype=torch.uint8, pin_memory=pinned)
        for target, (_, _, frames) in zip(video, rows, strict=True):
            target.copy_(frames)
        labels = [int(self.videos.labels[place]) for _, place, _ in rows]
        return {"index": torch.tensor([index for index, _, _ in rows], dtype=torch.int64), "video": video,
                "label": torch.tensor(labels, dtype=torch.int64)}

    def _clip(self, video: int, view: int) -> tuple[int, Tensor] | None:
        """(the video that was read, its crops (crops, T, size, size, 3)); None where it is left out."""
        wanted, tried = video, []
        while len(tried) <= MOST_REPLACED:
            if video not in self.broken:
                try:
                    return video, self._read(video, view)
                except MemoryError:
                    raise
                except Exception as error:      # whatever a file leads to is this file's failure
                    self._note(video, error)
            tried.append(self.broken[video])
            if self.mode != "train" and self.skip_broken:
                return None
            if self.mode != "train":
                raise UserError(f"{tried[0]} Copy it again, take it out of the list, or use skip_broken.")
            stream = np.random.default_rng((self.seed, self.epoch, wanted, REPLACEMENT, len(tried)))
            video = int(stream.integers(len(self.videos)))
        raise UserError(f"{self.videos.file}: {len(self.broken)} videos cannot be read, {len(tried)} of them in a row. "
                        f"Are they where the list says? The first: {tried[0]}")

    def _note(self, video: int, error: Exception) -> None:
        path, reason = self.videos.paths[video], describe_error(error)
        named = reason if path in reason else f"{path}: {reason}"
        with self.lock:
            known = video in self.broken
            self.broken.setdefault(video, f"{self.videos.place(video)}: {named}")
            number = len(self.broken)
        if not known:
            what = "another one takes its place" if self.mode == "train" else "it is left out"
            if self.mode == "train" or self.skip_broken:
                self.tell(f"{self.broken[video]} Unreadable videos so far: {number}; {what}.")

    def _draw(self, video: int, view: int) -> _Draw:
        sampling = self.sampling
        least, most = sampling.short_side
        if self.mode == "train":
            stream = np.random.default_rng((self.seed, self.epoch, video, CLIP))
            place = stream.random(sampling.num_frames) if sampling.segments else stream.random()
            if sampling.segments and not sampling.random_shift:
                place = 0.5
            side, corner = int(stream.integers(least, most + 1)), (stream.random(), stream.random())
            return _Draw(place, side, (corner,), bool(sampling.flip and stream.random() < 0.5),
                         **_drawn_more(sampling, stream))
        place = view / (self.views - 1) if self.views > 1 and not sampling.segments else 0.5
        if sampling.segments and self.views > 1:
            place = (view + 0.5) / self.views
        if self.crops == 1:
            return _Draw(place, least, ((0.5, 0.5),))
        return _Draw(place, sampling.size, ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)))      # only one side has room

    def _read(self, video: int, view: int) -> Tensor:
        """The crops of a clip, uint8 (crops, T, size, size, 3)."""
        path, draw = Path(self.videos.paths[video]), self._draw(video, view)
        cut = partial(_cut, draw, self.sampling)
        if video not in self.spans:
            self.spans[video] = span_of(path)
        shown = _shown(path, self.sampling.times(self.spans[video], draw.place), cut)
        if shown[0] is None:      # it ends earlier than it states
            self.spans[video] = measured_span(path)
            shown = _shown(path, self.sampling.times(self.spans[video], draw.place), cut)
        there = [frames for frames in shown if frames is not None]
        if not there:
            raise UserError(f"{path}: no picture is shown at the times of a clip. Encode it again, or remove it.")
        return torch.stack(there + there[-1:] * (len(shown) - len(there)), 1)


def _drawn_more(sampling: Sampling, stream: np.random.Generator) -> dict:
    """What is drawn for a clip beside its place: the part that is cropped, and its colours."""
    drawn = {}
    if sampling.multi_scale:
        first = int(stream.integers(len(SCALES)))
        second = int(stream.integers(max(0, first - 1), min(len(SCALES), first + 2)))
        drawn["part"] = (SCALES[first], SCALES[second])
    if stream.random() < sampling.jitter:
        drawn["colours"] = tuple(float(stream.uniform(low, high)) for low, high in JITTER)
    drawn["grey"] = bool(stream.random() < sampling.grey)
    return drawn


class SlidingVideo:
    """A clip for each second of one video: `index`, the second, and `video` uint8 (B, T, size, size, 3), RGB.

    A clip lies around the middle of its second, within the video; it spans num_frames x sampling_rate frames at 30 a
    second, and of each picture the middle is taken. Seconds at which nothing is shown are left out of a batch, and
    those that damage hides; a clip that runs into damage ends there as at the video's end. `damage`: {second: message}
    of what hides it, and of damage that decoding passes over. Raises MediaError and UserError where the video cannot be
    opened.
    """

    def __init__(self, path: Path, sampling: Sampling):
        self.path, self.sampling = path, replace(sampling, segments=False)
        self.span = span_of(path)
        self.cut = partial(_cut, _Draw(0.5, sampling.short_side[0], ((0.5, 0.5),)), sampling)
        self.damage: dict[int, str] = {}

    def __len__(self) -> int:
        return max(1, math.ceil(self.span[1] - TIME_TOLERANCE))      # one picture alone has no duration

    def name_of(self, index: int) -> str:
        return f"{self.path} at {index} s"

    def batch(self, indices: list[int], pinned: bool = False) -> dict[str, Tensor]:
        """The clips of these seconds; what they have in common is decoded once."""
        room = self.span[1] - self.sampling.num_frames * self.sampling.sampling_rate / RATE
        places = [min(1.0, max(0.0, 0.5 + (index + 0.5 - self.span[1] / 2) / room)) if room > 0 else 0.0
                  for index in indices]
        wanted = np.stack([self.sampling.times(self.span, place) for place in places])
        try:
            clips = self._clips(wanted)
        except UserError:      # each second for itself, so that what is left out does not depend on the batches
            clips = [self._salvaged(index, times) for index, times in zip(indices, wanted, strict=True)]
        found = [index for index, clip in zip(indices, clips, strict=True) if clip is not None]
        size = self.sampling.size
        video = torch.stack([clip for clip in clips if clip is not None]) if found else torch.empty(
            (0, self.sampling.num_frames, size, size, 3), dtype=torch.uint8)
        return {"index": torch.tensor(found, dtype=torch.int64), "video": video.pin_memory() if pinned else video}

    def _clips(
        self, wanted: np.ndarray, salvage: list[str] | None = None, needed: int = 0
    ) -> list[Tensor | None]:
        """The clip (T, size, size, 3) at each row of times (s); None where nothing is shown. Raises as `read_frames`.

        With a list `salvage`, which gets messages of damage, also None where that hides a clip's frame `needed`.
        """
        times, rows = np.unique(wanted, return_inverse=True)
        shown = _shown(self.path, times, self.cut, salvage)
        clips = []
        for row in rows.reshape(wanted.shape):
            there = [shown[place][0] for place in row if shown[place] is not None]
            is_lost = len(there) <= (needed if salvage else 0)      # what is not shown comes last
            clips.append(None if is_lost else torch.stack(there + there[-1:] * (len(row) - len(there))))
        return clips

    def _salvaged(self, index: int, times: np.ndarray) -> Tensor | None:
        """The clip of one second of a damaged video, if its frame nearest to the second's middle can be decoded."""
        try:
            return self._clips(times[None])[0]      # begins later than with `salvage`, so perhaps after the damage
        except UserError as error:
            self.damage[index] = str(error)
        nearest = int(np.abs(times - (self.span[0] + index + 0.5)).argmin())
        try:
            return self._clips(times[None], [], nearest)[0]
        except UserError:
            return None


def _shown(
    path: Path, times: np.ndarray, cut: Callable[[Sequence[np.ndarray]], Tensor], salvage: list[str] | None = None
) -> list[Tensor | None]:
    """What `cut` makes of the pictures at ascending times (s) of a video or of a folder of frames; None after its end.

    `salvage` as for read_frames. Pictures of the same size are cut together, as many as CUT_AT_ONCE.
    """
    if path.is_dir():
        numbers = np.searchsorted(frame_times(path), times + TIME_TOLERANCE, side="right").clip(1)
        pictures = (load_frame(frame_file(path, number)) for number in numbers)
    else:
        pictures = read_frames(path, times, salvage=salvage)
    shown: list[Tensor | None] = []
    for shape, same in groupby(pictures, lambda picture: None if picture is None else picture.shape):
        if shape is None:
            shown += same
            continue
        while part := list(islice(same, max(1, CUT_AT_ONCE // math.prod(shape)))):
            changed = [number == 0 or picture is not part[number - 1] for number, picture in enumerate(part)]
            done = cut([picture for picture, is_new in zip(part, changed, strict=True) if is_new])
            shown += [done[number - 1] for number in np.cumsum(changed)]
    return shown


# ---------------------------------------------------------------- where a video begins and ends


def span_of(path: Path) -> tuple[float, float]:
    """(start, duration) of a video's pictures, or of a folder of frames, in seconds. Raises MediaError, UserError."""
    if not path.is_dir():
        return stated_span(path)
    starts = frame_times(path)
    return 0.0, 2 * starts[-1] - starts[-2] if len(starts) > 1 else 0.0


def stated_span(path: Path) -> tuple[float, float]:
    """(start, duration) of a video's pictures in seconds, as the file states it. Raises MediaError."""
    info = probe(path)
    if info.video is None or (info.video.duration is None and info.duration is None):
        return measured_span(path)
    start = max(0.0, info.video.start)
    return start, info.video.duration if info.video.duration is not None else max(0.0, info.duration - start)


def measured_span(path: Path) -> tuple[float, float]:
    """(start, duration) of a video's pictures in seconds, from its packets. Raises MediaError."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise UserError(f"{path}: no picture in it (no video stream). Give a video, or remove it.")
        stamps = [(packet.pts if packet.pts is not None else packet.dts, packet.duration or 0)
                  for packet in container.demux(stream) if packet.dts is not None or packet.pts is not None]
        if not stamps:
            raise UserError(f"{path}: no picture in it (its video stream is empty). Encode it again, or remove it.")
        start = max(0.0, float(min(stamps)[0] * stream.time_base - time_zero(container)))
        end = float(max(stamp + lasts for stamp, lasts in stamps) * stream.time_base - time_zero(container))
        return start, max(0.0, end - start)
