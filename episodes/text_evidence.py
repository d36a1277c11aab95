"""Text on the pictures of parts that may be an ending or opening: how much of the picture, and whether it moves.

    evidence.plus(text_evidence(path, 1440.0, [(1300.0, 1390.0)], load_detector("rapidocr")))

The text detector is dear, so it looks at a few pictures within each part and beside it, and only where it is asked to.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from datatools.media import read_frames
from datatools.text_roi import paint_boxes
from episodes.evidence import Curve, EpisodeEvidence, Evidence

WITHIN, BESIDE = 4, 2       # pictures that are looked at within a part, and on each side of it
MOST_PICTURES = 32          # of one episode
PAIR = 0.5                  # s; between the two pictures whose text is compared
MOST_ROWS = 8               # cells of the mask that text may move in that time
CREDITS = 0.03              # share of the picture that credits cover at least, on average
ROLLING = 0.5               # share of the pairs in which the text has moved upwards
UNSURE = 0.6                # confidence of credits that stand still: signs and subtitles do so too


def text_evidence(path: Path, duration: float, parts: Iterable[tuple[float, float]], detector) -> EpisodeEvidence:
    """A curve of the share of the picture that is text, a value a second, nan where it was not looked; and credits.

    `parts` are spans (s) that may be an ending or an opening, the likeliest first. Raises MediaError.
    """
    values = np.full(math.ceil(duration), np.nan, np.float32)
    found = []
    for start, end in parts:
        times = sample_times(start, end, duration)
        if (np.isfinite(values).sum() + len(times)) * 2 > MOST_PICTURES:
            break
        masks = _masks(path, times, detector)
        shares = [float(first.mean()) for first, _ in masks]
        for time, share in zip(times, shares, strict=True):
            values[min(int(time), len(values) - 1)] = share
        within = [(share, pair) for time, share, pair in zip(times, shares, masks, strict=True) if start <= time < end]
        if within and np.mean([share for share, _ in within]) >= CREDITS and (start + end) / 2 > duration / 2:
            rolls = np.mean([moved_up(*pair) > 0 for _, pair in within])
            found.append(Evidence("text", "ending", start, end, 1.0 if rolls >= ROLLING else UNSURE))
    return EpisodeEvidence(duration, tuple(found), (Curve("text", None, "change", 1.0, values),))


def sample_times(start: float, end: float, duration: float) -> list[float]:
    """Times spread over a part, and some beside it, s; none within a second of its edges."""
    step = (end - start) / WITHIN
    times = [start + (index + 0.5) * step for index in range(WITHIN)]
    for index in range(BESIDE):
        times += [start - 2.0 - 5.0 * index, end + 2.0 + 5.0 * index]
    return sorted(time for time in times if 0 <= time < duration - PAIR)


def _masks(path: Path, times: Sequence[float], detector) -> list[tuple[np.ndarray, np.ndarray]]:
    """The text masks, bool (27, 36), at each time and PAIR later."""
    every = sorted(time for first in times for time in (first, first + PAIR))
    boxes = {}
    for index, image in enumerate(read_frames(path, every)):
        found = [] if image is None else detector.detect(image)
        boxes[str(index)] = [[quad, list(image.shape[:2]), text, sure] for quad, text, sure in found]
    masks = paint_boxes(boxes, len(every)).astype(bool)
    place = {time: masks[index] for index, time in enumerate(every)}
    return [(place[time], place[time + PAIR]) for time in times]


def moved_up(before: np.ndarray, after: np.ndarray) -> int:
    """By how many rows text has moved up from one mask to the next, bool (27, 36); 0 where it stands, or is new."""
    if not before.any() or not after.any():
        return 0
    agreed = [(before[rows:] & after[:len(after) - rows]).sum() / max(1, before[rows:].sum())
              for rows in range(MOST_ROWS + 1)]
    best = int(np.argmax(agreed))
    return best if agreed[best] > agreed[0] + 0.1 else 0

