"""A plan becomes a file: painted and played by its family, then encoded.

    render_clip(plan_clip(seed=0, index=3, kind="s"), Path("clip.mp4"))
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datatools.files import write_atomic
from synth.drawn.audio import DrawnStudio
from synth.drawn.picture import DrawnPicture
from synth.film.audio import FilmStudio
from synth.film.picture import FilmPicture
from synth.paper.audio import PaperStudio
from synth.paper.picture import PaperPicture
from synth.plan import ClipPlan, frame_ticks
from synth.scene import Picture
from synth.sound import render_sound

PAINTERS = {
    "drawn": (DrawnPicture, DrawnStudio),
    "paper": (PaperPicture, PaperStudio),
    "film": (FilmPicture, FilmStudio),
}


def render_clip(plan: ClipPlan, path: Path) -> None:
    """Paint, play and encode one clip: H.264 and AAC in an .mp4 at `path`; the same plan gives the same bytes."""
    rng = np.random.default_rng([plan.seed, 3])
    picture, sound = paint_and_play(plan)
    ticks, end_tick, time_base = frame_ticks(plan)
    exact = {"fflags": "+bitexact"}  # no time of day, no library's version in the file
    with write_atomic(Path(path)) as temporary, av.open(str(temporary), "w", options=exact) as container:
        rate = Fraction(25) if plan.fps == "vfr" else 1 / time_base
        video = add_picture_stream(container, (plan.width, plan.height), rate, time_base, rng)
        audio = add_sound_stream(container, plan.sample_rate, plan.channels)
        played, shown = 0, None
        for tick, following in zip(ticks, [*ticks[1:], end_tick], strict=True):
            image = picture.frame(float(tick * time_base))
            if image is not shown:  # a held drawing: the encoder gets the same frame again
                shown, frame = image, av.VideoFrame.from_ndarray(image, format="yuv420p")
            frame.pts, frame.time_base, frame.duration = tick, time_base, following - tick
            container.mux(video.encode(frame))
            until = round(following * time_base * plan.sample_rate)
            if until - played > plan.sample_rate or following == end_tick:
                until = sound.shape[1] if following == end_tick else until
                played = encode_sound(container, audio, sound[:, played:until], played)
        container.mux(video.encode())
        container.mux(audio.encode())


def paint_and_play(plan: ClipPlan) -> tuple[Picture, np.ndarray]:
    """(picture, sound) of a plan, by its family; sound is float32 (channels, samples)."""
    picture_type, studio_type = PAINTERS[plan.family]
    return picture_type(plan), render_sound(plan, studio_type)


def add_picture_stream(container, size: tuple[int, int], rate: Fraction, time_base: Fraction, rng: np.random.Generator):
    """Add an H.264 stream of `size` (width, height) whose quality and distance of key frames `rng` chooses."""
    keyint = int(rng.choice((50, 125, 250)))
    stream = container.add_stream("libx264", rate=rate)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.time_base = stream.time_base = time_base
    stream.codec_context.thread_count = 1
    stream.codec_context.gop_size = keyint
    stream.options = {
        "preset": "ultrafast",
        "crf": str(rng.integers(24, 30)),
        "bf": str(rng.integers(0, 3)),
        "x264-params": "threads=1:lookahead-threads=1:scenecut=40:b-adapt=0:rc-lookahead=10",
    }
    return stream


def add_sound_stream(container, sample_rate: int, channels: int):
    """Add an AAC stream, mono or stereo."""
    stream = container.add_stream("aac", rate=sample_rate, layout="mono" if channels == 1 else "stereo")
    stream.bit_rate = 64_000 * channels
    stream.options = {"aac_coder": "fast"}
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def encode_sound(container, stream, sound: np.ndarray, start: int) -> int:
    """Encode float32 (channels, samples), the first of which is number `start`; returns the number after the last."""
    if sound.shape[1]:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts = stream.rate, start
        container.mux(stream.encode(frame))
    return start + sound.shape[1]
