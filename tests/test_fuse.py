"""Fusion: against every possible split, against scikit-learn, and as a command."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

from datatools.errors import UserError
from datatools.submission import read_submission
from fuse.fuse import main
from fuse.fusion import fuse_files, write_fusion
from fuse.inputs import find_submissions
from fuse.vote import two_means_vote

ROOT = Path(__file__).resolve().parents[1]


def brute_force(times: list[float]) -> set[float]:
    """Answers of all best splits of the five times into two groups, any grouping, not only contiguous ones."""
    best, answers = np.inf, set()
    for size in range(1, len(times) // 2 + 1):
        for small in itertools.combinations(range(len(times)), size):
            a = np.array([times[i] for i in small])
            b = np.array([t for i, t in enumerate(times) if i not in small])
            cost = ((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()
            if cost < best - 1e-9:
                best, answers = cost, set()
            if cost < best + 1e-9:
                answers.add(round(float(b.mean()), 6))
    return answers


def test_vote_is_the_larger_cluster_of_the_best_of_all_splits():
    rng = np.random.default_rng(0)
    rows = np.round(rng.normal(90, rng.choice([0.5, 30], (300, 1)), (300, 5)), 3)
    for row, answer in zip(rows, two_means_vote(rows), strict=True):
        answers = brute_force(row.tolist())
        assert len(answers) > 1 or round(float(answer), 6) in answers, row


def test_vote_is_never_worse_than_scikit_learn():
    rows = np.random.default_rng(1).uniform(0, 200, (30, 5))
    for row, answer in zip(rows, two_means_vote(rows), strict=True):
        means = KMeans(2, n_init=50, random_state=0).fit(row[:, None])
        larger = np.bincount(means.labels_).argmax()
        assert answer == pytest.approx(row[means.labels_ == larger].mean(), abs=1e-9)


def test_one_outlier_is_outvoted():
    assert two_means_vote(np.array([[64.0, 65.0, 66.0, 65.0, 150.0]])) == pytest.approx(65.0)


@pytest.mark.parametrize("times, answer", [
    ([10, 11, 20, 21], 15.5),           # two against two: the median of all
    ([10, 20], 15.0),
    ([0, 1, 2], 1.0),                   # {0}{1,2} and {0,1}{2} are equally good: the median
    ([7, 7, 7, 7, 7], 7.0),
    ([30], 30.0),
])
def test_ties_are_the_median(times, answer):
    assert two_means_vote(np.array([times], dtype=float))[0] == pytest.approx(answer)


def test_order_of_the_columns_changes_no_bit():
    rows = np.random.default_rng(2).uniform(0, 200, (50, 5))
    expected = two_means_vote(rows)
    for order in itertools.permutations(range(5)):
        assert np.array_equal(two_means_vote(rows[:, order]), expected)


def write_five(folder: Path, seed: int = 3) -> list[Path]:
    rng = np.random.default_rng(seed)
    names = [f"c{i:03d}_{'start' if i % 2 else 'end'}" for i in range(20)]
    paths = []
    for k in range(5):
        rng.shuffle(names)   # the lines' order differs from file to file
        rows = [f"{n}.mp4,{'s' if n.endswith('start') else 'e'},{int(n[1:4]) * 5 + k * 0.1:.3f}\n" for n in names]
        paths.append(folder / f"s{k}.csv")
        paths[-1].write_text("".join(rows), encoding="utf-8")
    return paths


def test_files_are_joined_by_clip_and_the_output_is_no_input(tmp_path):
    paths = write_five(tmp_path)
    output = tmp_path / "fused.csv"
    assert main(["--inputs", str(tmp_path), "--output", str(output)]) == 0
    first = output.read_bytes()
    answers = read_submission(output)
    assert len(answers) == 20
    # Times of clip i are 5i + 0, 0.1, 0.2, 0.3, 0.4: two cuts are equally good, so the median 5i + 0.2.
    assert all(s == pytest.approx(int(n[1:4]) * 5 + 0.2, abs=5e-4) for (n, _), s in answers.items())
    main(["--inputs", str(tmp_path), "--output", str(output)])   # its own output now lies in the folder
    assert output.read_bytes() == first
    write_fusion(fuse_files(paths[::-1]), output)
    assert output.read_bytes() == first


def test_missing_and_doubled_clips_are_listed_and_nothing_is_written(tmp_path):
    paths = write_five(tmp_path)
    output = tmp_path / "out" / "fused.csv"
    lines = paths[1].read_text().splitlines()
    paths[1].write_text("\n".join(lines[2:]))
    command = ["--inputs", *map(str, paths), "--output", str(output)]
    with pytest.raises(UserError) as caught:
        main(command)
    assert f"{paths[1]}: lacks 2 of 20 clips" in str(caught.value)
    assert all(line.split(",")[0] in str(caught.value) for line in lines[:2])
    paths[1].write_text("\n".join(lines + lines[:1]))
    with pytest.raises(UserError, match="line 21: .* stands there twice"):
        main(command)
    assert not output.exists()


@pytest.mark.parametrize("content", ["name,seconds\na_start,3\n", "a_start.mp4,x,3\n", "a_start.mp4,s,soon\n", "",
                                     "a_start.mp4,s,nan\n"])
def test_a_file_that_is_no_submission_is_refused_by_name(tmp_path, content):
    write_five(tmp_path)
    (tmp_path / "other.csv").write_text(content)
    with pytest.raises(UserError, match=r"other\.csv"):
        main(["--inputs", str(tmp_path), "--output", str(tmp_path / "fused.csv")])


def test_too_few_doubled_and_missing_inputs_are_refused(tmp_path):
    paths = write_five(tmp_path)
    output = tmp_path / "fused.csv"
    for inputs, message in (([paths[0]], "at least two"), ([paths[0], paths[0]], "named twice"),
                            ([tmp_path / "none"], "no such file"), ([paths[0], output], "no such file|output too")):
        with pytest.raises(UserError, match=message):
            find_submissions(inputs, output)


def test_command_runs_from_its_own_folder_and_reports_a_missing_one(tmp_path):
    result = subprocess.run([sys.executable, "fuse.py", "--inputs", str(tmp_path / "none")], cwd=ROOT / "fuse",
                            capture_output=True, text=True)
    assert result.returncode == 2 and "no such file or folder" in result.stderr and "Traceback" not in result.stderr
