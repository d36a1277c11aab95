"""tools/run_actionclip.py: configurations in the form of ActionCLIP's users, and their four command lines."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_media

import actionclip_main
from datatools.errors import UserError
from datatools.video_dataset import Sampling, VideoDataset
from datatools.video_lists import read_video_lists
from models.actionclip import ActionCLIP
from tools import extract_frames, run_actionclip
from utils import matching_form
from utils.matching_form import remarks, run_asked
from utils.matching_form import test_command as to_test
from utils.matching_form import training_command as to_train
from utils.matching_keys import ARCHES, FIXED, FORM, KEYS, UNUSED
from utils.run_folder import BEST, LAST
from utils.settings import FitSettings, LaunchSettings

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(ROOT.glob("configs/ucf101/*.yaml"))
LINES = ("scripts/run_train.sh ./configs/ucf101/ucf_train.yaml", "scripts/run_test.sh ./configs/ucf101/ucf_test.yaml",
         "scripts/run_test.sh ./configs/ucf101/ucf_ft_zero_shot.yaml",
         "scripts/run_test.sh ./configs/ucf101/ucf_zero_shot.yaml")
SIZES = {"patch_size": 16, "width": 64, "depth": 1, "embed": 32, "text_width": 64, "text_depth": 1}
QUICK = "data.input_size 32 data.num_segments 4 data.workers 0 data.batch_size 4 gpus cpu".split()
SMALL = [*QUICK, *"network.init False solver.epochs 1".split(),
         *(word for name, size in SIZES.items() for word in (f"sizes.{name}", str(size)))]
LISTS = "data: {train_list: t.txt, val_list: v.txt, label_list: l.csv}\n"
# A file as users have it, with all the keys that change nothing.
PUBLISHED = """
pretrain: '/weights/vit16_8f/model_best.pt'
resume:
seed: 1024
data:
    dataset: ucf101
    modality: RGB
    num_segments: 8
    seg_length: 1
    split: 1
    batch_size: 32
    workers: 8
    gpus: 2
    num_classes: 101
    image_tmpl: 'img_{:05d}.jpg'
    train_list: 'lists/ucf101/train_rgb_split1.txt'
    val_list: 'lists/ucf101/val_rgb_split1.txt'
    label_list: 'lists/ucf_labels.csv'
    index_bias: 1
    input_size: 224
    randaug:
        N: 0
        M: 0
network:
    arch: ViT-B/16
    init: True
    drop_out: 0.0
    emb_dropout: 0.0
    type: clip_ucf
    sim_header: "Transf"
    fix_text: False
    fix_img: False
    describe:
solver:
    type: cosine
    epochs: 50
    start_epoch: 0
    epoch_offset: 0
    optim: adamw
    lr: 5.e-6
    lr_warmup_step: 5
    momentum: 0.9
    weight_decay: 0.2
    lr_decay_step: 15
    lr_decay_factor: 0.1
    clip_gradient: 20
    loss_type: nll
    evaluate: False
    ratio: 1
    f_ratio: 10
logging:
    print_freq: 10
    eval_freq: 1
"""


def read(tmp_path: Path, text: str = LISTS, *words: str):
    """A configuration of a YAML text and words of the command line."""
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    return FORM.read(file, list(words))


def has_gpus(monkeypatch, number: int) -> None:
    devices = [torch.device("cuda", index) for index in range(number)] or [torch.device("cpu")]
    monkeypatch.setattr(matching_form, "choose_devices", lambda gpus: devices)


# ---------------------------------------------------------------- what a configuration asks for


def test_a_published_file_becomes_the_published_training(tmp_path, monkeypatch):
    has_gpus(monkeypatch, 1)
    asked = read(tmp_path, PUBLISHED)
    command = to_train(asked, "now")
    assert command.fit == FitSettings(
        lr=5e-6, batch_size=32, max_epoch=50, schedule="cosine", warmup_epochs=5, seed=1024, num_workers=8,
        save_prefix=Path("exp/clip_ucf/ViT-B/16/ucf101/now"))
    found = command.recognition
    assert (found.num_frames, found.image_size, found.pretrained) == (8, 224, "/weights/vit16_8f/model_best.pt")
    assert (found.optimizer, found.betas, found.weight_decay, found.flip) == ("adamw", (0.9, 0.98), 0.2, None)
    assert (found.multi_scale, found.jitter, found.grey) == (True, 0.8, 0.2)
    assert (command.matching.ratio, command.matching.f_ratio, command.matching.fix_text) == (1, 10, False)
    assert command.matching.labels == Path("lists/ucf_labels.csv") and command.launch == LaunchSettings()
    assert command.sizes == {"patch_size": 16, "drop_out": 0, "emb_dropout": 0, "fusion": "Transf"}
    assert command.lists == {"train": Path("lists/ucf101/train_rgb_split1.txt"),
                             "val": Path("lists/ucf101/val_rgb_split1.txt")}
    test = to_test(asked, "now")
    assert (test.recognise.weights, test.recognise.split) == (Path("/weights/vit16_8f/model_best.pt"), "val")
    assert (test.lists, test.sizes) == ({"val": Path("lists/ucf101/val_rgb_split1.txt")}, {})


def test_keys_that_change_nothing_are_told_once_by_name(tmp_path):
    told, more = remarks(read(tmp_path, PUBLISHED), False)
    unread = ["data.modality", "data.seg_length", "data.split", "data.gpus", "data.num_classes", "data.index_bias",
              "data.randaug.M", "network.fix_img", "network.describe", "solver.epoch_offset",
              "solver.lr_decay_factor", "solver.clip_gradient", "solver.loss_type"]
    assert told.startswith("not used here: ") and [told.count(name) for name in unread] == [1] * len(unread)
    assert more.startswith("data.random_shift is not given: frames are drawn anywhere")
    assert remarks(read(tmp_path, PUBLISHED), True) == [told]


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_the_projects_configurations_hold_only_keys_that_count_and_say_that_nothing_is_measured(file):
    asked = FORM.read(file, [])
    assert remarks(asked, False) == ([] if file.stem == "ucf_train" else remarks(asked, False))
    assert not asked.unused and "Not measured here" in file.read_text()
    assert f".sh {file.relative_to(ROOT)}\n" in file.read_text()


def test_what_a_configuration_leaves_out_is_as_in_the_entry_script(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr("utils.recognition_command.run", lambda network, command, loss: commands.append(command) or 0)
    words = "--labels l.csv --save_prefix exp/clip/ViT-B/32/a/now --pretrained ViT-B-32/openai --sizes patch_size=32"
    actionclip_main.main(words.split())
    has_gpus(monkeypatch, 0)
    found = to_train(read(tmp_path), "now")
    for part in ("fit", "recognition", "matching", "launch", "recognise", "sizes"):
        assert getattr(found, part) == getattr(commands[0], part), part


def test_yaml_and_command_line_give_the_same_command(tmp_path):
    words = ("data.batch_size", "6", "solver.weight_decay", "1e-4", "data.random_shift", "False", "network.tsm", "True",
             "data.train_list", "lists/a: b #1=2", "network.sim_header", "LSTM", "solver.lr_decay_step", "[2, 4]")
    text = ("data: {batch_size: 6, random_shift: False, train_list: 'lists/a: b #1=2', val_list: v.txt,"
            " label_list: l}\n"
            "solver: {weight_decay: 1e-4, lr_decay_step: [2, 4]}\nnetwork: {tsm: True, sim_header: LSTM}\n")
    in_yaml = read(tmp_path, text)
    typed = read(tmp_path, "data: {val_list: v.txt, label_list: l}\n", *words)
    assert in_yaml.values == typed.values and len(typed.values) == 9
    assert to_train(in_yaml, "now") == to_train(typed, "now")
    assert not to_train(typed, "now").matching.random_shift


@pytest.mark.parametrize("arch", [*ARCHES, *(f"CLIP-{name}" for name in ARCHES)])
def test_each_architecture_is_one_that_can_be_built_and_begins_with_its_own_weights(tmp_path, arch):
    command = to_train(read(tmp_path, LISTS, "network.arch", arch), "now")
    sizes, name = ARCHES[arch.removeprefix("CLIP-")]
    assert command.recognition.pretrained == f"{name}/openai"
    with torch.device("meta"):
        net = ActionCLIP(**command.sizes)
    assert net.visual.conv1.weight.shape[2] == sizes["patch_size"] == int(arch.rpartition("/")[2])
    assert Path(*command.fit.save_prefix.parts[2:4]) == Path(arch.removeprefix("CLIP-"))


def test_how_a_training_begins(tmp_path, monkeypatch):
    """With CLIP's weights, random ones, a file's, or where another training stands."""
    monkeypatch.chdir(tmp_path)

    def begins(*words) -> tuple:
        command = to_train(read(tmp_path, LISTS, *words), "now")
        return command.recognition.pretrained, command.fit.resume, command.fit.save_prefix.name

    assert begins() == ("ViT-B-32/openai", None, "now")
    assert begins("network.init", "False") == ("none", None, "now")
    assert begins("network.init", "ViT-B-32.pt") == ("ViT-B-32.pt", None, "now")
    assert begins("pretrain", "k400.pt", "network.init", "False") == ("k400.pt", None, "now")
    assert begins("resume", "auto") == ("ViT-B-32/openai", None, "now")
    folder = tmp_path / "exp/clip/ViT-B/32/a/before"
    folder.mkdir(parents=True)
    (folder / LAST).touch()
    (folder / "last_model.pt").symlink_to(LAST)
    assert begins("resume", str(folder / "last_model.pt"))[1:] == (str(folder / "last_model.pt"), "now")
    (folder / "settings.json").touch()
    assert begins("resume", str(folder / "last_model.pt"))[1:] == (str(folder / "last_model.pt"), "before")
    assert begins("resume", "auto")[2] == "before" and begins()[1:] == (None, "now")
    with pytest.raises(UserError, match="none.pt: no such checkpoint"):
        begins("resume", "none.pt")


def test_optimiser_schedule_and_data_sets_with_left_and_right(tmp_path):
    words = ("solver.optim", "adam", "solver.type", "multistep", "solver.epochs", "40", "data.dataset", "something",
             "logging.eval_freq", "5", "data.random_shift", "True")
    asked = read(tmp_path, LISTS, *words)
    command = to_train(asked, "now")
    assert (command.recognition.optimizer, command.fit.schedule, command.recognition.flip) == ("adamw", "steps", False)
    assert command.fit.decay_epochs == (15, 30)
    assert [line.split(":")[0] for line in remarks(asked, False)] == [
        "logging.eval_freq 5", "solver.optim adam", "data.dataset something"]
    for step, expected in (("20", (20,)), ("[3, 9]", (3, 9)), ("99", (99,))):
        assert to_train(read(tmp_path, LISTS, *words, "solver.lr_decay_step", step), "now").fit.decay_epochs == expected


# ---------------------------------------------------------------- what is refused


def test_a_typo_offers_the_nearest_key_in_yaml_and_on_the_command_line(tmp_path):
    with pytest.raises(UserError, match=r"a.yaml: 'data.num_segment' is no key .* Did you mean data.num_segments\?"):
        read(tmp_path, "data: {num_segment: 8}\n")
    for typed, meant in (("network.simheader", "network.sim_header"), ("Solver.LR", "solver.lr"),
                         ("data.batch_size=6", "data.batch_size"), ("data.randaug.n", "data.randaug.N")):
        with pytest.raises(UserError, match=rf"command line: '{typed}' is no key .* Did you mean {meant}\?"):
            read(tmp_path, LISTS, typed, "1")


@pytest.mark.parametrize("pair, message", [
    ("network.joint True", "expected False: frames of all times in one attention cannot run"),
    ("data.randaug.N 2", "expected 0: there is no RandAugment"), ("solver.start_epoch 3", "expected 0: `resume`"),
    ("data.image_tmpl frame{:d}.jpg", "expected 'img_"), ("data.batch_size 0", "found '0', expected a whole number"),
    ("network.sim_header Mean", "expected meanP, Transf, LSTM, Conv_1D, Transf_cls"),
    ("network.arch RN50", "expected ViT-B/32, ViT-B/16, ViT-L/14"), ("network.tsm 1", "expected True or False"),
    ("solver.type monitor", "expected cosine or multistep"), ("solver.optim lamb", "expected adamw or adam or sgd"),
    ("solver.lr_decay_step [9,3]", "epochs that ascend"), ("solver.lr fast", "expected a number"),
    ("network.drop_out 2", "to 1"), ("data.dataset ../x", "without .."), ("gpus all", "expected ids"),
    ("data.crops 2", "expected 1 or 3"), ("resume " + "x" * 5000, "no path"), ("network.init [1]", "expected text")])
def test_a_value_that_no_training_can_take_is_refused_with_its_key(tmp_path, pair, message):
    name, value = pair.split(" ")
    with pytest.raises(UserError, match=rf"^command line: {name}: .*{message}"):
        read(tmp_path, LISTS, name, value)


@pytest.mark.parametrize("name", ["train_list", "val_list", "label_list"])
def test_a_missing_list_is_named_by_its_key(tmp_path, name):
    text = LISTS.replace(name, "dataset")
    with pytest.raises(UserError, match=f"a.yaml: data.{name} is missing"):
        to_train(read(tmp_path, text), "now")


def test_a_test_without_weights_is_told_where_they_would_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="pretrain is missing, the weights to test, such as exp/clip/ViT-B/32/a/TIME"):
        to_test(read(tmp_path), "now")
    with pytest.raises(UserError, match="none.yaml: no such configuration. Those of the project lie in configs/ucf101"):
        run_actionclip.main(["--config", str(tmp_path / "none.yaml")])


def test_help_has_a_line_for_each_key(capsys):
    with pytest.raises(SystemExit):
        run_actionclip.main(["--help"])
    keys = capsys.readouterr().out.partition("keys (and what holds without them):")[2].splitlines()
    assert [line.split()[0] for line in keys if line] == list(KEYS)


def test_every_key_sets_something_that_there_is_and_stands_in_one_table(tmp_path):
    assert len({*KEYS, *FIXED, *UNUSED}) == len(KEYS) + len(FIXED) + len(UNUSED)
    command = to_train(read(tmp_path), "now")
    for name, key in KEYS.items():
        part, _, setting = key.to.partition(".")
        assert not part or part == "sizes" or hasattr(getattr(command, part), setting), name


def test_messages_name_keys_instead_of_flags():
    assert FORM.in_keys("give --labels, or --lr 1, --batch_size 2") == (
        "give data.label_list, or solver.lr 1, data.batch_size 2")
    assert FORM.in_keys("--pretrained x: none. Give --pretrained FILE, or go on: --pretrained none.") == (
        "pretrain or network.init x: none. Give network.init FILE, or go on: network.init False.")


# ---------------------------------------------------------------- lists


def write_videos(folder: Path) -> list[Path]:
    """Four short videos in two containers."""
    rng, paths = np.random.default_rng(0), []
    folder.mkdir(parents=True)
    for number in range(4):
        path = folder / f"v{number} 1{'.mkv' if number % 2 else '.mp4'}"      # names that end in a number
        pictures = [np.full((40, 48, 3), rng.integers(256, size=3), np.uint8) for _ in range(6 + number)]
        paths.append(write_media(path, pictures, fps=10))
    return paths


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory as the command lines expect it, with small videos."""
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "tools", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    data = tmp_path / "data/ucf101"
    videos = write_videos(data)
    for split in ("train", "test"):
        (data / f"{split}.csv").write_text("".join(f"{video} {label % 2}\n" for label, video in enumerate(videos)))
    (data / "classes.txt").write_text("Archery\nTaiChi\n")
    monkeypatch.setattr("utils.recognition.draw", lambda *_: None)
    monkeypatch.setattr("utils.recognise.confusion_picture", lambda *_: None)
    return tmp_path


def make_frames(here: Path) -> Path:
    """The list of the frames of the videos, `folder num_frames label`."""
    assert extract_frames.main(["--lists", "data/ucf101/train.csv", "--save_root", "frames", "--workers", "1"]) == 0
    lines = [line.rsplit(" ", 1) for line in (here / "frames/train.csv").read_text().splitlines()]
    file = here / "frames/train_rgb_split1.txt"
    file.write_text("".join(f"{folder} {len(list(Path(folder).glob('*.jpg')))} {label}\r\n" for folder, label in (
        (folder.strip('"'), label) for folder, label in lines)))
    return file


def test_lists_with_the_number_of_frames_name_the_same_videos(here):
    file = make_frames(here)
    assert file.read_text().split()[0].endswith("v0")      # `.../v0 1 6 0`
    counted, plain = (read_video_lists({"train": path})["train"] for path in (file, here / "frames/train.csv"))
    quoted = file.with_name("quoted.txt")
    quoted.write_text("".join(f'"{path}" 6 {label}\n' for path, label in zip(plain.paths, (0, 1, 0, 1), strict=True)))
    assert read_video_lists({"train": quoted})["train"].paths == plain.paths
    assert counted.paths == plain.paths and counted.labels.tolist() == [0, 1, 0, 1]
    assert len(read_video_lists({"train": here / "data/ucf101/train.csv"})["train"]) == 4
    with file.open("a") as more:
        more.write("elsewhere 3\n")      # not all of the list's lines are such
    with pytest.raises(UserError, match="no such file, .*v0 1 6"):
        read_video_lists({"train": file})


def test_without_random_shift_training_takes_the_frames_of_a_validation(here):
    videos = read_video_lists({"train": here / "data/ucf101/train.csv"})["train"]
    shown = {}
    for mode, shift in (("train", True), ("train", False), ("val", True)):
        sampling = Sampling(4, segments=True, size=32, short_side=(32, 32), flip=False, random_shift=shift)
        dataset = VideoDataset(videos, mode, sampling)
        dataset.start_epoch(1)
        # One colour a frame, so that the crop does not matter.
        shown[mode, shift] = dataset.batch([0, 1, 2, 3])["video"][:, :, 16, 16].tolist()
    assert shown["train", False] == shown["val", True] != shown["train", True]


@pytest.mark.parametrize("shift", [True, False])
def test_random_shift_reaches_the_clips_of_a_training(here, monkeypatch, shift):
    def refuse(settings, lists, sampling, seed):
        raise UserError(f"shift {sampling.random_shift}")

    monkeypatch.setattr("utils.recognition_command.recognition_data", refuse)
    with pytest.raises(UserError, match=f"shift {shift}"):
        train("data.random_shift", str(shift))


def test_the_label_is_the_row_of_a_csv_with_commas_crlf_and_any_ids(here, capsys):
    (here / "labels.csv").write_bytes(b'id,name\r\n7,"Clean, and jerk"\r\n3,TaiChi\r\n')
    words = ["data.train_list", str(make_frames(here)), "data.val_list", "data/ucf101/test.csv",
             "data.label_list", "labels.csv"]
    train(*words)
    assert run_actionclip.main(["--test", "--config", "configs/ucf101/ucf_test.yaml", "--log_time", "tested", *QUICK,
                                "network.arch", "ViT-B/32", *words[2:]]) == 0
    assert "4 videos of test.csv: top-1" in capsys.readouterr().out
    rows = list(csv.DictReader((here / "exp/clip_ucf/ViT-B/32/ucf101/tested/val_answers.csv").open()))
    assert [row["label"] for row in rows] == ["Clean, and jerk", "TaiChi"] * 2


# ---------------------------------------------------------------- runs


def train(*words: str, name: str = "now") -> Path:
    """A small training by ucf_train.yaml; returns its folder."""
    assert run_actionclip.main(["--config", "configs/ucf101/ucf_train.yaml", "--log_time", name, "network.arch",
                                "ViT-B/32", *SMALL, *words]) == 0
    return Path("exp/clip_ucf/ViT-B/32/ucf101", name)


def words_of(line: str) -> list[str]:
    """What a command line that begins with bash starts, without the script's name."""
    done = subprocess.run(["bash", *line.split(), "gpus", "cpu"], env={**os.environ, "PYTHON": "echo"},
                          capture_output=True, text=True, check=True)
    script, *words = done.stdout.split()
    assert Path(script).resolve() == ROOT / "tools/run_actionclip.py"
    return words


def write_clip(path: Path, image: int = 32, **sizes) -> None:
    """The state dict of a CLIP as OpenAI has it: half precision, and three numbers among its tensors."""
    path.parent.mkdir(exist_ok=True)
    torch.manual_seed(0)
    net = ActionCLIP(image_size=image, fusion="meanP", **sizes)
    weights = {name: value.half() for name, value in net.state_dict().items()}
    numbers = {"input_resolution": image, "context_length": 77, "vocab_size": 49_408}
    torch.save({**weights, **{name: torch.tensor(number) for name, number in numbers.items()}}, path)


def test_the_four_command_lines_one_after_the_other(here, capsys):
    write_clip(here / "checkpoints/ViT-B-16.pt", **SIZES)
    line_train, line_test, fine_tuned, zero_shot = map(words_of, LINES)
    sizes = SMALL[SMALL.index("sizes.patch_size"):]
    small = [*QUICK, "network.init", "checkpoints/ViT-B-16.pt", "solver.epochs", "1", *sizes]
    assert run_actionclip.main([*line_train, *small]) == 0
    told = capsys.readouterr().out
    assert "begins with the weights of checkpoints/ViT-B-16.pt" in told and "done: best score" in told
    folder, = (here / "exp/clip_ucf/ViT-B/16/ucf101").iterdir()
    assert os.readlink(folder / "model_best.pt") == BEST and os.readlink(folder / "last_model.pt") == LAST
    shutil.copy(folder / "model_best.pt", here / "checkpoints/k400_vit16_8f.pt")
    (here / "data/ucf101/classes.txt").write_text("Yo Yo\nWriting, on a board\n")
    for words, weights in ((line_test, str(folder.relative_to(here) / BEST)),
                           (fine_tuned, "checkpoints/k400_vit16_8f.pt"), (zero_shot, "checkpoints/ViT-B-16.pt")):
        assert run_actionclip.main([*words, *QUICK, "--log_time", Path(weights).stem]) == 0
        result = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (result["weights"], result["videos"], result["crops"]) == (weights, 4, 1)
        answers = here / "exp/clip_ucf/ViT-B/16/ucf101" / Path(weights).stem / "val_answers.csv"
        assert {row["class1"] for row in csv.DictReader(answers.open())} <= {"Yo Yo", "Writing, on a board"}


def test_a_training_goes_on_by_the_known_name_of_its_last_checkpoint(here, capsys):
    folder = train()
    train("resume", str(folder / "last_model.pt"), "data.workers", "1", name="later")
    told = capsys.readouterr().out
    assert f"resumed {folder}/last_model.pt after epoch 0" in told and not folder.with_name("later").exists()
    with pytest.raises(UserError, match=r"other settings.\n  solver.lr: 5e-06 then, 0.5 now"):
        train("resume", "auto", "solver.lr", "0.5")
    with pytest.raises(UserError, match=r"Go on with it: resume auto; or choose another --log_time; or replace"):
        train()
    weights = ActionCLIP(image_size=32, fusion="meanP", **SIZES).state_dict()
    torch.save({"epoch": 3, "model_state_dict": weights, "fusion_model_state_dict": {}}, here / "public.pt")
    with pytest.raises(UserError, match="a training cannot go on from it; pretrain begins with them"):
        train("resume", "public.pt", name="another")
    assert not folder.with_name("another").exists()


def test_a_training_that_cannot_begin_leaves_no_folder(here):
    with pytest.raises(UserError, match="pretrain or network.init 'none.pt': no such file"):
        train("pretrain", "none.pt")
    assert not Path("exp/clip_ucf/ViT-B/32/ucf101/now").exists()
    shutil.rmtree("exp")
    Path("exp").touch()
    with pytest.raises(UserError, match="exp/clip_ucf/ViT-B/32/ucf101/now: "):
        train()


def test_pictures_of_another_size_than_the_weights_take_are_refused_by_their_key(here):
    write_clip(here / "checkpoints/ViT-B-16.pt", **SIZES)
    with pytest.raises(UserError, match="data.input_size 224: the network takes pictures of 32x32 alone"):
        run_actionclip.main([*words_of(LINES[3]), "data.workers", "0"])


def test_several_gpus_start_the_same_words_by_torchrun_with_the_name_of_the_folder(here, monkeypatch):
    has_gpus(monkeypatch, 2)
    monkeypatch.setattr("utils.launch.choose_devices", matching_form.choose_devices)
    started = []
    monkeypatch.setattr("utils.launch.run_torchrun", lambda *arguments: started.append(arguments) or 0)
    words = ["--config", "configs/ucf101/ucf_train.yaml", "data.batch_size", "8"]
    assert run_actionclip.main(words) == 0
    (number, (_, *again)), = started
    assert number == 2 and again[:-1] == [*words, "--log_time"] and len(again[-1]) == len("20260131_120000")
    assert run_actionclip.build_parser().parse_args(again).pairs == words[2:]


def test_under_torchrun_the_folder_must_be_named_and_nothing_is_tested(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "0")
    with pytest.raises(UserError, match="--log_time is missing"):
        run_asked(read(tmp_path), False, None, lambda command: 0)
    for only_test, words in ((True, ()), (False, ("solver.evaluate", "True"))):
        with pytest.raises(UserError, match="test without it"):
            run_asked(read(tmp_path, LISTS, *words), only_test, "now", lambda command: 0)


@pytest.mark.soak
def test_two_processes_train_by_the_same_words(here):
    words = ["--config", "configs/ucf101/ucf_train.yaml", *SMALL, "--log_time", "now"]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                           "tools/run_actionclip.py", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout and (here / "exp/clip_ucf/ViT-B/16/ucf101/now/last_model.pt").exists()


@pytest.mark.soak
def test_the_four_command_lines_as_they_stand(here, monkeypatch):
    """At full size, by a made CLIP in the place of the downloaded one; fifty epochs of one batch would last hours."""
    write_clip(here / "checkpoints/ViT-B-16.pt", 224, patch_size=16)
    monkeypatch.setattr("utils.matching.downloaded", lambda *_: here / "checkpoints/ViT-B-16.pt")
    assert run_actionclip.main([*words_of(LINES[0]), "solver.epochs", "1"]) == 0
    folder, = (here / "exp/clip_ucf/ViT-B/16/ucf101").iterdir()
    shutil.copy(folder / "model_best.pt", here / "checkpoints/k400_vit16_8f.pt")
    for line in LINES[1:]:
        assert run_actionclip.main(words_of(line)) == 0
    for name in ("exp", "checkpoints"):      # gigabytes
        shutil.rmtree(here / name)
