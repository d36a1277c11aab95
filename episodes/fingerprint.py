"""What an episode sounds and looks like, small enough to compare a thousand of them.

    prints = make_prints("Show/01.mkv")              # one pass: all sound, and of the pictures the keyframes
    prints.sound                                     # uint32 (n,), POINT_RATE a second
    prints.pictures, prints.picture_times            # uint64 (m,), seconds
    Prints.from_bytes(prints.to_bytes()) == prints   # for a database

A point tells in 32 bits where the energy of half a second moves between neighbouring bands of frequency (Haitsma and
Kalker, "A Highly Robust Audio Fingerprinting System", 2002). benchmarks/prints.py tells what it bears.
"""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import scipy.fft
import soxr
from av.video.reformatter import VideoReformatter

from datatools.media.pictures import ONE_THREAD
from datatools.media.probe import (
    MediaError,
    audio_stream,
    file_duration,
    open_media,
    time_zero,
    video_stream,
)
from episodes.versions import PRINTS as VERSION

POINT_RATE = 16               # points a second of sound
RETIMED = 25 / (24000 / 1001)   # film at 24000/1001 pictures a second that is played at 25 is this much faster

SOUND_RATE = 6000             # Hz
HOP = SOUND_RATE // POINT_RATE
WINDOW = 2880                 # samples; 0.48 s
LAG = POINT_RATE // 2         # points; a point compares the bands this far before and after its half
LOWEST, HIGHEST = 250.0, 2700.0      # Hz; what an 8 kHz copy, played 4% slower, still holds
NUM_BITS = 32
FLOOR = 1e-3                  # of the episode's loud parts: what is quieter (60 dB) tells nothing
DIGITAL_SILENCE = 1e-5        # of full scale
STILL = 0.01                  # a sound that changes by less than this share within LAG stands still
BLOCK = 64                    # spectra that are made at once, so that they stay in the processor's cache

PICTURE_SIDE = 32             # pixels to which a picture is shrunk
PICTURE_WAVES = 8             # its lowest frequencies along each side that are kept
NO_WAVE = 4.0                 # what coding may make of a wave that is not there
FLAT = 6.0                    # levels of 255; a picture that deviates less from its mean tells nothing

SOUND_GAP = 0.05              # s; a longer one between two packets is silence, a shorter one a rounded time
CHUNK = 24_000                # samples that wait before they are mixed and resampled; they stay in the cache
MOST_SILENCE = 4 * 3600.0     # s; a time that is further ahead is broken
HEAD = struct.Struct("<4sHHdIII")      # name, version, point rate, duration, points, pictures, checksum of what follows
NAME = b"AVTP"


@dataclass(frozen=True, eq=False)
class Prints:
    """One episode; all times in seconds from the file's time zero.

    sound          uint32 (n,): point i stands for the sound around i / POINT_RATE. 0: it tells nothing
    slowed         uint32 (n,): the same, as if the pitch were lower by RETIMED
    picture_times  float64 (m,): ascending
    pictures       uint64 (m,): one hash a picture; near pictures differ in few bits
    duration       seconds
    """

    sound: np.ndarray
    slowed: np.ndarray
    picture_times: np.ndarray
    pictures: np.ndarray
    duration: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prints) and self.to_bytes() == other.to_bytes()

    def to_bytes(self) -> bytes:
        body = b"".join(array.astype(kind).tobytes() for array, kind in (
            (self.sound, "<u4"), (self.slowed, "<u4"), (self.picture_times, "<f8"), (self.pictures, "<u8")))
        return HEAD.pack(NAME, VERSION, POINT_RATE, self.duration, len(self.sound), len(self.pictures),
                         zlib.crc32(body)) + body

    @staticmethod
    def from_bytes(data: bytes) -> "Prints":
        """Raises ValueError for what `to_bytes` of this version did not write."""
        if len(data) < HEAD.size:
            raise ValueError(f"prints of {len(data)} bytes, expected at least {HEAD.size}")
        name, version, rate, duration, points, pictures, checksum = HEAD.unpack_from(data)
        body = memoryview(data)[HEAD.size:]
        if name != NAME or version != VERSION or rate != POINT_RATE:
            raise ValueError(f"prints of version {version} with {rate} points a second, expected version {VERSION} "
                             f"with {POINT_RATE}. Make them again.")
        if len(body) != 8 * points + 16 * pictures or zlib.crc32(body) != checksum:
            raise ValueError("prints that are cut off or damaged. Make them again.")
        parts = np.split(np.frombuffer(body, np.uint8), np.cumsum([4 * points, 4 * points, 8 * pictures]))
        arrays = [part.view(kind).copy() for part, kind in zip(parts, ("<u4", "<u4", "<f8", "<u8"), strict=True)]
        return Prints(*arrays, duration)


def make_prints(path: Path, pictures: bool = True) -> Prints:
    """The prints of a file; without sound, or without pictures, that part is empty. `pictures`: whether to read them.

    What cannot be decoded is silence, and pictures that are left out; whether a file is whole is not told here.
    Raises MediaError where it is no media file, or nothing in it can be decoded.
    """
    with open_media(path) as container:
        audio, video = audio_stream(container), video_stream(container) if pictures else None
        duration = file_duration(container) or 0.0
        sound = _Sound(audio, float(time_zero(container)))
        keyframes = _Pictures(video, float(time_zero(container)))
        take = {stream.index: gather.add for stream, gather in ((audio, sound), (video, keyframes))
                if stream is not None}
        try:
            for packet in container.demux([container.streams[index] for index in take]):
                take[packet.stream.index](packet)
        except av.FFmpegError:
            pass      # what was read so far counts
    if not sound.next and not keyframes.found_any:
        raise MediaError(f"{path}: neither sound nor a picture could be decoded. Encode it again, or remove it.")
    samples = sound.samples()
    order = np.argsort(keyframes.times, kind="stable")
    points, slowed = sound_points(samples)
    return Prints(points, slowed, np.array(keyframes.times, np.float64)[order],
                  np.array(keyframes.hashes, np.uint64)[order],
                  max(duration, len(samples) / SOUND_RATE, max(keyframes.times, default=0.0)))


class _Sound:
    """Gathers a stream's sound as mono, each piece at its own time. `zero` (s): the container's time zero.

    Frames wait in a FIFO until there are CHUNK samples: Python's part of the work is then done once for dozens of them.
    """

    def __init__(self, stream, zero: float):
        self.zero, self.rate, self.next = zero, 0, 0      # next: samples before those that wait
        self.waiting: av.AudioFifo | None = None          # frames of one form, at the stream's own rate
        self.form: tuple[str, str, int] | None = None     # their samples' format, layout of channels and rate
        self.done: list[np.ndarray] = []                  # at SOUND_RATE
        self.converter: av.AudioResampler | None = None
        self.resampler: soxr.ResampleStream | None = None
        if stream is not None:
            stream.codec_context.thread_count = 1
            self.decode, self.base = stream.codec_context.decode, float(stream.time_base)

    def add(self, packet: av.Packet) -> None:
        try:
            frames = self.decode(packet)
        except av.FFmpegError:
            return      # the next piece's time leaves a gap, which becomes silence
        for frame in frames:
            self._place(frame)

    def _place(self, frame: av.AudioFrame) -> None:
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if form != self.form:
            self._mix()
            self.form, self.waiting, self.converter = form, av.AudioFifo(), None
            self.rate = self.rate or frame.sample_rate
        stamp, frame.pts = frame.pts, None      # the FIFO would refuse a gap
        place = self.next + self.waiting.samples
        gap = 0 if stamp is None else round((stamp * self.base - self.zero) * self.rate) - place
        if gap < -SOUND_GAP * self.rate and -gap < frame.samples:
            self._mix()
            self.waiting.write(frame)
            self._mix(-gap)
            return
        if (SOUND_GAP * self.rate if place else 0) < gap < MOST_SILENCE * self.rate:
            self._mix()
            self._append(np.zeros(gap, np.float32))
        self.waiting.write(frame)
        if self.waiting.samples >= CHUNK or frame.sample_rate != self.rate:
            self._mix()

    def _mix(self, skipped: int = 0) -> None:
        """Append what waits, as mono, without its first `skipped` samples."""
        frame = None if self.waiting is None else self.waiting.read()
        for piece in [] if frame is None else self._mono(frame):
            self._append(piece[skipped:])

    def _mono(self, frame: av.AudioFrame) -> list[np.ndarray]:
        if frame.format.name == "fltp" and frame.sample_rate == self.rate and len(frame.planes) <= 2:
            planes = [np.frombuffer(plane, np.float32, frame.samples) for plane in frame.planes]
            return [planes[0] if len(planes) == 1 else planes[0] + planes[1]]
        if self.converter is None:
            self.converter = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
        return [part.to_ndarray()[0] for part in self.converter.resample(frame)]

    def _append(self, piece: np.ndarray) -> None:
        self.next += len(piece)
        self.done.append(self._resample(piece))

    def _resample(self, piece: np.ndarray, last: bool = False) -> np.ndarray:
        if self.resampler is None:
            self.resampler = soxr.ResampleStream(self.rate, SOUND_RATE, 1, "float32", "LQ")
        return self.resampler.resample_chunk(piece, last=last)

    def samples(self) -> np.ndarray:
        """All sound, float32 (n,), at SOUND_RATE, from time zero. To be called once, at the end."""
        self._mix()
        if self.next:
            self.done.append(self._resample(np.zeros(0, np.float32), last=True))
        return np.concatenate([*self.done, np.zeros(0, np.float32)])


class _Pictures:
    """Gathers the hashes of the keyframes that tell something."""

    def __init__(self, stream, zero: float):
        self.zero, self.times, self.hashes, self.found_any = zero, [], [], False
        self.converter = VideoReformatter()
        if stream is not None:
            stream.codec_context.thread_count = 1
            self.decode, self.base = stream.codec_context.decode, float(stream.time_base)

    def add(self, packet: av.Packet) -> None:
        if not packet.is_keyframe and packet.size:
            return
        try:
            frames = self.decode(packet if packet.size else None)
        except (av.FFmpegError, EOFError):
            return
        for frame in frames:
            self.found_any = True
            grey = self.converter.reformat(frame, width=PICTURE_SIDE, height=PICTURE_SIDE, format="gray",
                                           interpolation="AREA", **ONE_THREAD).to_ndarray()
            found = picture_hash(grey)
            if found is not None and frame.pts is not None:
                self.times.append(frame.pts * self.base - self.zero)
                self.hashes.append(found)


def picture_hash(grey: np.ndarray) -> int | None:
    """64 bits of a grey picture, uint8 (PICTURE_SIDE, PICTURE_SIDE): which of its low waves (DCT) are above their
    median; None where it is all but one colour."""
    if grey.std() < FLAT:
        return None
    waves = cv2.dct(grey.astype(np.float32))[:PICTURE_WAVES, :PICTURE_WAVES].ravel()
    waves[0] = 0      # brightness
    return int.from_bytes(np.packbits(waves > np.median(waves) + NO_WAVE).tobytes(), "big")


# ---------------------------------------------------------------- points of sound


@dataclass(frozen=True)
class _Bands:
    """Which frequencies make up the bands: `first` to `last` of a spectrum, and weights (last - first, bands)."""

    first: int
    last: int
    weights: np.ndarray = field(repr=False)


def _make_bands() -> _Bands:
    """Bands for the pitch as it is, then for the one that is lower by RETIMED; each a triangle over two steps."""
    step = np.log(HIGHEST / LOWEST) / NUM_BITS
    centres = np.log(LOWEST) + step * np.arange(NUM_BITS + 1)
    centres = np.concatenate([centres, centres + np.log(RETIMED)])
    frequencies = np.log(np.maximum(1e-9, np.arange(WINDOW // 2 + 1) * SOUND_RATE / WINDOW))
    weights = np.maximum(0, 1 - np.abs(frequencies[:, None] - centres) / (2 * step)).astype(np.float32)
    used = np.flatnonzero(weights.any(axis=1))
    return _Bands(used[0], used[-1] + 1, np.ascontiguousarray(weights[used[0]:used[-1] + 1]))


BANDS = _make_bands()


def sound_points(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sound, slowed) of `Prints` for samples at SOUND_RATE, float32 (n,)."""
    amplitudes = _band_amplitudes(samples)                       # (points, 2 * (bits + 1))
    level = amplitudes[:, :NUM_BITS].mean(axis=1)
    floor = max(FLOOR * np.percentile(level, 90), DIGITAL_SILENCE * WINDOW / 4) if len(level) else 0.0
    found = []
    for bands in np.split(amplitudes, 2, axis=1):
        slope = bands[:, :-1] - bands[:, 1:]                     # (points, bits)
        change = np.zeros_like(slope)
        half = LAG // 2
        change[half:-half] = slope[LAG:] - slope[:-LAG] if len(slope) > LAG else 0
        tells = (level > floor) & (np.abs(change).mean(axis=1) > STILL * level)
        bits = np.packbits(change > 0, axis=1, bitorder="little").view("<u4")[:, 0]
        found.append(np.where(tells, np.maximum(bits, 1), 0).astype(np.uint32))
    return found[0], found[1]


def _band_amplitudes(samples: np.ndarray) -> np.ndarray:
    """float32 (points, bands): root of the bands' energy around each point's time."""
    num_points = len(samples) // HOP
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    shape = np.hanning(WINDOW).astype(np.float32)
    found = np.empty((num_points, BANDS.weights.shape[1]), np.float32)
    shaped = np.empty((BLOCK, WINDOW), np.float32)
    for begin in range(0, num_points, BLOCK):
        end = min(num_points, begin + BLOCK)
        np.multiply(windows[begin:end], shape, out=shaped[:end - begin])
        spectra = scipy.fft.rfft(shaped[:end - begin], axis=1)[:, BANDS.first:BANDS.last]
        energy = np.square(spectra.real)
        energy += np.square(spectra.imag)
        np.matmul(energy, BANDS.weights, out=found[begin:end])
    return np.sqrt(found, out=found)
