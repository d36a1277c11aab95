"""A media file's sound as samples.

    samples = read_audio("episode.mkv")                            # float32 (n,), 22,050 Hz, mono
    samples = read_audio("episode.mkv", start=60, duration=200)    # a span, at the cost of that span
"""

import math
from pathlib import Path

import av
import numpy as np
import soxr

from datatools.media.packets import CUT_TOLERANCE, MOST_MESSAGES, decode
from datatools.media.probe import (
    MediaError,
    audio_stream,
    error_reason,
    file_duration,
    has_format,
    open_media,
    promised_end,
)

SAMPLE_RATE = 22_050              # Hz
PAUSE_SECONDS = 2.0               # s; a longer gap is told of: encoders write silence, so sound is missing there
AUDIO_GAP = 0.05                  # s; a longer gap between two sound packets is filled with silence
RESAMPLE_MARGIN = 0.1             # s; extra sound decoded on both sides of a span, for the resampling filter


def read_audio(
    path: Path,
    sample_rate: int = SAMPLE_RATE,
    start: float = 0.0,
    duration: float | None = None,
    salvage: list[str] | None = None,
) -> np.ndarray:
    """The file's sound as mono, float32 (n,), from time zero; silence before a late start and in gaps.

    `start` and `duration` (s) ask for a span. What lies before it is not decoded. It begins as exactly as the file's
    timestamps allow (Matroska: 1 ms), and it is shorter where the sound ends within it.
    Mono is the mean of two channels; libswresample mixes more than two down to stereo first. Resampling is soxr's high
    quality ("HQ"), as in librosa.load.
    Raises MediaError. With a list `salvage`, it returns the sound before a damaged place instead, and the list gets the
    message; it also gets one about each gap of more than PAUSE_SECONDS.
    """
    with open_media(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no sound in it (no audio stream). Give a file with sound, or remove it.")
        stream.codec_context.thread_count = 1
        # The encoder pads its last packet with silence. Only MP4 states where the sound itself ends.
        sound_end = promised_end(container, stream) if has_format(container, "mp4") else None
        file_end = file_duration(container) or 0.0
        first = start - RESAMPLE_MARGIN
        last = math.inf if duration is None else start + duration + RESAMPLE_MARGIN
        span = _Span(path, first, last, file_end, sample_rate)
        try:
            for second, _, frame in decode(path, stream, first, salvage):
                span.add(second, frame)
                if span.is_complete():
                    break
            else:
                if sound_end is not None:
                    span.cut_padding(sound_end)
        except MediaError as error:
            if salvage is None or not span.chunks:
                raise
            salvage.append(str(error))
    if salvage is not None:
        salvage += span.pauses
    if not span.chunks:
        raise MediaError(f"{path}: its sound ends before {start:.1f} s. Ask for an earlier span.")
    samples = _resample(np.concatenate(span.chunks), span.rate, sample_rate)
    skipped = round(start * sample_rate) - span.origin * sample_rate // span.rate
    return samples[skipped:None if duration is None else skipped + round(duration * sample_rate)]


def _resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """The samples at another rate, float32; their number is rounded up."""
    if rate == new_rate:
        return samples
    length = -(-len(samples) * new_rate // rate)
    resampled = soxr.resample(samples, rate, new_rate, quality="HQ")
    return np.pad(resampled[:length], (0, max(0, length - len(resampled)))).astype(np.float32, copy=False)


class _Span:
    """The sound between the times `first` and `last` (s), gathered frame by frame; each is placed by its timestamp.

    `chunks` are mono pieces, float32, that follow each other without a gap, at the `rate` (Hz) of the first frame.
    Positions count samples from time zero; `origin` is the position of the first sample.
    """

    def __init__(self, path: Path, first: float, last: float, file_end: float, sample_rate: int):
        """`file_end`: s, 0 where unknown. `sample_rate`: Hz, the rate to which the chunks are resampled afterwards."""
        self.path, self.first, self.last = path, first, last
        self.file_end, self.sample_rate = file_end, sample_rate
        self.rate = self.origin = 0             # unknown until the first frame
        self.next_position = 0                  # of the next sample
        self.mixer: _MonoMixer | None = None
        self.chunks: list[np.ndarray] = []
        self.pauses: list[str] = []             # what to tell of long gaps

    def add(self, second: float, frame: av.AudioFrame) -> None:
        """Append a frame that starts at `second`, with silence before it where there is a gap."""
        if self.mixer is None:
            self._begin(frame.sample_rate)
        parts = self._mix(frame)
        gap = round(second * self.rate) - self.next_position
        if self.chunks and abs(gap) < AUDIO_GAP * self.rate:
            gap = 0     # timestamps are rounded; the sound itself has no gap
        if gap > 0:
            self._add_silence(gap, second)
        elif gap < 0:
            # The frame begins before the span, or before the last one has ended: what is there already is not repeated.
            parts = [part for part in [np.concatenate(parts)[-gap:]] if len(part)]
        self.chunks += parts
        self.next_position += sum(len(part) for part in parts)

    def is_complete(self) -> bool:
        """Whether the sound reaches the span's end."""
        return self.next_position >= self.last * self.rate

    def cut_padding(self, end: float) -> None:
        """Cut the last piece at `end` (s), if that lies within it."""
        padding = self.next_position - round(end * self.rate)
        if self.chunks and 0 < padding < len(self.chunks[-1]):
            self.chunks[-1] = self.chunks[-1][:-padding]

    def _begin(self, rate: int) -> None:
        self.rate, self.mixer = rate, _MonoMixer(rate)
        # Begin where a sample of the file and a sample of the result coincide in time.
        step = rate // math.gcd(rate, self.sample_rate)
        self.origin = self.next_position = max(0, math.floor(self.first * rate)) // step * step

    def _mix(self, frame: av.AudioFrame) -> list[np.ndarray]:
        try:
            return self.mixer.mix(frame)
        except av.FFmpegError as error:
            raise MediaError(
                f"{self.path}: {frame.format.name} sound with layout {frame.layout.name!r} cannot be mixed to mono "
                f"({error_reason(error)}). Encode it again."
            ) from error

    def _add_silence(self, length: int, second: float) -> None:
        """Fill up to `second` (`length` samples), but not beyond the span's end."""
        # Broken timestamps could ask for more silence than fits into memory.
        if self.file_end and second > self.file_end + CUT_TOLERANCE:
            raise MediaError(
                f"{self.path}: its sound jumps to {second:.1f} s of {self.file_end:.1f} s, so its times are broken. "
                "Encode it again."
            )
        if self.chunks and length > PAUSE_SECONDS * self.rate and len(self.pauses) < MOST_MESSAGES:
            begin = second - length / self.rate
            self.pauses.append(f"{self.path}: it holds no sound between {begin:.1f} and {second:.1f} s.")
        length = min(length, max(0, math.ceil(min(self.last, 1e9) * self.rate) - self.next_position))
        self.chunks.append(np.zeros(length, np.float32))
        self.next_position += length


class _MonoMixer:
    """Converts audio frames of any format and layout to mono float32 at one rate."""

    def __init__(self, rate: int):
        self.rate, self.setup, self.resampler = rate, None, None

    def mix(self, frame: av.AudioFrame) -> list[np.ndarray]:
        """Mono pieces, each float32 (n,). Raises av.FFmpegError."""
        channels = frame.layout.nb_channels
        if frame.format.name == "fltp" and channels <= 2 and frame.sample_rate == self.rate:
            # Most files: nothing to convert. A plane may be longer than its samples, and is libav's own memory.
            planes = [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]
            return [planes[0].copy() if channels == 1 else (planes[0] + planes[1]) * np.float32(0.5)]
        if self.setup != (frame.format.name, frame.layout.name, frame.sample_rate):
            self.setup = (frame.format.name, frame.layout.name, frame.sample_rate)
            layout = "mono" if channels == 1 else "stereo"
            self.resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.rate)
        return [part.to_ndarray().mean(axis=0, dtype=np.float32) for part in self.resampler.resample(frame)]
