"""tools/run_net.py: configurations in SlowFast's form, and the three command lines of TimeSformer's users."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media_files import write_media

import timesformer_main
from datatools.errors import UserError
from models.timesformer import TimeSformer
from models.timesformer_reference import IMAGENET
from tools import run_net
from utils import slowfast_form
from utils.run_folder import BEST, LAST
from utils.settings import FitSettings, LaunchSettings
from utils.slowfast_form import test_command as to_test
from utils.slowfast_form import training_command as to_train
from utils.slowfast_keys import FIXED, KEYS, UNUSED, UNUSED_SECTIONS, in_keys, read_configuration

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted([*ROOT.glob("configs/Kinetics/*.yaml"), *ROOT.glob("configs/SSv2/*.yaml")])
LINES = [line.split() for line in (
    "--cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml DATA.PATH_TO_DATA_DIR data/kinetics400_tiny/",
    "--cfg configs/Kinetics/TimeSformer_divST_8x32_224.yaml DATA.PATH_TO_DATA_DIR data/kinetics400_tiny/ NUM_GPUS 1 "
    "TRAIN.BATCH_SIZE 6 TRAIN.CHECKPOINT_FILE_PATH checkpoints/X.pyth TRAIN.FINETUNE True",
    "--cfg configs/Kinetics/TimeSformer_divST_8x32_224_TEST.yaml DATA.PATH_TO_DATA_DIR data/kinetics400_tiny/ "
    "TEST.CHECKPOINT_FILE_PATH checkpoints/X.pyth TRAIN.ENABLE False")]
SIZES = {"image_size": 32, "patch_size": 16, "width": 64, "depth": 2, "heads": 1}
SMALL = ("NETWORK.WIDTH 64 NETWORK.DEPTH 2 NETWORK.HEADS 1 SOLVER.MAX_EPOCH 1 DATA.TRAIN_CROP_SIZE 32 "
         "DATA.TEST_CROP_SIZE 32 DATA_LOADER.NUM_WORKERS 0").split() + ["DATA.TRAIN_JITTER_SCALES", "[36, 45]"]
# A published file with all its keys, and more of those that users have.
PUBLISHED = """
TRAIN:
  ENABLE: True
  DATASET: ssv2
  BATCH_SIZE: 8
  EVAL_PERIOD: 5
  CHECKPOINT_PERIOD: 5
  AUTO_RESUME: True
DATA:
  PATH_TO_DATA_DIR: " /path/to/ssv2/annotations/"
  PATH_PREFIX: "/path/to/ssv2/frames/"
  NUM_FRAMES: 8
  TRAIN_JITTER_SCALES: [256, 320]
  TRAIN_CROP_SIZE: 224
  TEST_CROP_SIZE: 224
  INPUT_CHANNEL_NUM: [3]
  INV_UNIFORM_SAMPLE: True
  RANDOM_FLIP: False
  REVERSE_INPUT_CHANNEL: True
  MEAN: [0.45, 0.45, 0.45]
TIMESFORMER:
  ATTENTION_TYPE: 'divided_space_time'
SOLVER:
  BASE_LR: 5e-3
  LR_POLICY: steps_with_relative_lrs
  STEPS: [0, 11, 14]
  LRS: [1, 1e-1, 0.01]
  MAX_EPOCH: 15
  MOMENTUM: 0.9
  WEIGHT_DECAY: 1e-4
  WARMUP_EPOCHS: 0.0
  OPTIMIZING_METHOD: sgd
MODEL:
  MODEL_NAME: vit_base_patch16_224
  NUM_CLASSES: 174
  ARCH: vit
  LOSS_FUNC: cross_entropy
  DROPOUT_RATE: 0.5
TEST:
  ENABLE: True
  DATASET: ssv2
  BATCH_SIZE: 4
  NUM_ENSEMBLE_VIEWS: 1
  NUM_SPATIAL_CROPS: 3
  CHECKPOINT_FILE_PATH: 'checkpoints/X.pyth'
DATA_LOADER:
  NUM_WORKERS: 4
  PIN_MEMORY: True
TENSORBOARD:
  MODEL_VIS: {GRAD_CAM: {LAYER_LIST: []}}
NUM_GPUS: 8
NUM_SHARDS: 1
RNG_SEED: 0
OUTPUT_DIR: .
"""


def read(tmp_path: Path, text: str = "", *words: str):
    """A configuration of a YAML text and words of the command line."""
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    return read_configuration(file, list(words))


def has_gpus(monkeypatch, number: int) -> None:
    devices = [torch.device("cuda", index) for index in range(number)] or [torch.device("cpu")]
    monkeypatch.setattr(slowfast_form, "choose_devices", lambda gpus: devices)


# ---------------------------------------------------------------- what a configuration asks for


def test_a_published_file_becomes_the_published_training_and_test(tmp_path, monkeypatch):
    has_gpus(monkeypatch, 0)
    asked = read(tmp_path, PUBLISHED)
    command = to_train(asked)
    assert command.fit == FitSettings(lr=0.005, batch_size=8, accumulation_step=8, max_epoch=15, schedule="steps",
                                      decay_epochs=(11, 14), seed=0, num_workers=4, save_prefix=Path("."), gpus="cpu")
    found = command.recognition
    assert (found.data_root, found.videos_root) == (Path("/path/to/ssv2/annotations"), Path("/path/to/ssv2/frames"))
    assert (found.num_frames, found.sampling_rate, found.image_size, found.short_side) == (8, None, 224, (256, 320))
    assert (found.segments, found.flip, found.optimizer, found.momentum) == (True, False, "sgd", 0.9)
    assert (found.weight_decay, found.pretrained) == (1e-4, "auto")
    assert command.sizes == {"attention": "divided_space_time", "patch_size": 16, "classes": 174, "bgr": True}
    test = to_test(asked)
    assert (test.recognise.weights, test.recognise.views, test.recognise.crops) == (Path("checkpoints/X.pyth"), 1, 3)
    assert (test.fit.batch_size, test.sizes, test.recognition.segments) == (4, {"bgr": True}, True)
    told = " ".join(slowfast_form.remarks(asked))
    for name in ("TRAIN.EVAL_PERIOD (every epoch is validated)", "MODEL.DROPOUT_RATE", "TENSORBOARD", "PIN_MEMORY"):
        assert name in told


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_the_projects_configurations_hold_only_keys_that_count_and_say_that_nothing_is_measured(file):
    asked = read_configuration(file, [])
    assert not asked.unused
    assert "Not measured here" in file.read_text() and f"--cfg {file.relative_to(ROOT)} " in file.read_text()
    if asked.values["TRAIN.ENABLE"]:
        assert to_train(asked).fit.accumulation_step == 8


def test_what_a_configuration_leaves_out_is_as_in_the_entry_script(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr("utils.recognition_command.run", lambda network, command: commands.append(command) or 0)
    timesformer_main.main(["--gpus", "cpu", "--save_prefix", "work_dir/a"])
    has_gpus(monkeypatch, 0)
    found = to_train(read(tmp_path))
    for part in ("fit", "recognition", "launch", "recognise", "sizes"):
        assert getattr(found, part) == getattr(commands[0], part)


def test_yaml_and_command_line_give_the_same_command(tmp_path):
    words = ("TRAIN.BATCH_SIZE", "6", "SOLVER.WEIGHT_DECAY", "1e-4", "DATA.TRAIN_JITTER_SCALES", "[256, 320]",
             "TRAIN.ENABLE", "False", "OUTPUT_DIR", "runs/a: b #1=2", "MODEL.NUM_CLASSES", "9", "LOG_PERIOD", "3",
             "TRAIN.DATASET", "ssv2", "SOLVER.STEPS", "[0]", "SOLVER.LRS", "[1]")
    text = ("TRAIN: {BATCH_SIZE: 6, ENABLE: False, DATASET: ssv2}\nSOLVER: {WEIGHT_DECAY: 1e-4, STEPS: [0], LRS: [1]}\n"
            "DATA: {TRAIN_JITTER_SCALES: [256, 320]}\nOUTPUT_DIR: 'runs/a: b #1=2'\nMODEL: {NUM_CLASSES: 9}\n"
            "LOG_PERIOD: 3\n")
    in_yaml, typed = read(tmp_path, text), read(tmp_path, "", *words)
    assert in_yaml.values == typed.values and len(typed.values) == 10
    assert to_train(in_yaml) == to_train(typed)


def test_the_command_line_wins_and_its_last_word_too(tmp_path):
    text = "TRAIN: {BATCH_SIZE: 8, DATASET: ssv2, CHECKPOINT_FILE_PATH: x}\nTIMESFORMER: {PRETRAINED_MODEL: vit.pth}\n"
    found = to_train(read(tmp_path, text, "TRAIN.BATCH_SIZE", "4", "TRAIN.BATCH_SIZE", "6", "TRAIN.DATASET", "kinetics",
                         "TIMESFORMER.PRETRAINED_MODEL", "", "TRAIN.CHECKPOINT_FILE_PATH", ""))
    assert (found.fit.batch_size, found.recognition.segments, found.recognition.flip) == (6, None, None)
    assert (found.recognition.pretrained, found.fit.resume, found.sizes) == ("auto", None, {})


@pytest.mark.parametrize("batch, together, expected", [(8, 64, 8), (6, 64, 10), (64, 64, 1), (100, 64, 1), (8, 16, 2)])
def test_gradients_are_added_up_to_the_global_batch(tmp_path, batch, together, expected):
    words = ("TRAIN.BATCH_SIZE", str(batch), "GLOBAL_BATCH_SIZE", str(together))
    assert to_train(read(tmp_path, "", *words)).fit.accumulation_step == expected


def test_a_yamls_gpus_are_at_most_so_many_and_typed_ones_exactly(tmp_path, monkeypatch):
    for there, in_yaml, gpus in ((0, 8, "cpu"), (1, 8, "0"), (4, 8, "0,1,2,3"), (4, 2, "0,1"), (4, 0, "cpu")):
        has_gpus(monkeypatch, there)
        command = to_train(read(tmp_path, f"NUM_GPUS: {in_yaml}\n"))
        assert command.fit.gpus == gpus == to_test(read(tmp_path, f"NUM_GPUS: {in_yaml}\n", "TEST.CHECKPOINT_FILE_PATH",
                                                       "x")).fit.gpus
        assert command.launch == LaunchSettings(strategy="ddp" if "," in gpus else "dp")
    for there, typed in ((0, 2), (1, 2), (4, 5)):
        has_gpus(monkeypatch, there)
        with pytest.raises(UserError, match=f"NUM_GPUS {typed}: {there} found here"):
            to_train(read(tmp_path, "NUM_GPUS: 1\n", "NUM_GPUS", str(typed)))
    has_gpus(monkeypatch, 0)
    for typed, told in (("1", ", there is no GPU"), ("0", "")):
        asked = read(tmp_path, "", "NUM_GPUS", typed)
        assert to_train(asked).fit.gpus == "cpu"
        assert slowfast_form.remarks(asked) == [f"NUM_GPUS {typed}: computes on the CPU{told}"]


def test_how_a_training_begins(tmp_path, monkeypatch):
    """With a file's weights, from a checkpoint, or with the training that is in the folder."""
    monkeypatch.chdir(tmp_path)
    given = ("TRAIN.CHECKPOINT_FILE_PATH", "x.pyth")
    fine = to_train(read(tmp_path, "", *given, "TRAIN.FINETUNE", "True"))
    assert (fine.recognition.pretrained, fine.fit.resume) == ("x.pyth", None)
    assert fine.fit.save_prefix == Path("work_dir/a_finetune")
    assert to_train(read(tmp_path, "", *given)).fit.resume == "x.pyth"
    plain = to_train(read(tmp_path)).fit
    assert plain.resume is None and plain.save_prefix == Path("work_dir/a")
    folder = tmp_path / "work_dir/a"
    folder.mkdir(parents=True)
    (folder / LAST).touch()
    (folder / "settings.json").write_text('{"pretrained": "auto"}')
    assert to_train(read(tmp_path, "", *given)).fit.resume == "auto"
    assert to_train(read(tmp_path, "", "TRAIN.AUTO_RESUME", "False")).fit.resume is None
    with pytest.raises(UserError, match="began with the weights auto, this one would with none. Give another"):
        to_train(read(tmp_path, "", "TIMESFORMER.PRETRAINED_MODEL", "none"))
    with pytest.raises(UserError, match="TRAIN.FINETUNE True needs TRAIN.CHECKPOINT_FILE_PATH"):
        to_train(read(tmp_path, "TRAIN: {FINETUNE: True}\n"))
    assert to_test(read(tmp_path)).recognise.weights == Path("work_dir/a", LAST)
    with pytest.raises(UserError, match="no training in it to test. Give TEST.CHECKPOINT_FILE_PATH"):
        to_test(read(tmp_path, "OUTPUT_DIR: elsewhere\n"))


def test_optimiser_and_schedule(tmp_path):
    words = ("SOLVER.OPTIMIZING_METHOD", "adam", "SOLVER.LR_POLICY", "cosine", "SOLVER.WARMUP_EPOCHS", "2.0")
    asked = read(tmp_path, "", *words)
    command = to_train(asked)
    assert (command.recognition.optimizer, command.fit.schedule, command.fit.warmup_epochs) == ("adamw", "cosine", 2)
    assert "AdamW is taken" in slowfast_form.remarks(asked)[0]
    for text in ("SOLVER: {STEPS: [0, 5]}", "SOLVER: {LRS: [1, 0.1]}", "SOLVER: {STEPS: [0, 5], LRS: [1]}"):
        with pytest.raises(UserError, match="SOLVER.STEPS and SOLVER.LRS: expected both, of the same length"):
            to_train(read(tmp_path, text))


# ---------------------------------------------------------------- what is refused


def test_a_typo_offers_the_nearest_key_in_yaml_and_on_the_command_line(tmp_path):
    with pytest.raises(UserError, match=r"a.yaml: 'TRAIN.BATCHSIZE' is no key .* Did you mean TRAIN.BATCH_SIZE\?"):
        read(tmp_path, "TRAIN: {BATCHSIZE: 8}\n")
    for typed, meant in (("TIMESFORMER.ATENTION_TYPE", "TIMESFORMER.ATTENTION_TYPE"), ("num_gpus", "NUM_GPUS"),
                         ("TRAIN.BATCH_SIZE=6", "TRAIN.BATCH_SIZE"), ("DATA.MEEN", "DATA.MEAN")):
        with pytest.raises(UserError, match=rf"command line: '{typed}' is no key .* Did you mean {meant}\?"):
            read(tmp_path, "", typed, "1")


@pytest.mark.parametrize("words", [("TRAIN.BATCH_SIZE",), ("TRAIN.BATCH_SIZE", "NUM_GPUS", "1"),
                                   ("NUM_GPUS", "1", "TRAIN.BATCH_SIZE")])
def test_a_key_without_its_value_is_named(tmp_path, words):
    with pytest.raises(UserError, match="command line: TRAIN.BATCH_SIZE has no value. Expected pairs KEY VALUE"):
        read(tmp_path, "", *words)


@pytest.mark.parametrize("pair, message", [
    ("TRAIN.ENABLE 1", "found 1, expected True or False"), ("TRAIN.BATCH_SIZE 0", "found '0', expected a whole number"),
    ("TRAIN.BATCH_SIZE 1.5", "whole number"), ("TRAIN.BATCH_SIZE True", "found True, expected a number"),
    ("SOLVER.BASE_LR fast", "found 'fast', expected a number"), ("SOLVER.BASE_LR .nan", "nan"),
    ("TEST.NUM_SPATIAL_CROPS 2", "found 2, expected 1 or 3"), ("TRAIN.DATASET ucf101", "expected kinetics or ssv2"),
    ("DATA.TRAIN_JITTER_SCALES [256]", "expected a list of 2 numbers"), ("SOLVER.STEPS [11,14]", "ascend from 0"),
    ("SOLVER.LRS [1,0.5]", "expected a tenth at each step"), ("SOLVER.OPTIMIZING_METHOD lamb", "sgd or adam or adamw"),
    ("SOLVER.LR_POLICY exp", "expected steps_with_relative_lrs or cosine"), ("SOLVER.WARMUP_EPOCHS 0.5", "whole"),
    ("MODEL.MODEL_NAME SlowFast", "expected a base ViT such as vit_base_patch16_224"), ("NUM_GPUS -1", "from 0"),
    ("MODEL.NUM_CLASSES [", "no valid YAML"), ("NETWORK.WIDTH 1e9", "up to 16384"),
    ("OUTPUT_DIR " + "x" * 300, "no path"), ("RNG_SEED &a", "found an anchor")])
def test_a_value_that_no_training_can_take_is_refused_with_its_key(tmp_path, pair, message):
    name, value = pair.split(" ")
    with pytest.raises(UserError, match=rf"^command line: {name}: .*{message}"):
        read(tmp_path, "", name, value)


WRONG = {"DATA.MEAN": "[0.5, 0.5, 0.5]", "DATA.STD": "0.2", "DATA.TARGET_FPS": "25", "DATA.PATH_LABEL_SEPARATOR": ";",
         "DATA.ENSEMBLE_METHOD": "max", "DATA.AUTO_AUGMENT": "rand", "DATA.RE_PROB": "0.25", "MODEL.ARCH": "slowfast",
         "DATA.COLOR_JITTER": "0.4", "MODEL.LOSS_FUNC": "bce", "SOLVER.NESTEROV": "False", "SOLVER.DAMPENING": "0.1",
         "SOLVER.COSINE_END_LR": "1e-5", "TRAIN.CHECKPOINT_TYPE": "caffe2", "TEST.CHECKPOINT_TYPE": "caffe2",
         "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": "[backbone]", "NUM_SHARDS": "2", "SHARD_ID": "1"}


def test_sizes_of_which_no_network_can_be_made_are_refused_in_keys(here):
    with pytest.raises(UserError, match="width 64 one of heads 5.* come from the sections DATA, MODEL and NETWORK"):
        run_net.main([*LINES[0], *SMALL, "NETWORK.HEADS", "5"])


@pytest.mark.parametrize("name", FIXED)
def test_what_would_change_the_result_and_is_not_there_is_refused(tmp_path, name):
    wanted, remedy = FIXED[name]
    section, _, key = name.rpartition(".")
    for value in (json.dumps(wanted), WRONG.get(name, "True")):
        text = f"{section}: {{{key}: {value}}}\n" if section else f"{key}: {value}\n"
        if value == json.dumps(wanted):
            assert not read(tmp_path, text).unused
            continue
        for place, arguments in (("a.yaml", (text,)), ("command line", ("", name, value))):
            with pytest.raises(UserError, match=f"{place}: {name}: found .*expected .*{remedy}"):
                read(tmp_path, *arguments)


@pytest.mark.parametrize("text, message", [
    ("TRAIN:\n\tENABLE: True\n", r"no valid YAML \(.*line 2"), ("TRAIN: [", "no valid YAML"), ("- 1\n", "found"),
    ("TRAIN: 8\n", "'TRAIN' is no key"), ("NUM_GPUS: {A: 1}\n", "'NUM_GPUS.A' is no key"),
    ("A: &a [1]\nB: *a\n", "anchor"), ("OUTPUT_DIR: 7\n", "OUTPUT_DIR: found 7, expected text"),
    ("TRAIN: {ENABLE: True, ENABLE: False}\n", "a second time")])
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, message):
    with pytest.raises(UserError, match=rf"a.yaml: .*{message}"):
        read(tmp_path, text)


def test_a_missing_file_is_named_and_the_command_needs_one(tmp_path):
    with pytest.raises(UserError, match="none.yaml: no such configuration. Those of the project lie in configs/"):
        run_net.main(["--cfg", str(tmp_path / "none.yaml")])
    with pytest.raises(UserError, match="--cfg"):
        run_net.main(["TRAIN.BATCH_SIZE", "6"])
    with pytest.raises(UserError, match="nothing to do: expected TRAIN.ENABLE True or TEST.ENABLE True"):
        run_net.main(["--cfg", str(CONFIGS[0]), "TRAIN.ENABLE", "False", "TEST.ENABLE", "False"])


def test_help_has_a_line_for_each_key(capsys):
    with pytest.raises(SystemExit):
        run_net.main(["--help"])
    keys = capsys.readouterr().out.partition("keys (and what holds without them):")[2].splitlines()
    assert [line.split()[0] for line in keys if line] == list(KEYS)


def test_every_key_sets_something_that_there_is_and_stands_in_one_table():
    assert len({*KEYS, *FIXED, *UNUSED}) == len(KEYS) + len(FIXED) + len(UNUSED)
    assert not any(name.split(".")[0] in UNUSED_SECTIONS for name in (*KEYS, *UNUSED))
    command = to_train(read_configuration(CONFIGS[0], []))
    for name, key in KEYS.items():
        part, _, setting = key.to.partition(".")
        assert not part or part == "sizes" or hasattr(getattr(command, part), setting), name


def test_messages_name_keys_instead_of_flags():
    assert in_keys("give --sizes classes=7, or --lr 1, --batch_size 2") == (
        "give MODEL.NUM_CLASSES 7, or SOLVER.BASE_LR 1, TRAIN.BATCH_SIZE 2")
    assert in_keys("--batch_size 2, --image_size 5", "test") == "TEST.BATCH_SIZE 2, DATA.TEST_CROP_SIZE 5"
    assert in_keys("Go on with it: --resume auto; or choose another --save_prefix; or replace it: --overwrite.") == (
        "Go on with it: TRAIN.AUTO_RESUME True; or choose another OUTPUT_DIR; or replace it: empty the folder.")
    assert in_keys("--no_such_flag 1") == "--no_such_flag 1"


# ---------------------------------------------------------------- runs


def write_videos(folder: Path, number: int = 2) -> None:
    """Real files in three containers and two codecs: long, shorter than a clip, portrait, of odd times."""
    forms = [("a.mp4", (64, 48), 90, 30, "libx264"), ("b c.mkv", (48, 80), 5, 10, "libx264"),
             ("d.avi", (80, 48), 40, 25, "mpeg4"), ("e.mkv", (64, 64), 30, 15, "mpeg4")]
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name, (width, height), length, fps, codec in forms:
        pictures = [np.full((height, width, 3), rng.integers(256, size=3), np.uint8) for _ in range(length)]
        write_media(folder / name, pictures, fps=fps, codec=codec)
    for split in ("train", "val", "test"):
        lines = [f"{folder / name} {label % 2}\n" for label, (name, *_) in enumerate(forms)]
        (folder / f"{split}.csv").write_text("".join(lines if number > 2 else lines[:number]))


def write_checkpoint(path: Path, net: TimeSformer, classes: int, size: int) -> None:
    """A published file's form: the weights under model_state with a prefix, and the configuration as YAML."""
    path.parent.mkdir(exist_ok=True)
    weights = {f"model.{name}": value for name, value in net.state_dict().items()}
    cfg = (f"DATA: {{NUM_FRAMES: 8, SAMPLING_RATE: 32, TRAIN_CROP_SIZE: {size}, TEST_CROP_SIZE: {size}}}\n"
           f"MODEL: {{NUM_CLASSES: {classes}}}\nTIMESFORMER: {{ATTENTION_TYPE: divided_space_time}}\n")
    torch.save({"epoch": 3, "optimizer_state": {}, "model_state": weights, "cfg": cfg}, path)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory as the command lines expect it, with small videos and small weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    write_videos(tmp_path / "data/kinetics400_tiny", 4)
    torch.manual_seed(0)
    write_checkpoint(tmp_path / "checkpoints/X.pyth", TimeSformer(**SIZES, classes=7), 7, 32)
    monkeypatch.setattr("utils.recognition.draw", lambda *_: None)
    monkeypatch.setattr("utils.recognise.confusion_picture", lambda *_: None)
    return tmp_path


def accuracies(capsys) -> tuple[float, float]:
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result["top1"], result["top5"]


def test_the_three_command_lines_one_after_the_other(here, capsys):
    small = [*SMALL, "GLOBAL_BATCH_SIZE", "4"]
    assert run_net.main([*LINES[0], *small]) == 0
    assert "begins with random weights" in capsys.readouterr().out
    assert run_net.main([*LINES[1], *small]) == 0
    told = capsys.readouterr().out
    assert "NUM_GPUS 1: computes on the CPU" in told or torch.cuda.is_available()
    assert "begins with the weights of checkpoints/X.pyth" in told
    assert "head.weight: left out, the file's is for 7 classes and the network has 400; begins anew" in told
    assert "done: best score" in told
    for name in ("", "_finetune"):
        assert {BEST, LAST} <= set(os.listdir(here / f"work_dir/TimeSformer_divST_8x32_224{name}"))
    assert run_net.main([*LINES[2], "DATA.TEST_CROP_SIZE", "32", "DATA_LOADER.NUM_WORKERS", "0"]) == 0
    found = accuracies(capsys)
    assert timesformer_main.main(["--data_root", "data/kinetics400_tiny", "--weights", "checkpoints/X.pyth"]) == 0
    assert accuracies(capsys) == found
    assert {path.name for path in here.iterdir()} == {"configs", "tools", "data", "checkpoints", "work_dir"}


def test_the_training_is_followed_by_the_test_and_a_second_run_goes_on(here, capsys):
    line = [*LINES[0], *SMALL, "OUTPUT_DIR", "out", "TEST.ENABLE", "True", "MODEL.NUM_CLASSES", "2"]
    assert run_net.main(line) == 0
    result = json.loads((here / "out/test.json").read_text())
    assert (result["videos"], result["crops"], result["weights"]) == (4, 3, f"out/{LAST}")
    capsys.readouterr()
    assert run_net.main([*line, "TEST.ENABLE", "False"]) == 0
    assert f"resumed out/{LAST} after epoch 0" in capsys.readouterr().out
    with pytest.raises(UserError, match="Go on with it: TRAIN.AUTO_RESUME True; or choose another OUTPUT_DIR; or"):
        run_net.main([*line, "TRAIN.AUTO_RESUME", "False"])
    with pytest.raises(UserError, match=r"other settings.\n  SOLVER.BASE_LR: 0.005 then, 0.5 now"):
        run_net.main([*line, "SOLVER.BASE_LR", "0.5"])


def test_a_head_for_other_classes_than_the_lists_is_refused_before_the_first_step(here):
    (here / "data/kinetics400_tiny/classes.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match="the network's head has 400. Expected as many: give MODEL.NUM_CLASSES 2,"):
        run_net.main([*LINES[0], *SMALL])
    assert not (here / "work_dir").exists()


def test_where_imagenets_weights_cannot_be_had_the_message_names_the_key_that_goes_on(here, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    monkeypatch.setattr("utils.recognition.imagenet_start", lambda *_: IMAGENET)      # though the network is small
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(UserError, match="cannot be downloaded .*: TIMESFORMER.PRETRAINED_MODEL none") as caught:
        run_net.main([*LINES[0], *SMALL])
    assert "--" not in str(caught.value)
    assert run_net.main([*LINES[0], *SMALL, "TIMESFORMER.PRETRAINED_MODEL", "none"]) == 0


def test_under_torchrun_only_the_training_runs(here, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "0")
    ran = []
    asked = read_configuration(CONFIGS[0], [])
    assert asked.values["TEST.ENABLE"]
    assert slowfast_form.run_phases(asked, lambda command: ran.append(command) or 0) == 0
    assert [command.recognise.weights for command in ran] == [None]
    with pytest.raises(UserError, match="torchrun is for trainings; test without it"):
        slowfast_form.run_phases(read_configuration(CONFIGS[0], ["TRAIN.ENABLE", "False"]), ran.append)


def test_several_gpus_start_the_same_words_by_torchrun_once_for_each(here, monkeypatch):
    has_gpus(monkeypatch, 2)
    monkeypatch.setattr("utils.launch.choose_devices", slowfast_form.choose_devices)
    started = []
    monkeypatch.setattr("utils.launch.run_torchrun", lambda *arguments: started.append(arguments) or 0)
    words = [*LINES[0], "NUM_GPUS", "2"]
    assert run_net.main(words) == 0
    assert started == [(2, [sys.argv[0], *words])]


@pytest.mark.soak
def test_two_processes_train_by_the_same_words(here):
    words = [*LINES[0], *SMALL, "TEST.ENABLE", "True", "MODEL.NUM_CLASSES", "2"]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                           "tools/run_net.py", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout and "of test.csv" not in done.stdout


@pytest.mark.soak
def test_the_three_command_lines_at_full_size(here):
    """Base networks on one video a list; a made ViT-B/16 stands for ImageNet's."""
    for split in ("train", "val", "test"):
        file = here / f"data/kinetics400_tiny/{split}.csv"
        file.write_text(file.read_text().splitlines()[0] + "\n")
    cache = here / "torch/hub/checkpoints"
    cache.mkdir(parents=True)
    torch.save(TimeSformer(attention="space_only", classes=1000).state_dict(), cache / IMAGENET.rpartition("/")[2])
    write_checkpoint(here / "checkpoints/X.pyth", TimeSformer(), 400, 224)
    for line in LINES:
        done = subprocess.run([sys.executable, "tools/run_net.py", *line], capture_output=True, text=True,
                              env={**os.environ, "TORCH_HOME": str(here / "torch")})
        assert done.returncode == 0, done.stderr
