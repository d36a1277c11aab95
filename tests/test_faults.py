"""Faults of the machine: a full disk, somebody else's folder, files that change, two runs at once.

docs/reliability.md states the outcome of each. Kills are in test_kills.py and test_engine.py.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from engine_helpers import at_step, equal, small_flags, train_small

from datatools import files, preprocess, text_extract
from datatools.errors import UserError, run_command
from datatools.files import locked
from datatools.layout import TRAIN
from fuse import fuse
from synth import make
from synth.plan import plan_clip
from synth.render import render_clip
from utils import extract_audio, extract_textROI, extract_video
from utils.checkpoint import load_checkpoint
from utils.log import Log
from utils.run_folder import BEST, LAST, LOCK, read_records

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).resolve().parents[1]
DISK_KB = 16_000
PAGE = 4096           # bytes; a tmpfs gives space by pages
NOBODY = 65534
SINGLE = {"audio": extract_audio.main, "video": extract_video.main, "text": text_extract.main,
          "text_roi": extract_textROI.main}


def ending(capsys, main, *words) -> tuple[int, str]:
    """A command's exit code, and what it printed since the last call; any exception of its own fails the test."""
    with pytest.raises(SystemExit) as left:
        run_command(lambda: main([str(word) for word in words]))
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return left.value.code, printed.out + printed.err


def content(folder: Path) -> dict[str, bytes]:
    """{name: bytes} of the files below a folder, but for those that say when and by whom they were written."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and "lock" not in path.name}


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith((".tmp", "avnet_saving"))]


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for index, (folder, name) in enumerate([("data_A/train", "a_start"), ("data_C", "b_end")]):
        (root / folder).mkdir(parents=True)
        render_clip(plan_clip(3, index, name[2], duration=8), root / folder / f"{name}.mp4")
    (root / TRAIN.label_files[0]).write_text("a_start 5\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def made(raw, tmp_path_factory) -> Path:
    """What one undisturbed pass makes of it, 1 fps videos too."""
    out = tmp_path_factory.mktemp("made") / "out"
    assert preprocess.main([*one_pass(raw, out), "--write_video"]) == 0
    return out


@pytest.fixture(scope="module")
def trained(shared_processed, tmp_path_factory) -> Path:
    """What an undisturbed training leaves."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train_small(small_flags(shared_processed, folder)) == 0
    return folder


def one_pass(raw: Path, out: Path) -> list[str]:
    return ["--data_root", str(raw), "--save_root", str(out), "--ocr", "rapidocr", "--workers", "1"]


def single(name: str, raw: Path, out: Path) -> list[str]:
    """The words of a single command."""
    return {"text": ["--data_root", str(out), "--ocr", "rapidocr", "--workers", "1"],
            "text_roi": ["--data_root", str(out)]}.get(
        name, ["--data_root", str(raw), "--save_root", str(out), "--workers", "1"])


# ---------------------------------------------------------------- two at once


def test_a_second_training_in_a_folder_is_refused_and_leaves_the_first_as_it_was(
        shared_processed, trained, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    ends = []

    def second() -> None:
        for more in ([], ["--resume", "auto"], ["--overwrite"], ["--folds"], ["--folds", "--overwrite"]):
            ends.append(ending(capsys, train_small, *small_flags(shared_processed, folder, *more)))

    at_step(monkeypatch, {(0, 3): second, (2, 1): second})
    assert train_small(small_flags(shared_processed, folder)) == 0
    assert len(ends) == 10
    for code, printed in ends:
        assert code == 2
        assert printed.count("error: ") == 1
        assert f"{folder}: another training works in it" in printed
        assert f"process {os.getpid()} of " in printed and "choose another --save_prefix" in printed
    assert equal(load_checkpoint(folder / LAST), load_checkpoint(trained / LAST))
    assert content(folder).keys() - {name for name in content(folder) if "tfevents" in name} == \
        content(trained).keys() - {name for name in content(trained) if "tfevents" in name}
    assert len(read_records(folder)) == len((folder / "log.jsonl").read_text().splitlines()) == 3


def test_the_folds_of_one_command_are_kept_from_another(shared_processed, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "folds"
    ends = []

    def second() -> None:
        if not ends:
            ends.append(ending(capsys, train_small, *small_flags(shared_processed, folder, "--folds", "--overwrite")))
            ends.append(ending(capsys, train_small, *small_flags(shared_processed, folder / "fold0", "--overwrite")))
            raise UserError("enough")

    at_step(monkeypatch, {(0, 1): second})
    assert ending(capsys, train_small, *small_flags(shared_processed, folder, "--folds"))[0] == 2
    (folds, told), (one, told_one) = ends
    assert folds == one == 2
    assert f"{folder}: another training works in it" in told
    assert f"{folder / 'fold0'}: another training works in it" in told_one


def test_a_folder_is_free_again_after_a_training_and_after_one_that_failed(
        shared_processed, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"

    def fail() -> None:
        raise UserError("this step fails")

    with monkeypatch.context() as patch:
        at_step(patch, {(1, 1): fail})
        code, printed = ending(capsys, train_small, *small_flags(shared_processed, folder))
    assert code == 2 and "this step fails" in printed
    assert train_small(small_flags(shared_processed, folder, "--resume", "auto")) == 0
    assert train_small(small_flags(shared_processed, folder, "--overwrite")) == 0


def test_a_killed_process_holds_no_lock(tmp_path):
    code = (f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\n"
            "from datatools.files import locked\n"
            f"with locked(Path({str(tmp_path / LOCK)!r}), ''): print('held', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"^busy. It is process {holder.pid} of "):
            with locked(tmp_path / LOCK, "busy."):
                pass
        holder.kill()
        holder.wait(60)
    with locked(tmp_path / LOCK, "busy."):
        pass
    assert (tmp_path / LOCK).read_bytes() == b""


@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_told(shared_processed, tmp_path, monkeypatch, capsys, number):
    import errno

    import filelock

    def refuse(*_):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    code, printed = ending(capsys, train_small, *small_flags(shared_processed, tmp_path / "run"))
    assert code == 2 and "its file system cannot lock files" in printed and str(tmp_path / "run") in printed


def test_a_second_one_pass_over_a_data_set_is_refused_and_the_first_finishes(raw, made, tmp_path, monkeypatch, capsys):
    from datatools import driver

    out, ends, entries = tmp_path / "out", [], driver._entries

    def second(*arguments):
        ends.append(ending(capsys, preprocess.main, *one_pass(raw, out), "--write_video"))
        return entries(*arguments)

    monkeypatch.setattr(driver, "_entries", second)
    assert ending(capsys, preprocess.main, *one_pass(raw, out), "--write_video")[0] == 0
    assert [code for code, _ in ends] == [2, 2]
    assert all(f"{out}: another preprocessing run works on it" in printed for _, printed in ends)
    assert content(out) == content(made)


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_command_may_run_twice_at_once(raw, made, tmp_path, monkeypatch, capsys, name):
    """The second runs from start to end in the midst of the first, between making a file and giving it its name.

    All runs that look for text share its files, so there the second is refused.
    """
    out = Path(shutil.copytree(made, tmp_path / "out"))
    assert ending(capsys, SINGLE[name], *single(name, raw, out), "--force")[0] == 0
    before, replace, ends = content(out), os.replace, []

    def second(source, target):
        if not ends and Path(target).stem.startswith("b_end"):
            ends.append(None)
            ends[0] = ending(capsys, SINGLE[name], *single(name, raw, out), "--force")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", second)
    assert ending(capsys, SINGLE[name], *single(name, raw, out), "--force")[0] == 0
    code, printed = ends[0]
    assert code == (2 if name == "text" else 0)
    assert (f"{out}: another preprocessing run works on it" in printed) == (name == "text")
    assert content(out) == before and not temporaries(out)


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def disk(tmp_path):
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "none", folder], capture_output=True,
                          text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no namespace")
def test_the_tests_of_a_full_disk_pass_in_a_namespace():
    """Where only root may mount, a user may in a namespace of his own."""
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine permits no namespaces")
    done = subprocess.run(["unshare", "--map-root-user", "--mount", sys.executable, "-m", "pytest", "-q", "-k",
                           "full_disk", __file__], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout


def fill(disk: Path, but: int = 0) -> None:
    """Leave only so many bytes of a disk."""
    free = os.statvfs(disk)
    with open(disk / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - but)


@pytest.mark.parametrize("pages", range(7))
def test_a_training_on_a_full_disk_ends_with_one_message_and_can_be_resumed(
        shared_processed, trained, disk, monkeypatch, capsys, pages):
    """It ends at each of the files that an epoch writes: answers, log, curves, checkpoint and its names."""
    folder = disk / "run"
    with monkeypatch.context() as patch:
        at_step(patch, {(1, 2): lambda: fill(disk, pages * PAGE)})
        code, printed = ending(capsys, train_small, *small_flags(shared_processed, folder))
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1
    assert re.match(rf"error: {folder}/\S+: cannot be written, the disk \(or its quota\) is full", errors[0])
    assert load_checkpoint(folder / LAST)["epoch"] >= 0 and load_checkpoint(folder / BEST)
    assert not [path for path in temporaries(folder) if path.name.startswith(".tmp")]
    (disk / "ballast").unlink()
    assert train_small(small_flags(shared_processed, folder, "--resume", "auto")) == 0
    assert equal(load_checkpoint(folder / LAST), load_checkpoint(trained / LAST))
    assert [record["epoch"] for record in read_records(folder)] == [0, 1, 2]


@pytest.mark.parametrize("pages", [0, 1, 12, 900])
def test_preprocessing_on_a_full_disk_loses_what_did_not_fit_and_then_completes(raw, disk, capsys, pages):
    """One pass over two clips, of 3.7 MB each."""
    out = disk / "out"
    out.mkdir()
    fill(disk, pages * PAGE)
    code, printed = ending(capsys, preprocess.main, *one_pass(raw, out))
    assert code == (2 if "error: " in printed else 1)
    assert re.search(rf"{disk}\S+: cannot be written, the disk \(or its quota\) is full", printed)
    assert "a file:" not in printed and not temporaries(out)
    (disk / "ballast").unlink()
    assert ending(capsys, preprocess.main, *one_pass(raw, out))[0] == 0
    assert ending(capsys, preprocess.main, *one_pass(raw, out), "--verify")[0] == 0


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_command_on_a_full_disk_leaves_the_files_as_they_were(raw, made, disk, capsys, name):
    out = Path(shutil.copytree(made, disk / "out"))
    before = content(out)
    fill(disk, PAGE)
    code, printed = ending(capsys, SINGLE[name], *single(name, raw, out), "--force")
    assert code in (1, 2) and "is full. Free some space" in printed
    (disk / "ballast").unlink()
    after = content(out)
    assert not temporaries(out)
    assert all(after[path] == before[path] for path in before if not path.startswith("ocr_"))
    assert ending(capsys, SINGLE[name], *single(name, raw, out), "--force")[0] == 0
    assert content(out).keys() == before.keys()


def test_submissions_on_a_full_disk_stay_as_they_were(shared_processed, trained, disk, capsys):
    infer = [*small_flags(shared_processed, disk / "run", "--weights", trained / BEST), "--folder", "data_C"]
    fused = ["--inputs", disk / "run/submission.csv", disk / "other.csv", "--output", disk / "fused.csv"]
    assert ending(capsys, train_small, *infer)[0] == 0
    shutil.copy(disk / "run/submission.csv", disk / "other.csv")
    assert ending(capsys, fuse.main, *fused)[0] == 0
    before = content(disk)
    fill(disk)
    for main, words in ((train_small, infer), (fuse.main, fused)):
        code, printed = ending(capsys, main, *words)
        assert code == 2 and printed.count("error: ") == 1 and "is full. Free some space" in printed
    (disk / "ballast").unlink()
    assert content(disk) == before


def test_clips_on_a_full_disk_are_made_when_there_is_space_again(disk, capsys, monkeypatch):
    words = ["make.py", "--save_root", disk / "raw", "--train", 2, "--test", 0, "--duration", 10, "--fps", 4,
             "--workers", 1]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    for pages in (0, 8):
        fill(disk, pages * PAGE)
        code, printed = ending(capsys, lambda _: make.main())
        assert code in (1, 2) and "is full. Free some space" in printed and not temporaries(disk)
        (disk / "ballast").unlink()
    assert ending(capsys, lambda _: make.main())[0] == 0
    assert len(list((disk / "raw").rglob("*.mp4"))) == 2


# ---------------------------------------------------------------- somebody else's folder


@contextlib.contextmanager
def as_another_user():
    """Without root's rights, within this process."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def foreign(made, shared_processed, trained):
    """A folder that another user can read and not write, with all that the commands want to replace."""
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    shutil.copytree(made, folder / "out")
    shutil.copytree(trained, folder / "run")
    shutil.copytree(shared_processed, folder / "processed")
    for name in ("a.csv", "b.csv", "fused.csv"):
        (folder / name).write_text("a_start.mp4,s,1.000\n")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_one_message_and_stays_as_it_was(raw, foreign, capsys, tmp_path):
    raw = Path(shutil.copytree(raw, foreign.with_name(foreign.name + "_raw")))
    data, before = foreign / "processed", content(foreign)
    commands = [
        (preprocess.main, one_pass(raw, foreign / "out") + ["--force"]),
        *((SINGLE[name], [*single(name, raw, foreign / "out"), "--force"]) for name in SINGLE),
        (train_small, small_flags(data, foreign / "new")),
        (train_small, small_flags(data, foreign / "run", "--overwrite")),
        (train_small, small_flags(data, foreign / "run", "--resume", "auto", "--max_epoch", 4)),
        (train_small, small_flags(data, foreign / "run", "--folds")),
        (train_small, [*small_flags(data, foreign / "run", "--weights", foreign / "run" / BEST), "--folder", "data_C"]),
        (fuse.main, ["--inputs", foreign / "a.csv", foreign / "b.csv", "--output", foreign / "fused.csv"]),
    ]
    try:
        for main, words in commands:
            with as_another_user():
                code, printed = ending(capsys, main, *words)
            assert code == 2, (words, printed)
            assert printed.count("error: ") == 1, (words, printed)
            assert re.search(rf"error: {foreign}\S*: permission denied", printed), (words, printed)
        assert content(foreign) == before
    finally:
        shutil.rmtree(raw)


# ---------------------------------------------------------------- data that changes under a training


def test_a_feature_file_deleted_in_mid_training_is_named_and_the_position_is_saved(
        processed, tmp_path, monkeypatch, capsys):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert train_small(small_flags(processed, whole)) == 0
    for kind in ("data_A/train/clip0002_start_mfcc.npy", "data_A/train/clip0002_start_frames.npy",
                 "ROIs/clip0002_start.npy"):
        shutil.rmtree(folder, ignore_errors=True)
        kept = processed / kind
        with monkeypatch.context() as patch:
            at_step(patch, {(0, 2): lambda kept=kept: kept.rename(tmp_path / "away")})
            code, printed = ending(capsys, train_small, *small_flags(processed, folder))
        assert code == 2 and printed.count("error: ") == 1
        assert f"error: {kept}: " in printed and f"kept: {folder / LAST} in epoch" in printed
        (tmp_path / "away").rename(kept)
        assert train_small(small_flags(processed, folder, "--resume", "auto")) == 0
        assert torch.equal(load_checkpoint(folder / LAST)["model"]["time.weight"],
                           load_checkpoint(whole / LAST)["model"]["time.weight"])


def test_a_label_changed_in_mid_training_takes_no_effect_and_resuming_tells_of_it(
        processed, tmp_path, monkeypatch, capsys):
    labels, whole, folder = processed / TRAIN.label_files[0], tmp_path / "whole", tmp_path / "run"
    assert train_small(small_flags(processed, whole)) == 0
    with monkeypatch.context() as patch:
        at_step(patch, {(1, 1): lambda: labels.write_text(labels.read_text(encoding="utf-8").replace("20.25", "99"),
                                                          encoding="utf-8")})
        assert train_small(small_flags(processed, folder)) == 0
    assert equal(load_checkpoint(folder / LAST), load_checkpoint(whole / LAST))
    capsys.readouterr()
    assert train_small(small_flags(processed, folder, "--resume", "auto")) == 0
    assert "the data is not what this training began with" in capsys.readouterr().out


def test_a_record_that_a_full_disk_cut_off_costs_no_other(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epoch": 0, "score": 3.0}\n{"epoch": 1, "sc')
    Log(tmp_path).record(epoch=1, score=2.0)
    assert read_records(tmp_path) == [{"epoch": 0, "score": 3.0}, {"epoch": 1, "score": 2.0}]
