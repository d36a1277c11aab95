"""Training, test and answers of ActionCLIP by its entry script: classes by their names, of the training and others."""

import csv
import json
import logging
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from engine_helpers import stop_within
from recognition_helpers import CLASSES, TOWERS, make_videos, matching_flags, train_matching
from safetensors.torch import save_file
from test_actionclip import halved, published, saved
from torch import nn

import actionclip_main
import timesformer_main
from datatools.errors import UserError, exit_code_of
from datatools.video_dataset import Sampling, VideoDataset
from datatools.video_lists import read_video_lists
from models.actionclip import TEMPLATES, ActionCLIP
from utils import matching, recognise, recognition
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.cli import size_from
from utils.predict import Predictor
from utils.run_folder import read_records
from utils.settings import MatchingSettings

SIZES = {"image_size": 16, "frames": 4, **dict(map(size_from, TOWERS))}
PLAIN = ("--no-flip", "--no-multi_scale", "--jitter", 0, "--grey", 0)      # clips that are not varied
# Names as others' label files hold them: with commas and quotes, CRLF at the ends, ids in any order.
NAMES = ("dark, or black", "green", "blue", "a \"grey\" one", "purple", "white", "红色\u3000red")
CSV = "\r\n".join(["id,name", '4,"dark, or black"', "9,green", "1,blue", '2,"a ""grey"" one"', "3,purple", "5,white",
                   "6,红色\u3000red", ""])
OTHERS = ("a moving bar", "run, then jump", "太极拳", "nothing")
OWN = ("a film of {}", "{}!", "the colour is {}")


@pytest.fixture(autouse=True)
def no_pictures_here(monkeypatch):
    """Pictures cost more than these trainings; those of attention are drawn."""
    monkeypatch.setattr(recognition, "draw", lambda *_: None)
    monkeypatch.setattr(recognise, "confusion_picture", lambda *_: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Lists with numbers as labels, the names in a CSV. Only read."""
    root = make_videos(tmp_path_factory.mktemp("data") / "numbers")
    (root / "names.csv").write_bytes(CSV.encode())
    (root / "templates.txt").write_text("\n".join(OWN))
    (root / "others.txt").write_text("\n".join(OTHERS))
    return root


@pytest.fixture(scope="module")
def named(data) -> Path:
    """The same with names as labels. Only read."""
    root = data.parent / "named"
    for split in ("train", "val", "test"):
        lines = [line.rpartition(" ") for line in (data / f"{split}.csv").read_text().splitlines()]
        lists_of(root, [f"{video} {CLASSES[int(label)]}" for video, _, label in lines], split)
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """The folder of a training with names and templates of its own. Only read."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recognition, "draw", lambda *_: None)
        assert train_matching(own_flags(data, folder)) == 0
    return folder


@pytest.fixture(scope="module")
def weights(trained) -> Path:
    return trained / "avnet_bestmodel.pth"


def lists_of(root: Path, lines: list[str], *splits: str) -> Path:
    """A folder with lists of these lines."""
    root.mkdir(exist_ok=True)
    for split in splits:
        (root / f"{split}.csv").write_text("".join(f"{line}\n" for line in lines))
    return root


def own_flags(data: Path, folder: Path, *more) -> list[str]:
    return matching_flags(data, folder, "--labels", data / "names.csv", "--templates", data / "templates.txt", "--lr",
                          0.003, *more)


def infer(weights: Path, *more) -> int:
    """Test or infer; what is written on stderr goes to capsys."""
    return actionclip_main.main(["--weights", str(weights), "--gpus", "cpu", "--num_workers", "0", *map(str, more)])


def refusal(argv: list, capsys, main=actionclip_main.main) -> str:
    """The one error message of a command that ends with code 2."""
    capsys.readouterr()
    assert exit_code_of(lambda: main(list(map(str, argv)))) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("error: ") == 1 and "should not happen" not in message, message
    return message.partition("error: ")[2]


def table(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def network(fusion: str = "Transf", **sizes) -> ActionCLIP:
    """New tiny towers, always the same."""
    torch.manual_seed(3)
    return ActionCLIP(**{**SIZES, **sizes, "fusion": fusion}).eval()


@torch.inference_mode()
def logits_of(weights: Path, video: torch.Tensor, names: tuple, templates: tuple = OWN) -> torch.Tensor:
    net = Predictor(weights, gpus="cpu").net
    net.set_classes(names, templates)
    return net(video)["logits"]


def clips_of(data: Path, mode: str = "val", **more) -> torch.Tensor:
    """The clips of the test list, as the checkpoints say."""
    videos = read_video_lists({"test": data / "test.csv"})["test"]
    sampling = Sampling(num_frames=4, segments=True, bicubic=True, size=16, short_side=(18, 23), **more)
    dataset = VideoDataset(videos, mode, sampling)
    return dataset.batch(list(range(len(dataset))))["video"]


def answers_of(path: Path, count: int) -> list[list]:
    """[[name, share, name, share, ...]] of a file of answers."""
    return [[float(value) if key.startswith("share") else value for key, value in row.items() if key[:5] in
             ("class", "share")][:2 * count] for row in table(path)]


def expected_answers(logits: torch.Tensor, names: tuple, count: int) -> list[list]:
    rows = []
    for row in logits.softmax(1):
        order = row.argsort(descending=True)[:count]
        rows.append([value for place in order for value in (names[place], pytest.approx(float(row[place]), abs=1e-4))])
    return rows


# ---------------------------------------------------------------- training


def test_a_training_learns_four_videos_by_heart(named, tmp_path):
    lines = (named / "train.csv").read_text().splitlines()
    root = lists_of(tmp_path / "four", [lines[place] for place in (1, 2, 4, 6)], "train", "val")      # four colours
    assert train_matching(matching_flags(root, tmp_path / "run", "--lr", 0.001, "--max_epoch", 12, *PLAIN)) == 0
    records = read_records(tmp_path / "run")
    assert records[-1]["val_top1"] == 100 and records[-1]["val_loss"] < records[0]["val_loss"] / 3


def test_templates_are_drawn_by_seed_epoch_and_sample_alone():
    def drawn(indices, seed=0, epoch=0):
        batch = {"index": torch.tensor(indices), "label": torch.tensor(indices) % 3}
        return matching.with_templates(batch, seed, epoch, 16)["template"].tolist()

    first = drawn(list(range(400)))
    assert drawn([7]) + drawn([399, 2]) == [first[7], first[399], first[2]]
    for other in (drawn(list(range(400)), seed=1), drawn(list(range(400)), epoch=1)):
        assert np.mean([a == b for a, b in zip(first, other, strict=True)]) < 0.2
    assert sorted(set(first)) == list(range(16)) and max(map(first.count, range(16))) < 60


@pytest.mark.parametrize("fusion", ["Transf", "meanP"])
def test_text_visual_tower_and_fusion_have_learning_rates_of_their_own(fusion):
    net = network(fusion, tsm=True)
    rates = {id(weight): group["lr"] for group in
             matching.groups(net, 1e-3, MatchingSettings(ratio=0.5, f_ratio=4)) for weight in group["params"]}
    assert len(rates) == len(list(net.parameters()))
    for name, weight in net.named_parameters():
        assert rates[id(weight)] == {"visual": 5e-4, "fusion": 4e-3}.get(name.split(".")[0], 1e-3), name


def test_a_fixed_text_tower_and_one_with_the_learning_rate_0_stay_to_the_bit_also_after_a_resume(
    data, tmp_path, monkeypatch
):
    argv = own_flags(data, tmp_path, "--fix_text", "--ratio", 0, "--weight_decay", 0.1, "--overwrite")
    with monkeypatch.context() as patch:
        stop_within(patch, (1, 0))
        assert train_matching(argv) == 128 + 15
    assert train_matching([*argv, "--resume", "auto"]) == 0
    content = load_checkpoint(tmp_path / "avnet_last.pth")
    assert content["epoch"] == 1
    torch.manual_seed(10)
    begun = ActionCLIP(**content["sizes"])
    begun.start_from_scratch()
    text = {id(weight) for weight in begun.text_parameters()}
    for name, weight in begun.named_parameters():
        stays = id(weight) in text or name.startswith("visual.")
        assert torch.equal(weight, content["model"][name]) == stays, name
    assert sum(len(state) > 0 for state in content["optimizer"]["state"].values()) == sum(
        id(weight) not in text for weight in begun.parameters())


def test_accumulated_batches_make_the_step_of_one_large_one(data, tmp_path):
    models = []
    for size, batches in ((8, 1), (4, 2)):
        argv = own_flags(data, tmp_path / str(size), "--optimizer", "sgd", "--lr", 0.01, "--batch_size", size,
                         "--accumulation_step", batches, "--max_epoch", 1)
        assert train_matching(argv) == 0
        models.append(load_checkpoint(tmp_path / str(size) / "avnet_last.pth")["model"])
    torch.manual_seed(10)
    begun = ActionCLIP(**SIZES)
    begun.start_from_scratch()
    begun = begun.state_dict()
    assert max(float((models[0][name] - begun[name]).abs().max()) for name in begun) > 0.01
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=0, atol=1e-5)


def test_the_last_batch_counts_even_where_it_is_one_clip(data, tmp_path, monkeypatch):
    seen, read = [], VideoDataset.batch

    def noting(dataset, indices, pinned=False):
        seen.append((dataset.mode, indices))
        return read(dataset, indices, pinned)

    monkeypatch.setattr(VideoDataset, "batch", noting)
    root = lists_of(tmp_path / "five", (data / "train.csv").read_text().splitlines()[:5], "train", "val")
    argv = own_flags(data, tmp_path / "run", "--data_root", root, "--batch_size", 2, "--max_epoch", 1)
    assert train_matching(argv) == 0
    for mode in ("train", "val"):
        batches = [indices for of, indices in seen if of == mode]
        assert [len(batch) for batch in batches] == [2, 2, 1] and sorted(sum(batches, [])) == list(range(5))
    record, = read_records(tmp_path / "run")
    assert math.isfinite(record["train_loss"]) and record["skipped_steps"] == 0
    assert len(table(tmp_path / "run/validation.csv")) == 5


def test_steps_of_one_clip_are_refused_for_they_teach_nothing(data, tmp_path, capsys):
    assert "--batch_size 1: a step compares its clips" in refusal(
        own_flags(data, tmp_path / "run", "--batch_size", 1), capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more, told", [
    (("--labels", "others.txt"), "classes: ['dark, or black', 'green', 'blue', "),
    (("--templates", "one.txt"), "templates: ['a film of {}', '{}!', 'the colour is {}'] then, ['see {}'] now"),
    (("--ratio", 2), "--ratio: 1.0 then, 2.0 now"),
])
def test_a_training_is_not_resumed_with_other_names_templates_or_rates(data, trained, tmp_path, capsys, more, told):
    (tmp_path / "others.txt").write_text("\n".join(reversed(NAMES)))
    (tmp_path / "one.txt").write_text("see {}")
    more = [tmp_path / word if str(word).endswith(".txt") else word for word in more]
    assert told in refusal(own_flags(data, trained, *more, "--resume", "auto"), capsys)


# ---------------------------------------------------------------- names and templates


@pytest.mark.parametrize("text, names", [
    (CSV, NAMES),
    ("\ufeffID, Name\n7,run, then jump\n7,swim\n", ("run, then jump", "swim")),
    ('"id","name"\n0,a\n\n1,b', ("a", "b")),
    ("run, then jump\r\n\r\n 3,5 \r\n太极拳", ("run, then jump", "3,5", "太极拳")),
])
def test_names_are_the_rows_of_a_csv_or_the_lines_of_a_text(tmp_path, text, names):
    (tmp_path / "names").write_bytes(text.encode())
    assert matching.read_labels(tmp_path / "names") == names


@pytest.mark.parametrize("text, told", [
    ("a\nb\na\n", "twice in it: 'a'"), ("id,name\n1,a\n2,b\n3,a", "twice in it: 'a'"), (" \n\n", "no name in it"),
    ("id,name\n", "no name in it"), ("id,name\n1,a\n2\n", "a name is missing"), ("id,name\n1,a\n2,\n", "a name is"),
    ("a\tb\n", r"found 'a\tb', expected up to 2000 characters and no control characters"),
    ("x" * 2001, "(2,001 characters), expected up to 2000"),
])
def test_names_that_are_none_are_refused_with_their_file(tmp_path, text, told):
    (tmp_path / "names").write_text(text)
    with pytest.raises(UserError) as refused:
        matching.read_labels(tmp_path / "names")
    assert f"{tmp_path / 'names'}: " in str(refused.value) and told in str(refused.value)


@pytest.mark.parametrize("text, told", [
    ("a {}\nb\n", "found 'b'. Expected texts with one {}"), ("{} and {}", "found '{} and {}'"), ("\n", "it is empty"),
    ("see\t{}", "no control characters"),
])
def test_templates_that_are_none_are_refused_with_their_file(data, tmp_path, capsys, text, told):
    (tmp_path / "lines").write_text(text)
    message = refusal(own_flags(data, tmp_path / "run", "--templates", tmp_path / "lines"), capsys)
    assert message.startswith(f"{tmp_path / 'lines'}: ") and told in message


def test_labels_as_numbers_need_names(data, tmp_path, capsys):
    message = refusal(matching_flags(data, tmp_path / "run"), capsys)
    assert "train.csv: its labels are numbers" in message and "classes.txt" in message and "--labels" in message
    assert not (tmp_path / "run").exists()
    argv = own_flags(data, tmp_path / "run", "--sizes", *TOWERS, "classes=2")
    assert "give --sizes classes=7" in refusal(argv, capsys)


def test_the_names_of_classes_txt_are_kept_whatever_their_length_and_blanks(data, tmp_path, capsys):
    names = ["太\u3000极", "pas\xa0de\xa0deux", " ".join(["word"] * 200), *"abcd"]
    root = lists_of(tmp_path / "data", (data / "train.csv").read_text().splitlines(), "train", "val")
    (root / "classes.txt").write_text("\n".join(names))
    assert train_matching(matching_flags(root, tmp_path / "run", "--max_epoch", 1)) == 0
    assert "too long for the text tower, and cut: 'word word" in (tmp_path / "run/log.txt").read_text()
    capsys.readouterr()
    assert infer(tmp_path / "run/avnet_last.pth", "--video", data / "test0.mp4", "--output", tmp_path) == 0
    assert "too long for the text tower, and cut: 'word word" in capsys.readouterr().err
    row, = answers_of(tmp_path / "answers.csv", 5)
    assert set(row[::2]) < set(names)
    (root / "classes.txt").write_text("\n".join(["a\tb", *names[1:]]))
    assert r"train.csv: found 'a\tb'" in refusal(matching_flags(root, tmp_path / "other"), capsys)


# ---------------------------------------------------------------- answers


def test_a_checkpoint_holds_all_that_its_answers_need(data, trained, weights, tmp_path):
    """Names, templates and sampling are not given again, and the list has the training's numbers."""
    content = load_checkpoint(weights)
    assert content["classes"] == list(NAMES) and content["templates"] == list(OWN)
    assert content["sampling"] == {"num_frames": 4, "sampling_rate": 32, "segments": True, "image_size": 16,
                                   "short_side": [18, 23], "bicubic": True, "flip": True}
    assert infer(weights, "--data_root", data, "--split", "val", "--output", tmp_path) == 0
    assert [(row["path"], row["label"], row["class1"]) for row in table(tmp_path / "val_answers.csv")] == [
        (row["path"], row["label"], row["predicted"]) for row in table(trained / "validation.csv")]
    result = json.loads((tmp_path / "val.json").read_text())
    assert result["top1"] == max(record["val_top1"] for record in read_records(trained)) and result["crops"] == 1
    assert infer(weights, "--data_root", data, "--batch_size", 2, "--output", tmp_path) == 0
    expected = logits_of(weights, clips_of(data, crops=1), NAMES)
    assert answers_of(tmp_path / "test_answers.csv", 5) == expected_answers(expected, NAMES, 5)


def test_any_other_names_are_chosen_between_on_a_list_and_for_a_video(data, weights, tmp_path, capsys):
    root = lists_of(tmp_path / "list", [line.rpartition(" ")[0] + f" {i % 4}" for i, line in enumerate(
        (data / "test.csv").read_text().splitlines())], "test")
    expected = logits_of(weights, clips_of(data, crops=1), OTHERS)
    assert infer(weights, "--data_root", root, "--labels", data / "others.txt", "--output", tmp_path / "a") == 0
    assert answers_of(tmp_path / "a/test_answers.csv", 4) == expected_answers(expected, OTHERS, 4)
    assert [row["label"] for row in table(tmp_path / "a/test_answers.csv")] == [OTHERS[i % 4] for i in range(7)]
    top1 = 100 * float((expected.argmax(1) == torch.arange(7) % 4).float().mean())
    assert json.loads((tmp_path / "a/test.json").read_text())["top1"] == pytest.approx(top1, abs=0.01)
    # classes.txt of a data set does as --labels does.
    (root / "classes.txt").write_bytes((data / "others.txt").read_bytes())
    assert infer(weights, "--data_root", root, "--output", tmp_path / "b") == 0
    assert answers_of(tmp_path / "b/test_answers.csv", 4) == answers_of(tmp_path / "a/test_answers.csv", 4)
    (tmp_path / "one.txt").write_text("see {}")
    videos = [line.rpartition(" ")[0] for line in (data / "test.csv").read_text().splitlines()]
    assert infer(weights, "--video", *videos[:2], "--labels", data / "others.txt", "--templates", tmp_path / "one.txt",
                 "--features", "--attention", "--output", tmp_path / "c") == 0
    once = logits_of(weights, clips_of(data, crops=1)[:2], OTHERS, ("see {}",))
    assert answers_of(tmp_path / "c/answers.csv", 4) == expected_answers(once, OTHERS, 4)
    assert np.load(tmp_path / "c/features.npy").shape == (2, 32)
    assert min(cv2.imread(str(tmp_path / "c/test0_attention.png")).shape[:2]) > 200


def test_views_and_crops_are_summed_and_features_averaged(data, weights, tmp_path):
    assert infer(weights, "--data_root", data, "--crops", 3, "--views", 2, "--batch_size", 5, "--features", "--output",
                 tmp_path) == 0
    net = Predictor(weights, gpus="cpu").net
    net.set_classes(NAMES, OWN)
    with torch.inference_mode():
        found = net(clips_of(data, "test", crops=3, views=2))
    logits = found["logits"].unflatten(0, (7, 6)).mean(1)
    assert answers_of(tmp_path / "test_answers.csv", 5) == expected_answers(logits, NAMES, 5)
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), found["features"].unflatten(0, (7, 6)).mean(1),
                               atol=1e-5)


def test_each_second_is_scored_by_the_names_that_are_given(data, weights, tmp_path):
    assert infer(weights, "--video", data / "test0.mp4", "--per_second", "--labels", data / "others.txt", "--output",
                 tmp_path) == 0
    rows = table(tmp_path / "test0_per_second.csv")
    assert [list(row) for row in rows] == [["second", *OTHERS]] * 2
    assert [sum(float(row[name]) for name in OTHERS) for row in rows] == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize("more, told", [
    (("--num_frames", 80), "80 frames, the fusion Transf takes at most 77. See --num_frames"),
    (("--image_size", 32), "--image_size 32: the network takes pictures of 16x16 alone"),
    (("--sizes", "depth=2"), "its network has other sizes than those given: depth 1, not 2"),
    (("--labels", "none.txt"), "none.txt: no such list of names"),
    (("--ratio", -1), "--ratio: found '-1', expected a number from 0"),
    (("--crops", 2), "--crops: invalid choice: 2"),
    (("--per_second",), "--per_second and --attention are for --video"),
])
def test_a_wrong_flag_of_a_test_is_one_message(data, weights, capsys, more, told):
    assert told in refusal(["--weights", weights, "--gpus", "cpu", "--data_root", data, *more], capsys)


@pytest.mark.parametrize("more, told", [
    (("--num_frames", 80), "80 frames, the fusion Transf takes at most 77"),
    (("--sizes", *TOWERS, "image_size=32"), "frames of 16x16, expected 32x32"),
    (("--sizes", *TOWERS[:-1], "fusion=mean"), "fusion 'mean', expected one of meanP, Transf"),
    (("--f_ratio", "nan"), "--f_ratio: found 'nan'"),
    (("--jitter", 2), "--jitter: found '2', expected a number from 0 up to 1"),
])
def test_a_wrong_flag_of_a_training_is_one_message_and_leaves_nothing(data, tmp_path, capsys, more, told):
    assert told in refusal(own_flags(data, tmp_path / "run", *more), capsys)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- weights from elsewhere


PLAIN_NOTE = "fusion.*: the file's is meanP and the network's Transf, which begins anew"
NUMBERS = {name: torch.tensor(value) for name, value in
           (("input_resolution", 16), ("context_length", 77), ("vocab_size", 49408))}


def without_fusion(content: dict) -> dict:
    return {name: value for name, value in content.items() if name != "fusion_model_state_dict"}


@pytest.mark.parametrize("content_of, notes", [
    (lambda: {**halved(network("meanP").state_dict()), **NUMBERS}, [PLAIN_NOTE]),
    (lambda: published(network()), []),
    (lambda: without_fusion(published(network())), [PLAIN_NOTE]),
    (lambda: published(network("LSTM")), ["fusion.*: the file's is LSTM and the network's Transf, which begins anew"]),
])
def test_a_training_begins_with_the_towers_of_a_file_and_tells_what_it_lacks(tmp_path, content_of, notes):
    path = saved(tmp_path / "clip.pt", content_of())
    given, net = halved(network("meanP").state_dict()), ActionCLIP(**SIZES)
    fusion = {name: value.clone() for name, value in net.fusion.state_dict().items()}
    assert matching.start(net, str(path)) == [f"begins with the weights of {path}", *notes]
    weights = net.state_dict()
    assert all(torch.equal(weights[name], value.float()) for name, value in given.items())
    assert all(torch.equal(weights[f"fusion.{name}"], value) for name, value in fusion.items()) == bool(notes)


def test_a_name_of_open_clip_is_downloaded_and_its_activation_told(tmp_path, monkeypatch):
    path, begun = tmp_path / "open_clip_model.safetensors", network("meanP")
    save_file(begun.state_dict(), path)
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda cfg: str(path))
    for choice, told in (("ViT-B-32/openai", []), ("ViT-B-32/laion2b_s34b_b79k", [
            "these weights were trained with quick_gelu=false: give it with --sizes"])):
        net = ActionCLIP(**SIZES)
        assert matching.start(net, choice) == [f"begins with the weights {choice}, {path}", PLAIN_NOTE, *told]
        assert torch.equal(net.visual.proj, begun.visual.proj)
    assert matching.start(net, str(path)) == [f"begins with the weights of {path}", PLAIN_NOTE]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="open_clip_model.safetensors: no readable safetensors file"):
        matching.start(net, str(path))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_cannot_be_had_are_one_message_with_a_way_on(data, tmp_path, monkeypatch, capsys):
    def unreachable(_):
        assert not logging.getLogger("huggingface_hub.utils").isEnabledFor(logging.WARNING)      # one line a retry
        raise OSError("Network is unreachable")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", unreachable)
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), script := tmp_path / "ViT-B-32.pt")
    for choice, told in (
            ("ViT-B-32/openai", "cannot be downloaded (Network is unreachable). Give a file"),
            ("auto", "--pretrained is missing: CLIP's weights, or those of an ActionCLIP. Expected a file"),
            ("ViT-B-32/opnai", "--pretrained 'ViT-B-32/opnai': no such file, and no weights of open_clip"),
            (script, "ViT-B-32.pt: a TorchScript archive, which holds a program")):
        assert told in refusal(own_flags(data, tmp_path / "run", "--pretrained", choice), capsys)
    assert not (tmp_path / "run").exists()


def test_a_published_checkpoint_is_asked_directly_with_names(data, named, tmp_path, capsys):
    whole, part = (saved(tmp_path / name, content) for name, content in (
        ("model_best.pt", published(network())), ("part.pt", without_fusion(published(network())))))
    logits = []
    for path, told in ((whole, ""), (part, "part.pt: the file holds no weights of a fusion over the frames")):
        capsys.readouterr()
        assert infer(path, "--data_root", data, "--num_frames", 4, "--labels", data / "names.csv", "--output",
                     tmp_path / "a") == 0
        assert told in capsys.readouterr().err
        logits.append(logits_of(path, clips_of(data, crops=1), NAMES, TEMPLATES))
        assert answers_of(tmp_path / "a/test_answers.csv", 5) == expected_answers(logits[-1], NAMES, 5)
    assert (logits[0] - logits[1]).abs().max() > 0.01
    assert infer(whole, "--data_root", named, "--num_frames", 4, "--output", tmp_path / "b") == 0      # the list's own
    assert {row["label"] for row in table(tmp_path / "b/test_answers.csv")} == set(CLASSES)
    argv = ["--weights", whole, "--gpus", "cpu"]
    assert "holds no names of classes. Give --labels" in refusal([*argv, "--video", data / "test0.mp4"], capsys)
    assert "test.csv: its labels are numbers" in refusal([*argv, "--data_root", data], capsys)


def test_a_checkpoint_of_another_recogniser_names_its_script(data, weights, tmp_path, capsys):
    save_checkpoint(other := tmp_path / "other.pth", {"network": "TimeSformer", "sizes": {}, "model": {}})
    for argv in (["--weights", other, "--video", data / "test0.mp4"],
                 own_flags(data, tmp_path / "run", "--pretrained", other)):
        assert "holds weights of TimeSformer, not of ActionCLIP. Use timesformer_main.py" in refusal(argv, capsys)
    message = refusal(["--weights", weights, "--video", data / "test0.mp4"], capsys, timesformer_main.main)
    assert f"{weights}: holds weights of ActionCLIP, not of TimeSformer. Use actionclip_main.py" in message
