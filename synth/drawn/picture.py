"""The picture of a made clip of the family "drawn": an anime episode; hard cuts, faces that talk, speed lines.

    picture = DrawnPicture(plan)                 # picture.frame(12.04): as Picture of synth.scene
"""

import math

import cv2
import numpy as np

from synth.drawn.paint import DrawnArtist, hsv, text_sprite
from synth.plan import Event, Segment
from synth.scene import WHITE, Figure, Overlay, Picture, Shot
from synth.sprites import Planes, Sprite, even, to_planes

BLACK = (12, 12, 16)
OUTDOORS, INDOORS = ("city", "night", "forest", "sea", "school", "hills", "sky"), ("room", "class", "room")


class DrawnPicture(Picture):
    """Shots and overlays of one clip of the family "drawn"; `frame` shows any moment of it."""

    def make_artist(self) -> DrawnArtist:
        return DrawnArtist(self.rng, self.plan.width, self.plan.height)

    # Building blocks of shots

    def _text(self, lines, colour, outline, align="left", upright=False, font=None) -> Sprite:
        return text_sprite(lines, font or self.artist.font, colour, outline, align, upright)

    def _camera(self, way: str) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """`still`, `pan` (along the background) or `zoom`."""
        rng = self.rng
        bw, bh = self.artist.canvas()
        w, h = self.plan.width, self.plan.height
        room_x, room_y = bw - w - 2, bh - h - 2
        a = (rng.uniform(0, room_x), rng.uniform(0, room_y), 1.0)
        if way == "pan":
            return (0.0, a[1], 1.0), (float(room_x), a[1], 1.0) if rng.random() < 0.7 else (
                0.0,
                float(room_y - a[1]),
                1.0,
            )
        if way == "zoom":
            far = (bw - w * 1.28) / 2, (bh - h * 1.28) / 2, 1.28
            near = a[0] + w * 0.05, a[1] + h * 0.05, 0.85
            return (far, near) if rng.random() < 0.5 else (near, far)
        return a, a

    def _portrait(
        self, start: float, end: float, background: Planes, who: int, *, way="still", side: float = 0.5
    ) -> Shot:
        """A face; `side` 0..1 is where it stands."""
        h = self.plan.height
        size = even(h * self.rng.uniform(0.7, 1.05))
        poses = self.artist.person(who, "bust", size)
        x = side * self.plan.width - size / 2
        return Shot(
            start, end, background, self._camera(way), 1 / 8, [Figure(poses, x, h - size * 0.92, moves="talks")]
        )

    def _walkers(self, count: int, view: str, speed: float) -> list[Figure]:
        rng, h, w = self.rng, self.plan.height, self.plan.width
        size = even(h * rng.uniform(0.45, 0.8))
        return [
            Figure(
                self.artist.person(int(rng.integers(5)), view, size),
                rng.uniform(0.1, 0.8) * w,
                h * 0.97 - size,
                dx=speed * w,
                moves="walks" if speed else "stands",
            )
            for _ in range(count)
        ]

    # Episode, preview, sponsor

    def _episode(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        locations = [str(k) for k in rng.choice(OUTDOORS + INDOORS, 4)]
        for scene in (e for e in self.plan.all("scene") if segment.start <= e.start < segment.end):
            self._scene(scene, artist.place(locations[rng.integers(len(locations))]))
        for event in (e for e in self.plan.all("credits") if segment.start <= e.start < segment.end):
            self._names(event.start, event.end, dense=0.7)

    def _scene(self, scene: Event, wide: np.ndarray) -> None:
        """One place: a wide shot first, then faces in turn, with what the plan puts between."""
        rng, artist = self.rng, self.artist
        place = to_planes(wide)
        behind = [to_planes(artist.soft(wide)) for _ in range(2)]
        pair = [int(k) for k in rng.choice(5, 2, replace=False)]
        special = [e for e in self.plan.all("eyecatch", "sign", "montage") if scene.start <= e.start < scene.end]
        now, turn = scene.start, 0
        pace = rng.uniform(2.5, 6.0)
        if rng.random() < 0.15 and scene.end - scene.start > 2:  # a caption: where are we?
            word = self._text([(artist.sentence(2), self._size(rng.uniform(11, 16)))], WHITE, BLACK)
            at = (rng.uniform(0.05, 0.5) * self.plan.width, rng.uniform(0.1, 0.6) * self.plan.height)
            self.overlays.append(Overlay(scene.start + 0.5, min(scene.end, scene.start + 4), word, *at, fade=0.3))
        while now < scene.end - 1e-6:
            event = next((e for e in special if e.start <= now < e.end - 1e-6), None)
            following = min((e.start for e in special if e.start > now + 1e-6), default=scene.end)
            if event and event.type == "montage":
                stop = min(event.end, scene.end, now + rng.uniform(0.5, 1.6))
                self.shots.append(self._lively_shot(now, stop, place))
            elif event:
                stop = min(event.end, scene.end)
                if event.type == "eyecatch":
                    self._title_card(now, stop, artist.pattern())
                else:
                    self.shots.append(Shot(now, stop, to_planes(artist.letter()), self._camera("still"), 1.0))
            else:
                stop = min(following, scene.end, now + pace * rng.uniform(0.5, 1.7))
                if scene.end - stop < 0.6:
                    stop = min(following, scene.end)
                self.shots.append(self._quiet_shot(now, stop, place, behind, pair, turn))
                turn += 1
            now = stop

    def _quiet_shot(
        self, start: float, end: float, place: Planes, behind: list[Planes], pair: list[int], turn: int
    ) -> Shot:
        rng, h, w = self.rng, self.plan.height, self.plan.width
        kind = "wide" if turn == 0 else str(rng.choice(("face", "two", "wide", "walk"), p=(0.6, 0.16, 0.12, 0.12)))
        way = str(rng.choice(("still", "pan", "zoom"), p=(0.75, 0.17, 0.08)))
        if kind == "face":
            return self._portrait(start, end, behind[turn % 2], pair[turn % 2], way=way, side=(0.38, 0.62)[turn % 2])
        if kind == "walk":
            return Shot(
                start, end, place, self._camera(way), 1 / 8, self._walkers(1, "full", rng.choice((-0.06, 0.06)))
            )
        shot = Shot(start, end, place, self._camera("pan" if turn == 0 and rng.random() < 0.5 else way), 1 / 8)
        if kind == "two":
            size = even(h * 0.55)
            shot.figures = [
                Figure(self.artist.person(who, "bust", size), w * (0.12 + 0.45 * i), h - 0.95 * size, moves="talks")
                for i, who in enumerate(pair)
            ]
        return shot

    def _lively_shot(self, start: float, end: float, place: Planes) -> Shot:
        """A short, strong shot: a face before speed lines, a run, a chase over the background."""
        rng, artist = self.rng, self.artist
        if rng.random() < 0.4:
            image = artist.pattern()
            artist.rays(image, WHITE if rng.random() < 0.5 else artist.ink, 60, 0.12)
            return self._portrait(
                start, end, to_planes(image), int(rng.integers(5)), way="still", side=rng.uniform(0.3, 0.7)
            )
        shot = Shot(start, end, place, self._camera(str(rng.choice(("pan", "zoom", "still")))), 1 / 12)
        shot.figures = self._walkers(int(rng.integers(1, 3)), "full", rng.choice((-0.5, -0.25, 0.25, 0.5)))
        return shot

    def _preview(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + rng.uniform(1.2, 3.5)
            stop = segment.end if segment.end - stop < 0.8 else stop
            wide = artist.place(str(rng.choice(OUTDOORS + INDOORS)))
            if rng.random() < 0.5:
                self.shots.append(
                    self._portrait(
                        now, stop, to_planes(artist.soft(wide)), int(rng.integers(5)), side=rng.uniform(0.3, 0.7)
                    )
                )
            else:
                self.shots.append(self._lively_shot(now, stop, to_planes(wide)))
            now = stop
        word = "次回予告" if artist.script == "cjk" else "Next episode"
        sprite = self._text([(word, self._size(12)), (artist.title(), self._size(18))], WHITE, BLACK)
        at = self.plan.width - sprite.width - 10, 10
        self.overlays.append(
            Overlay(max(segment.start, segment.end - rng.uniform(3, 9)), segment.end, sprite, *at, fade=0.2)
        )

    def _sponsor(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        image = artist.pattern() if rng.random() < 0.5 else artist.place(str(rng.choice(OUTDOORS)))
        shot = Shot(segment.start, segment.end, to_planes(image), self._camera("still"), 1 / 8)
        if rng.random() < 0.5:
            shot.figures = self._walkers(1, "full", 0.0)
        self.shots.append(shot)
        head = "提供" if artist.script == "cjk" else "Sponsored by"
        names = [(f, self._size(15)) for f in artist.firms(int(rng.integers(2, 5)))]
        sprite = self._text([(head, self._size(18)), *names], WHITE, BLACK, "centre")
        at = (self.plan.width - sprite.width) / 2, (self.plan.height - sprite.height) / 2
        self.overlays.append(Overlay(segment.start, segment.end, sprite, *at, fade=0.3 if rng.random() < 0.5 else 0.0))

    def _title_card(self, start: float, end: float, image: np.ndarray) -> None:
        rng = self.rng
        self.shots.append(Shot(start, end, to_planes(image), self._camera(str(rng.choice(("still", "zoom")))), 1 / 12))
        size = self._size(rng.uniform(26, 40) * min(1, 7 / len(self.series_title)) + 4)
        colour = hsv(self.artist.hue + 0.5, rng.uniform(0, 0.9), 1.0)
        sprite = self._text([(self.series_title, size)], colour, BLACK, font=self.artist.title_font)
        at = (self.plan.width - sprite.width) / 2, self.plan.height * rng.uniform(0.3, 0.55)
        self.overlays.append(Overlay(start + min(0.3, (end - start) / 4), end, sprite, *at, fade=0.2))

    # Opening and ending

    def _opening(self, segment: Segment) -> None:
        rng, artist = self.rng, self.artist
        beat = rng.uniform(0.33, 0.5)
        slow = 1.8 if rng.random() < 0.25 else 1.0  # some openings take their time
        card_seconds = min(rng.uniform(2.0, 4.0), segment.seconds / 5)
        card = {"end": segment.end - card_seconds, "begin": segment.start + 0.15 * segment.seconds, "none": math.inf}[
            str(rng.choice(("end", "begin", "none"), p=(0.4, 0.35, 0.25)))
        ]
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + beat * slow * int(rng.choice((2, 4, 4, 6, 8, 8)))
            if now < card < stop:
                stop = card
            if card <= now:
                stop, card = min(segment.end, now + card_seconds), math.inf
                self._title_card(now, stop, artist.pattern() if rng.random() < 0.6 else artist.place("sky"))
                now = stop
                continue
            stop = segment.end if segment.end - stop < 0.4 else stop
            self.shots.append(self._opening_shot(now, stop))
            now = stop
        if rng.random() < 0.9 and self.plan.case != "no_credits":
            begin = segment.start + (rng.uniform(0, 8) if segment.start else 0) * min(1, segment.seconds / 60)
            self._names(begin, segment.end - rng.uniform(0, 0.08) * segment.seconds, dense=rng.uniform(0.75, 0.97))
        if rng.random() < 0.3:
            self._lyrics(segment)

    def _opening_shot(self, start: float, end: float) -> Shot:
        rng, artist = self.rng, self.artist
        kind = str(rng.choice(("pose", "place", "lively", "shadow", "face"), p=(0.25, 0.22, 0.2, 0.13, 0.2)))
        way = str(rng.choice(("still", "pan", "zoom"), p=(0.3, 0.4, 0.3)))
        side = rng.uniform(0.2, 0.8)
        who = int(rng.integers(5))
        if kind == "pose":
            return self._portrait(start, end, to_planes(artist.pattern()), who, way=way, side=side)
        wide = artist.place(str(rng.choice(OUTDOORS)))
        if kind == "face":
            return self._portrait(start, end, to_planes(artist.soft(wide)), who, way=way, side=side)
        if kind == "lively":
            return self._lively_shot(start, end, to_planes(wide))
        shot = Shot(start, end, to_planes(wide), self._camera(way), 1 / 12)
        if kind == "shadow":
            shot.figures = self._walkers(int(rng.integers(1, 4)), "shadow", rng.choice((-0.1, 0.0, 0.1)))
        return shot

    def _ending(self, segment: Segment) -> None:
        rng = self.rng
        layout = str(rng.choice(("full", "framed", "plain"), p=(0.55, 0.25, 0.2)))
        pace = rng.uniform(3, 7) if rng.random() < 0.25 else rng.uniform(9, 30)
        right = rng.random() < 0.5  # the names' side
        now = segment.start
        while now < segment.end - 1e-6:
            stop = now + pace * rng.uniform(0.7, 1.3)
            stop = segment.end if segment.end - stop < 3 else stop
            self.shots.append(self._ending_shot(now, stop, layout, right))
            now = stop
        way = str(rng.choice(("scroll", "pages", "none"), p=(0.5, 0.42, 0.08)))
        begin = segment.start + rng.uniform(0, 4) * min(1, segment.seconds / 60)
        if self.plan.case == "no_credits":
            way = "none"
        if way == "pages":
            self._names(begin, segment.end, dense=0.95, big=True, side="right" if right else "left")
        elif way == "scroll":
            self._scroll(begin, segment.end, right if layout == "framed" else None)
        if rng.random() < 0.2:
            self._lyrics(segment)

    def _ending_shot(self, start: float, end: float, layout: str, right: bool) -> Shot:
        rng, artist = self.rng, self.artist
        w, h = self.plan.width, self.plan.height
        if layout == "plain":
            tone = hsv(artist.hue, rng.uniform(0, 0.5), rng.choice((0.08, 0.9, 0.6)))
            shot = Shot(start, end, to_planes(artist.gradient(tone, tone)), self._camera("still"), 1 / 8)
            shot.figures = self._walkers(1, str(rng.choice(("full", "shadow"))), 0.0)
            shot.figures[0].moves = "walks"
            shot.figures[0].x = w * (0.1 if right else 0.65)
            return shot
        image = artist.place(str(rng.choice(OUTDOORS + INDOORS)))
        if layout == "framed":
            bw, bh = artist.canvas()
            small = cv2.resize(image, (even(0.5 * w), even(0.5 * h)), interpolation=cv2.INTER_AREA)
            image = np.full((bh, bw, 3), 8, np.uint8)
            x, y = even(w * (0.05 if right else 0.45)), even(0.25 * h)
            image[y : y + small.shape[0], x : x + small.shape[1]] = small
            return Shot(start, end, to_planes(image), ((0.0, 0.0, 1.0),) * 2, 1 / 8)
        shot = Shot(
            start,
            end,
            to_planes(image),
            self._camera(str(rng.choice(("pan", "still", "zoom"), p=(0.6, 0.25, 0.15)))),
            1 / 12,
        )
        if rng.random() < 0.6:
            shot.figures = self._walkers(1, str(rng.choice(("full", "shadow"))), 0.0)
        return shot

    # Letters

    def _names(self, start: float, end: float, *, dense: float, big: bool = False, side: str | None = None) -> None:
        """Staff names, changing every few seconds, seen for `dense` (0..1) of the time; `big` pages hold more lines."""
        rng, artist = self.rng, self.artist
        w, h = self.plan.width, self.plan.height
        side = side or str(rng.choice(("left", "right", "centre", "mixed")))
        upright = artist.script == "cjk" and not big and rng.random() < 0.2
        size, outline = self._size(rng.uniform(10, 14)), BLACK if rng.random() < 0.85 else None
        colour = WHITE if outline or rng.random() < 0.7 else hsv(artist.hue, 0.2, 1.0)
        level = rng.uniform(0.1, 0.9)
        pace = rng.uniform(2.0, 4.5)
        fade = float(rng.choice((0.0, 0.25, 0.5)))
        now = start
        while now < end - 0.4:
            stop = min(end, now + pace * rng.uniform(0.7, 1.4))
            if rng.random() < dense:
                lines = [(artist.role(), max(8, round(0.8 * size)))]
                lines += [(artist.name(), size) for _ in range(int(rng.integers(2, 6) if big else rng.integers(1, 4)))]
                sprite = self._text(lines, colour, outline, "centre" if side == "centre" else "left", upright)
                where = str(rng.choice(("left", "right"))) if side == "mixed" else side
                x = {"left": 0.04 * w, "right": 0.96 * w - sprite.width, "centre": (w - sprite.width) / 2}[where]
                y = 0.04 * h + level * max(0, 0.9 * h - sprite.height)
                self.overlays.append(Overlay(now, stop, sprite, x, y, fade=min(fade, (stop - now) / 3)))
            now = stop

    def _scroll(self, start: float, end: float, right: bool | None) -> None:
        """A long column of names rising over the picture; `right` None puts it in the middle or at a side."""
        rng, artist = self.rng, self.artist
        w, h = self.plan.width, self.plan.height
        rise = h / rng.uniform(6, 12)
        size = self._size(rng.uniform(10, 13))
        place = rng.choice((0.05, 0.3, 0.55)) if right is None else (0.58 if right else 0.06)
        now = start
        while now < end:
            lines = [(artist.role(), max(8, round(0.8 * size)))]
            lines += [(artist.name(), size) for _ in range(int(rng.integers(1, 5)))]
            sprite = self._text(lines, WHITE, BLACK, "centre")
            gone = now + (h + sprite.height) / rise
            self.overlays.append(Overlay(now, min(end, gone), sprite, place * w, h, rise=rise))
            now += (sprite.height + size) / rise

    def _lyrics(self, segment: Segment) -> None:
        rng = self.rng
        top = rng.random() < 0.4
        now = segment.start + rng.uniform(0, 0.15) * segment.seconds
        while now < segment.end - 1.5:
            stop = min(segment.end, now + rng.uniform(2.5, 5))
            words = self.artist.sentence(int(rng.integers(2, 6)))
            sprite = self._text([(words, self._size(12))], hsv(self.artist.hue, 0.3, 1), BLACK)
            y = 0.03 * self.plan.height if top else 0.97 * self.plan.height - sprite.height
            self.overlays.append(Overlay(now, stop, sprite, (self.plan.width - sprite.width) / 2, y, fade=0.2))
            now = stop + rng.uniform(0.1, 2)

    def _subtitles(self) -> None:
        rng = self.rng
        size = self._size(rng.uniform(12, 15))
        for line in self.plan.lines:
            words = max(1, min(6, round((line.end - line.start) * 1.8)))
            sprite = self._text([(self.artist.sentence(words), size)], WHITE, BLACK)
            x, y = (self.plan.width - sprite.width) / 2, 0.96 * self.plan.height - sprite.height
            end = min(self.plan.segment_at(line.start).end, line.end + rng.uniform(0, 0.4))
            self.overlays.append(Overlay(line.start, end, sprite, x, y))
