"""Write pictures into a video file.

    save_video("clip.mp4", images)     # one a second
"""

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from datatools.files import write_atomic

ENCODE_OPTIONS = {"crf": "18", "preset": "veryfast", "g": "10", "bf": "0", "threads": "1"}


def save_video(
    path: Path, images: Iterable[np.ndarray | None], rate: int = 1, options: dict[str, str] = ENCODE_OPTIONS
) -> None:
    """Write RGB pictures, uint8 (height, width, 3), as H.264 in MP4 at `rate` frames a second; None is a black one.

    `options` are the encoder's, libx264's.
    All get the size of the first, which must not be None. An odd width or height is made even by repeating the last
    column or row, because the 4:2:0 format requires it; positions in the picture do not change.
    Raises OSError where the file cannot be written.
    """
    # Into memory first, so that a full disk raises a plain OSError in one write. Where libav writes into the file
    # itself, PyAV turns most such errors into its own, without the system's error number, and drops others.
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
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
    with write_atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _add_stream(container, width: int, height: int, rate: int, options: dict[str, str]) -> av.VideoStream:
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    # libswscale's own choice for RGB, written down so that readers undo it with the same matrix.
    stream.codec_context.colorspace = av.video.reformatter.Colorspace.SMPTE170M
    stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
    return stream
