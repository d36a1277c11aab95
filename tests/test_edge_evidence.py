"""Cuts, black, silence, text and encoders' curves: found where they are, and only there."""

import numpy as np
import pytest
from media_files import numbered_picture, tone, write_media

from datatools.features import Pictures
from datatools.media import SAMPLE_RATE
from episodes.candidates import USUAL_RULES, Rules
from episodes.curve_evidence import change_curve, kind_curves, kind_spans, kinds_of
from episodes.edge_evidence import MOST_SECONDS, Shown, blanks, cuts, picture_moments, places_to_look, silences
from episodes.evidence import EpisodeEvidence, Evidence, Repeat
from episodes.gathering import first_look, second_look
from episodes.joining import join
from episodes.other_edge_evidence import other_edge_evidence
from episodes.reading import Part
from episodes.text_evidence import MOST_PICTURES, moved_up, text_evidence

FPS = 25


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """12 s: a cut at 8.0 s, black from 9.4 to 10.0 s, another picture after it."""
    images = [numbered_picture(0b10101010)] * 200 + [numbered_picture(0b01010101)] * 35
    images += [np.zeros_like(images[0])] * 15 + [numbered_picture(0b11110000)] * 50
    return write_media(tmp_path_factory.mktemp("film") / "a.mkv", images, fps=FPS, video_options={"g": "50"})


def test_cuts_and_black_are_found_to_the_frame(film):
    found = picture_moments(film, [(7.0, 11.0)])
    assert [each.start for each in found if each.source == "cut"] == pytest.approx([8.0, 9.4, 10.0], abs=0.02)
    (black,) = [each for each in found if each.source == "black"]
    assert (black.start, black.end) == pytest.approx((9.4, 10.0), abs=0.02)


def test_only_the_asked_places_are_looked_at(film):
    assert picture_moments(film, [(1.0, 7.5)]) == []
    assert picture_moments(film, []) == []
    assert [each.source for each in picture_moments(film, [(11.0, 30.0)])] == []


def test_steady_movement_is_no_cut():
    """A pan changes each picture as much as the next: only what stands out is a cut."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (27, 48 + 50, 3)).astype(np.uint8)
    times = np.arange(50) / FPS
    pan = np.stack([wide[:, k:k + 48] for k in range(50)])
    assert cuts(Shown(times, pan, 2.0)) == []
    pan[25:] = np.clip(pan[25:].astype(int) // 3, 0, 255)
    still = np.concatenate([pan[:1].repeat(25, 0), pan[-1:].repeat(25, 0)])
    assert [each.start for each in cuts(Shown(times, still, 2.0))] == [1.0]


def test_a_cut_that_transnet_does_not_see_counts_less():
    pictures = np.zeros((50, 27, 48, 3), np.uint8)
    pictures[25:] = 200
    shown = Shown(np.arange(50) / FPS, pictures, 2.0)
    (sure,), (doubted,) = cuts(shown, np.ones(50)), cuts(shown, np.zeros(50))
    assert sure.confidence == 1.0 and doubted.confidence < 0.3


def test_white_counts_as_blank_and_grey_fog_does_not():
    pictures = np.full((30, 27, 48, 3), 120, np.uint8)
    pictures[10:20] = 255
    assert [(each.start, each.end) for each in blanks(Shown(np.arange(30) / 10, pictures, 3.0))] == [(1.0, 2.0)]


def test_silence_is_measured_against_the_loud_places():
    sound = tone(4.0, 8000)[0]
    sound[8000:12000] = 0
    for loudness in (1.0, 0.01):
        (found,) = silences(loudness * sound, 100.0, 8000)
        assert (found.start, found.end) == pytest.approx((101.0, 101.5), abs=0.021)
    assert silences(np.zeros(8000, np.float32), 0.0, 8000) == []


def test_places_to_look_are_few_apart_and_within_the_episode():
    repeats = [Repeat(index, 5.0 + 100 * index, 95.0 + 100 * index, 0.5) for index in range(30)]
    evidence = EpisodeEvidence(1440.0, (Evidence("networks", "opening", None, 150.0, 0.9),))
    found = places_to_look(evidence, repeats, USUAL_RULES)
    assert 0 < sum(end - start for start, end in found) <= MOST_SECONDS
    assert all(a[1] < b[0] for a, b in zip(found, found[1:], strict=False)) and found[0][0] >= 0
    alone = places_to_look(evidence, [], USUAL_RULES)
    assert any(start <= 60.0 <= end for start, end in alone) and any(start <= 150.0 <= end for start, end in alone)


# ---------------------------------------------------------------- text


class Stripes:
    """Takes bright columns for text."""

    def __init__(self):
        self.looked = 0

    def detect(self, image):
        self.looked += 1
        height, width = image.shape[:2]
        return [([[0, 0], [width / 2, 0], [width / 2, height], [0, height]], "", 1.0)] if image.mean() > 100 else []


def test_text_is_looked_for_in_few_pictures_and_told_where_it_is(film):
    detector = Stripes()
    found = text_evidence(film, 12.0, [(7.0, 9.0)], detector)
    values = found.curve("text").values
    assert 0 < detector.looked <= MOST_PICTURES and np.isnan(values).any()
    assert np.nanmax(values) == pytest.approx(1 / 3)      # half of a picture that fills two thirds of the mask
    (credits,) = found.spans
    assert (credits.kind, credits.start, credits.end) == ("ending", 7.0, 9.0) and credits.confidence < 1


def test_rolling_text_is_told_from_text_that_stands():
    mask = np.zeros((27, 36), bool)
    mask[5:7, 5:30] = mask[12:14, 8:25] = mask[20:22, 5:30] = True
    assert moved_up(mask, np.roll(mask, -3, axis=0)) == 3
    assert moved_up(mask, mask) == 0 and moved_up(mask, np.zeros_like(mask)) == 0


# ---------------------------------------------------------------- the edge that networks do not tell


def played(seconds: float, themes: list[tuple[float, float]]) -> np.ndarray:
    """A story of soft noise whose loudness wavers, and a chord over it within the themes."""
    rng, times = np.random.default_rng(0), np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = rng.normal(0, 0.02, len(times)) * (1 + np.sin(times / 3))
    for start, end in themes:
        chord = sum(np.sin(2 * np.pi * tone * times) for tone in (220, 277, 330)) * (1.2 + np.sin(times))
        sound += 0.05 * chord * ((times >= start) & (times < end))
    return sound.astype(np.float32)


@pytest.mark.parametrize("start", [70.0, 83.5])      # a theme of 90 s, and one of 76.5 s
def test_the_sound_tells_where_a_theme_starts_whose_end_the_networks_tell(start):
    told = EpisodeEvidence(1440.0, (Evidence("networks", "opening", None, 160.2, 0.9),))
    part = Part(0.0, 300, played(300.0, [(start, 160.0)]), None)
    found = other_edge_evidence([part], told)
    first = max(found.spans, key=lambda each: each.confidence)
    assert (first.source, first.kind, first.end) == ("sound", "opening", None)
    assert first.start == pytest.approx(start, abs=0.5) and first.confidence > 0.9
    curve = found.curve("sound", "opening")
    assert curve.edge == "start" and np.nansum(curve.values) == pytest.approx(1.0, abs=1e-4)


def test_an_ending_may_last_until_the_file_ends_and_an_unsure_network_is_not_followed():
    told = EpisodeEvidence(300.0, (Evidence("networks", "ending", 210.0, None, 0.9),
                                   Evidence("networks", "opening", None, 100.0, 0.2)))
    found = other_edge_evidence([Part(0.0, 300, played(300.0, [(210.0, 300.0)]), None)], told)
    (ending,) = [each for each in found.spans if each.confidence > 0.5]
    assert ending.kind == "ending" and ending.end == pytest.approx(300.0, abs=0.5)
    assert found.curve("sound", "opening") is None


# ---------------------------------------------------------------- encoders


def part_of(vectors: np.ndarray, start: float = 100.0) -> Part:
    count = len(vectors)
    return Part(start, count, None, Pictures(count, np.zeros((count, 1, 1, 3), np.uint8), {}, {"net": vectors}))


def test_the_change_between_two_scenes_shows_where_it_is():
    vectors = np.concatenate([np.tile([1.0, 0.0], (30, 1)), np.tile([0.0, 1.0], (30, 1))]).astype(np.float16)
    curve = change_curve(part_of(vectors), "net", 300.0)
    assert int(np.nanargmax(curve.values)) == 130 and np.isnan(curve.values[:100]).all()


def test_the_words_of_a_class_tell_its_kind():
    names = ["Opening credits", "story", "anime_OP2", "spending", "ED", "edited", "the op and the ed", "Recaps"]
    assert kinds_of(names) == {"opening": (0, 2), "ending": (4,), "recap": (7,)}
    assert kinds_of(["story", "optic", "need"]) == {}


def scores(*pieces: tuple[int, float]) -> np.ndarray:
    """Scores (n, 3) of story and two classes of an opening that share `score`, so many seconds each."""
    return np.concatenate([np.tile([1 - score, score / 2, score / 2], (count, 1)) for count, score in pieces]
                          ).astype(np.float16)


def test_seconds_that_a_recogniser_scores_high_become_a_span():
    """Three wrong seconds within it and three elsewhere do not count; two classes of a kind are summed."""
    found = scores((10, 0.1), (3, 0.9), (27, 0.1), (40, 0.8), (3, 0.1), (47, 0.8), (50, 0.1))
    (curve,) = kind_curves(part_of(found), "net", {"opening": (1, 2)}, 1440.0)
    assert (curve.kind, curve.edge) == ("opening", "within") and np.isnan(curve.values[:100]).all()
    (span,) = kind_spans(curve, 1440.0)
    assert (span.source, span.kind, span.start, span.end) == ("recogniser", "opening", 140.0, 230.0)
    assert span.confidence == pytest.approx((87 * 0.8 + 3 * 0.1) / 90, abs=0.01)


def test_a_span_that_goes_on_where_nothing_was_looked_at_has_no_edge_there():
    (curve,) = kind_curves(part_of(scores((60, 0.1), (40, 0.9))), "net", {"opening": (1, 2)}, 1440.0)
    assert [(span.start, span.end) for span in kind_spans(curve, 1440.0)] == [(160.0, None)]
    (curve,) = kind_curves(part_of(scores((60, 0.1), (40, 0.9))), "net", {"ending": (1, 2)}, 200.5)
    assert [(span.start, span.end) for span in kind_spans(curve, 200.5)] == [(160.0, 200.5)]


# ---------------------------------------------------------------- all together


def test_an_episode_is_looked_at_twice_and_its_edges_end_up_on_cuts(tmp_path):
    """A theme whose season knows its edges to a third of a second; the pictures change at 4.0 and at 10.0 s."""
    images = [numbered_picture(0b10101010)] * 50 + [numbered_picture(0b01010101)] * 75 + \
        [numbered_picture(0b11110000)] * 75
    sound = tone(16.0, 16_000)
    sound[:, 64_000 - 3_200:64_000] = 0
    path = write_media(tmp_path / "a.mkv", images, fps=12.5, sound=sound, sound_rate=16_000)
    repeat = Repeat(0, 3.8, 10.2, 0.3, members=8, position=0.4, sound=1.0, pictures=1.0)
    evidence = second_look(path, first_look(path), [repeat], rules := Rules(lengths=(3.0, 10.0)))
    assert {each.source for each in evidence.spans} == {"cut", "silence"} and not evidence.remarks
    (marker,) = join({"a": evidence}, {"a": [repeat]}, rules)["a"]
    assert (marker.start, marker.end) == (pytest.approx(4.0, abs=0.02), pytest.approx(10.0, abs=0.02))


def test_a_file_without_sound_or_pictures_is_told_of_and_goes_on(tmp_path):
    path = write_media(tmp_path / "a.mkv", [numbered_picture(9)] * 100, fps=10)
    repeat = Repeat(0, 1.0, 6.0, members=8, position=0.4, sound=1.0, pictures=1.0)
    evidence = second_look(path, first_look(path), [repeat], Rules(lengths=(3.0, 25.0)))
    assert len(evidence.remarks) == 1 and "no sound" in evidence.remarks[0]
