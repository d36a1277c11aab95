"""What locate.py does with its flags."""

import os
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable
from datatools.stages import pool_of
from episodes.corrections import read_correction
from episodes.library import Library, read_markers_text
from episodes.locating import Asked, run_pass
from episodes.placing import DONE, FAILED, LEFT, Places, undo_markers
from episodes.scan import find_files
from episodes.telling import check_markers_file, exit_code, report_text, save_markers_file
from episodes.ways import CHAPTERS


def run(told: dict) -> int:
    """Run with the flags of locate.py; returns the exit code."""
    _check(told)
    files = find_files(told["paths"]).files
    state = told["state"] or default_state()
    places = Places(tuple(told["write"]), told["markers_folder"], told["edl_action"], told["replace"], told["dry_run"])
    asked = Asked(tuple(told["paths"]), state, places, pool_of(told), told["retry_failed"])
    with Library(state) as library:
        if told["undo"]:
            return _undo(library, places, files)
        if told["forget_corrections"]:
            print(f"corrections of {library.forget_corrections(file.path for file in files)} episodes are forgotten")
        _take_in(library, told["correct"])
        output = told["output"]
        if output:
            taken_in = any(len(words) == 1 and os.path.abspath(words[0]) == os.path.abspath(output)
                           for words in told["correct"])
            check_markers_file(library, output, told["replace"], taken_in)
    report = run_pass(asked, CHAPTERS)
    if told["dry_run"]:
        print("\n".join(note.text for note in report.notes if note.outcome == DONE))
    elif output:
        with Library(state) as library:
            save_markers_file(library, output, report.episodes)
    print(report_text(report))
    return exit_code(report)


def _check(told: dict) -> None:
    """Raise UserError for flags that do not go together."""
    if {"edl", "edl-jellyfin"} <= set(told["write"]):
        raise UserError("--write edl edl-jellyfin: both are the file .edl. Choose one; Kodi reads edl-jellyfin too.")
    if told["undo"] and (told["output"] or told["correct"] or told["watch"]):
        raise UserError("--undo takes back and finds nothing: leave out --output, --correct and --watch.")
    if told["watch"] and told["dry_run"]:
        raise UserError("--watch and --dry_run: a dry run is over when it has shown what it would do. Choose one.")
    if told["markers_folder"] and not told["write"] and not told["undo"]:
        raise UserError("--markers_folder: nothing is to be written there. Say what: --write edl, for example.")
    if told["markers_folder"] and not told["dry_run"] and not told["undo"]:
        check_writable(told["markers_folder"])


def default_state() -> Path:
    """Where the state is kept: below the user's own data, not beside the episodes (XDG Base Directory)."""
    root = os.environ.get("XDG_DATA_HOME", "")
    return Path(root if os.path.isabs(root) else os.path.expanduser("~/.local/share")) / "avtnet/locate.sqlite"


def _take_in(library: Library, corrections: list[list[str]]) -> None:
    """Store what people gave with --correct."""
    known = library.known() if corrections else {}

    def found(path: str):
        return read_markers_text(known[path].markers) if path in known and known[path].decided else None

    for words in corrections:
        read = read_correction(words, found)
        for path, given in read.items():
            library.save_corrections(path, given)
        print(f"--correct {words[0]}: {sum(map(len, read.values()))} corrections, in {len(read)} episodes")


def _undo(library: Library, places: Places, files) -> int:
    notes = list(undo_markers(library, places, files))
    for note in notes:
        print({LEFT: "left ", FAILED: "failed "}.get(note.outcome, "") + note.text)
    done = sum(note.outcome == DONE for note in notes)
    print(f"{done} files {'would be ' * places.dry_run}taken back, {len(notes) - done} left")
    return 1 if any(note.outcome == FAILED for note in notes) else 0
