"""All evidence joined into markers: rather none than a wrong one."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from episodes.candidates import FEATURES, Rules, candidates, features
from episodes.evidence import Curve, EpisodeEvidence, Evidence, Repeat, person_evidence
from episodes.joining import GROUPS, join, load_model
from episodes.markers import Marker
from episodes.season_evidence import SPREAD, repeats_of

DURATION = 1440.0
OPENING = Repeat(0, 60.0, 150.0, members=12, share=0.95, position=0.07, sound=0.98, pictures=0.95)
ENDING = Repeat(1, 1300.0, 1390.0, members=12, share=0.95, position=0.93, sound=0.98, pictures=0.95)


def episode(*spans: Evidence, curves: tuple[Curve, ...] = ()) -> EpisodeEvidence:
    return EpisodeEvidence(DURATION, spans, curves)


def joined(*spans: Evidence, repeats: tuple[Repeat, ...] = (), **options) -> list[tuple[str, float, float]]:
    curves = options.pop("curves", ())
    markers = join({"a": episode(*spans, curves=curves)}, {"a": repeats}, **options)["a"]
    return [(marker.type, round(marker.start, 2), round(marker.end, 2)) for marker in markers]


def weight_at(kind: str, edge: str, time: float, weight: float) -> Curve:
    values = np.zeros(int(DURATION * 4), np.float32)
    values[int(time * 4)] = weight
    return Curve("networks", kind, edge, 0.25, values)


def test_no_evidence_gives_no_marker():
    assert joined() == []


def test_themes_of_a_season_become_its_opening_and_ending():
    assert joined(repeats=(OPENING, ENDING)) == [("opening", 60.0, 150.0), ("ending", 1300.0, 1390.0)]


def test_named_chapters_alone_suffice():
    found = joined(Evidence("chapters", "opening", 60.0, 150.0, 0.95),
                   Evidence("chapters", "preview", 1410.0, 1440.0, 0.95))
    assert found == [("opening", 60.0, 150.0), ("preview", 1410.0, 1440.0)]


def test_networks_alone_give_a_marker_whose_unknown_edge_is_on_its_safe_side():
    """The opening's end is told, its start is not: what is skipped begins late rather than early."""
    told = Evidence("networks", "opening", None, 150.0, 0.97)
    found = joined(told, curves=(weight_at("opening", "end", 150.0, 0.97),))
    assert [(kind, end) for kind, _, end in found] == [("opening", 150.0)]
    assert 60.0 < found[0][1] < 110.0


def test_the_edge_that_networks_do_not_tell_is_where_the_sound_tells_it_and_not_at_any_cut():
    spans = (Evidence("networks", "opening", None, 150.0, 0.97), Evidence("cut", None, 67.7, 67.7))
    told = weight_at("opening", "end", 150.0, 0.97)
    heard = Evidence("sound", "opening", 60.1, None, 0.95)
    curve = replace(weight_at("opening", "start", 60.1, 0.95), source="sound")
    assert [start for _, start, _ in joined(*spans, curves=(told,))] != [67.7]
    assert joined(*spans, heard, curves=(told, curve)) == [("opening", 60.1, 150.0)]
    cut = Evidence("cut", None, 60.4, 60.4)
    assert joined(*spans, heard, cut, curves=(told, curve)) == [("opening", 60.4, 150.0)]


def test_networks_that_are_not_sure_give_none():
    told = Evidence("networks", "opening", None, 150.0, 0.4)
    assert joined(told, curves=(weight_at("opening", "end", 150.0, 0.4),)) == []


@pytest.mark.parametrize("song", [
    replace(OPENING, start=700.0, end=790.0, pictures=0.02, position=0.07),     # sung within the story
    replace(OPENING, start=700.0, end=790.0, theme=5, members=2, share=0.15, position=0.5, pictures=0.02),
    replace(OPENING, members=2, share=0.15, pictures=0.02, position=0.3, start=330.0, end=360.0),
])
def test_a_song_within_the_story_is_no_opening(song):
    assert joined(repeats=(song,)) == []
    assert joined(repeats=(OPENING, song)) == [("opening", 60.0, 150.0)]


@pytest.mark.parametrize("length", [8.0, 300.0])
def test_what_is_too_short_or_too_long_is_no_opening(length):
    assert joined(repeats=(replace(OPENING, end=60.0 + length),)) == []


def test_lengths_can_be_set_for_short_episodes():
    short = replace(OPENING, start=3.0, end=9.0, position=0.1)
    rules = Rules(lengths=(1.5, 10.0))
    markers = join({"a": EpisodeEvidence(60.0)}, {"a": [short]}, rules)["a"]
    assert [(m.type, m.start, m.end) for m in markers] == [("opening", 3.0, 9.0)]
    assert join({"a": EpisodeEvidence(60.0)}, {"a": [short]})["a"] == ()


def test_a_higher_price_of_story_means_fewer_markers():
    told = Evidence("networks", "opening", None, 150.0, 0.97)
    curves = (weight_at("opening", "end", 150.0, 0.97),)
    assert joined(told, curves=curves)
    assert joined(told, curves=curves, rules=Rules(story=1000.0)) == []


def test_an_opening_lies_before_the_ending():
    """Of two that contradict each other, the surer one stays."""
    doubtful = replace(OPENING, start=1250.0, end=1290.0, theme=3, members=3, share=0.3, position=0.88)
    found = joined(repeats=(OPENING, ENDING, doubtful))
    assert found == [("opening", 60.0, 150.0), ("ending", 1300.0, 1390.0)]


def test_a_file_of_two_episodes_has_two_openings():
    second = replace(OPENING, start=1500.0, end=1590.0, position=0.07)
    several = join({"a": EpisodeEvidence(2880.0)}, {"a": [OPENING, second]}, counts={"a": 2})["a"]
    assert [(m.type, m.start) for m in several] == [("opening", 60.0), ("opening", 1500.0)]


def test_a_marker_tells_where_each_of_its_edges_is_sure_to_lie():
    """As exactly as its theme's edge is known."""
    exact = replace(OPENING, spread=0.01, end_spread=0.2)
    (marker,) = join({"a": episode()}, {"a": [exact]})["a"]
    assert marker.interval == (pytest.approx((59.97, 60.03)), pytest.approx((149.4, 150.6)))


def test_each_episode_of_a_file_of_two_has_its_own_places():
    """The first one's ending lies in the middle of the file, where a single episode has neither."""
    ending = replace(ENDING, start=1340.0, end=1430.0)
    assert join({"a": EpisodeEvidence(2880.0)}, {"a": [ending]}, counts={"a": 2})["a"][0].type == "ending"
    kinds = {each.kind for each in candidates(EpisodeEvidence(2880.0), [ending], Rules(), 2)}
    assert kinds == {"ending"}


def test_an_edge_moves_to_a_cut_within_its_reach_only():
    vague = replace(OPENING, spread=0.3)
    (marker,) = join({"a": episode(Evidence("cut", None, 60.4, 60.4), Evidence("cut", None, 152.0, 152.0))},
                     {"a": [vague]})["a"]
    assert (marker.start, marker.end) == (60.4, 150.0)
    assert "cut" in marker.evidence and marker.interval[0][0] <= 60.4 <= marker.interval[0][1]


def test_a_refined_edge_is_kept_against_a_chapter_that_is_half_a_second_off():
    (marker,) = join({"a": episode(Evidence("chapters", "opening", 60.5, 150.5, 0.95))}, {"a": [OPENING]})["a"]
    assert (marker.start, marker.end) == (60.0, 150.0)
    assert {"sound", "pictures", "chapters"} <= {*marker.evidence}


def test_markers_that_meet_do_not_overlap():
    found = joined(Evidence("chapters", "preview", 1389.0, 1440.0, 0.95), repeats=(ENDING,))
    assert found == [("ending", 1300.0, 1390.0), ("preview", 1390.0, 1440.0)]


# ---------------------------------------------------------------- people


def season(**corrected: Evidence) -> tuple[dict, dict]:
    names = [f"{number:02}" for number in range(1, 13)]
    return ({name: episode(*([corrected[f"e{name}"]] if f"e{name}" in corrected else [])) for name in names},
            {name: [OPENING, replace(ENDING, start=1300.0 + int(name), end=1390.0 + int(name))] for name in names})


def test_a_person_wins_and_moves_the_theme_in_the_other_episodes():
    episodes, repeats = season(e02=Evidence("person", "opening", 58.0, 151.0))
    found = join(episodes, repeats)
    assert [(m.start, m.end, m.confidence) for m in found["02"] if m.type == "opening"] == [(58.0, 151.0, 1.0)]
    assert [(m.start, m.end) for m in found["07"] if m.type == "opening"] == [(58.0, 151.0)]
    assert [m.start for m in found["07"] if m.type == "ending"] == [1307.0]


def test_what_a_person_says_of_an_episode_becomes_evidence():
    told = person_evidence({"opening": (Marker("opening", 1.0, 2.0),), "ending": ()})
    assert told == (Evidence("person", "opening", 1.0, 2.0), Evidence("person", "ending", None, None))
    assert joined(*told, repeats=(OPENING, ENDING)) == [("opening", 1.0, 2.0)]


def test_a_person_who_says_that_there_is_none_is_believed_for_that_episode():
    episodes, repeats = season(e02=Evidence("person", "opening", None, None))
    found = join(episodes, repeats)
    assert [m.type for m in found["02"]] == ["ending"]
    assert [m.type for m in found["03"]] == ["opening", "ending"]


def test_a_person_can_teach_a_theme_that_was_too_doubtful():
    doubtful = Repeat(4, 30.0, 60.0, members=2, share=0.2, position=0.03)
    episodes = {"01": episode(Evidence("person", "opening", 30.0, 62.0)), "02": episode()}
    repeats = {"01": [doubtful], "02": [replace(doubtful, start=40.0, end=70.0)]}
    assert join({"02": episode()}, repeats)["02"] == ()
    (taught,) = join(episodes, repeats)["02"]
    assert (taught.type, taught.start, taught.end) == ("opening", 40.0, 72.0) and "person" in taught.evidence


# ---------------------------------------------------------------- themes


def test_a_card_that_follows_each_opening_may_be_no_part_of_it():
    """The repeat lasts 97 s; the pictures change at 90 s, as long as openings last: both are weighed."""
    spans = [(each.start, each.end) for each in candidates(
        episode(Evidence("cut", None, 150.0, 150.0)), [replace(OPENING, end=157.0)], Rules())]
    assert spans == [(60.0, 157.0), (60.0, 150.0)]


@dataclass
class Played:
    start: float
    end: float
    sound: float = 1.0
    pictures: float = 0.0
    spreads: tuple = (0.01, None)


@dataclass
class Theme:
    members: dict


def test_each_episode_is_told_its_themes_with_their_share_and_place():
    theme = Theme({0: [Played(0.0, 90.0), Played(500.0, 590.0)], 2: [Played(50.0, 150.0)]})
    first, second, third = repeats_of([theme], [1000.0, 1000.0, 140.0])
    assert [(each.start, each.members, each.share) for each in first] == [(0.0, 2, 2 / 3), (500.0, 2, 2 / 3)]
    assert second == [] and third[0].end == 140.0
    assert first[0].position == pytest.approx(0.545) and np.isnan(first[0].pictures)
    assert (first[0].spread_of("start"), first[0].spread_of("end")) == (0.01, SPREAD)


def test_pictures_that_do_not_agree_count_where_others_do():
    """Where none agree in the whole season, as in films without pictures, they tell nothing."""
    theme = Theme({0: [Played(0.0, 90.0, pictures=1.0)], 1: [Played(0.0, 90.0, pictures=0.0)]})
    assert [each[0].pictures for each in repeats_of([theme], [1000.0, 1000.0])] == [1.0, 0.0]


def test_what_two_neighbours_share_is_a_recap_or_a_preview_where_it_lies_in_the_others_story():
    def told(first: tuple[float, float], second: tuple[float, float], places=(0, 1), pictures=1.0) -> list:
        theme = Theme({place: [Played(*span, pictures=pictures)] for place, span in zip(places, (first, second),
                                                                                       strict=True)})
        return [each[0].retold if each else None for each in repeats_of([theme], [1000.0] * 3)]

    story, head, tail = (500.0, 540.0), (10.0, 50.0), (950.0, 990.0)
    assert told(story, head) == [None, "recap", None]
    assert told(tail, story) == ["preview", None, None]
    assert told(head, head) == told(story, story) == told(head, story) == [None, None, None]
    assert told(story, head, (0, 2)) == [None, None, None]            # not neighbours
    assert told(story, head, pictures=0.0) == [None, None, None]      # a song of the story before


def test_a_recap_is_marked_as_one_and_what_else_two_share_is_no_opening():
    shared = Repeat(2, 0.0, 40.0, members=2, share=0.2, position=0.2, sound=1.0, pictures=1.0)
    recap = replace(shared, retold="recap")
    assert joined(repeats=(recap, OPENING)) == [("recap", 0.0, 40.0), ("opening", 60.0, 150.0)]
    assert joined(repeats=(shared,)) == []


def test_music_that_ends_each_file_after_the_ending_with_other_pictures_is_a_preview():
    music = Repeat(2, 1410.0, 1440.0, members=12, share=0.95, position=0.98, sound=1.0, pictures=0.0)
    assert joined(repeats=(ENDING, music)) == [("ending", 1300.0, 1390.0), ("preview", 1410.0, 1440.0)]
    assert joined(repeats=(music,)) == []                             # a short ending, or what else
    assert joined(repeats=(ENDING, replace(music, pictures=1.0))) == [("ending", 1300.0, 1390.0)]


# ---------------------------------------------------------------- the model


def test_every_feature_is_finite_and_within_bounds_for_any_evidence():
    rng = np.random.default_rng(0)
    for _ in range(50):
        start, length = rng.uniform(0, 1300), rng.uniform(20, 140)
        repeat = Repeat(0, start, start + length, 0.05, int(rng.integers(1, 30)), rng.random(), rng.random(),
                        rng.choice([np.nan, 0.5]), rng.choice([np.nan, 0.1]))
        values = rng.random(1440).astype(np.float32)
        values[rng.random(1440) < 0.5] = np.nan
        evidence = episode(Evidence("chapters", None, start, start + length, 0.5),
                           Evidence("networks", "ending", rng.uniform(700, 1400), None, rng.random()),
                           curves=(Curve("text", None, "change", 1.0, values),))
        for candidate in candidates(evidence, [repeat], Rules()):
            told = features(candidate, evidence, [repeat], Rules())
            assert len(told) == len(FEATURES) and np.isfinite(told).all() and (np.abs(told) <= 1).all()


def test_the_weights_tell_how_they_came_about():
    model = load_model()
    assert model.origin and {*model.weights} == {*GROUPS}
    assert all(len(weights) == len(FEATURES) and weights.any() for weights in model.weights.values())
