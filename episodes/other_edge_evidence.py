"""Where the other edge of a theme lies whose one edge the networks tell: by its sound.

    evidence = evidence.plus(other_edge_evidence(parts, evidence))
    evidence.curve("sound", "opening").values      # (5760,), the weight of each quarter of a second as its start

The minute beside the told edge is the theme, and what lies beyond that edge, or too far off to be the theme, is not.
Linear discriminant analysis tells the two apart by their MFCC. The other edge lies where the sound stops to be the
theme's: the best place to part it in two (maximum likelihood), given how long themes usually last.
"""

import math
from collections.abc import Sequence

import numpy as np

from datatools.features import MFCC_STEPS_PER_SECOND, mfcc
from episodes.candidates import LONGEST, NETWORK_EDGE, TYPICAL
from episodes.evidence import Curve, EpisodeEvidence
from episodes.network_evidence import peaks
from episodes.reading import Part

STEP = 0.25                 # s; of the curves
WITHIN = (1.0, 60.0)        # s from the told edge into the theme; what surely is the theme
BEFORE = (1.0, 90.0)        # s from the told edge out of the theme; what is not
BEYOND = (130.0, 250.0)     # s into the theme and past its other edge; what is not
LEAST_SECONDS = 10.0        # of both, to learn from
MOST_LIKELY = 6.0           # largest log odds of one quarter
INDEPENDENT = 1.0           # s; neighbouring quarters sound alike: so many seconds count as one observation
EXACT_SHARE = 0.7           # of the themes, that last TYPICAL to the second
EXACT_ERROR = 0.4           # s; mean error of that, with the told edge's own
BOUND = 2.0                 # s; lengths this near to the shortest or longest are none
LEAST_CONFIDENCE = 0.3      # of a told edge


def other_edge_evidence(parts: Sequence[Part], evidence: EpisodeEvidence) -> EpisodeEvidence:
    """A curve for each kind of which the networks tell an edge, that of its other edge; and its peaks.

    Only the surest told edge counts. A curve's values sum to 1 at most over the places that were weighed, and are
    nan elsewhere. There is none where too little is heard to learn from.
    """
    curves = []
    for kind, side in NETWORK_EDGE.items():
        told = max((each for each in evidence.of("networks") if each.kind == kind and not each.is_span),
                   key=lambda each: each.confidence, default=None)
        part = parts[0] if kind == "opening" else parts[-1]
        if told is None or told.confidence < LEAST_CONFIDENCE or part.samples is None:
            continue
        sign = -1 if side == "end" else 1
        into, odds = _odds(part, getattr(told, side), sign, evidence.duration)
        if len(into):
            lengths, weights = _lengths(into, odds)
            curves.append(Curve("sound", kind, "start" if side == "end" else "end", STEP, _placed(
                getattr(told, side) + sign * lengths, weights, evidence.duration)))
    return EpisodeEvidence(evidence.duration, sum((peaks(curve) for curve in curves), ()), tuple(curves))


def _odds(part: Part, told: float, sign: int, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """How far each quarter lies within the theme (s, negative outside), ascending, and its log odds of being theme.

    `sign`: 1 where the theme begins at `told`, -1 where it ends there. Empty where too little is heard to learn from.
    """
    heard = quarters(mfcc(part.samples))
    middles = part.start + (np.arange(len(heard)) + 0.5) * STEP
    heard, middles = heard[middles < duration][::sign], middles[middles < duration][::sign]
    into = sign * (middles - told)
    inside = _between(into, WITHIN)
    outside = _between(-into, BEFORE) | _between(into, BEYOND)
    if min(inside.sum(), outside.sum()) * STEP < LEAST_SECONDS:
        return np.zeros(0), np.zeros(0)
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # most runs ask no networks

    learnt = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
    learnt.fit(np.concatenate([heard[inside], heard[outside]]), np.repeat([1, 0], [inside.sum(), outside.sum()]))
    return into, learnt.decision_function(heard).clip(-MOST_LIKELY, MOST_LIKELY)


def _lengths(into: np.ndarray, odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (s) that the theme may have, and the weight of each; less than 1 together where the theme may have any.

    At the shortest and longest length nothing parts theme from story: it ended before, or is none. These have no
    weight, but for the file's own start or end.
    """
    unknown = _between(into, (WITHIN[1], LONGEST))
    lengths = WITHIN[1] + np.arange(unknown.sum() + 1) * STEP
    usual = EXACT_SHARE / (2 * EXACT_ERROR) * np.exp(-np.abs(lengths - TYPICAL) / EXACT_ERROR)
    likely = np.concatenate([[0.0], odds[unknown].cumsum()]) * STEP / INDEPENDENT + np.log(
        usual + (1 - EXACT_SHARE) / (LONGEST - WITHIN[1]))
    weights = np.exp(likely - likely.max())
    weights /= weights.sum()
    weights[(lengths < WITHIN[1] + BOUND) | (lengths > LONGEST - BOUND)] = 0
    return lengths, weights


def _placed(times: np.ndarray, weights: np.ndarray, duration: float) -> np.ndarray:
    """The weights of times (s) as a curve's values, float32."""
    values = np.full(math.ceil(duration / STEP), np.nan, np.float32)
    places = np.clip((times / STEP).astype(int), 0, len(values) - 1)
    values[places] = 0
    np.add.at(values, places, weights.astype(np.float32))
    return values


def quarters(steps: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of the MFCC, float32 (20, T), within each quarter of a second, (n, 40)."""
    count = int(steps.shape[1] / MFCC_STEPS_PER_SECOND / STEP)
    edges = (np.arange(count + 1) * STEP * MFCC_STEPS_PER_SECOND).astype(int)
    pieces = [steps[:, first:last] for first, last in zip(edges, edges[1:], strict=False)]
    return np.array([np.concatenate([piece.mean(1), piece.std(1)]) for piece in pieces]).reshape(-1, 2 * len(steps))


def _between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values > limits[0]) & (values < limits[1])
