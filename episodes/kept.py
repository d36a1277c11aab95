"""Text files beside videos: written so that what was there before can be had back, and no person's work is lost.

    write_kept(Path("Show/01.edl"), edl_text(episode))
    undo_kept(Path("Show/01.edl"))       # puts back what was there before, or takes the file away

A record beside each file (`record_path`) holds what was there before and the checksums of what was written.
"""

import base64
import binascii
import hashlib
import json
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text, write_atomic
from datatools.paths import read_text

MOST_BYTES = 2**20       # of a file that is replaced; an EDL has some hundred
EXPECTED = "Expected what an earlier run wrote there. Remove it; the file itself stays."


class EditedError(UserError):
    """A file that someone else made, or changed after us, and that is left as it is."""


def record_path(path: Path) -> Path:
    """Where it is recorded what was there before `path` was written."""
    return path.with_name(f".{path.name}.before.json")


def write_kept(path: Path, text: str, replace: bool = False, dry_run: bool = False) -> str:
    """Write a text file, and keep what was there before the first time; returns what was done, in words.

    Nothing is done where it holds `text` already, or in a dry run. Raises EditedError where the file was made or
    changed by someone else, unless `replace`: then that is what is kept.
    """
    present = _present(path)
    if present == text.encode():
        return f"{path}: stays as it is"
    before, written = _record(path) or (None, [])
    if present is not None and _checksum(present) not in written:
        if not replace:
            raise EditedError(f"{path}: made or changed by someone else. It is left as it is; remove it, or have it "
                              "replaced (--replace; what it holds is kept).")
        before, written = present, []
    lines = [f"{path}: {'new' if present is None else 'replaced'}", *(f"  {line}" for line in text.splitlines())]
    shown = "\n".join(lines) + "\n"
    if dry_run:
        return shown
    # The record first: killed in between, the file is still known as ours by its older checksum.
    save_text(record_path(path), json.dumps({
        "before": None if before is None else base64.b64encode(before).decode(),
        "written": [*written[-1:], _checksum(text.encode())]}) + "\n")
    save_text(path, text)
    return shown


def undo_kept(path: Path) -> str:
    """Put back what was there before `write_kept`, or remove the file; returns what was done, in words.

    Raises UserError where there is no record, EditedError where someone changed the file since.
    """
    record = _record(path)
    if record is None:
        raise UserError(f"{path}: nothing is recorded to take back. It is left as it is.")
    before, written = record
    present = _present(path)
    if present is not None and _checksum(present) not in written:
        raise EditedError(f"{path}: changed by someone else since it was written. It is left as it is; remove it, then "
                          "what was there before can be had back.")
    if before is None:
        path.unlink(missing_ok=True)
    else:
        with write_atomic(path) as temporary:
            temporary.write_bytes(before)
    record_path(path).unlink()
    return f"{path}: removed" if before is None else f"{path}: as it was before"


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _present(path: Path) -> bytes | None:
    """What the file holds now; None where there is none. Raises UserError for what is no small regular file."""
    if not path.exists():
        return None
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: no regular file of at most {MOST_BYTES / 2**20:g} MiB. It is left as it is.")
    return path.read_bytes()


def _record(path: Path) -> tuple[bytes | None, list[str]] | None:
    """What was there before, and the checksums of what was written; None where nothing was."""
    place = record_path(path)
    if not place.exists():
        return None
    try:
        content = json.loads(read_text(place, "record", EXPECTED))
        before, written = content["before"], content["written"]
        return None if before is None else base64.b64decode(before, validate=True), list(written)
    except (KeyError, TypeError, json.JSONDecodeError, binascii.Error) as error:
        raise UserError(f"{place}: damaged ({error}). {EXPECTED}") from None
