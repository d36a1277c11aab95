"""What preprocessing made of every clip: one JSON line a clip and stage, in <save_root>/manifest.jsonl.

    with Manifest.open_for_writing(root) as manifest:
        manifest.record([Entry("data_C/abc_start", "audio", OK, ...)])
    Manifest(root).entries["data_C/abc_start", "audio"].status

Lines are appended as clips finish. A later line replaces an earlier one, and a line cut off by a kill is ignored. At
the end of a run the file is rewritten: sorted, one line a clip and stage. It holds no timestamps of its own, so two
runs over the same clips leave the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from datatools.errors import UserError
from datatools.files import errors_name, locked, save_text
from datatools.paths import check_regular

OK, PARTIAL, FAILED = "ok", "partial", "failed"
NAME, LOCK = "manifest.jsonl", ".manifest.lock"


@dataclass(frozen=True)
class Entry:
    """One stage of one clip. `output` is relative to the root; `source` and `digest` identify file contents.

    clip      folder/name, without a suffix
    status    ok; partial: the output holds less than the clip should; failed: there is no output
    reason    what is missing, or why it failed; empty where all is well
    settings  settings that determine the output; a changed value makes the stage run again
    versions  of the packages that made it, for information; a changed version makes nothing run again
    source    [size in bytes, mtime in ns, SHA-256] of the raw file
    digest    SHA-256 of the output
    """

    clip: str
    stage: str
    status: str
    reason: str = ""
    settings: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    source: list = field(default_factory=list)
    output: str = ""
    digest: str = ""

    def check(self) -> None:
        """Raise ValueError for a value of another type than is written."""
        types = {"settings": dict, "versions": dict, "source": list}
        wrong = [f.name for f in fields(self) if not isinstance(getattr(self, f.name), types.get(f.name, str))]
        if wrong or len(self.source) not in (0, 3):
            raise ValueError(f"wrong: {', '.join(wrong) or 'source'}")


class Manifest:
    """The entries below one root: {(clip, stage): Entry}. Raises UserError where the file is not a manifest."""

    def __init__(self, root: Path):
        self.path = root / NAME
        self.entries: dict[tuple[str, str], Entry] = {}
        self.whole = 0      # bytes up to the end of the last whole line
        check_regular(self.path, "a manifest")
        content = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break       # cut off by a kill
            try:
                entry = Entry(**json.loads(line))
                entry.check()
            except (ValueError, TypeError, RecursionError) as error:
                raise UserError(f"{self.path}, line {number}: no entry of a manifest ({error}). Remove the line, and "
                                "what it told of is done again.") from error
            self.entries[entry.clip, entry.stage] = entry
            self.whole += len(line)

    @classmethod
    @contextlib.contextmanager
    def open_for_writing(cls, root: Path) -> Iterator[Manifest]:
        """The manifest, locked for this run, sorted at its end. Raises UserError where another run holds the lock."""
        with held(root):
            manifest = cls(root)
            if manifest.path.exists():
                os.truncate(manifest.path, manifest.whole)
            try:
                yield manifest
            finally:
                manifest.tidy()

    def record(self, entries: list[Entry]) -> None:
        """Append entries and flush them to the disk."""
        # A path in a reason may be no text; in JSON, a backslash escape stands for such bytes.
        with errors_name(self.path), open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            for entry in entries:
                self.entries[entry.clip, entry.stage] = entry
                file.write(_as_line(entry))
            file.flush()
            os.fsync(file.fileno())

    def tidy(self) -> None:
        """Rewrite the file, sorted, one line a clip and stage."""
        text = "".join(_as_line(self.entries[key]) for key in sorted(self.entries))
        text = text.encode("utf-8", "backslashreplace").decode()
        if self.entries and (not self.path.exists() or self.path.read_text(encoding="utf-8") != text):
            save_text(self.path, text)


def held(root: Path) -> contextlib.AbstractContextManager[None]:
    """Hold a data set, for the one pass or a run of the text stage. Raises UserError where another run holds it."""
    return locked(root / LOCK, f"{root}: another preprocessing run works on it. Wait for its end, or stop it.")


def _as_line(entry: Entry) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True) + "\n"


def fingerprint(path: Path) -> list:
    """[size in bytes, mtime in ns, SHA-256] of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, digest_of(path)]


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_same_file(path: Path, recorded: list) -> bool:
    """Whether a file still has the recorded fingerprint; it is read only where nothing but its mtime has changed."""
    status = path.stat()
    if not recorded or status.st_size != recorded[0]:
        return False
    return status.st_mtime_ns == recorded[1] or digest_of(path) == recorded[2]
