"""What a person types: numbers, paths, names and lists are answered, or refused with one message."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import avt_main
from benchmarks.reliability.limits import time_limit
from datatools.clips import ClipSet, check_features, unlabelled_clips
from datatools.errors import UserError
from datatools.files import array_is_whole, check_writable, save_text, write_atomic
from datatools.labels import read_labels, read_truth
from datatools.layout import Clip, recorded_text_detector, text_detector_path
from datatools.numbers import MOST_SEED, number, parse_number, parse_seconds
from datatools.paths import check_output, folder_below, name_problem, path_text, read_text
from datatools.submission import read_predictions, read_submission, write_answers, write_predictions, write_submission
from fuse.fuse import main as fuse
from models.avt_dist import AVTDist
from models.avtnet import AVTNet
from synth.make import main as make
from utils.cli import MATCHING_PARTS, RECOGNITION_PARTS, boundary_command, recognition_command
from utils.demo import build_parser as demo_parser
from utils.evaluate import main as evaluate
from utils.evaluation_inputs import read_inputs
from utils.memory import free_memory
from utils.networks import build_network

ROOT = Path(__file__).resolve().parents[1]
NO_NUMBERS = ["", " ", "nan", "-nan", "inf", "1e308", "1e999", "1_0", "٣", "１２", "0x10", "1:30", "9" * 5000, "1e",
              ".", "1 0", "1,5", "--1", "\x001", "1\n", "True"]
FORMULAS = ["=1+1_start", "+1_start", "-1_start", "@a_start", '"=1_start', "' =1_start", "＝1_start", "a;=1_start",
            "a, =1_start"]
STRANGE_NAMES = [*FORMULAS, "", " ", ".", "..", "a/b_start", "../a_start", "a\\b_start", "a\0_start", "\x1b[0m_start",
                 "a\u2028_start", "n" * 256]


def refusal(function, *arguments) -> str:
    """The message of the UserError that a call raises; in time, and without filling a screen."""
    with time_limit(10), pytest.raises(UserError) as caught:
        function(*arguments)
    assert len(str(caught.value)) < 5000
    return str(caught.value)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_text_that_python_alone_would_take_for_a_number_is_none(text):
    assert parse_seconds(text) is None
    with pytest.raises(ValueError, match="found .*expected a whole number from 0"):
        parse_number(text, int, low=0)


@pytest.mark.parametrize("text, value", [("0", 0), ("+3", 3), ("007", 7), (" 12\t", 12)])
def test_numbers_are_read(text, value):
    assert parse_number(text, int) == value == parse_seconds(text)


def test_a_zero_has_no_sign():
    assert f"{parse_seconds('-0.0'):.3f}" == "0.000"


@pytest.mark.parametrize("limits, right, wrong", [
    ({"low": 1}, "1", "0.999"), ({"above": 0}, "1e-9", "0"), ({"high": 5}, "5", "5.001"),
    ({"above": 0}, "1", "1e-400")])
def test_limits_are_kept(limits, right, wrong):
    assert parse_number(right, **limits) == float(right)
    with pytest.raises(ValueError, match="expected a number"):
        parse_number(wrong, **limits)


@pytest.mark.parametrize("seed", ["-1", "9" * 20, "1e3", "1_0"])
def test_a_seed_that_the_generators_cannot_take_is_refused_by_every_command(tmp_path, seed, capsys):
    with pytest.raises(UserError, match="--seed"):
        avt_main.main(["--data_root", str(tmp_path), "--save_prefix", str(tmp_path / "run"), f"--seed={seed}"])
    for parse in (demo_parser().parse_args, evaluate):
        with pytest.raises(SystemExit):
            parse([f"--seed={seed}"])
        assert "argument --seed: found" in capsys.readouterr().err
    with pytest.raises((SystemExit, UserError)):
        make(["--save_root", str(tmp_path / "raw"), f"--seed={seed}"])
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_trains():
    torch.manual_seed(number(int, low=0, high=MOST_SEED)(str(2**63 - 1)))


@pytest.mark.parametrize("flags, told", [
    (["--height", "1000000"], "--height 1000000"), (["--train", "1000000000"], "--train 1000000000"),
    (["--workers", "99999"], "--workers 99999"), (["--fps", "0"], "--fps 0")])
def test_made_clips_of_sizes_that_no_codec_or_memory_carries_are_refused(tmp_path, flags, told):
    assert told in refusal(make, ["--save_root", str(tmp_path / "raw"), *flags])
    assert not (tmp_path / "raw").exists()


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize("flag", ["--save_prefix", "--data_root", "--output", "--weights", "--label_files", "--folder",
                                  "--resume", "--pretrained", "--preset", "--train_folders"])
@pytest.mark.parametrize("value", ["", " ", "a\0b", "\udcff", "x" * 300])
def test_no_path_of_a_training_can_be_empty_or_impossible(flag, value):
    assert flag in refusal(boundary_command, "", [f"{flag}={value}"])


@pytest.mark.parametrize("folder", ["/etc", "..", "data_A/../../b", "../data_C"])
def test_a_folder_of_the_data_does_not_lead_out_of_it(folder):
    assert "below the data's root" in refusal(boundary_command, "", ["--folder", folder])


@pytest.mark.parametrize("folder, read", [("data_C/", "data_C"), ("./data_A//train", "data_A/train")])
def test_a_folder_is_taken_as_shells_complete_it(folder, read):
    assert folder_below(folder) == read


def test_a_flag_without_its_value_is_named():
    assert "--gpus: found '--', expected a value" in refusal(boundary_command, "", ["--gpus=--"])


@pytest.fixture
def strange(tmp_path) -> dict[str, Path]:
    """Paths that are no files to read or write."""
    paths = {"folder": tmp_path / "folder", "pipe": tmp_path / "pipe", "socket": tmp_path / "socket",
             "device": Path("/dev/zero"), "root": Path("/")}
    paths["folder"].mkdir()
    os.mkfifo(paths["pipe"])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(paths["socket"]))
    return paths


def test_only_regular_files_are_read_and_nothing_is_waited_for(strange):
    for name, path in strange.items():
        kind = {"root": "folder"}.get(name, name)
        for read in (read_labels, read_truth, read_submission, read_predictions):
            assert kind in refusal(read, path)
        assert kind in refusal(boundary_command, "", ["--preset", str(path)])


def test_large_and_foreign_texts_are_refused_with_the_remedy(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 1025)
    assert "too large" in refusal(read_text, path, "list", "Expected less.", 1024)
    path.write_text("a_start 1\n", encoding="utf-16")
    assert "not UTF-8" in refusal(read_labels, path) and "Save it as UTF-8" in refusal(read_labels, path)


@pytest.mark.parametrize("text", ["a_start 1\nb_end 2\n", "\ufeffa_start 1\r\nb_end 2", "a_start 1\rb_end 2\r"])
def test_every_kind_of_line_end_counts_alike(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    assert [(label.name, label.line) for label in read_labels(path)] == [("a_start", 1), ("b_end", 2)]


def test_a_line_separator_within_a_name_does_not_shift_the_line_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,seconds\na\u2028_start,1\nb_end,x\n", encoding="utf-8")
    assert "line 2: found 'a\\u2028_start,1'" in refusal(read_labels, path)
    assert "line 3: found 'b_end,x'" in refusal(read_labels, path)


def test_an_output_that_is_no_file_is_refused_and_left_as_it_is(strange, tmp_path):
    for name, path in strange.items():
        kind = path.stat().st_mode
        assert {"root": "folder"}.get(name, name) in refusal(check_output, path)
        with pytest.raises(UserError), write_atomic(path):
            raise AssertionError("nothing may be written")
        assert path.stat().st_mode == kind
    assert not list(tmp_path.rglob(".tmp-*")) and not list(Path("/dev").glob(".tmp-*"))


def test_a_fusion_refuses_its_output_before_it_reads_an_input(strange):
    for path in strange.values():
        assert "expected the name of a file" in refusal(fuse, ["--inputs", "none.csv", "--output", str(path)])


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link.csv", tmp_path / "there" / "target.csv"
    link.symlink_to("there/target.csv")       # to begin with, to nothing
    for text in ("one", "two"):
        save_text(link, text)
        assert link.is_symlink() and target.read_text() == text and len(list(tmp_path.rglob("*"))) == 3


def test_a_link_to_itself_is_refused(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for call in (check_output, read_labels):
        assert str(loop) in refusal(call, loop)
    assert "loop" in refusal(boundary_command, "", ["--save_prefix", str(loop)])


def test_a_file_where_a_folder_is_expected_is_left_as_it_is(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        assert str(file) in refusal(check_writable, folder)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("value", ["", " ", "a\0b"])
def test_paths_of_every_kind_go_through_the_gate(value):
    with pytest.raises(Exception, match="expected a path"):
        path_text(value)


# ---------------------------------------------------------------- names and lists


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_name_that_a_path_or_a_spreadsheet_would_obey_is_neither_read_nor_written(tmp_path, name):
    assert name_problem(name)
    quoted = '"' + name.replace('"', '""') + '"'
    texts = {"labels.csv": f"name,seconds\n{quoted},1\n", "submission.csv": f"{quoted},s,1\n",
             "predictions.csv": f"name,seconds\n{quoted},1\n"}
    for (file, text), read in zip(texts.items(), (read_labels, read_submission, read_predictions), strict=True):
        (tmp_path / file).write_text(text, encoding="utf-8", newline="")
        assert "line " in refusal(read, tmp_path / file)
    for write, content in ((write_answers, [(f"{name}.mp4", "s", 1.0)]), (write_predictions, {name: {"seconds": 1.0}})):
        refusal(write, tmp_path / "out.csv", content)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["a_start", "片頭 01_start", "[Sub] Show - 01_start", "a,b_start", "x.y+z_start"])
def test_usual_names_are_written_and_read_again(tmp_path, name):
    write_submission(tmp_path / "a.csv", {name: 1.5})
    assert read_submission(tmp_path / "a.csv") == {(f"{name}.mp4", "s"): 1.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_submission_holds_a_number_that_is_none(tmp_path, value):
    assert "a_start" in refusal(write_submission, tmp_path / "a.csv", {"a_start": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [*NO_NUMBERS[:-1], "86400.001", "-1"])
def test_no_list_takes_a_number_that_is_none(tmp_path, number):
    quoted = f'"{number}"'
    for file, text, read in (
        ("labels.csv", f"name,seconds\na_start,{quoted}\n", read_labels),
        ("submission.csv", f"a_start.mp4,s,{quoted}\n", read_submission),
    ):
        (tmp_path / file).write_text(text, encoding="utf-8", newline="")
        assert "line " in refusal(read, tmp_path / file)


@pytest.mark.parametrize("line", ["a" * 200_000 + ",s,1", '"a_start.mp4,s,1', '"a"_start.mp4,s,1', "a\0_start.mp4,s,1"])
def test_what_no_csv_holds_is_a_bad_line_beside_the_others(tmp_path, line):
    path = tmp_path / "a.csv"
    path.write_text(f"b_end.mp4,e,nan\n{line}\n", encoding="utf-8")
    told = refusal(read_submission, path)
    assert "line 1: found 'b_end.mp4,e,nan'" in told and "line 2: found " in told and len(told) < 600


def test_families_and_truth_of_an_evaluation_go_through_the_same_gates(tmp_path):
    files = {name: tmp_path / f"{name}.csv" for name in ("submission", "truth", "families")}
    files["submission"].write_text("a_start.mp4,s,1\n")
    files["truth"].write_text("name,seconds\na_start,1e308\n")
    files["families"].write_text("name,family\na_start,\x1b[31mred\n")
    assert "1e308" in refusal(read_inputs, [files["submission"]], files["truth"])
    files["truth"].write_text("name,seconds\na_start,2\n")
    assert "line 2" in refusal(read_inputs, [files["submission"]], files["truth"], files["families"])


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("text, told", [
    ("lr: false", "lr: found False, a switch, expected a value"),
    ("use_amp: 3", "use_amp: found 3, expected true or false"),
    ("test: false", "test: found False"),
    ("batchsize: 3", "Did you mean batch_size?"),
    ("help: true", "no flag"), ("preset: a.yaml", "no flag"), ("no-use_amp: true", "no flag"),
    ("lr: 1_0", "found '1_0'"), ("lr: .nan", "'.nan'"), ("lr: .inf", "'.inf'"), ("max_epoch: 0x10", "0x10"),
    ("max_epoch: 1:30", "1:30"), ("seed: -1", "-1"), ("lr: 1e300", "1e300"), ("seed: 3\nseed: 4", "second time"),
    ("network: {hidden: 3, hidden: 4}", "second time"),
    ("1: 2", "expected a name"), ("? [a]\n: b", "expected a name"), ("save_prefix: 2001-01-01", "timestamp"),
    ("lr: !!binary aGk=", "the tag"), ("lr: !!python/name:os.system", "the tag"), ("<<: {lr: 3}", "merge"),
    ("lr: [1, 2]", "expected one value"), ("train_folders: [--overwrite]", "dash"),
    ("train_folders: [[a]]", "plain values"),
    ("train_folders: [../..]", "below the data's root"), ("save_prefix: ''", "it is empty"),
    ('save_prefix: "\\UFFFFFFFF"', "no valid YAML"), ('save_prefix: "\\ud800"', "no valid YAML"),
    ("a: &x 1\nb: *x", "anchor"), ("lr: 1\n--- \nlr: 2", "no valid YAML"), ("lr", "found 'lr'"),
    ("network: 3", "found 3"), ("seed: " + "9" * 5000, "5,000 characters"),
    ("network: " + "[" * 3000 + "]" * 3000, "within each other"), ("{a: " * 3000, "within each other"),
    ("- " * 3000, "within each other"), ("#" * 300_000, "too large"),
])
def test_a_preset_that_hides_something_is_refused_by_its_place(tmp_path, text, told):
    preset = tmp_path / "preset.yaml"
    preset.write_text(text + "\n", encoding="utf-8")
    message = refusal(boundary_command, "", ["--preset", str(preset)])
    assert told in message and str(preset) in message and len(message) < 1000


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    assert "line 1: found an anchor" in refusal(boundary_command, "", ["--preset", str(tmp_path / "bomb.yaml")])


def test_every_preset_of_the_project_is_read():
    boundary = sorted((ROOT / "configs").glob("*avt*.yaml"))
    for preset in boundary:
        assert boundary_command("", ["--preset", str(preset)], if_normal=False).fit.lr in (0.0003, 0.002)
    for preset in {*(ROOT / "configs").glob("*.yaml")} - {*boundary}:
        parts = MATCHING_PARTS if preset.name.startswith("actionclip") else RECOGNITION_PARTS
        assert recognition_command("", ["--preset", str(preset)], parts).fit.lr in (0.001, 0.003)


# ---------------------------------------------------------------- networks' sizes


@pytest.mark.parametrize("sizes", [
    {"hidden": 100_000_000}, {"hidden": 10**400}, {"hidden": 16_384}, {"hidden": 0}, {"hidden": -1}, {"hidden": "64"},
    {"hidden": True}, {"hidden": [64]}, {"hidden": 1.5}, {"hidden": float("nan")}, {"hidden": None}, {"hidden": {}},
    {"text_channels": []}, {"text_channels": [8] * 10**6}, {"text_channels": [[8]]}, {"text_channels": [True, 4]},
    {"text_channels": [4] * 5}, {"text_channels": 5}, {"audio_channels": [8] * 4}, {"audio_channels": [16_384] * 4},
    {"frame_channels": [-1]}, {"frame_dropout": 2}, {"recurrent": "no"}, {"recurrent": 0}, {"unknown": 1}, {3: 4},
])
def test_sizes_that_make_no_sense_are_refused_before_they_take_memory(sizes):
    assert "AVTNet cannot be built so" in refusal(build_network, AVTNet, sizes)


@pytest.mark.parametrize("sizes", [{"dilations": [0]}, {"modality_dropout": 3}, {"channels": [1]}, {"gru": True}])
def test_sizes_that_a_network_could_only_fail_with_later_are_refused(sizes):
    assert "AVTDist cannot be built so" in refusal(build_network, AVTDist, sizes)


def test_counting_the_weights_first_changes_no_weight():
    sizes = {"channels": 8, "frame_channels": (4, 8), "text_channels": (4, 8), "sound_channels": 8, "dilations": (1,)}
    torch.manual_seed(3)
    plain = AVTDist(**sizes)
    torch.manual_seed(3)
    built = build_network(AVTDist, {name: list(s) if isinstance(s, tuple) else s for name, s in sizes.items()})
    for one, other in zip(plain.state_dict().values(), built.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_layers_without_end_are_refused_at_once():
    class Deep(torch.nn.Module):
        def __init__(self, layers: int = 2):
            super().__init__()
            self.stack = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(layers)))

    assert len(build_network(Deep, {"layers": 3}).stack) == 3
    assert "Deep cannot be built so" in refusal(build_network, Deep, {"layers": 10**9})


def test_the_free_memory_is_known_here():
    assert 2**20 < free_memory() < 2**50


def test_a_wrong_command_line_gives_one_message_and_nothing_in_the_folder(tmp_path):
    result = subprocess.run([sys.executable, ROOT / "fuse/fuse.py", "--output", ""], cwd=tmp_path, capture_output=True,
                            text=True)
    assert result.returncode == 2 and "--output" in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- files of the data


def npy(header: str) -> bytes:
    """A .npy file with this text as its header."""
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(80)


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", npy("{"), npy("(" * 60), npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10**30,)}"),
    npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**30}, 20)}}"),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (20, 1.5)}"),
    npy("{'descr': 'O', 'fortran_order': False, 'shape': (20, 1)}"), None])
def test_a_feature_file_that_is_none_is_named_whatever_its_header_says(tmp_path, content):
    clip = Clip("data_C", "a_start")
    (tmp_path / "data_C").mkdir()
    if content is None:
        os.mkfifo(clip.mfcc(tmp_path))       # nobody will ever write into it
    else:
        clip.mfcc(tmp_path).write_bytes(content)
    with time_limit(10):
        assert not array_is_whole(clip.mfcc(tmp_path), "float32", (20, None))
    assert "a_start_mfcc.npy: no readable .npy" in refusal(check_features, tmp_path, ClipSet([clip], None), ("mfcc",))


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", '{"name": 3}', "[" * 100_000, "9" * 5000, '"x"'])
def test_a_damaged_record_of_the_text_detector_is_named(tmp_path, content):
    text_detector_path(tmp_path).write_text(content)
    assert "ocr_text_detector.json" in refusal(recorded_text_detector, tmp_path)


def test_a_file_that_is_read_is_never_the_output(tmp_path):
    file, link = tmp_path / "labels.csv", tmp_path / "link.csv"
    file.write_text("name,seconds\n")
    link.symlink_to(file)
    for output in (file, link):
        assert "would be overwritten" in refusal(check_output, output, [file])
    assert check_output(tmp_path / "other.csv", [file, link])


def test_clips_with_names_that_a_submission_cannot_hold_are_refused_before_an_inference(tmp_path):
    (tmp_path / "data_C").mkdir()
    (tmp_path / "data_C" / "=1+1_start_mfcc.npy").write_bytes(b"")
    assert "as a formula" in refusal(unlabelled_clips, tmp_path, "data_C")
