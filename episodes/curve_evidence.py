"""What encoders and recognisers make of each second of an episode, as curves of change and of kinds.

    change_curve(part, "efficientnet_lite0", 1440.0)       # how unlike what follows a second is what came before
    kind_curves(part, "actionclip", {"opening": vector}, 1440.0)       # how like a kind's vector each second is

The vectors are those of the parts' pictures, which reading.py makes in its one pass: `encoders` are those of
datatools.encoders, and utils.checkpoint_encoder makes one of a trained recogniser.
"""

import math
from collections.abc import Mapping

import numpy as np

from episodes.evidence import Curve
from episodes.reading import Part

REACH = 10      # s; before and after a second, that are compared


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


def kind_curves(part: Part, encoder: str, kinds: Mapping[str, np.ndarray], duration: float) -> list[Curve]:
    """For each kind how likely a second is of it, by the cosines with the kinds' vectors (D,); they sum to 1."""
    vectors = _vectors(part, encoder)
    names = list(kinds)
    likeness = np.array([[_cosine(vector, kinds[name]) for name in names] for vector in vectors])
    weights = np.exp(100 * (likeness - likeness.max(1, keepdims=True)))      # 100: CLIP's usual scale
    weights /= weights.sum(1, keepdims=True)
    return [_placed("recogniser", name if name != "story" else None, "change", weights[:, index], part, duration)
            for index, name in enumerate(names)]


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
