"""Words in matplotlib's pictures where its font lacks their letters, such as Chinese names: the house's pen draws them.

    if not is_plain(name):
        write(axis, name, (0, 1), "axes fraction", align=(0, 0), points=10)
"""

from functools import cache

import numpy as np
from matplotlib.artist import Artist
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from utils.drawing import fitted, line_height, put_text, text_width

SIZE = 40      # pixels of the drawn letters; a picture shows them smaller


@cache
def _known() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties())).get_charmap())


def is_plain(text: str) -> bool:
    """Whether matplotlib's usual font has all letters."""
    return all(ord(letter) in _known() for letter in text)


def write(
    host: Artist, text: str, place: tuple[float, float], coords, align: tuple[float, float], points: float,
    turned: bool = False,
) -> float:
    """Write black on white on a figure or axis, with letters of `points`; returns how long that is, in points.

    `place` in matplotlib's coordinates `coords` is where the share `align` of the text's box is, from its lower left;
    `turned`: upwards.
    """
    image = np.full((line_height(SIZE), max(1, text_width(text, SIZE)), 3), 255, np.uint8)
    put_text(image, text, (0, 0), SIZE, (0, 0, 0))
    picture = OffsetImage(np.rot90(image) if turned else image, zoom=points / SIZE)
    host.add_artist(AnnotationBbox(picture, place, xycoords=coords, box_alignment=align, pad=0, frameon=False,
                                   annotation_clip=False))
    return image.shape[1] * points / SIZE


def shortened_to(text: str, length: float, points: float) -> str:
    """The text in letters of `points`, its end left out where it is longer than `length` points."""
    return fitted(text, round(length / points * SIZE), SIZE)
