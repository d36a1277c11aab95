"""Commands as they are typed: closed or full streams, files that are none, outputs that are somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import small_flags, train_small

from benchmarks.reliability.limits import time_limit
from datatools.driver import Options, inspect
from datatools.errors import UserError
from datatools.files import append, locked, read_array
from datatools.layout import prepare_save_root
from datatools.manifest import Manifest
from datatools.paths import check_output
from datatools.submission import read_answers
from datatools.text_boxes import SplitBoxes
from utils.checkpoint import export, load_checkpoint, main
from utils.distributed import World
from utils.launch import number_of_processes
from utils.run_folder import LAST, LOCK, held

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).resolve().parents[1]


def refusal(function, *arguments) -> str:
    """The message of the UserError that a call raises, in time."""
    with time_limit(10), pytest.raises(UserError) as caught:
        function(*arguments)
    return str(caught.value)


def shell(command: str, folder: Path, **more) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=30, **more)


# ---------------------------------------------------------------- streams


@pytest.fixture
def fuse(tmp_path) -> str:
    """A command that writes o.csv in its folder, as it is typed."""
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("a_start.mp4,s,1\n")
    return f"{sys.executable} {ROOT}/fuse/fuse.py --inputs a.csv b.csv --output o.csv"


@pytest.mark.parametrize("streams, code, told", [
    (">/dev/full", 2, "stdout: cannot be written (No space left on device)"), (">&-", 2, ""), ("| true", 2, ""),
    (">&- 2>&- <&-", 2, ""), ("2>&-", 0, ""), ("2>/dev/full", 0, ""), ("<&-", 0, "")])
def test_what_cannot_be_printed_stops_no_work_and_is_told_by_the_exit_code(tmp_path, fuse, streams, code, told):
    ran = shell(f"{fuse} {streams}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert ran.returncode == code and told in ran.stderr and len(ran.stderr.splitlines()) <= 1
    assert (tmp_path / "o.csv").read_text() == "a_start.mp4,s,1.000\n"


def test_an_error_that_cannot_be_printed_keeps_its_exit_code(tmp_path, fuse):
    for flags in ("--nope", "--method stacked"):
        assert shell(f"{fuse} {flags} 2>/dev/full", tmp_path).returncode == 2
    assert shell(f"{fuse} --help >/dev/full", tmp_path).returncode == 2


CLOSED = """
import contextlib, os
from datatools.errors import run_command
def main():
    with open("mine.txt", "w") as file:
        for number in (0, 1, 2):
            with contextlib.suppress(OSError):
                os.write(number, b"from a library")
        file.write("mine")
run_command(main)
"""


def test_what_libraries_print_goes_into_no_file_where_the_streams_are_closed(tmp_path):
    (tmp_path / "script.py").write_text(CLOSED)
    shell(f"PYTHONPATH={ROOT} {sys.executable} script.py >&- 2>&- <&-", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("raised, code, told", [
    ("raise MemoryError", 2, "out of memory"),
    ("raise ImportError('libx.so: failed to map segment from shared object')", 2, "out of memory"),
    ("os.kill(os.getpid(), 2)", 130, "interrupted"),
    ("""
    try:
        os.kill(os.getpid(), 2)
    except BaseException:
        raise ValueError("a library failed") from None""", 130, "interrupted"),
])
def test_no_memory_and_ctrl_c_are_told_as_such_whatever_a_library_makes_of_them(tmp_path, raised, code, told):
    script = f"""import os
from datatools.errors import run_command
def main():
    {raised.strip()}
run_command(main)"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert ran.returncode == code and told in ran.stderr and len(ran.stderr.splitlines()) == 1


# ---------------------------------------------------------------- files that would be waited for, or harmed


def test_a_lock_that_is_no_file_is_refused_without_waiting_and_a_links_target_kept(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to("mine")
    for name in ("pipe", "link"):
        assert "expected the lock file" in refusal(locked(tmp_path / name, "busy").__enter__)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["log.txt", "log.jsonl", "settings.json", LAST, "validation.csv", LOCK])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_in_a_trainings_folder_is_told_before_any_work(tmp_path, name, make):
    make(tmp_path / name)
    assert name in refusal(held(tmp_path, World()).__enter__)


def test_a_file_in_place_of_the_curves_folder_is_kept(tmp_path):
    (tmp_path / "tensorboard").write_text("mine")
    assert "tensorboard: a file" in refusal(held(tmp_path, World()).__enter__)
    assert (tmp_path / "tensorboard").read_text() == "mine"


def test_a_pipe_in_a_data_set_is_told_without_waiting(tmp_path):
    for name in ("manifest.jsonl", "ocr_text_testB.json", "log.txt"):
        os.mkfifo(tmp_path / name)
    assert "a pipe" in refusal(Manifest, tmp_path)
    assert "a pipe" in refusal(SplitBoxes, tmp_path, "testB")
    assert "a pipe" in refusal(append, tmp_path / "log.txt", b"line")


@pytest.mark.parametrize("line", [
    '{"clip": 3, "stage": "audio", "status": "ok"}', '{"clip": [], "stage": {}, "status": 1}', "[1]", "3", "\0",
    "[" * 100_000, '{"clip": "a", "stage": "audio", "status": "ok", "source": [1]}'])
def test_a_line_that_is_no_entry_of_a_manifest_is_named(tmp_path, line):
    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    assert "manifest.jsonl, line 1: no entry" in refusal(Manifest, tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"source": [], "boxes": {}}', '{"source": [1, 2, "x"]}', "[" * 100_000, "3"])
def test_a_part_that_holds_no_text_boxes_is_named(tmp_path, text):
    parts = tmp_path / "ocr_text_testB.parts"
    parts.mkdir()
    (parts / "a_start.json").write_text(text)
    assert "a_start.json: " in refusal(SplitBoxes, tmp_path, "testB")


@pytest.mark.parametrize("of", ["folder", "clip"])
def test_a_link_from_the_processed_to_the_raw_clips_harms_none(tmp_path, of):
    raw, out = tmp_path / "raw", tmp_path / "out"
    (raw / "data_C").mkdir(parents=True)
    (raw / "data_C/a_start.mp4").write_bytes(b"raw")
    linked = "data_C" if of == "folder" else "data_C/a_start.mp4"
    (out / linked).parent.mkdir(parents=True)
    (out / linked).symlink_to(raw / linked)
    assert "is the raw clip" in refusal(prepare_save_root, raw, out, None)


def test_a_list_is_never_written_over_a_file_of_another_kind(tmp_path):
    for name in ("last.pth", "a_mfcc.npy", "preset.yaml", "labels.txt", "clip.mp4"):
        (tmp_path / name).write_text("mine")
        assert name in refusal(check_output, tmp_path / name, [], ".csv")
        assert check_output(tmp_path / f"new_{name}", [], ".csv") == tmp_path / f"new_{name}"
    (tmp_path / "old.CSV").write_text("old")
    (tmp_path / "empty").touch()
    for name in ("old.CSV", "empty"):
        assert check_output(tmp_path / name, [], ".csv") == tmp_path / name


def test_stdout_that_is_a_pipe_is_no_output(tmp_path, fuse):
    ran = shell(f"{fuse} --output /dev/stdout | cat; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert ran.returncode == 2 and "/dev/stdout: a pipe, expected the name of a file" in ran.stderr


def test_an_export_does_not_replace_its_source(tmp_path, capsys):
    path = tmp_path / "a.pth"
    path.write_text("weights")
    assert "is read and would be overwritten" in refusal(export, path, path)
    with pytest.raises(SystemExit):
        main(["export", "", str(path)])
    assert "argument source: it is empty" in capsys.readouterr().err and path.read_text() == "weights"


@pytest.mark.parametrize("content, told", [
    ({"callbacks": {}, "epoch": 3}, "found {'callbacks': a dict of 0, 'epoch': 3}"),
    ({"state_dict": {}, "epoch": 3}, "it holds no tensors"),
    ({"model": {}}, "it holds no tensors"),
    (torch.nn.Linear(1, 1), "it asks for 'torch.nn.modules.linear Linear', expected"),
    (b"lr: 1\nbatch_size: 3\nseed: 3\n", "it begins with b'lr: '")])
def test_a_file_of_another_project_is_told_by_what_it_holds(tmp_path, content, told):
    if isinstance(content, bytes):
        (tmp_path / "a.pth").write_bytes(content)
    else:
        torch.save(content, tmp_path / "a.pth")
    assert told in refusal(load_checkpoint, tmp_path / "a.pth")


def test_far_more_processes_than_cores_are_refused():
    assert "--processes 1024: expected at most" in refusal(number_of_processes, "cpu", 1024)


# ---------------------------------------------------------------- features


@pytest.mark.parametrize("make", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype("f8"), lambda a: a])
def test_an_array_is_read_whatever_its_order_of_bytes_and_axes(tmp_path, make):
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "a.npy", make(array))
    assert np.array_equal(read_array(tmp_path / "a.npy", (20, None)), array)


@pytest.mark.parametrize("array", [np.zeros((1, 3)), np.zeros((20, 3, 1)), np.zeros(()), np.full((20, 3), "a"),
                                   np.zeros((20, 3), complex)])
def test_an_array_of_another_shape_or_of_no_numbers_is_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert "expected (20, None) of numbers" in refusal(read_array, tmp_path / "a.npy", (20, None))


def test_a_feature_file_that_is_cut_off_while_it_is_read_is_an_error_and_kills_no_process(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((20, 10_000), np.float32))
    fromfile = np.fromfile

    def cut_then_read(*arguments, **more):
        os.truncate(tmp_path / "a.npy", 1000)
        return fromfile(*arguments, **more)

    monkeypatch.setattr(np, "fromfile", cut_then_read)
    with pytest.raises(ValueError):
        read_array(tmp_path / "a.npy", (20, None))


@pytest.fixture(scope="module")
def trained(shared_processed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train_small(small_flags(shared_processed, folder, "--max_epoch", 1))
    return folder / LAST


def infer(processed: Path, folder: Path, weights: Path) -> int:
    return train_small(small_flags(processed, folder, "--weights", weights))


def test_a_clip_that_cannot_be_answered_costs_its_own_answer_alone(processed, trained, tmp_path, capsys):
    names = ["test0000_start", "test0001_end", "=1_start", "nameless"]
    for name in names[2:]:
        for ending in ("_mfcc.npy", "_frames.npy"):
            source = processed / f"data_C/{names[0]}{ending}"
            (processed / f"data_C/{name}{ending}").write_bytes(source.read_bytes())
        (processed / f"ROIs/{name}.npy").write_bytes((processed / f"ROIs/{names[0]}.npy").read_bytes())
    (processed / "data_C/test0000_start_mfcc.npy").unlink()
    assert infer(processed, tmp_path, trained) == 1
    told = capsys.readouterr().err
    assert all(f"data_C/{name}: " in told for name in (names[0], *names[2:])) and "test0001" not in told
    assert set(read_answers(tmp_path / "submission.csv")) == {"test0001_end"}


def test_a_folder_without_a_clip_that_can_be_answered_is_one_error(processed, trained, tmp_path):
    for path in processed.glob("data_C/*_mfcc.npy"):
        path.write_bytes(b"\x93NUMPY")
    assert "no clip can be answered, 2 problems" in refusal(infer, processed, tmp_path, trained)
    assert not (tmp_path / "submission.csv").exists()


def test_an_inference_over_another_file_leaves_it_as_it_is(processed, trained, tmp_path):
    before = trained.read_bytes()
    other = trained.with_name("other.pth")
    other.write_bytes(before)
    flags = small_flags(processed, tmp_path, "--weights", trained, "--output")
    for output in (other, processed / "data_C/test0000_start_mfcc.npy"):
        content = output.read_bytes()
        assert output.name in refusal(train_small, [*flags, str(output)])
        assert output.read_bytes() == content


def test_the_status_of_a_data_set_whose_manifest_is_a_pipe_is_told(tmp_path):
    (tmp_path / "raw/data_C").mkdir(parents=True)
    (tmp_path / "raw/data_C/a_start.mp4").write_bytes(b"")
    os.mkfifo(tmp_path / "manifest.jsonl")
    assert "a pipe" in refusal(inspect, Options(tmp_path / "raw", tmp_path, ocr="rapidocr"), False)
