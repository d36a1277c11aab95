"""Families of made clips: each keeps the promises of a made clip, and a season's clips share what they should."""

import numpy as np
import pytest

from synth.plan import CASES, FAMILIES, plan_clip
from synth.render import paint_and_play, render_clip

SHORT = {"height": 90, "duration": 12.0}
OTHERS = tuple(family for family in FAMILIES if family != "drawn")


def frames_at(picture, times) -> np.ndarray:
    return np.stack([picture.frame(float(t)).copy() for t in times])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["s", "e"])
def test_a_family_paints_and_plays_the_whole_of_a_clip(family, kind):
    plan = plan_clip(1, 2, kind, family=family, **SHORT)
    picture, sound = paint_and_play(plan)
    shown = frames_at(picture, np.arange(0.2, 12, 0.5))
    assert shown.shape[1:] == (plan.height * 3 // 2, plan.width) and shown.dtype == np.uint8
    assert shown[:, :plan.height].std() > 10 and (np.abs(np.diff(shown.astype(int), axis=0)).mean((1, 2)) > 1).sum() > 3
    assert sound.shape == (plan.channels, round(plan.duration * plan.sample_rate)) and sound.dtype == np.float32
    assert 0.005 < np.sqrt((sound**2).mean()) < 0.5 and np.abs(sound).max() <= 1


@pytest.mark.parametrize("family", OTHERS)
def test_a_clip_of_a_family_is_the_same_file_for_the_same_seed_and_another_for_another(family, tmp_path):
    files = []
    for i, seed in enumerate((4, 4, 5)):
        path = tmp_path / f"{i}.mp4"
        render_clip(plan_clip(seed, 1, "s", family=family, **SHORT), path)
        files.append(path.read_bytes())
    assert files[0] == files[1] != files[2]


def test_families_share_no_name_and_no_look():
    plans = [plan_clip(0, 0, "s", family=family, **SHORT) for family in FAMILIES]
    assert len({plan.name for plan in plans}) == len(FAMILIES)
    shown = [frames_at(paint_and_play(plan)[0], (2.0, 9.0)) for plan in plans]
    for i, one in enumerate(shown):
        for other in shown[i + 1:]:
            assert one.shape != other.shape or np.abs(one.astype(int) - other).mean() > 5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_every_hard_case_can_be_made(family, case):
    for kind in "se":
        plan = plan_clip(2, 3, kind, family=family, case=case, **SHORT)
        paint_and_play(plan)
        assert plan.case == case


def test_the_hard_cases_are_what_they_are_called():
    def segments(case, index=1):
        return {s.type: s for s in plan_clip(0, index, "s", case=case).segments}

    for index in range(6):
        assert plan_clip(0, index, "s", case="cold_open").segments[0].type == "episode"
        assert 30 <= segments("short", index)["opening"].seconds + 60 * (segments("short", index)["opening"].start == 0)
        assert segments("short", index)["opening"].seconds <= 45
        assert segments("long", index)["opening"].seconds <= 120
        plan = plan_clip(0, index, "s", case="sponsor")
        assert ("sponsor" in {s.type for s in plan.segments}) == (plan.duration - plan.boundary > 20)
    song = [plan_clip(0, index, "e", case="song") for index in range(6)]
    near = [min(abs(plan.boundary - e.end) for e in plan.all("song")) for plan in song if plan.all("song")]
    assert near and min(near) < 10


@pytest.mark.parametrize("family", FAMILIES)
def test_clips_of_a_season_share_their_opening_and_nothing_else(family):
    plans = [plan_clip(0, index, "s", family=family, season=5, height=90) for index in (11, 14)]
    assert plans[0].boundary != plans[1].boundary
    openings = [next(s for s in plan.segments if s.type == "opening") for plan in plans]
    length = min(o.seconds for o in openings) - 1
    made = [paint_and_play(plan) for plan in plans]
    within = np.arange(0.5, length, 3.1)
    # The last sentence of a scene may go on over the first seconds of the music.
    first_quiet = 0.5 + max([0.0, *(e.end - o.start for plan, o in zip(plans, openings, strict=True)
                                    for e in plan.lines if o.start <= e.start < o.end)])
    theme = [frames_at(picture, o.end - within[within < length - first_quiet]).astype(int)
             for (picture, _), o in zip(made, openings, strict=True)]
    assert np.abs(theme[0] - theme[1]).mean() < 3
    sounds = []
    for (_, sound), plan, opening in zip(made, plans, openings, strict=True):
        last = round((opening.end - 1) * plan.sample_rate)
        sounds.append(sound[0, last - round(10 * plan.sample_rate):last])
    assert np.corrcoef(sounds)[0, 1] > 0.9
    room = min(40.0, *(p.duration - p.boundary for p in plans))
    after = [frames_at(picture, plan.boundary + np.arange(room / 2, room, 3.1))
             for (picture, _), plan in zip(made, plans, strict=True)]
    if room > 20:
        assert np.abs(after[0].astype(int) - after[1]).mean() > 8


def test_another_theme_of_a_season_is_another_opening():
    plans = [plan_clip(0, index, "s", season=5, theme=theme, height=90) for index, theme in ((11, 0), (14, 1))]
    ends = [next(s.end for s in plan.segments if s.type == "opening") for plan in plans]
    shown = [frames_at(paint_and_play(plan)[0], end - np.arange(1, 20, 3.1))
             for plan, end in zip(plans, ends, strict=True)]
    assert shown[0].shape != shown[1].shape or np.abs(shown[0].astype(int) - shown[1]).mean() > 8


@pytest.mark.parametrize("more, message", [({"family": "claymation"}, "family 'claymation'"),
                                           ({"case": "nothing"}, "case 'nothing'")])
def test_unknown_families_and_cases_are_named(more, message):
    with pytest.raises(ValueError, match=message):
        plan_clip(0, 0, "s", **more)
