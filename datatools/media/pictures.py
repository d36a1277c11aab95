"""The pictures that a video shows at given times.

    for image in read_frames("episode.mkv", range(200)):     # uint8 (height, width, 3), RGB, or None after the end
        ...
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from datatools.media.packets import SEEK_FROM, TIME_TOLERANCE, decode, skips_pictures
from datatools.media.probe import MediaError, open_media, time_zero, video_stream

REFRESHED_WITHIN = 15.0      # s; encoders refresh every place of a picture at least this often


def _one_thread() -> dict[str, int]:
    """The argument by which `reformat` converts a picture in the calling thread alone; older PyAV always does so.

    By default newer PyAV wakes a thread a core up for each picture. That costs more than it saves, and many times as
    much where the cores are busy.
    """
    try:
        VideoReformatter().reformat(av.VideoFrame(2, 2, "yuv420p"), format="rgb24", threads=1)
    except TypeError:
        return {}
    return {"threads": 1}


ONE_THREAD = _one_thread()
BEGIN_BEFORE = (0.0, 1.0, REFRESHED_WITHIN, math.inf)   # s before a wanted time; decoding begins there, tried in turn


def read_frames(
    path: Path,
    times: Iterable[float],
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    threads: int = 1,
    salvage: list[str] | None = None,
) -> Iterator[np.ndarray | None]:
    """The picture shown at each of `times` (ascending seconds from time zero), one at a time.

    That is the last frame that starts at or before the time; before the first frame, the first; after the end of the
    last one, None. uint8 (height, width, 3), RGB, rotated as the file's metadata says, then passed through `transform`.
    One picture may be yielded several times: copy it before changing it. Decoding begins at a keyframe before the
    first of the times, jumps over what lies between times that are far apart, and stops after the last.
    Raises MediaError; damage in a part that is jumped over goes unnoticed. With a list `salvage`, nothing is jumped
    over, the video ends at a damaged place, and the list gets the message.
    """
    times = list(times)
    assert times == sorted(times), "times must ascend"
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no picture in it (no video stream). Give a video, or remove it.")
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "AUTO"
        if not times:
            return
        zero = float(time_zero(container))
        coming, frames = _begin(path, container, stream, times, salvage)
        current, keyframe, jumps = None, coming.start, salvage is None
        for number, time in enumerate(times):
            if number and jumps and coming and skips_pictures(stream, zero, coming.start, keyframe, time):
                coming, frames = _begin(path, container, stream, times[number:], salvage, jump=True)
                current, keyframe, jumps = None, coming.start, coming.decoded.key_frame    # else it costs too much
            while coming is not None and coming.start - TIME_TOLERANCE <= time:
                current = coming        # in two lines: frees the previous frame before the next is decoded
                coming = next(frames, None)
                keyframe = coming.start if coming and coming.decoded.key_frame else keyframe
            if coming is None and time >= current.end - TIME_TOLERANCE:
                yield None
            else:
                yield (current or coming).picture(transform)


def read_every_frame(
    path: Path, transform: Callable[[np.ndarray], np.ndarray] | None = None
) -> Iterator[tuple[float, float, np.ndarray]]:
    """(start, end, picture) of every frame, as `read_frames`; in seconds from time zero. Raises MediaError."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no picture in it (no video stream). Give a video, or remove it.")
        for frame in _frames(decode(path, stream), None):
            yield frame.start, frame.end, frame.picture(transform)


def _begin(
    path: Path, container, stream, times: list[float], salvage: list[str] | None, jump: bool = False
) -> tuple["_Frame", Iterator["_Frame"]]:
    """The first decoded frame, at or before the first of `times` or the stream's first, and those after it.

    Not every packet that counts as a keyframe is one for the decoder: where pictures are refreshed strip by strip, they
    are whole only some seconds later. Then decoding begins earlier. Raises MediaError.
    """
    if salvage is None:
        # Packets wait until it is known whether a later one replaces them at the next time: not all up to a far one.
        far = next((place for place, gap in enumerate(np.diff(times), 1) if gap > SEEK_FROM), len(times))
        times = times[:far]
    for margin in BEGIN_BEFORE:
        if salvage is not None and not margin:
            continue        # damage at the first of `times` must end the video, not be its only part
        first = max(0.0, times[0] - margin)
        frames = _frames(decode(path, stream, first, salvage, times, jump), salvage)
        begun = next(frames)
        whole = begun.decoded.key_frame or margin >= REFRESHED_WITHIN
        if (begun.start - TIME_TOLERANCE <= times[0] and whole) or first == 0 or (first < SEEK_FROM and not jump):
            break
        jump = True
    return begun, frames


@dataclass(slots=True)
class _Frame:
    """A decoded frame; times in seconds from time zero."""

    start: float
    end: float
    decoded: av.VideoFrame
    converter: VideoReformatter
    image: np.ndarray | None = None

    def picture(self, transform: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
        """The frame as RGB, rotated and transformed; computed on demand, since most frames are never shown."""
        if self.image is None:
            image = self.converter.reformat(self.decoded, format="rgb24", **ONE_THREAD).to_ndarray()
            if self.decoded.rotation % 360:
                # NumPy and the file both count turns counter-clockwise.
                image = np.ascontiguousarray(np.rot90(image, round(self.decoded.rotation / 90)))
            self.image = transform(image) if transform else image
        return self.image


def _frames(decoded: Iterable[tuple[float, float, av.VideoFrame]], salvage: list[str] | None) -> Iterator[_Frame]:
    converter = VideoReformatter()      # one for all: it keeps what it has set up for their format
    for start, lasts, frame in until_damage(decoded, salvage):
        yield _Frame(start, start + lasts, frame, converter)


def until_damage(
    decoded: Iterable[tuple[float, float, av.VideoFrame]], salvage: list[str] | None
) -> Iterator[tuple[float, float, av.VideoFrame]]:
    """The decoded frames. With a list `salvage`, damage after the first one ends them; the list gets the message."""
    any_frame = False
    try:
        for placed in decoded:
            any_frame = True
            yield placed
    except MediaError as error:
        if salvage is None or not any_frame:
            raise
        salvage.append(str(error))
