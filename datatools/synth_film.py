"""The "film" family of made clips: a space and crime series as from a camera, with synthesizers and a choir.

    picture = FilmPicture(plan)                  # picture.frame(12.04): as Picture of synth_picture
    sound = render_sound(plan, FilmStudio)       # its song() is a FilmSong

Pictures are noise, perspective and shaded solids under a colour grade, with vignette and grain; takes are long and
dissolve. Sounds are filtered noise, moving filters over saw teeth, struck metal. Only Pillow's own outline font is used
and letters of fourteen strokes: newer OpenCV writes all its Hershey names in the one font of the drawn family.
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.fft import irfft, next_fast_len
from scipy.signal import lfilter

from datatools.synth_audio import LEVEL, Studio, add
from datatools.synth_paint import MARGIN, Planes, Sprite, even, paste, to_planes, to_sprite
from datatools.synth_picture import FADE_STEPS, Figure, Overlay, Picture, Shot
from datatools.synth_plan import ClipPlan, Event, Segment

Light = tuple[float, float, float]  # RGB, 0 to 1

ROLES = """CREATED BY|TELEPLAY BY|SHOWRUNNER|CASTING BY|COSTUMES|GAFFER|KEY GRIP|BOOM OPERATOR|FOLEY|SECOND UNIT|STUNTS
VISUAL EFFECTS|MINIATURES|SET DECORATION|CAMERA OPERATOR|FOCUS PULLER|COLOURIST|SCORE BY|ORCHESTRATOR|LOCATIONS|MAKE-UP
PRODUCTION DESIGN|SCIENCE ADVISER|LINE PRODUCER|RE-RECORDING MIXER|GUEST STARRING|ALSO STARRING|STANDBY PROPS|RIGGING
DIALOGUE COACH|CATERING|DATA WRANGLER|UNIT NURSE|DOLLY GRIP|BEST BOY""".replace("\n", "|").split("|")
GIVEN = "Odran Vesna Mirek Thea Lucan Ingrid Pavel Zora Emeric Noor Silas Brigid Juno Anselm Petra Dorian Wren".split()
HEADS, TAILS = (
    "Hal Ver Kor Bran Ost Lind Mar Quil Stav Thorn Wex Dray Fen Gal".split(),
    "den row stad lock vik by mark".split(),
)
WORLDS = "KEPLER TYCHO VANTA HELIX ORIEL CINDER MERIDIAN HOLLOW PERIGEE DELTA NOCTURNE VESPER RELAY ICARUS".split()
THINGS = "STATION SECTOR DECK DISTRICT PROTOCOL CASE ORBIT HARBOUR GATE DIVISION".split()
FIRMS = "Blackwater Orbital|Norden Film|Helix Motors|Corvid Media|Ostmark Steel|Pallas Air|Lumen 9".split("|")
SPEECH = """the signal repeats every nine hours|nobody left that airlock|we traced the call|check the manifest|hold your
fire|he was dead before docking|two degrees off course|whose badge is this|keep the engine warm|they sealed the lower
deck|ask her about the money|the witness changed her story|power down|bring me the recorder|it is not on the chart|copy
that|there is another body|you lied to the board|open the outer door|I saw the lights|do not touch the glass
""".replace("\n", " ").split("|")
FACES = ("plain", "wide", "narrow", "slant", "stout", "segment")
TITLE_FACES = (*FACES, "hollow", "slits")

# Colour grades: tint of the shadows, tint of the lights, saturation, gamma.
GRADES = {
    "teal": ((0.55, 1.0, 1.25), (1.15, 1.0, 0.78), 1.15, 1.05),
    "bleach": ((0.95, 1.0, 1.05), (1.0, 1.0, 0.95), 0.3, 0.95),
    "sodium": ((0.9, 0.7, 0.55), (1.25, 0.95, 0.5), 0.8, 1.25),
    "moon": ((0.5, 0.75, 1.3), (0.85, 1.0, 1.2), 0.7, 1.3),
    "ward": ((0.75, 1.1, 0.85), (1.0, 1.1, 0.9), 0.7, 0.95),
    "gold": ((0.9, 0.75, 0.8), (1.2, 1.05, 0.75), 1.2, 0.9),
    "neon": ((1.1, 0.5, 1.4), (0.85, 1.1, 1.2), 1.5, 1.1),
    "noon": ((0.9, 0.97, 1.05), (1.08, 1.05, 0.97), 0.95, 0.75),
}
OUTSIDE = ("mountains", "sea", "clouds", "dunes", "skyline", "space")
INSIDE = ("corridor", "room", "tunnel", "hangar", "room")
ABSTRACT = ("streaks", "bokeh", "plasma", "space", "bars")
ACTORS = ("robot", "person", "person", "person", "robot", "probe")
HOLD = 1 / 8  # s a picture stays

# Strokes of the letters A to Z and 0 to 9 among the fourteen below, one bit each.
STROKES = (
    "00F7 128F 0039 120F 00F9 0071 00BD 00F6 1209 001E 2470 0038 0536 2136 003F 00F3 203F 20F3 00ED 1201 003E 0C30 2836"
    " 2D00 1500 0C09 0C3F 0006 00DB 008F 00E6 00ED 00FD 0007 00FF 00EF"
).split()
ENDS = "00-20 20-22 22-24 24-04 04-02 02-00 02-12 12-22 00-12 10-12 20-12 04-12 12-14 12-24".split()  # xy, y downwards


@functools.cache
def _outline(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def letters(text: str, face: str, size: int, spacing: float = 0.0) -> np.ndarray:
    """Cover of one line, uint8 (round(1.4 size), width); `spacing` between letters in sizes."""
    high, gap = round(1.4 * size), spacing * size
    if face == "segment":
        cap, wide = 0.66 * size, 0.42 * size
        canvas = np.zeros((high, round(len(text) * (wide + 0.2 * size + gap)) + 8), np.uint8)
        for i, letter in enumerate(text.upper()):
            x, y = 3 + i * (wide + 0.2 * size + gap), 0.34 * size
            at = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".find(letter)
            if letter in "-.:?!'":
                cv2.circle(canvas, (round(x + wide / 2), round(y + cap / 2)), max(1, size // 14), 255, -1, cv2.LINE_AA)
            for bit, ends in enumerate(ENDS) if at >= 0 else ():
                if int(STROKES[at], 16) >> bit & 1:
                    (ax, ay), (bx, by) = (
                        (round(16 * (x + int(e[0]) * wide / 2)), round(16 * (y + int(e[1]) * cap / 4)))
                        for e in ends.split("-")
                    )
                    cv2.line(canvas, (ax, ay), (bx, by), 255, max(1, round(size / 13)), cv2.LINE_AA, 4)
    else:
        font = _outline(size)
        picture = Image.new(
            "L", (round(sum(font.getlength(c) + max(0, gap) + 2 * (size // 16 + 1) for c in text)) + size, high)
        )
        draw, x = ImageDraw.Draw(picture), 0.2 * size
        stroke = max(1, round(size / 16)) if face in ("stout", "hollow") else 0
        for letter in text:
            draw.text((x, size), letter, 255, font, anchor="ls", stroke_width=stroke)
            if face == "hollow":
                draw.text((x, size), letter, 0, font, anchor="ls")
            x += font.getlength(letter) + gap + stroke
        canvas = np.array(picture)
        if face in ("wide", "narrow"):
            times = 1.45 if face == "wide" else 0.68
            canvas = cv2.resize(canvas, (round(canvas.shape[1] * times), high), interpolation=cv2.INTER_AREA)
        elif face == "slant":
            matrix = np.array(((1, -0.28, 0.28 * size), (0, 1, 0)), np.float32)
            canvas = cv2.warpAffine(canvas, matrix, (canvas.shape[1] + size // 3, high))
        elif face == "slits":
            canvas[round(0.62 * size) :: max(3, round(0.3 * size))][:1] = 0
            canvas[:: max(3, size // 7)] //= 3
    used = np.flatnonzero(canvas.max(0))
    return canvas[:, : used[-1] + 3] if used.size else canvas[:, :2]


def letter_sprite(
    lines: list[tuple[str, int]],
    face: str,
    colour: Light,
    *,
    shadow: float = 0.0,
    align: str = "left",
    spacing: float = 0.0,
    rule: bool = False,
) -> Sprite:
    """Lines of (text, size in pixels); `shadow` 0..1 lies below to the right, a `rule` below the first line."""
    rows = [letters(text, face, size, spacing) for text, size in lines]
    wide = max(r.shape[1] for r in rows)
    if rule:
        line = np.zeros((5, wide), np.uint8)
        line[2] = 200
        rows.insert(1, line)
    shift = {"left": 0.0, "centre": 0.5, "right": 1.0}[align]
    spare = [wide - r.shape[1] for r in rows]
    ends = [(int(s * shift), s - int(s * shift)) for s in spare]
    cover = np.concatenate([np.pad(r, ((0, 0), end)) for r, end in zip(rows, ends, strict=True)])
    cover = np.pad(cover, 3)
    share = cover[..., None] / np.float32(255)
    image = np.zeros((*cover.shape, 4), np.float32)
    if shadow:
        image[2:, 2:, 3:] = 255 * shadow * cv2.blur(share, (3, 3))[:-2, :-2, None]
    image = image * (1 - share) + 255 * np.array((*colour, 1.0), np.float32) * share
    return to_sprite(image.clip(0, 255).round().astype(np.uint8))


def solid(
    image: np.ndarray,
    a: tuple[float, float],
    b: tuple[float, float],
    radius: tuple[float, float],
    colour: Light,
    *,
    shine: float = 0.3,
    power: float = 2.0,
    glows: bool = False,
) -> None:
    """Put a lit, rounded body from `a` to `b` (pixels) into float32 (h, w, 4), colours multiplied with cover, 0..1.

    `power` 2 is round, more is boxy; what `glows` needs no light.
    """
    (rx, ry), (h, w) = radius, image.shape[:2]
    left, right = max(0, int(min(a[0], b[0]) - rx - 1)), min(w, int(max(a[0], b[0]) + rx + 2))
    top, bottom = max(0, int(min(a[1], b[1]) - ry - 1)), min(h, int(max(a[1], b[1]) + ry + 2))
    if left >= right or top >= bottom:
        return
    x = ((np.arange(left, right, dtype=np.float32) - a[0]) / rx)[None]
    y = ((np.arange(top, bottom, dtype=np.float32) - a[1]) / ry)[:, None]
    dx, dy = (b[0] - a[0]) / rx, (b[1] - a[1]) / ry
    if dx or dy:
        along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        x, y = x - along * dx, y - along * dy
    square = x * x + y * y if power == 2 else (np.abs(x) ** power + np.abs(y) ** power) ** (2 / power)
    cover = np.clip((1 - np.sqrt(square)) * min(rx, ry) + 0.5, 0, 1)[..., None]
    if glows:
        lit = np.array(colour, np.float32) * np.ones_like(cover)
    else:
        z = np.sqrt(np.clip(1 - square, 0, 1))
        lambert = np.clip(-0.55 * x - 0.5 * y + 0.67 * z, 0, 1)
        rim = 0.5 * (1 - z) ** 3 * np.clip(0.4 + 0.6 * x, 0, 1)
        lit = np.array(colour, np.float32) * (0.1 + 0.85 * lambert)[..., None] + (shine * lambert**14 + rim)[..., None]
    part = image[top:bottom, left:right]
    part[:] = part * (1 - cover) + np.concatenate((np.clip(lit, 0, 1), np.ones_like(cover)), axis=2) * cover


class FilmArtist:
    """One clip's style: colour grades, cast, letters. `rng` decides on everything; frames are `width` x `height`."""

    def __init__(self, rng: np.random.Generator, width: int, height: int):
        self.rng, self.width, self.height = rng, width, height
        self.grades = [str(g) for g in rng.choice(list(GRADES), 3, replace=False)]
        self.face, self.title_face = str(rng.choice(FACES)), str(rng.choice(TITLE_FACES))
        self.strength = rng.uniform(0.006, 0.024)  # of the grain
        w, h = self.canvas()
        self.grain = [rng.normal(0, self.strength, (h, w, 1)).astype(np.float32) for _ in range(2)]
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
        self.vignette = (1 - rng.uniform(0.15, 0.5) * np.clip(x * x + y * y - 0.3, 0, 1.6) / 1.6)[..., None]
        self.cast = [self._features(str(kind)) for kind in rng.permutation(ACTORS)[:5]]
        self.bodies: dict[tuple, list[Sprite]] = {}

    def _features(self, kind: str) -> dict:
        rng = self.rng
        tone, grey = rng.uniform(0.25, 0.85), rng.uniform(0.2, 0.85)
        return {
            "kind": kind,
            "skin": (tone, tone * 0.76, tone * 0.6),
            "hair": tuple(rng.uniform(0.03, 0.4) * np.array((1.0, 0.8, 0.6))),
            "metal": tuple(np.clip(grey + rng.uniform(-0.15, 0.15, 3), 0.05, 1)),
            "cloth": tuple(rng.uniform(0.05, 0.5, 3)),
            "glow": tuple(np.clip(rng.uniform(-0.2, 1.3, 3), 0.05, 1)),
            "boxy": rng.uniform(2.2, 5.0),
            "eyes": int(rng.integers(1, 4)),
            "wide": rng.uniform(0.85, 1.1),
            "hat": str(rng.choice(("hair", "hair", "helmet", "hood"))),
        }

    # Words

    def name(self) -> str:
        rng = self.rng
        return f"{rng.choice(GIVEN)} {rng.choice(HEADS)}{rng.choice(TAILS)}"

    def role(self) -> str:
        return str(self.rng.choice(ROLES))

    def title(self) -> str:
        way, a, b = self.rng.random(), str(self.rng.choice(WORLDS)), str(self.rng.choice(THINGS))
        return a if way < 0.4 else f"{a} {b}" if way < 0.8 else f"{b} {self.rng.integers(2, 99)}"

    def sentence(self) -> str:
        text = str(self.rng.choice(SPEECH))
        return text[0].upper() + text[1:] + str(self.rng.choice((".", ".", "?", "...")))

    def firms(self, count: int) -> list[str]:
        return [str(f) for f in self.rng.choice(FIRMS, count, replace=False)]

    # Places

    def canvas(self) -> tuple[int, int]:
        """Width and height of a background."""
        return even(self.width * MARGIN), even(self.height * MARGIN)

    def sketch(self) -> tuple[int, int]:
        """Width and height of what is painted: a lens is not as sharp as the grain."""
        return even(0.66 * MARGIN * self.width), even(0.66 * MARGIN * self.height)

    def noise(self, cells: float, octaves: int = 5, stretch: float = 1.0) -> np.ndarray:
        """float32 (sketch height, sketch width) 0..1: `cells` to the height, `stretch` times wider than high."""
        w, h = self.sketch()
        total = np.zeros((h, w), np.float32)
        for k in range(octaves):
            rows, columns = max(2, int(cells * 2**k) + 2), max(2, int(cells * 2**k * w / h / stretch) + 2)
            if rows > h or columns > w:
                break
            small = self.rng.random((rows, columns), dtype=np.float32) - 0.5
            total += cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC) / 2**k
        return np.clip(0.5 + 0.8 * total, 0, 1)

    def expose(self, image: np.ndarray, grade: str) -> np.ndarray:
        """float32 RGB (h, w, 3) of light, 0..1, through lens and film -> uint8 (canvas)."""
        image = cv2.resize(self.grade(image, grade), self.canvas(), interpolation=cv2.INTER_LINEAR)
        grain = self.grain[int(self.rng.integers(2))][:: int(self.rng.choice((-1, 1)))]
        return (255 * np.clip(image * self.vignette + grain, 0, 1)).astype(np.uint8)

    @staticmethod
    def grade(image: np.ndarray, grade: str) -> np.ndarray:
        """float32 RGB (h, w, 3), 0..1, in the colours of a grade; not clipped."""
        dark, bright, saturation, gamma = GRADES[grade]
        image = np.ascontiguousarray(image, np.float32)
        grey = cv2.transform(image, np.array(((0.3, 0.59, 0.11),), np.float32))[..., None]
        mixed = np.clip(np.float32(saturation) * image + np.float32(1 - saturation) * grey, 0.004, 1.2)
        tint = np.array(dark, np.float32) + (np.array(bright, np.float32) - np.array(dark, np.float32)) * grey
        return cv2.pow(mixed, gamma) * tint

    def place(self, kind: str, grade: str, *, light: float = 1.0) -> np.ndarray:
        """RGB uint8 background of a kind in OUTSIDE, INSIDE or ABSTRACT; less `light` (0..1) is a darker picture."""
        w, h = self.sketch()
        y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j].astype(np.float32)
        if kind in ("corridor", "room", "tunnel", "hangar"):
            image = self._vault(kind, x, y)
        else:
            image = getattr(self, f"_{kind}")(x, y)
        return self.expose(image * np.float32(light * self.rng.uniform(0.75, 1.15)), grade)

    def _sky(self, x: np.ndarray, y: np.ndarray, horizon: float) -> np.ndarray:
        rng = self.rng
        high, low = np.array(((0.16, 0.28, 0.5), (0.75, 0.72, 0.68)), np.float32) * rng.uniform(0.5, 1.2)
        if rng.random() < 0.4:
            low = np.array((0.95, 0.62, 0.35), np.float32)
        share = np.clip(y / horizon, 0, 1)[..., None] ** rng.uniform(0.7, 1.6)
        image = high * (1 - share) + low * share
        cloud = np.clip((self.noise(2, 5, 2.5) - rng.uniform(0.35, 0.6)) * 3, 0, 1)[..., None]
        image += cloud * (rng.uniform(0.5, 0.95) - image) * (1 - 0.4 * share)
        sun = np.exp(-30 * ((1.7 * (x - rng.random())) ** 2 + (y - horizon * rng.uniform(0.3, 1)) ** 2))[..., None]
        return image + sun * np.array((0.8, 0.65, 0.4), np.float32) * rng.uniform(0, 1)

    def _profile(self, size: int, level: float, rough: float, cells: float) -> np.ndarray:
        line = np.full(size, level, np.float64)
        for k in range(6):
            count = max(2, int(cells * 2**k))
            knots = self.rng.uniform(-rough, rough, count + 1) / 2**k
            line += np.interp(np.linspace(0, count, size), np.arange(count + 1), knots)
        return line.astype(np.float32)

    def _mountains(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng, horizon = self.rng, self.rng.uniform(0.45, 0.65)
        image = self._sky(x, y, horizon)
        haze = image[int(0.9 * horizon * len(y))].mean(0)
        rock = np.array(((0.3, 0.28, 0.27), (0.2, 0.26, 0.16), (0.38, 0.27, 0.2))[rng.integers(3)], np.float32)
        count = int(rng.integers(2, 5))
        for i in range(count):
            near = (i + 1) / count
            line = self._profile(x.shape[1], horizon - 0.12 + 0.32 * near * near, 0.17 * (1.2 - 0.5 * near), 3 + i)
            below = np.clip((y - line) * y.shape[0], 0, 1)[..., None]
            relief = self.noise(5 + 3 * i, 5)
            slope = np.clip(0.5 + 9 * (relief - np.roll(relief, 2, axis=1)), 0.1, 1.4)[..., None]
            snow = np.clip((line + 0.09 - y + 0.15 * (relief - 0.5)) * 12, 0, 0.8)[..., None] * (rng.random() < 0.4)
            ground = (rock + (0.85 - rock) * snow) * slope
            image = image * (1 - below) + (ground * near + haze * (1 - near)) * below
        return image

    def _dunes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng, horizon = self.rng, self.rng.uniform(0.4, 0.6)
        image = self._sky(x, y, horizon)
        sand = np.array(((0.72, 0.52, 0.32), (0.6, 0.6, 0.62), (0.5, 0.28, 0.2))[rng.integers(3)], np.float32)
        for i in range(int(rng.integers(3, 6))):
            turns = rng.uniform(0.5, 1.5) * x[0] + rng.random()
            line = (
                horizon
                + 0.1 * i
                + rng.uniform(0.02, 0.07) * np.sin(2 * np.pi * turns)
                + 0.02 * self._profile(x.shape[1], 0, 1, 3)
            )
            below = np.clip((y - line) * y.shape[0], 0, 1)[..., None]
            side = np.clip(0.55 + 0.35 * np.sin(2 * np.pi * (turns + 1.4 * (y - line))), 0, 1)
            ripple = 0.93 + 0.14 * self.noise(18, 2, 5)
            image = image * (1 - below) + sand * ((0.35 + 0.75 * side) * ripple)[..., None] * below
        return image

    def _sea(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        horizon = self.rng.uniform(0.35, 0.6)
        image = self._sky(x, y, horizon)
        h, w = x.shape
        top = int(horizon * h)
        wave = self.noise(12, 4, 3)
        rows = top + (h - top) * (np.linspace(0, 1, h - top, dtype=np.float32) ** 0.45)
        near = cv2.remap(
            wave, x[top:] * (w - 1), np.repeat(rows[:, None] - 1, w, 1).astype(np.float32), cv2.INTER_LINEAR
        )
        mirror = image[top - 1 :: -1][: h - top]
        mirror = np.concatenate((mirror, np.repeat(mirror[-1:], h - top - len(mirror), 0)))
        glint = np.clip(near - 0.58, 0, 1)[..., None] * 2.2
        image[top:] = (
            mirror * (0.3 + 0.5 * near[..., None]) * np.array((0.75, 0.95, 1.0), np.float32) + glint * mirror.mean()
        )
        return image

    def _clouds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        low, high = self.noise(2, 6, 1.6), self.noise(3, 6, 1.6)
        lit = np.clip(0.45 + 1.4 * (high - np.roll(high, 4, axis=0)) * 4 + 0.4 * (low - 0.5), 0.08, 1)[..., None]
        deep = np.array((0.2, 0.3, 0.45), np.float32) * (0.5 + y[..., None])
        cover = np.clip((low - self.rng.uniform(0.3, 0.5)) * 4, 0, 1)[..., None]
        return deep * (1 - cover) + lit * np.array((1.0, 0.95, 0.9), np.float32) * cover

    def _stars(self, image: np.ndarray, count: int) -> None:
        h, w = image.shape[:2]
        image[self.rng.integers(0, h, count), self.rng.integers(0, w, count)] = self.rng.random((count, 1)) ** 2

    def _space(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng = self.rng
        gas = np.clip(self.noise(2, 5) - 0.45, 0, 1)[..., None] * rng.uniform(0.0, 1.2, 3).astype(np.float32)
        image = gas * rng.uniform(0.3, 1.4) + np.float32(0.015)
        self._stars(image, 160)
        size = rng.uniform(0.2, 0.9)
        px, py = (x - rng.uniform(0.1, 0.9)) * 16 / 9 / size, (y - rng.uniform(0.2, 1.1)) / size
        square = px * px + py * py
        z = np.sqrt(np.clip(1 - square, 0, 1))
        angle = rng.uniform(0, 6.3)
        lit = np.clip(0.8 * (np.cos(angle) * px + np.sin(angle) * py) + 0.5 * z, 0.01, 1)
        bands = self.noise(6, 5, float(rng.choice((1.0, 6.0))))
        a, b = rng.uniform(0.1, 0.9, (2, 3)).astype(np.float32)
        ground = (a + (b - a) * np.clip(2.2 * bands - 0.6, 0, 1)[..., None]) * lit[..., None]
        cover = np.clip((1 - np.sqrt(square)) * size * len(y), 0, 1)[..., None]
        air = np.exp(-np.abs(np.sqrt(square) - 1) * 18)[..., None] * np.array((0.25, 0.4, 0.6), np.float32)
        return image * (1 - cover) + ground * cover + air * np.clip(lit + 0.1, 0, 1)[..., None]

    def _skyline(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng, horizon = self.rng, self.rng.uniform(0.6, 0.8)
        h, w = x.shape
        night = rng.random() < 0.6
        image = self._sky(x, y, horizon) * np.float32(0.15 if night else 0.9)
        for layer in range(3):
            left, depth = -int(rng.integers(0, 30)), (layer + 1) / 3
            wall = np.array((0.32, 0.33, 0.36), np.float32) * ((0.25 if night else 1.0) * (1.25 - 0.6 * depth))
            while left < w:
                wide, top = (
                    int(rng.uniform(0.04, 0.13) * w * (0.6 + depth)),
                    int((horizon - rng.uniform(0, 0.55) * (1.2 - 0.5 * depth)) * h),
                )
                part = image[max(0, top) :, max(0, left) : left + wide]
                if part.size:
                    part[:] = wall * np.linspace(1.2, 0.5, part.shape[1], dtype=np.float32)[None, :, None]
                    step = max(3, round(h * rng.uniform(0.014, 0.03)))
                    rows, columns = part.shape[0] // step, part.shape[1] // step
                    if rows and columns > 1:
                        lit = np.kron(rng.random((rows, columns)) < (0.3 if night else 0.8), np.ones((step, step)))
                        lit[::step] = lit[:, ::step] = 0
                        pane = np.array((0.95, 0.75, 0.4) if night else (0.2, 0.26, 0.33), np.float32)
                        part[: rows * step, : columns * step][lit > 0] = pane * rng.uniform(0.3, 1.0)
                left += wide + int(rng.integers(0, 6))
            image += (1 - image) * np.float32(0.1) * np.clip(y, 0.3, 1)[..., None]
        if rng.random() < 0.5:
            self._lamps(image, 10)
        return image

    def _lamps(self, image: np.ndarray, count: int) -> None:
        """Discs of light out of focus."""
        rng, (h, w) = self.rng, image.shape[:2]
        hues = rng.uniform(0.1, 1.0, (3, 3))
        for _ in range(count):
            layer = np.zeros((h, w), np.float32)
            centre, size = (int(rng.random() * w), int(rng.random() * h)), int(h * rng.uniform(0.02, 0.1)) + 2
            cv2.circle(layer, centre, size, 1.0, -1, cv2.LINE_AA)
            cv2.circle(layer, centre, size, 1.4, 1, cv2.LINE_AA)
            box = np.s_[
                max(0, centre[1] - size - 2) : centre[1] + size + 3, max(0, centre[0] - size - 2) : centre[0] + size + 3
            ]
            image[box] += layer[box][..., None] * (hues[rng.integers(3)] * rng.uniform(0.15, 0.6)).astype(np.float32)

    def _bokeh(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        tone = self.rng.uniform(0.02, 0.2, (2, 3)).astype(np.float32)
        image = tone[0] + (tone[1] - tone[0]) * y[..., None] + 0.15 * (self.noise(2, 3)[..., None] - 0.5)
        self._lamps(image, int(self.rng.integers(14, 34)))
        return image

    def _streaks(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rng = self.rng
        dx, dy = (x - rng.uniform(0.3, 0.7)) * 1.78, y - rng.uniform(0.3, 0.7)
        turn = ((np.arctan2(dy, dx) / (2 * np.pi) + 0.5) * 255).astype(np.int32)
        far = np.sqrt(dx * dx + dy * dy)
        rays = rng.random(256).astype(np.float32) ** 5
        a, b = rng.uniform(0.1, 1.0, (2, 3)).astype(np.float32)
        lit = rays[turn] * np.clip(far * 2.5 - 0.15, 0, 1.2) + np.exp(-far * 9)
        return lit[..., None] * (a + (b - a) * np.clip(far, 0, 1)[..., None]) + np.float32(0.02)

    def _plasma(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        bend = self.noise(1.5, 4)
        wave = 0.5 + 0.5 * np.sin(self.rng.uniform(8, 26) * bend + self.rng.uniform(-6, 6) * x)
        a, b, c = self.rng.uniform(0, 1.0, (3, 3)).astype(np.float32) ** 1.5
        return (a * wave[..., None] + b * (1 - wave[..., None])) * (0.2 + self.noise(3, 4))[..., None] + c * wave[
            ..., None
        ] ** 12

    def _bars(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Light through slats."""
        rng = self.rng
        lean, count = rng.uniform(-0.6, 0.6), rng.uniform(5, 12)
        slat = np.clip(3 * np.sin(2 * np.pi * count * (y + lean * x)), 0, 1)
        fall = np.exp(-3 * ((x - rng.random()) ** 2 + (y - rng.random()) ** 2))
        warm = np.array((1.0, 0.8, 0.55), np.float32) * rng.uniform(0.5, 1.0)
        return (0.06 + slat * fall)[..., None] * warm * (0.7 + 0.5 * self.noise(2, 4))[..., None]

    def _vault(self, kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Walls, floor and ceiling that run into the distance; a room ends at its back wall."""
        rng = self.rng
        u, v = (x - rng.uniform(0.35, 0.65)) * 1.78, y - rng.uniform(0.4, 0.55)
        across, above = (0.9, 0.5) if kind in ("room", "hangar") else (rng.uniform(0.4, 0.8), 0.5)
        if kind == "tunnel":
            near = np.sqrt((u / across) ** 2 + (v / above) ** 2)
            flat, side = np.arctan2(v, u) / np.pi, np.ones_like(u, bool)
        else:
            near = np.maximum(np.abs(u) / across, np.abs(v) / above)
            side = np.abs(u) / across > np.abs(v) / above
            flat = np.where(side, v / above, u / across) / np.maximum(near, 1e-3)
        end = {"room": rng.uniform(1.8, 2.6), "hangar": rng.uniform(2.2, 4.0)}.get(kind, rng.uniform(6, 12))
        depth = np.minimum(1 / np.maximum(near, 1e-3), end)
        back, floor = 1 / np.maximum(near, 1e-3) > end, (~side) & (v > 0)
        cycle = (depth * rng.uniform(1.0, 2.5) + rng.random()) % 1
        wall, deck, lamp = (
            np.array(c, np.float32)
            for c in (rng.uniform(0.25, 0.6, 3), rng.uniform(0.12, 0.4, 3), rng.uniform(0.5, 1, 3))
        )
        image = np.where(floor[..., None], deck, wall) * np.where(side, np.float32(1.0), np.float32(0.8))[..., None]
        image *= (1 - np.float32(0.45) * ((cycle < 0.06) | ((np.abs((flat * 2) % 1 - 0.5) > 0.47) & side)))[..., None]
        door = side & (cycle > 0.35) & (cycle < 0.75) & (flat > -0.35) & ~back & (kind != "tunnel")
        image *= (1 - np.float32(0.5) * door)[..., None]
        image *= (0.25 + 0.9 / (1 + 0.22 * (depth - 1) ** 2))[..., None] * (0.9 + 0.25 * self.noise(6, 4))[..., None]
        strip = (np.abs(flat) < 0.13) & ~side if kind != "tunnel" else np.abs(flat + 0.5) < 0.05
        strip &= (cycle > 0.25) & ~back
        for where, share in ((strip & (v < 0), 0.9), (strip & floor, 0.25)):
            image[where] += lamp * np.float32(share)
        if back.any():
            inside = (u / across * end, v / above * end)
            image[back] = (wall * 0.8) * (1 - 0.25 * np.abs(inside[0][back]))[:, None]
            pane = (
                back
                & (np.abs(inside[0] - rng.uniform(-0.3, 0.3)) < rng.uniform(0.3, 0.6))
                & (np.abs(inside[1] + 0.15) < rng.uniform(0.3, 0.5))
            )
            view = getattr(self, f"_{rng.choice(('space', 'skyline', 'clouds', 'bokeh'))}")(x, y)
            image[pane] = view[pane] * rng.uniform(0.7, 1.3)
        else:
            image += np.exp(-((near * end) ** 2))[..., None] * lamp * rng.uniform(-0.2, 0.9)
        scale = x.shape[0] / 180
        for _ in range(int(rng.integers(0, 5)) if kind != "tunnel" else 0):  # crates, tables, pipes
            layer = np.zeros((*x.shape, 4), np.float32)
            px, py, size = rng.random() * x.shape[1], x.shape[0] * rng.uniform(0.8, 1.0), scale * rng.uniform(12, 34)
            solid(
                layer,
                (px, py),
                (px + size * rng.uniform(0, 1.5), py),
                (size, size * rng.uniform(0.5, 1.4)),
                tuple(rng.uniform(0.1, 0.5, 3)),
                power=rng.uniform(3, 7),
            )
            first = max(0, int(py - 1.5 * size))
            image[first:] = image[first:] * (1 - layer[first:, :, 3:]) + layer[first:, :, :3] * np.float32(0.8)
        return image

    def soft(self, image: np.ndarray) -> np.ndarray:
        """A part of the same place out of focus, uint8 of the same size."""
        h, w = image.shape[:2]
        x, y = self.rng.integers(0, w // 3), self.rng.integers(0, h // 3)
        small = cv2.resize(
            image[y : y + h * 2 // 3, x : x + w * 2 // 3], (w // 4, h // 4), interpolation=cv2.INTER_AREA
        )
        blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), h / 70), (w, h), interpolation=cv2.INTER_LINEAR)
        return np.clip(blurred + 200 * self.grain[0], 0, 255).astype(np.uint8)

    def screen(self, grade: str) -> np.ndarray:
        """A monitor, a neon sign or a page of a file: words as a part of the picture, RGB uint8."""
        rng = self.rng
        w, h = self.canvas()
        image = self.soft(self.place(str(rng.choice(INSIDE)), grade, light=0.6)).astype(np.float32) / 255
        paper, ink = (
            ((0.85, 0.83, 0.76), (0.1, 0.1, 0.12)),
            ((0.03, 0.08, 0.1), (0.4, 0.95, 0.7)),
            ((0.02, 0.02, 0.03), (1.0, 0.45, 0.4)),
        )[rng.integers(3)]
        left, top, right, bottom = int(0.17 * w), int(0.16 * h), int(0.83 * w), int(0.84 * h)
        sheet = np.ones((bottom - top, right - left, 3), np.float32) * np.array(paper, np.float32)
        size, count = (
            (max(9, int(h * 0.11)), 2)
            if rng.random() < 0.3
            else (max(8, int(h * rng.uniform(0.05, 0.08))), int(rng.integers(3, 8)))
        )
        for k in range(count):
            text = self.sentence() if count > 2 else str(rng.choice(WORLDS))
            cover = letters(text, self.face if rng.random() < 0.5 else "segment", size)
            part = sheet[int((0.4 + 1.5 * k) * size) :][: cover.shape[0], int(0.06 * w) :][:, : cover.shape[1]]
            share = cover[: part.shape[0], : part.shape[1], None] / np.float32(255)
            part[:] = part * (1 - share) + np.array(ink, np.float32) * share
        image[top:bottom, left:right] = sheet
        tilt = rng.uniform(-0.06, 0.06, (4, 2)).astype(np.float32)
        corners = np.array(((0, 0), (w, 0), (w, h), (0, h)), np.float32)
        bent = cv2.getPerspectiveTransform(corners, corners + tilt * np.float32((w, h)))
        return self.expose(cv2.warpPerspective(image, bent, (w, h), borderMode=cv2.BORDER_REPLICATE), grade)

    # Actors

    def actor(self, who: int, view: str, size: int, grade: str) -> list[Sprite]:
        """Poses of a member of the cast: silent, speaking a little, speaking, blinking; `view` bust, full or shadow.

        `size` is the sprite's height in pixels; views "ship" and "car" show a machine of his instead.
        """
        key = (who % len(self.cast), view, size, grade)
        if key not in self.bodies:
            poses = {"bust": ((0, 0), (1, 0), (2, 0), (0, 1))}.get(view, ((0, 0), (1, 0)))
            self.bodies[key] = [self._body(self.cast[key[0]], view, size, grade, *pose) for pose in poses]
        return self.bodies[key]

    def _body(self, f: dict, view: str, size: int, grade: str, mouth: int, shut: int) -> Sprite:
        wide = {"bust": 1.0, "full": 0.5, "shadow": 0.5}.get(view, 2.4)
        image = np.zeros((size, even(size * wide), 4), np.float32)
        if view == "bust":
            self._head(image, f, size * 0.5, size * 0.4, size * 0.2, mouth, shut, True)
        elif wide > 1:
            self._machine(image, f, view, size, mouth)
        else:
            self._walker(image, f, size, mouth)
        rgb = self.grade(image[..., :3], grade) * image[..., 3:]
        if view == "shadow":
            edge = np.clip(image[..., :3].max(2, keepdims=True) - 0.55, 0, 1)
            rgb = (0.03 + edge * np.array(GRADES[grade][1], np.float32)) * image[..., 3:]
        return to_sprite((255 * np.clip(np.concatenate((rgb, image[..., 3:]), axis=2), 0, 1)).astype(np.uint8))

    def _head(
        self, image: np.ndarray, f: dict, x: float, y: float, r: float, mouth: int, shut: int, body: bool
    ) -> None:
        """A head of radius r (pixels) around (x, y), with shoulders where there is a `body`."""

        def lump(ax, ay, bx, by, rx, ry, colour, **more) -> None:
            solid(image, (x + ax * r, y + ay * r), (x + bx * r, y + by * r), (rx * r, ry * r), colour, **more)

        robot, low = f["kind"] == "robot", (len(image) - y) / r
        skin = f["metal"] if robot else f["skin"]
        if f["kind"] == "probe":  # a ball that floats, with an eye
            lump(0, 0, 0, 0, 1.5, 1.5, f["metal"], shine=0.8)
            lump(-1.7, 0.1, 1.7, 0.1, 0.16, 0.16, f["cloth"], shine=0.6)
            lump(0.15, -0.1, 0.15, -0.1, 0.62, 0.62, (0.04, 0.04, 0.05), shine=0.9)
            bright = 0.12 if shut else 0.3 + 0.09 * mouth
            lump(0.15, -0.1, 0.15, -0.1, bright, bright, f["glow"], glows=True)
            for i in range(3):
                lump(
                    -0.5 + 0.5 * i,
                    0.85,
                    -0.5 + 0.5 * i,
                    0.85,
                    0.12,
                    0.08,
                    f["glow"] if i < mouth + 1 else f["cloth"],
                    glows=i <= mouth,
                )
            return
        if body:
            lump(-1.25, 2.1, 1.25, 2.1, 0.75, 0.8, f["cloth"], shine=0.1 if not robot else 0.6)
            lump(0, 2.6, 0, low + 1, 1.85, 1.1, f["cloth"], shine=0.05)
        lump(0, 0.8, 0, 1.6, 0.4, 0.4, tuple(0.7 * c for c in skin))
        if not robot and f["hat"] == "hood":
            lump(0, 0.1, 0, 0.3, 1.15, 1.3, f["cloth"], shine=0.05)
        lump(0, 0, 0, 0.15, 0.8 * f["wide"], 1.0, skin, power=f["boxy"] if robot else 2.0, shine=0.7 if robot else 0.08)
        if robot:
            lump(-0.4, -0.15, 0.4, -0.15, 0.3, 0.28, (0.04, 0.04, 0.06), shine=0.8)
            for i in range(f["eyes"]):
                at = (i - (f["eyes"] - 1) / 2) * 0.42
                lump(at, -0.15, at, -0.15, 0.12, 0.03 if shut else 0.12, f["glow"], glows=True)
            for i in range(5):
                on = abs(i - 2) < mouth + 0.5
                lump(
                    -0.3 + 0.15 * i,
                    0.55,
                    -0.3 + 0.15 * i,
                    0.6,
                    0.05,
                    0.05 + 0.05 * mouth * on,
                    f["glow"] if on else (0.1, 0.1, 0.1),
                    glows=True,
                )
            return
        for side in (-1, 1):
            lump(0.32 * side, -0.02, 0.32 * side, -0.02, 0.24, 0.15, tuple(0.55 * c for c in skin), shine=0)
            if not shut:
                lump(0.32 * side, 0, 0.32 * side, 0, 0.1, 0.07, (0.03, 0.03, 0.04), shine=0.9)
        lump(0, 0.0, 0.03, 0.35, 0.1, 0.1, tuple(min(1, 1.1 * c) for c in skin), shine=0.05)
        lump(
            -0.14,
            0.66,
            0.14,
            0.66,
            0.09,
            (0.035, 0.08, 0.16)[mouth],
            (0.25 * skin[0], 0.1 * skin[0], 0.1 * skin[0]),
            shine=0,
        )
        if f["hat"] == "hair":
            lump(-0.3, -0.62, 0.3, -0.66, 0.62, 0.46, f["hair"], shine=0.15)
            for side in (-1, 1):
                lump(0.76 * side, -0.4, 0.8 * side, 0.2 * f["eyes"], 0.17, 0.2, f["hair"], shine=0.1)
        elif f["hat"] == "helmet":
            lump(-0.25, -0.72, 0.25, -0.72, 0.72, 0.55, f["metal"], shine=0.8)
            lump(-0.5, -0.32, 0.5, -0.32, 0.3, 0.09, f["glow"], shine=0.9)

    def _walker(self, image: np.ndarray, f: dict, s: float, step: int) -> None:
        x, lean = s / 4, 0.07 * s * (1 if step else -0.7)
        if f["kind"] == "probe":
            self._head(image, f, x, 0.45 * s, 0.12 * s, step, 0, False)
            return
        dark = tuple(0.6 * c for c in f["cloth"])

        def limb(ax: float, ay: float, bx: float, by: float, thick: float, colour: Light) -> None:
            solid(
                image,
                (x + ax, ay * s),
                (x + bx, by * s),
                (thick * s,) * 2,
                colour,
                shine=0.5 if f["kind"] == "robot" else 0.05,
            )

        limb(0, 0.55, -lean, 0.95, 0.038, dark)
        limb(0, 0.36, lean, 0.55, 0.027, dark)
        limb(0, 0.55, lean, 0.95, 0.04, f["cloth"])
        limb(0, 0.34, 0, 0.52, 0.08, f["metal"] if f["kind"] == "robot" else f["cloth"])
        limb(0, 0.36, -lean, 0.54, 0.028, f["cloth"])
        self._head(image, f, x, 0.16 * s, 0.085 * s, 0, 0, False)

    def _machine(self, image: np.ndarray, f: dict, view: str, s: float, step: int) -> None:
        """A ship that flies to the right, or a car with wheels."""

        def lump(ax, ay, bx, by, rx, ry, colour, **more) -> None:
            solid(image, (ax * s, ay * s), (bx * s, by * s), (rx * s, ry * s), colour, **more)

        if view == "ship":
            lump(0.35, 0.55, 0.3 - 0.1 * step, 0.55, 0.16, 0.1, f["glow"], glows=True)
            lump(0.6, 0.3, 1.1, 0.5, 0.3, 0.1, tuple(0.7 * c for c in f["metal"]))
            lump(0.6, 0.55, 1.8, 0.57, 0.3, 0.2, f["metal"], shine=0.6)
            lump(1.5, 0.46, 1.65, 0.48, 0.16, 0.1, (0.05, 0.08, 0.12), shine=1.0)
            lump(0.5, 0.75, 1.2, 0.68, 0.25, 0.07, f["cloth"], shine=0.5)
            for i in range(4):
                lump(0.8 + 0.2 * i, 0.58, 0.8 + 0.2 * i, 0.58, 0.025, 0.025, (1.0, 0.9, 0.6), glows=True)
            return
        lump(0.8, 0.42, 1.45, 0.42, 0.32, 0.26, f["metal"], shine=0.5, power=2.6)
        lump(0.82, 0.4, 1.42, 0.4, 0.24, 0.15, (0.06, 0.08, 0.1), shine=1.0)
        lump(0.4, 0.65, 2.0, 0.65, 0.3, 0.17, f["metal"], shine=0.5, power=3)
        lump(2.2, 0.62, 2.2, 0.62, 0.07, 0.05, (1.0, 0.95, 0.8), glows=True)
        for at in (0.62, 1.78):
            lump(at, 0.8, at, 0.8, 0.17, 0.17, (0.05, 0.05, 0.05), shine=0.1)
            lump(at, 0.8, at, 0.8, 0.08, 0.08, (0.5, 0.5, 0.5), shine=0.7)


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
        for plane, source, scale in zip(planes, shot.background, (1, 2, 2), strict=True):
            if shot.camera[0] == shot.camera[1] and not shot.shake:
                top, left = max(0, even(y)) // scale, max(0, even(x)) // scale
                plane[:] = source[top : top + plane.shape[0], left : left + plane.shape[1]]
            else:
                matrix = np.array(((zoom, 0, x / scale), (0, zoom, y / scale)), np.float32)
                way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                cv2.warpAffine(source, matrix, plane.shape[::-1], plane, way, cv2.BORDER_REPLICATE)
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


# The sound

METERS = {"4/4": (8, (0, 4)), "5/4": (10, (0, 6)), "7/8": (7, (0, 4))}  # eighths in a bar, where it is struck
SCALES = (
    (0, 2, 3, 5, 7, 8, 10),
    (0, 1, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 8, 11),
    (0, 2, 4, 6, 7, 9, 11),
    (0, 2, 3, 5, 7, 9, 10),
)
ROOTS = (0, 0, 0, 1, 2, 3, 4, 5, 5, 6)  # scale degrees that a bar may stand on
# Struck metal and glass: ratio of each mode to the first, its strength, and how fast it falls (1/s).
MODES_OF = {
    "gamelan": ((1, 1.0, 1.6), (2.76, 0.6, 3.0), (5.4, 0.35, 5.0), (8.93, 0.2, 9.0)),
    "glass": ((1, 1.0, 3.5), (2.32, 0.35, 6.0), (4.25, 0.3, 9.0), (6.63, 0.12, 14.0)),
    "gong": ((1, 1.0, 0.7), (1.47, 0.9, 0.9), (2.09, 0.8, 1.2), (2.56, 0.5, 1.6), (3.39, 0.4, 2.5), (4.9, 0.2, 4.0)),
}
CHOIR = ((640, 1090, 2700), (430, 870, 2600), (330, 780, 2500))  # Hz: formants of ah, oh, oo
TILE = 1 << 16  # samples of a sound that is made periodic, to be repeated


def shaped_noise(rng: np.random.Generator, size: int, rate: int, strength) -> np.ndarray:
    """Periodic noise, float32 (size,), root mean square 1; `strength` gives the spectrum's amplitude for hertz."""
    hertz = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(rate / size)
    bins = rng.standard_normal((2, hertz.size), dtype=np.float32) * strength(hertz).astype(np.float32)
    sound = irfft(bins[0] + 1j * bins[1], size)
    return (sound / (np.sqrt((sound**2).mean()) + 1e-12)).astype(np.float32)


def comb(hertz: np.ndarray, first: float, width: float) -> np.ndarray:
    """Peaks at the multiples of `first` (Hz), `width` (share of it) wide."""
    return np.exp(-((((hertz / first + 0.5) % 1 - 0.5) / width) ** 2)) * (hertz > 0.5 * first)


class FilmStudio(Studio):
    """The instruments, drums and voices of one clip of the family "film"."""

    def _make_note(self, instrument: str, midi: int, seconds: float) -> np.ndarray:
        """Instruments: strings, choir0 to choir2, brass, bass, pulse, and those of MODES_OF."""
        rate, hertz = self.sample_rate, 440 * 2 ** ((midi - 69) / 12)
        kind = instrument.rstrip("012")
        attack, release = {
            "strings": (0.25, 0.5),
            "choir": (0.15, 0.35),
            "brass": (0.08, 0.3),
            "bass": (0.01, 0.08),
            "pulse": (0.01, 0.1),
        }.get(kind, (0.002, 1.6 if instrument == "gong" else 0.6))
        size = self.samples(seconds + release)
        time = np.arange(size, dtype=np.float32) / np.float32(rate)
        if kind in ("strings", "choir"):
            sound = np.resize(self._tile(instrument, midi), size)
        elif kind == "brass":
            phase = hertz * time
            sound = phase % 1 - 0.5 + (1.006 * phase) % 1 - 0.5
            sound = self._swept(sound, hertz, seconds)
        elif kind == "bass":
            sound = np.tanh(2.5 * (np.sin(2 * np.pi * hertz * time) + 0.4 * ((hertz * time) % 1 - 0.5)))
        elif kind == "pulse":
            phase = hertz * time
            sound = np.where(phase % 1 < 0.3 + 0.15 * np.sin(3 * time), 1.0, -1.0) * np.exp(-4 * time)
            sound = _ring(sound, min(9 * hertz, 0.3 * rate), 500.0, rate) + 0.4 * _ring(sound, 2 * hertz, 300.0, rate)
        else:
            sound = sum(
                strength * np.exp(-fall * time) * np.sin(2 * np.pi * hertz * ratio * time)
                for ratio, strength, fall in MODES_OF[instrument]
                if hertz * ratio < 0.45 * rate
            )
        sound = sound / (np.sqrt((sound[: max(1, self.samples(seconds))] ** 2).mean()) + 1e-9)
        envelope = np.minimum(1, time / attack) * np.clip((seconds + release - time) / release, 0, 1)
        return (0.5 * sound * envelope).astype(np.float32)

    def _tile(self, instrument: str, midi: int) -> np.ndarray:
        """Periodic noise of strings or of a choir at a pitch."""
        key = (instrument, midi, -1)
        if key not in self.notes:
            first = 440 * 2 ** ((midi - 69) / 12)

            def bowed(hertz: np.ndarray) -> np.ndarray:
                body = 1 + 1.5 * np.exp(-(((hertz - 480) / 180) ** 2)) + np.exp(-(((hertz - 1900) / 600) ** 2))
                return comb(hertz, first, 0.012 + 0.00001 * hertz) * body / (1 + (hertz / 1500) ** 2)

            def sung(hertz: np.ndarray) -> np.ndarray:
                formants = CHOIR[int(instrument[-1])]
                mouth = sum(
                    np.exp(-(((hertz - self.singer * f) / (90 + 0.05 * f)) ** 2)) / (1 + i)
                    for i, f in enumerate(formants)
                )
                return (comb(hertz, first, 0.02 + 0.000008 * hertz) + 0.01) * (mouth + 0.03 / (1 + hertz / 800))

            shape = bowed if instrument == "strings" else sung
            self.notes[key] = shaped_noise(self.rng, TILE, self.sample_rate, shape)
        return self.notes[key]

    def _swept(self, sound: np.ndarray, hertz: float, seconds: float) -> np.ndarray:
        """A low-pass that opens and closes again, in blocks of 25 ms."""
        block, state, out = self.samples(0.025), np.zeros(2), []
        for i in range(0, sound.size, block):
            share = i / self.sample_rate / max(seconds, 0.05)
            edge = min(hertz * (1.5 + 7 * min(1, 3 * share) * max(0.15, 1 - 0.6 * share)), 0.2 * self.sample_rate)
            keep = math.exp(-2 * math.pi * edge / self.sample_rate)
            part, state = lfilter([(1 - keep) ** 2], [1, -2 * keep, keep * keep], sound[i : i + block], zi=state)
            out.append(part)
        return np.concatenate(out)

    def _make_drums(self) -> dict[str, np.ndarray]:
        """Electronic and big drums: boom, clap, ride, taiko, tick, rim; float32, peaks near 1."""
        rng, rate = self.rng, self.sample_rate

        def time(seconds: float) -> np.ndarray:
            return np.arange(self.samples(seconds)) / rate

        t = time(0.9)
        boom = np.sin(2 * np.pi * (rng.uniform(38, 52) * t + 3.5 * (1 - np.exp(-22 * t)))) * np.exp(
            -rng.uniform(3.5, 7) * t
        )
        t = time(0.3)
        bursts = sum(np.exp(-90 * np.abs(t - d)) for d in (0.0, 0.011, 0.023)) + 0.7 * np.exp(-16 * t) * (t > 0.023)
        clap = _ring(self.noise(0.3), rng.uniform(1000, 1700), 900, rate) * bursts
        t = time(0.7)
        metal = sum(np.sign(np.sin(2 * np.pi * f * t)) for f in rng.uniform(2500, 7500, 5))
        ride = np.diff(metal + 2 * self.noise(0.7), prepend=0) * np.exp(-rng.uniform(5, 9) * t)
        t = time(0.8)
        skin = np.sin(2 * np.pi * (rng.uniform(62, 85) * t + 1.2 * (1 - np.exp(-40 * t)))) * np.exp(-6 * t)
        taiko = skin + 0.8 * _ring(self.noise(0.8), rng.uniform(180, 320), 160, rate) * np.exp(-14 * t) * 6
        t = time(0.05)
        tick = np.diff(self.noise(0.05), prepend=0) * np.exp(-120 * t)
        t = time(0.12)
        rim = np.sin(2 * np.pi * rng.uniform(700, 1100) * t) * np.sin(2 * np.pi * 1730 * t) * np.exp(-40 * t)
        sounds = {"boom": boom, "clap": clap, "ride": ride, "taiko": taiko, "tick": tick, "rim": rim}
        return {name: (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32) for name, sound in sounds.items()}

    def _make_voice(self) -> list[list[np.ndarray]]:
        """Three rows (high, middle, low) of 14 syllables: narrow pulses through two formants, now and then by radio."""
        rng, rate = self.rng, self.sample_rate
        pitch = float(rng.choice((rng.uniform(62, 105), rng.uniform(150, 220), rng.uniform(250, 340))))
        size, breath, radio = rng.uniform(0.8, 1.3), rng.uniform(0.02, 0.15), rng.random() < 0.35
        rows = []
        for height in (1.12, 1.0, 0.9):
            row = []
            for _ in range(14):
                seconds = rng.uniform(0.13, 0.28)
                count = self.samples(seconds)
                share = np.arange(count) / count
                phase = np.pi * np.cumsum(pitch * height * (1 + rng.uniform(-0.05, 0.05) * share)) / rate
                partials = 2 * max(2, int(3500 / pitch / height / 2)) + 1
                pulses = np.sin(partials * phase) / (partials * np.sin(phase) + 1e-6) + breath * rng.standard_normal(
                    count
                )
                first, second = rng.uniform(260, 780) * size, rng.uniform(880, 2250) * size
                sound = _ring(pulses, first, 90, rate) + 0.7 * _ring(pulses, second, 130, rate)
                if rng.random() < 0.5:  # it glides into another vowel
                    other = _ring(pulses, rng.uniform(260, 780) * size, 90, rate)
                    sound = sound * (1 - share) + other * share
                sound *= np.clip(np.minimum(share / rng.uniform(0.08, 0.3), (1 - share) / 0.25), 0, 1)
                if rng.random() < 0.6:  # a consonant before it
                    start = self.samples(rng.uniform(0.02, 0.07))
                    hiss = _ring(rng.standard_normal(start), rng.uniform(1800, 5200), 900, rate) * np.hanning(start)
                    sound[:start] += rng.uniform(0.3, 1.0) * hiss / (np.abs(hiss).max() + 1e-9) * np.abs(sound).max()
                if radio:
                    sound = np.tanh(2 * _ring(sound, 1500, 1900, rate) / (np.abs(sound).max() + 1e-9))
                row.append((LEVEL * sound / (np.sqrt((sound**2).mean()) + 1e-9)).astype(np.float32))
            rows.append(row)
        return rows

    def song(self, style: str, channels: int) -> "FilmSong":
        """A new piece of music of this studio's kind."""
        return FilmSong(self, style, channels)

    def room_tone(self, seconds: float) -> np.ndarray:
        """float32 (samples,): an engine, rain, air from a duct or a city far away, root mean square LEVEL."""
        rng = self.rng
        kind, a, b = str(rng.choice(("engine", "rain", "duct", "city"))), rng.uniform(0.7, 1.4), rng.random()
        size = next_fast_len(max(16, self.samples(seconds)), real=True)

        def strength(hertz: np.ndarray) -> np.ndarray:
            if kind == "engine":
                return (comb(hertz, 48 * a, 0.012) + 0.015) / (1 + (hertz / 160) ** 2) + 2e-4
            if kind == "rain":
                return np.exp(-(((hertz - 5200 * a) / 4200) ** 2)) + 0.2 / (1 + hertz / 300)
            if kind == "duct":
                return np.exp(-(((hertz - 420 * a) / 160) ** 2)) + 0.4 / (1 + (hertz / 700) ** 2)
            return 1 / (1 + (hertz / 70 / a) ** 2) + b * 0.03 * np.exp(-(((hertz - 420) / 4) ** 2)) + 0.002

        sound = shaped_noise(rng, size, self.sample_rate, strength)
        if kind == "rain":
            drops = rng.integers(0, size, size // 900)
            sound[drops] += rng.normal(0, 4, drops.size).astype(np.float32)
        return sound * np.float32(LEVEL / (np.sqrt((sound**2).mean()) + 1e-9))

    def accent(self) -> np.ndarray:
        """float32 (samples,): a stroke under a quick cut."""
        return self.drums[str(self.rng.choice(("taiko", "boom", "clap")))]

    def _rush(self, seconds: float, falls: bool) -> np.ndarray:
        """Air that swells, or falls away."""
        sound = _ring(self.noise(seconds), self.rng.uniform(300, 1500), 500, self.sample_rate)
        shape = np.linspace(0, 1, sound.size) ** 2.5
        return (sound * (shape[::-1] if falls else shape) / (np.abs(sound).max() + 1e-9)).astype(np.float32)

    def add_chime(self, track: np.ndarray, start: float) -> None:
        """Add the sting of an eyecatch: a swell, then metal."""
        add(track, self.samples(start), self._rush(0.7, False), 0.2)
        for midi in self.rng.integers(40, 76, 3):
            add(track, self.samples(start + 0.7), self.note("gong" if midi < 56 else "gamelan", int(midi), 1.5), 0.1)

    def add_thing(self, track: np.ndarray, start: float, plan: ClipPlan) -> None:
        """Add the noise of a thing: consoles, a sliding door, steps on a grating, a thud, a machine passing."""
        rng, now, sounds = self.rng, 0.0, []
        thing = str(rng.choice(("console", "door", "steps", "thud", "thunder", "pass", "alarm")))
        if thing in ("console", "alarm"):
            for _ in range(int(rng.integers(2, 7))):
                midi = 74 if thing == "alarm" else int(rng.integers(84, 100))
                sounds.append((now, self.note("pulse", midi, 0.35 if thing == "alarm" else 0.05), 0.05))
                now += 0.5 if thing == "alarm" else rng.uniform(0.07, 0.3)
        elif thing == "steps":
            sounds = [(0.55 * i + rng.uniform(0, 0.05), self.note("glass", 50 + i % 2, 0.08), 0.08) for i in range(6)]
        elif thing == "door":
            sounds = [(0.0, self._rush(0.8, True), 0.15), (0.75, self.drums["rim"], 0.2)]
        elif thing == "pass":
            sounds = [(0.0, self._rush(1.2, False), 0.2), (1.2, self._rush(1.0, True), 0.2)]
        else:
            sounds = [(0.0, self.drums["taiko" if thing == "thud" else "boom"], 0.4)]
            sounds += [(0.1, self._rush(2.5, True), 0.2)] if thing == "thunder" else []
        at, gain = self.samples(start), 10 ** (rng.uniform(-14, 0) / 20)
        room = self.samples(plan.segment_at(start).end) - at  # nothing of an episode sounds in the next segment
        for later, sound, strength in sounds:
            offset = self.samples(later)
            add(track, at + offset, sound[: max(0, room - offset)], strength * gain)

    def add_line(self, track: np.ndarray, event: Event) -> None:
        """Add one sentence: words of some syllables with a breath between them; the pitch goes down in each word."""
        rng, voice = self.rng, self.voices[int(self.rng.integers(3))]
        gain, now = 10 ** (rng.uniform(-3, 3) / 20), event.start
        while now < event.end - 0.12:
            count = int(rng.integers(1, 5))
            for k in range(count):
                row = voice[min(2, 3 * k // count)]
                sound = row[int(rng.integers(len(row)))]
                if now > event.end - 0.06:
                    break
                add(
                    track, self.samples(now), sound, gain * (rng.uniform(1.0, 1.3) if k == 0 else rng.uniform(0.6, 1.0))
                )
                now += sound.size / self.sample_rate * rng.uniform(0.62, 0.9)
            now += rng.uniform(0.02, 0.14)


def _ring(sound: np.ndarray, hertz: float, width: float, rate: int) -> np.ndarray:
    """Two poles at `hertz`, `width` Hz wide, and a zero at 0 Hz and at half the sample rate."""
    radius = math.exp(-math.pi * width / rate)
    return lfilter(
        [1 - radius, 0, radius - 1], [1, -2 * radius * math.cos(2 * math.pi * hertz / rate), radius**2], sound
    )


class FilmSong:
    """A piece of music: metre, tempo, scale, layers. `style`: opening, ending, song, calm, tense or lively."""

    def __init__(self, studio: FilmStudio, style: str, channels: int):
        self.studio, self.style, self.channels = studio, style, channels
        rng = self.rng = studio.rng
        self.kind = str(rng.choice(("orchestra", "machines", "trip-hop")))
        self.meter = str(rng.choice(list(METERS), p=(0.5, 0.3, 0.2))) if self.kind != "trip-hop" else "4/4"
        self.steps, self.strokes = METERS[self.meter]
        low, high = {
            "opening": (78, 150),
            "ending": (46, 84),
            "song": (62, 120),
            "calm": (42, 66),
            "tense": (84, 130),
        }.get(style, (84, 132))
        self.step = 30 / rng.uniform(low, high) * (1.2 if self.kind == "trip-hop" else 1.0)  # s an eighth
        self.swing = rng.uniform(0.12, 0.3) if self.kind == "trip-hop" else 0.0
        self.key, self.scale = int(rng.integers(36, 48)), SCALES[int(rng.integers(len(SCALES)))]
        self.roots = {part: [int(r) for r in rng.choice(ROOTS, 4)] for part in ("still", "main", "peak")}
        self.drone = rng.random() < 0.4
        chance = {"opening": 0.9, "ending": 0.55, "song": 0.65, "calm": 0.05, "tense": 0.6, "lively": 0.7}[style]
        self.drummed = rng.random() < chance
        self.sung = rng.random() < {"opening": 0.85, "ending": 0.8, "song": 0.8}.get(style, 0.12)
        self.pad = str(
            rng.choice(
                {"orchestra": ("strings", "brass"), "machines": ("pulse", "strings")}.get(
                    self.kind, ("strings", "choir2")
                )
            )
        )
        self.figure = str(
            rng.choice(("gamelan", "glass", "pulse", "strings") if style != "calm" else ("glass", "gamelan"))
        )
        self.lead = str(rng.choice(("brass", "gamelan", "strings", "glass")))
        self.pattern = [int(d) for d in rng.choice((0, 2, 4, 7, 9, 1), self.steps)]
        self.beats = rng.random((3, self.steps))
        self.loudness = {"still": rng.uniform(-10, -2), "main": rng.uniform(-5, 0), "peak": 0.0}  # dB
        self.blocks: dict[tuple[str, int], np.ndarray] = {}

    @property
    def bar(self) -> float:
        """Seconds."""
        return self.steps * self.step

    def pitch(self, degree: int) -> int:
        octave, step = divmod(int(degree), 7)
        return self.key + 12 * octave + self.scale[step]

    def block(self, part: str, variant: int) -> np.ndarray:
        """Four bars and their ring, float32 (channels, samples); parts: still, main, peak."""
        if (part, variant) not in self.blocks:
            self.blocks[part, variant] = self._make_block(part)
        return self.blocks[part, variant]

    def _make_block(self, part: str) -> np.ndarray:
        rng, studio = self.rng, self.studio
        track = np.zeros((self.channels, studio.samples(4 * self.bar + 1.5)), np.float32)
        sides = {}

        def play(instrument: str, degree: int, step: float, steps: float, gain: float) -> None:
            if instrument not in sides:
                side = rng.uniform(-0.5, 0.5) if self.channels == 2 and instrument != "bass" else 0.0
                sides[instrument] = (1 - side, 1 + side)[: self.channels]
            late = self.swing * self.step * (int(step) % 2)
            sound = studio.note(instrument, self.pitch(degree), steps * self.step)
            add(track, studio.samples(step * self.step + late), sound, tuple(gain * s for s in sides[instrument]))

        for bar in range(4):
            root, now = (0 if self.drone else self.roots[part][bar]), bar * self.steps
            if bar % 2 == 0 or not self.drone:
                length = self.steps * (2 if self.drone else 1)
                for degree in (14, 16, 18):
                    play(self.pad, root + degree, now, length, {"pulse": 0.25}.get(self.pad, 0.2))
                play("brass" if self.kind == "orchestra" else "bass", root, now, length * 0.95, 0.3)
            if part != "still" and self.kind != "orchestra":
                for i in range(self.steps):
                    if self.beats[0, i] < (0.35 if self.kind == "trip-hop" else 0.6):
                        play("bass", root, now + i, 0.8, 0.28)
            if part != "still" or self.style == "calm":
                for i in range(0, self.steps, 2 if self.style == "calm" else 1):
                    if self.beats[1, i] < 0.8:
                        play(self.figure, root + 21 + self.pattern[i], now + i, 1.0, 0.17 * rng.uniform(0.6, 1.2))
            if part == "peak" and self.kind == "orchestra":
                for at in self.strokes:
                    play("brass", root + 9, now + at, 2.5, 0.25)
        self._sing(play, part)
        if self.drummed and part != "still":
            self._drum(track, part)
        delay = studio.samples(self.step * 3)  # an echo stands for the hall
        for gain in (0.3, 0.12):
            track[:, delay:] += np.float32(gain) * track[:, :-delay].copy()
        return track

    def _sing(self, play, part: str) -> None:
        """A choir without words, or a leading instrument: long notes, some across the bar."""
        rng, degree, at = self.rng, 21 + int(self.rng.integers(-2, 4)), 0.0
        if part == "still" and rng.random() < 0.5:
            return
        busy = {"opening": 0.5, "song": 0.4, "lively": 0.5}.get(self.style, 0.15)
        while at < 4 * self.steps - 1:
            length = float(rng.choice((1, 2, 3, 4, 6))) if rng.random() < busy else float(rng.choice((4, 6, 8)))
            degree = min(26, max(17, degree + int(rng.choice((-3, -2, -1, -1, 1, 1, 2, 4)))))
            if self.sung:
                for lower in (0, 2, 7)[: 3 if part == "peak" else 1]:
                    play(f"choir{rng.integers(3)}", degree - lower, at, length, 0.5 if lower == 0 else 0.25)
            elif rng.random() < 0.75:
                play(self.lead, degree, at, length, 0.3)
            at += length

    def _drum(self, track: np.ndarray, part: str) -> None:
        studio, full = self.studio, part == "peak"
        big, gain = self.kind == "orchestra", {"calm": 0.4, "ending": 0.6}.get(self.style, 1.0)
        for bar in range(4):
            for i in range(self.steps):
                hits = []
                if i in self.strokes[:1] or (self.beats[2, i] < 0.22):
                    hits.append(("taiko" if big else "boom", 0.6))
                if i == self.strokes[1] or (self.kind == "trip-hop" and i == 6 and self.beats[2, i] > 0.5):
                    hits.append(("taiko" if big else "clap", 0.4))
                if not big and (full or i % 2 == 0):
                    hits.append(("tick" if self.kind == "machines" else "ride", 0.12 if i % 2 else 0.18))
                if full and bar == 3 and i >= self.steps - 3:
                    hits.append(("taiko" if big else "rim", 0.3))
                for drum, strength in hits:
                    at = (bar * self.steps + i + self.swing * (i % 2)) * self.step
                    add(track, studio.samples(at), studio.drums[drum], gain * strength * self.rng.uniform(0.8, 1.1))

    def parts(self, count: int) -> list[tuple[str, int]]:
        """Names and variants of `count` blocks: the whole grows, with a still place within, or goes to and fro."""
        if self.style in ("calm", "tense", "lively"):
            return [("still" if i % 4 == 3 and self.rng.random() < 0.5 else "main", i % 2) for i in range(count)]
        names = ["main" if i < 0.55 * count else "peak" for i in range(count)]
        if count > 2 and self.rng.random() < 0.6:
            names[0] = "still"
        if count > 4 and self.rng.random() < 0.5:
            names[int(0.6 * count)] = "still"
        if self.style == "ending" and count > 2 and self.rng.random() < 0.5:
            names[-1] = "still"
        return [(name, i % 2) for i, name in enumerate(names)]

    def render(self, seconds: float, *, closes: bool, tail: float = 0.0, running: bool = False) -> np.ndarray:
        """`seconds` of the song and its `tail`, float32 (channels, samples), root mean square near LEVEL.

        A song that closes runs towards a last stroke, or breaks off into its echo, shortly before `seconds`; another is
        cut off there. One that is `running` has begun before; another may wait a moment.
        """
        studio, rng = self.studio, self.rng
        length = studio.samples(seconds + tail)
        track = np.zeros((self.channels, length + 1), np.float32)
        ring = min(rng.uniform(0.4, 3.0), seconds / 4) if closes else 0.0
        wait = 0.0 if running else rng.uniform(0.0, 0.35)
        body = max(0.5, seconds - ring - wait)
        count = max(1, round(body / (4 * self.bar))) if closes else math.ceil(body / (4 * self.bar))
        if closes and 0.7 < body / (4 * self.bar * count) < 1.4:
            self.step = body / (4 * count * self.steps)
        skip = rng.uniform(0, 4 * self.bar) if running and not closes else 0.0
        for i, (part, variant) in enumerate(self.parts(count + (1 if skip else 0))):
            at = wait - skip + i * 4 * self.bar
            gain = 10 ** ((self.loudness[part] + rng.uniform(-1.5, 1.5)) / 20)
            add(track, studio.samples(at), self.block(part, variant), gain)
        if closes:
            at, breaks = studio.samples(seconds - ring), rng.random() < 0.3
            track[:, at:] *= np.linspace(0.5, 0.0, track.shape[1] - at, dtype=np.float32) ** (1 if breaks else 2)
            for degree in (0, 7, 14, 16) if not breaks else ():
                add(track, at, studio.note(self.pad if degree > 7 else "brass", self.pitch(degree), ring + 0.1), 0.3)
            add(track, at, studio.note("gong", self.pitch(7), ring + 0.1), 0.0 if breaks else 0.35)
            if self.drummed:
                add(track, at, studio.drums["taiko" if self.kind == "orchestra" else "boom"], 0.7)
        track = track[:, :length]
        fade = studio.samples(tail + 0.05)
        track[:, -fade:] *= (np.linspace(1, 0, fade, dtype=np.float32) ** 2)[-track.shape[1] :]
        return track * np.float32(LEVEL / (np.sqrt((track**2).mean()) + 1e-6))
