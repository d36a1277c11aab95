"""What all families of made clips share of pictures: shots, figures, overlays, and the picture that shows them.

A shot is a painted background, a camera that stands, glides or zooms over it, and figures; overlays (subtitles, names,
titles) lie above. Drawings are held for two or three frames, as in hand-drawn animation, so most frames cost nothing.
"""

import bisect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from synth.plan import ClipPlan, Segment
from synth.sprites import Planes, Sprite, even, paste

WHITE = (255, 255, 255)
FADE_STEPS = 16  # levels between seen and unseen


@dataclass
class Figure:
    """A sprite in some poses at (x, y) pixels, moving (dx, dy) pixels a second; talks, walks, or stands."""

    poses: list[Sprite]
    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    moves: str = "stands"


@dataclass
class Shot:
    """From `start` to `end` (s); the camera's window glides from (x, y, zoom) to (x, y, zoom), background pixels."""

    start: float
    end: float
    background: Planes
    camera: tuple[tuple[float, float, float], tuple[float, float, float]]
    hold: float = 1 / 8  # s a drawing stays
    figures: list[Figure] = field(default_factory=list)


@dataclass
class Overlay:
    """Letters above the picture from `start` to `end` (s); `rise` in pixels a second; `fade` in seconds, both ends."""

    start: float
    end: float
    sprite: Sprite
    x: float
    y: float
    rise: float = 0.0
    fade: float = 0.0


def show_background(planes: Planes, background: Planes, x: float, y: float, zoom: float, *, whole_pixels: bool) -> None:
    """Fill `planes` with what a camera at (x, y) pixels sees: cut out where `whole_pixels`, else resampled."""
    for plane, source, scale in zip(planes, background, (1, 2, 2), strict=True):
        if whole_pixels:
            top, left = max(0, even(y)) // scale, max(0, even(x)) // scale
            plane[:] = source[top : top + plane.shape[0], left : left + plane.shape[1]]
        else:
            matrix = np.array(((zoom, 0, x / scale), (0, zoom, y / scale)), np.float32)
            way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(source, matrix, plane.shape[::-1], plane, way, cv2.BORDER_REPLICATE)


class Picture(ABC):
    """Shots and overlays of one clip; `frame` shows any moment of it.

        picture = DrawnPicture(plan)
        picture.frame(12.04)        # uint8 (height x 3/2, width), YUV 4:2:0, as shown at 12.04 s

    A family says who paints, how letters look, and what is seen during each type of segment.
    """

    def __init__(self, plan: ClipPlan):
        self.plan = plan
        self.rng = np.random.default_rng(plan.rng_key(1, shared=True))
        self.shots: list[Shot] = []
        self.overlays: list[Overlay] = []
        self.faded: dict[tuple[int, int], Sprite] = {}
        self.unit = plan.height / 180  # pixels; sizes below are for a height of 180
        self._settle()
        self.gaps = plan.all("black", "white")
        self.line_starts = [e.start for e in plan.lines]
        if plan.season is None:
            for segment in plan.segments:
                getattr(self, f"_{segment.type}")(segment)
        else:
            self._paint_season()
        if self.subtitled:
            self._subtitles()
        self._station_mark()
        self.shots.sort(key=lambda s: s.start)
        self.shot_starts = [s.start for s in self.shots]
        self.overlays.sort(key=lambda o: o.start)
        self.last_key: tuple | None = None
        self.last_frame: np.ndarray | None = None

    def _settle(self) -> None:
        """Settle who paints, what the series is called, and whether there are subtitles."""
        self.artist = self.make_artist()
        self.series_title = self.artist.title()
        self.subtitled = self.rng.random() < 0.6

    def _station_mark(self) -> None:
        """Add a station's mark, seen all the time, to one clip of five."""
        if self.rng.random() < 0.2:
            plan = self.plan
            mark = self._text([(self.artist.firms(1)[0], self._size(9))], WHITE, None).faded(0.6)
            self.overlays.append(
                Overlay(0, plan.duration, mark, plan.width - mark.width - 8 * self.unit, 6 * self.unit)
            )

    # What a family gives

    @abstractmethod
    def make_artist(self):
        """Who paints this clip; he draws on the clip's own random numbers."""

    @abstractmethod
    def _text(self, lines, colour, outline, align="left", upright=False, font=None) -> Sprite:
        """Lines of (text, size in pixels), RGB colours in 0..255."""

    @abstractmethod
    def _opening(self, segment: Segment) -> None:
        """Add the shots and overlays of an opening; the methods below likewise."""

    @abstractmethod
    def _ending(self, segment: Segment) -> None: ...

    @abstractmethod
    def _episode(self, segment: Segment) -> None: ...

    @abstractmethod
    def _sponsor(self, segment: Segment) -> None: ...

    @abstractmethod
    def _preview(self, segment: Segment) -> None: ...

    @abstractmethod
    def _subtitles(self) -> None:
        """Add an overlay for every sentence of the plan."""

    # What all families share

    def _paint_season(self) -> None:
        """First what the season's clips share, whole; then the rest with random numbers of this clip alone."""
        for segment in self.plan.segments:
            if segment.type in ("opening", "ending"):
                whole = replace(segment, start=segment.start - segment.before, end=segment.end + segment.after)
                getattr(self, f"_{segment.type}")(whole)
                for overlay in self.overlays:
                    overlay.end = min(overlay.end, segment.end)
        self.rng = self.artist.rng = np.random.default_rng(self.plan.rng_key(5))
        for segment in self.plan.segments:
            if segment.type not in ("opening", "ending"):
                getattr(self, f"_{segment.type}")(segment)

    # One frame

    def frame(self, seconds: float) -> np.ndarray:
        """uint8 (height x 3/2, width), YUV 4:2:0. The same array is given again while nothing changes: do not write."""
        shot_index = max(0, bisect.bisect_right(self.shot_starts, seconds) - 1)
        shot = self.shots[shot_index]
        step = math.floor((seconds - shot.start) / shot.hold + 1e-6)
        light, colour = self._light(seconds)
        seen = []
        for i, overlay in enumerate(self.overlays):
            if overlay.start > seconds:
                break
            if seconds < overlay.end:
                share = 1.0
                if overlay.fade:
                    share = min(1.0, (seconds - overlay.start) / overlay.fade, (overlay.end - seconds) / overlay.fade)
                seen.append((i, round(FADE_STEPS * share), even(overlay.y - overlay.rise * (seconds - overlay.start))))
        talking = self._talking(seconds) if any(f.moves == "talks" for f in shot.figures) else False
        key = (shot_index, step, light, colour, talking, tuple(seen))
        if key != self.last_key:
            self.last_key, self.last_frame = key, self._compose(shot, step, light, colour, talking, seen)
        return self.last_frame

    def _talking(self, seconds: float) -> bool:
        i = bisect.bisect_right(self.line_starts, seconds) - 1
        return i >= 0 and seconds < self.plan.lines[i].end

    def _light(self, seconds: float) -> tuple[int, str]:
        """How much of the picture is seen (0..FADE_STEPS), and the colour of the rest."""
        segment = self.plan.segment_at(seconds)
        light = 1.0
        colour = segment.colour
        if segment.fade_out:
            light = min(light, (segment.end - seconds) / segment.fade_out)
        if segment.fade_in and seconds - segment.start < segment.fade_in:
            light = min(light, (seconds - segment.start) / segment.fade_in)
            before = self.plan.segment_at(segment.start - 1e-6)
            colour = before.colour
        for gap in self.gaps:
            if gap.start - 0.5 < seconds < gap.end:
                light, colour = min(light, max(0.0, (gap.start - seconds) / 0.5)), gap.type
        return round(FADE_STEPS * min(1.0, max(0.0, light))), colour

    def _compose(self, shot: Shot, step: int, light: int, colour: str, talking: bool, seen: list[tuple]) -> np.ndarray:
        w, h = self.plan.width, self.plan.height
        flat = np.empty(w * h * 3 // 2, np.uint8)
        luma, *chroma = np.split(flat, (w * h, w * h * 5 // 4))  # views: what is painted there is in `flat`
        planes = (luma.reshape(h, w), *(c.reshape(h // 2, w // 2) for c in chroma))
        if light:
            now = step * shot.hold
            share = min(1.0, now / max(shot.end - shot.start, 1e-6))
            x, y, zoom = (a + (b - a) * share for a, b in zip(*shot.camera, strict=True))
            show_background(planes, shot.background, x, y, zoom, whole_pixels=zoom == 1.0)
            for figure in shot.figures:
                paste(planes, self._pose(figure, step, talking), figure.x + figure.dx * now, figure.y + figure.dy * now)
            for i, share, top in seen:
                if share:
                    paste(planes, self._faded(i, share), self.overlays[i].x, top)
        if light < FADE_STEPS:
            part = light / FADE_STEPS
            for plane, rest in zip(planes, (16 if colour == "black" else 235, 128, 128), strict=True):
                if light:
                    cv2.addWeighted(plane, part, plane, 0, rest * (1 - part), dst=plane)
                else:
                    plane[:] = rest
        return flat.reshape(h * 3 // 2, w)

    def _faded(self, i: int, share: int) -> Sprite:
        if share == FADE_STEPS:
            return self.overlays[i].sprite
        if (i, share) not in self.faded:
            self.faded[i, share] = self.overlays[i].sprite.faded(share / FADE_STEPS)
        return self.faded[i, share]

    def _pose(self, figure: Figure, step: int, talking: bool) -> Sprite:
        if figure.moves == "talks":
            if talking:
                return figure.poses[(0, 1, 2, 1, 2, 0, 1)[step % 7]]
            return figure.poses[3 if len(figure.poses) > 3 and step % 23 == 9 else 0]
        return figure.poses[step // 2 % 2 if figure.moves == "walks" else 0]

    def _size(self, pixels: float) -> int:
        return max(8, round(pixels * self.unit))
