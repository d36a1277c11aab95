"""What is missing between the packets of a media file, in time and in bytes.

    gaps = PacketGaps(path, container)
    for packet in container.demux():
        gaps.follow(packet, print)      # "nothing of it could be read between 3.0 and 3.9 s"
"""

from collections.abc import Callable
from pathlib import Path

import av

from datatools.media.probe import has_format, time_zero
from datatools.media.structure import blocks_follow, is_fragmented, unread_tail

HOLE_SECONDS = 2.0      # a longer gap that sound and picture have in common means that data is missing
HELD_SECONDS = 10.0     # of a broadcast: a longer gap in one stream where the other has ended is a wrong time
HOLE_BYTES = 2048       # between two packets of a Matroska or FLV file; more was skipped as unreadable


class PacketGaps:
    """Follows the packets of all streams. `end`: where the last of them ends, in seconds from time zero."""

    def __init__(self, path: Path, container):
        self.path = path
        self.zero = float(time_zero(container))     # in the container's own time
        # As floats: making a Fraction for each packet would cost a quarter of the decoding.
        self.time_bases = {other.index: float(other.time_base) for other in container.streams if other.time_base}
        self.is_fragmented = has_format(container, "mp4") and is_fragmented(path)
        # In one table, so that none can be missed. A fragment has its own, and can be missed as a whole.
        self.lists_packets = has_format(container, "mp4") and not self.is_fragmented
        self.is_matroska = has_format(container, "matroska")
        self.is_contiguous = self.is_matroska or has_format(container, "flv")     # packets follow each other
        self.is_counted = has_format(container, "mpegts")                 # packets carry a continuity counter
        self.end = 0.0
        self.ends: dict[str, float] = {}                        # where the last packet of each type ends
        self.gaps = {"audio": (0.0, 0.0), "video": (0.0, 0.0)}  # the last gap between two of them
        self.place = self.place_end = 0                         # bytes; where the last packet begins and ends

    def start_of(self, packet: av.Packet) -> float:
        """Seconds from time zero; the packet must have a presentation time."""
        return packet.pts * self.time_bases.get(packet.stream.index, 0.0) - self.zero

    def end_of(self, packet: av.Packet) -> float:
        return (packet.pts + (packet.duration or 0)) * self.time_bases.get(packet.stream.index, 0.0) - self.zero

    def follow(self, packet: av.Packet, tell: Callable[[str], None]) -> None:
        """Note how far the packets reach, and tell what is missing before this one."""
        skipped = self._skipped_bytes(packet)
        if packet.pts is None:
            return
        kind, start = packet.stream.type, self.start_of(packet)
        hole = self._hole_before(kind, start)
        if skipped > HOLE_BYTES and hole is None:
            hole = min(start, self.end), start
        if hole:
            tell(f"nothing of it could be read between {hole[0]:.1f} and {hole[1]:.1f} s")
        elif self.is_counted and packet.is_corrupt and self.end:
            tell(f"packets of it are missing near {start:.1f} s")
        end = self.end_of(packet)
        self.end = max(self.end, end)
        # In a fragmented file, libav takes for a packet's duration the time to the next one that it has found.
        self.ends[kind] = max(self.ends.get(kind, 0.0), start if self.is_fragmented else end)

    def at_end(self) -> str | None:
        """What is wrong once all packets are read, in words; None where all is well."""
        for (start, end), other in zip(self.gaps.values(), ("video", "audio"), strict=True):
            if self.is_counted and end - start > HELD_SECONDS and self.ends.get(other, 0.0) < end - HELD_SECONDS:
                return f"nothing of it could be read between {start:.1f} and {end:.1f} s"
        tail = unread_tail(self.path, self.place_end) if self.is_matroska and self.place_end else 0
        return f"its last {tail:,} bytes could not be read" if tail > HOLE_BYTES else None

    def _hole_before(self, kind: str, start: float) -> tuple[float, float] | None:
        """(from, to) where sound and picture have a gap in common that ends here; None without one.

        A picture alone may be held, and sound alone may pause.
        """
        before = self.ends.get(kind)
        if self.lists_packets or kind not in self.gaps or not before or start <= before + HOLE_SECONDS:
            return None
        self.gaps[kind] = (before, start)
        hole = max(gap[0] for gap in self.gaps.values()), min(gap[1] for gap in self.gaps.values())
        return hole if hole[1] - hole[0] > HOLE_SECONDS else None

    def _skipped_bytes(self, packet: av.Packet) -> int:
        """Bytes between the packet before and this one, where the format puts them one after the other; else 0."""
        if not self.is_contiguous or packet.pos is None or packet.pos < 0:
            return 0
        skipped = packet.pos - self.place_end if self.place_end and packet.pos > self.place else 0
        if skipped > HOLE_BYTES and self.is_matroska and blocks_follow(self.path, self.place, packet.pos):
            skipped = 0
        # A Matroska block may hold several packets; all have its position.
        self.place_end = packet.size + (self.place_end if packet.pos == self.place else packet.pos)
        self.place = packet.pos
        return skipped
