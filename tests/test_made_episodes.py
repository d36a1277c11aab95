"""Made seasons: the truth is where the files have it, cases are what they claim, nothing repeats by accident."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path

import av
import numpy as np
import pytest
from media_files import tone, write_media
from scipy.signal import fftconvolve, resample

from datatools.errors import UserError
from datatools.stages import Pool
from episodes.markers import read_json
from episodes.seasons import find_videos, group_seasons
from synth.episodes.copies import write_copy
from synth.episodes.library import make_library, plan_library
from synth.episodes.plan import (
    COPIES,
    FOREIGN_THEME,
    SEASON_CASES,
    SHORT,
    TEST_INDEX,
    VARIANTS,
    EpisodePlan,
    Heard,
    SeasonPlan,
    Sizes,
    plan_season,
    speed,
)
from synth.episodes.render import episode_picture, play, render_episode, render_season, truth_text
from synth.plan import FAMILIES

TINY = Sizes(minutes=0.75, episodes=3, height=90, theme=9.0, fps="12", sample_rate=16_000)
HERE = Pool(here=True)
HZ = 8_000      # of the sound that is looked at
PLANS = [plan_season(5, index, FAMILIES[index % 3], SHORT) for index in range(8)]
EPISODES = [(plan, episode) for plan in PLANS for episode in plan.episodes]


@pytest.fixture(scope="module")
def season(tmp_path_factory) -> tuple[SeasonPlan, Path]:
    """A season of three small episodes, one of them a faster copy, and its folder."""
    plan = plan_season(1, 0, "drawn", TINY, ("recaps", "previews", "chapters", "4% faster", "opening at the end"))
    folder = tmp_path_factory.mktemp("library")
    assert render_season(plan, folder, HERE).exit_code == 0
    return plan, folder


def heard_in(path: Path) -> np.ndarray:
    """The sound of a file from its time zero, float32 (samples,) at HZ."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", HZ)
        frames = list(container.decode(audio=0))
        assert abs(frames[0].time) < 1e-6
        parts = [part.to_ndarray()[0] for frame in [*frames, None] for part in resampler.resample(frame)]
    return np.concatenate(parts)


def likeness(sound: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Correlation of a piece with each place of a sound, -1 to 1; louder or softer is the same."""
    energy = np.cumsum(np.r_[0.0, sound.astype(np.float64) ** 2])
    energy = energy[piece.size:] - energy[:-piece.size]
    return fftconvolve(sound, piece[::-1], "valid") / np.sqrt(np.maximum(energy, 1e-6) * (piece**2).sum() + 1e-9)


def pictures_of(path: Path) -> list[tuple[float, np.ndarray]]:
    """(time, luma) of every picture."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="gray").astype(int)) for frame in container.decode(video=0)]


def piece_at(episode: EpisodePlan, seconds: float):
    """The Shown that is seen at a time, and when it starts."""
    now = 0.0
    for piece in episode.shown:
        if now <= seconds < now + piece.seconds:
            return piece, now
        now += piece.seconds
    raise AssertionError(seconds)


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize("plan, episode", EPISODES, ids=lambda value: getattr(value, "path", None))
def test_the_truth_is_where_the_plan_shows_and_plays_the_themes(plan, episode):
    faster = speed(episode.copy, episode.fps)
    themes = [t for t in episode.truth if t.type in ("opening", "ending")]
    now, seen = 0.0, []
    for piece in episode.shown:
        if piece.clip.segments[0].type in ("opening", "ending"):
            seen += [now / faster, (now + piece.seconds) / faster]
        now += piece.seconds
    assert seen == pytest.approx([time for t in themes for time in (t.start, t.end)])
    heard = [h.at / faster for h in episode.heard if h.clip.segments[0].type in ("opening", "ending") and not h.fade]
    assert heard == pytest.approx([t.start for t in themes])
    assert now / faster == pytest.approx(episode.duration)
    ends = [0.0, *(t for span in episode.truth for t in (span.start, span.end)), episode.duration]
    assert ends == sorted(ends)
    told = [(part.type, part.start, part.end) for part in episode.parts]
    assert {(t.type, t.start, t.end) for t in episode.truth} <= set(told)
    parts = [part for part in episode.parts if part.type not in ("insert song", "shared cue")]
    assert [p.start for p in parts[1:]] == pytest.approx([p.end for p in parts[:-1]]) and parts[0].start == 0.0


def test_eight_seasons_have_every_case_and_company_changes():
    assert {case for plan in PLANS for case in plan.cases} == {*SEASON_CASES, *VARIANTS}
    assert len({frozenset(plan.cases) & set(SEASON_CASES) for plan in PLANS}) == 8
    claimed = {case for _, episode in EPISODES for case in episode.cases}
    assert claimed >= {"cold open", "no opening", "second opening", "recap", "preview", "after-credits scene", "logo",
                       "opening at the end", "sponsor", "insert song", "shared cue", "changed credits", "chapters",
                       "useless chapters", "foreign file", "movie", "double episode", "second version", *VARIANTS}


def of(*cases: str, **sizes) -> SeasonPlan:
    return plan_season(2, 0, "paper", replace(SHORT, **sizes), cases)


def theme(episode: EpisodePlan, kind: str) -> int | None:
    return next((t.theme for t in episode.truth if t.type == kind), None)


def test_a_second_opening_begins_in_the_middle_of_a_season():
    assert [theme(e, "opening") for e in of("second opening", episodes=6).episodes] == [1, 1, 1, 2, 2, 2]
    assert {theme(e, "opening") for e in of(episodes=6).episodes} == {1}


def test_the_first_episode_may_lack_the_opening_and_the_last_may_end_with_it():
    first, *middle, last = of("no opening in the first", "opening at the end").episodes
    assert theme(first, "opening") is None and theme(last, "opening") is None
    assert all(theme(e, "opening") == 1 for e in middle)
    assert theme(last, "ending") == 0 and theme(first, "ending") == 1
    assert last.shown[-1].clip.segments[0].type == "opening"


def test_an_insert_song_is_the_openings_sound_under_pictures_of_the_story():
    episode = next(e for e in of("insert song").episodes if "insert song" in e.cases)
    song = next(h for h in episode.heard if h.fade and h.clip.segments[0].type == "opening")
    assert song.clip == next(h.clip for h in episode.heard if h.clip.segments[0].type == "opening" and not h.fade)
    for at in np.arange(song.at, song.at + song.seconds, 0.5):
        assert piece_at(episode, at)[0].clip.segments[0].type == "episode"
    assert not any(t.start < song.at + song.seconds and song.at < t.end for t in episode.truth)


def test_a_recap_shows_the_episode_before_and_a_preview_the_next_one():
    episodes = of("recaps", "previews").episodes
    for i, episode in enumerate(episodes):
        for t in episode.truth:
            if t.type not in ("recap", "preview"):
                continue
            other = episodes[i + (-1 if t.type == "recap" else 1)]
            story = {piece.clip for piece in other.shown}
            assert all(piece_at(episode, at)[0].clip in story for at in np.arange(t.start + 1e-6, t.end, 0.25))
    assert [any(t.type == "recap" for t in e.truth) for e in episodes] == [False, True, True, True]
    assert [any(t.type == "preview" for t in e.truth) for e in episodes] == [True, True, True, False]


def test_a_dub_has_the_same_pictures_other_voices_and_the_same_or_a_newly_sung_theme():
    languages = []
    for case in ("dub", "dub with themes"):
        usual, dubbed = plan_season(3, 0, "film", SHORT, (COPIES[0],)), plan_season(3, 0, "film", SHORT, (case,))
        (i, episode), = [(i, e) for i, e in enumerate(dubbed.episodes) if case in e.cases]
        assert episode.shown == usual.episodes[i].shown
        pairs = list(zip(episode.heard, usual.episodes[i].heard, strict=True))
        story = [(a, b) for a, b in pairs if a.level == -21.0]
        assert story and all(a.language and a.clip.seed != b.clip.seed for a, b in story)
        themes = [(a, b) for a, b in pairs if a.clip.segments[0].type in ("opening", "ending")]
        assert themes and all(a.clip == b.clip for a, b in themes)
        languages.append({a.language for a, _ in themes})
    assert languages == [{0}, {2}]


def test_seasons_of_one_series_share_the_ending_but_no_opening():
    episodes = of(seasons=2).episodes
    assert [(e.season, *e.numbers) for e in episodes] == [(s, n) for s in (1, 2) for n in (1, 2, 3, 4)]
    assert [theme(e, "opening") for e in episodes] == [1] * 4 + [3] * 4
    assert [theme(e, "ending") for e in episodes] == [1] * 8
    lengths = {t.end - t.start for e in episodes for t in e.truth if t.type == "ending"}
    assert max(lengths) - min(lengths) < 1e-9


def test_two_episodes_in_one_file_have_both_their_markers():
    alone, together = of("second opening").episodes, of("second opening", "double episode").episodes
    double = next(e for e in together if e.numbers == (2, 3))
    assert len(together) == 3
    assert double.duration == pytest.approx(alone[1].duration + alone[2].duration, abs=1 / 12)
    assert [(t.type, t.theme) for t in double.truth] == [("opening", 1), ("ending", 1), ("opening", 2),
                                                         ("ending", theme(alone[2], "ending"))]


def test_a_second_version_is_the_same_encoded_anew():
    *episodes, second = of("two versions").episodes
    first, = [e for e in episodes if e.numbers == second.numbers]
    assert first.path != second.path and first.seed != second.seed
    assert (first.shown, first.heard, first.truth) == (second.shown, second.heard, second.truth)


def test_a_foreign_file_has_nothing_of_the_season_but_its_name():
    *usual, foreign = of("foreign file").episodes
    assert foreign.numbers == (len(usual) + 1,) and theme(foreign, "opening") == FOREIGN_THEME + 1
    keys = {piece.clip.season for piece in foreign.shown}
    assert len(keys) == 1 and not keys & {piece.clip.season for e in usual for piece in e.shown}


@pytest.mark.parametrize("index", range(8))
def test_the_files_are_named_so_that_they_are_read_as_a_season(index):
    cases = ("movie", "foreign file", "double episode", "two versions")
    plan = plan_season(6, index, "drawn", replace(SHORT, seasons=2, episodes=6), cases)
    grouping = group_seasons([Path("/library") / episode.path for episode in plan.episodes])
    read = {(season.number, episode.numbers) for season in grouping.seasons for episode in season.episodes}
    assert read == {(1, (7,)), *((s, n) for s in (1, 2) for n in ((1,), (2,), (3, 4), (5,), (6,)))}
    assert sum(len(episode.files) == 2 for season in grouping.seasons for episode in season.episodes) == 2
    (_, movie), = grouping.others
    assert movie.kind == "movie" and len(grouping.seasons) == 2


def test_the_same_numbers_give_the_same_season_and_any_other_number_another():
    assert plan_season(1, 2, "film", SHORT) == plan_season(1, 2, "film", SHORT)
    others = [plan_season(1, 2, "film"), plan_season(2, 2, "film"), plan_season(1, 3, "film"), plan_season(1, 2)]
    clips = [{piece.clip.name for e in plan.episodes for piece in e.shown} for plan in others]
    assert not any(one & other for one, other in combinations(clips, 2))


def test_seasons_to_learn_from_and_to_measure_with_are_told_apart():
    plans = plan_library(4, 2, sizes=SHORT)
    assert [plan.split for plan in plans.values()] == ["train"] * 4 + ["test"] * 2
    assert [plan.index for plan in plans.values()] == [0, 1, 2, 3, TEST_INDEX, TEST_INDEX + 1]
    assert list(plans)[-3:] == ["train/003_drawn", "test/000_drawn", "test/001_paper"]
    assert plan_library(2, 0, sizes=SHORT)["train/001_paper"] == plans["train/001_paper"]


@pytest.mark.parametrize("wrong", [{"family": "clay"}, {"cases": ("two endings",)}])
def test_a_family_or_case_that_is_not_there_is_refused(wrong):
    with pytest.raises(ValueError, match="expected one of"):
        plan_season(0, 0, **wrong)


def test_chapters_name_the_parts_or_tell_nothing():
    named, useless = (next(e for e in of(case).episodes if case in e.cases)
                      for case in ("chapters", "useless chapters"))
    spans = {(round(a, 6), round(b, 6)) for a, b, _ in named.chapters}
    assert {(round(t.start, 6), round(t.end, 6)) for t in named.truth if t.type == "opening"} <= spans
    assert [title for *_, title in useless.chapters] == [f"Chapter {i}" for i in range(1, len(useless.chapters) + 1)]
    for episode in (named, useless):
        assert [a for a, *_ in episode.chapters[1:]] == pytest.approx([b for _, b, _ in episode.chapters[:-1]])
        assert episode.chapters[-1][1] == pytest.approx(episode.duration)


# ---------------------------------------------------------------- pictures and sound


def theme_of(family: str, index: int, kind: str):
    """The clip of a season's first opening or ending."""
    episode = plan_season(4, index, family, TINY, ()).episodes[0]
    return next(piece.clip for piece in episode.shown if piece.clip.segments[0].type == kind)


@pytest.mark.parametrize("family", FAMILIES)
def test_changed_credits_stand_in_the_same_pictures(family):
    clip = theme_of(family, 1, "opening")
    usual, changed = (episode_picture(clip, names) for names in (0, 7))
    assert [shot.start for shot in usual.shots] == [shot.start for shot in changed.shots]
    for one, other in zip(usual.shots, changed.shots, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.background, other.background, strict=True))
    times = np.arange(0.5, clip.segments[0].end, 0.5)
    differ = [np.abs(usual.frame(t).astype(int) - changed.frame(t)).mean() for t in times]
    assert 0.3 < max(differ) < 20      # letters only


@pytest.mark.parametrize("family, index", [("drawn", 1), ("paper", 1), ("film", 2)])
def test_a_newly_sung_theme_keeps_its_band(family, index):
    clip = theme_of(family, index, "opening")
    usual, dubbed = (play(Heard(clip, 0.0, 0.0, 9.0, -16.0, language), {}) for language in (0, 2))
    assert 0.3 < np.corrcoef(usual[0], dubbed[0])[0, 1] < 0.999


def test_the_sound_of_every_theme_is_where_the_truth_says(season):
    plan, folder = season
    found = 0
    for episode in plan.episodes:
        sound, faster = heard_in(folder / episode.path), speed(episode.copy, episode.fps)
        assert sound.size / HZ == pytest.approx(episode.duration, abs=0.1)
        for t in (t for t in episode.truth if t.type in ("opening", "ending")):
            heard = next(h for h in episode.heard if h.at / faster == pytest.approx(t.start))
            piece = play(heard, {})[0, :round(6 * heard.clip.sample_rate)]
            piece = resample(piece, round(6 / faster * HZ))
            alike = likeness(sound, piece)
            assert abs(alike.argmax() / HZ - t.start) < 0.01, (episode.path, t)
            assert alike.max() > 0.6
            found += 1
    assert found == 5


def test_the_pictures_of_themes_and_recaps_are_where_the_truth_says(season):
    plan, folder = season
    shown = [pictures_of(folder / episode.path) for episode in plan.episodes]
    rate = Fraction(TINY.fps)
    for episode, pictures in zip(plan.episodes, shown, strict=True):
        faster = speed(episode.copy, episode.fps)
        assert len(pictures) == pytest.approx(episode.frames, abs=1)
        assert pictures[-1][0] == pytest.approx((episode.frames - 1) / rate / faster, abs=0.06)
        for t in episode.truth:
            for at in np.linspace(t.start, t.end, 7)[1:-1] * faster:
                piece, start = piece_at(episode, at)
                tick = round((at - start) * rate)
                at = float(start + tick / rate)
                wanted = episode_picture(piece.clip, piece.names).frame(float(piece.start + tick / rate))
                near = min(pictures, key=lambda picture: abs(picture[0] - at / faster))
                assert np.abs(wanted[:90] - near[1] * 219 / 255 - 16).mean() < 12, (episode.path, t.type, at)


def test_stretches_of_story_do_not_repeat(season):
    plan, folder = season
    stories = []
    for episode in [e for e in plan.episodes if not e.copy]:
        sound = heard_in(folder / episode.path)
        parts = [p for p in episode.parts if p.type == "story"]
        cue = next((p for p in episode.parts if p.type == "shared cue"), parts[0])
        if cue is not parts[0]:      # the one thing that does
            sound[round(HZ * cue.start):round(HZ * cue.end)] = 0
        stories.append([sound[round(HZ * p.start):round(HZ * p.end)] for p in parts])
    for one, other in product(*stories):
        for start in range(0, one.size - 2 * HZ, 2 * HZ):
            piece = one[start:start + 2 * HZ]
            if np.sqrt((piece**2).mean()) > 0.01:
                assert likeness(other, piece).max() < 0.6


# ---------------------------------------------------------------- files


def test_the_truth_is_read_as_markers(season):
    plan, folder = season
    assert [(e.path, [(m.type, m.start, m.end) for m in e.markers]) for e in read_json(folder / "truth.json")] == [
        (e.path, [(t.type, round(t.start, 3), round(t.end, 3)) for t in e.truth]) for e in plan.episodes]
    season_facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["season"]
    assert season_facts["split"] == "train" and season_facts["sizes"]["minutes"] == 0.75
    assert [path.relative_to(folder).as_posix() for path in find_videos([folder])] == [e.path for e in plan.episodes]


def test_chapters_are_in_the_file(season):
    plan, folder = season
    episode = next(e for e in plan.episodes if e.chapters)
    with av.open(str(folder / episode.path)) as container:
        read = [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in container.chapters()]
    assert [title for _, title in read] == [title for *_, title in episode.chapters]
    assert [start for start, _ in read] == pytest.approx([start for start, *_ in episode.chapters], abs=0.002)


def test_the_same_plan_gives_the_same_bytes_also_of_a_copy(season, tmp_path):
    plan, folder = season
    episode = next(e for e in plan.episodes if e.copy)
    render_episode(episode, tmp_path / "again.mkv")
    assert (tmp_path / "again.mkv").read_bytes() == (folder / episode.path).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.mkv"]      # no original is left


def test_what_is_there_is_kept_and_what_is_missing_is_made(season, tmp_path, monkeypatch):
    plan, _ = season
    made = []
    monkeypatch.setattr("synth.episodes.render.render_episode", lambda e, path: (made.append(e), path.touch()))
    assert len(render_season(plan, tmp_path, HERE).done) == 3
    (tmp_path / plan.episodes[1].path).unlink()
    report = render_season(plan, tmp_path, HERE)
    assert len(report.kept) == 2 and made == [*plan.episodes, plan.episodes[1]]


def test_another_season_or_other_files_are_not_mixed_in(season, tmp_path):
    plan, _ = season
    (tmp_path / "truth.json").write_text(truth_text(plan), encoding="utf-8")
    with pytest.raises(UserError, match="another season"):
        render_season(plan_season(2, 0, "drawn", TINY), tmp_path, HERE)
    assert (tmp_path / "truth.json").read_text(encoding="utf-8") == truth_text(plan)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/holiday.mp4").touch()
    with pytest.raises(UserError, match="not made here"):
        render_season(plan, tmp_path / "mine", HERE)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["holiday.mp4"]


def test_an_episode_that_fails_is_reported_and_the_others_are_made(season, tmp_path, monkeypatch):
    plan, _ = season

    def fail(episode, path):
        if episode.numbers == (2,):
            raise ValueError("no paint")
        path.touch()

    monkeypatch.setattr("synth.episodes.render.render_episode", fail)
    report = render_season(plan, tmp_path, HERE)
    assert report.exit_code == 1 and len(report.done) == 2 and "no paint" in report.failed[0][1]


@pytest.mark.parametrize("wrong, message", [
    ({"train": 0, "test": 0}, "nothing to make"), ({"train": -1}, "--train"),
    ({"sizes": replace(SHORT, height=91)}, "even"), ({"sizes": replace(SHORT, theme=40.0)}, "quarter"),
    ({"sizes": replace(SHORT, episodes=1)}, "--episodes"),
    ({"sizes": replace(SHORT, minutes=1e9)}, "--minutes"), ({"workers": 10**9}, "--workers")])
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        make_library(tmp_path / "library", **{"sizes": SHORT, **wrong})
    assert not (tmp_path / "library").exists()


@pytest.fixture(scope="module")
def small_file(tmp_path_factory) -> Path:
    """Four seconds of a tone of 440 Hz, and pictures of noise at 24000/1001 a second."""
    path = tmp_path_factory.mktemp("media") / "original.mkv"
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 128, 3), np.uint8) for _ in range(96)]
    return write_media(path, images, fps=24_000 / 1001, sound=tone(96 * 1001 / 24_000, 44_100))


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_what_it_is_called(small_file, tmp_path, copy):
    write_copy(small_file, tmp_path / "copy.mkv", copy)
    pictures, sound = pictures_of(tmp_path / "copy.mkv"), heard_in(tmp_path / "copy.mkv")
    faster = 25 * 1001 / 24_000 if copy.startswith("4% faster") else 1.0
    assert len(pictures) == 96
    assert pictures[-1][0] == pytest.approx(95 * 1001 / 24_000 / faster, abs=0.003)
    assert sound.size / HZ == pytest.approx(96 * 1001 / 24_000 / faster, abs=0.1)
    pitch = np.abs(np.fft.rfft(sound[HZ:3 * HZ] * np.hanning(2 * HZ))).argmax() / 2
    assert pitch == pytest.approx(440 * (faster if copy == "4% faster" else 1), abs=1)
    with av.open(str(tmp_path / "copy.mkv")) as container:
        assert container.streams.audio[0].rate == (8_000 if copy == "8 kHz mono" else 44_100)
    size = (tmp_path / "copy.mkv").stat().st_size
    assert copy != "low bit rate" or size < 0.3 * small_file.stat().st_size


def test_a_file_that_ffmpeg_cannot_write_is_reported_with_its_reason(small_file, tmp_path):
    with pytest.raises(ValueError, match="ffmpeg: .*(?i:no such)"):
        write_copy(small_file, tmp_path / "missing/copy.mkv", "8 kHz mono")
