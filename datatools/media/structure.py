"""What a media file's outermost structure says about its length and content, without decoding.

    found = broken_structure(Path("episode.mkv"))     # None, or "1,204 bytes are missing at its end", ...

A container states how long its parts are. Bytes that were cut out or cut off show here even where the decoder skips
the place in silence.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MOST_BOXES = 100_000      # of an MP4 file; fragmented ones have two or three for each few seconds
MOST_TAGS = 1_000_000     # of an FLV file, one a packet; of an Ogg file, one for some packets
MOST_PARTS = 1_000_000    # of a Matroska file: one a few seconds, or one a packet where it was written live
TS_PACKET = 188           # bytes; each begins with "G"
EBML, SEGMENT, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
HOLDERS = (CLUSTER, b"\xa0")      # elements that hold blocks: clusters and block groups
BLOCKS = (b"\xa1", b"\xa3")
CRC32 = b"\xbf\x84"       # the element's ID and its size, 4
AFTER_BLOCKS = [bytes.fromhex(name) for name in ("1c53bb6b", "1254c367", "1043a770", "1941a469", "114d9b74")]   # IDs
TAIL_WINDOW = 64          # bytes around the end of the last block in which the next element must begin
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
OGG_PAGE, OGG_LAST = b"OggS", 4            # capture pattern; flag of a stream's last page
FLV_TAGS = (8, 9, 15, 18)                  # sound, picture, data
ASF_BROADCAST = 1         # flag: written live, its size is not valid


def broken_structure(path: Path) -> str | None:
    """What is wrong with the file's length, in words; None where all is well or the format states no length.

    Matroska: the segment's size, and the checksums of its parts where there are any. MP4 and MOV: the chain of boxes.
    FLV: the chain of tags. Ogg: the pages' numbers. MPEG-TS: whole packets. AVI, WAV: the RIFF size. WMV: the size in
    the header.
    Raises OSError.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(64)
        if head[:4] == EBML:
            return _broken_matroska(file, size)
        if head[:4] == b"RIFF":
            length = struct.unpack("<I", head[4:8])[0]
            return _missing(length + 8 if 0 < length < 0xFFFFFFFF else None, size)
        if head[:16] == ASF_HEADER:
            return _missing(_asf_size(file), size)
        if head[:4] == OGG_PAGE:
            return _broken_pages(file, size)
        if head[:3] == b"FLV":
            return _broken_tags(file, size)
        if head[:1] == b"G" and size > 2 * TS_PACKET:
            file.seek(TS_PACKET)
            whole = size - size % TS_PACKET
            return _missing(whole + TS_PACKET * (size > whole), size) if file.read(1) == b"G" else None
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot"):
            return _broken_boxes(file, size)
    return None


def unread_tail(path: Path, place: int) -> int:
    """Bytes of a Matroska file after its last packet, which ends near byte `place`, that hold nothing readable; else 0.

    After the last block, only an index, tags and the like may follow (RFC 9559, section 5.1). Raises OSError.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, place - TAIL_WINDOW))
        around = file.read(2 * TAIL_WINDOW)
    return 0 if any(identity in around for identity in AFTER_BLOCKS) else max(0, size - place)


def blocks_follow(path: Path, place: int, next_place: int) -> bool:
    """Whether whole Matroska elements lead from one block to another; the contents of both begin at these bytes.

    Padding, tags and blocks of tracks that are not read may lie between them; after unreadable bytes nothing fits.
    Raises OSError.
    """
    with open(path, "rb") as file:
        for width in range(1, 9):       # of the block's size, which lies before its content, and the ID before that
            file.seek(place - width - 1)
            identity, length = element(file)
            if identity in BLOCKS and file.tell() == place:
                break
        else:
            return False
        for _ in range(MOST_PARTS):
            if identity not in HOLDERS:
                if length is None or file.tell() + length > next_place:
                    return False
                file.seek(length, os.SEEK_CUR)
            identity, length = element(file)
            if file.tell() >= next_place or not identity or identity[0] == 0:
                return file.tell() == next_place and identity in BLOCKS
    return False


def is_fragmented(path: Path) -> bool:
    """Whether an MP4 or MOV file consists of fragments, each with a table of its own packets. Raises OSError."""
    with open(path, "rb") as file:
        return any(kind == b"moof" for kind, _, _ in boxes(file, file.seek(0, os.SEEK_END)))


def _missing(end: int | None, size: int) -> str | None:
    return f"{end - size:,} bytes are missing of {end:,}" if end is not None and end > size else None


def element(file: BinaryIO) -> tuple[bytes, int | None]:
    """ID and size of the Matroska element that begins here; None for an unknown size (RFC 8794, sections 4 and 5)."""
    first = file.read(1)
    width = 9 - first[0].bit_length() if first and first[0] else 0
    identity = first + file.read(max(0, width - 1))
    first = file.read(1)
    if not first or not first[0]:
        return identity, None
    width = 9 - first[0].bit_length()
    content = first + file.read(width - 1)
    length = int.from_bytes(content, "big") & ((1 << 7 * width) - 1)
    return identity, None if length == (1 << 7 * width) - 1 else length


def _broken_matroska(file: BinaryIO, size: int) -> str | None:
    """What is wrong with the sizes of a segment and its parts, or with the checksums that some writers add."""
    file.seek(0)
    identity, length = element(file)
    while identity and identity != SEGMENT and length is not None and length < size:
        file.seek(length, os.SEEK_CUR)
        identity, length = element(file)
    if identity != SEGMENT:
        return None
    end = size if length is None else file.tell() + length      # None: written live
    if end > size:
        return _missing(end, size)
    for _ in range(MOST_PARTS):
        place = file.tell()
        identity, length = element(file) if place < end else (b"", None)
        if not identity:
            return None
        if length is None:
            if identity == CLUSTER:      # written live: its blocks follow as parts of their own
                continue
            return None
        after = file.tell() + length
        if after > end:
            return _missing(after, end)
        if not _checksum_holds(file, length):
            return f"the checksum of its bytes {place:,} to {after:,} is wrong"
        file.seek(after)
    return None


def _checksum_holds(file: BinaryIO, length: int) -> bool:
    """Whether the CRC-32 with which an element's content may begin fits the rest (RFC 8794, section 11.3.1)."""
    head = file.read(min(length, 6))
    if head[:2] != CRC32 or len(head) < 6:
        return True
    crc, left = 0, length - 6
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        crc = zlib.crc32(block, crc)
        left -= len(block)
    return left > 0 or crc == int.from_bytes(head[2:], "little")


def _asf_size(file: BinaryIO) -> int | None:
    """The size that the File Properties Object states (Advanced Systems Format specification, section 3.2)."""
    file.seek(24)
    count = struct.unpack("<I", file.read(4).ljust(4, b"\0"))[0]
    place, size = 30, file.seek(0, os.SEEK_END)
    for _ in range(min(count, 100)):
        if place >= size:
            return None
        file.seek(place)
        head = file.read(96)
        if len(head) < 96:
            return None
        if head[:16] == ASF_FILE_PROPERTIES:
            return None if head[88] & ASF_BROADCAST else struct.unpack("<Q", head[40:48])[0]
        place += max(24, struct.unpack("<Q", head[16:24])[0])
    return None


def boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, place, length) of each outermost box of an MP4 or MOV file (ISO/IEC 14496-12, section 4.2).

    Ends after a box that reaches to the end or cannot be followed; a length of 0 means to the end.
    """
    place = 0
    for _ in range(MOST_BOXES):
        if size - place < 8:
            return
        file.seek(place)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        yield kind, place, length
        if length < 8:
            return
        place += length


def _broken_boxes(file: BinaryIO, size: int) -> str | None:
    """What is wrong with the outermost boxes of an MP4 or MOV file."""
    for kind, place, length in boxes(file, size):
        if length == 0 and (kind != bytes(4) or _only_zeros(file, place)):
            return None       # the last box reaches to the end; some writers pad with zeros
        if length < 8 or not all(32 <= byte < 127 or byte == 0xA9 for byte in kind):
            return f"no box begins at byte {place:,} of {size:,}, where the one before it ends"
        if place + length > size:
            return _missing(place + length, size)
    return None


def _only_zeros(file: BinaryIO, place: int) -> bool:
    file.seek(place)
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            return False
    return True


def _broken_tags(file: BinaryIO, size: int) -> str | None:
    """What is wrong with the tags of an FLV file (Adobe Flash Video File Format Specification 10.1, annex E)."""
    file.seek(5)
    place = int.from_bytes(file.read(4), "big") + 4
    for _ in range(MOST_TAGS):
        if place == size:
            return None
        file.seek(place)
        head = file.read(4).ljust(4, b"\0")
        if head[0] & 31 not in FLV_TAGS:
            return f"no tag begins at byte {place:,} of {size:,}, where the one before it ends"
        length = 11 + int.from_bytes(head[1:], "big")
        if place + length > size:
            return _missing(place + length, size)
        place += length + 4
    return None


def _broken_pages(file: BinaryIO, size: int) -> str | None:
    """What is wrong with the pages of an Ogg file: each stream numbers its own, and marks its last (RFC 3533, 6)."""
    place, numbers, is_last = 0, {}, False
    for _ in range(MOST_TAGS):
        file.seek(place)
        head = file.read(27)
        if head[:4] != OGG_PAGE or len(head) < 27:
            return None if is_last else f"no page begins at byte {place:,} of {size:,}, and no stream has ended before"
        stream, number = struct.unpack("<II", head[14:22])
        if number != numbers.get(stream, number - 1) + 1:
            return f"pages are missing before byte {place:,} of {size:,}"
        numbers[stream], is_last = number, bool(head[5] & OGG_LAST)
        place += 27 + head[26] + sum(file.read(head[26]))
    return None
