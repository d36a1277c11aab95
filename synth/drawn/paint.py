"""Paint places, people and letters for made clips of the family "drawn", each once.

    artist = DrawnArtist(rng, 320, 180)
    planes = to_planes(artist.place("city"))                # three uint8 planes, YUV 4:2:0
    paste(planes, artist.person(0, "bust", 120)[0], 40, 60)
"""

import colorsys
import functools

import cv2
import numpy as np
from PIL import Image, ImageDraw

from synth.sprites import MARGIN, Colour, Sprite, even, outline_font, shade, to_sprite, words

# What stands on the screen, as words parted by blanks; "_" is a blank inside a word.
ROLES = {
    "cjk": """監督 脚本 音楽 作画監督 原画 動画 美術監督 撮影監督 音響監督 色彩設計 編集 企画 原作 声の出演 演出
        絵コンテ 主題歌 作詞 作曲 編曲 背景 制作進行 プロデューサー""",
    "latin": """Director Script Music Animation_Director Key_Animation Art_Director Photography Sound_Director Editing
        Colour_Design Planning Original_Story Cast Storyboard Theme_Song Lyrics Composer Backgrounds Producer""",
}
PHRASES = {
    "cjk": """私は 君が どうして 今日も 本当に まさか 早く 行こう 待って ここに 何か 見つけた 忘れない 約束 そんな
        ことは ない 学校 空が 知ってる もう一度 だから きっと 夢の 中で 明日 帰ろう""",
    "latin": """I never thought that you would come back here tonight before we find out why this place was left alone
        please wait for me what did he say about the letter it is too late now run""",
}
FAMILY = "山田佐藤鈴木高橋渡辺中村小林加松井上石川森本池清水前岡長谷西野大島原宮坂福"
GIVEN = "一二三美由香奈真理健翔樹介和也千春夏秋冬月花光明"
SYLLABLES = "ka ki ku ko sa shi su ta chi tsu na ni no ha hi fu ma mi mo ya yu yo ra ri ro wa".split()
FIRMS = "テレビ東空 アニメ放送 星雲出版 音楽堂 Kumo_Pictures Studio_Hane NEKO_FILM AOI_Records Tokio_Toys"
DEJAVU = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "STIXGeneralBol")


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """RGB of hue (turns), saturation and value (0..1)."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(1, max(0, saturation)), min(1, max(0, value)))
    return round(255 * r), round(255 * g), round(255 * b)


@functools.cache
def has_cjk() -> bool:
    """OpenCV 5 carries a font with Chinese and Japanese letters; older versions do not."""
    return hasattr(cv2, "FontFace")


def _letters(text: str, font: str, size: int) -> np.ndarray:
    """Cover of one line of text, uint8 (about 1.4 size, width); CJK letters always come from OpenCV's own font."""
    canvas = np.zeros((round(1.5 * size), round(size * (len(text) + 1) * 1.2) + 8), np.uint8)
    if has_cjk() and (font.startswith("cv:") or not text.isascii()):
        face = cv2.FontFace(font[3:] if text.isascii() else "uni")
        cv2.putText(canvas, text, (2, round(1.1 * size)), (255,), face, size, 500 if size > 20 else 400)
    elif font == "hershey":
        scale = size / 30
        cv2.putText(
            canvas,
            text,
            (2, round(1.1 * size)),
            cv2.FONT_HERSHEY_DUPLEX,
            scale,
            (255,),
            max(1, size // 18),
            cv2.LINE_AA,
        )
    else:
        picture = Image.fromarray(canvas)
        name = font if font in DEJAVU else DEJAVU[0]
        ImageDraw.Draw(picture).text((2, round(1.1 * size)), text, 255, outline_font(name, size), anchor="ls")
        canvas = np.asarray(picture)
    used = np.flatnonzero(canvas.max(0))
    return canvas[:, : used[-1] + 3] if used.size else canvas[:, :2]


def text_sprite(
    lines: list[tuple[str, int]],
    font: str,
    colour: Colour,
    outline: Colour | None,
    align: str = "left",
    upright: bool = False,
) -> Sprite:
    """Lines of (text, size in pixels), below each other; `upright` writes each line downwards, letter below letter."""
    if upright:
        columns = [np.concatenate([_pad_width(_letters(c, font, s), 2 * s) for c in text]) for text, s in lines]
        tall = max(c.shape[0] for c in columns)
        cover = np.concatenate([np.pad(c, ((0, tall - c.shape[0]), (0, 0))) for c in reversed(columns)], axis=1)
    else:
        rows = [_letters(text, font, size) for text, size in lines]
        wide = max(r.shape[1] for r in rows)
        shift = {"left": 0.0, "centre": 0.5, "right": 1.0}[align]
        spare = [wide - r.shape[1] for r in rows]
        cover = np.concatenate(
            [np.pad(r, ((0, 0), (int(s * shift), s - int(s * shift)))) for r, s in zip(rows, spare, strict=True)]
        )
    cover = np.pad(cover, 2)
    image = np.zeros((*cover.shape, 4), np.float32)
    if outline is not None:
        around = cv2.GaussianBlur(cv2.dilate(cover, np.ones((3, 3), np.uint8)), (3, 3), 0)[..., None] / np.float32(255)
        image = np.array((*outline, 255), np.float32) * around
    share = cover[..., None] / np.float32(255)
    image = image * (1 - share) + np.array((*colour, 255), np.float32) * share
    return to_sprite(image.round().astype(np.uint8))


def _pad_width(cover: np.ndarray, width: int) -> np.ndarray:
    spare = max(0, width - cover.shape[1])
    return np.pad(cover, ((0, 0), (spare // 2, spare - spare // 2)))[:, :width]


class DrawnArtist:
    """One clip's style: palette, cast, letters. `rng` decides on everything; the frame is `width` x `height` pixels."""

    def __init__(self, rng: np.random.Generator, width: int, height: int):
        self.rng, self.width, self.height = rng, width, height
        self.hue = rng.random()
        self.saturation = rng.uniform(0.55, 1.1)
        self.brightness = rng.uniform(0.85, 1.08)
        self.ink = hsv(rng.random(), 0.5, rng.uniform(0.05, 0.3))
        self.script = "cjk" if has_cjk() and rng.random() < 0.7 else "latin"
        fonts = (*DEJAVU, "hershey", *(("cv:sans", "cv:italic", "cv:uni") if has_cjk() else ()))
        self.font, self.title_font = str(rng.choice(fonts)), str(rng.choice(fonts))
        self.cast = [self._features(i) for i in range(5)]
        self.people: dict[tuple[int, str, int], list[Sprite]] = {}

    # Words

    def name(self) -> str:
        rng = self.rng
        if self.script == "cjk" and rng.random() < 0.9:
            return "".join(rng.choice(list(FAMILY), 2)) + " " + "".join(rng.choice(list(GIVEN), rng.integers(1, 3)))
        return " ".join("".join(rng.choice(SYLLABLES, rng.integers(2, 4))).capitalize() for _ in range(2))

    def role(self) -> str:
        return str(self.rng.choice(words(ROLES[self.script])))

    def sentence(self, num_words: int) -> str:
        chosen = [str(w) for w in self.rng.choice(words(PHRASES[self.script]), num_words)]
        if self.script == "cjk":
            return "".join(chosen)
        return " ".join(chosen).capitalize() + str(self.rng.choice((".", "?", "!", "")))

    def firms(self, count: int) -> list[str]:
        """Firms with letters that can be written here."""
        names = [f for f in words(FIRMS) if has_cjk() or f.isascii()]
        return [str(f) for f in self.rng.choice(names, count, replace=False)]

    def title(self) -> str:
        if self.script == "cjk" and self.rng.random() < 0.7:
            end = str(self.rng.choice(("", "物語", "の空", "戦記")))
            return "".join(self.rng.choice(list(FAMILY + GIVEN), self.rng.integers(2, 5))) + end
        return "".join(self.rng.choice(SYLLABLES, self.rng.integers(2, 5))).upper()

    # Places

    def _colour(self, hue: float, saturation: float, value: float) -> Colour:
        return hsv(hue, saturation * self.saturation, value * self.brightness)

    def canvas(self) -> tuple[int, int]:
        """Width and height of a background."""
        return even(self.width * MARGIN), even(self.height * MARGIN)

    def gradient(self, top: Colour, bottom: Colour) -> np.ndarray:
        w, h = self.canvas()
        share = np.linspace(0, 1, h, dtype=np.float32)[:, None, None] ** self.rng.uniform(0.6, 1.6)
        column = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
        return np.repeat(column.round().astype(np.uint8), w, axis=1)

    def place(self, kind: str) -> np.ndarray:
        """RGB uint8 background: sky, hills, city, sea, school, room, class, night, forest."""
        if kind in ("room", "class"):
            return self._room(kind == "class")
        rng = self.rng
        mood = "night" if kind == "night" else str(rng.choice(("day", "day", "dusk", "grey", "pastel")))
        blue = 0.55 + rng.uniform(-0.04, 0.08)
        skies = {
            "day": ((blue, 0.7, 0.85), (blue, 0.2, 0.98)),
            "dusk": ((0.75, 0.5, 0.5), (0.06, 0.75, 0.98)),
            "grey": ((0.6, 0.1, 0.55), (0.6, 0.05, 0.8)),
            "pastel": ((self.hue, 0.35, 0.9), (self.hue + 0.15, 0.2, 1.0)),
            "night": ((0.65, 0.7, 0.12), (0.68, 0.6, 0.35)),
        }
        image = self.gradient(*(self._colour(*c) for c in skies[mood]))
        h, w = image.shape[:2]
        light = {"day": 1.0, "dusk": 0.65, "grey": 0.75, "pastel": 1.0, "night": 0.3}[mood]
        if mood == "night":
            for x, y in zip(rng.integers(0, w, 70), rng.integers(0, h * 6 // 10, 70), strict=True):
                image[y, x] = 200 + rng.integers(0, 55)
            cv2.circle(image, (int(w * rng.random()), int(h * 0.2)), h // 14, (250, 245, 210), -1, cv2.LINE_AA)
        elif mood == "dusk":
            cv2.circle(image, (int(w * rng.random()), int(h * 0.5)), h // 8, (255, 225, 160), -1, cv2.LINE_AA)
        else:
            self._clouds(image)
        horizon = rng.uniform(0.45, 0.75)
        if kind == "sea":
            self._sea(image, horizon, light)
        elif kind != "sky":
            for i in range(int(rng.integers(1, 4))):
                self._hill(
                    image, horizon + 0.08 * i, self._colour(0.3 + 0.06 * rng.random(), 0.5, light * (0.5 + 0.12 * i))
                )
        if kind in ("city", "night"):
            self._houses(image, horizon, light)
        elif kind == "school":
            self._school(image, horizon, light)
        elif kind in ("forest", "hills"):
            for _ in range(int(rng.integers(4, 14) if kind == "forest" else rng.integers(0, 4))):
                self._tree(image, rng.random(), horizon + rng.uniform(0.05, 0.3), light)
        return image

    def _clouds(self, image: np.ndarray) -> None:
        rng = self.rng
        h, w = image.shape[:2]
        for _ in range(int(rng.integers(1, 6))):
            x, y, size = rng.random() * w, rng.uniform(0.05, 0.4) * h, rng.uniform(0.05, 0.16) * h
            for shift, tint in ((0.25, 215), (0.0, 250)):
                for k in range(6):
                    axes = (int(size * (1.2 - 0.12 * k)), int(size * rng.uniform(0.35, 0.6)))
                    centre = (int(x + (k - 2.5) * size * 0.8), int(y + shift * size - size * 0.1 * (k % 3)))
                    cv2.ellipse(image, centre, axes, 0, 0, 360, (tint, tint, min(255, tint + 5)), -1, cv2.LINE_AA)

    def _hill(self, image: np.ndarray, level: float, colour: Colour) -> None:
        rng = self.rng
        h, w = image.shape[:2]
        x = np.linspace(0, 1, 80)
        y = np.full(80, level)
        for k in range(1, 6):
            y += rng.uniform(0, 0.09) / k * np.sin(2 * np.pi * k * x * rng.uniform(0.5, 1.5) + 7 * rng.random())
        points = np.column_stack((x * w, y * h))
        cv2.fillPoly(image, [np.vstack((points, [[w, h], [0, h]])).astype(np.int32)], colour, cv2.LINE_AA)

    def _houses(self, image: np.ndarray, horizon: float, light: float) -> None:
        rng = self.rng
        h, w = image.shape[:2]
        x = -int(rng.integers(0, 20))
        lit = light < 0.5
        while x < w:
            wide, top = int(rng.uniform(0.07, 0.2) * w), int((horizon - rng.uniform(-0.1, 0.4)) * h)
            colour = self._colour(
                rng.choice((self.hue, 0.6, 0.08)), rng.uniform(0.05, 0.35), light * rng.uniform(0.45, 0.95)
            )
            image[max(0, top) :, max(0, x) : max(0, x + wide)] = colour
            pane = (250, 230, 150) if lit else shade(colour, rng.uniform(0.55, 1.3))
            step = max(6, int(h * rng.uniform(0.035, 0.06)))
            for wy in range(max(2, top + 4), int(h * 0.97), step):
                for wx in range(max(0, x + 3), min(w, x + wide) - 4, step):
                    if rng.random() < (0.5 if lit else 0.9):
                        image[wy : wy + step // 2, wx : wx + step // 2 + 1] = pane
            if rng.random() < 0.25:  # a shop's sign
                board = self._colour(rng.random(), 0.7, max(0.5, light))
                word = text_sprite([(self.title()[:6], max(9, h // 18))], self.font, (255, 255, 255), None)
                place = (max(0, x), min(h - 30, max(2, top + h // 10)))
                cv2.rectangle(image, place, (place[0] + word.width, place[1] + word.height), board, -1)
                part = image[place[1] : place[1] + word.height, place[0] : place[0] + word.width]
                cover = 1 - word.luma_keep[: part.shape[0], : part.shape[1], None] / 256
                part[:] = (part * (1 - cover) + 255 * cover).astype(np.uint8)
            x += wide + int(rng.integers(0, 8))
        if rng.random() < 0.5:
            y0 = int(h * rng.uniform(0.1, 0.3))
            for k in range(3):
                cv2.line(image, (0, y0 + 9 * k), (w, y0 + 9 * k + int(rng.integers(-20, 20))), self.ink, 1, cv2.LINE_AA)

    def _school(self, image: np.ndarray, horizon: float, light: float) -> None:
        h, w = image.shape[:2]
        wall = self._colour(0.1, 0.12, light * 0.95)
        left, right, top, foot = (
            int(w * 0.1),
            int(w * self.rng.uniform(0.7, 0.95)),
            int(h * 0.25),
            int(h * (horizon + 0.1)),
        )
        cv2.rectangle(image, (left, top), (right, foot), wall, -1)
        for y in range(top + h // 18, foot - h // 14, h // 9):
            for x in range(left + 6, right - w // 16, w // 14):
                cv2.rectangle(image, (x, y), (x + w // 20, y + h // 16), self._colour(0.57, 0.3, light * 0.8), -1)
        cv2.circle(image, ((left + right) // 2, top), h // 14, wall, -1, cv2.LINE_AA)
        cv2.circle(image, ((left + right) // 2, top), h // 18, (250, 250, 245), -1, cv2.LINE_AA)

    def _sea(self, image: np.ndarray, horizon: float, light: float) -> None:
        h, w = image.shape[:2]
        top = int(h * horizon)
        for y in range(top, h):
            image[y] = self._colour(0.54, 0.65, light * (0.5 + 0.4 * (y - top) / (h - top)))
        for _ in range(40):
            x, y = int(self.rng.integers(0, w)), int(self.rng.integers(top, h))
            cv2.line(image, (x, y), (x + int(self.rng.integers(4, 24)), y), self._colour(0.5, 0.2, light), 1)

    def _tree(self, image: np.ndarray, x: float, foot: float, light: float) -> None:
        rng = self.rng
        h, w = image.shape[:2]
        size = h * rng.uniform(0.12, 0.35)
        cx, cy = int(x * w), int(foot * h)
        bark, half = self._colour(0.07, 0.5, 0.4 * light), int(size * 0.06)
        cv2.rectangle(image, (cx - half, cy - int(size)), (cx + half, cy), bark, -1)
        hue = rng.choice((0.3, 0.33, 0.94, 0.08))
        for k in range(7):
            centre = (int(cx + rng.normal(0, size * 0.22)), int(cy - size * rng.uniform(0.8, 1.4)))
            leaves = self._colour(hue, 0.55, light * (0.4 + 0.07 * k))
            cv2.circle(image, centre, int(size * rng.uniform(0.15, 0.3)), leaves, -1, cv2.LINE_AA)

    def _room(self, with_board: bool) -> np.ndarray:
        rng = self.rng
        light = rng.uniform(0.45, 1.0)
        wall = self._colour(rng.choice((0.1, self.hue, 0.6)), 0.18, light)
        image = self.gradient(shade(wall, 0.85), wall)
        h, w = image.shape[:2]
        floor = int(h * rng.uniform(0.68, 0.82))
        image[floor:] = self._colour(0.08, 0.45, light * 0.6)
        for x in range(-w, 2 * w, w // 9):
            cv2.line(
                image, (w // 2 + (x - w // 2) // 2, floor), (x, h), self._colour(0.08, 0.5, light * 0.5), 1, cv2.LINE_AA
            )
        for k in range(int(rng.integers(1, 3))):  # windows
            x, y, ww, wh = int(w * (0.08 + 0.5 * k + 0.1 * rng.random())), int(h * 0.15), int(w * 0.22), int(h * 0.34)
            outside = self._colour(0.55, rng.uniform(0.1, 0.6), rng.uniform(0.3, 1.0))
            cv2.rectangle(image, (x, y), (x + ww, y + wh), outside, -1)
            cv2.rectangle(image, (x, y), (x + ww, y + wh), shade(wall, 0.6), 2)
            cv2.line(image, (x + ww // 2, y), (x + ww // 2, y + wh), shade(wall, 0.6), 2)
        if with_board:
            x, y = int(w * rng.uniform(0.3, 0.5)), int(h * 0.18)
            cv2.rectangle(image, (x, y), (x + int(w * 0.42), y + int(h * 0.36)), (35, 75, 60), -1)
            for k in range(4):
                yy = y + int(h * (0.06 + 0.07 * k))
                cv2.line(
                    image, (x + 8, yy), (x + int(w * rng.uniform(0.15, 0.38)), yy), (190, 200, 190), 1, cv2.LINE_AA
                )
        for _ in range(int(rng.integers(2, 6))):  # furniture
            x, ww, hh = int(rng.random() * w), int(w * rng.uniform(0.08, 0.22)), int(h * rng.uniform(0.08, 0.3))
            y = floor + int(h * rng.uniform(0.0, 0.12))
            colour = self._colour(rng.choice((0.07, self.hue, 0.0)), 0.5, light * rng.uniform(0.3, 0.7))
            cv2.rectangle(image, (x, y - hh), (x + ww, y), colour, -1)
            cv2.rectangle(image, (x, y - hh), (x + ww, y - int(hh * 0.8)), shade(colour, 1.25), -1)
        return image

    def pattern(self) -> np.ndarray:
        """A flat, graphic background, as openings like them: stripes, dots, rays, two halves."""
        rng = self.rng
        a = self._colour(self.hue + rng.choice((0, 0.08, 0.5)), rng.uniform(0.2, 0.9), rng.uniform(0.5, 1.0))
        b = self._colour(self.hue + rng.choice((0.15, 0.33, 0.5)), rng.uniform(0.1, 0.9), rng.uniform(0.3, 1.0))
        image = self.gradient(a, shade(a, rng.uniform(0.6, 1.1)))
        h, w = image.shape[:2]
        kind = rng.choice(("stripes", "dots", "rays", "halves", "plain", "squares"))
        step = int(h * rng.uniform(0.08, 0.25))
        if kind == "stripes":
            lean = int(rng.uniform(-1, 1) * h)
            for x in range(-2 * h, w + 2 * h, 2 * step):
                stripe = np.array([(x, 0), (x + step, 0), (x + step + lean, h), (x + lean, h)])
                cv2.fillPoly(image, [stripe], b, cv2.LINE_AA)
        elif kind == "dots":
            for j, y in enumerate(range(0, h + step, step)):
                for x in range(step // 2 * (j % 2), w + step, step):
                    cv2.circle(image, (x, y), step // 4, b, -1, cv2.LINE_AA)
        elif kind == "rays":
            self.rays(image, b, 14, 0.5)
        elif kind == "halves":
            cut = int(w * rng.uniform(0.3, 0.7))
            cv2.fillPoly(image, [np.array([(cut, 0), (w, 0), (w, h), (cut - h // 3, h)])], b, cv2.LINE_AA)
        elif kind == "squares":
            for _ in range(14):
                x, y, s = int(rng.random() * w), int(rng.random() * h), int(rng.uniform(0.05, 0.35) * h)
                cv2.rectangle(
                    image, (x, y), (x + s, y + s), shade(b, rng.uniform(0.6, 1.2)), -1 if rng.random() < 0.6 else 2
                )
        return image

    def rays(self, image: np.ndarray, colour: Colour, count: int, width: float) -> None:
        """Lines that run together in the middle: sun rays, or speed lines where they are many and thin."""
        h, w = image.shape[:2]
        centre = np.array((w * self.rng.uniform(0.35, 0.65), h * self.rng.uniform(0.35, 0.65)))
        angles = np.arange(count) * 2 * np.pi / count + self.rng.normal(0, 0.25 / count, count)
        inner = h * (0.0 if width > 0.2 else self.rng.uniform(0.25, 0.5))
        for a in angles:
            half = np.pi / count * width
            tip = centre + inner * np.array((np.cos(a), np.sin(a)))
            rim = [centre + 2 * w * np.array((np.cos(a + s * half), np.sin(a + s * half))) for s in (-1, 1)]
            cv2.fillPoly(image, [np.array([tip, *rim]).astype(np.int32)], colour, cv2.LINE_AA)

    def soft(self, image: np.ndarray) -> np.ndarray:
        """The same place out of focus, behind a face."""
        h, w = image.shape[:2]
        x, y = self.rng.integers(0, w // 3), self.rng.integers(0, h // 3)
        part = image[y : y + h * 2 // 3, x : x + w * 2 // 3]
        small = cv2.resize(part, (w // 8, h // 8), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)

    def letter(self) -> np.ndarray:
        """A page, a screen or a board with words on it, as a scene's insert."""
        rng = self.rng
        image = self.soft(self.place(str(rng.choice(("room", "city", "class")))))
        h, w = image.shape[:2]
        paper, ink = ((245, 240, 225), (40, 35, 40)) if rng.random() < 0.6 else ((25, 40, 60), (200, 235, 240))
        planes_paper = (int(w * 0.2), int(h * 0.15), int(w * 0.8), int(h * 0.85))
        cv2.rectangle(image, planes_paper[:2], planes_paper[2:], paper, -1)
        size = max(9, int(h * rng.uniform(0.05, 0.08)))
        for k in range(int(rng.integers(2, 7))):
            cover = _letters(self.sentence(int(rng.integers(2, 5)))[: int(0.5 * w / size)], self.font, size)
            x, y = int(w * 0.24), int(h * 0.2) + k * round(1.6 * size)
            part = image[y : min(y + cover.shape[0], planes_paper[3]), x : min(x + cover.shape[1], planes_paper[2])]
            share = cover[: part.shape[0], : part.shape[1], None] / 255
            part[:] = (part * (1 - share) + np.array(ink) * share).astype(np.uint8)
        return image

    # People

    def _features(self, i: int) -> dict:
        rng = self.rng
        return {
            "hair": self._colour(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.95)),
            "skin": self._colour(rng.uniform(0.05, 0.08), rng.uniform(0.18, 0.35), rng.uniform(0.9, 1.0)),
            "iris": self._colour(rng.random(), 0.8, rng.uniform(0.4, 0.9)),
            "cloth": self._colour(self.hue + 0.12 * i, rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.95)),
            "spikes": int(rng.integers(4, 9)),
            "long": rng.random() < 0.5,
            "glasses": rng.random() < 0.2,
            "wide": rng.uniform(0.92, 1.08),
            "tie": rng.random() < 0.5,
        }

    def person(self, who: int, view: str, size: int) -> list[Sprite]:
        """Poses of a member of the cast: mouth shut, half open, open, eyes shut. `view` is bust, full or shadow.

        `size` is the sprite's height in pixels.
        """
        key = (who % len(self.cast), view, size)
        if key not in self.people:
            poses = ((0, False), (1, False), (2, False), (0, True)) if view == "bust" else ((0, False), (1, False))
            self.people[key] = [to_sprite(self._draw(self.cast[key[0]], view, size, *pose)) for pose in poses]
        return self.people[key]

    def _draw(self, f: dict, view: str, size: int, mouth: int, shut: bool) -> np.ndarray:
        """RGBA, colours multiplied with alpha; painted twice as large and scaled down for smooth edges."""
        s = 2 * size
        image = np.zeros((s, s if view == "bust" else s // 2, 4), np.uint8)
        if view == "bust":
            self._bust(image, f, s / 2, s * 0.42, s * 0.30, mouth, shut)
        else:
            self._body(image, f, s, mouth)
        image = cv2.resize(image, (image.shape[1] // 2, size), interpolation=cv2.INTER_AREA)
        if view == "shadow":
            image[..., :3] = np.array(self.ink, np.float32) * (image[..., 3:] / 255)
        return image

    def _bust(self, image: np.ndarray, f: dict, x: float, y: float, r: float, mouth: int, shut: bool) -> None:
        """Head of radius r (pixels) around (x, y), shoulders down to the image's edge."""
        h = image.shape[0]
        below = (h - y) / r  # all points below are in head radii from the head's middle

        def fill(points, colour: Colour) -> None:
            pixels = np.array(points, np.float64) * r + (x, y)
            cv2.fillPoly(image, [pixels.astype(np.int32)], (*colour, 255), cv2.LINE_AA)

        def oval(cx: float, cy: float, a: float, b: float, colour: Colour) -> None:
            axes = (max(1, round(a * r)), max(1, round(b * r)))
            cv2.ellipse(image, (round(x + cx * r), round(y + cy * r)), axes, 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)

        def bow(cx: float, cy: float, a: float, b: float, span: tuple[int, int], thick: float, colour: Colour) -> None:
            place, axes = (round(x + cx * r), round(y + cy * r)), (max(1, round(a * r)), max(1, round(b * r)))
            cv2.ellipse(image, place, axes, 0, *span, (*colour, 255), max(1, round(thick * r)), cv2.LINE_AA)

        def stroke(ax: float, ay: float, bx: float, by: float, thick: float, colour: Colour) -> None:
            ends = (round(x + ax * r), round(y + ay * r)), (round(x + bx * r), round(y + by * r))
            cv2.line(image, *ends, (*colour, 255), max(1, round(thick * r)), cv2.LINE_AA)

        dark, wide, red = shade(f["hair"], 0.65), f["wide"], (170, 60, 70)
        oval(0, 0, 1.12, 1.15, dark)
        if f["long"]:
            fill([(-1.12, 0), (1.12, 0), (1.2, 2.1), (-1.2, 2.1)], dark)
        oval(0, below + 0.25, 1.55, below - 0.75, f["cloth"])
        fill([(-0.28, 0.7), (0.28, 0.7), (0.42, 1.45), (0, 1.75), (-0.42, 1.45)], shade(f["skin"], 0.85))
        if f["tie"]:
            fill([(0, 1.7), (0.12, below), (-0.12, below)], shade(f["iris"], 0.9))
        oval(0, 0, 0.95 * wide, 0.9, f["skin"])
        fill([(-0.92 * wide, 0.2), (0.92 * wide, 0.2), (0.4, 0.88), (0, 1.08), (-0.4, 0.88)], f["skin"])
        for ex in (-0.42, 0.42):
            ey = 0.28
            if shut:
                bow(ex, ey, 0.2, 0.1, (0, 180), 0.05, self.ink)
            else:
                oval(ex, ey, 0.22, 0.28, (252, 252, 252))
                oval(ex, ey + 0.03, 0.16, 0.23, f["iris"])
                oval(ex, ey + 0.04, 0.08, 0.13, self.ink)
                oval(ex - 0.06, ey - 0.08, 0.06, 0.07, (255, 255, 255))
                bow(ex, ey, 0.24, 0.29, (190, 350), 0.07, self.ink)
            if f["glasses"]:
                bow(ex, ey, 0.32, 0.32, (0, 360), 0.04, self.ink)
            stroke(ex - 0.2, ey - 0.42, ex + 0.2, ey - 0.45, 0.05, dark)
        if mouth:
            oval(0, 0.74, 0.13, (0.06, 0.15)[mouth - 1], red)
        else:
            stroke(-0.1, 0.74, 0.1, 0.74, 0.04, red)
        tips = 2 * f["spikes"]
        fringe = [(1.08 * np.cos(a), -1.05 * np.sin(a)) for a in np.linspace(0, np.pi, 20)]
        for k in range(tips + 1):
            share = k / tips
            fringe.append((2 * share - 1, -0.28 if k % 2 else 0.12 - 0.25 * np.sin(np.pi * share)))
        fill(fringe, f["hair"])
        oval(0.3, -0.68, 0.3, 0.07, shade(f["hair"], 1.3))

    def _body(self, image: np.ndarray, f: dict, s: int, step: int) -> None:
        """A whole figure that walks; `step` 0 or 1 swaps the legs."""
        x = s / 4

        def limb(ax: float, ay: float, bx: float, by: float, thick: float, colour: Colour) -> None:
            cv2.line(
                image, (round(ax), round(ay)), (round(bx), round(by)), (*colour, 255), max(1, round(thick)), cv2.LINE_AA
            )

        lean = 0.07 * s * (1 if step else -0.6)
        limb(x, 0.6 * s, x - lean, 0.96 * s, 0.05 * s, shade(f["cloth"], 0.5))
        limb(x, 0.6 * s, x + lean, 0.96 * s, 0.05 * s, shade(f["cloth"], 0.6))
        limb(x, 0.4 * s, x + lean, 0.58 * s, 0.04 * s, f["skin"])
        coat = np.array([(-0.07, 0.34), (0.07, 0.34), (0.12, 0.66), (-0.12, 0.66)]) * s + (x, 0)
        cv2.fillPoly(image, [coat.astype(np.int32)], (*f["cloth"], 255), cv2.LINE_AA)
        limb(x, 0.4 * s, x - lean, 0.58 * s, 0.04 * s, shade(f["skin"], 0.95))
        cut = image[: round(0.36 * s)]  # the head only: its shoulders would hide the coat
        self._bust(cut, f, x, 0.17 * s, 0.11 * s, 0, False)
