"""Which video files are there now, and which of them are looked at together.

    scan = find_files([Path("Anime")])
    for group in groups_of(files):      # the episodes of a show, by folders and names (seasons.py)
        group.members, group.keeps

A file that was written a moment ago may still be copied: `settle` waits until it is quiet, or leaves it.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import kind_of_file
from episodes.seasons import VIDEO_SUFFIXES, EpisodeName, find_videos, group_seasons, series_key

QUIET_SECONDS = 5.0      # without a change of size and time; copying programs write several times a second
SILENT_KINDS = ("extra",)      # an opening without credits, a trailer: nobody skips within them


@dataclass(frozen=True)
class Found:
    """A video file as it is now: absolute path, the path as it was asked for, size in bytes, time of its last change.

    root   the folder that was asked for and that it lies below; its own folder where it was named itself
    """

    path: str
    shown: Path
    root: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Scan:
    """The files that were found, and those that cannot be looked at, with the reason."""

    files: tuple[Found, ...]
    unusable: tuple[tuple[str, str], ...]


def find_files(paths: Sequence[Path]) -> Scan:
    """The video files among and below `paths`. Raises UserError where there are none, or a path is not there.

    A file that vanishes meanwhile is passed over; a folder that cannot be read is told among the unusable.
    """
    found: dict[str, Found] = {}
    unusable: list[tuple[str, str]] = []
    for path in paths:
        root = path if path.is_dir() else path.parent
        for video in find_videos([path], lambda error: unusable.append(_unread(error))):
            problem = _name_problem(video)
            now = None if problem else find_file(video, root)
            if isinstance(now, Found):
                found.setdefault(now.path, now)
            elif problem or now:
                unusable.append((_printable(video), problem or now))
    if not found and not unusable:
        raise UserError(f"{', '.join(map(str, paths))}: no videos. Expected files that end with one of "
                        f"{', '.join(sorted(VIDEO_SUFFIXES))}.")
    return Scan(tuple(found.values()), tuple(dict.fromkeys(unusable)))


def find_file(shown: Path, root: Path) -> Found | str | None:
    """A file as it is now; the reason where it is none that can be looked at; None where it is gone."""
    try:
        status = os.stat(shown)
    except FileNotFoundError:
        return "a link to nothing. Remove it." if os.path.islink(shown) else None
    except OSError as error:
        return f"cannot be read ({error.strerror}). Change its permissions, or remove it."
    if not stat.S_ISREG(status.st_mode):
        return f"{kind_of_file(status.st_mode)}, expected a video file. Remove it."
    return Found(os.path.abspath(shown), shown, root, status.st_size, status.st_mtime_ns)


def _unread(error: OSError) -> tuple[str, str]:
    return str(error.filename), f"the folder cannot be read ({error.strerror}). Change its permissions."


def _name_problem(path: Path) -> str | None:
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, which no file of markers can hold. Rename it."
    return None


def _printable(path: Path) -> str:
    return str(path).encode(errors="backslashreplace").decode()


# ---------------------------------------------------------------- files that are still written


def is_recent(found: Found) -> bool:
    """Whether the file was changed in the last QUIET_SECONDS, or will be: clocks of other machines may be ahead."""
    return abs(time.time() - found.mtime_ns / 1e9) < QUIET_SECONDS


def settle(files: Iterable[Found], seconds: float = QUIET_SECONDS) -> tuple[list[Found], list[Found]]:
    """The files that do not change within `seconds`, and those that do. Waits once, for all."""
    before = list(files)
    if before:
        time.sleep(seconds)
    now = {file.path: find_file(file.shown, file.root) for file in before}
    quiet = [file for file in before if now[file.path] == file]
    return quiet, [file for file in before if now[file.path] != file and now[file.path] is not None]


# ---------------------------------------------------------------- which files belong together


@dataclass(frozen=True)
class Member:
    """An episode's place: path, season (None: unknown, 0: specials), numbers as in EpisodeName, kind."""

    path: str
    season: int | None
    numbers: tuple[float, ...]
    kind: str


@dataclass(frozen=True)
class Group:
    """Files that are decided about together, all of them different episodes; the answers for `keeps` count."""

    members: tuple[Member, ...]
    keeps: tuple[str, ...]


def groups_of(paths: Iterable[str], read: Callable[[Path], EpisodeName]) -> tuple[list[Group], list[str]]:
    """The groups of these files, and the files that are no episodes (SILENT_KINDS).

    A group holds all seasons of a show. Of several versions of an episode the newest is in its group; each other one
    has a group of its own, with itself in the newest's place: two versions are alike from end to end, and everything
    in them would count as repeated. So does a file of several episodes that are there one by one, too. A movie, and a
    file whose name tells nothing, is alone.
    """
    grouping = group_seasons(map(Path, paths), read)
    shows: dict[tuple, list] = {}
    for season in grouping.seasons:
        alone = (season.number,) if season.number is None else ()
        shows.setdefault((season.folder, series_key(season.series), *alone), []).append(season)
    groups = []
    for seasons in shows.values():
        mains, others = [], []
        for season in seasons:
            single = {numbers[0] for numbers in (episode.numbers for episode in season.episodes) if len(numbers) == 1}
            for episode in season.episodes:
                kind = "special" if season.number == 0 else "episode"
                members = [Member(str(path), season.number, episode.numbers, kind) for path in episode.files]
                repeated = len(episode.numbers) > 1 and not single.isdisjoint(episode.numbers)
                mains += [] if repeated else members[:1]
                others += members if repeated else members[1:]
        if mains:
            groups.append(Group(tuple(mains), tuple(member.path for member in mains)))
        for other in others:
            rest = [member for member in mains if member.season != other.season
                    or (set(member.numbers).isdisjoint(other.numbers) if other.numbers else True)]
            groups.append(Group((other, *rest), (other.path,)))
    silent = [str(path) for path, name in grouping.others if name.kind in SILENT_KINDS]
    groups += [Group((Member(str(path), name.season, name.numbers, name.kind),), (str(path),))
               for path, name in grouping.others if name.kind not in SILENT_KINDS]
    return groups, silent


def is_gone(error: BaseException, path: str) -> bool:
    """Whether an error in reading a file comes from the file's having vanished."""
    missing = isinstance(error, OSError) and error.errno == errno.ENOENT
    return missing or not os.path.lexists(path)
