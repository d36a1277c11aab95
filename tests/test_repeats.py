"""Runs, themes and their edges, on a small season: two openings, one episode 4% faster, a song sung in the story."""

from dataclasses import replace

import numpy as np
import pytest
import soxr

from episodes import edge_notes
from episodes.edges import refine
from episodes.fingerprint import RETIMED, SOUND_RATE, Prints, sound_points
from episodes.repeats import Run, features, runs, runs_with, themes, without_copies
from tests.episode_sounds import RATE, joined, song, story
from tests.media_files import write_media

THEME = 24.0                                     # s
# s of story before the opening, and between it and the ending; which opening
EPISODES = [(5.0, 20.0, 1), (12.0, 25.0, 1), (0.0, 30.0, 1), (9.0, 21.0, 2), (16.0, 24.0, 2)]
FASTER = 1                                       # the episode that is played at 25 pictures a second
ENDING = 9                                       # the ending's song


def episode_sound(number: int) -> np.ndarray:
    before, between, opening = EPISODES[number]
    return joined(story(number, before), song(opening, THEME), story(20 + number, between), song(ENDING, THEME),
                  story(40 + number, 8.0))


def places(number: int) -> list[tuple[float, float]]:
    """Of opening and ending, (start, end) in seconds."""
    before, between, _ = EPISODES[number]
    speed = RETIMED if number == FASTER else 1.0
    return [(start / speed, (start + THEME) / speed) for start in (before, before + THEME + between)]


def prints_of(sound: np.ndarray, speed: float = 1.0, pictures: tuple = ((), ())) -> Prints:
    samples = soxr.resample(sound, RATE * speed, SOUND_RATE)
    times, hashes = pictures
    return Prints(*sound_points(samples), np.array(times, np.float64), np.array(hashes, np.uint64),
                  len(samples) / SOUND_RATE)


@pytest.fixture(scope="module")
def season() -> list[Prints]:
    return [prints_of(episode_sound(number), RETIMED if number == FASTER else 1.0) for number in range(len(EPISODES))]


@pytest.fixture(scope="module")
def found(season) -> list[Run]:
    return runs(season)


def near(run: Run, which: int) -> bool:
    """Whether a run is opening (0) or ending (1) of both its episodes, within half a second."""
    wanted = (*places(run.a)[which], *places(run.b)[which])
    return np.abs(np.subtract(wanted, (run.start_a, run.end_a, run.start_b, run.end_b))).max() < 0.6


def test_all_runs_of_all_pairs_are_found_and_nothing_else(found):
    endings = {(run.a, run.b) for run in found if near(run, 1)}
    openings = {(run.a, run.b) for run in found if near(run, 0)}
    assert endings == {(a, b) for a in range(5) for b in range(a + 1, 5)}
    assert openings == {(0, 1), (0, 2), (1, 2), (3, 4)}
    assert len(found) == 14
    assert all(run.witness == "sound" and 0.5 < run.score <= 1 for run in found)


def test_a_run_tells_how_much_faster_the_other_episode_plays_it(found):
    for run in found:
        assert run.rate == pytest.approx({0: RETIMED, 1: 1 / RETIMED}[run.a]
                                         if (run.a == 0 and run.b == FASTER) or run.a == FASTER else 1.0)


def test_the_same_pitch_played_faster_is_found():
    """As `atempo` would make it: short pieces moved nearer to each other, each of them as it was."""
    theme, piece, step = song(3, 30.0), 2400, 600
    starts = np.arange(0, len(theme) - piece, step)
    squeezed = np.zeros(int(len(theme) / RETIMED) + piece)
    weight = np.zeros(len(squeezed))
    for start in starts:
        at = round(start / RETIMED)
        squeezed[at:at + piece] += theme[start:start + piece] * np.hanning(piece)
        weight[at:at + piece] += np.hanning(piece)
    squeezed = (squeezed / np.maximum(weight, 0.1)).astype(np.float32)
    season = [prints_of(joined(story(1, 6), theme, story(2, 6))), prints_of(joined(story(3, 9), squeezed, story(4, 6)))]
    rates = [run.rate for run in runs(season)]
    assert rates == [pytest.approx(RETIMED)]


def test_a_new_episode_alone_finds_the_runs_that_it_has_among_all(season, found):
    ours = runs_with(season[-1], season[:-1])
    wanted = [run for run in found if run.b == len(season) - 1]
    assert [(run.a, run.b) for run in ours] == [(run.a, run.b) for run in wanted]
    assert np.allclose([run.start_a for run in ours], [run.start_a for run in wanted], atol=0.2)


def test_silence_and_story_share_nothing():
    silent = [prints_of(np.zeros(60 * RATE, np.float32)) for _ in range(3)]
    assert runs(silent) == []
    assert runs([prints_of(story(70 + number, 60)) for number in range(3)]) == []
    assert runs([]) == [] and themes([], []) == []


def test_a_file_that_is_there_twice_shares_nothing_with_its_copy(season, found):
    twice = [*season, season[0]]
    runs_of_copies = [Run(0, 5, 0.0, season[0].duration - 1, 0.0, season[0].duration - 1, 1.0, 1.0, "sound")]
    assert without_copies([*found, *runs_of_copies], twice) == found
    assert without_copies(found, season) == found
    half = [replace(runs_of_copies[0], end_a=season[0].duration / 2)]
    assert without_copies(half, twice) == half


def cuts(start: float, seed: int) -> tuple[list[float], list[int]]:
    """Times and hashes of a theme's keyframes."""
    rng = np.random.default_rng(seed)
    times = start + np.sort(rng.uniform(0, THEME, 12))
    return times.tolist(), rng.integers(0, 2**63, 12).tolist()


def test_pictures_alone_find_a_theme_in_a_dub():
    season = [prints_of(joined(story(number, 5 + number), song(80 + number, THEME), story(30 + number, 9)),
                        pictures=cuts(5.0 + number, 1)) for number in range(3)]
    found = runs(season)
    assert {(run.a, run.b, run.witness) for run in found} == {(a, b, "pictures") for a, b in ((0, 1), (0, 2), (1, 2))}
    assert all(run.start_b - run.start_a == pytest.approx(run.b - run.a, abs=0.01) for run in found)


def held(start: float, step: float) -> tuple[list[float], list[int]]:
    """Times and hashes of keyframes every `step` s and at each of six cuts, between which the picture is held."""
    shots = np.arange(0, THEME, 4.0)
    times = np.unique(np.concatenate([shots, np.arange(0, THEME, step)]))
    hashes = np.random.default_rng(4).integers(0, 2**63, len(shots))
    return (start + times).tolist(), hashes[np.searchsorted(shots, times, side="right") - 1].tolist()


def test_held_pictures_agree_whenever_their_keyframes_were_set():
    season = [prints_of(np.zeros(60 * RATE, np.float32), pictures=held(*one)) for one in ((8.0, 1.0), (20.0, 2.3))]
    (run,) = runs(season)
    assert run.witness == "pictures" and run.rate == 1
    assert (run.start_a, run.start_b) == pytest.approx((8.0, 20.0), abs=0.3)
    assert run.end_a == pytest.approx(8.0 + THEME, abs=2.5)


def test_pictures_of_a_part_do_not_cut_what_sounds_the_same():
    """Pairs whose pictures agree for 8 s of 40, at their own speed or, as held pictures may, at another one."""
    season = [prints_of(np.zeros(90 * RATE, np.float32)) for _ in range(3)]
    heard = [Run(a, b, 10.0, 50.0, 10.0, 50.0, 1.0, 0.9, "sound") for a, b in ((0, 1), (0, 2), (1, 2))]
    seen = [Run(0, 1, 30.0, 38.0, 30.0, 38.0, 1.0, 1.0, "pictures"),
            Run(0, 2, 30.0, 38.0, 30.0, 38.0, 1.0, 1.0, "pictures"),
            Run(1, 2, 20.0, 30.0, 24.0, 34.0 / RETIMED, RETIMED, 1.0, "pictures")]
    (theme,) = themes([*heard, *seen], season)
    assert {(one.start, one.end) for ones in theme.members.values() for one in ones} == {(10.0, 50.0)}
    assert [ones[0].pictures for ones in theme.members.values()] == [1.0, 0.5, 0.5]


def test_a_theme_that_another_voice_sings_is_whole():
    """It sounds the same here and there alone, and looks the same."""
    season = [prints_of(np.zeros(90 * RATE, np.float32)) for _ in range(4)]
    found = [Run(a, b, 10.0, 60.0, 10.0, 60.0, 1.0, 1.0, witness) for a, b in ((0, 1), (0, 2), (1, 2))
             for witness in ("sound", "pictures")]
    found += [Run(a, 3, start, end, start + 2, end + 2, 1.0, 0.6, "sound") for a in range(3)
              for start, end in ((10.0, 22.0), (35.0, 48.0))]
    found += [Run(a, 3, 12.0, 58.0, 14.0, 60.0, 1.0, 1.0, "pictures") for a in range(3)]
    (theme,) = themes(found, season)
    assert [(ones[0].start, ones[0].end) for ones in theme.members.values()] == [*[(10.0, 60.0)] * 3, (12.0, 62.0)]


def test_a_card_that_one_of_four_lacks_is_no_part_of_the_theme():
    season = [prints_of(np.zeros(90 * RATE, np.float32)) for _ in range(4)]
    ends = {(a, b): 58.0 if b < 3 else 50.0 for a in range(4) for b in range(a + 1, 4)}
    theme, card = themes([Run(a, b, 10.0, end, 10.0, end, 1.0, 0.9, "sound") for (a, b), end in ends.items()], season)
    assert {number: (ones[0].start, ones[0].end) for number, ones in theme.members.items()} == {
        number: (10.0, 50.0) for number in range(4)}
    assert {number: (ones[0].start, ones[0].end) for number, ones in card.members.items()} == {
        number: (50.0, 58.0) for number in range(3)}


def test_a_song_sung_in_part_within_the_story_does_not_cut_its_theme():
    season = [prints_of(np.zeros(90 * RATE, np.float32)) for _ in range(4)]
    heard = [Run(a, b, 10.0, 58.0 if b < 3 else 50.0, 10.0, 58.0 if b < 3 else 50.0, 1.0, 0.9, "sound")
             for a in range(4) for b in range(a + 1, 4)]
    seen = [replace(run, witness="pictures") for run in heard if run.b < 3]
    (theme,) = themes([*heard, *seen], season)
    assert [ones[0].end for ones in theme.members.values()] == [58.0, 58.0, 58.0, 50.0]


def test_themes_tell_two_openings_apart(season, found):
    ending, first, second = themes(found, season)
    assert sorted(ending.members) == [0, 1, 2, 3, 4]
    assert sorted(first.members) == [0, 1, 2]
    assert sorted(second.members) == [3, 4]
    assert ending.length == pytest.approx(THEME, abs=0.6)
    assert ending.members[FASTER][0].rate == pytest.approx(RETIMED)
    told = features(ending, season)
    assert told["share"] == 1 and told["num_members"] == 5 and told["most_times"] == 1
    assert told["to_end"] == pytest.approx(8.0, abs=0.6) and told["to_end_spread"] < 0.5
    assert features(second, season)["share"] == pytest.approx(0.4)
    assert features(second, season)["share_between"] == 1


def test_runs_that_begin_here_and_there_give_all_members_the_same_part():
    """The theme begins at 10, 20 and 30 s; one pair shares it from its third second on, as where voices lie over it."""
    season = [prints_of(np.zeros(60 * RATE, np.float32)) for _ in range(3)]
    (theme,) = themes([Run(0, 1, 12.5, 34.0, 22.5, 44.0, 1.0, 0.9, "sound"),
                       Run(0, 2, 10.0, 34.0, 30.0, 54.0, 1.0, 0.9, "sound"),
                       Run(1, 2, 20.0, 43.0, 30.0, 53.0, 1.0, 0.9, "sound")], season)
    assert [(ones[0].start, ones[0].end) for ones in theme.members.values()] == [(10, 34), (20, 44), (30, 54)]


def test_pictures_that_stand_still_do_not_cut_a_theme_that_one_episode_plays_faster():
    """Keyframes of a long shot agree at the same speed too, over a part of the theme."""
    season = [prints_of(np.zeros(200 * RATE, np.float32)) for _ in range(3)]
    links = [(0, 1, 20.0, 40.0, 1.0), (0, 2, 20.0, 60.0, RETIMED), (1, 2, 40.0, 60.0, RETIMED)]
    sound = [Run(a, b, start_a, start_a + 90, start_b, start_b + 90 / rate, rate, 0.9, "sound")
             for a, b, start_a, start_b, rate in links]
    still = [Run(a, 2, start + 25, start + 40, 60 + 24.5, 60 + 39.5, 1.0, 1.0, "pictures")
             for a, start in ((0, 20), (1, 40))]
    (theme,) = themes(sound + still, season)
    assert theme.length == pytest.approx(90)
    assert theme.members[2][0].end == pytest.approx(60 + 90 / RETIMED)


def test_bars_that_a_song_repeats_are_no_second_occurrence():
    season = [prints_of(np.zeros(200 * RATE, np.float32)) for _ in range(3)]
    whole = [Run(a, b, 10.0 + 10 * a, 10.0 + 10 * a + length, 10.0 + 10 * b, 10.0 + 10 * b + length, 1.0, 0.9, "sound")
             for a, b, length in ((0, 1, 94.0), (0, 2, 90.0), (1, 2, 94.0))]
    bars = Run(0, 1, 40.0, 77.0, 60.0, 97.0, 1.0, 0.9, "sound")       # 10 s later in one than in the other
    (theme,) = themes([*whole, bars], season)
    assert [len(ones) for ones in theme.members.values()] == [1, 1, 1]
    assert [ones[0].start for ones in theme.members.values()] == [10.0, 20.0, 30.0]


def test_a_song_sung_in_the_story_is_told_by_its_pictures():
    openings = [prints_of(joined(story(number, 4 + number), song(1, THEME), story(30 + number, 12)),
                          pictures=cuts(4.0 + number, 1)) for number in range(3)]
    sung = prints_of(joined(story(50, 30.0), song(1, THEME), story(51, 10)), pictures=cuts(30.0, 5))
    season = [*openings, sung]
    (theme,) = themes(runs(season), season)
    assert [theme.members[number][0].pictures > 0.5 for number in range(4)] == [True, True, True, False]
    assert [theme.members[number][0].sound for number in range(4)] == [1.0] * 4
    assert features(theme, season)["other_pictures"] == pytest.approx(0.25)


def test_a_recap_before_the_opening_is_cut_off_where_others_begin():
    recap = story(90, 12.0)
    season = [prints_of(joined(story(number, 6), recap if number < 2 else story(60 + number, 4 + number),
                               song(1, THEME), story(30 + number, 10))) for number in range(5)]
    found = themes(runs(season), season)
    assert sorted(found[0].members) == [0, 1, 2, 3, 4]
    assert found[0].length == pytest.approx(THEME, abs=0.8)
    assert sorted(found[1].members) == [0, 1]
    assert found[1].length == pytest.approx(12.0, abs=1.2)


# ---------------------------------------------------------------- edges

FPS = 12


def moving(seed: int, seconds: float) -> list[np.ndarray]:
    """Pictures with a new look every second or so and something that moves."""
    rng, images = np.random.default_rng(seed), []
    for index in range(round(seconds * FPS)):
        if index % 14 == 0:
            look = rng.integers(0, 255, (4, 6, 3), np.uint8).repeat(12, axis=0).repeat(12, axis=1)
        images.append(np.roll(look, index % 14, axis=1))
    return images


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list:
    """Three files of a season whose theme is THEME long; its music rings on for 0.5 s over the story."""
    folder, found = tmp_path_factory.mktemp("edges"), []
    music = song(1, THEME + 0.5)
    for number in range(3):
        before, after = 8.0 + 1.5 * number, 9.0
        rest = story(30 + number, after)
        rest[:RATE // 2] = music[-(RATE // 2):]
        sound = joined(story(number, before), music[:-(RATE // 2)], rest)
        images = moving(10 + number, before) + moving(1, THEME) + moving(20 + number, after)
        found.append(write_media(folder / f"{number}.mkv", images, fps=FPS, sound=sound[None], sound_rate=RATE))
    return found


def test_edges_lie_where_the_pictures_begin_and_cease_to_be_the_same(files):
    season = [prints_of(joined(story(number, 8.0 + 1.5 * number), song(1, THEME + 0.5), story(30 + number, 8.5)))
              for number in range(3)]
    (theme,) = themes(runs(season), season)
    refined = refine(theme, season, files)
    for number in range(3):
        (one,), (rough,) = refined.members[number], theme.members[number]
        start = 8.0 + 1.5 * number
        assert one.start == pytest.approx(start, abs=0.06)
        assert one.end == pytest.approx(start + THEME, abs=0.06)
        assert abs(rough.end - start - THEME) > 0.2      # the prints alone follow the music
        assert one.pictures == 1.0
    assert refined.length == pytest.approx(THEME, abs=0.06)


def test_edges_that_were_read_are_refined_again_without_the_files(files, monkeypatch):
    season = [prints_of(joined(story(number, 8.0 + 1.5 * number), song(1, THEME + 0.5), story(30 + number, 8.5)))
              for number in range(3)]
    (theme,), notes = themes(runs(season), season), {}
    refined = refine(theme, season, files, notes)
    for name in ("read_sound", "read_pictures"):
        monkeypatch.setattr(edge_notes, name, lambda *_: pytest.fail("was read before"))
    assert refine(theme, season, files, notes) == refined
    moved = replace(theme, members={number: [one._replace(start=one.start + 0.2, end=one.end + 0.1) for one in ones]
                                    for number, ones in theme.members.items()})
    for number, (one,) in refine(moved, season, files, notes).members.items():
        assert one.start == pytest.approx(refined.members[number][0].start, abs=0.02)


def test_what_is_left_of_a_file_beside_a_theme_is_its_fading(files):
    """As if the files ended 0.3 s after the theme."""
    season = [prints_of(joined(story(number, 8.0 + 1.5 * number), song(1, THEME + 0.5), story(30 + number, 8.5)))
              for number in range(3)]
    short = [replace(each, duration=8.0 + 1.5 * number + THEME + 0.3) for number, each in enumerate(season)]
    (theme,) = themes(runs(season), season)
    assert [ones[0].end for ones in refine(theme, short, files).members.values()] == [one.duration for one in short]


def test_a_file_that_cannot_be_read_keeps_its_edges(files, tmp_path):
    season = [prints_of(joined(story(number, 8.0 + 1.5 * number), song(1, THEME + 0.5), story(30 + number, 8.5)))
              for number in range(3)]
    (theme,) = themes(runs(season), season)
    refined = refine(theme, season, [*files[:2], tmp_path / "gone.mkv"])
    assert refined.members[2] == theme.members[2]
    assert refined.members[0][0].start == pytest.approx(8.0, abs=0.06)
    assert refine(theme, season) == theme
    alone = replace(theme, members={0: theme.members[0]})
    assert refine(alone, season, files) == alone
