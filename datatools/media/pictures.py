"""The pictures that a video shows at given times.

    for image in read_frames("episode.mkv", range(200)):     # uint8 (height, width, 3), RGB, or None after the end
        ...
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from datatools.media.packets import TIME_TOLERANCE, decode
from datatools.media.probe import MediaError, open_media, video_stream


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
    first of the times, and stops after the last.
    Raises MediaError. With a list `salvage`, the video ends at a damaged place instead, and the list gets the message.
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
        frames = _frames(decode(path, container, stream, times[0], salvage, times), salvage)
        current, coming = None, next(frames)
        for time in times:
            while coming is not None and coming.start - TIME_TOLERANCE <= time:
                current = coming        # in two lines: frees the previous frame before the next is decoded
                coming = next(frames, None)
            if coming is None and time >= current.end - TIME_TOLERANCE:
                yield None
            else:
                yield (current or coming).picture(transform)


@dataclass(slots=True)
class _Frame:
    """A decoded frame; times in seconds from time zero."""

    start: float
    end: float
    decoded: av.VideoFrame
    image: np.ndarray | None = None

    def picture(self, transform: Callable[[np.ndarray], np.ndarray] | None) -> np.ndarray:
        """The frame as RGB, rotated and transformed; computed on demand, since most frames are never shown."""
        if self.image is None:
            image = self.decoded.to_ndarray(format="rgb24")
            if self.decoded.rotation % 360:
                # NumPy and the file both count turns counter-clockwise.
                image = np.ascontiguousarray(np.rot90(image, round(self.decoded.rotation / 90)))
            self.image = transform(image) if transform else image
        return self.image


def _frames(decoded: Iterable[tuple[float, float, av.VideoFrame]], salvage: list[str] | None) -> Iterator[_Frame]:
    """The decoded frames. With a list `salvage`, damage after the first one ends them; the list gets the message."""
    any_frame = False
    try:
        for start, lasts, frame in decoded:
            any_frame = True
            yield _Frame(start, start + lasts, frame)
    except MediaError as error:
        if salvage is None or not any_frame:
            raise
        salvage.append(str(error))
