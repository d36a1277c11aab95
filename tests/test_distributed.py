"""Several processes train as one does, and end as one does: real ones, under torchrun, with Gloo on the CPU."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import small_main
import torch
from conftest import write_clip
from recognition_helpers import CLASSES, NOISE, make_videos, matching_flags, recognition_flags
from recognition_helpers import STEADY as NO_NOISE

from datatools.errors import UserError
from datatools.files import locked
from datatools.scores import score_table
from datatools.submission import read_submission
from models.actionclip import ActionCLIP
from models.timesformer import TimeSformer
from utils import launch
from utils.checkpoint import load_checkpoint
from utils.distributed import World
from utils.run_folder import BEST, LOCK

pytestmark = pytest.mark.usefixtures("no_pictures")

ROOT = Path(__file__).resolve().parents[1]
SMALL = ROOT / "tests/small_main.py"
BROKEN = "clip12_start"
CLIP = "410"       # half of the gradients have a larger norm; Adam alone does not mind one of twice the size
LONGEST = 180      # s that a command may take on a busy machine
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
DDP = ["--strategy", "ddp", "--processes", "2"]
NOISY = {     # settings of trainings that are stopped; the network has batch norm and dropout
    "float32": ["--max_epoch", "4"],
    "amp": ["--max_epoch", "4", "--use_amp", "--ema", "0.9", "--accumulation_step", "2", "--shift", "20"],
}
# Without batch norm, which takes its statistics from each process's share of a batch as DataParallel's do, and without
# dropout, whose draws differ.
STEADY = {
    "uneven": ["--max_epoch", "3"],                                # 3 x 8 steps
    # 5 x 4 steps
    "augmented": ["--max_epoch", "5", "--accumulation_step", "2", "--shift", "30", "--vary", "0.2",
                  "--clip_grad", CLIP],
}
# Of a video recogniser, whose clips are drawn and mirrored. Of its 12 videos 2 x 3 make a step.
VIDEOS = {
    "videos": [*NO_NOISE, "--batch_size", 3, "--accumulation_step", 2, "--max_epoch", 4, "--clip_grad", 0.3],
    "broken videos": [*NO_NOISE, "--max_epoch", 2, "--skip_broken"],
    # 2 x (8 and 4 clips), whose loss compares all clips of a step. SGD, for AdamW makes steps of rounding errors.
    "matching": ["--max_epoch", 2, "--batch_size", 4, "--accumulation_step", 2, "--optimizer", "sgd", "--lr", 0.03],
    "noisy videos": [*NOISE, "--batch_size", 3, "--use_amp", "--ema", 0.9],
}
STEADY_VIDEOS = ("videos", "broken videos", "matching")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """43 labelled clips: 7 validate, 36 train, in batches of 5 with one clip left over."""
    root = tmp_path_factory.mktemp("distributed") / "processed"
    rng = np.random.default_rng(3)
    lines = []
    for i in range(43):
        name = f"clip{i:02d}_{'start' if i % 2 == 0 else 'end'}"
        write_clip(root, "train", name, rng)
        # Each sounds its own way, so that batch norm's statistics hang on which clips a process gets.
        sound = 20 * rng.standard_normal((20, 1)) + rng.standard_normal((20, 8614))
        np.save(root / f"train/{name}_mfcc.npy", sound.astype(np.float32))
        lines.append(f"{name} {10 + 4 * i + 0.25}\n")
    (root / "labels.txt").write_text("".join(lines))
    for noisy in (False, True):
        (root / f"noisy_{noisy}.yaml".lower()).write_text(
            "pretrained: none\ngpus: cpu\nbatch_size: 5\nnum_workers: 0\nlr: 3.0e-3\ntrain_folders: [train]\n"
            f"label_files: [labels.txt]\nnetwork:\n  noisy: {noisy}\n")
    # The same once more, but for one training clip.
    broken = root.with_name("broken")
    shutil.copytree(root, broken, copy_function=os.link)
    path = broken / f"train/{BROKEN}_mfcc.npy"
    mfcc = np.load(path)
    mfcc[3, 1000] = np.nan
    path.unlink()
    np.save(path, mfcc)
    yield root
    shutil.rmtree(root)
    shutil.rmtree(broken)


def flags(data, prefix, *more, noisy: bool = False) -> list[str]:
    preset = data / f"noisy_{noisy}.yaml".lower()
    return ["--preset", str(preset), "--data_root", str(data), "--save_prefix", str(prefix), *map(str, more)]


class Command:
    """A command that runs beside the test. On leaving, it and all that it has started are killed."""

    def __init__(self, folder: Path, *words, pause: float = 0.0):
        self.mark = f"COMMAND_OF_TEST={uuid.uuid4().hex}"
        self.output = folder / "output.txt"
        name, value = self.mark.split("=")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "SMALL_PAUSE": str(pause), name: value}
        with open(self.output, "w") as output:
            self.process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, env=environment,
                                            stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for number in self.alive():
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(LONGEST)

    def alive(self) -> dict[int, dict[str, str]]:
        """{process number: environment} of all processes of the command."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue     # it has just ended, or is somebody else's
            if self.mark in words:
                found[int(folder.name)] = dict(word.partition("=")[::2] for word in words)
        return found

    def number_of_rank(self, rank: int) -> int:
        return next(number for number, environment in self.alive().items() if environment.get("RANK") == str(rank))

    def wait_until(self, condition) -> None:
        limit = time.monotonic() + LONGEST
        while not condition():
            assert time.monotonic() < limit and self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(LONGEST)


def run(folder: Path, *words) -> str:
    """The output of a command that must succeed."""
    with Command(folder, *words) as command:
        code = command.wait()
    assert code == 0, command.output.read_text()
    return command.output.read_text()


def chained(commands: list[list[str]]) -> list[str]:
    return [word for command in commands for word in ("--then", *command)][1:]


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same_weights(a: Path, b: Path) -> bool:
    one, other = (load_checkpoint(folder / "avnet_last.pth") for folder in (a, b))
    assert one["epoch"] == other["epoch"] and one["best"] == other["best"]
    return all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """12 videos train and 5 validate; and the same once more, one of each broken."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("whole", "broken"):
        make_videos(root / name)
    (root / "whole/names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for name in ("train4.mp4", "val3.mkv"):
        (root / "broken" / name).write_bytes(b"no video at all")
    return root


def video_flags(videos: Path, folder: Path, name: str, *more) -> list[str]:
    """The command of one of VIDEOS, for small_main.py."""
    data = videos / ("broken" if "broken" in name else "whole")
    if name == "matching":
        return [name, *matching_flags(data, folder, "--labels", data / "names.txt", *VIDEOS[name], *more)]
    return ["recognition", *recognition_flags(data, folder, *VIDEOS[name], *more)]


@pytest.fixture(scope="module")
def together(data, videos, tmp_path_factory) -> dict[str, Path]:
    """{name: save_prefix} of trainings by two processes, all in one start of torchrun."""
    folder = tmp_path_factory.mktemp("together")
    stopped = video_flags(videos, folder / "stopped videos", "noisy videos")
    stopped.insert(1, "stopped")
    run(folder, *TORCHRUN, SMALL, *chained(
        [flags(data, folder / name, *more) for name, more in STEADY.items()]
        + [flags(data, folder / name, *more, noisy=True) for name, more in NOISY.items()]
        + [flags(data.with_name("broken"), folder / "broken", "--max_epoch", 1)]
        + [video_flags(videos, folder / name, name) for name in VIDEOS]
        + [stopped, video_flags(videos, folder / "stopped videos", "noisy videos", "--resume", "auto")]))
    return {name: folder / name for name in (*STEADY, *NOISY, "broken", *VIDEOS, "stopped videos")}


@pytest.fixture(scope="module")
def alone(data, videos, tmp_path_factory) -> dict[str, Path]:
    """{name: save_prefix} of the same trainings by one process, where they can be the same."""
    folder = tmp_path_factory.mktemp("alone")
    for name, more in STEADY.items():
        assert small_main.main(flags(data, folder / name, *more)) == 0
    for name in STEADY_VIDEOS:
        assert small_main.main(video_flags(videos, folder / name, name)) == 0
    return {name: folder / name for name in (*STEADY, *STEADY_VIDEOS)}


@pytest.mark.parametrize("name", [*STEADY, *STEADY_VIDEOS])
def test_two_processes_train_as_one_does_with_the_same_global_batch(together, alone, name):
    losses = [[record["train_loss"] for record in records(folder[name])] for folder in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    ours, theirs = (load_checkpoint(folder[name] / "avnet_last.pth")["model"] for folder in (together, alone))
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=0, atol=1e-5 if name == "matching" else 1e-4)
    torch.manual_seed(10)
    content = load_checkpoint(together[name] / "avnet_last.pth")
    network = {"matching": ActionCLIP, **dict.fromkeys(set(VIDEOS) - {"matching"}, TimeSformer)}.get(name)
    begun = (network(**content["sizes"]) if network else small_main.SmallNet()).state_dict()
    key = "visual.proj" if name == "matching" else "head.weight"
    assert (ours[key] - begun[key]).abs().max() > 1e-3      # weights that stand still would agree, too


@pytest.mark.parametrize("name", STEADY)
def test_two_processes_count_each_of_seven_validation_clips_once(together, alone, name):
    scores = [[record["val_score"] for record in records(folder[name])] for folder in (together, alone)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert len((together[name] / "validation.csv").read_text().splitlines()) == 1 + 7


@pytest.mark.parametrize("name", STEADY_VIDEOS)
def test_two_processes_find_of_each_validation_video_what_one_does_and_leave_out_the_broken_one(together, alone, name):
    for key in ("val_top1", "val_top5", "val_loss"):
        found = [[record[key] for record in records(folder[name])] for folder in (together, alone)]
        assert found[0] == pytest.approx(found[1], abs=1e-4), key
    lines = [(folder[name] / "validation.csv").read_text().splitlines()[1:] for folder in (together, alone)]
    assert lines[0] == lines[1] and len(lines[0]) == (4 if name == "broken videos" else 5)


@pytest.mark.parametrize("name", ["uneven", *NOISY])
def test_inference_gives_the_score_that_two_processes_validated(data, together, tmp_path, name):
    weights = together[name] / "avnet_bestmodel.pth"
    output = tmp_path / "val.csv"
    small_main.main(flags(data, tmp_path, "--weights", weights, "--split", "val", "--output", output))
    answers = {clip.removesuffix(".mp4"): seconds for (clip, _), seconds in read_submission(output).items()}
    truth = {f"clip{i:02d}_{'start' if i % 2 == 0 else 'end'}": 10 + 4 * i + 0.25 for i in range(0, 43, 7)}
    assert score_table(answers, truth)["score"] == pytest.approx(load_checkpoint(weights)["score"], abs=1e-3)


def test_only_the_first_process_writes(together, alone):
    for name, (more, epochs) in {"uneven": (STEADY["uneven"], 3), "augmented": (STEADY["augmented"], 5)}.items():
        assert [record["epoch"] for record in records(together[name])] == list(range(epochs)), more
        text = (together[name] / "log.txt").read_text()
        assert all(text.count(f" epoch {epoch:2d} |") == 1 for epoch in range(epochs))
        names = [{path.name for path in folder[name].iterdir() if path.suffix != ".png"}
                 for folder in (together, alone)]
        assert names[0] == names[1]
        assert len(list((together[name] / "tensorboard").iterdir())) == 1


def test_two_processes_leave_out_a_step_that_one_cannot_make(together):
    record, = records(together["broken"])
    assert record["skipped_steps"] == 1 and np.isfinite(record["train_loss"])
    assert f"{BROKEN} (features that are not finite)" in (together["broken"] / "log.txt").read_text()


# Signals and deaths.

@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory) -> dict[str, Path]:
    """{name: save_prefix} of trainings that a signal to the command ended within their second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    for (name, more), number, code in zip(NOISY.items(), (signal.SIGTERM, signal.SIGINT), (143, 130), strict=True):
        prefix = folder / name
        with Command(folder, SMALL, *flags(data, prefix, *more, *DDP, noisy=True), pause=0.3) as command:
            command.wait_until((prefix / "avnet_last.pth").exists)
            time.sleep(0.8)      # 8 batches of 0.3 s make an epoch
            command.process.send_signal(number)
            assert command.wait() == code, command.output.read_text()
            assert not command.alive()
        position = load_checkpoint(prefix / "avnet_last.pth")["position"]
        assert position["epoch"] == 1 and position["step"] > 0
        assert f"stopped by {number.name} in epoch 1, after step {position['step']}; saved" in \
            command.output.read_text()
    return {name: folder / name for name in NOISY}


@pytest.fixture(scope="module")
def resumed(data, stopped, tmp_path_factory) -> dict[str, Path]:
    """{name: save_prefix} of those trainings, gone on with by two processes."""
    folder = tmp_path_factory.mktemp("resumed")
    for name, prefix in stopped.items():
        shutil.copytree(prefix, folder / name)
    run(folder, *TORCHRUN, SMALL, *chained([
        flags(data, folder / name, *more, "--resume", "auto", noisy=True) for name, more in NOISY.items()]))
    return {name: folder / name for name in NOISY}


@pytest.mark.parametrize("name", NOISY)
def test_a_signal_saves_and_the_resumed_training_ends_with_the_same_weights(together, resumed, name):
    assert same_weights(resumed[name], together[name])
    assert [r["train_loss"] for r in records(resumed[name])] == [r["train_loss"] for r in records(together[name])]


def test_two_processes_stopped_in_mid_epoch_end_with_the_weights_of_a_recogniser_that_was_not(together):
    assert "stopped by SIGTERM in epoch 1, after step 2; saved" in (together["stopped videos"] / "log.txt").read_text()
    assert same_weights(together["stopped videos"], together["noisy videos"])
    losses = [[r["train_loss"] for r in records(together[name])] for name in ("stopped videos", "noisy videos")]
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_one_process_goes_on_with_a_training_of_two(data, stopped, tmp_path):
    prefix = tmp_path / "run"
    shutil.copytree(stopped["amp"], prefix)
    assert small_main.main(flags(data, prefix, *NOISY["amp"], "--resume", "auto", noisy=True)) == 0
    assert [record["epoch"] for record in records(prefix)] == [0, 1, 2, 3]
    assert load_checkpoint(prefix / "avnet_last.pth")["epoch"] == 3


def test_a_process_that_dies_ends_all_of_them(data, tmp_path):
    prefix = tmp_path / "run"
    with Command(tmp_path, SMALL, *flags(data, prefix, *DDP), pause=0.3) as command:
        command.wait_until((prefix / "avnet_last.pth").exists)
        os.kill(command.number_of_rank(1), signal.SIGKILL)
        killed = time.monotonic()
        assert command.wait() != 0, command.output.read_text()
        assert time.monotonic() - killed < 60
        assert not command.alive()
    assert load_checkpoint(prefix / "avnet_last.pth")["epoch"] == 0


def test_processes_save_and_end_when_torchrun_is_killed(data, tmp_path):
    prefix = tmp_path / "run"
    with Command(tmp_path, SMALL, *flags(data, prefix, *DDP), pause=0.3) as command:
        command.wait_until((prefix / "avnet_last.pth").exists)
        time.sleep(0.8)
        command.process.kill()
        command.wait()
        limit = time.monotonic() + 60
        while command.alive() and time.monotonic() < limit:
            time.sleep(0.1)
        assert not command.alive()
    assert load_checkpoint(prefix / "avnet_last.pth")["position"]["step"] > 0


# Mistakes.

def test_missing_data_is_told_once_and_ends_all_processes(data, tmp_path):
    argv = flags(data, tmp_path / "run", *DDP, "--label_files", "none.txt")
    with Command(tmp_path, SMALL, *argv) as command:
        assert command.wait() == 2
        assert not command.alive()
    output = command.output.read_text()
    assert output.count("none.txt: no such label file") == 1 and "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_told_once_and_ends_all_processes(data, tmp_path):
    prefix = tmp_path / "run"
    prefix.mkdir()
    with locked(prefix / LOCK, "busy"), Command(tmp_path, SMALL, *flags(data, prefix, *DDP)) as command:
        assert command.wait() == 2
        assert not command.alive()
    output = command.output.read_text()
    assert output.count(f"{prefix}: another training works in it") == 1 and "Traceback" not in output
    assert [path.name for path in prefix.iterdir()] == [LOCK]


def test_an_error_of_one_process_in_mid_training_is_told_without_tracebacks_of_the_others(data, tmp_path):
    """The first process finds a folder where it wants to write its checkpoint."""
    prefix = tmp_path / "run"
    with Command(tmp_path, SMALL, *flags(data, prefix, *DDP), pause=0.1) as command:
        command.wait_until((prefix / "settings.json").exists)
        (prefix / BEST).mkdir()
        assert command.wait() == 2
        assert not command.alive()
    output = command.output.read_text()
    assert output.count("error: ") == 1 and f"{prefix / BEST}: " in output and "Traceback" not in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
@pytest.mark.parametrize("more", [[], ["--processes", "2"]])
def test_gpus_that_are_not_there_are_an_error_with_several_processes_too(data, tmp_path, more):
    with pytest.raises(UserError, match="--gpus 0,1: GPU 0, 1 is not there"):
        small_main.main(flags(data, tmp_path / "run", "--gpus", "0,1", "--strategy", "ddp", *more))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("more, message", [
    (["--strategy", "ddp", "--processes", "-1"], "--processes: found '-1', expected a whole number from 0"),
    (["--strategy", "ddp", "--processes", "two"], "--processes: .*'two'"),
    (["--processes", "2"], "--processes 2: --strategy dp is one process. Give --strategy ddp too"),
])
def test_a_wrong_number_of_processes_is_named(data, tmp_path, more, message):
    with pytest.raises(UserError, match=message):
        small_main.main(flags(data, tmp_path / "run", *more))
    assert not (tmp_path / "run").exists()


def test_more_processes_than_gpus_are_an_error_before_any_is_started(data, tmp_path, monkeypatch):
    gpus = [torch.device("cuda", 0), torch.device("cuda", 1)]
    monkeypatch.setattr(launch, "choose_devices", lambda _: gpus)
    with pytest.raises(UserError, match="--processes 3: each takes a GPU of its own, and --gpus 0,1 gives 2"):
        small_main.main(flags(data, tmp_path / "run", "--gpus", "0,1", "--strategy", "ddp", "--processes", 3))


def test_machines_that_see_other_data_or_checkpoints_are_told():
    class SecondWithout(World):
        def gather(self, value):
            return [value, {**value, "place": "the start"}]

    facts = {"data": "7 clips", "place": {"epoch": 3}}
    World().agree(facts)
    with pytest.raises(UserError, match=r"differ in place: {'epoch': 3} in the first, the start in that of rank 1"):
        SecondWithout(size=2).agree(facts)


# Longer ones.

@pytest.mark.soak
@pytest.mark.parametrize("processes", [3, 4])
def test_soak_more_processes_train_as_one_does(data, alone, tmp_path, processes):
    prefix = tmp_path / "run"
    more = ["--strategy", "ddp", "--processes", processes]
    run(tmp_path, SMALL, *flags(data, prefix, *STEADY["augmented"], *more))
    for key in ("train_loss", "val_score"):
        assert [r[key] for r in records(prefix)] == pytest.approx([r[key] for r in records(alone["augmented"])],
                                                                  abs=1e-4)


@pytest.mark.soak
def test_soak_two_processes_train_all_folds(data, tmp_path):
    prefix = tmp_path / "run"
    output = run(tmp_path, SMALL, *flags(data, prefix, *DDP, "--max_epoch", 2, "--folds"))
    assert output.count("fold 6 of 7") == 1
    assert len((prefix / "out_of_fold.csv").read_text().splitlines()) == 43


@pytest.mark.soak
@pytest.mark.parametrize("script", ["avt_main.py", "avt_normal_main.py", "avt_yolt_main.py"])
def test_soak_two_processes_train_each_network(shared_processed, tiny_preset, tmp_path, script):
    argv = ["--preset", tiny_preset, "--data_root", shared_processed, "--save_prefix", tmp_path / "run"]
    run(tmp_path, ROOT / script, *argv, *DDP)
    assert [record["epoch"] for record in records(tmp_path / "run")] == [0, 1]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_soak_trainings_killed_at_random_moments_end_with_the_same_weights(data, together, tmp_path, seed):
    rng = np.random.default_rng(seed)
    prefix = tmp_path / "run"
    words = [SMALL, *flags(data, prefix, *NOISY["amp"], *DDP, "--resume", "auto", noisy=True)]
    for _ in range(4):
        with Command(tmp_path, *words, pause=0.1) as command:
            time.sleep(rng.uniform(3, 20))
            numbers = list(command.alive())
            if numbers:
                os.kill(int(rng.choice(numbers)), int(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])))
            command.wait()
    run(tmp_path, *words)
    assert same_weights(prefix, together["amp"])
