"""What trained boundary networks say of an episode: where its opening ends and where its ending begins.

    found = network_evidence(parts, 1440.0, [Predictor(default_weights())])
    found.curve("networks", "opening").values      # (5760,), the weight of each quarter of a second

The parts of an episode (reading.py) are asked in windows of 200 s, each begun in the middle of the one before: in the
head where the opening ends, in the tail where the ending begins. A network names a time in every window, also in one
that has no boundary. There its weight is spread, or two windows disagree; so the mean over the windows that see a place
is low, and that is the only sign.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from datatools.dataset import encoded_tensors, input_tensors, put_mfcc
from datatools.encoders import Encoder, find_encoder
from datatools.features import encode_sound, mfcc
from datatools.layout import CLIP_SECONDS
from datatools.media import SAMPLE_RATE
from datatools.text_roi import paint_boxes
from episodes.evidence import Curve, EpisodeEvidence, Evidence
from episodes.reading import Part
from utils.predict import Predictor

STRIDE = 100                # s between two windows
STEP = 0.25                 # s; of the curves
KINDS = {"opening": (1, "end"), "ending": (2, "start")}      # the networks' `kind`, and the edge that it asks for
TAPER = 30.0                # s; a boundary this near to a window's edge counts less: the network sees one side of it
LEAST_TAPER = 0.1
REACH = 1.0                 # s; to both sides of a peak, whose weight is its confidence
APART = 5.0                 # s; between two peaks
MOST_PEAKS = 3
LEAST_CONFIDENCE = 0.1


def needed_encoders(predictors: Sequence[Predictor]) -> tuple[Encoder, ...]:
    """The encoders whose vectors the networks take, for `read_parts`. Raises UserError."""
    return tuple(find_encoder(name) for name in dict.fromkeys(
        name for predictor in predictors for name in predictor.encoders))


def network_evidence(
    parts: Sequence[Part], duration: float, predictors: Sequence[Predictor], encoders: Sequence[Encoder] = ()
) -> EpisodeEvidence:
    """The networks' curves and their peaks, the mean of all `predictors`.

    `encoders` are `needed_encoders`, which the parts were read with. Text counts where the parts were read with a
    detector; without, it is a missing input.
    """
    inputs = tuple(dict.fromkeys(name for predictor in predictors for name in predictor.inputs))
    curves = []
    for kind, (number, edge) in KINDS.items():
        part = parts[0] if kind == "opening" else parts[-1]
        weights = np.zeros(math.ceil(duration / STEP))
        shares = np.zeros_like(weights)
        for start, batch in _windows(part, inputs, number, encoders):
            found = np.mean([predictor.quarters(batch)[0].numpy() for predictor in predictors], 0)
            _add(weights, shares, start, found)
        values = np.divide(weights, shares, out=np.full_like(weights, np.nan), where=shares > 0)
        curves.append(Curve("networks", kind, edge, STEP, values.astype(np.float32)))
    return EpisodeEvidence(duration, sum((peaks(curve) for curve in curves), ()), tuple(curves))


def window_starts(part: Part) -> list[float]:
    """Where the windows of a part begin, s; the last one ends where the part ends."""
    last = max(part.start, part.end - CLIP_SECONDS)
    return [*(float(start) for start in range(int(part.start), int(last), STRIDE)), last]


def _windows(
    part: Part, inputs: tuple[str, ...], number: int, encoders: Sequence[Encoder]
) -> Iterator[tuple[float, dict[str, torch.Tensor]]]:
    """(start, batch of one), as datatools.windows makes them, of what the part holds; one in memory at a time."""
    dims = {encoder.name: encoder.dim for encoder in encoders}
    for start in window_starts(part):
        batch = {"index": torch.zeros(1, dtype=torch.long), "kind": torch.full((1,), number)}
        batch |= input_tensors(1, inputs, without=("mfcc", "frames", "text_roi")) | encoded_tensors(1, dims)
        first = round(start - part.start)
        samples = None if part.samples is None else part.samples[first * SAMPLE_RATE:][:CLIP_SECONDS * SAMPLE_RATE]
        if samples is not None and len(samples):
            if "mfcc" in inputs:
                put_mfcc(batch["mfcc"][0].numpy(), mfcc(samples))
            for name, vectors in encode_sound(samples, encoders).items():
                batch[name][0, :len(vectors)] = torch.from_numpy(vectors)
        if part.pictures is not None:
            _put_pictures(batch, part, first)
        yield start, batch


def _put_pictures(batch: dict[str, torch.Tensor], part: Part, first: int) -> None:
    """Copy the pictures from second `first` of the part on, and what was made of them."""
    made = {"frames": part.pictures.frames, **part.pictures.encoded}
    if part.pictures.boxes:
        made["text_roi"] = paint_boxes(part.pictures.boxes, part.seconds)
    for name, values in made.items():
        if name in batch:
            piece = values[first:first + CLIP_SECONDS]
            batch[name][0, :len(piece)] = torch.from_numpy(piece)


def _add(weights: np.ndarray, shares: np.ndarray, start: float, found: np.ndarray) -> None:
    """Add a window's quarters to those of the episode, less near the window's edges but for the episode's own."""
    places = (np.arange(len(found)) + 0.5) * STEP
    share = np.full(len(found), 1.0)
    if start > 0:
        share = np.minimum(share, places / TAPER)
    if start + CLIP_SECONDS < len(weights) * STEP - STEP:
        share = np.minimum(share, (CLIP_SECONDS - places) / TAPER)
    share = np.maximum(share, LEAST_TAPER)
    first = round(start / STEP)
    count = max(0, min(len(found), len(weights) - first))
    weights[first:first + count] += (share * found)[:count]
    shares[first:first + count] += share[:count]


def peaks(curve: Curve) -> tuple[Evidence, ...]:
    """The most probable places of a curve's edge, the surest first: its weight within REACH, and its mean time."""
    values, reach = np.nan_to_num(curve.values.astype(float)), round(REACH / curve.step)
    places = (np.arange(len(values)) + 0.5) * curve.step
    found = []
    for _ in range(MOST_PEAKS):
        near = np.convolve(values, np.ones(2 * reach + 1), "same") if len(values) > 2 * reach else values
        best = int(near.argmax())
        if near[best] < LEAST_CONFIDENCE:
            break
        around = slice(max(0, best - reach), best + reach + 1)
        time = float(np.average(places[around], weights=values[around]))
        edges = (time, None) if curve.edge == "start" else (None, time)
        found.append(Evidence(curve.source, curve.kind, *edges, min(1.0, float(near[best]))))
        values[np.abs(places - time) <= APART] = 0
    return tuple(found)
