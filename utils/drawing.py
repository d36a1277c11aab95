"""What is drawn below a video's pictures: what a recogniser answers, or where a boundary is found.

    redraw("a.mp4", "a_drawn.mp4", TopFive(seconds, shares, classes, true="archery").prepare)
    redraw("b_start.mp4", "b_drawn.mp4", Timeline(200.0, "end of the opening", found=91.3, evidence=p).prepare)
    picture = drawn_on(image, timeline.prepare, seconds=60)      # one picture, without a video

All colours are RGB. Text is measured before it is drawn, and shortened where it does not fit.
"""

import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from datatools.features import fit
from datatools.media import Drawing
from datatools.media.transcode import outline

BACK, INK, FAINT = (24, 24, 28), (235, 235, 235), (150, 150, 160)
GREEN, RED = (70, 205, 120), (245, 85, 75)             # right, wrong; true, found
BAR, EVIDENCE, SOUND, BOXES = (90, 140, 210), (250, 190, 70), (110, 160, 215), (185, 145, 225)
CURSOR_STEP = 0.2                                      # s; a cursor that moves less often costs less
QUIETEST = 60                                          # dB below full scale, which a timeline shows as silence
TOP = 5                                                # classes shown
SMALLEST, LARGEST = 11, 34                             # pixels; sizes of text
TEXT_IN_WIDTH = 44                                     # a picture is so many times as wide as its text is high
# Fonts with Chinese that systems bring, for an OpenCV without one of its own.
CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
                 "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS",
                 "Microsoft YaHei", "SimHei")
Colour = tuple[int, int, int]


# ---------------------------------------------------------------- text


class OpenCVPen:
    """Writes with the font that OpenCV 5 brings, which holds Chinese; what it lacks becomes a question mark."""

    def __init__(self):
        self.face = cv2.FontFace("uni")

    def box(self, text: str, size: int) -> tuple[int, int, int, int]:
        """(left, top, width, height) of a text whose first letter stands on (0, 0)."""
        return cv2.getTextSize((0, 0), text, (0, 0), self.face, size)

    def put(self, image: np.ndarray, text: str, place: tuple[int, int], size: int, colour: Colour) -> None:
        cv2.putText(image, text, place, colour, self.face, size)


class PillowPen:
    """Writes with a font of the system, for an OpenCV before 5; what it lacks becomes a question mark."""

    def __init__(self):
        from matplotlib.font_manager import fontManager
        from matplotlib.ft2font import FT2Font

        found = {font.name: font.fname for font in fontManager.ttflist}
        name = next((name for name in CHINESE_FONTS if name in found), "DejaVu Sans")      # which matplotlib brings
        self.file, self.fonts = found[name], {}
        self.known = set(FT2Font(self.file).get_charmap())
        if name not in CHINESE_FONTS:
            print("OpenCV before 5 has no font with Chinese, and this system has none either: such letters are shown "
                  "as question marks. Install opencv-python-headless 5, or Noto Sans CJK.", file=sys.stderr)

    def _font(self, size: int):
        from PIL import ImageFont

        if size not in self.fonts:
            self.fonts[size] = ImageFont.truetype(self.file, round(0.9 * size))      # as high as OpenCV's
        return self.fonts[size]

    def _shown(self, text: str) -> str:
        return "".join(letter if ord(letter) in self.known else "?" for letter in text)

    def box(self, text: str, size: int) -> tuple[int, int, int, int]:
        font = self._font(size)
        left, top, right, bottom = font.getbbox(self._shown(text), anchor="ls")
        above, below = font.getmetrics()
        # Where Pillow finds libfribidi, it shapes letters, and marks may stand beyond the font's own height.
        left, top = min(0, int(left)), min(-above, int(top))
        return left, top, int(np.ceil(right)) - left, max(below, int(np.ceil(bottom))) - top

    def put(self, image: np.ndarray, text: str, place: tuple[int, int], size: int, colour: Colour) -> None:
        from PIL import Image, ImageDraw

        canvas = Image.fromarray(image)
        ImageDraw.Draw(canvas).text(place, self._shown(text), colour, self._font(size), anchor="ls")
        image[:] = np.asarray(canvas)


@cache
def pen() -> OpenCVPen | PillowPen:
    return OpenCVPen() if hasattr(cv2, "FontFace") else PillowPen()


def plain(text: str) -> str:
    """A text in one line, without letters that steer a terminal or a line's direction."""
    return "".join(" " if letter.isspace() else letter for letter in unicodedata.normalize("NFC", text)
                   if letter.isspace() or unicodedata.category(letter) not in ("Cc", "Cf", "Cs")).strip()


def text_width(text: str, size: int) -> int:
    return pen().box(text, size)[2] if text else 0


def line_height(size: int) -> int:
    return pen().box("Ag", size)[3]


def fitted(text: str, width: int, size: int) -> str:
    """The text in one line of at most `width` pixels, its end replaced by an ellipsis where it is longer."""
    text = plain(text)
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)       # so many letters surely fit; so many surely do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if text_width(text[:middle] + "…", size) <= width else (low, middle)
    short = text[:low].rstrip() + "…"
    return short if text_width(short, size) <= width else ""


def put_text(
    image: np.ndarray, text: str, place: tuple[int, int], size: int, colour: Colour = INK, outline: Colour | None = None
) -> tuple[int, int, int, int]:
    """Write a text, which should fit, with its box's upper left corner at `place`; returns the box.

    The box is (left, top, right, bottom). `outline`: a colour around the letters, to be read on any picture; it is a
    pixel wide or more, within the box too.
    """
    text, (left, top) = plain(text), place
    x, y, width, height = pen().box(text, size) if text else (0, 0, 0, 0)
    thick = max(1, size // 14) if outline else 0
    foot = left + thick - x, top + thick - y
    for across, down in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)) if outline else ():
        pen().put(image, text, (foot[0] + thick * across, foot[1] + thick * down), size, outline)
    if text:
        pen().put(image, text, foot, size, colour)
    return left, top, left + width + 2 * thick, top + height + 2 * thick


def text_size(width: int) -> int:
    """The size of text for a picture of this width, in pixels."""
    return int(np.clip(width // TEXT_IN_WIDTH, SMALLEST, LARGEST))


# ---------------------------------------------------------------- a recogniser's answers


@dataclass(frozen=True, eq=False)
class TopFive:
    """What a recogniser answers in the course of a video: its five best classes at every moment.

    seconds  (S,) ascending; an answer is shown from its time to the next one's, the first one before that too
    shares   (S, classes), each row's sum is 1
    classes  their names
    true     the true class's name, None where it is not known
    """

    seconds: np.ndarray
    shares: np.ndarray
    classes: tuple[str, ...]
    true: str | None = None

    def prepare(self, width: int, height: int) -> Drawing:
        """The drawing below a picture of this size, for `redraw`."""
        size = text_size(width)
        line = line_height(size) + 2
        below = line * (min(TOP, len(self.classes)) + 1) + size // 2
        below += below % 2
        shown = None

        def draw(strip: np.ndarray, second: float) -> None:
            nonlocal shown
            row = max(0, int(np.searchsorted(self.seconds, second + 1e-6, side="right")) - 1)
            if row != shown:
                strip[:] = BACK
                self._draw_row(strip[size // 4:], row, size, line)
                shown = row

        return Drawing(draw, (height, height + below), below)

    def _draw_row(self, strip: np.ndarray, row: int, size: int, line: int) -> None:
        width, gap = strip.shape[1], size // 2
        best = np.argsort(-self.shares[row], kind="stable")[:TOP]
        is_right = self.classes[best[0]] == self.true
        head = "" if self.true is None else f"true: {self.true}"
        put_text(strip, fitted(head, width - 2 * gap, size), (gap, 0), size, GREEN if is_right else RED)
        figures = text_width("100.0 %", size)
        names = min(max(text_width(plain(self.classes[number]), size) for number in best), width // 2)
        left, right = 2 * gap + names, width - 2 * gap - figures
        for place, number in enumerate(best, 1):
            name, share, top = self.classes[number], float(self.shares[row, number]), place * line
            colour = BAR if self.true is None else GREEN if name == self.true else RED if place == 1 else BAR
            ink = GREEN if name == self.true else INK
            put_text(strip, fitted(name, names, size), (gap, top), size, ink)
            cv2.rectangle(strip, (left, top + line // 4), (right, top + 3 * line // 4), (48, 48, 54), -1)
            cv2.rectangle(strip, (left, top + line // 4), (left + round(share * (right - left)), top + 3 * line // 4),
                          colour, -1)
            told = f"{100 * share:.1f} %"
            put_text(strip, told, (width - gap - text_width(told, size), top), size, ink)


# ---------------------------------------------------------------- a boundary on a clip's time


@dataclass(frozen=True, eq=False)
class Timeline:
    """What a boundary network finds in a clip, on a strip of the clip's whole time with a cursor at the moment.

    duration  seconds of the clip; all times are in seconds from its start
    name      what is looked for, such as "end of the opening"
    found, interval, true  the boundary's time, (earliest, latest), the true time
    evidence  (N,) 0 to 1, the probability of each `evidence_step` seconds
    loudness  (N,) 0 to 1, the sound's level in each of N equal parts of the duration, as `loudness` measures it
    boxes     (N,) 0 to 1, the share of the picture that text covers, each second; drawn where it is above 0
    masks     (N, rows, columns), 1 inside a text box, each second from `masks_from` on, as `paint_boxes` makes them
    What is None or empty is not drawn.
    """

    duration: float
    name: str
    found: float | None = None
    interval: tuple[float, float] | None = None
    true: float | None = None
    evidence: np.ndarray = field(default_factory=lambda: np.zeros(0))
    evidence_step: float = 1.0
    loudness: np.ndarray = field(default_factory=lambda: np.zeros(0))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    masks: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.uint8))
    masks_from: int = 0

    def prepare(self, width: int, height: int) -> Drawing:
        """The drawing below a picture of this size, for `redraw`."""
        still, plot = self._still(width)
        size, shown = text_size(width), None
        top, bottom = plot[1], plot[3]

        def draw(strip: np.ndarray, second: float) -> None:
            nonlocal shown
            second = CURSOR_STEP * int(second / CURSOR_STEP + 1e-6)
            cursor, told = self._column(second, plot), f"{int(second + 1e-6)} s"
            if (cursor, told) != shown:
                strip[:] = still
                cv2.line(strip, (cursor, top), (cursor, bottom), INK, max(1, size // 7))
                put_text(strip, told, (width - size // 2 - text_width(told, size), size // 4), size)
                shown = cursor, told

        by_second = [boxes_of(mask, width, height) for mask in self.masks]

        def boxes(second: float) -> list[tuple[int, int, int, int]]:
            place = int(second + 1e-6) - self.masks_from
            return by_second[place] if 0 <= place < len(by_second) else []

        return Drawing(draw, (height, height + len(still)), len(still), boxes if by_second else None, BOXES)

    def _column(self, second: float, plot: tuple[int, int, int, int]) -> int:
        """The column of a time, between the plot's left and right edge."""
        left, _, right, _ = plot
        return left + round(min(1.0, max(0.0, second / self.duration)) * (right - 1 - left))

    def _still(self, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """(the strip without its cursor, the plot's left, top, right and bottom)."""
        size, tracks = text_size(width), []      # of text; (label, values, seconds of each, rows, colour)
        for label, values, step, rows, colour in (
                ("boundary", self.evidence, self.evidence_step, 5 * size // 2, EVIDENCE),
                ("sound", self.loudness, self.duration / max(1, len(self.loudness)), 5 * size // 4, SOUND),
                ("text", np.asarray(self.boxes) > 0, 1.0, 3 * size // 4, BOXES)):
            if len(values):
                tracks.append((label, values, step, rows, colour))
        line, gap = line_height(size), size // 2
        left = 2 * gap + max((text_width(label, size) for label, *_ in tracks), default=0)
        top = gap // 2 + self._head(None, width, size) * line + gap
        bottom = top + sum(rows + size // 3 for _, _, _, rows, _ in tracks) + (0 if tracks else 2 * size)
        plot = left, top, width - gap, bottom
        still = np.full((bottom + line + gap + (bottom + line + gap) % 2, width, 3), BACK, np.uint8)
        self._head(still, width, size)
        if self.interval:
            first, last = (self._column(second, plot) for second in self.interval)
            cv2.rectangle(still, (first, top), (last, bottom), (72, 44, 44), -1)
        for label, values, step, rows, colour in tracks:
            put_text(still, label, (gap, top + (rows - line) // 2), size, FAINT)
            _fill(still[top:top + rows, left:width - gap], in_columns(values, step, self.duration, width - gap - left),
                  colour)
            top += rows + size // 3
        self._marks(still, plot, size)
        return still, plot

    def _head(self, image: np.ndarray | None, width: int, size: int) -> int:
        """Write what is found, in one line or, where that is too long, more; returns their number."""
        gap, line = size // 2, line_height(size)
        room = width - 4 * gap - text_width(f"{int(self.duration)} s", size)
        parts = [(self.name, INK)]
        if self.found is not None:
            spread = "" if self.interval is None else f" ({self.interval[0]:.1f} to {self.interval[1]:.1f})"
            parts.append((f"found {self.found:.1f} s{spread}", RED))
        if self.true is not None:
            parts.append((f"true {self.true:.1f} s", GREEN))
        left, number = gap, 0
        for text, colour in parts:
            short = fitted(text, room, size)
            if left > gap and left + text_width(short, size) > gap + room:
                left, number = gap, number + 1
            if image is not None:
                put_text(image, short, (left, gap // 2 + number * line), size, colour)
            left += text_width(short, size) + 2 * gap
        return number + 1

    def _marks(self, image: np.ndarray, plot: tuple[int, int, int, int], size: int) -> None:
        """Draw the axis with its seconds, and the found and the true boundary."""
        left, top, right, bottom = plot
        thick = max(1, size // 7)
        cv2.line(image, (left, bottom), (right - 1, bottom), FAINT, 1)
        end = left
        for second in ticks(self.duration, (right - left) // (5 * size)):
            column, told = self._column(second, plot), f"{second:g}"
            cv2.line(image, (column, bottom), (column, bottom + size // 4), FAINT, 1)
            begin = min(max(end, column - text_width(told, size) // 2), right - text_width(told, size))
            if begin >= end:
                end = put_text(image, told, (begin, bottom + size // 4), size, FAINT)[2] + size // 2
        for second, colour, dash in ((self.true, GREEN, 0), (self.found, RED, max(3, size // 3))):
            if second is not None:
                column = self._column(second, plot)
                for row in range(top, bottom, 2 * dash or bottom - top):
                    end = min(bottom, row + dash) if dash else bottom
                    cv2.line(image, (column, row), (column, end - 1), colour, thick)


def loudness(samples: np.ndarray, sample_rate: int, step: float = 0.25) -> np.ndarray:
    """The level of each `step` seconds of a sound, (N,), for a Timeline: 0 for -60 dB or less, 1 for full scale.

    samples  float (n,), -1 to 1. The last, shorter part counts as well.
    """
    parts = np.split(samples, range(round(step * sample_rate), len(samples), round(step * sample_rate)))
    power = np.array([np.mean(np.square(part, dtype=np.float64)) for part in parts if len(part)])
    return np.clip(1 + np.log10(np.maximum(power, 1e-12)) / (QUIETEST / 10), 0, 1)


def boxes_of(mask: np.ndarray, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """The places of a mask's text on a picture: (left, top, right, bottom) in pixels, half open.

    mask  (rows, columns), not 0 inside a text box, of the picture letterboxed. Cells that touch are one place.
    """
    scale, top, left, _, _ = fit((height, width), mask.shape)
    found = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)[2][1:]
    places = []
    for x, y, across, down, _ in found.tolist():
        corners = [round((cell - away) / scale) for cell, away in
                   ((x, left), (y, top), (x + across, left), (y + down, top))]
        places.append(tuple(min(max(0, value), most) for value, most in
                            zip(corners, (width, height) * 2, strict=True)))
    return places


def ticks(duration: float, most: int) -> list[float]:
    """Round times from 0 to `duration` seconds, at most about `most` of them."""
    rough = duration / max(1, most)
    unit = 10.0 ** np.floor(np.log10(max(rough, 1e-3)))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    return [float(number * step) for number in range(int(duration / step + 1e-9) + 1)]


def in_columns(values: np.ndarray, step: float, duration: float, width: int) -> np.ndarray:
    """The largest of the values in each of `width` columns, (width,); a value lasts `step` of `duration` seconds."""
    values = np.nan_to_num(np.asarray(values, float))
    edges = np.arange(width + 1) * duration / width / step
    first = np.floor(edges[:-1] + 1e-9).astype(int)
    end = np.maximum(first + 1, np.ceil(edges[1:] - 1e-9).astype(int))
    return np.array([values[a:b].max(initial=0.0) for a, b in zip(first, end, strict=True)])


def _fill(image: np.ndarray, shares: np.ndarray, colour: Colour) -> None:
    """Fill each column from below to its share of the height; a share above 0 shows at least one row."""
    rows = np.ceil(np.clip(shares, 0, 1) * len(image) - 1e-9)
    image[np.arange(len(image), 0, -1)[:, None] <= rows] = colour


def drawn_on(picture: np.ndarray, prepare: Callable[[int, int], Drawing], seconds: float) -> np.ndarray:
    """A picture, uint8 (height, width, 3), with what `redraw` would draw on it at this time."""
    height, width = picture.shape[:2]
    drawing = prepare(width, height)
    image = np.pad(picture, ((0, drawing.below), (0, 0), (0, 0)))
    first, end = drawing.rows or (0, len(image))
    for box in drawing.boxes(seconds) if drawing.boxes else ():
        outline(image, box, drawing.colour)
    drawing.draw(image[first:end], seconds)
    return image
