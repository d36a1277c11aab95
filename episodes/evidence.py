"""What was seen, heard and read of one episode that may tell where its opening, ending, recap or preview lies.

    found = EpisodeEvidence(1440.0, (Evidence("chapters", "opening", 60.0, 150.0, 0.9),))
    unpack(pack(found)) == found                  # bytes, to be kept until the file changes

The functions that find evidence stand in a file each: chapter_evidence.py, network_evidence.py, edge_evidence.py,
text_evidence.py, curve_evidence.py, season_evidence.py. joining.py makes markers from all of it. Times are seconds from
the file's time zero.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from datatools.errors import UserError
from datatools.numbers import shortened
from episodes.markers import TYPES, Marker

SOURCES = ("person", "chapters", "sound", "pictures", "networks", "recogniser", "cut", "black", "silence", "text")
EDGES = ("start", "end", "change", "within")
VERSION = 1      # of `pack`'s form


@dataclass(frozen=True)
class Evidence:
    """What one source says of a part of the episode.

    source      one of SOURCES
    kind        opening, ending, recap, preview; None: the source does not say what it is
    start, end  seconds; None: the source says nothing of that edge. Where they are equal, it is a moment, such as a cut
    confidence  0 to 1; how sure the source itself is

    From a person, a kind with neither start nor end means that the episode has no such part.
    """

    source: str
    kind: str | None
    start: float | None
    end: float | None
    confidence: float = 1.0

    def __post_init__(self) -> None:
        """Raise UserError for values that are no evidence."""
        if self.source not in SOURCES:
            raise UserError(f"evidence from {shortened(self.source)}, expected one of {', '.join(SOURCES)}")
        if self.kind is not None and self.kind not in TYPES:
            raise UserError(f"evidence of kind {shortened(self.kind)}, expected one of {', '.join(TYPES)}, or none")
        for name, value in (("start", self.start), ("end", self.end), ("confidence", self.confidence)):
            if value is not None and not (math.isfinite(value) and value >= 0) or value is None and name[0] == "c":
                raise UserError(f"evidence from {self.source}: {name} {shortened(value)}, expected a number from 0")
        if self.confidence > 1 or None not in (self.start, self.end) and self.end < self.start:
            raise UserError(f"evidence from {self.source}: from {self.start} to {self.end} s with confidence "
                            f"{self.confidence}, expected an end after the start, and a confidence up to 1")

    @property
    def is_span(self) -> bool:
        """Whether it tells both edges of a part that lasts."""
        return None not in (self.start, self.end) and self.end > self.start


@dataclass(frozen=True)
class Curve:
    """A value for each `step` seconds of the episode, from its time zero.

    source  one of SOURCES
    kind    opening, ending, recap, preview, or None
    edge    start or end: the weight of that edge at each step; change: how likely something changes there; within:
            how likely that step is of the kind
    values  float32 (n,); nan where the source did not look
    """

    source: str
    kind: str | None
    edge: str
    step: float
    values: np.ndarray = field(repr=False)

    def __eq__(self, other: object) -> bool:
        """Equal in all fields; nan equals nan."""
        return isinstance(other, Curve) and _head(self) == _head(other) and np.array_equal(
            self.values, other.values, equal_nan=True)

    def around(self, time: float, reach: float) -> float:
        """The sum of the values within `reach` seconds of a time; nan where the source did not look there."""
        first, last = math.floor((time - reach) / self.step + 1e-9), math.ceil((time + reach) / self.step - 1e-9)
        part = self.values[max(0, first):max(0, last)]
        return float(np.nansum(part)) if len(part) and not np.isnan(part).all() else math.nan


@dataclass(frozen=True)
class Repeat:
    """A part of an episode that other episodes of the season share: what its theme is, and where it lies here.

    theme       tells the themes of a season apart
    start, end  seconds; edges that the theme's members found together
    spread      seconds; how far its edges are off, on average
    end_spread  the same of its end alone; None: as `spread`
    members     number of episodes that have it
    share       of the season's episodes that have it, 0 to 1
    position    median of where its members' middles lie, as shares of their episodes, 0 to 1
    sound, pictures     how well this part agrees with the other members, 0 to 1; nan where that was not compared
    retold      "recap" or "preview" where a neighbouring episode alone has this, within its story
    """

    theme: int
    start: float
    end: float
    spread: float = 0.05
    members: int = 2
    share: float = 1.0
    position: float = 0.0
    sound: float = math.nan
    pictures: float = math.nan
    end_spread: float | None = None
    retold: str | None = None

    def spread_of(self, side: str) -> float:
        """Seconds by which its `side`, start or end, is off on average."""
        return self.spread if side == "start" or self.end_spread is None else self.end_spread


@dataclass(frozen=True)
class EpisodeEvidence:
    """All evidence of one episode; `duration` in seconds. `remarks`: what could not be read, a sentence each."""

    duration: float
    spans: tuple[Evidence, ...] = ()
    curves: tuple[Curve, ...] = ()
    remarks: tuple[str, ...] = ()

    def of(self, *sources: str) -> list[Evidence]:
        """The spans and moments from these sources."""
        return [each for each in self.spans if each.source in sources]

    def curve(self, source: str, kind: str | None = None) -> Curve | None:
        """The first curve of a source and kind."""
        return next((curve for curve in self.curves if (curve.source, curve.kind) == (source, kind)), None)

    def plus(self, *others: "EpisodeEvidence") -> "EpisodeEvidence":
        """This evidence and that of the others, of the same episode."""
        every = (self, *others)
        return EpisodeEvidence(self.duration, sum((each.spans for each in every), ()),
                               sum((each.curves for each in every), ()), sum((each.remarks for each in every), ()))


def person_evidence(markers: Mapping[str, Sequence[Marker]]) -> tuple[Evidence, ...]:
    """What a person says of an episode, {type: markers}; an empty sequence: there is none of that type."""
    return tuple(Evidence("person", kind, start, end) for kind, ones in markers.items()
                 for start, end in [(one.start, one.end) for one in ones] or [(None, None)])


def _head(curve: Curve) -> dict:
    return {"source": curve.source, "kind": curve.kind, "edge": curve.edge, "step": curve.step}


def pack(evidence: EpisodeEvidence) -> bytes:
    """Evidence as bytes that `unpack` reads: a NumPy archive with a JSON text and the curves; no pickle."""
    told = {"version": VERSION, "duration": evidence.duration, "remarks": evidence.remarks,
            "spans": [asdict(span) for span in evidence.spans], "curves": [_head(curve) for curve in evidence.curves]}
    file = io.BytesIO()
    np.savez_compressed(file, told=np.frombuffer(json.dumps(told).encode(), np.uint8),
                        **{f"curve{index}": curve.values for index, curve in enumerate(evidence.curves)})
    return file.getvalue()


def unpack(content: bytes) -> EpisodeEvidence:
    """The evidence of `pack`. Raises UserError where the bytes are of another version, or damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            told = json.loads(file["told"].tobytes())
            if told["version"] != VERSION:
                raise ValueError(f"version {told['version']}")
            curves = [Curve(**head, values=file[f"curve{index}"]) for index, head in enumerate(told["curves"])]
        return EpisodeEvidence(told["duration"], tuple(Evidence(**span) for span in told["spans"]), tuple(curves),
                               tuple(told["remarks"]))
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"evidence that cannot be read ({error}). Look at the episode again.") from error
