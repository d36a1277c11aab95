"""Chapters in media files: read, and skip markers written as chapters between those that are there.

    read_chapters(Path("episode.mkv"))                        # also of MP4, and of an ffmetadata file
    print(write_matroska(Path("episode.mkv"), episode, dry_run=True))     # what would change
    write_matroska(Path("episode.mkv"), episode)              # in place, by mkvpropedit
    undo_matroska(Path("episode.mkv"))
    copy_matroska(Path("episode.mkv"), Path("marked/episode.mkv"), episode)
    copy_mp4(Path("episode.mp4"), Path("marked/episode.mp4"), episode)    # nothing is encoded again

The titles Opening, Ending, Recap and Preview are those that players' plugins look for: Jellyfin's chapter segments
(intro|opening, ending|credits, recap, preview) and mpv's chapterskip (^Opening, ^Ending, Preview$). Both take a chapter
to last until the next one starts, whatever end it states, and so do MP4 files; so a chapter `Episode` is put where a
marker ends and none starts. A chapter that is there already is never changed or removed.
"""

import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg

from datatools.errors import UserError
from datatools.files import save_text, write_atomic
from datatools.media.probe import MediaError, error_reason, open_media, time_zero
from datatools.media.structure import broken_structure
from datatools.paths import check_output
from episodes.markers import EpisodeMarkers, milliseconds

TITLES = {"opening": "Opening", "ending": "Ending", "recap": "Recap", "preview": "Preview"}
# Between markers. No plugin takes it for a part to skip; note that Jellyfin's takes every title with "ad" in it for
# an advertisement.
STORY = "Episode"
SKIP_TYPES = {"opening": 1, "ending": 2, "recap": 3, "preview": 4}      # Matroska's ChapterSkipType
STORY_SKIP_TYPE = 0             # no skipping
OURS = "avtnet."                # what the ChapterStringUID of each chapter that we wrote begins with
SAME_SECONDS = 2.0              # a chapter of the marker's type that starts this near is the marker's
NEAR_SECONDS = 0.5              # a start this near to a marker's edge is taken for that edge
# Parts of a second in which an MP4 file states its chapters. ffmpeg's own choice, a common multiple of all streams', is
# so large with some subtitles that the lengths of chapters overflow, and chapters are lost or end up at the start.
MP4_TIMESCALE = 90_000
# What people call these parts, as the whole title, with a number or such a word behind it.
BEHIND = r"[\s:：.#-]*(\d+|[ivx]+|theme|song|credits|sequence|start|[ab])?"
NAMES = {
    "opening": rf"(op|ncop|opening|intro|オープニング(テーマ)?|片头|片頭|vorspann|générique( de début| d'ouverture)?|"
               rf"cabecera|entrada|опенинг){BEHIND}{BEHIND}",
    "ending": rf"(ed|nced|ending|outro|closing|credits|end credits|エンディング(テーマ)?|片尾|abspann|nachspann|"
              rf"générique de fin|créditos( finales)?|cierre|эндинг){BEHIND}{BEHIND}",
    "recap": r"(recap|previously|previously on.*|last time|前回(のあらすじ)?|あらすじ|前情提要|rückblick|"
             rf"was bisher geschah|résumé|précédemment|resumen|anteriormente){BEHIND}",
    "preview": r"(preview|next|next time|next episode|next episode preview|次回予告|次回|予告|预告|預告|下集[预預]告|"
               r"vorschau|aperçu|prochainement|prochain épisode|avance|próximo episodio|"
               rf"en el próximo episodio){BEHIND}",
}


@dataclass(frozen=True)
class Chapter:
    """A chapter: seconds from the file's time zero (`end` None where the file states none), title, marker's type."""

    start: float
    end: float | None
    title: str
    type: str | None = None


def type_of_title(title: str) -> str | None:
    """The marker's type that a chapter's title names, None for any other title."""
    return next((kind for kind, names in NAMES.items() if re.fullmatch(names, title.strip(), re.IGNORECASE)), None)


def read_chapters(path: Path) -> list[Chapter]:
    """The chapters of a media file, or of an ffmetadata file. Raises MediaError."""
    if not _is_ffmetadata(path):
        with open_media(path) as container:
            return _chapters(container, time_zero(container))
    try:
        with av.open(f"file:{Path(path).absolute()}", format="ffmetadata") as container:
            return _chapters(container, Fraction(0))
    except av.FFmpegError as error:
        raise MediaError(f"{path}: no ffmetadata that can be read ({error_reason(error)}). Write it again.") from error


def _is_ffmetadata(path: Path) -> bool:
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        return file.read(12) == b";FFMETADATA1"


def _chapters(container, zero: Fraction) -> list[Chapter]:
    found = []
    for chapter in container.chapters():
        start, end = (max(0.0, float(chapter[edge] * chapter["time_base"] - zero)) for edge in ("start", "end"))
        title = chapter["metadata"].get("title", "")
        found.append(Chapter(start, end, title, type_of_title(title)))
    return sorted(found, key=lambda chapter: chapter.start)


# ---------------------------------------------------------------- markers between chapters


def added_chapters(existing: Iterable[Chapter], episode: EpisodeMarkers) -> list[Chapter]:
    """The chapters that have to be added to the `existing` ones for the episode's markers, in order.

    None for a marker that a chapter of its type tells already. A marker's chapter begins where a chapter begins at most
    NEAR_SECONDS from it, because it would end there for most players. Chapters STORY end a marker, and fill the start.
    """
    existing = list(existing)
    added = []
    for marker in episode.markers:
        if not any(chapter.type == marker.type and abs(chapter.start - marker.start) <= SAME_SECONDS
                   for chapter in existing):
            near = [chapter.start for chapter in existing if abs(chapter.start - marker.start) <= NEAR_SECONDS]
            added.append(Chapter(min(near, key=lambda start: abs(start - marker.start), default=marker.start),
                                 marker.end, TITLES[marker.type], marker.type))
    starts = {chapter.start for chapter in [*existing, *added]}
    if not episode.markers:
        return []
    for time in [0.0, *(marker.end for marker in episode.markers)]:
        ended = episode.duration is not None and time >= episode.duration - NEAR_SECONDS
        if not ended and not any(abs(time - start) <= NEAR_SECONDS for start in starts):
            later = [start for start in starts if start > time]
            added.append(Chapter(time, min(later, default=episode.duration), STORY))
            starts.add(time)
    return sorted(added, key=lambda chapter: chapter.start)


def remarks(existing: Iterable[Chapter], episode: EpisodeMarkers) -> list[str]:
    """What the chapters that stay keep players from, a sentence each."""
    return [f"{episode.path}: the chapter {chapter.title!r} at {chapter.start:.3f} s lies within the {marker.type}; "
            "most players skip only as far as there. Remove it to have all of it skipped."
            for marker in episode.markers for chapter in existing
            if marker.start + SAME_SECONDS < chapter.start < marker.end - NEAR_SECONDS]


def merged(existing: Iterable[Chapter], episode: EpisodeMarkers) -> list[Chapter]:
    """The existing chapters and the added ones, from the file's start, each until the next, as MP4 and ffmetadata."""
    existing = list(existing)
    # At the same time, the added one comes last: players take the last chapter that has begun.
    chapters = sorted([*existing, *added_chapters(existing, episode)], key=lambda chapter: chapter.start)
    lasts = [chapter.end for chapter in chapters[-1:]] if episode.duration is None else [episode.duration]
    ends = [chapter.start for chapter in chapters[1:]] + lasts
    return [replace(chapter, end=max(chapter.start, end or 0.0)) for chapter, end in zip(chapters, ends, strict=False)]


def ffmetadata_text(chapters: Iterable[Chapter]) -> str:
    """Chapters as ffmpeg's metadata file, in milliseconds (ffmpeg.org/ffmpeg-formats.html#Metadata)."""
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        title = re.sub(r"([=;#\\\n])", r"\\\1", chapter.title)
        end = chapter.start if chapter.end is None else chapter.end
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={milliseconds(chapter.start)}", f"END={milliseconds(end)}",
                  f"title={title}"]
    return "\n".join(lines) + "\n"


def save_ffmetadata(path: Path, episode: EpisodeMarkers, existing: Iterable[Chapter] = ()) -> None:
    """Write the episode's markers, merged with the `existing` chapters, as ffmpeg's metadata file."""
    save_text(path, ffmetadata_text(merged(existing, episode)))


def changes_text(path: Path, kept: Iterable[Chapter], removed: Iterable[Chapter], added: Iterable[Chapter]) -> str:
    """What changes in a file's chapters: a line for each, with = for kept, - for removed and + for added."""
    lines = [(chapter.start, sign, f"  {sign} {_clock(chapter.start)}  {chapter.title}") for sign, chapters in
             (("=", kept), ("-", removed), ("+", added)) for chapter in chapters]
    order = {"=": 0, "-": 1, "+": 2}
    shown = [text for _, _, text in sorted(lines, key=lambda line: (line[0], order[line[1]]))]
    return "\n".join([f"{path}:", *(shown or ["  no chapters"])])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 1000:06.3f}"


def _check_new(target: Path) -> None:
    """Raise UserError where a copy's file exists already."""
    if Path(target).exists():
        raise UserError(f"{target}: exists already. It is left as it is; remove it, or name another file.")


# ---------------------------------------------------------------- Matroska


def write_matroska(path: Path, episode: EpisodeMarkers, dry_run: bool = False) -> str:
    """Put the episode's markers among a Matroska file's chapters, in place; returns what changed (`changes_text`).

    Chapters of an earlier call are replaced, all others stay as they are. What was there before the first call is kept
    beside the file (`before_path`). Nothing is written where nothing changes.
    Raises UserError for a file that is not whole (it may still be copied), no Matroska, or has ordered chapters, where
    each chapter decides what is played; or where mkvtoolnix is missing.
    """
    path, zero, text, root = _open_matroska(path)
    shown, is_changed = _put_in(root, path, zero, episode, path)
    if dry_run or not is_changed:
        return shown
    if not before_path(path).exists():
        save_text(before_path(path), text)
    _propedit(path, root)
    return shown


def copy_matroska(source: Path, target: Path, episode: EpisodeMarkers, dry_run: bool = False) -> str:
    """Copy a Matroska file with the episode's markers among its chapters; returns what changed (`changes_text`).

    All but the chapters stays as it is, to the byte. `target` is written atomically. Raises UserError where it exists
    already, and as `write_matroska`.
    """
    path, zero, _, root = _open_matroska(source)
    _check_new(target)
    shown, _ = _put_in(root, path, zero, episode, target)
    if dry_run:
        return shown
    check_output(target, read=[source])
    with write_atomic(target) as temporary:
        shutil.copyfile(path, temporary)
        _propedit(temporary, root)
    return shown


def _put_in(root: ET.Element, path: Path, zero: float, episode: EpisodeMarkers, shown: Path) -> tuple[str, bool]:
    """Put the episode's markers among the chapters of `root`, in place of earlier ones of ours.

    `path` and `zero`: the file and its time zero (s). Returns what changes in the file `shown`, and whether anything
    does.
    """
    edition = _edition(path, root)
    removed = [_chapter(atom, zero) for atom in _take_ours(root)]
    kept = [_chapter(atom, zero) for atom in edition.iterfind("ChapterAtom") if _is_shown(atom)]
    added = added_chapters(kept, episode)
    atoms = edition.findall("ChapterAtom") + [_atom(chapter, zero, index) for index, chapter in enumerate(added)]
    for atom in edition.findall("ChapterAtom"):
        edition.remove(atom)
    edition.extend(sorted(atoms, key=_start))
    is_changed = [(c.start, c.title) for c in removed] != [(c.start, c.title) for c in map(_in_file, added)]
    return changes_text(shown, kept, removed, added), is_changed


def undo_matroska(path: Path) -> str:
    """Take out the chapters that `write_matroska` put in; returns what changed. Chapters changed since then stay."""
    path, zero, _, root = _open_matroska(path)
    removed = [_chapter(atom, zero) for atom in _take_ours(root)]
    kept = [_chapter(atom, zero) for atom in root.iterfind("EditionEntry/ChapterAtom")]
    if removed:
        _propedit(path, root)
    before_path(path).unlink(missing_ok=True)
    return changes_text(path, kept, removed, [])


def before_path(path: Path) -> Path:
    """Where the chapters that a file had before the first change are kept, as mkvpropedit reads them."""
    return path.with_name(f".{path.name}.chapters-before.xml")


def _open_matroska(path: Path) -> tuple[Path, float, str, ET.Element]:
    """The path, the file's time zero (s), the XML text of its chapters, and its root."""
    with open_media(path) as container:
        if "matroska" not in container.format.name:
            raise UserError(f"{path}: a file of format {container.format.name!r}, expected Matroska.")
        zero = float(time_zero(container))
    if problem := broken_structure(path):
        raise UserError(f"{path}: {problem}. Chapters are only written into a whole file: wait until it is copied, or "
                        "copy it again.")
    text = _run("mkvextract", path, "chapters").lstrip("\ufeff").strip()
    return Path(path).absolute(), zero, text or "<Chapters/>", ET.fromstring(text or "<Chapters/>")


def _edition(path: Path, root: ET.Element) -> ET.Element:
    """The edition that players use: the default one, else the first; a new one where there is none."""
    editions = root.findall("EditionEntry")
    chosen = [edition for edition in editions if edition.findtext("EditionFlagDefault") == "1"] or editions
    if not chosen:
        return ET.SubElement(root, "EditionEntry")
    if chosen[0].findtext("EditionFlagOrdered") == "1":
        raise UserError(f"{path}: its chapters are ordered: a player plays what they name, so one more would change "
                        "the film. Use an EDL or JSON for this file.")
    return chosen[0]


def _take_ours(root: ET.Element) -> list[ET.Element]:
    """Remove the chapters that we wrote, and an edition that is empty then; returns the chapters."""
    taken = []
    for edition in root.findall("EditionEntry"):
        for atom in edition.findall("ChapterAtom"):
            if (atom.findtext("ChapterStringUID") or "").startswith(OURS):
                edition.remove(atom)
                taken.append(atom)
    return taken


def _is_shown(atom: ET.Element) -> bool:
    return atom.findtext("ChapterFlagHidden") != "1" and atom.findtext("ChapterFlagEnabled") != "0"


def _start(atom: ET.Element) -> float:
    return _parse_time(atom.findtext("ChapterTimeStart") or "0:0:0")


def _parse_time(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _chapter(atom: ET.Element, zero: float) -> Chapter:
    title, end = atom.findtext("ChapterDisplay/ChapterString") or "", atom.findtext("ChapterTimeEnd")
    return Chapter(max(0.0, _start(atom) - zero), end and _parse_time(end) - zero, title, type_of_title(title))


def _in_file(chapter: Chapter) -> Chapter:
    return replace(chapter, start=milliseconds(chapter.start) / 1000)


def _atom(chapter: Chapter, zero: float, index: int) -> ET.Element:
    """A ChapterAtom; mkvpropedit gives it its ChapterUID."""
    atom = ET.Element("ChapterAtom")
    skip = STORY_SKIP_TYPE if chapter.type is None else SKIP_TYPES[chapter.type]
    times = [("ChapterTimeStart", chapter.start)] + [("ChapterTimeEnd", chapter.end)] * (chapter.end is not None)
    for name, value in [("ChapterStringUID", f"{OURS}{index}"), *times, ("ChapterSkipType", skip)]:
        ET.SubElement(atom, name).text = _xml_time(value + zero) if name.startswith("ChapterTime") else str(value)
    display = ET.SubElement(atom, "ChapterDisplay")
    ET.SubElement(display, "ChapterString").text = chapter.title
    ET.SubElement(display, "ChapterLanguage").text = "eng"
    return atom


def _xml_time(seconds: float) -> str:
    minutes, rest = divmod(max(0, milliseconds(seconds)), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}000000"


def _propedit(path: Path, root: ET.Element) -> None:
    """Give the file the chapters of `root`; those without an edition or chapter take all of them away."""
    for edition in root.findall("EditionEntry"):
        if edition.find("ChapterAtom") is None:
            root.remove(edition)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "chapters.xml")
        ET.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
        _run("mkvpropedit", path, "--chapters", str(file) if len(root) else "")


def _run(tool: str, path: Path, *arguments: str) -> str:
    """Run a program of mkvtoolnix on a file; returns what it prints. Raises UserError."""
    program = shutil.which(tool)
    if not program:
        raise UserError(f"{path}: {tool} is needed for Matroska chapters and not installed. Install mkvtoolnix "
                        "(Debian: apt-get install mkvtoolnix).")
    # An absolute path, because @name is a file of options to them; UTF-8, because names are converted by the locale.
    done = subprocess.run([program, str(Path(path).absolute()), *arguments], capture_output=True, encoding="utf-8",
                          errors="replace", env={**os.environ, "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL)
    if done.returncode > 1:       # 1: there were warnings
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line]
        raise UserError(f"{path}: {tool} failed ({' '.join(lines)[:300]}). Is the file whole, and may it be written?")
    return done.stdout


# ---------------------------------------------------------------- MP4


def copy_mp4(source: Path, target: Path, episode: EpisodeMarkers, dry_run: bool = False) -> str:
    """Copy an MP4 or MOV file with the episode's markers among its chapters; returns what changed (`changes_text`).

    By ffmpeg, which copies streams, tags, cover and rotation as they are; data tracks other than chapters (time codes)
    are left out. `target` is written atomically. Raises UserError where it exists already, or `source` is no MP4.
    """
    with open_media(source) as container:
        if "mp4" not in container.format.name:
            raise UserError(f"{source}: a file of format {container.format.name!r}, expected MP4 or MOV.")
    _check_new(target)
    existing = read_chapters(source)
    shown = changes_text(target, existing, [], added_chapters(existing, episode))
    if dry_run:
        return shown
    check_output(target, read=[source])
    chapters = merged(existing, episode)
    with tempfile.TemporaryDirectory() as folder, write_atomic(target) as temporary:
        metadata = Path(folder, "chapters.txt")
        metadata.write_text(ffmetadata_text(chapters), encoding="utf-8")
        done = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", f"file:{Path(source).absolute()}",
             "-f", "ffmetadata", "-i", f"file:{metadata}", "-map", "0", "-map", "-0:d?", "-map_metadata", "0",
             "-map_chapters", "1", "-c", "copy", "-movie_timescale", str(MP4_TIMESCALE),
             "-f", "mov" if Path(target).suffix.lower() == ".mov" else "mp4", f"file:{temporary.absolute()}"],
            capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            raise UserError(f"{source}: cannot be copied with chapters ({done.stderr.strip()[-300:]}). Copy the file "
                            "again, or free some space.")
        written = read_chapters(temporary)
        if [(milliseconds(c.start), c.title) for c in written] != [(milliseconds(c.start), c.title) for c in chapters]:
            raise UserError(f"{source}: ffmpeg cannot write its chapters into an MP4 file. Use an EDL or JSON for it.")
    return shown
