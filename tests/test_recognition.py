"""Training, test and answers of a video recogniser, by its entry script, on small real videos and tiny networks."""

import csv
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from media_files import write_media
from recognition_helpers import (
    CLASSES,
    SIZES,
    STEADY,
    make_videos,
    moving,
    recognition_flags,
    train_recogniser,
)
from test_media import damage

import avt_main
import timesformer_main
from datatools.errors import UserError, exit_code_of
from datatools.media import read_frames
from datatools.video_dataset import Sampling, VideoDataset
from datatools.video_lists import VideoList, read_video_lists
from models.timesformer import TimeSformer
from synth.actions import make_actions
from utils import fit, recognition
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.predict import Predictor
from utils.recognise import write_seconds
from utils.run_folder import read_records
from utils.step import train_step

# The smaller one of `sampling_of`'s short sides for pictures of 16.
SAMPLING = Sampling(num_frames=4, sampling_rate=4, size=16, short_side=(18, 23))


@pytest.fixture(autouse=True)
def draw(monkeypatch):
    """Pictures cost more than these trainings; gives the function that draws them."""
    draws = recognition.draw
    monkeypatch.setattr(recognition, "draw", lambda *_: None)
    return draws


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Lists with numbers as labels. Only read."""
    return make_videos(tmp_path_factory.mktemp("data") / "numbers")


@pytest.fixture(scope="module")
def named(data, tmp_path_factory) -> Path:
    """The same videos with names as labels, and without classes.txt. Only read."""
    root = tmp_path_factory.mktemp("named")
    for split in ("train", "val", "test"):
        lines = [line.rpartition(" ") for line in (data / f"{split}.csv").read_text().splitlines()]
        (root / f"{split}.csv").write_text("".join(f"{path} {CLASSES[int(label)]}\n" for path, _, label in lines))
    return root


@pytest.fixture
def own(data, tmp_path) -> Path:
    """An own copy of the lists, for tests that change them; the videos are shared."""
    root = tmp_path / "own"
    root.mkdir()
    for split in ("train", "val", "test"):
        shutil.copy(data / f"{split}.csv", root)
    return root


@pytest.fixture(scope="module")
def trained(named, tmp_path_factory) -> Path:
    """The folder of a training with names as labels, of which most videos are learnt. Only read."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "draw", lambda *_: None)
        assert train_recogniser(recognition_flags(named, folder, "--optimizer", "adamw", "--lr", 0.01)) == 0
    return folder


@pytest.fixture(scope="module")
def weights(trained) -> Path:
    return trained / "avnet_bestmodel.pth"


def infer(weights: Path, *more) -> int:
    """Test or infer; what is written on stderr goes to capsys."""
    return timesformer_main.main(["--weights", str(weights), "--gpus", "cpu", "--num_workers", "0", *map(str, more)])


def refusal(argv: list, capsys) -> str:
    """The one error message of a command that ends with code 2."""
    capsys.readouterr()
    assert exit_code_of(lambda: timesformer_main.main(list(map(str, argv)))) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("error: ") == 1 and "should not happen" not in message, message
    return message.partition("error: ")[2]


def table(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def change_line(path: Path, number: int, video: Path | str, label: int | str = 0) -> None:
    lines = path.read_text().splitlines()
    lines[number] = f"{video} {label}"
    path.write_text("\n".join(lines) + "\n")


@torch.inference_mode()
def logits_of(weights: Path, video: torch.Tensor) -> torch.Tensor:
    return Predictor(weights, gpus="cpu").net(video)["logits"]


# ---------------------------------------------------------------- training and its files


def test_a_training_learns_four_videos_by_heart(data, tmp_path):
    lines = (data / "train.csv").read_text().splitlines()[:4]
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    argv = recognition_flags(tmp_path, tmp_path / "run", "--sizes", *SIZES, "drop_path=0", "--optimizer", "adamw",
                             "--lr", 0.01, "--batch_size", 4, "--max_epoch", 25, "--no-flip")
    assert train_recogniser(argv) == 0
    records = read_records(tmp_path / "run")
    assert records[-1]["val_top1"] == 100 and records[-1]["train_loss"] < records[0]["train_loss"] / 3


def test_a_training_leaves_answers_accuracies_and_pictures(trained, draw, named):
    rows = table(trained / "validation.csv")
    best = load_checkpoint(trained / "avnet_bestmodel.pth")
    assert [row["label"] for row in rows] == list(CLASSES[:5])
    hits = np.mean([row["label"] == row["predicted"] for row in rows])
    assert best["score"] == pytest.approx(100 * hits) == max(r["val_top1"] for r in read_records(trained))
    assert best["classes"] == sorted(CLASSES)
    assert [(row["class"], row["videos"]) for row in table(trained / "classes.csv")] == [
        (name, "1") for name in sorted(CLASSES[:5])]
    assert best["sampling"] == {"num_frames": 4, "sampling_rate": 4, "segments": False, "image_size": 16,
                                "short_side": [18, 23], "bicubic": False, "flip": True}
    lists = read_video_lists({"val": named / "val.csv"}, tuple(best["classes"]))
    draw(trained, VideoDataset(lists["val"], "val"))
    for name in ("curves.png", "confusion.png"):
        assert min(cv2.imread(str(trained / name)).shape[:2]) > 200


def test_accumulated_batches_of_videos_make_the_steps_of_larger_ones(data, tmp_path):
    models = []
    for size, batches in ((4, 1), (2, 2), (1, 4)):
        folder = tmp_path / str(size)
        argv = recognition_flags(data, folder, *STEADY, "--clip_grad", 0.3, "--batch_size", size,
                                 "--accumulation_step", batches)
        assert train_recogniser(argv) == 0
        models.append(load_checkpoint(folder / "avnet_last.pth")["model"])
    torch.manual_seed(10)
    begun = TimeSformer(**load_checkpoint(folder / "avnet_last.pth")["sizes"]).state_dict()
    assert max(float((models[0][name] - begun[name]).abs().max()) for name in begun) > 0.01
    for other in models[1:]:
        for name, value in models[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-4)


# ---------------------------------------------------------------- the test on a list


def test_validation_is_the_test_with_one_view_and_one_crop(trained, weights, named, tmp_path):
    assert infer(weights, "--data_root", named, "--split", "val", "--crops", 1, "--output", tmp_path) == 0
    result = json.loads((tmp_path / "val.json").read_text())
    best = max(read_records(trained), key=lambda record: record["val_top1"])
    assert result["top1"] == pytest.approx(best["val_top1"], abs=0.01)
    assert result["top5"] == pytest.approx(best["val_top5"], abs=0.01)
    answers = table(tmp_path / "val_answers.csv")
    assert [(row["path"], row["label"], row["class1"]) for row in answers] == [
        (row["path"], row["label"], row["predicted"]) for row in table(trained / "validation.csv")]


def test_the_test_sums_the_logits_of_views_and_crops_and_writes_what_it_found(weights, named, tmp_path, capsys):
    assert infer(weights, "--data_root", named, "--views", 2, "--batch_size", 4, "--features", "--output",
                 tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result == json.loads((tmp_path / "test.json").read_text())
    assert {name: result[name] for name in ("split", "videos", "views", "crops", "unreadable")} == {
        "split": "test", "videos": 7, "views": 2, "crops": 3, "unreadable": 0}

    classes = tuple(load_checkpoint(weights)["classes"])
    videos = read_video_lists({"test": named / "test.csv"}, classes)["test"]
    dataset = VideoDataset(videos, "test", replace(SAMPLING, views=2))
    assert len(dataset) == 7 * 2 * 3
    with torch.inference_mode():
        found = Predictor(weights, gpus="cpu").net(dataset.batch(list(range(len(dataset))))["video"])
    logits = found["logits"].unflatten(0, (7, 6)).sum(1)
    softmaxed = found["logits"].softmax(1).unflatten(0, (7, 6)).mean(1)
    assert not torch.allclose((logits / 6).softmax(1), softmaxed, atol=1e-3)      # the two ways differ here
    order = logits.argsort(1, descending=True)[:, :5]
    hits = [int(label) in row[:1].tolist() for label, row in zip(videos.labels, order, strict=True)]
    near = [int(label) in row.tolist() for label, row in zip(videos.labels, order, strict=True)]
    assert result["top1"] == pytest.approx(100 * np.mean(hits), abs=0.01)
    assert result["top5"] == pytest.approx(100 * np.mean(near), abs=0.01)
    assert lines[-2].startswith(f"7 videos of test.csv: top-1 {result['top1']:.2f} %, top-5 {result['top5']:.2f} %")

    rows = table(tmp_path / "test_answers.csv")
    assert [row["path"] for row in rows] == videos.paths and [row["label"] for row in rows] == list(CLASSES)
    shares = (logits / 6).softmax(1)
    for row, best, share in zip(rows, order, shares, strict=True):
        assert [row[f"class{place}"] for place in range(1, 6)] == [classes[number] for number in best]
        assert [float(row[f"share{place}"]) for place in range(1, 6)] == pytest.approx(share[best].tolist(), abs=1e-4)
    for row in table(tmp_path / "test_classes.csv"):
        number = CLASSES.index(row["class"])
        assert (row["videos"], float(row["top1"]), float(row["top5"])) == ("1", 100 * hits[number], 100 * near[number])
    assert min(cv2.imread(str(tmp_path / "test_confusion.png")).shape[:2]) > 200

    features = np.load(tmp_path / "features.npy")
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, found["features"].unflatten(0, (7, 6)).mean(1), atol=1e-5)
    assert [row["path"] for row in table(tmp_path / "features.csv")] == videos.paths


@pytest.mark.parametrize("classes, top", [(7, 5), (3, 3)])
def test_top1_and_top5_are_counted_as_by_hand(classes, top):
    logits = torch.tensor([[0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.0], [0.9, 0.25, 0.5, 0.4, 0.3, 0.2, 0.0],
                           [0.1, 0.2, 0.9, 0.4, 0.3, 0.2, 0.0]])[:, :classes]
    columns = recognition.top_columns(logits, torch.tensor([1, 1, 0]))
    found = recognition.Answers(np.arange(3), *(columns[name].numpy() for name in ("label", "predicted", "in_top")))
    assert found.predicted.tolist() == [1, 0, 2] and found.top1 == pytest.approx(100 / 3)
    assert found.in_top.tolist() == [True, True, top == 3]      # ranks 1, 5 and 6


# ---------------------------------------------------------------- fine-tuning


def test_fine_tuning_on_other_classes_begins_with_the_files_weights_and_names_the_head_it_leaves_out(
    weights, own, tmp_path, monkeypatch
):
    for split in ("train", "val"):
        lines = [line.rpartition(" ")[0] for line in (own / f"{split}.csv").read_text().splitlines()]
        (own / f"{split}.csv").write_text("".join(f"{path} {i % 3}\n" for i, path in enumerate(lines)))
    begun = {}

    def noting(training, *arguments):
        if not begun:
            begun.update({name: value.clone() for name, value in training.net.state_dict().items()})
        return train_step(training, *arguments)

    monkeypatch.setattr(fit, "train_step", noting)
    assert train_recogniser(recognition_flags(own, tmp_path / "run", "--pretrained", weights, "--max_epoch", 1)) == 0
    log = (tmp_path / "run/log.txt").read_text()
    assert f"begins with the weights of {weights}" in log
    for name in ("head.weight", "head.bias"):
        assert f"{name}: left out, the file's is for 7 classes and the network has 3; begins anew" in log
    given = load_checkpoint(weights)["model"]
    assert begun["head.bias"].shape == (3,)
    assert all(torch.equal(value, given[name]) for name, value in begun.items() if not name.startswith("head."))


def test_fine_tuning_from_a_file_that_lacks_another_tensor_is_an_error(weights, data, tmp_path, capsys):
    content = load_checkpoint(weights)
    content["model"] = {name: value for name, value in content["model"].items() if name != "blocks.1.norm2.weight"}
    save_checkpoint(tmp_path / "part.pth", content)
    message = refusal(recognition_flags(data, tmp_path / "run", "--pretrained", tmp_path / "part.pth"), capsys)
    assert "part.pth: the weights do not fit" in message and "missing: blocks.1.norm2.weight" in message
    assert not (tmp_path / "run").exists()


def test_fine_tuning_from_weights_that_expect_bgr_is_told_from_one_that_does_not(weights, data, tmp_path, capsys):
    content = load_checkpoint(weights)
    content["sizes"]["bgr"] = True
    save_checkpoint(tmp_path / "ssv2.pth", content)
    argv = recognition_flags(data, tmp_path / "run", "--pretrained", tmp_path / "ssv2.pth", "--max_epoch", 1)
    assert "Give --sizes bgr=true" in refusal(argv, capsys)
    assert train_recogniser([*argv, "--sizes", *SIZES, "bgr=true"]) == 0
    assert load_checkpoint(tmp_path / "run/avnet_last.pth")["sizes"]["bgr"] is True


BASE = ("patch_size=16", "width=768", "depth=12", "heads=12", "mlp_ratio=4")      # what ImageNet's weights are for


@pytest.mark.parametrize("choice, told", [
    ("imagnet", "--pretrained imagnet: no such file. Expected auto, imagenet, none, or a checkpoint"),
    ("imagenet", "--pretrained imagenet: there are weights for a ViT-B/16 alone"),
])
def test_a_start_that_cannot_be_is_told(data, tmp_path, capsys, choice, told):
    assert told in refusal(recognition_flags(data, tmp_path / "run", "--pretrained", choice), capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("choice", ["auto", "imagenet"])
def test_imagenet_weights_that_cannot_be_downloaded_are_one_message_with_two_ways_on(
    data, tmp_path, monkeypatch, capsys, choice
):
    def unreachable(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(recognition, "build_network", lambda network, sizes: TimeSformer(depth=1, width=12, heads=1))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    argv = recognition_flags(data, tmp_path / "run", "--sizes", *BASE, "--pretrained", choice)
    message = refusal(argv, capsys)
    place = tmp_path / "cache/hub/checkpoints/jx_vit_base_p16_224-80ecf9dd.pth"
    assert "cannot be downloaded (Network is unreachable)" in message and "--pretrained none" in message
    assert f"Put the file to {place}" in message
    assert not (tmp_path / "run").exists() and not place.exists()


# ---------------------------------------------------------------- classes


def test_more_labels_than_the_head_has_classes_are_an_error_before_the_first_step(data, tmp_path, capsys):
    message = refusal(recognition_flags(data, tmp_path / "run", "--sizes", *SIZES, "classes=5"), capsys)
    assert "train.csv: 7 classes at least, the network's head has 5" in message and "--sizes classes=7" in message
    assert not (tmp_path / "run").exists()
    argv = recognition_flags(data, tmp_path / "run", "--sizes", *SIZES, "classes=9", "--max_epoch", 1)
    assert train_recogniser(argv) == 0      # numbers do not tell how many classes there are
    content = load_checkpoint(tmp_path / "run/avnet_last.pth")
    assert content["model"]["head.bias"].shape == (9,) and content["classes"] == list(map(str, range(9)))


@pytest.mark.parametrize("count", [6, 8])
def test_class_names_of_another_number_than_the_head_has_are_an_error(own, tmp_path, capsys, count):
    (own / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    message = refusal(recognition_flags(own, tmp_path / "run", "--sizes", *SIZES, f"classes={count}"), capsys)
    assert f"7 classes, the network's head has {count}" in message and "--sizes classes=7" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["abc", "7.5", "true"])
def test_a_number_of_classes_that_is_none_is_told(data, tmp_path, capsys, value):
    message = refusal(recognition_flags(data, tmp_path / "run", "--sizes", *SIZES, f"classes={value}"), capsys)
    assert "expected a whole number" in message and "--sizes classes=7" in message


def test_labels_as_words_are_found_among_the_checkpoints_classes(weights, named, tmp_path):
    """A list that lacks some of the classes would count otherwise by itself."""
    line = (named / "test.csv").read_text().splitlines()[6]
    (tmp_path / "test.csv").write_text(line + "\n")
    assert infer(weights, "--data_root", tmp_path, "--output", tmp_path / "out", "--crops", 1) == 0
    row, = table(tmp_path / "out/test_answers.csv")
    classes = load_checkpoint(weights)["classes"]
    videos = VideoList(Path("x"), [row["path"]], np.zeros(1, np.int64), [1], tuple(classes))
    best = logits_of(weights, VideoDataset(videos, "val", SAMPLING).batch([0])["video"]).argmax()
    assert (row["label"], row["class1"]) == ("red", classes[best])


def test_a_word_that_is_no_class_of_the_checkpoint_is_named(weights, named, tmp_path, capsys):
    line = (named / "test.csv").read_text().splitlines()[6].replace(" red", " crimson")
    (tmp_path / "test.csv").write_text(line + "\n")
    message = refusal(["--weights", weights, "--gpus", "cpu", "--data_root", tmp_path], capsys)
    assert "test.csv" in message and "crimson'" in message and "one of 7 names of classes" in message


def test_a_checkpoint_with_other_class_names_than_classes_txt_is_refused(weights, own, capsys):
    (own / "classes.txt").write_text("".join(f"{name}\n" for name in reversed(CLASSES)))
    message = refusal(["--weights", weights, "--gpus", "cpu", "--data_root", own], capsys)
    assert "classes.txt: its 7 classes are not the checkpoint's 7, or in another order" in message


def test_a_training_is_not_resumed_with_the_classes_in_another_order(own, tmp_path):
    (own / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    argv = recognition_flags(own, tmp_path / "run", "--max_epoch", 1)
    assert train_recogniser(argv) == 0
    (own / "classes.txt").write_text("".join(f"{name}\n" for name in reversed(CLASSES)))
    with pytest.raises(UserError, match="classes"):
        train_recogniser([*argv, "--resume", "auto"])


# ---------------------------------------------------------------- broken, missing and short videos


@pytest.fixture(scope="module")
def broken(data, tmp_path_factory) -> Path:
    """A video cut off within its header."""
    path = tmp_path_factory.mktemp("broken") / "broken.mp4"
    path.write_bytes((data / "test0.mp4").read_bytes()[:600])
    return path


def test_a_corrupt_video_in_training_is_named_once_and_another_takes_its_place(own, broken, tmp_path, capfd):
    change_line(own / "train.csv", 4, broken)
    assert timesformer_main.main(recognition_flags(own, tmp_path / "run")) == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "broken.mp4" in line]
    assert len(told) == 1 and told[0].startswith(f"train.csv:5: {broken}: ")
    assert told[0].endswith("Unreadable videos so far: 1; another one takes its place.")
    assert len(read_records(tmp_path / "run")) == 3


def test_a_corrupt_video_in_validation_is_an_error_and_with_skip_broken_left_out(own, broken, tmp_path, capsys):
    change_line(own / "val.csv", 3, broken)
    message = refusal(recognition_flags(own, tmp_path / "run"), capsys)
    assert f"val.csv:4: {broken}" in message and "take it out of the list" in message
    assert train_recogniser(recognition_flags(own, tmp_path / "run2", "--skip_broken", "--max_epoch", 1)) == 0
    rows = table(tmp_path / "run2/validation.csv")
    assert len(rows) == 4 and str(broken) not in {row["path"] for row in rows}


def test_a_corrupt_video_in_the_test_is_an_error_and_with_skip_broken_counted(weights, own, broken, tmp_path, capsys):
    change_line(own / "test.csv", 2, broken, 2)
    argv = ["--weights", weights, "--gpus", "cpu", "--data_root", own, "--output", tmp_path / "out"]
    assert f"test.csv:3: {broken}" in refusal(argv, capsys)
    assert infer(weights, "--data_root", own, "--output", tmp_path / "out", "--skip_broken", "--batch_size", 3) == 1
    result = json.loads((tmp_path / "out/test.json").read_text())
    assert (result["videos"], result["unreadable"]) == (6, 1)
    rows = table(tmp_path / "out/test_answers.csv")
    classes = load_checkpoint(weights)["classes"]
    assert [row["label"] for row in rows] == [*classes[:2], *classes[3:]]


def test_a_video_of_which_one_view_alone_can_be_read_counts_as_unreadable(weights, named, tmp_path, monkeypatch):
    read = VideoDataset._read
    damaged = (named / "test.csv").read_text().splitlines()[2].split()[0]

    def read_or_fail(dataset, video, view):
        if (dataset.videos.paths[video], view) == (damaged, 1):
            raise UserError(f"{damaged}: cut off")
        return read(dataset, video, view)

    monkeypatch.setattr(VideoDataset, "_read", read_or_fail)
    assert infer(weights, "--data_root", named, "--output", tmp_path, "--skip_broken", "--views", 2) == 1
    result = json.loads((tmp_path / "test.json").read_text())
    assert (result["videos"], result["unreadable"]) == (6, 1)
    assert damaged not in {row["path"] for row in table(tmp_path / "test_answers.csv")}


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_video_is_an_error_before_the_training_and_with_skip_broken_as_a_corrupt_one(
    own, tmp_path, capsys, split
):
    change_line(own / f"{split}.csv", 1, tmp_path / "gone.mp4")
    message = refusal(recognition_flags(own, tmp_path / "run"), capsys)
    assert f"{split}.csv" in message and f"line 2: no such file, {tmp_path / 'gone.mp4'}" in message
    assert not (tmp_path / "run").exists()
    assert train_recogniser(recognition_flags(own, tmp_path / "run", "--skip_broken", "--max_epoch", 1)) == 0
    assert len(table(tmp_path / "run/validation.csv")) == (4 if split == "val" else 5)


def test_where_no_validation_video_can_be_read_one_message_says_so(own, broken, tmp_path, capsys):
    (own / "val.csv").write_text(f"{broken} 0\n")
    message = refusal(recognition_flags(own, tmp_path / "run", "--skip_broken"), capsys)
    assert "none of the 1 validation videos can be read" in message


def test_videos_shorter_than_a_clip_train_validate_and_are_answered(weights, own, tmp_path):
    videos = []
    for count in (1, 2, 5):
        for suffix in ("mp4", "mkv"):
            videos.append(write_media(tmp_path / f"short{count}.{suffix}", moving(0, count, count)))
        folder = tmp_path / f"frames{count}"
        folder.mkdir()
        for number, picture in enumerate(moving(0, count, count), 1):
            cv2.imwrite(str(folder / f"img_{number:05d}.jpg"), picture)
        videos.append(folder)
    for split in ("train", "val", "test"):
        (own / f"{split}.csv").write_text("".join(f"{video} {i % 7}\n" for i, video in enumerate(videos)))
    assert train_recogniser(recognition_flags(own, tmp_path / "run", "--max_epoch", 1, "--sampling_rate", 32)) == 0
    assert len(table(tmp_path / "run/validation.csv")) == 9
    weights, out = tmp_path / "run/avnet_last.pth", tmp_path / "out"
    assert infer(weights, "--data_root", own, "--views", 3, "--output", out) == 0
    assert json.loads((out / "test.json").read_text())["videos"] == 9
    assert infer(weights, "--video", *videos, "--output", out) == 0
    assert [row["path"] for row in table(out / "answers.csv")] == list(map(str, videos))
    assert infer(weights, "--video", *videos, "--per_second", "--output", out) == 0
    assert len(list(out.glob("*_per_second.csv"))) == 9
    assert all([row["second"] for row in table(path)] == ["0"] for path in out.glob("*_per_second.csv"))


# ---------------------------------------------------------------- any videos


@pytest.fixture(scope="module")
def long_video(tmp_path_factory) -> Path:
    """4.5 s, whose pictures become brighter."""
    pictures = [np.full((24, 32, 3), 5 * number, np.uint8) for number in range(45)]
    return write_media(tmp_path_factory.mktemp("long") / "long.mkv", pictures)


def test_files_folders_and_folders_of_frames_are_answered_and_a_text_is_told(weights, data, tmp_path, capsys):
    folder, frames, text = tmp_path / "folder", tmp_path / "frames", tmp_path / "text.mp4"
    (folder / "below").mkdir(parents=True)
    frames.mkdir()
    shutil.copy(data / "test0.mp4", folder / "below")
    shutil.copy(data / "test1.mkv", folder / "other.mkv")
    for number, picture in enumerate(moving(2, 5), 1):
        cv2.imwrite(str(frames / f"img_{number:05d}.jpg"), picture)
    text.write_text("not a video, whatever its name says\n" * 10)
    assert infer(weights, "--video", data / "test0.mp4", text, folder, frames, "--output", tmp_path / "out",
                 "--features", "--attention") == 1
    told = capsys.readouterr()
    assert str(text) in told.err and "not a media file" in told.err
    expected = [data / "test0.mp4", folder / "below/test0.mp4", folder / "other.mkv", frames]
    lines = [line for line in told.out.splitlines() if not line.startswith("attention: ")]
    assert [line.rpartition(": ")[0] for line in lines] == list(map(str, expected))
    assert all(line.count("%") == 5 for line in lines)
    rows = table(tmp_path / "out/answers.csv")
    assert [row.pop("path") for row in rows] == list(map(str, expected)) and rows[0] == rows[1] != rows[2]

    pictures = sorted(path.name for path in (tmp_path / "out").glob("*_attention.png"))      # of equal names, numbered
    assert pictures == ["frames_attention.png", "other_attention.png", "test0-2_attention.png", "test0_attention.png"]
    for name in pictures:
        height, width = cv2.imread(str(tmp_path / "out" / name)).shape[:2]
        assert 200 < height < width < 3000       # four frames in a row, twice

    videos = VideoList(Path("x"), list(map(str, expected)), np.zeros(4, np.int64), [1, 2, 3, 4], CLASSES)
    dataset = VideoDataset(videos, "test", SAMPLING)
    with torch.inference_mode():
        found = Predictor(weights, gpus="cpu").net(dataset.batch(list(range(12))).get("video"))
    features = np.load(tmp_path / "out/features.npy")
    np.testing.assert_allclose(features, found["features"].unflatten(0, (4, 3)).mean(1), atol=1e-5)
    assert [row["path"] for row in table(tmp_path / "out/features.csv")] == list(map(str, expected))


@pytest.mark.parametrize("make, told", [
    (lambda path: None, "no such file or folder"),
    (Path.mkdir, "no video in it"),
    (lambda path: path.write_text("nothing that a video would begin with"), "no video can be read"),
])
def test_where_there_is_nothing_to_answer_one_message_says_so(weights, tmp_path, capsys, make, told):
    path = tmp_path / "some.mp4" if "read" in told else tmp_path / "some"
    make(path)
    message = refusal(["--weights", weights, "--gpus", "cpu", "--video", path], capsys)
    assert str(path) in message and told in message


def test_each_second_is_answered_from_the_clip_around_its_middle(weights, long_video, data, tmp_path, capsys):
    text, namesake = tmp_path / "text.mp4", tmp_path / "long.mkv"
    text.write_text("not a video, whatever its name says\n" * 10)
    shutil.copy(data / "test0.mp4", namesake)
    out = tmp_path / "out"
    assert infer(weights, "--video", long_video, text, namesake, "--per_second", "--batch_size", 3, "--output",
                 out) == 1
    told = capsys.readouterr().err
    assert told.count(str(text)) == 1 and "not a media file" in told
    assert {path.name for path in out.iterdir()} == {"long_per_second.csv", "long-2_per_second.csv"}
    assert len(table(out / "long-2_per_second.csv")) == 2
    rows = table(out / "long_per_second.csv")
    assert [row["second"] for row in rows] == ["0", "1", "2", "3", "4"]
    classes = load_checkpoint(weights)["classes"]
    shares = np.array([[float(row[name]) for name in classes] for row in rows])
    assert shares.sum(1) == pytest.approx(1, abs=1e-3)
    # A clip spans 4 x 4 / 30 s: that of second 2 lies around 2.5 s, that of second 4 ends with the video.
    for second, begin in ((0, 0.5 - 8 / 30), (2, 2.5 - 8 / 30), (4, 4.5 - 16 / 30)):
        times = begin + np.linspace(0, 15 / 30, 4)
        pictures = torch.from_numpy(np.stack(list(read_frames(long_video, times)))).permute(0, 3, 1, 2)
        scaled = F.interpolate(pictures.float(), (18, 24), mode="bilinear").round().clamp(0, 255).to(torch.uint8)
        clip = scaled[:, :, 1:17, 4:20].permute(0, 2, 3, 1)[None]
        expected = logits_of(weights, clip).softmax(1)[0]
        assert shares[second] == pytest.approx(expected.numpy(), abs=2e-3), second
    assert np.abs(shares[0] - shares[4]).max() > 4e-3      # the rows are not one and the same


def test_the_table_of_many_seconds_and_classes_is_not_held_as_text(tmp_path):
    seconds, shares = np.arange(300), np.full((300, 200), 1 / 200, np.float32)
    tracemalloc.start()
    write_seconds(tmp_path / "a.csv", seconds, shares, ("first, one",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rows = table(tmp_path / "a.csv")
    assert len(rows) == 300 and list(rows[7].values()) == ["7", *["0.0050"] * 200] and "first, one" in rows[0]
    assert peak < 2**20      # as text, 4 MiB


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 6 // 10])


@pytest.mark.parametrize("suffix, hurt, told, left", [
    ("mp4", lambda path: damage(path, slice(40, 50)), "decoding its picture fails after 4.0 s", [0, 1, 2, 3, 6, 7, 8]),
    ("mkv", cut_short, "its picture ends after 5.", [0, 1, 2, 3, 4]),
])
def test_seconds_that_can_be_decoded_are_answered_as_in_the_whole_video(
    weights, tmp_path, capsys, suffix, hurt, told, left
):
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    whole = write_media(tmp_path / f"whole.{suffix}", [np.roll(noise, number, 1) for number in range(90)])
    damaged = Path(shutil.copy(whole, tmp_path / f"hurt.{suffix}"))
    hurt(damaged)
    for size in (2, 9):      # which seconds come together makes no difference
        out = tmp_path / f"out{size}"
        assert infer(weights, "--video", damaged, whole, "--per_second", "--batch_size", size, "--output", out) == 1
        said = capsys.readouterr().err
        assert said.count(f"hurt.{suffix}") == 1 and told in said
        assert f"{9 - len(left)} of its 9 seconds have no answer" in said
        rows, kept = (np.array([list(map(float, row.values())) for row in table(out / f"{name}_per_second.csv")])
                      for name in ("hurt", "whole"))
        assert rows[:, 0].tolist() == left
        np.testing.assert_allclose(rows, kept[left], atol=2e-4)


def test_a_video_without_a_second_that_can_be_decoded_has_no_table(weights, tmp_path, capsys):
    path = write_media(tmp_path / "lost.mkv", [np.full((24, 32, 3), 5 * number, np.uint8) for number in range(30)])
    damage(path, slice(0, None))
    assert infer(weights, "--video", path, "--per_second", "--output", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.count("lost.mkv: no picture could be decoded") == 1 and not list((tmp_path / "out").iterdir())


# ---------------------------------------------------------------- other checkpoints


def test_a_checkpoint_of_a_boundary_network_names_its_script_and_the_other_way_round(
    weights, data, shared_processed, tiny_preset, tmp_path, capsys
):
    boundary = tmp_path / "boundary.pth"
    content = load_checkpoint(weights)
    save_checkpoint(boundary, {**content, "network": "AVTNet"})
    for more in (["--weights", boundary, "--video", data / "test0.mp4"],
                 recognition_flags(data, tmp_path / "run", "--pretrained", boundary)):
        message = refusal(["--gpus", "cpu", *more], capsys)
        assert f"{boundary}: holds weights of AVTNet, not of TimeSformer. Use avt_main.py" in message
    with pytest.raises(UserError, match="holds weights of TimeSformer, not of AVTNet. Use timesformer_main.py"):
        avt_main.main(["--preset", str(tiny_preset), "--data_root", str(shared_processed), "--save_prefix",
                       str(tmp_path / "run"), "--weights", str(weights)])


def test_a_published_checkpoint_is_tested_with_the_sampling_in_its_settings(data, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    net = TimeSformer(image_size=16, patch_size=8, width=64, depth=1, heads=1, frames=3, classes=7).eval()
    cfg = ("TIMESFORMER:\n  ATTENTION_TYPE: divided_space_time\nDATA:\n  NUM_FRAMES: 3\n  SAMPLING_RATE: 2\n"
           "  TRAIN_CROP_SIZE: 16\n  TEST_CROP_SIZE: 16\nMODEL:\n  NUM_CLASSES: 7\nTRAIN:\n  DATASET: {}\n")
    seen = []
    monkeypatch.setattr("utils.recognise.VideoDataset", lambda videos, mode, sampling, **more: (
        seen.append(sampling), VideoDataset(videos, mode, sampling, **more))[1])
    for dataset in ("kinetics", "ssv2"):
        path = tmp_path / f"{dataset}.pyth"
        torch.save({"model_state": {f"model.{name}": value for name, value in net.state_dict().items()},
                    "cfg": cfg.format(dataset)}, path)
        assert infer(path, "--data_root", data, "--output", tmp_path / dataset) == 0
    expected = Sampling(num_frames=3, sampling_rate=2, size=16, short_side=(18, 23))
    assert seen == [expected, replace(expected, segments=True, flip=False)]
    videos = read_video_lists({"test": data / "test.csv"})["test"]
    for dataset, sampling in zip(("kinetics", "ssv2"), seen, strict=True):
        clips = VideoDataset(videos, "test", sampling).batch(list(range(21)))["video"]
        with torch.inference_mode():      # the second expects the channels in the order BGR
            logits = net(clips if dataset == "kinetics" else clips.flip(-1))["logits"].unflatten(0, (7, 3)).sum(1)
        found = [int(row["class1"]) for row in table(tmp_path / dataset / "test_answers.csv")]
        assert found == logits.argmax(1).tolist()


def test_answers_that_are_not_finite_are_told_with_the_checkpoint(weights, long_video, data, tmp_path, capsys):
    content = load_checkpoint(weights)
    content["model"]["norm.weight"] = torch.full_like(content["model"]["norm.weight"], 3e38)
    content["model"]["head.weight"] = torch.full_like(content["model"]["head.weight"], 3e38)
    wild = tmp_path / "wild.pth"
    save_checkpoint(wild, content)
    argv = ["--weights", wild, "--gpus", "cpu", "--output", tmp_path / "out", "--video", long_video]
    assert f"for {long_video} are not finite" in refusal(argv, capsys)
    assert infer(wild, *argv[4:], "--per_second") == 1
    assert f"for {long_video} are not finite" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.csv"))


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("more, told", [
    (("--crops", 2), "--crops: invalid choice: 2"),
    (("--views", 0), "--views: found '0', expected a whole number from 1"),
    (("--short_side", 40, 20), "40 to 20 cannot be cropped to 16"),
    (("--image_size", 20), "--image_size 20: the network's patches are 8 pixels wide. Give a multiple of 8"),
    (("--sizes", "depth=3"), "its network has other sizes than those given: depth 2, not "),
    (("--resume", "auto"), "--weights infers and --resume trains"),
    (("--per_second",), "--per_second and --attention are for --video"),
    (("--per_second", "--features", "--video", "a.mp4"), "--per_second writes the scores of each second alone"),
])
def test_a_wrong_flag_of_a_test_is_one_message(weights, data, tmp_path, capsys, more, told):
    argv = ["--weights", weights, "--gpus", "cpu", "--data_root", data, "--output", tmp_path / "out", *more]
    assert told in refusal(argv, capsys)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("more, told", [
    (("--sizes", "depth"), "--sizes: found 'depth', expected NAME=VALUE, such as depth=4"),
    (("--sizes", "nonsense=1"), "unexpected keyword argument 'nonsense'"),
    (("--sizes", "attention=banana"), "attention 'banana', expected one of divided_space_time, joint_space_time"),
    (("--sizes", *SIZES, "image_size=32", "--image_size", 20), "patches are 8 pixels wide"),
    (("--short_side", 40, 20), "40 to 20 cannot be cropped to 16"),
    (("--num_frames", 0), "--num_frames: found '0', expected a whole number from 1"),
    (("--features",), "--features: needs --weights, a trained network"),
])
def test_a_wrong_flag_of_a_training_is_one_message_and_leaves_nothing(data, tmp_path, capsys, more, told):
    assert told in refusal(recognition_flags(data, tmp_path / "run", *more), capsys)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_results_that_cannot_be_is_told_before_any_work(weights, data, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    for output in (file, file / "below", Path("/proc/none")):
        argv = ["--weights", weights, "--gpus", "cpu", "--video", data / "test0.mp4", "--output", output]
        message = refusal(argv, capsys)
        assert str(output) in message or str(file) in message
    assert file.read_text() == "mine"
    argv = ["--weights", weights, "--gpus", "cpu", "--video", data / "test0.mp4", "--features"]
    assert "--output is missing" in refusal(argv, capsys)


def test_results_in_the_folder_of_the_training_leave_its_files_as_they_are(trained, named, data, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    weights = folder / "avnet_bestmodel.pth"
    assert infer(weights, "--data_root", named, "--save_prefix", folder, "--features") == 0
    assert infer(weights, "--data_root", named, "--save_prefix", folder, "--split", "val") == 0
    assert infer(weights, "--video", data / "test0.mp4", "--output", folder, "--attention") == 0
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert {"test.json", "val.json", "features.npy", "answers.csv"} <= {path.name for path in folder.iterdir()}


# ---------------------------------------------------------------- made actions


@pytest.mark.parametrize("attention", ["space_only", "divided_space_time"])
def test_only_a_network_that_looks_over_time_can_tell_the_classes_of_made_actions(tmp_path, attention):
    """Shuffled frames leave the answer of space_only as it is, so all clips of a scene get the same: chance at best."""
    root = tmp_path / "actions"
    make_actions(root, train=1, val=1, test=0, size=32, workers=1)
    torch.manual_seed(0)
    net = TimeSformer(image_size=32, patch_size=8, width=64, depth=2, heads=1, frames=8, classes=8, attention=attention)
    for weight in net.parameters():      # a new network does not look over time yet, one with large weights does
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    torch.save(net.state_dict(), tmp_path / "begun.pth")
    argv = recognition_flags(root, tmp_path / "run", "--sizes", "patch_size=8", "width=64", "depth=2", "heads=1",
                             f"attention={attention}", "--pretrained", tmp_path / "begun.pth", "--num_frames", 8,
                             "--sampling_rate", 6, "--image_size", 32, "--max_epoch", 2, "--lr", 0.001, "--no-flip")
    assert train_recogniser(argv) == 0
    weights = tmp_path / "run/avnet_last.pth"
    lists = read_video_lists({"val": root / "val.csv"}, root / "classes.txt")["val"]
    sampling = Sampling(num_frames=8, sampling_rate=6, size=32, short_side=(32, 32))
    clips = VideoDataset(lists, "val", sampling).batch(list(range(8)))["video"]
    order = np.random.default_rng(0).permutation(8)
    logits, shuffled = logits_of(weights, clips), logits_of(weights, clips[:, order])
    if attention == "space_only":
        torch.testing.assert_close(shuffled, logits, rtol=0, atol=1e-5)
        assert (logits - logits[:1]).abs().max() < 1e-5
        assert read_records(tmp_path / "run")[-1]["val_top1"] == 12.5
    else:
        assert (shuffled - logits).abs().amax(1).min() > 0.01
        assert (logits - logits[:1])[1:].abs().amax(1).min() > 0.01
