"""Families of made clips: each keeps the promises of a made clip, and a season's clips share what they should."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from synth.drawn.paint import DrawnArtist
from synth.drawn.picture import DrawnPicture
from synth.film.paint import FilmArtist
from synth.paper.paint import PaperArtist
from synth.plan import CASES, FAMILIES, ClipPlan, Segment, plan_clip
from synth.render import PAINTERS, paint_and_play, render_clip

# Of each hard case the kind of clip that it changes.
PAINTED = [("s", "cold_open"), ("s", "no_credits"), ("e", "no_credits"), ("e", "song"), ("e", "short"), ("s", "long"),
           ("s", "sponsor")]
SEASON_SECONDS = 30.0


def quick_plan(seed: int, index: int, kind: str, *, duration: float = 8.0, **more) -> ClipPlan:
    """A plan with half the usual sample rate, whose sound costs half as much."""
    return replace(plan_clip(seed, index, kind, height=90, duration=duration, **more), sample_rate=22_050)


def frames_at(picture, times) -> np.ndarray:
    return np.stack([picture.frame(float(t)).copy() for t in times])


def opening_of(plan: ClipPlan) -> Segment:
    return next(s for s in plan.segments if s.type == "opening")


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind, case", PAINTED)
def test_a_family_paints_and_plays_the_whole_of_a_clip_in_every_hard_case(family, kind, case):
    plan = quick_plan(2, 2, kind, family=family, case=case)
    types = [s.type for s in plan.segments]
    assert {"cold_open": types[0] == "episode", "sponsor": "sponsor" in types, "song": plan.all("song")}.get(case, True)
    picture, sound = paint_and_play(plan)
    ends = [0.0, *(shot.end for shot in picture.shots)]
    assert ends == pytest.approx([*(shot.start for shot in picture.shots), plan.duration])     # no gap between shots
    shown = frames_at(picture, np.arange(0.2, 8, 0.5))
    assert shown.shape[1:] == (plan.height * 3 // 2, plan.width) and shown.dtype == np.uint8
    assert shown[:, :plan.height].std() > 10 and (np.abs(np.diff(shown.astype(int), axis=0)).mean((1, 2)) > 1).sum() > 3
    assert sound.shape == (plan.channels, round(plan.duration * plan.sample_rate)) and sound.dtype == np.float32
    assert 0.005 < np.sqrt((sound**2).mean()) < 0.5 and np.abs(sound).max() <= 1
    loud = [np.sqrt((part**2).mean()) for part in np.array_split(sound[0], 8)]                  # second by second
    assert min(loud) > 1e-5 and max(loud) > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(family, tmp_path):
    plan = quick_plan(4, 1, "s", duration=4.0, family=family)
    files = []
    for i, seed in enumerate((plan.seed, plan.seed, plan.seed + 1)):
        render_clip(replace(plan, seed=seed), tmp_path / f"{i}.mp4")
        files.append((tmp_path / f"{i}.mp4").read_bytes())
    assert files[0] == files[1] != files[2]


def test_families_share_no_name_and_paint_and_play_one_plan_each_in_their_own_way():
    assert len({plan_clip(0, 0, "s", family=family).name for family in FAMILIES}) == len(FAMILIES)
    plan = quick_plan(0, 0, "s")
    made = [paint_and_play(replace(plan, family=family)) for family in FAMILIES]
    shown = [frames_at(picture, (1.0, 3.0, 7.0)) for picture, _ in made]
    for (i, one), (j, other) in combinations(enumerate(shown), 2):
        assert difference(one, other) > 10
        assert abs(np.corrcoef(made[i][1][0], made[j][1][0])[0, 1]) < 0.3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_hard_cases_are_what_they_are_called(family):
    def plans(case: str, kind: str = "s") -> list[ClipPlan]:
        return [plan_clip(0, index, kind, family=family, case=case) for index in range(12)]

    assert all(plan.case == case for case in CASES for plan in plans(case))
    assert all(plan.segments[0].type == "episode" and plan.boundary >= 110 for plan in plans("cold_open"))
    for case, least, most in (("short", 30, 45), ("long", 100, 120)):
        for kind, asked in (("s", "opening"), ("e", "ending")):
            themes = [s for plan in plans(case, kind) for s in plan.segments if s.type == asked]
            assert all(s.seconds <= most + 6 for s in themes)          # it may stretch over a short rest of the clip
            cut = [s.seconds < least for s in themes]                  # by the clip's start or end
            assert sum(cut) < 12 and all(s.start == 0 or s.end > 179 for s, is_cut in zip(themes, cut, strict=True)
                                         if is_cut)
    for plan in plans("sponsor"):
        assert ("sponsor" in {s.type for s in plan.segments}) == (plan.duration - plan.boundary > 20)
    for kind in "se":
        songs = [(plan, plan.all("song")) for plan in plans("song", kind)]
        near = [min(abs(plan.boundary - t) for e in found for t in (e.start, e.end)) for plan, found in songs if found]
        assert len(near) > 6 and min(near) >= 3 - 1e-6 and sorted(near)[3] < 10


@pytest.mark.parametrize("family, artist", [("drawn", DrawnArtist), ("paper", PaperArtist), ("film", FilmArtist)])
@pytest.mark.parametrize("kind, theme", [("s", "opening"), ("e", "ending")])
def test_without_credits_a_theme_shows_no_name(monkeypatch, family, artist, kind, theme):
    name, written = artist.name, []
    monkeypatch.setattr(artist, "name", lambda self: written.append(1) or name(self))
    named = {"": [], "no_credits": []}
    for case, found in named.items():
        for index in range(4):
            plan = replace(quick_plan(0, index, kind, family=family, case=case), duration=6.0, events=(),
                           segments=(Segment(theme, 0.0, 6.0),))
            written.clear()
            PAINTERS[family][0](plan)
            found.append(len(written) > 0)
    assert sum(named[""]) >= 3 and not any(named["no_credits"])


def season_plans(family: str) -> tuple[ClipPlan, ClipPlan]:
    """Two start clips of a season: one's opening began before it, the other's lies whole within it."""
    plans = [quick_plan(0, i, "s", duration=SEASON_SECONDS, family=family, season=5) for i in range(80)]
    plans = [plan for plan in plans if plan.duration - plan.boundary > 8 and opening_of(plan).seconds > 4]
    return (next(plan for plan in plans if opening_of(plan).before > 1),
            next(plan for plan in plans if opening_of(plan).before == 0 and opening_of(plan).start > 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_clips_of_a_season_share_their_opening_and_nothing_else(family):
    plans = season_plans(family)
    made = [paint_and_play(plan) for plan in plans]
    openings = [opening_of(plan) for plan in plans]
    assert plans[0].boundary != plans[1].boundary
    # The last sentence of a scene may go on over the first seconds of the music.
    quiet = min(o.end - max([o.start, *(e.end for e in plan.lines if o.start <= e.start < o.end)])
                for plan, o in zip(plans, openings, strict=True))
    assert quiet > 3
    before_end = np.arange(0.6, quiet - 0.6, 0.37)
    theme = [frames_at(picture, o.end - before_end) for (picture, _), o in zip(made, openings, strict=True)]
    assert difference(*theme) < 3
    ends = [round((o.end - 0.8) * plan.sample_rate) for plan, o in zip(plans, openings, strict=True)]
    size = round((quiet - 1) * plans[0].sample_rate)
    sounds = [sound[0, end - size:end] for (_, sound), end in zip(made, ends, strict=True)]
    assert np.corrcoef(sounds)[0, 1] > 0.9
    plan = plans[1]
    others = made[1], paint_and_play(replace(plan, seed=plan.seed + 1))     # the same happens in another clip
    start = plan.boundary + 1
    rest = [frames_at(picture, np.arange(start, plan.duration, 0.9)) for picture, _ in others]
    assert difference(*rest) > 8
    assert abs(np.corrcoef([sound[0, round(start * plan.sample_rate):] for _, sound in others])[0, 1]) < 0.3


def test_another_theme_of_a_season_is_another_opening():
    plan = season_plans("drawn")[1]
    times = opening_of(plan).end - np.arange(0.6, 4, 0.37)
    shown = [frames_at(DrawnPicture(replace(plan, theme=theme)), times) for theme in (0, 1)]
    assert difference(*shown) > 8


@pytest.mark.parametrize("more, message", [({"family": "claymation"}, "family 'claymation'"),
                                           ({"case": "nothing"}, "case 'nothing'")])
def test_unknown_families_and_cases_are_named(more, message):
    with pytest.raises(ValueError, match=message):
        plan_clip(0, 0, "s", **more)
