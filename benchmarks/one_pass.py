"""The one pass beside a straightforward baseline, for one clip of 200 s, as Markdown tables.

    python benchmarks/one_pass.py                 # a made clip, 640x360
    python benchmarks/one_pass.py clip.mp4

Baseline: imageio reads all frames, MoviePy writes a WAV, librosa reads it; RapidOCR at its default settings looks at
every frame. Decoding alone: the ffmpeg binary of imageio-ffmpeg, `fps=1` and the sound, to nowhere.
"""

import os
import resource
import subprocess
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
import imageio
import imageio_ffmpeg
import joblib
import librosa
import numpy as np
from moviepy import AudioFileClip
from rapidocr import RapidOCR

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.extract import extract_all
from datatools.features import mfcc
from datatools.media import read_frames
from datatools.paths import path
from datatools.stages import number_of_cores
from datatools.tables import markdown_table
from datatools.text_detector import MAX_AREA, MAX_SIDE, BoxFinder, _as_quad, load_detector
from datatools.text_roi import paint_boxes
from synth.plan import plan_clip
from synth.render import render_clip

ROOT = Path(__file__).resolve().parents[1]
HOURS_LONG = 2
REPEATS = 5      # measurements; the least counts
COMMANDS = ("utils/extract_audio.py", "utils/extract_video.py", "utils/extract_textROI.py", "datatools/text_extract.py",
            "datatools/preprocess.py", "synth/make.py", "avt_main.py", "avt_normal_main.py", "avt_yolt_main.py",
            "fuse/fuse.py")
SIDES = (288, 384, 512, 640)
READABLE = (3, 0.8)      # letters, and RapidOCR's confidence


def cost(function) -> tuple[float, float]:
    """(wall, CPU) seconds of a call, with its child processes' CPU time."""
    def cpu() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF,
                                                                             resource.RUSAGE_CHILDREN)))
    wall, before = time.perf_counter(), cpu()
    function()
    return time.perf_counter() - wall, cpu() - before


def best_cost(function, times: int) -> tuple[float, float]:
    """The least (wall, CPU) seconds of several calls, which excludes most of what other work on the machine adds."""
    walls, cpus = zip(*(cost(function) for _ in range(times)), strict=True)
    return min(walls), min(cpus)


def decode_alone(clip: Path) -> None:

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", "-i", clip, "-map", "0:v:0", "-vf",
               "fps=1", "-f", "null", "-", "-map", "0:a:0", "-f", "null", "-"]
    subprocess.run(list(map(str, command)), check=True)


def baseline(clip: Path, folder: Path) -> None:
    with AudioFileClip(str(clip)) as sound:
        sound.write_audiofile(str(folder / "sound.wav"), logger=None)
    samples, rate = librosa.load(folder / "sound.wav")
    librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=20)
    reader = imageio.get_reader(str(clip), "ffmpeg")
    fps = round(reader.get_meta_data()["fps"])
    frames = [cv2.resize(image, (88, 66)) for index, image in enumerate(reader) if index % fps == 0]
    np.save(folder / "frames.npy", np.asarray(frames))


def ours(clip: Path, folder: Path) -> None:
    extract_all(clip, {"audio": folder / "mfcc.npy", "frames": folder / "frames.npy"})


def peak_memory(clip: Path, folder: Path) -> float:
    """Peak memory in MiB of a fresh process that runs all stages of one clip."""
    code = ("import sys; from pathlib import Path; from datatools.extract import extract_all\n"
            "clip, folder = map(Path, sys.argv[1:])\n"
            "outputs = {s: folder / f'{s}.npy' for s in ('audio', 'frames', 'roi')} | {'text': folder / 'text.json'}\n"
            "extract_all(clip, outputs, ('rapidocr', None, False, False, None, 1))\n"
            # The kernel's own mark: ru_maxrss would begin with what the parent held when it forked.
            "lines = open('/proc/self/status').read().splitlines()\n"
            "print(next(int(l.split()[1]) for l in lines if l.startswith('VmHWM')) / 1024)")
    done = subprocess.run([sys.executable, "-c", code, clip, folder], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def lengthen(clip: Path, folder: Path, seconds: float) -> Path:
    """Repeat the clip up to `seconds`, without encoding it anew."""

    long = folder / "long.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1", "-i", clip, "-t", seconds,
               "-c", "copy", long]
    subprocess.run(list(map(str, command)), check=True)
    return long


def text_of(clip: Path, side: int) -> tuple[float, dict, int]:
    """(seconds, boxes as in the JSON, pictures searched) of one clip, on one thread; decoding does not count."""
    detector = load_detector("rapidocr", max_side=side, threads=1)
    images = list(read_frames(clip, range(200)))
    searched = []
    detect = detector.detect
    detector.detect = lambda image: searched.append(1) or detect(image)
    finder = BoxFinder(detector)
    started = time.perf_counter()
    boxes = {str(k): finder.find(image) for k, image in enumerate(images)}
    return time.perf_counter() - started, boxes, len(searched)


def reference_boxes(clip: Path, params: dict, readable: list | None = None) -> tuple[float, dict]:
    """(seconds, boxes) of RapidOCR on every picture, on all cores; the list `readable` gets the texts that it reads."""
    engine = RapidOCR(params={"Global.log_level": "error"} | params)
    images = list(read_frames(clip, range(200)))
    started = time.perf_counter()
    results = [engine(image[:, :, ::-1]) if image is not None and np.any(image) else None for image in images]
    took = time.perf_counter() - started
    found, read = {}, {}
    for second, (image, result) in enumerate(zip(images, results, strict=True)):
        rows = []
        for index, quad in enumerate([] if result is None or result.boxes is None else result.boxes):
            # Very large boxes are never text, whichever detector finds them.
            if cv2.contourArea(quad.astype("float32")) <= MAX_AREA * image.shape[0] * image.shape[1]:
                text = ("", 0.0) if readable is None else (result.txts[index].strip(), float(result.scores[index]))
                rows.append([_as_quad(quad), list(image.shape[:2]), *text])
        if result is not None:
            found[str(second)] = rows
            read[str(second)] = [row for row in rows if len(row[2]) >= READABLE[0] and row[3] >= READABLE[1]]
    if readable is not None:
        readable.append(read)
    return took, found


def text_table(clip: Path) -> None:
    """Cells that each way marks, compared with detection on every picture in its own size and with readable text."""

    alone = {"Global.use_rec": False, "Global.use_cls": False}
    readable: list[dict] = []
    reading_took, _ = reference_boxes(clip, {}, readable)
    read = paint_boxes(readable[0]).astype(bool)
    default_took, found = reference_boxes(clip, alone)
    default = paint_boxes(found).astype(bool)
    side = MAX_SIDE["rapidocr"]
    own_took, found = reference_boxes(clip, alone | {"Det.limit_type": "max", "Det.limit_side_len": side})
    own = paint_boxes(found).astype(bool)

    def share(cells, of) -> str:
        return f"{cells.sum() / of.sum():.1%}" if of.any() else "-"

    heads = [f"text boxes, RapidOCR: {clip.name}", "s a clip", "pictures searched", "of own size: found", "extra",
             "of readable text: found", "cells a picture without text"]
    rows = []
    there = sorted(map(int, readable[0]))      # the searched pictures: not black, and before the end
    textless = [second for second in there if not read[second].any()]

    def row(title, took, searched, cells):
        idle = cells[textless].sum() / max(1, len(textless))
        rows.append([title, f"{took:.1f}", str(searched), share(cells & own, own), share(cells & ~own, own),
                     share(cells & read, read), f"{idle:.1f}"])

    row("defaults (enlarged), reading too", reading_took, len(there), default)
    row("defaults (enlarged), boxes alone", default_took, len(there), default)
    row(f"own size, at most {side} px, every picture", own_took, len(there), own)
    cores = number_of_cores()
    for tried in SIDES:
        # One clip a core, one thread a clip, as in the commands.
        done = joblib.Parallel(cores)(joblib.delayed(text_of)(clip, tried) for _ in range(cores))
        took, boxes, searched = done[0]
        chosen = ", the choice" if tried == side else ""
        row(f"this project, at most {tried} px{chosen}", np.mean([d[0] for d in done]) / cores, searched,
            paint_boxes(boxes).astype(bool))
    print(f"\n{markdown_table(heads, rows)}")


def busy_share(clip: Path, folder: Path) -> tuple[float, float]:
    """(share of all cores' time in use, seconds) of the command over eight copies of the clip."""
    raw = folder / "raw/data_C"
    raw.mkdir(parents=True)
    for index in range(4 * number_of_cores()):
        (raw / f"copy{index}_start.mp4").symlink_to(clip.resolve())
    words = ["datatools/preprocess.py", "--data_root", raw.parent, "--save_root", folder / "out", "--ocr", "rapidocr"]
    wall, cpu = cost(lambda: subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True,
                                            capture_output=True))
    return cpu / wall / number_of_cores(), wall


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("clip", type=path, nargs="?", help="a video file (default: a clip is made)")
    parser.add_argument("--text", type=path, nargs="+", default=[], metavar="CLIP", help="more clips, for text alone")
    parser.add_argument("--skip_text", action="store_true", help="leave out the table of text detection, the longest")
    arguments = parser.parse_args(argv)

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = arguments.clip
        if clip is None:
            clip = folder / "made.mp4"
            render_clip(plan_clip(0, 0, "s", height=360, duration=200), clip)
        mfcc(np.zeros(22_050, np.float32))        # first call: librosa compiles
        print(f"{clip.name}; {machine()}\n")
        decoding_wall, decoding = best_cost(lambda: decode_alone(clip), REPEATS)
        ours_wall, ours_cpu = best_cost(lambda: ours(clip, folder), REPEATS)
        base_wall, base_cpu = best_cost(lambda: baseline(clip, folder), REPEATS)
        rows = [[title, f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / decoding:.2f}"] for title, wall, cpu in (
            ("decoding alone", decoding_wall, decoding), ("the one pass", ours_wall, ours_cpu),
            ("baseline", base_wall, base_cpu))]
        print(markdown_table(["sound and frames of one clip", "wall s", "CPU s", "CPU, decoding alone = 1"], rows))
        print(f"\nThe one pass takes 1/{base_cpu / ours_cpu:.1f} of the baseline's CPU time and 1/"
              f"{base_wall / ours_wall:.1f} of its wall time.\n")
        long = lengthen(clip, folder, 3600 * HOURS_LONG)
        rows = [[title, f"{peak_memory(path, folder):.0f}"]
                for title, path in (("the clip", clip), (f"{HOURS_LONG} hours", long))]
        print(markdown_table(["peak memory of a worker, all stages", "MiB"], rows))
        if not arguments.skip_text:
            for text_clip in [clip, *arguments.text]:
                text_table(text_clip)
        share, wall = busy_share(clip, folder)
        print(f"\n{4 * number_of_cores()} clips through all stages: {wall:.1f} s, cores busy {share:.0%}\n")
        rows = []
        for command in COMMANDS:
            words = [sys.executable, command, "--help"]
            started = time.perf_counter()
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
            rows.append([command, f"{time.perf_counter() - started:.2f}"])
        print(markdown_table(["start with --help", "s"], rows))
    return 0


if __name__ == "__main__":
    run_command(main)
