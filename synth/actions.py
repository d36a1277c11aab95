"""Made actions that only the order of the pictures tells apart: real .mp4 files, with lists to train and to test.

    report = make_actions(Path("data/actions"), train=192, val=24, test=48, seed=0)

A scene is eight drawings of one shape in eight sizes. A clip shows each of them once, and its class is their order
alone (`MOTIONS`). A motion has a partner: growing and shrinking, growing twice and shrinking twice, pulsing stronger
(slow, then fast) and weaker are the same clip backwards; growing then shrinking and shrinking then growing are the
same two halves, exchanged.

What a bag of frames can reach, exactly: the drawings do not depend on the class, and every scene is made in all eight
classes. A model that sees single frames, or the set of a clip's frames without their order, therefore gives all eight
clips of a scene the same answer, and one of them is right: 12.5% top-1 on each of the lists, and 50% where only a class
and its partner are to be told apart. This holds for any frames that take each drawing equally often. Those are all 24
frames, because each drawing is held for three, as in drawn animation; eight frames spread evenly from the first to the
last (six apart where 30 a second are counted); and the middles of eight equal parts. It does not hold for frames of a
part of a clip. Mirroring left and right keeps the class.

The words of a class are its name. With `kind="words"` the colour and the shape belong to it as well ("red circle
growing"). Every colour and shape leaves out one pair of motions in training, a class and its partner; unseen.csv holds
those alone. Every word is seen in training. A bag of frames reaches at most 1/6 of the seen classes, and 1/2 of the
unseen ones where it may choose among these alone.
"""

import colorsys
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datatools.errors import UserError
from datatools.files import check_writable, save_text
from datatools.media import save_video
from datatools.numbers import MOST_SEED, MOST_WORKERS, shortened
from datatools.paths import has_control, read_text
from datatools.stages import Pool, StageReport, run_stage

VERSION = 1                 # of the clips' content: clips of two versions are not mixed
RECORD = "actions.json"     # in the save_root: the settings of the clips made there
CLASSES = "classes.txt"     # the names; a label is the number of its line, from 0
SPLITS = ("train", "val", "test")
UNSEEN = "unseen"           # the test scenes' clips of classes that are not trained
KINDS = ("motions", "words")
NUM_DRAWINGS = 8            # the frames that a video transformer samples
HOLD = 3                    # frames that a drawing is shown for
FPS = 15                    # 24 frames are 1.6 s
MIN_SIZE, MAX_SIZE = 32, 512    # pixels
MOST_SCENES = 10_000        # of one list
# The sizes that a clip shows in turn, 0 the smallest. A motion and its partner stand together.
MOTIONS = {
    "growing": (0, 1, 2, 3, 4, 5, 6, 7),
    "shrinking": (7, 6, 5, 4, 3, 2, 1, 0),
    "growing twice": (0, 2, 4, 6, 1, 3, 5, 7),
    "shrinking twice": (7, 5, 3, 1, 6, 4, 2, 0),
    "growing then shrinking": (0, 2, 4, 6, 7, 5, 3, 1),
    "shrinking then growing": (7, 5, 3, 1, 0, 2, 4, 6),
    "pulsing stronger": (3, 4, 2, 5, 1, 6, 0, 7),         # slow, then fast
    "pulsing weaker": (7, 0, 6, 1, 5, 2, 4, 3),
}
COLOURS = {"red": 0.0, "yellow": 0.15, "green": 0.36, "cyan": 0.5, "blue": 0.65, "purple": 0.83}    # hue, 0 to 1
_ROUND = np.linspace(0, 2 * np.pi, 48, endpoint=False)
_STAR = np.where(np.arange(10) % 2, 0.55, 1.25)[:, None] * np.stack(
    [np.sin(np.arange(10) * np.pi / 5), -np.cos(np.arange(10) * np.pi / 5)], 1)
SHAPES = {                  # corners around (0, 0), of about the same area
    "circle": np.stack([np.cos(_ROUND), np.sin(_ROUND)], 1),
    "square": 0.9 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]),
    "triangle": 1.35 * np.array([(0, -1), (0.87, 0.5), (-0.87, 0.5)]),
    "star": _STAR,
}
LOOKS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
# Lossless, so that a decoded picture depends on its drawing alone. Otherwise it depends on the frames before it, too,
# and traces of compression in single frames would tell the order.
ENCODE_OPTIONS = {"qp": "0", "bf": "0", "preset": "veryfast", "threads": "1"}


@dataclass(frozen=True)
class Scene:
    """Eight drawings by their number in a split; `look` is (colour, shape), `size` the pictures' sides in pixels."""

    seed: int
    split: int
    index: int
    look: tuple[str, str]
    size: int = 64


def drawings_of(scene: Scene) -> np.ndarray:
    """The drawings of a scene from the smallest to the largest, uint8 (8, size, size, 3), RGB."""
    rng, size = np.random.default_rng([scene.seed, scene.split, scene.index]), scene.size
    colour, shape = scene.look
    background = cv2.resize(rng.uniform(90, 140, (4, 4, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    hue, saturation, value = COLOURS[colour] + rng.uniform(-0.03, 0.03), rng.uniform(0.45, 0.6), rng.uniform(0.95, 1.0)
    paint = 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))
    tilt, noise = rng.uniform(-0.25, 0.25), rng.uniform(1, 6)
    # In shares of the picture.
    middle, smallest, ratio = rng.uniform(0.35, 0.65, 2), rng.uniform(0.06, 0.08), rng.uniform(4, 5.5)
    turn = np.array([(np.cos(tilt), -np.sin(tilt)), (np.sin(tilt), np.cos(tilt))])
    pictures = []
    for radius in np.geomspace(smallest, smallest * ratio, NUM_DRAWINGS):
        centre = middle + rng.normal(0, 0.01, 2)
        corners = (centre + radius * SHAPES[shape] @ turn.T) * size - 0.5
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        picture = background + (paint - background) * (mask[..., None] / 255)
        picture += rng.normal(0, noise, picture.shape) + rng.normal(0, 2)
        pictures.append(np.clip(np.round(picture), 0, 255).astype(np.uint8))
    return np.stack(pictures)


def clip_of(scene: Scene, motion: str) -> np.ndarray:
    """The frames of a clip, uint8 (24, size, size, 3), RGB."""
    return np.repeat(drawings_of(scene)[list(MOTIONS[motion])], HOLD, axis=0)


def write_clip(scene: Scene, motion: str, path: Path) -> None:
    save_video(path, clip_of(scene, motion), rate=FPS, options=ENCODE_OPTIONS)


def word_classes() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """(seen, unseen) classes as (colour, shape, motion): of every look, one pair of motions is unseen."""
    seen, unseen = [], []
    for look in LOOKS:
        left_out = (list(COLOURS).index(look[0]) + list(SHAPES).index(look[1])) % (len(MOTIONS) // 2)
        for number, motion in enumerate(MOTIONS):
            (unseen if number // 2 == left_out else seen).append((*look, motion))
    return seen, unseen


def class_names(kind: str) -> list[str]:
    """The names of the classes in the order of their labels; with "words" the unseen ones come last."""
    if kind == "motions":
        return list(MOTIONS)
    seen, unseen = word_classes()
    return [" ".join(words) for words in (*seen, *unseen)]


def plan_actions(kind: str, scenes: dict[str, int], seed: int, size: int) -> dict[str, list[tuple[Scene, str, int]]]:
    """The clips (scene, motion, label) of each list, from the number of scenes of each split."""
    labels = {name: label for label, name in enumerate(class_names(kind))}
    first_unseen = len(word_classes()[0])
    lists: dict[str, list[tuple[Scene, str, int]]] = {}
    for number, split in enumerate(SPLITS):
        for index in range(scenes[split]):
            scene = Scene(seed, number, index, LOOKS[index % len(LOOKS)], size)
            for motion in MOTIONS:
                label = labels[motion if kind == "motions" else " ".join((*scene.look, motion))]
                name = UNSEEN if label >= first_unseen else split
                if name == split or split == "test":
                    lists.setdefault(name, []).append((scene, motion, label))
    return lists


def make_actions(
    save_root: Path,
    *,
    train: int = 192,
    val: int = 24,
    test: int = 48,
    seed: int = 0,
    size: int = 64,
    kind: str = "motions",
    workers: int = 0,
) -> StageReport:
    """Make what is missing of an action set below `save_root`, with train.csv, val.csv, test.csv and classes.txt.

    `train`, `val` and `test` count scenes; each becomes a clip of every class that its list holds. With multiples of 24
    each colour and shape is there equally often. `size` is the pictures' sides in pixels; `workers` 0 is one process a
    core. Paths in the lists begin with `save_root` as it is given. Raises UserError for settings that make no sense,
    and where clips of other settings are there already.
    """
    save_root, scenes = Path(save_root), {"train": train, "val": val, "test": test}
    _check_settings(scenes, seed, size, kind, workers)
    _check_place(save_root, {"version": VERSION, "seed": seed, "size": size})
    jobs, kept, lines = [], [], {}
    for name, clips in plan_actions(kind, scenes, seed, size).items():
        for scene, motion, label in clips:
            folder = save_root / SPLITS[scene.split]
            path = folder / f"{scene.index:05d}_{motion.replace(' ', '_')}.mp4"
            lines.setdefault(name, []).append((path, label))
            if path.exists():
                kept.append(str(path))
            else:
                folder.mkdir(exist_ok=True)
                jobs.append((str(path), (scene, motion, path)))
    report = run_stage("actions", write_clip, jobs, kept=kept, pool=Pool(workers))
    for name in (*SPLITS, UNSEEN):
        text = "".join(f"{path} {label}\n" for path, label in lines.get(name, []) if path.exists())
        if text:
            save_text(save_root / f"{name}.csv", text)
        else:
            (save_root / f"{name}.csv").unlink(missing_ok=True)     # of an earlier run, whose labels may be others
    save_text(save_root / CLASSES, "".join(f"{name}\n" for name in class_names(kind)))
    return report


def _check_settings(scenes: dict[str, int], seed: int, size: int, kind: str, workers: int) -> None:
    for flag, value, most in (*((split, count, MOST_SCENES) for split, count in scenes.items()),
                              ("seed", seed, MOST_SEED), ("workers", workers, MOST_WORKERS)):
        if not 0 <= value <= most:
            raise UserError(f"--{flag} {value}: expected 0 to {most}.")
    if not any(scenes.values()):
        raise UserError("--train, --val and --test are all 0: nothing to make. Ask for a scene at least.")
    if not MIN_SIZE <= size <= MAX_SIZE or size % 2:
        raise UserError(f"--size {size}: expected an even number of pixels, {MIN_SIZE} to {MAX_SIZE}.")
    if kind not in KINDS:
        raise UserError(f"--kind {kind}: expected {' or '.join(KINDS)}.")


def _check_place(save_root: Path, settings: dict) -> None:
    """Raise UserError where clips of other settings, or other files, would be mixed with the new ones."""
    if has_control(str(save_root)):
        raise UserError(f"--save_root {shortened(str(save_root))}: has control characters, which a line of a list "
                        "cannot hold. Choose another one.")
    record = save_root / RECORD
    if record.exists():
        text = read_text(record, "record of made actions", "Choose another --save_root.")
        if text != _record(settings):
            raise UserError(f"{record}: the clips here were made with {' '.join(text.split())}, asked for are "
                            f"{json.dumps(settings)}. Choose another --save_root, or remove this one.")
        return
    for name in (*SPLITS, *(f"{split}.csv" for split in (*SPLITS, UNSEEN)), CLASSES):
        if (save_root / name).exists():
            raise UserError(f"{save_root / name}: not made here (no {RECORD} beside it). Choose another --save_root.")
    check_writable(save_root)
    save_text(record, _record(settings))


def _record(settings: dict) -> str:
    return json.dumps(settings) + "\n"
