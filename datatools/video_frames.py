"""A video's frames in a folder: img_00001.jpg, ..., and times.txt with the start of each in seconds, one a line.

    extract_frames(Path("videos/a.mp4"), Path("frames/a"), short_side=256)
    frame_times(Path("frames/a"))[0], load_frame(frame_file(Path("frames/a"), 1))
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datatools.errors import UserError
from datatools.media import read_every_frame
from datatools.media.packets import TIME_TOLERANCE
from datatools.numbers import parse_number
from datatools.paths import read_text

FIRST_FRAME = "img_00001.jpg"
TIMES_FILE = "times.txt"
USUAL_RATE = 30             # frames a second where there is no times.txt
PART = ".part-"             # before the name of a folder that is not finished


def frame_file(folder: Path, number: int) -> Path:
    """The file of a frame; the first is number 1."""
    return folder / f"img_{number:05d}.jpg"


def load_frame(path: Path) -> np.ndarray:
    """A picture as uint8 (H, W, 3), RGB. Raises OSError where it cannot be read or is cut off."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def frame_times(folder: Path) -> np.ndarray:
    """The start of each frame of a folder in seconds, (N,), from its times.txt, else at 30 frames a second.

    Raises UserError where there is no frame, or times and frames do not fit.
    """
    count = sum(1 for file in folder.iterdir() if file.name.startswith("img_") and file.suffix == ".jpg")
    file = folder / TIMES_FILE
    if not count:
        raise UserError(f"{folder}: no frame in it. Expected {FIRST_FRAME}, ...; run tools/extract_frames.py.")
    if not file.exists():
        return np.arange(count) / USUAL_RATE
    expected = "Expected the seconds of each frame, one a line; run tools/extract_frames.py --force."
    try:
        lines = read_text(file, "list of times", expected).split("\n")
        times = np.array([parse_number(line) for line in lines if line])
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{file}: {error}. {expected}") from None
    if len(times) != count or (np.diff(times) < 0).any():
        raise UserError(f"{file}: {len(times)} times for {count} frames, or not ascending. {expected}")
    return times


def extract_frames(
    video: Path, folder: Path, rate: float | None = None, short_side: int | None = None, quality: int = 95
) -> int:
    """Write a video's frames into a new `folder`, which is there only when all are; returns how many.

    All frames, or those shown `rate` times a second; as large as they are, or scaled to `short_side` where they are
    larger. `quality` is JPEG's, 1 to 100. Raises MediaError and OSError.
    """
    part = folder.with_name(PART + folder.name)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        starts = []
        for start, picture in _pictures(video, rate):
            side = min(picture.shape[:2])
            if short_side and side > short_side:
                height, width = (max(short_side, round(length * short_side / side)) for length in picture.shape[:2])
                picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            starts.append(f"{start:.6f}\n")
            image = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            frame_file(part, len(starts)).write_bytes(image.tobytes())
        (part / TIMES_FILE).write_text("".join(starts), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(starts)


def _pictures(video: Path, rate: float | None) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds, picture) of all frames, or of those that are shown at every 1 / rate s."""
    number, shown, end = 0, None, 0.0
    for start, stops, picture in read_every_frame(video):
        if rate is None:
            yield start, picture
            continue
        while shown is not None and number / rate < start - TIME_TOLERANCE:
            yield number / rate, shown
            number += 1
        shown, end = picture, stops
    while shown is not None and number / rate < end - TIME_TOLERANCE:
        yield number / rate, shown
        number += 1
