"""Episodes and ways to look at them for the tests of locate.py: quick ones, of text, and real ones with chapters."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg

from datatools.errors import UserError
from datatools.stages import Pool
from episodes.locating import Asked, Report, run_pass
from episodes.markers import Marker
from episodes.ways import Facts, Ways
from tests.media_files import numbered_picture, tone, write_media

HERE = Pool(here=True)
OLD = 1_600_000_000      # s; a time at which nobody is still copying


def write_episode(path: Path, content: dict | None = None, mtime: float = OLD) -> Path:
    """A file that `look` reads: what is in it, under any name of a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content or {"opening": [10.0, 100.0]}))
    os.utime(path, (mtime, mtime))
    return path


def look(path: Path) -> Facts:
    """Facts of a file of `write_episode`; notes each look in a file `looks` two folders above. Some fail, by name."""
    with open(path.parents[1] / "looks", "a") as log:
        log.write(f"{path.name}\n")
    if "broken" in path.name:
        raise UserError(f"{path}: broken. Copy it again.")
    if "killed" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "slow" in path.name or "hung" in path.name:
        time.sleep(0.3 if "slow" in path.name else 600)
    content = json.loads(path.read_text())
    return Facts(1440.0, json.dumps(content).encode())


def decide(episodes, persons, notes) -> dict:
    """Each episode's own markers; tells who was decided about in a file `decisions` two folders above.

    Keeps a note a file: how often it was decided about.
    """
    for episode in episodes:
        key = (episode.path, "decided")
        notes[key] = str(int(notes.get(key, b"0")) + 1).encode()
    with open(Path(episodes[0].path).parents[1] / "decisions", "a") as log:
        log.write(json.dumps([[Path(episode.path).name for episode in episodes], sorted(persons)]) + "\n")
    return {episode.path: tuple(Marker(kind, *times, confidence=0.9, evidence=("sound",))
                                for kind, times in json.loads(episode.facts).items()) for episode in episodes}


WAYS = Ways("test 1", look, "test 1", decide)


def locate(root: Path, *, pool: Pool = HERE, ways: Ways = WAYS, folder: str = "show", **asked) -> Report:
    """A pass over `root/show`, with its state in `root`."""
    return run_pass(Asked((root / folder,), root / "state.sqlite", pool=pool, **asked), ways)


def lines(path: Path) -> list[str]:
    """The lines of a log since the last call."""
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def real_episode(
    path: Path, chapters: list[tuple[float, float, str]], seconds: int = 20, with_sound: bool = False,
) -> Path:
    """A small video of one picture, with chapters (start, end, title), in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain, metadata = path.with_name(".plain.mp4"), path.with_name(".chapters.txt")
    write_media(plain, [numbered_picture(1)] * seconds, fps=1, sound=tone(seconds, 22_050) if with_sound else None,
                sound_rate=22_050)
    metadata.write_text(";FFMETADATA1\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start * 1000:.0f}\nEND={end * 1000:.0f}\ntitle={title}\n"
        for start, end, title in chapters))
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", plain, "-i", metadata, "-map_metadata",
                    "1", "-map_chapters", "1", "-c", "copy", path], check=True)
    plain.unlink()
    metadata.unlink()
    os.utime(path, (OLD, OLD))
    return path
