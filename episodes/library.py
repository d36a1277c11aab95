"""What is known of a library of episodes, in one SQLite file: what was seen, answered, corrected and written.

    with Library(Path("locate.sqlite")) as library:
        library.known()                  # {absolute path: Known}
        with library.locked(known.id):   # this file alone, also between processes
            library.save_facts(found, ways.version, facts)

Each change is one short transaction. Several processes may use the file at once: SQLite lets them write one after
another. Locks that are held for longer, while a file is looked at, lie in a second file; the system releases them when
their process ends, even after a kill.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import check_output
from episodes.markers import Marker, marker_dict, marker_of
from episodes.scan import Found
from episodes.seasons import EpisodeName
from episodes.ways import Facts

FORMAT = 1                 # of the tables; a file of a later one is refused
BUSY_SECONDS = 60.0        # that a change waits for other processes' changes
WAIT_SECONDS = 0.1         # between two looks at a lock that is held
SAMPLE_BYTES = 64 * 1024   # of a file's start, middle and end, by which a moved file is known again
# File systems of other machines: SQLite's write-ahead log needs memory that all its users share (sqlite.org/wal.html).
REMOTE = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "fuse", "virtiofs", "vboxsf")
TABLES = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER, sample TEXT,
    name TEXT, version TEXT, duration REAL, facts TEXT, error TEXT, decided TEXT, markers TEXT);
CREATE INDEX files_by_size ON files (size);
CREATE TABLE facts (file INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE, content BLOB NOT NULL);
CREATE TABLE notes (
    file INTEGER REFERENCES files ON DELETE CASCADE, name TEXT, content BLOB NOT NULL, PRIMARY KEY (file, name));
CREATE TABLE corrections (
    file INTEGER REFERENCES files ON DELETE CASCADE, type TEXT, markers TEXT NOT NULL, PRIMARY KEY (file, type));
CREATE TABLE written (
    target TEXT PRIMARY KEY, file INTEGER, form TEXT NOT NULL, content TEXT NOT NULL, size INTEGER, mtime_ns INTEGER);
"""
COLUMNS = "id, path, size, mtime_ns, sample, name, version, duration, facts, error, decided, markers"


@dataclass(frozen=True)
class Known:
    """What is stored of a file; the columns of the table `files`.

    size, mtime_ns  when it was looked at
    sample          checksum of parts of it (`sample_of`)
    name            what its name tells, as JSON, with the version of what read it
    version, facts  of Ways, and the checksum of the facts; None where it was not looked at, or in vain
    error           why it could not be looked at
    decided         what the stored markers were decided from (a checksum)
    markers         JSON
    """

    id: int
    path: str
    size: int | None
    mtime_ns: int | None
    sample: str | None
    name: str | None
    version: str | None
    duration: float | None
    facts: str | None
    error: str | None
    decided: str | None
    markers: str | None

    def is_current(self, found: Found, version: str) -> bool:
        """Whether the file was looked at, in vain or not, as it is now and in this way."""
        return (self.size, self.mtime_ns, self.version) == (found.size, found.mtime_ns, version)


@dataclass(frozen=True)
class Written:
    """A file that was written: what for (`file`, `form`), a checksum of the markers in it, and how it was left."""

    target: str
    file: int | None
    form: str
    content: str
    size: int
    mtime_ns: int


class Library:
    """The opened state; made where it is not there. Raises UserError for a file that is something else."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._locks: int | None = None
        with self._errors():
            check_output(self.path, ending="")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._base.close()
                raise

    def _open(self) -> None:
        self._base.execute("PRAGMA foreign_keys = ON")
        if self._version() == 0:
            with self._change():
                tables = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if self._version() == 0 and not tables:      # another process may have made them meanwhile
                    for statement in filter(str.strip, TABLES.split(";")):
                        self._base.execute(statement)
                    self._base.execute(f"PRAGMA user_version = {FORMAT}")
        if self._version() != FORMAT:
            raise UserError(f"{self.path}: a data base of format {self._version()}, expected locate.py's of format "
                            f"{FORMAT}. It is left as it is; name another --state.")
        if not is_remote(self.path):
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")      # whole after a power cut; the last changes may lack

    def _version(self) -> int:
        return self._base.execute("PRAGMA user_version").fetchone()[0]

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *_) -> None:
        self._base.close()
        if self._locks is not None:
            os.close(self._locks)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Have SQLite's errors name the file, and a full disk be an OSError as elsewhere."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)) from error
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
                raise UserError(f"{self.path}: cannot be written ({error}). Name another --state.") from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise UserError(f"{self.path}: another process has kept it for {BUSY_SECONDS:g} s. Wait for it, or end "
                                "it.") from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise UserError(f"{self.path}: no state of locate.py, or damaged ({error}). It is left as it is; "
                                "remove it, or name another --state.") from error
            raise UserError(f"{self.path}: cannot be read or written ({error}). Is its disk full? Free some space, or "
                            "name another --state.") from error

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self._errors():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def _read(self, query: str, *values) -> list[tuple]:
        with self._errors():
            return self._base.execute(query, values).fetchall()

    # ------------------------------------------------------------ locks

    @contextlib.contextmanager
    def locked(self, number: int, wait: bool = True) -> Iterator[bool]:
        """Hold the lock of this number among all processes; yields whether it is held, which is sure with `wait`.

        One at a time in a process. A lock is a byte of the file beside the state, which the system releases when the
        process ends.
        """
        if self._locks is None:
            self._locks = os.open(f"{self.path}.locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        while not (held := self._try_lock(number)) and wait:
            time.sleep(WAIT_SECONDS)
        try:
            yield held
        finally:
            if held:
                fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, number)

    def _try_lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise OSError(error.errno, error.strerror, f"{self.path}.locks") from error
            return False
        return True

    # ------------------------------------------------------------ files

    def known(self) -> dict[str, Known]:
        """All files, by path."""
        return {row[1]: Known(*row) for row in self._read(f"SELECT {COLUMNS} FROM files")}

    def file(self, path: str) -> Known | None:
        rows = self._read(f"SELECT {COLUMNS} FROM files WHERE path = ?", path)
        return Known(*rows[0]) if rows else None

    def save_names(self, names: Mapping[str, str]) -> None:
        """Store what files' names tell; files that are not known yet become so."""
        with self._change() as base:
            base.executemany("INSERT INTO files (path, name) VALUES (?, ?) "
                             "ON CONFLICT (path) DO UPDATE SET name = excluded.name", names.items())

    def save_facts(self, found: Found, version: str, facts: Facts, sample: str) -> None:
        """Store what was seen in a file as it was `found`."""
        checksum = hashlib.sha256(facts.content).hexdigest()
        with self._change() as base:
            self._save_look(base, found, version, sample, (facts.duration, checksum, None))
            base.execute("INSERT OR REPLACE INTO facts SELECT id, ? FROM files WHERE path = ?",
                         (facts.content, found.path))

    def save_error(self, found: Found, version: str, error: str) -> None:
        """Store why a file could not be looked at; what an earlier look saw is of another content, and goes."""
        with self._change() as base:
            self._save_look(base, found, version, None, (None, None, error))
            base.execute("DELETE FROM facts WHERE file = (SELECT id FROM files WHERE path = ?)", (found.path,))

    def note(self, path: str, name: str) -> bytes | None:
        rows = self._read("SELECT content FROM notes JOIN files ON files.id = file WHERE path = ? AND notes.name = ?",
                          path, name)
        return rows[0][0] if rows else None

    def save_note(self, path: str, name: str, content: bytes) -> None:
        """Keep something about a file until it changes."""
        with self._change() as base:
            base.execute("INSERT OR REPLACE INTO notes SELECT id, ?, ? FROM files WHERE path = ?",
                         (name, content, path))

    def forget_note(self, path: str, name: str) -> None:
        with self._change() as base:
            base.execute("DELETE FROM notes WHERE file = (SELECT id FROM files WHERE path = ?) AND name = ?",
                         (path, name))

    def names_of_notes(self) -> list[tuple[str, str]]:
        """(path, name) of all notes."""
        return self._read("SELECT path, notes.name FROM notes JOIN files ON files.id = file ORDER BY path, notes.name")

    def _save_look(self, base, found: Found, version: str, sample: str | None, seen: tuple) -> None:
        base.execute("INSERT OR IGNORE INTO files (path) VALUES (?)", (found.path,))
        base.execute("UPDATE files SET size = ?, mtime_ns = ?, version = ?, sample = ?, duration = ?, facts = ?, "
                     "error = ?, decided = NULL, markers = NULL WHERE path = ?",
                     (found.size, found.mtime_ns, version, sample, *seen, found.path))
        base.execute("DELETE FROM notes WHERE file = (SELECT id FROM files WHERE path = ?)", (found.path,))

    def save_change(self, file: int, found: Found, sample: str) -> None:
        """Store size, time and sample of a file in which we wrote: its sound and pictures are as they were."""
        with self._change() as base:
            base.execute("UPDATE files SET size = ?, mtime_ns = ?, sample = ? WHERE id = ?",
                         (found.size, found.mtime_ns, sample, file))

    def facts(self, file: int) -> bytes:
        rows = self._read("SELECT content FROM facts WHERE file = ?", file)
        return rows[0][0] if rows else b""

    def same_size(self, size: int) -> list[Known]:
        """The files of this size that were looked at with success."""
        return [Known(*row) for row in self._read(
            f"SELECT {COLUMNS} FROM files WHERE size = ? AND sample IS NOT NULL", size)]

    def move(self, old: Known, found: Found) -> None:
        """A known file lies at another path now; corrections of either path are its own."""
        with self._change() as base:
            if not base.execute("SELECT 1 FROM files WHERE id = ? AND path = ?", (old.id, old.path)).fetchone():
                return      # another run was faster
            base.execute("UPDATE OR REPLACE corrections SET file = ? WHERE file = "
                         "(SELECT id FROM files WHERE path = ?)", (old.id, found.path))
            base.execute("DELETE FROM files WHERE path = ?", (found.path,))
            base.execute("UPDATE files SET path = ?, mtime_ns = ?, name = NULL, decided = NULL WHERE id = ?",
                         (found.path, found.mtime_ns, old.id))
            base.execute("UPDATE OR REPLACE written SET target = ? WHERE target = ?", (found.path, old.path))

    def copy(self, old: Known, found: Found) -> None:
        """A known file has a copy at another path."""
        with self._change() as base:
            self._save_look(base, found, old.version, old.sample, (old.duration, old.facts, None))
            base.execute("INSERT OR REPLACE INTO facts SELECT (SELECT id FROM files WHERE path = ?), content "
                         "FROM facts WHERE file = ?", (found.path, old.id))

    # ------------------------------------------------------------ answers

    def save_markers(self, decided: str, answers: Mapping[str, Iterable[Marker]]) -> None:
        """Store the markers of files, by path, and what they were decided from."""
        with self._change() as base:
            base.executemany("UPDATE files SET decided = ?, markers = ? WHERE path = ?", [
                (decided, markers_text(markers), path) for path, markers in answers.items()])

    def corrections(self) -> dict[str, dict[str, tuple[Marker, ...]]]:
        """People's markers: {path: {type: markers}}; none for a type that a person says there is none of."""
        found: dict[str, dict[str, tuple[Marker, ...]]] = {}
        for path, kind, markers in self._read("SELECT path, type, corrections.markers FROM corrections "
                                              "JOIN files ON files.id = file ORDER BY path, type"):
            found.setdefault(path, {})[kind] = read_markers_text(markers)
        return found

    def save_corrections(self, path: str, corrections: Mapping[str, Iterable[Marker]]) -> None:
        """Store a person's markers of a file, by type; other types' stay as they are."""
        with self._change() as base:
            base.execute("INSERT OR IGNORE INTO files (path) VALUES (?)", (path,))
            base.executemany("INSERT OR REPLACE INTO corrections SELECT id, ?, ? FROM files WHERE path = ?", [
                (kind, markers_text(markers), path) for kind, markers in corrections.items()])

    def forget_corrections(self, paths: Iterable[str]) -> int:
        """Remove people's markers of these files; returns of how many files there were any."""
        before = len(self.corrections())
        with self._change() as base:
            base.executemany("DELETE FROM corrections WHERE file = (SELECT id FROM files WHERE path = ?)",
                             [(path,) for path in paths])
        return before - len(self.corrections())

    # ------------------------------------------------------------ what was written

    def written(self) -> dict[str, Written]:
        """All files that were written, by path."""
        return {row[0]: Written(*row) for row in
                self._read("SELECT target, file, form, content, size, mtime_ns FROM written")}

    def save_written(self, written: Iterable[Written]) -> None:
        with self._change() as base:
            base.executemany("INSERT OR REPLACE INTO written VALUES (?, ?, ?, ?, ?, ?)",
                             [tuple(vars(entry).values()) for entry in written])

    def forget_written(self, targets: Iterable[str]) -> None:
        with self._change() as base:
            base.executemany("DELETE FROM written WHERE target = ?", [(target,) for target in targets])


class LibraryNotes(MutableMapping):
    """The notes of a state as a mapping, {(path, name): bytes}; each change is stored at once."""

    def __init__(self, library: Library):
        self.library = library

    def __getitem__(self, key: tuple[str, str]) -> bytes:
        content = self.library.note(*key)
        if content is None:
            raise KeyError(key)
        return content

    def __setitem__(self, key: tuple[str, str], content: bytes) -> None:
        self.library.save_note(*key, content)

    def __delitem__(self, key: tuple[str, str]) -> None:
        self[key]
        self.library.forget_note(*key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.library.names_of_notes())

    def __len__(self) -> int:
        return len(self.library.names_of_notes())


def markers_text(markers: Iterable[Marker]) -> str:
    return json.dumps([marker_dict(marker) for marker in markers])


def read_markers_text(text: str | None) -> tuple[Marker, ...]:
    return tuple(map(marker_of, json.loads(text or "[]")))


def name_text(name: EpisodeName, version: str) -> str:
    return json.dumps([version, *vars(name).values()])


def read_name_text(text: str | None, version: str) -> EpisodeName | None:
    """What `name_text` wrote; None where nothing or another version did."""
    written, *values = json.loads(text or "[null]")
    return EpisodeName(*values[:2], tuple(values[2]), *values[3:]) if written == version else None


def sample_of(path: str) -> str:
    """A checksum of a file's start, middle and end. Raises OSError."""
    checksum = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for place in (0, max(0, size // 2 - SAMPLE_BYTES // 2), max(0, size - SAMPLE_BYTES)):
            file.seek(place)
            checksum.update(file.read(SAMPLE_BYTES))
    return checksum.hexdigest()


def is_remote(path: Path) -> bool:
    """Whether a path lies on another machine's file system, as far as Linux tells (proc(5), mountinfo)."""
    place, best = os.path.realpath(path), ("", "")
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            before, _, behind = line.partition(" - ")
            mount = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            if os.path.commonpath([place, mount]) == mount and len(mount) >= len(best[0]):
                best = (mount, behind.split(" ")[0])
    return best[1].startswith(REMOTE)
