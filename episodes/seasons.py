"""Which video files are the episodes of which season, by their folders and names.

    grouping = group_seasons(find_videos([Path("Anime")]))
    for season in grouping.seasons:
        season.series, season.number, [(episode.numbers, episode.files) for episode in season.episodes]
    grouping.others          # movies, extras, files that tell nothing, each with what its name tells

A name is read by guessit, which knows scene releases, and by aniparse, which knows fansub names; what both of them
misread is put into a plain form before: see `_plain`. Nothing is looked up anywhere.
"""

import functools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError

VIDEO_SUFFIXES = {".mkv", ".mp4", ".m4v", ".mov", ".avi", ".webm", ".ts", ".m2ts", ".mts", ".flv", ".wmv", ".vob",
                  ".ogm", ".mpg", ".mpeg"}
KINDS = ("episode", "special", "movie", "extra", "unknown")

# Folders that say what is in them, not which series (those of extras as Plex, Jellyfin and disc releases name them).
SEASON_FOLDER = re.compile(r"(?:season|staffel|saison|temporada|s)[ ._]?(\d{1,2})(?:\W.*)?", re.IGNORECASE)
SPECIALS_FOLDER = re.compile(r"specials?|sps?|ovas?|oads?|特典|番外", re.IGNORECASE)
MOVIES_FOLDER = re.compile(r"movies?|films?|劇場版|剧场版", re.IGNORECASE)
EXTRAS_FOLDER = re.compile(
    r"extras?|nc(?:op|ed)?s?|creditless|menus?|pvs?|cms?|trailers?|teasers?|samples?|featurettes|bonus|interviews|"
    r"behind the scenes|deleted scenes|shorts|other|映像特典|特典映像|バンディーク|cds?|scans", re.IGNORECASE)
DISC_FOLDER = re.compile(r"bdmv|stream|video_ts|backup", re.IGNORECASE)
PARTS = (SEASON_FOLDER, SPECIALS_FOLDER, MOVIES_FOLDER, EXTRAS_FOLDER, DISC_FOLDER)
# Numbers of discs and cameras, which are no episodes'.
DISC_FILE = re.compile(r"\d{5}|vts_\d\d_\d|video_ts|(?:dsc|img|vid|mvi|mov|pxl|gopr|dji)[a-z]*[ _-]?\d.*",
                       re.IGNORECASE)

NUMERALS = {word: number for number, word in enumerate("一二三四五六七八九十", 1)}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "final": 0}
COUNT = r"\s*(\d{1,4}(?:\.5)?|[一二三四五六七八九十])\s*"
ASIAN_SEASON = re.compile(f"第{COUNT}[季期]")
ASIAN_EPISODE = re.compile(rf"第{COUNT}(?:-{COUNT})?[话話集回]")
ORDINAL_SEASON = re.compile(r"\b(?:(\d)(?:st|nd|rd|th)|(first|second|third|fourth|fifth)) season\b", re.IGNORECASE)
EXPLICIT = re.compile(r"s\d{1,2}[ ._-]*e\d{1,4}|\b\d{1,2}x\d{2,3}(?:v\d)?\b", re.IGNORECASE)
# The form of most fansubs, also where a title holds numbers itself: 86 - Eighty Six - 03v2.
FANSUB = re.compile(r"(?P<series>.+?)\s+[-–]\s+(?:ep?\.?\s*)?(?!(?:19|20)\d\d\b)(?P<first>\d{1,4}(?:\.\d)?)"
                    r"(?:\s*[-~+&]\s*(?P<last>\d{1,4}))?(?:v(?P<version>\d))?(?=\s|[\[(]|$)", re.IGNORECASE)
BRACKETS = re.compile(r"\[([^\[\]]*)\]")
BRACKET_EPISODE = re.compile(r"(?:ep?)?\d{1,4}(?:\.5)?(?:-\d{1,4})?(?:v\d)?(?:\s*(?:end|fin|完))?", re.IGNORECASE)
# 05 - The Title
LEADING = re.compile(r"(?i:ep(?:isode)?\.?\s*(?=\d))?(\d{1,3})(?:v\d)?(?:(?:\s*[-–]|\.)\s+(?=[^\d\W])|$)")
AT_END = r"(?=\s*(?:$|[\[\]()]|-\s|_))"
EXTRA = re.compile(r"(?<![A-Za-z])(?:NC[ _]?(?:OP|ED)|(?:OP|ED|PV|CM)[ _]?\d{0,2}" + AT_END + r"|(?i:creditless|"
                   r"clean (?:opening|ending)|trailer|teaser|sample(?![A-Za-z])|menu ?\d{0,2}" + AT_END
                   + r"|(?<=- )(?:opening|ending) ?\d{0,2}" + AT_END + "))")
SPECIAL = re.compile(r"(?<![A-Za-z])(?:OVA|OAD|SP|Specials?)[ _-]?(?P<number>\d{1,2})?" + AT_END)
YEAR = re.compile(r"\((?:19|20)\d\d\)")
UPDATE = re.compile(r"\b\d\.\d\d\b")       # of a film, such as Evangelion's 1.11
MOVIE = re.compile(r"\b(?:movie|gekijou ?ban|the motion picture)\b|劇場版|剧场版|\bfilm\b", re.IGNORECASE)
MOST_IN_A_FILE = 100     # episodes; a larger range is none


@dataclass(frozen=True)
class EpisodeName:
    """What a file's name and folders tell.

    series    the title, or the folder's name where the file tells none
    season    None where nothing tells it; 0: specials
    numbers   of the episode, several where the file holds several; 12.5 is between two; () where nothing tells it
    kind      episode, special, movie, extra (such as an opening without credits, a trailer) or unknown
    version   of the release, 2 for v2
    """

    series: str
    season: int | None
    numbers: tuple[float, ...]
    kind: str
    version: int = 1


@dataclass(frozen=True)
class Episode:
    """An episode of a season. `files`: one, or several versions, the newest first; `numbers` as in EpisodeName."""

    numbers: tuple[float, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Season:
    """The episodes of a season, by number. `number`: 0 for specials, None for files of a folder that tell no number."""

    series: str
    number: int | None
    folder: Path
    episodes: tuple[Episode, ...]


@dataclass(frozen=True)
class Grouping:
    """The seasons of many files, and the files that belong to none."""

    seasons: tuple[Season, ...]
    others: tuple[tuple[Path, EpisodeName], ...]


def find_videos(paths: Iterable[Path], on_error: Callable[[OSError], None] | None = None) -> list[Path]:
    """The video files among and below `paths`, sorted, each once; hidden files and folders are not looked into.

    `on_error` is told of folders that cannot be read. Raises UserError for a path that is not there, or a file named by
    itself that is no video.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            for parent, folders, files in os.walk(path, onerror=on_error):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found += [Path(parent, name) for name in files if _is_video(name)]
        elif not path.exists():
            raise UserError(f"{path}: no such file or folder. Give a video, or a folder with videos.")
        elif not _is_video(path.name):
            raise UserError(f"{path}: no video by its name. Expected one that ends with one of "
                            f"{', '.join(sorted(VIDEO_SUFFIXES))}.")
        else:
            found.append(path)
    return sorted(set(found), key=_natural)


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


def _natural(path: Path) -> list:
    """A key that sorts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(path))]


# ---------------------------------------------------------------- one name


def read_name(path: Path) -> EpisodeName:
    """What a video's name tells, and where it tells nothing, the names of its folders."""
    path = Path(path)
    folders = [_plain(parent.name) for parent in path.absolute().parents]
    inside = folders[0]
    stem = path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    name = _read_stem(_plain(stem))
    season_folder = SEASON_FOLDER.fullmatch(inside)
    above = _read_folder(next((name for name in folders if not any(
        pattern.fullmatch(name) for pattern in PARTS)), ""))
    series, season, kind, numbers = name.series or above.series, name.season, name.kind, name.numbers
    if season is None:
        same = series_key(series) == series_key(above.series)
        season = int(season_folder[1]) if season_folder else above.season if same else None
    if DISC_FOLDER.fullmatch(inside) or DISC_FILE.fullmatch(stem):
        kind, numbers, season, series = "unknown", (), None, above.series
    elif EXTRAS_FOLDER.fullmatch(inside):
        kind = "extra"
    elif kind in ("episode", "unknown") and (SPECIALS_FOLDER.fullmatch(inside) or season == 0):
        kind, season = "special", 0
    elif kind == "unknown" and MOVIES_FOLDER.fullmatch(inside):
        kind = "movie"
    return EpisodeName(series, season if kind in ("episode", "special", "unknown") else None, numbers, kind,
                       name.version)


def _plain(name: str) -> str:
    """A name in the form that the two libraries read: ordinary brackets and digits, seasons as S2, no adornment."""
    name = unicodedata.normalize("NFKC", name).translate(str.maketrans("【】", "[]"))
    name = name if " " in name else name.replace("_", " ")
    name = re.sub(r"★[^★\[\]]*★?|^\[?\d+月新番\]?", "", name)
    name = ASIAN_SEASON.sub(lambda match: f" S{_count(match[1]):g} ", name)
    name = ORDINAL_SEASON.sub(lambda match: f"S{match[1] or ORDINALS[match[2].lower()]}", name)
    groups = BRACKETS.findall(name)
    if len(groups) >= 3 and not BRACKETS.sub("", name).strip(" ._-"):
        return _unwrapped(groups)
    # [Group] Title [05][1080p]: the number is the episode's.
    return re.sub(r"(?<=\S)\s*\[(\d{1,3}(?:\.5)?(?:v\d)?)(?:\s*(?:END|Fin))?\](?=\s*[\[(]|\s*$)", r" - \1 ", name,
                  count=1).strip()


def _unwrapped(groups: list[str]) -> str:
    """[Group][Title][S3][08][1080p] as [Group] Title S3 - 08 [1080p]."""
    group, *parts = [part.strip() for part in groups]
    is_number = [bool(BRACKET_EPISODE.fullmatch(part) or ASIAN_EPISODE.fullmatch(part)) for part in parts]
    if is_number[:2] == [True, False]:      # without a group
        group, parts, is_number = "", [group, *parts], [False, *is_number]
    place = is_number.index(True, 1) if True in is_number[1:] else None
    titles = parts[:1 if place is None else place]      # the season's and a subtitle's brackets follow the title's
    titles.sort(key=lambda part: bool(re.fullmatch(r"S\d{1,2}", part, re.IGNORECASE)))
    number = "" if place is None else "- " + re.sub(r"(?i)^ep?(?=\d)|\s*(?:end|fin|完)$", "", parts[place])
    others = "".join(f"[{part}]" for part in parts[len(titles) + (place is not None):])
    return " ".join(filter(None, [group and f"[{group}]", *titles, number, others]))


def _count(text: str) -> float:
    return NUMERALS[text] if text in NUMERALS else float(text)


@functools.lru_cache(maxsize=4096)
def _read_folder(name: str) -> EpisodeName:
    """The series and season that a folder's name tells."""
    read = _read_stem(name)
    return EpisodeName(read.series or name, read.season, (), "unknown")


def _read_stem(stem: str) -> EpisodeName:
    """What a name in the form of `_plain`, without its suffix, tells by itself."""
    text = re.sub(r"^\[[^\[\]]*\][\s_]*", "", stem)      # the group
    if not re.search(r"\w", stem):      # the libraries fail on some of these
        return EpisodeName("", None, (), "unknown")
    explicit, asian, fansub = EXPLICIT.search(stem), ASIAN_EPISODE.search(stem), FANSUB.match(text)
    version = re.search(r"\d[. ]?v(\d)\b", stem)
    release = int(version[1]) if version else 1
    if EXTRA.search(text):
        return EpisodeName(_title(EXTRA.split(text)[0]), None, (), "extra", release)
    if explicit:
        return _from_guessit(stem, release)
    if asian:
        series, season = _series(stem[:asian.start()])
        return EpisodeName(series, season, _range(*map(_count, filter(None, asian.groups()))), "episode", release)
    special = SPECIAL.search(text)
    if special and special.start():
        number = special["number"] or (fansub and fansub["first"])
        series, _ = _series(text[:special.start()])
        return EpisodeName(series, 0, (float(number),) if number else (), "special", release)
    if MOVIE.search(text):
        return EpisodeName(_title(text), None, (), "movie", release)
    leading = LEADING.match(text)
    titled = fansub and fansub["series"].isdecimal() and text[fansub.end():].strip()[:1].isalpha()
    if leading and (not fansub or fansub["series"].isdecimal()) or titled:
        return EpisodeName("", None, (float(leading[1] if leading else fansub["series"]),), "episode", release)
    if fansub:
        series, season = _series(fansub["series"])
        return EpisodeName(series, season, _range(*(float(fansub[side]) for side in ("first", "last") if fansub[side])),
                           "episode", release)
    return _from_both(stem, release)


def _range(first: float, last: float | None = None) -> tuple[float, ...]:
    """The numbers of a file with several episodes; of the first alone where the two are no range."""
    if last is None or not 0 < last - first < MOST_IN_A_FILE:
        return (first,)
    return tuple(first + step for step in range(int(last - first) + 1))


def _from_guessit(stem: str, release: int) -> EpisodeName:
    """For names with S01E02 or 1x02."""
    import guessit  # late, as aniparse: they take long to load, and a known library has no name to read

    found = guessit.guessit(re.sub(r"(?<=\d)v\d\b", "", stem), {"type": "episode"})
    season = found.get("season")
    season = season[0] if isinstance(season, list) else season
    numbers = tuple(_numbers(found.get("episode")))
    kind = "unknown" if not numbers else "special" if season == 0 else "episode"
    return EpisodeName(_titled(found, stem), season, numbers, kind, release)


def _from_both(stem: str, release: int) -> EpisodeName:
    """For names of no settled form: what both libraries allow.

    guessit takes 252 for episode 52 of season 2, a year for a season, and numbers of a title for more episodes;
    aniparse misses the forms of other languages. Where they differ for good, the name tells nothing.
    """
    import guessit

    found, read = guessit.guessit(stem), _aniparse(stem)
    theirs = _numbers([entry.get("number") for entry in read.get("episode", ())])
    ours, season, title = _numbers(found.get("episode")), found.get("season"), _titled(found, stem)
    named = isinstance(season, int) and season < 1900 and re.search(r"season|saison|s\d", stem, re.IGNORECASE)
    if isinstance(season, int) and season < 1900 and not named:
        glued = f"{season}{ours[-1]:02.0f}" if ours else ""
        ours = [float(glued)] if glued and re.search(rf"\b{glued}\s*(?:$|[\[(.])", stem) else []
    if len(ours) > 1 and tuple(ours) != _range(ours[0], ours[-1]):
        ours, title = theirs, _title(read.get("title", ""))
    elif len(theirs) == 1 and len(ours) == 1:
        ours = theirs
    if len(ours) > 1 and tuple(ours) != _range(ours[0], ours[-1]) or "date" in found or UPDATE.search(stem):
        ours = []
    kind = "episode" if ours else "movie" if "year" in found else "unknown"
    return EpisodeName(title, season if named else None, tuple(ours), kind, release)


def _aniparse(stem: str) -> dict:
    """The first series that aniparse finds in a name; nothing where it fails."""
    import aniparse

    try:
        return ((aniparse.parse(stem) or {}).get("series") or [{}])[0]
    except Exception:      # of any kind, on odd names: an index, a division by zero, a number that is text
        return {}


def _numbers(found: object) -> list[float]:
    return [float(number) for number in (found if isinstance(found, list) else [found])
            if isinstance(number, int | float)]


def _series(text: str) -> tuple[str, int | None]:
    """Title and season of the part of a name before the episode's number."""
    text = re.sub(r"^\[[^\[\]]*\][\s_]*", "", text)
    season = re.search(r"[\s._]+(?:season[\s._]*|s)(\d{1,2})[\s._-]*$", text, re.IGNORECASE)
    return _title(text[:season.start()] if season else text), int(season[1]) if season else None


def _titled(found: dict, stem: str) -> str:
    """The title that guessit found, with what tells two series of that title apart: part and year."""
    part = found.get("part")
    words = [found.get("title", ""), f"Part {part}" if isinstance(part, int) else "", *YEAR.findall(stem)[:1]]
    return _title(" ".join(map(str, words)))


def _title(text: str) -> str:
    """A title without marks around it; of one in two languages, the last that has Latin letters."""
    text = re.sub(r"\[[^\[\]]*\]|(?!\((?:19|20)\d\d\))\([^()]*\)", " ", text)
    text = re.sub(r"[\s_]+", " ", text.replace(".", " ") if " " not in text.strip() else text).strip(" -_.[(「」")
    parts = [part.strip(" -_.") for part in re.split(r"\s*/\s*|\s+\|\s+", text)]
    latin = [part for part in parts if re.search("[A-Za-z]", part)]
    return (latin or parts)[-1] if len(parts) > 1 else text


# ---------------------------------------------------------------- many files


def group_seasons(paths: Iterable[Path], read: Callable[[Path], EpisodeName] = read_name) -> Grouping:
    """Files as seasons: those of one folder of a series (with its season folders), series and season.

    `read` may know the names already: reading them is slow.
    A season that nothing tells is the first. Files of a folder that tell no number, and are no movies or extras, are
    one season together, without a number, where there are at least two of them.
    """
    groups: dict[tuple, list[tuple[Path, EpisodeName]]] = {}
    others = []
    for path in sorted(set(map(Path, paths)), key=_natural):
        name = read(path)
        if name.kind in ("movie", "extra") or (name.kind == "special" and not name.numbers):
            others.append((path, name))
        elif name.numbers:
            season = 1 if name.season is None else name.season
            groups.setdefault((show_folder(path), series_key(name.series), season), []).append((path, name))
        else:
            groups.setdefault((path.parent, None, None), []).append((path, name))
    seasons = []
    for (folder, _, number), files in groups.items():
        if number is None and len(files) < 2:
            others += files
        else:
            seasons.append(Season(files[0][1].series, number, folder, _episodes(files)))
    return Grouping(tuple(seasons), tuple(others))


def show_folder(path: Path) -> Path:
    """The folder of a file's series: above a folder that only names a season or the specials."""
    inside = _plain(path.parent.name)
    return path.parent.parent if SEASON_FOLDER.fullmatch(inside) or SPECIALS_FOLDER.fullmatch(inside) else path.parent


def series_key(series: str) -> str:
    """What two spellings of a series' title have in common."""
    return re.sub(r"[\W_]+", " ", series.casefold()).strip()


def _episodes(files: list[tuple[Path, EpisodeName]]) -> tuple[Episode, ...]:
    versions: dict[object, list[tuple[Path, EpisodeName]]] = {}
    for path, name in files:
        versions.setdefault(name.numbers or path, []).append((path, name))
    episodes = [Episode(same[0][1].numbers, tuple(path for path, name in
                                                  sorted(same, key=lambda file: -file[1].version)))
                for same in versions.values()]
    return tuple(sorted(episodes, key=lambda episode: episode.numbers))
