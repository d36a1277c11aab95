"""Colours, planes and sprites: what the painters of all families of made clips work with.

    planes = to_planes(image)           # three uint8 planes, YUV 4:2:0
    paste(planes, sprite, 40, 60)

Colours are RGB while painting. Sprites are pasted at even positions, because chroma has half the size.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageFont

MARGIN = 1.3  # a background is this much larger than the frame: room for the camera
Colour = tuple[int, int, int]
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


@dataclass(frozen=True)
class Sprite:
    """Something to paste: colour times cover (uint16) and 256 minus the cover, for luma and for chroma."""

    luma: np.ndarray  # (h, w)
    luma_keep: np.ndarray  # (h, w)
    chroma: np.ndarray  # (2, h/2, w/2)
    chroma_keep: np.ndarray  # (h/2, w/2)

    @property
    def height(self) -> int:
        return self.luma.shape[0]

    @property
    def width(self) -> int:
        return self.luma.shape[1]

    def faded(self, share: float) -> "Sprite":
        """The same with `share` (0..1) of its cover."""
        f = round(256 * share)
        return Sprite(
            (self.luma.astype(np.uint32) * f >> 8).astype(np.uint16),
            (256 - ((256 - self.luma_keep.astype(np.uint32)) * f >> 8)).astype(np.uint16),
            (self.chroma.astype(np.uint32) * f >> 8).astype(np.uint16),
            (256 - ((256 - self.chroma_keep.astype(np.uint32)) * f >> 8)).astype(np.uint16),
        )


def even(value: float) -> int:
    return 2 * round(value / 2)


def shade(colour: Colour, factor: float) -> Colour:
    return tuple(int(min(255, c * factor)) for c in colour)


def to_planes(image: np.ndarray) -> Planes:
    """RGB uint8 (h, w, 3), even sizes -> Y (h, w), U and V (h/2, w/2), BT.601, 16..235."""
    h, w = image.shape[:2]
    flat = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV_I420).reshape(-1)
    y, u, v = np.split(flat, (h * w, h * w * 5 // 4))
    return y.reshape(h, w), u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)


def to_sprite(image: np.ndarray) -> Sprite:
    """RGBA uint8 (h, w, 4), colours already multiplied with alpha -> Sprite; odd sizes are filled up."""
    h, w = image.shape[:2]
    image = cv2.copyMakeBorder(image, 0, h % 2, 0, w % 2, cv2.BORDER_CONSTANT)
    half = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    image = image.astype(np.float32)
    alpha, half_alpha = image[..., 3] / 255, half[..., 3] / 255
    luma = 16 * alpha + image[..., :3] @ np.array((0.257, 0.504, 0.098), np.float32)
    u = 128 * half_alpha + half[..., :3] @ np.array((-0.148, -0.291, 0.439), np.float32)
    v = 128 * half_alpha + half[..., :3] @ np.array((0.439, -0.368, -0.071), np.float32)
    return Sprite(
        luma.round().astype(np.uint16),
        (256 - 256 * alpha).astype(np.uint16),
        np.stack((u, v)).clip(0).round().astype(np.uint16),
        (256 - 256 * half_alpha).astype(np.uint16),
    )


def paste(planes: Planes, sprite: Sprite, x: float, y: float) -> None:
    """Blend `sprite` into `planes` in place with its corner at (x, y) in pixels; what sticks out is cut."""
    x, y = even(x), even(y)
    h, w = planes[0].shape
    left, top, right, bottom = max(0, x), max(0, y), min(w, x + sprite.width), min(h, y + sprite.height)
    if left >= right or top >= bottom:
        return

    def blend(plane: np.ndarray, colour: np.ndarray, keep: np.ndarray, step: int) -> None:
        target = plane[top // step : bottom // step, left // step : right // step]
        source = (slice((top - y) // step, (bottom - y) // step), slice((left - x) // step, (right - x) // step))
        np.minimum(colour[source] + (target * keep[source] >> 8), 255, out=target, casting="unsafe")

    blend(planes[0], sprite.luma, sprite.luma_keep, 1)
    blend(planes[1], sprite.chroma[0], sprite.chroma_keep, 2)
    blend(planes[2], sprite.chroma[1], sprite.chroma_keep, 2)


@functools.cache
def outline_font(name: str, size: int):
    """One of matplotlib's fonts by its file's stem, in pixels; Pillow's own where matplotlib is not installed."""
    package = importlib.util.find_spec("matplotlib")  # only its fonts are wanted
    path = Path(package.origin).parent / "mpl-data/fonts/ttf" / f"{name}.ttf" if package and package.origin else None
    return ImageFont.truetype(str(path), size) if path and path.is_file() else ImageFont.load_default(size)
