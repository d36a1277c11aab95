"""Write pictures into a video file.

    save_video("clip.mp4", images)     # one a second

    with open_output("clip.mp4", "mp4") as container:      # any other content, by PyAV
        ...
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from datatools.files import write_atomic

ENCODE_OPTIONS = {"crf": "18", "preset": "veryfast", "g": "10", "bf": "0", "threads": "1"}


class _File(io.BufferedWriter):
    """A file that keeps its first error: libav passes on only some of those that a write had."""

    error: OSError | None = None

    def write(self, data) -> int:
        return self._keep(super().write, data)

    def seek(self, *place) -> int:      # also writes what is held
        return self._keep(super().seek, *place)

    def _keep(self, do, *arguments) -> int:
        try:
            return do(*arguments)
        except OSError as error:
            self.error = self.error or error
            raise


@contextlib.contextmanager
def open_output(
    path: Path, format: str, options: dict[str, str] | None = None
) -> Iterator[av.container.OutputContainer]:
    """A container of libav's `format`, with its options, that is written to `path`, atomically, while it is filled.

    Raises OSError where the file cannot be written. Where libav opens the file itself, PyAV turns most such errors into
    its own, without the system's error number, and drops others.
    """
    with write_atomic(path) as temporary, _File(open(temporary, "wb", buffering=0)) as file:
        try:
            with av.open(file, "w", format=format, options=options) as container:
                yield container
        except av.FFmpegError as error:
            raise file.error or error from None
        if file.error:
            raise file.error


def save_video(
    path: Path, images: Iterable[np.ndarray | None], rate: int = 1, options: dict[str, str] = ENCODE_OPTIONS
) -> None:
    """Write RGB pictures, uint8 (height, width, 3), as H.264 in MP4 at `rate` frames a second; None is a black one.

    `options` are the encoder's, libx264's.
    All get the size of the first, which must not be None. An odd width or height is made even by repeating the last
    column or row, because the 4:2:0 format requires it; positions in the picture do not change.
    Raises OSError where the file cannot be written.
    """
    with open_output(path, "mp4") as container:
        encode_images(container, images, rate, options)


def encode_images(
    container: av.container.OutputContainer, images: Iterable[np.ndarray | None], rate: int, options: dict[str, str]
) -> None:
    """Encode pictures into an open container, as `save_video`."""
    stream = None
    for index, image in enumerate(images):
        if stream is None:
            height, width = image.shape[:2]
            stream = _add_stream(container, width + width % 2, height + height % 2, rate, options)
        if image is None:
            image = np.zeros((height, width, 3), np.uint8)
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        if height % 2 or width % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _add_stream(container, width: int, height: int, rate: int, options: dict[str, str]) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    # libswscale's own choice for RGB, written down so that readers undo it with the same matrix.
    stream.codec_context.colorspace = av.video.reformatter.Colorspace.SMPTE170M
    stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
    return stream
