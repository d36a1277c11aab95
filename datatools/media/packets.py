"""A media file's packets, and the decoded frames of one stream with their times.

    for second, lasts, frame in decode(path, stream):     # in presentation order
        ...

`read_packets` seeks to the wanted time, `mark_needless` finds packets whose frames are not needed, and `decode`
decodes the rest and detects a damaged or truncated file. `skips_pictures` tells where a further seek saves decoding.
"""

import bisect
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av

from datatools.media.gaps import PacketGaps
from datatools.media.probe import (
    ESTIMATED_DURATION,
    MediaError,
    error_reason,
    file_duration,
    has_format,
    promised_end,
    time_zero,
)
from datatools.media.structure import broken_structure

TIME_TOLERANCE = 1e-5             # s; containers round the start to 1 us, and a frame at 1 s must count as shown at 1 s
CUT_TOLERANCE = 0.5               # s; a stream that ends this much before its stated end is truncated or damaged
START_TOLERANCE = 1.0             # s; this much before the first frame may fail: a recording begins before a keyframe
GAP_TOLERANCE = {"sound": 0.2, "picture": 1.0}      # s; a longer gap between decoded frames is looked into
BACK_TOLERANCE = 1.0              # s; decoding times that go back further begin anew, as in files that were joined
MOST_MESSAGES = 100               # about one file; each place of a badly damaged one would fill the memory
MOST_AWAITED = 1000               # packets; decoders hold back some 20 frames, a frame may come from two packets
SPARSE_GAP = 1.0                  # s; times that are no further apart are read without a gap, so that damage shows
SEEK_FROM = 5.0                   # s; for earlier times, decoding begins at the file's start, without a seek
SEEK_BACK = (1.0, 15.0, 60.0)     # s; seek targets before the wanted time, tried in this order
MOST_HELD = 64 * 2**20            # bytes of packets held until the last keyframe before the wanted time is known


def read_packets(
    container, stream, first: float, alone: bool = False, jump: bool = False
) -> Iterator[av.Packet]:
    """The file's packets, from early enough to decode the stream's frame at `first` (s from time zero).

    Pictures begin at the last keyframe that starts at or before `first`, sound at an earlier packet. If `first` is
    before SEEK_FROM, or no seek reaches such a packet, they begin at the file's start. With `jump` the container may
    have been read before, so there is always a seek.
    They are packets of all streams but attachments and data, whose times may be anything. With `alone` they are the
    stream's own, provided that there is no seek; after one they are always those of all.
    """
    streams = [other for other in container.streams if other.type in ("video", "audio", "subtitle")]
    if first < SEEK_FROM and not jump:
        yield from container.demux(stream if alone else streams)
        return
    zero = time_zero(container)
    for back in (0.0, *SEEK_BACK) if stream.type == "video" else SEEK_BACK:     # sound needs what comes before it
        target = max(0.0, first - back)
        try:
            container.seek(round((target + float(zero)) / stream.time_base), stream=stream)
        except av.FFmpegError:
            break
        packets = container.demux(streams)
        begun = _from_keyframe(packets, stream, float(zero), first if stream.type == "video" else target)
        if begun:
            yield from itertools.chain(begun, packets)      # which also bears that all packets are read already
            return
    container.seek(container.start_time or 0)
    yield from container.demux(streams)


def _from_keyframe(packets: Iterator[av.Packet], stream, zero: float, latest: float) -> list[av.Packet]:
    """The first of `packets`: of pictures those from the last keyframe at or before `latest` (s from time zero) on.

    A seek may land some groups of pictures earlier, or in the middle of one. Of sound all are kept. Empty where no
    keyframe of the stream is reached in time.
    """
    begun, held, base, found = [], 0, float(stream.time_base), False
    for packet in packets:
        begun.append(packet)
        held += packet.size
        stamp = packet.pts if packet.pts is not None else packet.dts
        if packet.stream.index != stream.index or stamp is None:
            continue
        if packet.is_keyframe and stamp * base - zero <= latest + TIME_TOLERANCE:
            found = True
            if stream.type != "video":
                break
            begun, held = [packet], packet.size
        # A frame never starts before its decoding time.
        passed = packet.dts is not None and packet.dts * base - zero > latest
        if stream.type != "video" or passed or held > MOST_HELD:
            break
    return begun if found else []


def skips_pictures(stream, zero: float, last: float, last_keyframe: float, time: float) -> bool:
    """Whether a seek to `time` is sure, or likely, to skip pictures that would otherwise be decoded for nothing.

    `last` is where decoding stands and `last_keyframe` where the group of pictures there begins; all in s from time
    zero. The file's index tells it where it is known: MP4 and AVI list all packets, Matroska's is only read by a seek.
    Without it, a seek is made where it costs at worst as much as reading on, because it ends at the same keyframe.
    """
    if time - last <= SPARSE_GAP:
        return False
    index = getattr(stream, "index_entries", ())      # older PyAV has none
    if len(index):
        found = index.search_timestamp(math.floor((time + zero) / stream.time_base), backward=True)
        if found >= 0 and float(index[found].timestamp * stream.time_base) - zero > last:
            return True
        if len(index) >= stream.frames > 0:
            return False
    return time - last > max(SEEK_FROM, last - last_keyframe)


def mark_needless(
    packets: Iterable[av.Packet], stream, zero: float, times: list[float]
) -> Iterator[tuple[av.Packet, bool]]:
    """(packet, whether its frame is shown at none of `times`), in the packets' order; `zero` (s) is time zero.

    The frame shown at a time is the last one that starts at or before it. So of the frames that start between one time
    and the next, only the last is needed; a frame that starts after all times counts as needed too.

    Packets are in decoding order, not in presentation order: a later packet may hold an earlier frame. But a frame's
    presentation time is never before its decoding time. So a packet is held back until the decoding times have passed
    the first of `times` at which its frame could be shown; after that, no later packet can replace it there.

    Where timestamps are missing or contradictory, every packet from there on counts as needed.
    """
    base = float(stream.time_base)
    limits = [time + TIME_TOLERANCE for time in times]      # s; a frame that starts by then is shown at that time
    last_start = [-math.inf] * len(times)      # s; start of the last frame between the previous time and this one
    beyond = len(times)     # index for packets that start after all times, at an unknown time, or in another stream
    # (packet, start of its frame (s), index of the first time at which that frame could be shown)
    held: deque[tuple[av.Packet, float, int]] = deque()
    reliable, decoded_to = True, -math.inf     # decoded_to: the last decoding time, s in the container's own time

    def is_needless(start, index):
        return reliable and index < beyond and start < last_start[index]

    for packet in packets:
        start, index = 0.0, beyond
        if packet.stream.index == stream.index:
            pts, dts = packet.pts, packet.dts
            if pts is None or (dts is not None and (pts < dts or dts * base < decoded_to)):
                reliable = reliable and pts is dts is None      # the empty packet at a file's end has no timestamps
            else:
                decoded_to = decoded_to if dts is None else dts * base     # Matroska: unknown for the first packets
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
    stream,
    first: float = 0.0,
    salvage: list[str] | None = None,
    times: list[float] | None = None,
    jump: bool = False,
    others: Callable[[av.Packet], None] | None = None,
) -> Iterator[tuple[float, float, av.frame.Frame]]:
    """(seconds from time zero, duration in seconds, frame), in presentation order; begins near `first`, or before it.

    `jump`: the container has been read before. With `times`, frames that are shown at none of them may be left out.
    `others` is called with each packet of the other streams, as they come in the file.
    Where a part is missing from the middle of the file, the frames after it keep their own times; the list `salvage`,
    if given, gets a message about it.
    Raises MediaError where decoding fails, nothing can be decoded, times begin anew, or the stream ends before its
    stated end; without `salvage` also where a part is missing.
    """
    container = stream.container
    decoding = _Decoding(path, container, stream, salvage, seeks=jump or first >= SEEK_FROM)
    packets = read_packets(container, stream, first, decoding.alone and others is None, jump)
    if others is not None:
        packets = _handing(packets, stream, others)
    stream.codec_context.skip_frame = "DEFAULT"      # an earlier call may have ended while leaving frames out
    # H.264 marks non-reference frames. Skipping these leaves all other frames identical to the bit. (HEVC's mark means
    # less: frames of a higher temporal layer may still refer to a marked one.)
    # AVI states no presentation times, so that these are guesses.
    if times and stream.codec_context.name == "h264" and not has_format(container, "avi"):
        marked = mark_needless(packets, stream, decoding.zero, times)
    else:
        marked = zip(packets, itertools.repeat(False), strict=False)
    try:
        yield from decoding.frames(marked)
    except MediaError:
        raise
    except (av.FFmpegError, LookupError, ArithmeticError, ValueError, TypeError) as error:      # PyAV's, at odd files
        raise decoding.failure(error) from error
    decoding.check_end()


def _handing(packets: Iterable[av.Packet], stream, others: Callable[[av.Packet], None]) -> Iterator[av.Packet]:
    """All packets; those of other streams than this one are handed to `others` too."""
    for packet in packets:
        is_other = packet.stream.index != stream.index
        yield packet
        if is_other:
            others(packet)      # last, since it may change the packet


class _Decoding:
    """The decoding of one stream: what the file states about it, and how far decoding has come.

    All times are in seconds from time zero.
    """

    def __init__(self, path: Path, container, stream, salvage: list[str] | None, seeks: bool):
        self.path, self.stream, self.salvage, self.seeks = path, stream, salvage, seeks
        self.kind = "sound" if stream.type == "audio" else "picture"
        self.gaps = PacketGaps(path, container)
        self.zero, self.time_bases = self.gaps.zero, self.gaps.time_bases
        self.frame_base: float | None = None        # of the decoded frames; known from the first one on
        rate = stream.average_rate if self.kind == "picture" else None
        self.usual_duration = float(1 / rate) if rate else 0.0      # of a frame without a duration of its own

        self.promised_end = promised_end(container, stream)
        # MP4 states the duration of each stream and the place of all its packets, so one stream can be read alone. This
        # does not hold for fragments.
        # Other files need the packets of all streams: Matroska may state only the duration of the longest one, and a
        # part missing from the middle shows only as a gap without packets of any stream.
        self.alone = self.promised_end is not None and self.gaps.lists_packets
        self.promised_file_end: float | None = None
        if not self.alone and not has_format(container, *ESTIMATED_DURATION):
            self.promised_file_end = file_duration(container)
        self.lost_from: float | None = None     # start of the first packet without a frame, before any frame
        self.end: float | None = None           # where the last decoded frame ends
        self.last_picture: av.VideoFrame | None = None
        self.left_out_end = 0.0                 # where the last frame that was left out ends
        self.decoded_to = -math.inf             # the stream's last decoding time
        self.awaited: deque[float] = deque(maxlen=MOST_AWAITED)     # starts of packets whose frames are yet to come
        self.is_conceded = False                # whether a corrupt frame has been told of

    def frames(self, marked: Iterable[tuple[av.Packet, bool]]) -> Iterator[tuple[float, float, av.frame.Frame]]:
        """(start, duration, frame) of each decoded frame. Raises av.FFmpegError, and MediaError as `_place`."""
        index, codec = self.stream.index, self.stream.codec_context
        leaving_out = False
        for packet, needless in marked:
            self.gaps.follow(packet, self._tell)
            if packet.stream.index != index:
                continue
            if not packet.size:
                yield from self._held(packet)
                continue
            if self._begins_anew(packet):
                for frame in codec.decode(None):
                    yield self._place(frame)
                raise MediaError(
                    f"{self.path}: the times of its {self.kind} begin anew after {self.end or 0.0:.1f} s, as in a file "
                    "that was joined from several. Encode it again, or cut it there."
                )
            needless = needless and self.end is not None     # the first frame is also shown at all times before it
            if needless is not leaving_out:
                codec.skip_frame = "NONREF" if needless else "DEFAULT"
                leaving_out = needless
            if needless:
                self.left_out_end = max(self.left_out_end, self.gaps.end_of(packet))
            elif packet.pts is not None and not packet.is_discard:
                self.awaited.append(self.gaps.start_of(packet))
                if self.lost_from is None and not self.seeks:      # a seek may land before a frame that can be decoded
                    self.lost_from = self.awaited[0]
            for frame in self._decode_packet(packet):
                yield self._place(frame)
        for frame in self._decode_packet(None):
            yield self._place(frame)

    def _held(self, packet: av.Packet) -> Iterator[tuple[float, float, av.frame.Frame]]:
        """The picture before an empty packet, which repeats it (Theora); nothing for libav's own at a file's end."""
        if packet.pts is None or self.last_picture is None:
            return
        start, end = self.gaps.start_of(packet), self.gaps.end_of(packet)
        self.left_out_end = max(self.left_out_end, end)
        if abs(start - self.end) < CUT_TOLERANCE:       # else the decoder holds back pictures that come before it
            self.end = end
            yield start, end - start, self.last_picture

    def _begins_anew(self, packet: av.Packet) -> bool:
        """Whether the stream's decoding times go back before this packet."""
        if packet.dts is None:
            return False
        now = packet.dts * self.time_bases.get(packet.stream.index, 0.0)
        before, self.decoded_to = self.decoded_to, now
        return now < before - BACK_TOLERANCE

    def _tell(self, what: str) -> None:
        """Add a message about damage that decoding can pass over to `salvage`. Raises MediaError without one."""
        message = f"{self.path}: {what}. The file is damaged: copy or encode it again, or remove it."
        if self.salvage is None:
            raise MediaError(message)
        if len(self.salvage) < MOST_MESSAGES:
            self.salvage.append(message)

    def _decode_packet(self, packet: av.Packet | None) -> list[av.frame.Frame]:
        """The frames that are ready after this packet, None being the end; none where the first ones cannot be decoded.
        """
        try:
            return self.stream.codec_context.decode(packet)
        except av.FFmpegError:
            if self.end is not None:
                raise
            # A recording may begin before its first keyframe.
            if packet is not None and self.lost_from is None:
                self.lost_from = self.gaps.start_of(packet) if packet.pts is not None else 0.0
            return []

    def _place(self, frame: av.frame.Frame) -> tuple[float, float, av.frame.Frame]:
        """(start, duration, frame). Raises MediaError where too much before the first frame cannot be decoded."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        self.frame_base = self.frame_base or float(frame.time_base or self.stream.time_base)
        start = stamp * self.frame_base - self.zero if stamp is not None else self.end or 0.0
        if self.kind == "sound":
            lasts = frame.samples / frame.sample_rate
        else:
            lasts = frame.duration * self.frame_base if frame.duration else self.usual_duration
        self._check_gap(start)
        if self.kind == "picture" and frame.is_corrupt and not self.is_conceded:
            self.is_conceded = True
            self._tell(f"its picture is damaged at {start:.1f} s")
        self.end = max(self.end or 0.0, start + lasts)
        if self.kind == "picture":
            self.last_picture = frame
        return start, lasts, frame

    def _check_gap(self, start: float) -> None:
        """Tell where frames before the one at `start` could not be decoded. Raises MediaError before the first one."""
        if self.end is None:
            if self.lost_from is not None and start - self.lost_from > START_TOLERANCE:
                raise MediaError(
                    f"{self.path}: its {self.kind} cannot be decoded before {start:.1f} s{self._of_promised()}. "
                    "The file is damaged: copy or encode it again, or remove it."
                )
        elif start > self.end + GAP_TOLERANCE[self.kind]:
            # A gap in the times alone is none: a picture may be held, a sound may pause.
            if any(self.end < awaited < start - TIME_TOLERANCE for awaited in self.awaited):
                self._tell(f"its {self.kind} cannot be decoded between {self.end:.1f} and {start:.1f} s")
        while self.awaited and self.awaited[0] <= start + TIME_TOLERANCE:
            self.awaited.popleft()

    def failure(self, error: av.FFmpegError) -> MediaError:
        """The message about an error in the middle of the stream."""
        return MediaError(
            f"{self.path}: decoding its {self.kind} fails after {self.end or 0.0:.1f} s{self._of_promised()} "
            f"({error_reason(error)}). The file is damaged: copy or encode it again, or remove it."
        )

    def check_end(self) -> None:
        """Raise MediaError where nothing was decoded, or less than the file states; tell where bytes are missing."""
        if self.end is None:
            raise MediaError(
                f"{self.path}: no {self.kind} could be decoded from its {self.stream.codec_context.name} stream. "
                "Encode it again, or remove it."
            )
        stream_is_cut = (
            self.promised_end is not None and max(self.end, self.left_out_end) < self.promised_end - CUT_TOLERANCE
        )
        file_is_cut = (
            self.promised_file_end is not None and self.gaps.end < self.promised_file_end - CUT_TOLERANCE
        )
        if stream_is_cut or file_is_cut:
            raise MediaError(
                f"{self.path}: its {self.kind} ends after {self.end:.1f} s{self._of_promised()}. "
                "The file is cut off or damaged: copy or encode it again, or remove it."
            )
        if broken := broken_structure(self.path) or self.gaps.at_end():
            self._tell(broken)

    def _of_promised(self) -> str:
        promised = self.promised_end or self.promised_file_end
        return "" if promised is None else f" of {promised:.1f} s"
