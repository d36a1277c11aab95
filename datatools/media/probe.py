"""Open a media file, and read what its header states, without decoding.

    info = probe("episode.mkv")     # info.duration, info.video.width, info.audio.sample_rate, ...
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from datatools.errors import UserError

# Only containers that hold their own streams: playlists and concat scripts would open other files or URLs.
FORMATS = tuple("mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg flv asf ogg mp3 wav".split())
ESTIMATED_DURATION = ("mpegts", "mpeg", "mp3")     # these state no duration: libav estimates it


class MediaError(UserError):
    """A media file that cannot be read, or not to its end."""


@dataclass(frozen=True)
class VideoInfo:
    """The video stream that is read; width and height in pixels before rotation, times in seconds from time zero."""

    index: int
    codec: str
    width: int
    height: int
    rate: float | None
    start: float
    duration: float | None


@dataclass(frozen=True)
class AudioInfo:
    """The audio stream that is read; times in seconds from time zero."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    start: float
    duration: float | None


@dataclass(frozen=True)
class MediaInfo:
    """What a media file states; `start` is the container's own time at time zero; times in seconds."""

    path: Path
    format: str
    start: float
    duration: float | None
    video: VideoInfo | None
    audio: AudioInfo | None


def probe(path: Path) -> MediaInfo:
    """What the file states, without decoding it. Raises MediaError where it cannot be read."""
    with open_media(path) as container:
        video, audio = video_stream(container), audio_stream(container)
        return MediaInfo(
            path=Path(path),
            format=container.format.name,
            start=float(time_zero(container)),
            duration=file_duration(container),
            video=video and VideoInfo(
                index=video.index,
                codec=video.codec_context.name,
                width=video.codec_context.width,
                height=video.codec_context.height,
                rate=float(video.average_rate) if video.average_rate else None,
                start=stream_start(container, video),
                duration=promised_duration(container, video),
            ),
            audio=audio and AudioInfo(
                index=audio.index,
                codec=audio.codec_context.name,
                sample_rate=audio.codec_context.sample_rate,
                channels=audio.codec_context.channels,
                start=stream_start(container, audio),
                duration=promised_duration(container, audio),
            ),
        )


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[av.container.InputContainer]:
    """The opened file, closed at the end. Raises MediaError where it is not a readable media file."""
    path = Path(path)
    if not path.is_file():
        found = "not a regular file" if path.exists() else "no such file"
        raise MediaError(f"{path}: {found}. Give the path of a video file.")
    try:
        container = av.open(
            # The prefix keeps a name like "concat:a" or "http://a" from being taken for a protocol.
            f"file:{path.absolute()}",
            container_options={"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)},
            metadata_errors="replace",
        )
    except (PermissionError, av.error.PermissionError) as error:
        # libav also answers EPERM where a script names a protocol that is not allowed.
        raise MediaError(
            f"{path}: may not be opened (permission denied, or a playlist). Give a readable video file."
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path}: not a media file that can be read ({error_reason(error)}), or cut off. Expected MP4, Matroska, "
            "WebM, AVI, MOV, MPEG-TS, FLV or WMV. Copy the file again, or remove it."
        ) from error
    with container:
        if not has_format(container, *FORMATS):
            expected = ", ".join(FORMATS)
            raise MediaError(f"{path}: a file of format {container.format.name!r}. Expected one of {expected}.")
        yield container


def error_reason(error: Exception) -> str:
    """libav's error message, without its file name and error number."""
    return getattr(error, "strerror", None) or str(error)


def has_format(container, *formats: str) -> bool:
    """Whether the container is of one of these formats; libav's own name may list several ("mov,mp4,m4a,...")."""
    return not set(container.format.name.split(",")).isdisjoint(formats)


def is_cover(stream: av.VideoStream) -> bool:
    """Whether a video stream is a cover picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def video_stream(container) -> av.VideoStream | None:
    """The video stream to read: one marked as default, else the first, as OpenCV and most players do.

    None where there is none that a decoder exists for.
    """
    found = [s for s in container.streams.video if s.codec_context and not is_cover(s)]
    return max(found, key=lambda s: bool(s.disposition & av.stream.Disposition.default), default=None)


def audio_stream(container) -> av.AudioStream | None:
    """The stream that the ffmpeg command line reads: marked as default, then the most channels, then the first.

    None where there is none that a decoder exists for.
    """
    def rank(stream):
        return bool(stream.disposition & av.stream.Disposition.default), stream.codec_context.channels

    return max((s for s in container.streams.audio if s.codec_context), key=rank, default=None)


def time_zero(container) -> Fraction:
    """Time zero in the container's own time, in seconds."""
    return Fraction(container.start_time or 0, av.time_base)


def stream_start(container, stream) -> float:
    """Seconds from time zero to the start of the stream, as the file states it."""
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base - time_zero(container))


def promised_end(container, stream) -> float | None:
    """The end of this stream in seconds from time zero, as the file states it; None where it states none."""
    if has_format(container, *ESTIMATED_DURATION):
        return None
    start = max(0.0, stream_start(container, stream))
    if container.format.name == "avi" and stream.frames > container.size:
        return None      # written live: the number was not known
    if container.format.name == "avi" and stream.frames:
        return start + float(stream.frames * stream.time_base)      # from the header: libav shortens a truncated file's
    if has_format(container, "asf"):
        return None      # it states only the file's
    if stream.duration is not None:
        return start + float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")     # Matroska: 00:00:10.333000000
    try:
        hours, minutes, seconds = tag.split(":")
        # ffmpeg writes the stream's end there, on the container's own clock.
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - float(time_zero(container))
    except ValueError:
        return None


def promised_duration(container, stream) -> float | None:
    """The duration of this stream in seconds, as the file states it; None where it states none."""
    end = promised_end(container, stream)
    return None if end is None else end - max(0.0, stream_start(container, stream))


def file_duration(container) -> float | None:
    """Seconds from time zero to the end of sound and picture, as the file states it; None where it is unknown.

    In some formats it is libav's estimate.
    """
    if has_format(container, "asf"):      # each stream has the file's end as its duration, on the container's own clock
        ends = [stream.duration * stream.time_base for stream in container.streams if stream.duration is not None]
        return max(0.0, float(max(ends) - time_zero(container))) if ends else None
    films = [stream for stream in container.streams.video if not is_cover(stream)]
    ends = [promised_end(container, stream) for stream in (*films, *container.streams.audio)]
    if container.streams.subtitles and ends and None not in ends:
        return max(ends)      # a subtitle may be shown, as far as the file tells, long after the film's end
    if container.duration is None or (container.format.name == "avi" and None in ends):
        return None
    begins = max(0, container.start_time or 0) if has_format(container, "matroska") else 0      # as above
    return max(0.0, (container.duration - begins) / av.time_base)
