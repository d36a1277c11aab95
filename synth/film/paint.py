"""Paint worlds, solids and letters for made clips of the family "film": a series as from a camera.

    artist = FilmArtist(rng, 320, 180)

Pictures are noise, perspective and shaded solids under a colour grade, with vignette and grain. Only Pillow's own
outline font is used and letters of fourteen strokes: newer OpenCV writes all its Hershey names in the one font of the
drawn family.
"""

import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synth.sprites import MARGIN, Sprite, even, to_sprite

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
INSIDE = ("corridor", "room", "tunnel", "hangar", "room")
ACTORS = ("robot", "person", "person", "person", "robot", "probe")

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
