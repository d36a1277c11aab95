"""The fusions beside 2-means, on made answers: what they learn, what they never look at, the report and the warning."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.linear_model import Ridge

from datatools.errors import UserError
from datatools.scores import competition_score
from datatools.submission import read_submission, write_submission
from fuse.choices import MIN_CLIPS
from fuse.fuse import main
from fuse.stack import (
    REWEIGHTINGS,
    Examples,
    fit_stacked,
    fit_weighted,
    fuse_learnt,
    huber_ridge,
    learn_weights,
    learnt_together,
)
from fuse.vote import majority_spread, median_vote, two_means_vote, weighted_median_vote

NAMES = ("a.csv", "b.csv", "c.csv", "d.csv", "e.csv")


def made_answers(seed: int, count: int, size=(0.8,) * 5, wrong=(0.03,) * 5, bias=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Answers (N, K) and truth (N,), seconds: Laplace errors of mean `size`, a share `wrong` is anywhere."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 180, count)
    shape = (count, len(size))
    answers = truth[:, None] + bias + rng.laplace(0, size, shape)
    answers = np.where(rng.random(shape) < np.array(wrong), rng.uniform(5, 195, shape), answers)
    return answers.clip(0), truth


def clips_of(count: int, first: int = 0) -> list[tuple[str, str]]:
    return [(f"c{i:04d}_{'end' if i % 2 else 'start'}.mp4", "e" if i % 2 else "s") for i in range(first, first + count)]


# ---------------------------------------------------------------- votes


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_equal_weights_give_the_median(count):
    rows = np.random.default_rng(0).uniform(0, 200, (40, count))
    assert np.array_equal(weighted_median_vote(rows, np.full(count, 0.1)), np.median(rows, axis=1))


def test_an_input_without_weight_is_not_heard():
    rows = np.random.default_rng(1).uniform(0, 200, (200, 5))
    weights = np.array([0.3, 0.0, 0.1, 0.2, 0.4])
    heard = weights > 0
    assert np.array_equal(weighted_median_vote(rows, weights), weighted_median_vote(rows[:, heard], weights[heard]))


def test_weighted_median_minimises_the_weighted_distance():
    rng = np.random.default_rng(2)
    rows, weights = rng.uniform(0, 200, (60, 5)), rng.uniform(0.1, 1, 5)
    answer = weighted_median_vote(rows, weights)
    distance = (weights * np.abs(rows - answer[:, None])).sum(1)
    for k in range(5):   # a sum of distances has its minimum at one of the times
        assert (distance <= (weights * np.abs(rows - rows[:, [k]])).sum(1) + 1e-9).all()


@pytest.mark.parametrize("times, median", [
    ([10, 11, 20, 21], 15.5), ([10, 20], 15.0), ([0, 1, 2], 1.0), ([7, 7, 7, 7, 7], 7.0), ([30], 30.0),
])
def test_where_two_means_cannot_decide_it_is_the_median_vote(times, median):
    row = np.array([times], dtype=float)
    assert median_vote(row)[0] == two_means_vote(row)[0] == median


@pytest.mark.parametrize("count", [2, 4, 5])
def test_spread_is_that_of_the_majority_that_agrees_best(count):
    rows = np.random.default_rng(3).uniform(0, 200, (50, count))
    for row, spread in zip(rows, majority_spread(rows), strict=True):
        assert spread == min(np.ptp(group) for group in itertools.combinations(row, count // 2 + 1))


def test_one_outlier_leaves_the_spread_small():
    assert majority_spread(np.array([[64.0, 64.5, 65.0, 66.0, 190.0]]))[0] == 1.0


# ---------------------------------------------------------------- what is learnt


def test_a_useless_input_gets_almost_no_weight():
    answers, truth = made_answers(0, 60, wrong=(0.03, 0.03, 1.0, 0.03, 0.03))
    weights = learn_weights(answers, truth)
    assert weights.sum() == pytest.approx(1)
    assert weights[2] < 0.05 and np.delete(weights, 2).min() > 0.15


def test_two_useless_inputs_of_five_are_outvoted_by_weight():
    size, wrong = (0.8,) * 5, (0.03, 0.03, 0.03, 1.0, 1.0)
    predict = fit_weighted(*made_answers(1, 60, size, wrong))
    answers, truth = made_answers(2, 1000, size, wrong)
    assert competition_score(predict(answers), truth) < 0.7 * competition_score(median_vote(answers), truth)


def test_the_best_of_all_weighted_means_loses_to_the_weighted_median():
    """Errors of a minute drag every mean along, even one whose weights are made for the very clips it is scored on."""
    size, wrong = (0.8,) * 5, (0.03, 0.03, 0.03, 0.03, 0.5)
    predict = fit_weighted(*made_answers(3, 60, size, wrong))
    answers, truth = made_answers(4, 300, size, wrong)
    n, k = answers.shape
    # min mean(slack), slack >= |answers @ weights - truth| - 1, weights >= 0 and of sum 1: a linear programme.
    solved = linprog(
        np.r_[np.zeros(k), np.full(n, 1 / n)], bounds=(0, None),
        A_ub=np.block([[answers, -np.eye(n)], [-answers, -np.eye(n)]]), b_ub=np.r_[truth + 1, 1 - truth],
        A_eq=np.r_[np.ones(k), np.zeros(n)][None], b_eq=[1],
    )
    assert solved.success
    assert competition_score(predict(answers), truth) < 0.6 * solved.fun


def test_an_input_decides_alone_only_where_that_scores_better():
    size, wrong = (0.2, 5, 5, 5, 5), (0.05,) * 5
    answers, truth = made_answers(5, 300, size, wrong)
    assert learn_weights(answers, truth).argmax() == 0 and learn_weights(answers, truth)[0] < 0.5
    new, true = made_answers(6, 1000, size, wrong)
    assert competition_score(fit_weighted(answers, truth)(new), true) < 0.8 * competition_score(new[:, 0], true)
    useless = made_answers(5, 300, (0.2, 5, 5), (0.05, 1.0, 1.0))
    assert learn_weights(*useless)[0] > 0.5
    assert learn_weights(*made_answers(5, 60, (0.3, 3), (0.02, 0.02)))[0] > 0.5   # two inputs: the better one


def test_an_input_without_error_leaves_finite_weights():
    truth = np.linspace(10, 100, 30)
    weights = learn_weights(np.stack([truth, truth + 5, truth - 5], axis=1), truth)
    assert np.isfinite(weights).all() and weights.argmax() == 0


def test_stacking_mends_known_biases_on_clips_it_has_not_seen():
    bias = np.array([5.0, -3.0, 8.0])
    size, wrong = (0.6,) * 3, (0.03,) * 3
    predict = fit_stacked(*made_answers(6, 100, size, wrong, bias))
    answers, truth = made_answers(7, 1000, size, wrong, bias)
    stacked = competition_score(predict(answers), truth)
    assert stacked < 0.6 * min(competition_score(answers[:, k], truth) for k in range(3))
    assert stacked < 0.6 * competition_score(median_vote(answers), truth)


def test_stacking_harms_nothing_where_there_is_no_bias():
    predict = fit_stacked(*made_answers(8, 40))
    answers, truth = made_answers(9, 1000)
    assert competition_score(predict(answers), truth) < competition_score(median_vote(answers), truth) + 0.1


def test_stacking_learns_more_than_a_constant_where_the_inputs_tell_more():
    """One input is late by u, the other by 2 u: the truth is their distance before the earlier one."""
    def made_late(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        truth, late = rng.uniform(10, 150, count), rng.uniform(0, 9, count)
        return np.stack([truth + late, truth + 2 * late], axis=1), truth

    new, truth = made_late(17, 200)
    assert competition_score(fit_stacked(*made_late(16, 40))(new), truth) < 0.01
    assert competition_score(new[:, 0] - 4.5, truth) > 1


def test_a_far_answer_moves_the_others_no_more_than_one_10_s_off():
    predict = fit_stacked(*made_answers(18, 60, size=(1, 2, 3, 4, 5)))
    near, far = predict(np.array([[50.0, 50, 50, 50, 60], [50.0, 50, 50, 50, 190]]))
    assert near == far != predict(np.array([[50.0, 50, 50, 50, 51]]))[0]


def test_clips_that_all_inputs_miss_do_not_bend_the_others():
    answers, truth = made_answers(10, 100, wrong=(0,) * 5)
    truth[:8] += 60
    predict = fit_stacked(answers, truth)
    new, true = made_answers(11, 500, wrong=(0,) * 5)
    assert np.median(predict(new) - true) == pytest.approx(0, abs=0.3)


def test_the_regression_is_scikit_learns_ridge_reweighted():
    rng = np.random.default_rng(15)
    features, target = rng.normal(0, 3, (50, 4)), rng.standard_t(1.5, 50)
    weight = np.ones(50)
    for _ in range(REWEIGHTINGS):
        model = Ridge(alpha=10).fit(features, target, sample_weight=weight)
        weight = 1 / np.maximum(np.abs(target - model.predict(features)), 1)
    np.testing.assert_allclose(huber_ridge(features, target, 10), [*model.coef_, model.intercept_], rtol=1e-6)


def test_a_stacked_answer_is_never_before_the_clip():
    answers, truth = made_answers(12, 60, bias=6.0, wrong=(0,) * 5)
    predict = fit_stacked(answers, truth)
    assert (predict(np.full((3, 5), [0.0, 0.5, 1.0, 1.5, 2.0])) == 0).all()


@pytest.mark.parametrize("method", ["weighted", "stacked"])
def test_nothing_is_learnt_from_the_clip_that_is_fused(method):
    answers, truth = made_answers(13, 60, size=(0.5, 1, 2, 3, 4))
    clips = clips_of(60)
    fused = fuse_learnt(method, clips, answers, Examples(clips, answers, truth))
    for i in range(0, 60, 12):
        false = truth.copy()
        false[i] += 90
        again = fuse_learnt(method, clips, answers, Examples(clips, answers, false))
        assert again[i] == fused[i]
    new = clips_of(60, first=100)   # for other clips, all examples count
    assert not np.array_equal(fuse_learnt(method, new, answers, Examples(clips, answers, truth)), fused)


def test_starts_and_ends_are_learnt_apart_where_both_are_enough():
    count = 2 * MIN_CLIPS["stacked"]
    answers, truth = made_answers(14, count, wrong=(0,) * 5)
    clips = clips_of(count)
    bias = np.array([6.0 if kind == "s" else -6.0 for _, kind in clips])
    examples = Examples(clips, answers + bias[:, None], truth)
    new = clips_of(count, first=count)
    assert learnt_together("stacked", examples) == [("s",), ("e",)]
    assert competition_score(fuse_learnt("stacked", new, examples.seconds, examples), truth) < 0.5
    fewer = Examples(clips[2:], examples.seconds[2:], truth[2:])
    assert learnt_together("stacked", fewer) == [("s", "e")]
    assert competition_score(fuse_learnt("stacked", new, examples.seconds, fewer), truth) > 2


# ---------------------------------------------------------------- the command


def write_answers(folder: Path, clips: list[tuple[str, str]], answers: np.ndarray, names=NAMES) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names[:answers.shape[1]]):
        write_submission(folder / name, {n[:-4]: float(s) for (n, _), s in zip(clips, answers[:, k], strict=True)})
    return [str(folder / name) for name in names[:answers.shape[1]]]


def write_truth(path: Path, clips: list[tuple[str, str]], truth: np.ndarray) -> str:
    path.write_text("name,seconds\n" + "".join(f"{n[:-4]},{s}\n" for (n, _), s in zip(clips, truth, strict=True)))
    return str(path)


@pytest.fixture
def made(tmp_path) -> Path:
    """Inputs in `in` (20 clips), out-of-fold answers in `oof` (60 others), `oof.csv` and `all.csv` with their truth.

    The third of four inputs is useless, the others answer 4 s too late.
    """
    setting = {"size": (0.5,) * 4, "wrong": (0, 0, 1, 0), "bias": np.array([4.0, 4.0, 0.0, 4.0])}
    answers, truth = made_answers(20, 20, **setting)
    examples, true = made_answers(21, 60, **setting)
    write_answers(tmp_path / "in", clips_of(20), answers)
    write_answers(tmp_path / "oof", clips_of(60, first=500), examples)
    write_truth(tmp_path / "oof.csv", clips_of(60, first=500), true)
    write_truth(tmp_path / "all.csv", clips_of(20) + clips_of(60, first=500), np.r_[truth, true])
    return tmp_path


def run(folder: Path, *flags: object) -> dict[tuple[str, str], float]:
    output = folder / "fused.csv"
    assert main(["--inputs", str(folder / "in"), "--output", str(output), *map(str, flags)]) == 0
    return read_submission(output)


def rows_of(report: str) -> dict[str, list[str]]:
    """First cell: the other cells, of the table's rows."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_two_means_keeps_its_bytes(tmp_path):
    clips = [("q_end.mp4", "e"), ("a_start.mp4", "s"), ("m_start.mp4", "s"), ("z_end.mp4", "e")]
    answers = np.array([
        [66.000, 65.342, 64.764, 64.684, 64.520], [30.0, 91.0, 108.0, 125.7, 152.5],
        [0.0, 0.0, 0.0, 0.0, 0.0], [10.1, 10.2, 199.9, 180.0, 10.3],
    ])
    inputs = write_answers(tmp_path / "in", clips, answers)
    expected = b"a_start.mp4,s,119.300\nm_start.mp4,s,0.000\nq_end.mp4,e,64.656\nz_end.mp4,e,10.200\n"
    for flags in ([], ["--method", "kmeans"], ["--report"], ["--warn_spread", "0"]):
        main(["--inputs", *inputs, "--output", str(tmp_path / "fused.csv"), *flags])
        assert (tmp_path / "fused.csv").read_bytes() == expected


def test_every_method_answers_every_clip_and_the_learnt_ones_better(made):
    truth = {clip: float(line.split(",")[1]) for clip, line in
             zip(clips_of(20), (made / "all.csv").read_text().splitlines()[1:], strict=False)}
    scores = {}
    for method in ("kmeans", "median", "weighted", "stacked"):
        learning = ["--out_of_fold", made / "oof", "--truth", made / "oof.csv"] * (method in ("weighted", "stacked"))
        fused = run(made, "--method", method, *learning)
        assert fused.keys() == truth.keys()
        scores[method] = competition_score(np.array([fused[c] for c in truth]), np.array(list(truth.values())))
    assert scores["weighted"] < scores["median"] and scores["stacked"] < 0.5 < 2 < scores["weighted"]


def test_out_of_fold_files_pair_by_name_in_a_folder_and_by_order_else(made):
    flags = ["--method", "weighted", "--truth", made / "oof.csv", "--out_of_fold"]
    by_name = run(made, *flags, made / "oof")
    assert run(made, *flags, *(made / "oof" / name for name in NAMES[:4])) == by_name
    for name in NAMES[:4]:   # as the training commands name them: one name, several folders
        (made / name[0]).mkdir()
        (made / "oof" / name).rename(made / name[0] / "out_of_fold.csv")
    assert run(made, *flags, *(made / name[0] / "out_of_fold.csv" for name in NAMES[:4])) == by_name
    # c's file, the useless input's, in a's place: the pairing matters.
    assert run(made, *flags, *(made / name / "out_of_fold.csv" for name in "cbad")) != by_name


def test_report_scores_inputs_and_methods_and_names_the_best(tmp_path, capsys):
    truth = np.full(4, 50.0)
    errors = np.array([[0, 3, 6], [2, 3, 6], [0, 3, 6], [0, 3, 6]])   # s; |error| - 1 costs
    inputs = write_answers(tmp_path / "in", clips_of(4), truth[:, None] + errors)
    true = write_truth(tmp_path / "truth.csv", clips_of(4), truth)
    main(["--inputs", *inputs, "--output", str(tmp_path / "f.csv"), "--method", "median", "--truth", true, "--report"])
    report = capsys.readouterr().out
    rows = rows_of(report)
    # Without a the median of b and c is 4.5 s off, without b 3 (4 once), without c 1.5 (2.5 once); with all 3.
    assert rows["a.csv"] == ["0.250", "+1.500"]
    assert rows["b.csv"] == ["2.000", "+0.250"]
    assert rows["c.csv"] == ["5.000", "-1.250"]
    assert rows["median (written)"][0] == "2.000" and rows["kmeans"][0] == "1.875"   # 2.5 s off once
    assert "--out_of_fold" in rows["weighted"][0] and "--out_of_fold" in rows["stacked"][0]
    assert "Best single input: a.csv, 0.250 s" in report


def test_report_on_out_of_fold_clips_where_the_inputs_have_no_truth(made, capsys):
    run(made, "--method", "stacked", "--out_of_fold", made / "oof", "--truth", made / "oof.csv", "--report")
    report = capsys.readouterr().out
    rows = rows_of(report)
    assert "60 out-of-fold clips" in report
    scores = {m: float(rows[m][0]) for m in ("kmeans", "median", "weighted", "stacked (written)")}
    assert min(scores, key=scores.get) == "stacked (written)" and scores["stacked (written)"] < 0.5
    weights = {name: float(rows[name][2]) for name in NAMES[:4]}
    assert min(weights, key=weights.get) == "c.csv" and sum(weights.values()) == pytest.approx(1, abs=2e-3)
    run(made, "--out_of_fold", made / "oof", "--truth", made / "all.csv", "--report")
    assert "the 20 clips of the inputs" in capsys.readouterr().out


@pytest.mark.parametrize("dropped", [0, 2])
def test_a_contribution_is_what_the_score_loses_without_the_input(tmp_path, capsys, dropped):
    clips = clips_of(60)
    answers, truth = made_answers(22, 60, (0.3, 3, 3), (0.05, 1.0, 1.0))
    write_answers(tmp_path / "in", clips, answers)
    write_answers(tmp_path / "oof", clips, answers)
    true = write_truth(tmp_path / "truth.csv", clips, truth)
    flags = ["--method", "weighted", "--truth", true, "--report", "--out_of_fold", tmp_path / "oof"]
    run(tmp_path, *flags)
    everything = rows_of(capsys.readouterr().out)
    (tmp_path / "in" / NAMES[dropped]).unlink()
    run(tmp_path, *flags)
    rest = rows_of(capsys.readouterr().out)
    lost = float(rest["weighted (written)"][0]) - float(everything["weighted (written)"][0])
    assert float(everything[NAMES[dropped]][1]) == pytest.approx(lost, abs=2e-3)


def test_a_spare_copy_contributes_nothing_and_copies_contribute_alike(tmp_path, capsys):
    truth = np.linspace(20, 120, 10)
    good, early, late = truth + 0.5, truth - 20, truth + 30
    true = write_truth(tmp_path / "truth.csv", clips_of(10), truth)

    def contributions(*inputs: np.ndarray) -> list[float]:
        paths = write_answers(tmp_path / f"{len(inputs)}", clips_of(10), np.stack(inputs, axis=1))
        main(["--inputs", *paths, "--output", str(tmp_path / "f.csv"), "--method", "median", "--report",
              "--truth", true])
        rows = rows_of(capsys.readouterr().out)
        return [float(rows[Path(path).name][1]) for path in paths]

    assert contributions(good, early, late)[0] == pytest.approx(4.0)   # without it, the middle is 5 s off
    assert contributions(good, good, good, good, late) == [0.0] * 5
    two = contributions(good, good, early, late)
    assert two[0] == two[1] == 0.0


def test_report_without_truth_tells_each_input_from_the_fused_answer(tmp_path, capsys):
    inputs = write_answers(tmp_path / "in", clips_of(3), np.array([[10.0, 11.0, 15.0]] * 3))
    main(["--inputs", *inputs, "--output", str(tmp_path / "f.csv"), "--method", "median", "--report"])
    rows = rows_of(capsys.readouterr().out)
    assert (rows["a.csv"], rows["b.csv"], rows["c.csv"]) == (["1.000"], ["0.000"], ["4.000"])


def test_clips_without_a_majority_are_told_and_the_exit_code_stays_0(tmp_path, capsys):
    answers = np.array([[60, 61, 62, 63, 190], [10, 50, 90, 130, 170], [20, 20, 31, 41, 80]], dtype=float)
    inputs = write_answers(tmp_path / "in", clips_of(3), answers)
    flags = ["--inputs", *inputs, "--output", str(tmp_path / "fused.csv")]
    assert main(flags) == 0
    told = capsys.readouterr()
    assert "warning: 2 of 3 clips: no 3 of the 5 inputs agree within 10 s" in told.err
    assert "c0001_end.mp4 (e): 10.0, 50.0, 90.0, 130.0, 170.0 s" in told.err   # the widest first
    assert told.err.index("c0001_end") < told.err.index("c0002_start") and "c0000_start" not in told.err
    assert "warning" not in told.out
    assert main([*flags, "--warn_spread", "80"]) == 0
    assert capsys.readouterr().err == ""
    with pytest.raises(SystemExit) as end:
        main([*flags, "--warn_spread", "nan"])
    assert end.value.code == 2


def test_too_few_out_of_fold_clips_are_told_with_how_many_are_needed(made, capsys):
    count = MIN_CLIPS["stacked"] - 1
    flags = ["--out_of_fold", made / "oof", "--truth", made / "oof.csv"]
    for name in NAMES[:4]:
        spoil(made, f"oof/{name}", lambda i, _: i <= count)
    run(made, "--method", "stacked", *flags)   # just enough
    (made / "fused.csv").unlink()
    for name in NAMES[:4]:
        spoil(made, f"oof/{name}", lambda i, _: i < count)
    with pytest.raises(UserError, match=f"stacked: {count} out-of-fold clips, at least 40 are needed; give more"):
        run(made, "--method", "stacked", *flags)
    assert not (made / "fused.csv").exists()
    run(made, "--method", "weighted", "--report", *flags)
    assert "at least 40 are needed" in rows_of(capsys.readouterr().out)["stacked"][0]


def spoil(folder: Path, path: str, keep) -> None:
    lines = (folder / path).read_text().splitlines(True)
    (folder / path).write_text("".join(line for i, line in enumerate(lines) if keep(i, line)))


LEARN = ["--method", "weighted", "--out_of_fold", "oof", "--truth", "oof.csv"]


@pytest.mark.parametrize("flags, harm, message", [
    (["--method", "stacked"], None, r"--method stacked: no --out_of_fold"),
    (LEARN[:4], None, r"--out_of_fold: no --truth"),
    (["--truth", "oof.csv"], None, r"--truth: --method kmeans learns nothing"),
    (LEARN[2:], None, r"--out_of_fold and --truth: --method kmeans learns nothing"),
    ([*LEARN[:5], "none.csv"], None, r"none\.csv: no such truth.*--truth"),
    ([*LEARN[:5], "oof"], None, r"oof: a folder"),
    ([*LEARN[:3], "none.csv", *LEARN[4:]], None, r"none\.csv: no such out-of-fold file"),
    ([*LEARN[:3], "oof/a.csv", "oof/b.csv", *LEARN[4:]], None, r"2 out-of-fold files for 4 inputs"),
    ([*LEARN[:3], "oof", "oof/b.csv", *LEARN[4:]], None, r"oof: a folder among several"),
    ([*LEARN[:3], "oof/b.csv", "oof/a.csv", "oof/c.csv", "oof/d.csv", *LEARN[4:]], None,
     r"oof/b\.csv: stands where the out-of-fold file of a\.csv is expected"),
    (LEARN, lambda f: (f / "oof/c.csv").rename(f / "oof/x.csv"), r"oof: no c\.csv in it.*a\.csv, b\.csv"),
    (LEARN, lambda f: spoil(f, "oof/b.csv", lambda i, _: i != 4), r"oof/b\.csv: lacks 1 of 60 clips: c0504_start"),
    (LEARN, lambda f: spoil(f, "oof.csv", lambda i, _: i != 5), r"oof\.csv: lacks 1 of 60 clips .*: c0504_start"),
    (LEARN, lambda f: (f / "oof/b.csv").write_text("a_start.mp4,s,soon\n"), r"oof/b\.csv: no valid submission"),
    (LEARN, lambda f: [spoil(f, f"oof/{n}", lambda _, line: ",s," in line) for n in NAMES[:4]],
     r"no end clips among the out-of-fold clips"),
    (["--report", "--truth", "oof.csv"], None, r"oof\.csv: holds none of the 20 clips of the inputs"),
    (["--report", "--truth", "all.csv"], lambda f: spoil(f, "all.csv", lambda i, _: i != 3),
     r"all\.csv: lacks 1 of 20 clips of the inputs: c0002_start"),
    ([*LEARN, "--output", "oof/a.csv"], None, r"oof/a\.csv: is read and would be overwritten"),
    ([*LEARN, "--output", "oof.csv"], None, r"oof\.csv: is read and would be overwritten"),
])
def test_bad_input_is_refused_by_name_and_harms_nothing(made, monkeypatch, flags, harm, message):
    monkeypatch.chdir(made)
    (made / "fused.csv").write_text("an older answer\n")
    if harm:
        harm(made)
    before = {path: path.read_bytes() for path in made.rglob("*.csv")}
    with pytest.raises(UserError, match=f"(?s){message}"):
        main(["--inputs", "in", "--output", "fused.csv", *flags])
    assert {path: path.read_bytes() for path in made.rglob("*.csv")} == before


def test_inputs_of_one_name_need_their_out_of_fold_files_named(made):
    for name in NAMES[:4]:
        (made / "runs" / name[0]).mkdir(parents=True)
        (made / "in" / name).rename(made / "runs" / name[0] / "submission.csv")
    inputs = [str(made / "runs" / name[0] / "submission.csv") for name in NAMES[:4]]
    flags = ["--method", "weighted", "--truth", str(made / "oof.csv"), "--output", str(made / "fused.csv")]
    with pytest.raises(UserError, match="several inputs are named submission.csv"):
        main(["--inputs", *inputs, *flags, "--out_of_fold", str(made / "oof")])
    named = [str(made / "oof" / name) for name in NAMES[:4]]
    assert main(["--inputs", *inputs, *flags, "--out_of_fold", *named]) == 0


def test_inputs_that_are_their_own_examples_are_fused_across_folds(made, capsys):
    flags = ["--inputs", str(made / "oof"), "--out_of_fold", str(made / "oof"), "--truth", str(made / "oof.csv")]
    main([*flags, "--output", str(made / "fused.csv"), "--method", "stacked", "--report"])
    told = float(rows_of(capsys.readouterr().out)["stacked (written)"][0])
    fused = read_submission(made / "fused.csv")
    lines = [line.split(",") for line in (made / "oof.csv").read_text().splitlines()[1:]]
    kinds = {"start": "s", "end": "e"}
    found = np.array([fused[f"{name}.mp4", kinds[name.split("_")[1]]] for name, _ in lines])
    assert competition_score(found, np.array([float(s) for _, s in lines])) == pytest.approx(told, abs=2e-3)
