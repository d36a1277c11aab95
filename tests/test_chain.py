"""The whole system on real files: clips, features, three trainings, five inferences, fusion, table and picture."""

from pathlib import Path

import numpy as np
import pytest
from offline import Offline, run_offline

from datatools.labels import read_truth
from datatools.submission import read_submission
from fuse.vote import two_means_vote

SECONDS = 12    # of a clip


def run_demo(work: Path, folder: Path) -> Offline:
    return run_offline(folder, "-m", "utils.demo", "--work_dir", work, "--train", 8, "--test", 4,
                       "--duration", SECONDS, "--max_epoch", 1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo of 8 training and 4 test clips of 12 s, one epoch a network: (its folder, how it went)."""
    work = tmp_path_factory.mktemp("demo")
    result = run_demo(work, tmp_path_factory.mktemp("offline") / "first")
    assert result.code == 0, result.output
    return work, result


@pytest.mark.chain
def test_the_whole_chain_needs_no_network_and_asks_for_none(demo):
    _, result = demo
    assert not result.attempts
    assert not [path for path in result.home if not path.startswith(".cache/matplotlib/")]     # its list of fonts


@pytest.mark.chain
def test_every_clip_goes_all_the_way(demo):
    work, _ = demo
    truth = read_truth(work / "raw/data_C/truth.csv")
    assert len(truth) == 4
    submissions = sorted((work / "submissions").glob("*.csv"))
    assert [p.stem for p in submissions] == [
        "avt_best", "avt_normal_best", "avt_normal_last", "avt_yolt_best", "avt_yolt_last"]
    answers = [read_submission(p) for p in submissions]
    fused = read_submission(work / "submission_fused.csv")
    assert {name.removesuffix(".mp4") for name, _ in fused} == set(truth)
    for clip, seconds in fused.items():
        assert seconds == pytest.approx(two_means_vote(np.array([[a[clip] for a in answers]]))[0], abs=5e-4)


@pytest.mark.chain
def test_the_demo_reports_a_score_beside_the_best_constant_and_draws_a_picture(demo):
    work, result = demo
    report = (work / "report.txt").read_text()
    for row in ("avt best", "avt_yolt last", "fused", "best constant", "fused score / best constant's score"):
        assert row in report and row in result.output
    assert (work / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert "[4/4," in result.output


@pytest.mark.chain
def test_features_have_the_references_shapes(demo):
    work, _ = demo
    processed = work / "processed"
    names = [line.split()[0] for line in (processed / "data_B/补充数据.txt").read_text(encoding="utf-8").splitlines()]
    assert names
    for name in names:
        mfcc = np.load(processed / "data_B" / f"{name}_mfcc.npy")
        assert mfcc.dtype == np.float32 and mfcc.shape == (20, 1 + SECONDS * 22_050 // 512)
        frames = np.load(processed / "data_B" / f"{name}_frames.npy")
        assert frames.shape == (200, 66, 88, 3) and frames[:SECONDS].any((1, 2, 3)).sum() > SECONDS / 2
        assert not frames[SECONDS + 1:].any()
        roi = np.load(processed / "ROIs" / f"{name}.npy")
        assert roi.shape == (200, 27, 36) and set(np.unique(roi)) <= {0, 1}


@pytest.mark.chain
def test_a_second_demo_does_nothing_again(demo, tmp_path):
    work, _ = demo
    before = (work / "avt/avnet_last.pth").stat().st_mtime_ns, (work / "submission_fused.csv").read_bytes()
    result = run_demo(work, tmp_path / "second")
    assert result.code == 0, result.output
    assert "synth: 0 done, 12 already there" in result.output
    assert "preprocess: 0 done, 12 already there" in result.output
    assert ((work / "avt/avnet_last.pth").stat().st_mtime_ns, (work / "submission_fused.csv").read_bytes()) == before
