"""Paint torn paper, cut-out puppets and letters for made clips of the family "paper".

    artist = PaperArtist(rng, 320, 180)          # asked as DrawnArtist is

Palettes, letters and shapes are this family's own, so that a network that learned another family meets strangers here.
"""

import math

import cv2
import numpy as np
from PIL import Image, ImageDraw

from synth.sprites import Colour, Sprite, even, outline_font, shade, to_sprite
from synth.sprites import words as split_words

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
BEASTS = ("fox", "owl", "bear", "hare", "crow", "king")


class PaperArtist:
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
