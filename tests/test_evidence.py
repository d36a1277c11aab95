"""Evidence of one episode: what each source tells, and that it survives being kept."""

import numpy as np
import pytest
import torch
from media_files import numbered_picture, write_media
from test_windows import write_episode

from datatools.errors import UserError
from datatools.features import Pictures
from datatools.media import MediaError
from datatools.windows import window
from episodes import chapter_evidence
from episodes import network_evidence as network_evidence_module
from episodes.chapters import Chapter, type_of_title
from episodes.evidence import Curve, EpisodeEvidence, Evidence, pack, unpack
from episodes.network_evidence import network_evidence
from episodes.reading import Part, read_parts, spans

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


def test_ends_before_the_start_or_beyond_the_file_make_no_wrong_span():
    told = [Chapter(0.0, None, "Opening", "opening"), Chapter(90.0, 80.0, "Ending", "ending"),
            Chapter(1300.0, 1500.0, "ED", "ending"), Chapter(1400.0, 1500.0, "Preview", "preview")]
    assert [(e.kind, e.start, e.end) for e in chapter_evidence.from_chapters(told, 1440.0)] == [
        ("opening", 0.0, 90.0), ("ending", 1300.0, 1400.0), ("preview", 1400.0, 1440.0)]


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


# ---------------------------------------------------------------- boundary networks


class Loudest:
    """Takes the second whose picture is brightest for the boundary; where none is bright, any with little weight."""

    inputs, encoders = ("mfcc", "frames", "text_roi", "kind"), {}

    def __init__(self):
        self.asked = []

    def quarters(self, batch):
        assert batch["frames"].shape == (1, 200, 66, 88, 3) and batch["mfcc"].shape == (1, 20, 8616)
        self.asked.append(int(batch["kind"]))
        bright = batch["frames"][0].float().mean((1, 2, 3))
        weights = torch.full((800,), 1 / 800)
        if bright.max() > 100:
            weights = torch.zeros(800)
            weights[4 * int(bright.argmax()) + 2] = 1.0
        return weights[None]


def part_with_light(start: float, seconds: int, *lit: int) -> Part:
    frames = np.zeros((seconds, 66, 88, 3), np.uint8)
    frames[list(lit)] = 255
    return Part(start, seconds, None, Pictures(seconds, frames, {}, {}))


def test_the_windows_that_see_a_boundary_name_it_and_the_others_weigh_little():
    network = Loudest()
    found = network_evidence([part_with_light(0.0, 400, 149), part_with_light(1000.0, 400, 305)], 1400.0, [network])
    assert network.asked == [1, 1, 1, 2, 2, 2]
    (opening,) = [each for each in found.spans if each.kind == "opening"]
    (ending,) = [each for each in found.spans if each.kind == "ending"]
    assert (opening.start, opening.end) == (None, pytest.approx(149.625, abs=0.01)) and opening.confidence > 0.9
    assert (ending.start, ending.end) == (pytest.approx(1305.625, abs=0.01), None) and ending.confidence > 0.9
    curve = found.curve("networks", "opening")
    assert len(curve.values) == 5600 and np.isnan(curve.values[1600:]).all() and not np.isnan(curve.values[:1600]).any()


def test_networks_that_see_nothing_say_nothing():
    assert network_evidence([part_with_light(0.0, 300)], 300.0, [Loudest()]).spans == ()


def test_two_windows_that_disagree_are_less_sure_than_two_that_agree():
    """Lights at 30 and at 270 s: the first window sees one, the second the other; at 150 s, both see the same."""
    apart = network_evidence([part_with_light(0.0, 300, 30, 130, 270)], 300.0, [Loudest()])
    together = network_evidence([part_with_light(0.0, 300, 150)], 300.0, [Loudest()])
    assert together.spans[0].confidence == pytest.approx(1.0)
    shared = [each for each in apart.spans if each.kind == "opening" and each.end == pytest.approx(130.625, abs=0.1)]
    assert shared and shared[0].confidence < 0.7


def test_an_episodes_windows_are_those_of_clips_cut_out_of_it(tmp_path):
    """What a network gets from a part is what datatools.windows makes of the same span."""
    path = write_episode(tmp_path / "e.mkv", 20)
    (part,) = read_parts(path, 20.0)
    (start, batch), = network_evidence_module._windows(part, ("mfcc", "frames", "text_roi", "kind"), 1, ())
    wanted = window(path, start, 20, inputs=("mfcc", "frames", "text_roi"), kind=1)
    assert start == 0.0 and batch.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(batch[name], tensor), name


# ---------------------------------------------------------------- head and tail


def test_a_silent_file_and_a_damaged_one_give_what_they_hold(tmp_path):
    path = write_media(tmp_path / "mute.mkv", [numbered_picture(7)] * 40, fps=2)
    remarks = []
    (part,) = read_parts(path, 20.0, remarks=remarks)
    assert part.samples is None and part.pictures.count == 20 and "no sound" in remarks[0]
    content = write_episode(tmp_path / "e.mkv", 20).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[:len(content) // 2])
    remarks = []
    (part,) = read_parts(tmp_path / "cut.mkv", 20.0, remarks=remarks)
    assert 5 < part.pictures.count < 15 and remarks
    with pytest.raises(MediaError):
        read_parts(tmp_path / "none.mkv", 20.0)


def test_head_and_tail_of_a_short_episode_are_one_part():
    assert spans(300.5) == [(0.0, 301)]
    assert spans(1440.3) == [(0.0, 400), (1140.0, 301)]
