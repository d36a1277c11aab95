"""What a library costs that has not changed, and what one new episode costs in it, as a Markdown table.

    python benchmarks/library.py                 # 1,000 files
    python benchmarks/library.py --files 100

The files are those of 40 shows, each seven kilobytes of Matroska: two pictures 24 minutes apart, no sound, and chapters
that name an opening and an ending. Looking at them costs next to nothing, and there is nothing in them that could
repeat, so what is measured is everything else. (benchmarks/prints.py prints what comparing costs.) Each row is a whole
call of locate.py, from its start to its end.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av

from benchmarks.machine import machine
from datatools.commands import CommandParser
from datatools.errors import run_command
from datatools.numbers import number
from datatools.tables import markdown_table

ROOT = Path(__file__).resolve().parents[1]
SHOWS = 40
LONG_AGO = 1_600_000_000      # s
RUNS = 3                      # of which the median counts
DURATION = 1440               # s
CHAPTERS = ((0, 60, "Avant"), (60, 150, "Opening"), (150, 1300, "Episode"), (1300, 1390, "Ending"))      # s


def make_library(folder: Path, files: int) -> None:
    """Shows with names of two forms, with different times, so that none is taken for another's copy."""
    small = folder.parent / "small.mkv"
    with av.open(str(small), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = 64
        container.set_chapters([{"id": index, "start": start, "end": end, "time_base": 1, "metadata": {"title": title}}
                                for index, (start, end, title) in enumerate(CHAPTERS, 1)])
        packets = []
        for second in (0, DURATION - 1):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = second
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode()]:
            container.mux(packet)
    content = small.read_bytes()
    for index in range(files):
        show, episode = index % SHOWS, index // SHOWS + 1
        name = f"[Group] Show {chr(65 + show % 26)}{show} - {episode:02d} [1080p].mkv" if show % 2 else \
            f"Show.{chr(65 + show % 26)}{show}.S01E{episode:02d}.1080p.WEB-DL.mkv"
        path = folder / f"Show {show}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (LONG_AGO + 60 * index, LONG_AGO + 60 * index))


def cost(words: list, runs: int = 1) -> tuple[float, float]:
    """(wall, CPU) seconds of a call of locate.py with its workers; the median of `runs` by wall time."""
    measured = []
    for _ in range(runs):
        before, started = os.times(), time.perf_counter()
        done = subprocess.run([sys.executable, ROOT / "locate.py", *words], capture_output=True, text=True)
        wall, after = time.perf_counter() - started, os.times()
        assert done.returncode == 0, (done.stdout + done.stderr)[-500:]
        measured.append((wall, after.children_user + after.children_system
                         - before.children_user - before.children_system))
    return sorted(measured)[runs // 2]


def main(argv: list[str] | None = None) -> None:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--files", type=number(int, low=SHOWS, high=100_000), default=1000, help="(%(default)s)")
    files = parser.parse_args(argv).files
    with tempfile.TemporaryDirectory() as place:
        folder, state = Path(place, "library"), Path(place, "state.sqlite")
        make_library(folder, files)
        words = [folder, "--state", state]
        rows = [("first run", cost(words)), ("nothing has changed", cost(words, RUNS))]
        rows.append(("the same, with an EDL each: first", cost([*words, "--write", "edl"])))
        assert len(list(folder.rglob("*.edl"))) == files, "not each file has its markers"
        rows.append(("the same, with an EDL each: again", cost([*words, "--write", "edl"], RUNS)))
        new = folder / "Show 1" / "[Group] Show B1 - 99 [1080p].mkv"
        new.write_bytes(next(folder.rglob("*.mkv")).read_bytes())
        os.utime(new, (LONG_AGO - 60, LONG_AGO - 60))
        rows.append(("one new episode", cost(words)))
        size = sum(file.stat().st_size for file in Path(place).glob("state.sqlite*"))
    print(f"{files} files, {machine()}; the state takes {size / files / 1000:.1f} kB a file\n")
    print(markdown_table(["locate.py", "s", "CPU s"], [[name, f"{wall:.1f}", f"{cpu:.1f}"]
                                                       for name, (wall, cpu) in rows]))


if __name__ == "__main__":
    run_command(main)
