"""Cuts, black and silence near the places where an opening or ending may start or end, found to the frame.

    wanted = places_to_look(evidence, repeats, USUAL_RULES)                 # [(58.0, 62.0), ...]
    moments = picture_moments(path, wanted) + silences(part.samples, part.start)

Pictures are decoded in these places only. TransNetV2, where its package is installed, says which changes are cuts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datatools.encoders import CUT_RATE, find_encoder, loaded
from datatools.media import SAMPLE_RATE, read_frames
from episodes.candidates import CARD, NETWORK_EDGE, TYPICAL, USUAL, Rules, candidates, told_by_sound
from episodes.evidence import EpisodeEvidence, Evidence, Repeat

LOOK, LEAST_LOOK = 2.0, 0.5        # s; to both sides of an edge; the latter where a season has refined it
MOST_SECONDS = 80.0         # s of pictures that are decoded for one episode
FRAME_STEP = 0.02           # s; pictures are asked for in these steps: no frame of up to 50 a second is missed
SMALL = (48, 27)            # pixels; width and height of compared pictures, TransNetV2's
CUT_LEAST = 14.0            # grey levels; mean change from one frame to the next
CUT_TIMES = 4.0             # times the median change of the frames around it
CUT_NEAR = 0.5              # s; the frames around
BLANK_SPREAD = 6.0          # grey levels; standard deviation of a picture that shows nothing
BLACK_MOST, WHITE_LEAST = 24.0, 232.0      # grey levels; mean of a black picture, and of a white one
SOUND_STEP = 0.02           # s; loudness is measured in these steps
SILENT = -50.0              # dB below the part's loud places (95%)
LEAST_SILENCE = 0.1         # s
SAID_CUT = 0.5              # probability from which TransNetV2 says that there is a cut
DOUBTED = 0.3               # confidence of a cut that it does not see


@dataclass(frozen=True)
class Shown:
    """Small pictures of a span: when each starts to be shown, s (n,), and the pictures, uint8 (n, 27, 48, 3)."""

    times: np.ndarray
    pictures: np.ndarray
    end: float


def places_to_look(evidence: EpisodeEvidence, repeats: Sequence[Repeat], rules: Rules) -> list[tuple[float, float]]:
    """The spans (s) in which an edge may lie, in order, apart from each other; MOST_SECONDS in all.

    The edges of themes come first, then those of chapters and of the networks' peaks. Where only one edge of an opening
    or ending is told, the other is looked for where the sound tells it, else where those of the usual lengths have it.
    """
    asked = []
    for each in candidates(evidence, repeats, rules):
        spread = LOOK if each.repeat is None else max(map(each.repeat.spread_of, ("start", "end")))
        look = min(LOOK, max(LEAST_LOOK, 3 * spread))
        asked += [(time - look, time + look) for side, time in (("start", each.start), ("end", each.end))
                  if each.source != "networks" or side == NETWORK_EDGE[each.kind] or told_by_sound(each, evidence) > 0]
    usual = TYPICAL * rules.scale
    for each in repeats:      # a card may be part of a longer one
        if usual + CARD[0] * rules.scale <= each.end - each.start <= usual + CARD[1] * rules.scale:
            asked += [(time - LEAST_LOOK, time + LEAST_LOOK) for time in (each.start + usual, each.end - usual)]
    heard = {each.kind for each in evidence.of("sound")}
    for each in (each for each in evidence.of("networks") if each.kind not in heard):
        low, high = (length * rules.scale for length in USUAL)
        asked.append((each.start + low, each.start + high) if each.end is None else (each.end - high, each.end - low))
    chosen: list[tuple[float, float]] = []
    for start, end in asked:
        more = merged([*chosen, (max(0.0, start), min(evidence.duration, end))])
        if sum(last - first for first, last in more) <= MOST_SECONDS:
            chosen = more
    return chosen


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The spans in order; those that meet as one, and those that are empty left out."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if end - start <= FRAME_STEP:
            continue
        if found and start <= found[-1][1] + FRAME_STEP:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


# ---------------------------------------------------------------- pictures


def picture_moments(path: Path, spans: Iterable[tuple[float, float]], transnet: bool = False) -> list[Evidence]:
    """Cuts and blank pictures within the spans (s), as moments and spans without a kind.

    `transnet`: have TransNetV2 say which changes are cuts; raises UserError where its package is missing. Raises
    MediaError.
    """
    network = loaded(find_encoder("transnetv2")) if transnet else None
    found = []
    for start, end in spans:
        shown = _shown(path, start, end)
        if len(shown.times) < 3:
            continue
        likely = None if network is None else _likely_cuts(network, shown)
        found += cuts(shown, likely) + blanks(shown)
    return found


def _shown(path: Path, start: float, end: float) -> Shown:
    """The pictures of a span; a frame begins half a step before the first time at which it is seen, on average."""
    times = [start + index * FRAME_STEP for index in range(max(1, math.floor((end - start) / FRAME_STEP)))]
    begun, pictures, last = [], [], None
    for time, picture in zip(times, read_frames(path, times, _small), strict=True):
        if picture is None:
            end = time
            break
        if picture is not last:      # read_frames yields one array for each frame, however often it is asked for
            begun.append(time - FRAME_STEP / 2 if last is not None else time)
            pictures.append(picture)
            last = picture
    return Shown(np.array(begun), np.stack(pictures) if pictures else np.zeros((0, 27, 48, 3), np.uint8), end)


def _small(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, SMALL, interpolation=cv2.INTER_AREA)


def cuts(shown: Shown, likely: np.ndarray | None = None) -> list[Evidence]:
    """Moments at which the picture changes far more than around them.

    `likely`: TransNetV2's probability of a cut before each picture, (n,); a cut that it does not see counts little.
    """
    change = np.abs(np.diff(shown.pictures.astype(np.int16), axis=0)).mean((1, 2, 3))      # (n - 1,)
    found = []
    for index in np.flatnonzero(change >= CUT_LEAST):
        time = shown.times[index + 1]
        near = np.abs(shown.times[1:] - time) <= CUT_NEAR
        if change[index] == change[near].max() and change[index] >= CUT_TIMES * np.median(change[near]):
            sure = min(1.0, change[index] / (change[index] + CUT_LEAST))
            if likely is not None:
                sure = max(sure, float(likely[index + 1])) if likely[index + 1] >= SAID_CUT else DOUBTED * sure
            found.append(Evidence("cut", None, float(time), float(time), float(sure)))
    return found


def blanks(shown: Shown) -> list[Evidence]:
    """Spans that show nothing, black or white."""
    flat = shown.pictures.reshape(len(shown.pictures), -1, 3).astype(np.float32)
    mean, spread = flat.mean((1, 2)), flat.std(1).mean(1)
    blank = (spread <= BLANK_SPREAD) & ((mean <= BLACK_MOST) | (mean >= WHITE_LEAST))
    ends = [*shown.times[1:], shown.end]
    return [Evidence("black", None, float(shown.times[first]), float(max(ends[last], shown.times[first])))
            for first, last in _runs(blank)]


def _runs(held: np.ndarray) -> list[tuple[int, int]]:
    """(first, last index) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], held.astype(np.int8), [0]])))
    return [(int(first), int(after) - 1) for first, after in edges.reshape(-1, 2)]


def _likely_cuts(network, shown: Shown) -> np.ndarray:
    """TransNetV2's probability of a cut near the start of each picture, (n,)."""
    grid = np.arange(shown.times[0], shown.end, 1 / CUT_RATE)
    which = np.maximum(np.searchsorted(shown.times, grid, "right") - 1, 0)
    curve = network.curves(shown.pictures[which])[:, 0]
    # A cut lies between the picture after which it is seen and the next one.
    place = np.clip(((shown.times - grid[0]) * CUT_RATE).astype(int), 0, len(curve) - 1)
    return np.maximum(curve[place], curve[np.maximum(place - 1, 0)])


# ---------------------------------------------------------------- sound


def silences(samples: np.ndarray, start: float, sample_rate: int = SAMPLE_RATE) -> list[Evidence]:
    """Spans of silence in mono samples (n,) that begin at `start` (s), measured against the loud places around."""
    step = round(SOUND_STEP * sample_rate)
    count = len(samples) // step
    if not count:
        return []
    power = np.square(samples[:count * step].reshape(count, step)).mean(1)
    loud = np.percentile(power, 95)
    if loud <= 0:
        return []
    quiet = power < loud * 10 ** (SILENT / 10)
    return [Evidence("silence", None, start + first * SOUND_STEP, start + (last + 1) * SOUND_STEP)
            for first, last in _runs(quiet) if (last + 1 - first) * SOUND_STEP >= LEAST_SILENCE]
