"""Markers written beside the episodes, or into a folder that mirrors theirs, and taken back.

    place = Places(("edl",), folder=None)
    place.targets(found)                               # {"edl": Path("Show/01.edl")}
    write_markers(library, place, found, episode)      # a Note for each form: what was done

What was written is remembered, so what stays as it is costs nothing. Nothing that a person made or changed is replaced,
unless told so.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError, describe_error
from episodes.chapters import (
    before_path,
    copy_matroska,
    copy_mp4,
    ffmetadata_text,
    merged,
    read_chapters,
    undo_matroska,
    write_matroska,
)
from episodes.kept import EditedError, record_path, undo_kept, write_kept
from episodes.library import Library, Written, markers_text, sample_of
from episodes.markers import BREAK, EpisodeMarkers, aniskip_text, edl_remarks, edl_text
from episodes.scan import Found, find_file

SUFFIXES = {"edl": ".edl", "edl-jellyfin": ".edl", "ffmetadata": ".ffmetadata", "aniskip": ".aniskip.json"}
CHAPTERS = "chapters"          # in the video itself (Matroska), or in a copy of it (MP4, and in a folder of markers)
FORMS = (*SUFFIXES, CHAPTERS)
MATROSKA = (".mkv", ".webm")
MP4 = (".mp4", ".m4v", ".mov")
DONE, STAYS, LEFT, FAILED = "written", "unchanged", "left", "failed"


@dataclass(frozen=True)
class Note:
    """What became of a file that was to be written: one of the words above, and what is to be told about it."""

    outcome: str
    text: str = ""


@dataclass(frozen=True)
class Places:
    """Which forms are written where.

    forms    of FORMS
    folder   of the markers, which mirrors the folders of the episodes; None: beside the episodes
    action   of an EDL's lines, Kodi's
    replace  also what a person made or changed; what it held is kept
    dry_run  tell what would be written, and write nothing
    """

    forms: tuple[str, ...] = ()
    folder: Path | None = None
    action: int = BREAK
    replace: bool = False
    dry_run: bool = False

    def target(self, found: Found, form: str) -> Path | None:
        """The file of a form; None where the form is not for this video."""
        shown = found.shown
        if self.folder:
            shown = self.folder / os.path.relpath(found.path, os.path.abspath(found.root))
        suffix = found.shown.suffix.lower()
        if form == CHAPTERS:
            return shown if suffix in MATROSKA or self.folder and suffix in MP4 else None
        return shown.with_name(shown.stem + SUFFIXES[form])

    def check(self, files: Iterable[Found]) -> dict[str, str]:
        """{target: path of the video that it is for}; of two videos with the same target the first has it."""
        owners: dict[str, str] = {}
        for found in files:
            for form in self.forms:
                if target := self.target(found, form):
                    owners.setdefault(os.path.abspath(target), found.path)
        return owners


def write_markers(library: Library, places: Places, found: Found, episode: EpisodeMarkers,
                  owners: Mapping[str, str], before: Mapping[str, Written]) -> Iterator[Note]:
    """Write an episode's markers in all forms; a Note for each.

    owners, before  of `Places.check` and `Library.written`
    """
    for form in places.forms:
        target = places.target(found, form)
        owner = target and owners[os.path.abspath(target)]
        if target is None:
            yield _not_for(found, episode, places)
        elif owner != found.path:
            yield Note(FAILED, f"{target}: would also be the file of {owner}. Give the videos different names, or one "
                               "folder each.")
        else:
            try:
                yield _write(library, places, found, episode, form, before.get(os.path.abspath(target)))
            except EditedError as error:
                yield Note(LEFT, str(error))
            except (OSError, ValueError) as error:
                yield Note(FAILED, describe_error(error))


def _not_for(found: Found, episode: EpisodeMarkers, places: Places) -> Note:
    if not episode.markers:
        return Note(STAYS)
    suffix = found.shown.suffix.lower()
    if suffix in MP4:
        return Note(FAILED, f"{found.shown}: chapters of an MP4 file are written into a copy. Name its folder "
                            "(--markers_folder), or write another form.")
    return Note(FAILED, f"{found.shown}: no format that chapters are written into; expected Matroska or MP4. Write "
                        "another form.")


def _write(library: Library, places: Places, found: Found, episode: EpisodeMarkers, form: str,
           before: Written | None) -> Note:
    target = places.target(found, form)
    content = hashlib.sha256(f"{form} {places.action} {episode.duration} {markers_text(episode.markers)}".encode()
                             ).hexdigest()
    now = find_file(target, target.parent)
    untouched = before and isinstance(now, Found) and (now.size, now.mtime_ns) == (before.size, before.mtime_ns)
    if untouched and before.content == content or not episode.markers and before is None:
        return Note(STAYS)
    if not episode.markers:
        return _take_back(library, found, before, places.dry_run)
    if form != CHAPTERS:
        target.parent.mkdir(parents=True, exist_ok=True) if not places.dry_run else None
        shown = write_kept(target, _text(found, episode, form, places), places.replace, places.dry_run)
    elif places.folder:
        shown = _copy(found, target, episode, before if untouched else None, places)
    else:
        shown = _chapters_in_place(library, found, episode, places.dry_run)
    if not places.dry_run:
        _remember(library, found, target, form, content)
    remarks = edl_remarks(episode, places.action) if form.startswith("edl") else []
    return Note(DONE, "\n".join([shown.rstrip(), *remarks]))


def _text(found: Found, episode: EpisodeMarkers, form: str, places: Places) -> str:
    if form == "aniskip":
        return aniskip_text(episode)
    if form == "ffmetadata":
        return ffmetadata_text(merged(read_chapters(found.shown), episode))
    return edl_text(episode, places.action, names=form == "edl-jellyfin")


def _copy(found: Found, target: Path, episode: EpisodeMarkers, before: Written | None, places: Places) -> str:
    """Write a copy with chapters; an older one of ours, which nobody has changed, makes room for it."""
    copy = copy_mp4 if found.shown.suffix.lower() in MP4 else copy_matroska
    if places.dry_run:
        return copy(found.shown, target, episode, dry_run=True) if not target.exists() else f"{target}: replaced"
    target.parent.mkdir(parents=True, exist_ok=True)
    if before is None:
        return copy(found.shown, target, episode)
    fresh = target.with_name(f".new-{target.name}")
    fresh.unlink(missing_ok=True)
    shown = copy(found.shown, fresh, episode)
    os.replace(fresh, target)
    return shown


def _chapters_in_place(library: Library, found: Found, episode: EpisodeMarkers, dry_run: bool) -> str:
    """Write chapters into a Matroska file, and take down the file's new size and time.

    What is known of the file holds on: its sound and pictures are the same.
    """
    known = library.file(found.path)
    with library.locked(known.id):
        if find_file(found.shown, found.root) != found:
            raise UserError(f"{found.shown}: changed meanwhile. It is left as it is; run this again.")
        shown = write_matroska(found.shown, episode, dry_run)
        if not dry_run:
            _take_down(library, found)
        return shown


def _take_down(library: Library, found: Found) -> None:
    now, known = find_file(found.shown, found.root), library.file(found.path)
    if isinstance(now, Found) and known and known.facts:
        library.save_change(known.id, now, sample_of(now.path))


def _remember(library: Library, found: Found, target: Path, form: str, content: str) -> None:
    now = find_file(target, target.parent)
    if isinstance(now, Found):
        known = library.file(found.path)
        library.save_written([Written(now.path, known and known.id, form, content, now.size, now.mtime_ns)])


# ---------------------------------------------------------------- taking back


def undo_markers(library: Library, places: Places, files: Sequence[Found]) -> Iterator[Note]:
    """Take back what was written for these videos, in the forms of `places`; all forms where it names none.

    What the state tells, and what the records beside the files tell where the state is lost.
    """
    known = library.known()
    by_file: dict[int, list[Written]] = {}
    for entry in library.written().values():
        by_file.setdefault(entry.file, []).append(entry)
    for found in files:
        file = known.get(found.path)
        entries = {entry.target: entry for entry in by_file.get(file.id, ())} if file else {}
        for form in FORMS:
            target = places.target(found, form)
            if target and (before_path if form == CHAPTERS else record_path)(target).exists():
                path = os.path.abspath(target)
                entries.setdefault(path, Written(path, None, form, "", 0, 0))
        for entry in entries.values():
            if not places.forms or entry.form in places.forms:
                try:
                    yield _take_back(library, found, entry, places.dry_run)
                except EditedError as error:
                    yield Note(LEFT, str(error))
                except (OSError, ValueError) as error:
                    yield Note(FAILED, describe_error(error))


def _take_back(library: Library, found: Found, entry: Written, dry_run: bool) -> Note:
    target = Path(entry.target)
    shown = f"{target}: would be taken back"
    if not dry_run:
        if entry.form != CHAPTERS:
            shown = undo_kept(target) if record_path(target).exists() else f"{target}: is gone already"
        elif entry.target == found.path:
            with library.locked(library.file(found.path).id if library.file(found.path) else 0):
                shown = undo_matroska(found.shown)
                _take_down(library, found)
        else:
            shown = _remove_copy(target, entry)
        library.forget_written([entry.target])
    return Note(DONE, shown)


def _remove_copy(target: Path, entry: Written) -> str:
    now = find_file(target, target.parent)
    if now is None:
        return f"{target}: is gone already"
    if not isinstance(now, Found) or (now.size, now.mtime_ns) != (entry.size, entry.mtime_ns):
        raise EditedError(f"{target}: changed by someone else since it was written. It is left as it is; remove it "
                          "yourself.")
    target.unlink()
    return f"{target}: removed"
