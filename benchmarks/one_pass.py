"""The one pass beside a straightforward baseline, for one clip of 200 s, as Markdown tables.

    python benchmarks/one_pass.py                 # a made clip, 640x360
    python benchmarks/one_pass.py clip.mp4

Baseline: imageio reads all frames, MoviePy writes a WAV, librosa reads it; RapidOCR at its default settings looks at
every frame. Decoding alone: the ffmpeg binary of imageio-ffmpeg, `fps=1` and the sound, to nowhere.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.preprocessing import machine
from datatools.command import number_of_cores, run_command

ROOT = Path(__file__).resolve().parents[1]
HOURS_LONG = 2
REPEATS = 5      # the least of so many counts
COMMANDS = ("utils/extract_audio.py", "utils/extract_video.py", "utils/extract_textROI.py", "datatools/text_extract.py",
            "datatools/preprocess.py", "datatools/synth.py", "avt_main.py", "avt_normal_main.py", "avt_yolt_main.py",
            "fuse/fuse.py")
SIDES = (288, 320, 384, 448, 512, 640)


def cost(function) -> tuple[float, float]:
    """(wall, CPU) seconds of a call, its child processes' CPU time too."""
    def cpu() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF,
                                                                             resource.RUSAGE_CHILDREN)))
    wall, before = time.perf_counter(), cpu()
    function()
    return time.perf_counter() - wall, cpu() - before


def best_cost(function, times: int) -> tuple[float, float]:
    """The least (wall, CPU) seconds of several calls: what other work on the machine adds is left out."""
    walls, cpus = zip(*(cost(function) for _ in range(times)), strict=True)
    return min(walls), min(cpus)


def decode_alone(clip: Path) -> None:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1", "-i", clip, "-map", "0:v:0", "-vf",
               "fps=1", "-f", "null", "-", "-map", "0:a:0", "-f", "null", "-"]
    subprocess.run(list(map(str, command)), check=True)


def baseline(clip: Path, folder: Path) -> None:
    import cv2
    import imageio
    import librosa
    import numpy as np
    from moviepy import AudioFileClip

    with AudioFileClip(str(clip)) as sound:
        sound.write_audiofile(str(folder / "sound.wav"), logger=None)
    samples, rate = librosa.load(folder / "sound.wav")
    librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=20)
    reader = imageio.get_reader(str(clip), "ffmpeg")
    fps = round(reader.get_meta_data()["fps"])
    frames = [cv2.resize(image, (88, 66)) for index, image in enumerate(reader) if index % fps == 0]
    np.save(folder / "frames.npy", np.asarray(frames))


def ours(clip: Path, folder: Path) -> None:
    from datatools.preprocess import extract_all

    extract_all(clip, {"audio": folder / "mfcc.npy", "frames": folder / "frames.npy"}, ())


def peak_memory(clip: Path, folder: Path) -> float:
    """MiB of a fresh process that does all stages of one clip."""
    code = ("import sys; from pathlib import Path; from datatools.preprocess import extract_all\n"
            "clip, folder = map(Path, sys.argv[1:])\n"
            "outputs = {s: folder / f'{s}.npy' for s in ('audio', 'frames', 'roi')} | {'text': folder / 'text.json'}\n"
            "extract_all(clip, outputs, ('rapidocr', None, False, False, None, 1))\n"
            # The kernel's own mark: ru_maxrss would begin with what the parent held when it forked.
            "lines = open('/proc/self/status').read().splitlines()\n"
            "print(next(int(l.split()[1]) for l in lines if l.startswith('VmHWM')) / 1024)")
    done = subprocess.run([sys.executable, "-c", code, clip, folder], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def lengthen(clip: Path, folder: Path, seconds: float) -> Path:
    """The clip again and again, without encoding it anew."""
    import imageio_ffmpeg

    long = folder / "long.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "-1", "-i", clip, "-t", seconds,
               "-c", "copy", long]
    subprocess.run(list(map(str, command)), check=True)
    return long


def text_rows(clip: Path) -> list[tuple[str, float, float, float, int]]:
    """(settings, seconds a clip, recall and extra of the full-size detection's cells, pictures searched)."""
    import cv2
    import numpy as np
    from rapidocr import RapidOCR

    from datatools.media import read_frames
    from datatools.text_detector import MAX_AREA, MAX_SIDE, _as_quad, load_detector
    from datatools.text_extract import BoxFinder
    from datatools.text_roi import paint_boxes

    images = list(read_frames(clip, range(200)))
    engine = RapidOCR(params={"Global.log_level": "error"})
    started = time.perf_counter()
    found = {}
    for second, image in enumerate(images):
        result = engine(image[:, :, ::-1]) if image is not None and np.any(image) else None
        quads = [] if result is None or result.boxes is None else result.boxes
        # Boxes that fill half the picture are none of a text, whoever finds them.
        found[str(second)] = [[_as_quad(quad), list(image.shape[:2]), "", 1.0] for quad in quads
                              if cv2.contourArea(quad.astype("float32")) <= MAX_AREA * image.shape[0] * image.shape[1]]
    rows = [("defaults, every picture, reading too", time.perf_counter() - started, 1.0, 0.0, len(images))]
    full = paint_boxes(found).astype(bool)
    for side in sorted({*SIDES, MAX_SIDE["rapidocr"]}):
        detector = load_detector("rapidocr", max_side=side)
        searched = []
        detect = detector.detect
        detector.detect = lambda image, detect=detect, searched=searched: searched.append(1) or detect(image)
        finder = BoxFinder(detector)
        started = time.perf_counter()
        cells = paint_boxes({str(k): finder.find(image) for k, image in enumerate(images)}).astype(bool)
        took = time.perf_counter() - started
        recall = (cells & full).sum() / max(1, full.sum())
        extra = (cells & ~full).sum() / max(1, full.sum())
        chosen = ", the choice" if side == MAX_SIDE["rapidocr"] else ""
        rows.append((f"at most {side} px{chosen}", took, recall, extra, len(searched)))
    return rows


def busy_share(clip: Path, folder: Path) -> tuple[float, float]:
    """(share of all cores busy, seconds) of the command over eight copies of the clip."""
    raw = folder / "raw/data_C"
    raw.mkdir(parents=True)
    for index in range(4 * number_of_cores()):
        (raw / f"copy{index}_start.mp4").symlink_to(clip.resolve())
    words = ["datatools/preprocess.py", "--data_root", raw.parent, "--save_root", folder / "out", "--ocr", "rapidocr"]
    wall, cpu = cost(lambda: subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True,
                                            capture_output=True))
    return cpu / wall / number_of_cores(), wall


def main(argv: list[str] | None = None) -> int:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", help="a video file (default: a clip is made)")
    parser.add_argument("--skip_text", action="store_true", help="leave out the table of text detection, the longest")
    arguments = parser.parse_args(argv)

    import cv2
    import numpy as np

    from datatools.features import mfcc

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = arguments.clip
        if clip is None:
            from datatools.synth import plan_clip, render_clip

            clip = folder / "made.mp4"
            render_clip(plan_clip(0, 0, "s", height=360, duration=200), clip)
        mfcc(np.zeros(22_050, np.float32))        # librosa compiles at its first use
        print(f"{clip.name}; {machine()}\n")
        decoding_wall, decoding = best_cost(lambda: decode_alone(clip), REPEATS)
        ours_wall, ours_cpu = best_cost(lambda: ours(clip, folder), REPEATS)
        base_wall, base_cpu = best_cost(lambda: baseline(clip, folder), REPEATS)
        print("| sound and frames of one clip | wall s | CPU s | CPU, decoding alone = 1 |")
        print("| --- | ---: | ---: | ---: |")
        for title, wall, cpu in (("decoding alone", decoding_wall, decoding), ("the one pass", ours_wall, ours_cpu),
                                 ("baseline", base_wall, base_cpu)):
            print(f"| {title} | {wall:.2f} | {cpu:.2f} | {cpu / decoding:.2f} |")
        print(f"\nThe one pass takes 1/{base_cpu / ours_cpu:.1f} of the baseline's CPU time and 1/"
              f"{base_wall / ours_wall:.1f} of its wall time.\n")
        long = lengthen(clip, folder, 3600 * HOURS_LONG)
        print("| peak memory of a worker, all stages | MiB |\n| --- | ---: |")
        for title, path in (("the clip", clip), (f"{HOURS_LONG} hours", long)):
            print(f"| {title} | {peak_memory(path, folder):.0f} |")
        if not arguments.skip_text:
            print("\n| text boxes, RapidOCR, all cores | s a clip | cells found | cells extra | pictures searched |")
            print("| --- | ---: | ---: | ---: | ---: |")
            for title, took, recall, extra, searched in text_rows(clip):
                print(f"| {title} | {took:.1f} | {recall:.1%} | {extra:.1%} | {searched} |")
        share, wall = busy_share(clip, folder)
        print(f"\n{4 * number_of_cores()} clips through all stages: {wall:.1f} s, cores busy {share:.0%}\n")
        print("| start with --help | s |\n| --- | ---: |")
        for command in COMMANDS:
            words = [sys.executable, command, "--help"]
            started = time.perf_counter()
            subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
            print(f"| {command} | {time.perf_counter() - started:.2f} |")
    return 0


if __name__ == "__main__":
    run_command(main)
