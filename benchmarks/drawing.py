"""What drawing on a video costs beside a plain transcode, and how its memory grows with the video's length.

    python benchmarks/drawing.py                          # 640x360, 30 frames a second, 60 s; memory: 2 h against 1 min
    python benchmarks/drawing.py --hours 0 --turns 5      # the cost alone

Each row is a process of its own. CPU time is that of the work alone, without start and imports, on all cores; memory is
the process's largest, with its libraries. All encode with the same libx264 settings and copy the sound. The plain
transcode decodes and encodes by PyAV, and does nothing else; the ratio is that to it in the same turn. The drawn ones
include the drawing itself.
"""

import multiprocessing
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import imageio_ffmpeg
import numpy as np
from av.video.frame import PictureType

from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.media import Drawing, probe, redraw
from datatools.media.transcode import DRAW_OPTIONS
from datatools.numbers import number
from datatools.tables import markdown_table
from utils.drawing import Timeline, TopFive

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
PIECE = 20      # s of video that are encoded; a longer one repeats them
SMALL = "160x90"
TEXT = np.zeros((27, 36), np.uint8)      # where each second's text boxes are: a caption and two lines of names
TEXT[20:23, 8:28] = TEXT[6:8, 3:14] = TEXT[10:12, 3:12] = 1
CHECKPOINT = Path(__file__).resolve().parents[1] / "tests/same/avt_dist.pth"      # of a small AVTDist
LIMIT = {"cost": 1.3, "memory": 1.1}      # what is to hold


def make_video(path: Path, seconds: float, size: str, rate: int) -> Path:
    """Moving shapes, as flat as a drawn film, and a tone."""
    piece = path.with_name("piece.mkv")
    subprocess.run([*FFMPEG, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={PIECE}",
                    "-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={PIECE}", "-c:v", "libx264",
                    "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", piece], check=True)
    subprocess.run([*FFMPEG, "-stream_loop", str(round(seconds / PIECE) - 1), "-i", piece, "-c", "copy", path],
                   check=True)
    return path


# ---------------------------------------------------------------- what is measured


def by_ffmpeg(source: Path, target: Path) -> None:
    options = [word for name, value in DRAW_OPTIONS.items() for word in (f"-{name}", value)]
    subprocess.run([*FFMPEG, "-i", source, "-c:v", "libx264", *options, "-c:a", "copy", target], check=True)


def plain(source: Path, target: Path) -> None:
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        video, sound = container.streams.video[0], container.streams.audio[0]
        video.codec_context.thread_count, video.codec_context.thread_type = 0, "AUTO"
        coded = output.add_stream("libx264", rate=video.average_rate, options=dict(DRAW_OPTIONS))
        coded.width, coded.height, coded.pix_fmt = video.width, video.height, "yuv420p"
        coded.codec_context.time_base = video.time_base
        copied = output.add_stream_from_template(sound)
        for packet in container.demux(video, sound):
            if packet.stream is video:
                for frame in packet.decode():
                    frame.pict_type = PictureType.NONE      # else the encoder repeats the source's choices
                    output.mux(coded.encode(frame))
            elif packet.size:
                packet.stream = copied
                output.mux(packet)
        output.mux(coded.encode())


def with_nothing(source: Path, target: Path) -> None:
    redraw(source, target, lambda width, height: Drawing(lambda picture, seconds: None, (0, 2)))


def with_timeline(source: Path, target: Path) -> None:
    duration, random = probe(source).duration, np.random.default_rng(0)
    line = Timeline(duration, "end of the opening", duration / 2, (0.45 * duration, 0.6 * duration), 0.52 * duration,
                    random.random(int(4 * duration)) ** 8, 0.25, random.random(2000), random.random(int(duration)),
                    np.tile(TEXT, (min(200, int(duration)), 1, 1)))
    redraw(source, target, line.prepare)


def with_top_five(source: Path, target: Path) -> None:
    seconds = np.arange(np.ceil(probe(source).duration))
    shares = np.random.default_rng(0).dirichlet(np.full(8, 0.3), len(seconds))
    answers = TopFive(seconds, shares, tuple(f"an action with the number {index}" for index in range(8)),
                      true="an action with the number 3")
    redraw(source, target, answers.prepare)


def on_all_rows(source: Path, target: Path) -> None:
    """The whole picture is converted to RGB and back."""
    def draw(picture: np.ndarray, seconds: float) -> None:
        picture[20:40, 20:40] = 255

    redraw(source, target, lambda width, height: Drawing(draw))


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "plain transcode, PyAV": plain, "plain transcode, ffmpeg's command line": by_ffmpeg,
    "nothing drawn, in 2 rows": with_nothing, "top five below the picture": with_top_five,
    "timeline below the picture": with_timeline, "something drawn in all rows": on_all_rows,
}


def _work(how: Callable, source: Path, target: Path) -> tuple[float, float]:
    before = os.times()
    how(source, target)
    spent = [after - earlier for earlier, after in zip(before[:4], os.times()[:4], strict=True)]
    # Not getrusage's: that begins with the memory of the process that started this one.
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    return sum(spent), peak


def measure(how: Callable, source: Path, target: Path) -> tuple[float, float]:
    """(CPU seconds, largest memory in MiB) of a process that does this."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_work, (how, source, target))


# ---------------------------------------------------------------- tables


def cost_table(folder: Path, seconds: float, turns: int) -> str:
    source = make_video(folder / "cost.mp4", seconds, "640x360", 30)
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(turns):      # in turns: other work on the machine comes and goes
        for name, how in WAYS.items():
            spent[name].append(measure(how, source, folder / "out.mp4")[0])
    base = spent["plain transcode, PyAV"]
    ratios = {name: [one / other for one, other in zip(times, base, strict=True)] for name, times in spent.items()}
    rows = [[name, f"{statistics.median(spent[name]):.1f}", f"{statistics.median(ratios[name]):.2f}",
             f"{min(ratios[name]):.2f} to {max(ratios[name]):.2f}"] for name in WAYS]
    return markdown_table(["640x360, 30 frames a second", "CPU s", f"ratio (at most {LIMIT['cost']})", "in the turns"],
                          rows)


def of_command(source: Path, target: Path) -> float:
    """The largest memory of `visualize.py` in MiB, with a small AVTDist."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory_of, ([sys.executable, "visualize.py", "--weights", str(CHECKPOINT), "--kind", "end",
                                        "--ocr", "rapidocr", "--video", str(source), "--output", str(target)],))


def _memory_of(command: list[str]) -> float:
    subprocess.run(command, check=True, cwd=CHECKPOINT.parents[2], capture_output=True)
    # Begins with this process's own memory, which is far smaller.
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def memory_table(folder: Path, hours: float) -> str:
    rows = []
    for ending in ("mkv", "mp4"):
        videos = [make_video(folder / f"{name}.{ending}", seconds, SMALL, 24)
                  for name, seconds in (("short", 60), ("long", 3600 * hours))]
        alone = [measure(with_timeline, video, folder / "out.mp4")[1] for video in videos]
        whole = [of_command(video, folder / "drawn") for video in videos]
        for name, (short, long) in ((f"visualize.py, {ending}", whole), (f"the drawing alone, {ending}", alone)):
            rows.append([name, f"{short:.0f}", f"{long:.0f}", f"{long / short:.2f}"])
    return markdown_table([f"{SMALL}, 24 frames a second", "1 min, MiB", f"{hours:g} h, MiB",
                           f"ratio (at most {LIMIT['memory']})"], rows)


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--seconds", type=number(float, low=PIECE, high=3600), default=60.0,
                        help="length of the video whose cost is measured (%(default)g)")
    parser.add_argument("--turns", type=number(int, low=1, high=100), default=3, help="repetitions (%(default)s)")
    parser.add_argument("--hours", type=number(float, low=0, high=24), default=2.0,
                        help="length of the long video, 0: leave its table out (%(default)g)")
    arguments = parser.parse_args(argv)
    from benchmarks.machine import machine  # imports PyTorch, which the measured processes do not need

    print(f"{machine()}, {arguments.turns} turns of {arguments.seconds:g} s\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(cost_table(Path(folder), arguments.seconds, arguments.turns), flush=True)
        if arguments.hours:
            print(f"\n{memory_table(Path(folder), arguments.hours)}")
    return 0


if __name__ == "__main__":
    run_command(main)
