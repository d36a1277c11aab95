"""From files to markers: look at what is new, decide about its shows, write, and tell. locate.py is its command.

    report = run_pass(Asked(paths=(Path("Anime"),), state=Path("locate.sqlite")), season_ways())
    report.episodes, report.failed

Everything that was found is stored as soon as it is found (library.py), so a run that ends at any moment loses at most
what it is looking at, and two runs at once share the work.
"""

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datatools.errors import UserError, describe_error
from datatools.files import sweep_temporaries
from datatools.stages import Item, Pool, finished_items
from episodes import seasons
from episodes.corrections import corrected, episode_of, taught, tidied
from episodes.library import (
    Known,
    Library,
    LibraryNotes,
    name_text,
    read_markers_text,
    read_name_text,
    sample_of,
)
from episodes.markers import EpisodeMarkers, Marker
from episodes.placing import CHAPTERS, FAILED, LEFT, Note, Places, write_markers
from episodes.scan import (
    Found,
    Group,
    Member,
    Scan,
    find_file,
    find_files,
    groups_of,
    is_gone,
    is_recent,
    settle,
)
from episodes.ways import Looked, PersonsMarkers, Ways

LOOKED, TAKEN, CHANGED, GONE = "looked", "taken", "changed", "gone"      # what became of a look
DECIDING = 2**40           # locks of groups lie above those of files, which are numbered from 1
NAMES_AT_ONCE = 100        # names that are stored together; reading one takes some milliseconds
SAME_TIME = 2_000_000_000  # ns; a moved file's time may be rounded: FAT holds even seconds
COPIED = "is still being written; it is left until it is quiet. Run this again then."


@dataclass(frozen=True)
class Asked:
    """What is asked of a pass. `retry_failed`: also look again at files that failed and have not changed since."""

    paths: tuple[Path, ...]
    state: Path
    places: Places = Places()
    pool: Pool = Pool()
    retry_failed: bool = False


@dataclass
class Report:
    """What came of a pass. Failures, and files that were left alone, with the reason."""

    episodes: list[EpisodeMarkers] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    looked: int = 0
    silent: int = 0


def run_pass(asked: Asked, ways: Ways) -> Report:
    """Bring the markers of all files among and below the asked paths up to date. Raises UserError as `find_files`."""
    report = Report()
    with Library(asked.state) as library:
        scan = find_files(asked.paths)
        report.failed += scan.unusable
        if asked.places.forms and not asked.places.dry_run:
            for folder in {asked.places.folder} if asked.places.folder else {found.root for found in scan.files}:
                sweep_temporaries(folder)      # of runs that were killed while they wrote
        scan = _without_copies(library, scan)
        recognise(library, scan)
        here = _with_neighbours(library, scan)
        names = read_names(library, here)
        groups, silent = groups_of(here, lambda path: names[str(path)])
        files = [found for found in scan.files if found.path not in set(silent)]
        report.silent = len(scan.files) - len(files)
        _look(library, asked, ways, files, report)
        _decide(asked, ways, groups, _current(library, here, ways), files, report)
        _answer(library, asked, files, _current(library, here, ways), report)
    return report


def _current(library: Library, here: dict[str, Found], ways: Ways) -> dict[str, Known]:
    """What is known of the files that were looked at as they are now."""
    known = library.known()
    return {path: known[path] for path, found in here.items()
            if path in known and known[path].facts and known[path].is_current(found, ways.version)}


# ---------------------------------------------------------------- which files


def _without_copies(library: Library, scan: Scan) -> Scan:
    """The files without copies that were written for their chapters' sake, should these lie among the episodes."""
    owners = {known.id: path for path, known in library.known().items()}
    copies = {(entry.target, entry.size, entry.mtime_ns) for entry in library.written().values()
              if entry.form == CHAPTERS and owners.get(entry.file) != entry.target}
    return Scan(tuple(found for found in scan.files if (found.path, found.size, found.mtime_ns) not in copies),
                scan.unusable)


def recognise(library: Library, scan: Scan) -> None:
    """Know files again that were moved, renamed or copied: by size, time and a sample of their content."""
    known = library.known()
    for found in scan.files:
        if found.path in known and known[found.path].version is not None:
            continue
        alike = [old for old in library.same_size(found.size) if abs(old.mtime_ns - found.mtime_ns) <= SAME_TIME]
        with contextlib.suppress(OSError):      # looking at the file will tell
            sample = sample_of(found.path) if alike else None
            for old in alike:
                if old.sample == sample:
                    library.copy(old, found) if _stays(old) else library.move(old, found)
                    break


def _stays(known: Known | None) -> bool:
    """Whether a file is there, and as it was when it was looked at."""
    there = known and find_file(Path(known.path), Path(known.path).parent)      # may be another file by now
    return isinstance(there, Found) and (there.size, there.mtime_ns) == (known.size, known.mtime_ns)


def read_names(library: Library, paths: Iterable[str]) -> dict[str, seasons.EpisodeName]:
    """What the files' names tell; stored, because reading them is slow."""
    version = hashlib.sha256(Path(seasons.__file__).read_bytes()).hexdigest()[:16]
    known = library.known()
    names = {path: read_name_text(known[path].name, version) if path in known else None for path in paths}
    missing = [path for path, name in names.items() if name is None]
    for begin in range(0, len(missing), NAMES_AT_ONCE):
        read = {path: seasons.read_name(Path(path)) for path in missing[begin:begin + NAMES_AT_ONCE]}
        library.save_names({path: name_text(name, version) for path, name in read.items()})
        names |= read
    return names


def _with_neighbours(library: Library, scan: Scan) -> dict[str, Found]:
    """The files, and those of the same shows that were looked at in an earlier run: what repeats is found with them."""
    here = {found.path: found for found in scan.files}
    folders = {seasons.show_folder(Path(path)) for path in here}
    for path, known in library.known().items():
        if known.facts and path not in here and seasons.show_folder(Path(path)) in folders:
            now = find_file(Path(path), Path(path).parent)
            if isinstance(now, Found) and (now.size, now.mtime_ns) == (known.size, known.mtime_ns):
                here[path] = now
    return here


# ---------------------------------------------------------------- looking


def _look(library: Library, asked: Asked, ways: Ways, files: list[Found], report: Report) -> None:
    """Look at the files that are new or changed; those that are still being written are left."""
    known = library.known()
    report.failed += [
        (str(found.shown), f"{known[found.path].error} (as before; to try again: --retry_failed)") for found in files
        if found.path in known and known[found.path].error
        and not _is_due(known[found.path], found, ways, asked.retry_failed)]
    due = [found for found in files if _is_due(known.get(found.path), found, ways, asked.retry_failed)]
    recent = {found for found in due if is_recent(found)}
    outcome = _look_at(asked, ways, [found for found in due if found not in recent], report, wait=False)
    quiet, moving = settle(recent)
    outcome |= _look_at(asked, ways, quiet, report, wait=False)
    report.left += [(str(found.shown), COPIED) for found in moving]
    if taken := [found for found in due if outcome.get(found.path) == TAKEN]:
        print(f"{len(taken)} files are being looked at by another run; waiting for it")
        outcome |= _look_at(asked, ways, taken, report, wait=True)
    report.left += [(str(found.shown), COPIED) for found in due if outcome.get(found.path) == CHANGED]
    report.looked = sum(result == LOOKED for result in outcome.values())


def _is_due(known: Known | None, found: Found, ways: Ways, retry_failed: bool) -> bool:
    return known is None or not known.is_current(found, ways.version) or bool(known.error and retry_failed)


def _look_at(asked: Asked, ways: Ways, files: list[Found], report: Report, wait: bool) -> dict[str, str]:
    """Look at these files in worker processes; {path: what became of it} for those that did not fail."""
    by_name = {found.path: found for found in files}
    jobs = [(found.path, (asked.state, ways, found, asked.retry_failed, wait)) for found in files]
    outcome = {}
    with contextlib.closing(finished_items("looking", look_at, jobs, asked.pool, "episode")) as items:
        for item in items:
            if item.reason is None:
                outcome[item.name] = item.result
            else:
                _note_failure(asked, ways, by_name[item.name], item, report)
    return outcome


def _note_failure(asked: Asked, ways: Ways, found: Found, item: Item, report: Report) -> None:
    """A failure of the file itself is stored, if its worker could not; one of the machine is not the file's."""
    reason = item.reason.removeprefix(f"{found.path}: ")
    report.failed.append((str(found.shown), reason))
    if not item.is_machines:
        with Library(asked.state) as library:
            known = library.file(found.path)
            if not (known and known.error and known.is_current(found, ways.version)):
                library.save_error(found, ways.version, reason)


def look_at(state: Path, ways: Ways, found: Found, again: bool, wait: bool) -> str:
    """Look at one file and store what was seen; returns what became of it. Runs in a worker process.

    again   also where an earlier look failed
    wait    for another process that looks at it; else TAKEN is the answer
    """
    with Library(state) as library:
        known = library.file(found.path)
        with library.locked(known.id if known else 0, wait) as held:
            if not held:
                return TAKEN
            if not _is_due(library.file(found.path), found, ways, again):
                return LOOKED
            if find_file(found.shown, found.root) != found:
                return GONE if not os.path.lexists(found.path) else CHANGED
            try:
                sample = sample_of(found.path)
                facts = ways.look(Path(found.path))
            except Exception as error:
                if is_gone(error, found.path):
                    return GONE
                if find_file(found.shown, found.root) != found:
                    return CHANGED
                if not isinstance(error, OSError | MemoryError):
                    library.save_error(found, ways.version, describe_error(error).removeprefix(f"{found.path}: "))
                raise
            if find_file(found.shown, found.root) != found:
                return CHANGED
            library.save_facts(found, ways.version, facts, sample)
            return LOOKED


# ---------------------------------------------------------------- deciding


def _decide(
    asked: Asked, ways: Ways, groups: list[Group], current: dict[str, Known], files: list[Found], report: Report,
) -> None:
    """Decide about each group that has changed, was corrected, or was never decided about."""
    shown, by_name = {found.path: str(found.shown) for found in files}, {}
    with Library(asked.state) as library:
        corrections = library.corrections()
    jobs = []
    for group in groups:
        members = tuple(member for member in group.members if member.path in current)
        keeps = tuple(path for path in group.keeps if path in current)
        key = _key(members, current, corrections, ways)
        if any(current[path].decided != key for path in keeps):
            by_name[keeps[0]] = keeps
            jobs.append((keeps[0], (asked.state, ways, members, keeps, key)))
    with contextlib.closing(finished_items("deciding", decide_group, jobs, asked.pool, "show")) as items:
        for item in items:
            if item.reason:
                report.failed += [(shown[path], item.reason) for path in by_name[item.name] if path in shown]


def _key(members: Iterable[Member], current: dict[str, Known], corrections: dict, ways: Ways) -> str:
    """A checksum of all that the answers for a group depend on."""
    content = [[*vars(member).values(), current[member.path].facts, current[member.path].duration,
                {kind: [(marker.start, marker.end) for marker in markers]
                 for kind, markers in corrections.get(member.path, {}).items()}] for member in members]
    return hashlib.sha256(json.dumps([ways.version, ways.rule, content]).encode()).hexdigest()


def decide_group(state: Path, ways: Ways, members: tuple[Member, ...], keeps: tuple[str, ...], key: str) -> None:
    """Decide about a group and store the answers for `keeps`. Runs in a worker process."""
    with Library(state) as library, library.locked(DECIDING + zlib.crc32(keeps[0].encode())):
        known, corrections = library.known(), library.corrections()
        if all(known[path].decided == key for path in keeps):      # by another run, meanwhile
            return
        persons = {member.path: corrections[member.path] for member in members if member.path in corrections}
        found = _decided(library, ways, members, known, persons)
        answers = {}
        for path in keeps:
            if path in found:
                answer = corrected(found[path], persons.get(path, {}))
                answers[path] = answer if path in persons else tidied(answer, known[path].duration)
        library.save_markers(key, answers)


def _decided(
    library: Library, ways: Ways, members: tuple[Member, ...], known: dict[str, Known],
    persons: dict[str, PersonsMarkers],
) -> dict[str, tuple[Marker, ...]]:
    """The markers of each member, () where nothing is sure; again without those that change or vanish meanwhile."""
    notes = LibraryNotes(library)
    while members:
        episodes = [Looked(**vars(member), duration=known[member.path].duration,
                           facts=library.facts(known[member.path].id)) for member in members]
        here = {path: given for path, given in persons.items() if path in {member.path for member in members}}
        found = taught(ways.decide(episodes, here, notes), here)
        gone = {member.path for member in members if not _stays(library.file(member.path))}
        if not gone:
            return {member.path: found.get(member.path, ()) for member in members}
        for key in [key for key in notes if key[0] in gone]:
            del notes[key]      # of what could not be read
        members = tuple(member for member in members if member.path not in gone)
    return {}


# ---------------------------------------------------------------- answers


def _answer(library: Library, asked: Asked, files: list[Found], current: dict[str, Known], report: Report) -> None:
    """Collect the markers of the asked files, and write those that are wanted beside them."""
    owners, written = asked.places.check(files), library.written()
    for found in files:
        known = current.get(found.path)
        if known is None or known.decided is None or not os.path.lexists(found.path):
            continue
        try:
            episode = episode_of(str(found.shown), known.duration, read_markers_text(known.markers))
        except UserError as error:
            report.failed.append((str(found.shown), str(error)))
            continue
        report.episodes.append(episode)
        notes = list(write_markers(library, asked.places, found, episode, owners, written))
        report.notes += notes
        told = [(note.outcome, (str(found.shown), note.text.removeprefix(f"{found.shown}: "))) for note in notes]
        report.failed += [entry for outcome, entry in told if outcome == FAILED]
        report.left += [entry for outcome, entry in told if outcome == LEFT]
