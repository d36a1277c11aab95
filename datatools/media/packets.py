"""A media file's packets, and the decoded frames of one stream with their times.

    for second, lasts, frame in decode(path, container, stream):     # in the order in which they are shown
        ...

`read_packets` starts near the wanted time, `mark_needless` finds packets whose frames nobody asked for, and `decode`
decodes the rest and tells a file that is damaged or cut off.
"""

import bisect
import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av

from datatools.media.probe import (
    ESTIMATED_DURATION,
    MediaError,
    error_reason,
    has_format,
    promised_end,
    time_zero,
)

TIME_TOLERANCE = 1e-5             # s; containers round the start to 1 us, and a frame at 1 s must count as shown at 1 s
CUT_TOLERANCE = 1.0               # s; a stream that ends this much before its promised end is cut or broken
HOLE_TOLERANCE = 2.0              # s; a longer time without a packet of any stream was lost from the file
SEEK_FROM = 5.0                   # s; an earlier time is reached by decoding from the file's start
SEEK_BACK = (1.0, 15.0, 60.0)     # s; how far before the wanted time a jump aims, tried in this order


def read_packets(container, stream, first: float, alone: bool = False) -> Iterator[av.Packet]:
    """The file's packets, from one so early that the stream's frame at `first` (s from time zero) can be decoded.

    They begin at a key frame before `first`. Where that is near the file's start, or no jump leads to such a key frame,
    they begin at the file's start. They are those of all streams; with `alone`, only the stream's own, but only where
    `first` is so early that no jump is tried.
    """
    if first < SEEK_FROM:
        yield from container.demux(stream) if alone else container.demux()
        return
    zero = time_zero(container)
    for back in SEEK_BACK:
        target = max(0.0, first - back)
        try:
            container.seek(round((target + float(zero)) / stream.time_base), stream=stream)
        except av.FFmpegError:
            break
        packets = container.demux()
        # The stream's own first packet tells where the jump has landed. Those of other streams may come before it.
        begun = []
        for packet in packets:
            begun.append(packet)
            if packet.stream_index == stream.index:
                break
        if begun and _can_begin_with(begun[-1], stream, zero, target):
            yield from begun
            yield from packets
            return
    container.seek(container.start_time or 0)
    yield from container.demux()


def _can_begin_with(packet: av.Packet, stream, zero: Fraction, latest: float) -> bool:
    """Whether this is a key frame of the stream, at or before `latest` (s from time zero)."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None or packet.stream_index != stream.index or not packet.is_keyframe:
        return False
    return float(stamp * packet.time_base - zero) <= latest + TIME_TOLERANCE


def mark_needless(
    packets: Iterable[av.Packet], stream, zero: float, times: list[float]
) -> Iterator[tuple[av.Packet, bool]]:
    """(packet, whether its frame is shown at none of `times`), in the packets' order; `zero` (s) is time zero.

    What is shown at a time is the last frame that starts at or before it. So of the frames that start between one time
    and the next, only the last is needed; a frame that starts after all times counts as needed too.

    Packets are stored in the order of decoding, which is not the order of showing: a later packet may hold an earlier
    frame. But no frame is shown before it is decoded. So a packet is held back until the decoding times have passed the
    first of `times` at which its frame could be shown. No frame that is found later can replace it there.

    Where time stamps are missing or contradict each other, every packet from there on counts as needed.
    """
    base = float(stream.time_base)
    limits = [time + TIME_TOLERANCE for time in times]      # s; a frame that starts by then is shown at that time
    last_start = [-math.inf] * len(times)      # s; where the last frame between the time before and this one starts
    beyond = len(times)     # the index of what starts after all times, has no known start, or is of another stream
    # (packet, start of its frame (s), index of the first time at which that frame could be shown)
    held: deque[tuple[av.Packet, float, int]] = deque()
    reliable, decoded_to = True, -math.inf     # decoded_to: the last decoding time, s in the container's own time

    def is_needless(start, index):
        return reliable and index < beyond and start < last_start[index]

    for packet in packets:
        start, index = 0.0, beyond
        if packet.stream_index == stream.index:
            pts, dts = packet.pts, packet.dts
            if pts is None or (dts is not None and (pts < dts or dts * base < decoded_to)):
                reliable = reliable and pts is dts is None      # the empty packet at a file's end has no times
            else:
                decoded_to = decoded_to if dts is None else dts * base     # Matroska: unknown for the first ones
                start = pts * base - zero
                index = bisect.bisect_left(limits, start)
                if index < beyond:
                    last_start[index] = max(last_start[index], start)
        held.append((packet, start, index))
        now = decoded_to - zero
        while held:
            packet, start, index = held[0]
            if reliable and index < beyond and now <= limits[index]:
                break
            held.popleft()
            yield packet, is_needless(start, index)
    for packet, start, index in held:
        yield packet, is_needless(start, index)


def decode(
    path: Path,
    container,
    stream,
    first: float = 0.0,
    salvage: list[str] | None = None,
    times: list[float] | None = None,
) -> Iterator[tuple[float, float, av.frame.Frame]]:
    """(seconds from time zero, its duration in seconds, frame), in the order of showing; about from `first` on.

    With `times`, frames that are shown at none of them may be left out. Where a part is missing from the middle of the
    file, the frames behind it keep their own times; the list `salvage`, where given, gets a message about it.
    Raises MediaError where decoding fails, nothing can be decoded, or the stream ends before its promised end.
    """
    decoding = _Decoding(path, container, stream, salvage)
    packets = read_packets(container, stream, first, decoding.alone)
    # H.264 marks the pictures from which no other is built. Without decoding those, the rest stays the same to the bit.
    # (HEVC's mark means less: pictures of a higher temporal layer may still be built from a marked one.)
    if times and stream.codec_context.name == "h264":
        marked = mark_needless(packets, stream, decoding.zero, times)
    else:
        marked = zip(packets, itertools.repeat(False), strict=False)
    try:
        yield from decoding.frames(marked)
    except av.FFmpegError as error:
        raise decoding.failure(error) from error
    decoding.check_end()


class _Decoding:
    """The decoding of one stream: what the file promises of it, and how far it has come.

    All times are in seconds from time zero.
    """

    def __init__(self, path: Path, container, stream, salvage: list[str] | None):
        self.path, self.stream, self.salvage = path, stream, salvage
        self.kind = "sound" if stream.type == "audio" else "picture"
        self.zero = float(time_zero(container))     # of the container's own time
        # As floats: making a Fraction for each packet would cost a quarter of the decoding.
        self.time_bases = {other.index: float(other.time_base) for other in container.streams if other.time_base}
        self.frame_base: float | None = None        # of the decoded frames; known from the first one on
        rate = stream.average_rate if self.kind == "picture" else None
        self.usual_duration = float(1 / rate) if rate else 0.0      # of a frame that does not tell its own

        self.promised_end = promised_end(container, stream)
        # MP4 tells the length of each stream and where all its packets lie, so one stream can be read alone. Other
        # files need the packets of all streams: Matroska may tell no more than the length of the longest one, and a
        # part that is missing from the middle is seen only as a time in which no stream has a packet.
        self.alone = self.promised_end is not None and has_format(container, "mp4")
        self.promised_file_end: float | None = None
        if not self.alone and not has_format(container, *ESTIMATED_DURATION) and container.duration is not None:
            self.promised_file_end = container.duration / av.time_base

        self.lost_from: float | None = None     # start of the first packet that cannot be decoded, before any frame
        self.end: float | None = None           # where the last decoded frame ends
        self.left_out_end = 0.0                 # where the last frame that was left out ends
        self.packets_end = 0.0                  # where the last packet of any stream ends

    def frames(self, marked: Iterable[tuple[av.Packet, bool]]) -> Iterator[tuple[float, float, av.frame.Frame]]:
        """(start, duration, frame) of each decoded frame. Raises av.FFmpegError, or MediaError if it begins late."""
        index, codec = self.stream.index, self.stream.codec_context
        leaving_out = False
        for packet, needless in marked:
            self._follow(packet)
            if packet.stream_index != index:
                continue
            needless = needless and self.end is not None     # the first frame is also shown at all times before it
            if needless is not leaving_out:
                codec.skip_frame = "NONREF" if needless else "DEFAULT"
                leaving_out = needless
            if needless:
                self.left_out_end = max(self.left_out_end, self._packet_end(packet))
            for frame in self._decode_packet(packet):
                yield self._place(frame)

    def _packet_end(self, packet: av.Packet) -> float:
        base = self.time_bases.get(packet.stream_index, 0.0)
        return (packet.pts + (packet.duration or 0)) * base - self.zero

    def _follow(self, packet: av.Packet) -> None:
        """Note how far the packets of all streams reach, and report a hole before this one to `salvage`."""
        if packet.pts is None:
            return
        if self.salvage is not None and self.packets_end:
            start = packet.pts * self.time_bases.get(packet.stream_index, 0.0) - self.zero
            if start > self.packets_end + HOLE_TOLERANCE:
                self.salvage.append(
                    f"{self.path}: nothing of it could be read between {self.packets_end:.1f} and {start:.1f} s. "
                    "The file is damaged: copy or encode it again, or remove it."
                )
        self.packets_end = max(self.packets_end, self._packet_end(packet))

    def _decode_packet(self, packet: av.Packet) -> list[av.frame.Frame]:
        """The frames that are ready after this packet; none where it fails before the first frame of all."""
        try:
            return packet.decode()
        except av.FFmpegError:
            if self.end is not None:
                raise
            # A recording may begin before its first key frame.
            if self.lost_from is None:
                self.lost_from = (packet.pts or 0) * self.time_bases.get(packet.stream_index, 0.0) - self.zero
            return []

    def _place(self, frame: av.frame.Frame) -> tuple[float, float, av.frame.Frame]:
        """(start, duration, frame). Raises MediaError where too much before the first frame could not be decoded."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        self.frame_base = self.frame_base or float(frame.time_base)
        start = stamp * self.frame_base - self.zero if stamp is not None else self.end or 0.0
        if self.kind == "sound":
            lasts = frame.samples / frame.sample_rate
        else:
            lasts = frame.duration * self.frame_base if frame.duration else self.usual_duration
        if self.end is None and self.lost_from is not None and start - self.lost_from > CUT_TOLERANCE:
            raise MediaError(
                f"{self.path}: its {self.kind} cannot be decoded before {start:.1f} s{self._of_promised()}. "
                "The file is damaged: copy or encode it again, or remove it."
            )
        self.end = max(self.end or 0.0, start + lasts)
        return start, lasts, frame

    def failure(self, error: av.FFmpegError) -> MediaError:
        """The message about an error in the middle of the stream."""
        return MediaError(
            f"{self.path}: decoding its {self.kind} fails after {self.end or 0.0:.1f} s{self._of_promised()} "
            f"({error_reason(error)}). The file is damaged: copy or encode it again, or remove it."
        )

    def check_end(self) -> None:
        """Raise MediaError where nothing was decoded, or less than the file promises."""
        if self.end is None:
            raise MediaError(
                f"{self.path}: no {self.kind} could be decoded from its {self.stream.codec_context.name} stream. "
                "Encode it again, or remove it."
            )
        stream_is_cut = (
            self.promised_end is not None and max(self.end, self.left_out_end) < self.promised_end - CUT_TOLERANCE
        )
        file_is_cut = (
            self.promised_file_end is not None and self.packets_end < self.promised_file_end - CUT_TOLERANCE
        )
        if stream_is_cut or file_is_cut:
            raise MediaError(
                f"{self.path}: its {self.kind} ends after {self.end:.1f} s{self._of_promised()}. "
                "The file is cut off or damaged: copy or encode it again, or remove it."
            )

    def _of_promised(self) -> str:
        promised = self.promised_end or self.promised_file_end
        return "" if promised is None else f" of {promised:.1f} s"
