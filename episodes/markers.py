"""Skip markers of episodes, and the files that players and programs read them from.

    episode = EpisodeMarkers("Show/01.mkv", 1440.0, (Marker("opening", 60.0, 150.0, confidence=0.97),))
    save_json(Path("markers.json"), [episode])              # all episodes in one file; read_json gives them back
    save_csv(Path("markers.csv"), [episode])
    save_edl(Path("Show/01.edl"), episode)                  # Kodi; names=True adds the type, as Jellyfin imports it
    save_aniskip(Path("Show/01.json"), episode)             # as AniSkip's API answers

chapters.py writes them as chapters. Times are seconds from the file's time zero; files hold milliseconds.
"""

import csv
import io
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datatools.errors import UserError
from datatools.files import save_text
from datatools.lists import raise_bad_lines, read_csv
from datatools.numbers import parse_number, shortened
from datatools.paths import FORMULA, has_control, read_text

TYPES = ("opening", "ending", "recap", "preview")
LEAST_SECONDS = 0.1           # of a marker; nobody skips less
DURATION_SLACK = 0.5          # s; containers round their duration, and sound may outlast the picture
MOST_BYTES = 256 * 2**20      # of a file of markers; a hundred thousand episodes take less
JSON_EXPECTED = 'Expected {"episodes": [{"path": ..., "markers": [{"type": ..., "start": ..., "end": ...}]}]}.'

CSV_HEAD = ["path", "duration", "type", "start", "end", "confidence", "start_low", "start_high", "end_low", "end_high",
            "evidence"]
CSV_EXPECTED = f"Expected a CSV with the first line {','.join(CSV_HEAD)}."

# Kodi's Edit Decision List: start, end, action (kodi.wiki/view/Edit_decision_list).
CUT, MUTE, SCENE, BREAK = 0, 1, 2, 3
ACTIONS = {CUT: "cut", MUTE: "mute", SCENE: "scene marker", BREAK: "commercial break"}
LEAST_LEADING_BREAK = 5.0     # s; Kodi drops a shorter commercial break where it is the file's first edit
SEGMENTS = {"opening": "Intro", "ending": "Outro", "recap": "Recap", "preview": "Preview"}      # Jellyfin's names
EDL_EXPECTED = "Expected lines of `start end action`, in seconds or H:MM:SS.mmm, with actions from 0 to 3."

# AniSkip's API, version 2: op, ed, mixed-op, mixed-ed, recap. There is none for a preview.
ANISKIP_TYPES = {"opening": "op", "ending": "ed", "recap": "recap"}
FROM_ANISKIP = {"op": "opening", "mixed-op": "opening", "ed": "ending", "mixed-ed": "ending", "recap": "recap"}
ANISKIP_EXPECTED = 'Expected an answer of AniSkip\'s skip-times: {"found": ..., "results": [...]}.'

Span = tuple[float, float]


@dataclass(frozen=True)
class Marker:
    """A part of an episode that a player may skip.

    type        opening, ending, recap or preview
    start, end  seconds from the file's time zero
    confidence  0 to 1
    interval    ((from, to) of the start, (from, to) of the end), seconds: where each edge is sure to lie; None: unknown
    evidence    what it was found by, such as "chapters" or "sound"
    """

    type: str
    start: float
    end: float
    confidence: float = 1.0
    interval: tuple[Span, Span] | None = None
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise UserError for values that are no marker."""
        if self.type not in TYPES:
            raise UserError(f"marker of type {shortened(self.type)}, expected one of {', '.join(TYPES)}")
        for name, value in (("start", self.start), ("end", self.end), ("confidence", self.confidence)):
            if not _is_number(value) or value < 0:
                raise UserError(f"{self.type}: {name} {shortened(value)}, expected a number from 0")
        if self.confidence > 1:
            raise UserError(f"{self.type}: confidence {self.confidence}, expected 0 to 1")
        if self.end - self.start < LEAST_SECONDS:
            raise UserError(f"{self.type}: from {self.start} to {self.end} s, expected an end at least {LEAST_SECONDS} "
                            "s after the start")
        if self.interval is not None:
            self._check_interval()
        if not isinstance(self.evidence, tuple) or not all(
                isinstance(word, str) and word.strip() and not has_control(word) and ";" not in word
                for word in self.evidence):
            raise UserError(f"{self.type}: evidence {shortened(self.evidence)}, expected words without a semicolon")

    def _check_interval(self) -> None:
        try:
            held = [low <= time <= high and low >= 0 and all(map(_is_number, (low, high)))
                    for time, (low, high) in zip((self.start, self.end), self.interval, strict=True)]
        except (TypeError, ValueError):
            held = [False]
        if not all(held):
            raise UserError(f"{self.type}: interval {shortened(self.interval)}, expected ((from, to), (from, to)) "
                            f"around {self.start} and {self.end}")


@dataclass(frozen=True)
class EpisodeMarkers:
    """An episode's markers, in the order of their starts; they do not overlap. `duration`: seconds, None if unknown."""

    path: str
    duration: float | None
    markers: tuple[Marker, ...] = ()

    def __post_init__(self) -> None:
        """Sort the markers. Raises UserError where they overlap or reach beyond the end."""
        if not isinstance(self.path, str) or not self.path or "\0" in self.path:
            raise UserError(f"path {shortened(self.path)}, expected an episode's path")
        try:
            self.path.encode()
        except UnicodeEncodeError:
            raise UserError(f"{shortened(self.path)}: its name is not UTF-8, which no file of markers can hold. Rename "
                            "it.") from None
        if self.duration is not None and (not _is_number(self.duration) or self.duration <= 0):
            raise UserError(f"{self.path}: duration {shortened(self.duration)}, expected a number above 0")
        object.__setattr__(self, "markers", tuple(sorted(self.markers, key=lambda marker: marker.start)))
        for before, after in zip(self.markers, self.markers[1:], strict=False):
            if milliseconds(after.start) < milliseconds(before.end):
                raise UserError(f"{self.path}: {before.type} until {before.end} s overlaps {after.type} from "
                                f"{after.start} s. Expected markers that follow each other.")
        if self.duration is not None and self.markers and self.markers[-1].end > self.duration + DURATION_SLACK:
            last = self.markers[-1]
            raise UserError(f"{self.path}: {last.type} until {last.end} s, but the file ends at {self.duration} s. Are "
                            "these the markers of another file?")


def milliseconds(seconds: float) -> int:
    """The nearest whole number of milliseconds, in which all files hold times."""
    return round(seconds * 1000)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(seconds: float) -> float:
    return milliseconds(seconds) / 1000


# ---------------------------------------------------------------- JSON, CSV


def save_json(path: Path, episodes: Iterable[EpisodeMarkers]) -> None:
    """Write all episodes' markers as one JSON file, `{"episodes": [...]}`."""
    content = {"episodes": [
        {"path": episode.path, "duration": episode.duration and _rounded(episode.duration),
         "markers": [marker_dict(marker) for marker in episode.markers]} for episode in episodes]}
    save_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def marker_dict(marker: Marker) -> dict:
    """A marker as plain values, which `marker_of` reads; times are rounded to milliseconds."""
    content = {"type": marker.type, "start": _rounded(marker.start), "end": _rounded(marker.end),
               "confidence": round(marker.confidence, 4)}
    if marker.interval:
        start, end = _rounded_interval(marker)
        content["interval"] = {"start": list(start), "end": list(end)}
    return {**content, "evidence": list(marker.evidence)}


def _rounded_interval(marker: Marker) -> list[Span]:
    return [(_rounded(low), _rounded(high)) for low, high in marker.interval]


def read_json(path: Path) -> list[EpisodeMarkers]:
    """The episodes of a file that `save_json` wrote, or another program: a marker needs type, start and end only.

    Keys of other names are other programs' and are not looked at. Raises UserError.
    """
    content = _parse_json(path, "file of markers", JSON_EXPECTED)
    episodes = content.get("episodes") if isinstance(content, dict) else None
    if not isinstance(episodes, list):
        raise UserError(f"{path}: no list `episodes`. {JSON_EXPECTED}")
    return [_episode(path, index, episode) for index, episode in enumerate(episodes)]


def _parse_json(path: Path, what: str, expected: str):
    text = read_text(path, what, expected, MOST_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error}). {expected}") from None


def _episode(path: Path, index: int, content) -> EpisodeMarkers:
    try:
        markers = tuple(marker_of(entry) for entry in content.get("markers", ()))
        return EpisodeMarkers(content["path"], content.get("duration"), markers)
    except UserError as error:
        raise UserError(f"{path}, episode {index + 1}: {error}") from None
    except KeyError as error:
        raise UserError(f"{path}, episode {index + 1}: without {error}. {JSON_EXPECTED}") from None
    except (TypeError, AttributeError):
        raise UserError(f"{path}, episode {index + 1}: not of the expected form. {JSON_EXPECTED}") from None


def marker_of(entry: dict) -> Marker:
    """The marker of `marker_dict`'s values. Raises UserError; KeyError, TypeError, AttributeError for other forms."""
    interval = entry.get("interval")
    return Marker(entry["type"], entry["start"], entry["end"], entry.get("confidence", 1.0),
                  interval and (tuple(interval["start"]), tuple(interval["end"])), tuple(entry.get("evidence", ())))


def save_csv(path: Path, episodes: Iterable[EpisodeMarkers]) -> None:
    """Write all episodes' markers as a CSV, a line a marker; an episode without any has a line without a type."""
    text = io.StringIO()
    # Quoted throughout, and a path that begins like a formula gets a ./ before it: no spreadsheet runs a cell.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for episode in episodes:
        name = f"./{episode.path}" if FORMULA.match(episode.path) else episode.path
        duration = "" if episode.duration is None else f"{episode.duration:.3f}"
        for marker in episode.markers:
            sides = [f"{time:.3f}" for side in marker.interval for time in side] if marker.interval else [""] * 4
            writer.writerow([name, duration, marker.type, f"{marker.start:.3f}", f"{marker.end:.3f}",
                             f"{marker.confidence:.4f}", *sides, ";".join(marker.evidence)])
        if not episode.markers:
            writer.writerow([name, duration, *[""] * (len(CSV_HEAD) - 2)])
    save_text(path, text.getvalue())


def read_csv_markers(path: Path) -> list[EpisodeMarkers]:
    """The episodes of a file that `save_csv` wrote, in its order. Raises UserError, with all bad lines."""
    lines = read_csv(path, "file of markers", CSV_EXPECTED, MOST_BYTES)
    if not lines or lines[0].fields != CSV_HEAD:
        raise UserError(f"{path}: first line {shortened(lines[0].text) if lines else 'missing'}. {CSV_EXPECTED}")
    found: dict[tuple[str, str], list[Marker]] = {}
    problems = []
    for line in lines[1:]:
        try:
            name, duration, kind, *rest = line.fields
            markers = found.setdefault((name, duration), [])
            if kind:
                *numbers, evidence = rest
                start, end, confidence = (parse_number(text, low=0) for text in numbers[:3])
                sides = [parse_number(text, low=0) for text in numbers[3:] if text]
                interval = ((sides[0], sides[1]), (sides[2], sides[3])) if sides else None
                markers.append(Marker(kind, start, end, confidence, interval, tuple(filter(None, evidence.split(";")))))
        except (ValueError, IndexError) as error:
            problems.append(f"{line.problem(f'{len(CSV_HEAD)} fields')} ({error})")
    raise_bad_lines(f"{path}: no file of markers", problems)
    try:
        return [EpisodeMarkers(name.removeprefix("./") if FORMULA.match(name.removeprefix("./")) else name,
                               parse_number(duration, above=0) if duration else None, tuple(markers))
                for (name, duration), markers in found.items()]
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


# ---------------------------------------------------------------- EDL


@dataclass(frozen=True)
class Edit:
    """A line of an EDL: seconds, Kodi's action (0 to 3), and the type that a fourth column names, None without one."""

    start: float
    end: float
    action: int
    type: str | None = None


def edl_text(episode: EpisodeMarkers, actions: Mapping[str, int] | int = BREAK, names: bool = False) -> str:
    """An EDL as Kodi reads it. `actions`: Kodi's action for each type, or one for all; `names`: a fourth column.

    The fourth column is Intro, Outro, Recap or Preview, for Jellyfin; Kodi reads three and passes over the rest.
    Older versions of Kodi take both bounds as part of an edit, and refuse one that begins where another ends: such an
    end is written 1 ms earlier. They also cut decimals off, and 2.001 * 1000 is 2000.999...: such a time gets a fourth
    decimal (xbmc/cores/VideoPlayer/Edl.cpp). Raises UserError for an action that Kodi does not have.
    """
    starts = {milliseconds(marker.start) for marker in episode.markers}
    lines = []
    for marker in episode.markers:
        action = actions if isinstance(actions, int) else actions.get(marker.type)
        if action not in ACTIONS:
            raise UserError(f"action {shortened(action)} for {marker.type}, expected one of "
                            + ", ".join(f"{number} ({name})" for number, name in ACTIONS.items()))
        end = milliseconds(marker.end)
        fields = [_edl_time(milliseconds(marker.start)), _edl_time(end - (end in starts)), str(action)]
        lines.append("\t".join(fields + [SEGMENTS[marker.type]] * names) + "\n")
    return "".join(lines)


def _edl_time(time: int) -> str:
    """Seconds that give these milliseconds back, whether they are rounded or cut off."""
    text = f"{time / 1000:.3f}"
    return text if int(float(text) * 1000) == time else text + "1"


def edl_remarks(episode: EpisodeMarkers, actions: Mapping[str, int] | int = BREAK) -> list[str]:
    """What Kodi will not do with the episode's EDL, a sentence each, with the remedy."""
    kinds = [(marker, actions if isinstance(actions, int) else actions.get(marker.type)) for marker in episode.markers]
    edits = [(marker, action) for marker, action in kinds if action != SCENE]
    remarks = []
    if edits and edits[0][1] == BREAK and edits[0][0].end - edits[0][0].start < LEAST_LEADING_BREAK:
        marker = edits[0][0]
        remarks.append(
            f"{episode.path}: the {marker.type} from {marker.start:.3f} to {marker.end:.3f} s is the first commercial "
            f"break and shorter than {LEAST_LEADING_BREAK:g} s; Kodi drops such a one. Give it action {CUT} (cut) to "
            f"have it skipped, or {SCENE} (scene marker) to be able to jump behind it.")
    return remarks


def save_edl(
    path: Path, episode: EpisodeMarkers, actions: Mapping[str, int] | int = BREAK, names: bool = False,
) -> None:
    """Write `edl_text`. Kodi looks for it beside the video, with the video's name and the suffix .edl."""
    save_text(path, edl_text(episode, actions, names))


def read_edl(path: Path) -> list[Edit]:
    """The lines of an EDL: seconds or H:MM:SS.mmm; comments begin with ##. Raises UserError, with all bad lines.

    A line of two fields is a scene marker. Only a fourth column tells a type; of a name that is not ours it is None.
    """
    types = {name.lower(): kind for kind, name in SEGMENTS.items()}
    edits, problems = [], []
    for number, line in enumerate(read_text(path, "EDL", EDL_EXPECTED).split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith("##"):
            continue
        try:
            start, *end = [_parse_edl_time(field) for field in fields[:min(2, len(fields) - 1)]]
            action = parse_number(fields[min(2, len(fields) - 1)], int, low=CUT, high=BREAK)
            if end and end[0] <= start and action != SCENE:
                raise ValueError("the end is not behind the start")
            edits.append(Edit(start, end[0] if end else start, action,
                              types.get(fields[3].lower()) if len(fields) > 3 else None))
        except ValueError as error:
            problems.append(f"line {number}: found {shortened(line)} ({error})")
    raise_bad_lines(f"{path}: no EDL. {EDL_EXPECTED}", problems)
    return edits


def _parse_edl_time(text: str) -> float:
    if match := re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)", text):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    if text.startswith("#"):
        raise ValueError("times in frames need the video's frame rate; give seconds")
    return parse_number(text, low=0)


# ---------------------------------------------------------------- AniSkip


def save_aniskip(path: Path, episode: EpisodeMarkers) -> None:
    """Write `aniskip_text`."""
    save_text(path, aniskip_text(episode))


def aniskip_text(episode: EpisodeMarkers) -> str:
    """An episode's markers as AniSkip's API (v2/skip-times) answers.

    It has no previews: they are left out. A marker's `skipId` is the same in every run. Raises UserError without a
    duration: clients compare it.
    """
    if episode.duration is None:
        raise UserError(f"{episode.path}: no duration, which AniSkip's form needs (episodeLength).")
    results = [{
        "interval": {"startTime": _rounded(marker.start), "endTime": _rounded(marker.end)},
        "skipType": ANISKIP_TYPES[marker.type],
        "skipId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{episode.path}#{marker.type}={marker.start:.3f}")),
        "episodeLength": _rounded(episode.duration),
    } for marker in episode.markers if marker.type in ANISKIP_TYPES]
    content = {"found": bool(results), "results": results,
               "message": "Successfully found skip times" if results else "No skip times found",
               "statusCode": 200 if results else 404}
    return json.dumps(content, indent=1) + "\n"


def read_aniskip(path: Path, episode_path: str) -> EpisodeMarkers:
    """The markers of an answer of AniSkip for the episode at `episode_path`. Raises UserError.

    mixed-op and mixed-ed, an opening or ending with story in it, become opening and ending with the evidence "mixed".
    """
    content = _parse_json(path, "answer of AniSkip", ANISKIP_EXPECTED)
    try:
        results = content["results"]
        markers = tuple(Marker(
            FROM_ANISKIP[result["skipType"]], result["interval"]["startTime"], result["interval"]["endTime"],
            evidence=("aniskip",) + ("mixed",) * result["skipType"].startswith("mixed")) for result in results)
        return EpisodeMarkers(episode_path, results[0].get("episodeLength") or None if results else None, markers)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not of AniSkip's form. {ANISKIP_EXPECTED}") from None
