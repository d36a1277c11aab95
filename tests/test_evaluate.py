"""Evaluation: figures worked out by hand, intervals against what they promise, and the command with its errors."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_helpers import TRUTH, found_with, run, write_files

from datatools.errors import UserError
from datatools.layout import END, START
from datatools.scores import clip_costs, competition_score, error_table, score_table
from datatools.submission import write_submission
from datatools.tables import markdown_table, text_table
from utils.evaluate import main
from utils.evaluation import DRAWS_AT_ONCE, bootstrap_interval, compare, evaluate
from utils.evaluation_plots import errors_figure
from utils.evaluation_report import as_text, evaluate_files
from utils.plots import LOOKS

ROOT = Path(__file__).resolve().parents[1]


# ---------------------------------------------------------------- figures


def test_the_figures_are_those_worked_out_by_hand():
    error = np.array([0, 0.5, -1, 1.5, -3, 10])   # costs 0, 0, 0, 0.5, 2, 9
    table = error_table(50 + error, np.full(6, 50.0))
    assert table == pytest.approx({
        "clips": 6, "score": 11.5 / 6, "mean_error": 16 / 6, "median_error": 1.25,
        "within_0.5s": 2 / 6, "within_1s": 3 / 6, "within_2s": 4 / 6, "within_5s": 5 / 6,
    })
    assert competition_score(50 + error, np.full(6, 50.0)) == table["score"]


def test_the_score_is_the_one_that_the_training_reports():
    rng = np.random.default_rng(0)
    truth = {f"c{i}_{'start' if i % 3 else 'end'}": float(rng.uniform(10, 190)) for i in range(60)}
    found = {name: seconds + float(rng.normal(0, 3)) for name, seconds in truth.items()}
    theirs = score_table(found, truth)
    ours = error_table(np.array([found[n] for n in truth]), np.array(list(truth.values())))
    for key in ("score", "mean_error", "within_1s", "within_2s", "within_5s"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-5), key


def test_an_error_of_exactly_the_limit_is_within_it_whatever_the_floats_say():
    assert 2.2 - 1.2 > 1
    assert error_table(np.array([2.2]), np.array([1.2]))["within_1s"] == 1


@pytest.mark.parametrize("predicted, truth", [
    ([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([math.nan], [1.0]), ([1.0], [math.inf])])
def test_arrays_that_are_no_errors_are_refused(predicted, truth):
    with pytest.raises(ValueError, match="expected one shape|NaN or infinity"):
        error_table(np.array(predicted), np.array(truth))


# ---------------------------------------------------------------- intervals


def expected_cost(sigma: float) -> float:
    """The mean of max(0, |e| - 1) for a normal e with deviation sigma: 2 (sigma phi(z) - Phi(-z)), z = 1 / sigma."""
    z = 1 / sigma
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return 2 * (sigma * density - 0.5 * math.erfc(z / math.sqrt(2)))


def test_the_interval_covers_the_true_score_in_95_percent_of_repetitions():
    rng = np.random.default_rng(1)
    below = above = 0
    for repetition in range(500):
        low, high = bootstrap_interval(clip_costs(rng.normal(0, 3, 120)), resamples=600, seed=repetition)
        below += high < expected_cost(3)
        above += low > expected_cost(3)
    # 25 of 500 should miss, give or take 5; a one-sided miss would show as all of them on one side.
    assert 13 <= below + above <= 40
    assert min(below, above) >= 3


def test_the_interval_is_the_one_that_scipy_finds():
    from scipy.stats import bootstrap

    values = np.random.default_rng(2).exponential(3, 80)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile",
                       random_state=np.random.default_rng(9)).confidence_interval
    assert bootstrap_interval(values, 20_000, seed=4) == pytest.approx(tuple(theirs), abs=0.03)


def test_four_times_the_clips_halve_the_interval():
    values = np.random.default_rng(3).exponential(2, 200)
    low, high = bootstrap_interval(values)
    low4, high4 = bootstrap_interval(np.tile(values, 4))
    assert (high4 - low4) / (high - low) == pytest.approx(0.5, abs=0.04)


def test_resamples_that_do_not_fit_into_the_memory_at_once_are_all_drawn(monkeypatch):
    values = np.random.default_rng(4).exponential(2, 50)
    whole = bootstrap_interval(values, 1000)
    assert 1000 * len(values) < DRAWS_AT_ONCE
    monkeypatch.setattr("utils.evaluation.DRAWS_AT_ONCE", 50 * 7)   # 143 pieces, the last one shorter
    assert bootstrap_interval(values, 1000) == pytest.approx(whole, rel=0.1)


def test_the_seed_alone_decides_the_interval():
    values = np.random.default_rng(5).exponential(2, 40)
    assert bootstrap_interval(values, 500, seed=1) == bootstrap_interval(values, 500, seed=1)
    assert bootstrap_interval(values, 500, seed=1) != bootstrap_interval(values, 500, seed=2)


def test_score_and_mean_error_each_have_their_own_interval():
    error = np.random.default_rng(10).normal(0, 3, 60)
    table = evaluate(50 + error, np.full(60, 50.0), 300)
    assert table["score_interval"] == pytest.approx(bootstrap_interval(clip_costs(error), 300), abs=1e-5)
    assert table["mean_error_interval"] == pytest.approx(bootstrap_interval(np.abs(error), 300), abs=1e-5)


def test_a_single_clip_has_no_interval():
    table = evaluate(np.array([7.0]), np.array([4.0]))
    assert table["score"] == 2 and table["score_interval"] is None and table["mean_error_interval"] is None


# ---------------------------------------------------------------- two submissions


def test_a_comparison_is_the_one_worked_out_by_hand():
    truth = np.full(5, 100.0)
    predicted = truth + [0.2, 3, -4, 0, 1.2]   # costs 0, 2, 3, 0, 0.2
    against = truth + [0.9, 2, -9, 5, -1.2]    # costs 0, 1, 8, 4, 0.2
    table = compare(predicted, against, truth)
    assert (table["better"], table["worse"], table["equal"]) == (2, 1, 2)
    assert table["score"] == pytest.approx(1.04) and table["score_against"] == pytest.approx(2.64)
    assert table["difference"] == pytest.approx(-1.6)


def test_a_comparison_the_other_way_round_is_its_mirror_image():
    rng = np.random.default_rng(6)
    truth = rng.uniform(20, 180, 50)
    a, b = truth + rng.normal(0, 3, 50), truth + rng.normal(0, 2, 50)
    there, back = compare(a, b, truth, 800), compare(b, a, truth, 800)
    assert there["difference"] == pytest.approx(-back["difference"])
    assert (there["better"], there["worse"]) == (back["worse"], back["better"])
    assert there["difference_interval"] == pytest.approx([-x for x in reversed(back["difference_interval"])])


def test_clips_that_are_hard_for_both_do_not_widen_the_interval_of_the_difference():
    rng = np.random.default_rng(7)
    truth = np.full(200, 100.0)
    hard = np.abs(rng.normal(0, 20, 200)) + 2
    better, worse = truth + hard, truth + hard + rng.uniform(0, 0.6, 200)
    low, high = compare(better, worse, truth)["difference_interval"]
    alone = evaluate(better, truth)["score_interval"]
    assert high - low < 0.1 * (alone[1] - alone[0])
    assert high < 0   # so a difference of 0.3 s is seen beside errors of 20 s


def test_equal_submissions_are_told_apart_in_no_more_than_5_percent_of_repetitions():
    rng = np.random.default_rng(8)
    found = 0
    for repetition in range(300):
        truth = np.full(80, 100.0)
        a, b = truth + rng.normal(0, 3, (2, 80))
        low, high = compare(a, b, truth, 500, seed=repetition)["difference_interval"]
        found += not low <= 0 <= high
    assert 4 <= found <= 28   # 15 expected, give or take 4; none at all would be too wide an interval


# ---------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    return write_files(tmp_path)


def test_kinds_and_families_are_scored_apart(files):
    result = evaluate_files(files["a"], files["truth"], families_path=files["families"], resamples=50)
    kinds, families = result["submissions"][0]["kinds"], result["submissions"][0]["families"]
    assert {kind: table["clips"] for kind, table in kinds.items()} == {"all": 24, "start": 12, "end": 12}
    assert kinds["start"]["score"] == 0 and kinds["start"]["mean_error"] == pytest.approx(0.5)
    assert kinds["end"]["score"] == pytest.approx((11 * 1 + 37) / 12)
    # The first five clips are three starts and two ends, off by 0.5 and by 2 s.
    assert families["fade"]["clips"] == 5 and families["fade"]["score"] == pytest.approx(2 / 5)
    assert sum(t["clips"] * t["score"] for t in families.values()) == pytest.approx(24 * kinds["all"]["score"])


def test_a_group_s_interval_does_not_depend_on_the_other_groups(files):
    apart = evaluate_files(files["a"], files["truth"], families_path=files["families"], resamples=50)
    alone = evaluate_files(files["a"], files["truth"], resamples=50)
    assert apart["submissions"][0]["kinds"] == alone["submissions"][0]["kinds"]


def test_the_worst_clips_come_with_truth_answers_and_signed_errors(files):
    result = evaluate_files(files["a"], files["truth"], against=files["b"], worst=2, resamples=50)
    first, second = result["worst"]
    assert first == {"name": "c07_end", "truth": 58.0, "found": [96.0, 96.0], "error": [38.0, 38.0]}
    assert second["name"] == "c00_end" and second["error"] == [-2.0, -2.0]   # of equal ones the first by name
    assert evaluate_files(files["a"], files["truth"], worst=0, resamples=50)["worst"] == []


def test_the_order_of_lines_and_the_form_of_the_truth_change_nothing(files):
    expected = evaluate_files(files["a"], files["truth"], resamples=50)
    text = files["truth"].with_name("truth.txt")
    text.write_text("".join(f"{name}.mp4 {seconds}\n" for name, seconds in reversed(TRUTH.items())))
    files["a"].write_text("\n".join(files["a"].read_text().splitlines()[::-1]))
    result = evaluate_files(files["a"], text, resamples=50)
    assert result["submissions"] == expected["submissions"] and result["worst"] == expected["worst"]


def test_the_output_folder_holds_what_was_printed_the_figures_and_a_picture(files, capsys):
    output = files["a"].parent / "new" / "folder"
    arguments = ["--submission", files["a"], "--against", files["b"], "--truth", files["truth"], "--families",
                 files["families"], "--output", output, "--worst", 3, "--resamples", 60, "--seed", 5]
    assert main([str(a) for a in arguments]) == 0
    printed = capsys.readouterr().out
    text = (output / "evaluation.txt").read_text()
    assert printed.startswith(text)
    content = json.loads((output / "evaluation.json").read_text())
    assert (content["resamples"], content["seed"], len(content["worst"])) == (60, 5, 3)
    assert content["comparison"]["kinds"]["start"]["difference"] == pytest.approx(-2)
    assert as_text(content) == text
    assert (output / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in output.iterdir()) == ["errors.png", "evaluation.json", "evaluation.txt"]


def test_the_text_says_whether_a_difference_may_be_chance(files):
    clear = as_text(evaluate_files(files["b"], files["truth"], against=files["a"], resamples=200))
    assert "B is better by 1.000 s" in clear   # 2 s in every start clip, nothing in the end clips
    found = {name: seconds + (2 if i % 2 else 0) for i, (name, seconds) in enumerate(TRUTH.items())}
    swapped = {name: seconds + (0 if i % 2 else 2) for i, (name, seconds) in enumerate(TRUTH.items())}
    write_submission(files["a"], found)
    write_submission(files["b"], swapped)
    assert "may be chance" in as_text(evaluate_files(files["a"], files["truth"], against=files["b"], resamples=200))


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    with pytest.raises(ValueError, match="1 cells, expected 2"):
        markdown_table(["family", "clips"], [["fade"]])
    assert text_table(["a", ""], [["longer", "12"], ["b", ""]]).splitlines() == ["a", "longer  12", "b"]
    lines = markdown_table(["family", "clips"], [["hard | cut", "7"], ["fade", "12"]]).splitlines()
    assert len({len(line.replace("\\|", "  ")) for line in lines}) == 1   # padded to one width
    assert [line.replace("\\|", "").count("|") for line in lines] == [3] * 4


def test_the_curve_of_each_kind_tells_the_share_of_clips_below_an_error():
    names, truth = list(TRUTH), np.array(list(TRUTH.values()))
    found = np.array(list(found_with(0.5, -2).values()))
    start, end = (LOOKS[kind][0] for kind in (START, END))
    curves, points = errors_figure(names, truth, {"A": found}).axes
    for colour, below, share in ((start, 0.4, 0), (start, 0.6, 1), (end, 1.9, 0),
                                 (end, 2.1, 11 / 12), (end, 39, 1)):
        (line,) = [line for line in curves.lines if line.get_color() == colour]
        x, y = line.get_data()
        assert line.get_drawstyle() == "steps-post"   # a clip counts from its error on, not before it
        assert y[x <= below].max(initial=0) == pytest.approx(share), (colour, below)
    assert curves.get_xscale() == "log"
    assert np.array_equal(points.collections[0].get_offsets(), np.stack([truth, found], 1))


@pytest.mark.filterwarnings("error")   # matplotlib warns where it has no picture of a sign
def test_a_picture_of_perfect_answers_of_one_kind_and_of_a_file_name_with_signs_is_drawn(files):
    ends = {name: seconds for name, seconds in TRUTH.items() if name.endswith("_end")}
    files["truth"].write_text("".join(["name,seconds\n", *(f"{n},{s}\n" for n, s in ends.items())]))
    output = files["a"].parent / "out"
    for name in ("$x^$.csv", "片尾.csv"):
        write_submission(files["a"].with_name(name), ends)
        run(files, "--submission", files["a"].with_name(name), "--output", output)
        result = json.loads((output / "evaluation.json").read_text())
        assert list(result["submissions"][0]["kinds"]) == ["all", "end"]
        assert (output / "errors.png").stat().st_size > 5000


# ---------------------------------------------------------------- bad input


def test_all_that_does_not_fit_the_truth_is_told_at_once_and_nothing_is_written(files):
    lines = files["a"].read_text().splitlines(keepends=True)
    files["a"].write_text("".join(lines[13:]) + "c90_end.mp4,e,3\nc91_start.mp4,s,4\nc11_end,e,3\n"
                          + "c06_start.mp4,e,50\n")
    output = files["a"].parent / "out"
    with pytest.raises(UserError) as caught:
        run(files, "--output", output)
    text = str(caught.value)
    assert f"{files['a']}: does not fit {files['truth']}" in text
    assert "missing in the submission: 12 clips (c00_end, c00_start, c01_end" in text and ", ...)" in text
    assert "unknown to the truth: 2 clips (c90_end, c91_start)" in text
    assert "standing there twice: 1 clip (c11_end)" in text
    assert "with the other kind's letter: 1 clip (c06_start (e))" in text
    assert "Infer the same clips again" in text and not output.exists()


@pytest.mark.parametrize("content, message", [
    ("", "an empty file"), ("name,seconds\n", "no labels"), ("name,seconds\na_start,1\na_start,2\n", "labelled twice"),
    ("name,seconds\na_start,1\nb,2\n", r"1 clip \(b\) not named as start or end"), ("a_start 3\n", "header"),
    (None, "no such truth")])
def test_a_truth_that_is_none_is_refused_by_name(files, content, message):
    files["truth"].unlink()
    if content is not None:
        files["truth"].write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        evaluate_files(files["a"], files["truth"])
    assert str(files["truth"]) in str(caught.value)


@pytest.mark.parametrize("content, message", [
    ("name,family\nc00_start,fade\n", r"misses 23 clips \(c00_end, .*\.\.\.\)"),
    ("name,group\nc00_start,fade\n", "found the header 'name,group'"),
    ("name,family\nc00_start,\n,fade\nc00_end,a,b\n", "3 bad lines"),
    ("name,family\nc00_start,fade\nc00_start.mp4,cut\n", "line 3: c00_start stands there twice"),
    ('name,family\nc00_start,"fade\nc00_end,fade\n', "is no CSV"),
    ("", "found the header ''"), (b"name,family\n\xff\xfe,x\n", "not UTF-8"), (None, "no such family file")])
def test_a_family_file_that_is_none_or_misses_clips_is_refused_by_name(files, content, message):
    files["families"].unlink()
    if content is not None:
        files["families"].write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        evaluate_files(files["a"], files["truth"], families_path=files["families"])
    assert str(files["families"]) in str(caught.value)


def test_families_of_clips_beyond_the_truth_are_left_out_and_counted(files):
    files["families"].write_text(files["families"].read_text() + "z_start,snow\nz_end,snow\n")
    result = evaluate_files(files["a"], files["truth"], families_path=files["families"], resamples=50)
    assert list(result["submissions"][0]["families"]) == ["fade", "hard | cut"]
    assert "left out: 2." in as_text(result)


def test_a_submission_is_not_compared_with_itself(files):
    with pytest.raises(UserError, match="is --submission too"):
        evaluate_files(files["a"], files["truth"], against=files["a"].parent / "." / "a.csv")


def test_a_user_s_mistake_ends_the_command_with_code_2_and_one_message(files):
    result = subprocess.run([sys.executable, "evaluate.py", "--submission", files["a"].with_name("none.csv"), "--truth",
                             files["truth"]], cwd=ROOT / "utils", capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and "none.csv: no such submission" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("flags", [["--worst", "-1"], ["--resamples", "0"], ["--seed", "-1"]])
def test_numbers_that_make_no_sense_are_refused(files, flags, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--submission", str(files["a"]), "--truth", str(files["truth"]), *flags])
    assert end.value.code == 2 and flags[0] in capsys.readouterr().err


def test_help_answers_without_loading_the_heavy_libraries():
    code = ("import runpy, sys\nsys.argv = ['evaluate.py', '--help']\n"
            "try:\n    runpy.run_path('utils/evaluate.py', run_name='__main__')\n"
            "except SystemExit as end:\n    assert not end.code\n"
            "print('loaded:', sorted({'numpy', 'matplotlib', 'torch', 'pandas', 'scipy'} & set(sys.modules)))\n")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "usage:" in result.stdout and "loaded: []" in result.stdout, result.stderr
