"""The training engine: what is resumed, what is guarded, and what a training leaves, on networks of milliseconds."""

import copy
import csv
import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_processed
from engine_helpers import (
    ROOT,
    Numbers,
    Product,
    SmallNet,
    Told,
    at_step,
    equal,
    new_training,
    one_epoch,
    small_flags,
    stop_within,
    train_small,
)
from media_files import write_clip as write_video
from recognition_helpers import (
    MATCHING_NOISE,
    NOISE,
    make_videos,
    matching_flags,
    recognition_flags,
    train_matching,
    train_recogniser,
)
from torch import nn

import avt_main
from datatools.errors import UserError, run_command
from datatools.submission import read_submission
from datatools.video_dataset import VideoDataset
from utils import boundary, recognition
from utils.boundary import read_validation
from utils.checkpoint import load_checkpoint, read_file, save_content
from utils.fit import epoch_batches
from utils.run_folder import checkpoints_by_age, read_records, save_checkpoints
from utils.stop import Stop

STOPPED = 128 + signal.SIGTERM
# A small training of each task: from data set, folder and more flags to a command line, and from that to an exit code.
FLAGS = {"boundary": small_flags, "recognition": recognition_flags, "matching": matching_flags}
TRAIN = {"boundary": train_small, "recognition": train_recogniser, "matching": train_matching}


@pytest.fixture(autouse=True)
def draw(monkeypatch):
    """Pictures cost more than these trainings; gives the function that draws them."""
    draws = boundary.draw
    monkeypatch.setattr(boundary, "draw", lambda *_: None)
    monkeypatch.setattr(recognition, "draw", lambda *_: None)
    return draws


@pytest.fixture(scope="module")
def data(shared_processed, tmp_path_factory) -> dict[str, Path]:
    """{task: the data set of its small trainings}, all of six steps an epoch."""
    videos = tmp_path_factory.mktemp("videos")
    return {"boundary": shared_processed, "recognition": make_videos(videos / "data"),
            "matching": make_videos(videos / "named", named=True)}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """A function from flags to the folder of a small training that nothing disturbed."""
    folders: dict[tuple, Path] = {}

    def folder_of(*more, task: str = "boundary") -> Path:
        if (task, more) not in folders:
            folders[task, more] = folder = tmp_path_factory.mktemp("undisturbed") / "run"
            with pytest.MonkeyPatch.context() as patch:
                for module in (boundary, recognition):
                    patch.setattr(module, "draw", lambda *_: None)
                assert TRAIN[task](FLAGS[task](data[task], folder, *more)) == 0
        return folders[task, more]

    return folder_of


def last(folder: Path) -> dict:
    return load_checkpoint(folder / "avnet_last.pth")


def place(path: Path) -> tuple[int, int]:
    position = load_checkpoint(path)["position"]
    return position["epoch"], position["step"]


def log_of(folder: Path) -> str:
    return (folder / "log.txt").read_text(encoding="utf-8")


# ---------------------------------------------------------------- going on after a stop

FLOAT32 = ("--schedule", "one_cycle")
BFLOAT16 = ("--use_amp",)
AVERAGED = ("--batch_size", 1, "--accumulation_step", 2, "--ema", 0.9, "--clip_grad", 1, "--step_loss", 5)
ALL_TOGETHER = (*AVERAGED, "--use_amp", "--shift", 30, "--vary", 0.5)


DRAWN = (*NOISE, "--batch_size", 1, "--accumulation_step", 2, "--use_amp", "--ema", 0.9, "--clip_grad", 1)
MATCHED = (*MATCHING_NOISE, "--batch_size", 2, "--max_epoch", 3, "--use_amp", "--ema", 0.9, "--clip_grad", 1)


@pytest.mark.parametrize("seed, task, more, stops", [
    (0, "boundary", FLOAT32, 5), (1, "boundary", BFLOAT16, 5), (2, "boundary", AVERAGED, 5),
    (3, "boundary", ALL_TOGETHER, 5), (4, "recognition", DRAWN, 5), (5, "matching", MATCHED, 1),
])
def test_a_training_stopped_at_a_random_step_ends_as_if_it_had_not_been(
    data, undisturbed, tmp_path, monkeypatch, seed, task, more, stops
):
    whole = last(undisturbed(*more, task=task))
    for number, step in enumerate(random.Random(seed).sample(range(17), stops)):      # of 3 epochs of 6 steps
        argv = FLAGS[task](data[task], tmp_path / str(number), *more)
        with monkeypatch.context() as patch:
            stop_within(patch, divmod(step, 6))
            assert TRAIN[task](argv) == STOPPED
        assert place(tmp_path / str(number) / "avnet_last.pth") == divmod(step + 1, 6)
        assert TRAIN[task]([*argv, "--resume", "auto"]) == 0
        assert equal(last(tmp_path / str(number)), whole), f"stopped in step {step}"


def clips_drawn(patch, epochs: dict) -> None:
    """Keep the training clips of videos that are read from now on: {epoch: {index: clip}}."""
    read = VideoDataset.batch

    def noting(dataset, indices, pinned=False):
        batch = read(dataset, indices, pinned)
        if dataset.mode == "train":
            epochs.setdefault(dataset.epoch, {}).update(zip(batch["index"].tolist(), batch["video"], strict=True))
        return batch

    patch.setattr(VideoDataset, "batch", noting)


def test_a_resumed_training_of_a_recogniser_draws_the_clips_of_its_epoch(data, undisturbed, tmp_path, monkeypatch):
    whole, resumed = {}, {}
    argv = recognition_flags(data["recognition"], tmp_path / "run", *DRAWN)
    with monkeypatch.context() as patch:
        clips_drawn(patch, whole)
        stop_within(patch, (2, 1))
        assert train_recogniser(argv) == STOPPED
    shutil.copytree(tmp_path / "run", tmp_path / "forgetful")
    with monkeypatch.context() as patch:
        clips_drawn(patch, resumed)
        assert train_recogniser([*argv, "--resume", "auto"]) == 0
    assert [len(whole[epoch]) for epoch in (0, 1, 2)] == [12, 12, 4] and [*resumed] == [2] and len(resumed[2]) == 8
    assert not whole[2].keys() & resumed[2].keys()
    assert sum(torch.equal(clip, whole[0][index]) for index, clip in resumed[2].items()) < 4
    assert equal(last(tmp_path / "run"), last(undisturbed(*DRAWN, task="recognition")))
    # A data set that is not told its epoch draws the first epoch's clips, and the training ends elsewhere.
    monkeypatch.setattr(VideoDataset, "start_epoch", lambda *_: None)
    argv = recognition_flags(data["recognition"], tmp_path / "forgetful", *DRAWN, "--resume", "auto")
    assert train_recogniser(argv) == 0
    assert not equal(last(tmp_path / "forgetful"), last(tmp_path / "run"))


def test_a_training_stopped_in_every_one_of_its_steps_ends_as_if_it_had_not_been(
    shared_processed, undisturbed, tmp_path, monkeypatch
):
    argv = small_flags(shared_processed, tmp_path, *ALL_TOGETHER)
    stop_within(monkeypatch, *(divmod(step, 6) for step in range(18)))
    codes = [train_small([*argv, "--resume", "auto"]) for _ in range(18)]
    assert codes == [STOPPED] * 17 + [0]        # after the last step there is nothing left to stop
    whole = undisturbed(*ALL_TOGETHER)
    for name in ("avnet_last.pth", "avnet_bestmodel.pth"):
        assert equal(load_checkpoint(tmp_path / name), load_checkpoint(whole / name))
    assert [r["train_loss"] for r in read_records(tmp_path)] == [r["train_loss"] for r in read_records(whole)]


@pytest.mark.parametrize("task, more", [("boundary", FLOAT32), ("recognition", DRAWN)])
def test_a_finished_training_is_left_as_it_is_when_it_is_resumed(data, undisturbed, tmp_path, task, more):
    folder = shutil.copytree(undisturbed(*more, task=task), tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "log.txt"}
    assert TRAIN[task](FLAGS[task](data[task], folder, *more, "--resume", "auto")) == 0
    assert before == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and p.name != "log.txt"}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Seven labelled clips, of which six train."""
    return make_processed(tmp_path_factory.mktemp("few") / "processed", train=7, test=1)


@pytest.fixture(scope="module")
def real(few, tiny_preset, tmp_path_factory):
    """AVTNet with everything that a step may have: (its flags without the folder, its last checkpoint)."""
    argv = ["--preset", tiny_preset, "--data_root", few, "--batch_size", 1, "--accumulation_step", 2, "--ema", 0.9,
            "--clip_grad", 1, "--use_amp", "--shift", 20, "--vary", 0.3, "--max_epoch", 3, "--save_prefix"]
    argv = [str(word) for word in argv]
    folder = tmp_path_factory.mktemp("real") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "draw", lambda *_: None)
        assert avt_main.main([*argv, str(folder)]) == 0
    return argv, last(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_its_position_saved(real, tmp_path, number):
    argv, whole = real
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "avt_main.py", *argv, str(folder)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "avnet_last.pth").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(number)             # in the second epoch
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    epoch, step = place(folder / "avnet_last.pth")
    where = f"in epoch {epoch}, after step {step}" if step else f"after epoch {epoch - 1}"
    assert 1 <= epoch < 3 and f"stopped by {number.name} {where}; saved." in out
    assert "Traceback" not in err
    assert avt_main.main([*argv, str(folder), "--resume", "auto"]) == 0
    assert f"resumed {folder / 'avnet_last.pth'} {where}" in log_of(folder)
    assert equal(last(folder), whole)


def test_a_second_ctrl_c_does_not_wait_for_the_step():
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with Stop(at_once=False) as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT


# ---------------------------------------------------------------- kill -9


def save_epoch(folder: Path, epoch: int) -> None:
    content = {"model": {"weight": torch.full((100,), float(epoch))}, "position": {"epoch": epoch, "step": 0}}
    save_checkpoints(folder, content, ["avnet_bestmodel.pth", f"avnet_epoch{epoch}.pth", "avnet_last.pth"], 3)


def save_and_copy_at_every_line(folder: Path, epoch: int, copies: Path) -> int:
    """Copy the folder at every line of our code in a save: what a kill at that line leaves. How many lines it ran."""
    ours = ("utils/run_folder.py", "utils/checkpoint.py", "datatools/files.py")
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.endswith(ours):
            return None
        if event == "line":
            shutil.copytree(folder, copies / str(count))
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        save_epoch(folder, epoch)
    finally:
        sys.settrace(before)
    return count


def test_a_save_killed_at_any_of_its_lines_leaves_whole_checkpoints_and_the_newest_of_before_or_after(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for epoch in (4, 5, 6):
        save_epoch(folder, epoch)
    num_lines = save_and_copy_at_every_line(folder, 7, tmp_path / "at")
    states = []
    for line in range(num_lines):
        killed = tmp_path / f"at/{line}"
        assert checkpoints_by_age(killed)[0].name == "avnet_last.pth"
        state = {path.name: place(path)[0] for path in killed.glob("avnet_*.pth")}      # reads every one
        assert state.pop("avnet_saving.pth", 7) == 7
        if state not in states[-1:]:
            states.append(state)
        save_epoch(killed, 8)
        assert place(killed / "avnet_last.pth") == (8, 0)
        assert len(list(killed.glob("avnet_last*.pth"))) == 3 and not (killed / "avnet_saving.pth").exists()
    # Every moment of a save was there: the older ones move on, the best and the epoch's get the new one, the last last.
    before = {"avnet_last.pth": 6, "avnet_last-1.pth": 5, "avnet_last-2.pth": 4, "avnet_bestmodel.pth": 6,
              **{f"avnet_epoch{epoch}.pth": epoch for epoch in (4, 5, 6)}}
    expected = [before]
    for change in ({"avnet_last-2.pth": 5}, {"avnet_last-1.pth": 6}, {"avnet_bestmodel.pth": 7},
                   {"avnet_epoch7.pth": 7}, {"avnet_last.pth": 7}):
        expected.append({**expected[-1], **change})
    assert states == expected


def killed_and_resumed(processed: Path, folder: Path, epochs: int, kills: int, rng: random.Random) -> None:
    """Train with a save after every step, killed soon after the first save of each start, until it is done."""
    argv = small_flags(processed, folder, *ALL_TOGETHER, "--max_epoch", epochs, "--resume", "auto")
    newest = folder / "avnet_last.pth"
    for _ in range(kills):
        before = newest.stat().st_mtime_ns if newest.exists() else 0
        process = subprocess.Popen([sys.executable, "tests/engine_helpers.py", *argv], cwd=ROOT,
                                   env={**os.environ, "SAVE_EVERY_STEP": "1"}, stdout=subprocess.DEVNULL)
        while process.poll() is None and (not newest.exists() or newest.stat().st_mtime_ns == before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.06))        # a step and its save take about 0.03 s
        process.kill()
        assert process.wait() == -signal.SIGKILL
        load_checkpoint(newest)
    assert train_small(argv) == 0


def test_a_training_killed_three_times_ends_with_the_same_weights(shared_processed, undisturbed, tmp_path):
    killed_and_resumed(shared_processed, tmp_path / "run", 8, 3, random.Random(0))
    assert equal(last(tmp_path / "run"), last(undisturbed(*ALL_TOGETHER, "--max_epoch", 8)))


@pytest.mark.soak
def test_soak_a_training_killed_fifty_times_ends_with_the_same_weights(shared_processed, undisturbed, tmp_path):
    killed_and_resumed(shared_processed, tmp_path / "run", 60, 50, random.Random(1))
    assert equal(last(tmp_path / "run"), last(undisturbed(*ALL_TOGETHER, "--max_epoch", 60)))


# ---------------------------------------------------------------- checkpoints: which are kept, and damaged ones


@pytest.fixture(scope="module")
def stopped(shared_processed, tmp_path_factory):
    """A training of six epochs stopped in the sixth, so that every kind of checkpoint is there."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boundary, "draw", lambda *_: None)
        stop_within(patch, (5, 1))
        argv = small_flags(shared_processed, folder, "--max_epoch", 6, "--keep_last", 3)
        assert train_small(argv) == STOPPED
    content = load_checkpoint(folder / "avnet_bestmodel.pth")
    save_content(folder / "exported.pth", {"model": content["model"]})     # what `export` writes
    return folder


KINDS = ["avnet_last.pth", "avnet_last-1.pth", "avnet_bestmodel.pth", "avnet_epoch4.pth", "exported.pth"]


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_byte_anywhere_in_a_checkpoint_is_noticed(stopped, tmp_path, name):
    whole = (stopped / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole)
    read_file(path)
    rng = random.Random(name)
    # The header, the archive's directory and end, and the comment byte by byte; the rest by sample.
    places = {*range(80), *range(len(whole) - 240, len(whole)), *rng.sample(range(len(whole)), 150)}
    for index in places:
        damaged = bytearray(whole)
        damaged[index] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=name):
            read_file(path)


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_checkpoint_is_noticed_whatever_its_length(stopped, tmp_path, name):
    whole = (stopped / name).read_bytes()
    path = tmp_path / name
    near_the_end = range(1, 130)
    for length in (0, 1, 21, 22, 23, 100, len(whole) // 3, len(whole) // 2, *(len(whole) - n for n in near_the_end)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=name):
            read_file(path)


def damage(path: Path) -> None:
    """A changed byte in the middle, in this file alone: its other names keep what they had."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_resume_auto_goes_on_from_the_newest_whole_checkpoint_and_says_so(
    shared_processed, undisturbed, stopped, tmp_path, capsys
):
    whole = last(undisturbed("--max_epoch", 6))
    by_age = checkpoints_by_age(stopped)
    assert by_age[0].name == "avnet_last.pth" and len(by_age) == 5
    places = [place(path) for path in by_age]
    assert places == sorted(places, reverse=True) and places[0] == (5, 2) and places[-1] < (5, 0)
    for number in range(1, len(by_age)):
        folder = shutil.copytree(stopped, tmp_path / str(number))
        for path in by_age[:number]:
            damage(folder / path.name)
        argv = small_flags(shared_processed, folder, "--max_epoch", 6, "--resume", "auto")
        assert train_small(argv) == 0
        said = f"resumed {folder / by_age[number].name} after epoch {places[number][0] - 1} ("
        names = log_of(folder).partition(said)[2].partition(" damaged, so the next newest is taken)")[0]
        assert sorted(names.split(", ")) == sorted(path.name for path in by_age[:number])
        assert equal(last(folder), whole)


def test_where_all_checkpoints_are_damaged_one_message_says_so(shared_processed, stopped, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "run")
    for path in folder.glob("*.pth"):
        damage(path)
    before = {path.name: path.read_bytes() for path in folder.glob("*.pth")}
    argv = small_flags(shared_processed, folder, "--max_epoch", 6)
    with pytest.raises(UserError, match=r"all checkpoints are damaged \(avnet_last\.pth, .*\)\. Put back a copy"):
        train_small([*argv, "--resume", "auto"])
    with pytest.raises(UserError, match=r"avnet_epoch4\.pth: damaged, its SHA-256") as raised:
        train_small([*argv, "--resume", str(folder / "avnet_epoch4.pth")])
    assert "newest whole one" not in str(raised.value)
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.pth")}
    assert train_small([*argv, "--overwrite", "--max_epoch", "1"]) == 0


@pytest.mark.parametrize("flag", ["--resume", "--weights"])
def test_a_damaged_file_that_is_asked_for_is_refused_and_the_newest_whole_one_offered(
    shared_processed, stopped, tmp_path, flag
):
    folder = shutil.copytree(stopped, tmp_path / "run")
    argv = small_flags(shared_processed, folder, "--max_epoch", 6, flag)
    for name, offered in (("avnet_bestmodel.pth", "avnet_last.pth"), ("avnet_last.pth", "avnet_last-1.pth")):
        damage(folder / name)
        with pytest.raises(UserError, match=f"{name}: damaged.*newest whole one there: .*{offered}"):
            train_small([*argv, str(folder / name)])


def test_a_checkpoint_that_fits_not_is_no_reason_to_offer_another(shared_processed, stopped):
    argv = small_flags(shared_processed, stopped, "--max_epoch", 6, "--lr", 5, "--resume", stopped / "avnet_last.pth")
    with pytest.raises(UserError, match="--lr: 0.01 then, 5.0 now") as raised:
        train_small(argv)
    assert "newest whole one" not in str(raised.value)


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_as_many_last_checkpoints_are_kept_as_asked_for(shared_processed, tmp_path, keep):
    assert train_small(small_flags(shared_processed, tmp_path, "--max_epoch", 5, "--keep_last", keep)) == 0
    names = ["avnet_last.pth", *(f"avnet_last-{number}.pth" for number in range(1, keep))]
    assert {path.name for path in tmp_path.glob("*.pth")} == {*names, "avnet_bestmodel.pth", "avnet_epoch4.pth"}
    assert [place(tmp_path / name)[0] for name in names] == [5, 4, 3, 2][:keep]


def test_fewer_last_checkpoints_than_before_are_kept_when_fewer_are_asked_for(shared_processed, stopped, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "run")
    argv = small_flags(shared_processed, folder, "--max_epoch", 6, "--keep_last", 1, "--resume", "auto")
    assert train_small(argv) == 0
    assert [path.name for path in folder.glob("avnet_last*")] == ["avnet_last.pth"]


def test_a_training_goes_on_from_its_best_checkpoint_also_in_another_folder(
    shared_processed, undisturbed, tmp_path
):
    whole = undisturbed()
    best = shutil.copytree(whole, tmp_path / "run") / "avnet_bestmodel.pth"
    # What a training of which the second epoch was the best would have kept.
    argv = small_flags(shared_processed, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        stop_within(patch, (2, 0))
        assert train_small([*argv, "--overwrite"]) == STOPPED
    assert place(best) == (2, 0)
    before = (tmp_path / "run/log.jsonl").read_bytes()
    argv = small_flags(shared_processed, tmp_path / "other", "--resume", best)
    assert train_small(argv) == 0
    assert equal(last(tmp_path / "other"), last(whole))
    assert json.loads((tmp_path / "other/settings.json").read_text())["resume"] == str(best)
    assert (tmp_path / "run/log.jsonl").read_bytes() == before
    with pytest.raises(UserError, match="other: holds a training already"):
        train_small(argv)
    assert train_small(small_flags(shared_processed, tmp_path / "run", "--resume", best)) == 0
    assert equal(last(tmp_path / "run"), last(whole))


# ---------------------------------------------------------------- steps that are not finite


class Normed(nn.Module):
    """Batch norm and one weight: what a bad step could spoil."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return {"out": self.norm(x.unsqueeze(1)).squeeze(1) * self.weight}


def normed_training(**more):
    torch.manual_seed(0)
    net = Normed()
    return new_training(net, torch.optim.Adam(net.parameters(), 0.1), schedule=lambda step: 0.9 ** step,
                        ema=torch.optim.swa_utils.AveragedModel(net, use_buffers=True), **more)


def without_place(training) -> dict:
    state = copy.deepcopy(training.state())
    del state["position"]["step"]
    return state


def gradient_not_finite_of(*indices: int):
    """A loss that is finite for every clip, and whose gradient is infinite where one of these numbers is in."""

    def loss(outputs, seconds):
        if torch.isin(seconds, torch.tensor([3.0 * NUMBERS[index] for index in indices])).any():
            outputs["out"].register_hook(lambda gradient: gradient * math.inf)
        return ((outputs["out"] - seconds) ** 2).mean()

    return loss


NUMBERS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing_and_the_next_goes_on(what):
    if what == "loss":
        numbers, more = Numbers([*NUMBERS[:2], math.nan, *NUMBERS[3:]]), {}
    else:
        numbers, more = Numbers(NUMBERS), {"loss": gradient_not_finite_of(2)}
    training, states, told = normed_training(), [], Told()
    one_epoch(training, [[[0, 1]], [[2, 3]], [[4, 5]]], numbers, **more, told=told,
              after_step=lambda _: states.append(without_place(training)))
    assert equal(states[0], states[1]) and not equal(states[1], states[2])
    line, = told.lines
    named = "clip2 (features that are not finite)" if what == "loss" else "clip2, clip3"
    assert line.startswith(f"left out: epoch 0, step 1: {what} ") and line.endswith(named)
    assert training.schedule.last_epoch == 3 and training.num_clips == 4 and training.bad == []

    undisturbed = normed_training()         # the good steps alone, at the same learning rates
    one_epoch(undisturbed, [[[0, 1]]], Numbers(NUMBERS))
    undisturbed.schedule.step()
    undisturbed.step = 1
    one_epoch(undisturbed, [[], [[4, 5]]], Numbers(NUMBERS))
    assert equal(undisturbed.state()["model"], training.state()["model"])


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_three_steps_in_a_row_that_are_not_finite_end_the_training_after_the_last_good_one(what):
    numbers = Numbers(NUMBERS[:1] + [math.nan] * 4) if what == "loss" else Numbers(NUMBERS)
    more = {} if what == "loss" else {"loss": gradient_not_finite_of(1, 2, 3)}
    training, states = normed_training(), []
    with pytest.raises(UserError, match="3 steps in a row .*\n.*step 1.*clip1.*\n.*step 2.*clip2.*\n.*step 3.*clip3"):
        one_epoch(training, [[[0, 0]], [[1, 1]], [[2, 2]], [[3, 3]]], numbers, **more,
                  after_step=lambda _: states.append(copy.deepcopy(training.state())))
    assert equal(training.state(), states[0]) and training.step == 1 and training.schedule.last_epoch == 1


def test_bad_steps_in_a_row_are_counted_over_the_end_of_an_epoch():
    training = normed_training()
    numbers = Numbers([1.0, 2.0, math.nan])
    assert one_epoch(training, [[[0, 1]], [[2, 0]], [[2, 1]]], numbers)
    assert training.schedule.last_epoch == 3
    training.epoch, training.step = 1, 0
    before = copy.deepcopy(training.state())
    with pytest.raises(UserError, match="3 steps in a row"):
        one_epoch(training, [[[2, 1]], [[0, 1]]], numbers)
    assert equal(training.state(), before)


def test_good_steps_between_them_forgive_bad_ones():
    training, told = normed_training(), Told()
    assert one_epoch(training, [[[0, 2]], [[1, 0]], [[1, 0]]] * 3, Numbers([1.0, math.nan, 2.0]), told=told)
    assert len(told.lines) == 6 and training.schedule.last_epoch == 9


@pytest.mark.parametrize("end", ["stop", "unreadable file"])
def test_bad_steps_before_a_stop_are_made_again(end):
    class Unreadable(Numbers):
        def __call__(self, index_lists):
            for number, batch in enumerate(super().__call__(index_lists)):
                if number == 2 and end != "stop":
                    raise UserError("clip9: cannot be read")
                yield batch

    training, states = normed_training(), []
    arguments = training, [[[0, 1]], [[2, 0]], [[1, 0]]], Unreadable([1.0, 2.0, math.nan])
    keep = {"after_step": lambda _: states.append(copy.deepcopy(training.state()))}
    if end == "stop":
        assert not one_epoch(*arguments, stop=lambda: bool(training.bad or states), **keep)
    else:
        with pytest.raises(UserError, match="clip9"):
            one_epoch(*arguments, **keep)
    assert equal(training.state(), states[0]) and training.step == 1


@pytest.mark.filterwarnings("ignore:Detected call of")      # of the schedule after a step that the scaler left out
def test_float16_scaling_leaves_out_overflows_itself_and_survives_a_loss_that_is_not_finite():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0 ** 120)
    training = normed_training(scaler=scaler)
    before = copy.deepcopy(training.net.state_dict()["weight"])
    # Scaled by 2^120 a gradient of a few thousand is beyond float32: no fault, and the scale comes down.
    large, told = Numbers([1e7, 3e7, math.nan]), Told()
    assert one_epoch(training, [[[0, 1]]], large, told=told)
    assert not told.lines and scaler.get_scale() == 2.0 ** 119 and training.net.weight.item() == before
    training.epoch, training.step = 1, 0
    assert one_epoch(training, [[[2, 0]], [[0, 1]]], large, told=told)
    assert len(told.lines) == 1 and "loss nan: clip2" in told.lines[0]
    assert scaler.get_scale() == 2.0 ** 118         # the step that was left out did not count
    training.epoch, training.step = 2, 0
    scaler.update(1.0)
    with pytest.raises(UserError, match="3 steps in a row"):       # where nothing is scaled up, nothing overflowed
        one_epoch(training, [[[0, 1]]] * 3, Numbers(NUMBERS), loss=gradient_not_finite_of(0))


def clips_of_steps(seed: int = 10) -> list[list[int]]:
    """Places among the training clips of each step of the first epoch of a small training."""
    return epoch_batches(12, 2, seed, 0)


def training_clip(index: int) -> str:
    """The name of a clip of `shared_processed` by its place among those that train: every seventh validates."""
    number = [n for n in range(14) if n % 7][index]
    return f"clip{number:04d}_{'end' if number % 2 else 'start'}"


@pytest.fixture
def own(shared_processed, tmp_path):
    """An own copy of the data, for tests that change it."""
    return shutil.copytree(shared_processed, tmp_path / "own")


def spoil_sound(processed: Path, name: str) -> bytes:
    """Put NaN into a clip's MFCC; what was there before."""
    path = processed / f"data_A/train/{name}_mfcc.npy"
    before = path.read_bytes()
    mfcc = np.load(path)
    mfcc[3, 430] = np.nan
    np.save(path, mfcc)
    return before


def test_a_clip_whose_sound_is_not_finite_is_left_out_and_named_alone(own, tmp_path):
    name = training_clip(clips_of_steps()[2][1])
    spoil_sound(own, name)
    assert train_small(small_flags(own, tmp_path / "run", "--max_epoch", 2)) == 0
    lines = [line for line in log_of(tmp_path / "run").splitlines() if "left out" in line]
    assert len(lines) == 2                          # once an epoch
    assert lines[0].endswith(f"left out: epoch 0, step 2: loss nan: {name} (features that are not finite)")
    assert [record["skipped_steps"] for record in read_records(tmp_path / "run")] == [1, 1]
    assert all(value.isfinite().all() for value in last(tmp_path / "run")["model"].values())


def test_three_bad_steps_end_the_command_with_code_2_and_mended_it_goes_on(
    own, undisturbed, tmp_path, capsys
):
    names = [training_clip(clips_of_steps()[step][0]) for step in (2, 3, 4)]
    before = {name: spoil_sound(own, name) for name in names}
    argv = small_flags(own, tmp_path / "run")
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: train_small(argv))
    message = capsys.readouterr().err
    assert ended.value.code == 2 and message.startswith("error: 3 steps in a row had a loss or gradient")
    assert all(f"{name} (features that are not finite)" in message for name in names)
    assert "avnet_last.pth in epoch 0, after step 2." in message
    assert log_of(tmp_path / "run").count("left out: ") == 3
    assert place(tmp_path / "run/avnet_last.pth") == (0, 2)
    for name, content in before.items():
        (own / f"data_A/train/{name}_mfcc.npy").write_bytes(content)
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert equal(last(tmp_path / "run"), last(undisturbed()))


# ---------------------------------------------------------------- out of memory


class Hungry(Product):
    """Has memory for so many clips, and none for more."""

    most = 2

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB.")
        return super().forward(x)


@pytest.mark.parametrize("sizes, most, pieces", [([8], 3, 4), ([5], 2, 4), ([5], 1, 8), ([8, 8], 4, 2), ([8, 3], 4, 2)])
def test_a_batch_cut_into_pieces_makes_the_step_of_the_whole_batch(sizes, most, pieces):
    rng = np.random.default_rng(0)
    numbers = Numbers(rng.uniform(0.5, 2, sum(sizes)).astype(np.float32).tolist())
    ends = np.cumsum(sizes).tolist()
    group = [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    weights = []
    for net in (Product(), Hungry()):
        net.most = most
        training, told = new_training(net), Told()
        assert one_epoch(training, [group, group], numbers, told=told, halve_when_full=True)
        weights.append(net.weight.item())
    assert weights[1] == pytest.approx(weights[0], rel=1e-6) and weights[0] != 1
    assert training.pieces == pieces and all("out of memory" in line for line in told.lines)
    assert told.lines[-1].endswith(f"out of memory, a batch is cut into {pieces} pieces from here on")


@pytest.mark.parametrize("groups, most, advice", [
    ([[list(range(8))]], 4, "Give --batch_size 4 --accumulation_step 2, or --halve_when_full"),
    ([[[0, 1, 2], [3, 4, 5]]], 1, "Give --batch_size 2 --accumulation_step 4, or --halve_when_full"),
    ([[[0]]], 0, "Choose --use_amp or a smaller preset"),
])
def test_out_of_memory_says_what_takes_less_and_changes_nothing(groups, most, advice):
    class HungryNorm(Normed):
        def forward(self, x):
            self.norm(x.unsqueeze(1)) if len(x) > 1 else None       # its statistics change before the memory is full
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return {"out": x * self.weight}

    training = new_training(HungryNorm())
    before = copy.deepcopy(training.state())
    with pytest.raises(UserError, match=f"out of memory with {len(groups[0][0])} clips a batch .*{advice}"):
        one_epoch(training, groups, Numbers(NUMBERS))
    assert equal(training.state(), before)


def test_where_no_clip_fits_halving_ends_with_the_message_too():
    net, told = Hungry(), Told()
    net.most = 0
    with pytest.raises(UserError, match=r"CUDA out of memory.*or choose --use_amp or a smaller preset"):
        one_epoch(new_training(net), [[[0, 1, 2, 3]]], Numbers(NUMBERS), told=told, halve_when_full=True)
    assert [line.split("cut into ")[1] for line in told.lines] == ["2 pieces from here on", "4 pieces from here on"]


def test_other_errors_of_torch_are_not_taken_for_a_lack_of_memory():
    class Wrong(Product):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        one_epoch(new_training(Wrong()), [[[0]]], Numbers([1.0]), halve_when_full=True)


def test_a_training_that_runs_out_of_memory_keeps_its_position_and_goes_on_in_halves(
    shared_processed, tmp_path, monkeypatch
):
    most = [2]
    forward = SmallNet.forward

    def limited(net, mfcc, frames, text_roi):
        if net.training and len(mfcc) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(net, mfcc, frames, text_roi)

    monkeypatch.setattr(SmallNet, "forward", limited)
    argv = small_flags(shared_processed, tmp_path / "run")
    at_step(monkeypatch, {(1, 3): lambda: most.__setitem__(0, 1)})
    with pytest.raises(UserError, match="--batch_size 1 --accumulation_step 2, .*\n.*kept: .* epoch 1, after step 3"):
        train_small(argv)
    assert place(tmp_path / "run/avnet_last.pth") == (1, 3)
    assert train_small([*argv, "--resume", "auto", "--halve_when_full"]) == 0
    assert log_of(tmp_path / "run").count("epoch 1, step 3: out of memory, a batch is cut into 2 pieces") == 1
    assert [record["skipped_steps"] for record in read_records(tmp_path / "run")] == [0, 0, 0]


def test_an_error_before_anything_is_learnt_leaves_no_checkpoint_in_the_way(shared_processed, tmp_path, monkeypatch):
    forward = SmallNet.forward

    def limited(net, mfcc, frames, text_roi):
        if len(mfcc) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(net, mfcc, frames, text_roi)

    monkeypatch.setattr(SmallNet, "forward", limited)
    argv = small_flags(shared_processed, tmp_path, "--max_epoch", 1)
    with pytest.raises(UserError, match="--batch_size 1 --accumulation_step 2"):
        train_small(argv)
    assert not list(tmp_path.glob("*.pth"))
    assert train_small([*argv, "--batch_size", "1", "--accumulation_step", "2"]) == 0


def full(*_args, **_more):
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_too_little_memory_for_the_optimiser_is_told(shared_processed, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", full)
    with pytest.raises(UserError, match="out of memory in the optimiser's first step .*smaller preset"):
        train_small(small_flags(shared_processed, tmp_path))
    assert not list(tmp_path.glob("*.pth"))


def test_too_little_memory_for_the_validation_is_told_and_the_epoch_kept(shared_processed, tmp_path, monkeypatch):
    forward = SmallNet.forward
    monkeypatch.setattr(SmallNet, "forward", lambda net, **inputs: (forward if net.training else full)(net, **inputs))
    with pytest.raises(UserError, match="out of memory in validation with .* clips a batch .*\n.*kept: "):
        train_small(small_flags(shared_processed, tmp_path))
    assert place(tmp_path / "avnet_last.pth")[1] > 0


# ---------------------------------------------------------------- patience, folds, and where the data lies


def test_patience_ends_a_training_that_gets_no_better_and_it_stays_ended(shared_processed, tmp_path, monkeypatch):
    scores = iter([9.0, 5.0, 7.0, 5.0, 6.0, 1.0])
    table = boundary.score_table
    monkeypatch.setattr(boundary, "score_table", lambda *given: {**table(*given), "score": next(scores)})
    argv = small_flags(shared_processed, tmp_path, "--max_epoch", 9, "--patience", 3)
    assert train_small(argv) == 0
    assert "no better for 3 epochs" in log_of(tmp_path)
    assert [record["val_score"] for record in read_records(tmp_path)] == [9, 5, 7, 5, 6]
    assert last(tmp_path)["best"] == {"score": 5.0, "epoch": 1}
    before = (tmp_path / "avnet_last.pth").read_bytes()
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert (tmp_path / "avnet_last.pth").read_bytes() == before and len(read_records(tmp_path)) == 5


def test_folds_answer_every_clip_once_and_a_second_call_does_nothing_again(
    shared_processed, tmp_path, monkeypatch, capsys
):
    argv = small_flags(shared_processed, tmp_path / "folds", "--max_epoch", 2, "--folds")
    with monkeypatch.context() as patch:
        stops = iter([None] * 3 + [signal.SIGTERM])          # in the fourth fold
        at_step(patch, {(1, 2): lambda: (number := next(stops)) and os.kill(os.getpid(), number)})
        assert train_small(argv) == STOPPED
    folders = [tmp_path / f"folds/fold{fold}" for fold in range(7)]
    assert [folder.exists() for folder in folders] == [True] * 4 + [False] * 3
    done = (folders[2] / "avnet_last.pth").read_bytes()
    assert train_small(argv) == 0
    assert (folders[2] / "avnet_last.pth").read_bytes() == done
    assert [len(read_records(folder)) for folder in folders] == [2] * 7

    answers = read_submission(tmp_path / "folds/out_of_fold.csv")
    assert sorted(name for name, _ in answers) == sorted(
        f"clip{n:04d}_{'end' if n % 2 else 'start'}.mp4" for n in range(14))
    for folder in folders:
        predicted, truth = read_validation(folder)
        assert len(truth) == 2 and all(answers[f"{n}.mp4", "e" if "end" in n else "s"] == predicted[n] for n in truth)
    errors = [abs(s - (20.25 + 10 * int(name[4:8]))) for (name, _), s in answers.items()]
    score = np.mean([max(0, error - 1) for error in errors])
    assert json.loads((tmp_path / "folds/out_of_fold.json").read_text())["score"] == pytest.approx(score, abs=1e-3)
    assert f"out of fold: score {score:.3f} s" in capsys.readouterr().out

    kept = {path: path.read_bytes() for path in (tmp_path / "folds").rglob("*")
            if path.is_file() and path.name != "log.txt"}
    assert train_small(argv) == 0
    assert kept == {path: path.read_bytes() for path in (tmp_path / "folds").rglob("*")
                    if path.is_file() and path.name != "log.txt"}


@pytest.mark.parametrize("more", [["--data_in_memory"], ["--num_workers", 2], ["--num_workers", 2, "--data_in_memory"]])
def test_where_and_how_the_data_is_read_changes_no_weight(shared_processed, undisturbed, tmp_path, more):
    assert train_small(small_flags(shared_processed, tmp_path, *ALL_TOGETHER, *more)) == 0
    assert equal(last(tmp_path), last(undisturbed(*ALL_TOGETHER)))


def test_videos_of_one_picture_a_second_are_decoded_once_before_the_first_epoch(tmp_path):
    root = make_processed(tmp_path / "processed", train=7, test=0)
    names = ["clip0001_end", "clip0004_start"]
    for name in names:
        (root / f"data_A/train/{name}_frames.npy").unlink()
        write_video(root / f"data_A/train/{name}.mp4", seconds=4)
    argv = small_flags(root, tmp_path / "run", "--max_epoch", 2)
    with pytest.MonkeyPatch.context() as patch:
        stop_within(patch, (1, 0))
        assert train_small(argv) == STOPPED
    assert log_of(tmp_path / "run").count("decoded the 1 fps videos of 2 clips") == 1
    decoded = {name: root / f"data_A/train/{name}_frames.npy" for name in names}
    times = {name: path.stat().st_mtime_ns for name, path in decoded.items()}
    assert all(np.load(path).shape == (200, 66, 88, 3) for path in decoded.values())
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert times == {name: path.stat().st_mtime_ns for name, path in decoded.items()}
    assert log_of(tmp_path / "run").count("decoded") == 1
    assert "not what this training began with" not in log_of(tmp_path / "run")


def test_other_data_than_a_training_began_with_is_told(own, tmp_path, monkeypatch):
    argv = small_flags(own, tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_within(patch, (0, 2))
        train_small(argv)
    labels = own / "data_A/train/必选数据.txt"
    labels.write_text(labels.read_text(encoding="utf-8").replace("20.25", "21.25"), encoding="utf-8")
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert "the data is not what this training began with" in log_of(tmp_path / "run")


# ---------------------------------------------------------------- files that spoil while it trains


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["data_A/train/{}_mfcc.npy", "data_A/train/{}_frames.npy", "ROIs/{}.npy"])
def test_a_feature_file_cut_while_it_trains_is_named_and_what_was_learnt_kept(
    own, undisturbed, tmp_path, monkeypatch, workers, kind
):
    clip = epoch_batches(12, 2, 10, 1)[5][0]            # of the last step of the second epoch
    path = own / kind.format(training_clip(clip))
    whole = path.read_bytes()
    argv = small_flags(own, tmp_path / "run", "--num_workers", workers)
    with monkeypatch.context() as patch:
        at_step(patch, {(1, 0): lambda: path.write_bytes(whole[:len(whole) // 2])})
        with pytest.raises(UserError, match=rf"{path.name}: cannot be read .*\n.*kept: .* epoch 1, after step 5\."):
            train_small(argv)
    path.write_bytes(whole)
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert equal(last(tmp_path / "run"), last(undisturbed()))


def test_a_feature_file_cut_before_the_validation_is_named_and_the_epoch_is_not_lost(
    own, undisturbed, tmp_path, monkeypatch
):
    path = own / "data_A/train/clip0007_end_mfcc.npy"
    whole = path.read_bytes()
    argv = small_flags(own, tmp_path / "run")
    with monkeypatch.context() as patch:
        at_step(patch, {(0, 5): lambda: path.write_bytes(whole[:1000])})
        with pytest.raises(UserError, match=r"clip0007_end_mfcc\.npy: cannot .*\n.*kept: .* epoch 0, after step 6"):
            train_small(argv)
    path.write_bytes(whole)
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert equal(last(tmp_path / "run"), last(undisturbed()))
    assert [record["epoch"] for record in read_records(tmp_path / "run")] == [0, 1, 2]


@pytest.mark.parametrize("call", ["fsync", "link", "replace"])
def test_a_full_disk_at_any_point_of_a_save_leaves_a_whole_checkpoint_to_go_on_from(
    shared_processed, undisturbed, tmp_path, monkeypatch, call
):
    argv = small_flags(shared_processed, tmp_path / "run")
    full = False
    function = getattr(os, call)

    def fail(*given, **more):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]))
        return function(*given, **more)

    def fill() -> None:
        nonlocal full
        full = True

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        if call == "link":
            patch.setattr(shutil, "copy2", fail)        # what is tried where links are not possible
        at_step(patch, {(1, 5): fill})
        with pytest.raises(OSError, match="No space left") as raised:
            train_small(argv)
    assert raised.value.errno == errno.ENOSPC and Path(raised.value.filename).parent == tmp_path / "run"
    assert place(tmp_path / "run/avnet_last.pth") == (1, 0)
    assert not list((tmp_path / "run").glob(".tmp-*"))
    assert train_small([*argv, "--resume", "auto"]) == 0
    assert equal(last(tmp_path / "run"), last(undisturbed()))


# ---------------------------------------------------------------- what a training leaves for people


def test_a_training_leaves_a_log_curves_and_pictures(shared_processed, tmp_path, monkeypatch, draw):
    monkeypatch.setattr(boundary, "draw", draw)
    folder = tmp_path / "run"
    assert train_small(small_flags(shared_processed, folder)) == 0
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [0, 1, 2]
    with open(folder / "validation.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = min(records, key=lambda record: record["val_score"])
    cost = {row["name"]: max(0, abs(float(row["predicted"]) - float(row["seconds"])) - 1) for row in rows}
    assert best["val_score"] == pytest.approx(np.mean(list(cost.values())), abs=1e-3)
    assert best["val_score_start"] == pytest.approx(cost["clip0000_start"], abs=1e-3)
    assert best["val_score_end"] == pytest.approx(cost["clip0007_end"], abs=1e-3)
    for record in records:
        assert 0 <= record["val_within_1s"] <= record["val_within_2s"] <= record["val_within_5s"] <= 1
        assert record["train_loss"] > 0 and record["seconds"] > 0 and 0 <= record["waiting"] <= 1
    assert len(list(folder.glob("tensorboard/events.out.tfevents.*"))) == 1
    for name in ("curves.png", "validation.png", "worst.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG" and (folder / name).stat().st_size > 10_000


def test_settings_tell_what_made_a_training(undisturbed, shared_processed):
    settings = json.loads((undisturbed() / "settings.json").read_text(encoding="utf-8"))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert commit and settings["commit"].split()[0] == commit
    assert settings["versions"]["torch"] == torch.__version__.split("+")[0] or settings["versions"]["torch"] == \
        torch.__version__
    assert settings["versions"]["numpy"] == np.__version__
    assert settings["data"]["train"] == 12 and settings["data"]["val"] == 2 and len(settings["data"]["sha256"]) == 64
    assert settings["data"] == last(undisturbed())["data"]
    assert settings["lr"] == 0.01 and settings["network"] == "SmallNet" and settings["data_root"] == str(
        shared_processed)


def test_epochs_made_again_count_once_in_the_log(tmp_path):
    lines = [{"epoch": epoch, "run": run} for run, epochs in enumerate([(0, 1, 2, 3), (1, 2)]) for epoch in epochs]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(record["epoch"], record["run"]) for record in read_records(tmp_path)] == [(0, 0), (1, 1), (2, 1)]
