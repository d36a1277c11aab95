"""A stranger's labelled clips: measured with one command, in the tables of the made benchmark."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_clip
from media_files import write_clip as write_video

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy import folder as folder_module
from benchmarks.accuracy import run
from benchmarks.accuracy.folder import clip_folders, measure, read_folder
from datatools import encoders
from datatools.encoders import PICTURES, Encoder
from datatools.errors import UserError
from datatools.layout import Clip
from datatools.manifest import OK, Entry, Manifest
from datatools.scores import frame_f1
from datatools.submission import read_answers
from models.avt_dist import AVTDist
from utils.checkpoint import save_checkpoint

SMALL = {"channels": 8, "frame_channels": (4,), "text_channels": (4, 4), "sound_channels": 4, "dilations": (1,)}
TRUTH = {"one_start": 31.0, "one_end": 150.5, "two_start": 90.25}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "avnet_last.pth"
    save_checkpoint(path, {"network": "AVTDist", "sizes": SMALL, "text_detector": None,
                           "model": AVTDist(**SMALL).state_dict()})
    return path


@pytest.fixture
def mine(tmp_path) -> Path:
    """A folder of three clips as features, their labels, and one clip without a label."""
    rng = np.random.default_rng(0)
    for name in (*TRUTH, "three_end"):
        write_clip(tmp_path / "data", "mine", name, rng, 190.0)
    write_labels(tmp_path / "data/mine/labels.csv")
    return tmp_path / "data/mine"


def write_labels(path: Path, **more: float) -> None:
    path.write_text("name,seconds\n" + "".join(f"{n},{s}\n" for n, s in {**TRUTH, **more}.items()), encoding="utf-8")


def test_one_command_fills_the_benchmarks_tables_for_a_folder_of_features(tmp_path, mine, weights, capsys):
    assert run.main(["--test_folder", str(mine), "--weights", str(weights), "--work_dir", str(tmp_path / "work")]) == 0
    text = capsys.readouterr().out
    for part in ("3 labelled clips", "three_end: no label", "the best constant", "F1 of seconds", "without sound",
                 "without picture", "without text", "90% intervals", "score of the surest", "| start |"):
        assert part in text, part
    assert "nan" not in text
    assert (tmp_path / "work/folders/mine/report.md").read_text() in text
    assert set(read_answers(tmp_path / "work/folders/mine/answers0.csv")) == set(TRUTH)


@pytest.fixture
def videos(tmp_path, monkeypatch) -> Path:
    """A folder of two labelled videos, preprocessed in this process."""
    whole = folder_module.preprocess
    monkeypatch.setattr(folder_module, "preprocess", lambda options: whole(replace(options, workers=1)))
    folder = tmp_path / "videos/season1"
    folder.mkdir(parents=True)
    for name in ("one_start", "one_end"):
        write_video(folder / f"{name}.mp4")
    (folder / "truth.txt").write_text("one_start 2\none_end 1.5\n", encoding="utf-8")
    return folder


def test_videos_are_preprocessed_first_with_their_labels(tmp_path, videos):
    folder = videos
    data = read_folder(tmp_path / "videos", tmp_path / "work")
    assert data.clips == [Clip("season1", "one_end"), Clip("season1", "one_start")] and not data.missing
    assert data.truth == {"one_start": 2.0, "one_end": 1.5}
    assert read_folder(folder, tmp_path / "other").truth == data.truth


def test_a_modality_that_no_clip_has_is_left_out_and_told(tmp_path, mine, weights, capsys):
    for path in (tmp_path / "data/ROIs").iterdir():
        path.unlink()
    run.main(["--test_folder", str(mine), "--weights", str(weights), "--work_dir", str(tmp_path / "work")])
    text = capsys.readouterr().out
    assert "text: none of the clips has features of it" in text
    assert "without sound" in text and "without text" not in text


# Encoders


class Brightness:
    """The mean of a picture."""

    def __init__(self, encoder):
        pass

    def small(self, image):
        return image[::8, ::8].copy()

    def pictures(self, images):
        return images.mean((1, 2, 3))[:, None].astype(np.float32)


BRIGHTNESS = Encoder("brightness", 1, PICTURES, Path("none"), "0" * 64, "numpy", Brightness)
IN_A_FILE = {"name": "timm_small", "dim": 2, "weights": "7" * 64}


@pytest.fixture
def with_encoders(tmp_path, monkeypatch) -> Path:
    """A checkpoint trained with `brightness`, which is found by its name, and a network whose weights are in a file."""
    monkeypatch.setitem(encoders.PACKAGED, "brightness", lambda: BRIGHTNESS)
    sizes = {**SMALL, "encoders": "brightness:1,timm_small:2"}
    torch.manual_seed(0)
    path = tmp_path / "with.pth"
    save_checkpoint(path, {"network": "AVTDist", "sizes": sizes, "text_detector": None,
                           "encoders": {"brightness": BRIGHTNESS.settings, "timm_small": IN_A_FILE},
                           "model": AVTDist(**sizes).state_dict()})
    return path


def write_brightness(mine: Path, names: tuple[str, ...], settings: dict = BRIGHTNESS.settings) -> None:
    for name in names:
        vectors = np.random.default_rng(len(name)).random((200, 1)).astype(np.float16)
        np.save(mine / f"{name}_brightness.npy", vectors)
    with Manifest.open_for_writing(mine.parent) as manifest:
        manifest.record([Entry(f"mine/{name}", "brightness", OK, settings=settings) for name in names])


def test_vectors_beside_the_features_are_used_and_missing_ones_told(tmp_path, mine, with_encoders):
    without = measure(mine, [with_encoders], tmp_path / "without")
    assert "brightness, an encoder of" in without and "without brightness" not in without
    write_brightness(mine, ("one_start", "two_start"))
    text = measure(mine, [with_encoders], tmp_path / "with")
    for part in (f"brightness, an encoder of {with_encoders}: 1 of 3 clips have no vectors of it",
                 f"timm_small, an encoder of {with_encoders}: none of the clips has its vectors\n",
                 "without brightness"):
        assert part in text, part
    assert "without timm_small" not in text
    told, before = (read_answers(tmp_path / name / "answers0.csv") for name in ("with", "without"))
    assert told["one_end"] == before["one_end"] and told["one_start"] != before["one_start"]
    write_brightness(mine, ("one_start", "two_start"), {**BRIGHTNESS.settings, "weights": "3" * 64})
    with pytest.raises(UserError, match=f"brightness are not those .*weights {'0' * 64} then, {'3' * 64} here"):
        measure(mine, [with_encoders], tmp_path / "other")


def test_encoders_of_videos_are_computed(tmp_path, videos, with_encoders):
    text = measure(videos, [with_encoders], tmp_path / "work")
    vectors = np.load(tmp_path / "work/processed/season1/one_end_brightness.npy")
    assert vectors.shape == (200, 1) and vectors.any() and "without brightness" in text
    assert "none of the clips has its vectors. " in text and "Give --encoder timm:MODEL:FILE" in text
    with pytest.raises(UserError, match="--encoder 'nonsense': unknown"):
        measure(videos, [with_encoders], tmp_path / "work", ("nonsense",))
    with pytest.raises(UserError, match="--encoder 'nonsense': unknown"):
        run.main(["--encoder", "nonsense", "--work_dir", str(tmp_path / "none")])


def test_a_folder_that_cannot_be_measured_is_refused_with_what_is_missing(tmp_path, mine, weights):
    with pytest.raises(UserError, match="no such folder"):
        clip_folders(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no clips in it. Expected videos"):
        clip_folders(tmp_path / "empty")
    (mine / "labels.csv").unlink()
    with pytest.raises(UserError, match="no labels. Expected labels.csv beside the clips, with the header name,secon"):
        clip_folders(mine)
    (mine / "labels.csv").write_text("name,seconds\nother_start,5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)no clip has a label and features.*other_start has a label, but no clip"):
        read_folder(mine, tmp_path / "work")
    with pytest.raises(UserError, match="go together"):
        run.main(["--test_folder", str(mine)])


def test_labels_beyond_the_clip_and_damaged_features_are_left_out_by_name(tmp_path, mine):
    write_labels(mine / "labels.csv", three_end=400.0)
    np.save(mine / "two_start_mfcc.npy", np.zeros((3, 5), np.float32))
    data = read_folder(mine, tmp_path / "work")
    assert {clip.name for clip in data.clips} == {"one_start", "one_end"}
    assert any("three_end is labelled 400 s" in line for line in data.remarks)
    assert any("two_start_mfcc.npy: shape (3, 5)" in line for line in data.remarks)


# Seconds told inside or outside


def test_the_f1_of_seconds_counts_each_second_of_the_clip_by_its_middle():
    one = np.array([100.0])
    assert frame_f1(one, one, np.array([True]), np.array([200.0])) == 1
    assert frame_f1(one + 0.4, one, np.array([True]), np.array([200.0])) == 1              # the same seconds
    assert frame_f1(one + 25, one, np.array([True]), np.array([200.0])) == pytest.approx(2 * 100 / 225)
    assert frame_f1(one + 25, one, np.array([False]), np.array([200.0])) == pytest.approx(2 * 75 / 175)
    assert frame_f1(one + 25, one, np.array([False]), np.array([150.0])) == pytest.approx(2 * 25 / 75)   # no padding


def test_the_f1_of_seconds_is_over_all_seconds_together():
    found, truth = np.array([10.0, 150.0]), np.array([20.0, 150.0])
    assert frame_f1(found, truth, np.array([True, False]), np.array([200.0, 200.0])) == pytest.approx(2 * 60 / 130)
    assert np.isnan(frame_f1(np.zeros(1), np.zeros(1), np.array([True]), np.array([200.0])))
