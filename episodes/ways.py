"""How episodes are looked at and decided about: two functions, which the driver (locating.py) calls.

    ways = Ways("chapters 1", look_at_chapters, "chapters 1", decide_by_chapters)
    facts = ways.look(Path("Show/01.mkv"))                       # once a file, in a worker process; then stored
    ways.decide([Looked(...), ...], {"/abs/Show/01.mkv": {"opening": (Marker(...),)}}, notes)

`look` decodes a file; `decide` is given the stored facts of all episodes of a show at once, so a new episode is
compared with the others without decoding them again. What `decide` reads from the files beyond that, it keeps as notes.
"""

import importlib
import json
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datatools.media.probe import file_duration, open_media
from episodes.chapters import read_others_chapters, type_of_title
from episodes.markers import DURATION_SLACK, LEAST_SECONDS, Marker

# {(path, name): bytes}: what `decide` found about one file, kept until that file changes. The name tells everything
# that the note depends on beside the file, such as the version of what made it, or the times that were looked at.
Notes = MutableMapping[tuple[str, str], bytes]
PersonsMarkers = Mapping[str, tuple[Marker, ...]]      # by type; () for a type of which there is none


@dataclass(frozen=True)
class Facts:
    """What was seen in a file. `duration`: seconds, None where the file states none; `content`: for `decide` alone."""

    duration: float | None
    content: bytes


@dataclass(frozen=True)
class Looked:
    """An episode that was looked at, and its place; `path` is absolute, the others as in seasons.EpisodeName."""

    path: str
    season: int | None
    numbers: tuple[float, ...]
    kind: str
    duration: float | None
    facts: bytes


@dataclass(frozen=True)
class Ways:
    """How episodes are looked at and decided about. The functions are importable by name: they go to other processes.

    version   what `look` finds; facts of another version are found again
    look      path -> Facts. Raises UserError for a file that cannot be read
    rule      what `decide` answers by; answers of another rule are decided again
    decide    (episodes of a show, all of them different, {path: markers that a person gave}, Notes) -> {path: markers}.
              An episode that is left out of the answer, or has no markers, is one that nothing is sure of
    """

    version: str
    look: Callable[[Path], Facts]
    rule: str
    decide: Callable[[Sequence[Looked], Mapping[str, PersonsMarkers], Notes], Mapping[str, tuple[Marker, ...]]]


@dataclass(frozen=True)
class Late:
    """A function `module:name` that is imported when it is first called; what needs seconds to load, so costs nothing
    where it is not called."""

    name: str

    def __call__(self, *words, **named):
        module, name = self.name.split(":")
        return getattr(importlib.import_module(module), name)(*words, **named)


# ---------------------------------------------------------------- chapters


def look_at_chapters(path: Path) -> Facts:
    """Start, end (None: unknown) and title of the chapters that are in the file, but ours. Raises MediaError."""
    with open_media(path) as container:
        duration = file_duration(container)
    chapters = [(chapter.start, chapter.end, chapter.title) for chapter in read_others_chapters(path)]
    return Facts(duration, json.dumps(chapters).encode())


def decide_by_chapters(
    episodes: Sequence[Looked], persons: Mapping[str, PersonsMarkers], notes: Notes,
) -> dict[str, tuple[Marker, ...]]:
    """The chapters that are named after an opening, ending, recap or preview, as they stand."""
    return {episode.path: tuple(_markers(json.loads(episode.facts), episode.duration)) for episode in episodes}


def _markers(chapters: list, duration: float | None):
    latest = 0.0
    for start, end, title in chapters:
        kind = type_of_title(title)
        end = min(time for time in (end, duration and duration + DURATION_SLACK, math.inf) if time is not None)
        if kind and end < math.inf and end - start >= LEAST_SECONDS and start >= latest:
            yield Marker(kind, start, end, evidence=("chapters",))
            latest = end


CHAPTERS = Ways("chapters 1", look_at_chapters, "chapters 1", decide_by_chapters)
