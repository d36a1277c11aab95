"""The benchmark beside other programs: its rivals follow their rules, and its measures count what they say."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media_files import tone, write_media

from benchmarks.locate import methods
from benchmarks.locate.methods import NO_FPCALC, compared, make_print
from benchmarks.locate.report import case_table, judged, method_row
from benchmarks.locate.rivals import (
    NEAR,
    PERIOD,
    POINT,
    USUAL,
    USUAL_THEME,
    WINDOW,
    Sound,
    compare,
    intro_skipper,
    limits_for,
    median,
    needle,
    shared_run,
)
from benchmarks.locate.run import main
from benchmarks.locate.seasons import Episode, Season, read_seasons
from datatools.errors import UserError
from episodes.judging import judge, total
from synth.episodes.library import make_library
from synth.episodes.plan import Sizes

FPCALC = pytest.mark.skipif(not shutil.which("fpcalc"), reason="fpcalc is not installed (Debian's package "
                            "libchromaprint-tools): no fingerprints of the rivals")
MINUTES = 24
TAIL = 2.6                  # s of sound that the last point describes


def points(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Points of sound that is like no other."""
    return rng.integers(0, 2**32, round(seconds / POINT), np.uint32)


def slow_points(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Points that change by a bit from one to the next, as those of real sound change little."""
    bits = np.uint32(1) << rng.integers(0, 32, round(seconds / POINT), np.uint32)
    return np.bitwise_xor.accumulate(bits)


def flipped(rng: np.random.Generator, sound: np.ndarray, bits: int) -> np.ndarray:
    """The points with so many bits changed, of each but every eighth."""
    masks = np.array([sum(1 << int(bit) for bit in rng.choice(32, bits, replace=False)) for _ in sound], np.uint32)
    masks[::8] = 0
    return sound ^ masks


def episode(rng: np.random.Generator, *parts: tuple[float, np.ndarray], minutes: float = MINUTES) -> Sound:
    """Minutes of points with each part at its second."""
    sound = points(rng, 60 * minutes - TAIL)
    for start, part in parts:
        first = round(start / POINT)
        sound[first:first + len(part)] = part
    return Sound(sound, 60.0 * minutes)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


# ---------------------------------------------------------------- intro-skipper


def test_a_shared_run_is_found_at_its_places_up_to_six_bits_and_not_beyond(rng):
    theme = points(rng, 90)
    a, b = episode(rng, (30, theme)).points, episode(rng, (200, flipped(rng, theme, NEAR))).points
    (start, end), (start_b, end_b) = shared_run(a, b, 15)
    assert [start, end, start_b, end_b] == pytest.approx([30, 120, 200, 290], abs=0.3)
    far = episode(rng, (200, flipped(rng, theme, NEAR + 1))).points       # an eighth of the points is equal
    far[round(200 / POINT):round(290 / POINT):8] = 0
    assert shared_run(a, far, 15) is None


def test_runs_are_joined_over_gaps_of_three_and_a_half_seconds_only(rng):
    theme = points(rng, 90)
    short, long = theme.copy(), theme.copy()
    short[400:400 + int(3.3 / POINT)] = points(rng, 3.3)[:int(3.3 / POINT)]
    long[400:400 + int(4.0 / POINT)] = points(rng, 4.0)[:int(4.0 / POINT)]
    a = episode(rng, (30, theme)).points
    found = [shared_run(a, episode(rng, (60, part)).points, 15)[0] for part in (short, long)]
    assert found[0] == pytest.approx((30, 120), abs=0.3)
    assert found[1] == pytest.approx((30, 30 + 399 * POINT), abs=0.3)


def test_openings_take_15_to_120_s_of_the_first_quarter_and_ten_minutes(rng):
    def opening_of(seconds: float, start: float):
        theme = points(rng, seconds)
        return compare(episode(rng, (start, theme)), episode(rng, (50, theme)), "opening", USUAL)

    assert opening_of(90, 60) is not None
    assert opening_of(14, 60) is None and opening_of(125, 60) is None
    assert opening_of(90, 400) is None                      # after six minutes of 24
    assert opening_of(90, 3)[0][0] == 0.0                   # it begins in the first five seconds


def test_an_ending_is_found_from_the_end_of_both(rng):
    theme = points(rng, 90)
    found = compare(episode(rng, (1300, theme)), episode(rng, (1330, theme)), "ending", USUAL)
    # Times from the end count the last point's sound, which is how the program does it.
    assert [span[0] for span in found] == pytest.approx([1300 + TAIL, 1330 + TAIL], abs=0.5)
    assert [span[1] for span in found] == pytest.approx([1390 + TAIL, 1420 + TAIL], abs=0.5)
    assert compare(episode(rng, (900, theme)), episode(rng, (1330, theme)), "ending", USUAL) is None


def test_the_first_pair_that_succeeds_counts_and_so_two_openings_are_lost(rng):
    """Where two episodes share only part of the theme, intro-skipper stops there; the median of all pairs does not."""
    theme, cut = points(rng, 90), points(rng, 90)
    cut[:len(cut) // 3] = theme[:len(cut) // 3]
    sounds = [episode(rng, (start, part)) for start, part in ((40, theme), (40, cut), (60, theme), (80, theme))]
    answers = intro_skipper(sounds)
    assert answers[0]["opening"] == pytest.approx((40, 70), abs=0.5)
    assert answers[2]["opening"] == pytest.approx((60, 150), abs=0.5)
    assert median(sounds)[0]["opening"] == pytest.approx((40, 130), abs=0.5)
    assert median(sounds[:1]) == intro_skipper(sounds[:1]) == [{}]


# ---------------------------------------------------------------- needle


def test_needle_finds_opening_and_ending_within_their_edges(rng):
    """Its times are those of windows of three seconds that lie wholly in the run."""
    opening, ending = slow_points(rng, 60 - TAIL), slow_points(rng, 50 - TAIL)
    sounds = [episode(rng, (start, opening), (400, ending), minutes=8) for start in (30, 120, 60)]
    for answer, start in zip(needle(sounds), (30, 120, 60), strict=True):
        assert answer["opening"] == pytest.approx((start + WINDOW, start + 60 - WINDOW), abs=3 * PERIOD)
        assert answer["ending"] == pytest.approx((400 + WINDOW, 450 - WINDOW), abs=3 * PERIOD)


def test_needle_passes_over_what_is_shorter_than_20_s_or_in_the_middle(rng):
    brief, late = slow_points(rng, 18 - TAIL), slow_points(rng, 60)
    assert needle([episode(rng, (start, brief), (310, late), minutes=8) for start in (30, 120)]) == [{}, {}]


def test_short_episodes_shorten_the_limits_and_usual_ones_do_not():
    assert limits_for(USUAL_THEME) == USUAL
    short = limits_for(15)
    assert short.least == short.needle_least == 8 and short.most == 20 and short.head_share == 0.5


# ---------------------------------------------------------------- measures


TRUTH = [("opening", 60.0, 150.0), ("ending", 1300.0, 1390.0), ("recap", 10.0, 50.0)]


@pytest.mark.parametrize(("told", "counts", "story"), [
    ([], (0, 0, 0, 2), 0),
    ([("opening", 60.5, 149.5), ("ending", 1300.9, 1390.9)], (2, 2, 0, 0), 0.9),
    ([("opening", 74.0, 154.0)], (1, 0, 1, 1), 4.0),              # useful, but it skips four seconds of story
    ([("opening", 60.0, 140.0)], (0, 0, 0, 2), 0),                # ends ten seconds early: no harm, no use
    ([("ending", 60.0, 150.0)], (0, 0, 1, 2), 90.0),              # of the other type
    ([("opening", 500.0, 590.0), ("recap", 500.0, 540.0)], (0, 0, 1, 2), 90.0)])
def test_an_episodes_markers_are_judged_by_hand(told, counts, story):
    verdict = judge(TRUTH, told)
    assert verdict.known == 2
    assert (verdict.useful, verdict.right, verdict.wrong, verdict.missed) == counts
    assert verdict.story == pytest.approx(story)


def test_edges_are_measured_where_a_marker_touches_a_true_one_and_verdicts_add_up():
    verdicts = [judge(TRUTH, [("opening", 62.0, 149.5)]), judge(TRUTH, [("opening", 700.0, 790.0)])]
    assert verdicts[0].errors == (2.0, 0.5) and verdicts[1].errors == ()
    both = total(verdicts)
    assert (both.known, both.given, both.useful, both.missed, both.wrong) == (4, 2, 1, 3, 1)


def made_season(folder: Path, *cases: tuple[str, ...]) -> Season:
    return Season(folder, "drawn", USUAL_THEME, tuple(
        Episode(f"{number}.mkv", 1440.0, (number,), those, tuple(TRUTH)) for number, those in enumerate(cases, 1)))


def test_the_tables_tell_shares_of_seasons_costs_and_cases(tmp_path):
    seasons = [made_season(tmp_path / "a", (), ("dub",)), made_season(tmp_path / "b", ("dub",), ("dub", "recap"))]
    right = [(kind, start, end) for kind, start, end in TRUTH]
    answers = [methods.Answered({"1.mkv": right, "2.mkv": right}, 6.0, 200_000_000),
               methods.Answered({"1.mkv": right, "2.mkv": [("opening", 0.0, 9.0)]}, 2.0, 90_000_000)]
    rows = judged(seasons, answers)
    row = method_row("ours", rows, answers)
    assert row[1].startswith("75.0% [") and row[3].startswith("12.5% [") and row[4].startswith("25.0% [")
    assert row[5:] == ["9", "0.00", "0.00", "2.00", "200"]
    lines = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
             for cells in (line.split("|") for line in case_table({"ours": rows}).splitlines())}
    assert lines["dub"] == ["3", "6", "4, 1"] and lines["recap"] == ["1", "2", "0, 1"]
    assert lines["none of these"] == ["1", "2", "2, 0"]


# ---------------------------------------------------------------- files and commands


def test_versions_and_movies_are_kept_apart_as_servers_do(tmp_path):
    season = Season(tmp_path, "drawn", USUAL_THEME, (
        Episode("2.mkv", 1440.0, (2,), (), ()), Episode("1v2.mkv", 1440.0, (1,), ("second version",), ()),
        Episode("1.mkv", 1440.0, (1,), (), ()), Episode("movie.mkv", 3000.0, (), ("movie",), ())))
    assert [each.path for each in compared(season)] == ["1.mkv", "2.mkv"]


def test_seasons_to_learn_from_are_not_measured(tmp_path):
    with pytest.raises(UserError, match="no made season of the split test"):
        read_seasons(tmp_path)
    (tmp_path / "truth.json").write_text('{"season": {"split": "train"}, "episodes": []}')
    with pytest.raises(UserError, match="1 of other splits"):
        read_seasons(tmp_path)
    (tmp_path / "truth.json").write_text('{"season": {"split": "test"}}')
    with pytest.raises(UserError, match="truth.json: no truth of made episodes"):
        read_seasons(tmp_path)


def test_without_fpcalc_the_benchmark_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="apt install libchromaprint-tools.* Without it: --methods locate.py"):
        main(["--library", str(tmp_path), "--work_dir", str(tmp_path / "work")])
    with pytest.raises(UserError) as raised:
        make_print(tmp_path / "episode.mkv", tmp_path)
    assert str(raised.value) == NO_FPCALC


@FPCALC
def test_a_fingerprint_is_made_once_and_kept_with_its_cost(tmp_path, monkeypatch):
    path = tmp_path / "episode.mkv"
    write_media(path, sound=tone(12, 16_000), sound_rate=16_000)
    made = make_print(path, tmp_path / "work")
    assert abs(len(made["fingerprint"]) * POINT - (12.0 - TAIL)) < 0.3 and made["cpu"] > 0 and made["peak"] > 1e6
    monkeypatch.setattr(methods, "run_measured", None)
    assert make_print(path, tmp_path / "work") == made
    path.write_bytes(b"no media")
    monkeypatch.undo()
    with pytest.raises(UserError, match="episode.mkv: fpcalc found no fingerprint"):
        make_print(path, tmp_path / "work")


@FPCALC
@pytest.mark.soak
def test_the_whole_benchmark_on_the_smallest_season(tmp_path):
    sizes = Sizes(minutes=0.75, episodes=3, height=90, theme=10.0, fps="12", sample_rate=16_000)
    make_library(tmp_path / "library", train=0, test=1, seed=3, family="drawn", sizes=sizes, workers=1)
    words = [sys.executable, "benchmarks/locate/run.py", "--library", tmp_path / "library", "--work_dir",
             tmp_path / "work"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[1])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/report.md").read_text() in done.stdout
    assert all(f"| {method} " in done.stdout for method in methods.METHODS)
