"""Made clips of the family "paper": cut-out puppets before torn paper, played to waltzes; a stranger to "drawn".

    picture, sound = PaperPicture(plan), render_sound(plan, PaperStudio)

Only the machinery is that of synth_picture and synth_audio (shots with held drawings, sprites, a studio that keeps its
notes). Palettes, letters, cutting, instruments, voices and rooms are this family's own, so that a network that learned
one family meets strangers here. Everything follows from the plan's seed.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from datatools.synth_audio import LEVEL, Song, Studio, add, decibel
from datatools.synth_paint import (
    Artist,
    Colour,
    Planes,
    Sprite,
    even,
    outline_font,
    paste,
    shade,
    to_planes,
    to_sprite,
)
from datatools.synth_paint import words as split_words
from datatools.synth_picture import FADE_STEPS, Figure, Overlay, Picture, Shot
from datatools.synth_plan import ClipPlan, Event, Segment

HOLD = 1 / 6  # s a drawing stays: puppets move in jerks
WIPE_STEPS = 3  # drawings that a wipe takes
FONTS = ("cmr10", "cmss10", "cmtt10", "cmb10", "cmti10")
# One line a palette: paper, light, three middle tones, ink, accent.
PALETTES = """
    f0e2c4 d8a566 a8623a 7d8258 5d4632 2b2220 c1443a|e8dfd0 b9b49a 8a9a86 c98f6b 6b5a55 33302f d9a441
    14131a f2c9c0 a7c7c5 d9d2a0 8d7fa8 0c0b10 f0a07c|1c1a17 e9d8a6 94a98f c77f5e 5c6d73 0e0d0c ead7cf
    ded6c8 7f9aa3 4f6b75 b5895f a3a58b 24303a d06a4c|f3ead9 e0b7a2 b56f5f 6f7f73 94805f 3a2a2f 3f7f86
    cfc6b0 9b7d4f 6e6b3c a1533a 453d34 1f1b16 e3b24d|101417 b6d0c0 e6c3a4 c9a3b4 6f8796 090b0d f3e1a1
    f5f0e6 c9d2c5 a9b9c9 d6b9ae 8c8577 403b3a b84b4b|d9b48a f1dcb5 8f4a34 5c5e3e 3b4a54 231813 e9e2cf"""
ROLES = """puppets strings cut_by glue_and_card lamps camera_stand told_by written_by after_a_tale_by tableaux costumes
    stage_carpentry the_organ songs accordion noises_and_weather dramaturgy birds_moved_by backdrops colour_and_ink
    workshop_master splicing sound_on_tape assistants thanks_to keeper_of_the_box"""
FIRST = """Marek Ilse Jozef Hanne Pavla Tove Lubos Agnes Bohdan Sanne Radim Klara Otmar Veit Mila Ondra Greet Zdenka
    Anselm Birgit Emil Floris Irena Leontyn Magda Nils Petra Rufin"""
LAST = """Holub Vrana Lindgaard Kessler Brandt Novotny Haas Duval Maertens Soerlie Janik Kolar Wolffson Peeters Malik
    Zemanek Ostrow Krupa Lamm Fialka Bergsma Tichy Rosendal Grabow Havel Strand"""
SAYINGS = """the mill wheel turns under a moon bread and salt bring your lantern hush little crow come down from chimney
    who stole our button thread winter is near my hat fell in well old bear knows no better song for supper shall we"""
FIRMS = "Atelier_Kobold Studio_Slunce Kammer_Neun Papierwerk Radio_Dukla Red_Kite_Press Theatre_of_Strings Mondwerk"
OUTSIDE, INSIDE = ("dunes", "town", "wood", "harbour", "moon", "field"), ("stage", "kitchen")
BEASTS = ("fox", "owl", "bear", "hare", "crow", "king")


@dataclass
class Take(Shot):
    """A shot that may come in by a wipe over the one `before` it: left, down, iris, blinds or torn."""

    wipe: str = ""
    before: Shot | None = None


@dataclass
class Ribbon(Overlay):
    """Letters that run to the left: `x` is their upper edge, `y` their left edge, `rise` the speed in pixels/s."""


class PaperArtist(Artist):
    """One clip's papers, puppets and letters. `rng` decides on everything; the frame is `width` x `height` pixels."""

    def __init__(self, rng: np.random.Generator, width: int, height: int):
        self.rng, self.width, self.height = rng, width, height
        self.script = "latin"
        tables = [[tuple(bytes.fromhex(c)) for c in line.split()] for line in PALETTES.split("|")]
        self.palettes = [tables[i] for i in rng.choice(len(tables), 3, replace=False)]
        self.font, self.title_font = str(rng.choice(FONTS)), str(rng.choice(FONTS))
        self.writing = str(rng.choice(("lower", "small caps", "plain"), p=(0.45, 0.35, 0.2)))
        self.rim = float(rng.choice((0.0, 0.008, 0.014)))  # white edge of cut paper, in frame heights
        w, h = self.canvas()
        fibre = cv2.blur(rng.standard_normal((h, w), dtype=np.float32), (7, 1)) * 2
        fibre += cv2.blur(rng.standard_normal((h, w), dtype=np.float32), (1, 5))
        self.grain = np.repeat((fibre * rng.uniform(2.0, 4.5))[..., None], 3, axis=2)  # (h, w, 3)
        self.cast = [self._features() for _ in range(5)]
        self.people: dict[tuple[int, str, int], list[Sprite]] = {}

    # Words and letters

    def _word(self, text: str) -> str:
        return str(self.rng.choice(split_words(text)))

    def name(self) -> str:
        return f"{self._word(FIRST)} {self._word(LAST)}"

    def role(self) -> str:
        return self._word(ROLES)

    def sentence(self, num_words: int) -> str:
        chosen = " ".join(str(w) for w in self.rng.choice(SAYINGS.split(), num_words))
        return chosen.capitalize() + str(self.rng.choice((".", "...", "!", "?")))

    def firms(self, count: int) -> list[str]:
        return [str(f) for f in self.rng.choice(split_words(FIRMS), count, replace=False)]

    def title(self) -> str:
        ending = str(self.rng.choice(("and the Crow", "of Paper", "at the Mill", "in Winter", "")))
        return f"{self._word(FIRST)} {ending}".strip()

    def cover(self, text: str, size: int, font: str) -> np.ndarray:
        """Cover of one line, uint8 (about 1.4 size, width), in the clip's way of writing."""
        from PIL import Image, ImageDraw

        if self.writing == "small caps":
            runs = [(c.upper(), size if c.isupper() or not c.isalpha() else max(7, round(0.8 * size))) for c in text]
        else:
            runs = [(text.lower() if self.writing == "lower" else text, size)]
        picture = Image.new("L", (round(size * (0.9 * len(text) + 2)), round(1.45 * size)))
        pen, x = ImageDraw.Draw(picture), 2.0
        for part, height in runs:
            face = outline_font(font, height)
            if part != " ":
                pen.text((x, round(1.05 * size)), part, 255, face, anchor="ls")
            x += 0.35 * size if part == " " else face.getlength(part)
        return np.asarray(picture)[:, : math.ceil(x) + 2]

    def block(self, lines: list[tuple[str, int]], align: str, font: str) -> np.ndarray:
        """Cover of lines of (text, size) below each other, uint8."""
        rows = [self.cover(text, size, font) for text, size in lines]
        wide = max(r.shape[1] for r in rows)
        lead = [int((wide - r.shape[1]) * {"left": 0.0, "centre": 0.5, "right": 1.0}[align]) for r in rows]
        return np.concatenate(
            [np.pad(r, ((0, 0), (n, wide - r.shape[1] - n))) for r, n in zip(rows, lead, strict=True)]
        )

    def letters(self, cover: np.ndarray, ink: Colour, edge: Colour | None = None) -> Sprite:
        """Letters alone; `edge` is a soft shadow to the lower right."""
        cover = np.pad(cover, 2)
        image = np.zeros((*cover.shape, 4), np.float32)
        if edge is not None:
            around = cv2.blur(np.roll(cv2.dilate(cover, np.ones((2, 2), np.uint8)), 1, (0, 1)), (2, 2))
            image = np.array((*edge, 255), np.float32) * (around[..., None] / np.float32(255))
        return to_sprite(_over(image, cover, ink).astype(np.uint8))

    def label(self, cover: np.ndarray, ink: Colour, paper: Colour, *, torn: bool = True, solid: float = 1.0) -> Sprite:
        """Letters on a strip or card of paper; `torn` short edges; `solid` is the paper's cover, 0..1."""
        pad = max(3, cover.shape[0] // 6)
        cover = np.pad(cover, ((pad // 2, pad // 2 + 1), (2 * pad, 2 * pad)))
        h, w = cover.shape
        image = np.zeros((h, w, 4), np.float32)
        shape = np.full((h, w), 255 * solid, np.float32)
        if torn:
            x, rough = np.arange(w), max(1.2, 0.009 * self.height)
            for flip in (1, -1):
                jag = np.clip(self.rng.normal(rough, rough / 2, h), 0, pad)[:, None]
                shape[:, ::flip][x < jag] = 0
        image = _over(image, shape, paper)
        image[..., :3] += (np.resize(self.grain[:h, :w], (h, w, 3))) * (shape / 255)[..., None]
        image = np.clip(_over(image, cover, ink), 0, None)
        return to_sprite(np.minimum(image, image[..., 3:]).astype(np.uint8))

    # Papers

    def canvas(self) -> tuple[int, int]:
        """Width and height of a background."""
        return even(self.width * 1.6), even(self.height * 1.3)

    def palette(self) -> list[Colour]:
        """Paper, light, three middle tones, ink, accent: one of the clip's three."""
        return self.palettes[self.rng.integers(3)]

    def gradient(self, top: Colour, bottom: Colour) -> np.ndarray:
        """A sheet washed from one colour to another in a few flat bands."""
        w, h = self.canvas()
        share = np.floor(np.linspace(0, 4.99, h)) / 4
        column = np.array(top) * (1 - share[:, None]) + np.array(bottom) * share[:, None]
        return np.repeat(column[:, None].astype(np.uint8), w, axis=1)

    def grained(self, image: np.ndarray) -> np.ndarray:
        """The same sheet, RGB uint8, with the fibres of the clip's paper."""
        return np.clip(image + self.grain, 0, 255).astype(np.uint8)

    def lay(self, image: np.ndarray, points, colour: Colour, *, torn: bool = False) -> None:
        """Lay a piece of paper with its shadow; points (N, 2) in pixels; `torn` gives a white, rough edge."""
        points = np.asarray(points, np.float64)
        lift = max(1.0, 0.012 * self.height)
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [(points + lift).astype(np.int32)], 90, cv2.LINE_AA)
        dark = 255 - cv2.blur(mask, (5, 5))
        cv2.multiply(image, cv2.merge((dark, dark, dark)), image, 1 / 255)
        if torn:
            rough = points + self.rng.normal(0, 0.35 * lift, points.shape) - (0, lift)
            cv2.fillPoly(image, [rough.astype(np.int32)], tuple((c + 2 * 235) // 3 for c in colour), cv2.LINE_AA)
        cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)

    def _ridge(self, image: np.ndarray, level: float, swing: float, colour: Colour) -> None:
        """Torn paper from a rolling line at `level` (0..1 of the height) down to the lower edge."""
        h, w = image.shape[:2]
        x = np.linspace(-0.02, 1.02, 90)
        y = level + np.cumsum(self.rng.normal(0, 0.0025, 90))
        for k in (1, 2, 3):
            y += swing / k * np.sin(2 * np.pi * k * x * self.rng.uniform(0.6, 1.6) + 7 * self.rng.random())
        self.lay(image, [*np.column_stack((x, y)) * (w, h), (w + 9, h + 9), (-9, h + 9)], colour, torn=True)

    def _disc(self, image: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
        """x and y are shares of width and height, `radius` one of the height."""
        h, w = image.shape[:2]
        turn = np.linspace(0, 2 * np.pi, 28)[:-1]
        self.lay(image, np.column_stack((np.cos(turn), np.sin(turn))) * radius * h + (x * w, y * h), colour)

    def _box(self, image: np.ndarray, x: float, y: float, wide: float, tall: float, colour: Colour) -> None:
        """A leaf with corners cut by hand; all figures are shares of width and height."""
        h, w = image.shape[:2]
        corners = np.array([(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)])
        self.lay(image, (corners + self.rng.normal(0, 0.004, (4, 2))) * (w, h), colour)

    def place(self, kind: str) -> np.ndarray:
        """RGB uint8 background: dunes, town, wood, harbour, moon, field, stage, kitchen."""
        rng = self.rng
        paper, light, *tones, ink, accent = self.palette()
        rng.shuffle(tones)
        if kind == "moon":
            paper, light = ink, shade(tones[0], 0.6)
        image = self.gradient(*((paper, light) if rng.random() < 0.6 else (light, paper)))
        {"stage": self._stage, "kitchen": self._kitchen}.get(kind, self._land)(image, kind, tones, ink, accent)
        return self.grained(image)

    def _land(self, image: np.ndarray, kind: str, tones: list[Colour], ink: Colour, accent: Colour) -> None:
        rng = self.rng
        h, w = image.shape[:2]
        self._disc(image, rng.random(), rng.uniform(0.12, 0.35), rng.uniform(0.06, 0.16), accent)
        if kind == "moon":
            for x, y in rng.random((25, 2)):
                cv2.drawMarker(image, (int(x * w), int(0.6 * y * h)), (235, 225, 200), cv2.MARKER_STAR, h // 40, 1)
        elif rng.random() < 0.6:  # clouds: strips of torn paper
            for x, y, s in rng.random((3, 3)):
                t = np.linspace(0, 2 * np.pi, 24)
                puff = np.column_stack((np.cos(t) * (0.06 + 0.1 * s), 0.04 * np.sin(t) + 0.01 * np.sin(5 * t)))
                self.lay(image, (puff + (x, 0.08 + 0.25 * y)) * (w, h), (226, 220, 206), torn=True)
        level = rng.uniform(0.45, 0.62)
        self._ridge(image, level, 0.07, tones[0])
        if kind == "town":
            x = rng.uniform(-0.05, 0.05)
            while x < 1:
                wide, tall = rng.uniform(0.05, 0.11), rng.uniform(0.12, 0.34)
                self._house(
                    image, x, level + 0.2, wide, tall, shade(tones[rng.integers(3)], rng.uniform(0.8, 1.2)), ink
                )
                x += wide + rng.choice((0.0, 0.01, 0.08))
        elif kind == "harbour":
            for k in range(5):
                self._ridge(image, level + 0.06 + 0.08 * k, 0.006, shade(tones[1], 1.15 - 0.12 * k))
                if k == 1:
                    x, y, s = rng.uniform(0.2, 0.8) * w, (level + 0.16) * h, 0.1 * h
                    self.lay(image, np.array([(-1, -0.3), (1, -0.3), (0.6, 0.3), (-0.6, 0.3)]) * s + (x, y), ink)
                    self.lay(image, np.array([(0, -2.2), (0.9, -0.5), (0, -0.5)]) * s + (x, y), accent)
            return
        elif kind == "wood":
            for x in np.sort(rng.random(int(rng.integers(6, 13)))):
                self._tree(
                    image, x, level + rng.uniform(0.1, 0.25), rng.uniform(0.25, 0.5), tones[rng.integers(3)], ink
                )
        elif kind in ("field", "dunes", "moon"):
            for _ in range(int(rng.integers(0, 3))):
                self._tree(image, rng.random(), level + 0.12, rng.uniform(0.15, 0.3), tones[1], ink)
        for k in range(int(rng.integers(1, 3))):
            self._ridge(image, level + 0.2 + 0.12 * k, 0.03, shade(tones[2], 1 - 0.2 * k))

    def _house(self, image, x: float, foot: float, wide: float, tall: float, wall: Colour, ink: Colour) -> None:
        h, w = image.shape[:2]
        self._box(image, x, foot - tall, wide, tall + 0.1, wall)
        roof = np.array([(x - 0.01, foot - tall), (x + wide / 2, foot - tall - 0.13), (x + wide + 0.01, foot - tall)])
        self.lay(image, roof * (w, h), shade(ink, 1.5))
        for k in range(2):
            for j in range(max(1, int(tall / 0.12))):
                lit = (235, 205, 130) if self.rng.random() < 0.4 else ink
                corner = (int((x + wide * (0.2 + 0.4 * k)) * w), int((foot - tall + 0.04 + 0.1 * j) * h))
                cv2.rectangle(image, corner, (corner[0] + int(wide * w * 0.2), corner[1] + h // 20), lit, -1)

    def _tree(self, image: np.ndarray, x: float, foot: float, tall: float, leaf: Colour, ink: Colour) -> None:
        h, w = image.shape[:2]
        self._box(image, x - 0.006, foot - tall * 0.6, 0.012, tall * 0.6, ink)
        if self.rng.random() < 0.5:
            for k in range(3):
                half, y = tall * h * (0.22 - 0.05 * k), (foot - tall * (0.25 + 0.22 * k)) * h
                self.lay(
                    image, [(x * w - half, y), (x * w + half, y), (x * w, y - 1.3 * half)], shade(leaf, 1 + 0.1 * k)
                )
        else:
            self._disc(image, x, foot - tall * 0.75, tall * 0.3, leaf)

    def _stage(self, image: np.ndarray, kind: str, tones: list[Colour], ink: Colour, accent: Colour) -> None:
        self._disc(image, 0.5, 0.45, self.rng.uniform(0.3, 0.45), shade(tones[0], 1.1))
        self._box(image, -0.01, 0.78, 1.02, 0.3, shade(tones[2], 0.7))
        for k in range(5):
            for x in (0.045 * k - 0.02, 0.975 - 0.045 * k):
                self._box(image, x, -0.02, 0.05, 0.95 - 0.12 * k, shade(accent, 0.95 - 0.1 * (k % 2)))
        for k in range(10):
            self._disc(image, 0.05 + 0.1 * k, 0.0, 0.11, shade(accent, 0.8))

    def _kitchen(self, image: np.ndarray, kind: str, tones: list[Colour], ink: Colour, accent: Colour) -> None:
        rng = self.rng
        self._box(image, -0.01, 0.74, 1.02, 0.3, shade(tones[2], 0.75))
        x = rng.uniform(0.1, 0.6)
        self._box(image, x, 0.12, 0.2, 0.36, ink)
        for k in range(4):
            self._box(image, x + 0.012 + 0.095 * (k % 2), 0.14 + 0.17 * (k // 2), 0.08, 0.14, (203, 208, 190))
        for shelf in rng.uniform(0.2, 0.5, 2):
            left = rng.uniform(0, 0.8)
            self._box(image, left, shelf, 0.18, 0.02, shade(ink, 1.6))
            for k in range(4):
                self._box(image, left + 0.01 + 0.042 * k, shelf - 0.09, 0.025, 0.09, tones[rng.integers(3)])
        left = rng.uniform(0.05, 0.6)
        self._box(image, left, 0.66, 0.3, 0.04, shade(tones[1], 0.8))
        for k in (0.02, 0.26):
            self._box(image, left + k, 0.7, 0.02, 0.25, shade(tones[1], 0.6))
        self._disc(image, rng.random(), 0.1, 0.07, accent)

    def pattern(self) -> np.ndarray:
        """A flat graphic sheet: quilt of quarter discs, torn strips, rings, scraps."""
        rng = self.rng
        paper, light, *tones, ink, accent = self.palette()
        ground = (paper, ink, tones[0], accent, light)[rng.integers(5)]
        image = self.gradient(ground, ground)
        h, w = image.shape[:2]
        kind = str(rng.choice(("quilt", "strips", "rings", "scraps", "plain")))
        colours = (light, *tones, accent, paper)
        if kind == "quilt":
            step = h // int(rng.integers(3, 6))
            for y in range(0, h, step):
                for x in range(0, w, step):
                    corner = (x + step * int(rng.integers(2)), y + step * int(rng.integers(2)))
                    cell = image[y : y + step, x : x + step]
                    cv2.circle(cell, (corner[0] - x, corner[1] - y), step, colours[rng.integers(6)], -1, cv2.LINE_AA)
        elif kind == "strips":
            for k in range(int(rng.integers(3, 7))):
                self._ridge(image, 0.15 * k + rng.uniform(0, 0.1), 0.02, colours[k % 6])
        elif kind == "rings":
            x, y = rng.uniform(0.3, 0.7, 2)
            for k in range(6):
                self._disc(image, x, y, 0.75 - 0.12 * k, colours[k])
        elif kind == "scraps":
            for x, y, s, t in rng.random((12, 4)):
                self._box(image, x, y, 0.04 + 0.1 * s, 0.05 + 0.2 * t, colours[rng.integers(6)])
        return self.grained(image)

    def letter(self) -> np.ndarray:
        """A poster, a letter or a shop's sign, as a scene's insert."""
        rng = self.rng
        image = self.pattern() if rng.random() < 0.4 else self.place(self._word("town kitchen stage"))
        h, w = image.shape[:2]
        _, light, *_, ink, accent = self.palette()
        paper = light if sum(light) > 330 else (232, 222, 200)
        self._box(image, 0.22, 0.14, 0.5, 0.64, paper)
        size = max(9, int(h * rng.uniform(0.05, 0.08)))
        font = str(rng.choice(FONTS))
        for k in range(int(rng.integers(2, 6))):
            cover = self.cover(self.sentence(int(rng.integers(2, 5))), size if k else round(1.3 * size), font)
            x, y = int(w * 0.26), int(h * 0.18) + k * round(1.7 * size)
            part = image[y : min(y + cover.shape[0], int(0.77 * h)), x : min(x + cover.shape[1], int(0.7 * w))]
            part[:] = _over(part.astype(np.float32), cover[: part.shape[0], : part.shape[1]], ink if k else accent)[
                ..., :3
            ]
        return image

    # Puppets

    def _features(self) -> dict:
        rng = self.rng
        _, light, *tones, ink, accent = self.palette()
        coat, skin = (tones[i] for i in rng.choice(3, 2, replace=False))
        return {
            "beast": str(rng.choice(BEASTS)),
            "skin": skin,
            "coat": accent if rng.random() < 0.3 else coat,
            "pale": light if sum(light) > 400 else (233, 222, 203),
            "ink": shade(ink, 0.6),
            "trim": accent,
            "square": rng.random() < 0.35,
            "pattern": rng.random() < 0.5,
            "wide": rng.uniform(0.8, 1.15),
        }

    def person(self, who: int, view: str, size: int) -> list[Sprite]:
        """Poses of a puppet: at rest, jaw half open, jaw open, eyes shut; `view` is bust, full or shadow.

        `size` is the sprite's height in pixels; all sprites are square.
        """
        key = (who % len(self.cast), view, size)
        if key not in self.people:
            poses = ((0, 0, 0), (0.5, -3, 0), (1, 3, 0), (0, 2, 1)) if view == "bust" else ((0, 0, 0), (0.4, 6, 0))
            self.people[key] = [to_sprite(self._cut_out(self.cast[key[0]], view, size, *pose)) for pose in poses]
        return self.people[key]

    def _cut_out(self, f: dict, view: str, size: int, jaw: float, tilt: float, shut: bool) -> np.ndarray:
        """RGBA, colours multiplied with alpha; cut twice as large and scaled down for smooth edges."""
        s = 2 * size
        image = np.zeros((s, s, 4), np.uint8)
        rim = round(self.rim * s * (0.5 if view == "bust" else 0.3))
        head, centre = (0.27, (0.5, 0.42)) if view == "bust" else (0.15, (0.5, 0.24))

        def piece(points, colour: Colour, at: tuple[float, float] = centre, unit: float = head) -> None:
            pixels = ((np.array(points, np.float64) * unit + at) * s).astype(np.int32)
            if rim:
                cv2.polylines(image, [pixels], True, (238, 232, 218, 255), 2 * rim, cv2.LINE_AA)
            cv2.fillPoly(image, [pixels], (*colour, 255), cv2.LINE_AA)

        wide, coat = f["wide"], f["coat"]
        if view == "bust":
            body, at = [(-1.3 * wide, 2.6), (-0.55, 0.7), (0.55, 0.7), (1.3 * wide, 2.6)], (0.5, 0.42)
            piece(body, coat, at)
        else:
            swing = 0.05 if jaw else -0.05
            for side in (-1, 1):
                x = 0.5 + 0.08 * side
                piece([(-0.25, -2), (0.25, -2), (0.3, 0), (-0.2, 0)], shade(f["ink"], 1.6), (x + side * swing, 0.98))
            body = [(-0.55, 0.8), (0.55, 0.8), (1.2 * wide, 3.4), (-1.2 * wide, 3.4)]
            piece([(-0.3, 1.2), (-1.9, 1.6 - 14 * swing), (-1.8, 2 - 14 * swing), (-0.4, 1.9)], shade(coat, 0.8))
            piece(body, coat)
            piece([(0.3, 1.2), (1.9, 1.6 + 14 * swing), (1.8, 2 + 14 * swing), (0.4, 1.9)], shade(coat, 1.15))
        if f["pattern"]:
            for k in range(3):
                piece(_round(0, 1.35 + 0.45 * k, 0.13, 0.13), f["trim"])
        self._head(piece, f, jaw, shut)
        turn = cv2.getRotationMatrix2D((s / 2, 0.9 * s), tilt, 0.5)
        turn[:, 2] -= (s / 4, 0.9 * s / 2 - 0.02 * s)
        image = cv2.warpAffine(cv2.GaussianBlur(image, (3, 3), 0), turn, (size, size), flags=cv2.INTER_LINEAR)
        alpha = image[..., 3:] / np.float32(255)
        if view == "shadow":
            image[..., :3] = np.array(f["ink"]) * alpha
        grain = np.resize(self.grain[:size, :size], (size, size, 3)) * alpha
        image[..., :3] = np.clip(image[..., :3] + grain, 0, image[..., 3:])
        return image

    def _head(self, piece, f: dict, jaw: float, shut: bool) -> None:
        """All points in head radii around the head's middle."""
        beast, skin, wide = f["beast"], f["skin"], f["wide"]
        for side in (-1, 1):
            if beast in ("fox", "owl"):
                piece(
                    [(0.25 * side, -0.8), (0.95 * side, -1.5 if beast == "fox" else -1.25), (0.95 * side, -0.3)], skin
                )
            elif beast == "bear":
                piece(_round(0.75 * side, -0.8, 0.36, 0.36), shade(skin, 0.8))
            elif beast == "hare":
                piece(_round(0.4 * side, -1.2, 0.2, 0.7), shade(skin, 1.1))
        if f["square"]:
            piece([(-0.95 * wide, -0.85), (0.9 * wide, -0.9), (0.95 * wide, 0.7), (-0.9 * wide, 0.75)], skin)
        else:
            piece(_round(0, 0, wide, 0.95), skin)
        if beast == "king":
            crown = [(-0.8, -0.7), (-0.9, -1.4), (-0.4, -1.0), (0, -1.45), (0.4, -1.0), (0.9, -1.4), (0.8, -0.7)]
            piece(crown, f["trim"])
        drop = 0.3 * jaw
        if beast in ("owl", "crow"):
            piece([(-0.25, 0.2), (0.25, 0.2), (0, 0.55)], f["trim"])
            piece([(-0.18, 0.42 + drop), (0.18, 0.42 + drop), (0, 0.68 + drop)], shade(f["trim"], 0.7))
        else:
            piece([(-0.45, 0.4), (0.45, 0.4), (0.4, 0.5 + drop), (-0.4, 0.5 + drop)], f["ink"])
            piece([(-0.5, 0.45 + drop), (0.5, 0.45 + drop), (0.3, 0.8 + drop), (-0.3, 0.8 + drop)], shade(skin, 0.85))
            piece([(-0.18, 0.12), (0.18, 0.12), (0, 0.36)], f["ink"])
        for x in (-0.4, 0.4):
            if shut:
                piece([(x - 0.22, -0.16), (x + 0.22, -0.16), (x + 0.22, -0.08), (x - 0.22, -0.08)], f["ink"])
            else:
                piece(_round(x, -0.15, 0.24, 0.24), f["pale"])
                piece(_round(x + 0.03, -0.13, 0.1, 0.1), f["ink"])


def _round(x: float, y: float, a: float, b: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 22)[:-1]
    return np.column_stack((x + a * np.cos(turn), y + b * np.sin(turn)))


def _over(image: np.ndarray, cover: np.ndarray, colour: Colour) -> np.ndarray:
    """Lay a colour over float32 RGB or RGBA (premultiplied) where `cover` (0..255) is."""
    share = cover[..., None] / np.float32(255)
    return image * (1 - share) + np.array((*colour, 255)[: image.shape[2]], np.float32) * share


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


# Sound

STEPS = 6  # eighths a bar: three beats of two, or two beats of three
PHRASE_BARS = 8
SCALES = {"mixolydian": (0, 2, 4, 5, 7, 9, 10), "harmonic": (0, 2, 3, 5, 7, 8, 11), "lydian": (0, 2, 4, 6, 7, 9, 11)}
PHRASES = ((0, 0, 3, 3, 4, 4, 0, 0), (0, 4, 4, 0, 0, 4, 4, 0), (5, 1, 4, 0, 5, 1, 4, 4), (0, 0, 6, 6, 3, 3, 4, 4))
PHRASES += ((0, 5, 3, 4, 0, 5, 4, 0), (3, 3, 0, 0, 4, 4, 0, 4), (0, 6, 5, 4, 0, 6, 4, 0))
# Plucked strings: share of the brightest sound, decay 1/s.
STRINGS = {"lute": (1.0, 2.0), "harp": (0.4, 1.0), "dulcimer": (0.85, 3.5), "gut bass": (0.15, 1.2)}
# Two operators: ratio of the second, index at the stroke and after it, its fall 1/s, attack s, decay 1/s.
OPERATORS = {
    "celesta": (4.0, 1.6, 0.1, 9.0, 0.003, 3.0),
    "keys": (1.0, 2.4, 0.3, 4.0, 0.004, 1.8),
    "cornet": (1.0, 0.3, 2.6, 14.0, 0.05, 0.1),
    "horn": (1.0, 0.2, 1.3, 8.0, 0.09, 0.1),
    "ocarina": (2.0, 0.25, 0.08, 6.0, 0.06, 0.1),
    "music box": (3.53, 1.1, 0.0, 12.0, 0.002, 4.0),
}
REEDS = {"accordion": (0.006, 0.04), "harmonium": (0.002, 0.22), "bandoneon": (0.0, 0.03)}  # detuning, attack s
MOUTHS = ((620, 1050), (330, 760), (420, 1750), (700, 1250), (280, 900))  # Hz


class PaperStudio(Studio):
    """Strings that are plucked, two-operator keys and brass, reeds, hand percussion, mumbling puppets."""

    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        hertz, release = 440 * 2 ** ((midi - 69) / 12), 0.12
        time = np.arange(self.samples(seconds + release), dtype=np.float32) / np.float32(self.sample_rate)
        turn = np.float32(2 * np.pi * hertz) * time
        attack, fall = 0.002, 0.0
        if instrument in STRINGS:
            bright, fall = STRINGS[instrument]
            sound = self._pluck(hertz, time.size, bright)
        elif instrument in OPERATORS:
            ratio, first, later, speed, attack, fall = OPERATORS[instrument]
            index = later + (first - later) * np.exp(-speed * time)
            sound = np.sin(turn + index * np.sin(np.float32(ratio) * turn))
        elif instrument in REEDS:
            detune, attack = REEDS[instrument]
            table = np.tanh(4 * (np.sin(2 * np.pi * np.arange(1024) / 1024) + 0.35)).astype(np.float32)
            table = np.convolve(np.tile(table - table.mean(), 3), np.hanning(24) / 12, "same")[1024:2048]
            cycles = 1024 * hertz * time.astype(np.float64)
            sound = sum(table[(cycles * pitch).astype(np.int64) & 1023] for pitch in (1 - detune, 1 + detune))
        else:  # hummed and sung: each formant is a carrier on the nearest partial, modulated by the pitch
            attack = 0.05
            turn = turn + 0.03 * np.float32(hertz / 100) * np.sin(34 * time) - 0.3 * np.exp(-22 * time)
            shape = [f * self.singer for f in MOUTHS[int(instrument[4])]]
            sound = 0.8 * np.sin(turn + 0.4 * np.sin(turn))
            for i, formant in enumerate((*shape, 2600 * self.singer)):
                partial = max(1, round(formant / hertz))
                sound += (0.7, 0.4, 0.2)[i] * np.sin(partial * turn + 0.9 * np.sin(turn))
        sound = sound / (np.sqrt((sound[: self.samples(0.15)] ** 2).mean()) + 1e-9)
        shape = np.minimum(1, time / attack) * np.clip((seconds + release - time) / release, 0, 1)
        return (sound * shape * np.exp(-fall * time)).astype(np.float32)

    def _pluck(self, hertz: float, size: int, bright: float) -> np.ndarray:
        """Karplus and Strong's string: a burst of noise goes round and loses its treble."""
        period = max(8, int(self.sample_rate / hertz))
        now = self.rng.uniform(-1, 1, period).astype(np.float32)
        dull = np.convolve(np.concatenate((now[-12:], now)), np.ones(12) / 12, "valid")[:period]
        now = (bright * now + (1 - bright) * 2.5 * dull).astype(np.float32)
        now -= now.mean()
        rounds = np.empty((math.ceil(size * hertz / self.sample_rate) + 2, period), np.float32)
        for row in rounds:
            row[:] = now
            now[1:] += row[:-1]
            now[0] += row[-1]
            now *= 0.5
        at = np.arange(size) * (hertz * (period + 0.5) / self.sample_rate)
        return np.interp(at, np.arange(rounds.size), rounds.reshape(-1))

    def _make_drums(self) -> dict[str, np.ndarray]:
        rng = self.rng

        def stroke(seconds: float, decay: float) -> tuple[np.ndarray, np.ndarray]:
            time = np.arange(self.samples(seconds)) / self.sample_rate
            return time, np.exp(-decay * time)

        time, fall = stroke(0.4, rng.uniform(8, 14))
        low = rng.uniform(75, 110)
        frame = np.sin(2 * np.pi * low * (time + 0.006 * (1 - np.exp(-40 * time)))) * fall
        frame += 0.5 * np.sin(2 * np.pi * 2.3 * low * time) * fall**2 + 0.1 * self.noise(0.4) * fall**4
        time, fall = stroke(0.12, 55)
        block = (np.sin(2 * np.pi * rng.uniform(700, 1100) * time) + 0.5 * np.sin(2 * np.pi * 1720 * time)) * fall
        time, fall = stroke(0.16, 38)
        band = np.sin(2 * np.pi * rng.uniform(1000, 1500) * time + 3 * self.noise(0.16))
        clap = band * (fall + 0.8 * np.roll(fall, self.samples(0.011)) * (time > 0.011))
        time, fall = stroke(0.1, 30)
        shaker = np.diff(self.noise(0.1), prepend=0) * fall * np.minimum(1, time / 0.025)
        time, fall = stroke(0.9, 6)
        jingle = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(3800, 9000, 9)) / 3 * fall
        jingle *= 0.4 + 0.6 * np.abs(np.sin(2 * np.pi * rng.uniform(7, 13) * time))
        sounds = {"frame": 1.3 * frame, "block": 0.6 * block, "clap": 0.8 * clap, "shaker": 0.6 * shaker}
        return {name: sound.astype(np.float32) for name, sound in (*sounds.items(), ("jingle", 0.35 * jingle))}

    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low) of 12 syllables: formant tones, ring-modulated by the pitch or by breath."""
        rng = self.rng
        pitch, size_of_head, breath = rng.uniform(80, 260), rng.uniform(0.85, 1.35), rng.choice((0.05, 0.2, 0.5, 1.0))
        third = rng.uniform(0.02, 0.08)
        rows = []
        for height in (1.22, 1.0, 0.86):
            row = []
            for _ in range(12):
                seconds = rng.uniform(0.08, 0.24)
                time = np.arange(self.samples(seconds)) / self.sample_rate
                share = time / seconds
                bend = np.cumsum(pitch * height * (1 + rng.uniform(-0.15, 0.15) * share)) / self.sample_rate
                puffs = (0.5 + 0.5 * np.cos(2 * np.pi * bend)) ** rng.uniform(2, 5)
                slow = np.interp(np.arange(time.size), np.arange(0, time.size + 60, 60), self._knots(time.size))
                source = (1 - breath) * puffs + breath * slow
                first, second = (MOUTHS[i] for i in rng.integers(5, size=2))
                sound = np.zeros(time.size)
                for i, strength in enumerate((1.0, 0.5)):  # the mouth moves from one vowel to the next
                    way = np.cumsum(first[i] + (second[i] - first[i]) * share) * size_of_head / self.sample_rate
                    sound += strength * np.sin(2 * np.pi * way)
                sound += third * np.sin(2 * np.pi * 2700 * size_of_head * time)
                shape = np.sin(np.pi * np.clip(share, 0, 1) ** rng.uniform(0.4, 0.9)) ** 0.7
                sound *= source * shape
                if rng.random() < 0.4:  # a consonant: a tick of tongue or a hiss
                    hiss = np.diff(self.noise(0.04)) * np.hanning(self.samples(0.04) - 1)
                    sound[: hiss.size] += rng.uniform(0.04, 0.14) * hiss[: sound.size]
                row.append((LEVEL * sound / (np.sqrt((sound**2).mean()) + 1e-9)).astype(np.float32))
            rows.append(row)
        return rows

    def _knots(self, size: int) -> np.ndarray:
        return self.rng.standard_normal(len(range(0, size + 60, 60)))

    def song(self, style: str, channels: int) -> "PaperSong":
        return PaperSong(self, style, channels)

    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): wind, a hum, a clock or the crackle of an old record, root mean square LEVEL."""
        rng = self.rng
        size = self.samples(seconds)
        time = np.arange(size) / self.sample_rate
        knots = rng.standard_normal(max(4, int(seconds * rng.uniform(300, 1500))))
        bed = np.interp(np.linspace(0, len(knots) - 1, size), np.arange(len(knots)), knots)
        kind = str(rng.choice(("wind", "crackle", "clock", "hum")))
        if kind == "wind":
            tone = rng.uniform(280, 700)
            wander = np.interp(time, np.linspace(0, seconds, 9), rng.uniform(0.7, 1.4, 9))
            tile = bed * np.sin(2 * np.pi * tone * np.cumsum(wander) / self.sample_rate) * wander**2
        elif kind == "hum":
            tile = 0.25 * bed + np.sin(2 * np.pi * 50 * time) + 0.5 * np.sin(2 * np.pi * 150 * time)
        else:
            tile = 0.35 * bed
            every = rng.uniform(0.4, 1.0)
            ticks = np.arange(0.1, seconds, every) if kind == "clock" else rng.uniform(0, seconds, int(14 * seconds))
            tick = self.drums["block"][:: 2 if kind == "clock" else 7]
            for at in ticks:
                add(tile[None], self.samples(at), tick, rng.uniform(2, 4) if kind == "clock" else rng.exponential(2.0))
        return (tile * (LEVEL / (np.sqrt((tile**2).mean()) + 1e-9))).astype(np.float32)

    def accent(self) -> np.ndarray:
        return self.drums[str(self.rng.choice(("frame", "clap", "jingle", "block")))]

    def add_chime(self, track: np.ndarray, start: float) -> None:
        for i, step in enumerate(self.rng.choice((0, 4, 7, 9, 12, 16), 6)):
            add(track, self.samples(start + 0.17 * i), self.note("music box", 72 + int(step), 0.8), 0.1)

    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing: knocks, a creak, rustling paper, a cuckoo, steps, a string that snaps, a rattle."""
        rng = self.rng
        at, gain = self.samples(start), decibel(rng.uniform(-14, 0))
        room = self.samples(plan.segment_at(start).end) - at  # nothing of an episode sounds in the next segment
        thing = str(rng.choice(("knocks", "creak", "paper", "cuckoo", "steps", "snap", "rattle")))
        if thing == "creak":
            time = np.arange(self.samples(0.7)) / self.sample_rate
            grind = np.sin(2 * np.pi * (rng.uniform(200, 400) * time + 8 * np.sin(4 * time)))
            sounds = [(0.0, grind * np.sin(2 * np.pi * 35 * time) ** 2 * np.sin(np.pi * time / 0.7), 0.08)]
        elif thing == "paper":
            rustle = (
                np.diff(self.noise(0.8))
                * np.repeat(rng.random(200) ** 3, self.samples(0.8) // 200 + 1)[: self.samples(0.8) - 1]
            )
            sounds = [(0.0, rustle, 0.15)]
        elif thing == "cuckoo":
            sounds = [(0.32 * i, self.note("ocarina", 81 - 4 * (i % 2), 0.22), 0.06) for i in range(4)]
        elif thing == "snap":
            sounds = [(0.0, self.note("gut bass", int(rng.integers(40, 60)), 0.5), 0.3)]
        else:
            drum, count, gap, strength = {
                "knocks": ("block", 3, 0.2, 0.2), "steps": ("frame", 6, 0.37, 0.08), "rattle": ("jingle", 3, 0.12, 0.12)
            }[thing]  # fmt: skip
            sounds = [(gap * i * rng.uniform(0.9, 1.1), self.drums[drum], strength) for i in range(count)]
        for later, sound, strength in sounds:
            offset = self.samples(later)
            add(track, at + offset, sound[: max(0, room - offset)], strength * gain)

    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence: words of one to four syllables that begin high and fall, with small gaps between them."""
        rng = self.rng
        voice, gain = self.voices[rng.integers(3)], decibel(rng.uniform(-3, 3))
        now, left = event.start, 0
        while now < event.end - 0.1:
            if not left:
                left = word = int(rng.integers(1, 5))
            row = voice[min(2, 3 * (word - left) // word + int(rng.random() < 0.3))]
            sound = row[rng.integers(len(row))][: self.samples(event.end - now)]
            add(track, self.samples(now), sound, gain * rng.uniform(0.6, 1.2))
            now += sound.size / self.sample_rate * rng.uniform(0.75, 0.95)
            left -= 1
            if not left:
                now += rng.uniform(0.02, 0.14)


class PaperSong(Song):
    """A waltz or a jig: key, tempo, phrases of eight bars, instruments. Styles are those of Song."""

    def __init__(self, studio: PaperStudio, style: str, channels: int):
        self.studio, self.channels, self.style = studio, channels, style
        rng = self.rng = studio.rng
        slow, fast = {
            "opening": (0.82, 1.4),
            "ending": (1.1, 2.3),
            "song": (0.9, 2.0),
            "calm": (1.5, 2.8),
            "tense": (1.0, 1.9),
            "lively": (0.8, 1.4),
        }[style]
        self.beat = rng.uniform(slow, fast) / STEPS  # s of an eighth; the pair above is s of a bar
        self.jig = rng.random() < 0.35  # two beats of three eighths
        self.key = int(rng.integers(50, 62))
        self.scale = SCALES[str(rng.choice(list(SCALES), p=(0.35, 0.45, 0.2)))]
        self.turns = {part: PHRASES[rng.integers(len(PHRASES))] for part in ("couplet", "refrain")}
        self.sung = style in ("opening", "ending", "song") and rng.random() < 0.8
        leads, chords = {
            "opening": (("accordion", "cornet", "dulcimer"), ("accordion", "keys", "lute", "bandoneon")),
            "ending": (("celesta", "lute", "ocarina", "bandoneon"), ("harp", "harmonium", "keys", "lute")),
            "song": (("accordion", "horn", "lute"), ("harp", "bandoneon", "keys")),
            "calm": (("music box", "ocarina", "harp", "celesta"), ("harmonium", "harp")),
            "tense": (("horn", "gut bass", "bandoneon"), ("harmonium", "dulcimer")),
            "lively": (("dulcimer", "cornet", "accordion", "ocarina"), ("lute", "bandoneon", "keys")),
        }[style]
        self.lead, self.chord = str(rng.choice(leads)), str(rng.choice(chords))
        beaten = {"opening": 0.88, "ending": 0.5, "song": 0.6, "calm": 0.1, "tense": 0.45, "lively": 0.65}[style]
        self.beaten = rng.random() < beaten
        self.hand = str(rng.choice(("clap", "block", "jingle")))
        self.rolled = rng.random() < (0.7 if self.chord in STRINGS else 0.15)  # broken chords instead of oom-pah-pah
        self.loudness = {  # dB
            "intro": rng.uniform(-9, 0),
            "couplet": rng.uniform(-7, 0),
            "refrain": 0.0,
            "interlude": rng.uniform(-11, -3),
        }
        self.blocks: dict[tuple[str, int], np.ndarray] = {}

    @property
    def bar(self) -> float:
        return STEPS * self.beat

    def _make_block(self, part: str) -> np.ndarray:
        """Eight bars and their ring, float32 (channels, samples)."""
        rng, studio = self.rng, self.studio
        track = np.zeros((self.channels, studio.samples(PHRASE_BARS * self.bar + 0.8)), np.float32)
        turn = self.turns["refrain" if part in ("refrain", "intro") else "couplet"]
        pans = {"chord": self._pan(0.4), "lead": self._pan(0.25), "middle": (1.0,)}

        def play(instrument: str, degree: int, step: float, steps: float, gain: float, pan: str = "middle") -> None:
            sound = studio.note(instrument, self.pitch(degree), steps * self.beat)
            add(track, studio.samples(step * self.beat), sound, tuple(gain * p for p in pans[pan]))

        strong = 1.0 if part in ("refrain", "intro") else 0.8
        held = self.chord in ("harmonium",) or self.style in ("calm", "tense") and not self.rolled
        weak = (2, 5) if self.jig else (2, 4)
        order = rng.permutation((0, 2, 4, 7, 9, 4))
        for b, root in enumerate(turn):
            now = b * STEPS
            if self.rolled:
                for i in range(STEPS):
                    play(self.chord, root + int(order[i]), now + i, 2, 0.34 * strong, "chord")
            elif held:
                for third in (0, 2, 4):
                    play(self.chord, root + third, now, STEPS, 0.17 * strong, "chord")
            else:
                for at in weak:
                    for third in (0, 2, 4):
                        play(self.chord, root + third, now + at, 1.2, 0.22 * strong, "chord")
            if part != "interlude" or b % 2 == 0:
                play("gut bass", root - 14, now, 3, 0.6 * strong)
            if self.style in ("opening", "lively", "song") and part != "interlude":
                play("gut bass", root - 10, now + (3 if self.jig else 4), 2, 0.4 * strong)
            if self.beaten and part != "interlude":
                self._beat(track, now, b, part)
        self._tune(play, turn, part)
        return track

    def _beat(self, track: np.ndarray, now: int, b: int, part: str) -> None:
        rng, studio = self.rng, self.studio
        strong = {"opening": 1.0, "lively": 0.8, "tense": 0.8}.get(self.style, 0.55)
        hits = [("frame", 0, 0.55), (self.hand, 3, 0.3)] if self.jig else [("frame", 0, 0.55), (self.hand, 2, 0.25)]
        hits += [(self.hand, 4, 0.25)] if not self.jig and part == "refrain" else []
        hits += [("frame", 5, 0.3), ("frame", 4, 0.25)] if b % 4 == 3 else []
        hits += [("shaker", i, rng.uniform(0.25, 0.6)) for i in range(0, STEPS, 1 if part == "refrain" else 2)]
        for drum, step, gain in hits:
            late = rng.normal(0, 0.006)  # hands are not machines
            add(track, studio.samples((now + step) * self.beat + late), studio.drums[drum], gain * strong)

    def _tune(self, play, turn: tuple[int, ...], part: str) -> None:
        """A melody of two-bar motifs: the first rhythm comes again, the second answers."""
        rng = self.rng
        sung = self.sung and part in ("couplet", "refrain")
        busy = {"opening": 0.62, "song": 0.5, "ending": 0.42, "calm": 0.22, "tense": 0.25, "lively": 0.6}[self.style]
        motifs = [np.flatnonzero(np.append(True, rng.random(2 * STEPS - 1) < busy)) for _ in range(2)]
        degree = 7 + int(rng.integers(-1, 4))
        for pair in range(PHRASE_BARS // 2):
            starts = motifs[(0, 1, 0, 1)[pair]]
            if self.style in ("calm", "tense") and rng.random() < 0.3:
                continue
            for at, after in zip(starts, [*starts[1:], 2 * STEPS], strict=True):
                degree = min(12, max(3, degree + int(rng.choice((-3, -1, -1, 0, 1, 1, 2)))))
                if at % STEPS == 0:
                    root = turn[2 * pair + int(at) // STEPS]
                    degree = root + min((0, 2, 4, 7, 9), key=lambda d, root=root: abs(root + d - degree))
                steps, step = min(5, int(after - at)), 2 * STEPS * pair + int(at)
                if sung:
                    play(f"sing{rng.integers(5)}", degree, step, 0.92 * steps, 0.6)
                else:
                    play(self.lead, degree, step, steps, 0.45, "lead")

    def parts(self, count: int) -> list[tuple[str, int]]:
        """Names and variants of `count` phrases in their order: couplets and refrains take turns."""
        if self.style not in ("opening", "ending", "song"):
            return [("refrain" if i % 4 == 3 else "couplet", i % 2) for i in range(count)]
        body = [("refrain" if i % 3 == 2 else "couplet", i % 2) for i in range(count)]
        if count > 4 and self.rng.random() < 0.5:
            body[count // 2] = ("interlude", 0)
        return [("intro", 0), *body[:-2], ("refrain", 0)] if count > 2 else [("refrain", 0)] * count

    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes slows into a rolled last chord shortly before `seconds`; another is cut off there. One that
        is `running` has begun before; another may wait a moment.
        """
        studio, rng = self.studio, self.rng
        length = studio.samples(seconds + tail)
        track = np.zeros((self.channels, length + 1), np.float32)
        ring = min(rng.uniform(0.4, 2.4), seconds / 4) if closes else 0.0
        lead_in = 0.0 if running else rng.uniform(0.0, 0.3)
        body = max(0.5, seconds - ring - lead_in)
        if closes:  # a whole number of bars, by a slight change of tempo
            self.beat = body / max(1, round(body / self.bar)) / STEPS
        bars = body / self.bar
        count = max(1, math.ceil(bars / PHRASE_BARS - 1e-6))
        first = bars - count * PHRASE_BARS if closes else -float(rng.integers(PHRASE_BARS)) if running else 0.0
        for i, (part, variant) in enumerate(self.parts(count + (0 if closes else 1))):
            at = lead_in + (first + i * PHRASE_BARS) * self.bar
            gain = decibel(self.loudness[part] + rng.uniform(-1.5, 1.5))
            add(track, studio.samples(at), self.block(part, variant), gain)
        track[:, : studio.samples(lead_in)] = 0  # a first phrase may have begun earlier
        if closes:
            at = studio.samples(seconds - ring)
            track[:, at:] *= np.float32(0.2)
            for i, degree in enumerate((-14, -7, 0, 2, 4, 7)):
                instrument = "gut bass" if degree < -7 else self.chord
                add(track, at + studio.samples(0.03 * i), studio.note(instrument, self.pitch(degree), ring + 0.2), 0.32)
            if self.beaten:
                add(track, at, studio.drums["frame"], 0.7)
                add(track, at, studio.drums[self.hand], 0.4)
        fade = studio.samples(tail + 0.05)
        track = track[:, :length]
        track[:, -fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[-track.shape[1] :]
        return track * np.float32(LEVEL / (np.sqrt((track**2).mean()) + 1e-6))
