"""Markers that people give: read, compared with what was found, and put in its place; they also teach their season.

    corrections = read_correction(["markers.json"], answers)              # a file that a person edited
    corrections = read_correction(["Show/01.mkv", "opening", "12.3", "102.4"], answers)
    corrected(found, corrections[path])               # a person's markers stand, whatever else was found

A correction is by type: who gives an opening says nothing about the ending.
"""

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from datatools.errors import UserError
from datatools.numbers import parse_number
from episodes.markers import (
    LEAST_SECONDS,
    TYPES,
    EpisodeMarkers,
    Marker,
    milliseconds,
    read_csv_markers,
    read_json,
)

PERSON = ("person",)              # the evidence of a person's marker
NONE = "none"                     # instead of times: there is no marker of this type
SAME_LENGTH = 1.0                 # s; openings this much alike in length are the same song, at the same cut
MOST_MOVED = 5.0                  # s; an edge that a person moved further was not that song's
EXPECTED = ("Expected a file that ends in .json or .csv, as --output writes it, or an episode and its markers: "
            "--correct Show/01.mkv opening 12.3 102.4, or opening none.")

Corrections = dict[str, tuple[Marker, ...]]      # by type


def read_correction(
    words: Sequence[str], found: Callable[[str], Iterable[Marker] | None],
) -> dict[str, Corrections]:
    """{absolute path: corrections} of one --correct. Raises UserError.

    found   the markers of a path that are known already; None where the episode is not known. Of a file, only the types
            whose markers differ from these are corrections: the others were left as they stood
    """
    if len(words) > 1:
        return {os.path.abspath(words[0]): _typed(words)}
    file = Path(words[0])
    if file.suffix.lower() not in (".json", ".csv"):
        raise UserError(f"--correct {file}: no file of markers by its name. {EXPECTED}")
    episodes = read_json(file) if file.suffix.lower() == ".json" else read_csv_markers(file)
    corrections: dict[str, Corrections] = {}
    missing = []
    for episode in episodes:
        path = _place(episode.path, file.parent)
        known = found(path)
        if known is None and not os.path.isfile(path):
            missing.append(episode.path)
        elif differing := _differing(episode.markers, known or ()):
            corrections[path] = differing
    if missing:
        raise UserError(f"--correct {file}: {len(missing)} of its episodes are not there, such as {missing[0]}. Run it "
                        "in the folder in which the file was written, or correct the paths in it.")
    return corrections


def _typed(words: Sequence[str]) -> Corrections:
    """Of a path, and after it `TYPE START END` or `TYPE none`, once or several times."""
    if not os.path.isfile(words[0]):
        raise UserError(f"--correct {words[0]}: no such file. {EXPECTED}")
    corrections: dict[str, list[Marker]] = {}
    rest = list(words[1:])
    while rest:
        kind, times = rest[0], rest[1:2] if rest[1:2] == [NONE] else rest[1:3]
        if kind not in TYPES:
            raise UserError(f"--correct {words[0]}: found {kind!r}, expected one of {', '.join(TYPES)}. {EXPECTED}")
        try:
            given = [] if times == [NONE] else [Marker(kind, *(parse_number(text, low=0) for text in times))]
        except (TypeError, ValueError) as error:
            told = "without an end" if isinstance(error, TypeError) else str(error)
            raise UserError(f"--correct {words[0]} {kind} {' '.join(times)}: {told}. {EXPECTED}") from None
        corrections.setdefault(kind, []).extend(given)
        rest = rest[1 + len(times):]
    return {kind: tuple(map(by_person, markers)) for kind, markers in corrections.items()}


def by_person(marker: Marker) -> Marker:
    return replace(marker, confidence=1.0, interval=None, evidence=PERSON)


def _place(path: str, folder: Path) -> str:
    """Where a path of a file of markers leads: from here, else from the file's folder."""
    beside = os.path.abspath(folder / path)
    return beside if not os.path.exists(path) and os.path.exists(beside) else os.path.abspath(path)


def _differing(given: Iterable[Marker], known: Iterable[Marker]) -> Corrections:
    corrections = {}
    for kind in TYPES:
        theirs, ours = ([marker for marker in markers if marker.type == kind] for markers in (given, known))
        if list(map(_times, theirs)) != list(map(_times, ours)):
            corrections[kind] = tuple(map(by_person, theirs))
    return corrections


def _times(marker: Marker) -> tuple[int, int]:
    return milliseconds(marker.start), milliseconds(marker.end)


# ---------------------------------------------------------------- what they do


def corrected(found: Iterable[Marker], corrections: Mapping[str, Iterable[Marker]]) -> tuple[Marker, ...]:
    """The found markers of other types, and a person's; a found one that overlaps a person's goes."""
    persons = [marker for markers in corrections.values() for marker in markers]
    rest = [marker for marker in found if marker.type not in corrections and not any(
        _overlap(marker, person) > 0 for person in persons)]
    return tuple(sorted([*rest, *persons], key=lambda marker: marker.start))


def _overlap(one: Marker, other: Marker) -> float:
    """Seconds that two markers share; below 0 where there is time between them. In whole milliseconds."""
    (start, end), (other_start, other_end) = _times(one), _times(other)
    return (min(end, other_end) - max(start, other_start)) / 1000


def taught(
    answers: Mapping[str, Iterable[Marker]], persons: Mapping[str, Mapping[str, Iterable[Marker]]],
) -> dict[str, tuple[Marker, ...]]:
    """The answers of a show, moved by what people corrected in some of its episodes.

    Where a person moved the edges of a marker a little, the same song was found with the same fault in the others:
    their markers of that type and length move as much. Of several corrections the median counts. `answers` are without
    the corrections of their own episode; markers that the correction has moved already (evidence `person`) stay.
    """
    moves: list[tuple[str, float, float, float]] = []      # type, length as it was found, how far start and end moved
    for path, corrections in persons.items():
        for ours in answers.get(path, ()):
            for theirs in corrections.get(ours.type, ()):
                start, end = theirs.start - ours.start, theirs.end - ours.end
                if _overlap(ours, theirs) > 0 and max(abs(start), abs(end)) <= MOST_MOVED:
                    moves.append((ours.type, ours.end - ours.start, start, end))
    return {path: tuple(_moved(marker, moves) for marker in markers) for path, markers in answers.items()}


def _moved(marker: Marker, moves: list[tuple[str, float, float, float]]) -> Marker:
    length = marker.end - marker.start
    alike = [move for move in moves if move[0] == marker.type and abs(move[1] - length) <= SAME_LENGTH]
    if not alike or PERSON[0] in marker.evidence:
        return marker
    start, end = (statistics.median(move[side] for move in alike) for side in (2, 3))
    edges = max(0.0, marker.start + start), marker.end + end
    if edges[1] - edges[0] < LEAST_SECONDS or not any(edges != old for old in [(marker.start, marker.end)]):
        return marker
    return replace(marker, start=edges[0], end=edges[1], interval=None,
                   evidence=tuple(dict.fromkeys((*marker.evidence, *PERSON))))


def tidied(markers: Iterable[Marker], duration: float | None) -> tuple[Marker, ...]:
    """Markers within the file that follow each other: of two that overlap, the later begins where the earlier ends."""
    kept, latest = [], 0.0
    for marker in sorted(markers, key=lambda marker: marker.start):
        start, end = max(latest, marker.start), marker.end if duration is None else min(duration, marker.end)
        if end - start >= LEAST_SECONDS:
            kept.append(marker if (start, end) == (marker.start, marker.end) else
                        replace(marker, start=start, end=end, interval=None))
            latest = end
    return tuple(kept)


def episode_of(path: str, duration: float | None, markers: Iterable[Marker]) -> EpisodeMarkers:
    """An episode's markers as they are written. Raises UserError where a person's do not fit the file."""
    try:
        return EpisodeMarkers(path, duration, tuple(markers))
    except UserError as error:
        raise UserError(f"{error} If a person's correction is no longer right: --forget_corrections.") from None
