"""Small real media files for the tests, made by PyAV: pictures that tell their number, tones at a known time."""

import contextlib
import resource
import signal
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8     # a picture's number, as black and white stripes, most significant first


def numbered_picture(number: int, width: int = 128, height: int = 64) -> np.ndarray:
    """A picture, uint8 (height, width, 3), whose number `read_number` finds again after any lossy coding."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> (BITS - 1 - bit) & 1:
            image[:, bit * width // BITS:(bit + 1) * width // BITS] = 255
    return image


def read_number(image: np.ndarray) -> int:
    """The number of a numbered picture at any size."""
    stripes = [part[:, part.shape[1] // 4:-(part.shape[1] // 4)].mean() for part in np.array_split(image, BITS, axis=1)]
    return sum(int(mean > 127) << (BITS - 1 - bit) for bit, mean in enumerate(stripes))


def tone(seconds: float, rate: int, hertz: float = 440, channels: int = 1) -> np.ndarray:
    """float32 (channels, n)."""
    times = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.4 * np.sin(2 * np.pi * hertz * times)[None].astype(np.float32), channels, axis=0)


def write_media(
    path: Path,
    images: Iterable[np.ndarray] = (),
    times: list[float] | None = None,
    *,
    fps: float = 10,
    codec: str = "libx264",
    video_options: dict | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 44_100,
    sound_codec: str = "aac",
    sound_start: float = 0.0,
    rotation: int = 0,
    container_options: dict | None = None,
) -> Path:
    """Write pictures at `times` (seconds; every 1/fps where none are given) and a sound (channels, n)."""
    images = list(images)
    times = times or [index / fps for index in range(len(images))]
    with av.open(str(path), "w", options=container_options or {}) as container:
        video = audio = None
        packets = []
        if images:
            height, width = images[0].shape[:2]
            default = {"g": "12", "preset": "ultrafast", "bf": "0"} if codec == "libx264" else {}
            rate = Fraction(fps).limit_denominator(1001)
            video = container.add_stream(codec, rate=rate, options=default | (video_options or {}))
            video.width, video.height = width, height
            video.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
            # AVI counts pictures; the others get milliseconds, so that any time can be told.
            video.codec_context.time_base = Fraction(1, 1000) if codec == "libx264" else Fraction(1, round(fps))
            if rotation:
                video.set_display_rotation(rotation)
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=sound_rate, layout="mono" if len(sound) == 1 else "stereo")
        if images:
            for image, time in zip(images, times, strict=True):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.time_base = video.codec_context.time_base
                frame.pts = round(time / frame.time_base)
                packets += video.encode(frame)
            packets += video.encode()
        if sound is not None:
            step = audio.codec_context.frame_size or 1024
            coded = audio.codec_context
            resampler = av.AudioResampler(format=coded.format, layout=coded.layout, rate=sound_rate)
            for begin in range(0, sound.shape[1], step):
                piece = np.ascontiguousarray(sound[:, begin:begin + step])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=coded.layout.name)
                frame.sample_rate, frame.time_base = sound_rate, Fraction(1, sound_rate)
                frame.pts = begin + round(sound_start * sound_rate)
                for part in resampler.resample(frame):
                    packets += audio.encode(part)
            packets += audio.encode()
        packets = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def write_clip(path: Path, seconds: int = 3, width: int = 128, height: int = 64, with_sound: bool = True) -> Path:
    """An MP4 clip: picture k stands from k to k+1 s (two frames a second), with a tone."""
    images = [numbered_picture(index // 2, width, height) for index in range(2 * seconds)]
    return write_media(path, images, fps=2, sound=tone(seconds, 22_050) if with_sound else None, sound_rate=22_050)


@contextlib.contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
