"""Text boxes as one small mask a second, the networks' input of the text.

    mask = paint_boxes(json.load(file)["abc_start"])      # uint8 (200, 27, 36), 1 inside a box
"""

import numpy as np

from datatools.errors import UserError
from datatools.features import ROI_HEIGHT, ROI_WIDTH, fit
from datatools.layout import CLIP_SECONDS


def box_cells(quad: list, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a box in the mask's cells, half open; `size` is the picture's (height, width).

    Spans the first and third corner, sorted, letterboxed like the frames and rounded down to whole cells. Parts outside
    the picture are cut off.
    """
    scale, top, left, _, _ = fit(size, (ROI_HEIGHT, ROI_WIDTH))
    (x1, y1), (x2, y2) = quad[0], quad[2]
    rows = sorted(int(min(max(y, 0), size[0]) * scale + top) for y in (y1, y2))
    columns = sorted(int(min(max(x, 0), size[1]) * scale + left) for x in (x1, x2))
    return rows[0], rows[1], columns[0], columns[1]


def paint_boxes(boxes_per_second: dict[str, list], seconds: int = CLIP_SECONDS) -> np.ndarray:
    """uint8 (seconds, 27, 36) from {"0": [[quad, [height, width], text, confidence], ...], ...}.

    A box without width or height in cells paints nothing, nor does a second that is missing or beyond `seconds`.
    Raises UserError for a malformed entry.
    """
    mask = np.zeros((seconds, ROI_HEIGHT, ROI_WIDTH), np.uint8)
    for second, boxes in boxes_per_second.items():
        for box in boxes:
            try:
                quad, (height, width) = box[0], box[1]
                top, bottom, left, right = box_cells(quad, (height, width))
                index = int(second)
            except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError, OverflowError) as error:
                raise UserError(
                    f"second {second!r}: a text box {box!r:.120}, expected [[four [x, y]], [height, width], text, "
                    "confidence]. Run datatools/text_extract.py again."
                ) from error
            if 0 <= index < seconds:
                mask[index, top:bottom, left:right] = 1
    return mask
