"""What an episode sounds and looks like around one edge of a theme, fine enough to compare edges.

    sound = read_sound(path, window)         # float32 (steps, bands), every STEP s of the theme's own time
    pictures = read_pictures(path, window)   # float32 (steps, side, side)
"""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from datatools.media.packets import TIME_TOLERANCE, decode
from datatools.media.pictures import ONE_THREAD
from datatools.media.probe import MediaError, open_media, video_stream
from datatools.media.sound import read_audio

STEP = 0.01                # s of the theme's own time
SOUND_RATE = 8000          # Hz
FRAME = 256                # samples of a spectrum; 32 ms
LOWEST, HIGHEST, NUM_BANDS = 120.0, 3400.0, 20      # Hz
QUIET = 1e-4               # of full scale; 80 dB below
SIDE = 24                  # pixels to which a picture is shrunk


@dataclass(frozen=True)
class Window:
    """The theme's times from -reach to reach around an edge that lies at `place` (s) in a file.

    The file plays the theme `rate` times as fast as most.
    """

    place: float
    rate: float
    reach: float

    def times(self) -> np.ndarray:
        """The file's time of each step, float64 (steps,)."""
        return self.place + steps(self.reach) / self.rate


def steps(reach: float) -> np.ndarray:
    """The theme's times within `reach` of an edge, float64 (steps,), 0 in the middle."""
    number = round(reach / STEP)
    return np.arange(-number, number + 1) * STEP


def read_sound(path: Path, window: Window) -> np.ndarray | None:
    """Log energies of bands, float32 (steps, NUM_BANDS), NaN beyond the file's sound; None where none can be read."""
    times = window.times()
    start = max(0.0, times[0] - 0.1)
    try:
        samples = read_audio(path, SOUND_RATE, start, times[-1] + 0.1 - start, salvage=[])
    except MediaError:
        return None
    centres = np.round((times - start) * SOUND_RATE).astype(np.int64)
    there = (times >= 0) & (centres < len(samples))
    if not there.any():
        return None
    padded = np.pad(samples, (FRAME // 2, FRAME))
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, FRAME)[centres[there]]
                          * np.hanning(FRAME).astype(np.float32), axis=1)
    found = np.full((len(times), NUM_BANDS), np.nan, np.float32)
    found[there] = np.log(np.abs(spectra) ** 2 @ _bands() + (QUIET * FRAME / 4) ** 2)
    return found


def _bands() -> np.ndarray:
    """float32 (frequencies, NUM_BANDS): triangles on a logarithmic scale, none of them narrower than the spectrum."""
    frequencies = np.arange(FRAME // 2 + 1) * SOUND_RATE / FRAME
    edges = np.geomspace(LOWEST, HIGHEST, NUM_BANDS + 2)
    width = np.maximum(np.diff(edges)[1:], SOUND_RATE / FRAME)
    return np.maximum(0, 1 - np.abs(frequencies[:, None] - edges[1:-1]) / width).astype(np.float32)


def read_pictures(path: Path, window: Window) -> np.ndarray | None:
    """Grey pictures shown at the steps, float32 (steps, SIDE, SIDE), NaN beyond the video; None without a picture."""
    times = window.times()
    starts, pictures, end = [], [], 0.0
    converter = VideoReformatter()
    try:
        with open_media(path) as container:
            stream = video_stream(container)
            if stream is None:
                return None
            stream.codec_context.thread_count = 1
            for start, lasts, frame in decode(path, stream, max(0.0, times[0]), salvage=[]):
                if start > times[-1]:
                    break
                if start + lasts >= times[0] - 1:
                    starts.append(start)
                    pictures.append(converter.reformat(frame, width=SIDE, height=SIDE, format="gray",
                                                       interpolation="AREA", **ONE_THREAD).to_ndarray())
                    end = start + lasts
    except (MediaError, av.FFmpegError):
        pass      # what was read so far counts
    if not starts:
        return None
    order = np.searchsorted(np.array(starts) - TIME_TOLERANCE, times, side="right") - 1
    found = np.array(pictures, np.float32)[np.maximum(order, 0)]
    found[(order < 0) | (times > end + STEP)] = np.nan
    return found
