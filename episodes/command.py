"""What locate.py does with its flags."""

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from datatools.errors import UserError
from datatools.files import check_writable
from datatools.stages import pool_of
from episodes.corrections import read_correction
from episodes.library import Library, read_markers_text
from episodes.locating import COPIED, Asked, Report, run_pass
from episodes.markers import EpisodeMarkers
from episodes.placing import DONE, FAILED, LEFT, Places, undo_markers
from episodes.scan import Found, find_files
from episodes.season_ways import season_ways
from episodes.telling import check_markers_file, exit_code, report_text, save_markers_file
from episodes.watching import watch, watcher
from episodes.ways import Ways
from utils.default_weights import default_weights


def run(told: dict) -> int:
    """Run with the flags of locate.py; returns the exit code."""
    _check(told)
    end_on_sigterm()
    places = Places(tuple(told["write"]), told["markers_folder"], told["edl_action"], told["replace"], told["dry_run"])
    asked = Asked(tuple(told["paths"]), told["state"] or default_state(), places, pool_of(told), told["retry_failed"])
    ways = season_ways(told["cost_of_story_second"], tuple(
        default_weights() if word == "default" else Path(word) for word in told["weights"]),
        recognisers=tuple(told["recogniser"]))
    files = () if told["watch"] and not told["correct"] else find_files(asked.paths).files
    if told["undo"]:
        return _undo(asked, files)
    output, taken_in = told["output"], _is_among(told["output"], told["correct"])
    with Library(asked.state) as library:
        if output:
            check_markers_file(library, output, told["replace"], taken_in)
        if told["forget_corrections"]:
            number = library.forget_corrections(found.path for found in find_files(asked.paths).files)
            print(f"corrections of {number} episodes are forgotten")
    _take_in(asked, ways, told["correct"], files)
    if told["watch"]:
        seen: set[EpisodeMarkers] = set()
        watch(asked.paths, lambda: _watched_pass(asked, ways, output, told["replace"] or taken_in, seen))
        return 0
    report = run_pass(asked, ways)
    _save(asked, output, report, told["replace"] or taken_in)
    print(report_text(report, report.episodes, asked.places.dry_run))
    return exit_code(report)


def end_on_sigterm() -> None:
    """Have SIGTERM end this process as Ctrl-C does, with its workers; exit code 143."""
    if threading.current_thread() is threading.main_thread():      # only this one can set handlers
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def _check(told: dict) -> None:
    """Raise UserError for flags that do not go together."""
    if {"edl", "edl-jellyfin"} <= set(told["write"]):
        raise UserError("--write edl edl-jellyfin: both are the file .edl. Choose one; Kodi reads edl-jellyfin too.")
    if told["undo"] and (told["output"] or told["correct"] or told["watch"] or told["forget_corrections"]):
        raise UserError("--undo takes back what was written and does nothing else: leave out --output, --correct, "
                        "--forget_corrections and --watch.")
    if told["watch"] and told["dry_run"]:
        raise UserError("--watch and --dry_run: a dry run is over when it has shown what it would do. Choose one.")
    if told["markers_folder"] and not told["write"] and not told["undo"]:
        raise UserError("--markers_folder: nothing is to be written there. Say what: --write edl, for example.")
    if told["watch"]:
        watcher()
    if told["markers_folder"] and not told["dry_run"] and not told["undo"]:
        check_writable(told["markers_folder"])


def default_state() -> Path:
    """Where the state is kept: among the user's own data, not beside the episodes (XDG Base Directory)."""
    root = os.environ.get("XDG_DATA_HOME", "")
    return Path(root if os.path.isabs(root) else os.path.expanduser("~/.local/share")) / "avtnet/locate.sqlite"


# ---------------------------------------------------------------- corrections


def _is_among(output: Path | None, corrections: list[list[str]]) -> bool:
    """Whether the file of --output is one whose changes are taken in."""
    return output is not None and any(len(words) == 1 and os.path.abspath(words[0]) == os.path.abspath(output)
                                      for words in corrections)


def _take_in(asked: Asked, ways: Ways, corrections: list[list[str]], files: tuple[Found, ...]) -> None:
    """Store what people gave with --correct."""
    if any(len(words) == 1 for words in corrections):      # what a person changed shows beside what was found
        run_pass(replace(asked, places=Places()), ways)
    here = {found.path for found in files}
    with Library(asked.state) as library:
        known = library.known()

        def found(path: str):
            return read_markers_text(known[path].markers) if path in known and known[path].decided else None

        for words in corrections:
            read = read_correction(words, found)
            if missing := [path for path in read if path not in here and len(words) > 1]:
                raise UserError(f"--correct {missing[0]}: not among the episodes of "
                                f"{', '.join(map(str, asked.paths))}. Give its folder as PATH.")
            for path, given in read.items():
                library.save_corrections(path, given)
            print(f"--correct {words[0]}: {len(read)} episodes corrected")


# ---------------------------------------------------------------- passes


def _save(asked: Asked, output: Path | None, report: Report, replace_others: bool) -> None:
    """Write the file of all markers; in a dry run, show what would be written."""
    if asked.places.dry_run:
        print("\n".join([*(note.text for note in report.notes if note.outcome == DONE),
                         *[f"{output}: would be written"] * bool(output)]))
    elif output:
        with Library(asked.state) as library:
            save_markers_file(library, output, report.episodes, replace_others)


def _watched_pass(
    asked: Asked, ways: Ways, output: Path | None, replace_others: bool, seen: set[EpisodeMarkers],
) -> bool:
    """One pass of a watch: tell what is new; returns whether files were left that are still being written."""
    report = run_pass(asked, ways)
    fresh = [episode for episode in report.episodes if episode not in seen]
    if fresh or seen - set(report.episodes):
        _save(asked, output, report, replace_others)
    if fresh or report.looked or not seen:
        print(report_text(report, fresh), flush=True)
    seen.clear()
    seen.update(report.episodes)
    return any(reason == COPIED for _, reason in report.left)


def _undo(asked: Asked, files: tuple[Found, ...]) -> int:
    with Library(asked.state) as library:
        notes = list(undo_markers(library, asked.places, files))
    for note in notes:
        print({LEFT: "left ", FAILED: "failed "}.get(note.outcome, "") + note.text)
    done = sum(note.outcome == DONE for note in notes)
    print(f"{done} files {'would be ' * asked.places.dry_run}taken back, {len(notes) - done} left")
    return 1 if any(note.outcome == FAILED for note in notes) else 0
