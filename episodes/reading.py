"""An episode's head and tail, each decoded once for all that looks at them.

    parts = read_parts(Path("episode.mkv"), 1440.0)      # [Part(0.0, 400, ...), Part(1140.0, 300, ...)]

The opening is looked for in the head and the ending in the tail; in a short episode the two are one part.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datatools.encoders import Encoder
from datatools.features import Pictures, extract_pictures
from datatools.media import MediaError, probe, read_audio

# Three windows of 200 s and two, each begun in the middle of the one before. An opening may come after a long scene;
# an ending that begins more than 300 s before the episode's end is none.
HEAD_SECONDS, TAIL_SECONDS = 400, 300


@dataclass(frozen=True)
class Part:
    """A span of an episode, read.

    start     seconds from the file's time zero
    seconds   its length
    samples   float32 (n,), mono at SAMPLE_RATE; None without sound
    pictures  one a second, and what was made of them; None without pictures
    """

    start: float
    seconds: int
    samples: np.ndarray | None
    pictures: Pictures | None

    @property
    def end(self) -> float:
        """Seconds from the file's time zero."""
        return self.start + self.seconds


def duration_of(path: Path) -> float:
    """The length of an episode in seconds. Raises MediaError where the file does not tell it."""
    duration = probe(path).duration
    if not duration:
        raise MediaError(f"{path}: it does not tell how long it is, so its end cannot be looked at. Remux it.")
    return duration


def spans(duration: float, head: float = HEAD_SECONDS, tail: float = TAIL_SECONDS) -> list[tuple[float, int]]:
    """(start, whole seconds) of the head and the tail of an episode, or of the one part that both are."""
    if duration <= head + tail:
        return [(0.0, math.ceil(duration))]
    start = math.floor(duration - tail)      # on a whole second, so that the pictures are those of other parts' seconds
    return [(0.0, math.ceil(head)), (float(start), math.ceil(duration - start))]


def read_parts(
    path: Path, duration: float, wanted: Iterable[str] = ("sound", "pictures"), encoders: Iterable[Encoder] = (),
    detector=None, remarks: list[str] | None = None,
) -> list[Part]:
    """The head and the tail of an episode. `detector`: finds text in each picture, which is slow.

    What a damaged or silent file lacks is left out, and told in `remarks`. Raises MediaError where it holds neither
    sound nor picture that can be read.
    """
    remarks = [] if remarks is None else remarks
    parts = [_read(path, start, seconds, (tuple(wanted), tuple(encoders), detector), remarks)
             for start, seconds in spans(duration)]
    if all(part.samples is None and part.pictures is None for part in parts):
        raise MediaError(remarks[0] if remarks else f"{path}: neither sound nor picture was asked for.")
    return parts


def _read(path: Path, start: float, seconds: int, asked: tuple, remarks: list[str]) -> Part:
    wanted, encoders, detector = asked
    samples = pictures = None
    if "sound" in wanted:
        samples = _or_none(remarks, lambda salvage: read_audio(path, start=start, duration=seconds, salvage=salvage))
    if "pictures" in wanted:
        pictures = _or_none(remarks, lambda salvage: extract_pictures(
            path, start, seconds, detector=detector, encoders=encoders, salvage=salvage))
    return Part(start, seconds, samples, pictures)


def _or_none(remarks: list[str], read):
    """What `read` returns, jumping over nothing; where the file is damaged, a second time, up to the damage."""
    try:
        return read(None)
    except MediaError:
        try:
            return read(remarks)
        except MediaError as error:
            remarks.append(str(error))
            return None
