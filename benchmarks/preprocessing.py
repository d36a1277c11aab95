"""Wall and CPU seconds of each preprocessing stage for one clip, as a Markdown table.

    python benchmarks/preprocessing.py                 # a made clip of 200 s, 320x180 or a little larger
    python benchmarks/preprocessing.py clip.mp4 --ocr easyocr

One process, one thread a library, as in a run over many clips with one process a core.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

# Set before the imports below, because the libraries read these when they are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2
import numpy as np

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.extract import extract_clip, extract_roi
from datatools.features import extract_text_boxes, mfcc
from datatools.media import probe
from datatools.paths import path
from datatools.tables import markdown_table
from datatools.text_detector import DETECTORS, load_detector
from synth.plan import plan_clip
from synth.render import render_clip


def measure(function, *arguments):
    """(result, wall seconds, CPU seconds) of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(*arguments)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure_stages(clip: Path, ocr: str, folder: Path) -> list[tuple[str, float, float]]:
    """(stage, wall seconds, CPU seconds) for one clip; results go to `folder`."""
    cv2.setNumThreads(1)
    rows = []

    def stage(title, function, *arguments):
        result, wall, cpu = measure(function, *arguments)
        rows.append((title, wall, cpu))
        return result, cpu

    stage("start: librosa", lambda: mfcc(np.zeros(22_050, np.float32)))
    detector, _ = stage(f"start: {ocr}", lambda: load_detector(ocr, threads=1))
    stage("audio: MFCC", extract_clip, clip, {"audio": folder / "mfcc.npy"})
    pictures = {"frames": folder / "frames.npy", "video": folder / "clip.mp4"}
    stage("video: frames and 1 fps video", extract_clip, clip, pictures)

    searched = []
    detect = detector.detect
    detector.detect = lambda image: searched.append(image.shape) or detect(image)
    boxes, cpu = stage("text boxes", extract_text_boxes, folder / "clip.mp4", detector)
    num_boxes = sum(map(len, boxes.values()))
    if searched:
        rows[-1] = (f"text boxes: {len(searched)} pictures searched, {num_boxes} boxes", *rows[-1][1:])
        rows.append(("text boxes, one picture searched", rows[-1][1] / len(searched), cpu / len(searched)))
    stage("text ROI", extract_roi, boxes, folder / "roi.npy")
    return rows


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("clip", type=path, nargs="?", help="a video file (default: a clip is made)")
    parser.add_argument("--ocr", choices=DETECTORS, default="rapidocr", help="text detector (default: %(default)s)")
    arguments = parser.parse_args(argv)


    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip
        if clip is None:
            clip = Path(folder) / "made.mp4"
            render_clip(plan_clip(0, 0, "s", duration=200), clip)
        info = probe(clip)
        rows = measure_stages(clip, arguments.ocr, Path(folder))
        size = clip.stat().st_size / 2**20
    seconds = f"{info.duration:.0f} s" if info.duration else "unknown duration"
    picture = f"{info.video.codec} {info.video.width}x{info.video.height}, {info.video.rate or 0:.2f} fps"
    print(f"{clip.name}: {seconds}, {picture}, {size:.1f} MiB; {machine()}\n")
    cells = [[title, f"{wall:.3f}", f"{cpu:.3f}"] for title, wall, cpu in rows]
    print(markdown_table(["stage", "wall s", "CPU s"], cells))
    return 0


if __name__ == "__main__":
    run_command(main)
