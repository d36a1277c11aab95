"""Video and sound out of a media file, by the time at which they are shown and heard; and pictures into a video.

    samples = read_audio("episode.mkv")                      # float32 (n,), 22,050 Hz, mono
    for image in read_frames("episode.mkv", range(200)):     # uint8 (height, width, 3), RGB, or None after the end
        ...

Time zero is the container's start (the earliest of its streams), so that picture and sound stay together.
"""

import bisect
import contextlib
import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from datatools.errors import UserError
from datatools.files import write_atomic

SAMPLE_RATE = 22_050              # Hz
AUDIO_GAP = 0.05                  # s; a longer hole between two sound packets is filled with silence
TIME_TOLERANCE = 1e-5             # s; containers round the start to 1 us, and a frame at 1 s must count as shown at 1 s
CUT_TOLERANCE = 1.0               # s; a stream that ends this much before its promised end is cut or broken
ENCODE_OPTIONS = {"crf": "18", "preset": "veryfast", "g": "10", "bf": "0", "threads": "1"}

# Only containers that hold their streams themselves: playlists and concat scripts would open other files or addresses.
FORMATS = tuple("mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg flv asf ogg mp3 wav".split())
ESTIMATED_DURATION = ("mpegts", "mpeg", "mp3")     # these promise nothing: libav guesses their duration


SEEK_FROM = 5.0                   # s; what begins earlier is decoded from the file's start
SEEK_BACK = (1.0, 15.0, 60.0)     # s; how far before the wanted time a jump aims, tried in this order
HOLE_TOLERANCE = 2.0              # s; a longer time without a packet of any stream was lost from the file
RESAMPLE_MARGIN = 0.1             # s; more sound on both sides of a span than is given back, for the resampling filter


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
    """What a media file promises; `start` is the container's own time at time zero, times in seconds."""

    path: Path
    format: str
    start: float
    duration: float | None
    video: VideoInfo | None
    audio: AudioInfo | None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[av.container.InputContainer]:
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
        # libav answers EPERM also where a script names a protocol that is not allowed.
        raise MediaError(
            f"{path}: may not be opened (permission denied, or a playlist). Give a readable video file."
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path}: not a media file that can be read ({_reason(error)}), or cut off. Expected MP4, Matroska, "
            "WebM, AVI, MOV, MPEG-TS, FLV or WMV. Copy the file again, or remove it."
        ) from error
    with container:
        if not set(container.format.name.split(",")) & set(FORMATS):
            expected = ", ".join(FORMATS)
            raise MediaError(f"{path}: a file of format {container.format.name!r}. Expected one of {expected}.")
        yield container


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _video_stream(container):
    # The first one, as OpenCV and most players do; a cover picture is no video.
    found = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    return max(found, key=lambda s: bool(s.disposition & av.stream.Disposition.default), default=None)


def _audio_stream(container):
    # As the ffmpeg command line: a stream marked as default first, then the most channels, then the first.
    def rank(stream):
        return bool(stream.disposition & av.stream.Disposition.default), stream.codec_context.channels

    return max(container.streams.audio, key=rank, default=None)


def _zero(container) -> Fraction:
    """Time zero in the container's own time, in seconds."""
    return Fraction(container.start_time or 0, av.time_base)


def _stream_start(container, stream) -> float:
    return 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base - _zero(container))


def _promised_duration(container, stream) -> float | None:
    """Seconds that the file says this stream lasts, or None where it says nothing about this one."""
    if set(container.format.name.split(",")) & set(ESTIMATED_DURATION):
        return None
    if container.format.name == "avi" and stream.frames:
        return float(stream.frames * stream.time_base)      # its header's; libav shortens the duration of a cut file
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")     # Matroska: 00:00:10.333000000
    try:
        hours, minutes, seconds = tag.split(":")
        # ffmpeg writes the time of the stream's end there, not how long it is.
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - max(0.0, _stream_start(container, stream))
    except ValueError:
        return None


def probe(path: Path) -> MediaInfo:
    """What the file promises, without decoding it. Raises MediaError where it cannot be read."""
    with _open(path) as container:
        video, audio = _video_stream(container), _audio_stream(container)
        return MediaInfo(
            path=Path(path),
            format=container.format.name,
            start=float(_zero(container)),
            duration=None if container.duration is None else container.duration / av.time_base,
            video=video and VideoInfo(
                index=video.index,
                codec=video.codec_context.name,
                width=video.codec_context.width,
                height=video.codec_context.height,
                rate=float(video.average_rate) if video.average_rate else None,
                start=_stream_start(container, video),
                duration=_promised_duration(container, video),
            ),
            audio=audio and AudioInfo(
                index=audio.index,
                codec=audio.codec_context.name,
                sample_rate=audio.codec_context.sample_rate,
                channels=audio.codec_context.channels,
                start=_stream_start(container, audio),
                duration=_promised_duration(container, audio),
            ),
        )


def _packets(container, stream, first: float, alone: bool = False) -> Iterator[av.Packet]:
    """Packets of all streams, from one so early that `first` (s) can be decoded; from the start where jumping fails.

    `alone` leaves out those of other streams.
    """
    if first < SEEK_FROM:
        yield from container.demux(stream) if alone else container.demux()
        return
    for back in SEEK_BACK:
        target = max(0.0, first - back)
        try:
            container.seek(round((target + float(_zero(container))) / stream.time_base), stream=stream)
        except av.FFmpegError:
            break
        packets = container.demux()
        begun = []      # until the stream's own first packet, which tells where the jump has landed
        for packet in packets:
            begun.append(packet)
            if packet.stream_index == stream.index:
                break
        landed = begun[-1] if begun else None
        stamp = landed and (landed.pts if landed.pts is not None else landed.dts)
        if stamp is not None and landed.stream_index == stream.index and landed.is_keyframe:
            if float(stamp * landed.time_base - _zero(container)) <= target + TIME_TOLERANCE:
                yield from begun
                yield from packets
                return
    container.seek(container.start_time or 0)
    yield from container.demux()


def _mark_needless(packets: Iterable[av.Packet], stream, zero: float, times: list[float]) -> Iterator[tuple]:
    """(packet, whether its frame is not the one shown at any of `times`), in the packets' order.

    A packet waits until a decoding time tells that no later one can be shown before it. Where times are missing or
    disagree, every packet counts as needed.
    """
    base, ends = float(stream.time_base), [time + TIME_TOLERANCE for time in times]
    latest = [-math.inf] * len(times)      # s; the last frame presented at or before each time
    waiting: deque[tuple[av.Packet, float, int]] = deque()
    reliable, decoded_to = True, -math.inf
    for packet in packets:
        if packet.stream_index != stream.index:
            waiting.append((packet, 0.0, -1))
        else:
            pts, dts = packet.pts, packet.dts
            second, index = 0.0, -1
            if pts is None or (dts is not None and (pts < dts or dts * base < decoded_to)):
                reliable = reliable and pts is dts is None      # the empty packet at the end says nothing
            else:
                decoded_to = decoded_to if dts is None else dts * base     # Matroska: unknown for the first ones
                second = pts * base - zero
                index = bisect.bisect_left(ends, second)
                if index < len(times):
                    latest[index] = max(latest[index], second)
            waiting.append((packet, second, index))
        now = decoded_to - zero
        while waiting:
            packet, second, index = waiting[0]
            if reliable and 0 <= index < len(times) and now <= ends[index]:
                break
            waiting.popleft()
            yield packet, reliable and 0 <= index < len(times) and second < latest[index]
    for packet, second, index in waiting:
        yield packet, reliable and 0 <= index < len(times) and second < latest[index]


def _decode(
    path: Path,
    container,
    stream,
    kind: str,
    first: float = 0.0,
    salvage: list[str] | None = None,
    times: list[float] | None = None,
) -> Iterator[tuple[float, float, av.frame.Frame]]:
    """(seconds from time zero, its duration in seconds, frame), in the order of presentation; about from `first` on.

    With `times`, frames that are shown at none of them may be left out. Where the middle of the file is missing, the
    times go on behind it; a list `salvage` is told of it.
    Raises MediaError where decoding fails, nothing can be decoded, or the stream ends before its promised end.
    """
    zero = float(_zero(container))
    duration = _promised_duration(container, stream)
    promised_end = None if duration is None else max(0.0, _stream_start(container, stream)) + duration
    # All streams where need be: a Matroska file may promise only how long the longest of them is, and what is lost from
    # its middle shows as a time without packets. An MP4 file tells both of each stream.
    alone = promised_end is not None and "mp4" in container.format.name.split(",")
    guessed = set(container.format.name.split(",")) & set(ESTIMATED_DURATION)
    container_end = None
    if not alone and not guessed and container.duration is not None:
        container_end = container.duration / av.time_base
    rate = stream.average_rate if kind == "picture" else None
    default_duration = float(1 / rate) if rate else 0.0
    of_promised = "" if (promised_end or container_end) is None else f" of {promised_end or container_end:.1f} s"

    lost_from = None        # s; where packets that cannot be decoded begin, before the first frame
    end = None              # s; where the last decoded frame ends
    left_out_end = 0.0      # s; the same of those left out
    demuxed_end = 0.0       # s; the same for every stream of the file, not decoded
    # Making a Fraction for each packet would cost a quarter of the decoding.
    bases = {other.index: float(other.time_base) for other in container.streams if other.time_base}
    frame_base = None
    packets = _packets(container, stream, first, alone)
    # H.264 says of each picture whether any other is built from it: without the others, the rest is the same to the
    # bit. (HEVC's mark means less: a higher temporal layer may still build on it.)
    codec = stream.codec_context
    if times and codec.name == "h264":
        marked = _mark_needless(packets, stream, zero, times)
    else:
        marked = ((packet, False) for packet in packets)
    leaving_out = False
    try:
        for packet, needless in marked:
            base = bases.get(packet.stream_index, 0.0)
            pts = packet.pts
            if pts is not None:
                begin = pts * base - zero
                if salvage is not None and demuxed_end and begin > demuxed_end + HOLE_TOLERANCE:
                    salvage.append(f"{path}: nothing of it could be read between {demuxed_end:.1f} and {begin:.1f} s. "
                                   "The file is damaged: copy or encode it again, or remove it.")
                demuxed_end = max(demuxed_end, (pts + (packet.duration or 0)) * base - zero)
            if packet.stream_index != stream.index:
                continue
            needless = needless and end is not None      # the first frame is shown at earlier times, whichever it is
            if needless is not leaving_out:
                codec.skip_frame = "NONREF" if needless else "DEFAULT"
                leaving_out = needless
            if needless:
                left_out_end = max(left_out_end, (pts + (packet.duration or 0)) * base - zero)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                if end is not None:
                    raise
                # A recording may begin before its first key frame.
                if lost_from is None:
                    lost_from = (pts or 0) * base - zero
                continue
            for frame in frames:
                stamp = frame.pts if frame.pts is not None else frame.dts
                frame_base = frame_base or float(frame.time_base)
                second = stamp * frame_base - zero if stamp is not None else end or 0.0
                if kind == "sound":
                    lasts = frame.samples / frame.sample_rate
                else:
                    lasts = frame.duration * frame_base if frame.duration else default_duration
                if end is None and lost_from is not None and second - lost_from > CUT_TOLERANCE:
                    raise MediaError(
                        f"{path}: its {kind} cannot be decoded before {second:.1f} s{of_promised}. "
                        "The file is damaged: copy or encode it again, or remove it."
                    )
                end = max(end or 0.0, second + lasts)
                yield second, lasts, frame
    except av.FFmpegError as error:
        raise MediaError(
            f"{path}: decoding its {kind} fails after {end or 0.0:.1f} s{of_promised} ({_reason(error)}). "
            "The file is damaged: copy or encode it again, or remove it."
        ) from error
    if end is None:
        codec = stream.codec_context.name
        raise MediaError(f"{path}: no {kind} could be decoded from its {codec} stream. Encode it again, or remove it.")
    ends_early = promised_end is not None and max(end, left_out_end) < promised_end - CUT_TOLERANCE
    if ends_early or (container_end is not None and demuxed_end < container_end - CUT_TOLERANCE):
        raise MediaError(
            f"{path}: its {kind} ends after {end:.1f} s{of_promised}. The file is cut off or damaged: "
            "copy or encode it again, or remove it."
        )


class _MonoMixer:
    """Sound frames of any format and layout to mono float32 at one rate."""

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


def read_audio(
    path: Path,
    sample_rate: int = SAMPLE_RATE,
    start: float = 0.0,
    duration: float | None = None,
    salvage: list[str] | None = None,
) -> np.ndarray:
    """The file's sound as mono, float32 (n,), from time zero; silence before a late start and in gaps.

    `start` and `duration` (s) give that span alone, at the cost of that span: what lies before is not decoded. Its
    place is as exact as the file's time stamps (Matroska: 1 ms); it is shorter where the sound ends within. Channels
    beyond two are mixed down to stereo by libswresample; mono is the mean of the two, and soxr resamples at its high
    quality: what librosa.load does. Raises MediaError; with a list `salvage`, what was decoded before a damaged place
    is given back instead, and the message is appended there.
    """
    import soxr

    with _open(path) as container:
        stream = _audio_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no sound in it (no audio stream). Give a file with sound, or remove it.")
        stream.codec_context.thread_count = 1
        limit = max(container.duration or 0, 0) / av.time_base     # s; no silence is filled in beyond the file's end
        promised = _promised_duration(container, stream) if "mp4" in container.format.name else None
        stop = float("inf") if duration is None else start + duration + RESAMPLE_MARGIN
        rate, mixer, origin = 0, None, 0
        chunks, num_samples = [], 0       # num_samples: where the next one belongs, counted from time zero
        try:
            for second, _, frame in _decode(path, container, stream, "sound", start - RESAMPLE_MARGIN, salvage):
                if not rate:
                    rate = frame.sample_rate
                    mixer = _MonoMixer(rate)
                    # A span begins where samples of both rates fall together.
                    step = rate // math.gcd(rate, sample_rate)
                    origin = num_samples = max(0, math.floor((start - RESAMPLE_MARGIN) * rate)) // step * step
                try:
                    parts = mixer.mix(frame)
                except av.FFmpegError as error:
                    raise MediaError(
                        f"{path}: {frame.format.name} sound with layout {frame.layout.name!r} cannot be mixed to mono "
                        f"({_reason(error)}). Encode it again."
                    ) from error
                position = round(second * rate)
                gap = position - num_samples
                if chunks and abs(gap) < AUDIO_GAP * rate:
                    gap = 0
                if gap > 0:
                    if limit and second > limit + CUT_TOLERANCE:
                        raise MediaError(
                            f"{path}: its sound jumps to {second:.1f} s of {limit:.1f} s, so its times are broken. "
                            "Encode it again."
                        )
                    gap = min(gap, max(0, math.ceil(min(stop, 1e9) * rate) - num_samples))
                    chunks.append(np.zeros(gap, np.float32))
                    num_samples += gap
                if gap < 0 and not chunks:
                    parts = [part for part in [np.concatenate(parts)[-gap:]] if len(part)]    # before the span
                chunks += parts
                num_samples += sum(len(part) for part in parts)
                if num_samples >= stop * rate:
                    break
            else:
                if promised is not None and chunks:
                    # The encoder filled its last packet up; MP4 says where the sound itself ends.
                    end = round((max(0.0, _stream_start(container, stream)) + promised) * rate)
                    padding = num_samples - end
                    if 0 < padding < len(chunks[-1]):
                        chunks[-1] = chunks[-1][:-padding]
        except MediaError as error:
            if salvage is None or not chunks:
                raise
            salvage.append(str(error))
    if not chunks:
        raise MediaError(f"{path}: its sound ends before {start:.1f} s. Ask for an earlier span.")
    samples = np.concatenate(chunks)
    if rate != sample_rate:
        length = -(-len(samples) * sample_rate // rate)
        resampled = soxr.resample(samples, rate, sample_rate, quality="HQ")
        samples = np.pad(resampled[:length], (0, max(0, length - len(resampled)))).astype(np.float32, copy=False)
    skipped = round(start * sample_rate) - origin * sample_rate // rate
    return samples[skipped:None if duration is None else skipped + round(duration * sample_rate)]


def read_frames(
    path: Path,
    times: Iterable[float],
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
    threads: int = 1,
    salvage: list[str] | None = None,
) -> Iterator[np.ndarray | None]:
    """The picture shown at each of `times` (ascending seconds from time zero), one at a time.

    That is the last frame presented at or before the time; before the first frame, the first; after the end of the
    last one, None. uint8 (height, width, 3), RGB, turned as the file asks for, through `transform` where given.
    One picture may be yielded several times: copy it before changing it. Decoding begins at the last key frame before
    the first of the times, and stops after the last. Raises MediaError; with a list `salvage`, a damaged place ends the
    picture as its end would, and the message is appended there.
    """
    times = list(times)
    assert times == sorted(times), "times must ascend"

    def picture(frame):
        image = frame.to_ndarray(format="rgb24")
        if frame.rotation % 360:
            image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))    # both turn counter-clockwise
        return transform(image) if transform else image

    with _open(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: no picture in it (no video stream). Give a video, or remove it.")
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "AUTO"
        index, shown, image, end = 0, None, None, 0.0
        decoded = _decode(path, container, stream, "picture", times[0] if times else 0.0, salvage, times)
        while index < len(times):
            try:
                found = next(decoded, None)
            except MediaError as error:
                if salvage is None or shown is None:
                    raise
                salvage.append(str(error))
                found = None
            if found is None:
                break
            second, lasts, frame = found
            shown = shown or frame
            while index < len(times) and times[index] < second - TIME_TOLERANCE:
                image = picture(shown) if image is None else image
                yield image
                index += 1
            shown, image, end = frame, None, second + lasts
        for time in times[index:]:
            if time < end - TIME_TOLERANCE:
                image = picture(shown) if image is None else image
                yield image
            else:
                yield None


def save_video(path: Path, images: Iterable[np.ndarray | None], rate: int = 1) -> None:
    """Write RGB pictures, uint8 (height, width, 3), as H.264 in MP4 at `rate` frames a second; None is a black one.

    All get the size of the first, which must not be None. An odd width or height is made even by repeating the last
    column or row, because the 4:2:0 format needs it: positions in the picture stay what they were.
    """
    import cv2

    # Into memory first: a full disk is then an ordinary OSError of one write, not a muxer's half-reported one.
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for index, image in enumerate(images):
            if stream is None:
                height, width = image.shape[:2]
                stream = container.add_stream("libx264", rate=rate, options=ENCODE_OPTIONS)
                stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
                # libswscale's own choice for RGB, written down so that readers undo it with the same matrix.
                stream.codec_context.colorspace = av.video.reformatter.Colorspace.SMPTE170M
                stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
            if image is None:
                image = np.zeros((height, width, 3), np.uint8)
            if image.shape[:2] != (height, width):
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            if height % 2 or width % 2:
                image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with write_atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
