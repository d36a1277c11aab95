"""Eight pictures of a long video: groups of pictures decoded, and seconds, beside decoding all and beside OpenCV.

    python benchmarks/sparse_reading.py                        # 2 hours, H.264 320x180, made by repeating 47 s
    python benchmarks/sparse_reading.py episode.mkv --frames 16

One thread each. The pictures of all three are compared; `reading all` decodes every frame and keeps those wanted.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")     # read by OpenCV when it is imported; the seams make it talk

import cv2
import imageio_ffmpeg
import numpy as np

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.media import packets, pictures, probe, read_frames
from datatools.numbers import number
from datatools.paths import path
from datatools.tables import markdown_table

PIECE = 47      # s of video that are encoded; the rest repeats them. The times asked for are not at its seams
FORMATS = ("mp4", "mkv", "ts")


def make_videos(folder: Path, hours: float) -> list[Path]:
    """The same long film in several containers: B-frames, a keyframe every 10 s at most, and a sound."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    piece = folder / "piece.mkv"
    subprocess.run([*ffmpeg, "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=24:duration={PIECE}",
                    "-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={PIECE}", "-c:v", "libx264",
                    "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "240", "-bf", "2",
                    "-c:a", "aac", piece], check=True)
    made = [folder / f"long.{name}" for name in FORMATS]
    for video in made:
        subprocess.run([*ffmpeg, "-stream_loop", str(round(hours * 3600 / PIECE) - 1), "-i", piece, "-c", "copy",
                        video], check=True)
    return made


class GroupCount:
    """Counts the keyframes that go into a decoder: each begins a group of pictures."""

    def __init__(self):
        self.groups = 0
        self.decode_packet = packets._Decoding._decode_packet

    def __enter__(self):
        def counting(decoding, packet):
            self.groups += packet.is_keyframe
            return self.decode_packet(decoding, packet)

        packets._Decoding._decode_packet = counting
        return self

    def __exit__(self, *_):
        packets._Decoding._decode_packet = self.decode_packet


def read_sparse(video: Path, times: list[float]) -> list[np.ndarray]:
    return [picture.copy() for picture in read_frames(video, times)]


def read_all(video: Path, times: list[float]) -> list[np.ndarray]:
    """What `read_sparse` would do without a jump."""
    skips, begin = pictures.skips_pictures, pictures.BEGIN_BEFORE
    pictures.skips_pictures, pictures.BEGIN_BEFORE = (lambda *_: False), (float("inf"),)
    try:
        return read_sparse(video, times)
    finally:
        pictures.skips_pictures, pictures.BEGIN_BEFORE = skips, begin


def read_with_opencv(video: Path, times: list[float]) -> list[np.ndarray | None]:
    """The pictures at the frame numbers that the times have at the stated rate, as is usual."""
    capture = cv2.VideoCapture(str(video))
    rate, found = capture.get(cv2.CAP_PROP_FPS), []
    for second in times:
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(second * rate))
        good, picture = capture.read()
        found.append(picture[:, :, ::-1] if good else None)
    capture.release()
    return found


def same(found: list[np.ndarray | None], wanted: list[np.ndarray]) -> int:
    """How many pictures are those wanted; decoders' conversions to RGB differ by a few levels."""
    return sum(one is not None and one.shape == other.shape and np.abs(one.astype(int) - other).mean() < 3
               for one, other in zip(found, wanted, strict=True))


def measure(read: Callable, video: Path, times: list[float]) -> tuple[list, int, float]:
    """(pictures, groups decoded, seconds)."""
    with GroupCount() as count:
        started = time.perf_counter()
        found = read(video, times)
    return found, count.groups, time.perf_counter() - started


def rows_of(video: Path, count: int) -> list[list[str]]:
    """The table's rows of one video."""
    info = probe(video)
    if info.video is None or not info.duration:
        raise UserError(f"{video}: no picture in it, or no duration. Give a video that states both.")
    # The first reading also brings the file into the disk's cache, which all the others find there.
    times = [info.duration * (part + 0.5) / count for part in range(count)]
    wanted, groups, all_seconds = measure(read_all, video, times)
    rows = [[video.suffix[1:], "reading all", str(groups), f"{all_seconds:.2f}", "1.0", f"{count} of {count}"]]
    for title, read in (("read_frames", read_sparse), ("OpenCV's seek", read_with_opencv)):
        found, groups, seconds = min((measure(read, video, times) for _ in range(3)), key=lambda result: result[2])
        rows.append([video.suffix[1:], title, str(groups or "-"), f"{seconds:.3f}", f"{all_seconds / seconds:.1f}",
                     f"{same(found, wanted)} of {count}"])
    return rows


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("video", type=path, nargs="?", help="a video file (default: some are made)")
    parser.add_argument("--frames", type=number(int, low=1, high=1000), default=8, help="pictures (%(default)s)")
    parser.add_argument("--hours", type=number(float, low=0.05, high=100), default=2.0,
                        help="length of the made ones (default: %(default)g)")
    arguments = parser.parse_args(argv)

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        videos = [arguments.video] if arguments.video else make_videos(Path(folder), arguments.hours)
        info = probe(videos[0])
        rows = [row for video in videos for row in rows_of(video, arguments.frames)]
    print(f"{arguments.frames} pictures of {info.duration / 3600:.2f} h, {info.video.codec} "
          f"{info.video.width}x{info.video.height}; {machine()}\n")
    heads = ["container", "how", "groups decoded", "seconds", "times faster than reading all", "pictures as wanted"]
    print(markdown_table(heads, rows))
    return 0


if __name__ == "__main__":
    run_command(main)
