"""The picture of a made clip of the family "film": a space and crime series; takes are long and dissolve.

    picture = FilmPicture(plan)                  # picture.frame(12.04): as Picture of synth.scene
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from synth.film.paint import GRADES, INSIDE, FilmArtist, letter_sprite
from synth.plan import Event, Segment
from synth.scene import FADE_STEPS, Figure, Overlay, Picture, Shot, show_background
from synth.sprites import Planes, Sprite, even, paste, to_planes

OUTSIDE = ("mountains", "sea", "clouds", "dunes", "skyline", "space")
ABSTRACT = ("streaks", "bokeh", "plasma", "space", "bars")
HOLD = 1 / 8  # s a picture stays


@dataclass
class FilmShot(Shot):
    """A take; it dissolves in from the take `before` during its first `dissolve` seconds.

    `shake` is how far the camera trembles in pixels, `bars` the height of the black bars above and below in pixels.
    """

    dissolve: float = 0.0
    shake: float = 0.0
    bars: int = 0
    before: "FilmShot | None" = None


class FilmPicture(Picture):
    """Takes and overlays of one clip of the family "film"; `frame` shows any moment of it."""

    def make_artist(self) -> FilmArtist:
        """Who lights and shoots this clip; he also settles how it is cut."""
        rng, plan = self.rng, self.plan
        self.wide_bars = even(plan.height * rng.uniform(0.07, 0.13)) if rng.random() < 0.35 else 0
        self.bars, self.last = self.wide_bars, None
        self.dissolves = rng.uniform(0.1, 0.5)  # share of the cuts in quiet parts
        self.trembles = 0.0 if rng.random() < 0.5 else rng.uniform(0.5, 1.5) * plan.height / 180
        self.yellow = (1.0, rng.uniform(0.82, 0.95), rng.uniform(0.25, 0.6))
        return FilmArtist(rng, plan.width, plan.height)

    # One frame

    def _compose(self, shot: FilmShot, step: int, light: int, colour: str, talking: bool, seen: list) -> np.ndarray:
        w, h = self.plan.width, self.plan.height
        flat = np.empty(w * h * 3 // 2, np.uint8)
        luma, *chroma = np.split(flat, (w * h, w * h * 5 // 4))
        planes = (luma.reshape(h, w), *(c.reshape(h // 2, w // 2) for c in chroma))
        if light:
            self._expose(planes, shot, step, talking)
            now = step * shot.hold
            if shot.before is not None and now < shot.dissolve:
                old = tuple(np.empty_like(p) for p in planes)
                self._expose(old, shot.before, int((shot.before.end - shot.before.start) / shot.before.hold), False)
                for plane, was in zip(planes, old, strict=True):
                    share = (now + shot.hold) / (shot.dissolve + shot.hold)
                    cv2.addWeighted(plane, share, was, 1 - share, 0, dst=plane)
            for i, share, top in seen:
                if share:
                    paste(planes, self._faded(i, share), self.overlays[i].x, top)
        for plane, rest in zip(planes, (16 if colour == "black" else 235, 128, 128), strict=True):
            if 0 < light < FADE_STEPS:
                cv2.addWeighted(plane, light / FADE_STEPS, plane, 0, rest * (1 - light / FADE_STEPS), dst=plane)
            elif not light:
                plane[:] = rest
        return flat.reshape(h * 3 // 2, w)

    def _expose(self, planes: Planes, shot: FilmShot, step: int, talking: bool) -> None:
        """Paint a take after `step` steps into the planes of a frame."""
        now = step * shot.hold
        share = min(1.0, now / max(shot.end - shot.start, 1e-6))
        x, y, zoom = (a + (b - a) * share for a, b in zip(*shot.camera, strict=True))
        if shot.shake:
            x += shot.shake * (math.sin(5.1 * now) + 0.6 * math.sin(11.7 * now + 1))
            y += shot.shake * (math.sin(6.3 * now + 2) + 0.5 * math.sin(13.1 * now))
        still = shot.camera[0] == shot.camera[1] and not shot.shake
        show_background(planes, shot.background, x, y, zoom, whole_pixels=still)
        for figure in shot.figures:
            paste(planes, self._pose(figure, step, talking), figure.x + figure.dx * now, figure.y + figure.dy * now)
        for plane, dark, scale in zip(planes, (16, 128, 128), (1, 2, 2), strict=True):
            if shot.bars:
                plane[: shot.bars // scale] = plane[-(shot.bars // scale) :] = dark

    # Building blocks

    def _text(self, lines, colour, outline, align="left", upright=False, font=None) -> Sprite:
        """As in Picture, which writes its station's mark with it; colours in 0..255."""
        return letter_sprite(lines, font or self.artist.face, tuple(c / 255 for c in colour), align=align)

    def _move(self, way: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """A camera that is `still`, drifts slowly, tracks along the background, or pushes in and pulls out."""
        rng = self.rng
        bw, bh = self.artist.canvas()
        w, h = self.plan.width, self.plan.height
        room = np.array((bw - w - 4, bh - h - 4)) * 0.5
        mid = room + rng.uniform(-0.6, 0.6, 2) * room
        if way == "still":
            return ((float(mid[0]), float(mid[1]), 1.0),) * 2
        if way in ("drift", "track"):
            angle, far = rng.uniform(0, 6.28), rng.uniform(0.15, 0.4) if way == "drift" else 0.95
            step = np.array((np.cos(angle), 0.6 * np.sin(angle) if way == "drift" else 0.0)) * room * far
            centre = mid * (1 - far) + room * far
            return (*map(float, centre - step), 1.0), (*map(float, centre + step), 1.0)
        far, near = 1.26, rng.uniform(0.85, 1.12)
        ends = [((bw - w * z) / 2, (bh - h * z) / 2, z) for z in (far, near)]
        return (ends[0], ends[1]) if rng.random() < 0.6 else (ends[1], ends[0])

    def _take(self, start: float, end: float, image: np.ndarray | Planes, way: str, figures=(), dissolve=0.0) -> None:
        """Add a take; `image` is RGB or planes; one that `dissolve`s takes its time from the take before."""
        planes = image if isinstance(image, tuple) else to_planes(image)
        camera = self._move(way)
        shake = self.trembles * float(self.rng.uniform(0.3, 1.0)) if self.rng.random() < 0.3 else 0.0
        moving = way != "still" or shake or figures or dissolve
        hold = HOLD if moving else max(HOLD, (end - start) / 3)
        before = self.last if self.last is not None and abs(self.last.end - start) < 1e-6 else None
        dissolve = min(dissolve, (end - start) / 2) if before is not None else 0.0
        self.last = FilmShot(start, end, planes, camera, hold, list(figures), dissolve, shake, self.bars, before)
        self.shots.append(self.last)
        if before is not None and not dissolve:
            self.last.before = None

    def _people(self, view: str, grade: str, count: int = 1, speed: float = 0.0) -> list[Figure]:
        """Whole figures or machines; `speed` in frame widths a second."""
        rng, h, w = self.rng, self.plan.height, self.plan.width
        size = even(h * (0.3 if view in ("ship", "car") else 0.62) * float(rng.choice((0.75, 1.0, 1.25))))
        speed = abs(speed) if view in ("ship", "car") else speed
        figures = []
        for i in range(count):
            x = (
                rng.uniform(0.05, 0.75) * w
                if abs(speed) < 0.2
                else (-0.1 - 0.15 * i if speed > 0 else 0.9 + 0.1 * i) * w
            )
            y = h * rng.uniform(0.2, 0.5) if view == "ship" else h * 0.98 - size
            poses = self.artist.actor(int(rng.integers(5)), view, size, grade)
            figures.append(Figure(poses, x, y, speed * w, moves="walks" if speed or view == "ship" else "stands"))
        return figures

    def _bust(self, who: int, grade: str, side: float, scale: float = 1.0) -> Figure:
        size = even(self.plan.height * scale * float(self.rng.choice((0.85, 1.1))))
        poses = self.artist.actor(who, "bust", size, grade)
        return Figure(poses, side * self.plan.width - size / 2, self.plan.height - 0.95 * size, moves="talks")

    # Episode, preview, sponsor

    def _framed(self, chance: float) -> None:
        """Black bars for a part of a clip, or none where the clip has them."""
        other = even(self.plan.height * 0.1) if not self.wide_bars else 0
        self.bars = other if self.rng.random() < chance else self.wide_bars
        self.last = None

    def _episode(self, segment: Segment) -> None:
        rng = self.rng
        kinds = [str(k) for k in rng.choice(OUTSIDE + INSIDE, 5)]
        for scene in (e for e in self.plan.all("scene") if segment.start <= e.start < segment.end):
            self._scene(scene, kinds[int(rng.integers(5))])
        for event in (e for e in self.plan.all("credits") if segment.start <= e.start < segment.end):
            self._names(event.start, event.end, 0.7, "centre" if rng.random() < 0.3 else "low")

    def _scene(self, scene: Event, kind: str) -> None:
        """One place: long takes of it and of those who talk there, with what the plan puts between."""
        rng, artist = self.rng, self.artist
        self._framed(0.1)
        grade = str(rng.choice(artist.grades)) if rng.random() < 0.85 else str(rng.choice(list(GRADES)))
        wide = artist.place(kind, grade, light=float(rng.choice((0.55, 0.85, 1.0))))
        place, behind = to_planes(wide), [to_planes(artist.soft(wide)) for _ in range(2)]
        pair = [int(k) for k in rng.choice(5, 2, replace=False)]
        special = [e for e in self.plan.all("eyecatch", "sign", "montage") if scene.start <= e.start < scene.end]
        now, turn, pace, quick = scene.start, 0, rng.uniform(4.0, 9.0), 0.0
        if rng.random() < 0.25 and scene.end - scene.start > 2:
            words = [
                (artist.title(), self._size(rng.uniform(11, 17))),
                (f"{rng.integers(24):02} {rng.integers(60):02}", self._size(9)),
            ]
            sprite = letter_sprite(words, artist.face, (0.95, 0.95, 0.9), spacing=float(rng.choice((0.0, 0.3))))
            x, y = rng.uniform(0.05, 0.3) * self.plan.width, rng.uniform(0.1, 0.7) * self.plan.height
            self.overlays.append(Overlay(scene.start + 0.4, min(scene.end, scene.start + 5), sprite, x, y, fade=0.5))
        while now < scene.end - 1e-6:
            event = next((e for e in special if e.start <= now < e.end - 1e-6), None)
            following = min((e.start for e in special if e.start > now + 1e-6), default=scene.end)
            stop = min(event.end, scene.end) if event else following
            if event and event.type == "montage":
                quick = quick * rng.uniform(0.7, 1.1) if quick > 0.5 else rng.uniform(0.8, 2.2)
                stop = min(stop, now + quick)
                self._lively(now, stop, place, grade)
            elif event and event.type == "eyecatch":
                self._title(now, stop)
            elif event and rng.random() < 0.3:  # words on black
                self._take(now, stop, artist.place("bokeh", grade, light=0.0), "still")
                words = [(text, self._size(rng.uniform(10, 14))) for text in (artist.sentence(), artist.name())]
                sprite = letter_sprite(words, artist.face, (0.9, 0.9, 0.9), align="centre")
                at = (self.plan.width - sprite.width) / 2, 0.42 * self.plan.height
                self.overlays.append(Overlay(now, stop, sprite, *at, fade=min(0.5, (stop - now) / 3)))
            elif event:
                self._take(now, stop, artist.screen(grade), str(rng.choice(("still", "push"))))
            else:
                stop = min(stop, scene.end, now + pace * rng.uniform(0.5, 1.8))
                stop = min(following, scene.end) if scene.end - stop < 1.0 else stop
                self._quiet(now, stop, place, behind, pair, turn, grade)
                turn += 1
            now = stop

    def _quiet(self, start: float, end: float, place: Planes, behind: list, pair: list, turn: int, grade: str) -> None:
        rng, w = self.rng, self.plan.width
        kind = (
            "wide"
            if not turn
            else str(rng.choice(("face", "over", "two", "wide", "walk"), p=(0.4, 0.16, 0.14, 0.16, 0.14)))
        )
        way = str(rng.choice(("still", "drift", "push"), p=(0.62, 0.3, 0.08)))
        figures, ground = [], behind[turn % 2]
        side = (0.36, 0.64)[turn % 2]
        if kind == "face":
            figures = [self._bust(pair[turn % 2], grade, side)]
        elif kind == "over":  # across the other's shoulder
            size = even(self.plan.height * 1.1)
            near = self.artist.actor(pair[1 - turn % 2], "shadow", 2 * size, grade)[:1]
            figures = [
                self._bust(pair[turn % 2], grade, side, 0.75),
                Figure(near, w * (0.95 - side) - size / 2, 0.1 * size),
            ]
        elif kind == "two":
            figures, ground = [self._bust(pair[0], grade, 0.27, 0.75), self._bust(pair[1], grade, 0.72, 0.75)], place
        else:
            way, ground = str(rng.choice(("drift", "still", "track", "push"), p=(0.45, 0.25, 0.15, 0.15))), place
            view = str(rng.choice(("full", "shadow", "car", "ship"), p=(0.6, 0.2, 0.1, 0.1)))
            if kind == "walk" or rng.random() < 0.25:
                figures = self._people(view, grade, int(rng.integers(1, 3)), float(rng.choice((-0.04, 0.03, 0.05))))
        dissolve = float(rng.uniform(0.5, 1.6)) if rng.random() < self.dissolves else 0.0
        self._take(start, end, ground, way, figures, dissolve)

    def _lively(self, start: float, end: float, place: Planes, grade: str) -> None:
        """A short, strong take: a face before streaks of light, a chase, something strange."""
        rng, kind = self.rng, self.rng.random()
        way = str(rng.choice(("still", "track", "push")))
        if kind < 0.3:
            ground = to_planes(self.artist.place(str(rng.choice(ABSTRACT)), grade))
            figures = [self._bust(int(rng.integers(5)), grade, rng.uniform(0.3, 0.7))]
        elif kind < 0.5:
            ground, figures = to_planes(self.artist.place(str(rng.choice(ABSTRACT)), grade)), []
        else:
            ground = place
            view = str(rng.choice(("full", "shadow", "car", "ship"), p=(0.4, 0.2, 0.2, 0.2)))
            figures = self._people(view, grade, int(rng.integers(1, 3)), float(rng.choice((-0.6, -0.3, 0.3, 0.6))))
        self._take(start, end, ground, way, figures)

    def _preview(self, segment: Segment) -> None:
        rng, artist, now = self.rng, self.artist, segment.start
        self._framed(0.1)
        while now < segment.end - 1e-6:
            stop = now + rng.uniform(1.5, 4.0)
            stop = segment.end if segment.end - stop < 0.8 else stop
            grade = str(rng.choice(artist.grades))
            wide = artist.place(str(rng.choice(OUTSIDE + INSIDE)), grade)
            if rng.random() < 0.5:
                self._take(
                    now,
                    stop,
                    artist.soft(wide),
                    "drift",
                    [self._bust(int(rng.integers(5)), grade, rng.uniform(0.3, 0.7))],
                )
            else:
                self._lively(now, stop, to_planes(wide), grade)
            now = stop
        words = [("NEXT TIME ON", self._size(10)), (artist.title(), self._size(16))]
        sprite = letter_sprite(words, artist.face, (0.95,) * 3, shadow=0.5, spacing=0.15)
        at = max(segment.start, segment.end - rng.uniform(3, 9))
        x, y = rng.choice((0.06 * self.plan.width, (self.plan.width - sprite.width) / 2)), 0.68 * self.plan.height
        self.overlays.append(Overlay(at, segment.end, sprite, x, y, fade=0.4))

    def _sponsor(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        self._framed(0.0)
        ground = artist.place(
            str(rng.choice(ABSTRACT + OUTSIDE)), str(rng.choice(artist.grades)), light=rng.uniform(0.3, 0.9)
        )
        self._take(segment.start, segment.end, ground, str(rng.choice(("still", "drift"))))
        names = [(f, self._size(rng.uniform(13, 18))) for f in artist.firms(int(rng.integers(1, 4)))]
        words = [("MADE POSSIBLE BY", self._size(9)), *names]
        sprite = letter_sprite(words, artist.face, (0.97,) * 3, shadow=0.7, align="centre", spacing=0.1)
        at = (self.plan.width - sprite.width) / 2, (self.plan.height - sprite.height) * rng.uniform(0.4, 0.7)
        self.overlays.append(Overlay(segment.start, segment.end, sprite, *at, fade=0.5 if rng.random() < 0.6 else 0.0))

    def _title(self, start: float, end: float) -> None:
        """The name of the series, wide, over something strange or over black."""
        rng, artist = self.rng, self.artist
        light = float(rng.choice((0.0, 0.5, 0.9)))
        ground = artist.place(str(rng.choice(ABSTRACT + OUTSIDE)), str(rng.choice(artist.grades)), light=light)
        self._take(start, end, ground, str(rng.choice(("drift", "push"))))
        size, spacing = self._size(rng.uniform(22, 34)), rng.uniform(0.1, 0.6)
        colour = tuple(np.clip(np.array((1.0, 1.0, 1.0)) - rng.random(3) * rng.choice((0.0, 0.5)), 0, 1))
        while True:
            sprite = letter_sprite([(self.series_title, size)], artist.title_face, colour, shadow=0.4, spacing=spacing)
            if sprite.width < 0.95 * self.plan.width or size <= 8:
                break
            size, spacing = max(8, round(0.85 * size)), 0.8 * spacing
        at = (self.plan.width - sprite.width) / 2, self.plan.height * rng.uniform(0.35, 0.5)
        self.overlays.append(
            Overlay(start + min(0.4, (end - start) / 4), end, sprite, *at, fade=min(0.6, (end - start) / 4))
        )

    # Opening and ending: they depend on the random numbers and on the segment's length alone

    def _opening(self, segment: Segment) -> None:
        rng, seconds = self.rng, segment.seconds
        self.seen = []  # grades and places of this opening
        self._framed(0.1)
        style = str(rng.choice(("faster", "steady", "slow"), p=(0.55, 0.2, 0.25)))
        first, last = {"faster": (3.5, 0.6), "steady": (1.8, 1.8), "slow": (6.0, 4.0)}[style]
        waves = int(rng.integers(1, 4))  # how often the cuts quicken
        card_seconds = min(rng.uniform(2.5, 5.0), seconds / 5)
        card = {"end": seconds - card_seconds, "begin": rng.uniform(0.05, 0.25) * seconds, "none": math.inf}[
            str(rng.choice(("end", "begin", "none"), p=(0.4, 0.3, 0.3)))
        ]
        now = 0.0  # s since the segment's start
        while now < seconds - 1e-6:
            if card <= now:
                stop, card = min(seconds, now + card_seconds), math.inf
                stop = seconds if seconds - stop < 0.5 else stop
                self._title(segment.start + now, segment.start + stop)
            else:
                pace = first * (last / first) ** (waves * now / seconds % 1.0) * rng.uniform(0.6, 1.5)
                stop = seconds if seconds - now - pace < 0.5 else now + pace
                stop = card if now < card < stop + 0.3 else stop
                dissolve = (
                    rng.uniform(0.4, 1.5) if rng.random() < {"slow": 0.7, "steady": 0.2, "faster": 0.1}[style] else 0.0
                )
                self._opening_take(segment.start + now, segment.start + stop, dissolve)
            now = stop
        if rng.random() < 0.92 and self.plan.case != "no_credits":
            begin = rng.uniform(0, 8) * min(1, seconds / 60)
            style, dense = str(rng.choice(("centre", "low", "sides"))), rng.uniform(0.7, 0.95)
            self._names(segment.start + begin, segment.end - rng.uniform(0, 0.1) * seconds, dense, style)

    def _opening_take(self, start: float, end: float, dissolve: float) -> None:
        rng, artist = self.rng, self.artist
        kind = str(rng.choice(("place", "strange", "face", "lively", "shadow"), p=(0.27, 0.2, 0.23, 0.18, 0.12)))
        way = str(rng.choice(("still", "drift", "track", "push"), p=(0.4, 0.2, 0.2, 0.2)))
        if kind != "strange" and len(self.seen) > 3 and rng.random() < 0.4:  # a place is seen again
            grade, ground = self.seen[int(rng.integers(len(self.seen)))]
        else:
            grade = str(rng.choice(artist.grades))
            ground = artist.place(str(rng.choice(ABSTRACT if kind == "strange" else OUTSIDE + INSIDE)), grade)
            self.seen.append((grade, ground))
        if kind == "lively":
            self._lively(start, end, to_planes(ground), grade)
            return
        figures = []
        if kind == "face":
            ground = artist.soft(ground) if rng.random() < 0.7 else ground
            figures = [self._bust(int(rng.integers(5)), grade, rng.uniform(0.2, 0.8))]
        elif kind == "shadow":
            figures = self._people("shadow", grade, int(rng.integers(1, 4)), float(rng.choice((-0.05, 0.0, 0.05))))
        self._take(start, end, ground, way, figures, dissolve)

    def _ending(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        self._framed(0.1)
        layout = str(rng.choice(("black", "take", "takes", "window"), p=(0.16, 0.34, 0.32, 0.18)))
        way = str(rng.choice(("columns", "fast", "corners", "pages", "none"), p=(0.37, 0.2, 0.2, 0.18, 0.05)))
        if self.plan.case == "no_credits" or way == "none":
            way, layout = "none", "takes" if layout == "black" else layout
        pace = {"black": math.inf, "take": math.inf, "takes": rng.uniform(7, 20), "window": rng.uniform(5, 25)}[layout]
        grade, light = (
            str(rng.choice(artist.grades)),
            {"black": 0.0}.get(layout, float(rng.choice((0.35, 0.6, 0.9, 1.1)))),
        )
        right, now = rng.random() < 0.5, 0.0  # the names' side
        while now < segment.seconds - 1e-6:
            stop = now + pace * rng.uniform(0.7, 1.3)
            stop = segment.seconds if segment.seconds - stop < 3 else stop
            ground = artist.place(str(rng.choice(OUTSIDE + INSIDE + ABSTRACT)), grade, light=light)
            move = str(rng.choice(("drift", "track", "push")))
            if layout in ("black", "window") or way == "fast" or rng.random() < 0.4:
                move = "still"
            figures = []
            if layout == "window":
                (bh, bw), image = ground.shape[:2], np.full_like(ground, 6)
                small = cv2.resize(ground, (even(0.42 * bw), even(0.42 * bh)), interpolation=cv2.INTER_AREA)
                x, y = even(bw * (0.16 if right else 0.44)), even(0.29 * bh)
                image[y : y + small.shape[0], x : x + small.shape[1]] = small
                ground = image
            elif layout != "black" and rng.random() < 0.4:
                figures = self._people(
                    str(rng.choice(("shadow", "full", "ship"))), grade, 1, float(rng.choice((0.0, 0.01)))
                )
            self._take(segment.start + now, segment.start + stop, ground, move, figures, rng.uniform(0.8, 2.0))
            if layout == "window":  # the small picture stays where it is
                self.last.camera, self.last.shake = ((0.15 * self.plan.width, 0.15 * self.plan.height, 1.0),) * 2, 0.0
            now = stop
        begin = segment.start + rng.uniform(0, 4) * min(1, segment.seconds / 60)
        if way in ("columns", "fast"):
            middle = (0.8 if right else 0.2) if layout == "window" else float(rng.choice((0.5, 0.5, 0.3, 0.7)))
            self._roll(begin, segment.end, middle, columns=way == "columns" and layout != "window")
        elif way != "none":
            middle = (0.77 if right else 0.23) if layout == "window" else 0.5
            self._names(begin, segment.end, 0.95, "pages" if layout == "window" else way, middle)

    # Letters

    def _names(self, start: float, end: float, dense: float, style: str, middle: float = 0.5) -> None:
        """Staff names for `dense` (0..1) of the time.

        Styles: `centre` (a wide pair), `low` (small, left, with a rule), `sides`, `corners`, `pages` (many lines around
        `middle`, 0..1 of the width).
        """
        rng, artist = self.rng, self.artist
        w, h = self.plan.width, self.plan.height
        size = self._size({"centre": 15, "pages": 12, "sides": 12}.get(style, 10.5) * rng.uniform(0.88, 1.15))
        colour = tuple(float(c) for c in 1 - rng.uniform(0, 0.15, 3))
        spacing = {"centre": rng.uniform(0.25, 0.5), "low": 0.15}.get(style, rng.uniform(0, 0.12))
        pace, now = rng.uniform(2.6, 5.0), start
        while now < end - 0.4:
            stop = min(end, now + pace * rng.uniform(0.7, 1.4))
            if rng.random() < dense:
                count = (
                    int(rng.integers(3, 7))
                    if style == "pages"
                    else int(rng.integers(1, 2 if style in ("centre", "low") else 4))
                )
                names = [(artist.name().upper() if style != "pages" else artist.name(), size) for _ in range(count)]
                words = [(artist.role(), max(8, round(0.68 * size))), *names]
                align = "centre" if style in ("centre", "pages") else "left"
                sprite = letter_sprite(
                    words, artist.face, colour, shadow=0.6, align=align, spacing=spacing, rule=style == "low"
                )
                if sprite.width > (0.94 if middle == 0.5 else 0.46) * w:
                    face = artist.face if middle == 0.5 else "narrow"
                    sprite = letter_sprite(words, face, colour, shadow=0.6, align=align)
                x, y = min(max(2, middle * w - sprite.width / 2), w - sprite.width - 2), (h - sprite.height) * 0.52
                if style == "low":
                    x, y = 0.06 * w, 0.86 * h - sprite.height
                elif style != "centre" and style != "pages":
                    x = 0.05 * w if rng.random() < 0.5 else 0.95 * w - sprite.width
                    y = (
                        h * rng.uniform(0.3, 0.6)
                        if style == "sides"
                        else float(rng.choice((0.12 * h, 0.86 * h - sprite.height)))
                    )
                gap = 0.25 * (stop - now)
                self.overlays.append(Overlay(now, stop, sprite, x, y, fade=min(gap, 0.8)))
            now = stop

    def _roll(self, start: float, end: float, middle: float, *, columns: bool) -> None:
        """Names that rise: role | name around `middle` (0..1 of the width), or faster in one column."""
        rng, artist = self.rng, self.artist
        w, h = self.plan.width, self.plan.height
        rise, size = h / (rng.uniform(6, 11) if columns else rng.uniform(3, 6)), self._size(rng.uniform(10, 13))
        gap, now = size * rng.uniform(0.4, 0.9), start
        colour = tuple(float(c) for c in 1 - rng.uniform(0, 0.2, 3))
        while now < end:
            names = [(artist.name(), size) for _ in range(int(rng.integers(1, 4)))]
            role, x = [(artist.role(), size if columns else max(8, round(0.75 * size)))], middle * w
            if columns:
                left = letter_sprite(role, artist.face, tuple(0.8 * c for c in colour), shadow=0.4)
                right = letter_sprite(names, artist.face, colour, shadow=0.4)
                pieces = [(left, x - gap - left.width), (right, x + gap)]
            else:
                sprite = letter_sprite(role + names, artist.face, colour, shadow=0.4, align="centre")
                pieces = [(sprite, min(max(2, x - sprite.width / 2), w - sprite.width - 2))]
            tall = max(p.height for p, _ in pieces)
            for piece, left_edge in pieces:
                over = min(end, now + (h + tall) / rise)
                self.overlays.append(Overlay(now, over, piece, left_edge, h, rise=rise))
            now += (tall + size * (0.2 if columns else 0.8)) / rise

    def _subtitles(self) -> None:
        size = self._size(self.rng.uniform(11, 14))
        for line in self.plan.lines:
            sprite = letter_sprite([(self.artist.sentence(), size)], "plain", self.yellow, shadow=0.8)
            x, y = (self.plan.width - sprite.width) / 2, 0.97 * self.plan.height - sprite.height
            end = min(self.plan.segment_at(line.start).end, line.end + self.rng.uniform(0, 0.4))
            self.overlays.append(Overlay(line.start, end, sprite, x, y))
