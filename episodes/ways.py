"""How episodes are looked at and decided about: two functions, which the driver (locating.py) calls.

    ways = Ways("prints 1", look, "price 10", decide)            # season_ways.py makes those of locate.py
    facts = ways.look(Path("Show/01.mkv"))                       # once a file, in a worker process; then stored
    ways.decide([Looked(...), ...], {"/abs/Show/01.mkv": {"opening": (Marker(...),)}}, notes)

`look` decodes a file; `decide` is given the stored facts of all episodes of a show at once, so a new episode is
compared with the others without decoding them again. What `decide` reads from the files beyond that, it keeps as notes.
"""

import importlib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from episodes.markers import Marker

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
              An episode that is left out of the answer, or has no markers, is one that nothing is sure of. What a
              person gave counts for the other episodes; the answer of its own episode is what was found without it
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
