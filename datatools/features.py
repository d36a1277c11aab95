"""The networks' inputs from a clip, or from any span of a file: the MFCC of its sound, and one small frame a second.

    extract_mfcc("clip.mp4")                                    # float32 (20, T)
    extract_frames("clip.mp4")                                  # uint8 (200, 66, 88, 3)
    extract_frames("episode.mkv", start=600.0, seconds=30)      # uint8 (30, 66, 88, 3)
    extract_pictures("clip.mp4", encoders=[find_encoder("efficientnet_lite0")]).encoded     # float16 (200, D) each

Only the span itself is decoded, not what lies before it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import librosa
import numpy as np
from threadpoolctl import threadpool_limits

from datatools.encoders import CUT_RATE, EVERY_FRAME, SOUND, Encoder, loaded
from datatools.layout import CLIP_SECONDS
from datatools.media import SAMPLE_RATE, read_audio, read_frames, save_video
from datatools.text_detector import BoxFinder

HOP = 512                             # samples between two MFCC steps, librosa's default
NUM_MFCC = 20                         # coefficients a step
FRAME_HEIGHT, FRAME_WIDTH = 66, 88    # pixels
ROI_HEIGHT, ROI_WIDTH = 27, 36        # cells of a text mask
MOST_SECONDS = CLIP_SECONDS + 1.0     # s; clips are cut to the second, and may be a little longer
MFCC_STEPS = math.ceil((CLIP_SECONDS * SAMPLE_RATE / HOP) / 8) * 8   # 8616: AudioNet halves the steps several times
MFCC_STEPS_PER_SECOND = SAMPLE_RATE / HOP
# The shapes of a network's inputs for one clip.
SHAPES = {
    "mfcc": (NUM_MFCC, MFCC_STEPS),
    "frames": (CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3),
    "text_roi": (CLIP_SECONDS, ROI_HEIGHT, ROI_WIDTH),
}


def mfcc(samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """float32 (20, T) from mono samples (n,): librosa's defaults, T = 1 + n // 512."""
    # One thread: rounding in a matrix product depends on how threads divide it, and so would the file's bytes.
    with threadpool_limits(1):
        return librosa.feature.mfcc(y=samples, sr=sample_rate, n_mfcc=NUM_MFCC).astype(np.float32, copy=False)


def fit(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[float, int, int, int, int]:
    """The place of a picture in a letterbox: (scale, top, left, height, width); sizes are (height, width) in pixels.

    The scale is the smaller of the two ratios. Height and width are rounded down. The picture is centred, with an odd
    pixel of padding at the bottom or right.
    """
    scale = min(size[0] / image_size[0], size[1] / image_size[1])
    # The side that sets the scale fills the box; rounding errors must not cost it the last pixel.
    height = max(1, int(image_size[0] * scale + 1e-9))
    width = max(1, int(image_size[1] * scale + 1e-9))
    return scale, (size[0] - height) // 2, (size[1] - width) // 2, height, width


def letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image`, uint8 (h, w, 3), scaled into a black picture of `size` (height, width); bilinear, by cv2.resize."""
    _, top, left, height, width = fit(image.shape[:2], size)
    boxed = np.zeros((*size, *image.shape[2:]), image.dtype)
    boxed[top:top + height, left:left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return boxed


def frame_thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (66, 88, 3) from a picture of any size."""
    return letterbox(image, (FRAME_HEIGHT, FRAME_WIDTH))


def extract_mfcc(
    path: Path, start: float = 0.0, seconds: float | None = None, salvage: list[str] | None = None
) -> np.ndarray:
    """MFCC of the sound from `start` on, float32 (20, T); T is 8,614 for 200 s, less where the sound ends earlier.

    Without `seconds` the file is taken for a clip and cut at 201 s. Raises MediaError; `salvage` as for read_audio.
    """
    duration = MOST_SECONDS if seconds is None else seconds
    return mfcc(read_audio(path, start=start, duration=duration, salvage=salvage))


def encode_sound(
    samples: np.ndarray, encoders: Iterable[Encoder], seconds: int = CLIP_SECONDS
) -> dict[str, np.ndarray]:
    """{encoder: float16 (seconds, D)} of mono samples (n,) at SAMPLE_RATE; 0 after their end. Raises UserError."""
    return {encoder.name: as_stored(loaded(encoder).sound(samples, SAMPLE_RATE, seconds))
            for encoder in encoders if encoder.takes == SOUND}


def as_stored(vectors: np.ndarray) -> np.ndarray:
    """Vectors as float16; what is larger becomes the largest."""
    most = np.finfo(np.float16).max
    return vectors.clip(-most, most).astype(np.float16)


class PictureEncoder:
    """The vectors of a span's pictures, shown one after the other from its start on.

    Where a vector depends on one picture alone, a repeated picture is encoded once.
    """

    def __init__(self, encoder: Encoder):
        self.encoder, self.running = encoder, loaded(encoder)
        self.kept: list[np.ndarray] = []
        self.which: list[int] = []       # of `kept`, for each picture shown

    def show(self, image: np.ndarray) -> None:
        small = self.running.small(image)
        if self.encoder.takes == EVERY_FRAME or not self.kept or not np.array_equal(small, self.kept[-1]):
            self.kept.append(small)
        self.which.append(len(self.kept) - 1)

    def vectors(self, seconds: int) -> np.ndarray:
        """float16 (seconds, D); 0 where there is no picture."""
        found = np.zeros((seconds, self.encoder.dim), np.float16)
        if self.kept:
            rows = as_stored(self.running.pictures(np.stack(self.kept)))
            rows = rows if self.encoder.takes == EVERY_FRAME else rows[self.which]
            found[:len(rows)] = rows
        return found


@dataclass(frozen=True)
class Pictures:
    """Frames, text boxes and vectors of a span.

    count    number of seconds with a picture
    frames   uint8 (seconds, 66, 88, 3), RGB; black after the end
    boxes    {"0": [[quad, [height, width], text, confidence], ...], "1": ...}; quad in pixels, four [x, y]; [] for a
             second without text; {} without a detector
    encoded  {encoder: float16 (seconds, D)}; 0 after the end
    """

    count: int
    frames: np.ndarray
    boxes: dict[str, list]
    encoded: dict[str, np.ndarray]


def extract_pictures(
    path: Path,
    start: float = 0.0,
    seconds: int = CLIP_SECONDS,
    *,
    detector=None,
    encoders: Iterable[Encoder] = (),
    video: Path | None = None,
    salvage: list[str] | None = None,
) -> Pictures:
    """All that is made of the pictures at `start`, `start` + 1, `start` + 2 ... s, each decoded once.

    `detector`: from datatools.text_detector, finds text boxes. `encoders`: those of sound are left out. `video`: path
    of a 1 fps video in the file's size. Raises MediaError, UserError for weights, and OSError for `video`; `salvage` as
    for read_frames.
    """
    frames = np.zeros((seconds, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    finder = BoxFinder(detector) if detector else None
    seeing = [PictureEncoder(encoder) for encoder in encoders if encoder.takes != SOUND]
    rate = CUT_RATE if any(each.encoder.takes == EVERY_FRAME for each in seeing) else 1
    boxes: dict[str, list] = {}
    count = 0

    def pictures():
        nonlocal count
        shown = thumbnail = None
        times = [start + place / rate for place in range(seconds * rate)]
        for place, image in enumerate(read_frames(path, times, salvage=salvage)):
            second, between = divmod(place, rate)
            for each in seeing if image is not None else ():
                if not between or each.encoder.takes == EVERY_FRAME:
                    each.show(image)
            if between:
                continue
            if image is not None:
                count += 1
                if image is not shown:      # one picture may stand for many seconds
                    shown, thumbnail = image, frame_thumbnail(image)
                frames[second] = thumbnail
            if finder:
                boxes[str(second)] = finder.find(image)
            yield image

    if video:
        save_video(video, pictures())
    else:
        for _ in pictures():
            pass
    if finder:
        finder.finish()
    return Pictures(count, frames, boxes, {each.encoder.name: each.vectors(seconds) for each in seeing})


def extract_frames(path: Path, start: float = 0.0, seconds: int = CLIP_SECONDS) -> np.ndarray:
    """The pictures at `start`, `start` + 1 ... s, uint8 (seconds, 66, 88, 3), RGB; black after the end.

    Raises MediaError.
    """
    return extract_pictures(path, start, seconds).frames


def extract_text_boxes(path: Path, detector, start: float = 0.0, seconds: int = CLIP_SECONDS) -> dict[str, list]:
    """Text in the pictures at `start`, `start` + 1 ... s, as `Pictures.boxes`; "0" is `start`. Raises MediaError."""
    return extract_pictures(path, start, seconds, detector=detector).boxes
