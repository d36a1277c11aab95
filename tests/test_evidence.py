"""Evidence of one episode: what each source tells, and that it survives being kept."""

import numpy as np
import pytest

from datatools.errors import UserError
from episodes import chapter_evidence
from episodes.chapters import Chapter, type_of_title
from episodes.evidence import Curve, EpisodeEvidence, Evidence, pack, unpack

EPISODE = EpisodeEvidence(
    1440.0, (Evidence("chapters", "opening", 60.0, 150.0, 0.9), Evidence("networks", "ending", 1300.25, None, 0.4)),
    (Curve("networks", "ending", "start", 0.25, np.array([np.nan, 0.5, 0.25], np.float32)),), ("no sound",))


# ---------------------------------------------------------------- the common type


def test_kept_evidence_comes_back_as_it_was():
    assert unpack(pack(EPISODE)) == EPISODE


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"[]", pack(EPISODE)[:300]])
def test_damaged_evidence_is_refused_with_one_message(content):
    with pytest.raises(UserError, match="Look at the episode again"):
        unpack(content)


@pytest.mark.parametrize(("values", "told"), [
    (("ears", None, 1.0, 2.0), "evidence from 'ears'"), (("sound", "intro", 1.0, 2.0), "kind 'intro'"),
    (("sound", None, -1.0, 2.0), "start -1"), (("sound", None, 1.0, float("nan")), "end nan"),
    (("sound", None, 3.0, 2.0), "an end after the start"), (("sound", None, 1.0, 2.0, 1.5), "confidence"),
    (("sound", None, 1.0, 2.0, None), "confidence"),
])
def test_values_that_are_no_evidence_are_refused(values, told):
    with pytest.raises(UserError, match=told):
        Evidence(*values)


def test_a_curve_tells_where_it_did_not_look():
    curve = EPISODE.curve("networks", "ending")
    assert curve.around(0.5, 0.25) == 0.75
    assert np.isnan(curve.around(0.1, 0.1)) and np.isnan(curve.around(9.0, 0.5))


# ---------------------------------------------------------------- chapters


def chapters(*told: tuple[float, str], **kept) -> list[Evidence]:
    from_titles = [Chapter(start, None, title, type_of_title(title)) for start, title in told]
    return list(chapter_evidence.from_chapters(from_titles, 1440.0, **kept))


def test_a_named_chapter_lasts_until_the_next():
    found = chapters((0, "Avant"), (60, "OP"), (150, "Part A"), (1300, "ED"), (1390, "Preview"))
    assert [(e.kind, e.start, e.end) for e in found if e.kind] == [
        ("opening", 60, 150), ("ending", 1300, 1390), ("preview", 1390, 1440)]
    assert [(e.start, e.end) for e in found if not e.kind] == [(0, 60), (150, 1300)]


def test_an_intro_before_an_opening_is_the_scene_before_it():
    assert [e.start for e in chapters((0, "Intro"), (60, "Opening"), (150, "Part A")) if e.kind] == [60]
    alone = [e for e in chapters((0, "Intro"), (90, "Part A")) if e.kind]
    assert [e.start for e in alone] == [0] and alone[0].confidence < chapter_evidence.CLEAR


def test_a_chapter_that_goes_on_long_after_its_part_tells_its_start_alone():
    assert [(e.start, e.end) for e in chapters((0, "Part A"), (60, "OP"), (700, "Part B")) if e.kind] == [(60, None)]


def test_chapters_set_by_a_clock_and_a_single_one_tell_nothing():
    assert chapters(*((300.0 * index, f"Chapter {index}") for index in range(5))) == []
    assert chapters((0.0, "Chapter 1")) == []
    assert len(chapters((0.0, ""), (90.0, ""), (700.0, ""))) == 3


def test_our_own_chapters_are_no_evidence():
    told = (0, "Episode"), (60, "Opening"), (150, "Episode")
    assert chapters(*told, ours=[0.0, 60.0, 150.0]) == []
    assert any(e.kind for e in chapters(*told))


def _element(identity: str, content: bytes) -> bytes:
    return bytes.fromhex(identity) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def test_our_own_chapters_are_known_by_what_the_file_holds(tmp_path):
    """Matroska elements by RFC 9559: Segment, Cluster, Chapters, EditionEntry, ChapterAtom, time, string UID."""
    def atom(seconds: int, uid: bytes) -> bytes:
        return _element("b6", _element("91", (seconds * 10**9).to_bytes(8, "big")) + _element("5654", uid))

    atoms = atom(60, b"avtnet.0") + atom(150, b"someone's")
    content = (_element("1a45dfa3", b"") + bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7
               + _element("1f43b675", b"\xb6" * 99) + _element("1043a770", _element("45b9", atoms)))
    (tmp_path / "a.mkv").write_bytes(content)
    assert chapter_evidence.own_starts(tmp_path / "a.mkv") == [60.0]
    for length in range(0, len(content), 7):      # cut off anywhere, it says less, and nothing fails
        (tmp_path / "a.mkv").write_bytes(content[:length])
        assert chapter_evidence.own_starts(tmp_path / "a.mkv") in ([], [60.0])
