"""What locate.py prints, and the file of all markers that it writes (--output)."""

import hashlib
import os
from collections import Counter
from pathlib import Path

from datatools.errors import UserError
from datatools.paths import check_output
from episodes.library import Library, Written
from episodes.locating import Report
from episodes.markers import EpisodeMarkers, save_csv, save_json
from episodes.placing import DONE, FAILED

OUTPUT = "output"      # the form of --output's file in the state
WRITERS = {".json": save_json, ".csv": save_csv}
HEADS = ("episode", "opening", "ending", "other")


def report_text(report: Report, episodes: list[EpisodeMarkers], dry_run: bool = False) -> str:
    """A table of these episodes' markers, what was left or failed and why, and what there is in all.

    dry_run   what counts as written would only have been
    """
    lines = _table(episodes) if episodes else []
    lines += [f"left {name}: {reason}" for name, reason in sorted(set(report.left))]
    lines += [f"failed {name}: {reason}" for name, reason in sorted(set(report.failed))]
    return "\n".join([*lines, summary(report, dry_run)])


def summary(report: Report, dry_run: bool = False) -> str:
    """One line: how many episodes, with what, and what else became of the files."""
    having = Counter(kind for episode in report.episodes for kind in {marker.type for marker in episode.markers})
    unsure = sum(not any(marker.type in ("opening", "ending") for marker in episode.markers)
                 for episode in report.episodes)
    failed = {name for name, _ in report.failed}
    number = len(failed | {episode.path for episode in report.episodes})
    parts = [f"{number} episodes: {having['opening']} with an opening, {having['ending']} with an "
             f"ending, {unsure} not sure, {len(failed)} failed"]
    unchanged = len(report.episodes) - report.looked
    parts += [f"{unchanged} unchanged"] * (unchanged > 0)
    parts += [f"{len({name for name, _ in report.left})} left"] * bool(report.left)
    parts += [f"{report.silent} extras passed over"] * bool(report.silent)
    written = Counter(note.outcome for note in report.notes)
    parts += [f"{written[DONE]} files {'would be ' * dry_run}written"] * bool(written[DONE])
    return "; ".join(parts)


def _table(episodes: list[EpisodeMarkers]) -> list[str]:
    rows = [HEADS, *(_row(episode) for episode in episodes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(episode: EpisodeMarkers) -> tuple[str, ...]:
    cells = {"opening": [], "ending": [], "other": []}
    for marker in episode.markers:
        told = f"{_clock(marker.start)}-{_clock(marker.end)}"
        kind = marker.type if marker.type in cells else "other"
        cells[kind].append(told if kind == marker.type else f"{marker.type} {told}")
    return episode.path, *(", ".join(told) or "-" for told in cells.values())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest / 10:04.1f}"


# ---------------------------------------------------------------- the file of all markers


def check_markers_file(library: Library, path: Path, replace: bool, taken_in: bool) -> None:
    """Raise UserError where --output may not be written: someone else made or changed the file.

    taken_in    the file was given as --correct, so what a person changed in it is not lost
    """
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"--output {path}: expected a name that ends in .json or .csv.")
    if not (replace or taken_in or _is_ours(library, path)):
        raise UserError(f"{path}: made or changed by someone else. It is left as it is. To take a person's changes in: "
                        f"--correct {path}; to have it replaced: --replace; or name another file.")


def save_markers_file(library: Library, path: Path, episodes: list[EpisodeMarkers], replace: bool) -> None:
    """Write all markers, and remember how. Raises UserError as `check_markers_file`.

    replace   also a file that someone else made or changed; that one gets the ending .before
    """
    check_markers_file(library, path, replace, False)
    if not _is_ours(library, path):
        os.replace(path, f"{path}.before")
    WRITERS[path.suffix.lower()](path, episodes)
    status = path.stat()
    library.save_written([Written(str(path.absolute()), None, OUTPUT, _checksum(path), status.st_size,
                                  status.st_mtime_ns)])


def _is_ours(library: Library, path: Path) -> bool:
    """Whether a file is as it was written, or not there."""
    target, before = check_output(path), library.written().get(str(path.absolute()))
    return not target.exists() or before is not None and before.content == _checksum(target)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exit_code(report: Report) -> int:
    return 1 if report.failed or any(note.outcome == FAILED for note in report.notes) else 0
