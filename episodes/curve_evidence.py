"""What encoders and recognisers make of each second of an episode, as curves of change and of kinds.

    change_curve(part, "efficientnet_lite0", 1440.0)       # how unlike what follows a second is what came before
    recogniser = find_recogniser(Path("work_dir/timesformer/avnet_bestmodel.pth"))
    recogniser_evidence(parts, 1440.0, [recogniser])      # how surely each second is of a kind, and spans of them

The vectors are those of the parts' pictures, which reading.py makes in its one pass: `encoders` are those of
datatools.encoders, and utils.checkpoint_encoder makes one of a trained recogniser.

What parts of a curve are a span is a plain rule, not tuned: there is no trained recogniser of openings to tune it with.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import median_filter

from datatools.encoders import Encoder
from datatools.errors import UserError
from datatools.numbers import shortened
from episodes.evidence import Curve, EpisodeEvidence, Evidence
from episodes.reading import Part
from episodes.ways import Late

REACH = 10      # s; before and after a second, that are compared
# What a class's name holds as a word. A digit or _ may stand beside it, as in OP2 or anime_opening.
WORDS = {"opening": "openings?|op", "ending": "endings?|ed", "recap": "recaps?", "preview": "previews?"}
LETTER = r"[^\W\d_]"
SMOOTH = 11     # s; of the median, which passes over what lasts less than half of it and leaves other edges in place
LIKELY = 0.5    # the score from which a second is taken to be of a kind: likelier than all else together
AT_LIMIT = 3.0  # s; what is seen up to here from the file's start or end reaches it
MOST_CLASSES = 20       # that a message lists


@dataclass(frozen=True)
class Recogniser:
    """A trained recogniser: an encoder whose vectors are its classes' scores, and {kind: the classes' columns}."""

    encoder: Encoder
    kinds: Mapping[str, Sequence[int]]


def find_recogniser(path: Path) -> Recogniser:
    """Of a checkpoint of TimeSformer or ActionCLIP. Raises UserError, also where no class is of a kind."""
    # Late: it loads the recognisers, and most runs ask none.
    encoder, classes = Late("utils.checkpoint_encoder:find_scores")(path)
    kinds = kinds_of(classes)
    if not kinds:
        listed = ", ".join(map(shortened, classes[:MOST_CLASSES])) + ", ..." * (len(classes) > MOST_CLASSES)
        raise UserError(f"{path}: none of its classes is a part of an episode: {listed}. Expected names with the word "
                        "opening, ending, recap or preview (or OP, ED). Train a recogniser with such classes, or leave "
                        "--recogniser out.")
    return Recogniser(encoder, kinds)


def kinds_of(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """{kind: the numbers of the classes whose names tell it}; a name that tells two kinds tells none."""
    told = [[kind for kind, words in WORDS.items()
             if re.search(f"(?<!{LETTER})(?:{words})(?!{LETTER})", name, re.IGNORECASE)] for name in classes]
    found = {kind: tuple(number for number, kinds in enumerate(told) if kinds == [kind]) for kind in WORDS}
    return {kind: numbers for kind, numbers in found.items() if numbers}


def change_curve(part: Part, encoder: str, duration: float) -> Curve:
    """1 minus the cosine of the mean vectors of the REACH seconds before and after each second, 0 to 2."""
    vectors = _vectors(part, encoder)
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), vectors.cumsum(0)])
    values = np.full(len(vectors), np.nan)
    for second in range(1, len(vectors)):
        before = sums[second] - sums[max(0, second - REACH)]
        after = sums[min(len(vectors), second + REACH)] - sums[second]
        values[second] = 1 - _cosine(before, after)
    return _placed("recogniser", None, "change", values, part, duration)


def recogniser_evidence(
    parts: Sequence[Part], duration: float, recognisers: Sequence[Recogniser]
) -> EpisodeEvidence:
    """A curve for each kind, the mean of all `recognisers` that know it, and its spans.

    The parts were read with the recognisers' encoders.
    """
    every = [curve for part in parts if part.pictures is not None for each in recognisers
             for curve in kind_curves(part, each.encoder.name, each.kinds, duration)]
    curves = tuple(_mean([curve for curve in every if curve.kind == kind])
                   for kind in dict.fromkeys(curve.kind for curve in every))
    return EpisodeEvidence(duration, sum((kind_spans(curve, duration) for curve in curves), ()), curves)


def kind_curves(part: Part, encoder: str, kinds: Mapping[str, Sequence[int]], duration: float) -> list[Curve]:
    """For each kind how likely a second is of it, 0 to 1: the sum of its columns of the encoder's scores."""
    scores = _vectors(part, encoder)
    return [_placed("recogniser", kind, "within", scores[:, list(columns)].sum(1).clip(0, 1), part, duration)
            for kind, columns in kinds.items()]


def kind_spans(curve: Curve, duration: float) -> tuple[Evidence, ...]:
    """The spans whose seconds are LIKELY of the curve's kind, after a median over SMOOTH; the mean is the confidence.

    Where a span reaches to what was not looked at, its edge is not told.
    """
    values = np.nan_to_num(curve.values.astype(float))
    likely = median_filter(values, SMOOTH, mode="nearest") >= LIKELY
    looked = np.flatnonzero(np.isfinite(curve.values))
    turns = np.flatnonzero(np.diff(np.concatenate([[False], likely, [False]]).astype(int)))
    found = []
    for first, end in turns.reshape(-1, 2):
        seen = looked[(looked >= first) & (looked < end)]
        if not len(seen):
            continue
        first, last = int(seen[0]), int(seen[-1])
        start = 0.0 if first < AT_LIMIT else float(first) if first - 1 in looked else None
        stop = duration if last + 1 > duration - AT_LIMIT else float(last + 1) if last + 1 in looked else None
        if (start, stop) != (None, None):
            found.append(Evidence(curve.source, curve.kind, start, stop, min(1.0, float(values[seen].mean()))))
    return tuple(found)


def _mean(curves: Sequence[Curve]) -> Curve:
    """The mean of curves of one kind, at each second of those that looked there."""
    values = np.stack([curve.values for curve in curves])
    counts = np.isfinite(values).sum(0)
    mean = np.divide(np.nansum(values, 0), counts, out=np.full(values.shape[1], np.nan, np.float32), where=counts > 0)
    return Curve(curves[0].source, curves[0].kind, curves[0].edge, curves[0].step, mean)


def _vectors(part: Part, encoder: str) -> np.ndarray:
    """float64 (n, D), the seconds that have a picture."""
    assert part.pictures is not None and encoder in part.pictures.encoded, f"the part was read without {encoder}"
    return part.pictures.encoded[encoder][:part.pictures.count].astype(float)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths else 0.0


def _placed(source: str, kind: str | None, edge: str, values: np.ndarray, part: Part, duration: float) -> Curve:
    """A part's values, one a second, as a curve of the episode."""
    whole = np.full(math.ceil(duration), np.nan, np.float32)
    first = int(part.start)
    count = min(len(values), len(whole) - first)
    whole[first:first + count] = values[:count]
    return Curve(source, kind, edge, 1.0, whole)
