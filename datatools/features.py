"""What the networks read of a clip: the MFCC of its sound and one small picture a second.

    extract_mfcc("clip.mp4")      # float32 (20, T)
    extract_frames("clip.mp4")    # uint8 (200, 66, 88, 3)
"""

import math
from pathlib import Path

import numpy as np

from datatools.layout import CLIP_SECONDS
from datatools.media import SAMPLE_RATE, read_audio, read_frames

HOP = 512                             # samples between two MFCC steps, librosa's default
NUM_MFCC = 20                         # coefficients a step
FRAME_HEIGHT, FRAME_WIDTH = 66, 88    # pixels
ROI_HEIGHT, ROI_WIDTH = 27, 36        # cells of a text mask
MOST_SECONDS = CLIP_SECONDS + 1.0     # s; clips are cut to the second, and may be a little longer
MFCC_STEPS = math.ceil((CLIP_SECONDS * SAMPLE_RATE / HOP) / 8) * 8   # 8616: AudioNet halves the steps several times
MFCC_STEPS_PER_SECOND = SAMPLE_RATE / HOP
# What a network gets of a clip of 200 s.
SHAPES = {
    "mfcc": (NUM_MFCC, MFCC_STEPS),
    "frames": (CLIP_SECONDS, FRAME_HEIGHT, FRAME_WIDTH, 3),
    "text_roi": (CLIP_SECONDS, ROI_HEIGHT, ROI_WIDTH),
}


def mfcc(samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """float32 (20, T) from mono samples (n,): librosa's defaults, T = 1 + n // 512."""
    # Here, because its first use in a process imports 1.7 s of scipy and numba.
    import librosa
    from threadpoolctl import threadpool_limits

    # One thread: the sums of a product of matrices depend on how it is divided, and so would the file's bytes.
    with threadpool_limits(1):
        return librosa.feature.mfcc(y=samples, sr=sample_rate, n_mfcc=NUM_MFCC).astype(np.float32, copy=False)


def fit(image_size: tuple[int, int], size: tuple[int, int]) -> tuple[float, int, int, int, int]:
    """How a picture goes into a letterbox: (scale, top, left, height, width); sizes are (height, width) in pixels.

    The scale is the smaller of the two ratios; height and width are cut to whole pixels; centred, with the spare
    pixel at the bottom or right.
    """
    scale = min(size[0] / image_size[0], size[1] / image_size[1])
    # The side that sets the scale fills the box; rounding errors of the product must not take its last pixel.
    height = max(1, int(image_size[0] * scale + 1e-9))
    width = max(1, int(image_size[1] * scale + 1e-9))
    return scale, (size[0] - height) // 2, (size[1] - width) // 2, height, width


def letterbox(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image`, uint8 (h, w, 3), scaled into a black picture of `size` (height, width); bilinear, as cv2.resize does."""
    import cv2

    _, top, left, height, width = fit(image.shape[:2], size)
    boxed = np.zeros((*size, *image.shape[2:]), image.dtype)
    boxed[top:top + height, left:left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return boxed


def frame_thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (66, 88, 3) from a picture of any size."""
    return letterbox(image, (FRAME_HEIGHT, FRAME_WIDTH))


def extract_mfcc(path: Path, salvage: list[str] | None = None) -> np.ndarray:
    """MFCC of the file's sound, float32 (20, T); T is 8,614 for 200 s, and what is beyond 201 s is left out.

    Raises MediaError; `salvage` as for read_audio.
    """
    return mfcc(read_audio(path, duration=MOST_SECONDS, salvage=salvage))


def extract_frames(path: Path, seconds: int = CLIP_SECONDS) -> np.ndarray:
    """The pictures at 0, 1, 2 ... s, uint8 (seconds, 66, 88, 3), RGB; black after the end. Raises MediaError."""
    frames = np.zeros((seconds, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    for second, image in enumerate(read_frames(path, range(seconds), frame_thumbnail)):
        if image is not None:
            frames[second] = image
    return frames
