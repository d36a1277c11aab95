"""Chapters in a media file as evidence: those that name a part, and the edges of those that name nothing.

    chapter_evidence(Path("episode.mkv"), 1440.0)      # (Evidence("chapters", "opening", 60.0, 150.0, 0.95), ...)

Chapters that we wrote ourselves are no evidence; they are known by their ChapterStringUID. MP4 files have none: what
was written into a copy of one reads as any other chapter.
"""

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datatools.media import probe
from datatools.media.structure import EBML, SEGMENT, element
from episodes.chapters import OURS, Chapter, read_chapters
from episodes.evidence import Evidence

CLEAR, VAGUE, UNNAMED = 0.95, 0.7, 0.5      # confidence
# Titles that also stand for other parts: the scene before an opening, all that follows the story.
VAGUE_TITLES = ("intro", "credits", "closing", "next", "last time", "avance", "entrada", "cierre", "générique",
                "générique de début")
LONGEST = 180.0             # s; a longer chapter holds more than the part that it names: only its start counts
EVEN = 0.5                  # s; chapters whose lengths differ by less were set by a clock, such as every 5 minutes
LEAST_EVEN = 4              # chapters
CHAPTERS, EDITION, ATOM, STRING_UID = (bytes.fromhex(name) for name in ("1043a770", "45b9", "b6", "5654"))
START = b"\x91"             # ChapterTimeStart, ns
MOST_PARTS = 1_000_000      # of a file; structure.py's bound
MOST_BYTES = 2**22          # of all chapters


def chapter_evidence(path: Path, duration: float) -> tuple[Evidence, ...]:
    """The evidence of a file's chapters; `duration` in seconds. Raises MediaError."""
    zero = probe(path).start
    return from_chapters(read_chapters(path), duration, [start - zero for start in own_starts(path)])


def from_chapters(chapters: Iterable[Chapter], duration: float, ours: Iterable[float] = ()) -> tuple[Evidence, ...]:
    """Evidence of chapters; `ours` are the starts (s) of those that we wrote, which tell nothing.

    A chapter lasts until the next one starts, or until the end that it states, if that comes first. A vague title, such
    as Intro, counts only where no clear title names the same type. Chapters without a type give spans without a kind.
    """
    ours = np.array(sorted(ours))
    told = [chapter for chapter in sorted(chapters, key=lambda chapter: chapter.start)
            if chapter.start < duration and not np.any(np.abs(ours - chapter.start) < 0.001)]
    ends = [chapter.start for chapter in told[1:]] + [duration] * bool(told)
    spans = [(chapter, min(end, duration if chapter.end is None else chapter.end))
             for chapter, end in zip(told, ends, strict=True)]
    spans = [(chapter, end) for chapter, end in spans if end > chapter.start]
    clear = {chapter.type for chapter, _ in spans if chapter.type and not _is_vague(chapter)}
    found = []
    for chapter, end in spans:
        if chapter.type and (chapter.type not in clear or not _is_vague(chapter)):
            end = end if end - chapter.start <= LONGEST else None
            found.append(Evidence("chapters", chapter.type, chapter.start, end, VAGUE if _is_vague(chapter) else CLEAR))
        elif not chapter.type and not _are_even(spans):
            found.append(Evidence("chapters", None, chapter.start, end, UNNAMED))
    return tuple(found)


def _is_vague(chapter: Chapter) -> bool:
    return chapter.title.strip().lower().rstrip(" 0123456789") in VAGUE_TITLES


def _are_even(spans: list[tuple[Chapter, float]]) -> bool:
    """Whether all chapters but the last are of one length; a single chapter is the whole file."""
    lengths = [end - chapter.start for chapter, end in spans[:-1]]
    return not lengths or (len(spans) >= LEAST_EVEN and max(lengths) - min(lengths) < EVEN)


def own_starts(path: Path) -> list[float]:
    """The starts (s, on the container's own clock) of the chapters that we wrote into a Matroska file.

    Of any other file, none. Raises OSError.
    """
    with open(path, "rb") as file:
        if file.read(4) != EBML:
            return []
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        content = _find(file, size, SEGMENT, CHAPTERS)
    return [int.from_bytes(next(_parts(atom, START), b""), "big") / 1e9
            for edition in _parts(content, EDITION) for atom in _parts(edition, ATOM)
            if next(_parts(atom, STRING_UID), b"").startswith(OURS.encode())]


def _find(file: BinaryIO, end: int, identity: bytes, *inside: bytes) -> bytes:
    """The content of the first element `identity` up to byte `end`, or of the first of `inside` within; else b""."""
    for _ in range(MOST_PARTS):
        found, length = element(file) if file.tell() < end else (b"", None)
        if found == identity:
            stop = end if length is None else min(end, file.tell() + length)
            return _find(file, stop, *inside) if inside else file.read(min(stop - file.tell(), MOST_BYTES))
        # The second: written live, with its chapters before that, if at all.
        if not found or length is None or length > end - file.tell():
            break
        file.seek(length, os.SEEK_CUR)
    return b""


def _parts(content: bytes, identity: bytes) -> Iterator[bytes]:
    """The contents of the elements `identity` within an element's content."""
    file = io.BytesIO(content)
    while file.tell() < len(content):
        found, length = element(file)
        if not found or length is None:
            return
        part = file.read(length)
        if found == identity:
            yield part
