"""How far a network's confidence can be believed: against made networks that say what is true, too much, or nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_helpers import TRUTH, found_with, run, write_files

from datatools.errors import UserError
from datatools.submission import read_predictions, write_predictions
from utils.calibration import Certainty, calibrate, conformal_scale, half_width, scale_by_confidence
from utils.evaluation_plots import reliability_figure


def made_certainty(told: np.ndarray, true: np.ndarray, truth: np.ndarray, seed: int) -> Certainty:
    """A network that says `told` where it is right to a second with probability `true`; intervals of 4 s, 90% right."""
    rng = np.random.default_rng(seed)
    seconds = truth + np.where(rng.random(len(truth)) < true, 0.5, 20.0)
    off = np.where(rng.random(len(truth)) < 0.9, 0.0, 30.0)
    return Certainty(Path("p.csv"), seconds, truth - 2 + off, truth + 2 + off, told)


def test_a_confidence_that_says_what_is_true_lies_near_the_count_and_an_overstated_one_does_not():
    rng = np.random.default_rng(0)
    truth, true = rng.uniform(20, 180, 2000), rng.uniform(0.2, 0.95, 2000)
    honest = calibrate(made_certainty(true, true, truth, 1), truth, resamples=50)
    assert honest["gap"] < 0.05
    overstated = calibrate(made_certainty(np.sqrt(true), true, truth, 1), truth, resamples=50)
    assert overstated["gap"] == pytest.approx(float(np.mean(np.sqrt(true) - true)), abs=0.03)
    for result in (honest, overstated):   # either way, the fitted curve gives the true share
        assert np.mean([abs(b["fitted"] - b["within_1s"]) for b in result["bins"]]) < 0.04
        assert np.all(np.diff(result["curve"]["within_1s"]) >= 0)
        assert sum(b["clips"] for b in result["bins"]) == 2000 and len(result["bins"]) == 10
    assert honest["inside"] == pytest.approx(0.9, abs=0.02) and honest["median_width"] == pytest.approx(4)
    low, high = honest["inside_interval"]
    assert low < honest["inside"] < high


def test_bins_are_those_worked_out_by_hand():
    told = np.repeat([0.2, 0.8], 10)
    truth = np.full(20, 50.0)
    seconds = truth + np.r_[[0.5] * 3, [9] * 7, [1.0] * 9, [1.2]]     # 1 s is within, 1.2 s is not
    certainty = Certainty(Path("p.csv"), seconds, truth, np.full(20, 50.0), told)
    result = calibrate(certainty, truth, resamples=50)
    assert [(b["confidence"], b["clips"], b["within_1s"]) for b in result["bins"]] == [
        (pytest.approx(0.2), 10, pytest.approx(0.3)), (pytest.approx(0.8), 10, pytest.approx(0.9))]
    assert result["gap"] == pytest.approx(0.1) and result["inside"] == 1   # an interval holds its ends


@pytest.mark.parametrize("told, seconds", [
    (np.full(30, 1.0), np.full(30, 50.0)), (np.full(30, 0.5), np.full(30, 70.0)), (np.array([0.4]), np.array([50.0]))])
def test_one_confidence_for_all_and_one_clip_alone_have_figures_and_a_picture(told, seconds):
    truth = np.full(len(told), 50.0)
    result = calibrate(Certainty(Path("p.csv"), seconds, truth - 1, truth + 1, told), truth, resamples=50)
    (bin_,) = result["bins"]
    assert bin_["clips"] == len(told) and bin_["within_1s"] == bin_["fitted"] == float(seconds[0] == 50)
    top, _ = reliability_figure(json.loads(json.dumps(result))).axes
    assert len(top.lines) == 3


# ---------------------------------------------------------------- widths from other clips


def test_the_scale_holds_nine_of_ten_further_clips_and_is_the_largest_score_of_few():
    rng = np.random.default_rng(0)
    held = [np.mean(rng.exponential(size=50) <= conformal_scale(rng.exponential(size=27))) for _ in range(400)]
    assert 0.9 <= np.mean(held) < 0.94
    assert conformal_scale(np.array([3.0, 1.0, 2.0])) == 3.0
    assert conformal_scale(np.arange(1.0, 20.0)) == 18.0                    # the ceil(20 x 0.9)-th of 19
    with pytest.raises(ValueError, match="no scores"):
        conformal_scale(np.array([]))


def test_unsure_answers_get_a_scale_of_their_own_where_there_are_enough_clips():
    confidence = np.repeat([0.2, 0.9], 30)
    scores = np.repeat([5.0, 1.0], 30)
    assert scale_by_confidence(scores, confidence, np.array([0.1, 1.0]), most_groups=2).tolist() == [5.0, 1.0]
    assert scale_by_confidence(scores[20:40], confidence[20:40], np.array([0.1, 1.0])).tolist() == [5.0, 5.0]


def test_half_a_width_is_that_of_the_side_that_the_clips_end_does_not_cut():
    assert half_width(3.0, 0.0, 8.0) == 5.0 and half_width(198.0, 193.0, 200.0) == 5.0
    assert half_width(3.0, 3.0, 3.0) > 0


# ---------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    return write_files(tmp_path)


@pytest.fixture
def predictions(files) -> Path:
    """What the network of submission a says: confidence 0.9 for starts, 0.3 for ends."""
    path = files["a"].with_name("a_predictions.csv")
    write_predictions(path, {
        name: {"seconds": seconds, "low": seconds - 3, "high": seconds + 3, "confidence": 0.3 + 0.6 * ("start" in name),
               "text": float("nan")} for name, seconds in found_with(0.5, -2).items()})
    return path


def test_predictions_are_told_drawn_and_kept(files, predictions, capsys):
    output = files["a"].parent / "out"
    assert run(files, "--predictions", predictions, "--output", output) == 0
    printed = capsys.readouterr().out
    content = json.loads((output / "evaluation.json").read_text())["calibration"]
    assert content["inside"] == pytest.approx(23 / 24) and content["median_width"] == pytest.approx(6)
    assert [(round(b["confidence"], 6), b["clips"], b["within_1s"]) for b in content["bins"]] == [
        (0.3, 12, 0), (0.9, 12, 1)]
    assert "low to high in 95.8% [" in printed
    assert "written: evaluation.json, evaluation.txt, errors.png and reliability.png in " in printed
    assert (output / "reliability.png").read_bytes().startswith(b"\x89PNG")
    names = json.loads((output / "evaluation.json").read_text())
    assert list(names)[-1] == "calibration" and run(files, "--output", output) == 0
    assert "calibration" not in json.loads((output / "evaluation.json").read_text())


def test_predictions_are_read_as_they_were_written(predictions):
    rows = read_predictions(predictions)
    assert list(rows) == list(TRUTH) and rows["c00_start"]["confidence"] == 0.9
    assert rows["c00_start"]["text"] != rows["c00_start"]["text"]   # nan: no text was there


@pytest.mark.parametrize("harm, message", [
    (lambda lines: None, "no such predictions"),
    (lambda lines: lines[:0], "found the header ''"),
    (lambda lines: [lines[0].replace("low", "lower"), *lines[1:]], "the columns name, seconds, low"),
    (lambda lines: [*lines, "x_end,1,2,soon,0.5,"], "line 26: found 'x_end,1,2,soon,0.5,', expected a name and 5"),
    (lambda lines: [*lines, "x_end,1,2"], "line 26"),
    (lambda lines: [*lines, lines[1]], "c00_start stands there twice"),
    (lambda lines: lines[:1] + lines[2:], r"misses 1 clip \(c00_start\)"),
    (lambda lines: [*lines[:-1], "c11_end,76.0,73.0,,0.3,"], r"no figure for 1 clip \(c11_end\)"),
    (lambda lines: [*lines[:-1], "c11_end,76.0,73.0,79.0,1.3,"], r"a confidence outside 0 to 1 for 1 clip \(c11_end\)"),
    (lambda lines: [*lines[:-1], "c11_end,76.1,73.0,79.0,0.3,"], r"answers 1 clip \(c11_end\) otherwise than .*a\.csv"),
])
def test_predictions_that_do_not_belong_to_the_submission_are_refused_by_name(files, predictions, harm, message):
    lines = harm(predictions.read_text().splitlines())
    predictions.unlink()
    if lines is not None:
        predictions.write_text("".join(f"{line}\n" for line in lines))
    output = files["a"].parent / "out"
    with pytest.raises(UserError, match=f"(?is){message}") as caught:
        run(files, "--predictions", predictions, "--output", output)
    assert str(predictions) in str(caught.value) and not output.exists()
