"""kill -9 at random moments: what is resumed ends as if nothing had happened. make soak runs the long form."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from synth.plan import plan_clip
from synth.render import render_clip
from utils.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4


def run(*words, kill_after: float | None = None) -> int:
    """Exit code of a command, killed with all its processes after so many seconds if it takes that long."""
    process = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        return process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()


def killed_until_done(words: list, kills: int, longest: float, rng: random.Random) -> None:
    for _ in range(kills):
        run(*words, kill_after=rng.uniform(0.1, longest))
    assert run(*words) == 0


def check_training(processed, preset, folder: Path, kills: int, seed: int) -> None:
    words = ["avt_main.py", "--preset", preset, "--data_root", processed, "--max_epoch", EPOCHS, "--shift", 20,
             "--resume", "auto", "--save_prefix"]
    started = time.perf_counter()
    assert run(*words, folder / "whole") == 0
    longest = time.perf_counter() - started
    killed_until_done([*words, folder / "killed"], kills, longest, random.Random(seed))
    whole, killed = (load_checkpoint(folder / name / "avnet_last.pth") for name in ("whole", "killed"))
    assert whole["epoch"] == killed["epoch"] == EPOCHS - 1
    assert all(torch.equal(value, killed["model"][name]) for name, value in whole["model"].items())
    assert {p.name for p in (folder / "whole").iterdir()} == {p.name for p in (folder / "killed").iterdir()}


def check_preprocessing(folder: Path, kills: int, seed: int, clips: int = 3, seconds: float = 25) -> None:
    raw = folder / "raw"
    (raw / "data_C").mkdir(parents=True)
    for index in range(clips):
        render_clip(plan_clip(seed, index, "se"[index % 2], duration=seconds), raw / f"data_C/clip{index}_start.mp4")
    results = []
    for name in ("whole", "killed"):
        root = folder / name
        for words in (
            ["utils/extract_audio.py", "--data_root", raw, "--save_root", root, "--workers", 1],
            ["utils/extract_video.py", "--data_root", raw, "--save_root", root, "--workers", 1],
            ["datatools/text_extract.py", "--data_root", root, "--ocr", "rapidocr", "--workers", 1],
            ["utils/extract_textROI.py", "--data_root", root],
        ):
            killed_until_done(words, kills if name == "killed" else 0, 6.0, random.Random(seed))
        results.append({p.relative_to(root): p.read_bytes() for p in root.rglob("*")
                        if p.is_file() and not p.name.startswith("ocr_sources")})
    assert results[0].keys() == results[1].keys()
    assert all(results[0][path] == results[1][path] for path in results[0])


@pytest.mark.chain
def test_a_training_killed_at_a_random_moment_ends_with_the_same_weights(shared_processed, tiny_preset, tmp_path):
    check_training(shared_processed, tiny_preset, tmp_path, kills=1, seed=0)


@pytest.mark.chain
def test_preprocessing_killed_in_each_stage_ends_with_the_same_bytes(tmp_path):
    check_preprocessing(tmp_path, kills=1, seed=0, clips=2, seconds=12)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 9))
def test_soak_training(shared_processed, tiny_preset, tmp_path, seed):
    check_training(shared_processed, tiny_preset, tmp_path, kills=6, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 6))
def test_soak_preprocessing(tmp_path, seed):
    check_preprocessing(tmp_path, kills=4, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
def test_soak_clips_of_many_seeds_are_rendered(tmp_path, seed):
    rng = random.Random(seed)
    plan = plan_clip(seed, 0, rng.choice("se"), duration=rng.uniform(20, 200))
    render_clip(plan, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").stat().st_size > 10_000
