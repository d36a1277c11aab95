"""The picture of a made clip of the family "paper": cut-out puppets before torn paper, wiped and turned like pages.

    picture = PaperPicture(plan)                 # picture.frame(12.04): as Picture of synth.scene

Only the machinery is shared (shots with held drawings, sprites); cutting and cards are this family's
own. Everything follows from the plan's seed.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from synth.paper.paint import PaperArtist
from synth.plan import ClipPlan, Event, Segment
from synth.scene import FADE_STEPS, Figure, Overlay, Picture, Shot
from synth.sprites import Planes, Sprite, even, paste, to_planes

HOLD = 1 / 6  # s a drawing stays: puppets move in jerks
WIPE_STEPS = 3  # drawings that a wipe takes
OUTSIDE, INSIDE = ("dunes", "town", "wood", "harbour", "moon", "field"), ("stage", "kitchen")


@dataclass
class Take(Shot):
    """A shot that may come in by a wipe over the one `before` it: left, down, iris, blinds or torn."""

    wipe: str = ""
    before: Shot | None = None


@dataclass
class Ribbon(Overlay):
    """Letters that run to the left: `x` is their upper edge, `y` their left edge, `rise` the speed in pixels/s."""


class PaperPicture(Picture):
    """Shots and overlays of one clip of paper puppets; `frame` shows any moment of it."""

    def __init__(self, plan: ClipPlan):
        self.wipes: dict[str, np.ndarray] = {}
        super().__init__(plan)
        for earlier, later in zip(self.shots, self.shots[1:], strict=False):
            later.before = earlier

    def make_artist(self) -> PaperArtist:
        return PaperArtist(self.rng, self.plan.width, self.plan.height)

    # One frame

    def _compose(self, shot: Take, step: int, light: int, colour: str, talking: bool, seen: list[tuple]) -> np.ndarray:
        w, h = self.plan.width, self.plan.height
        flat = super()._compose(shot, step, FADE_STEPS if light else 0, colour, talking, [])
        luma, *chroma = np.split(flat.reshape(-1), (w * h, w * h * 5 // 4))  # views of `flat`
        planes = (luma.reshape(h, w), *(c.reshape(h // 2, w // 2) for c in chroma))
        if light and shot.wipe and shot.before and step < WIPE_STEPS:
            last = math.floor((shot.before.end - shot.before.start) / shot.before.hold)
            old = super()._compose(shot.before, last, FADE_STEPS, colour, False, []).reshape(-1)
            covered = self._wipe(shot.wipe) > (step + 1) / (WIPE_STEPS + 1)
            for plane, rest in zip(planes, np.split(old, (w * h, w * h * 5 // 4)), strict=True):
                still = covered if plane.shape[0] < h else covered.repeat(2, 0).repeat(2, 1)
                np.copyto(plane, rest.reshape(plane.shape), where=still)
        for i, share, top in seen if light else ():
            overlay = self.overlays[i]
            at = (top, overlay.x) if isinstance(overlay, Ribbon) else (overlay.x, top)
            if share:
                paste(planes, self._faded(i, share), *at)
        if 0 < light < FADE_STEPS:
            part = light / FADE_STEPS
            for plane, rest in zip(planes, (16 if colour == "black" else 235, 128, 128), strict=True):
                cv2.addWeighted(plane, part, plane, 0, rest * (1 - part), dst=plane)
        return flat

    def _pose(self, figure: Figure, step: int, talking: bool) -> Sprite:
        order = (0, 0)
        if figure.moves == "talks":
            order = (1, 0, 2, 1, 0, 2, 2, 0) if talking else (0,) * 16 + (3,)
        elif figure.moves == "walks":
            order = (0, 0, 1, 1)
        pose = order[step % len(order)]
        return figure.poses[pose if pose < len(figure.poses) else pose % 2 if talking else 0]

    def _wipe(self, way: str) -> np.ndarray:
        """When each place is reached, 0..1, float32 (height/2, width/2)."""
        if way not in self.wipes:
            h, w = self.plan.height // 2, self.plan.width // 2
            y, x = np.mgrid[0:h, 0:w].astype(np.float32) / np.float32((h, w))[:, None, None]
            self.wipes[way] = {
                "left": x,
                "down": y,
                "iris": np.hypot(x - 0.5, y - 0.5) * 1.41,
                "blinds": (5 * x) % 1.0,
                "torn": 0.7 * x + 0.2 * y + 0.04 * np.sin(23 * y) + 0.03 * np.sin(61 * y + 2),
            }[way]
        return self.wipes[way]

    # Building blocks

    def _text(self, lines, colour, outline, align="left", upright=False, font=None) -> Sprite:
        return self.artist.letters(self.artist.block(lines, align, font or self.artist.font), colour, outline)

    def _slip(self, lines, *, align="left", font=None) -> Sprite:
        """Lines of (text, size) on a strip of coloured paper."""
        artist, rng = self.artist, self.rng
        paper, light, *_, ink, accent = artist.palette()
        light = max((paper, light, (233, 224, 205)), key=sum)
        ink, paper = ((ink, light), (light, accent), (light, ink))[rng.choice(3, p=(0.45, 0.3, 0.25))]
        if abs(sum(ink) - sum(paper)) < 220:
            ink = (22, 18, 18) if sum(paper) > 380 else (244, 238, 224)
        return artist.label(artist.block(lines, align, font or artist.font), ink, paper, torn=rng.random() < 0.7)

    def _put(self, start: float, end: float, sprite: Sprite, x: float, y: float, way: str = "") -> None:
        """Show letters; `way`: they slide in from the "left" or the "right", "drop", or "fade"; else they are there."""
        if way in ("left", "right", "drop") and end - start > 8 * HOLD:
            out = {"left": (-sprite.width, y), "right": (self.plan.width, y), "drop": (x, -sprite.height)}[way]
            for share in (0.6, 0.25, 0.06):
                at = (x + share * (out[0] - x), y + share * (out[1] - y))
                self.overlays.append(Overlay(start, start + HOLD, sprite, *at))
                start += HOLD
        self.overlays.append(Overlay(start, end, sprite, x, y, fade=min(0.3, (end - start) / 4) * (way == "fade")))

    def _camera(self, way: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """`still`, `pan` (sideways), `rise`, `creep` (slowly nearer or farther)."""
        rng = self.rng
        bw, bh = self.artist.canvas()
        w, h = self.plan.width, self.plan.height
        room_x, room_y = bw - w - 2.0, bh - h - 2.0
        x, y = rng.uniform(0, room_x), rng.uniform(0.2, 0.9) * room_y
        ends = ((x, y, 1.0), (x, y, 1.0))
        if way == "pan":
            ends = ((0.0, y, 1.0), (room_x, y, 1.0))
        elif way == "rise":
            ends = ((x, room_y, 1.0), (x, 0.0, 1.0))
        elif way == "creep":
            ends = tuple(((bw - z * w) / 2, (bh - z * h) / 2, z) for z in (1.25, 0.85))
        return ends if rng.random() < 0.5 else ends[::-1]

    def _take(
        self,
        start: float,
        end: float,
        image: Planes,
        who=(),
        *,
        view="full",
        tall=0.6,
        way="still",
        moves="stands",
        run=0.0,
    ) -> Take:
        """A shot of puppets `who`, `tall` shares of the frame's height, spread over what the camera sees."""
        w, h = self.plan.width, self.plan.height
        shot = Take(start, end, image, self._camera(way), HOLD)
        (x0, _, _), (x1, _, _) = shot.camera
        slide = (x0 - x1) / (end - start) if way == "pan" else 0.0
        left, wide = (min(0, x1 - x0), w + abs(x1 - x0)) if way == "pan" else (0, w)
        size = even(h * round(8 * tall) / 8)
        for i, k in enumerate(who):
            x = left + wide * (i + 0.5 + self.rng.uniform(-0.2, 0.2)) / len(who) - size / 2
            y = 0.98 * h - size * (0.97 if view == "bust" else 1.0)
            shot.figures.append(Figure(self.artist.person(int(k), view, size), x, y, slide + run * w, 0.0, moves))
        self.shots.append(shot)
        return shot

    def _nearer(self, start: float, end: float, image: Planes, who: int, view: str = "bust") -> None:
        """Three jumps towards a puppet, or away from it."""
        bw, bh = self.artist.canvas()
        w, h = self.plan.width, self.plan.height
        stages = [(1.2, 0.5), (0.95, 0.75), (0.65, 1.1)][:: 1 if self.rng.random() < 0.75 else -1]
        for k, (zoom, tall) in enumerate(stages):
            a, b = (start + (end - start) * share for share in (k / 3, (k + 1) / 3))
            shot = self._take(a, b, image, [who], view=view, tall=tall, moves="talks" if view == "bust" else "walks")
            shot.camera = (((bw - zoom * w) / 2, (bh - zoom * h) / 2, zoom),) * 2

    # Episode, preview, sponsor

    def _episode(self, segment: Segment) -> None:
        places = [str(k) for k in self.rng.choice(OUTSIDE + INSIDE * 2, 4)]
        for scene in (e for e in self.plan.all("scene") if segment.start <= e.start < segment.end):
            self._scene(scene, self.artist.place(places[self.rng.integers(4)]))
        for event in (e for e in self.plan.all("credits") if segment.start <= e.start < segment.end):
            self._names(event.start, event.end, dense=0.75)

    def _scene(self, scene: Event, wide: np.ndarray) -> None:
        """One place: long takes, the camera goes from puppet to puppet; with what the plan puts between."""
        rng, artist, w, h = self.rng, self.artist, self.plan.width, self.plan.height
        place = to_planes(wide)
        pair = [int(k) for k in rng.choice(5, 2, replace=False)]
        special = [e for e in self.plan.all("eyecatch", "sign", "montage") if scene.start <= e.start < scene.end]
        now, pace = scene.start, rng.uniform(6, 13)
        if rng.random() < 0.25 and scene.end - scene.start > 2:  # a caption: where are we?
            slip = self._slip([(artist.sentence(2), self._size(rng.uniform(10, 15)))])
            at = rng.uniform(0.03, 0.9) * max(0, w - slip.width), rng.uniform(0.04, 0.7) * h
            self._put(
                scene.start + 0.4, min(scene.end, scene.start + 4), slip, *at, str(rng.choice(("left", "fade", "")))
            )
        while now < scene.end - 1e-6:
            event = next((e for e in special if e.start <= now < e.end - 1e-6), None)
            stop = min((e.start for e in special if e.start > now + 1e-6), default=scene.end)
            first = len(self.shots)
            if event and event.type == "montage":
                stop = min(event.end, scene.end, now + rng.uniform(0.5, 2.0))
                self._lively(now, stop, place)
            elif event and event.type == "eyecatch":
                stop = min(event.end, scene.end)
                self._title_card(now, stop)
            elif event:
                stop = min(event.end, scene.end)
                self._take(now, stop, to_planes(artist.letter()), way=str(rng.choice(("still", "creep"))))
            else:
                full, stop = stop, min(stop, now + pace * rng.uniform(0.5, 1.6))
                stop = full if full - stop < 0.8 else stop
                self._quiet(now, stop, place, pair, scene)
            if now > scene.start and rng.random() < 0.3:
                self.shots[first].wipe = str(rng.choice(("left", "down", "iris", "blinds", "torn")))
            now = stop

    def _quiet(self, start: float, end: float, place: Planes, pair: list[int], scene: Event) -> None:
        rng, w, h = self.rng, self.plan.width, self.plan.height
        kinds = ("tableau", "across", "bust", "nearer", "stroll")
        kind = str(rng.choice(kinds, p=(0.31, 0.23, 0.27, 0.08, 0.11)))
        way = str(rng.choice(("still", "creep", "pan"), p=(0.65, 0.15, 0.2)))
        if kind == "across" and end - start > 3:  # rest on one puppet, go over to the other, rest
            size, room = even(h * 7 / 8), self.artist.canvas()[0] - w - 2.0
            a, b = start + 0.4 * (end - start), start + 0.4 * (end - start) + rng.uniform(0.6, 1.2)
            ends = (0.0, room) if rng.random() < 0.5 else (room, 0.0)
            y = 0.1 * h
            for t0, t1, x0, x1 in ((start, a, *ends[:1] * 2), (a, b, *ends), (b, end, *ends[1:] * 2)):
                shot = Take(t0, t1, place, ((x0, y, 1.0), (x1, y, 1.0)), HOLD)
                for who, middle in zip(pair, (0.45 * w, room + 0.55 * w), strict=True):
                    poses, slide = self.artist.person(who, "bust", size), (x0 - x1) / (t1 - t0)
                    shot.figures.append(Figure(poses, middle - size / 2 - x0, h - 0.95 * size, slide, 0.0, "talks"))
                self.shots.append(shot)
        elif kind == "nearer" and end - start > 2:
            self._nearer(start, end, place, pair[rng.integers(2)])
        elif kind == "stroll":
            run = float(rng.choice((-0.08, 0.08)))
            self._take(start, end, place, pair[:1], tall=rng.uniform(0.5, 0.8), moves="walks", run=run)
        elif kind == "bust":
            self._take(start, end, place, pair[:1], view="bust", tall=rng.uniform(0.8, 1.1), way=way, moves="talks")
            pair.reverse()
        else:
            view = "bust" if rng.random() < 0.6 else "full"
            who = (
                [*pair, int(rng.integers(5))][: int(rng.integers(2, 4))]
                if start > scene.start
                else pair[: rng.integers(3)]
            )
            self._take(start, end, place, who, view=view, tall=rng.uniform(0.5, 0.7), way=way, moves="talks")

    def _lively(self, start: float, end: float, place: Planes) -> None:
        """A short, strong shot: a chase, a jump towards a puppet, a figure on a graphic sheet, shadows."""
        rng = self.rng
        kind = str(rng.choice(("chase", "nearer", "sheet", "shadows", "emblem"), p=(0.3, 0.2, 0.25, 0.15, 0.1)))
        who = [int(k) for k in rng.choice(5, int(rng.integers(1, 4)), replace=False)]
        if kind == "chase":
            self._take(start, end, place, who, tall=0.6, moves="walks", run=float(rng.choice((-0.4, -0.2, 0.2, 0.4))))
        elif kind == "nearer" and end - start > 3 * HOLD:
            self._nearer(start, end, place, who[0], str(rng.choice(("bust", "full"))))
        elif kind == "shadows":
            self._take(start, end, place, who, view="shadow", tall=0.75, way="pan", moves="walks")
        else:
            sheet = to_planes(self.artist.pattern())
            way = str(rng.choice(("still", "creep", "rise")))
            self._take(start, end, sheet, who[: kind == "sheet"], view="bust", tall=0.9, way=way, moves="talks")

    def _preview(self, segment: Segment) -> None:
        rng = self.rng
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + rng.uniform(1.5, 4.5)
            stop = segment.end if segment.end - stop < 0.8 else stop
            place = to_planes(self.artist.place(str(rng.choice(OUTSIDE + INSIDE))))
            if rng.random() < 0.5:
                self._lively(now, stop, place)
            else:
                self._take(now, stop, place, rng.choice(5, 2), view="bust", tall=0.65, way="pan", moves="talks")
            now = stop
        words = str(rng.choice(("Next time", "Tomorrow evening", "In the next box")))
        slip = self._slip([(words, self._size(11)), (self.artist.title(), self._size(16))])
        at = rng.choice((0.04, 0.96 - slip.width / self.plan.width)) * self.plan.width, 0.06 * self.plan.height
        self._put(max(segment.start, segment.end - rng.uniform(3, 9)), segment.end, slip, *at, "right")

    def _sponsor(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        image = artist.pattern() if rng.random() < 0.5 else artist.place(str(rng.choice(OUTSIDE)))
        self._take(segment.start, segment.end, to_planes(image), rng.choice(5, int(rng.integers(0, 2))), tall=0.5)
        head = str(rng.choice(("with the kind help of", "made possible by", "thanks to")))
        firms = [(f, self._size(14)) for f in artist.firms(int(rng.integers(1, 4)))]
        slip = self._slip([(head, self._size(11)), *firms], align="centre")
        at = (self.plan.width - slip.width) / 2, (self.plan.height - slip.height) * rng.uniform(0.2, 0.6)
        self._put(segment.start, segment.end, slip, *at, str(rng.choice(("", "fade", "drop"))))

    def _title_card(self, start: float, end: float) -> None:
        rng, artist, w, h = self.rng, self.artist, self.plan.width, self.plan.height
        image = artist.pattern() if rng.random() < 0.6 else artist.place(str(rng.choice(OUTSIDE)))
        self._take(start, end, to_planes(image), way=str(rng.choice(("still", "creep"))))
        size = min(self._size(rng.uniform(20, 34)), max(9, int(1.5 * w / len(self.series_title))))
        slip = self._slip([(self.series_title, size)], font=artist.title_font)
        at = (w - slip.width) * rng.uniform(0.3, 0.7), (h - slip.height) * rng.uniform(0.15, 0.75)
        self._put(start + min(0.3, (end - start) / 4), end, slip, *at, str(rng.choice(("left", "drop", "fade", ""))))

    # Opening and ending

    def _opening(self, segment: Segment) -> None:
        """Shots of whole bars of three beats, a few left out or doubled; a title card, names on slips."""
        rng = self.rng
        bar = 3 * rng.uniform(0.29, 0.48) * (2 if rng.random() < 0.2 else 1)
        card_seconds = min(rng.uniform(2.0, 4.5), segment.seconds / 5)
        card = segment.start + segment.seconds * rng.choice((0.0, 0.2, 1.0, 9.0), p=(0.15, 0.2, 0.4, 0.25))
        card = min(card, segment.end - card_seconds) if card <= segment.end else math.inf
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + bar * int(rng.choice((1, 2, 3, 4, 6), p=(0.28, 0.36, 0.16, 0.14, 0.06)))
            first = len(self.shots)
            if card <= now + 1e-6:
                stop, card = min(segment.end, now + card_seconds), math.inf
                self._title_card(now, stop)
            else:
                stop = card if now < card < stop + 0.4 else stop
                stop = segment.end if segment.end - stop < 0.5 else stop
                self._opening_shot(now, stop)
            if now > segment.start and rng.random() < 0.35:
                self.shots[first].wipe = str(rng.choice(("left", "down", "iris", "blinds", "torn")))
            now = stop
        begin = segment.start + rng.uniform(0, 0.12) * segment.seconds
        if rng.random() < 0.9 and self.plan.case != "no_credits":
            self._names(begin, segment.end - rng.uniform(0, 0.1) * segment.seconds, dense=rng.uniform(0.7, 0.97))
        if rng.random() < 0.25:
            self._lyrics(segment)

    def _opening_shot(self, start: float, end: float) -> None:
        rng = self.rng
        kind = str(rng.choice(("tableau", "lively", "view", "sheet", "bust"), p=(0.25, 0.25, 0.2, 0.12, 0.18)))
        way = str(rng.choice(("still", "pan", "creep", "rise"), p=(0.35, 0.3, 0.2, 0.15)))
        who = rng.choice(5, int(rng.integers(1, 4)), replace=False)
        if kind == "sheet":
            self._take(start, end, to_planes(self.artist.pattern()), who[:1], view="bust", tall=0.85, way=way)
            return
        place = to_planes(self.artist.place(str(rng.choice(OUTSIDE + INSIDE))))
        if kind == "lively":
            self._lively(start, end, place)
        elif kind == "view":
            self._take(start, end, place, way=way)
        else:
            view = "bust" if kind == "bust" else str(rng.choice(("full", "full", "shadow")))
            self._take(start, end, place, who, view=view, tall=rng.uniform(0.5, 0.8), way=way, moves="walks")

    def _ending(self, segment: Segment) -> None:
        """Few, slow pictures; the names on cards or on a ribbon that runs past."""
        rng, artist = self.rng, self.artist
        pace = rng.uniform(3.5, 8) if rng.random() < 0.25 else rng.uniform(10, 30)
        side = float(rng.choice((0.03, 0.5, 0.97)))  # where the cards lie, the puppets keep to the other side
        plain = rng.random() < 0.3
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + pace * rng.uniform(0.6, 1.4)
            stop = segment.end if segment.end - stop < 3 else stop
            image = artist.pattern() if plain else artist.place(str(rng.choice(OUTSIDE + INSIDE)))
            way = str(rng.choice(("pan", "still", "creep", "rise"), p=(0.45, 0.3, 0.15, 0.1)))
            who = rng.choice(5, int(rng.integers(0, 3)), replace=False)
            view = str(rng.choice(("full", "shadow", "bust"), p=(0.5, 0.3, 0.2)))
            run = float(rng.choice((0.0, 0.0, 0.02, -0.02)))
            shot = self._take(now, stop, to_planes(image), who, view=view, tall=0.55, way=way, moves="walks", run=run)
            if now > segment.start and rng.random() < 0.4:
                shot.wipe = str(rng.choice(("left", "down", "torn", "iris")))
            now = stop
        way = str(rng.choice(("cards", "ribbon", "none"), p=(0.55, 0.37, 0.08)))
        begin = segment.start + rng.uniform(0, 0.06) * segment.seconds
        if way == "cards" and self.plan.case != "no_credits":
            self._cards(begin, segment.end, side)
        elif way == "ribbon" and self.plan.case != "no_credits":
            self._ribbon(begin, segment.end, rng.uniform(0.1, 0.85), int(rng.integers(2, 5)))
        if rng.random() < 0.2:
            self._lyrics(segment)

    # Letters

    def _names(self, start: float, end: float, *, dense: float) -> None:
        """Single names on slips that slide in or lie there, or on a ticker; seen for `dense` (0..1) of the time."""
        rng, artist, w, h = self.rng, self.artist, self.plan.width, self.plan.height
        style = str(rng.choice(("wandering", "one place", "ticker"), p=(0.45, 0.3, 0.25)))
        size, pace = self._size(rng.uniform(9.5, 14)), rng.uniform(2.2, 5.5)
        across, level, way = rng.random(), rng.random(), str(rng.choice(("left", "right", "drop", "fade", "")))
        if style == "ticker":
            self._ribbon(start, end, float(rng.choice((0.02, 0.97))), 1)
            return
        now = start
        while now < end - 0.4:
            stop = min(end, now + pace * rng.uniform(0.7, 1.4))
            if rng.random() < dense:
                lines = [(artist.role(), max(8, round(0.75 * size))), (artist.name(), size)]
                slip = self._slip(lines if rng.random() < 0.8 else lines[::-1])
                if style == "wandering":
                    across, level = rng.random(), rng.random()
                at = (0.03 + 0.94 * across) * max(0, w - slip.width), 0.04 * h + level * max(0, 0.92 * h - slip.height)
                self._put(now, stop - min(0.3, (stop - now) / 5), slip, *at, way)
            now = stop

    def _ribbon(self, start: float, end: float, level: float, num_names: int) -> None:
        """Names that run from right to left over a strip of paper at `level` (0..1 of the height)."""
        rng, artist, w, h = self.rng, self.artist, self.plan.width, self.plan.height
        size, speed = self._size(rng.uniform(10, 15)), w / rng.uniform(5, 10)
        paper, light, *_, ink, _ = artist.palette()
        light = max((paper, light, (228, 220, 200)), key=sum)
        ink, paper = (ink, light) if rng.random() < 0.6 else (light, ink)
        band = artist.label(np.zeros((round(1.45 * size), w + 8), np.uint8), ink, paper, torn=False)
        top = level * (h - band.height)
        self.overlays.append(Overlay(start, end, band, -8, top))
        now = start
        while now < end:
            names = ", ".join(artist.name() for _ in range(num_names))
            sprite = artist.letters(artist.cover(f"{artist.role()} - {names}", size, artist.font), ink)
            gone = now + (w + sprite.width) / speed
            middle = top + (band.height - sprite.height) / 2
            self.overlays.append(Ribbon(now, min(end, gone), sprite, middle, w, rise=speed))
            now += (sprite.width + 3 * size) / speed

    def _cards(self, start: float, end: float, side: float) -> None:
        """Pages of two columns on paper cards; `side` 0..1 is where they lie."""
        rng, artist, w, h = self.rng, self.artist, self.plan.width, self.plan.height
        size, pace = self._size(rng.uniform(9, 11.5)), rng.uniform(3.5, 8)
        rows = max(2, min(int(rng.integers(4, 9)), int(0.8 * h / (1.45 * size))))
        paper, light, *_, ink, accent = artist.palette()
        light = max((paper, light, (233, 224, 205)), key=sum)
        ink, paper = ((ink, light), (light, ink))[int(rng.random() < 0.35)]
        solid, way = float(rng.choice((1.0, 0.85, 0.6))), str(rng.choice(("left", "right", "drop", "fade", "")))
        now = start
        while now < end - 0.4:
            stop = min(end, now + pace * rng.uniform(0.8, 1.3))
            left, right = [], []
            while len(left) < rows:
                left += [artist.role(), *("  " for _ in range(int(rng.integers(0, 4))))]
            right = [(artist.name(), size) for _ in range(rows)]
            columns = [
                artist.block([(text, size) for text in left[:rows]], "right", artist.font),
                artist.block(right, "left", artist.title_font),
            ]
            cover = np.concatenate((columns[0], np.zeros((len(columns[0]), size), np.uint8), columns[1]), axis=1)
            card = artist.label(cover, ink, paper, torn=rng.random() < 0.5, solid=solid)
            self._put(
                now, stop - min(0.25, (stop - now) / 6), card, side * (w - card.width), (h - card.height) / 2, way
            )
            now = stop

    def _lyrics(self, segment: Segment) -> None:
        rng, w, h = self.rng, self.plan.width, self.plan.height
        level = float(rng.choice((0.03, 0.88)))
        now = segment.start + rng.uniform(0, 0.15) * segment.seconds
        while now < segment.end - 1.5:
            stop = min(segment.end, now + rng.uniform(2.5, 5.5))
            line = self.artist.sentence(int(rng.integers(3, 7)))
            sprite = self._text([(line, self._size(11.5))], (244, 236, 218), (20, 16, 16), font="cmti10")
            self._put(now, stop, sprite, (w - sprite.width) / 2, level * h, "fade")
            now = stop + rng.uniform(0.1, 2)

    def _subtitles(self) -> None:
        rng, artist = self.rng, self.artist
        size, solid = self._size(rng.uniform(10.5, 13.5)), float(rng.choice((0.6, 0.8, 1.0)))
        ink, paper = ((240, 234, 220), (18, 16, 18)) if rng.random() < 0.65 else ((24, 20, 20), (236, 228, 208))
        for line in self.plan.lines:
            words = max(1, min(7, round((line.end - line.start) * 2)))
            cover = artist.block([(artist.sentence(words), size)], "left", artist.font)
            box = artist.label(cover, ink, paper, torn=False, solid=solid)
            at = (self.plan.width - box.width) / 2, 0.9 * self.plan.height - box.height
            end = min(self.plan.segment_at(line.start).end, line.end + rng.uniform(0, 0.3))
            self.overlays.append(Overlay(line.start, end, box, *at))
