"""What prints and their comparison cost.

    python benchmarks/prints.py                          # 1,000 made episodes of 24 minutes in seasons of 12
    python benchmarks/prints.py --episodes 200
    python benchmarks/prints.py --video episode.mkv      # what making a file's prints costs beside decoding its sound

The made episodes are prints, not files: points drawn at random, but for an opening and an ending that the episodes of a
season share, with errors as a low bit rate makes them. CPU seconds; the memory is the process's highest, without
PyTorch, which the comparison does not need and which is loaded only to name the machine.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from datatools.commands import CommandParser
from datatools.errors import UserError, run_command
from datatools.media.packets import decode
from datatools.media.probe import audio_stream, open_media
from datatools.numbers import number
from datatools.paths import path
from datatools.tables import markdown_table
from episodes.fingerprint import POINT_RATE, Prints, make_prints
from episodes.repeats import runs, runs_with, themes

SECONDS, THEME_SECONDS = 1440.0, 90.0      # of an episode and of a theme
SEASON = 12                                # episodes
KEYFRAMES = 400                            # of an episode
WRONG_POINTS, WRONG_BITS = 0.65, 0.15      # of a shared part's points have wrong bits; of such a point's bits


def made_season(rng: np.random.Generator, number_of: int, speech: np.ndarray) -> list[Prints]:
    """Prints of a season whose episodes share an opening and an ending. `speech`: points that story is drawn from."""
    length = round(THEME_SECONDS * POINT_RATE)
    themes_ = [rng.integers(1, 2**32, length, np.uint32) for _ in range(2)]
    cuts = [(np.sort(rng.uniform(0, THEME_SECONDS, 25)), rng.integers(0, 2**64, 25, np.uint64)) for _ in range(2)]
    found = []
    for _ in range(number_of):
        points = round(SECONDS * POINT_RATE)
        sound = np.where(rng.random(points) < 0.02, rng.choice(speech, points),
                         rng.integers(1, 2**32, points, np.uint32)).astype(np.uint32)
        times, pictures = np.sort(rng.uniform(0, SECONDS, KEYFRAMES)), rng.integers(0, 2**64, KEYFRAMES, np.uint64)
        for theme, (moments, hashes), start in zip(themes_, cuts, (rng.uniform(0, 180), rng.uniform(1200, 1340)),
                                                   strict=True):
            begin = round(start * POINT_RATE)
            sound[begin:begin + length] = theme ^ wrong_bits(rng, length)
            kept = (times < start) | (times > start + THEME_SECONDS)
            times, pictures = np.append(times[kept], start + moments), np.append(pictures[kept], hashes)
        order = np.argsort(times)
        slowed = rng.integers(1, 2**32, points, np.uint32)
        found.append(Prints(sound, slowed, times[order], pictures[order], SECONDS))
    return found


def wrong_bits(rng: np.random.Generator, length: int) -> np.ndarray:
    """uint32 (length,): bits to be turned. As in sound at 24 kbit/s, one in eight points of two copies stays equal."""
    turned = (rng.random((length, 32)) < WRONG_BITS) & (rng.random((length, 1)) < WRONG_POINTS)
    return np.packbits(turned, axis=1).view(np.uint32)[:, 0]


def cpu_seconds(work: Callable) -> tuple[object, float]:
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def peak_memory() -> float:
    """GiB, of this process until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_comparison(episodes: int, season: int) -> list[list[str]]:
    rng = np.random.default_rng(0)
    speech = rng.integers(1, 2**32, 200_000, np.uint32)      # points that come again and again by chance
    prints = [one for _ in range(-(-episodes // season)) for one in made_season(rng, season, speech)][:episodes]
    gc.collect()
    before = peak_memory()
    new = prints[-1]
    rows = []
    found, seconds = cpu_seconds(lambda: runs_with(new, prints[:-1]))
    mates = (episodes - 1) % season
    rows.append(["a new one with all", f"{seconds:.2f}", f"{peak_memory():.2f}", told(found, 4 * mates)])
    found, seconds = cpu_seconds(lambda: runs(prints))
    complete, rest = divmod(episodes, season)
    pairs = complete * season * (season - 1) // 2 + rest * (rest - 1) // 2
    rows.append(["all with all", f"{seconds:.1f}", f"{peak_memory():.2f}", told(found, 4 * pairs)])
    joined, seconds = cpu_seconds(lambda: themes(found, prints))
    rows.append(["runs joined to themes", f"{seconds:.1f}", f"{peak_memory():.2f}",
                 f"{len(joined)} themes of {2 * (complete + (rest > 1))}"])
    rows.append(["the prints themselves", "", f"{before:.2f}", ""])
    return rows


def told(found: list, expected: int) -> str:
    return f"{len(found)} runs of {expected}"


def measure_video(video: Path) -> list[list[str]]:
    with open_media(video) as container:
        if audio_stream(container) is None:
            raise UserError(f"{video}: no sound in it. Give a video with sound.")

    def bare() -> None:
        """PyAV's own loop: the least that decoding the sound can cost here."""
        with open_media(video) as container:
            stream = audio_stream(container)
            stream.codec_context.thread_count = 1
            for _ in container.decode(stream):
                pass

    def house() -> None:
        with open_media(video) as container:
            stream = audio_stream(container)
            stream.codec_context.thread_count = 1
            for _ in decode(video, stream, salvage=[]):
                pass

    works = {"decoding the sound, PyAV's own loop": bare, "decoding the sound, the house's loop": house,
             "prints of the sound": lambda: make_prints(video, pictures=False),
             "prints of sound and pictures": lambda: make_prints(video)}
    best = {name: min(cpu_seconds(work)[1] for _ in range(3)) for name, work in works.items()}
    least = next(iter(best.values()))
    return [[name, f"{seconds:.2f}", f"{seconds / least:.2f}"] for name, seconds in best.items()]


def main(argv: list[str] | None = None) -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--episodes", type=number(int, low=2, high=100_000), default=1000,
                        help="made ones (%(default)s)")
    parser.add_argument("--season", type=number(int, low=2, high=100_000), default=SEASON,
                        help="episodes of a season (%(default)s)")
    parser.add_argument("--video", type=path, help="measure the making of this file's prints instead")
    arguments = parser.parse_args(argv)
    if arguments.video:
        title, head = arguments.video.name, ["what", "CPU seconds", "times PyAV's decoding"]
        rows = measure_video(arguments.video)
    else:
        title = f"{arguments.episodes} episodes of {SECONDS / 60:g} minutes"
        head = ["what", "CPU seconds", "memory so far, GiB", "found"]
        rows = measure_comparison(arguments.episodes, arguments.season)

    from benchmarks.machine import machine

    print(f"{title}; {machine()}\n")
    print(markdown_table(head, rows))
    return 0


if __name__ == "__main__":
    run_command(main)
